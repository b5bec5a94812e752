// SPDX-License-Identifier: MIT
//
// The consumer of the admission log in the running program: a crash at each of its steps, an outage of PostgreSQL,
// and a log that Redis has lost. Each admission gets exactly one auto-hold, and each admitted buyer is told.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, Server, Socket, many, waitUntil } from '../fixtures/index.mjs';

let redis, postgres, database;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  database = await postgres.migrated();
});

after(async () => {
  await redis?.stop();
  await postgres?.stop();
});

// serve: a server that is stopped when the test ends (one that is to crash has ended by then).
async function serve(t, options) {
  const server = await Server.start({ redis, database, ...options });
  t.after(() => (server.child.running ? server.stop() : undefined));
  return server;
}

const key = (name, id) => `${name}:{${id}}`;
const rows = async (text, values) => {
  const result = await database.query(text, values);
  return result.rows ?? result;
};
const holds = (id) => rows(`SELECT buyer, place::text, status, seat_count::int FROM reservations
  WHERE event_id = $1 AND auto ORDER BY buyer, place`, [id]);
const inside = (id) => redis.cli('SCARD', key('active', id));

async function freeNumbers(id) {
  const [free, admitted] = await redis.cli('HMGET', key('free', id), 'free', 'admitted');
  return { free: Number(free), admitted: Number(admitted) };
}

const free = (id, count, what) => waitUntil(async () => (await freeNumbers(id)).free === count, 15000, `the free seats to be ${what}`);

// doors: an event with threshold 0 and `count` waiting buyers; `told`: each has a socket. `options`: the server's.
async function doors(t, { count, told = true, grid = { rows: 1, seatsPerRow: 20 }, ...options }) {
  const sockets = [];
  t.after(() => sockets.forEach((socket) => socket.close())); // before the server stops
  const server = await serve(t, options);
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 0, intervalMs: 200, grid });
  const clients = Array.from({ length: count }, (_, i) => new Client(server, { sub: `${event.id.slice(0, 8)}-${i}` }));
  await many(clients, told ? 10 : 50, async (client) => {
    assert.equal((await client.check(event.id)).body.queued, true);
    if (!told) return;
    client.socket = await Socket.open(server);
    sockets.push(client.socket);
    client.socket.join(client, event.id);
    await client.socket.next('queue-position');
  });
  return { organizer, event, clients };
}

async function assertOneHoldEach(id, clients) {
  await waitUntil(async () => (await holds(id)).length >= clients.length, 20000, 'all holds');
  const list = await holds(id);
  assert.equal(list.length, clients.length);
  assert.equal(new Set(list.map((row) => row.buyer)).size, clients.length);
  assert.ok(list.every((row) => row.status === 'held' && row.seat_count === 1), JSON.stringify(list));
}

for (const point of ['ledger-before-commit', 'ledger-after-commit', 'ledger-after-free', 'ledger-after-publish']) {
  test(`a crash at ${point}: each admission has one hold, each buyer is told, and the seats add up`, async (t) => {
    const { organizer, event, clients } = await doors(t, { count: 30, grid: { rows: 5, seatsPerRow: 10 }, roles: 'api,gateway' });
    const doomed = await serve(t, { roles: 'processor', ready: false, env: { TIKETI_CRASH: point } });
    await waitUntil(() => redis.cli('GET', key('lease', event.id)), 15000, 'a lease');
    await free(event.id, 50, 'known');
    await serve(t, { roles: 'processor', ready: false });
    await organizer.patch(event.id, { threshold: 30 });
    assert.equal((await doomed.child.exited).code, 137);
    await waitUntil(async () => (await inside(event.id)) === 30, 20000, 'all inside');
    await assertOneHoldEach(event.id, clients);
    await Promise.all(clients.map((client) => client.socket.next('queue-entry-allowed', 15000)));
    await free(event.id, 20, 'right');
    assert.equal((await freeNumbers(event.id)).admitted, 30);
    for (const client of clients.slice(0, 3)) {
      const list = (await client.get('/api/reservations')).body.reservations;
      assert.equal(list.length, 1, 'what the page fetches when the message came without it');
    }
    const [{ n }] = await rows(`SELECT count(*)::int AS n FROM admissions WHERE event_id = $1 AND NOT departed`, [event.id]);
    assert.equal(n, 30);
  });
}

test('PostgreSQL down: admitted buyers are told once, without seats; the seats follow afterwards', async (t) => {
  const { event, clients } = await doors(t, { count: 5 });
  await free(event.id, 20, 'known');
  await postgres.halt('SIGQUIT');
  // The settings are in PostgreSQL, which is down: raise the threshold in the live copy.
  await redis.cli('HSET', key('config', event.id), 'threshold', 5);
  const entries = await Promise.all(clients.map((client) => client.socket.next('queue-entry-allowed', 10000)));
  assert.ok(entries.every(({ payload }) => payload.claimed === false && !payload.reservation));
  await postgres.start();
  await assertOneHoldEach(event.id, clients);
  await free(event.id, 15, 'right');
});

test('an offer that runs out gives its seats to the next buyer; its own buyer comes back, also after Redis has lost everything', async (t) => {
  const server = await serve(t, { env: { RESTORE_MS: 1000 } });
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 0, intervalMs: 100, claimMs: 1500, grid: { rows: 1, seatsPerRow: 1 } });
  const [asleep, next] = ['asleep', 'next'].map((sub) => new Client(server, { sub: `${sub}-${event.id}` }));
  for (const client of [asleep, next]) assert.equal((await client.check(event.id)).body.queued, true);
  await free(event.id, 1, 'known');
  await organizer.patch(event.id, { threshold: 1 });
  const holder = async () => (await holds(event.id)).filter((row) => row.status === 'held').map((row) => row.buyer.split('-')[0])[0];
  await waitUntil(async () => (await holder()) === 'u:asleep', 15000, 'the hold of the offer');
  // The next one claims as soon as it is their turn: with the same seat.
  await waitUntil(async () => (await next.check(event.id)).body.claimed === true, 15000, 'the turn of the next');
  await waitUntil(async () => (await holder()) === 'u:next', 15000, 'the seat');
  assert.equal((await asleep.status(event.id)).body.unclaimed, true);
  const entries = async () => (await rows(`SELECT kind FROM admissions WHERE event_id = $1 AND buyer LIKE 'u:asleep-%' ORDER BY at, n`, [event.id]))
    .map((row) => row.kind);
  await waitUntil(async () => (await entries()).join() === 'offered,unclaimed', 15000, 'the record');
  const { place } = (await rows(`SELECT place::text FROM admissions WHERE event_id = $1 AND kind = 'unclaimed'`, [event.id]))[0];
  await redis.cli('FLUSHALL');
  await waitUntil(async () => (await redis.cli('HGET', key('config', event.id), 'consumedLoaded')) === '1', 20000, 'the consumed places');
  assert.equal(await redis.cli('ZSCORE', key('consumed', event.id), `u:asleep-${event.id}`), null, 'a place that was kept is not consumed');
  assert.equal((await next.check(event.id)).body.claimed, true);
  assert.equal((await asleep.check(event.id)).body.position, 1);
  assert.equal((await next.leave(event.id)).status, 200);
  await waitUntil(async () => (await asleep.check(event.id)).body.claimed === true, 15000, 'the turn');
  await waitUntil(async () => (await holder()) === 'u:asleep', 15000, 'the seat again');
  const numbers = await rows(`SELECT kind, place::text, n::int FROM admissions WHERE event_id = $1 AND buyer LIKE 'u:asleep-%' AND kind IN ('offered', 'direct')
    ORDER BY n`, [event.id]);
  assert.deepEqual(numbers.map((row) => row.place), [place, place]);
  assert.notEqual(numbers[0].n, numbers[1].n, 'two admissions of one place');
});

test('PostgreSQL frozen during a sale: an entry waits two seconds for its seats, no longer', async (t) => {
  const { event, clients } = await doors(t, { count: 5 });
  await free(event.id, 20, 'known');
  await postgres.pause();
  try {
    await redis.cli('HSET', key('config', event.id), 'threshold', 5);
    await Promise.all(clients.map((client) => client.socket.next('queue-entry-allowed', 8000)));
  } finally {
    await postgres.resume();
  }
  await assertOneHoldEach(event.id, clients);
});

test('a cancelled seat lets the next buyer in, with that seat', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 10, intervalMs: 200, grid: { rows: 1, seatsPerRow: 1 } });
  const [first, second] = ['one', 'two'].map((sub) => new Client(server, { sub: `${sub}-${event.id}` }));
  await waitUntil(async () => (await first.check(event.id)).body.status === 'active', 15000, 'the first to be in');
  await waitUntil(async () => (await holds(event.id)).length === 1, 15000, 'the hold');
  assert.equal((await second.check(event.id)).body.queued, true, 'there is no seat for the second');
  const { id } = (await first.get('/api/reservations')).body.reservations[0];
  assert.equal((await first.post(`/api/reservations/${id}/cancel`)).status, 200);
  await waitUntil(async () => (await second.status(event.id)).body.status === 'active', 15000, 'the second to be in');
  await waitUntil(async () => (await holds(event.id)).some((row) => row.buyer.startsWith('u:two') && row.status === 'held'), 15000, 'the hold');
});

test('a new log whose ids are below the cursor is read from its start', async (t) => {
  const web = await serve(t, { roles: 'api' });
  const organizer = new Organizer(web);
  const event = await organizer.sale({ threshold: 5, intervalMs: 200, autoHold: 0 });
  await new Client(web, { sub: 'before' }).check(event.id);
  const processor = await serve(t, { roles: 'processor', ready: false });
  const copied = async () => (await rows('SELECT buyer FROM admissions WHERE event_id = $1 ORDER BY buyer', [event.id])).map((row) => row.buyer);
  await waitUntil(async () => (await copied()).length === 1, 15000, 'the first entry');
  await processor.stop();
  const [{ consumed }] = await rows('SELECT consumed FROM ledger_cursors WHERE event_id = $1', [event.id]);
  const ms = Number(consumed.split('-')[0]);
  await redis.cli('DEL', key('log', event.id));
  for (const [at, buyer] of [[ms - 5000, 'u:lower'], [ms + 5000, 'u:higher']])
    await redis.cli('XADD', key('log', event.id), `${at}-0`, 'kind', 'left', 'buyer', buyer, 'place', 7, 'epoch', 1, 'at', at,
      'inside', 0, 'threshold', 5, 'n', 1);
  await serve(t, { roles: 'processor', ready: false });
  await waitUntil(async () => (await copied()).length === 3, 10000, 'both entries');
  assert.deepEqual(await copied(), ['u:before', 'u:higher', 'u:lower']);
});

test('Redis lost its last writes: entries written below the cursor since then are read, whatever was written above', async (t) => {
  const server = await serve(t, { roles: 'api' });
  const processor = await serve(t, { roles: 'processor', ready: false });
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 50, intervalMs: 200, grid: { rows: 1, seatsPerRow: 20 } });
  const log = key('log', event.id);
  const copied = async () => (await rows('SELECT buyer FROM admissions WHERE event_id = $1', [event.id])).map((row) => row.buyer);
  for (const sub of ['one', 'two']) await new Client(server, { sub: `${sub}-${event.id}` }).check(event.id);
  await waitUntil(async () => (await holds(event.id)).length === 2 && (await freeNumbers(event.id)).free === 18, 15000, 'their holds');
  await processor.stop();
  // A cursor one hour ahead, as by the clock of the host that failed.
  const [{ consumed }] = await rows('SELECT consumed FROM ledger_cursors WHERE event_id = $1', [event.id]);
  const later = Number(consumed.split('-')[0]) + 3600000;
  await rows('UPDATE ledger_cursors SET consumed = $2 WHERE event_id = $1', [event.id, `${later}-0`]);
  const low = { id: `${Number(consumed.split('-')[0]) + 1}-0`, buyer: 'u:low' };
  const same = { id: `${later}-0`, buyer: 'u:same' };
  const high = { id: `${later + 5}-0`, buyer: 'u:high' };
  const write = (transaction, { id, buyer }) => transaction.xadd(log, id, 'kind', 'left', 'buyer', buyer, 'place', 7, 'epoch', 1, 'at', 1,
    'inside', 2, 'threshold', 50, 'n', 2);
  await write(write(write(redis.client.multi(), low), same), high).exec();
  await serve(t, { roles: 'processor', ready: false });
  await waitUntil(async () => (await copied()).length === 5, 10000, 'all three');
  await new Client(server, { sub: `three-${event.id}` }).check(event.id);
  await waitUntil(async () => (await holds(event.id)).length === 3 && (await freeNumbers(event.id)).free === 17, 15000, 'the third hold');
  assert.equal((await redis.cli('XLEN', log)), 6, 'nothing was copied');
});

test('Redis lost everything and its clock was behind for a while: entries written meanwhile are read', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 50, intervalMs: 200, grid: { rows: 1, seatsPerRow: 20 } });
  const copied = async () => (await rows('SELECT buyer FROM admissions WHERE event_id = $1', [event.id])).map((row) => row.buyer);
  await new Client(server, { sub: `one-${event.id}` }).check(event.id);
  await free(event.id, 19, 'one less');
  const [{ consumed }] = await rows('SELECT consumed FROM ledger_cursors WHERE event_id = $1', [event.id]);
  await redis.cli('FLUSHALL');
  await free(event.id, 19, 'known again');
  await waitUntil(async () => (await redis.cli('GET', key('lease', event.id))) !== null, 10000, 'the lease');
  const reads = async () => (await redis.commandStats()).exists; // each read of the log runs EXISTS first
  const before = await reads();
  await waitUntil(async () => (await reads()) > before + 5, 15000, 'the consumer to read from its cursor');
  const write = (transaction, id, buyer) => transaction.xadd(key('log', event.id), id, 'kind', 'left', 'buyer', buyer, 'place', 7, 'epoch', 1,
    'at', 1, 'inside', 0, 'threshold', 50, 'n', 1);
  await write(write(redis.client.multi(), `${Number(consumed.split('-')[0]) - 5000}-0`, 'u:low'), '*', 'u:high').exec();
  await waitUntil(async () => (await copied()).includes('u:high'), 10000, 'the entry above the cursor');
  assert.ok((await copied()).includes('u:low'), 'the entry below the cursor');
});

test('Redis loses everything again while the consumed places are reloaded page by page: in the end all are there', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 5, intervalMs: 200, autoHold: 0 });
  await new Client(server, { sub: 'known' }).check(event.id);
  await waitUntil(async () => (await rows('SELECT last_place::text FROM events WHERE id = $1', [event.id]))[0].last_place !== '0', 15000, 'the last place');
  await rows(`INSERT INTO admissions (event_id, epoch, buyer, place, kind, departed, at, inside, threshold, n, stream_id)
    SELECT $1, 1, 'u:s' || to_char(i, 'FM00000'), 1000 + i, 'left', true, now(), 0, 5, 1, '1-' || i FROM generate_series(1, 1200) AS i`, [event.id]);
  // Each page except the first takes PostgreSQL a second.
  await rows('ALTER FUNCTION consumed_places(text, bigint, text, integer) RENAME TO consumed_places_at_once');
  await rows(`CREATE FUNCTION consumed_places(p_event text, p_epoch bigint, p_after text, p_limit integer) RETURNS TABLE (buyer text, place bigint, kept bigint, used bigint, since bigint)
    LANGUAGE plpgsql AS $$ BEGIN
      IF p_after <> '' THEN PERFORM pg_sleep(1); END IF;
      RETURN QUERY SELECT * FROM consumed_places_at_once(p_event, p_epoch, p_after, p_limit);
    END $$`);
  t.after(async () => {
    await rows('DROP FUNCTION consumed_places(text, bigint, text, integer)');
    await rows('ALTER FUNCTION consumed_places_at_once(text, bigint, text, integer) RENAME TO consumed_places');
  });
  const loaded = () => redis.cli('ZCARD', key('consumed', event.id));
  await redis.cli('FLUSHALL');
  await waitUntil(async () => (await loaded()) >= 500, 15000, 'the first page');
  await redis.cli('FLUSHALL');
  await waitUntil(async () => (await redis.cli('HGET', key('config', event.id), 'consumedLoaded')) === '1', 20000, 'all to be loaded');
  assert.equal(await loaded(), 1200);
});

test('Redis loses everything during a batch: the consumed places are read after the batch is committed, not before', async (t) => {
  const server = await serve(t);
  const event = await new Organizer(server).sale({ threshold: 5, intervalMs: 200, autoHold: 0 });
  await new Client(server, { sub: 'known' }).check(event.id);
  const cursor = async () => (await rows('SELECT consumed FROM ledger_cursors WHERE event_id = $1', [event.id]))[0]?.consumed;
  await waitUntil(cursor, 15000, 'the first entry');
  // What a consumer does whose batch takes long: it locks the cursor first.
  const batch = rows(`DO $$ BEGIN
    UPDATE ledger_cursors SET consumed = consumed WHERE event_id = '${event.id}';
    INSERT INTO admissions (event_id, epoch, buyer, place, kind, departed, at, inside, threshold, n, stream_id)
    VALUES ('${event.id}', 1, 'u:late', 1000, 'left', true, now(), 0, 5, 1, '${await cursor()}');
    PERFORM pg_sleep(5); END $$`);
  await waitUntil(async () => (await rows("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'")).length > 0, 15000, 'the batch');
  await redis.cli('FLUSHALL');
  await waitUntil(async () => (await redis.cli('HGET', key('config', event.id), 'consumedLoaded')) === '1', 20000, 'all to be loaded');
  assert.equal(Number(await redis.cli('ZSCORE', key('consumed', event.id), 'u:late')), 1000);
  await batch;
});

test('a batch that takes PostgreSQL too long is split into smaller ones', async (t) => {
  const { organizer, event, clients } = await doors(t, { count: 200, told: false, grid: { rows: 5, seatsPerRow: 50 } });
  await free(event.id, 250, 'known');
  await rows(`CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.02); RETURN NEW; END $$`);
  await rows('CREATE TRIGGER slowly BEFORE INSERT ON admissions FOR EACH ROW EXECUTE FUNCTION slowly()');
  t.after(() => rows('DROP FUNCTION slowly() CASCADE'));
  await organizer.patch(event.id, { threshold: 200 });
  await waitUntil(async () => (await inside(event.id)) === 200, 20000, 'all inside');
  await assertOneHoldEach(event.id, clients);
  await free(event.id, 50, 'right');
});

test('two thousand admissions at once: each has its hold, in the order of the log', async (t) => {
  const { organizer, event } = await doors(t, { count: 2000, told: false, grid: { rows: 40, seatsPerRow: 50 } });
  await free(event.id, 2000, 'known');
  await organizer.patch(event.id, { threshold: 2000 });
  await waitUntil(async () => (await inside(event.id)) === 2000, 20000, 'all inside');
  await waitUntil(async () => (await freeNumbers(event.id)).free === 0, 40000, 'all seats held');
  const list = await rows(`SELECT r.place::text, rs.seat_id::int AS seat FROM reservations r JOIN reservation_seats rs ON rs.reservation_id = r.id
    WHERE r.event_id = $1 AND r.auto ORDER BY r.place`, [event.id]);
  assert.equal(list.length, 2000);
  assert.equal(new Set(list.map((row) => row.seat)).size, 2000);
  const first = Math.min(...list.map((row) => row.seat));
  const rank = ({ seat }) => 50 * Math.floor((seat - first) / 50) + Math.abs(2 * ((seat - first) % 50) - 49); // the row, then how far from its middle
  assert.ok(list.every((row, i) => i === 0 || rank(row) >= rank(list[i - 1])), 'the best seats go to the earliest places');
});
