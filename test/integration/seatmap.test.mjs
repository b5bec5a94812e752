// SPDX-License-Identifier: MIT
//
// The seat map: its ETag, one rebuild a second whatever the load, a replica that lags or goes away, Redis or
// PostgreSQL down, a hall of 20,000 seats, and what watchers receive.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, Server, Socket, many, pay, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

let redis, postgres, standby, database, pods, organizer;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  database = await postgres.migrated();
  standby = await postgres.standby();
  const env = { DATABASE_REPLICA_URL: database.on(standby).url, QUEUE_PROCESSOR_INTERVAL: 500 };
  pods = [await Server.start({ redis, database, env }), await Server.start({ redis, database, env })];
  organizer = new Organizer(pods[0]);
});

after(async () => {
  for (const pod of pods ?? []) await pod.stop();
  await redis?.stop();
  await standby?.stop();
  await postgres?.stop();
});

const hall = { threshold: 50, autoHold: 0, maxSeats: 50 };
const map = (event, headers, pod = pods[0]) => pod.get(`/api/seats/${event.id}`, { headers });
const key = (event) => `seats:{${event.id}}`;
const rebuilds = async () => {
  let sum = 0;
  for (const pod of pods) sum += (await pod.metric('tiketi_seat_map_rebuilds_total')) ?? 0;
  return sum;
};

async function enter(event, sub) {
  const buyer = new Client(pods[0], { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, `${sub} to be inside`);
  return buyer;
}

const held = async (event, count, pod, headers) =>
  waitUntil(async () => (await map(event, headers, pod)).body.seats.filter((seat) => seat.status === 'held').length === count, 15000, `${count} held`);

async function replayed() {
  const [{ lsn }] = await postgres.query('SELECT pg_current_wal_lsn()::text AS lsn');
  await waitUntil(async () => (await standby.query(`SELECT pg_last_wal_replay_lsn() >= '${lsn}'::pg_lsn AS done`))[0].done, 15000, 'the replica');
}

test('the ETag is that of the version: 304 while nothing changes, a new ETag after a change', async () => {
  const event = await organizer.sale({ ...hall, grid: { rows: 2, seatsPerRow: 5 } });
  await replayed();
  const first = await map(event);
  assert.equal(first.status, 200, first.text);
  assert.equal(first.headers.etag, `"${first.body.version}"`);
  assert.equal(first.headers['cache-control'], 'no-cache');
  assert.equal(first.body.seats.length, 10);
  const same = await map(event, { 'if-none-match': first.headers.etag });
  assert.equal(same.status, 304);
  assert.equal(same.text, '');
  assert.equal(same.headers.etag, first.headers.etag);
  assert.equal((await map(event, { 'if-none-match': `"1", W/${first.headers.etag}` })).status, 304);
  assert.equal((await map(event, { 'if-none-match': '"12345"' })).status, 200);
  const buyer = await enter(event, 'tagged');
  await buyer.reserve({ eventId: event.id, quantity: 2 });
  await held(event, 2);
  const next = await map(event, { 'if-none-match': first.headers.etag });
  assert.equal(next.status, 200);
  assert.ok(next.body.version > first.body.version);
  await held(event, 2, pods[1]);
  assert.equal((await map({ id: 'nowhere' })).status, 404);
});

test('the short form has the seats of the long one, its own ETag, and a tenth of the bytes', async () => {
  const event = await organizer.sale({ ...hall, open: false });
  for (const section of ['A "quoted", [one]', '나']) {
    await organizer.must('POST', `/api/admin/events/${event.id}/seats`, { grid: { section, rows: 20, seatsPerRow: 25, price: section.length * 100, currency: 'EUR' } });
  }
  await organizer.act(event.id, 'open');
  await replayed();
  const buyer = await enter(event, 'short');
  await buyer.reserve({ eventId: event.id, quantity: 3 });
  await held(event, 3);
  const short = (headers) => pods[0].get(`/api/seats/${event.id}?form=rows`, { headers });
  const [long, { body, headers }] = [await map(event), await short()];
  assert.equal(body.version, long.body.version);
  const words = { a: 'available', h: 'held', s: 'sold' };
  const seats = body.rows.flatMap(([section, row, number, price, id, statuses]) => [...statuses].map((letter, k) => ({
    id: String(Number(id) + k), section, row, number: number + k, price, currency: body.currency, status: words[letter],
  })));
  assert.deepEqual(seats, long.body.seats);
  assert.ok(JSON.stringify(body).length < long.text.length / 10);
  assert.equal(headers.etag, `"${body.version}-rows"`);
  const packed = await fetch(`${pods[0].url}/api/seats/${event.id}?form=rows`, { headers: { 'accept-encoding': 'gzip' } });
  assert.equal(packed.headers.get('etag'), `"${body.version}-rows-gz"`);
  assert.deepEqual(await packed.json(), body);
  // What the pages send: they do not know whether what they have came compressed.
  const known = { 'if-none-match': `"${body.version}-rows", "${body.version}-rows-gz"` };
  assert.equal((await short(known)).status, 304);
  assert.equal((await fetch(`${pods[0].url}/api/seats/${event.id}?form=rows`, { headers: { ...known, 'accept-encoding': 'gzip' } })).status, 304);
  assert.equal((await map(event, known)).status, 200);
});

test('two hundred requests at once on two pods make one rebuild; without changes there is none', async () => {
  const event = await organizer.sale({ ...hall, grid: { rows: 10, seatsPerRow: 10 } });
  await replayed();
  const before = await rebuilds();
  const answers = await many(Array.from({ length: 200 }), 100, (_, i) => map(event, {}, pods[i % 2]));
  assert.ok(answers.every((answer) => answer.status === 200 && answer.body.seats.length === 100));
  const built = (await rebuilds()) - before;
  assert.ok(built >= 1 && built <= 2, `${built} rebuilds`);
  const from = Date.now();
  while (Date.now() - from < 2500) await map(event);
  assert.equal((await rebuilds()) - before, built, 'an unchanged map is never built again');
});

test('a series of changes makes at most one rebuild a second', async () => {
  const event = await organizer.sale({ ...hall, grid: { rows: 5, seatsPerRow: 10 } });
  const buyer = await enter(event, 'restless');
  await map(event);
  const before = await rebuilds();
  const from = Date.now();
  for (let i = 1; Date.now() - from < 4000; i++) {
    await buyer.reserve({ eventId: event.id, quantity: 1 + (i % 3) });
    await Promise.all([map(event, {}, pods[0]), map(event, {}, pods[1])]);
  }
  const seconds = (Date.now() - from) / 1000;
  const built = (await rebuilds()) - before;
  assert.ok(built >= 2 && built <= Math.ceil(seconds) + 1, `${built} rebuilds in ${seconds.toFixed(1)} s`);
});

test('a lagging replica never replaces a newer map', async () => {
  const event = await organizer.sale({ ...hall, grid: { rows: 1, seatsPerRow: 5 } });
  const buyer = await enter(event, 'lagging');
  await replayed();
  await map(event);
  await standby.query('SELECT pg_wal_replay_pause()');
  try {
    await buyer.reserve({ eventId: event.id, quantity: 3 });
    const direct = await Server.start({ redis, database, roles: 'api' }); // without the replica
    await held(event, 3, direct);
    const { version } = (await map(event, {}, direct)).body;
    await direct.stop();
    // The others read the replica; Redis has the newer map, and it stays the newer one.
    await waitUntil(async () => (await map(event)).body.version === version, 15000, 'the newer map');
    const versions = () => Promise.all(pods.map(async (pod) => (await map(event, {}, pod)).body.version));
    await versions();
    await staysTrueFor(2500, async () => (await versions()).every((one) => one === version), `every pod serves version ${version}`);
    assert.equal(Number(await redis.client.hget(key(event), 'version')), version);
  } finally {
    await standby.query('SELECT pg_wal_replay_resume()');
  }
});

test('maps are read from the replica, and from the primary without it', async () => {
  const event = await organizer.sale({ ...hall, grid: { rows: 1, seatsPerRow: 5 } });
  await replayed();
  await map(event);
  const calls = async (server) => Number((await server.query(`SELECT xact_commit AS n FROM pg_stat_database WHERE datname = '${database.name}'`))[0].n);
  const onReplica = await calls(standby);
  const from = Date.now();
  while (Date.now() - from < 3000) await map(event);
  await waitUntil(async () => (await calls(standby)) > onReplica, 15000, 'reads on the replica');

  await standby.halt('SIGQUIT');
  const buyer = await enter(event, 'orphan');
  await buyer.reserve({ eventId: event.id, quantity: 2 });
  await held(event, 2);
  await standby.start();
});

test('without Redis maps come from PostgreSQL; without PostgreSQL the map of the last minute is served', async () => {
  const own = await Redis.start();
  const db = await Postgres.start();
  const base = await db.migrated();
  const pod = await Server.start({ redis: own, database: base });
  const boss = new Organizer(pod);
  const event = await boss.sale({ ...hall, grid: { rows: 1, seatsPerRow: 5 } });
  assert.equal((await map(event, {}, pod)).body.seats.length, 5);
  await own.halt();
  await boss.request('POST', `/api/admin/events/${event.id}/seats`, { json: { grid: { section: 'B', rows: 1, seatsPerRow: 1, price: 1, currency: 'EUR' } } });
  await waitUntil(async () => (await map(event, {}, pod)).body.seats?.length === 6, 15000, 'the new seat without Redis');
  await db.halt();
  await waitUntil(async () => (await pod.get('/readyz')).body.postgres === 'down', 10000, 'PostgreSQL to be missed');
  const late = await map(event, {}, pod);
  assert.equal(late.status, 200, late.text);
  assert.equal(late.body.seats.length, 6);
  const unknown = await map({ id: 'not-seen-before' }, {}, pod);
  assert.equal(unknown.status, 503);
  await pod.stop();
  await own.stop();
  await db.stop();
});

test('the map of a hall of 20,000 seats is served', async () => {
  const event = await organizer.sale({ ...hall, grid: { rows: 200, seatsPerRow: 100 } });
  await waitUntil(async () => (await map(event)).body.seats?.length === 20000, 20000, 'the whole hall');
  assert.ok(Number(await redis.client.pttl(key(event))) > 50000);
  const answers = await many(Array.from({ length: 20 }), 10, () => map(event));
  assert.ok(answers.every((answer) => answer.body.seats.length === 20000));
});

test('a map is sent compressed, one copy of each version, to those who accept it', async () => {
  const event = await organizer.sale({ ...hall, grid: { rows: 100, seatsPerRow: 100 } });
  await waitUntil(async () => (await map(event)).body.seats?.length === 10000, 20000, 'the whole hall');
  const plain = await map(event);
  const packed = await map(event, { 'accept-encoding': 'gzip, br' });
  assert.equal(packed.headers['content-encoding'], 'gzip');
  assert.match(packed.headers.vary, /Accept-Encoding/);
  assert.equal(packed.text, plain.text);
  assert.ok(packed.bytes < plain.bytes / 8, `${packed.bytes} of ${plain.bytes} bytes`);
  assert.equal(plain.headers['content-encoding'], undefined);
  assert.equal((await map(event, { 'accept-encoding': 'gzip;q=0' })).headers['content-encoding'], undefined);
  const known = await map(event, { 'accept-encoding': 'gzip', 'if-none-match': packed.headers.etag });
  assert.deepEqual([known.status, known.text], [304, '']);
});

test('watchers on two pods receive each change by version, and nothing about buyers', async () => {
  const event = await organizer.sale({ ...hall, holdMs: 4000, grid: { rows: 2, seatsPerRow: 5 } });
  const buyer = await enter(event, 'watched');
  await replayed();
  const sockets = await Promise.all(pods.map((pod) => Socket.open(pod)));
  for (const socket of sockets) socket.send('watch-seats', { eventId: event.id });
  const halls = [];
  for (const [i, socket] of sockets.entries()) {
    const start = (await socket.next('seats-changed')).payload;
    assert.deepEqual(start.seats, []);
    assert.equal(start.from, start.version);
    const { body } = await map(event, {}, pods[i]);
    assert.equal(body.version, start.version);
    halls.push(new Map(body.seats.map((seat) => [seat.id, seat.status])));
  }
  // Applies deltas, one by one, until so many seats have this status; then the hall is that of the map.
  async function until(status, count) {
    for (const [i, socket] of sockets.entries()) {
      let version;
      await waitUntil(() => {
        for (const { payload } of socket.all('seats-changed').slice(socket.applied ?? 1)) {
          socket.applied = (socket.applied ?? 1) + 1;
          assert.deepEqual(Object.keys(payload).sort(), ['eventId', 'from', 'seats', 'version']);
          assert.ok(payload.version > payload.from);
          for (const seat of payload.seats) {
            assert.deepEqual(Object.keys(seat), ['id', 'status']);
            halls[i].set(seat.id, seat.status);
          }
          version = payload.version;
          if ([...halls[i].values()].filter((word) => word === status).length === count) return true;
        }
        return false;
      }, 10000, `${count} ${status} on pod ${i}`);
      const { body } = await map(event, {}, pods[i]);
      if (body.version === version) assert.deepEqual(body.seats.map((seat) => seat.status), body.seats.map((seat) => halls[i].get(seat.id)));
    }
  }
  const { body: first } = await buyer.reserve({ eventId: event.id, quantity: 3 });
  await until('held', 3);
  await buyer.post(`/api/reservations/${first.id}/cancel`);
  await until('held', 0);
  const { body: second } = await buyer.reserve({ eventId: event.id, quantity: 2 });
  await until('held', 2);
  await until('available', 10); // expires without any write
  const late = await enter(event, 'late');
  const { body: third } = await late.reserve({ eventId: event.id, quantity: 1 });
  await pay(pods[0], third);
  await until('sold', 1);
  assert.ok(second.id);
  await organizer.must('POST', `/api/admin/events/${event.id}/seats`, { grid: { section: 'New', rows: 1, seatsPerRow: 2, price: 1, currency: 'EUR' } });
  await waitUntil(() => sockets.every((socket) => socket.all('seats-changed').some(({ payload }) => payload.reload)), 10000, 'another hall');
  for (const socket of sockets) socket.drop?.();
});
