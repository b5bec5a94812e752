// SPDX-License-Identifier: MIT
//
// A thousand admitted buyers compete for the same thousand seats, on two processes over HTTP: no seat is sold twice or
// lost, no hold leaks, and no buyer sees an error of the database; also while PostgreSQL stops, crashes and fails over
// to its standby.

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, SLOW, Server, atEnd, dice, many, pay, seedOf, waitUntil } from '../fixtures/index.mjs';
import { Sql } from './sql_support.mjs';

const BUYERS = process.env.TIKETI_SAN ? 200 : 1000;
const WIDTH = 100; // requests at once

let redis, postgres;
const servers = [];
const agents = [];

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});

afterEach(async () => {
  for (const agent of agents.splice(0)) agent.destroy();
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

after(async () => {
  await redis?.stop();
  await postgres?.stop();
});

async function pods(database, env = {}) {
  const started = await Promise.all([1, 2].map(() => Server.start({ redis, database, env: { DB_POOL_MAX: 6, ...env } })));
  for (const server of started) {
    server.agent = new Agent({ keepAlive: true, maxSockets: WIDTH });
    agents.push(server.agent);
    atEnd(() => server.agent.destroy());
  }
  servers.push(...started);
  return started;
}

// Admitted buyers, half of them on each process.
async function inside(started, event, names) {
  const buyers = names.map((sub, i) => new Client(started[i % 2], { sub }));
  await many(buyers, 32, async (buyer) => {
    const answer = await buyer.check(event.id, { agent: buyer.server.agent });
    assert.equal(answer.body.status, 'active', answer.text);
  });
  return buyers;
}

const named = (count, name = 'b') => Array.from({ length: count }, (_, i) => `${name}${i}`);
const seatIds = async (server, event) => (await server.get(`/api/seats/${event.id}`)).body.seats.map((seat) => seat.id);

function reserve(buyer, order, { key, server = buyer.server } = {}) {
  return server.post('/api/reservations', { json: order, agent: server.agent, timeoutMs: 30000,
    headers: { authorization: `Bearer ${buyer.token}`, ...(key ? { 'idempotency-key': key } : {}) } });
}

async function sound(database) {
  const sql = new Sql(database.url, 1);
  await sql.assertSound();
  await sql.close();
}

const deadlocks = async (database) => (await database.query('SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = $1', [database.name]))[0].n;

// Lets every hold expire; then the sweep has to leave the hall as it was.
async function wholeAgain(database, event, seats) {
  await database.query(`UPDATE reservations SET expires_at = now() - interval '1 second' WHERE status = 'held'`);
  await database.query(`UPDATE seats SET held_until = now() - interval '1 second' WHERE status = 'held'`);
  await waitUntil(async () => (await database.query(`SELECT count(*)::int AS n FROM seats WHERE event_id = $1 AND status = 'available'`,
    [event.id]))[0].n === seats, 60000, 'the hall to be whole');
  const [{ live, held }] = await database.query(`SELECT (SELECT count(*)::int FROM reservation_seats WHERE live) AS live,
    (SELECT count(*)::int FROM reservations WHERE status = 'held') AS held`);
  assert.deepEqual({ live, held }, { live: 0, held: 0 }, 'nothing of a hold is left');
}

test(`${BUYERS} buyers, ${BUYERS} seats, by seat and by best available on two processes: each gets exactly one`, { timeout: 600000 }, async (t) => {
  const seed = seedOf(t);
  const database = await postgres.migrated();
  const started = await pods(database);
  const event = await new Organizer(started[0]).sale({ threshold: BUYERS, autoHold: 0, maxSeats: 1, grid: { rows: BUYERS / 50, seatsPerRow: 50 } });
  const buyers = await inside(started, event, named(BUYERS));
  const seats = await seatIds(started[0], event);
  const statuses = {};
  const attempt = async (buyer, order) => {
    const answer = await reserve(buyer, order);
    statuses[answer.status] = (statuses[answer.status] ?? 0) + 1;
    assert.ok(answer.status === 201 || (answer.status === 409 && ['seat-taken', 'no-seats'].includes(answer.body.code)), `${answer.status} ${answer.text}`);
    return answer.status === 201 ? answer.body : undefined;
  };
  const got = await many(buyers, WIDTH, async (buyer, i) => {
    const roll = dice(seed + i);
    // Half of the buyers choose seats, at first all from the same sixty; after five refusals they take the best available.
    for (let tries = 0; i % 2 === 0 && tries < 5; tries++) {
      const mine = await attempt(buyer, { eventId: event.id, seatIds: [tries < 2 ? seats[roll.below(60)] : roll.any(seats)] });
      if (mine) return mine;
    }
    for (;;) {
      const mine = await attempt(buyer, { eventId: event.id, quantity: 1 });
      if (mine) return mine;
    }
  });
  assert.equal(new Set(got.map((reservation) => reservation.seats[0].id)).size, BUYERS, 'every seat once');
  await sound(database);
  // Swaps while no seat is free: all are refused, and every buyer keeps their seat.
  await many(dice(seed).shuffled(buyers).slice(0, 200), WIDTH, async (buyer, i) => {
    const roll = dice(seed + i);
    const order = roll.chance(0.5) ? { quantity: 1 } : { seatIds: [roll.any(seats)] };
    const answer = await reserve(buyer, { eventId: event.id, ...order });
    assert.ok([201, 409].includes(answer.status), answer.text); // 201: the buyer's own seat again
  });
  assert.equal((await database.query("SELECT count(*)::int AS n FROM seats WHERE status = 'held'"))[0].n, BUYERS, 'no seat was lost');
  // A third of the buyers cancels while another third swaps to the freed seats.
  const mine = async (buyer) => (await buyer.get('/api/reservations', { agent: buyer.server.agent })).body.reservations.find((one) => one.status === 'held');
  await many(buyers, WIDTH, async (buyer, i) => {
    if (i % 3 === 0) {
      const { id } = await mine(buyer);
      const answer = await buyer.post(`/api/reservations/${id}/cancel`, { agent: buyer.server.agent });
      assert.equal(answer.status, 200, answer.text);
    } else if (i % 3 === 1) {
      const answer = await reserve(buyer, { eventId: event.id, seatIds: [dice(seed + i).any(seats)] });
      assert.ok([201, 409].includes(answer.status), answer.text);
    }
  });
  await sound(database);
  const third = Math.ceil(BUYERS / 3);
  assert.equal((await database.query("SELECT count(*)::int AS n FROM seats WHERE status = 'held'"))[0].n, BUYERS - third, 'as many as have one');
  await wholeAgain(database, event, BUYERS);
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  assert.equal(await deadlocks(database), 0);
});

test('groups of one to four sit side by side, no seat is held twice, and the hall is whole afterwards', { timeout: 300000 }, async (t) => {
  const seed = seedOf(t);
  const database = await postgres.migrated();
  const started = await pods(database);
  const event = await new Organizer(started[0]).sale({ threshold: 1000, autoHold: 0, maxSeats: 4, grid: { rows: 20, seatsPerRow: 20 } });
  const buyers = await inside(started, event, named(300, 'g'));
  const seats = await seatIds(started[0], event);
  await many(buyers, WIDTH, async (buyer, i) => {
    const roll = dice(seed + i);
    for (let tries = 0; tries < 4; tries++) {
      const at = roll.below(seats.length - 4);
      const answer = await reserve(buyer, { eventId: event.id, ...(i % 2 ? { quantity: 1 + (i % 4) } : { seatIds: roll.shuffled(seats.slice(at, at + 1 + (i % 4))) }) });
      assert.ok([201, 409].includes(answer.status), `${answer.status} ${answer.text}`);
      if (answer.status === 201 && i % 2) {
        const [first] = answer.body.seats;
        answer.body.seats.forEach((seat, n) => assert.deepEqual([seat.row, seat.number], [first.row, first.number + n]));
      }
    }
  });
  await sound(database);
  // No seat was lost: single buyers can still hold every seat that is not held.
  const [{ free }] = await database.query("SELECT count(*)::int AS free FROM seats WHERE status = 'available'");
  const late = await inside(started, event, named(free + 5, 'late'));
  const outcomes = await many(late, WIDTH, async (buyer) => (await reserve(buyer, { eventId: event.id, quantity: 1 })).status);
  assert.equal(outcomes.filter((status) => status === 201).length, free);
  await wholeAgain(database, event, 400);
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  assert.equal(await deadlocks(database), 0);
});

test('one buyer, twenty requests at once on two processes: one hold, one answer per key, never over the limit', { timeout: 120000 }, async () => {
  const database = await postgres.migrated();
  const started = await pods(database);
  const event = await new Organizer(started[0]).sale({ threshold: 100, autoHold: 0, maxSeats: 3, grid: { rows: 4, seatsPerRow: 25 } });
  const [buyer] = await inside(started, event, ['greedy']);
  const twenty = (order, key) => Promise.all(Array.from({ length: 20 }, (_, i) => reserve(buyer, order(i), { key: key?.(i), server: started[i % 2] })));
  const held = async () => (await database.query(`SELECT count(*)::int AS n, coalesce(sum(seat_count), 0)::int AS seats,
    (SELECT count(*)::int FROM seats WHERE status = 'held') AS taken FROM reservations WHERE status = 'held'`))[0];

  const plain = await twenty(() => ({ eventId: event.id, quantity: 2 }));
  assert.ok(plain.every((answer) => answer.status === 201), JSON.stringify(plain.map((answer) => answer.status)));
  assert.deepEqual(await held(), { n: 1, seats: 2, taken: 2 });

  const keyed = await twenty(() => ({ eventId: event.id, quantity: 3 }), () => 'the-same');
  assert.deepEqual(keyed.map((answer) => answer.status).sort(), [...Array(19).fill(200), 201]);
  assert.equal(new Set(keyed.map((answer) => answer.text)).size, 1, 'the same answer to all');
  assert.deepEqual(await held(), { n: 1, seats: 3, taken: 3 });

  const mixed = await twenty((i) => ({ eventId: event.id, quantity: 1 + (i % 4) }), (i) => `key-${i % 10}`);
  for (const [i, answer] of mixed.entries()) {
    const expected = i % 4 === 3 ? ['limit'] : ['idempotency-conflict', undefined];
    assert.ok([200, 201, 409].includes(answer.status), answer.text);
    if (answer.status === 409) assert.ok(expected.includes(answer.body.code) || answer.body.code === 'idempotency-conflict', answer.text);
  }
  assert.equal((await held()).n, 1);
  await sound(database);

  // Two are bought: from now on the limit leaves one more, however many requests come at once.
  const two = await reserve(buyer, { eventId: event.id, quantity: 2 });
  assert.equal((await pay(started[0], two.body)).status, 200);
  await inside(started, event, ['greedy']); // paying ended the admission
  const more = await twenty((i) => ({ eventId: event.id, quantity: 1 + (i % 2) }));
  for (const [i, answer] of more.entries()) assert.equal(answer.status, i % 2 ? 409 : 201, answer.text);
  assert.deepEqual(await held(), { n: 1, seats: 1, taken: 1 });
  await sound(database);
});

test('a hold is swapped, paid for and cancelled at once: one of these wins, and the money is accounted for', { timeout: 120000 }, async () => {
  const database = await postgres.migrated();
  const started = await pods(database);
  const event = await new Organizer(started[0]).sale({ threshold: 100, autoHold: 0, maxSeats: 2, grid: { rows: 10, seatsPerRow: 10 } });
  const buyers = await inside(started, event, named(40, 's'));
  const seats = await seatIds(started[0], event);
  await many(buyers, 10, async (buyer, i) => {
    const first = await reserve(buyer, { eventId: event.id, quantity: 1 });
    assert.equal(first.status, 201, first.text);
    const answers = await Promise.all([
      pay(started[i % 2], first.body),
      reserve(buyer, { eventId: event.id, seatIds: [seats[50 + i]] }, { server: started[(i + 1) % 2] }),
      ...(i % 2 ? [buyer.post(`/api/reservations/${first.body.id}/cancel`, { agent: buyer.server.agent })] : []),
    ]);
    for (const answer of answers) assert.ok(answer.status < 500, answer.text);
    assert.equal(answers[0].status, 200, answers[0].text);
  });
  await sound(database);
  const [sums] = await database.query(`SELECT
    (SELECT coalesce(sum(amount), 0)::int FROM payments WHERE status = 'paid') AS paid,
    (SELECT coalesce(sum(price), 0)::int FROM seats WHERE status = 'sold') AS sold,
    (SELECT count(*)::int FROM payments WHERE status IN ('paid', 'refund_due')) AS payments`);
  assert.equal(sums.paid, sums.sold, 'money kept is seats sold');
  assert.equal(sums.payments, 40, 'all of it is on record');
});

// What a client does that repeats its request with the same key until it gets a clear answer.
async function persist(buyer, order, key, deadlineMs = 120000) {
  let at = 0;
  return waitUntil(async () => {
    const answer = await reserve(buyer, order, { key, server: servers[at++ % servers.length] }).catch((error) => ({ status: 0, text: String(error) }));
    if (answer.status >= 200 && answer.status < 500) return answer;
    const wrong = (why) => Object.assign(new Error(`${why}: ${answer.status} ${answer.text}`), { final: true });
    if (![0, 503].includes(answer.status)) throw wrong('no buyer may see this');
    if (answer.status === 503 && !answer.headers['retry-after']) throw wrong('not told when to come again');
    return undefined;
  }, deadlineMs, 'a clear answer');
}

// 300 buyers keep swapping with keys while `trouble` happens. Afterwards each key still has the answer it was given,
// and the last answer of a buyer is what the buyer holds.
async function through(t, database, trouble, { read = database } = {}) {
  const started = await pods(database, { DB_TIMEOUT_MS: 2000 });
  const event = await new Organizer(started[0]).sale({ threshold: 1000, autoHold: 0, maxSeats: 2, idleTimeoutMs: 3600000, grid: { rows: 20, seatsPerRow: 50 } });
  const buyers = await inside(started, event, named(300, 'p'));
  const given = buyers.map(() => []);
  let over = false;
  const load = many(buyers, 60, async (buyer, i) => {
    for (let n = 0; n < 2 || (!over && n < 500); n++) {
      const order = { eventId: event.id, quantity: 1 + ((i + n) % 2) };
      const key = `k-${i}-${n}`;
      const answer = await persist(buyer, order, key);
      assert.ok([200, 201, 409].includes(answer.status), `${answer.status} ${answer.text}`);
      given[i].push({ key, order, answer });
      if (over && n >= 1) return;
    }
  });
  load.catch(() => {});
  await waitUntil(() => given.flat().length > 300, 60000, 'buyers to be busy');
  await trouble();
  const mark = given.flat().length;
  await waitUntil(() => given.flat().length > mark + 100, 120000, 'buying to go on');
  over = true;
  await load;
  const created = given.flatMap((list, i) => list.filter(({ answer }) => answer.status !== 409).map((one) => ({ ...one, buyer: buyers[i] })));
  const ids = created.map(({ answer }) => answer.body.id);
  const [{ n }] = await read.query('SELECT count(*)::int AS n FROM reservations WHERE id = ANY ($1::uuid[])', [ids]);
  assert.equal(n, new Set(ids).size, 'every answered hold is there');
  await many(dice(seedOf(t)).shuffled(created).slice(0, 200), 32, async ({ buyer, order, key, answer }) => {
    const again = await persist(buyer, order, key); // the other process may still be reconnecting
    assert.equal(again.status, 200, again.text);
    assert.deepEqual(again.body, answer.body, 'the same answer to the same key');
  });
  for (const [i, list] of given.entries()) {
    // A refusal is not stored under its key: an earlier try of that order may have succeeded later.
    if (list.some(({ answer }) => answer.status === 409)) continue;
    const last = list.at(-1);
    const [row] = await read.query('SELECT id FROM reservations WHERE status = $2 AND buyer = $1', [`u:p${i}`, 'held']);
    assert.equal(row?.id, last.answer.body.id, 'the last answer is what the buyer holds');
  }
  await sound(read);
  await wholeAgain(read, event, 1000);
}

for (const signal of ['SIGINT', 'SIGQUIT']) {
  test(`PostgreSQL restarts (${signal}) under load: commits survive, and every buyer gets a clear answer`, { timeout: 300000 }, async (t) => {
    await through(t, await postgres.migrated(), () => postgres.restart(signal));
  });
}

for (const [name, end] of [['is killed', (primary) => primary.halt('SIGQUIT')], ['hangs', (primary) => primary.pause()]]) {
  test(`the primary ${name} under load and its standby is promoted: no answered hold is lost`, { timeout: 300000 }, async (t) => {
    const primary = await Postgres.start();
    const standby = await primary.standby();
    try {
      const database = await primary.migrated();
      await primary.synchronous();
      await through(t, { ...database.among(primary, standby), query: (...args) => database.query(...args) }, async () => {
        await end(primary);
        await standby.promote();
      }, { read: database.on(standby) });
      await Promise.all(servers.splice(0).map((server) => server.stop()));
    } finally {
      await standby.stop();
      await primary.stop();
    }
  });
}

test('a frozen PostgreSQL is reported "down" within five seconds without any request, and "up" again', { timeout: 60000 }, async () => {
  const own = await Postgres.start();
  try {
    const [server] = await pods(await own.migrated());
    const state = async () => (await server.get('/readyz')).body.postgres;
    await waitUntil(async () => (await state()) === 'up', 15000, 'up');
    await own.pause();
    const from = Date.now();
    await waitUntil(async () => (await state()) === 'down', 15000, 'down');
    assert.ok(Date.now() - from < 5000 * SLOW, `after ${Date.now() - from} ms`);
    await own.resume();
    await waitUntil(async () => (await state()) === 'up', 15000, 'up again');
    await Promise.all(servers.splice(0).map((one) => one.stop()));
  } finally {
    await own.stop();
  }
});

test('the running program forgets idempotency keys older than a day and keeps younger ones', { timeout: 60000 }, async () => {
  const database = await postgres.migrated();
  const started = await pods(database);
  const event = await new Organizer(started[0]).sale({ threshold: 10, autoHold: 0, grid: { rows: 1, seatsPerRow: 10 } });
  const [buyer] = await inside(started, event, ['keyed']);
  const first = await reserve(buyer, { eventId: event.id, quantity: 1 }, { key: 'today' });
  await database.query(`INSERT INTO idempotency_keys (buyer, key, wanted, answer, created_at)
    SELECT 'u:old', i::text, 'x', '{}', now() - interval '25 hours' FROM generate_series(1, 1200) AS i`);
  await waitUntil(async () => (await database.query('SELECT count(*)::int AS n FROM idempotency_keys'))[0].n === 1, 30000, 'the old keys to go');
  const again = await reserve(buyer, { eventId: event.id, quantity: 1 }, { key: 'today' });
  assert.deepEqual([again.status, again.body], [200, first.body]);
});
