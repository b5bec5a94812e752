// SPDX-License-Identifier: MIT
//
// The flow of admissions: outflowPerMinute is a token bucket, and freed slots are hinted to the lease holder.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis, dice, seedOf } from '../fixtures/index.mjs';
import { CHANNEL, ClockedRoom, Room, flow, replay } from './room.mjs';

let redis;
let count = 0;
before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

const names = (n, prefix = 'u:') => Array.from({ length: n }, (_, i) => `${prefix}${i + 1}`);

async function clocked(settings, options) {
  const room = new ClockedRoom(redis.client, `c${++count}`, options);
  await room.setClock(0);
  await room.configure({ silentMs: 1e9, ...settings });
  await room.take();
  return room;
}

async function make(settings) {
  const room = new Room(redis.client, `h${++count}`);
  await room.configure(settings);
  await room.take();
  return room;
}

// ---- outflowPerMinute ----

test('the bucket holds a second\'s worth, at least one; direct and promoted admissions both take from it', async () => {
  const room = await clocked({ threshold: 1000, outflowPerMinute: 180 });
  assert.equal((await room.join(names(5))).inside, 3, 'one second of 180 a minute');
  assert.equal((await room.promote()).entered, 0);
  await room.setClock(333);
  assert.equal((await room.promote()).entered, 0);
  await room.setClock(334);
  assert.equal((await room.promote()).entered, 1);
  await room.setClock(60_000);
  assert.equal((await room.promote()).entered, 1, 'the queue is empty');
  assert.equal((await room.join(names(9, 'v:'))).inside, 7, 'a minute without admissions is worth no more than a second');
  const slow = await clocked({ threshold: 1000, outflowPerMinute: 2 });
  assert.equal((await slow.join(names(5))).inside, 1);
  for (const [ms, entered] of [[29_999, 0], [30_000, 1], [59_999, 0], [60_000, 1], [200_000, 1]]) {
    await slow.setClock(ms);
    assert.equal((await slow.promote()).entered, entered, `at ${ms} ms`);
  }
});

test('no time is lost between tokens: an hour at 7 a minute, asked when the script says, has 420 admissions', async () => {
  const room = await clocked({ threshold: 1000, outflowPerMinute: 7 });
  await room.join(names(500));
  let entered = 1;
  for (let ms = 0; ms <= 3_600_000;) {
    await room.setClock(ms);
    const { limit, ...done } = await room.promote({ part: 'refill' });
    entered += done.entered;
    assert.ok(limit.by === 'outflow' && limit.wait > 0 && limit.wait <= 8572, JSON.stringify(limit));
    ms += limit.wait;
  }
  assert.ok(entered >= 420 && entered <= 421, String(entered));
});

test('a change of the rate takes effect at once and without a burst; the log says when', async () => {
  const settings = { threshold: 1000, outflowPerMinute: 60 };
  const room = await clocked(settings);
  await room.join(names(300));
  await room.setClock(900);
  await room.configure({ ...settings, outflowPerMinute: 6000 });
  assert.equal((await room.promote()).entered, 0, 'what came before came at the old rate');
  await room.setClock(1000);
  assert.equal((await room.promote()).entered, 10);
  await room.setClock(9000); // the bucket is full: 100
  await room.configure({ ...settings, outflowPerMinute: 120 });
  assert.equal((await room.promote()).entered, 2, 'and now holds 2');
  await room.configure({ ...settings, outflowPerMinute: 0 });
  assert.equal((await room.promote()).entered, 287);
  const log = await room.wholeLog();
  assert.deepEqual(log.filter(({ kind }) => kind === 'outflow').map(({ place, at, buyer }) => [place, at - log[0].at, buyer]),
    [[60, 0, ''], [6000, 900, ''], [120, 9000, ''], [0, 9000, '']]);
  assert.deepEqual(flow(log).broken, []);
  await room.configure({ ...settings, outflowPerMinute: 0, threshold: 999 });
  assert.equal((await room.wholeLog()).length, log.length, 'a change of another setting is no entry');
});

test('a clear gives no tokens back; after a loss of data the bucket begins with a second\'s worth', async () => {
  const settings = { threshold: 1000, outflowPerMinute: 120 };
  const room = await clocked(settings);
  assert.equal((await room.join(names(9))).inside, 2);
  await room.clear(2);
  assert.deepEqual((await room.join(names(9))).inside, 0);
  for (const key of await redis.client.keys(`*{${room.id}}`)) await redis.client.del(key);
  await room.configure(settings, { opened: 0 });
  assert.equal((await room.join(names(9))).inside, 2);
});

test('a step back of the clock gives no token, and takes none', async () => {
  const room = await clocked({ threshold: 1000, outflowPerMinute: 60 });
  await room.setClock(3_600_000);
  assert.equal((await room.join(names(9))).inside, 1);
  await room.write(60_000); // by an hour
  assert.equal((await room.promote()).entered, 0);
  assert.equal((await room.promote({ admit: 1 })).entered, 1); // writes the new time
  await room.setClock(60_999);
  assert.equal((await room.promote()).entered, 0);
  await room.setClock(61_000);
  assert.equal((await room.promote()).entered, 1);
});

test('admit n is not limited, takes the tokens that there are, and is in the log', async () => {
  const room = await clocked({ threshold: 1000, outflowPerMinute: 300 });
  assert.equal((await room.join(names(100))).inside, 5);
  assert.equal((await room.promote({ admit: 20 })).entered, 20);
  await room.setClock(200);
  assert.equal((await room.promote()).entered, 1, 'no debt: the flow goes on');
  await room.setClock(5000);
  assert.equal((await room.promote({ admit: 3 })).entered, 3);
  assert.equal((await room.promote()).entered, 2, 'the full bucket had five');
  const log = await room.wholeLog();
  assert.deepEqual(log.filter(({ kind }) => kind === 'by_hand').map(({ place, inside }) => [place, inside]), [[20, 5], [3, 26]]);
  assert.deepEqual(flow(log).broken, []);
  assert.deepEqual(replay(log, { order: true }).broken, []);
});

// A long history of joins, leavings, ticks, refills, changes of rate, admissions by hand, clears and steps of the clock.
async function history(roll, options) {
  const rates = [7, 45, 60, 90, 200, 300];
  const room = await clocked({ threshold: 300, outflowPerMinute: 90 }, options);
  let ms = 0;
  let epoch = 1;
  for (let i = 0; i < 500; i++) {
    ms += roll.any([0, 7, 100, 100, 333, 1000]);
    if (roll.chance(0.01)) ms -= 2000;
    if (ms > room.clock) await room.setClock(ms);
    else await room.write(ms);
    await room.join(names(1 + roll.below(roll.chance(0.05) ? 300 : 20), `b${i}:`));
    const inside = await room.active();
    if (inside.size > 0 && roll.chance(0.8)) await room.leave([...inside].slice(0, 1 + roll.below(100)));
    if (roll.chance(0.9)) await room.promote({ part: roll.any(['tick', 'refill']), moves: roll.any([20, 500]) });
    if (roll.chance(0.02)) await room.promote({ admit: 1 + roll.below(30) });
    if (roll.chance(0.03)) await room.configure({ threshold: 300, outflowPerMinute: roll.any(rates) });
    if (roll.chance(0.01)) await room.clear(++epoch);
  }
  return room.wholeLog();
}

test('random histories: in every window, of 10 s and of any length, the rate is kept', async (t) => {
  const roll = dice(seedOf(t, 17));
  let fullest = 0;
  for (let i = 0; i < 4; i++) {
    const log = await history(roll);
    const { broken, worst } = flow(log);
    assert.deepEqual(broken, []);
    fullest = Math.max(fullest, worst);
    assert.ok(log.filter(({ kind }) => kind === 'outflow').length > 5);
    assert.ok(log.filter(({ kind }) => kind === 'by_hand').length > 2);
  }
  assert.ok(fullest > 0.8, `the limit is reached: ${fullest}`);
});

test('the proof finds a bucket that is twice as large, and one that counts no direct admissions', async (t) => {
  const roll = dice(seedOf(t, 18));
  for (const [from, to] of [['max(TOKEN, ev.outflow * 1000000)', 'max(TOKEN, ev.outflow * 2000000)'], ["ev.outflow > 0 and kind ~= 'restored'", "ev.outflow > 0 and kind == 'offered'"]]) {
    const mutate = (body) => {
      assert.ok(body.includes(from), from);
      return body.replace(from, to);
    };
    assert.notDeepEqual(flow(await history(roll, { mutate })).broken, []);
  }
});

// ---- hints ----

// What `action` publishes of this event: the kinds of its messages.
async function published(room, action) {
  const listener = redis.connect();
  const kinds = [];
  await listener.subscribe(CHANNEL);
  listener.on('message', (_, text) => {
    const { eventId, event } = JSON.parse(text);
    if (eventId === room.id) kinds.push(event);
  });
  await action();
  await listener.ping();
  listener.disconnect();
  return kinds;
}

test('a freed slot is hinted if buyers wait and promotion is continuous', async () => {
  for (const reason of ['left', 'completed', 'released']) {
    const room = await make({ threshold: 3 });
    await room.join(names(5));
    assert.deepEqual(await published(room, () => room.leave(['u:1'], reason)), ['hint'], reason);
    const slow = await make({ threshold: 3, promotion: 'interval' });
    await slow.join(names(5));
    assert.deepEqual(await published(slow, () => slow.leave(['u:1'], reason)), [], `${reason}: interval`);
    const empty = await make({ threshold: 3 });
    await empty.join(names(3));
    assert.deepEqual(await published(empty, () => empty.leave(['u:1'], reason)), [], `${reason}: nobody waits`);
  }
});

test('a buyer who only gives up waiting frees nothing, and is not hinted', async () => {
  const room = await make({ threshold: 3 });
  await room.join(names(5));
  assert.deepEqual(await published(room, () => room.leave(['u:5'])), []);
});

test('hints are coalesced until a promote has run, and repeated after a second: one may be lost', async () => {
  const room = await make({ threshold: 20 });
  await room.join(names(40));
  const leave = (i) => published(room, () => room.leave([`u:${i}`]));
  assert.deepEqual([await leave(1), await leave(2), await leave(3)], [['hint'], [], []]);
  assert.equal((await room.promote({ part: 'refill' })).entered, 3);
  assert.deepEqual([await leave(4), await leave(5)], [['hint'], []]);
  await room.set('hintedAt', Date.now() - 1100);
  assert.deepEqual(await leave(6), ['hint']);
  await room.set('hintedAt', Date.now() + 3_600_000); // the clock stepped back
  assert.deepEqual(await leave(7), ['hint']);
});

test('a buyer who returns to a place is hinted if there is capacity, by join and by seen', async () => {
  for (const back of [(room) => room.join([{ buyer: 'u:1', mode: 'claim' }]), (room) => room.seen(['u:1'], { claim: true })]) {
    const room = await make({ threshold: 0 });
    await room.join(['u:1']);
    await room.configure({ threshold: 5 });
    await room.promote();
    await room.age('active:offered', 'u:1', 100_000);
    assert.equal((await room.promote({ part: 'check' })).unclaimed, 1);
    assert.deepEqual(await published(room, () => back(room)), ['hint']);
    assert.equal((await room.promote({ part: 'refill' })).entered, 1);
  }
});

test('whoever comes first while the bucket is empty is hinted, whatever the promotion is', async () => {
  for (const promotion of ['interval', 'continuous']) {
    const room = await make({ threshold: 100, outflowPerMinute: 2, promotion });
    assert.deepEqual(await published(room, () => room.join(['u:1'])), [], 'the bucket is full');
    assert.deepEqual(await published(room, () => room.join(['u:2'])), ['hint']);
    assert.deepEqual(await published(room, () => room.join(['u:3'])), [], 'there was somebody in line');
  }
});

test('seats that became free are hinted if buyers wait', async () => {
  const room = await make({ threshold: 100, seats: 4, autoHold: 2 });
  await room.free(4, 0);
  await room.join(names(3));
  assert.deepEqual(await published(room, () => room.free(0, 2, '1-1')), []);
  assert.deepEqual(await published(room, () => room.free(2, 2, '1-2')), ['hint']);
  assert.equal((await room.promote({ part: 'refill' })).entered, 1);
});

test('a refill ends nothing, a check ends offers that ran out, a tick ends all that is over', async () => {
  const room = await make({ threshold: 0, idleTimeoutMs: 60000, sessionLimitMs: 600000 });
  await room.join(names(4));
  await room.configure({ threshold: 4, idleTimeoutMs: 60000, sessionLimitMs: 600000 });
  await room.promote();
  await room.join(['u:1', 'u:2', 'u:3'].map((buyer) => ({ buyer, mode: 'claim' })));
  await room.age('active:seen', 'u:1', 100_000);
  await room.age('active:since', 'u:2', 700_000);
  await redis.client.zadd(room.key('active:paying'), 1000, 'u:3');
  await room.age('active:offered', 'u:4', 100_000);
  const ended = ({ idle, kept, timeout, unclaimed }) => [idle + kept, timeout, unclaimed];
  assert.deepEqual(ended(await room.promote({ part: 'refill' })), [0, 0, 0]);
  assert.deepEqual(ended(await room.promote({ part: 'check' })), [0, 0, 1]);
  assert.equal(await redis.client.exists(room.key('active:paying')), 1);
  assert.deepEqual(ended(await room.promote()), [1, 1, 0]);
  assert.equal(await redis.client.exists(room.key('active:paying')), 0);
});

// ---- the cost ----

// Redis commands that the scripts have run in `action`.
async function commands(action) {
  await redis.client.config('RESETSTAT');
  await action();
  const text = await redis.client.info('commandstats');
  return [...text.matchAll(/^cmdstat_(\w+)[^:]*:calls=(\d+)/gm)].reduce((sum, [, name, calls]) => (['config', 'info', 'evalsha', 'eval'].includes(name) ? sum : sum + Number(calls)), 0);
}

test('what hints and the bucket cost: commands of a join, a leaving and a promote', async () => {
  const cost = {};
  const run = async (name, settings, prepare, action) => {
    const room = await make({ threshold: 10, ...settings });
    await prepare(room);
    await redis.client.hset(room.key('config'), 'lastRunMs', Date.now());
    cost[name] = await commands(() => action(room));
  };
  const full = (room) => room.join(names(30));
  await run('wait', {}, full, (room) => room.join(['v:1']));
  await run('direct', {}, async () => {}, (room) => room.join(['v:1']));
  await run('direct, outflow', { outflowPerMinute: 6000 }, async () => {}, (room) => room.join(['v:1']));
  await run('leave', { promotion: 'interval' }, full, (room) => room.leave(['u:1']));
  await run('leave, hinted', {}, full, (room) => room.leave(['u:1']));
  await run('leave, hinted before', {}, async (room) => {
    await full(room);
    await room.leave(['u:2']);
  }, (room) => room.leave(['u:1']));
  await run('tick', {}, full, (room) => room.promote());
  await run('refill', {}, full, (room) => room.promote({ part: 'refill' }));
  assert.deepEqual(cost, {
    wait: 10, direct: 18, 'direct, outflow': 20, leave: 20, 'leave, hinted': 22, 'leave, hinted before': 20, tick: 13, refill: 8,
  });
});
