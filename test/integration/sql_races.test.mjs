// SPDX-License-Identifier: MIT
//
// Many connections call the SQL functions of sql/functions/hold.sql at once: a seat is sold once, limits hold, and
// no caller sees an error of the database.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { dice, seedOf, waitUntil } from '../fixtures/index.mjs';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => {
  server = await startSql();
  sql = await server.fresh(50);
});
afterEach(() => sql.assertSound());
after(async () => {
  await sql.close();
  await server.stop();
});

const count = (rows) => rows.reduce((sum, { outcome }) => ({ ...sum, [outcome]: (sum[outcome] ?? 0) + 1 }), {});
const crowd = (n, visit) => Promise.all(Array.from({ length: n }, (_, i) => visit(i)));

test('200 buyers hold the same seat: one gets it, the others are told it is taken', async () => {
  const [seat] = await sql.event('one');
  const rows = await crowd(200, (i) => sql.hold('one', `u:${i}`, { seats: [seat] }));
  assert.deepEqual(count(rows), { created: 1, 'seat-taken': 199 });
  assert.ok(rows.every((row) => row.outcome === 'created' || row.body.seats[0] === seat));
});

for (const quantity of [1, 2, 3]) {
  test(`best available by ${quantity}: 100 buyers at once fill the hall to the last group`, async () => {
    const event = `fill${quantity}`;
    await sql.event(event, { rows: 10, perRow: 12 });
    const groups = Math.floor(12 / quantity) * 10;
    const rows = await crowd(groups + 40, (i) => sql.hold(event, `u:${i}`, { quantity }));
    const outcomes = count(rows);
    assert.equal(outcomes.created + (outcomes['seat-taken'] ?? 0) + (outcomes['no-seats'] ?? 0)
      + (outcomes['no-adjacent'] ?? 0), groups + 40);
    for (const { body } of rows.filter((row) => row.outcome === 'created')) {
      const [first] = body.seats;
      body.seats.forEach((seat, i) => assert.deepEqual([seat.row, seat.number], [first.row, first.number + i]));
    }
    // Parallel holds may split a row; a later hold gets the rest.
    if (quantity === 1) assert.equal(outcomes.created, groups);
    for (let i = 0; (await sql.hold(event, `u:late${i}`, { quantity })).outcome === 'created'; i++);
    const left = (await sql.map(event)).seats.filter((seat) => seat.status === 'available');
    assert.ok(left.length <= (quantity - 1) * 120 / 4, `${left.length} left`);
  });
}

test('many buyers want the last two seats as a pair: exactly one gets them', async () => {
  for (let round = 0; round < 20; round++) {
    const event = `pair${round}`;
    await sql.event(event, { perRow: 2 });
    const rows = await crowd(20, (i) => sql.hold(event, `u:${i}`, { quantity: 2 }));
    assert.equal(count(rows).created, 1, JSON.stringify(count(rows)));
  }
});

test('one buyer in twenty tabs: one hold, and never more than maxSeats', async () => {
  const seats = await sql.event('tabs', { rows: 4, maxSeats: 3 });
  for (let round = 0; round < 4; round++) {
    const rows = await crowd(20, (i) => sql.hold('tabs', 'u:1', i % 2 ? { quantity: 2 } : { seats: [seats[i]] }));
    const bodies = rows.filter((row) => row.outcome === 'created').map((row) => row.body);
    const { n } = await sql.row(`SELECT count(*) AS n FROM reservations
      WHERE event_id = 'tabs' AND buyer = 'u:1' AND status = 'held'`);
    assert.equal(n, bodies.length > 0 ? 1 : 0);
    await sql.assertSound();
    await Promise.all(bodies.map((body) => sql.paid(body.id, 'p', body.id, body.totalAmount, 'EUR')));
    await sql.assertSound();
  }
});

test('one key sent twenty times at once for two events makes one reservation', async () => {
  await sql.event('key1');
  await sql.event('key2');
  const rows = await crowd(20, (i) => sql.hold(`key${1 + (i % 2)}`, 'u:1', { quantity: 1, key: 'k' }));
  assert.deepEqual(count(rows), { created: 1, repeated: 9, 'idempotency-conflict': 10 });
});

test('one payment reported twenty times at once for two reservations counts once', async () => {
  await sql.event('pay');
  const one = (await sql.hold('pay', 'u:1', { quantity: 1 })).body;
  const two = (await sql.hold('pay', 'u:2', { quantity: 1 })).body;
  const rows = await crowd(20, (i) => sql.paid((i % 2 ? one : two).id, 'p', 'same', 1000, 'EUR'));
  assert.deepEqual(count(rows), { confirmed: 1, repeated: 9, 'reference-used': 10 });
});

test('confirm, cancel and swap of one hold at once: one of these wins', async (t) => {
  const seats = await sql.event('trio', { rows: 3 });
  const roll = dice(seedOf(t));
  for (let round = 0; round < 20; round++) {
    const who = `u:${round}`;
    const { body } = await sql.hold('trio', who, { quantity: 1 });
    if (!body.id) break;
    await Promise.all([
      sql.paid(body.id, 'p', body.id, 1000, 'EUR'),
      sql.call('reservation_cancel', who, body.id),
      sql.hold('trio', who, { seats: [roll.any(seats)] }),
      sql.call('reservation_sweep', 5),
    ]);
  }
});

test('holds expire while others want the seats and the owners pay, swap and cancel', async (t) => {
  const seats = await sql.event('lapse', { rows: 2, perRow: 5, holdMs: 15, maxSeats: 3 });
  const seen = {};
  const note = ({ outcome }) => (seen[outcome] = (seen[outcome] ?? 0) + 1);
  const seed = seedOf(t);
  await crowd(40, async (i) => {
    const roll = dice(seed + i);
    for (let round = 0; round < 25; round++) {
      const list = [...new Set([roll.any(seats), roll.any(seats), roll.any(seats)])];
      const row = await sql.hold('lapse', `u:${i}`, roll.chance(0.6) ? { seats: list } : { quantity: 1 + round % 3 });
      note(row);
      if (row.outcome !== 'created') continue;
      if (roll.chance(0.3)) note(await sql.call('reservation_cancel', `u:${i}`, row.body.id));
      else if (roll.chance(0.005)) note(await sql.paid(row.body.id, 'p', row.body.id, row.body.totalAmount, 'EUR'));
      if (roll.chance(0.1)) note(await sql.call('reservation_sweep', 3));
    }
  });
  assert.ok(seen.created > 100, JSON.stringify(seen));
});

// The batch has read the old epoch and makes its holds after the clear has given back those it found.
test('a clear during a batch of the admission log leaves no auto-hold behind', async () => {
  for (const [event, first] of [['amid1', 'the first batch'], ['amid2', 'a later one']]) {
    await sql.event(event, { rows: 2 });
    const entry = (n) => [{ id: `${n}-0`, kind: 'promote', departed: false, buyer: `u:${n}`, place: n, epoch: 1, at: Date.now(), inside: n,
      threshold: 9, n, active: true }];
    if (event === 'amid2') await sql.call('ledger_consume', event, '0-0', '1-0', JSON.stringify(entry(1)));
    const batch = await sql.pool.connect();
    await batch.query('BEGIN');
    const { rows } = await batch.query('SELECT * FROM ledger_consume($1, $2, $3, $4)',
      [event, event === 'amid2' ? '1-0' : '0-0', '2-0', JSON.stringify(entry(2))]);
    assert.deepEqual([rows[0].outcome, rows[0].held], ['consumed', 1]);
    const clearing = sql.call('event_clear', event, 'me');
    await waitUntil(async () => (await sql.rows("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%event_clear%'")).length > 0, 15000, 'the clear to wait for the batch');
    await batch.query('COMMIT');
    batch.release();
    assert.equal((await clearing).outcome, 'updated');
    const held = await sql.rows(`SELECT buyer FROM reservations WHERE event_id = $1 AND status = 'held'`, [event]);
    assert.deepEqual(held, [], first);
  }
});

// Deadlocks are avoided by the order of locks: a retry after one would cost the buyer a second.
test('the tests before this one made no deadlock', async () => {
  assert.equal(await sql.deadlocks(), 0);
});
