// SPDX-License-Identifier: MIT
//
// The pages as the server sends them: headers, languages, errors, assets, branding, and use without JavaScript.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, Server, uniqueId, waitUntil } from '../fixtures/index.mjs';

let redis, postgres, server, organizer;
before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  server = await Server.start({ redis, database: await postgres.migrated() });
  organizer = new Organizer(server);
});
after(() => server?.stop());

const sale = (settings = {}) => organizer.sale({ id: uniqueId('p'), title: 'A <night> & more', threshold: 1, grid: { rows: 2, seatsPerRow: 10 }, ...settings });
const state = (text) => /<main id="main" data-state="(\w+)"/.exec(text)?.[1];
const assets = (text) => /href="(\/assets\/[0-9a-f]+)\/wait.css"/.exec(text)[1];

test('the waiting page joins, shows the place and keeps it; the organizer\'s text is escaped', async () => {
  const { id } = await sale();
  const [first, second] = [new Client(server), new Client(server)];
  assert.equal(state((await first.get(`/wait/${id}`)).text), 'admitted');
  const page = await second.get(`/wait/${id}`);
  assert.equal(page.status, 200);
  assert.equal(page.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(page.headers['cache-control'], 'no-store');
  assert.equal(state(page.text), 'waiting');
  assert.match(page.text, /<p class="number" id="position">1<\/p>/);
  assert.match(page.text, /<h1 class="event-title" dir="auto">A &lt;night&gt; &amp; more<\/h1>/);
  assert.doesNotMatch(page.text, /<night>/);
  assert.match(page.text, /<noscript><meta http-equiv="refresh" content="\d+; url=\/wait\/[^"]+"><\/noscript>/);
  const reference = /id="reference">([0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{3})</.exec(page.text)[1];
  const again = await second.get(`/wait/${id}`);
  assert.equal(state(again.text), 'waiting');
  assert.ok(again.text.includes(reference));
  assert.equal((await second.status(id)).body.position, 1);
});

test('the content security policy allows our own origin and the socket, and nothing else', async () => {
  const { id } = await sale();
  const { headers } = await new Client(server).get(`/wait/${id}`);
  const policy = Object.fromEntries(headers['content-security-policy'].split('; ').map((part) => [part.split(' ')[0], part.split(' ').slice(1).join(' ')]));
  assert.deepEqual(policy, {
    'default-src': "'none'", 'script-src': "'self'", 'style-src': "'self'", 'img-src': "'self' data:", 'font-src': "'self'",
    'connect-src': `'self' ws://127.0.0.1:${server.wsPort}/ws`, 'worker-src': "'self'", 'manifest-src': "'self'", 'form-action': "'self'",
    'base-uri': "'none'", 'frame-ancestors': "'none'", 'require-trusted-types-for': "'script'", 'trusted-types': 'tiketi',
  });
  assert.equal(headers['x-content-type-options'], 'nosniff');
  assert.equal(headers['referrer-policy'], 'same-origin');
  assert.ok(headers['permissions-policy']);
  // An invalid Host cannot break out of the policy.
  const odd = await server.get(`/wait/${id}`, { headers: { host: "x; script-src *" } });
  assert.doesNotMatch(odd.headers['content-security-policy'] ?? '', /script-src \*/);
});

test('no page has inline scripts or styles', async () => {
  const { id } = await sale();
  for (const path of ['/', `/wait/${id}`, `/wait/${id}/leave`, '/wait/nowhere']) {
    const { text } = await new Client(server).get(path);
    assert.doesNotMatch(text, / style=| on[a-z]+="|<style|<script(?![^>]* src=)|javascript:/, path);
  }
});

test('the language comes from the address, the cookie or Accept-Language, in this order', async () => {
  const { id } = await sale();
  const language = (answer) => [/<html lang="(\w+)"[ >]/.exec(answer.text)[1], answer.headers['content-language']];
  const client = new Client(server);
  assert.deepEqual(language(await client.get(`/wait/${id}`)), ['en', 'en']);
  assert.deepEqual(language(await client.get(`/wait/${id}`, { headers: { 'accept-language': 'fr, ja;q=0.8, ko;q=0.9' } })), ['ko', 'ko']);
  assert.deepEqual(language(await client.get(`/wait/${id}?lang=ja`)), ['ja', 'ja']);
  assert.deepEqual(language(await client.get(`/wait/${id}`, { headers: { 'accept-language': 'ko' } })), ['ja', 'ja']);
  assert.deepEqual(language(await client.get(`/wait/${id}?lang=xx`)), ['ja', 'ja']);
});

test('a change of the language shows the same state: the links keep the query, without what acts', async () => {
  const { id } = await sale();
  const links = async (path) => [...(await new Client(server).get(path)).text.matchAll(/<a href="([^"]*)" lang="ko"/g)].map(([, href]) => href);
  assert.deepEqual(await links(`/wait/${id}?left=1&lang=ja&a=%3Cb%3E`), [`/wait/${id}?left=1&amp;a=%3Cb%3E&amp;lang=ko`]);
  assert.deepEqual(await links(`/wait/${id}?join=1&lang`), [`/wait/${id}?lang=ko`]);
  assert.deepEqual(await links('/?lang=ja'), ['/?lang=ko']);
  assert.deepEqual(await links('/?other=1'), ['/?lang=ko'], 'this text is everybody’s');
});

test('times of the event are those of its zone, which is named in the reader\'s language', async () => {
  const { id } = await sale({ startsAt: '2027-05-14T10:00:00Z', timeZone: 'Asia/Seoul' });
  const shown = async (lang) => /<time id="starts" datetime="2027-05-14T10:00:00.000Z">([^<]+)</.exec((await new Client(server).get(`/wait/${id}?lang=${lang}`)).text)[1].replace(/\s/g, ' ');
  assert.equal(await shown('en'), 'Friday, May 14, 2027 at 7:00 PM (Korean Standard Time)');
  assert.equal(await shown('ko'), '2027년 5월 14일 금요일 오후 7:00 (대한민국 표준시)');
  assert.equal(await shown('ja'), '2027年5月14日金曜日 19:00（韓国標準時）');
  assert.match((await new Client(server).get(`/wait/${id}`)).text, /<html lang="en" data-zone="Asia\/Seoul">/);
  const { id: nowhere } = await sale({ startsAt: '2027-05-14T10:00:00Z' });
  assert.match((await new Client(server).get(`/wait/${nowhere}`)).text, /10:00\sAM \(Coordinated Universal Time\)/);
});

test('errors are answered with pages', async () => {
  const unknown = await new Client(server).get('/wait/nowhere');
  assert.deepEqual([unknown.status, state(unknown.text)], [404, 'unknown']);
  const odd = await new Client(server).get('/wait/not%2Fan%2Fid');
  assert.deepEqual([odd.status, state(odd.text)], [400, 'unknown']);
  const { id: members } = await sale({ allowGuests: false });
  const login = await new Client(server).get(`/wait/${members}`);
  assert.deepEqual([login.status, state(login.text)], [401, 'login']);
  const { id } = await sale();
  await organizer.act(id, 'close');
  const closed = await waitUntil(async () => {
    const answer = await new Client(server).get(`/wait/${id}`);
    return answer.status === 410 && answer;
  }, 10000, 'the end');
  assert.equal(state(closed.text), 'closed');
  assert.match(closed.text, /<h1 class="event-title" dir="auto">/);
});


test('leaving without JavaScript: a question, then a confirmation; the next visit joins again', async () => {
  const { id } = await sale();
  const [first, second] = [new Client(server), new Client(server)];
  await first.get(`/wait/${id}`);
  await second.get(`/wait/${id}`);
  const asked = await second.get(`/wait/${id}/leave`);
  assert.match(asked.text, new RegExp(`<form class="actions" method="post" action="/wait/${id}/leave">`));
  const foreign = await second.post(`/wait/${id}/leave`, { headers: { origin: 'https://elsewhere.example' } });
  assert.equal(foreign.status, 403);
  const form = { headers: { origin: server.url, 'content-type': 'application/x-www-form-urlencoded' }, body: '' };
  const left = await second.post(`/wait/${id}/leave`, form);
  assert.deepEqual([left.status, left.headers.location], [303, `/wait/${id}?left=1`]);
  assert.ok(await server.metric('tiketi_http_requests_total{method="POST",route="/wait/{eventId}/leave",status="3xx"}') >= 1);
  assert.equal(state((await second.get(left.headers.location)).text), 'left');
  assert.equal((await second.status(id)).body.status, 'not_in_queue');
  assert.equal(state((await second.get(`/wait/${id}`)).text), 'waiting');
});

test('HEAD and the page after leaving take no place', async () => {
  const { id } = await sale();
  await new Client(server).get(`/wait/${id}`);
  assert.equal((await new Client(server).request('HEAD', `/wait/${id}`)).status, 200);
  assert.equal((await new Client(server).get(`/wait/${id}?left=1`)).status, 200);
  assert.equal((await organizer.stats(id)).queueSize ?? 0, 0);
});

test('assets are cached for ever, compressed on request, and served for this version alone', async () => {
  const { id } = await sale();
  const root = assets((await new Client(server).get(`/wait/${id}`)).text);
  const plain = await server.get(`${root}/wait.css`);
  assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable');
  assert.equal(plain.headers['content-type'], 'text/css; charset=utf-8');
  assert.equal(plain.headers['content-encoding'], undefined);
  assert.match(plain.headers.vary, /Accept-Encoding/);
  // [Accept-Encoding, the coding that is answered]
  const codings = [['gzip', 'gzip'], ['gzip, deflate, br, zstd', 'br'], ['br;q=0.5, gzip', 'br'], ['BR', 'br'], ['br;q=0, gzip;q=0.8', 'gzip'], ['br; q=0.0,gzip;q=0', null],
    ['brotli, x-gzip', null], ['identity', null]];
  const tags = new Set();
  for (const [accepted, coding] of codings) {
    const packed = await fetch(`${server.url}${root}/wait.css`, { headers: { 'accept-encoding': accepted } });
    assert.equal(packed.headers.get('content-encoding'), coding, accepted);
    assert.equal(Number(packed.headers.get('content-length')) < plain.text.length / 2, coding !== null, accepted);
    assert.equal(await packed.text(), plain.text, accepted);
    tags.add(packed.headers.get('etag'));
  }
  assert.equal(tags.size, 3, 'each coding has its own ETag');
  assert.equal((await server.get(`${root}/wait.css`, { headers: { 'if-none-match': plain.headers.etag } })).status, 304);
  assert.equal((await server.request('HEAD', `${root}/wait.ko.js`)).status, 200);
  assert.equal((await server.get(`${root}/seats_worker.js`)).headers['service-worker-allowed'], '/');
  for (const wrong of [`${root}/wait.html`, `${root}/wait.css.br`, `${root}/messages/ko.json`, `${root}/../wait.css`, `${root}/nothing.js`, '/assets/000000000000/wait.css', `${root}`, `${root}/`]) {
    const answer = await server.get(wrong);
    assert.equal(answer.status, 404, wrong);
    assert.equal(answer.headers['cache-control'], 'no-store', wrong);
  }
});

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';

test('branding: name, colours and logo reach the page, and a logo cannot run scripts', async () => {
  const { id } = await sale();
  const changed = await organizer.patch(id, { branding: { name: 'Arena & Co', primary: '#7a1fa2', background: '#101040', logo: `data:image/png;base64,${PIXEL}` } });
  assert.equal(changed.branding.name, 'Arena & Co');
  assert.match(changed.branding.logo, /^\/brand\/.+\/logo\?v=\d+$/);
  const text = await waitUntil(async () => {
    const answer = await new Client(server).get(`/wait/${id}`);
    return answer.text.includes(changed.branding.logo) && answer.text;
  }, 10000, 'the logo');
  assert.match(text, /alt="Arena &amp; Co"/);
  const css = await server.get(/href="(\/brand\/[^"]+\.css\?v=\d+)"/.exec(text)[1]);
  assert.equal(css.headers['content-type'], 'text/css; charset=utf-8');
  assert.match(css.text, /--primary:#7a1fa2;/);
  assert.match(css.text, /--ground:#101040;--ground-ink:#ffffff;/);
  const logos = await Promise.all(Array.from({ length: 20 }, () => fetch(`${server.url}${changed.branding.logo}`)));
  for (const logo of logos) {
    assert.equal(logo.status, 200);
    assert.equal(logo.headers.get('content-type'), 'image/png');
    assert.match(logo.headers.get('content-security-policy'), /^default-src 'none'.*sandbox$/);
    assert.deepEqual(Buffer.from(await logo.arrayBuffer()), Buffer.from(PIXEL, 'base64'));
  }
  await organizer.patch(id, { branding: null });
  await waitUntil(async () => (await server.get(`/brand/${id}/logo`)).status === 404, 10000, 'no logo');
  assert.equal((await server.get('/brand/nowhere.css')).status, 404);
});

test('an image of the event: bounded, no vector, cached, replaced and removed', async () => {
  const { id } = await sale();
  const send = (image) => organizer.request('PATCH', `/api/admin/events/${id}`, { json: { branding: { image } } });
  const large = Buffer.alloc(256 * 1024, 7).toString('base64');
  const { status, body } = await send(`data:image/jpeg;base64,${large}`);
  assert.equal(status, 200);
  assert.match(body.branding.image, /^\/brand\/.+\/image\?v=\d+$/);
  const picture = await waitUntil(async () => {
    const answer = await fetch(`${server.url}${body.branding.image}`);
    return answer.status === 200 && answer;
  }, 10000, 'the image');
  assert.deepEqual([picture.headers.get('content-type'), picture.headers.get('cache-control')], ['image/jpeg', 'public, max-age=300']);
  assert.deepEqual(Buffer.from(await picture.arrayBuffer()), Buffer.alloc(256 * 1024, 7));
  for (const bad of [`data:image/jpeg;base64,${Buffer.alloc(256 * 1024 + 3).toString('base64')}`, `data:image/svg+xml;base64,${PIXEL}`, 'https://x.example/a.jpg']) {
    const answer = await send(bad);
    assert.deepEqual([answer.status, answer.body.field], [400, 'branding.image'], bad.slice(0, 30));
  }
  assert.equal((await send(`data:image/jpeg;base64,${Buffer.alloc(500 * 1024).toString('base64')}`)).status, 413);
  assert.equal((await new Client(server).request('PATCH', `/api/admin/events/${id}`, { json: { branding: { image: large } } })).status, 413, 'only staff may send so much');
  const small = await send(`data:image/png;base64,${PIXEL}`);
  assert.notEqual(small.body.branding.image, body.branding.image);
  await waitUntil(async () => (await server.get(`/brand/${id}/image`)).headers['content-type'] === 'image/png', 10000, 'the new image');
  assert.equal((await send(null)).body.branding.image, null);
  await waitUntil(async () => (await server.get(`/brand/${id}/image`)).status === 404, 10000, 'no image');
});

test('the home page lists open events, not those that are over', async () => {
  const { id } = await sale({ title: 'Open & shown' });
  const { id: over } = await sale({ title: 'Over' });
  await organizer.act(over, 'close');
  const link = new RegExp(`<a href="/wait/${id}" dir="auto">Open &amp; shown</a>`);
  const { text } = await waitUntil(async () => {
    const answer = await server.get('/');
    assert.equal(answer.status, 200);
    return link.test(answer.text) && !answer.text.includes(`/wait/${over}`) && answer;
  }, 3000, 'the list, which is a second old');
  assert.doesNotMatch(text, /rel="next"/);
});

test('the home page: by date, with date, place, price and state; what is over or closes is gone', async () => {
  const in_ = (days) => new Date(Date.now() + days * 86400000).toISOString();
  const late = await sale({ title: 'Later', artist: 'Zoe', startsAt: in_(40), timeZone: 'Asia/Seoul', grid: { rows: 1, seatsPerRow: 2, price: 9900, currency: 'KRW' } });
  const soon = await sale({ title: 'Sooner', startsAt: in_(20), opensAt: in_(1) });
  const past = await sale({ title: 'Bygone', startsAt: in_(-3) });
  const dark = await sale({ title: 'Curtain', startsAt: in_(30), closesAt: new Date(Date.now() + 3000).toISOString() });
  const order = async (path = '/') => [...(await server.get(path)).text.matchAll(/href="\/wait\/([^"]+)"/g)].map(([, id]) => id).filter((id) => [late, soon, past, dark].some((one) => one.id === id));
  await waitUntil(async () => (await order()).join() === [soon.id, dark.id, late.id].join(), 2500, 'the events by date');
  const { text } = await server.get('/');
  const item = (id) => text.split('<li class="card').find((part) => part.includes(`/wait/${id}"`));
  assert.match(item(late.id), /from ₩9,900/);
  assert.match(item(late.id), /\(Korean Standard Time\)/);
  assert.match(item(late.id), /class="date-day">\d{1,2}</);
  assert.match(item(soon.id), /Opens [A-Z][a-z]+day, .*\(Coordinated Universal Time\)/);
  await waitUntil(async () => (await order()).join() === [soon.id, late.id].join(), 6000, 'the end of the one that closes');
});

test('the server writes amounts as Intl does in the browser, with the decimals of ISO 4217', async () => {
  const DECIMALS = { EUR: 2, USD: 2, KRW: 0, JPY: 0, KWD: 3, IQD: 3, CHF: 2 };
  const sales = await Promise.all(Object.keys(DECIMALS).map(async (currency) => ({ currency, ...await sale({ title: `Money ${currency}`, grid: { rows: 1, seatsPerRow: 1, price: 1234567, currency } }) })));
  for (const language of ['en', 'ko', 'ja']) {
    for (const { currency, id } of sales) {
      const digits = DECIMALS[currency];
      const expected = new Intl.NumberFormat(language, { style: 'currency', currency, minimumFractionDigits: digits, maximumFractionDigits: digits }).format(1234567 / 10 ** digits);
      const { text } = await new Client(server).get(`/wait/${id}?lang=${language}`);
      assert.ok(text.includes(expected), `${language}: ${expected} in ${/<p class="event-meta">.*/.exec(text)?.[0]}`);
    }
  }
});

test('the home page searches title, artist and venue, whatever their case and width, and keeps the words', async () => {
  const { id } = await sale({ title: 'Ａｕｒｏｒａ', artist: 'Mira & the Tides', venue: '상암 월드컵경기장' });
  const found = async (query) => (await server.get(`/?q=${encodeURIComponent(query)}`)).text;
  await waitUntil(async () => (await found('aurora')).includes(`/wait/${id}"`), 3000, 'the list, which is a second old');
  for (const query of ['MIRA', '월드컵', 'tides aurora']) assert.match(await found(query), new RegExp(`/wait/${id}"`), query);
  const none = await found('"><b>nothing');
  assert.doesNotMatch(none, /<b>nothing/);
  assert.match(none, /No events match “&quot;&gt;&lt;b&gt;nothing”/);
  assert.match(none, /name="q" value="&quot;&gt;&lt;b&gt;nothing"/);
  assert.match(none, /href="\/\?q=[^"]+&amp;lang=ko"/);
});

test('the foot of every page: who sells, the seller\'s pages, and how the queue is fair', async () => {
  const { id } = await sale({ branding: { name: 'Arena & Co' }, links: { seller: 'https://shop.example/imprint', help: 'mailto:help@shop.example', terms: 'https://shop.example/terms?a=1&b=2' } });
  const fan = new Client(server);
  for (const path of [`/wait/${id}`, `/buy/${id}`, `/wait/${id}/leave`]) {
    const { text } = await fan.get(path);
    assert.match(text, /<a href="https:\/\/shop\.example\/imprint"[^>]*><span dir="auto">Sold by Arena &amp; Co<\/span><\/a>/, path);
    assert.match(text, /<a href="mailto:help@shop\.example"[^>]*>Help<\/a>/, path);
    assert.match(text, /<a href="https:\/\/shop\.example\/terms\?a=1&amp;b=2"[^>]*>Terms<\/a>/, path);
    assert.doesNotMatch(text, />Refunds</, path);
    assert.match(text, /<summary>How this queue is fair<\/summary>/, path);
  }
  assert.match((await server.get('/')).text, /<summary>How this queue is fair<\/summary>/);
});

test('a program that makes previews gets title, text and picture, and takes no place', async () => {
  const { id } = await sale({ title: 'A "night"', artist: 'Zoe', venue: 'Pier 7', startsAt: '2027-05-14T10:00:00Z', branding: { image: `data:image/png;base64,${PIXEL}` } });
  const { text } = await new Client(server).get(`/wait/${id}`, { headers: { 'user-agent': 'facebookexternalhit/1.1' } });
  const og = Object.fromEntries([...text.matchAll(/<meta property="og:(\w+)" content="([^"]*)">/g)].map(([, name, content]) => [name, content]));
  assert.equal(og.title, 'A &quot;night&quot;');
  assert.equal(og.description, 'Zoe · Pier 7 · May 14, 2027');
  assert.equal(og.url, `${server.url}/wait/${id}`);
  assert.match(og.image, new RegExp(`^${server.url}/brand/${id}/image\\?v=\\d+$`));
  assert.equal((await fetch(og.image)).headers.get('content-type'), 'image/png');
  assert.equal((await organizer.stats(id)).queueSize ?? 0, 0);
});

test('without PostgreSQL the home page says so, and tries again', async () => {
  const pod = await Server.start({ redis, database: server.database, roles: 'api' });
  try {
    await postgres.pause();
    const { status, text } = await pod.get('/');
    assert.equal(status, 503);
    assert.match(text, /We can’t load the events right now/);
    assert.doesNotMatch(text, /No events are on sale/);
    assert.match(text, /<meta http-equiv="refresh" content="10">/);
    assert.match(text, /<a class="button" href="\/">Try again<\/a>/);
  } finally {
    await postgres.resume();
    await pod.stop();
  }
});

test('without Redis the page says so and reloads itself', async () => {
  const { id } = await sale();
  await new Client(server).get(`/wait/${id}`);
  await redis.pause();
  try {
    const answer = await new Client(server).get(`/wait/${id}`);
    assert.deepEqual([answer.status, state(answer.text)], [503, 'unavailable']);
    assert.ok(answer.headers['retry-after']);
    assert.match(answer.text, /http-equiv="refresh"/);
  } finally {
    await redis.resume();
  }
  await waitUntil(async () => (await new Client(server).get(`/wait/${id}`)).status === 200, 10000, 'its return');
});

test('the socket address is the configured one, or the host of the page with the security of the page', async () => {
  const { id } = await sale();
  const of = async (env, headers = {}) => {
    const pod = await Server.start({ redis, database: server.database, roles: 'api', env });
    try {
      const answer = await new Client(pod).get(`/wait/${id}`, { headers });
      return [/connect-src ([^;]+);/.exec(answer.headers['content-security-policy'])[1], / data-ws="([^"]*)"/.exec(answer.text)[1]];
    } finally {
      await pod.stop();
    }
  };
  assert.deepEqual(await of({ PUBLIC_WS_URL: 'wss://ws.example.com/ws' }), ["'self' wss://ws.example.com/ws", 'wss://ws.example.com/ws']);
  assert.deepEqual(await of({ TRUSTED_PROXIES: '127.0.0.1', WS_PORT: 9443 }, { host: 'tickets.example.com', 'x-forwarded-proto': 'https' }),
    ["'self' wss://tickets.example.com:9443/ws", 'wss://tickets.example.com:9443/ws']);
  assert.deepEqual(await of({ WS_PORT: 9443 }, { host: '[::1]:8080', 'x-forwarded-proto': 'https' }), ["'self' ws://[::1]:9443/ws", 'ws://[::1]:9443/ws']);
});

test('an address that is not there: a page for a person, in their language; JSON for a program and below /api/', async () => {
  const ask = async (path, headers) => {
    const answer = await fetch(`${server.url}${path}`, { headers });
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
  };
  const browser = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'accept-language': 'ko' };
  for (const path of ['/nope', '/wait', '/wait/', '/buy', '/a/b?c=<d>', '/%3Cscript%3E']) {
    const page = await ask(path, browser);
    assert.equal(page.status, 404, path);
    assert.equal(page.headers['content-type'], 'text/html; charset=utf-8', path);
    assert.equal(page.headers['cache-control'], 'no-store', path);
    assert.equal(page.headers['content-language'], 'ko', path);
    assert.match(page.headers['content-security-policy'], /default-src 'none'/, path);
    assert.match(page.text, /<h1 id="heading">페이지를 찾을 수 없습니다<\/h1>/, path);
    assert.match(page.text, /<a class="button" href="\/">/, path);
    assert.doesNotMatch(page.text, /<d>|<script>/, path);
    assert.equal(page.headers['set-cookie'], undefined, path);
  }
  for (const [path, headers] of [['/nope', { accept: '*/*' }], ['/nope', { accept: 'application/json' }], ['/api/nope', browser]]) {
    const answer = await ask(path, headers);
    assert.equal(answer.status, 404);
    assert.equal(answer.headers['content-type'], 'application/problem+json');
  }
});

test('what browsers and crawlers look for at the root is there', async () => {
  const types = { '/favicon.ico': 'image/x-icon', '/apple-touch-icon.png': 'image/png', '/icon-512.png': 'image/png', '/icon.svg': 'image/svg+xml',
    '/manifest.webmanifest': 'application/manifest+json', '/robots.txt': 'text/plain; charset=utf-8' };
  for (const [path, type] of Object.entries(types)) {
    const { status, headers } = await server.get(path);
    assert.equal(status, 200, path);
    assert.equal(headers['content-type'], type, path);
    assert.equal(headers['cache-control'], 'public, max-age=86400', path);
    assert.equal((await server.get(path, { headers: { 'if-none-match': headers.etag } })).status, 304, path);
  }
  const robots = (await server.get('/robots.txt')).text;
  for (const path of ['/api/', '/buy/', '/ticket/']) assert.ok(robots.includes(`\nDisallow: ${path}\n`), path);
  assert.doesNotMatch(robots, /^Disallow: \/(wait\/)?$/m, 'links to events may have previews');
  const manifest = JSON.parse((await server.get('/manifest.webmanifest')).text);
  for (const { src, type } of manifest.icons) assert.equal((await server.get(src)).headers['content-type'], type, src);
  const { text } = await server.get('/');
  assert.match(text, /<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">/);
  assert.match(text, /<link rel="apple-touch-icon" href="\/apple-touch-icon.png">/);
  assert.match(text, /<link rel="manifest" href="\/manifest.webmanifest">/);
  for (const theme of ['light', 'dark']) assert.match(text, new RegExp(`<meta name="theme-color" content="#[0-9a-f]{6}" media="\\(prefers-color-scheme: ${theme}\\)">`));
});

test('ASSETS_URL: pages load their files from a CDN, their policy names it, and other origins may read the files', async () => {
  const { id } = await sale();
  const pod = await Server.start({ redis, database: server.database, roles: 'api', env: { ASSETS_URL: 'https://cdn.example.com/' } });
  try {
    const { text, headers } = await new Client(pod).get(`/wait/${id}`);
    const [, url] = /<script type="module" [^>]*src="([^"]+)"/.exec(text);
    assert.match(url, /^https:\/\/cdn\.example\.com\/assets\/[0-9a-f]{12}\/wait\.en\.js$/);
    for (const directive of ["script-src 'self'", "style-src 'self'", "img-src 'self' data:", "font-src 'self'"])
      assert.ok(headers['content-security-policy'].includes(`${directive} https://cdn.example.com/assets/;`), directive);
    // Workers come from the pages' own origin.
    const own = / data-assets="([^"]*)"/.exec(text)[1];
    assert.equal(own, new URL(url).pathname.replace('/wait.en.js', ''));
    assert.equal((await pod.get(new URL(url).pathname)).headers['access-control-allow-origin'], '*');
    assert.equal((await server.get(new URL(url).pathname)).headers['access-control-allow-origin'], undefined);
  } finally {
    await pod.stop();
  }
});

test('HSTS: a page that came over HTTPS says so, over HTTP it does not, and 0 leaves it out', async () => {
  const { id } = await sale();
  const of = async (env, headers) => {
    const pod = await Server.start({ redis, database: server.database, roles: 'api', env: { TRUSTED_PROXIES: '127.0.0.1', ...env } });
    try {
      return (await new Client(pod).get(`/wait/${id}`, { headers })).headers['strict-transport-security'];
    } finally {
      await pod.stop();
    }
  };
  const https = { 'x-forwarded-proto': 'https' };
  assert.equal(await of({}, https), 'max-age=31536000');
  assert.equal(await of({}, {}), undefined);
  assert.equal(await of({ HSTS_MAX_AGE_S: 0 }, https), undefined);
});

test('assets do not count for the rate limit', async () => {
  const { id } = await sale();
  const pod = await Server.start({ redis, database: server.database, roles: 'api', env: { RATE_LIMIT_PER_IP: 1, TRUSTED_PROXIES: '127.0.0.0/8' } });
  try {
    const root = assets((await new Client(pod).get(`/wait/${id}`)).text);
    for (let i = 0; i < 20; i++) assert.equal((await pod.get(`${root}/wait.css`)).status, 200);
    const limited = await waitUntil(async () => {
      const answer = await new Client(pod).get(`/wait/${id}`);
      return answer.status === 429 && answer;
    }, 10000, 'the limit');
    assert.equal(state(limited.text), 'busy');
  } finally {
    await pod.stop();
  }
});

test('our own pages may act for a guest, whatever other origins are allowed', async () => {
  const { id } = await sale();
  const pod = await Server.start({ redis, database: server.database, roles: 'api', env: { ALLOWED_ORIGINS: 'https://shop.example' } });
  try {
    const leave = (origin) => new Client(pod).post(`/wait/${id}/leave`, { headers: { origin, 'content-type': 'application/x-www-form-urlencoded' }, body: '' });
    assert.equal((await leave(pod.url)).status, 303);
    assert.equal((await leave('https://shop.example')).status, 303);
    assert.equal((await leave('http://127.0.0.1:1')).status, 403);
    assert.equal((await leave('null')).status, 403);
  } finally {
    await pod.stop();
  }
});

test('a refused form always returns with a notice', async () => {
  const { id } = await sale();
  const fan = new Client(server, { sub: 'formal' });
  await fan.check(id);
  for (const [notice, words] of [['limit', /more seats than one person can buy/], ['too-many-requests', /That didn’t work/], ['invalid', /That didn’t work/]]) {
    const { text } = await fan.get(`/buy/${id}?notice=${notice}`);
    assert.equal(state(text), 'choose');
    assert.match(text, words, notice);
  }
  assert.doesNotMatch((await fan.get(`/buy/${id}`)).text, /That didn’t work/);
});
