// SPDX-License-Identifier: MIT
//
// The SQL functions of the feed: each thing that happens is told once, in the transaction in which it happens, and a reader
// who reads on from the last number misses nothing: sql/functions/feed.sql.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => {
  server = await startSql();
  sql = await server.fresh(20);
});
afterEach(() => sql.assertSound());
after(async () => {
  await sql.close();
  await server.stop();
});

const page = (event, since = 0, { types = null, limit = 1000 } = {}) => sql.callAll('feed_page', event, since, types, limit);
const feed = async (event, since = 0, options = {}) => (await page(event, since, options)).flatMap(({ body }) => body ?? []);
const told = (events) => events.map(({ type, data }) => [type.split('.')[1], data.reason ?? data.how].filter(Boolean).join(' '));

async function buy(event, buyer, quantity = 1) {
  const { body: held } = await sql.hold(event, buyer, { quantity });
  const { body: order } = await sql.call('payment_begin', buyer, held.id, 'demo', null, null);
  assert.equal((await sql.paid(held.id, 'demo', order.reference, held.totalAmount, 'EUR')).outcome, 'confirmed');
  return held;
}

// The log of one event, as the ledger reads it.
class Log {
  constructor(event) {
    Object.assign(this, { event, ms: 1000, n: 0, numbers: new Map(), cursor: '0-0' });
  }

  entry(kind, buyer, place, { epoch = 1 } = {}) {
    const departed = ['left', 'idle', 'timeout', 'completed', 'unclaimed', 'idle_kept', 'banned', 'barred', 'withdrawn', 'cleared'].includes(kind);
    if (['direct', 'offered', 'restored'].includes(kind)) this.numbers.set(buyer, ++this.n);
    return { id: `${++this.ms}-0`, kind, departed, buyer, place, epoch, at: this.ms, inside: 1, threshold: 10,
      n: this.numbers.get(buyer) ?? this.n, active: false };
  }

  async consume(...entries) {
    const [row] = await sql.callAll('ledger_consume', this.event, this.cursor, entries.at(-1).id, JSON.stringify(entries));
    assert.equal(row.outcome, 'consumed');
    this.cursor = row.consumed;
  }
}

test('a purchase: held, confirmed, a seat refunded, the rest refunded, each once and with its seats', async () => {
  await sql.event('money', { perRow: 4 });
  const held = await buy('money', 'u:1', 3);
  const seats = held.seats.map(({ id }) => id);
  await sql.call('payment_refund', 'money', held.id, 'staff', [seats[1]], true);
  await sql.call('payment_refund', 'money', held.id, 'staff', [seats[0]], true);
  await sql.call('payment_refund', 'money', held.id, 'staff', [seats[0]], true); // repeated
  await sql.call('payment_refund', 'money', held.id, 'staff', null, true);
  const events = (await feed('money')).filter(({ type }) => type.startsWith('reservation.'));
  assert.deepEqual(events.map(({ type, data: d }) => [type, d.seats.map((s) => s.id), d.refundedSeats.map((s) => s.id), d.amount, d.returnedAmount]), [
    ['reservation.held', seats, [], undefined, 0],
    ['reservation.confirmed', seats, [], undefined, 0],
    ['reservation.refunded', [seats[0], seats[2]], [seats[1]], 1000, 1000],
    ['reservation.refunded', [seats[2]], [seats[0], seats[1]], 1000, 2000],
    ['reservation.refunded', [], seats, 1000, 3000],
  ]);
  const [first] = events;
  const { data, time, id, sequence, ...rest } = first;
  assert.deepEqual(rest, { specversion: '1.0', source: '/api/events/money', type: 'reservation.held', subject: held.id, datacontenttype: 'application/json' });
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.match(sequence, /^[0-9]{18}$/);
  assert.ok(Math.abs(Date.parse(time) - Date.now()) < 60000);
  const { seats: list, expiresAt, ...plain } = data;
  assert.equal(expiresAt, held.expiresAt);
  assert.deepEqual(list[0], { id: seats[0], section: 'S', row: '1', number: 1, price: 1000 });
  assert.deepEqual(plain, { eventId: 'money', buyer: 'u:1', place: '0', reservationId: held.id, reservationNumber: held.reservationNumber,
    automatic: false, currency: 'EUR', totalAmount: 3000, returnedAmount: 0, seatCount: 3, refundedSeats: [] });
  assert.equal(new Set(events.map((event) => event.id)).size, events.length);
});

test('a hold that ends says why: replaced, cancelled, lapsed; and one that was paid too late is confirmed after it', async () => {
  const seats = await sql.event('ends', { perRow: 6 });
  await sql.hold('ends', 'u:1', { seats: [seats[0]] });
  const { body: second } = await sql.hold('ends', 'u:1', { seats: [seats[1]] });
  await sql.call('reservation_cancel', 'u:1', second.id);
  const { body: late } = await sql.hold('ends', 'u:2', { seats: [seats[2]] });
  const { body: order } = await sql.call('payment_begin', 'u:2', late.id, 'demo', null, null);
  await sql.lapse(late.id);
  await sql.call('reservation_sweep', 100);
  await sql.paid(late.id, 'demo', order.reference, late.totalAmount, 'EUR');
  const events = await feed('ends', 0, { types: ['reservation.held', 'reservation.expired', 'reservation.confirmed'] });
  assert.deepEqual(told(events), ['held', 'expired cancelled', 'held', 'expired cancelled', 'held', 'expired expired', 'confirmed']);
});

test('a turn is told when it is claimed and when it ends, once, however often its entries are consumed', async () => {
  await sql.event('turns', { rows: 0 });
  const log = new Log('turns');
  const entries = [
    log.entry('direct', 'u:1', 1), log.entry('offered', 'u:2', 2), log.entry('offered', 'u:3', 3), log.entry('claimed', 'u:2', 2),
    log.entry('unclaimed', 'u:3', 3), log.entry('withdrawn', 'u:4', 4), log.entry('completed', 'u:1', 1), log.entry('idle_kept', 'u:2', 2),
    log.entry('restored', 'u:2', 2), log.entry('timeout', 'u:2', 2), log.entry('offered', 'u:5', 5), log.entry('left', 'u:5', 5),
    log.entry('direct', 'u:6', 6), log.entry('banned', 'u:6', 6), log.entry('barred', 'u:7', 7)];
  await log.consume(...entries.slice(0, 3));
  assert.deepEqual(told(await feed('turns', 0, { types: ['buyer.admitted'] })), ['admitted direct'], 'an offer is no admission');
  await log.consume(...entries.slice(3));
  await sql.call('ledger_rewind', 'turns', log.cursor, '1001-0'); // Redis has lost its last writes: they are read again
  log.cursor = '1001-0';
  await log.consume(...entries.slice(1));
  const events = (await feed('turns')).filter(({ type }) => type.startsWith('buyer.'));
  assert.deepEqual(events.map(({ type, data: d }) => `${d.buyer} ${type.slice(6)} ${d.how ?? d.reason}${d.placeKept ? ' kept' : ''}`), [
    'u:1 admitted direct', 'u:2 admitted claimed', 'u:1 left completed', 'u:2 left idle kept', 'u:2 admitted restored', 'u:2 left session',
    'u:6 admitted direct', 'u:6 left banned kept']);
  assert.deepEqual(events[0].data, { eventId: 'turns', buyer: 'u:1', place: '1', epoch: 1, admission: 1, inside: 1, threshold: 10, how: 'direct' });
  assert.equal(events[0].subject, 'u:1');
  assert.equal(events[0].time, '1970-01-01T00:00:01.001Z', 'the time of the log');
});

test('clear: all who are inside have left, page by page, and nobody twice', async () => {
  await sql.event('clears', { rows: 0 });
  const log = new Log('clears');
  for (let i = 1; i <= 25; i++) await log.consume(log.entry('direct', `u:${i}`, i));
  await log.consume(log.entry('left', 'u:7', 7), log.entry('cleared', '', 0, { epoch: 2 }));
  await log.consume(log.entry('direct', 'u:7', 50, { epoch: 2 }));
  await sql.row("SELECT feed_number('clears', 4, true)"); // small steps: a page does not end with the buyers of a step
  for (let i = 0; i < 20; i++) await sql.row("SELECT feed_number('clears', 4, true)");
  const events = (await feed('clears')).filter(({ type }) => type.startsWith('buyer.'));
  assert.deepEqual(events.slice(0, 26).map(({ type }) => type), [...Array(25).fill('buyer.admitted'), 'buyer.left']);
  const cleared = events.slice(26, -1);
  assert.ok(cleared.every(({ type, data }) => type === 'buyer.left' && data.reason === 'cleared'));
  assert.deepEqual(cleared.map(({ data }) => data.buyer).sort(), [...Array(25)].map((_, i) => `u:${i + 1}`).filter((b) => b !== 'u:7').sort());
  assert.deepEqual([events.at(-1).type, events.at(-1).data.epoch], ['buyer.admitted', 2], 'what came after comes after');
  await log.consume(log.entry('left', 'u:7', 50, { epoch: 2 }), log.entry('cleared', '', 0, { epoch: 3 }), log.entry('cleared', '', 0, { epoch: 4 }));
  assert.deepEqual(told(await feed('clears', Number(events.at(-1).sequence))), ['left left']);
});

test('an event is opened, paused, sold out and closed, and its threshold changes', async () => {
  await sql.event('life', { perRow: 1, status: 'draft' });
  const settings = (more) => sql.row("UPDATE events SET settings = settings || $2, version = version + 1 WHERE id = $1", ['life', more]);
  const status = (word) => sql.row('UPDATE events SET status = $2, version = version + 1 WHERE id = $1', ['life', word]);
  await status('scheduled');
  await status('open');
  await settings({ threshold: 40 });
  await settings({ threshold: 40, holdMs: 1000 });
  await status('paused');
  await status('open');
  await buy('life', 'u:1');
  assert.equal((await sql.call('event_settle', 'life', 1)).outcome, 'settled');
  await status('closed');
  const events = (await feed('life')).filter(({ type }) => !type.startsWith('reservation'));
  assert.deepEqual(events.map(({ type, data: d }) => [type, d.from, d.to ?? d.status]), [
    ['event.opened', 'scheduled', 'open'], ['threshold.changed', 100, 40], ['event.paused', 'open', 'paused'],
    ['event.opened', 'paused', 'open'], ['event.sold_out', 'open', 'sold_out'], ['event.closed', 'sold_out', 'closed']]);
  assert.deepEqual(events.map(({ subject }) => subject), Array(6).fill('life'));
});

test('what is undone is not told', async () => {
  await sql.event('undone');
  const since = (await feed('undone')).length;
  const client = await sql.pool.connect();
  await client.query('BEGIN');
  await client.query("SELECT * FROM reservation_hold('undone', 'u:1', NULL, 1, NULL, NULL, 0)");
  await client.query('ROLLBACK');
  client.release();
  assert.deepEqual(await feed('undone', since), []);
});

test('a transaction that commits late gets a later number: who has read on misses nothing', async () => {
  const seats = await sql.event('late');
  const since = (await feed('late')).length;
  const client = await sql.pool.connect();
  await client.query('BEGIN');
  await client.query(`SELECT * FROM reservation_hold('late', 'u:slow', ARRAY[${seats[0]}], NULL, NULL, NULL, 0)`);
  await sql.hold('late', 'u:fast', { seats: [seats[5]] });
  const first = await feed('late', since);
  assert.deepEqual(first.map(({ data }) => data.buyer), ['u:fast']);
  await client.query('COMMIT');
  client.release();
  const second = await feed('late', Number(first[0].sequence));
  assert.deepEqual(second.map(({ data }) => data.buyer), ['u:slow']);
});

test('twelve buyers buy while three readers read on: all of them get everything, in one order', async () => {
  await sql.event('rush', { rows: 12, perRow: 10 });
  const since = (await feed('rush')).length;
  let done = false;
  const buyers = Promise.all(Array.from({ length: 12 }, async (_, i) => {
    for (let k = 0; k < 8; k++) await buy('rush', `u:${i}-${k}`);
  })).finally(() => (done = true));
  const reader = async () => {
    const seen = [];
    let at = since;
    for (let last = false; !last;) {
      last = done;
      for (const event of await feed('rush', at, { limit: 7 })) {
        assert.ok(Number(event.sequence) > at);
        at = Number(event.sequence);
        seen.push(event);
        last = false;
      }
    }
    return seen;
  };
  const [lists] = await Promise.all([Promise.all([reader(), reader(), reader()]), buyers]);
  for (const list of lists) {
    assert.equal(list.length, 2 * 96);
    assert.deepEqual(list.map(({ id }) => id), lists[0].map(({ id }) => id));
    const state = new Map();
    for (const { type, subject } of list) {
      assert.equal(state.get(subject), type === 'reservation.held' ? undefined : 'reservation.held');
      state.set(subject, type);
    }
  }
});

test('filter and limit; a number from before what was deleted is refused, 0 begins with the oldest that is kept', async () => {
  await sql.event('kept', { perRow: 10 });
  for (let i = 0; i < 5; i++) await sql.hold('kept', `u:${i}`, { quantity: 1 });
  const all = await feed('kept');
  assert.deepEqual((await feed('kept', 0, { limit: 2 })).map(({ id }) => id), all.slice(0, 2).map(({ id }) => id));
  assert.deepEqual(await feed('kept', 0, { types: ['event.closed'] }), []);
  const old = Number(all[2].sequence);
  await sql.rows("UPDATE feed SET at = at - interval '40 days' WHERE event_id = 'kept' AND seq <= $1", [old]);
  await sql.rows("DELETE FROM feed_heads WHERE event_id <> 'kept'"); // of the other tests: each call looks at one event
  assert.equal((await sql.call('feed_prune', 30, 2)).body.rows, 2);
  assert.equal((await sql.call('feed_prune', 30, 2)).body.rows, 1);
  assert.equal((await sql.call('feed_prune', 30, 2)).body.rows, 0, 'an hour later');
  const [refused] = await page('kept', 1);
  assert.equal(refused.outcome, 'forgotten');
  assert.deepEqual((await feed('kept')).map(({ id }) => id), all.slice(3).map(({ id }) => id));
  assert.deepEqual((await feed('kept', old)).map(({ id }) => id), all.slice(3).map(({ id }) => id));
});

test('a rehearsal says so, and a reset takes its feed back; the numbers go on', async () => {
  await sql.event('trial', { rehearsal: true });
  await sql.hold('trial', 'u:1', { quantity: 1 });
  const log = new Log('trial');
  await log.consume(log.entry('direct', 'u:1', 1), log.entry('cleared', '', 0, { epoch: 2 }));
  await sql.row("SELECT feed_number_all('trial')");
  const before = await feed('trial');
  assert.equal(before.at(-1).data.reason, 'cleared');
  assert.ok(before.length > 0 && before.every(({ data }) => data.rehearsal === true));
  assert.equal((await sql.call('event_reset', 'trial', 'demo', 'staff')).outcome, 'updated');
  assert.deepEqual(await feed('trial'), []);
  await sql.rows("UPDATE events SET status = 'open' WHERE id = 'trial'");
  const again = await feed('trial', Number(before.at(-1).sequence));
  assert.deepEqual(told(again), ['opened']);
});

test('an erased buyer has a pseudonym in the feed, also in rows without a number', async () => {
  await sql.event('erased');
  const log = new Log('erased');
  await log.consume(log.entry('direct', 'u:mina', 1), log.entry('completed', 'u:mina', 1));
  await feed('erased');
  const { body: held } = await sql.hold('erased', 'u:mina', { quantity: 1 });
  await sql.call('reservation_cancel', 'u:mina', held.id);
  assert.equal((await sql.call('personal_erase', 'u:mina', 'erased', 'staff')).outcome, 'erased');
  const text = JSON.stringify(await feed('erased'));
  assert.ok(!text.includes('mina'));
  assert.ok(text.includes('"x:1"') && text.includes(`"x:${held.id}"`));
});

test('after a restore no number that readers may have seen is given again', async () => {
  await sql.event('restored');
  const before = await feed('restored');
  await sql.call('reconcile_begin');
  await sql.hold('restored', 'u:1', { quantity: 1 });
  const [next] = await feed('restored', Number(before.at(-1).sequence));
  assert.ok(Number(next.sequence) > 10000000);
});
