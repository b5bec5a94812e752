// SPDX-License-Identifier: MIT
//
// The SQL functions of the ledger: sql/functions/ledger.sql.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { dice, seedOf } from '../fixtures/index.mjs';
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

// The log of one event: entries in the form that the consumer sends.
class Log {
  constructor(event) {
    this.event = event;
    this.ms = 1000;
    this.n = 0;
    this.numbers = new Map(); // of the buyers' last admissions
    this.cursor = '0-0';
  }

  entry(kind, buyer, place, { active = true, epoch = 1 } = {}) {
    const departed = ['left', 'idle', 'timeout', 'completed', 'unclaimed', 'idle_kept', 'withdrawn', 'cleared'].includes(kind);
    const enters = ['direct', 'offered', 'restored'].includes(kind);
    if (enters) this.numbers.set(buyer, ++this.n);
    return { id: `${++this.ms}-0`, kind, departed, buyer, place, epoch, at: this.ms, inside: 1, threshold: 10,
      n: this.numbers.get(buyer) ?? this.n, active: active && enters };
  }

  async consume(entries, from = this.cursor) {
    const to = entries.at(-1).id;
    const rows = await sql.callAll('ledger_consume', this.event, from, to, JSON.stringify(entries));
    if (rows[0].outcome === 'consumed') this.cursor = rows[0].consumed;
    return { ...rows[0], rows, buyers: rows.flatMap((row) => row.body?.buyers ?? []) };
  }
}

const letters = async (event) => (await sql.map(event)).seats.map((seat) => seat.status[0]).join('');
const held = (buyers) => buyers.map((b) => [b.buyer, ...(b.reservation?.seats ?? []).map((s) => `${s.row}.${s.number}`)].join(' '));

test('admitted buyers get the best seats in the order of admission', async () => {
  await sql.event('a1', { rows: 2, perRow: 2 });
  const log = new Log('a1');
  const out = await log.consume([log.entry('direct', 'u:c', 3), log.entry('offered', 'u:a', 1), log.entry('offered', 'u:b', 2)]);
  assert.deepEqual([out.outcome, out.consumed, out.admitted, out.free], ['consumed', '1003-0', 3, 1]);
  assert.deepEqual(held(out.buyers), ['u:c 1.1', 'u:a 1.2', 'u:b 2.1']);
  const { reservation, ...plain } = out.buyers[0];
  assert.deepEqual(plain, { buyer: 'u:c', place: '3', since: 1001, epoch: 1, claimed: true });
  assert.deepEqual(out.buyers.map((b) => b.claimed), [true, false, false], 'offers are to be claimed');
  assert.deepEqual(Object.keys(out.rows[0].body), ['buyers']);
  assert.deepEqual((await sql.call('reservation_get', 'u:c', reservation.id)).body, reservation);
});

test('entries count exactly once: sent again, with an old cursor, and by two consumers at a time', async () => {
  await sql.event('a2');
  const log = new Log('a2');
  const entries = [log.entry('direct', 'u:1', 1), log.entry('direct', 'u:2', 2)];
  const outcomes = await Promise.all([1, 2, 3, 4].map(async () => (await log.consume(entries, '0-0')).outcome));
  assert.deepEqual(outcomes.sort(), ['consumed', 'stale', 'stale', 'stale']);
  assert.equal(await letters('a2'), 'aaaahhaaaa');
  const late = await log.consume(entries, '0-0');
  assert.deepEqual([late.outcome, late.consumed, late.free, late.body], ['stale', '1002-0', 8, null]);
  assert.equal((await log.consume(entries, '1002-0')).outcome, 'not-newer');
  assert.equal((await log.consume([entries[0]], '999999999-0')).outcome, 'not-newer');
  assert.equal((await sql.row(`SELECT count(*) AS n FROM admissions WHERE event_id = 'a2'`)).n, 2);
});

test('stream ids are compared as numbers', async () => {
  await sql.event('a3');
  const log = new Log('a3');
  log.ms = 998;
  await log.consume([log.entry('direct', 'u:1', 1)]);
  const out = await log.consume([log.entry('direct', 'u:2', 2)]);
  assert.deepEqual([out.outcome, out.consumed], ['consumed', '1000-0']);
  const next = { ...log.entry('direct', 'u:3', 3), id: '1000-10' };
  assert.equal((await log.consume([next])).outcome, 'consumed');
  assert.equal((await log.consume([{ ...next, id: '1000-9' }])).outcome, 'not-newer');
});

test('no seats for buyers who have left, of another epoch, or who hold seats already', async () => {
  const [, , third] = await sql.event('b1');
  const log = new Log('b1');
  await sql.hold('b1', 'u:own', { seats: [third] });
  const out = await log.consume([
    log.entry('offered', 'u:gone', 1, { active: false }),
    log.entry('offered', 'u:own', 2),
    log.entry('offered', 'u:old', 3, { epoch: 7 }),
    log.entry('offered', 'u:left', 4), // admitted again at a later place before the log is read
    log.entry('left', 'u:left', 4),
    log.entry('offered', 'u:left', 5),
  ]);
  assert.deepEqual(held(out.buyers), ['u:own 1.3', 'u:left 1.5']);
  assert.equal(out.buyers[1].place, '5');
  assert.equal(out.free, 8);
});

test('departures give back auto-holds before the admissions of the same batch get theirs', async () => {
  await sql.event('b2', { perRow: 2 });
  const log = new Log('b2');
  await log.consume([log.entry('offered', 'u:1', 1), log.entry('offered', 'u:2', 2)]);
  const out = await log.consume([log.entry('offered', 'u:3', 3), log.entry('idle', 'u:1', 1)]);
  assert.deepEqual(held(out.buyers), ['u:3 1.1']);
  assert.equal((await sql.call('reservations_page', 'u:1', null, false, null, null, 50)).body.reservations[0].status, 'cancelled');
});

test('a departure leaves swapped, paying and bought seats alone, and reports a free slot', async () => {
  const seats = await sql.event('b3');
  const log = new Log('b3');
  const out = await log.consume(['u:swap', 'u:paying', 'u:bought'].map((buyer, i) => log.entry('offered', buyer, i + 1)));
  const [, paying, bought] = out.buyers.map((b) => b.reservation);
  await sql.hold('b3', 'u:swap', { seats: [seats[8]], place: 1 });
  await sql.rows(`INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status)
    VALUES ('b3', $1, 'p', 'b3', 1000, 'EUR', 'pending')`, [paying.id]);
  await sql.paid(bought.id, 'p', 'b3-2', 1000, 'EUR');
  await log.consume([log.entry('left', 'u:swap', 1), log.entry('timeout', 'u:paying', 2), log.entry('completed', 'u:bought', 3)]);
  assert.equal(await letters('b3'), 'aaasahaaha');
  assert.equal((await sql.row('SELECT slot_freed FROM reservations WHERE id = $1', [bought.id])).slot_freed, true);
});

test('one auto-hold for each admission, whatever is read twice', async () => {
  await sql.event('b4');
  const log = new Log('b4');
  await log.consume([log.entry('offered', 'u:1', 1)]);
  const again = await log.consume([log.entry('restored', 'u:1', 1)]);
  assert.deepEqual(held(again.buyers), ['u:1 1.5'], 'the same hold is told again');
  const { id } = again.buyers[0].reservation;
  await sql.call('reservation_cancel', 'u:1', id);
  assert.deepEqual(held((await log.consume([log.entry('restored', 'u:1', 1)])).buyers), ['u:1']);
  assert.deepEqual(held((await log.consume([log.entry('offered', 'u:1', 2)])).buyers), ['u:1 1.5'], 'another admission');
});

// How long the hold lasts from now on, in seconds.
const lasts = async (id) => Math.round((await sql.row(`SELECT extract(epoch FROM expires_at - now())::float AS s
  FROM reservations WHERE id = $1`, [id])).s);
// The seats of a hold lapse with it.
const together = async (id) => (await sql.row(`SELECT bool_and(s.held_until = r.expires_at) AS yes FROM reservations r
  JOIN seats s ON s.holder = r.id WHERE r.id = $1`, [id])).yes;

test('the time of an auto-hold begins when the turn is claimed', async () => {
  await sql.event('k1', { holdMs: 60000, claimMs: 30000, autoHold: 2 });
  const log = new Log('k1');
  const out = await log.consume([log.entry('direct', 'u:1', 1), log.entry('offered', 'u:2', 2), log.entry('offered', 'u:3', 3)]);
  assert.deepEqual(held(out.buyers), ['u:1 1.5 1.6', 'u:2 1.3 1.4', 'u:3 1.7 1.8']);
  const [direct, offer, paying] = out.buyers.map((b) => b.reservation.id);
  assert.deepEqual([await lasts(direct), await lasts(offer)], [60, 90], 'an offer may be claimed in its last second');
  const shown = Date.parse(out.buyers[1].reservation.expiresAt) - Date.now();
  assert.ok(Math.abs(shown - 60000) < 2000, 'what is shown is what a claim now would give');
  const version = (await sql.map('k1')).version;
  assert.equal((await sql.call('payment_begin', 'u:3', paying, 'p', null, null)).outcome, 'pending');
  assert.deepEqual([await lasts(offer), await lasts(paying)], [90, 60], 'to pay is to claim');
  await sql.rows(`UPDATE reservations SET expires_at = expires_at - interval '5 seconds' WHERE event_id = 'k1'`);
  await sql.rows(`UPDATE seats SET held_until = held_until - interval '5 seconds' WHERE event_id = 'k1' AND holder IS NOT NULL`);
  await log.consume([log.entry('claimed', 'u:2', 2), log.entry('claimed', 'u:3', 3)]);
  assert.deepEqual([await lasts(offer), await lasts(paying)], [55, 55], 'the deadline that the provider was told stays');
  assert.ok(await together(offer) && await together(paying));
  assert.equal((await sql.map('k1')).version, version, 'the map is the same');
  const both = await log.consume([log.entry('offered', 'u:4', 4), log.entry('claimed', 'u:4', 4)]);
  assert.equal(await lasts(both.buyers[0].reservation.id), 60, 'offered and claimed in one batch');
});

test('a claim revives no hold that has lapsed, and changes none that the buyer has chosen', async () => {
  const seats = await sql.event('k2', { holdMs: 60000, claimMs: 30000 });
  const log = new Log('k2');
  const out = await log.consume([log.entry('offered', 'u:1', 1), log.entry('offered', 'u:2', 2)]);
  await sql.lapse(out.buyers[0].reservation.id);
  const { body } = await sql.hold('k2', 'u:2', { seats: [seats[7]], place: 2 });
  await sql.rows(`UPDATE reservations SET expires_at = now() + interval '7 seconds' WHERE id = $1`, [body.id]);
  await sql.rows(`UPDATE seats SET held_until = (SELECT expires_at FROM reservations WHERE id = $1) WHERE holder = $1`, [body.id]);
  await log.consume([log.entry('claimed', 'u:1', 1), log.entry('claimed', 'u:2', 2)]);
  assert.ok(await lasts(out.buyers[0].reservation.id) <= 0);
  assert.equal(await lasts(body.id), 7);
});

test('a place that was kept enters again: another admission, another auto-hold, nothing consumed', async () => {
  await sql.event('k3', { perRow: 3 });
  const log = new Log('k3');
  for (const kept of ['unclaimed', 'idle_kept']) {
    const first = await log.consume([log.entry('offered', 'u:1', 1)]);
    assert.deepEqual(held(first.buyers), ['u:1 1.2'], kept);
    const gone = await log.consume([log.entry(kept, 'u:1', 1)]);
    assert.deepEqual([gone.free, await letters('k3')], [3, 'aaa'], 'its seats are on offer again');
    assert.deepEqual((await sql.callAll('consumed_places', 'k3', 1, '', 10)).filter(({ place }) => place > 0), []);
  }
  const last = await log.consume([log.entry('offered', 'u:1', 1), log.entry('claimed', 'u:1', 1)]);
  assert.deepEqual(held(last.buyers), ['u:1 1.2']);
  assert.equal((await log.consume([log.entry('idle', 'u:1', 1)])).free, 3);
  assert.deepEqual(await sql.callAll('consumed_places', 'k3', 1, '', 10), [{ buyer: 'u:1', place: 1, kept: 0, used: 0, since: 0 }]);
  const kinds = await sql.rows(`SELECT n, kind FROM admissions WHERE event_id = 'k3' ORDER BY stream_id`);
  assert.deepEqual(kinds.map(({ n, kind }) => `${n} ${kind}`),
    ['1 offered', '1 unclaimed', '2 offered', '2 idle_kept', '3 offered', '3 claimed', '3 idle']);
});

test('offered, not claimed and offered again in one batch: the later admission gets the seats', async () => {
  await sql.event('k4', { perRow: 3 });
  const log = new Log('k4');
  const first = log.entry('offered', 'u:1', 1, { active: false });
  const batch = [first, log.entry('unclaimed', 'u:1', 1), log.entry('offered', 'u:1', 1)];
  const out = await log.consume(batch);
  assert.deepEqual([held(out.buyers), out.free, out.admitted], [['u:1 1.2'], 2, 2]);
  assert.equal((await sql.row(`SELECT admission FROM reservations WHERE event_id = 'k4'`)).admission, 2);
  // The departure of the first admission, read again, does not end the second one.
  const again = await log.consume([{ ...batch[1], id: `${++log.ms}-0` }, { ...batch[2], id: `${++log.ms}-0` }]);
  assert.deepEqual([held(again.buyers), again.free], [['u:1 1.2'], 2]);
});

test('the count of admissions is the highest number, whatever entry comes last, and never falls', async () => {
  await sql.event('k5', { autoHold: 0 });
  const log = new Log('k5');
  const out = await log.consume([log.entry('offered', 'u:1', 1), log.entry('offered', 'u:2', 2), log.entry('claimed', 'u:1', 1)]);
  assert.equal(out.admitted, 2);
  await log.consume([log.entry('idle', 'u:1', 1)]);
  assert.equal((await sql.call('ledger_state', 'k5', null)).admitted, 2);
});

test('entries that concern no admission are copied and change no hold', async () => {
  await sql.event('k6', { perRow: 3 });
  const log = new Log('k6');
  await sql.hold('k6', 'u:1', { quantity: 1, place: 1 });
  const out = await log.consume([log.entry('parked', 'u:1', 1), log.entry('returned', 'u:1', 1), log.entry('parked', 'u:2', 2)]);
  assert.deepEqual([out.outcome, out.buyers, out.held, await letters('k6')], ['consumed', [], 0, 'aha']);
  assert.equal((await sql.row(`SELECT entered FROM reservations WHERE event_id = 'k6'`)).entered, false, 'only an admission enters');
  assert.equal((await sql.row(`SELECT count(*) AS n FROM admissions WHERE event_id = 'k6'`)).n, 3);
});

test('a buyer\'s own hold belongs to the admission that lasts, whether it is copied yet or not', async () => {
  await sql.event('k7', { autoHold: 0 });
  const log = new Log('k7');
  const ask = async () => (await sql.hold('k7', 'u:1', { quantity: 1, place: 1 })).outcome;
  const hold = async () => {
    const row = await sql.row(`SELECT admission, entered FROM reservations WHERE event_id = 'k7' AND status = 'held'`);
    return [row.admission, row.entered];
  };
  await log.consume([log.entry('offered', 'u:1', 1), log.entry('claimed', 'u:1', 1)]);
  assert.deepEqual([await ask(), await hold()], ['created', [1, true]]);
  await log.consume([log.entry('idle_kept', 'u:1', 1)]);
  assert.deepEqual([await ask(), await hold()], ['created', [0, false]], 'let in again; that entry is still to be copied');
  await log.consume([log.entry('offered', 'u:1', 1), log.entry('parked', 'u:2', 2)]);
  assert.deepEqual(await hold(), [2, true]);
  await log.consume([log.entry('timeout', 'u:1', 1)]);
  assert.equal(await ask(), 'not-admitted', 'the place is consumed');
});

test('a purchase frees its slot when the place is consumed, not when it was only kept', async () => {
  await sql.event('k8');
  const log = new Log('k8');
  const out = await log.consume([log.entry('offered', 'u:1', 1)]);
  const { id, totalAmount } = out.buyers[0].reservation;
  await sql.paid(id, 'p', 'k8', totalAmount, 'EUR');
  const freed = async () => (await sql.row('SELECT slot_freed FROM reservations WHERE id = $1', [id])).slot_freed;
  await log.consume([log.entry('idle_kept', 'u:1', 1)]);
  assert.equal(await freed(), false);
  assert.deepEqual(held((await log.consume([log.entry('offered', 'u:1', 1)])).buyers), ['u:1'], 'who has bought is held no seats');
  await log.consume([log.entry('completed', 'u:1', 1)]);
  assert.equal(await freed(), true);
});

test('a restored admission takes over the hold: its departure gives the seats back', async () => {
  await sql.event('k9', { perRow: 2 });
  const log = new Log('k9');
  await log.consume([log.entry('offered', 'u:1', 1)]);
  assert.equal((await log.consume([log.entry('restored', 'u:1', 1)])).free, 1);
  assert.equal((await log.consume([log.entry('left', 'u:1', 1)])).free, 2);
});

test('an expired hold of the buyer does not prevent the auto-hold', async () => {
  await sql.event('b5');
  const log = new Log('b5');
  const { body } = await sql.hold('b5', 'u:1', { quantity: 2 });
  await sql.lapse(body.id);
  assert.deepEqual(held((await log.consume([log.entry('offered', 'u:1', 1)])).buyers), ['u:1 1.5']);
});

test('several seats each: side by side first, then scattered, then the rest', async () => {
  const seats = await sql.event('c1', { rows: 2, perRow: 5, autoHold: 2 });
  await sql.hold('c1', 'u:x', { seats: [seats[7]] }); // row 2: 1 2 x 4 5
  const log = new Log('c1');
  const out = await log.consume(['u:1', 'u:2', 'u:3', 'u:4', 'u:5', 'u:6'].map((buyer, i) => log.entry('offered', buyer, i + 1)));
  assert.deepEqual(held(out.buyers), ['u:1 1.2 1.3', 'u:2 1.4 1.5', 'u:3 2.1 2.2', 'u:4 2.4 2.5', 'u:5 1.1', 'u:6']);
  assert.deepEqual([out.free, out.held], [0, 5]);
});

test('an auto-hold stays within maxSeats', async () => {
  await sql.event('c2', { rows: 2, autoHold: 3, maxSeats: 4 });
  for (const [buyer, quantity] of [['u:1', 2], ['u:2', 4]]) {
    const { body } = await sql.hold('c2', buyer, { quantity });
    await sql.paid(body.id, 'p', `c2-${buyer}`, body.totalAmount, 'EUR');
  }
  const log = new Log('c2');
  const out = await log.consume([log.entry('offered', 'u:1', 1), log.entry('offered', 'u:2', 2), log.entry('offered', 'u:3', 3)]);
  assert.deepEqual(held(out.buyers), ['u:1 2.5 2.6', 'u:2', 'u:3 1.7 1.8 1.9']);
});

test('without auto-hold or seats the log is copied and no hold is made', async () => {
  await sql.event('d1', { autoHold: 0 });
  await sql.event('d2', { rows: 0 });
  for (const event of ['d1', 'd2']) {
    const log = new Log(event);
    const out = await log.consume([log.entry('offered', 'u:1', 1)]);
    assert.deepEqual([out.outcome, out.body, out.rows.length, out.admitted], ['consumed', null, 1, 1]);
  }
  assert.equal((await new Log('none').consume([new Log('none').entry('left', 'u:1', 1)])).outcome, 'not-found');
});

test('entries that were read before a rehearsal was reset are not copied after it', async () => {
  await sql.event('reset', { rehearsal: true });
  const log = new Log('reset');
  const read = [log.entry('direct', 'u:1', 7), log.entry('claimed', 'u:1', 7)];
  assert.equal((await sql.call('event_reset', 'reset', 'demo', 'kim')).outcome, 'updated');
  assert.equal((await log.consume(read)).outcome, 'not-found');
  for (const table of ['admissions', 'ledger_cursors']) assert.deepEqual(await sql.rows(`SELECT FROM ${table} WHERE event_id = 'reset'`), [], table);
  assert.deepEqual(await sql.rows("SELECT last_place FROM events WHERE id = 'reset'"), [{ last_place: 0 }], 'the next opening opens no restore window');
});

test('the places that turns have left to their buyers for idleness are told with the consumed ones', async () => {
  await sql.event('k10');
  const log = new Log('k10');
  const at = (ms, ...args) => ({ ...log.entry(...args), at: ms });
  const page = async () => Object.fromEntries((await sql.callAll('consumed_places', 'k10', 1, '', 10)).map(({ buyer, ...rest }) => [buyer, rest]));
  await log.consume([
    at(10000, 'offered', 'u:1', 1), at(20000, 'unclaimed', 'u:1', 1), at(30000, 'offered', 'u:1', 1), at(40000, 'claimed', 'u:1', 1), at(100000, 'idle_kept', 'u:1', 1),
    at(50000, 'direct', 'u:2', 2), at(51000, 'left', 'u:2', 2), at(60000, 'direct', 'u:2', 5), at(67000, 'idle_kept', 'u:2', 5),
    at(70000, 'offered', 'u:3', 3), at(80000, 'unclaimed', 'u:3', 3),
  ]);
  const first = { 'u:1': { place: 0, kept: 1, used: 60000, since: 40000 }, 'u:2': { place: 2, kept: 5, used: 7000, since: 60000 } };
  assert.deepEqual(await page(), first);
  await log.consume([at(200000, 'offered', 'u:1', 1), at(210000, 'claimed', 'u:1', 1)]);
  assert.deepEqual(await page(), first, 'of a second turn at this place it tells nothing');
  await log.consume([at(300000, 'idle', 'u:1', 1), at(300000, 'withdrawn', 'u:2', 5)]);
  assert.deepEqual(await page(), { 'u:1': { place: 1, kept: 0, used: 0, since: 0 }, 'u:2': { place: 5, kept: 0, used: 0, since: 0 } });
  assert.deepEqual((await sql.callAll('consumed_places', 'k10', 1, 'u:1', 1)).map(({ buyer }) => buyer), ['u:2']);
});

test('a clear in the log is copied and does not stop the consumer', async () => {
  await sql.event('d4');
  const log = new Log('d4');
  const cleared = () => ({ ...log.entry('left', '', 0), kind: 'cleared' });
  assert.equal((await log.consume([cleared()])).outcome, 'consumed');
  assert.deepEqual(held((await log.consume([cleared(), log.entry('offered', 'u:1', 1)])).buyers), ['u:1 1.5']);
  assert.deepEqual(await sql.callAll('consumed_places', 'd4', 1, '', 10), []);
});

test('from the first entry on, a missing live copy counts as lost', async () => {
  await sql.event('d3');
  const opened = async () => (await sql.call('event_get', 'd3')).body.opened;
  assert.equal(await opened(), false);
  const log = new Log('d3');
  await log.consume([log.entry('offered', 'u:1', 1790000000000001)]);
  assert.equal(await opened(), true);
  assert.equal((await sql.call('event_get', 'd3')).body.lastPlace, 1790000000000001);
});

test('the state returns cursor and free seats, and detects a new stream below the cursor', async () => {
  await sql.event('e1');
  const state = async (first) => {
    const row = await sql.call('ledger_state', 'e1', first);
    return [row.outcome, row.consumed, row.admitted, row.free];
  };
  assert.deepEqual(await state(null), ['known', '0-0', 0, 10]);
  assert.deepEqual(await state('5-0'), ['known', '0-0', 0, 10]);
  const log = new Log('e1');
  const entries = [log.entry('offered', 'u:1', 1), log.entry('offered', 'u:2', 2)];
  await log.consume(entries);
  assert.deepEqual(await state('1001-0'), ['known', '1002-0', 2, 8]);
  assert.deepEqual(await state('1002-0'), ['known', '1002-0', 2, 8], 'trimmed');
  assert.deepEqual(await state('1003-0'), ['known', '1002-0', 2, 8], 'restored, above the cursor');
  assert.deepEqual(await state('990-0'), ['restarted', '1002-0', 2, 8]);
  assert.equal((await sql.call('ledger_reset', 'e1', '1-0')).outcome, 'stale');
  assert.equal((await sql.call('ledger_reset', 'e1', '1002-0')).outcome, 'reset');
  const again = new Log('e1');
  again.ms = 989;
  const out = await again.consume([again.entry('restored', 'u:1', 1), ...entries, again.entry('offered', 'u:3', 3)]);
  assert.equal(out.outcome, 'consumed');
  assert.equal(out.free, 7, 'nobody was given seats twice');
  assert.deepEqual(await state('990-0'), ['known', out.consumed, 1 + 1, 7]);
});

test('the cursor goes back below entries that Redis wrote after a loss; no entry counts twice', async () => {
  await sql.event('w1');
  const log = new Log('w1');
  const [first, ...others] = [1, 2, 3].map((place) => log.entry('offered', `u:${place}`, place));
  await log.consume([first, ...others]);
  const rewind = async (from, to) => (await sql.call('ledger_rewind', 'w1', from, to)).outcome;
  assert.equal(await rewind('1002-0', '1001-9223372036854775807'), 'stale');
  assert.equal(await rewind('1003-0', '1004-0'), 'stale', 'never forward');
  assert.equal(await rewind('1003-0', '1001-9223372036854775807'), 'rewound');
  assert.equal((await sql.call('ledger_state', 'w1', first.id)).consumed, '1001-9223372036854775807');
  const late = { ...log.entry('direct', 'u:4', 4), id: '1002-5' };
  const out = await log.consume([others[0], late, others[1]], '1001-9223372036854775807');
  assert.deepEqual([out.outcome, out.consumed, out.free, out.held], ['consumed', '1003-0', 6, 1]);
});

test('a buyer who holds seats before the admission is copied is not counted twice', async () => {
  await sql.event('e2');
  const log = new Log('e2');
  const entries = [log.entry('direct', 'u:fast', 5), log.entry('direct', 'u:slow', 6)];
  const room = async () => (await sql.call('ledger_state', 'e2', null)).free;
  const { body } = await sql.hold('e2', 'u:fast', { quantity: 1, place: 5 });
  assert.equal(await room(), 10, 'the admission is still to be subtracted');
  await sql.paid(body.id, 'p', 'e2', 1000, 'EUR');
  assert.equal(await room(), 10);
  await sql.hold('e2', 'u:slow', { quantity: 3, place: 6 });
  assert.equal(await room(), 8, 'seats held beyond an auto-hold are subtracted');
  assert.equal((await log.consume(entries)).free, 6);
  await sql.hold('e2', 'u:slow', { quantity: 2, place: 6 });
  assert.equal(await room(), 7);
  await sql.hold('e2', 'u:lost', { quantity: 1, place: 7 });
  assert.equal(await room(), 7);
  await sql.rows(`UPDATE reservations SET created_at = now() - interval '11 seconds' WHERE buyer = 'u:lost'`);
  assert.equal(await room(), 6, 'an entry that never came was lost with Redis');
});

test('consumed places: the highest of each buyer, by departure or purchase, page by page', async () => {
  await sql.event('f1', { rows: 2 });
  const log = new Log('f1');
  await log.consume([
    log.entry('left', 'u:b', 5), log.entry('idle', 'u:b', 9), log.entry('offered', 'u:c', 4),
    log.entry('left', 'u:a', 2), log.entry('left', 'u:old', 2, { epoch: 9 }),
  ]);
  const { body } = await sql.hold('f1', 'u:Z', { quantity: 1, place: 12 });
  await sql.paid(body.id, 'p', 'f1', 1000, 'EUR');
  const pages = [];
  for (let after = ''; ;) {
    const page = await sql.callAll('consumed_places', 'f1', 1, after, 2);
    pages.push(page.map((row) => `${row.buyer} ${row.place}`));
    if (page.length < 2) break;
    after = page.at(-1).buyer;
  }
  assert.deepEqual(pages, [['u:Z 12', 'u:a 2'], ['u:b 9']]);
});

test('many seats each: no message exceeds 64 KiB', async () => {
  await sql.event('g0', { rows: 20, perRow: 100, autoHold: 40, maxSeats: 40 });
  const log = new Log('g0');
  const out = await log.consume(Array.from({ length: 50 }, (_, i) => log.entry('offered', `u:${'x'.repeat(120)}${i}`, i + 1)));
  assert.deepEqual([out.buyers.length, out.held, out.free], [50, 50, 0]);
  assert.ok(out.rows.every((row) => JSON.stringify(row.body).length < 48 * 1024));
});

test('500 entries at once are answered in rows of fifty buyers; pages of 20,000 consumed places stay fast', async () => {
  await sql.event('g1', { rows: 20, perRow: 50 });
  const log = new Log('g1');
  const out = await log.consume(Array.from({ length: 500 }, (_, i) => log.entry('offered', `u:${i}`, i + 1)));
  assert.equal(out.rows.length, 10);
  assert.ok(out.rows.every((row) => row.body.buyers.length === 50 && JSON.stringify(row.body).length < 48 * 1024));
  assert.equal(new Set(out.buyers.map((b) => b.reservation.seats[0].id)).size, 500);
  assert.equal(out.buyers[499].reservation.seats[0].row, '10');
  await sql.rows(`INSERT INTO admissions SELECT 'g1', 1, 'g:' || i, i, 'left', true, now(), 0, 1, 1, i || '-1'
    FROM generate_series(1, 20000) AS i`);
  const began = performance.now();
  let count = 0;
  for (let after = ''; ;) {
    const page = await sql.callAll('consumed_places', 'g1', 1, after, 500);
    count += page.length;
    if (page.length < 500) break;
    after = page.at(-1).buyer;
  }
  assert.equal(count, 20000);
  assert.ok(performance.now() - began < 10000, 'a page does not read all that follows it');
});

test('the consumer runs beside buyers who hold, swap, cancel and pay: nothing breaks', async (t) => {
  await sql.event('h1', { rows: 4, perRow: 25, holdMs: 40, maxSeats: 2 });
  const seats = (await sql.map('h1')).seats.map((seat) => seat.id);
  const log = new Log('h1');
  const buyers = Array.from({ length: 60 }, (_, i) => `u:${i}`);
  const places = new Map();
  let place = 0;
  let stop = false;
  const seen = {};
  const note = (outcome) => (seen[outcome] = (seen[outcome] ?? 0) + 1);
  const seed = seedOf(t);
  const buyer = async (_, i) => {
    const roll = dice(seed + 1 + i);
    while (!stop) {
      const who = roll.any(buyers);
      const order = roll.chance(0.5) ? { quantity: 1 + roll.below(2) }
        : { seats: [...new Set([roll.any(seats), roll.any(seats)])] };
      const { outcome, body } = await sql.hold('h1', who, order);
      note(outcome);
      if (outcome !== 'created') continue;
      if (roll.chance(0.3)) note((await sql.call('reservation_cancel', who, body.id)).outcome);
      else if (roll.chance(0.05)) note((await sql.paid(body.id, 'p', body.id, body.totalAmount, 'EUR')).outcome);
      if (roll.chance(0.2)) note((await sql.call('reservation_sweep', 20)).outcome);
    }
  };
  const consumer = async () => {
    const roll = dice(seed);
    for (let round = 0; round < 30; round++) {
      const entries = [];
      for (const who of buyers) {
        if (roll.chance(0.5)) continue;
        if (places.has(who)) entries.push(log.entry('left', who, places.get(who)));
        if (places.has(who)) places.delete(who);
        else {
          places.set(who, ++place);
          entries.push(log.entry('offered', who, place));
        }
      }
      if (entries.length > 0) note((await log.consume(entries)).outcome);
    }
    stop = true;
  };
  await Promise.all([consumer(), ...Array.from({ length: 12 }, buyer)]);
  assert.ok(seen.consumed >= 29 && seen.created > 50, JSON.stringify(seen));
});

// Deadlocks are avoided by the order of locks: a retry after one would cost the buyer a second.
test('the tests before this one made no deadlock', async () => {
  assert.equal(await sql.deadlocks(), 0);
});

test('a large batch reads the hall a few times, not once per row of the answer', async () => {
  await sql.event('large', { rows: 60, perRow: 50, autoHold: 4 });
  const batch = Array.from({ length: 500 }, (_, i) => ({
    id: '1-0', kind: 'offered', departed: false, buyer: `u:${i}`, place: String(i + 1), epoch: 1, at: 1790000000000,
    inside: 1, threshold: 100, n: i + 1, active: true,
  }));
  const row = await sql.callReading('seats', 'ledger_consume', 'large', '0-0', '1-0', JSON.stringify(batch));
  assert.deepEqual([row.outcome, row.held, row.free], ['consumed', 500, 1000]);
  assert.ok(row.read < 40000, `read ${row.read}`);
});
