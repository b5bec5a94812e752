// SPDX-License-Identifier: MIT
//
// The way back: `return` leads the buyer to the shop that they came from, and nowhere else; the one-time token that hands them
// over to a shop on another host.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { test } from 'node:test';
import { Client, Server, Socket, decode, jwtWithKey, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const PASS_KEYS = privateKey.export({ type: 'pkcs8', format: 'pem' });
const { redis, database, server, organizer } = await stage({ env: { PASS_KEYS } });

const SHOP = 'https://shop.example/tickets';
const sale = (settings = {}) => organizer.sale({ id: uniqueId('back'), threshold: 10, autoHold: 0, ...settings });
const state = ({ text }) => /<main id="main" data-state="(\w+)"/.exec(text)?.[1];
const linkOf = ({ text }, id) => new RegExp(`<a [^>]*id="${id}"[^>]*href="([^"]*)"`).exec(text)?.[1].replaceAll('&amp;', '&');
const wait = (id, url, more = '') => `/wait/${id}?return=${encodeURIComponent(url)}${more}`;
const enter = (id, url) => `/wait/${id}/enter?return=${encodeURIComponent(url)}`;
const places = async (id) => Number(await redis.cli('ZCARD', `queue:{${id}}`)) + Number(await redis.cli('SCARD', `active:{${id}}`));
// Follows redirects within this origin; returns the last address of another page, or the last answer.
const follow = async (client, path) => {
  const answer = await client.get(path);
  return answer.status === 303 && /^\/wait\//.test(answer.headers.location) ? follow(client, answer.headers.location) : answer;
};

const DEEP = '/shop/x%20y/공연?seat=A%26B&n=1+2&empty=&q=%EC%97%B0#row-3';
const DEEP_SENT = DEEP.replace('공연', encodeURIComponent('공연'));

test('the button leads to the deep link, whole: path, query, fragment', async () => {
  const { id } = await sale();
  const buyer = new Client(server);
  const page = await follow(buyer, wait(id, DEEP));
  assert.deepEqual([page.status, state(page)], [200, 'admitted']);
  const way = linkOf(page, 'enter');
  assert.match(way, new RegExp(`^/wait/${id}/enter\\?return=`));
  const led = await buyer.get(way);
  assert.deepEqual([led.status, led.headers.location], [303, DEEP_SENT]);
  assert.equal(led.headers['cache-control'], 'no-store');
  assert.equal((await buyer.get(`/api/gate/${id}`)).status, 204);
  // Without a return it leads to our own shop, as ever.
  assert.equal(linkOf(await buyer.get(`/wait/${id}`), 'enter'), `/buy/${id}`);
  assert.equal((await buyer.get(`/wait/${id}/enter`)).headers.location, `/buy/${id}`);
  // The own origin may be written out.
  assert.equal((await buyer.get(enter(id, `${server.url}/shop?x=1`))).headers.location, '/shop?x=1');
});

test('the way survives the check for cookies, another language, a reload without a script, leaving, joining again', async () => {
  const { id } = await sale({ threshold: 1 });
  const way = /return=\/shop\/x\?y=1%26z=%2520/;
  const target = '/shop/x?y=1&z=%20';
  await new Client(server).check(id);
  const first = await server.get(wait(id, target, '&lang=ko'));
  assert.match(first.headers.location, /^\/wait\/.*return=%2Fshop%2Fx.*&lang=ko&cookies=\d+$/);
  const buyer = new Client(server);
  const page = await follow(buyer, wait(id, target, '&lang=ko'));
  assert.equal(state(page), 'waiting');
  assert.match(page.text, /<noscript><meta http-equiv="refresh" content="\d+; url=\/wait\/[\w-]+\?return=\/shop\/x\?y=1%26amp;z|<noscript><meta http-equiv="refresh" content="\d+; url=\/wait\/[\w-]+\?return=\/shop\/x\?y=1%26z=%2520"/);
  for (const [, link] of page.text.matchAll(/<li><a href="([^"]*)lang=/g)) assert.match(link, /return=%2Fshop%2Fx%3Fy%3D1%26z%3D%2520/);
  assert.match(linkOf(page, 'leave'), way);
  const asked = await buyer.get(linkOf(page, 'leave'));
  assert.equal([...asked.text.matchAll(new RegExp(way, 'g'))].length >= 2, true, 'the form, and the way back to the queue');
  const left = await buyer.post(/action="([^"]*leave[^"]*)"/.exec(asked.text)[1].replaceAll('&amp;', '&'));
  assert.equal(left.status, 303);
  assert.match(left.headers.location, new RegExp(`^/wait/${id}\\?left=1&return=`));
  const gone = await buyer.get(left.headers.location);
  assert.equal(state(gone), 'left');
  const again = /href="(\/wait\/[^"]*join=1[^"]*)"/.exec(gone.text)[1].replaceAll('&amp;', '&');
  assert.match(again, way);
  assert.match(linkOf(await buyer.get(again), 'leave'), way);
});

test('a turn that was lost: the page of before leads to the queue again, and from there to the same deep link', async () => {
  const { id } = await sale({ threshold: 1, sessionLimitMs: 1500, idleTimeoutMs: 60000 });
  const buyer = new Client(server);
  assert.equal(state(await follow(buyer, wait(id, DEEP))), 'admitted');
  await waitUntil(async () => Number(await redis.cli('SCARD', `active:{${id}}`)) === 0, 10000, 'the turn to end');
  const late = await buyer.get(enter(id, DEEP));
  assert.equal(late.status, 303);
  const page = await follow(buyer, late.headers.location);
  assert.equal(state(page), 'expired');
  assert.doesNotMatch(page.text, /data-in="expired" href="\/tickets\//, 'the tickets are the shop’s');
  const again = /href="(\/wait\/[^"]*join=1[^"]*)"/.exec(page.text)[1].replaceAll('&amp;', '&');
  const anew = await follow(buyer, again);
  assert.equal(state(anew), 'admitted');
  assert.equal((await buyer.get(linkOf(anew, 'enter'))).headers.location, DEEP_SENT);
});

test('where the turn is for a shop, the page speaks of the shop, in each language', async () => {
  const { id } = await sale({ threshold: 1, autoHold: 1, grid: { rows: 1, seatsPerRow: 4 } });
  const first = new Client(server);
  for (const [language, ours, theirs] of [['en', /choose your seats/, /Go on to the shop/], ['ko', /좌석을 선택/, /판매 페이지로 이동/], ['ja', /座席をお選び/, /販売ページへ/]]) {
    const without = await follow(first, `/wait/${id}?lang=${language}`);
    const within = await follow(first, wait(id, '/shop', `&lang=${language}`));
    const lead = ({ text }) => /<p class="lead" id="lead">([^<]*)</.exec(text)[1];
    assert.match(lead(without), ours);
    assert.match(lead(within), theirs);
  }
  const second = new Client(server);
  assert.match((await follow(second, `/wait/${id}?lang=en`)).text, /choose and pay/);
  assert.doesNotMatch((await follow(second, wait(id, '/shop', '&lang=en'))).text, /choose and pay|set seats aside/);
});

const EVIL = ['//evil.example', '/\\evil.example', 'https://evil.example/', 'https://shop.example.evil.example/tickets', 'https://shop.example@evil.example/tickets',
  'https://shop.example/admin', 'https://shop.example/tickets/../admin', 'https://shop.example/tickets/%2e%2e/admin', 'https://shop.example/tickets/%252e%252e/admin',
  'https://shop.example/tickets-old', 'http://shop.example/tickets', 'javascript:alert(1)', 'shop/x', '/x\r\nSet-Cookie: a=b', `/${'x'.repeat(1500)}`];

test('what is not allowed is a page that says so: never followed, no place taken, none lost', async () => {
  const { id } = await sale({ threshold: 1, returnUrls: [SHOP] });
  await new Client(server).check(id);
  const waiting = new Client(server);
  assert.equal(state(await follow(waiting, `/wait/${id}`)), 'waiting');
  const before = (await waiting.status(id)).body.position;
  for (const url of EVIL) {
    const newcomer = new Client(server);
    await newcomer.get('/wait/nowhere'); // has a cookie
    for (const client of [newcomer, new Client(server), waiting]) {
      for (const path of [wait(id, url), enter(id, url), wait(id, url, '&left=1'), `/wait/${id}/leave?return=${encodeURIComponent(url)}`]) {
        const page = await client.get(path);
        assert.deepEqual([page.status, state(page)], [400, 'return_refused'], path);
        assert.equal(page.headers.location, undefined);
        assert.doesNotMatch(page.text, /http-equiv="refresh"/);
        assert.equal(/href="[^"]*evil/.test(page.text.replace(/<nav class="languages"[\s\S]*?<\/nav>/, '')), false, path);
      }
    }
  }
  const badly = await waiting.get(`/wait/${id}?return=%zz`);
  assert.equal(state(badly), 'return_refused');
  assert.equal(await places(id), 2);
  assert.equal((await waiting.status(id)).body.position, before);
  for (const [language, words] of [['en', /This link can’t be followed/], ['ko', /이 링크로는 이동할 수 없습니다/], ['ja', /このリンクは開けません/]]) {
    assert.match((await waiting.get(wait(id, EVIL[0], `&lang=${language}`))).text, words);
  }
  assert.equal(state(await waiting.get(`/wait/${id}?return=`)), 'waiting', 'an empty one is none');
  // A HEAD, a robot, a load ahead of the click: none takes a place, none is led on.
  assert.equal((await waiting.request('HEAD', wait(id, EVIL[0]))).status, 400);
  assert.equal((await server.get(wait(id, EVIL[0]), { headers: { 'user-agent': 'Twitterbot/1.0' } })).status, 400);
});

test('check, status and a heartbeat that claims carry returnUrl; a refused one is 400 and asks nothing of the queue', async () => {
  const { id } = await sale({ threshold: 1, returnUrls: [SHOP] });
  const buyer = new Client(server, { sub: 'r1' });
  const query = (url) => `?return=${encodeURIComponent(url)}`;
  for (const url of EVIL) {
    for (const [method, verb] of [['POST', 'check'], ['GET', 'status'], ['POST', 'heartbeat']]) {
      const { status, body } = await buyer.request(method, `/api/queue/${verb}/${id}${query(url)}`);
      assert.deepEqual([status, body.code, body.field], [400, 'invalid', 'return'], url);
      assert.match(body.reason, /^return-(ambiguous|not-allowed|host|scheme|not-a-url|too-long)$/);
    }
  }
  assert.equal(await places(id), 0);
  assert.equal((await buyer.post(`/api/queue/check/${id}${query('/shop/x?y=1')}`)).body.returnUrl, '/shop/x?y=1');
  assert.equal((await buyer.get(`/api/queue/status/${id}${query('HTTPS://Shop.Example:443/tickets/7?a=b')}`)).body.returnUrl, `${SHOP}/7?a=b`);
  assert.equal((await buyer.post(`/api/queue/heartbeat/${id}${query('/shop')}`, { json: { claim: true } })).body.returnUrl, '/shop');
  assert.equal('returnUrl' in (await buyer.status(id)).body, false);
  const second = new Client(server, { sub: 'r2' });
  assert.equal('returnUrl' in (await second.post(`/api/queue/check/${id}${query('/shop')}`)).body, false, 'waits');
});

test('the socket: join-queue {return} comes back with the entry and the claim, to each tab its own', async () => {
  const { id } = await sale({ threshold: 1, returnUrls: [SHOP], claimMs: 60000 });
  const inside = new Client(server, { sub: 's0' });
  const buyer = new Client(server, { sub: 's1' });
  await inside.check(id);
  await buyer.check(id);
  const socket = await Socket.open(server);
  const join = (to, url) => to.send('join-queue', { eventId: id, ticket: buyer.ticket, token: buyer.token, return: url });
  for (const url of [...EVIL.slice(0, 5), 7]) {
    join(socket, url);
    assert.equal((await socket.next('error')).payload.code, 'return-refused', url);
    await socket.next('queue-position'); // the join goes on without it
  }
  join(socket, `${SHOP}/7`);
  await socket.next('queue-position');
  const other = await Socket.open(server);
  join(other, '/shop/x?y=1');
  await other.next('queue-position');
  const bare = await Socket.open(server);
  join(bare, undefined);
  await bare.next('queue-position');
  await inside.leave(id);
  assert.equal((await socket.next('queue-entry-allowed')).payload.returnUrl, `${SHOP}/7`);
  assert.equal((await other.next('queue-entry-allowed')).payload.returnUrl, '/shop/x?y=1');
  assert.equal('returnUrl' in (await bare.next('queue-entry-allowed')).payload, false);
  socket.send('heartbeat', { claim: true });
  assert.equal((await socket.next('turn-claimed')).payload.returnUrl, `${SHOP}/7`);
  assert.equal((await other.next('turn-claimed')).payload.returnUrl, '/shop/x?y=1');
});

test('returnUrls: a wrong entry is named, and its reason; the list is for the staff', async () => {
  const { id } = await sale();
  const patch = async (returnUrls) => (await organizer.request('PATCH', `/api/admin/events/${id}`, { json: { returnUrls }, headers: { 'if-match': '*' } })).body;
  for (const [list, field, reason] of [['x', 'returnUrls', 'not-a-list'], [[SHOP, '/shop'], 'returnUrls[1]', 'return-entry-not-a-url'], [[7], 'returnUrls[0]', 'not-a-text'],
    [['https://*.shop.example'], 'returnUrls[0]', 'return-entry-pattern'], [[SHOP, SHOP], 'returnUrls[1]', 'return-entry-twice'], [[`${SHOP}?x`], 'returnUrls[0]', 'return-entry-query'],
    [Array.from({ length: 17 }, (_, i) => `https://shop${i}.example`), 'returnUrls', 'return-entries-too-many'],
    [Array.from({ length: 16 }, (_, i) => `https://shop${i}.example/${'x'.repeat(200)}`), 'returnUrls[9]', 'return-entries-too-long']]) {
    const body = await patch(list);
    assert.deepEqual([body.code, body.field, body.reason], ['invalid', field, reason]);
  }
  assert.deepEqual((await patch(['HTTPS://Shop.example:443/', 'http://localhost:8000/a'])).returnUrls, ['https://shop.example', 'http://localhost:8000/a']);
  assert.equal('returnUrls' in (await server.get(`/api/events/${id}`)).body, false);
  assert.deepEqual((await patch(null)).returnUrls, []);
});

// ---- another host ----

const redeem = (id, json, at = server) => at.post(`/api/gate/${id}/handoff`, { json });
const tokenOf = (location) => new URL(location).searchParams.get('tiketi-handoff');

// A buyer at the click: where they are led, with the token.
async function atTheDoor(id, url, client = new Client(server)) {
  assert.equal(state(await follow(client, wait(id, url))), 'admitted');
  const { status, headers } = await client.get(enter(id, url));
  assert.equal(status, 303);
  return { client, location: headers.location, token: tokenOf(headers.location) };
}

test('another host gets a token at the click, which its server redeems once for the pass', async () => {
  const { id } = await sale({ returnUrls: [SHOP] });
  const target = `${SHOP}/7?seat=A%26B&n=1#row`;
  const { client, location, token } = await atTheDoor(id, target);
  assert.equal(location, `${SHOP}/7?seat=A%26B&n=1&tiketi-handoff=${token}#row`);
  const claims = decode(token);
  const [guest] = decodeURIComponent(client.cookies.get('tiketi_guest')).split('.');
  assert.deepEqual([claims.iss, claims.aud, claims.sub, claims.target, claims.exp - claims.iat], ['tiketi', `handoff:${id}`, guest, target, 60]);
  assert.ok(Buffer.byteLength(location) < 1000 && !location.includes(client.cookies.get(`tiketi_pass_${id}`)), 'no pass in a URL');
  const { status, body, headers } = await redeem(id, { token });
  assert.equal(status, 200);
  assert.deepEqual([body.buyer, body.target], [guest, target]);
  assert.equal(headers['set-cookie'], undefined);
  assert.equal((await server.get(`/api/gate/${id}`, { headers: { 'x-tiketi-pass': body.pass } })).status, 204);
  assert.equal(new Date(body.passExpiresAt) > new Date(), true);
  const again = await redeem(id, { token });
  assert.deepEqual([again.status, again.body.code, again.body.reason], [401, 'handoff-refused', 'handoff-used']);
  // Each click has its own.
  const next = tokenOf((await client.get(enter(id, target))).headers.location);
  assert.notEqual(next, token);
  assert.equal((await redeem(id, { token: next, target: `${SHOP}/7?seat=A%26B&n=1&tiketi-handoff=${next}#row` })).status, 200, 'the URL as the shop was asked for it');
});

test('of many who redeem one token at the same time, on two pods, one gets the pass', async (t) => {
  const { id } = await sale({ returnUrls: [SHOP] });
  const other = await Server.start({ redis, database, roles: 'api', env: { PASS_KEYS } });
  t.after(() => other.stop());
  const { token } = await atTheDoor(id, SHOP);
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => redeem(id, { token }, i % 2 ? server : other)));
  assert.deepEqual([all.filter(({ status }) => status === 200).length, all.filter(({ body }) => body.reason === 'handoff-used').length], [1, 19]);
});

test('a token holds for its event, its target, its seconds and its turn alone, and is no pass', async () => {
  const { id } = await sale({ returnUrls: [SHOP, 'https://other.example'] });
  const { id: second } = await sale({ returnUrls: [SHOP] });
  const { client, token } = await atTheDoor(id, `${SHOP}/7?x=1`);
  const refused = async (event, json) => {
    const { status, body } = await redeem(event, json);
    return `${status} ${body.reason ?? body.code}`;
  };
  assert.equal(await refused(second, { token }), '401 handoff-not-valid');
  for (const target of [`${SHOP}/8?x=1`, `${SHOP}/7`, 'https://other.example/tickets/7?x=1', 'http://shop.example/tickets/7?x=1']) {
    assert.equal(await refused(id, { token, target }), '401 handoff-target', target);
  }
  for (const target of ['/tickets/7?x=1', 'https://shop.example/tickets/../tickets/7?x=1']) assert.equal(await refused(id, { token, target }), '400 return-not-a-url');
  for (const json of [{}, { token: 7 }, { token, more: 1 }, { token: 'x'.repeat(2300) }]) assert.match(await refused(id, json), /^400 /);
  assert.equal((await server.get(`/api/gate/${id}`, { headers: { 'x-tiketi-pass': token } })).status, 401, 'no pass');
  assert.equal(await refused(id, { token: client.cookies.get(`tiketi_pass_${id}`) }), '401 handoff-not-valid', 'and a pass is no token');
  const header = JSON.parse(Buffer.from(token.split('.')[0], 'base64url'));
  assert.equal(header.alg, 'ES256');
  const forged = (changes, key = privateKey) => jwtWithKey({ ...decode(token), ...changes }, key, header);
  assert.equal(await refused(id, { token: forged({ exp: Math.floor(Date.now() / 1000) - 1 }) }), '401 handoff-expired');
  assert.equal(await refused(id, { token: forged({}, generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey) }), '401 handoff-not-valid');
  assert.equal(await refused(id, { token: `${token.slice(0, -4)}AAAA` }), '401 handoff-not-valid');
  // None of these has used it up; the end of the turn ends it, and a later turn of the same buyer does not bring it back.
  await client.leave(id);
  assert.equal(await refused(id, { token }), '401 not-admitted');
  assert.equal(state(await follow(client, `/wait/${id}?join=1`)), 'admitted');
  assert.equal(await refused(id, { token }), '401 not-admitted');
});

test('a URL that is too long for a token is bound by its hash', async () => {
  const { id } = await sale({ returnUrls: [SHOP] });
  const target = `${SHOP}/7?long=${'x'.repeat(1500 - SHOP.length - 8)}`;
  const { location, token } = await atTheDoor(id, target);
  assert.ok(location.length < 2300);
  assert.equal((await redeem(id, { token, target: `${target}y`.slice(0, 1400) })).body.reason, 'handoff-target');
  assert.equal((await redeem(id, { token, target })).body.target, target);
  const { token: next } = await atTheDoor(id, target);
  assert.equal((await redeem(id, { token: next })).body.target, 'https://shop.example');
});

test('no token for who has not claimed, who waits, who has nothing, and what is no person; an offer waits for the click', async () => {
  const { id } = await sale({ threshold: 1, returnUrls: [SHOP], claimMs: 60000 });
  const inside = new Client(server);
  await inside.check(id);
  const buyer = new Client(server);
  assert.equal(state(await follow(buyer, wait(id, SHOP))), 'waiting');
  const led = async (client, options) => (await client.get(enter(id, SHOP), options)).headers.location;
  assert.equal(await led(buyer), `/wait/${id}?return=${SHOP}`);
  assert.equal(await led(new Client(server)), `/wait/${id}?return=${SHOP}`, 'the waiting page asks them to bring their cookie, and to join');
  await inside.leave(id);
  const isOffered = async () => Number(await redis.cli('ZCARD', `active:offered:{${id}}`)) === 1;
  await waitUntil(isOffered, 10000, 'the offer');
  assert.equal((await buyer.get(`/api/queue/status/${id}?return=${encodeURIComponent(SHOP)}`)).body.returnUrl, SHOP, 'the target, without a token');
  for (const headers of [{ 'sec-purpose': 'prefetch' }, { 'sec-fetch-dest': 'image' }, { 'sec-fetch-dest': 'iframe' }]) {
    const answer = await buyer.get(enter(id, SHOP), { headers });
    assert.doesNotMatch(answer.headers.location ?? '', /handoff/);
  }
  assert.doesNotMatch((await buyer.request('HEAD', enter(id, SHOP))).headers.location, /handoff/);
  assert.equal(await isOffered(), true, 'none of these has claimed it');
  const token = tokenOf(await led(buyer));
  assert.equal(await isOffered(), false, 'the click has');
  assert.equal((await redeem(id, { token })).status, 200);
});

test('under one domain the cookies are the hand-over: COOKIE_DOMAIN, and no token', async (t) => {
  const shared = await Server.start({ redis, database, roles: 'api', env: { PASS_KEYS, TRUSTED_PROXIES: '127.0.0.1', COOKIE_DOMAIN: 'hall.example', PUBLIC_URL: 'https://queue.hall.example' } });
  t.after(() => shared.stop());
  const { id } = await sale({ returnUrls: ['https://shop.hall.example', 'http://shop.hall.example', 'https://hall.example.evil.example', 'https://shop.example'] });
  const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'queue.hall.example' };
  const client = new Client(shared);
  const get = (path) => client.get(path, { headers });
  const page = await get(wait(id, 'https://shop.hall.example/x?y=1'));
  assert.equal(state(page), 'admitted');
  for (const line of page.headers['set-cookie']) assert.match(line, /^__Secure-tiketi_.*; Domain=hall\.example;.*; Secure/);
  assert.equal((await get(enter(id, 'https://shop.hall.example/x?y=1'))).headers.location, 'https://shop.hall.example/x?y=1');
  // The shop's gate, which is asked with the cookies that its host gets.
  const cookie = client.cookieHeader;
  assert.equal((await shared.get(`/api/gate/${id}`, { headers: { ...headers, 'x-forwarded-host': 'shop.hall.example', cookie } })).status, 204);
  // Cookies that are Secure do not reach http, nor a host outside.
  for (const url of ['http://shop.hall.example/x', 'https://hall.example.evil.example/x', 'https://shop.example/x']) assert.match((await get(enter(id, url))).headers.location, /tiketi-handoff=/, url);
  assert.equal((await get(enter(id, 'https://queue.hall.example/shop'))).headers.location, '/shop', 'the own origin is that of PUBLIC_URL');
});

test('below PATH_PREFIX our own links have it, and the way back has not', async (t) => {
  const below = await Server.start({ redis, database, roles: 'api', ready: false, env: { PASS_KEYS, PATH_PREFIX: '/.tiketi' } });
  t.after(() => below.stop());
  await waitUntil(async () => (await below.get('/readyz').catch(() => ({}))).status === 200, 15000, 'readiness');
  const { id } = await sale();
  const first = await below.get(`/.tiketi${wait(id, '/shop/x?y=1')}`);
  const cookie = first.headers['set-cookie'].map((line) => line.split(';')[0]).join('; ');
  assert.match(first.headers.location, /^\/\.tiketi\/wait\/.*return=.*cookies=/);
  const page = await below.get(first.headers.location, { headers: { cookie } });
  const way = linkOf(page, 'enter');
  assert.match(way, new RegExp(`^/\\.tiketi/wait/${id}/enter\\?return=/shop/x`));
  assert.match(page.text, /href="\/\.tiketi\/wait\/[\w-]+\?join=1&amp;return=\/shop/);
  assert.equal((await below.get(way, { headers: { cookie } })).headers.location, '/shop/x?y=1');
});

test('who has come to an event without seats by no return is led to the first of returnUrls, or to the shop on this host', async (t) => {
  const below = await Server.start({ redis, database, roles: 'api', ready: false, env: { PASS_KEYS, PATH_PREFIX: '/.tiketi' } });
  t.after(() => below.stop());
  await waitUntil(async () => (await below.get('/readyz').catch(() => ({}))).status === 200, 15000, 'readiness');
  const visit = async (target, prefix, settings) => {
    const { id } = await sale(settings);
    const first = await target.get(`${prefix}/wait/${id}`);
    const cookie = first.headers['set-cookie'].map((line) => line.split(';')[0]).join('; ');
    await target.get(first.headers.location, { headers: { cookie } });
    const page = await target.get(`${prefix}/buy/${id}`, { headers: { cookie } });
    assert.match(page.text, /data-state="empty"/);
    const link = /id="to_shop" href="([^"]*)"/.exec(page.text)?.[1].replaceAll('&amp;', '&');
    return link ? (await target.get(link, { headers: { cookie } })).headers.location : null;
  };
  assert.equal(await visit(below, '/.tiketi', {}), '/');
  assert.match(await visit(server, '', { returnUrls: ['https://shop.example/tickets', 'https://other.example'] }), /^https:\/\/shop\.example\/tickets\?tiketi-handoff=/);
  assert.equal(await visit(server, '', {}), null, 'nobody has said where a shop is');
});

test('a buyer who has to sign in: the shop gets the waiting page with the return in it', async () => {
  const { id } = await sale({ allowGuests: false, loginUrl: 'https://shop.example/in' });
  const page = await new Client(server).get(wait(id, '/shop/x?y=1&z=2'));
  assert.deepEqual([page.status, state(page)], [401, 'login']);
  const link = /href="(https:\/\/shop\.example\/in[^"]*)"/.exec(page.text)[1].replaceAll('&amp;', '&');
  const back = new URL(new URL(link).searchParams.get('return'));
  assert.deepEqual([back.pathname, back.searchParams.get('return')], [`/wait/${id}`, '/shop/x?y=1&z=2']);
});

// ---- the gate redeems it: a shop on another host needs no code ----

// What a proxy of https://shop.example asks. way: redirect (Caddy, Traefik), nginx, envoy.
function gateAsks(id, way, target, { method = 'GET', host = 'shop.example', proto = 'https', ...headers } = {}, at = server) {
  const said = { 'x-forwarded-host': host, 'x-forwarded-proto': proto, accept: 'text/html', ...headers };
  if (way === 'envoy') return at.request(method, `/api/gate/${id}/envoy${target}`, { headers: { ...said, host } });
  if (way === 'nginx') return at.get(`/api/gate/${id}`, { headers: { ...said, 'x-original-uri': target, 'x-original-method': method } });
  return at.get(`/api/gate/${id}?redirect=1`, { headers: { ...said, 'x-forwarded-uri': target, 'x-forwarded-method': method } });
}
const pathOf = (location) => location.replace(/^https?:\/\/[^/]+/, '').replace(/#.*/, '');

for (const way of ['redirect', 'nginx', 'envoy']) {
  const refusal = way === 'nginx' ? 401 : 302;
  const leads = (answer) => answer.headers[way === 'nginx' ? 'x-tiketi-wait' : 'location'];
  test(`the gate takes the token for the shop (${way}): one cookie, and on to the URL without it; then the cookie is enough`, async () => {
    const { id } = await sale({ returnUrls: [SHOP] });
    const { client, location } = await atTheDoor(id, `${SHOP}/7?seat=A%26B&n=1#row`);
    const first = await gateAsks(id, way, pathOf(location));
    assert.deepEqual([first.status, leads(first)], [refusal, `${SHOP}/7?seat=A%26B&n=1`]);
    const [cookie, ...more] = first.headers['set-cookie'];
    assert.match(cookie, new RegExp(`^tiketi_pass_${id}=[^;]+; Path=/; Max-Age=\\d+; HttpOnly; SameSite=Lax`));
    assert.deepEqual(more, []);
    assert.equal('guest' in decode(cookie.split(';')[0].split('=')[1]), false, 'a pass for the gate, which stands for no guest’s cookie');
    const inside = await gateAsks(id, way, '/tickets/7?seat=A%26B&n=1', { cookie: cookie.split(';')[0] });
    assert.ok([200, 204].includes(inside.status));
    assert.match(inside.headers['x-tiketi-buyer'], /^g:/);
    // The URL that was kept with its token: nothing for a stranger, and no harm to who has the cookie.
    const stranger = await gateAsks(id, way, pathOf(location));
    assert.equal(stranger.status, refusal);
    assert.equal(stranger.headers['set-cookie'], undefined);
    const page = new URL(leads(stranger), server.url);
    assert.deepEqual([page.pathname, page.searchParams.get('return')], [`/wait/${id}`, '/tickets/7?seat=A%26B&n=1']);
    assert.ok([200, 204].includes((await gateAsks(id, way, pathOf(location), { cookie: cookie.split(';')[0] })).status));
    await client.leave(id);
    assert.equal((await gateAsks(id, way, '/tickets/7', { cookie: cookie.split(';')[0] })).status, refusal, 'who has left is out at once');
  });
}

test('the gate takes no token of another URL, host or method, nor for a script; none of these uses it up', async () => {
  const { id } = await sale({ returnUrls: [SHOP, 'https://other.example'] });
  const { location, token } = await atTheDoor(id, `${SHOP}/7`);
  const path = pathOf(location);
  for (const [target, headers] of [[path.replace('/7', '/8'), {}], [`/tickets/7?x=1&tiketi-handoff=${token}`, {}], [path, { host: 'other.example' }], [path, { method: 'POST' }],
    [path, { 'sec-fetch-mode': 'cors' }], [path, { accept: 'application/json' }], [`${path.slice(0, -4)}AAAA`, {}]]) {
    const answer = await gateAsks(id, 'redirect', target, headers);
    assert.ok([302, 401].includes(answer.status));
    assert.equal(answer.headers['set-cookie'], undefined, JSON.stringify([target, headers]));
    assert.match(answer.headers.location ?? answer.headers['x-tiketi-wait'], new RegExp(`^/wait/${id}`));
  }
  // A proxy that does not say which scheme it was.
  assert.equal((await gateAsks(id, 'redirect', path, { proto: 'http' })).headers.location, `${SHOP}/7`);
});

test('on a host outside COOKIE_DOMAIN the gate sets a cookie of that host', async (t) => {
  const shared = await Server.start({ redis, database, roles: 'api', env: { PASS_KEYS, TRUSTED_PROXIES: '127.0.0.1', COOKIE_DOMAIN: 'hall.example' } });
  t.after(() => shared.stop());
  const { id } = await sale({ returnUrls: [SHOP] });
  const { location } = await atTheDoor(id, `${SHOP}/7`);
  const led = await gateAsks(id, 'redirect', pathOf(location), {}, shared);
  assert.equal(led.headers.location, `${SHOP}/7`);
  assert.match(led.headers['set-cookie'][0], /^__Secure-tiketi_pass_[^;]+; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax; Secure$/);
  assert.equal((await gateAsks(id, 'redirect', '/tickets/7', { cookie: led.headers['set-cookie'][0].split(';')[0] }, shared)).status, 204);
});

test('on that host, where the pass is all that names the buyer, the gate renews it in time', async (t) => {
  const short = await Server.start({ redis, database, roles: 'api', env: { PASS_KEYS, PASS_TTL_MS: 8000 } });
  t.after(() => short.stop());
  const { id } = await sale({ returnUrls: [SHOP] });
  const { location } = await atTheDoor(id, `${SHOP}/7`);
  const first = (await gateAsks(id, 'redirect', pathOf(location), {}, short)).headers['set-cookie'][0].split(';')[0];
  const [renewed, ...more] = await waitUntil(async () => {
    const answer = await gateAsks(id, 'redirect', '/tickets/7', { cookie: first }, short);
    assert.equal(answer.status, 204);
    return answer.headers['set-cookie'];
  }, 8000, 'a new one before the first has ended');
  assert.deepEqual(more, []);
  const cookie = renewed.split(';')[0];
  assert.notEqual(cookie, first);
  assert.equal((await gateAsks(id, 'redirect', '/tickets/7', { cookie }, short)).status, 204);
});

test('Redis gone: nobody is led on and no token is taken; the page keeps the way', async () => {
  const { id } = await sale({ returnUrls: [SHOP] });
  const { client, token } = await atTheDoor(id, SHOP);
  const second = await atTheDoor(id, SHOP);
  await redis.stop();
  const page = await client.get(enter(id, SHOP));
  assert.deepEqual([page.status, state(page)], [503, 'unavailable']);
  assert.match(page.text, /http-equiv="refresh" content="\d+; url=\/wait\/[\w-]+\?return=https:\/\/shop\.example\/tickets"/);
  const closed = await gateAsks(id, 'redirect', pathOf(second.location));
  assert.deepEqual([closed.status, closed.headers.location], [503, undefined]);
  const failed = await redeem(id, { token });
  assert.equal(failed.status, 503);
  assert.ok(Number(failed.headers['retry-after']) > 0);
  await redis.start();
  await waitUntil(async () => (await redeem(id, { token: second.token })).status !== 503, 20000, 'Redis to be back');
});
