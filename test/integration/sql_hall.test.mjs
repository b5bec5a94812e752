// SPDX-License-Identifier: MIT
//
// What staff do with seats, in SQL: replace, correct, block and count them, while buyers hold and buy; and refunds of
// single seats.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { dice, seedOf } from '../fixtures/random.mjs';
import { startSql } from './sql_support.mjs';

let postgres, sql;

before(async () => {
  postgres = await startSql();
});
after(() => postgres?.stop());
beforeEach(async () => {
  sql = await postgres.fresh(12);
});
afterEach(async () => {
  await sql.assertSound();
  await sql.close();
});

const NOTHING = { version: null, ids: null, section: null, row: null, from: null, to: null, price: null, newSection: null, newRow: null, reason: null };

function correct(event, verb, options = {}) {
  const { version, ids, section, row, from, to, price, newSection, newRow, reason } = { ...NOTHING, ...options };
  return sql.call('seats_correct', event, 'staff', version, verb, ids, section, row, from, to, price, newSection, newRow, reason);
}

// seats: [section, row, number, price][]
const store = (event, seats, { replace = true, check = false, currency = 'EUR' } = {}) => sql.call('seats_import', event, 'staff', null,
  ...[0, 1, 2, 3].map((i) => seats.map((seat) => seat[i])), currency, replace, check);
const names = async (event) => (await sql.map(event)).seats.map(({ section, row, number, price, status }) => `${section} ${row} ${number} ${price} ${status}`);
const version = async (event) => (await sql.map(event)).version;
const statusOf = async (event) => (await sql.row('SELECT status FROM events WHERE id = $1', [event])).status;
const eventRow = (event) => sql.row('SELECT seats, price_from, currency, version FROM events WHERE id = $1', [event]);

async function buy(event, buyer, seats, reference = `${event} ${buyer}`) {
  const { body } = await sql.hold(event, buyer, { seats });
  const { outcome } = await sql.paid(body.id, 'p', reference, body.totalAmount, 'EUR');
  assert.equal(outcome, 'confirmed');
  return body;
}

test('free seats are removed, renamed, repriced and blocked; the map version rises each time, and its layout tells other prices and names', async () => {
  const seats = await sql.event('c1', { rows: 2, perRow: 3 });
  let last = await sql.map('c1');
  const step = async (verb, options, outcome, changed) => {
    const done = await correct('c1', verb, options);
    assert.deepEqual([done.outcome, done.body.changed], [outcome, changed], JSON.stringify(done.body));
    const map = await sql.map('c1');
    if (changed) assert.ok(map.version > last.version, `${verb}: ${map.version} after ${last.version}`);
    else assert.equal(map.version, last.version);
    const before = last;
    last = map;
    return map.layout > before.layout;
  };
  assert.equal(await step('reprice', { section: 'S', row: '1', price: 700 }, 'changed', 3), true);
  assert.equal(await step('reprice', { section: 'S', row: '1', price: 700 }, 'changed', 0), false);
  assert.deepEqual((await eventRow('c1')).price_from, 700);
  assert.equal(await step('block', { row: '1', from: 2, reason: 'camera' }, 'changed', 2), false);
  assert.equal(await step('rename', { row: '2', newSection: 'Balcony', newRow: 'A' }, 'changed', 3), true);
  assert.deepEqual(await names('c1'), ['S 1 1 700 available', 'S 1 2 700 blocked', 'S 1 3 700 blocked',
    'Balcony A 1 1000 available', 'Balcony A 2 1000 available', 'Balcony A 3 1000 available']);
  assert.equal(await step('unblock', { ids: [seats[1]] }, 'changed', 1), false);
  assert.equal(await step('remove', { section: 'Balcony', from: 2, to: 2 }, 'changed', 1), true);
  assert.deepEqual(await names('c1'), ['S 1 1 700 available', 'S 1 2 700 available', 'S 1 3 700 blocked', 'Balcony A 1 1000 available', 'Balcony A 3 1000 available']);
  assert.equal((await eventRow('c1')).seats, 5);
  assert.deepEqual((await sql.rows("SELECT verb, after ->> 'changed' AS changed FROM audit WHERE event_id = 'c1' AND verb <> 'create' ORDER BY id")).map(({ verb, changed }) => `${verb} ${changed}`),
    ['seats null', 'seats-reprice 3', 'seats-block 2', 'seats-rename 3', 'seats-unblock 1', 'seats-remove 1']);
});

test('a seat that is held or sold is neither removed nor renamed; the answer says how many there are, and names them', async () => {
  const seats = await sql.event('c2', { perRow: 4 });
  await buy('c2', 'u:a', [seats[0]]);
  await sql.hold('c2', 'u:b', { seats: [seats[1]] });
  const before = await sql.map('c2');
  for (const verb of ['remove', 'rename']) {
    const { outcome, body } = await correct('c2', verb, { section: 'S', newRow: 'Z' });
    assert.deepEqual([outcome, body.seats, body.detail], ['seats-taken', [seats[0], seats[1]], 'Of these seats 1 are held and 1 are sold.']);
  }
  assert.deepEqual(await sql.map('c2'), before);
  assert.deepEqual((await correct('c2', 'remove', { ids: [seats[2], 999999] })).outcome, 'unknown-seat');
  assert.deepEqual((await correct('c2', 'remove', { section: 'nowhere' })).outcome, 'unknown-seat');
});

test('a removed seat stays on the reservations that had it, and a payment for it that comes late is due back', async () => {
  const seats = await sql.event('c3', { perRow: 4 });
  const gone = (await sql.hold('c3', 'u:a', { seats: [seats[0], seats[1]] })).body;
  await sql.lapse(gone.id);
  assert.equal((await correct('c3', 'remove', { ids: [seats[0], seats[1]] })).body.changed, 2);
  const { body } = await sql.call('reservation_get', 'u:a', gone.id);
  assert.deepEqual([body.status, body.seats], ['expired', gone.seats]);
  assert.equal((await sql.paid(gone.id, 'p', 'late', 2000, 'EUR')).outcome, 'refund-due');
  assert.equal((await sql.hold('c3', 'u:b', { seats: [seats[0]] })).outcome, 'unknown-seat');
  assert.equal((await sql.call('reservation_sweep', 100)).outcome, 'swept');
});

test('a blocked seat is free for nobody: not by name, not as best available, not on admission, and a lapsed hold of it cannot be paid', async () => {
  const seats = await sql.event('c4', { perRow: 4, maxSeats: 4 });
  const lapsed = (await sql.hold('c4', 'u:l', { seats: [seats[1]] })).body;
  await sql.lapse(lapsed.id);
  const { body } = await correct('c4', 'block', { ids: [seats[0], seats[1], seats[2]], reason: 'sound desk' });
  assert.deepEqual([body.changed, body.left], [3, { held: 0, sold: 0 }]);
  const refused = await sql.hold('c4', 'u:a', { seats: [seats[0]] });
  assert.deepEqual([refused.outcome, refused.body.seats], ['seat-taken', [seats[0]]]);
  assert.equal((await sql.hold('c4', 'u:a', { quantity: 2 })).outcome, 'no-seats');
  assert.equal((await sql.row("SELECT seats_capacity('c4') AS n")).n, 1);
  assert.equal((await sql.paid(lapsed.id, 'p', 'late', 1000, 'EUR')).outcome, 'refund-due');
  await buy('c4', 'u:a', [seats[3]]);
  assert.equal((await sql.call('event_settle', 'c4', 0)).body.status, 'sold_out', 'what is left is blocked');
  await correct('c4', 'unblock', { section: 'S' });
  assert.equal((await sql.call('event_settle', 'c4', 0)).body.status, 'open');
  assert.equal((await sql.hold('c4', 'u:c', { quantity: 3 })).outcome, 'created');
});

test('blocking leaves what is held or sold as it is, and says how many', async () => {
  const seats = await sql.event('c5', { perRow: 4 });
  await buy('c5', 'u:a', [seats[0]]);
  await sql.hold('c5', 'u:b', { seats: [seats[1], seats[2]] });
  const { body } = await correct('c5', 'block', { section: 'S', reason: 'wet paint' });
  assert.deepEqual([body.changed, body.left], [1, { held: 2, sold: 1 }]);
  assert.deepEqual((await names('c5')).map((name) => name.split(' ').at(-1)), ['sold', 'held', 'held', 'blocked']);
});

test('a hold keeps its price whatever the seat costs later; the next one has the new price; what was sold keeps its own', async () => {
  const seats = await sql.event('c6', { perRow: 3 });
  await buy('c6', 'u:s', [seats[2]]);
  const held = (await sql.hold('c6', 'u:a', { seats: [seats[0]] })).body;
  const done = await correct('c6', 'reprice', { section: 'S', price: 5000 });
  assert.deepEqual([done.body.changed, done.body.left], [2, { held: 0, sold: 1 }]);
  assert.deepEqual((await sql.call('reservation_get', 'u:a', held.id)).body, held);
  assert.equal((await sql.paid(held.id, 'p', 'r1', 5000, 'EUR')).outcome, 'wrong-amount');
  assert.equal((await sql.paid(held.id, 'p', 'r1', 1000, 'EUR')).outcome, 'confirmed');
  assert.equal((await sql.hold('c6', 'u:b', { seats: [seats[1]] })).body.totalAmount, 5000);
  const { body } = await sql.call('hall_summary', 'c6');
  assert.deepEqual([body.total.revenue, body.total.sold, body.total.held], [2000, 2, 1]);
});

test('two seats never get one name; rows and sections that are joined keep the order of the hall', async () => {
  await sql.event('c7', { rows: 3, perRow: 2 });
  const twice = await correct('c7', 'rename', { row: '2', newRow: '1' });
  assert.deepEqual([twice.outcome, twice.body.detail], ['conflict', 'Two seats would be named S 1 1.']);
  assert.equal((await correct('c7', 'rename', { row: '3', newSection: 'T' })).outcome, 'changed');
  assert.equal((await correct('c7', 'rename', { row: '1', newSection: 'T' })).outcome, 'changed');
  assert.deepEqual((await sql.map('c7')).seats.map(({ section, row }) => section + row), ['S2', 'S2', 'T3', 'T3', 'T1', 'T1']);
});

test('the last seats of a draft can be removed, those of a published event cannot', async () => {
  await sql.event('c8', { status: 'draft' });
  assert.equal((await correct('c8', 'remove', { section: 'S' })).body.seats, 0);
  assert.deepEqual(await eventRow('c8'), { seats: 0, price_from: null, currency: null, version: 3 });
  await sql.event('c9');
  assert.equal((await correct('c9', 'remove', { section: 'S' })).outcome, 'conflict');
  assert.equal((await correct('c9', 'remove', { section: 'S', version: 1 })).outcome, 'stale');
});

test('a hall is replaced in one step: what stays keeps its ids and blocks, and takes the price and order of the list', async () => {
  const seats = await sql.event('r1', { rows: 2, perRow: 2 });
  await correct('r1', 'block', { ids: [seats[3]], reason: 'pillar' });
  const before = await version('r1');
  const { outcome, body } = await store('r1', [['New', 'A', 1, 50], ['S', '2', 2, 900], ['S', '2', 1, 1000], ['S', '1', 1, 1000]]);
  assert.deepEqual([outcome, body], ['added', { added: 1, removed: 1, changed: 1, seats: 4, version: 4 }]);
  const map = await sql.map('r1');
  assert.deepEqual(map.seats.map(({ id, section, row, number, price, status }) => [seats.indexOf(id), section, row, number, price, status]), [
    [-1, 'New', 'A', 1, 50, 'available'], [2, 'S', '2', 1, 1000, 'available'], [3, 'S', '2', 2, 900, 'blocked'], [0, 'S', '1', 1, 1000, 'available']]);
  assert.ok(map.version > before);
  assert.equal((await eventRow('r1')).price_from, 50);
});

test('a hall is not replaced over the heads of buyers: held and sold seats must stay, and sold ones keep their price', async () => {
  const seats = await sql.event('r2', { perRow: 4 });
  await buy('r2', 'u:a', [seats[0]]);
  const held = (await sql.hold('r2', 'u:b', { seats: [seats[1]] })).body;
  const before = await sql.map('r2');
  const wrong = await store('r2', [['S', '1', 1, 2000], ['S', '1', 3, 1000]]);
  assert.deepEqual([wrong.outcome, wrong.body.errors], ['conflict', [
    { seat: 1, field: 'price', message: 'Seat S 1 1 is sold: its price cannot change.', reason: 'seat-sold', values: ['S', '1', '1'] },
    { field: '', message: 'Seat S 1 2 is held or sold, so it must be in the list.', reason: 'seat-missing', values: ['S', '1', '2'] }]]);
  assert.equal((await store('r2', [['S', '1', 1, 1000], ['S', '1', 2, 1000]], { currency: 'KRW' })).body.detail, 'This event sells in EUR.');
  assert.deepEqual(await sql.map('r2'), before);
  assert.equal((await store('r2', [['S', '1', 1, 1000], ['S', '1', 2, 3000]])).outcome, 'added');
  assert.equal((await sql.paid(held.id, 'p', 'r', 1000, 'EUR')).outcome, 'confirmed', 'at the price of the hold');
});

test('while nobody holds or has bought a seat, a replaced hall may have another currency', async () => {
  await sql.event('r3', { perRow: 2 });
  assert.equal((await store('r3', [['S', '1', 1, 90000]], { currency: 'KRW' })).outcome, 'added');
  assert.deepEqual(await eventRow('r3'), { seats: 1, price_from: 90000, currency: 'KRW', version: 3 });
  assert.equal((await sql.hold('r3', 'u:a', { quantity: 1 })).body.currency, 'KRW');
});

test('a check changes nothing, and tells all errors and the hall that would be', async () => {
  await sql.event('k1', { rows: 2, perRow: 2 });
  const before = await sql.map('k1');
  const { outcome, body } = await store('k1', [['S', '1', 2, 1], ['S', '3', 1, 500], ['T', '1', 1, 700], ['T', '1', 1, 700]], { replace: false, check: true });
  assert.equal(outcome, 'checked');
  assert.deepEqual(body.errors, [{ seat: 1, field: 'number', message: 'Seat S 1 2 exists already.', reason: 'seat-exists', values: ['S', '1', '2'] }, { seat: 4, field: 'number', message: 'Seat T 1 1 is given twice.', reason: 'seat-twice', values: ['T', '1', '1'] }]);
  assert.deepEqual([body.seats, body.sections], [6, [
    { section: 'S', rows: 3, seats: 5, widestRow: 2, priceFrom: 500, priceTo: 1000 }, { section: 'T', rows: 1, seats: 1, widestRow: 1, priceFrom: 700, priceTo: 700 }]]);
  assert.deepEqual(await sql.map('k1'), before);
  assert.equal((await store('k1', Array.from({ length: 150 }, () => ['Q', '1', 1, 1]), { check: true })).body.errors.length, 100, 'at most 100');
  assert.equal((await store('k1', [], { check: true })).body.seats, 0, 'a file all of whose lines have errors');
});

test('sections count free, held, sold and blocked seats apart, and their sums are those of the hall', async () => {
  const seats = await sql.event('n1', { rows: 1, perRow: 6 });
  await store('n1', [['V', '1', 1, 9000]], { replace: false });
  const bought = await buy('n1', 'u:a', [seats[0], seats[1]]);
  await sql.hold('n1', 'u:b', { seats: [seats[2]] });
  const lapsed = (await sql.hold('n1', 'u:c', { seats: [seats[3]] })).body;
  await sql.lapse(lapsed.id);
  await correct('n1', 'block', { ids: [seats[5]], reason: 'camera' });
  await sql.call('payment_refund', 'n1', bought.id, 'staff', [seats[0]], true);
  const { body } = await sql.call('hall_summary', 'n1');
  assert.deepEqual(body.sections, [
    { section: 'S', rows: 1, seats: 6, priceFrom: 1000, priceTo: 1000, free: 3, held: 1, sold: 1, blocked: 1, revenue: 1000 },
    { section: 'V', rows: 1, seats: 1, priceFrom: 9000, priceTo: 9000, free: 1, held: 0, sold: 0, blocked: 0, revenue: 0 }]);
  assert.deepEqual(body.total, { seats: 7, free: 4, held: 1, sold: 1, blocked: 1, revenue: 1000, refunded: 0, refundDue: 1000 });
  assert.equal((await sql.call('hall_summary', 'none')).outcome, 'not-found');
});

// ---- refunds of single seats ----

test('single seats of a purchase are refunded: the rest stays bought, the money is due, and the provider settles it', async () => {
  const seats = await sql.event('p1', { perRow: 6, maxSeats: 4 });
  const bought = await buy('p1', 'u:a', seats.slice(0, 3), 'ref');
  const { outcome, body } = await sql.call('payment_refund', 'p1', bought.reservationNumber.toLowerCase(), 'staff', [seats[1]], true);
  assert.deepEqual([outcome, body.payment, body.totalAmount, body.seats.map(({ id }) => id), body.refundedSeats.map(({ id }) => id), body.refundedSeatsAmount],
    ['seats-refunded', 'paid', 2000, [seats[0], seats[2]], [seats[1]], 1000]);
  const again = await sql.call('payment_refund', 'p1', bought.id, 'staff', [seats[1]], true);
  assert.deepEqual([again.outcome, again.body], ['repeated', body]);
  assert.equal((await sql.call('payment_refund', 'p1', bought.id, 'staff', [seats[5]], true)).outcome, 'invalid');
  assert.equal((await sql.hold('p1', 'u:b', { seats: [seats[1]] })).outcome, 'created', 'it is for sale again');
  assert.equal((await sql.hold('p1', 'u:a', { quantity: 2 })).outcome, 'created', 'the buyer has two now, so may have two more');
  const listed = async () => (({ amount, refundedAmount, refundDueAmount, status }) => [amount, refundedAmount, refundDueAmount, status])(
    (await sql.call('payment_list', 'p1', null, false, null, 10)).body.payments[0]);
  assert.deepEqual(await listed(), [3000, 0, 1000, 'paid']);
  assert.equal((await sql.call('payment_list', 'p1', null, true, null, 10)).body.payments.length, 1);
  assert.equal((await sql.call('payment_report_part', bought.id, 'p', 'ref', 1000, 'EUR', 'f1')).outcome, 'partly-refunded');
  assert.deepEqual(await listed(), [3000, 1000, 0, 'paid']);
  assert.deepEqual((await sql.call('payment_list', 'p1', null, true, null, 10)).body.payments, []);
  assert.equal((await sql.paid(bought.id, 'p', 'ref', 3000, 'EUR')).outcome, 'repeated', 'a late repeat of the first report');

  const rest = await sql.call('payment_refund', 'p1', bought.id, 'staff', null, false);
  assert.deepEqual([rest.outcome, rest.body.status, rest.body.payment, rest.body.seats.length], ['refunded', 'refunded', 'refund_due', 3]);
  assert.deepEqual(await listed(), [3000, 1000, 2000, 'refund_due']);
  assert.deepEqual((await sql.rows('SELECT block_reason FROM seats WHERE id = ANY ($1) ORDER BY id', [[seats[0], seats[2]]])).map((row) => row.block_reason),
    [`refund of ${bought.reservationNumber}`, `refund of ${bought.reservationNumber}`], 'kept from sale, as was asked');
  assert.equal((await sql.call('payment_report_part', bought.id, 'p', 'ref', 2000, 'EUR', 'f2')).outcome, 'refunded');
  assert.deepEqual(await listed(), [3000, 3000, 0, 'refunded']);
});

test('naming all seats that are left refunds the purchase', async () => {
  const seats = await sql.event('p2', { perRow: 3 });
  const bought = await buy('p2', 'u:a', seats.slice(0, 2));
  await sql.call('payment_refund', 'p2', bought.id, 'staff', [seats[0]], true);
  const { outcome, body } = await sql.call('payment_refund', 'p2', bought.id, 'staff', [seats[0], seats[1]], true);
  assert.deepEqual([outcome, body.status, body.payment], ['refunded', 'refunded', 'refund_due']);
});

test('whatever is refunded and reported in whatever order, what is due and returned never exceeds what was paid, and covers what was refunded', async (t) => {
  const roll = dice(seedOf(t));
  const random = (n) => roll.below(n);
  const pick = (list) => roll.any(list);
  const seats = await sql.event('p3', { rows: 10, perRow: 8, maxSeats: 8, price: 700 });
  const purchases = [];
  for (let i = 0; i < 10; i++) purchases.push(await buy('p3', `u:${i}`, seats.slice(8 * i, 8 * i + 1 + random(5)), `ref ${i}`));
  for (let n = 0; n < 150; n++) {
    const i = random(purchases.length);
    const { id, seats: own, totalAmount } = purchases[i];
    const some = own.map((seat) => seat.id).filter(() => random(2) === 0);
    if (random(2) === 0 && some.length > 0) await sql.call('payment_refund', 'p3', id, 'staff', some, random(2) === 0);
    else if (random(8) === 0) await sql.call('payment_report', id, 'p', `ref ${i}`, totalAmount, 'EUR', 'refunded');
    else await sql.call('payment_report_part', id, 'p', `ref ${i}`, pick([700, 1400, 300]), 'EUR', `f${random(6)}`);
    await sql.assertSound().catch((error) => assert.fail(`step ${n}: ${error.message}`));
  }
});

// ---- looking for a reservation ----

test('staff find a reservation by its number as people write it, by id, by buyer and by the place of a support reference', async () => {
  const seats = await sql.event('f1', { perRow: 4 });
  await sql.event('f2', { perRow: 1 });
  const bought = await buy('f1', 'u:kim', [seats[0]]);
  await sql.hold('f1', 'u:kim', { seats: [seats[1]], place: 4711 });
  await sql.hold('f1', 'g:other', { seats: [seats[2]] });
  const find = async (text, place = null, limit = 10, from = null, event = 'f1') => (await sql.call('reservations_find', event, text, place, from, limit)).body;
  const spoken = `${bought.reservationNumber.slice(0, 4).toLowerCase()}-${bought.reservationNumber.slice(4).replaceAll('0', 'o').replaceAll('1', 'l')}`;
  for (const text of [bought.reservationNumber, spoken, bought.id]) {
    const { reservations } = await find(text);
    assert.deepEqual(reservations.map(({ id, buyer, payments }) => [id, buyer, payments.map(({ status }) => status)]), [[bought.id, 'u:kim', ['paid']]], text);
  }
  assert.deepEqual((await find('kim')).reservations.map(({ status }) => status), ['held', 'confirmed']);
  assert.deepEqual((await find('no number', 4711)).reservations.map(({ status }) => status), ['held']);
  assert.deepEqual((await find('nobody')).reservations, []);
  assert.deepEqual((await find(bought.id, null, 10, null, 'f2')).reservations, [], 'of another event');
  const first = await find('kim', null, 1);
  assert.deepEqual((await find('kim', null, 1, first.next)).reservations.map(({ status }) => status), ['confirmed']);
});

// ---- all at once ----

test('holds against replace, block, reprice, rename and remove at the same time: no seat is sold twice, and none at a price that its hold did not say', async (t) => {
  const roll = dice(seedOf(t));
  const random = (n) => roll.below(n);
  const pick = (list) => roll.any(list);
  await sql.event('x1', { rows: 6, perRow: 10, maxSeats: 3 });
  const hall = (price) => Array.from({ length: 60 }, (_, i) => ['S', String(1 + Math.floor(i / 10)), 1 + (i % 10), price]);
  const paidFor = new Map();
  let ended = false;
  const outcomes = {};
  const count = (name, outcome) => {
    outcomes[name] ??= {};
    outcomes[name][outcome] = (outcomes[name][outcome] ?? 0) + 1;
    return outcome;
  };
  const buyer = async (name) => {
    for (let n = 0; n < 25; n++) {
      const { seats } = await sql.map('x1');
      const wanted = random(2) === 0 ? { quantity: 1 + random(3) } : { seats: [pick(seats).id] };
      const held = await sql.hold('x1', `u:${name}-${n}`, wanted);
      if (count('hold', held.outcome) !== 'created') continue;
      if (random(3) === 0) await sql.call('reservation_cancel', `u:${name}-${n}`, held.body.id);
      if (random(4) === 0) await sql.lapse(held.body.id);
      const paid = await sql.paid(held.body.id, 'p', held.body.id, held.body.totalAmount, 'EUR');
      if (count('paid', paid.outcome) === 'confirmed') {
        paidFor.set(held.body.id, held.body);
        assert.deepEqual(paid.body.seats.map(({ id, price }) => [id, price]), held.body.seats.map(({ id, price }) => [id, price]), 'as the hold said');
      }
      if (random(2) === 0) count('refund', (await sql.call('payment_refund', 'x1', held.body.id, 'staff', random(2) === 0 ? [held.body.seats[0].id] : null, true)).outcome);
    }
  };
  const staff = async () => {
    while (!ended) {
      const row = String(1 + random(6));
      const step = pick([
        () => correct('x1', 'reprice', { row, price: 100 * (1 + random(9)) }), () => correct('x1', 'block', { row, reason: 'test' }),
        () => correct('x1', 'unblock', { section: 'S' }), () => correct('x1', 'remove', { row, from: 5 }),
        () => correct('x1', 'rename', { row, newRow: `${row}b` }), () => store('x1', hall(100 * (1 + random(9)))), () => store('x1', hall(1000), { replace: false, check: true }),
        () => sql.call('reservation_sweep', 50), () => sql.call('hall_summary', 'x1'),
      ]);
      count('staff', (await step()).outcome);
    }
  };
  const watcher = async () => {
    const seen = new Map();
    let last = 0;
    while (!ended) {
      const map = await sql.map('x1');
      assert.ok(map.version >= last, `the version fell from ${last} to ${map.version}`);
      const text = JSON.stringify(map);
      assert.equal(seen.get(map.version) ?? text, text, `two maps of version ${map.version}`);
      seen.set((last = map.version), text);
    }
  };
  const others = [staff(), staff(), watcher()];
  try {
    await Promise.all(['a', 'b', 'c', 'd', 'e'].map(buyer));
  } finally {
    ended = true;
    await Promise.all(others);
  }
  assert.ok(paidFor.size > 0 && outcomes.staff.changed > 0, JSON.stringify(outcomes));
  for (const [id, held] of paidFor) {
    const { total, price } = await sql.row('SELECT total, (SELECT sum(price)::bigint FROM reservation_seats WHERE reservation_id = r.id) AS price FROM reservations r WHERE id = $1', [id]);
    assert.deepEqual([total, price], [held.totalAmount, held.totalAmount]);
  }
  assert.equal(await sql.deadlocks(), 0);
});

test('the status of an event follows from what is left, not from what is blocked', async () => {
  const seats = await sql.event('s1', { perRow: 2 });
  await correct('s1', 'block', { ids: [seats[1]], reason: 'test' });
  const bought = await buy('s1', 'u:a', [seats[0]]);
  await sql.call('event_settle', 's1', 0);
  assert.equal(await statusOf('s1'), 'sold_out');
  await sql.call('payment_refund', 's1', bought.id, 'staff', null, false);
  await sql.call('event_settle', 's1', 0);
  assert.equal(await statusOf('s1'), 'sold_out', 'its seat was kept from sale');
});
