// SPDX-License-Identifier: MIT
//
// The SQL functions about reservations, one call at a time: sql/functions/reservation.sql. For races see
// sql_races.test.mjs.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => {
  server = await startSql();
  sql = await server.fresh(2);
});
afterEach(() => sql.assertSound());
after(async () => {
  await sql.close();
  await server.stop();
});

const ids = (body) => body.seats.map((seat) => seat.id);
const statuses = async (event) => (await sql.map(event)).seats.map((seat) => seat.status[0]).join('');
let reference = 0;
const pay = (reservation, { amount = reservation.totalAmount, currency = 'EUR', ref = `ref-${++reference}` } = {}) =>
  sql.paid(reservation.id, 'prov', ref, amount, currency);

test('a hold by seats answers with everything the buyer needs', async () => {
  const [a, b] = await sql.event('h1', { holdMs: 60000 });
  const { outcome, body } = await sql.hold('h1', 'u:1', { seats: [b, a], place: 17 });
  assert.equal(outcome, 'created');
  assert.deepEqual(Object.keys(body),
    ['id', 'reservationNumber', 'eventId', 'status', 'totalAmount', 'currency', 'expiresAt', 'seats']);
  assert.deepEqual([body.status, body.totalAmount, body.currency, ids(body)], ['held', 2000, 'EUR', [a, b]]);
  assert.match(body.reservationNumber, /^[0-9A-HJKMNP-TV-Z]{8}$/);
  const left = Date.parse(body.expiresAt) - Date.now();
  assert.ok(left > 55000 && left <= 60100, String(left));
  assert.deepEqual(body.seats[0], { id: a, section: 'S', row: '1', number: 1, price: 1000, currency: 'EUR' });
  assert.equal(await statuses('h1'), 'hhaaaaaaaa');
});

test('a taken seat is refused and named, and nothing changes', async () => {
  const [a, b, c] = await sql.event('h2');
  await sql.hold('h2', 'u:1', { seats: [b] });
  const mine = (await sql.hold('h2', 'u:2', { seats: [c] })).body;
  const { outcome, body } = await sql.hold('h2', 'u:2', { seats: [a, b] });
  assert.deepEqual([outcome, body.seats], ['seat-taken', [b]]);
  assert.equal((await sql.call('reservation_get', 'u:2', mine.id)).body.status, 'held');
  assert.equal(await statuses('h2'), 'ahhaaaaaaa');
});

test('invalid orders are refused', async () => {
  const [a, b, c] = await sql.event('h3', { maxSeats: 2 });
  const [other] = await sql.event('h3b');
  const outcome = async (order, event = 'h3') => (await sql.hold(event, 'u:1', order)).outcome;
  assert.equal(await outcome({ seats: [a, other] }), 'unknown-seat');
  assert.deepEqual((await sql.hold('h3', 'u:1', { seats: ['999999999'] })).body.seats, ['999999999']);
  assert.equal(await outcome({ seats: [a, a] }), 'invalid');
  assert.equal(await outcome({ seats: [] }), 'invalid');
  assert.equal(await outcome({ quantity: 0 }), 'invalid');
  assert.equal(await outcome({ quantity: -3 }), 'invalid');
  assert.equal(await outcome({}), 'invalid');
  assert.equal(await outcome({ quantity: 3 }), 'limit');
  assert.equal(await outcome({ seats: [a, b, c] }), 'limit');
  assert.equal(await outcome({ quantity: 1, section: 'nowhere' }), 'invalid');
  assert.equal(await outcome({ quantity: 1 }, 'none'), 'not-found');
  for (const [status, expected] of [['draft', 'not-found'], ['scheduled', 'event-not-open'], ['closed', 'created'],
    ['paused', 'created'], ['sold_out', 'created']]) {
    await sql.event(`h3-${status}`, { status });
    assert.equal(await outcome({ quantity: 1 }, `h3-${status}`), expected, status);
  }
});

// Whether a closed event still has buyers inside is decided in Redis (closing.test.mjs).
test('the opening time counts, not the stored status', async () => {
  const at = (seconds) => new Date(Date.now() + seconds * 1000).toISOString();
  const times = [['scheduled', 60, null, 'event-not-open'], ['scheduled', -1, null, 'created'], ['scheduled', -2, -1, 'created'],
    ['open', -2, 60, 'created'], ['open', -2, -1, 'created'], ['paused', -2, -1, 'created']];
  for (const [i, [status, opens, closes, expected]] of times.entries()) {
    await sql.event(`ht${i}`, { status, opensAt: at(opens), closesAt: closes && at(closes) });
    assert.equal((await sql.hold(`ht${i}`, 'u:1', { quantity: 1 })).outcome, expected, `${status} ${opens} ${closes}`);
  }
});

test('a new order replaces the hold and keeps seats that are in both', async () => {
  const [a, b, c] = (await sql.event('h4')).slice(3);
  const first = (await sql.hold('h4', 'u:1', { seats: [a, b] })).body;
  const second = await sql.hold('h4', 'u:1', { seats: [b, c] });
  assert.equal(second.outcome, 'created');
  assert.equal(await statuses('h4'), 'aaaahhaaaa');
  assert.equal((await sql.call('reservation_get', 'u:1', first.id)).body.status, 'cancelled');
  assert.equal((await sql.call('reservation_cancel', 'u:1', first.id)).outcome, 'cancelled', 'and frees nothing');
  assert.equal(await statuses('h4'), 'aaaahhaaaa');
  assert.equal((await pay(first)).outcome, 'refund-due');
  const best = await sql.hold('h4', 'u:1', { quantity: 3 });
  assert.deepEqual(ids(best.body), [a, b, c], 'own seats count as free');
});

test('a hold that is renewed ends with its first time and one more holdMs, whatever is done in between', async () => {
  const [c, a, b, d] = (await sql.event('renew', { holdMs: 60000 })).slice(3); // a is the best one
  const until = ({ body }) => Date.parse(body.expiresAt);
  // Lets so many seconds pass for everything this buyer has.
  const later = async (seconds) => {
    await sql.rows(`UPDATE reservations SET expires_at = expires_at - $1 * interval '1 s', ended_at = ended_at - $1 * interval '1 s',
      renewable_until = renewable_until - $1 * interval '1 s' WHERE event_id = 'renew'`, [seconds]);
    await sql.rows(`UPDATE seats SET held_until = held_until - $1 * interval '1 s' WHERE event_id = 'renew' AND status = 'held'`, [seconds]);
  };
  const hold = (...seats) => sql.hold('renew', 'u:keeper', { seats, place: 5 });
  const left = (row) => Math.round((until(row) - Date.now()) / 1000);
  assert.equal(left(await hold(a)), 60);
  await later(50);
  assert.equal(left(await hold(a, b)), 60, 'a swap in the last seconds still leaves time to pay');
  await later(50);
  const last = await hold(a);
  assert.equal(left(last), 20, 'but no more than 120 s in all');
  await later(5);
  assert.equal(left(await hold(c)), 15, 'other seats in its place make no new hold');
  await sql.call('reservation_cancel', 'u:keeper', (await hold(a)).body.id);
  assert.equal(left(await hold(a)), 15, 'nor does cancelling it first');
  await later(18);
  assert.equal((await hold(a)).outcome, 'held-too-long', 'nor waiting until it lapses');
  assert.equal((await sql.hold('renew', 'u:keeper', { quantity: 1, place: 5 })).outcome, 'held-too-long', 'also where the best seat is that one');
  assert.equal(left(await hold(d)), 60, 'seats that this buyer never had');
  assert.equal(left(await sql.hold('renew', 'u:other', { seats: [b], place: 6 })), 60, 'and those seats for others');
  await sql.call('reservation_cancel', 'u:keeper', (await hold(d)).body.id);
  await later(11);
  assert.equal(left(await hold(a)), 60, 'seats that nobody has taken for ten seconds begin anew');
  await sql.call('reservation_sweep', 10);
});

test('best available goes section by section, row by row, side by side', async () => {
  await sql.event('q1', { rows: 0, maxSeats: 3 });
  const add = (section, rows, seatsPerRow) =>
    sql.call('seats_add', 'q1', 'me', { grid: { section, rows, seatsPerRow, price: 100, currency: 'EUR' } });
  await add('Z', 2, 4);
  await add('A', 1, 4);
  let buyer = 0;
  const take = async (quantity, section) => {
    const { outcome, body } = await sql.hold('q1', `u:${++buyer}`, { quantity, section });
    return outcome === 'created' ? body.seats.map((s) => `${s.section}${s.row}${s.number}`).join(' ') : outcome;
  };
  assert.equal(await take(1), 'Z12', 'from the middle');
  assert.equal(await take(2), 'Z13 Z14');
  assert.equal(await take(2), 'Z21 Z22', 'not Z11 and Z21: another row; nor Z22 and Z23: two pairs fit into a row of four');
  assert.equal(await take(3), 'A11 A12 A13');
  assert.equal(await take(1, 'A'), 'A14');
  assert.equal(await take(3), 'no-adjacent');
  assert.equal(await take(2), 'Z23 Z24');
  assert.equal(await take(2), 'no-seats');
  assert.equal(await take(1), 'Z11');
  assert.equal(await take(1), 'no-seats');
});

test('seats with a gap between their numbers are not side by side', async () => {
  await sql.event('q2', { rows: 0 });
  const seat = (number) => ({ section: 'S', row: '1', number, price: 100, currency: 'EUR' });
  await sql.call('seats_add', 'q2', 'me', { seats: [seat(1), seat(3), seat(4)] });
  const { body } = await sql.hold('q2', 'u:1', { quantity: 2 });
  assert.deepEqual(body.seats.map((s) => s.number), [3, 4]);
});

test('an idempotency key, per buyer: the same order gets the same answer, another order is a conflict', async () => {
  const [a, b, c] = await sql.event('i1');
  await sql.event('i2');
  const first = await sql.hold('i1', 'u:1', { seats: [a, b], key: 'k' });
  await sql.call('reservation_cancel', 'u:1', first.body.id);
  const again = await sql.hold('i1', 'u:1', { seats: [b, a], key: 'k' });
  assert.equal(again.outcome, 'repeated');
  assert.deepEqual(again.body, first.body);
  assert.equal(await statuses('i1'), 'aaaaaaaaaa');
  for (const [event, order] of [['i1', { seats: [c] }], ['i1', { quantity: 2 }], ['i2', { quantity: 1 }]]) {
    assert.equal((await sql.hold(event, 'u:1', { ...order, key: 'k' })).outcome, 'idempotency-conflict');
  }
  assert.equal((await sql.hold('i1', 'u:2', { seats: [a], key: 'k' })).outcome, 'created');
  assert.equal((await sql.hold('i1', 'u:1', { seats: [a], key: 'k2' })).outcome, 'seat-taken');
  assert.equal((await sql.hold('i1', 'u:1', { seats: [b], key: 'k2' })).outcome, 'created', 'a refusal uses no key');
});

test('there is no hold after the admission has ended', async () => {
  await sql.event('a1');
  await sql.rows(`INSERT INTO admissions VALUES ('a1', 1, 'u:1', 5, 'left', true, now(), 0, 1, 1, '1-0')`);
  assert.equal((await sql.hold('a1', 'u:1', { quantity: 1, place: 5 })).outcome, 'not-admitted');
  assert.equal((await sql.hold('a1', 'u:1', { quantity: 1, place: 6 })).outcome, 'created');
});

test('an expired hold frees its seats at once, and its buyer cannot change the next buyer\'s hold', async () => {
  const [a, b] = await sql.event('x1');
  const old = (await sql.hold('x1', 'u:1', { seats: [a, b] })).body;
  await sql.lapse(old.id);
  assert.equal(await statuses('x1'), 'aaaaaaaaaa');
  assert.equal((await sql.call('reservation_get', 'u:1', old.id)).body.status, 'expired');
  const next = (await sql.hold('x1', 'u:2', { seats: [a] })).body;
  assert.equal((await sql.call('reservation_cancel', 'u:1', old.id)).outcome, 'expired');
  assert.equal((await pay(old)).outcome, 'refund-due');
  assert.equal((await sql.call('reservation_sweep', 10)).body.expired, 1);
  assert.equal(await statuses('x1'), 'haaaaaaaaa');
  assert.equal((await sql.row('SELECT status FROM seats WHERE id = $1', [b])).status, 'available');
  assert.equal((await pay(next)).outcome, 'confirmed');
  const rows = await sql.rows('SELECT status FROM reservations WHERE id = $1', [old.id]);
  assert.deepEqual(rows, [{ status: 'expired' }]);
});

test('the owner of an expired hold may hold again', async () => {
  const [a, b] = await sql.event('x2');
  const old = (await sql.hold('x2', 'u:1', { seats: [a] })).body;
  await sql.lapse(old.id);
  assert.equal((await sql.hold('x2', 'u:1', { seats: [a, b] })).outcome, 'created');
  await sql.call('reservation_sweep', 10);
  assert.equal(await statuses('x2'), 'hhaaaaaaaa');
  assert.deepEqual((await sql.call('reservation_sweep', 10)).body, { expired: 0, events: [] });
});

test('cancel: by the owner, while held, repeated without effect', async () => {
  const [a] = await sql.event('c1');
  const { body } = await sql.hold('c1', 'u:1', { seats: [a] });
  const cancel = async (buyer, id) => (await sql.call('reservation_cancel', buyer, id)).outcome;
  assert.equal(await cancel('u:2', body.id), 'not-yours');
  assert.equal(await cancel('u:1', '00000000-0000-0000-0000-000000000000'), 'not-found');
  assert.equal(await cancel('u:1', "nonsense' --"), 'not-found');
  const done = await sql.call('reservation_cancel', 'u:1', body.id);
  assert.deepEqual([done.outcome, done.body.status, done.body.expiresAt, done.body.eventId], ['cancelled', 'cancelled', null, 'c1']);
  await sql.hold('c1', 'u:2', { seats: [a] });
  assert.equal(await cancel('u:1', body.id), 'cancelled');
  assert.equal(await statuses('c1'), 'haaaaaaaaa');
  const sold = (await sql.hold('c1', 'u:3', { quantity: 1 })).body;
  await pay(sold);
  assert.equal(await cancel('u:3', sold.id), 'not-cancellable');
});

test('get and list return only the buyer\'s own reservations', async () => {
  await sql.event('l1');
  const { body } = await sql.hold('l1', 'u:lister', { quantity: 1 });
  const got = await sql.call('reservation_get', 'u:lister', body.id);
  assert.deepEqual([got.outcome, got.body], ['found', body]);
  assert.equal((await sql.call('reservation_get', 'u:x', body.id)).outcome, 'not-yours');
  assert.equal((await sql.call('reservation_get', 'u:x', 'what')).outcome, 'not-found');
  const list = (buyer) => sql.call('reservations_page', buyer, null, false, null, null, 50);
  assert.deepEqual((await list('u:lister')).body, { reservations: [body], next: null });
  assert.deepEqual((await list('u:none')).body, { reservations: [], next: null });
});

test('confirm sells; the same reference repeats the answer; any other is refused', async () => {
  await sql.event('p1');
  const { body } = await sql.hold('p1', 'u:1', { quantity: 2, place: 9 });
  assert.deepEqual((({ outcome, body: b }) => [outcome, b.field])(await pay(body, { amount: 1 })), ['wrong-amount', 'amount']);
  assert.deepEqual((({ outcome, body: b }) => [outcome, b.field])(await pay(body, { currency: 'USD' })), ['wrong-amount', 'currency']);
  assert.equal((await pay({ ...body, id: 'none' })).outcome, 'not-found');
  const sold = await pay(body, { ref: 'p1-a' });
  assert.deepEqual([sold.outcome, sold.body.status, sold.body.eventId, sold.body.buyer, sold.body.place, sold.body.payment],
    ['confirmed', 'confirmed', 'p1', 'u:1', '9', 'paid']);
  const again = await pay(body, { ref: 'p1-a' });
  assert.deepEqual([again.outcome, again.body], ['repeated', sold.body]);
  const second = (await sql.hold('p1', 'u:2', { quantity: 2 })).body;
  assert.equal((await pay(second, { ref: 'p1-a' })).outcome, 'reference-used');
  assert.equal((await pay(body, { ref: 'p1-b' })).outcome, 'refund-due', 'paid twice');
  assert.equal(await statuses('p1'), 'aahhssaaaa');
});

test('a payment after the hold expired sells the seats if all are still free', async () => {
  await sql.event('p2');
  for (const swept of [false, true]) {
    const { body } = await sql.hold('p2', `u:${swept}`, { quantity: 2 });
    await sql.lapse(body.id);
    if (swept) await sql.call('reservation_sweep', 10);
    assert.equal((await pay(body)).outcome, 'confirmed', `swept: ${swept}`);
  }
  assert.equal(await statuses('p2'), 'aassssaaaa');
});

test('a late payment also sells seats of another buyer\'s expired hold', async () => {
  const [a, b, c] = await sql.event('p3');
  const first = (await sql.hold('p3', 'u:1', { seats: [a, b] })).body;
  await sql.lapse(first.id);
  const second = (await sql.hold('p3', 'u:2', { seats: [b, c] })).body;
  await sql.lapse(second.id);
  assert.equal((await pay(first)).outcome, 'confirmed');
  assert.equal((await pay(second)).outcome, 'refund-due');
  await sql.call('reservation_sweep', 10);
  assert.equal(await statuses('p3'), 'ssaaaaaaaa');
});

test('a late payment of a buyer at the limit is due back', async () => {
  const [a, b] = await sql.event('p4', { maxSeats: 1 });
  const first = (await sql.hold('p4', 'u:1', { seats: [a] })).body;
  await sql.lapse(first.id);
  await sql.hold('p4', 'u:1', { seats: [b] });
  const late = await pay(first, { ref: 'p4-late' });
  assert.deepEqual([late.outcome, late.body.payment], ['refund-due', 'refund_due']);
  assert.equal((await pay(first, { ref: 'p4-late' })).outcome, 'repeated');
  assert.deepEqual(await sql.rows(`SELECT status, amount FROM payments WHERE reference = 'p4-late'`),
    [{ status: 'refund_due', amount: 1000 }]);
});

test('maxSeats counts bought seats', async () => {
  await sql.event('m1', { maxSeats: 3 });
  await pay((await sql.hold('m1', 'u:1', { quantity: 2 })).body);
  assert.equal((await sql.hold('m1', 'u:1', { quantity: 2 })).outcome, 'limit');
  assert.equal((await sql.hold('m1', 'u:1', { quantity: 1 })).outcome, 'created');
});

test('release gives back only an auto-hold of that admission without a pending payment', async () => {
  await sql.event('r1');
  const release = async (buyer, place) => (await sql.call('reservation_release', 'r1', buyer, place)).outcome;
  const { body } = await sql.hold('r1', 'u:1', { quantity: 1, place: 5 });
  assert.equal(await release('u:1', 5), 'nothing', 'chosen by the buyer');
  await sql.rows('UPDATE reservations SET auto = true WHERE id = $1', [body.id]);
  assert.equal(await release('u:1', 4), 'nothing');
  assert.equal(await release('u:2', 5), 'nothing');
  await sql.rows(`INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status)
    VALUES ('r1', $1, 'p', 'r1', 1000, 'EUR', 'pending')`, [body.id]);
  assert.equal(await release('u:1', 5), 'nothing', 'in payment');
  await sql.rows('DELETE FROM payments WHERE reservation_id = $1', [body.id]);
  assert.equal(await release('u:1', 5), 'released');
  assert.equal(await statuses('r1'), 'aaaaaaaaaa');
});

test('a pending payment becomes the paid one', async () => {
  await sql.event('pp');
  const { body } = await sql.hold('pp', 'u:1', { quantity: 1 });
  const other = (await sql.hold('pp', 'u:2', { quantity: 1 })).body;
  await sql.rows(`INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status)
    VALUES ('pp', $1, 'prov', 'pp-1', 1000, 'EUR', 'pending')`, [body.id]);
  assert.equal((await pay(other, { ref: 'pp-1' })).outcome, 'reference-used');
  assert.equal((await pay(body, { ref: 'pp-1' })).outcome, 'confirmed');
});

test('slots that are not yet freed in Redis are listed until they are', async () => {
  await sql.event('u1');
  const sold = async (buyer, place) => {
    const { body } = await sql.hold('u1', buyer, { quantity: 1, place });
    await pay(body);
    await sql.rows(`UPDATE reservations SET ended_at = now() - interval '5 seconds' WHERE id = $1`, [body.id]);
    return body.id;
  };
  const list = async (event = 'u1') => (await sql.call('reservation_unfreed', event, 10)).body.reservations;
  const id = await sold('u:1', 7);
  assert.deepEqual(await list(), [{ id, eventId: 'u1', buyer: 'u:1', place: '7', epoch: 1 }]);
  assert.deepEqual(await list('h1'), []);
  assert.equal((await list(null)).some((row) => row.id === id), true);
  assert.equal((await sql.call('reservation_mark_freed', id)).outcome, 'freed');
  assert.deepEqual(await list(), []);
  assert.equal((await sql.call('reservation_mark_freed', 'what')).outcome, 'not-found');
  // Bought after the admission ended.
  const late = (await sql.hold('u1', 'u:2', { quantity: 1, place: 8 })).body;
  await sql.rows(`INSERT INTO admissions VALUES ('u1', 1, 'u:2', 8, 'left', true, now(), 0, 1, 1, '1-0')`);
  await pay(late);
  assert.equal((await sql.row('SELECT slot_freed FROM reservations WHERE id = $1', [late.id])).slot_freed, true);
});

test('reservation numbers never repeat', async () => {
  const { n } = await sql.row('SELECT count(DISTINCT reservation_code(i)) AS n FROM generate_series(1, 20000) AS i');
  assert.equal(n, 20000);
});

test('idempotency keys are deleted after a day, a bounded number at a time', async () => {
  await sql.event('old-keys');
  const first = await sql.hold('old-keys', 'u:key', { quantity: 1, key: 'fresh' });
  await sql.rows(`INSERT INTO idempotency_keys (buyer, key, wanted, answer, created_at)
    SELECT 'u:old', i::text, 'x', '{}', now() - interval '25 hours' FROM generate_series(1, 25) AS i`);
  assert.deepEqual((await sql.call('idempotency_prune', 10)).body, { keys: 10 });
  assert.deepEqual((await sql.call('idempotency_prune', 100)).body, { keys: 15 });
  assert.deepEqual((await sql.call('idempotency_prune', 100)).body, { keys: 0 });
  const again = await sql.hold('old-keys', 'u:key', { quantity: 1, key: 'fresh' });
  assert.deepEqual([again.outcome, again.body], ['repeated', first.body]);
});

test('best available in a big hall skips held seats, finds freed ones, and is never worse than the buyer\'s own', async () => {
  const seats = await sql.event('big', { rows: 40, perRow: 25, holdMs: 3600000 });
  const at = (row) => seats.indexOf(row.body.seats[0].id);
  // The seats of a row of 25, from its middle: 12, 11, 13, 10, 14, ...
  const nth = (i) => 25 * Math.floor(i / 25) + 12 + (i % 25 % 2 ? -1 : 1) * Math.ceil((i % 25) / 2);
  for (let i = 0; i < 300; i++) assert.equal(at(await sql.hold('big', `u:big${i}`, { quantity: 1 })), nth(i));
  // Where free seats begin is looked up once a second: seats freed before that count from then on.
  await sql.call('reservation_cancel', 'u:big7', (await sql.row(`SELECT id FROM reservations WHERE buyer = 'u:big7'`)).id);
  const swap = await sql.hold('big', 'u:big3', { quantity: 1 });
  assert.equal(at(swap), nth(3), 'the own seat is the best one');
  await sql.rows(`UPDATE seats_first SET at = at - interval '1 second'`);
  assert.equal(at(await sql.hold('big', 'u:late1', { quantity: 1 })), nth(7), 'the freed seat');
  assert.equal(at(await sql.hold('big', 'u:late2', { quantity: 2 })), 311);
  assert.equal(at(await sql.hold('big', 'u:late3', { quantity: 1, section: 'S' })), 313);
  // Whatever that hint says, a free seat is found.
  await sql.rows(`UPDATE seats_first SET row_rank = 1000, at = clock_timestamp()`);
  for (const quantity of [1, 2]) assert.equal((await sql.hold('big', `u:end${quantity}`, { quantity })).outcome, 'created');
});

// A hall in which one buyer holds every seat for whose number in the hall `which` is true.
async function blocked(event, which) {
  const seats = await sql.event(event, { rows: 60, perRow: 50, maxSeats: 3000 });
  const taken = seats.filter((_, i) => which(i));
  await sql.rows(`WITH r AS (
      INSERT INTO reservations (number, event_id, buyer, epoch, seat_count, total, currency, expires_at)
      SELECT $1, $1, 'u:block', epoch, $2::integer, $2::integer * 1000, 'EUR', now() + interval '1 hour' FROM events WHERE id = $1
      RETURNING id, expires_at),
    s AS (UPDATE seats SET status = 'held', holder = r.id, held_until = r.expires_at, version = seats.version + 1
      FROM r WHERE seats.id = ANY ($3) RETURNING seats.id)
    INSERT INTO reservation_seats (reservation_id, event_id, seat_id) SELECT r.id, $1, s.id FROM r, s`,
    [event, taken.length, taken]);
  return seats;
}
const unblock = async (event) =>
  sql.call('reservation_cancel', 'u:block', (await sql.row(`SELECT id FROM reservations WHERE buyer = 'u:block' AND event_id = $1`, [event])).id);
const asked = (event, buyer, quantity, section = null) =>
  sql.callReading('seats', 'reservation_hold', event, `u:${buyer}`, null, quantity, section, null, 0);
// Sets the age of the hint, so that the speed of the test does not matter.
const young = () => sql.rows(`UPDATE seats_group SET at = clock_timestamp() + interval '1 minute'`);
const secondLater = () => sql.rows(`UPDATE seats_group SET at = clock_timestamp() - interval '1 second'`);

test('adjacent seats in a hall of single seats: refused from a hint of the last second, without reading the hall', async () => {
  const seats = await blocked('frag', (i) => i % 2 === 1);
  for (const quantity of [2, 4]) {
    for (const section of [null, 'S']) {
      assert.equal((await asked('frag', 'a', quantity, section)).outcome, 'no-adjacent');
      await young();
      const again = await asked('frag', 'b', quantity, section);
      assert.equal(again.outcome, 'no-adjacent');
      assert.ok(again.read < 20, `read ${again.read}`);
    }
  }
  assert.equal((await asked('frag', 'a', 2, 'T')).outcome, 'invalid');
  // A buyer with a seat: the seats beside it are looked at in any case.
  const own = (await asked('frag', 'own', 1)).body.seats[0].id;
  assert.equal(own, seats[24], 'the one nearest to the middle of the first row');
  const refused = await asked('frag', 'own', 2);
  assert.equal(refused.outcome, 'no-adjacent');
  assert.ok(refused.read < 30, `read ${refused.read}`);
  await unblock('frag');
  assert.equal((await asked('frag', 'c', 2)).outcome, 'no-adjacent', 'as of a second ago');
  assert.deepEqual((await asked('frag', 'own', 2)).body.seats.map((seat) => seat.id), seats.slice(24, 26));
  await secondLater();
  assert.deepEqual((await asked('frag', 'c', 2)).body.seats.map((seat) => seat.id), seats.slice(22, 24));
});

test('adjacent seats at the end of the hall are found; the next search does not read the seats before them', async () => {
  const seats = await blocked('far', (i) => i % 2 === 1 && i < 2900);
  const take = async (buyer, quantity) => {
    const row = await asked('far', buyer, quantity);
    return { read: row.read, at: row.body.seats.map((seat) => seats.indexOf(seat.id)) };
  };
  assert.deepEqual((await take('a', 2)).at, [2924, 2925]);
  await young();
  const next = await take('b', 2);
  assert.deepEqual(next.at, [2922, 2923]);
  assert.ok(next.read < 100, `read ${next.read}: more than its row`);
  assert.deepEqual((await take('b', 3)).at, [2921, 2922, 2923], 'own seats count as free');
  assert.deepEqual((await take('c', 1)).at, [24]);
  // The hint is ignored when nothing is left there.
  await sql.rows('UPDATE seats_group SET row_rank = 60, number = 50, at = clock_timestamp() WHERE n = 2');
  assert.deepEqual((await take('d', 2)).at, [2926, 2927]);
  await sql.call('reservation_cancel', 'u:a', (await sql.row(`SELECT id FROM reservations WHERE buyer = 'u:a' AND status = 'held' AND event_id = 'far'`)).id);
  await secondLater();
  assert.deepEqual((await take('e', 2)).at, [2924, 2925], 'freed');
});

test('nothing is free in a large hall: refused without reading it for a second', async () => {
  const seats = await blocked('none', () => true);
  for (const quantity of [2, 1]) {
    assert.equal((await asked('none', 'a', quantity)).outcome, 'no-seats');
    await young();
    const again = await asked('none', 'b', quantity);
    assert.equal(again.outcome, 'no-seats');
    assert.ok(again.read < 20, `read ${again.read}`);
  }
  await unblock('none');
  await secondLater();
  assert.deepEqual((await asked('none', 'a', 2)).body.seats.map((seat) => seat.id), seats.slice(24, 26));
  assert.deepEqual((await asked('none', 'b', 1)).body.seats.map((seat) => seat.id), seats.slice(23, 24));
});

test('the first seats of an empty hall are held without reading the rest', async () => {
  await sql.event('wide', { rows: 60, perRow: 50 });
  for (let i = 0; i < 10; i++) {
    const { outcome, read } = await asked('wide', `w${i}`, 3);
    assert.equal(outcome, 'created');
    assert.ok(read < 400, `read ${read}`);
  }
});
