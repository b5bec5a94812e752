// SPDX-License-Identifier: MIT
//
// Random sequences of hold, swap, cancel, expire, pay, webhook, refund and crash, and of admissions that are offered,
// claimed in time or too late, left unclaimed, idle and withdrawn, against a plain model: after every step the same state, and every promise about seats and money.
//
// PROPERTY_SEQUENCES (300) is the number of sequences over SQL, and a tenth of it over HTTP; TIKETI_SEED is the first
// seed. A failure prints both, and the shortest sequence that still fails.

import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { after, before, test } from 'node:test';
import { Postgres, Redis, Server, TIKETI_SEED } from '../fixtures/index.mjs';
import { HttpDriver, PROVIDER, SqlDriver, stopClock } from './drivers.mjs';
import { SETTINGS } from './model.mjs';
import { makeSequence, runSequence, shrink } from './sequence.mjs';

const SEQUENCES = Number(process.env.PROPERTY_SEQUENCES ?? 300);
const SEED = TIKETI_SEED ?? randomInt(2 ** 32);
const WORKERS = 4;

let postgres;
let redis;
before(async () => {
  [postgres, redis] = await Promise.all([Postgres.start(), Redis.start()]);
});
after(() => Promise.all([postgres?.stop(), redis?.stop()]));

async function stopped() {
  const database = await postgres.migrated();
  await stopClock(database);
  return database;
}

// Each driver takes the next sequence until `count` are through or one has failed.
async function runMany(drivers, count, options, seen, first = SEED) {
  let next = 0;
  let found;
  await Promise.all(drivers.map(async (driver) => {
    while (next < count && !found) {
      const sequence = makeSequence((first + next++) >>> 0, options);
      const failure = await runSequence(driver, sequence, seen);
      if (failure && !found) found = { driver, sequence, failure };
    }
  }));
  return found && { ...found, ran: next };
}

async function agree(t, drivers, count, options) {
  const seen = {};
  const found = await runMany(drivers, count, options, seen);
  t.diagnostic(`${count} sequences from seed ${SEED}: ${Object.entries(seen).sort().map(([what, times]) => `${what} ${times}`).join(', ')}`);
  if (!found) return seen;
  const { seed, sale } = found.sequence;
  const { steps, failure } = await shrink(found.driver, found.sequence, found.failure);
  assert.fail(`again: TIKETI_SEED=${seed} PROPERTY_SEQUENCES=1\n${JSON.stringify(sale)}\n${steps.map((step, i) => `${i} ${JSON.stringify(step)}`).join('\n')}
${failure.message}\nfirst seen: ${found.failure.message}`);
}

// Agreement proves something only about outcomes that occurred: each of these must.
const COMES_UP = ['hold created', 'hold repeated', 'hold idempotency-conflict', 'hold limit', 'hold seat-taken', 'hold no-adjacent', 'hold no-seats',
  'hold unknown-seat', 'hold invalid', 'cancel cancelled', 'cancel expired', 'cancel not-cancellable', 'cancel not-yours', 'pay pending', 'pay confirmed',
  'pay already-paid', 'pay not-payable', 'pay expired', 'webhook confirmed', 'webhook refund-due', 'webhook failed', 'webhook refunded', 'webhook repeated',
  'webhook wrong-amount', 'webhook reference-used', 'refund refunded', 'refund repeated', 'refund not-refundable', 'crash rollback', 'crash cut', 'crash lost',
  'crash kill', 'hold not-admitted', 'enter consumed', 'claim consumed', 'depart consumed', 'withdraw consumed', 'again consumed'];

test('the SQL functions agree with the model, also when connections are cut and backends killed', { timeout: 3600000 }, async (t) => {
  const drivers = [];
  for (let i = 0; i < WORKERS; i++) drivers.push(new SqlDriver((await stopped()).url));
  t.after(() => drivers.forEach((driver) => driver.close()));
  const seen = await agree(t, drivers, SEQUENCES, { kill: true, admissions: true });
  if (SEQUENCES >= 300) assert.deepEqual(COMES_UP.filter((what) => !seen[what]), [], 'never came up');
});

test('the service agrees with the model over HTTP, also when its database connections are cut', { timeout: 3600000 }, async (t) => {
  const database = await stopped();
  const server = await Server.start({ redis, database, env: { PAYMENT_PROVIDER: PROVIDER } });
  const driver = new HttpDriver(server, database.url, SEED);
  t.after(async () => {
    driver.close();
    await server.stop();
  });
  // More seats than all buyers may have: a hall that is sold out lets nobody in.
  await agree(t, [driver], Math.ceil(SEQUENCES / 10), { hall: { rows: 3, perRow: 4 }, crash: 0.04 });
});

test('the model has every setting of an event, or a reason why not', () => {
  const sales = Array.from({ length: 100 }, (_, seed) => makeSequence(seed, { admissions: true }).sale);
  const varies = (setting) => new Set(sales.map((sale) => sale[setting])).size > 1;
  assert.deepEqual(SETTINGS.filter((setting) => !varies(setting)), [], 'makeSequence() has to set these');
});

// ---- mutants: the sequences must find each broken function ----

for (const [what, name, from, to, options = {}] of [
  ['a late payment sells seats that somebody else has', 'reservation_sell', 'sold := v_free = r.seat_count', 'sold := true'],
  ['a late payment ignores maxSeats', 'reservation_sell', 'IF sold AND (r.status', 'IF false AND (r.status', { buyers: 1 }],
  ['a hold ignores bought seats', 'hold_refusal', 'v_owned + p_n > v_max', 'p_n > v_max'],
  ['a hold takes seats that are held', 'hold_chosen', 'AND (sold OR held_until > v_now)', 'AND sold'],
  ['a swap keeps the old seats', 'reservation_hold_locked', 'PERFORM seats_release(ARRAY[v_old.id], p_seats);', ''],
  ['an expired hold can be cancelled', 'reservation_cancel', 'v_reservation.expires_at <= v_now', 'false'],
  ['a payment of any amount is accepted', 'payment_report', 'p_amount <> v_r.total OR', ''],
  ['a refunded payment sells', 'payment_report', `IN ('pending', 'failed')`, `IN ('pending', 'failed', 'refunded')`],
  ['a refund keeps the seats', 'payment_refund', 'PERFORM seats_unsell(v_before.id, v_seats, v_block);', ''],
  ['a refund by the provider keeps the seats', 'payment_refunded', 'PERFORM seats_unsell(v_r.id, NULL, NULL);', ''],
  ['a refund is not recorded as due', 'payment_refund', `SET status = 'refund_due'`, `SET status = 'paid'`],
  ...[
    ['an offer that ran out consumes the place', 'place_consumed', `'unclaimed', `, ''],
    ['a first idle turn consumes the place', 'place_consumed', `, 'idle_kept'`, ''],
    ['a place is kept for idleness without a note', 'consumed_places', `a.kind = 'idle_kept') AS kept`, `false) AS kept`],
    ['a place enters once only', 'ledger_hold', `r.admission IN (e.n, 0) OR`, 'true OR'],
    ['an admission that is read again holds again', 'ledger_hold', `r.admission IN (e.n, 0) OR`, 'r.admission = 0 OR'],
    ['the hold of an offer has no time for the claim', 'ledger_hold', 'THEN v_claim', `THEN interval '0'`],
    ['a claim leaves the time of the hold as it was', 'ledger_claim', `e.kind = 'claimed'`, 'false'],
    ['to pay does not claim', 'payment_begin', 'v_r.claim_by IS NOT NULL', 'false'],
    ['an admission that ends keeps its hold', 'ledger_depart', 'WHERE e.departed)', 'WHERE false)'],
    ['the end of an earlier admission, read again, ends the hold of the present one', 'ledger_depart', 'r.admission IN (e.n, 0)', 'true'],
    ['a buyer whose place is consumed holds seats', 'hold_refusal', 'AND place_consumed(kind)', 'AND false'],
    ['best available begins in the corner', 'group_distance', 'p_middle)', '0)'],
  ].map((mutant) => [...mutant, { admissions: true }]),
]) {
  test(`the sequences find a mutant: ${what}`, { timeout: 600000 }, async (t) => {
    const driver = new SqlDriver((await stopped()).url);
    t.after(() => driver.close());
    await driver.mutate(name, from, to);
    const found = await runMany([driver], 400, { crash: 0, ...options }, {}, 1); // the same sequences each time
    assert.ok(found, 'no sequence found it');
    if (options.admissions) return; // enough of them are shortened
    const { steps } = await shrink(driver, found.sequence, found.failure);
    t.diagnostic(`after ${found.ran} sequences; ${steps.length} of ${found.sequence.steps.length} steps: ${steps.map(({ kind }) => kind).join(', ')}`);
    assert.ok(steps.length <= found.sequence.steps.length);
  });
}
