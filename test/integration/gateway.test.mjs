// SPDX-License-Identifier: MIT
//
// The gateway: handshakes, the messages that a socket receives from any process, and reconnects.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import {
  Client, Organizer, Postgres, Redis, Server, Socket, SLOW, decode, jwt, many, pause, staysTrueFor, uniqueId, waitUntil,
} from '../fixtures/index.mjs';

let redis;
let postgres;
let database;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});
beforeEach(async () => {
  await redis.cli('FLUSHALL');
  database = await postgres.migrated();
});
after(() => Promise.all([redis.stop(), postgres.stop()]));

async function serve(t, options = {}) {
  const server = await Server.start({ redis, database, ...options });
  t.after(() => (server.running ? server.stop() : undefined));
  return server;
}

// A buyer who has a place, and a socket that has joined with it.
async function subscriber(t, server, eventId, { sub = uniqueId('fan'), client = new Client(server, { sub }), at = server } = {}) {
  const { body } = await client.check(eventId);
  const socket = await Socket.open(at, { cookie: client.cookieHeader });
  t.after(() => socket.drop());
  socket.join(client, eventId);
  return { client, socket, body, sub };
}

const entry = (socket, timeoutMs) => socket.next('queue-entry-allowed', timeoutMs);
const position = (socket, timeoutMs) => socket.next('queue-position', timeoutMs);
const errorCode = async (socket) => (await socket.next('error')).payload.code;

test('a socket on one process receives the entry that another process decided', async (t) => {
  const web = await serve(t, { roles: 'api,gateway' });
  await serve(t, { roles: 'processor' });
  const { id } = await new Organizer(web).sale({ threshold: 1, autoHold: 0 });
  const first = await subscriber(t, web, id);
  assert.equal(first.body.queued, false);
  const second = await subscriber(t, web, id);
  const third = await subscriber(t, web, id);
  const shown = (await position(second.socket)).payload;
  assert.equal(shown.position, 1);
  assert.equal(shown.eventId, id);
  assert.equal(decode(shown.ticket).p, decode(second.client.ticket).p);
  assert.equal((await position(third.socket)).payload.position, 2);

  await first.client.leave(id);
  const { payload: offer } = await entry(second.socket);
  assert.equal(offer.eventId, id);
  assert.deepEqual([offer.claimed, offer.pass], [false, undefined], 'no pass before the claim');
  second.socket.claim();
  const { payload } = await second.socket.next('turn-claimed');
  const pass = decode(payload.pass);
  assert.equal(pass.sub, `u:${second.sub}`);
  assert.equal(pass.exp * 1000, Date.parse(payload.passExpiresAt));
  const gate = await web.get(`/api/gate/${id}`, {
    headers: { authorization: `Bearer ${second.client.token}`, 'x-tiketi-pass': payload.pass },
  });
  assert.equal(gate.status, 204);
  assert.equal((await position(third.socket)).payload.position, 1);
  assert.equal(third.socket.all('queue-entry-allowed').length, 0);
});

test('every tab of a buyer receives the entry once, and nothing about other buyers', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0 });
  const first = await subscriber(t, server, id);
  const buyers = [];
  for (let i = 0; i < 5; i++) buyers.push(await subscriber(t, server, id, { sub: `private-${i}-${uniqueId()}` }));
  const tab = await Socket.open(server, {});
  t.after(() => tab.drop());
  tab.join(buyers[0].client, id);
  await position(tab);
  for (const { socket } of buyers) await position(socket);

  await first.client.leave(id);
  await entry(buyers[0].socket);
  await entry(tab);
  await buyers[0].client.leave(id);
  await entry(buyers[1].socket);
  const told = (socket) => socket.all('queue-entry-allowed').length;
  await staysTrueFor(1500, () => told(tab) === 1 && buyers.every(({ socket }, index) => told(socket) === (index < 2 ? 1 : 0)),
    'the first two and the second tab are told once, the others are not');
  for (const { socket, sub } of buyers) {
    const heard = JSON.stringify(socket.messages.map(({ payload }) => [payload, payload?.ticket && decode(payload.ticket), payload?.pass && decode(payload.pass)]));
    for (const other of buyers) assert.equal(heard.includes(other.sub), other.sub === sub, `${sub} heard of ${other.sub}`);
  }
});

test('a shown position never rises, also after a reload', async (t) => {
  const server = await serve(t, { env: { QUEUE_PROCESSOR_INTERVAL: 300 } });
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0 });
  const count = 60;
  await new Client(server, { sub: 'first' }).check(id);
  const buyers = [];
  for (let i = 0; i < count; i++) buyers.push(await subscriber(t, server, id));
  for (const buyer of buyers) await position(buyer.socket);
  for (const threshold of [5, 15, 30, 61]) {
    await organizer.patch(id, { threshold });
    // The last buyer reloads the page.
    const last = buyers.at(-1);
    const shown = last.socket.all('queue-position').at(-1).payload;
    last.client.ticket = shown.ticket;
    const socket = await Socket.open(server, {});
    t.after(() => socket.drop());
    socket.join(last.client, id);
    if (threshold < 61) assert.ok((await position(socket)).payload.position <= shown.position);
    if (threshold < 61) await waitUntil(() => socket.all('queue-position').at(-1).payload.position === count + 1 - threshold, 10000, 'the position after that');
  }
  for (const { socket } of buyers) {
    await entry(socket, 10000);
    const shown = socket.all('queue-position').map(({ payload }) => payload.position);
    for (let i = 1; i < shown.length; i++) assert.ok(shown[i] <= shown[i - 1], `risen: ${shown}`);
    const lowest = socket.all('queue-position').map(({ payload }) => decode(payload.ticket).l);
    assert.deepEqual(lowest, shown);
  }
});

test('the entry carries the reservation that was held for the buyer', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 2, grid: { rows: 2, seatsPerRow: 4 } });
  const first = await subscriber(t, server, id);
  const second = await subscriber(t, server, id);
  await position(second.socket);
  await first.client.leave(id);
  const told = await waitUntil(() => second.socket.all('queue-entry-allowed').find(({ payload }) => payload.reservation), 15000,
    'an entry with a reservation');
  assert.equal(told.payload.reservation.seats.length, 2);
  assert.equal(told.payload.reservation.status, 'held');
  const { body } = await second.client.get('/api/reservations');
  assert.equal(body.reservations[0].id, told.payload.reservation.id);
});

test('another buyer\'s ticket, a forged ticket and a bad token are refused', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0 });
  await new Client(server, { sub: 'inside' }).check(id);
  const alice = new Client(server, { sub: uniqueId('alice') });
  const mallory = new Client(server, { sub: uniqueId('mallory') });
  await alice.check(id);
  await mallory.check(id);

  const open = async (options) => {
    const socket = await Socket.open(server, options);
    t.after(() => socket.drop());
    return socket;
  };
  const thief = await open();
  thief.send('join-queue', { eventId: id, ticket: alice.ticket, token: mallory.token });
  assert.equal(await errorCode(thief), 'not-yours');
  thief.send('join-queue', { eventId: id, ticket: `${alice.ticket.slice(0, -6)}AAAAAA`, token: alice.token });
  assert.equal(await errorCode(thief), 'unauthorized');
  assert.equal(thief.all('queue-position').length, 0);
  thief.join(mallory, id);
  assert.equal((await position(thief)).payload.position, 2);

  const { id: other } = await new Organizer(server).sale({ threshold: 1, autoHold: 0 });
  thief.send('join-queue', { eventId: other, ticket: mallory.ticket, token: mallory.token });
  assert.equal(await errorCode(thief), 'not-yours');

  for (const token of [jwt({ sub: 'alice' }, { secret: 'x'.repeat(40) }), 'nonsense', undefined, 17]) {
    const socket = await open();
    socket.send('join-queue', { eventId: id, token });
    assert.equal(await errorCode(socket), 'unauthorized');
    assert.equal((await socket.closed).code, 4401);
  }
});

test('a guest is identified by the cookie of the handshake', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0 });
  await new Client(server, { sub: 'inside' }).check(id);
  const guest = new Client(server);
  const { socket } = await subscriber(t, server, id, { client: guest });
  assert.match(decode((await position(socket)).payload.ticket).b, /^g:[0-9a-f]{32}$/);

  const { id: closed } = await organizer.sale({ threshold: 1, autoHold: 0, allowGuests: false });
  socket.send('join-queue', { eventId: closed });
  assert.equal(await errorCode(socket), 'login-required');
});

test('a handshake from another origin is refused', async (t) => {
  const server = await serve(t);
  const allowed = ['http://127.0.0.1:3000', `http://127.0.0.1:${server.port}`, undefined];
  for (const origin of allowed) await (await Socket.open(server, { origin })).drop();
  for (const origin of ['http://evil.example', 'http://127.0.0.1.evil.example', 'null', 'https://127.0.0.2']) {
    await assert.rejects(Socket.open(server, { origin }), { status: 403 }, origin);
  }
  const strict = await serve(t, { env: { ALLOWED_ORIGINS: 'https://shop.example,https://www.shop.example' } });
  await (await Socket.open(strict, { origin: 'https://www.shop.example' })).drop();
  for (const origin of [`http://127.0.0.1:${strict.port}`, 'https://shop.example.evil', 'https://hop.example']) {
    await assert.rejects(Socket.open(strict, { origin }), { status: 403 }, origin);
  }
});

test('a socket that does not join in five seconds is closed', async (t) => {
  const server = await serve(t);
  const opened = performance.now();
  const socket = await Socket.open(server);
  socket.send('heartbeat');
  await socket.next('heartbeat-ack');
  assert.equal((await socket.closed).code, 1008);
  const took = performance.now() - opened;
  assert.ok(took > 4500 && took < 9000 * SLOW, `closed after ${took} ms`);
});

test('invalid messages and floods are answered with errors, then close the socket', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0 });
  const socket = await Socket.open(server);
  for (const text of ['{', '[]', '"x"', '{"event":7}', '{"event":"join-queue","payload":[]}', '{"event":"a","event":"a"}']) {
    socket.raw.send(text);
    assert.equal(await errorCode(socket), 'invalid');
  }
  socket.send('dance');
  assert.equal(await errorCode(socket), 'unknown-message');
  for (const eventId of [7, '', '../x', 'x'.repeat(65), undefined]) {
    socket.send('watch-seats', { eventId });
    assert.equal(await errorCode(socket), 'invalid');
  }
  for (let i = 0; i < 3; i++) socket.send('dance');
  assert.equal((await socket.closed).code, 1008);

  const began = performance.now();
  const flood = await Socket.open(server);
  flood.send('watch-seats', { eventId: id });
  for (let i = 0; i < 60; i++) flood.send('heartbeat');
  assert.equal((await flood.closed).code, 1008);
  assert.ok(flood.all('heartbeat-ack').length <= 21 + (performance.now() - began) / 100, 'twenty at once, ten a second');
  assert.equal(flood.all('error')[0].payload.code, 'too-many-messages');

  const stranger = await Socket.open(server);
  stranger.send('watch-seats', { eventId: 'no-such-event' });
  assert.equal(await errorCode(stranger), 'unknown-event');
  for (let i = 0; i < 9; i++) {
    stranger.send('watch-seats', { eventId: `no-such-event-${i}` });
    assert.equal(await errorCode(stranger), 'unknown-event');
  }
  assert.equal((await stranger.closed).code, 1008);
});

test('a socket without a place is told so; leaving is announced to every tab', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0 });
  await new Client(server, { sub: 'inside' }).check(id);
  const stranger = new Client(server, { sub: uniqueId() });
  const socket = await Socket.open(server);
  t.after(() => socket.drop());
  socket.join(stranger, id);
  assert.equal(await errorCode(socket), 'not-in-queue');
  assert.equal((await stranger.status(id)).body.status, 'not_in_queue');

  const one = await subscriber(t, server, id);
  const two = await Socket.open(server);
  t.after(() => two.drop());
  two.join(one.client, id);
  await position(one.socket);
  const { ticket } = (await position(two)).payload;
  one.socket.send('leave-queue');
  assert.equal(await errorCode(one.socket), 'not-in-queue');
  assert.equal(await errorCode(two), 'not-in-queue');
  two.send('join-queue', { eventId: id, ticket, token: one.client.token });
  assert.equal(await errorCode(two), 'not-in-queue', 'the old ticket does not bring the place back');
});

test('an active buyer who connects receives the entry at once; leaving over HTTP is announced to the socket', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 5, autoHold: 0 });
  const { client, socket, body } = await subscriber(t, server, id);
  assert.equal(body.queued, false);
  const { payload } = await entry(socket);
  assert.equal(decode(payload.pass).place, decode(body.pass).place);
  await client.leave(id);
  socket.send('heartbeat');
  assert.equal(await errorCode(socket), 'not-in-queue');
});

test('watchers receive seat changes, all sockets receive the status, and a clear reaches everyone', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, grid: { rows: 1, seatsPerRow: 3 } });
  const watcher = await Socket.open(server);
  t.after(() => watcher.drop());
  watcher.send('watch-seats', { eventId: id });
  await watcher.next('seats-changed'); // the hall as it is now; changes follow
  const inside = await subscriber(t, server, id);
  await entry(inside.socket);
  const waiting = await subscriber(t, server, id);
  await position(waiting.socket);
  const { status } = await inside.client.reserve({ eventId: id, quantity: 2 });
  assert.equal(status, 201);
  await waitUntil(() => watcher.all('seats-changed').some(({ payload }) => payload.seats.length === 2), 15000, 'the two seats');
  assert.equal(waiting.socket.all('seats-changed').length, 0);

  await organizer.act(id, 'pause');
  for (const socket of [watcher, inside.socket, waiting.socket]) {
    assert.deepEqual(await socket.news('event-status-changed'), { eventId: id, status: 'paused' });
  }
  await organizer.act(id, 'resume');
  for (const socket of [watcher, inside.socket, waiting.socket]) {
    assert.deepEqual(await socket.news('event-status-changed'), { eventId: id, status: 'open' });
  }
  await organizer.act(id, 'clear');
  for (const socket of [inside.socket, waiting.socket]) await socket.next('queue-cleared');
  await waiting.client.check(id);
  waiting.socket.join(waiting.client, id);
  await entry(waiting.socket);
  assert.equal(watcher.all('queue-position').length, 0);
});

test('queue numbers are sent when they change, at most once a second', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 2, autoHold: 0 });
  const began = performance.now();
  const { socket } = await subscriber(t, server, id);
  await many(Array.from({ length: 40 }, (_, i) => i), 4, async () => {
    await new Client(server, { sub: uniqueId() }).check(id);
    await pause(100, 'joins for about a second');
  });
  const last = await waitUntil(() => socket.all('queue-updated').find(({ payload }) => payload.queueSize === 39), 15000, 'the last numbers');
  const { version, revision, ...numbers } = last.payload;
  assert.deepEqual(numbers, { eventId: id, queueSize: 39, currentUsers: 2, threshold: 2 });
  assert.ok(version > 0 && Math.abs(revision - Date.now()) < 60000);
  const before = socket.all('queue-updated').length;
  // Measured as a rate: a late message may come close to the next.
  assert.ok((before - 1) * 950 <= performance.now() - began, `${before} within ${performance.now() - began} ms`);
  await staysTrueFor(2500, () => socket.all('queue-updated').length === before, 'nothing is sent while nothing changes');
});

test('a stopping process tells its sockets when to reconnect, and another process serves them', async (t) => {
  const leaving = await serve(t, { env: { DRAIN_MS: 4000 } });
  const { id } = await new Organizer(leaving).sale({ threshold: 1, autoHold: 0 });
  await new Client(leaving, { sub: 'inside' }).check(id);
  const buyers = [];
  for (let i = 0; i < 20; i++) buyers.push(await subscriber(t, leaving, id));
  for (const buyer of buyers) buyer.ticket = (await position(buyer.socket)).payload.ticket;
  const staying = await serve(t);
  const stopped = leaving.stop();
  const delays = new Set();
  for (const { socket } of buyers) {
    assert.equal((await socket.closed).code, 1001);
    const { payload } = socket.all('error').find((message) => message.payload.code === 'draining');
    assert.ok(payload.retryMs > 0 && payload.retryMs < 60000);
    delays.add(payload.retryMs);
  }
  assert.ok(delays.size > 10, 'the delays are spread');
  await stopped;
  for (const [index, buyer] of buyers.entries()) {
    const socket = await Socket.open(staying);
    t.after(() => socket.drop());
    socket.send('join-queue', { eventId: id, ticket: buyer.ticket, token: buyer.client.token });
    assert.equal((await position(socket)).payload.position, index + 1);
  }
});

test('when Redis was emptied, open sockets alone restore the places', async (t) => {
  const server = await serve(t, { env: { RESTORE_MS: 3000 } });
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0 });
  const inside = await subscriber(t, server, id);
  const buyers = [];
  for (let i = 0; i < 30; i++) buyers.push(await subscriber(t, server, id));
  for (const { socket } of buyers) await position(socket);
  const places = await redis.cli('ZRANGE', `queue:{${id}}`, 0, -1, 'WITHSCORES');
  assert.equal(places.length, 60);
  await waitUntil(async () => String((await database.query('SELECT last_place FROM events WHERE id = $1', [id]))[0].last_place) === places.at(-1), 20000,
    'the last place to be noted');
  await redis.cli('FLUSHALL');
  await waitUntil(async () => {
    const now = await redis.cli('ZRANGE', `queue:{${id}}`, 0, -1, 'WITHSCORES');
    return places.every((item) => now.includes(item));
  }, 10000, 'every place to be back');
  await waitUntil(async () => (await redis.cli('SISMEMBER', `active:{${id}}`, `u:${inside.sub}`)) === 1, 10000,
    'the one inside to be inside again');
  for (const { socket } of buyers) assert.equal(socket.raw.readyState, 1);
  await organizer.patch(id, { threshold: 31 });
  for (const { socket } of buyers) await entry(socket, 10000);
  for (const { socket } of buyers) {
    const shown = socket.all('queue-position').map(({ payload }) => payload.position);
    for (let i = 1; i < shown.length; i++) assert.ok(shown[i] <= shown[i - 1], `risen: ${shown}`);
  }
  const log = await redis.client.xrange(`log:{${id}}`, '-', '+');
  const admitted = log.map(([, fields]) => Object.fromEntries(fields.flatMap((value, i) => (i % 2 ? [] : [[value, fields[i + 1]]]))))
    .filter(({ kind, buyer }) => kind === 'offered' && buyer !== `u:${inside.sub}`).map(({ buyer }) => buyer); // that buyer may be admitted by place instead of pass when the window closes first
  assert.deepEqual(admitted, buyers.map(({ sub }) => `u:${sub}`));
});

test('sockets stay open while Redis is away, and entries missed meanwhile are sent afterwards', async (t) => {
  const server = await serve(t, { env: { QUEUE_PROCESSOR_INTERVAL: 200 } });
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0 });
  const first = await subscriber(t, server, id);
  const second = await subscriber(t, server, id);
  await position(second.socket);
  await redis.restart();
  await waitUntil(async () => (await first.client.leave(id)).status === 200, 10000, 'the service to return');
  await entry(second.socket, 10000);
  assert.equal(second.socket.raw.readyState, 1);
});

test('a buyer who waits on an open socket without a message is never silent: they enter in their order', async (t) => {
  const spared = { env: { WS_PING_MS: 1500, QUEUE_SILENT_MS: 6000 } }; // every second pong is told to Redis
  const often = { env: { WS_PING_MS: 60000, QUEUE_SILENT_MS: 4000 } }; // pings come as often as needed
  const own = { env: { WS_PING_MS: 60000 }, settings: { silentMs: 4000 } }; // the event's own setting counts
  const sales = await Promise.all([spared, often, own].map(async ({ env, settings }) => {
    const server = await serve(t, { env: { ...env, QUEUE_PROCESSOR_INTERVAL: 200 } });
    const organizer = new Organizer(server);
    const { id } = await organizer.sale({ threshold: 0, autoHold: 0, ...settings });
    const buyers = [];
    for (let i = 0; i < 5; i++) buyers.push(await subscriber(t, server, id));
    for (const { socket } of buyers) await position(socket);
    return { organizer, id, buyers };
  }));
  await staysTrueFor(10000, async () => (await Promise.all(sales.map(({ id }) => redis.cli('HGET', `stats:{${id}}`, 'parked')))).every((parked) => parked === null),
    'nobody is parked');
  for (const { organizer, id, buyers } of sales) {
    await organizer.patch(id, { threshold: 5 });
    for (const { socket } of buyers) await entry(socket, 10000);
    const log = await redis.client.xrange(`log:{${id}}`, '-', '+');
    assert.deepEqual(log.map(([, fields]) => fields[fields.indexOf('buyer') + 1]), buyers.map(({ sub }) => `u:${sub}`));
    assert.equal(await redis.cli('HGET', `stats:{${id}}`, 'parked'), null);
  }
});

test('right after an entry no pod answers that the buyer waits', async (t) => {
  const server = await serve(t, { env: { QUEUE_PROCESSOR_INTERVAL: 700 } });
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 0, autoHold: 0 });
  const buyers = [];
  for (let i = 0; i < 12; i++) buyers.push(await subscriber(t, server, id));
  for (const { socket } of buyers) await position(socket);
  await waitUntil(async () => (await organizer.queueSize(id)) === 12, 10000, 'the index');
  for (const { client } of buyers) await client.status(id); // answered from Redis: waiting
  await pause(1200, 'the pod tells Redis of them once a second, and hears the same: they wait');
  await organizer.patch(id, { threshold: 12 });
  const words = await Promise.all(buyers.map(async ({ client, socket }) => {
    await entry(socket, 10000);
    return (await client.status(id)).body.status;
  }));
  assert.deepEqual(words, Array(12).fill('active'));
});

test('a late answer from before the entry does not undo the entry', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0, intervalMs: 1000 });
  const first = await subscriber(t, server, id);
  await entry(first.socket);
  const client = new Client(server, { sub: uniqueId('fan') });
  await client.check(id);
  const socket = await Socket.open(server);
  const watcher = await Socket.open(server);
  t.after(() => (socket.drop(), watcher.drop()));
  watcher.send('watch-seats', { eventId: id }); // the gateway has this event's audience
  await watcher.next('seats-changed');
  await first.client.leave(id);
  // Redis is busy for longer than a tick, so that it answers the join and the tick at once.
  const busy = redis.connect().call('EVAL', "local a = redis.call('TIME') repeat local b = redis.call('TIME') until (b[1] - a[1]) * 1000000 + b[2] - a[2] > 1300000 return 1", 1, `config:{${id}}`);
  socket.join(client, id);
  await busy;
  await entry(socket, 10000);
  await staysTrueFor(2500, () => socket.all('queue-entry-allowed').length === 1 && socket.messages.at(-1).event !== 'queue-position',
    'one entry, and no position after it');
});

test('an entry whose reservation is too large for a message is sent without it', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 100, maxSeats: 100, intervalMs: 300,
    grid: { rows: 3, seatsPerRow: 100, section: '북'.repeat(60) } });
  const first = await subscriber(t, server, id);
  await entry(first.socket, 10000);
  const second = await subscriber(t, server, id);
  await position(second.socket);
  await first.client.leave(id);
  const { payload } = await entry(second.socket, 10000);
  assert.equal(payload.claimed, false);
  assert.equal(payload.reservation, undefined);
  await waitUntil(async () => (await second.client.get('/api/reservations')).body.reservations[0]?.seats.length === 100, 15000, 'the seats of the buyer');
});

test('pongs in a burst cost Redis only a few writes, and a flood of them closes the socket', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0 });
  const { socket } = await subscriber(t, server, id);
  await entry(socket);
  const zadds = async () => (await redis.commandStats()).zadd;
  const before = await zadds();
  for (let i = 0; i < 90; i++) socket.raw.pong('t');
  await staysTrueFor(1200, async () => (await zadds()) - before < 25, 'fewer than 25 writes to Redis');
  assert.equal(socket.raw.readyState, 1);
  for (let i = 0; i < 5000; i++) socket.raw.pong('t');
  assert.deepEqual(await socket.closed, { code: 1008, reason: 'too many frames' });
  await staysTrueFor(1200, async () => (await zadds()) - before < 25, 'fewer than 25 writes to Redis');
});

test('an entry is pushed although its channel message was lost', async (t) => {
  const server = await serve(t);
  for (const grid of [undefined, { rows: 1, seatsPerRow: 9 }]) {
    const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: grid ? 1 : 0, grid });
    await entry((await subscriber(t, server, id)).socket);
    const { socket, sub } = await subscriber(t, server, id);
    await position(socket);
    const buyer = `u:${sub}`;
    const place = await redis.cli('ZSCORE', `queue:{${id}}`, buyer);
    await redis.client.multi().zrem(`queue:{${id}}`, buyer).zrem(`queue:seen:{${id}}`, buyer).sadd(`active:{${id}}`, buyer)
      .zadd(`active:seen:{${id}}`, Date.now(), buyer).zadd(`active:since:{${id}}`, Date.now(), buyer)
      .zadd(`active:place:{${id}}`, place, buyer).exec();
    const { payload } = await entry(socket, 10000);
    assert.equal(decode(payload.pass).place, String(place));
  }
});

test('a channel message of an event without sockets here is dropped unparsed', async (t) => {
  const web = await serve(t, { roles: 'gateway' });
  const api = await serve(t, { roles: 'api,processor' });
  const organizer = new Organizer(api);
  const here = await organizer.sale({ threshold: 1, autoHold: 0 });
  const elsewhere = await organizer.sale({ threshold: 1, autoHold: 0 });
  const { socket } = await subscriber(t, api, here.id, { at: web });
  await entry(socket);
  const skipped = () => web.metric('tiketi_channel_messages_skipped_total');
  const malformed = (id) => web.logs.filter(({ message, event }) => message === 'channel message malformed' && event === id).length;
  const publish = (id) => redis.cli('PUBLISH', 'tiketi:0:queue-events', `{"eventId":"${id}","event":"admitted","payload":{"buyers":[}}`);
  const before = await skipped();
  for (let i = 0; i < 100; i++) await publish(elsewhere.id);
  await publish(here.id);
  await waitUntil(() => malformed(here.id) === 1, 5000, 'the message to be parsed where a socket is');
  assert.ok((await skipped()) >= before + 100, 'counted');
  assert.equal(malformed(elsewhere.id), 0, 'not parsed');
});
