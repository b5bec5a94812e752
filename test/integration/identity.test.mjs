// SPDX-License-Identifier: MIT
//
// Who a request is of: the guest's cookie, whose seal is the secret and whose id is public.

import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { Client, SECRETS, Server, Socket, bearer, decode, guestCookie, guestKey, jwt, jwtWithKey, many, pay, privateFolder, removeFolder, runTiketi, stage, today, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage({ env: { LOG_LEVEL: 'debug' } });

const cookiesOf = ({ headers }) => [headers['set-cookie'] ?? []].flat();
const given = (answer) => cookiesOf(answer).map((line) => /tiketi_guest=([^;]*)/.exec(line)?.[1]).find(Boolean);
const withCookie = (cookie) => ({ headers: { cookie } });

// The id that the socket takes a cookie for; undefined: for nobody's.
async function heardAs(cookie, id, at = server) {
  const socket = await Socket.open(at, { cookie });
  socket.send('join-queue', { eventId: id });
  await waitUntil(() => socket.messages.length > 0, 5000, 'an answer');
  const [{ event, payload }] = socket.messages;
  await socket.drop();
  if (event === 'error') assert.equal(payload.code, 'unauthorized');
  if (event === 'error') return undefined;
  return payload.ticket ? decode(payload.ticket).b : decode(payload.pass).sub;
}

test("a guest's id is no key: not from the export, a payments list, a pass, a ticket, or without its seal", async () => {
  const event = await organizer.sale({ threshold: 10, grid: { rows: 2, seatsPerRow: 5 } });
  const guest = new Client(server);
  await guest.check(event.id);
  assert.equal((await guest.get(`/api/gate/${event.id}`)).status, 204);
  const held = await guest.reserve({ eventId: event.id, quantity: 1 });
  assert.equal(held.status, 201, held.text);
  assert.equal((await pay(server, held.body)).status, 200);

  const [, value] = /tiketi_guest=([^;]*)/.exec(guest.cookieHeader);
  const [id, day, seal] = value.split('.');
  assert.match(seal, /^[\w-]{22}$/);
  const exported = await organizer.get(`/api/admin/events/${event.id}/export.csv`);
  const payments = await organizer.get(`/api/admin/events/${event.id}/payments`);
  assert.ok(exported.text.includes(id), 'the id is public');
  assert.ok(payments.text.includes(id), 'the id is public');
  assert.equal(decode(guest.pass).sub, id);
  assert.equal(decode(guest.ticket).b, id);

  const otherKey = guestKey('ff'.repeat(32));
  const [, hex] = SECRETS.TICKET_KEYS.split(':');
  const otherGuest = guestCookie().split('.')[2];
  const forged = [id, `${id}.${day}`, `${id}.${day}.`, `${id}.${day}.${'A'.repeat(22)}`, `${id}.${day}.${otherGuest}`, `${id}.${day - 1}.${seal}`,
    guestCookie(id, { key: otherKey }), guestCookie(id, { key: Buffer.from(hex, 'hex') }), `${value}A`, value.slice(0, -1), `${value}.${seal}`];
  for (const cookie of forged) {
    const list = await server.get('/api/reservations', withCookie(`tiketi_guest=${cookie}`));
    assert.deepEqual(list.body.reservations, [], cookie);
    assert.notEqual(given(list)?.split('.')[0] ?? id, id, `a new guest, not the one of ${cookie}`);
    assert.equal((await server.get(`/api/gate/${event.id}`, withCookie(`tiketi_guest=${cookie}`))).status, 401, cookie);
    assert.equal((await server.post(`/api/queue/leave/${event.id}`, withCookie(`tiketi_guest=${cookie}`))).body.status, 'not_in_queue', cookie);
    assert.equal(await heardAs(`tiketi_guest=${cookie}`, event.id), undefined, cookie);
  }
  assert.equal((await guest.get('/api/reservations')).body.reservations.length, 1, 'they have lost nothing');
});

test('nothing but the cookie carries the seal: no answer, page, socket, export, log, table or Redis key', async () => {
  const event = await organizer.sale({ threshold: 10, grid: { rows: 2, seatsPerRow: 5 } });
  const guest = new Client(server);
  const seen = [];
  const note = async (answer) => seen.push((await answer).text);
  await note(guest.check(event.id));
  const [, seal] = /tiketi_guest=[^;]*\.([\w-]{22})(?:;|$)/.exec(guest.cookieHeader);
  const socket = await Socket.open(server, { cookie: guest.cookieHeader });
  socket.send('join-queue', { eventId: event.id });
  await socket.next('queue-entry-allowed');
  seen.push(JSON.stringify(socket.messages));
  await socket.drop();
  const held = await guest.reserve({ eventId: event.id, quantity: 1 });
  seen.push(held.text);
  await note(pay(server, held.body));
  for (const path of [`/wait/${event.id}`, `/buy/${event.id}`, '/', '/api/reservations', `/api/reservations/${held.body.id}`, `/api/queue/status/${event.id}`]) {
    await note(guest.get(path, { headers: { accept: path.startsWith('/api') ? 'application/json' : 'text/html' } }));
  }
  await note(guest.post('/api/queue/check/no-such-event'));
  for (const part of ['export.csv', 'payments', 'stats', 'audit', 'reservations']) await note(organizer.get(`/api/admin/events/${event.id}/${part}`));
  await note(server.get('/metrics'));
  seen.push(server.output);
  const tables = await database.query("SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')");
  for (const { name } of tables) seen.push(`${name} ${JSON.stringify(await database.query(`SELECT * FROM ${name}`))}`);
  for (const key of await redis.client.keys('*')) {
    const kind = await redis.client.type(key);
    const read = { string: () => redis.client.get(key), hash: () => redis.client.hgetall(key), set: () => redis.client.smembers(key), zset: () => redis.client.zrange(key, 0, -1), stream: () => redis.client.xrange(key, '-', '+') }[kind];
    seen.push(`${key} ${JSON.stringify(await read())}`);
  }
  assert.ok(seen.filter((text) => text.includes(decode(guest.ticket).b)).length > 3, 'the id is in many of them');
  for (const text of seen) assert.ok(!text.includes(seal), `the seal is in: ${text.slice(0, 400)}`);
});

test('a rolled key ring still knows the guests of the old key, and one without it does not', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const guest = new Client(server);
  const { body } = await guest.check(event.id);
  const fresh = randomBytes(32).toString('hex');
  const rolled = await Server.start({ redis, database, roles: 'api,gateway', env: { TICKET_KEYS: `k2:${fresh},${SECRETS.TICKET_KEYS}` } });
  const without = await Server.start({ redis, database, roles: 'api,gateway', env: { TICKET_KEYS: `k2:${fresh}` } });
  const id = decode(body.ticket).b;
  const status = (at, cookie) => at.get(`/api/queue/status/${event.id}`, withCookie(cookie));
  assert.equal((await status(rolled, guest.cookieHeader)).body.position, body.position);
  assert.equal(await heardAs(guest.cookieHeader, event.id, rolled), id);
  assert.equal((await status(without, guest.cookieHeader)).body.status, 'not_in_queue');
  assert.equal(await heardAs(guest.cookieHeader, event.id, without), undefined);
  const renewed = given(await status(rolled, `tiketi_guest=${guestCookie(id, { day: today() - 3 })}`));
  assert.equal(renewed, guestCookie(id, { key: guestKey(fresh) }), 'the first key seals');
  assert.equal((await status(without, `tiketi_guest=${renewed}`)).body.position, body.position);
  for (const one of [rolled, without]) await one.stop();
});

test('of several guest cookies the one that verifies counts, quoted or not, for HTTP and sockets alike', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const own = guestCookie();
  const [id] = own.split('.');
  assert.equal((await server.post(`/api/queue/check/${event.id}`, withCookie(`tiketi_guest=${own}`))).body.position, 1);
  const fake = guestCookie(undefined, { key: guestKey('00'.repeat(32)) });
  for (const cookie of [`tiketi_guest=garbage; tiketi_guest=${own}`, `tiketi_guest=${fake}; tiketi_guest=${own}`, `tiketi_guest="${own}"`,
    `tiketi_guest=; a=b; tiketi_guest="${own}"`, `tiketi_guest=${own}; tiketi_guest=${guestCookie()}`, `tiketi_guest=${guestCookie()}; __Host-tiketi_guest=${own}`]) {
    const answer = await server.get(`/api/queue/status/${event.id}`, withCookie(cookie));
    assert.equal(answer.body.position, 1, cookie);
    assert.equal(given(answer), undefined, cookie);
    assert.equal(await heardAs(cookie, event.id), id, cookie);
  }
  // Two headers of that name, as a proxy may send them.
  const twice = await server.get(`/api/queue/status/${event.id}`, { headers: { cookie: ['tiketi_guest=garbage', `tiketi_guest=${own}`] } });
  assert.equal(twice.body.position, 1);
});

test("a planted ticket or pass does not hide the buyer's own", async () => {
  const event = await organizer.sale({ threshold: 1 });
  const guest = new Client(server);
  await guest.check(event.id);
  const planted = `tiketi_pass_${event.id}=x.y.z; tiketi_ticket_${event.id}=x.y.z; ${guest.cookieHeader}`;
  assert.equal((await server.get(`/api/gate/${event.id}`, withCookie(planted))).status, 204);
  const pass = new RegExp(`tiketi_pass_${event.id}=[^;]+`).exec(guest.cookieHeader)[0];
  const alone = `tiketi_pass_${event.id}=x.y.z; ${pass}`;
  assert.equal((await server.get(`/api/gate/${event.id}`, withCookie(alone))).status, 204, 'the pass alone names them');
});

test('over HTTPS the names are those that only this host can set, and a planted plain one does not count', async () => {
  const https = { 'x-forwarded-proto': 'https' };
  const behind = await Server.start({ redis, database, roles: 'api,gateway', env: { TRUSTED_PROXIES: '127.0.0.1' } });
  const event = await organizer.sale({ threshold: 10 });
  const path = `/api/queue/check/${event.id}`;
  const first = await behind.post(path, { headers: https });
  const lines = cookiesOf(first);
  assert.deepEqual(lines.map((line) => line.split('=')[0]).sort(), [`__Host-tiketi_guest`, `__Host-tiketi_pass_${event.id}`, `__Host-tiketi_ticket_${event.id}`]);
  for (const line of lines) assert.match(line, /; Path=\/; Max-Age=\d+; HttpOnly; SameSite=Lax; Secure$/);
  const cookie = lines.map((line) => line.split(';')[0]).join('; ');
  const { b: id } = decode(first.body.ticket);
  const again = await behind.post(path, { headers: { ...https, cookie } });
  assert.equal(decode(again.body.ticket).b, id);
  assert.equal(given(again), undefined);
  assert.equal((await behind.get(`/api/gate/${event.id}`, { headers: { ...https, cookie } })).status, 204);
  assert.equal((await behind.get(`/api/gate/${event.id}`, { headers: { ...https, cookie: cookie.split('; ').find((pair) => pair.includes('pass')) } })).status, 204);
  assert.equal(await heardAs(cookie, event.id, behind), id);

  const attacker = `tiketi_guest=${guestCookie()}`;
  const victim = await behind.post(path, { headers: { ...https, cookie: attacker } });
  assert.notEqual(decode(victim.body.ticket).b, attacker.split(/[=.]/)[1], 'a guest of their own');
  assert.ok(given(victim));
  const both = await behind.post(path, { headers: { ...https, cookie: `${attacker}; ${cookie}` } });
  assert.equal(decode(both.body.ticket).b, id);
  assert.equal(await heardAs(`${attacker}; ${cookie}`, event.id, behind), id);
  await behind.stop();

  const shared = await Server.start({ redis, database, roles: 'api', env: { TRUSTED_PROXIES: '127.0.0.1', COOKIE_DOMAIN: '.tickets.example' } });
  const wide = cookiesOf(await shared.post(path, { headers: https }));
  assert.equal(wide.length, 3);
  for (const line of wide) assert.match(line, /^__Secure-tiketi_.*; Path=\/; Domain=tickets\.example; Max-Age=\d+; HttpOnly; SameSite=Lax; Secure$/);
  for (const line of cookiesOf(await shared.post(path))) assert.match(line, /^tiketi_.*; Path=\/; Domain=tickets\.example; Max-Age=\d+; HttpOnly; SameSite=Lax$/);
  const moved = await shared.post(path, { headers: { ...https, cookie } });
  assert.equal(decode(moved.body.ticket).b, id, 'a guest of before COOKIE_DOMAIN was set');
  assert.match(cookiesOf(moved).find((line) => line.includes('guest')), new RegExp(`^__Secure-tiketi_guest=${id}`));
  await shared.stop();
});

test('cookies stay few, however many sales a buyer visits; the oldest are removed, and no place is lost', async () => {
  const guest = new Client(server);
  const sales = [];
  let longest = 0;
  for (let i = 0; i < 20; i++) {
    const event = await organizer.sale({ threshold: 1 });
    sales.push(event.id);
    const answer = await guest.check(event.id);
    assert.equal(answer.status, 200, `sale ${i + 1}: ${answer.text}`);
    assert.equal(answer.body.status, 'active');
    longest = Math.max(longest, guest.cookieHeader.length);
  }
  assert.ok(longest < 6000, `${longest} bytes of cookies`);
  assert.ok(guest.cookieHeader.includes(`tiketi_pass_${sales.at(-1)}`), 'the newest is kept');
  assert.ok(!guest.cookieHeader.includes(sales[0]), 'the oldest is gone');
  assert.equal((await guest.get(`/api/gate/${sales[0]}`)).status, 204, 'and yet inside');
  assert.equal((await guest.check(sales[0])).body.status, 'active');
});

test('431 removes our tickets and passes, not the guest, so that the next request is answered', async () => {
  const event = await organizer.sale({ threshold: 10 });
  const guest = new Client(server);
  await guest.check(event.id);
  const { b: id } = decode(guest.ticket);
  const old = [];
  let answer;
  while (old.length < 60 && answer?.status !== 431) {
    old.push([`tiketi_${old.length % 2 ? 'pass' : 'ticket'}_old${old.length}`, 'x'.repeat(300)]);
    answer = await server.get('/api/events', withCookie([...old, ...guest.cookies].map(([name, value]) => `${name}=${value}`).join('; ')));
  }
  assert.equal(answer.status, 431);
  guest.cookies = new Map([...old, ...guest.cookies]);
  answer = await guest.status(event.id);
  assert.equal(answer.status, 431);
  const removed = cookiesOf(answer);
  assert.ok(removed.length >= 6, `${removed.length} cookies`);
  for (const line of removed) if (!/^tiketi_guest=/.test(line)) assert.match(line, /^tiketi_(ticket|pass)_old\d+=; Path=\/; Max-Age=0; HttpOnly; SameSite=Lax$/);
  for (let tries = 0; tries < 9 && answer.status === 431; tries++) {
    guest.cookies.set('tiketi_guest', guestCookie(id)); // a 431 may not have read so far
    answer = await guest.status(event.id);
  }
  assert.equal(answer.status, 200, 'after a few');
  assert.equal(answer.body.status, 'active');
});

// ---- the shop's tokens ----

const now = () => Math.floor(Date.now() / 1000);

test('only Bearer is a claim: a site behind HTTP Basic has guests, and any number of blanks may stand before the token', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const path = `/api/queue/check/${event.id}`;
  for (const authorization of ['Basic c3RhZ2luZzpzZWNyZXQ=', 'Digest username="x"', 'BearerX y', 'Negotiate abc']) {
    const answer = await server.post(path, { headers: { authorization } });
    assert.equal(answer.status, 200, authorization);
    assert.match(decode(answer.body.ticket).b, /^g:/);
    assert.ok(given(answer), 'with a cookie');
    assert.equal((await server.get('/api/admin/events', { headers: { authorization } })).status, 401, 'but no staff');
  }
  const token = jwt({ sub: 'blank' });
  for (const authorization of [`Bearer ${token}`, `Bearer    ${token}`, `bearer \t ${token}`]) {
    assert.equal(decode((await server.post(path, { headers: { authorization } })).body.ticket).b, 'u:blank', authorization);
  }
  for (const authorization of ['Bearer', 'Bearer x']) assert.equal((await server.post(path, { headers: { authorization } })).status, 401, authorization);
});

test('a sub has up to 255 bytes of printable UTF-8, and names its buyer everywhere', async () => {
  const event = await organizer.sale({ threshold: 10, grid: { rows: 4, seatsPerRow: 5 } });
  for (const sub of ['김철수 님', 'Ana María', '"quoted\\', '표'.repeat(85), '"'.repeat(255)]) {
    const buyer = new Client(server, { sub });
    const joined = await buyer.check(event.id);
    assert.equal(joined.status, 200, joined.text);
    assert.equal(decode(buyer.ticket).b, `u:${sub}`);
    assert.equal(decode(buyer.pass).sub, `u:${sub}`);
    assert.equal((await buyer.status(event.id)).body.status, 'active');
    assert.equal((await server.get(`/api/gate/${event.id}`, { headers: { 'x-tiketi-pass': buyer.pass } })).status, 204);
    assert.equal((await server.get(`/api/gate/${event.id}`, withCookie(buyer.cookieHeader))).status, 204);
    const socket = await Socket.open(server);
    socket.send('join-queue', { eventId: event.id, token: buyer.token, ticket: buyer.ticket });
    await socket.next('queue-entry-allowed');
    await socket.drop();
    const held = await buyer.reserve({ eventId: event.id, quantity: 1 });
    assert.equal(held.status, 201, held.text);
    assert.equal((await buyer.get('/api/reservations')).body.reservations.length, 1);
    const exported = await organizer.get(`/api/admin/events/${event.id}/export.csv`);
    assert.ok(exported.text.includes(`u:${sub.replaceAll('"', '""')}`), sub);
  }
  const { stdout } = await runTiketi(['token', '--sub', '김철수 님']);
  assert.equal(decode(stdout).sub, '김철수 님');
});

test('a refused token says what is wrong with it, if its signature is valid', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const socket = await Socket.open(server);
  for (const [claims, words] of [
    [{ sub: 'a\nb' }, /`sub` of the bearer token must have 1 to 255 bytes/], [{ sub: '' }, /`sub`/], [{ sub: 'x'.repeat(256) }, /`sub`/],
    [{ exp: Date.now() + 3600000, sub: 'a' }, /`exp` of the bearer token is in milliseconds/], [{ exp: now() - 120, sub: 'a' }, /expired/],
    [{ nbf: now() + 300, sub: 'a' }, /not valid yet/], [{ exp: 'soon', sub: 'a' }, /`exp`/],
    [{ sub: 'a', role: 'admin', exp: null }, /STAFF_TOKENS_WITHOUT_EXP/], [{ sub: 'a', role: 'organizer', aud: 'wiki' }, /JWT_AUDIENCE/],
  ]) {
    const token = jwt(claims);
    const answer = await server.post(`/api/queue/check/${event.id}`, { headers: bearer(token) });
    assert.equal(answer.status, 401);
    assert.match(answer.body.detail, words);
    if (!socket.end) socket.send('join-queue', { eventId: event.id, token });
    if (!socket.end) assert.match((await socket.next('error')).payload.message, words);
    await socket.closed;
  }
  const forged = await server.post(`/api/queue/check/${event.id}`, { headers: bearer(jwt({ sub: '', exp: 1 }, { secret: 'y'.repeat(40) })) });
  assert.match(forged.body.detail, /not a JWT that is signed/);
});

test('claims that nobody reads do not matter, and a token may have 8 KiB', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const joins = async (token) => (await server.post(`/api/queue/check/${event.id}`, { headers: bearer(token) })).status;
  const raw = (payload) => jwt({}, { payload });
  assert.equal(await joins(raw(`{"sub":"a","exp":${now() + 60},"snowflake":12345678901234567890,"big":1e999}`)), 200);
  const large = jwt({ sub: 'large', groups: 'x'.repeat(5900) });
  assert.ok(large.length > 8000 && large.length <= 8192, `${large.length}`);
  const buyer = new Client(server, { token: large });
  assert.equal((await buyer.check(event.id)).body.status, 'queued');
  const socket = await Socket.open(server);
  socket.send('join-queue', { eventId: event.id, token: large, ticket: buyer.ticket });
  assert.equal(decode((await socket.next('queue-position')).payload.ticket).b, 'u:large');
  await socket.drop();
  assert.equal(await joins(jwt({ sub: 'large', groups: 'x'.repeat(6200) })), 401);
});

test('tokens of staff without exp are accepted only where that is set, and it is said at start', async () => {
  const server2 = await Server.start({ redis, database, roles: 'api', env: { STAFF_TOKENS_WITHOUT_EXP: 1 } });
  const forever = bearer(jwt({ sub: 'root', role: 'admin', exp: null }));
  assert.equal((await server2.get('/api/admin/events', { headers: forever })).status, 200);
  assert.equal((await server.get('/api/admin/events', { headers: forever })).status, 401);
  const risks = ({ logs }) => logs.filter(({ message }) => message === 'insecure setting').map(({ setting }) => setting);
  assert.deepEqual(risks(server2), ['TIKETI_TEST_HOOKS', 'STAFF_TOKENS_WITHOUT_EXP']);
  assert.deepEqual(risks(server), ['TIKETI_TEST_HOOKS']);
  await server2.stop();
  for (const JWT_SECRETS of ['a'.repeat(40), 'abcabcabcabcabcabcabcabc']) {
    const { stderr } = await runTiketi(['serve'], { JWT_SECRETS }, { expect: 78 });
    assert.match(stderr, /JWT_SECRETS: secret 1 must be random/);
  }
});

test('a bad key in a JWKS is passed over and logged, and the others serve; without JWT_AUDIENCE that is said at start', async (t) => {
  const folder = privateFolder('jwks');
  t.after(() => removeFolder(folder));
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const keys = [{ kty: 'RSA', kid: 'broken', n: 'AA', e: 'AQAB' }, { kty: 'OKP', crv: 'Ed25519', x: 'AA' }, { ...publicKey.export({ format: 'jwk' }), kid: 'good' }];
  writeFileSync(`${folder}/jwks.json`, JSON.stringify({ keys }));
  const shop = await Server.start({ redis, database, roles: 'api', env: { JWT_JWKS_FILE: `${folder}/jwks.json`, TIKETI_TEST_HOOKS: 0 } });
  const event = await organizer.sale({ threshold: 0 });
  const token = jwtWithKey({ sub: 'known', exp: now() + 60 }, privateKey, { alg: 'ES256', kid: 'good' });
  assert.equal((await shop.post(`/api/queue/check/${event.id}`, { headers: bearer(token) })).status, 200);
  const lines = (message) => shop.logs.filter((line) => line.message === message);
  assert.deepEqual(lines('bad key of a JWKS skipped').map(({ kid }) => kid), ['broken']);
  assert.deepEqual(lines('insecure setting').map(({ setting }) => setting), ['JWT_AUDIENCE']);
  await shop.stop();
});

test('2,000 bad bearers from one address meet a limit and a log line; valid tokens of that address do not', async () => {
  const behind = await Server.start({ redis, database, roles: 'api', env: { TRUSTED_PROXIES: '127.0.0.1', RATE_LIMIT_PER_IP: 0 } });
  const from = (address, token) => behind.get('/api/admin/events', { headers: { ...bearer(token), 'x-forwarded-for': address } });
  const answers = await many(Array.from({ length: 2000 }), 32, (_, i) => from('192.0.2.7', `x.y.${i}`));
  const count = (code) => answers.filter(({ status }) => status === code).length;
  assert.equal(count(401) + count(429), 2000);
  assert.ok(count(429) > 1000, `${count(429)} were limited`);
  assert.equal(answers.find(({ status }) => status === 429).headers['retry-after'], '1');
  const lines = behind.logs.filter(({ message }) => message === 'invalid bearer tokens over the limit');
  assert.equal(lines.length, 1);
  assert.equal(lines[0].client, '192.0.2.7');
  assert.equal((await from('192.0.2.7', jwt({ sub: 'root', role: 'admin' }))).status, 200);
  assert.equal((await from('198.51.100.1', 'x.y.z')).status, 401);
  await behind.stop();
});
