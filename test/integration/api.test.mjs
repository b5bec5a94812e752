// SPDX-License-Identifier: MIT
//
// The HTTP API of the queue: identities, tickets and passes, the gate, bad input (a clear error, and nothing
// changes), probes and metrics, the rate limit.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Client, SECRETS, Server, bearer, decode, freePort, guestCookie, jwt, many, runTiketi, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

// raw: sends exactly these bytes and returns what comes back until the server closes or `enough` is seen.
function raw(bytes, enough = /\r\n\r\n[^]*$/) {
  return new Promise((accept, reject) => {
    const socket = connect(server.port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk;
      if (enough.test(text)) socket.end();
    });
    socket.on('error', () => accept(text));
    socket.on('close', () => accept(text));
    socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
    socket.on('timeout', () => reject(new Error('no answer to raw bytes')));
  });
}

// More than any limit of these tests lets through in a second, however slow the machine.
const atOnce = (ask) => many(Array.from({ length: 40 }), 40, (_, i) => ask(i));

const problem = (answer, status, code, field) => {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'], /application\/problem\+json/);
  assert.equal(answer.body.status, status);
  if (code) assert.equal(answer.body.code, code, answer.text);
  if (field !== undefined) assert.equal(answer.body.field, field, answer.text);
  assert.ok(answer.headers['x-request-id']);
};

test('the first buyer is admitted directly, the next one waits, and both get a ticket', async () => {
  const event = await organizer.sale({ threshold: 1, intervalMs: 60000 });
  const first = new Client(server, { sub: 'first' });
  const second = new Client(server, { sub: 'second' });
  const inside = await first.check(event.id);
  assert.equal(inside.status, 200, inside.text);
  assert.equal(inside.body.queued, false);
  assert.equal(inside.body.status, 'active');
  assert.equal(inside.body.currentUsers, 1);
  assert.equal(inside.body.threshold, 1);
  assert.equal(inside.body.eventInfo.title, 'A concert');
  assert.equal(decode(inside.body.pass).sub, 'u:first');
  assert.ok(Date.parse(inside.body.passExpiresAt) > Date.now());
  const waiting = await second.check(event.id);
  assert.equal(waiting.body.queued, true);
  assert.equal(waiting.body.status, 'queued');
  assert.equal(waiting.body.position, 1);
  assert.equal(waiting.body.queueSize, 1);
  assert.ok(waiting.body.estimatedWait > 0);
  assert.equal(waiting.body.estimateConfidence, 'low', 'nothing was measured yet');
  assert.equal(decode(waiting.body.ticket).b, 'u:second');
  const again = await second.check(event.id);
  assert.equal(decode(again.body.ticket).p, decode(waiting.body.ticket).p, 'the same place');
  const status = await second.status(event.id);
  assert.equal(status.body.position, 1);
  assert.ok(status.body.nextPoll >= 1);
  const stranger = await new Client(server, { sub: 'nobody' }).status(event.id);
  assert.equal(stranger.body.status, 'not_in_queue');
  assert.equal(stranger.body.pass, undefined);
  assert.equal((await redis.cli('ZCARD', `queue:{${event.id}}`)), 1, 'asking for the status takes no place');
});

test('leaving frees the slot, and the ticket of an ended admission does not restore it', async () => {
  const event = await organizer.sale({ threshold: 1, intervalMs: 60000 });
  const first = new Client(server, { sub: 'first' });
  const second = new Client(server, { sub: 'second' });
  const third = new Client(server, { sub: 'third' });
  await first.check(event.id);
  const early = (await second.check(event.id)).body;
  await third.check(event.id);
  const ticket = second.ticket;
  assert.equal((await second.leave(event.id)).body.status, 'left');
  assert.equal((await second.leave(event.id)).body.status, 'not_in_queue', 'idempotent');
  const back = await second.check(event.id, { headers: { 'x-tiketi-ticket': ticket } });
  assert.equal(back.body.position, 2, 'the buyer is behind the third now');
  assert.notEqual(decode(back.body.ticket).p, decode(early.ticket).p);
  await first.leave(event.id);
  await waitUntil(() => organizer.act(event.id, 'process'), 15000, 'a processor');
  await waitUntil(async () => (await third.status(event.id)).body.status === 'active', 15000, 'the pod to know'); // a poll may be a second old
});

test('guests: every answer sets the cookie, one browser has one place, and an event can refuse guests', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const guest = new Client(server);
  const first = await guest.check(event.id);
  assert.equal(first.body.position, 1);
  const cookie = first.headers['set-cookie'].find((line) => line.startsWith('tiketi_guest='));
  assert.match(cookie, /^tiketi_guest=g:[0-9a-f]{32}\.\d+\.[\w-]{22}; .*HttpOnly; SameSite=Lax/);
  assert.doesNotMatch(cookie, /Secure/);
  const again = await guest.check(event.id);
  assert.equal(again.body.queueSize, 1, 'the same browser, the same place');
  const given = ({ headers }) => [headers['set-cookie'] ?? []].flat().filter((line) => line.startsWith('tiketi_guest='));
  assert.deepEqual(given(again), [], 'once a day is enough');
  const [, value, id, day] = /=((.*)\.(\d+)\.[\w-]{22});/.exec(cookie);
  const seen = (old) => server.get(`/api/queue/status/${event.id}`, { headers: { cookie: `tiketi_guest=${old}` } });
  const yesterday = await seen(guestCookie(id, { day: day - 1 }));
  assert.equal(yesterday.body.position, 1, 'whenever it was given');
  assert.deepEqual(given(yesterday).map((line) => line.split(';')[0]), [`tiketi_guest=${value}`], 'a new day, the same guest');
  const unknown = await new Client(server).check('no-such-event');
  problem(unknown, 404, 'unknown-event', 'eventId');
  assert.ok(unknown.headers['set-cookie'].some((line) => line.startsWith('tiketi_guest=')), 'errors too');
  const members = await organizer.sale({ threshold: 0, allowGuests: false });
  problem(await new Client(server).check(members.id), 401, 'login-required');
  assert.equal((await new Client(server, { sub: 'member' }).check(members.id)).status, 200);
  const forged = await server.post(`/api/queue/check/${event.id}`, { headers: { cookie: 'tiketi_guest=u:first' } });
  assert.ok(forged.headers['set-cookie'].some((line) => /^tiketi_guest=g:[0-9a-f]{32}/.test(line)), 'a guest is never a user');
});

test('when an event closes, every waiting buyer is told, not only the head of the queue', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const clients = ['a', 'b', 'c'].map((sub) => new Client(server, { sub }));
  for (const client of clients) await client.check(event.id);
  const last = clients[2];
  await waitUntil(async () => (await organizer.queueSize(event.id)) === 3, 15000, 'the index');
  assert.equal((await last.status(event.id)).body.status, 'queued');
  await organizer.act(event.id, 'close');
  await waitUntil(async () => (await last.status(event.id)).status === 410, 10000, 'the end');
  problem(await last.heartbeat(event.id), 410, 'event-closed');
});

test('the gate answers 404 for an unknown event', async () => {
  problem(await server.get('/api/gate/no-such-event', { headers: bearer(jwt({ sub: 'x' })) }), 401, 'not-admitted');
});

test('an invalid bearer token is 401 and never makes the caller a guest', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const bad = [
    'nonsense', jwt({ sub: 'x' }, { secret: 'another-secret-of-enough-bytes' }), jwt({ sub: 'x', exp: 1000 }),
    jwt({ sub: 'x', nbf: 32503680000 }), jwt({ sub: null }), jwt({ sub: '  ' }), jwt({ sub: 'x'.repeat(256) }),
    jwt({ sub: 'x' }).replace(/^[^.]+/, Buffer.from('{"alg":"none"}').toString('base64url')),
    `${jwt({ sub: 'x' }).split('.').slice(0, 2).join('.')}.`,
  ];
  for (const token of bad) problem(await server.post(`/api/queue/check/${event.id}`, { headers: bearer(token) }), 401, 'unauthorized');
  problem(await server.post(`/api/queue/check/${event.id}`, { headers: { authorization: 'Bearer' } }), 401, 'unauthorized');
  assert.equal(await redis.cli('ZCARD', `queue:{${event.id}}`), 0, 'nobody joined');
});

test('tickets and passes of another buyer or event, forged or expired: 401 or 403', async () => {
  const event = await organizer.sale({ threshold: 1, grid: { rows: 1, seatsPerRow: 4 } });
  const other = await organizer.sale({ threshold: 1 });
  const inside = new Client(server, { sub: 'inside' });
  const elsewhere = new Client(server, { sub: 'elsewhere' });
  const thief = new Client(server, { sub: 'thief' });
  await waitUntil(async () => (await inside.check(event.id)).body.status === 'active', 15000, 'an admission');
  await elsewhere.check(other.id);
  const order = { eventId: event.id, quantity: 1 };
  problem(await thief.reserve(order), 403, 'not-admitted');
  problem(await thief.reserve(order, { 'x-tiketi-pass': inside.pass }), 403);
  problem(await inside.reserve(order, { 'x-tiketi-pass': elsewhere.pass }), 403);
  const flipped = inside.pass.slice(0, -2) + (inside.pass.endsWith('AA') ? 'BB' : 'AA');
  problem(await inside.reserve(order, { 'x-tiketi-pass': flipped }), 401);
  problem(await thief.check(event.id, { headers: { 'x-tiketi-ticket': inside.ticket } }), 403);
  problem(await inside.check(event.id, { headers: { 'x-tiketi-ticket': `${inside.ticket}x` } }), 401);
  problem(await inside.check(other.id, { headers: { 'x-tiketi-ticket': inside.ticket } }), 403);
  const gate = (headers) => server.get(`/api/gate/${event.id}`, { headers });
  assert.equal((await gate({ 'x-tiketi-pass': inside.pass })).status, 204);
  assert.equal((await gate({ cookie: inside.cookieHeader })).status, 204);
  problem(await gate({ 'x-tiketi-pass': elsewhere.pass }), 401);
  problem(await gate({ 'x-tiketi-pass': flipped }), 401);
  problem(await gate({}), 401);
  problem(await gate(bearer(jwt({ sub: 'thief' }))), 401, 'not-admitted');
  assert.equal((await inside.reserve(order)).status, 201, 'the real buyer still may');
});

test('a ticket that was verified many times is still refused for another buyer, and when one byte differs', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const other = await organizer.sale({ threshold: 0 });
  const owner = new Client(server, { sub: 'owner' });
  const thief = new Client(server, { sub: 'thief' });
  const first = await owner.check(event.id);
  await thief.check(other.id);
  const ticket = owner.ticket;
  for (let poll = 0; poll < 3; poll++) assert.equal((await owner.status(event.id)).body.ticket, ticket, 'nothing new: the same text');
  const status = (client, sent, id = event.id) => server.get(`/api/queue/status/${id}`, { headers: { ...bearer(client.token), ...sent } });
  problem(await status(thief, { 'x-tiketi-ticket': ticket }), 403);
  assert.equal((await status(thief, { cookie: `tiketi_ticket_${event.id}=${ticket}` })).body.status, 'not_in_queue');
  problem(await status(owner, { 'x-tiketi-ticket': ticket }, other.id), 403);
  for (const at of [0, ticket.indexOf('.') + 9, ticket.length - 5]) {
    const altered = ticket.slice(0, at) + (ticket[at] === 'A' ? 'B' : 'A') + ticket.slice(at + 1);
    problem(await status(owner, { 'x-tiketi-ticket': altered }), 401);
    const { body } = await status(owner, { cookie: `tiketi_ticket_${event.id}=${altered}` });
    assert.equal(body.position, first.body.position);
    assert.notEqual(body.ticket, altered, 'ignored, and a valid one is set');
  }
  assert.equal((await status(owner, { 'x-tiketi-ticket': ticket })).body.ticket, ticket);
});

test('the gate: a pass counts for its own admission only, and an outdated cookie is ignored', async () => {
  const event = await organizer.sale({ threshold: 5, autoHold: 0 });
  const buyer = new Client(server, { sub: 'returning' });
  assert.equal((await buyer.check(event.id)).body.status, 'active');
  const old = buyer.pass;
  const gate = (headers) => server.get(`/api/gate/${event.id}`, { headers });
  const cookie = `tiketi_pass_${event.id}`;
  const token = bearer(jwt({ sub: 'returning' }));
  assert.equal((await gate({ 'x-tiketi-pass': old })).status, 204);
  assert.equal((await gate({ ...token, cookie: `${cookie}=nonsense` })).status, 204, 'a broken cookie is ignored');
  problem(await gate({ cookie: `${cookie}=nonsense` }), 401);
  problem(await gate({ ...token, 'x-tiketi-pass': 'nonsense' }), 401);

  await buyer.leave(event.id);
  const again = new Client(server, { sub: 'returning' });
  assert.equal((await again.check(event.id)).body.status, 'active');
  assert.notEqual(again.pass, old);
  problem(await gate({ 'x-tiketi-pass': old }), 401, 'not-admitted');
  problem(await gate({ cookie: `${cookie}=${old}` }), 401, 'not-admitted');
  assert.equal((await gate({ ...token, cookie: `${cookie}=${old}` })).status, 204, 'inside, by the token');
  assert.equal((await gate({ 'x-tiketi-pass': again.pass })).status, 204);
});

test('an invalid setting is named, and serve exits with 78', async () => {
  const env = { ...SECRETS, HTTP_PORT: 0, WS_PORT: 0, REDIS_URL: redis.url, DATABASE_URL: database.url };
  const refuse = async (pattern, changes) => {
    const { stderr } = await runTiketi(['serve'], { ...env, ...changes }, { expect: 78 });
    assert.match(stderr, pattern);
    assert.doesNotMatch(stderr, /taken/);
  };
  await refuse(/HTTP_HOST/, { HTTP_HOST: 'no.such.host.invalid' });
  await refuse(/REDIS_URL/, { REDIS_URL: 'http://127.0.0.1' });
  await refuse(/DATABASE_URL/, { DATABASE_URL: 'nonsense://x' });
  await refuse(/DATABASE_REPLICA_URL/, { DATABASE_REPLICA_URL: 'nonsense://x' });
  await refuse(/TRUSTED_PROXIES: '10.0.0.0\/33'/, { TRUSTED_PROXIES: '10.0.0.0/33' });
  await refuse(/LOG_LEVEL=error says which/, { DATABASE_URL: 'nonsense://x', LOG_LEVEL: 'off' });
  const port = await freePort();
  await refuse(/WS_PORT: must be another port than HTTP_PORT/, { HTTP_PORT: port, WS_PORT: port });
});

test('more workers than database connections: serve warns at the start', async () => {
  const said = (server) => server.logs.filter(({ message }) => message === 'workers may open more PostgreSQL connections than DB_POOL_MAX');
  assert.deepEqual(said(server), []);
  const greedy = await Server.start({ redis, database, env: { API_WORKERS: 3, DB_POOL_MAX: 4 } });
  assert.deepEqual(said(greedy).map(({ limit, mayOpen }) => [limit, mayOpen]), [[4, 6]]);
  await greedy.stop();
});

test('a pass can be verified with the published key alone', async () => {
  const { createPublicKey, verify } = await import('node:crypto');
  const event = await organizer.sale({ threshold: 5 });
  const buyer = new Client(server, { sub: 'verified' });
  await buyer.check(event.id);
  const { keys } = (await server.get('/.well-known/jwks.json')).body;
  const [header, payload, signature] = buyer.pass.split('.');
  const { kid, alg } = JSON.parse(Buffer.from(header, 'base64url'));
  assert.equal(alg, 'ES256');
  const key = createPublicKey({ key: keys.find((candidate) => candidate.kid === kid), format: 'jwk' });
  const ok = verify('SHA256', Buffer.from(`${header}.${payload}`), { key, dsaEncoding: 'ieee-p1363' }, Buffer.from(signature, 'base64url'));
  assert.ok(ok);
});

test('bad input is answered with a problem that names the field, and changes nothing', async () => {
  const event = await organizer.sale({ threshold: 5, grid: { rows: 1, seatsPerRow: 4 } });
  const buyer = new Client(server, { sub: 'clumsy' });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'an admission');
  const reserve = (body) => buyer.post('/api/reservations', { body, headers: { 'content-type': 'application/json' } });
  const cases = [
    [`{"eventId":"${event.id}","quantity":-1}`, 'quantity'],
    [`{"eventId":"${event.id}","quantity":99999999999}`, 'quantity'],
    [`{"eventId":"${event.id}","quantity":1e400}`, undefined],
    [`{"eventId":"${event.id}","quantity":"2"}`, 'quantity'],
    [`{"eventId":"${event.id}","quantity":1.5}`, 'quantity'],
    [`{"eventId":"${event.id}"}`, 'quantity'],
    [`{"eventId":"${event.id}","quantity":1,"quantity":2}`, 'quantity'],
    [`{"eventId":"${event.id}","quantity":1,"colour":"red"}`, 'colour'],
    [`{"eventId":"${event.id}","seatIds":[]}`, 'seatIds'],
    [`{"eventId":"${event.id}","seatIds":["1","1"]}`, 'seatIds'],
    [`{"eventId":"${event.id}","seatIds":["x"]}`, 'seatIds[0]'],
    [`{"eventId":"${event.id}","seatIds":"1"}`, 'seatIds'],
    [`{"eventId":"../etc","quantity":1}`, 'eventId'],
    [`{"eventId":7,"quantity":1}`, 'eventId'],
    ['[1]', undefined],
    ['{"eventId":', undefined],
    ['\xff\xfe', undefined],
    ['', ''],
  ];
  for (const [body, field] of cases) problem(await reserve(body), 400, 'invalid', field);
  problem(await reserve(`{"eventId":"${event.id}","quantity":1,"pad":"${'x'.repeat(1 << 20)}"}`), 413, 'too-large');
  problem(await buyer.check('bad*id'), 400, 'invalid', 'eventId');
  problem(await buyer.check('x'.repeat(65)), 400, 'invalid', 'eventId');
  problem(await buyer.post(`/api/queue/check/${event.id}`, { json: { surprise: 1 } }), 400, 'invalid', 'surprise');
  problem(await buyer.post('/api/reservations/r/cancel', { json: { surprise: 1 } }), 400, 'invalid', 'surprise');
  problem(await organizer.post(`/api/admin/events/${event.id}/process`, { json: { surprise: 1 } }), 400, 'invalid', 'surprise');
  const rows = await database.query('SELECT count(*)::int AS n FROM reservations WHERE event_id = $1 AND buyer = $2 AND NOT auto', [event.id, 'u:clumsy']);
  assert.equal(rows[0].n, 0);
});

test('unknown routes are 404, wrong methods 405 with Allow', async () => {
  problem(await server.get('/nope'), 404, 'not-found');
  const wrong = await server.get('/api/queue/check/e');
  problem(wrong, 405, 'method-not-allowed');
  assert.equal(wrong.headers.allow, 'POST');
  assert.equal((await server.request('HEAD', '/livez')).status, 200);
});

test('requests that two HTTP servers could read differently are refused', async () => {
  const head = 'POST /api/queue/check/e HTTP/1.1\r\nHost: x\r\n';
  const bad = [
    `${head}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n`,
    `${head}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`,
    `${head}Host: y\r\nContent-Length: 2\r\n\r\n{}`,
    `${head}Content-Length: -1\r\n\r\n`,
    `${head}Content-Length: 99999999999999999999\r\n\r\n`,
  ];
  for (const bytes of bad) assert.match(await raw(bytes), /^HTTP\/1\.1 (400|413)|^$/, JSON.stringify(bytes));
  assert.match(await raw(`GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: ${'y'.repeat(20000)}\r\n\r\n`), /^HTTP\/1\.1 (431|400)|^$/);
  assert.match(await raw('NONSENSE\r\n\r\n'), /^HTTP\/1\.[01] 400|^$/);
  assert.equal((await server.get('/livez')).status, 200, 'still alive');
});

test('the probes answer, and the metrics count', async () => {
  const ready = await server.get('/readyz?deep=1');
  assert.equal(ready.status, 200, ready.text);
  const { version, commit, checks, ...state } = ready.body;
  assert.deepEqual(state, { status: 'ready', redis: 'up', postgres: 'up' });
  assert.ok(version && commit);
  assert.deepEqual(checks.filter(({ ok }) => !ok), []);
  const event = await organizer.sale({ threshold: 0 });
  await new Client(server, { sub: 'counted' }).check(event.id);
  await waitUntil(async () => (await server.metric(`tiketi_event_waiting{event="${event.id}"}`)) === 1, 15000, 'the queue gauge');
  const { text } = await server.get('/metrics');
  assert.match(text, /tiketi_http_requests_total\{method="POST",route="\/api\/queue\/check\/\{eventId\}",status="2xx"\} \d+/);
  assert.match(text, /tiketi_http_request_duration_seconds_bucket\{method="POST",route="\/api\/queue\/check\/\{eventId\}",le="\+Inf"\} \d+/);
  assert.match(text, /tiketi_event_inside\{event="/);
  assert.match(text, /tiketi_tick_duration_seconds_count \d+/);
});

test("a guest's cookie comes with every answer, errors included", async () => {
  const limited = await Server.start({ redis, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 1, TRUSTED_PROXIES: '127.0.0.0/8' } });
  const event = await organizer.sale({ threshold: 0 });
  const path = `/api/queue/check/${event.id}`;
  const cookieOf = (answer) => [answer.headers['set-cookie'] ?? []].flat().find((cookie) => cookie.startsWith('tiketi_guest='));
  for (const [status, answer] of [
    [200, await server.post(path)],
    [400, await server.post('/api/queue/check/bad*id')],
    [400, await server.post(path, { json: { surprise: 1 } })],
    [404, await server.post('/api/queue/check/nobody-knows-it')],
    [413, await server.post(path, { body: 'x'.repeat(1 << 17) })],
    [431, await server.post(path, { headers: { 'x-long': 'y'.repeat(16400) } })],
  ]) {
    assert.equal(answer.status, status, answer.text);
    assert.match(cookieOf(answer) ?? 'none', /^tiketi_guest=g:[0-9a-f]{32}\.\d+\.[\w-]{22}; /, `with ${status}`);
  }
  const refused = (await atOnce(() => limited.post(path))).find(({ status }) => status === 429);
  assert.ok(refused, 'over the limit');
  assert.match(cookieOf(refused) ?? 'none', /^tiketi_guest=/);
  assert.equal(cookieOf(await server.post(path, { headers: { authorization: 'Bearer x' } })), undefined, 'an invalid bearer is no guest');
  assert.equal(cookieOf(await server.get('/nope')), undefined);
  await limited.stop();
});

test('a request without a Host is answered with a problem document', async () => {
  const text = await raw('GET /livez HTTP/1.1\r\n\r\n');
  assert.match(text, /^HTTP\/1\.1 400 [^]*application\/problem\+json[^]*"code":"malformed"/);
  assert.equal(text.match(/HTTP\/1\.1/g).length, 1, text);
});

test('an empty Origin header is not in the allowed list, and does not stop a request', async () => {
  const listed = await Server.start({ redis, database, roles: 'api', env: { ALLOWED_ORIGINS: 'https://shop.example, https://Tickets.Example' } });
  const cors = async (origin) => (await listed.get('/api/events', { headers: { origin }, timeoutMs: 5000 })).headers['access-control-allow-origin'];
  assert.equal(await cors(''), undefined);
  assert.equal(await cors('https://shop.example'), 'https://shop.example');
  assert.equal(await cors('https://tickets.example'), 'https://tickets.example');
  for (const origin of ['https://shop.exampl', 'https://shop.example, https://Tickets.Example', ',', 'null']) {
    assert.equal(await cors(origin), undefined, origin);
  }
  await listed.stop();
});

test('a forged X-Forwarded-For does not evade the rate limit', async () => {
  const limited = await Server.start({ redis, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 1, TRUSTED_PROXIES: '127.0.0.0/8' } });
  const answers = await atOnce((i) => limited.get('/api/events', { headers: { 'x-forwarded-for': `192.0.2.${i}, 198.51.100.9` } }));
  const refused = answers.filter((answer) => answer.status === 429);
  assert.ok(refused.length > 0, 'over the limit');
  assert.ok(Number(refused[0].headers['retry-after']) >= 1);
  for (let i = 0; i < 40; i++) assert.equal((await limited.get('/livez')).status, 200, 'a probe is never refused');
  await limited.stop();
});

test('the many addresses of one IPv6 network do not evade the rate limit', async () => {
  const limited = await Server.start({ redis, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 1, TRUSTED_PROXIES: '127.0.0.0/8' } });
  const from = async (address) => (await limited.get('/api/events', { headers: { 'x-forwarded-for': address } })).status;
  const statuses = await atOnce((i) => from(`2001:db8:1:2:${i}::1`));
  assert.ok(statuses.includes(429), 'over the limit');
  assert.equal(await from('2001:db8:1:3::1'), 200, 'another network');
  await limited.stop();
});

test('a forged X-Forwarded-For line above the line of a trusted proxy does not evade the rate limit', async () => {
  const limited = await Server.start({ redis, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 1, TRUSTED_PROXIES: '127.0.0.0/8' } });
  const statuses = await atOnce(async (i) => (await limited.get('/api/events', { headers: { 'x-forwarded-for': [`192.0.2.${i}`, '198.51.100.7'] } })).status);
  assert.ok(statuses.includes(429), 'over the limit');
  assert.equal((await limited.get('/api/events', { headers: { 'x-forwarded-for': '198.51.100.8' } })).status, 200, 'another client');
  await limited.stop();
});
