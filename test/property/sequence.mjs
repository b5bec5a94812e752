// SPDX-License-Identifier: MIT
//
// One random sequence: made from a seed, run against a sale and the model, compared after every step; and shortened
// to the smallest sequence that fails when they differ.
//
// A step refers to seats, reservations and payments by large random numbers, taken modulo their count when the step
// runs: so any part of a sequence is a sequence as well.

import assert from 'node:assert/strict';
import { dice } from '../fixtures/index.mjs';
import { Model } from './model.mjs';

const WEIGHTS = { hold: 26, swap: 10, cancel: 10, expire: 16, sweep: 5, pay: 14, webhook: 34, refund: 7 };
const ADMISSIONS = { enter: 16, claim: 9, depart: 10, withdraw: 3, again: 3 };

// Crashes around a step: a rollback, the connection cut during the transaction or during the statement, the backend
// killed.
const CRASHES = { rollback: 3, cut: 3, lost: 4 };

// admissions: of half of the sales the log is told as well. kill: in every hundredth, the process behind a step's connection is killed -9 (PostgreSQL restarts).
export function makeSequence(seed, { hall, buyers = 3, crash = 0.08, kill = false, admissions = false } = {}) {
  const roll = dice(seed);
  const { rows, perRow } = hall ?? { rows: 1 + roll.below(2), perRow: 3 };
  const holdMs = roll.any([1000, 1000, 600]);
  const sale = { rows, perRow, price: roll.chance(0.15) ? 0 : 1000, maxSeats: 1 + roll.below(3), holdMs };
  const admits = admissions && seed % 2 === 1;
  if (admits) Object.assign(sale, { autoHold: roll.any([0, 1, 1, 2, 2]), claimMs: roll.any([400, 1000]) });
  const buyer = () => roll.below(buyers);
  const make = {
    hold: () => ({
      buyer: buyer(), key: roll.chance(0.3) ? roll.below(2) : null, again: roll.chance(0.1) ? roll.next() : null,
      ...(roll.chance(0.5)
        ? { seats: [...new Set(Array.from({ length: 1 + roll.below(3) }, () => roll.below(roll.chance(0.03) ? 1000 : rows * perRow)))] }
        : { quantity: 1 + roll.below(3), section: roll.any([null, null, null, 'S', 'S', roll.chance(0.2) ? 'nowhere' : null]) }),
    }),
    swap: () => ({ ...make.hold(), key: null, again: null, swap: roll.next() }),
    cancel: () => ({ r: roll.next(), stranger: roll.chance(0.1) }),
    expire: () => ({ ms: roll.any([1, holdMs / 2, holdMs - 1, holdMs, holdMs, holdMs + 1, ...(admits ? [holdMs + sale.claimMs] : [])]) }),
    sweep: () => ({ limit: 1 + roll.below(20) }),
    pay: () => ({ r: roll.next(), stranger: roll.chance(0.1) }),
    // About a payment begun here, or one that only the provider knows (four names, so that they repeat).
    webhook: () => ({
      r: roll.next(), payment: roll.chance(0.6) ? roll.next() : null, name: roll.below(4), other: roll.chance(0.05),
      late: roll.chance(0.3), // about an expired hold, if there is one
      word: roll.weighted({ paid: 6, failed: 2, refunded: 2 }), wrong: roll.chance(0.08) ? roll.any(['amount', 'currency']) : null,
    }),
    refund: () => ({ r: roll.next() }),
    enter: () => ({ whose: roll.next(), how: roll.any(['offered', 'offered', 'direct']) }),
    claim: () => ({ whose: roll.next() }),
    depart: () => ({ whose: roll.next(), how: roll.any(['keep', 'keep', 'left', 'idle', 'timeout', 'completed']) }),
    withdraw: () => ({ whose: roll.next() }),
    again: () => ({}),
  };
  const steps = Array.from({ length: 10 + roll.below(30) }, () => {
    const kind = roll.weighted(admits ? { ...WEIGHTS, ...ADMISSIONS } : WEIGHTS);
    const step = { kind, ...make[kind]() };
    if ('r' in step && roll.chance(0.02)) step.nobody = true;
    if (roll.chance(crash)) step.crash = roll.weighted(CRASHES);
    return step;
  });
  if (kill && seed % 100 === 0) { // a hold always has an effect
    const holds = steps.filter(({ kind }) => kind === 'hold');
    if (holds.length > 0) roll.any(holds).crash = 'kill';
    else steps.push({ kind: 'hold', ...make.hold(), crash: 'kill' });
  }
  return { seed, sale, steps };
}

// Prefers new entries: half of the time one of the last three.
function pick(number, list) {
  if (list.length === 0) return null;
  return number & 1 ? Math.max(0, list.length - 1 - ((number >>> 1) % 3)) : (number >>> 1) % list.length;
}

// The method and arguments of the step in the present state; undefined when there is nothing it could refer to.
function resolve(model, step) {
  const args = { ...step };
  if (step.kind === 'swap') {
    const holders = [0, 1, 2, 3, 4, 5].filter((buyer) => model.heldBy(buyer) !== null);
    if (holders.length === 0) return undefined;
    args.buyer = holders[step.swap % holders.length];
  }
  // The same order under the same key, as from a browser that got no answer.
  const orders = Object.values(model.keys).map(({ order }) => order);
  if (step.kind === 'hold' && step.again !== null && orders.length > 0) return { method: 'hold', args: orders[step.again % orders.length] };
  if (step.kind === 'hold' || step.kind === 'swap') return { method: 'hold', args };
  if (step.kind in ADMISSIONS) return resolveAdmission(model, step);
  if ('r' in step) {
    args.r = pick(step.r, model.reservations);
    if (step.nobody) args.r = null;
    else if (args.r === null) return undefined;
  }
  if (args.r !== null && args.r !== undefined) {
    const { buyer } = model.reservations[args.r];
    args.buyer = step.stranger ? buyer + 1 : buyer;
  } else {
    args.buyer = 0;
  }
  if (step.kind === 'webhook') {
    args.payment = step.payment === null ? null : pick(step.payment, model.payments);
    if (args.payment !== null && !step.other) args.r = model.payments[args.payment].r;
    const late = step.late ? model.reservations.map((_, i) => i).filter((i) => model.status(i) === 'expired') : [];
    if (late.length > 0) {
      args.r = late[step.r % late.length];
      const begun = model.payments.findIndex(({ r, status }) => r === args.r && status === 'pending');
      args.payment = begun < 0 ? null : begun;
    }
    args.amount = args.r === null ? 1 : model.total(args.r) + (step.wrong === 'amount' ? 1 : 0);
    args.currency = step.wrong === 'currency' ? 'USD' : 'EUR';
  }
  return { method: step.kind, args };
}

// Whom a step of the log concerns; undefined: nobody.
function resolveAdmission(model, { kind, whose, how }) {
  const inside = Object.keys(model.inside).map(Number);
  // Whether a hold that has lapsed still is one in its row depends on when it was swept.
  const lapsed = (buyer) => model.autoHoldOf(buyer) >= 0 && !model.live(model.autoHoldOf(buyer));
  const choices = {
    enter: [0, 1, 2].filter((buyer) => !inside.includes(buyer) && !(how === 'direct' && model.kept[buyer])),
    claim: inside.filter((buyer) => model.inside[buyer].offered),
    depart: inside.filter((buyer) => !lapsed(buyer) && (how === 'keep' || how === 'left' || how === 'completed' || !model.inside[buyer].offered)),
    withdraw: Object.keys(model.kept).map(Number).filter((buyer) => !inside.includes(buyer)),
    again: model.log.length > 0 && inside.filter((buyer) => model.wantsHold(buyer)).length < 2 ? [0] : [],
  }[kind];
  if (choices.length === 0) return undefined;
  const buyer = choices[(whose ?? 0) % choices.length];
  if (kind !== 'depart' || how !== 'keep') return { method: kind, args: { buyer, kind: how } };
  const keeps = model.inside[buyer].offered ? 'unclaimed' : (model.kept[buyer]?.used ?? null) !== null ? 'idle' : 'idle_kept';
  return { method: 'depart', args: { buyer, kind: keeps } };
}

const short = (value) => JSON.stringify(value);

// Runs a sequence on a new sale of this driver. Undefined when both agreed, else { at, message }. seen counts the
// outcomes.
export async function runSequence(driver, { sale, steps }, seen = {}) {
  const real = await driver.open(sale);
  let model = new Model(sale, { endsAtSale: real.endsAtSale });
  for (const [at, step] of steps.entries()) {
    const resolved = resolve(model, step);
    if (!resolved) continue;
    const before = model.copy();
    const expected = model[resolved.method](resolved.args);
    for (const what of [`${resolved.method} ${expected.outcome}`, ...(step.crash ? [`crash ${step.crash}`] : [])]) seen[what] = (seen[what] ?? 0) + 1;
    try {
      const answer = await real.step(resolved.method, resolved.args, step.crash, model);
      // undefined: the effect is unknown. Done and not done are both right, but nothing in between.
      const outcomes = answer === 'undone' ? [before] : answer === undefined ? [before, model] : [model];
      if (answer !== undefined && answer !== 'undone') real.compare(answer, expected);
      model = await settle(real, outcomes);
    } catch (error) {
      if (!(error instanceof assert.AssertionError)) throw error;
      return { at, message: `step ${at} ${short(step)}, that is ${resolved.method} ${short(resolved.args)}:\n${error.message}` };
    }
  }
  return undefined;
}

async function settle(real, models) {
  const raw = await real.read();
  let error;
  for (const model of models) {
    try {
      assert.deepEqual(real.state(raw, model), model.state());
      error = undefined;
      real.adopt(raw);
      checkSound(raw, model);
      return model;
    } catch (thrown) {
      error = thrown;
    }
  }
  throw error;
}

// ---- invariants of the rows, after any step ----

function checkSound({ now, seats, reservations, links, payments }, { maxSeats }) {
  const reservation = new Map(reservations.map((row) => [row.id, row]));
  const seat = new Map(seats.map((row) => [row.id, row]));
  const live = links.filter((link) => link.live);
  assert.equal(new Set(live.map((link) => link.seat)).size, live.length, 'a seat has two live rows');
  for (const { id, status, holder, until } of seats) {
    const owner = reservation.get(holder);
    const linked = live.some((link) => link.seat === id && link.reservation === holder);
    if (status === 'sold') assert.ok(owner?.status === 'confirmed' && linked, `seat ${id} is sold to nobody who bought it`);
    if (status === 'held' && until > now) assert.ok(owner?.status === 'held' && linked, `seat ${id} is held by nobody`);
  }
  for (const { id, status, until, total, count } of reservations) {
    const own = links.filter((link) => link.reservation === id);
    const wanted = status === 'confirmed' ? 'sold' : status === 'held' && until > now ? 'held' : null;
    if (wanted) {
      assert.ok(own.every((link) => link.live && seat.get(link.seat).holder === id && seat.get(link.seat).status === wanted),
        `not every seat of ${id} is ${wanted} by it`);
    }
    if (status === 'cancelled' || status === 'refunded') assert.ok(own.every((link) => !link.live), `${id} is over and has live rows`);
    assert.deepEqual([count, total], [own.length, own.reduce((sum, link) => sum + seat.get(link.seat).price, 0)], `seats and total of ${id}`);
    const paid = payments.filter((payment) => payment.reservation === id && payment.status === 'paid');
    assert.ok(paid.length <= (status === 'confirmed' ? 1 : 0), `${id} is ${status} and was paid ${paid.length} times`);
  }
  for (const buyer of new Set(reservations.map((row) => row.buyer))) {
    const own = reservations.filter((row) => row.buyer === buyer && (row.status === 'confirmed' || (row.status === 'held' && row.until > now)));
    assert.ok(own.reduce((sum, row) => sum + row.count, 0) <= maxSeats, `${buyer} has more than ${maxSeats} seats`);
    assert.ok(reservations.filter((row) => row.buyer === buyer && row.status === 'held').length <= 1, `${buyer} has two holds`);
  }
  const sum = (list) => list.reduce((total, { amount, price }) => total + (amount ?? price), 0);
  assert.equal(sum(payments.filter(({ status }) => status === 'paid')), sum(seats.filter(({ status }) => status === 'sold')),
    'money taken and kept is not what was sold');
}

// ---- shortening ----

// Leaves out steps that are not needed for the failure: halves first, then smaller parts.
export async function shrink(driver, sequence, failure) {
  let best = { steps: sequence.steps.slice(0, failure.at + 1), failure };
  for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let at = 0; at < best.steps.length; ) {
      const steps = [...best.steps.slice(0, at), ...best.steps.slice(at + size)];
      // Other failures, such as a wait that timed out, do not count.
      const again = steps.length > 0 ? await runSequence(driver, { ...sequence, steps }).catch(() => undefined) : undefined;
      if (again) best = { steps: steps.slice(0, again.at + 1), failure: again };
      else at += size;
    }
  }
  return best;
}
