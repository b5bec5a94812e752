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
const assets = (text) => /href="(\/assets\/[0-9a-f]+)\/base.css"/.exec(text)[1];

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
  assert.match(page.text, /<h1 class="event-title">A &lt;night&gt; &amp; more<\/h1>/);
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
    'connect-src': `'self' ws://127.0.0.1:${server.wsPort}/ws`, 'form-action': "'self'", 'base-uri': "'none'", 'frame-ancestors': "'none'",
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
  const language = (answer) => [/<html lang="(\w+)">/.exec(answer.text)[1], answer.headers['content-language']];
  const client = new Client(server);
  assert.deepEqual(language(await client.get(`/wait/${id}`)), ['en', 'en']);
  assert.deepEqual(language(await client.get(`/wait/${id}`, { headers: { 'accept-language': 'fr, ja;q=0.8, ko;q=0.9' } })), ['ko', 'ko']);
  assert.deepEqual(language(await client.get(`/wait/${id}?lang=ja`)), ['ja', 'ja']);
  assert.deepEqual(language(await client.get(`/wait/${id}`, { headers: { 'accept-language': 'ko' } })), ['ja', 'ja']);
  assert.deepEqual(language(await client.get(`/wait/${id}?lang=xx`)), ['ja', 'ja']);
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
  assert.match(closed.text, /<h1 class="event-title">/);
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
  assert.ok(await server.metric('tiketi_http_requests_total{method="POST",path="/wait/{eventId}/leave",status="303"}') >= 1);
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
  const plain = await server.get(`${root}/base.css`);
  assert.equal(plain.headers['cache-control'], 'public, max-age=31536000, immutable');
  assert.equal(plain.headers['content-type'], 'text/css; charset=utf-8');
  assert.equal(plain.headers['content-encoding'], undefined);
  assert.match(plain.headers.vary, /Accept-Encoding/);
  const packed = await fetch(`${server.url}${root}/base.css`, { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(packed.headers.get('content-encoding'), 'gzip');
  assert.ok(Number(packed.headers.get('content-length')) < plain.text.length / 2);
  assert.equal(await packed.text(), plain.text);
  assert.equal((await server.get(`${root}/base.css`, { headers: { 'accept-encoding': 'br, gzip;q=0' } })).headers['content-encoding'], undefined);
  assert.equal((await server.get(`${root}/base.css`, { headers: { 'if-none-match': plain.headers.etag } })).status, 304);
  assert.equal((await server.get(`${root}/messages/ko.json`)).headers['content-type'], 'application/json');
  assert.equal((await server.request('HEAD', `${root}/wait.js`)).status, 200);
  for (const wrong of [`${root}/wait.html`, `${root}/../base.css`, `${root}/nothing.js`, '/assets/000000000000/base.css', `${root}`, `${root}/`]) {
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

test('the home page lists open events, not those that are over', async () => {
  const { id } = await sale({ title: 'Open & shown' });
  const { id: over } = await sale({ title: 'Over' });
  await organizer.act(over, 'close');
  const { text, status } = await server.get('/');
  assert.equal(status, 200);
  assert.match(text, new RegExp(`<a href="/wait/${id}">Open &amp; shown</a>`));
  assert.doesNotMatch(text, new RegExp(`/wait/${over}`));
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

test('assets do not count for the rate limit', async () => {
  const { id } = await sale();
  const pod = await Server.start({ redis, database: server.database, roles: 'api', env: { RATE_LIMIT_PER_IP: 2 } });
  try {
    const root = assets((await new Client(pod).get(`/wait/${id}`)).text);
    for (let i = 0; i < 20; i++) assert.equal((await pod.get(`${root}/base.css`)).status, 200);
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
  for (const [notice, words] of [['limit', /more seats than one person/], ['too-many-requests', /That did not work/], ['invalid', /That did not work/]]) {
    const { text } = await fan.get(`/buy/${id}?notice=${notice}`);
    assert.equal(state(text), 'choose');
    assert.match(text, words, notice);
  }
  assert.doesNotMatch((await fan.get(`/buy/${id}`)).text, /That did not work/);
});
