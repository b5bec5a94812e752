// SPDX-License-Identifier: MIT
//
// The SQL functions of payments: money for a hold that was swapped, cancelled or expired meanwhile; refunds; and all
// of it at once.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { dice, seedOf } from '../fixtures/index.mjs';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => (server = await startSql()));
after(() => server.stop());
beforeEach(async () => (sql = await server.fresh(16)));
afterEach(async () => {
  await sql.assertSound();
  await assertMoney();
  await sql.close();
});

// After each test: the money kept equals the price of the sold seats, and every paid payment has its seats.
async function assertMoney() {
  const broken = await sql.rows(`
    SELECT 'paid for nothing' AS what, p.reference AS which FROM payments p JOIN reservations r ON r.id = p.reservation_id
    WHERE p.status = 'paid' AND r.status <> 'confirmed'
    UNION ALL
    SELECT 'not paid once', r.id::text FROM reservations r WHERE r.status = 'confirmed' AND r.total > 0
      AND 1 <> (SELECT count(*) FROM payments p WHERE p.reservation_id = r.id AND p.status = 'paid')
    UNION ALL
    SELECT 'another sum', e.id FROM events e
    WHERE (SELECT coalesce(sum(amount), 0) FROM payments p JOIN reservations r ON r.id = p.reservation_id
           WHERE r.event_id = e.id AND p.status = 'paid')
       <> (SELECT coalesce(sum(price), 0) FROM seats s WHERE s.event_id = e.id AND s.status = 'sold')
    UNION ALL
    SELECT 'settled without a time', p.reference FROM payments p WHERE (p.status = 'pending') <> (p.settled_at IS NULL)`);
  assert.deepEqual(broken, []);
}

const held = async (event, buyer, order) => {
  const row = await sql.hold(event, buyer, order);
  assert.equal(row.outcome, 'created', JSON.stringify(row.body));
  return row.body;
};
const begin = async (buyer, reservation) => (await sql.call('payment_begin', buyer, reservation.id, 'demo', null, null)).body;
const told = (reservation, { provider, reference }, status = 'paid', amount = reservation.totalAmount) =>
  sql.call('payment_report', reservation.id, provider, reference, amount, 'EUR', status);
const payment = async ({ reference }) => (await sql.row('SELECT status FROM payments WHERE reference = $1', [reference])).status;

test('a hold is swapped while it is being paid: the money is due back, the new hold stays', async () => {
  const seats = await sql.event('swap');
  const old = await held('swap', 'u:1', { seats: [seats[0]] });
  const order = await begin('u:1', old);
  const next = await held('swap', 'u:1', { seats: [seats[1]] });
  assert.equal((await told(old, order)).outcome, 'refund-due');
  assert.equal(await payment(order), 'refund_due');
  const second = await begin('u:1', next);
  assert.notEqual(second.reference, order.reference);
  assert.equal((await told(next, second)).outcome, 'confirmed');
  assert.equal((await told(old, order, 'refunded')).outcome, 'refunded');
  assert.equal(await payment(second), 'paid');
});

test('a hold is cancelled while it is being paid: the money is due back, and the seat is free', async () => {
  const [seat] = await sql.event('cancel', { perRow: 1 });
  const first = await held('cancel', 'u:1', { seats: [seat] });
  const order = await begin('u:1', first);
  await sql.call('reservation_cancel', 'u:1', first.id);
  await held('cancel', 'u:2', { seats: [seat] });
  assert.equal((await told(first, order)).outcome, 'refund-due');
  assert.equal((await told(first, order)).outcome, 'repeated');
});

test('a late payment, before and after the sweep: sold if the seats are free, else due back', async () => {
  for (const [event, sweep, taken] of [['a', false, false], ['b', true, false], ['c', false, true], ['d', true, true]]) {
    const seats = await sql.event(event, { perRow: 2 });
    const first = await held(event, 'u:1', { seats });
    const order = await begin('u:1', first);
    await sql.lapse(first.id);
    if (sweep) await sql.call('reservation_sweep', 10);
    if (taken) await held(event, 'u:2', { seats: [seats[1]] });
    assert.equal((await told(first, order)).outcome, taken ? 'refund-due' : 'confirmed', event);
    assert.equal((await sql.call('payment_begin', 'u:1', first.id, 'demo', null, null)).outcome, taken ? 'expired' : 'already-paid');
  }
});

test('an auto-hold with a pending payment is kept when the admission ends', async () => {
  await sql.event('auto');
  const one = await held('auto', 'u:1', { quantity: 1, place: 0 });
  await sql.rows('UPDATE reservations SET auto = true, place = 7 WHERE id = $1', [one.id]);
  const order = await begin('u:1', one);
  assert.equal((await sql.call('reservation_release', 'auto', 'u:1', 7)).outcome, 'nothing');
  assert.equal((await told(one, order, 'failed')).outcome, 'failed');
  assert.equal((await sql.call('reservation_release', 'auto', 'u:1', 7)).outcome, 'released');
});

test('a refund frees the seats for others and the buyer\'s limit; repeating it changes nothing', async () => {
  const seats = await sql.event('room', { perRow: 4, maxSeats: 4 });
  const first = await held('room', 'u:1', { seats });
  const order = await begin('u:1', first);
  await told(first, order);
  assert.equal((await sql.hold('room', 'u:1', { quantity: 1 })).outcome, 'limit');
  assert.equal((await sql.call('payment_refund', 'room', first.id, 'owner')).outcome, 'refunded');
  const again = await held('room', 'u:1', { seats: seats.slice(0, 2) });
  const next = await held('room', 'u:2', { seats: seats.slice(2) });
  await told(again, await begin('u:1', again));
  await told(next, await begin('u:2', next));
  assert.equal((await sql.call('payment_refund', 'room', first.id, 'owner')).outcome, 'repeated');
  assert.equal((await told(first, order, 'refunded')).outcome, 'refunded');
  assert.equal((await told(first, order, 'refunded')).outcome, 'repeated');
  assert.deepEqual(await sql.rows("SELECT DISTINCT status FROM seats WHERE event_id = 'room'"), [{ status: 'sold' }]);
  assert.equal((await sql.row("SELECT count(*) AS n FROM audit WHERE event_id = 'room' AND verb = 'refund'")).n, 1);
});

test('parts of a payment that the provider returns are added up; the whole frees the seats', async () => {
  const seats = await sql.event('parts');
  const reservation = await held('parts', 'u:1', { seats: seats.slice(0, 3) });
  const order = await begin('u:1', reservation);
  const part = (amount, refund, currency = 'EUR') =>
    sql.call('payment_report_part', reservation.id, 'demo', order.reference, amount, currency, refund);
  const stored = () => sql.row('SELECT status, refunded_amount AS back FROM payments WHERE reference = $1', [order.reference]);
  const early = await part(500, 'r1');
  assert.deepEqual([early.outcome, early.body.payment, early.body.refundedAmount], ['partly-refunded', 'pending', 500], 'before it is known to be paid');
  assert.equal((await told(reservation, order)).outcome, 'confirmed');
  assert.deepEqual(await stored(), { status: 'paid', back: 500 });
  assert.equal((await part(500, 'r1')).outcome, 'repeated');
  assert.deepEqual([(await part(400, 'r1')).outcome, (await part(0, 'r0')).outcome, (await part(2501, 'r2')).outcome, (await part(1, 'r3', 'USD')).outcome],
    Array(4).fill('wrong-amount'));
  assert.deepEqual((await part(1000, 'r2')).body.refundedAmount, 1500);
  assert.deepEqual(await stored(), { status: 'paid', back: 1500 });
  assert.equal((await sql.call('reservation_get', 'u:1', reservation.id)).body.status, 'confirmed');
  const [listed] = (await sql.call('payment_list', 'parts', null, false, null, 10)).body.payments;
  assert.deepEqual([listed.amount, listed.refundedAmount, listed.status], [3000, 1500, 'paid']);
  const rest = await part(1500, 'r4');
  assert.deepEqual([rest.outcome, rest.body.status, rest.body.payment, rest.body.refundedAmount], ['refunded', 'refunded', 'refunded', 3000]);
  assert.deepEqual(await stored(), { status: 'refunded', back: 3000 });
  assert.equal((await sql.map('parts')).seats[0].status, 'available');
  assert.deepEqual([(await part(1500, 'r4')).outcome, (await part(1, 'r5')).outcome, (await told(reservation, order, 'refunded')).outcome], Array(3).fill('repeated'));
});

test('a part of a refund that is due leaves it due; a whole one ends it; the reference of another is refused', async () => {
  const seats = await sql.event('due');
  const reservation = await held('due', 'u:1', { seats: seats.slice(0, 2) });
  const order = await begin('u:1', reservation);
  await told(reservation, order);
  await sql.call('payment_refund', 'due', reservation.id, 'boss');
  const part = (one, amount, refund) => sql.call('payment_report_part', one.id, 'demo', order.reference, amount, 'EUR', refund);
  assert.deepEqual([(await part(reservation, 700, 'a')).body.payment, await payment(order)], ['refund_due', 'refund_due']);
  const other = await held('due', 'u:2', { seats: [seats[5]] });
  assert.equal((await part(other, 700, 'b')).outcome, 'reference-used');
  assert.equal((await told(reservation, order, 'refunded')).outcome, 'refunded');
  assert.deepEqual(await sql.row('SELECT status, refunded_amount AS back FROM payments WHERE reference = $1', [order.reference]), { status: 'refunded', back: 2000 });
  const unheard = await sql.call('payment_report_part', other.id, 'demo', 'never-begun', 400, 'EUR', 'c');
  assert.deepEqual([unheard.outcome, unheard.body.payment], ['partly-refunded', 'failed']);
  assert.equal((await told(other, { provider: 'demo', reference: 'never-begun' })).outcome, 'confirmed');
  assert.deepEqual(await sql.row("SELECT status, refunded_amount AS back FROM payments WHERE reference = 'never-begun'"), { status: 'paid', back: 400 });
});

test('a buyer\'s slot is freed although the purchase was refunded before that', async () => {
  await sql.event('slot');
  const one = await held('slot', 'u:1', { quantity: 1 });
  await told(one, await begin('u:1', one));
  await sql.call('payment_refund', 'slot', one.id, 'owner');
  await sql.rows("UPDATE reservations SET ended_at = now() - interval '3 seconds' WHERE id = $1", [one.id]);
  const { reservations } = (await sql.call('reservation_unfreed', 'slot', 10)).body;
  assert.deepEqual(reservations.map(({ id }) => id), [one.id]);
  assert.equal((await sql.call('reservation_mark_freed', one.id)).outcome, 'freed');
  assert.deepEqual((await sql.call('reservation_unfreed', 'slot', 10)).body.reservations, []);
});

test('webhooks, cancels, swaps, sweeps and refunds at once: money and seats agree', async (t) => {
  const seats = await sql.event('storm', { rows: 4, perRow: 10, holdMs: 30, maxSeats: 3 });
  const seen = {};
  const words = ['paid', 'paid', 'paid', 'failed', 'refunded'];
  const seed = seedOf(t);
  const note = (row) => (seen[row.outcome] = (seen[row.outcome] ?? 0) + 1);
  const rare = () => ['confirmed', 'refund-due', 'refunded', 'repeated'].filter((outcome) => !(seen[outcome] > 5));
  await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    const buyer = `u:${i}`;
    const roll = dice(seed + i);
    for (let round = 0; round < 40 || (round < 1000 && rare().length > 0); round++) { // a slow machine needs more
      const { body, outcome } = await sql.hold('storm', buyer, roll.chance(0.5) ? { seats: [roll.any(seats)] } : { quantity: 1 + round % 3 });
      if (outcome !== 'created') continue;
      const order = await begin(buyer, body);
      if (!order.reference) continue;
      const steps = [
        () => told(body, order, roll.any(words)), () => told(body, order, roll.any(words)), () => told(body, order, roll.any(words)),
        () => sql.call('reservation_cancel', buyer, body.id), () => sql.call('reservation_sweep', 5),
        () => sql.hold('storm', buyer, { seats: [roll.any(seats)] }), () => sql.call('payment_begin', buyer, body.id, 'demo', null, null),
        () => sql.call('payment_refund', 'storm', body.id, 'owner'), () => sql.call('payment_refund', 'storm', body.id, 'owner'),
      ].filter(() => roll.chance(0.5));
      for (const row of await Promise.all(steps.map((step) => step()))) note(row);
    }
  }));
  assert.deepEqual(rare(), [], JSON.stringify(seen));
  assert.equal(await sql.deadlocks(), 0);
});

// Inserts payments of the events a and b alternately; every hundredth is due back.
const fill = (db, n) => db.rows(`WITH r AS (
    INSERT INTO reservations (number, event_id, buyer, status, epoch, seat_count, total, currency, expires_at)
    SELECT 'n' || i, CASE WHEN i % 2 = 0 THEN 'a' ELSE 'b' END, 'u:' || i, 'cancelled', 1, 1, 5, 'EUR', now()
    FROM generate_series(1, $1::integer) AS i RETURNING id, number, event_id)
  INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status, settled_at)
  SELECT event_id, id, 'p', number, 5, 'EUR', CASE WHEN number LIKE '%00' THEN 'refund_due' ELSE 'failed' END, now() FROM r`, [n]);

test('the list of payments, page by page and by status, reads only the rows of the page', async () => {
  await fill(sql, 20000);
  const page = async (...asked) => {
    const { body, read } = await sql.callReading('payments', 'payment_list', ...asked);
    return { ...body, read, numbers: body.payments.map((item) => Number(item.reservationNumber.slice(1))) };
  };
  for (const statistics of [false, true]) {
    if (statistics) await sql.rows('ANALYZE');
    const first = await page('a', null, false, null, 100);
    assert.deepEqual(first.numbers, Array.from({ length: 100 }, (_, i) => 20000 - 2 * i));
    const second = await page('a', null, false, first.next, 100);
    assert.deepEqual(second.numbers, Array.from({ length: 100 }, (_, i) => 19800 - 2 * i));
    const due = await page('a', 'refund_due', false, null, 150);
    assert.deepEqual(due.numbers, Array.from({ length: 150 }, (_, i) => 20000 - 100 * i));
    const last = await page('a', 'refund_due', false, due.next, 150);
    assert.deepEqual([last.numbers.length, last.next], [50, null]);
    const none = await page('c', null, false, null, 100);
    assert.deepEqual([none.numbers, none.next], [[], null]);
    for (const { read, numbers } of [first, second, due, last, none]) assert.ok(read <= numbers.length + 1, `read ${read}`);
  }
  await sql.rows('TRUNCATE payments, reservations CASCADE');
});
