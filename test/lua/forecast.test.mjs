// SPDX-License-Identifier: MIT
//
// A forecast runs by the rules of the scripts: `tiketi simulate --moves` is replayed on a real Redis, move by move and
// tick by tick, and every number has to be the same. Redis' clock cannot be moved, so the scripts read theirs from a key.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis, runTiketi } from '../fixtures/index.mjs';
import { BEGIN_MS, ClockedRoom, flow } from './room.mjs';

let redis;
let count = 0;
before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

const alive = BEGIN_MS * 2; // a heartbeat that never gets old
const who = (buyer) => `u:${buyer}`;
const EVICTED = ['idle', 'timeout', 'unclaimed'];

function read(stdout, mutate) {
  const [head, ...lines] = stdout.trimEnd().split('\n');
  const names = head.split(',');
  return lines.map((line) => mutate(Object.fromEntries(line.split(',').map((word, i) => [names[i], names[i] === 'move' ? word : Number(word)]))));
}

// Replays the moves of a forecast on the scripts. Between its ticks those that it skipped are run: nothing may happen in
// them. Returns the moves, and how many ticks were compared.
async function compare(args, settings, { mutate = (move) => move } = {}) {
  const moves = read((await runTiketi(['simulate', '--moves', ...args])).stdout, mutate);
  const all = { idleTimeoutMs: 90000, sessionLimitMs: 600000, claimMs: 90000, silentMs: 120000, seats: 0, ...settings };
  const room = new ClockedRoom(redis.client, `f${++count}`);
  const ends = new Map(moves.filter(({ move }) => ['left', 'completed', 'parked', ...EVICTED].includes(move)).map(({ buyer, move }) => [buyer, move]));
  let now = 0;
  let ticks = 0;
  let refills = 0;
  let admissions = 0;
  let expected = []; // what the next tick has to do
  const setFree = async (free) => all.seats > 0 && room.free(free, admissions, `${admissions}-0`);
  const evictions = () => expected.filter(({ move }) => EVICTED.includes(move)).length;

  const tick = async (after, part = 'tick') => {
    const done = await room.promoteAll({ part });
    const of = (kind) => expected.filter(({ move }) => move === kind).length;
    const shown = { inside: done.inside, size: done.size, threshold: done.threshold };
    if (part === 'tick') ticks++;
    else refills++;
    assert.deepEqual(
      { entered: done.entered, idle: done.idle + done.kept, timeout: done.timeout, unclaimed: done.unclaimed, parked: done.parked, ...shown },
      { entered: of('offered'), idle: of('idle'), timeout: of('timeout'), unclaimed: of('unclaimed'), parked: of('parked'),
        ...(after ? { inside: after.inside, size: after.waiting, threshold: after.threshold } : shown) }, `the ${part} at ${now} ms`);
    admissions += done.entered;
    const claimed = expected.filter(({ move, buyer }) => move === 'offered' && ends.get(buyer) !== 'unclaimed').map(({ buyer }) => buyer);
    for (let i = 0; i < claimed.length; i += 100) {
      const { buyers } = await room.join(claimed.slice(i, i + 100).map((buyer) => ({ buyer: who(buyer), mode: 'claim' })));
      assert.ok(buyers.every(({ state }) => state === 'active'));
    }
    const live = claimed.filter((buyer) => ends.get(buyer) !== 'idle').flatMap((buyer) => [alive, who(buyer)]);
    if (live.length > 0) await redis.client.zadd(room.key('active:seen'), 'XX', ...live);
    expected = [];
  };

  const advance = async (ms) => {
    // Offers that ran out are ended each second.
    if (expected.length > 0) await tick(undefined, now % all.intervalMs !== 0 && all.promotion !== 'interval' ? 'check' : 'tick');
    for (let next = (Math.floor(now / all.intervalMs) + 1) * all.intervalMs; next < ms; next += all.intervalMs) {
      await room.setClock((now = next));
      await tick();
    }
    await room.setClock((now = ms));
  };

  await room.setClock(0);
  await room.configure({ ...all, threshold: 0 }); // nobody enters before the opening
  await room.take();
  await setFree(all.seats);
  let opened = false;
  for (const at of moves) {
    const { ms, move, buyer } = at;
    const text = JSON.stringify(at);
    if (ms > now) await advance(ms);
    if (move === 'joined' || move === 'direct') {
      if (move === 'direct' && expected.length > 0) await tick();
      const { buyers: [{ state }], ...reply } = await room.join([who(buyer)]);
      assert.deepEqual({ state, inside: reply.inside - evictions(), size: reply.size }, { state: move === 'direct' ? 'direct' : 'waiting', inside: at.inside, size: at.waiting }, text);
      if (move === 'direct') admissions++;
      if (move === 'joined') await redis.client.zadd(room.key('queue:seen'), ends.get(buyer) === 'parked' ? 0 : alive, who(buyer));
      else if (ends.get(buyer) !== 'idle') await redis.client.zadd(room.key('active:seen'), 'XX', alive, who(buyer));
    } else if (move === 'left' || move === 'completed') {
      const { buyers: [{ state }], ...reply } = await room.leave([who(buyer)], move);
      assert.deepEqual({ state, inside: reply.inside - evictions() }, { state: 'active', inside: at.inside }, text);
    } else if (!['tick', 'refill'].includes(move)) {
      expected.push(at);
      if (!EVICTED.includes(move)) continue;
    } else {
      if (!opened) await room.configure(all);
      opened = true;
      if (move === 'tick') await tick(at);
      else await tick(at, expected.some(({ move: each }) => each === 'unclaimed') ? 'check' : 'refill');
    }
    await setFree(at.free);
  }
  return { ticks, refills, moves, log: await room.wholeLog() };
}

const kinds = (moves) => moves.reduce((sum, { move }) => ({ ...sum, [move]: (sum[move] ?? 0) + 1 }), {});

test('a rush: offers, visits, no-shows, silence and the session limit, tick by tick', async () => {
  const { ticks, moves } = await compare(
    ['--waiting', '300', '--arrivals', '80', '--over', '3m', '--threshold', '40', '--interval', '2s', '--visit', '40s', '--spread', '60s',
      '--no-show', '0.1', '--idle', '0.1', '--abandon', '0.05', '--session-limit', '100s', '--idle-timeout', '45s', '--claim', '30s', '--silent', '60s', '--promotion', 'interval'],
    { promotion: 'interval', threshold: 40, intervalMs: 2000, sessionLimitMs: 100000, idleTimeoutMs: 45000, claimMs: 30000, silentMs: 60000 });
  const seen = kinds(moves);
  for (const kind of ['joined', 'offered', 'left', 'completed', 'unclaimed', 'idle', 'timeout', 'parked']) assert.ok(seen[kind] > 3, `${kind}: ${JSON.stringify(seen)}`);
  assert.ok(ticks > 100, String(ticks));
});

test('surge rules and direct admissions', async () => {
  const { moves } = await compare(
    ['--waiting', '120', '--arrivals', '400', '--over', '8m', '--threshold', '20', '--surge', '60:50,100:70,119:5', '--interval', '1s', '--visit', '15s', '--spread', '10s', '--no-show', '0', '--idle', '0', '--promotion', 'interval'],
    { threshold: 20, promotion: 'interval', intervalMs: 1000, surge: '60:50 100:70 119:5' });
  const levels = new Set(moves.filter(({ move }) => move === 'tick').map(({ threshold }) => threshold));
  assert.deepEqual([...levels].sort(), [20, 50, 70]); // a rule below the base leaves the base in force
  assert.ok(kinds(moves).direct > 20);
});

for (const [rate, interval, promotion] of [[30, 700, 'interval'], [240, 5000, 'continuous'], [600, 3000, 'interval'], [90, 250, 'continuous']]) {
  test(`an outflow limit of ${rate} a minute is a flow, with ticks of ${interval} ms (${promotion})`, async () => {
    const { moves, log, refills } = await compare(
      ['--waiting', '150', '--arrivals', '30', '--over', '2m', '--threshold', '100', '--outflow', String(rate), '--interval', `${interval}ms`, '--visit', '20s', '--spread', '15s',
        '--no-show', '0.05', '--promotion', promotion],
      { threshold: 100, intervalMs: interval, outflowPerMinute: rate, promotion });
    assert.ok(kinds(moves).offered >= 150);
    assert.ok(refills > 10, String(refills));
    const { broken, worst } = flow(log);
    assert.deepEqual(broken, []);
    assert.ok(worst > 0.8, `the flow is used: ${worst}`);
  });
}

test('continuous promotion: freed slots are refilled between the ticks, offers that run out each second', async () => {
  const args = ['--waiting', '300', '--arrivals', '60', '--over', '2m', '--threshold', '40', '--interval', '10s', '--visit', '20s', '--spread', '30s', '--no-show', '0.1', '--idle', '0.05',
    '--abandon', '0.05', '--session-limit', '100s', '--idle-timeout', '45s', '--claim', '13s', '--silent', '60s'];
  const settings = { threshold: 40, intervalMs: 10000, sessionLimitMs: 100000, idleTimeoutMs: 45000, claimMs: 13000, silentMs: 60000 };
  const { ticks, refills, moves } = await compare([...args, '--promotion', 'continuous'], settings);
  assert.ok(refills > 100 && ticks > 10, `${refills} refills, ${ticks} ticks`);
  assert.ok(kinds(moves).unclaimed > 10);
  const at = moves.filter(({ move }) => move === 'refill' || move === 'tick').map(({ ms }) => ms);
  const { moves: slow } = await compare([...args, '--promotion', 'interval'], { ...settings, promotion: 'interval' });
  assert.ok(moves.at(-1).ms < slow.at(-1).ms, 'the queue is empty earlier');
  assert.equal(slow.filter(({ move }) => move === 'refill').length, 0);
  assert.ok(at.length > 0);
});

test('seats limit admissions, come back, and are sold', async () => {
  const { moves } = await compare(
    ['--waiting', '200', '--threshold', '50', '--seats', '90', '--auto-hold', '2', '--seats-per-sale', '1.5', '--buy', '0.5', '--interval', '1s', '--visit', '20s', '--spread', '15s'],
    { threshold: 50, intervalMs: 1000, autoHold: 2, seats: 90 });
  assert.equal(moves.at(-1).free, 0);
  assert.ok(kinds(moves).offered > 45 && kinds(moves).joined === 200);
});

test('the replay notices a forecast that differs by one buyer', async () => {
  let changed = false;
  await assert.rejects(compare(
    ['--waiting', '60', '--threshold', '20', '--interval', '1s', '--visit', '10s', '--spread', '5s', '--no-show', '0', '--idle', '0', '--promotion', 'interval'],
    { threshold: 20, intervalMs: 1000, promotion: 'interval' }, {
      mutate: (move) => {
        if (changed || move.move !== 'tick' || move.ms === 0) return move;
        changed = true;
        return { ...move, inside: move.inside - 1 };
      },
    }), /the tick at/);
  assert.ok(changed);
});
