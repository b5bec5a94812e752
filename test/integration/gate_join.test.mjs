// SPDX-License-Identifier: MIT
//
// The gate lets newcomers straight in while nobody waits and there is room (?join=1): who, who not, and how they are known
// afterwards by one cookie. What the script decides: test/lua/direct.test.mjs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Server, Socket, bearer, decode, guestCookie, jwt, stage, waitUntil } from '../fixtures/index.mjs';

const TRUST = { TRUSTED_PROXIES: '127.0.0.0/8' };
const { redis, database, server, organizer } = await stage({ env: TRUST });
const sale = (settings = {}) => organizer.sale({ threshold: 50, autoHold: 0, grid: { rows: 1, seatsPerRow: 20 }, ...settings });

async function pod(t, env) {
  const started = await Server.start({ redis, database, roles: 'api,gateway', env: { ...TRUST, ...env } });
  t.after(() => started.stop());
  return started;
}

let addresses = 0;
const address = () => `192.0.2.${++addresses}`;
// What a browser sends that opens a page of the shop, through a proxy.
const page = (headers = {}) => ({
  accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) Firefox/128.0',
  'x-original-uri': '/shop', 'x-forwarded-for': address(), ...headers,
});
const ask = (id, headers, { at = server, query = 'join=1' } = {}) => at.get(`/api/gate/${id}?${query}`, { headers });
const cookieOf = ({ headers }) => {
  assert.equal(headers['set-cookie']?.length, 1, 'one cookie');
  return headers['set-cookie'][0].split(';')[0];
};
const passOf = (cookie) => decode(cookie.slice(cookie.indexOf('=') + 1));
const inside = (id) => redis.client.scard(`active:{${id}}`);
const lastPlace = (id) => redis.client.get(`seq:{${id}}`);

async function guestOf(id, headers = {}) {
  const answer = await ask(id, page(headers));
  assert.equal(answer.status, 204);
  const client = new Client(server);
  client.keep(answer.headers['set-cookie'][0]);
  return { client, cookie: cookieOf(answer), buyer: answer.headers['x-tiketi-buyer'] };
}

test('a newcomer who opens a page of a quiet shop is inside at once, by the one cookie of the answer', async () => {
  const { id } = await sale();
  const answer = await ask(id, page());
  assert.equal(answer.status, 204);
  const cookie = cookieOf(answer);
  const pass = passOf(cookie);
  assert.deepEqual([pass.aud, pass.sub, pass.guest], [id, answer.headers['x-tiketi-buyer'], true]);
  for (const headers of [{ cookie }, page({ cookie }), { cookie, 'x-original-method': 'POST' }]) {
    const again = await ask(id, headers);
    assert.deepEqual([again.status, again.headers['x-tiketi-buyer'], again.headers['set-cookie']], [204, pass.sub, undefined]);
  }
  assert.equal((await ask(id, { cookie }, { query: 'join=0' })).status, 204);
  assert.equal(await inside(id), 1, 'one slot');
  assert.equal((await ask(id, page(), { query: 'redirect=1' })).status, 302, 'only where the proxy wants it');
  const envoy = await server.request('GET', `/api/gate/${id}/envoy-join/shop?join=0`, { headers: page() });
  assert.equal(envoy.status, 200);
  assert.ok(passOf(cookieOf(envoy)).guest);
  assert.equal((await server.request('GET', `/api/gate/${id}/envoy/shop?join=1`, { headers: page() })).status, 302);
  assert.equal(await inside(id), 2);
});

test('when the room is full, somebody waits, or the event is not open, a newcomer is led away and takes no place', async () => {
  const closed = await sale();
  const paused = await sale();
  await organizer.act(closed.id, 'close');
  await organizer.act(paused.id, 'pause');
  const full = await sale({ threshold: 1 });
  await guestOf(full.id);
  const login = await sale({ allowGuests: false });
  const draft = await organizer.sale({ open: false, opensAt: new Date(Date.now() + 3600000).toISOString() });
  for (const [what, { id }] of Object.entries({ closed, paused, full, login, draft, unknown: { id: 'no-such-event' } })) {
    const last = await lastPlace(id);
    const { headers, status } = await ask(id, page(), { query: 'join=1&redirect=1' });
    assert.equal(status, 302, what);
    assert.equal(headers.location, `/wait/${id}?return=%2Fshop`, what);
    assert.equal(headers['set-cookie'], undefined, what);
    assert.equal(await lastPlace(id), last, what);
  }
  const user = await ask(login.id, page(bearer(jwt({ sub: 'known' }))));
  assert.deepEqual([user.status, user.headers['x-tiketi-buyer']], [204, 'u:known'], 'who is logged in');
  const first = new Client(server);
  const { body } = await first.check(full.id);
  assert.equal(body.position, 1, 'nobody took a place before');
});

test('only a person who opens a page goes straight in: no part of a page, no script, probe, robot or load ahead of a click', async () => {
  const { id } = await sale();
  const without = (name) => Object.fromEntries(Object.entries(page()).filter(([key]) => key !== name));
  const others = [{ ...page(), accept: '*/*' }, without('accept'), page({ 'sec-fetch-dest': 'image', 'sec-fetch-mode': 'no-cors' }), page({ 'sec-fetch-dest': 'iframe' }),
    page({ 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' }), page({ 'sec-purpose': 'prefetch;prerender' }), page({ purpose: 'prefetch' }), page({ 'x-moz': 'prefetch' }),
    page({ 'user-agent': 'Mozilla/5.0 (compatible; Googlebot/2.1)' }), page({ 'user-agent': 'WhatsApp/2.2' }), { ...without('sec-fetch-mode'), 'x-requested-with': 'XMLHttpRequest' },
    page({ 'x-original-method': 'POST' }), page({ 'x-original-method': 'HEAD' }), page({ 'x-forwarded-method': 'PUT' }), page({ 'x-tiketi-pass': 'nonsense' })];
  for (const headers of others) {
    const answer = await ask(id, headers);
    assert.deepEqual([answer.status, answer.headers['set-cookie']], [401, undefined], JSON.stringify(headers));
  }
  for (const method of ['POST', 'HEAD', 'OPTIONS']) assert.notEqual((await server.request(method, `/api/gate/${id}/envoy-join/x`, { headers: page() })).status, 200, method);
  assert.equal(await inside(id), 0);
  assert.equal((await ask(id, { accept: 'text/html', 'x-original-uri': '/', 'x-forwarded-for': address() })).status, 204, 'an old browser says no more');
});

test('the pass alone names the guest on all our routes, and their own cookie is set there', async () => {
  const { id } = await sale();
  for (const route of ['check', 'status', 'heartbeat', 'wait', 'reservations', 'leave']) {
    const { client, buyer } = await guestOf(id);
    const answer = await { wait: () => client.get(`/wait/${id}`), reservations: () => client.reserve({ eventId: id, quantity: 1 }) }[route]?.()
      ?? await client[route](id);
    assert.ok([200, 201].includes(answer.status), `${route}: ${answer.status} ${answer.text.slice(0, 300)}`);
    const set = (answer.headers['set-cookie'] ?? []).find((line) => line.startsWith('tiketi_guest='));
    assert.equal(set?.split(/[=.]/)[1], buyer, route);
    if (route === 'leave') {
      assert.equal(answer.body.status, 'left');
      assert.equal((await ask(id, { cookie: set.split(';')[0] })).status, 401, 'their turn has ended');
      continue;
    }
    assert.equal((await client.status(id)).body.status, 'active', route);
    assert.equal((await ask(id, { cookie: client.cookieHeader })).headers['x-tiketi-buyer'], buyer);
    await client.leave(id);
  }
  const { cookie } = await guestOf(id);
  const socket = await Socket.open(server, { cookie });
  socket.send('join-queue', { eventId: id });
  assert.equal((await socket.next('queue-entry-allowed')).payload.eventId, id);
  const other = await sale();
  const elsewhere = await ask(other.id, page({ cookie }));
  assert.equal(elsewhere.headers['x-tiketi-buyer'], passOf(cookie).sub, 'the same guest at another event');
  assert.equal(elsewhere.status, 204);
});

test('no other pass names a guest: not an ordinary one, not one that was altered, of another event or key, in a header, or expired', async (t) => {
  const { id } = await sale();
  const other = await sale();
  const usual = new Client(server);
  await usual.check(id);
  const { cookie, buyer } = await guestOf(id);
  const value = cookie.slice(cookie.indexOf('=') + 1);
  const isNobody = async (headers, at = server) => {
    const { body } = await at.post(`/api/queue/check/${id}`, { headers });
    return body.ticket === undefined || decode(body.ticket).b !== buyer;
  };
  assert.equal(decode(usual.pass).guest, undefined);
  const ordinary = (await server.get(`/api/queue/status/${id}`, { headers: { cookie: `tiketi_pass_${id}=${usual.pass}` } })).body;
  assert.equal(ordinary.status, 'not_in_queue');
  assert.ok(await isNobody({ cookie: `tiketi_pass_${other.id}=${value}` }));
  assert.ok(await isNobody({ cookie: `tiketi_pass_${id}=${value.slice(0, -4)}AAAA` }));
  assert.ok(await isNobody({ 'x-tiketi-pass': value }));
  assert.ok(await isNobody({ cookie }, await pod(t, { TICKET_KEYS: `other:${'89abcdef01234567'.repeat(4)}` })));
  assert.ok(await isNobody({ cookie, ...bearer(jwt({ sub: 'user' })) }));
  assert.ok(await isNobody({ cookie: `${cookie}; tiketi_guest=${guestCookie()}` }), "the guest's own cookie counts first");
  assert.ok(await isNobody({ cookie, 'x-forwarded-proto': 'https' }), 'over HTTPS only names that this host alone can set');
  assert.ok(!(await isNobody({ cookie })));
  const brief = await pod(t, { PASS_TTL_MS: 1000 });
  const soon = cookieOf(await ask(id, page(), { at: brief }));
  const named = async () => (await brief.get(`/api/queue/status/${id}`, { headers: { cookie: soon } })).body.status;
  await waitUntil(async () => (await named()) === 'not_in_queue', 5000, 'the end of the pass');
});

test('a browser that keeps no cookies holds one slot at a time, and those of the same address who keep them wait for nobody', async () => {
  const { id } = await sale({ threshold: 20 });
  const home = { 'x-forwarded-for': '198.51.100.7' };
  const first = await guestOf(id, home);
  for (let i = 0; i < 3; i++) assert.equal((await ask(id, page(home))).status, 401);
  assert.equal(await inside(id), 1);
  assert.equal((await ask(id, page({ 'x-forwarded-for': '198.51.100.8' }))).status, 204, 'another address');
  const known = await ask(id, page({ ...home, cookie: `tiketi_guest=${guestCookie()}` }));
  assert.equal(known.status, 204, 'who has brought a cookie');
  assert.equal((await ask(id, { ...home, cookie: first.cookie })).status, 204, 'the first one comes back with theirs');
  const second = await guestOf(id, home);
  assert.equal((await ask(id, page(home))).status, 401);
  assert.equal((await second.client.check(id, { headers: home })).status, 200, 'on any route');
  assert.equal((await ask(id, page(home))).status, 204);
  // Who is not let in leaves the way free.
  const full = await sale({ threshold: 0 });
  const away = { 'x-forwarded-for': '198.51.100.9' };
  assert.equal((await ask(full.id, page(away))).status, 401);
  assert.equal((await ask(id, page(away))).status, 204);
});

test('a network takes no more places by the gate than placesPerNetwork', async () => {
  const { id } = await sale({ placesPerNetwork: 2 });
  const from = (last) => page({ 'x-forwarded-for': `203.0.113.${last}` });
  const answers = [];
  for (let i = 1; i <= 3; i++) answers.push((await ask(id, from(i))).status);
  assert.deepEqual(answers, [204, 204, 401]);
  assert.equal((await ask(id, page({ 'x-forwarded-for': '203.0.114.1' }))).status, 204);
  const led = await server.post(`/api/queue/check/${id}`, { headers: { 'x-forwarded-for': '203.0.113.9' } });
  assert.equal(led.body.code, 'network-limit', 'where they are led, they are told');
});

test('the gate renews the pass of who has nothing else, before it ends; who left and comes again is a newcomer', async (t) => {
  const { id } = await sale();
  const brief = await pod(t, { PASS_TTL_MS: 10000 });
  let cookie = cookieOf(await ask(id, page(), { at: brief }));
  const { sub, exp } = passOf(cookie);
  const until = async (query) => {
    let answer;
    await waitUntil(async () => {
      answer = await ask(id, { cookie, 'sec-fetch-mode': 'cors' }, { at: brief, query });
      assert.equal(answer.status, 204);
      return answer.headers['set-cookie'];
    }, 9000, 'a new pass');
    return cookieOf(answer);
  };
  cookie = await until('join=1');
  const renewed = passOf(cookie);
  assert.deepEqual([renewed.sub, renewed.guest, renewed.exp > exp], [sub, true, true]);
  assert.equal(await inside(id), 1);
  await brief.post(`/api/queue/leave/${id}`, { headers: { cookie } });
  assert.equal((await ask(id, { cookie })).status, 401);
  const again = await ask(id, page({ cookie }));
  assert.equal(again.status, 204);
  assert.notEqual(passOf(cookieOf(again)).place, renewed.place);
  assert.equal((await ask(id, { cookie })).status, 401, 'the old pass is of the old turn');
});

test('without Redis nobody is let in', async (t) => {
  const { id } = await sale();
  await redis.stop();
  t.after(() => redis.start());
  const answer = await ask(id, page(), { query: 'join=1&redirect=1' });
  assert.deepEqual([answer.status, answer.headers['set-cookie']], [503, undefined]);
  assert.match(answer.headers['retry-after'], /^[1-9]/);
});
