// SPDX-License-Identifier: MIT
//
// Each script on a real Redis, case by case. Redis' clock cannot be moved: what depends on time
// is tested by making the stored times older.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Redis } from '../fixtures/index.mjs';
import { KEYS, Room, call, limitOf, load, replay } from './room.mjs';

const file = (path) => fileURLToPath(new URL(path, import.meta.url));
let redis;
let count = 0;

before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

// A room whose lease is taken. settings: false leaves it without a config.
async function make(settings = {}, options = {}) {
  const room = new Room(redis.client, `e${++count}`);
  if (settings) await room.configure(settings, options);
  await room.take();
  return room;
}

// The same after `buyers` have joined: { room, and the reply of join }.
async function visited(settings, buyers, options) {
  const room = await make(settings, options);
  return { room, ...(await room.join(buyers)) };
}

const names = (n, prefix = 'u:') => Array.from({ length: n }, (_, i) => `${prefix}${i + 1}`);
const states = (result) => result.buyers.map(({ state }) => state);

async function honest(room) {
  const { inside, broken } = replay(await room.wholeLog());
  assert.deepEqual(broken, []);
  assert.deepEqual([...inside.keys()].sort(), [...(await room.active())].sort());
}

// ---- no config ----

test('without a config every script except lease changes nothing', async () => {
  const room = await make(false);
  const before_ = await redis.client.keys(`*{${room.id}}`);
  for (const call of [
    room.join(['u:1']), room.leave(['u:1']), room.leave(['u:1']), room.promote(), room.clear(2),
    room.consumed([['u:1', 5]]), room.index(), room.free(1, 1), room.log(), room.networks(),
  ]) {
    assert.equal((await call).code, 'NOCONFIG');
  }
  assert.deepEqual((await redis.client.keys(`*{${room.id}}`)).sort(), before_.sort());
  assert.deepEqual(before_.sort(), [room.key('fence'), room.key('lease')].sort());
});

// ---- join ----

test('join: direct admission up to the threshold, then places at the tail, in order', async () => {
  const { room, ...result } = await visited({ threshold: 3 }, names(6));
  assert.deepEqual(states(result), ['direct', 'direct', 'direct', 'waiting', 'waiting', 'waiting']);
  assert.deepEqual(result.buyers.map(({ position }) => position), [0, 0, 0, 1, 2, 3]);
  assert.deepEqual([result.size, result.inside, result.threshold], [3, 3, 3]);
  const places = result.buyers.map(({ place }) => place);
  assert.ok(places.every((place, i) => i === 0 || place > places[i - 1]), 'places rise strictly');
  assert.equal(result.seq, places.at(-1));
  assert.ok(result.buyers[0].since > 1.7e12);
  assert.equal((await room.queue())[0].place, places[3]);
  await honest(room);
});

test('join: a repeated join changes nothing, in one call and across calls', async () => {
  const { room, ...first } = await visited({ threshold: 2 }, ['u:1', 'u:2', 'u:3', 'u:4', 'u:3', 'u:1', 'u:4']);
  assert.deepEqual(states(first), ['direct', 'direct', 'waiting', 'waiting', 'waiting', 'direct', 'waiting']);
  assert.deepEqual(first.buyers[2], first.buyers[4]);
  assert.deepEqual(first.buyers[3], first.buyers[6]);
  const again = await room.join(['u:4', 'u:3', 'u:2', 'u:1']);
  assert.deepEqual(states(again), ['waiting', 'waiting', 'active', 'active']);
  assert.deepEqual(again.buyers.map(({ place }) => place), [3, 2, 1, 0].map((i) => first.buyers[i].place));
  assert.deepEqual(again.buyers.map(({ position }) => position), [2, 1, 0, 0]);
  assert.equal(again.seq, first.seq);
  assert.equal((await room.wholeLog()).length, 2);
});

test('join: no direct admission ahead of a waiting buyer', async () => {
  const { room } = await visited({ threshold: 1 }, ['u:1', 'u:2']);
  await room.leave(['u:1']);
  const result = await room.join(['u:3']);
  assert.deepEqual(result.buyers[0].state, 'waiting');
  assert.equal(result.buyers[0].position, 2);
});

test('join: buyers wait before the opening, while paused and while sold out; closed and draft refuse them', async () => {
  const soon = Date.now() + 1e6;
  const past = Date.now() - 1e6;
  for (const [settings, status, state] of [
    [{ status: 'scheduled', opensAt: soon }, 'scheduled', 'waiting'],
    [{ status: 'scheduled' }, 'scheduled', 'waiting'],
    [{ status: 'open', opensAt: soon }, 'scheduled', 'waiting'],
    [{ status: 'scheduled', opensAt: past }, 'open', 'direct'],
    [{ status: 'open', opensAt: past, closesAt: soon }, 'open', 'direct'],
    [{ status: 'paused', opensAt: past }, 'paused', 'waiting'],
    [{ status: 'sold_out' }, 'sold_out', 'waiting'],
    [{ status: 'open', closesAt: past }, 'closed', 'closed'],
    [{ status: 'paused', closesAt: past }, 'closed', 'closed'],
    [{ status: 'closed' }, 'closed', 'closed'],
    [{ status: 'draft' }, 'draft', 'closed'],
  ]) {
    const room = await make(settings);
    const result = await room.join(['u:1']);
    assert.equal(result.status, status, JSON.stringify(settings));
    assert.equal(result.buyers[0].state, state, JSON.stringify(settings));
    const tick = await room.promote();
    assert.equal(tick.entered, 0);
  }
});

test('join: when the event closes, active buyers stay active and waiting buyers are told', async () => {
  const { room } = await visited({ threshold: 1 }, ['u:1', 'u:2']);
  await room.configure({ status: 'closed' });
  assert.deepEqual(states(await room.join(['u:1', 'u:2', 'u:3'])), ['active', 'closed', 'closed']);
});

test('join: resume never takes a new place', async () => {
  const room = await make({ threshold: 5 });
  const result = await room.join([{ buyer: 'u:1', mode: 'resume' }]);
  assert.equal(result.buyers[0].state, 'gone');
  assert.equal(await redis.client.zcard(room.key('queue')), 0);
  assert.equal((await room.active()).size, 0);
  // and both in one call: the second one takes a place
  assert.deepEqual(states(await room.join([{ buyer: 'u:2', mode: 'resume' }, 'u:2', { buyer: 'u:2', mode: 'resume' }])),
    ['direct', 'direct', 'direct']);
});

test('join: a ticket restores its place, unless that is consumed, of another epoch, or worse', async () => {
  const { room, seq } = await visited({ threshold: 0 }, ['u:9']);
  const place = seq - 1000;
  const ticket = { place, epoch: 1 };
  assert.equal((await room.join([{ buyer: 'u:0', ticket: { place, epoch: 2 }, mode: 'resume' }])).buyers[0].state, 'gone');
  const back = await room.join([{ buyer: 'u:1', ticket, mode: 'resume' }]);
  assert.deepEqual([back.buyers[0].state, back.buyers[0].place, back.buyers[0].position], ['waiting', place, 1]);
  // a newcomer who presents the ticket later moves up to its place
  const late = await room.join(['u:2']);
  const moved = await room.join([{ buyer: 'u:2', ticket: { place: place + 1, epoch: 1 } }]);
  assert.deepEqual([moved.buyers[0].place, moved.buyers[0].position, moved.size], [place + 1, 2, late.size]);
  // a worse place than the present one changes nothing
  const kept = await room.join([{ buyer: 'u:2', ticket: { place: place + 500, epoch: 1 } }]);
  assert.equal(kept.buyers[0].place, place + 1);
  // consumed
  await room.leave(['u:1']);
  assert.equal((await room.join([{ buyer: 'u:1', ticket, mode: 'resume' }])).buyers[0].state, 'gone');
  const fresh = await room.join([{ buyer: 'u:1', ticket }]);
  assert.ok(fresh.buyers[0].place > seq);
  assert.equal(fresh.buyers[0].position, fresh.size);
});

test('join: a ticket above seq raises seq; tickets and newcomers in one call get right positions', async () => {
  const { room, seq } = await visited({ threshold: 0 }, names(3));
  const far = seq + 5e12;
  const result = await room.join(['u:4', { buyer: 'u:5', ticket: { place: seq - 7, epoch: 1 } }, 'u:6',
    { buyer: 'u:7', ticket: { place: far, epoch: 1 } }, 'u:8', 'u:1']);
  const order = (await room.queue()).map(({ buyer }) => buyer);
  const asked = ['u:4', 'u:5', 'u:6', 'u:7', 'u:8', 'u:1'];
  assert.deepEqual(result.buyers.map(({ position }) => position), asked.map((b) => order.indexOf(b) + 1));
  assert.ok(result.seq > far);
  // the same buyer twice: first without, then with the ticket
  const twice = await room.join(['u:20', 'u:21', { buyer: 'u:20', ticket: { place: seq - 8, epoch: 1 } }, 'u:22']);
  const now = (await room.queue()).map(({ buyer }) => buyer);
  assert.deepEqual(twice.buyers.map(({ position }) => position), ['u:20', 'u:21', 'u:20', 'u:22'].map((b) => now.indexOf(b) + 1));
});

test('join: a restored older place keeps newcomers from direct admission, even when the queue was empty', async () => {
  const { room, seq } = await visited({ threshold: 5 }, ['u:1']);
  await room.set('restoredTo', seq);
  const result = await room.join([{ buyer: 'u:2', ticket: { place: seq - 5, epoch: 1 } }, 'u:3']);
  assert.deepEqual(states(result), ['waiting', 'waiting']);
  await room.promote();
  assert.deepEqual((await room.wholeLog()).map(({ buyer }) => buyer), ['u:1', 'u:2', 'u:3']);
});

test('a place that Redis does not know opens the restore window, although others have got later ones: writes were lost', async () => {
  const { room, seq } = await visited({ threshold: 1 }, ['u:1', 'u:2']);
  const lost = { place: seq - 1, epoch: 1 };
  const back = await room.join(['u:4', { buyer: 'u:3', ticket: lost }], { known: seq });
  assert.equal(back.restoring, true);
  assert.deepEqual(back.buyers.map(({ state }) => state), ['waiting', 'waiting']);
  assert.equal(back.buyers[1].place, lost.place);
  await room.leave(['u:1']);
  assert.equal((await room.promote()).entered, 0, 'nobody enters while places come back');
  // When the window is over, whoever comes late with a place from before it opens no other.
  await room.set('restoreUntil', 1, 'consumedLoaded', 1);
  const late = await room.join([{ buyer: 'u:5', ticket: { place: seq - 2, epoch: 1 } }]);
  assert.equal(late.restoring, false);
  assert.equal(late.buyers[0].place, seq - 2);
  // A place that was given since, and is not known any more, does.
  const { buyers: [fresh] } = await room.join(['u:6']);
  await redis.client.zrem(room.key('queue'), 'u:6');
  await redis.client.zrem(room.key('queue:seen'), 'u:6');
  assert.equal((await room.join([{ buyer: 'u:6', ticket: { place: fresh.place, epoch: 1 } }])).restoring, true);
});

test('a place that was consumed or erased opens no restore window', async () => {
  const { room, buyers: [first] } = await visited({ threshold: 1 }, ['u:1', 'u:2']);
  await room.leave(['u:1']);
  assert.equal((await room.join([{ buyer: 'u:1', ticket: { place: first.place, epoch: 1 } }])).restoring, false);
  await redis.client.zadd(room.key('consumed'), 5000, 'x:5000');
  assert.equal((await room.join([{ buyer: 'u:9', ticket: { place: 5000, epoch: 1 } }])).restoring, false);
});

// Redis has lost a buyer's place, and they were given another one without showing the ticket. Then they show it. Whoever has prepared
// such pairs of tickets could otherwise open one restore window after the other, and nobody would enter.
for (const how of ['a waiting buyer', 'a parked buyer', 'a buyer with a pass']) {
  test(`${how} who gets a lower place back has that one alone: the ticket of the higher one opens no restore window`, async () => {
    const { room, seq, buyers: [, { place: lower }] } = await visited({ threshold: 1 }, ['u:0', 'u:1', 'u:2']);
    await redis.client.zrem(room.key('queue'), 'u:1');
    await room.set('restoredTo', seq);
    const { buyers: [{ place: higher }] } = await room.join(['u:1']);
    if (how === 'a parked buyer') {
      await redis.client.zrem(room.key('queue'), 'u:1');
      await redis.client.zadd(room.key('parked'), higher, 'u:1');
    }
    const isInside = how === 'a buyer with a pass';
    if (isInside) await room.configure({ threshold: 2 });
    const back = await room.join([{ buyer: 'u:1', [isInside ? 'pass' : 'ticket']: { place: lower, epoch: 1, since: Date.now() } }]);
    assert.deepEqual([back.buyers[0].state, back.buyers[0].place], [isInside ? 'active' : 'waiting', lower]);
    await room.leave(['u:1']);

    const stale = { buyer: 'u:1', ticket: { place: higher, epoch: 1 } };
    const gone = await room.join([{ ...stale, mode: 'resume' }]);
    assert.deepEqual([gone.restoring, states(gone)], [false, ['gone']]);
    const fresh = await room.join([stale]);
    assert.equal(fresh.restoring, false);
    assert.ok(fresh.buyers[0].place > higher, 'at the tail');
    assert.equal((await room.join([stale])).buyers[0].place, fresh.buyers[0].place, 'and not before whoever waits');
    await honest(room);
  });
}

// ---- parked ----

test('promote parks silent buyers, join returns them to their place', async () => {
  const { room, ...first } = await visited({ threshold: 1 }, names(5));
  await room.age('queue:seen', 'u:2', 130000);
  await room.age('queue:seen', 'u:3', 130000);
  await room.age('queue:seen', 'u:4', 110000);
  await room.leave(['u:1']);
  const tick = await room.promote();
  assert.deepEqual([tick.parked, tick.entered, tick.size, tick.more], [2, 1, 1, 0]);
  assert.deepEqual([...(await room.active())], ['u:4']);
  assert.deepEqual((await room.seen(['u:2', 'u:3', 'u:5', 'u:4', 'u:6'])).buyers.map(({ state, place }) => [state, place]),
    [['parked', first.buyers[1].place], ['parked', first.buyers[2].place], ['waiting', 0],
      ['offered', first.buyers[3].place], ['gone', 0]]);
  const back = await room.join([{ buyer: 'u:3', mode: 'resume' }, 'u:6']);
  assert.deepEqual(back.buyers.map(({ state, position }) => [state, position]), [['waiting', 1], ['waiting', 3]]);
  assert.equal(back.buyers[0].place, first.buyers[2].place);
  assert.deepEqual(await redis.client.zrange(room.key('parked'), 0, -1), ['u:2']);
  await room.leave(['u:4']);
  await room.promote();
  assert.deepEqual([...(await room.active())], ['u:3']);
});

// ---- seen ----

test('seen refreshes known buyers and creates none', async () => {
  const { room } = await visited({ threshold: 1 }, ['u:1', 'u:2']);
  await room.age('queue:seen', 'u:2', 99000);
  await room.age('active:seen', 'u:1', 80000);
  const result = await room.seen(['u:1', 'u:2', 'u:3']);
  assert.deepEqual(states(result), ['active', 'waiting', 'gone']);
  const service = await room.service();
  for (const [key, buyer] of [['queue:seen', 'u:2'], ['active:seen', 'u:1']]) {
    assert.ok(service - Number(await redis.client.zscore(room.key(key), buyer)) < 5000);
  }
  await room.join(['u:3', 'u:4']);
  await room.age('queue:seen', 'u:4', 99000);
  assert.deepEqual(states(await room.seen(['u:2', 'u:3', 'u:4'])), ['waiting', 'waiting', 'waiting']);
  assert.ok(service - Number(await redis.client.zscore(room.key('queue:seen'), 'u:4')) < 5000, 'all wait: the short way');
  assert.deepEqual(states(await room.seen(['u:4', 'u:4'])), ['waiting', 'waiting']);
  await room.leave(['u:3', 'u:4']);
  await room.leave(['u:1', 'u:2']);
  assert.deepEqual(states(await room.seen(['u:1', 'u:2'])), ['gone', 'gone']);
  for (const name of ['queue', 'queue:seen', 'active', 'active:seen', 'active:since', 'active:place', 'active:n', 'parked']) {
    assert.equal(await redis.client.exists(room.key(name)), 0, name);
  }
});

// ---- leave ----

test('leave: active, waiting, parked and unknown buyers; afterwards the ticket is worthless', async () => {
  const { room, ...joined } = await visited({ threshold: 1 }, names(4));
  const place = (i) => joined.buyers[i].place;
  await room.age('queue:seen', 'u:2', 130000);
  await room.leave(['u:1']);
  await room.promote(); // parks u:2, lets u:3 in
  const result = await room.leave(['u:3', 'u:4', 'u:2', { buyer: 'u:5', place: place(0), epoch: 1 },
    { buyer: 'u:6', place: place(0), epoch: 7 }]);
  assert.deepEqual(result.buyers, [
    { state: 'active', place: place(2) }, { state: 'waiting', place: place(3) }, { state: 'parked', place: place(1) },
    { state: 'gone', place: place(0) }, { state: 'gone', place: 0 },
  ]);
  assert.deepEqual([result.size, result.inside], [0, 0]);
  const again = await room.leave(['u:3', 'u:4', 'u:2']);
  assert.deepEqual(states(again), ['gone', 'gone', 'gone']);
  const tickets = ['u:1', 'u:2', 'u:3', 'u:4'].map((buyer, i) => ({ buyer, mode: 'resume', ticket: { place: place(i), epoch: 1 } }));
  tickets.push({ buyer: 'u:5', mode: 'resume', ticket: { place: place(0), epoch: 1 } });
  assert.deepEqual(states(await room.join(tickets)), ['gone', 'gone', 'gone', 'gone', 'gone']);
  const passes = ['u:1', 'u:3'].map((buyer, i) => ({ buyer, mode: 'resume', pass: { place: place(2 * i), epoch: 1, since: Date.now() } }));
  assert.deepEqual(states(await room.join(passes)), ['gone', 'gone']);
  await honest(room);
});

test('leave: "completed" ends the admission it names, and no later one', async () => {
  const room = await make({ threshold: 1 });
  const first = (await room.join(['u:1'])).buyers[0].place;
  assert.deepEqual((await room.leave([{ buyer: 'u:1', place: first, epoch: 1 }], 'completed')).buyers, [{ state: 'active', place: first }]);
  const second = (await room.join(['u:1'])).buyers[0];
  assert.equal(second.state, 'direct');
  const repeat = await room.leave([{ buyer: 'u:1', place: first, epoch: 1 }, { buyer: 'u:1', place: second.place, epoch: 0 }], 'completed');
  assert.deepEqual(states(repeat), ['gone', 'gone']);
  assert.equal((await room.active()).size, 1);
  // waiting again for a second purchase: completed without a place does not touch that
  await room.leave(['u:1']);
  await room.join(['u:2', 'u:1']);
  assert.deepEqual(states(await room.leave(['u:1'], 'completed')), ['gone']);
  assert.equal(await redis.client.zcard(room.key('queue')), 1);
  assert.deepEqual((await room.wholeLog()).map(({ kind }) => kind), ['direct', 'completed', 'direct', 'left', 'direct']);
  await honest(room);
});

// ---- promote ----

test('promote does nothing unless the whole lease value is right', async () => {
  const { room } = await visited({ threshold: 1 }, ['u:1', 'u:2']);
  await room.age('active:seen', 'u:1', 1e7);
  await room.set('lastRunMs', 1);
  for (const lease of ['', '1:', '1:you', '2:me', `${room.lease}x`]) {
    assert.deepEqual(await room.promote({ lease }), { code: 'LEASE' });
    assert.deepEqual(await room.index(0, 0, 0, lease), { code: 'LEASE' });
  }
  assert.deepEqual(await room.config('lastRunMs', 'gapMs'), ['1', null]);
  assert.deepEqual([...(await room.active())], ['u:1']);
});

test('promote ends admissions at the idle and session limits, and their places are consumed', async () => {
  const { room, buyers } = await visited({ threshold: 4, idleTimeoutMs: 60000, sessionLimitMs: 300000 }, names(6));
  await redis.client.hset(room.key('kept'), 'u:1', `${buyers[0].place} 5000 1 0 0`); // idle once before
  await room.age('active:seen', 'u:1', 61000);
  await room.age('active:seen', 'u:2', 55000);
  await room.age('active:since', 'u:3', 301000);
  const tick = await room.promote();
  assert.deepEqual([tick.idle, tick.timeout, tick.entered, tick.inside], [1, 1, 2, 4]);
  assert.deepEqual([...(await room.active())].sort(), ['u:2', 'u:4', 'u:5', 'u:6']);
  assert.equal(Number(await redis.client.zscore(room.key('consumed'), 'u:1')), buyers[0].place);
  const log = await room.wholeLog();
  assert.deepEqual(log.map(({ kind }) => kind), ['direct', 'direct', 'direct', 'direct', 'timeout', 'idle', 'offered', 'offered']);
  assert.deepEqual(log.map(({ inside }) => inside), [1, 2, 3, 4, 3, 2, 3, 4]);
  assert.deepEqual(log.map(({ n }) => n), [1, 2, 3, 4, 3, 1, 5, 6]);
  await honest(room);
});

test('promote: a lowered threshold evicts nobody; the number inside only falls', async () => {
  const { room } = await visited({ threshold: 5 }, names(8));
  await room.configure({ threshold: 2 });
  assert.equal((await room.promote()).inside, 5);
  await room.leave(['u:1', 'u:2', 'u:3']);
  assert.deepEqual([(await room.promote()).inside, (await room.promote()).entered], [2, 0]);
  await room.leave(['u:4']);
  assert.equal((await room.promote()).entered, 1);
  await honest(room);
});

test('promote moves at most 500 buyers a call, and reports that there are more', async () => {
  const room = await make({ status: 'paused', threshold: 1200 });
  for (let i = 0; i < 3; i++) await room.join(names(500, `u:${i}-`));
  await room.configure({ threshold: 1200 });
  const calls = [];
  for (;;) {
    const tick = await room.promote({ moves: 9999 });
    calls.push(tick.entered);
    if (!tick.more) break;
  }
  assert.deepEqual(calls, [500, 500, 200]);
  assert.equal((await room.promote()).more, 0);
  await honest(room);
});

test('promote: admit n ignores outflow, but not threshold, pause or the restore window', async () => {
  const { room, ...joined } = await visited({ threshold: 10, outflowPerMinute: 2 }, names(20));
  assert.equal(joined.inside, 1);
  assert.equal((await room.promote({ admit: 1 })).entered, 1);
  assert.equal((await room.promote()).entered, 0);
  assert.equal((await room.promote({ admit: 3 })).entered, 3);
  assert.equal((await room.promote({ admit: 100 })).entered, 5);
  await room.configure({ threshold: 15, status: 'paused' });
  assert.equal((await room.promote({ admit: 1 })).entered, 0);
  await room.configure({ threshold: 15 });
  await room.set('restoreUntil', Date.now() + 1e6);
  assert.equal((await room.promote({ admit: 1 })).entered, 0);
  await honest(room);
});

test('surge: a rule is on above its limit, off below 80 %, and the highest one counts', async () => {
  const room = await make({ threshold: 1, surge: '10:3,20:6' });
  const seen = [];
  const look = async () => {
    const { threshold, size } = await room.seen(['u:0']);
    seen.push([size, threshold]);
  };
  await room.join(names(11)); // 1 in, 10 wait
  await look();
  await room.join(['w:1']);
  await look(); // 11 wait: the first rule
  await room.join(names(10, 'v:'));
  await look(); // 21 wait: the second rule
  await room.leave(names(5, 'v:'));
  await look(); // 16: still the second
  await room.leave(['v:6']);
  await look(); // 15: the first
  await room.leave(['v:7', 'v:8', 'v:9', 'v:10', 'u:2', 'u:3', 'u:4']);
  await look(); // 8: still the first
  await room.leave(['u:5']);
  await look(); // 7: the base
  assert.deepEqual(seen, [[10, 1], [11, 3], [21, 6], [16, 6], [15, 3], [8, 3], [7, 1]]);
  assert.deepEqual(await room.config('surgeAt'), ['0']);
  await room.join(names(4, 'x:'));
  assert.equal((await room.promote()).entered, 2); // 11 wait again: three may be inside
  // rules taken away: the base
  await room.configure({ threshold: 1 });
  assert.equal((await room.seen(['u:0'])).threshold, 1);
  await honest(room);
});

test('configure with a draft takes a rehearsal back: buyers, log and counters go, and no later place is below an old one', async () => {
  const room = await make({ threshold: 2, seats: 4 });
  await room.free(4, 0);
  await room.join(names(5));
  await room.promote();
  const before = Number(await redis.client.get(room.key('seq')));
  const draft = await room.configure({ threshold: 2, seats: 4, status: 'draft' }, { epoch: 2, opened: 0, free: 4 });
  assert.deepEqual([draft.applied, draft.status, draft.epoch, draft.size, draft.inside, draft.restoring], [true, 'draft', 2, 0, 0, false]);
  for (const name of ['queue', 'active', 'log', 'stats', 'consumed', 'parked']) assert.equal(await redis.client.exists(room.key(name)), 0, name);
  assert.equal((await room.join(['u:1'])).buyers[0].state, 'closed');
  const again = await room.configure({ threshold: 2, seats: 4 }, { epoch: 2, opened: 0, free: 4, freeId: '0-0' });
  assert.equal(again.restoring, false);
  const { buyers: [first] } = await room.join([{ buyer: 'u:1', ticket: { place: before, epoch: 1 } }]);
  assert.equal(first.state, 'direct');
  assert.ok(first.place > before);
  assert.equal((await room.wholeLog())[0].n, 1);
  await honest(room);
});

test('surge: a rule below the base threshold never lowers the limit', async () => {
  const room = await make({ threshold: 5, surge: '3:2,10:8' });
  await room.join(names(5));
  await room.join(names(4, 'v:')); // the first rule is on
  assert.equal((await room.seen(['u:0'])).threshold, 5);
  assert.deepEqual(await room.config('surgeAt'), ['3']);
  await room.join(names(7, 'w:'));
  assert.equal((await room.seen(['u:0'])).threshold, 8);
  await room.configure({ threshold: 9, surge: '3:2,10:8' }); // the organizer raises the base above every rule
  assert.equal((await room.promote()).threshold, 9);
  await honest(room);
});

test('promote and index say why no more enter, with the numbers', async () => {
  const cases = [
    // settings, buyers who come, admit, what is said, what limits without admit where that differs
    [{ threshold: 3 }, 5, 0, { by: 'threshold', waiting: 2, inside: 3, threshold: 3, base: 3, outflow: 0, wait: 0, seats: null }],
    [{ threshold: 3 }, 2, 0, { by: 'empty', waiting: 0, inside: 2, threshold: 3, base: 3, outflow: 0, wait: 0, seats: null }],
    [{ threshold: 1, surge: '2:2' }, 5, 0, { by: 'threshold', waiting: 3, inside: 2, threshold: 2, base: 1, outflow: 0, wait: 0, seats: null }],
    [{ threshold: 9, outflowPerMinute: 2 }, 5, 0, { by: 'outflow', waiting: 4, inside: 1, threshold: 9, base: 9, outflow: 2, wait: 30, seats: null }],
    [{ threshold: 9, outflowPerMinute: 2, seats: 8, autoHold: 2 }, 9, 9, { by: 'seats', waiting: 5, inside: 4, threshold: 9, base: 9, outflow: 2, wait: 30, seats: 0 }, 'outflow'],
    [{ threshold: 9, seats: 8, autoHold: 2 }, 9, 0, { by: 'seats', waiting: 5, inside: 4, threshold: 9, base: 9, outflow: 0, wait: 0, seats: 0 }],
    [{ threshold: 9, status: 'paused' }, 2, 4, { by: 'paused', waiting: 2, inside: 0, threshold: 9, base: 9, outflow: 0, wait: 0, seats: null }],
    [{ threshold: 9, status: 'scheduled' }, 2, 0, { by: 'scheduled', waiting: 2, inside: 0, threshold: 9, base: 9, outflow: 0, wait: 0, seats: null }],
    [{ threshold: 9, status: 'sold_out' }, 2, 0, { by: 'seats', waiting: 2, inside: 0, threshold: 9, base: 9, outflow: 0, wait: 0, seats: null }],
  ];
  for (const [settings, buyers, admit, expected, usual = expected.by] of cases) {
    const room = await make(settings);
    if (settings.seats) await room.free(settings.seats, 0);
    await room.join(names(buyers));
    const seconds = (said) => ({ ...said, wait: Math.ceil(said.wait / 1000) });
    const limit = seconds((await room.promote({ admit })).limit);
    assert.deepEqual(limit, expected, JSON.stringify(settings));
    await room.index();
    const noted = seconds(limitOf(await redis.client.hget(room.key('stats'), 'limit')));
    assert.deepEqual(noted, { ...expected, by: usual }, `index: ${JSON.stringify(settings)}`);
  }
  const room = await make({ threshold: 9, outflowPerMinute: 50, status: 'paused' });
  await room.join(names(3));
  await room.set('outflow', `0 ${(Date.now() + 60000) * 1000} 50`);
  await room.configure({ threshold: 9, outflowPerMinute: 50 });
  assert.equal((await room.promote()).limit.by, 'outflow');
  assert.equal((await room.promote({ admit: 1 })).limit.by, 'threshold', 'the outflow does not limit an organizer');
  await room.configure({ threshold: 9, status: 'closed' });
  assert.equal((await room.promote()).limit.by, 'closed');
  const lost = await make({ threshold: 9 });
  await lost.join(names(2));
  assert.equal((await lost.promote({ known: Date.now() * 1000 + 60_000_000 })).limit.by, 'restoring');
});

test('the error of a script names the line of its own file, or of lua/shared.lua', async () => {
  const room = new Room(redis.client, `e${++count}`, { scripts: file('broken') });
  await room.configure();
  await assert.rejects(room.leave(['u:1']), /test\/lua\/broken\/leave\.lua:9: .*nowhere/);
  await redis.client.set(room.key('seq'), 'no number');
  await redis.client.del(room.key('queue'));
  await redis.client.set(room.key('queue'), 'no sorted set');
  const error = await room.join(['u:1']).catch((thrown) => thrown);
  const [, line] = /lua\/shared\.lua:(\d+)/.exec(error.message) ?? assert.fail(error.message);
  assert.match(readFileSync(file('../../lua/shared.lua'), 'utf8').split('\n')[line - 1], /call\(/);
});

// ---- networks ----

const from = (network, n, prefix = `${network}-`) => names(n, prefix).map((buyer) => ({ buyer, network }));

test('networks: a network gets so many new places, direct and waiting together, and no other is affected', async () => {
  const { room, ...result } = await visited({ threshold: 2, placesPerNetwork: 3 }, from('192.0.2.0/24', 5));
  assert.deepEqual(states(result), ['direct', 'direct', 'waiting', 'refused', 'refused']);
  assert.deepEqual(result.buyers[3], { state: 'refused', place: 0, position: 0, deadline: 0, claimFrom: 0, since: 0 });
  assert.deepEqual([result.size, result.inside], [1, 2]);
  assert.deepEqual(states(await room.join(from('198.51.100.0/24', 1))), ['waiting']);
  assert.deepEqual(states(await room.join(['u:counts for none'])), ['waiting']);
  assert.deepEqual(states(await room.join(from('192.0.2.0/24', 1, 'u:late'))), ['refused']);
  assert.deepEqual((await room.networks()).networks, [{ network: '192.0.2.0/24', places: 3, refused: 3 }]);
  assert.deepEqual(await redis.client.hmget(room.key('stats'), 'joined', 'refused'), ['5', '3']);
  await honest(room);
});

test('networks: a buyer who comes back is neither counted nor refused', async () => {
  const network = '2001:db8:1:2::/64';
  const { room, buyers } = await visited({ threshold: 1, placesPerNetwork: 3, silentMs: 1000 }, from(network, 3));
  const again = await room.join(from(network, 3));
  assert.deepEqual(states(again), ['active', 'waiting', 'waiting']);
  // parked, by ticket, and with the ticket of a place that is consumed
  await redis.client.zadd(room.key('queue:seen'), 1, `${network}-2`);
  await room.leave([`${network}-1`]);
  await room.promote();
  assert.deepEqual(states(await room.join([{ buyer: `${network}-2`, network }])), ['waiting']);
  await room.leave([`${network}-2`]);
  await redis.client.zrem(room.key('queue'), `${network}-3`);
  const ticket = (i) => ({ place: buyers[i].place, epoch: 1 });
  const back = await room.join([1, 2].map((i) => ({ buyer: `${network}-${i + 1}`, network, ticket: ticket(i) })));
  assert.ok(!states(back).includes('refused'), states(back).join());
  assert.equal(await redis.client.hget(room.key('networks'), network), '3');
  assert.deepEqual(states(await room.join([{ buyer: 'u:new', network }])), ['refused']);
  // nor do a ticket and a pass of a queue that was lost
  await redis.client.del(...KEYS.map((key) => room.key(key)));
  await room.configure({ threshold: 5, placesPerNetwork: 1 }, { known: buyers[2].place });
  const restored = await room.join([1, 2].map((i) => ({ buyer: `${network}-${i + 1}`, network, ticket: ticket(i) })));
  assert.deepEqual(states(restored), ['waiting', 'waiting']);
  assert.equal(await redis.client.exists(room.key('networks')), 0);
});

test('networks: the limit is read at each call, and counted anew in each epoch; a ticket of an earlier one is no exemption', async () => {
  const network = '192.0.2.0/24';
  const { room, buyers } = await visited({ threshold: 0, placesPerNetwork: 2 }, from(network, 3));
  assert.equal(buyers[2].state, 'refused');
  await room.configure({ threshold: 0, placesPerNetwork: 3 });
  assert.deepEqual(states(await room.join(from(network, 4))), ['waiting', 'waiting', 'waiting', 'refused']);
  await room.configure({ threshold: 0, placesPerNetwork: 1 });
  assert.deepEqual(states(await room.join(from(network, 4))), ['waiting', 'waiting', 'waiting', 'refused']);
  await room.configure({ threshold: 0, placesPerNetwork: 0 });
  assert.deepEqual(states(await room.join(from(network, 30))), Array(30).fill('waiting'));
  assert.equal(await redis.client.hget(room.key('networks'), network), '3', 'nothing is counted without a limit');
  await room.configure({ threshold: 0, placesPerNetwork: 2 });
  await room.clear(2);
  assert.equal(await redis.client.exists(room.key('networks'), room.key('networks:top')), 0);
  const ticket = { place: buyers[0].place, epoch: 1 };
  assert.deepEqual(states(await room.join(from(network, 3).map((buyer) => ({ ...buyer, ticket })))), ['waiting', 'waiting', 'refused']);
});

test('networks: the ten busiest are listed, however many there are', async () => {
  const room = await make({ threshold: 0, placesPerNetwork: 100 });
  for (let i = 1; i <= 30; i++) {
    for (let left = i * 3; left > 0; left -= 20) await room.join(from(`10.0.${i}.0/24`, Math.min(left, 20), `u:${i}-${left}-`));
  }
  const { networks } = await room.networks();
  assert.equal(networks.length, 10);
  assert.deepEqual(networks[0], { network: '10.0.30.0/24', places: 90, refused: 0 });
  const busiest = networks.map(({ places }) => places);
  assert.ok(busiest.every((places) => places >= 60), busiest.join());
  assert.equal(await redis.client.zcard(room.key('networks:top')), 10);
  // refusals are counted beside the places
  await room.configure({ threshold: 0, placesPerNetwork: 2 });
  await room.join(from('10.0.1.0/24', 1, 'u:refused'));
  assert.equal(await redis.client.hget(room.key('networks'), '!10.0.1.0/24'), '1');
});

// ---- seats ----

test('seats: no more buyers enter than auto-hold has seats for; an unknown number counts as none', async () => {
  const room = await make({ threshold: 100, seats: 10, autoHold: 2 });
  assert.equal((await room.join(['u:1'])).buyers[0].state, 'waiting');
  assert.equal((await room.promote()).entered, 0);
  await room.free(6, 0);
  assert.equal((await room.promote()).entered, 1);
  assert.deepEqual(states(await room.join(['u:2', 'u:3', 'u:4'])), ['direct', 'direct', 'waiting']);
  assert.equal((await room.promote({ admit: 5 })).entered, 0);
  // the consumer has held for the first two, so 2 are free, and one admission is still to come
  const [first, second] = (await room.log()).entries;
  await room.free(2, second.n, second.id);
  assert.equal((await room.promote()).entered, 0);
  // an older one never replaces a newer
  assert.equal((await room.free(99, first.n, first.id)).applied, false);
  assert.equal((await room.promote()).entered, 0);
  await room.free(4, second.n, second.id);
  assert.equal((await room.promote()).entered, 1);
  await honest(room);
});

test('seats: the live copy starts with the free seats, and never overwrites the log consumer\'s number', async () => {
  const seats = { threshold: 100, seats: 10, autoHold: 2 };
  const room = await make(seats, { free: 6, freeAdmitted: 40, freeId: '0-0' });
  assert.deepEqual(states(await room.join(names(5))), ['direct', 'direct', 'direct', 'waiting', 'waiting']);
  assert.equal((await room.promote()).admitted, 43, 'the count continues from PostgreSQL');
  await room.configure(seats, { free: 10, freeAdmitted: 43, freeId: '5-0' });
  assert.equal((await room.promote()).entered, 0);
  // not known to PostgreSQL yet, or an event without seats: nothing is written
  for (const [settings, freeId] of [[seats, ''], [{ ...seats, seats: 0 }, '0-0']]) {
    const other = await make(settings, { free: 7, freeAdmitted: 0, freeId });
    assert.equal(await redis.client.exists(other.key('free')), 0);
  }
});

test('seats: there is no limit without auto-hold or without seats', async () => {
  for (const settings of [{ seats: 10, autoHold: 0 }, { seats: 0, autoHold: 4 }]) {
    const room = await make({ threshold: 3, ...settings });
    assert.equal((await room.join(names(5))).inside, 3);
    assert.equal((await room.index()).blob.seats, '-');
  }
});

test('free raises a count of admissions that Redis has lost', async () => {
  const room = await make({ threshold: 10, seats: 100, autoHold: 1 });
  await room.free(50, 700, '1700000000000-5');
  await room.join(['u:1']);
  assert.equal((await room.promote()).admitted, 701);
  assert.equal((await room.index()).blob.seats, '49');
});

test('free trims only log entries that are consumed and beyond what is to be kept', async () => {
  const room = await make({ threshold: 1 });
  for (let i = 0; i < 300; i++) {
    await room.join([`u:${i}`]);
    await room.leave([`u:${i}`]);
  }
  const log = await room.wholeLog();
  const consumed = log[399].id;
  await room.free(0, 1, consumed, 350);
  const left = await room.wholeLog();
  assert.ok(left.length >= 350 && left.length < 600, `${left.length} left`);
  await room.free(0, 1, consumed, 0);
  const rest = await room.wholeLog();
  assert.ok(rest.length >= 200, 'what is not consumed is kept');
  assert.deepEqual(rest.at(-1), log.at(-1));
  assert.ok(rest.some(({ id }) => id === log[400].id));
});

// ---- configure and clear ----

test('configure applies only a greater version, and keeps the live fields', async () => {
  const room = await make({ threshold: 5 });
  await room.set('gapMs', 1234, 'lastRunMs', Date.now(), 'surgeAt', 0, 'outflow', '5:1');
  assert.equal((await room.configure({ threshold: 6 }, { version: 1 })).applied, false);
  assert.equal((await room.configure({ threshold: 7 }, { version: 0 })).applied, false);
  assert.deepEqual(await room.config('threshold', 'version'), ['5', '1']);
  const result = await room.configure({ threshold: 8, title: 'Ω "x"' }, { version: 2 });
  assert.deepEqual([result.applied, result.threshold, result.version], [true, 8, 2]);
  assert.deepEqual(await room.config('threshold', 'title', 'gapMs', 'outflow', 'epoch'), ['8', 'Ω "x"', '1234', '5:1', '1']);
});

test('configure raises seq to the last known place and never lowers it', async () => {
  const { room, seq } = await visited({}, ['u:1']);
  assert.equal((await room.configure({}, { known: seq + 5e9 })).seq, seq + 5e9);
  assert.equal((await room.configure({}, { known: 5 })).seq, seq + 5e9);
  assert.equal((await room.join(['u:2'])).seq, seq + 5e9 + 1);
});

test('clear and configure: only a greater epoch removes all buyers, and places continue', async () => {
  const { room, seq, buyers } = await visited({ threshold: 1 }, names(3));
  assert.equal((await room.clear(1)).applied, false);
  const cleared = await room.clear(2);
  assert.deepEqual([cleared.applied, cleared.epoch, cleared.size, cleared.inside, cleared.seq], [true, 2, 0, 0, seq]);
  assert.equal((await room.clear(2)).applied, false);
  assert.equal((await room.join([{ buyer: 'u:2', mode: 'resume', ticket: { place: buyers[1].place, epoch: 1 } }])).buyers[0].state, 'gone');
  const next = await room.join(['u:2']);
  assert.ok(next.buyers[0].place > seq);
  assert.equal(next.buyers[0].state, 'direct');
  // by configure, even when the version is not new; a lower epoch never comes back
  const by = await room.configure({ threshold: 1 }, { version: 1, epoch: 3 });
  assert.deepEqual([by.applied, by.epoch, by.inside], [false, 3, 0]);
  const stale = await room.configure({ threshold: 2 }, { version: 9, epoch: 1 });
  assert.deepEqual([stale.applied, stale.epoch, stale.threshold], [true, 3, 2]);
  const log = await room.wholeLog();
  assert.deepEqual(log.map(({ kind, inside, epoch }) => [kind, inside, epoch]),
    [['direct', 1, 1], ['cleared', 0, 2], ['direct', 1, 2], ['cleared', 0, 3]]);
  await honest(room);
});

test('seats: the last seats are for sale, even if fewer than auto-hold gives', async () => {
  const room = await make({ threshold: 100, seats: 7, autoHold: 4 });
  await room.free(7, 0);
  assert.deepEqual(states(await room.join(names(3))), ['direct', 'direct', 'waiting']);
  assert.equal((await room.index()).blob.seats, '0', 'never less');
  assert.equal((await room.promote()).entered, 0, 'nobody for seats that active buyers will get');
  const [first, second] = (await room.log()).entries;
  await room.free(3, first.n, first.id);
  assert.equal((await room.promote()).entered, 0, 'the second has no seat yet');
  await room.free(0, second.n, second.id);
  assert.equal((await room.promote({ admit: 1 })).entered, 0);
  await room.free(1, second.n, second.id);
  assert.equal((await room.promote()).entered, 1);
  await honest(room);
});

// ---- lease ----

test('lease: one holder at a time, with a fencing token, and the whole value counts', async () => {
  const room = await make(false);
  const mine = room.lease;
  assert.equal(mine, '1:me');
  assert.deepEqual(await room.leaseVerb('take', 'you', ''), { held: false, value: '', needConsumed: false });
  assert.equal((await room.leaseVerb('take', 'me', '')).value, mine, 'the reply was lost: still mine');
  assert.equal((await room.leaseVerb('renew', 'me', mine)).held, true);
  assert.equal((await room.leaseVerb('renew', 'me', '0:me')).held, false);
  assert.equal((await room.leaseVerb('release', 'you', '1:you')).held, false);
  assert.equal(await redis.client.get(room.key('lease')), mine);
  await room.leaseVerb('release', 'me', mine);
  assert.equal((await room.leaseVerb('take', 'you', '')).value, '2:you');
  assert.equal((await room.leaseVerb('renew', 'me', mine)).held, false);
  await room.leaseVerb('renew', 'you', '2:you', 3000);
  const ttl = await redis.client.pttl(room.key('lease'));
  assert.ok(ttl > 0 && ttl <= 3000);
  assert.equal(await redis.client.pttl(room.key('fence')), -1);
});

test('lease: a clock that steps back delays a takeover by at most the time to live', async () => {
  const room = await make();
  await redis.client.pexpire(room.key('lease'), 3600000);
  assert.equal((await room.leaseVerb('take', 'you', '', 3000)).held, false, 'it is still mine');
  const left = await redis.client.pttl(room.key('lease'));
  assert.ok(left > 0 && left <= 3000, String(left));
  await redis.client.pexpire(room.key('lease'), 1000);
  await room.leaseVerb('take', 'you', '', 3000);
  assert.ok((await redis.client.pttl(room.key('lease'))) <= 1000, 'a request never prolongs it');
});

test('a clock that steps back: time of service does not, so no admission ends early or lasts longer', async () => {
  const step = 600000;
  const { room, ...before_ } = await visited({ threshold: 2, idleTimeoutMs: 60000, sessionLimitMs: 600000 }, ['u:1', 'u:2', 'u:3']);
  // What a clock that was ahead wrote before the step.
  const [gap] = await room.config('gapMs');
  for (const name of ['active:seen', 'active:since', 'queue:seen']) {
    for (const { buyer, place } of await room.queue(name)) await redis.client.zadd(room.key(name), place + step, buyer);
  }
  await room.set('lastRunMs', Date.now() + step, 'restoreUntil', Date.now() + step + 1000);
  const service = Date.now() + step - Number(gap ?? 0);
  await room.leaseVerb('renew', 'me', room.lease);
  assert.ok(Math.abs((await room.service()) - service) < 2000, 'it goes on where it was');
  const [until] = await room.config('restoreUntil');
  assert.ok(Number(until) < Date.now() + 5000, 'the restore window does not last for longer');
  await room.set('restoreUntil', 0);
  const now = await room.join(['u:1', 'u:2', 'u:3']);
  assert.deepEqual(states(now), ['active', 'active', 'waiting']);
  now.buyers.slice(0, 2).forEach(({ since }, i) => assert.ok(Math.abs(since - before_.buyers[i].since) < 2000, 'inside since, by the new clock'));
  assert.equal((await room.promote()).idle, 0);
  await room.age('active:seen', 'u:1', 61000);
  await room.age('active:since', 'u:2', 601000);
  const tick = await room.promote();
  assert.deepEqual([tick.kept, tick.timeout], [1, 1], 'after their time they do');
});

test('a long time without any script makes no buyer idle or silent', async () => {
  const { room } = await visited({ threshold: 2, idleTimeoutMs: 60000, sessionLimitMs: 600000 }, ['u:1', 'u:2', 'u:3']);
  // Redis was away for two minutes: everything in it is that much older.
  for (const name of ['active:seen', 'active:since', 'queue:seen']) {
    for (const { buyer, place } of await room.queue(name)) await redis.client.zadd(room.key(name), place - 120000, buyer);
  }
  await room.set('lastRunMs', Date.now() - 120000);
  const tick = await room.promote({ silent: 60000 });
  assert.deepEqual([tick.idle, tick.timeout, tick.parked], [0, 0, 0]);
  const [gap] = await room.config('gapMs');
  assert.ok(Math.abs(Number(gap) - 120000) < 5000, gap);
  await room.promote();
  assert.equal((await room.config('gapMs'))[0], gap, 'counted once');
  // a short time is not added to the gap
  await room.set('lastRunMs', Date.now() - 2000);
  await room.leaseVerb('renew', 'me', room.lease);
  assert.equal((await room.config('gapMs'))[0], gap);
  // a renewal adds a long one, as promote does
  await room.set('lastRunMs', Date.now() - 10000);
  await room.leaseVerb('renew', 'me', room.lease);
  assert.ok(Number((await room.config('gapMs'))[0]) > Number(gap) + 9000);
});

// ---- loss of data ----

test('restore: a missing config of an event with places opens the restore window', async () => {
  const room = new Room(redis.client, `e${++count}`);
  const mark = Date.now() * 1000 - 5e6;
  const first = await room.configure({ threshold: 2 }, { known: mark });
  await room.take();
  assert.deepEqual([first.applied, first.restoring], [true, true]);
  assert.ok(first.seq > mark + 4e6, 'above the clock: no place is given twice, whoever knows of it');
  // nobody enters; newcomers get the tail, tickets their places
  const joined = await room.join(['n:1', { buyer: 'u:2', ticket: { place: mark - 10, epoch: 1 } }, 'n:2',
    { buyer: 'u:1', ticket: { place: mark - 20, epoch: 1 }, mode: 'resume' }]);
  assert.deepEqual(states(joined), ['waiting', 'waiting', 'waiting', 'waiting']);
  assert.deepEqual((await room.queue()).map(({ buyer }) => buyer), ['u:1', 'u:2', 'n:1', 'n:2']);
  assert.equal((await room.promote()).entered, 0);
  // a buyer with a pass waits at the old place until the consumed places are loaded
  const pass = (buyer, place) => ({ buyer, mode: 'resume', pass: { place, epoch: 1, since: Date.now() - 5000 } });
  const early = await room.join([pass('p:1', mark - 500)]);
  assert.deepEqual([early.buyers[0].state, early.buyers[0].position], ['waiting', 1]);
  const { needConsumed } = await room.leaseVerb('renew', 'me', room.lease);
  assert.equal(needConsumed, true);
  const consumed = await room.consumed([['u:2', mark - 10], ['p:3', mark - 300]], { last: 0 });
  assert.deepEqual([consumed.applied, consumed.removed, consumed.restoring], [1, 1, true]);
  assert.equal((await room.consumed([], { epoch: 5, last: 1 })).applied, 0);
  await room.consumed([['x:1', 5]], { last: 1 });
  assert.equal((await room.leaseVerb('renew', 'me', room.lease)).needConsumed, false);
  const inside = await room.join([pass('p:1', mark - 500), pass('p:2', mark - 400), pass('p:3', mark - 300), pass('p:4', mark - 200)]);
  assert.deepEqual(states(inside), ['active', 'active', 'gone', 'waiting']);
  assert.equal(inside.inside, 2);
  assert.equal(inside.buyers[3].position, 1); // no capacity: waits at the old place, ahead of everyone
  assert.ok(Math.abs(Date.now() - 5000 - inside.buyers[0].since) < 2000, 'inside since the pass was given');
  assert.deepEqual((await room.wholeLog()).map(({ kind, inside: n }) => [kind, n]), [['restored', 1], ['restored', 2]]);
  // the window ends with its time
  await room.leave(['p:1', 'p:2']);
  assert.equal((await room.promote()).entered, 0);
  await room.set('restoreUntil', Date.now() - 1);
  assert.equal((await room.promote()).entered, 2);
  assert.deepEqual([...(await room.active())].sort(), ['p:4', 'u:1']);
  await honest(room);
});

test('restore: the window stays open until the consumed places are loaded, whatever time has passed', async () => {
  const { room } = await visited({ threshold: 2 }, ['u:1'], { known: 1e15 });
  await room.set('restoreUntil', Date.now() - 1e6);
  assert.equal((await room.promote()).restoring, true);
  await room.consumed([], { last: 1 });
  const tick = await room.promote();
  assert.deepEqual([tick.restoring, tick.entered], [false, 1]);
});

test('restore: a reload of consumed places that loses its chunks begins anew', async () => {
  const mark = Date.now() * 1000;
  const room = await make({ threshold: 2 }, { known: mark });
  const pass = { buyer: 'u:1', mode: 'resume', pass: { place: mark - 10, epoch: 1, since: Date.now() - 5000 } };
  const chunk = (run, number, pairs = [], last = 0) => room.consumed(pairs, { run, chunk: number, last });
  const loss = {
    'everything is gone': async () => {
      await redis.client.flushall();
      await room.configure({ threshold: 2 }, { known: mark });
    },
    'the last writes are gone': async () => {
      await redis.client.zrem(room.key('consumed'), 'u:1');
      await room.set('consumedChunk', 'everything is gone:0');
    },
    'a place is above seq': (known) => room.join(['v:1'], { known }),
  };
  for (const name of Object.keys(loss)) {
    await room.configure({ threshold: 2 }, { known: mark });
    assert.equal((await chunk(name, 0)).applied, 1);
    assert.equal((await chunk(name, 1, [['u:1', mark - 10]])).applied, 1);
    await loss[name]((await room.join(['v:0'])).seq + 1e6);
    const late = await chunk(name, 2, [['u:2', mark - 20]], 1);
    assert.deepEqual([late.applied, late.restoring], [0, true], name);
    assert.deepEqual(await room.config('consumedLoaded'), ['0'], name);
    assert.deepEqual(states(await room.join([pass])), [name === 'a place is above seq' ? 'gone' : 'waiting'], 'not inside again');
    assert.equal((await chunk(name, 0)).applied, 1);
    assert.equal((await chunk(name, 1, [['u:1', mark - 10]])).applied, 1);
    assert.equal((await chunk(name, 1, [['u:1', mark - 10]])).applied, 1, 'a reply was lost');
    assert.equal((await chunk('another', 2, [], 1)).applied, 0);
    assert.deepEqual(await room.config('consumedLoaded'), ['0']);
    assert.equal((await chunk(name, 2, [['u:2', mark - 20]], 1)).applied, 1);
    assert.deepEqual(await room.config('consumedLoaded'), ['1']);
    assert.deepEqual(states(await room.join([pass])), ['gone'], name);
    await room.set('consumedLoaded', 0);
  }
});

test('restore: no window for an event that was never opened or gave no place', async () => {
  assert.equal((await make({}, { opened: 0, known: 77 })).lease, '1:me');
  for (const options of [{ opened: 0, known: 77 }, { opened: 1, known: 0 }]) {
    const room = new Room(redis.client, `e${++count}`);
    assert.equal((await room.configure({}, options)).restoring, false);
  }
});

test('restore: a known place above seq means that a failover lost places', async () => {
  const calls = {
    join: (room, known) => room.join(['v:1'], { known }),
    promote: (room, known) => room.promote({ known }),
    configure: (room, known) => room.configure({ threshold: 3 }, { known }),
  };
  for (const call of Object.keys(calls)) {
    const { room, seq } = await visited({ threshold: 3 }, names(5));
    await room.leave(['u:1']);
    await redis.client.set(room.key('seq'), seq - 3);
    const result = await calls[call](room, seq);
    assert.equal(result.restoring, true, call);
    assert.ok(result.seq >= seq);
    assert.equal((await room.promote()).entered, 0);
    assert.equal((await room.leaseVerb('renew', 'me', room.lease)).needConsumed, true);
    // active buyers whose admission has ended in PostgreSQL are removed
    const u2 = await redis.client.zscore(room.key('active:place'), 'u:2');
    assert.equal((await room.consumed([['u:2', u2], ['u:2', u2]], { last: 1 })).removed, 1);
    const [until] = await room.config('restoreUntil');
    assert.ok(Number(until) > Date.now() + 20000);
    // the same known place does not open the window again
    await room.join(['v:2'], { known: seq });
    assert.deepEqual(await room.config('consumedLoaded'), ['1']);
    await honest(room);
  }
});

test('a pass and newcomers in one call share the capacity', async () => {
  const room = await make({ threshold: 2 });
  const { seq } = await room.join([{ buyer: 'u:0', mode: 'resume' }]);
  const pass = { place: seq + 1, epoch: 1, since: Date.now() };
  await room.set('restoredTo', pass.place);
  const result = await room.join(['u:1', { buyer: 'u:2', pass }, 'u:3']);
  assert.deepEqual(states(result), ['direct', 'active', 'waiting']);
  assert.equal(result.inside, 2);
  await honest(room);
});

test('join: parked buyers return to the better of their places', async () => {
  const { room, buyers: [, , me], seq } = await visited({ threshold: 1 }, names(3));
  await room.age('queue:seen', 'u:2', 130000);
  await room.age('queue:seen', 'u:3', 130000);
  await room.leave(['u:1']);
  assert.equal((await room.promote()).parked, 2);
  const [worse, better] = [{ place: seq + 9, epoch: 1 }, { place: me.place - 9, epoch: 1 }];
  assert.equal((await room.join([{ buyer: 'u:3', ticket: better }])).buyers[0].place, better.place);
  assert.equal((await room.join([{ buyer: 'u:2', ticket: worse }])).buyers[0].place, seq - 1);
});

test('a pass for a consumed place does nothing', async () => {
  const { room, buyers: [a] } = await visited({ threshold: 1 }, ['u:1']);
  await room.leave(['u:1']);
  await room.join(['u:2']);
  const again = await room.join([{ buyer: 'u:1', pass: { place: a.place, epoch: 1, since: Date.now() } }]);
  assert.equal(again.buyers[0].state, 'waiting');
  assert.ok(again.buyers[0].place > a.place);
  await room.leave(['u:2']);
  assert.equal((await room.join([{ buyer: 'u:1', pass: { place: a.place, epoch: 1, since: Date.now() } }])).buyers[0].state, 'waiting');
});

// ---- index ----

test('index: statistics of the last hour, one entry a minute, bounded', async () => {
  const room = await make({ threshold: 1 });
  const diary = async () => Object.fromEntries(Object.entries(await redis.client.hgetall(room.key('stats'))).filter(([name]) => /^m\d/.test(name)));
  await room.index();
  const minute = Number(await redis.client.hget(room.key('stats'), 'minute'));
  assert.ok(Math.abs(minute - Date.now() / 60000) < 1.5);
  assert.deepEqual(await diary(), { [`m${minute}`]: '0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0' });
  await room.join(['u:1', 'u:2', 'u:3']);
  await room.leave(['u:3']);
  await room.index();
  assert.equal(Object.keys(await diary()).length, 1, 'the minute has been written');
  // As if the last entry were two hours old, and an hour of others before it.
  const stats = { minute: minute - 120 };
  for (let m = minute - 180; m <= minute - 120; m++) stats[`m${m}`] = '0 0 0 0 0 0 0 0 0 0 0 0 0 0 1 0';
  await redis.client.hset(room.key('stats'), stats);
  await redis.client.hdel(room.key('stats'), `m${minute}`);
  await room.index();
  const now = Number(await redis.client.hget(room.key('stats'), 'minute'));
  assert.deepEqual(await diary(), { [`m${now}`]: '3 1 0 1 0 0 0 0 1 0 0 0 1 1 1 1' });
  // A gap of three minutes keeps what is younger than an hour.
  await redis.client.hset(room.key('stats'), { minute: now - 3, [`m${now - 3}`]: 'x', [`m${now - 60}`]: 'x', [`m${now - 61}`]: 'x', [`m${now - 62}`]: 'x' });
  await room.index();
  assert.deepEqual(Object.keys(await diary()).sort(), [`m${now - 60}`, `m${now - 3}`, `m${now}`].sort());
});

test('index: short queues are listed whole, long ones sampled, always with the last rank', async () => {
  const room = await make({ status: 'paused', threshold: 7 });
  assert.deepEqual((await room.index()).blob.samples, []);
  let joined = 0;
  for (const size of [1, 2, 999, 1000, 1001, 5000, 20000]) {
    while (joined < size) {
      const n = Math.min(500, size - joined);
      await room.join(names(n, `u:${joined}-`));
      joined += n;
    }
    const { blob, text } = await room.index('1.5', '0.25', '9');
    const queue = await room.queue();
    assert.equal(Number(blob.size), size);
    assert.equal(Number(blob.count), blob.samples.length);
    for (const { rank, place } of blob.samples) assert.equal(queue[rank].place, place);
    assert.ok(blob.samples.every(({ rank }, i, all) => i === 0 ? rank === 0 : rank > all[i - 1].rank));
    assert.equal(blob.samples.at(-1).rank, size - 1);
    assert.ok(blob.samples.length <= 1745, `${blob.samples.length} samples`);
    if (size <= 1000) assert.equal(blob.samples.length, size);
    else assert.deepEqual(blob.samples.slice(0, 1000).map(({ rank }) => rank), Array.from({ length: 1000 }, (_, i) => i));
    assert.ok(blob.samples.every(({ rank }, i, all) => i === 0 || rank - all[i - 1].rank <= Math.max(1, rank / 100)), 'neighbours are too far apart');
    assert.deepEqual([blob.format, blob.status, blob.threshold, blob.mean, blob.spread, blob.ticks], ['1', 'paused', '7', '1.5', '0.25', '9']);
    assert.equal(await redis.client.get(room.key('index')), text);
    assert.ok(text.length < 30000);
  }
});

// ---- log ----

test('log: returns pages, and whether a buyer is still inside by that admission', async () => {
  const { room } = await visited({ threshold: 2 }, ['u:1', 'u:2']);
  await room.leave(['u:1']);
  await room.join(['u:1']);
  const { entries } = await room.log();
  assert.deepEqual(entries.map(({ kind, buyer, active }) => [kind, buyer, active]),
    [['direct', 'u:1', false], ['direct', 'u:2', true], ['left', 'u:1', false], ['direct', 'u:1', true]]);
  const page = await room.log(entries[0].id, 2);
  assert.deepEqual(page.entries.map(({ id }) => id), [entries[1].id, entries[2].id]);
  assert.deepEqual((await room.log(entries[3].id)).entries, []);
  await room.clear(2);
  await room.join(['u:2']);
  const after_ = (await room.log(entries[3].id)).entries;
  assert.deepEqual(after_.map(({ kind, active }) => [kind, active]), [['cleared', false], ['direct', true]]);
});

const onward = { cursor: true };
const idsOf = ({ entries }) => entries.map(({ id }) => id);
const ahead = (id, ms = 1e7) => `${Number(id.split('-')[0]) + ms}-4`;

// A log of three entries (`known`) that has lost later ones, which the consumer had read up to `cursor`.
async function shortened(threshold) {
  const { room } = await visited({ threshold }, names(3));
  const known = idsOf(await room.log());
  await room.free(0, 3, known[2]);
  return { room, known, cursor: ahead(known[2]) };
}

const entry = (room, id, buyer) => redis.client.xadd(room.key('log'), id, 'kind', 'left', 'buyer', buyer, 'place', 7, 'epoch', 1, 'at', 1,
  'inside', 1, 'threshold', 9, 'n', 3);

test('log: a new log on a slower clock is read from its start', async () => {
  const seats = { threshold: 3, seats: 10 };
  const cursor = `${Date.now() + 1e7}-4`;
  for (const free of [{}, { free: 10, freeAdmitted: 7, freeId: cursor }]) {
    const room = await make(free.free ? seats : { threshold: 3 }, free);
    await room.join(names(3));
    const { entries } = await room.log(cursor, 500, onward);
    assert.deepEqual(entries.map(({ buyer }) => buyer), ['u:1', 'u:2', 'u:3']);
    assert.deepEqual(entries, (await room.log(cursor, 500, onward)).entries, 'the same until the cursor has moved');
    assert.deepEqual((await room.log(cursor)).entries, [], 'a reader that is no consumer gets no entry');
    assert.equal((await room.free(7, 10, entries[2].id)).applied, true, 'free refers to this log');
    await room.leave(['u:1']);
    assert.equal((await room.log(entries[2].id, 500, onward)).entries.length, 1);
  }
});

test('log: a log that lost its last entries continues above the cursor, and nothing is read again', async () => {
  const { room, known, cursor } = await shortened(3);
  assert.deepEqual((await room.log(cursor, 500, onward)).entries, []);
  await room.leave(['u:1']);
  const { entries } = await room.log(cursor, 500, onward);
  assert.deepEqual(entries.map(({ kind, buyer }) => [kind, buyer]), [['left', 'u:1']]);
  assert.ok(Number(entries[0].id.split('-')[0]) >= Number(cursor.split('-')[0]));
  assert.deepEqual(idsOf(await room.log()).slice(0, 3), known, 'the log is as it was');
});

test('log: entries written below the cursor after a loss are read, whatever was written above it', async () => {
  const { room, known, cursor } = await shortened(9);
  await room.leave(['u:1']);
  const low = idsOf(await room.log())[3];
  await entry(room, ahead(cursor, 1), 'u:2');
  assert.deepEqual(idsOf(await room.log(cursor, 500, onward)), [low]);
  const all = await room.log(known[2], 500, onward);
  assert.deepEqual(idsOf(all), [low, ahead(cursor, 1)], 'from there all of it, in order');
});

test('log: a new entry with the id of the cursor, from a clock that was behind, does not count as consumed', async () => {
  const { room, known, cursor } = await shortened(9);
  await room.leave(['u:1']);
  const low = idsOf(await room.log())[3];
  await entry(room, cursor, 'u:2');
  await entry(room, ahead(cursor, 1), 'u:3');
  assert.deepEqual(idsOf(await room.log(cursor, 500, onward)), [low, cursor]);
  assert.deepEqual(idsOf(await room.log(known[2], 500, onward)), [low, cursor, ahead(cursor, 1)]);
});

test('log: the live copy refers to no entry of a new log, even after the clock has passed the cursor', async () => {
  const cursor = `${Date.now() + 1e7}-4`;
  const room = await make({ threshold: 3, seats: 10 }, { free: 10, freeAdmitted: 7, freeId: cursor });
  await room.join(['u:1']);
  await entry(room, ahead(cursor, 1), 'u:1');
  assert.deepEqual((await room.log(cursor, 500, onward)).entries.map(({ kind }) => kind), ['direct']);
});

test('free: an entry id that Redis has lost neither hides nor trims entries written below it', async () => {
  const { room, cursor } = await shortened(9);
  for (let i = 0; i < 300; i++) {
    await room.join([`v:${i}`]);
    await room.leave([`v:${i}`]);
  }
  const low = idsOf(await room.log(undefined, 500))[3];
  assert.equal((await room.free(0, 3, cursor, 0)).applied, true, 'the number of seats is that of PostgreSQL');
  await entry(room, ahead(cursor, 1), 'u:2');
  assert.equal(idsOf(await room.log(cursor, 500, onward))[0], low);
  assert.equal((await room.wholeLog()).length, 604);
});

test('log: after a loss a call costs no more than its reply, however long the log is', async () => {
  const room = await make({ threshold: 9 });
  const whole = 20000;
  for (let from = 0; from < whole; from += 1000) {
    const line = redis.client.pipeline();
    for (let i = from; i < from + 1000; i++) {
      line.xadd(room.key('log'), `${1000 + i}-0`, 'kind', 'left', 'buyer', `u:${i}`, 'place', i, 'epoch', 1, 'at', 1, 'inside', 0,
        'threshold', 9, 'n', 1);
    }
    await line.exec();
  }
  const cost = async (call) => {
    await redis.client.call('CONFIG', 'RESETSTAT');
    await call();
    const info = await redis.client.call('INFO', 'commandstats');
    return [...info.matchAll(/cmdstat_(?:x\w+):calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0);
  };
  const cursor = `${1e6}-0`;
  for (const consumed of [1000 + whole - 1, 1500, 0]) {
    await redis.client.hset(room.key('free'), 'free', 0, 'admitted', 0, 'id', `${consumed}-0`);
    let reply;
    assert.ok(await cost(async () => { reply = await room.log(cursor, 500, onward); }) < 10);
    assert.equal(reply.entries.length, consumed > 1500 ? 0 : 500);
  }
  assert.equal(await redis.client.xlen(room.key('log')), whole);
});

// ---- the channel ----

test('promote announces admitted buyers, unless their seats are to be held first', async () => {
  const room = await make({ threshold: 0 });
  const held = await make({ threshold: 0, seats: 10 });
  const listener = redis.connect();
  await listener.subscribe('tiketi:0:queue-events');
  const messages = [];
  listener.on('message', (_, text) => messages.push(JSON.parse(text)));
  for (const each of [room, held]) {
    each.places = (await each.join(['u:1', 'u:"2"', 'u:3'])).buyers.map(({ place }) => String(place));
    await each.configure({ threshold: 2, seats: each === held ? 10 : 0 });
    await each.free(10, 0);
    assert.equal((await each.promote()).entered, 2);
  }
  await listener.ping();
  const told = messages.filter(({ event }) => event === 'admitted');
  assert.equal(told.length, 1);
  const { eventId, payload } = told[0];
  assert.equal(eventId, room.id);
  assert.deepEqual(payload.buyers.map(({ buyer, place, epoch }) => [buyer, place, epoch]),
    [['u:1', room.places[0], 1], ['u:"2"', room.places[1], 1]]);
  assert.equal(payload.buyers[0].since, (await room.seen(['u:1'])).buyers[0].since);
  listener.disconnect();
});

test('every script uses the keys it is given and no other', async () => {
  const known = new Set(KEYS);
  for (const key of await redis.client.keys('*')) {
    assert.ok(known.has(key.replace(/:\{e\d+\}$/, '')), key);
  }
});

// ---- seats ----

test('seats: the newest map is kept, one caller a second reloads it, and it expires after a minute', async () => {
  const key = `seats:{hall${++count}}`;
  const script = load('seats');
  const run = (...args) => call(redis.client, script, [1, key, ...args.map(String)]);
  const older = (ms) => redis.client.hset(key, 'at', Date.now() - ms);
  assert.deepEqual(await run('get', -1), [-1, 0, '']);
  assert.deepEqual(await run('confirm', 7), [-1, 0, ''], 'there is no map yet');
  assert.equal(await redis.client.exists(key), 0);
  assert.deepEqual(await run('put', 0, 'empty'), [0, 0, '']);
  assert.equal((await run('get', -1))[2], 'empty');
  assert.deepEqual(await run('put', 10, 'ten'), [10, 0, '']);
  const [version, , map] = await run('put', 9, 'nine');
  assert.deepEqual([version, map], [10, 'ten'], 'a caller with an older map gets the newer one');
  assert.deepEqual((await run('get', 10)).slice(0, 1).concat((await run('get', 10))[2]), [10, '']);
  assert.equal((await run('get', 8))[2], 'ten');

  await older(5000);
  assert.ok((await run('get', 10))[1] >= 5000, 'the first caller of a second has to reload');
  assert.ok((await run('get', 10))[1] < 1000, 'the next ones need not');
  await older(5000);
  assert.ok((await run('confirm', 9))[1] >= 5000, 'an older version does not confirm this one');
  assert.equal((await run('confirm', 10))[1], 0);
  assert.ok((await run('get', 10))[1] < 1000);

  await older(-3600000);
  assert.ok((await run('get', 10))[1] >= 1000, 'a time in the future, after a clock stepped back, counts as old');
  assert.ok((await run('get', 10))[1] < 1000);

  await redis.client.pexpire(key, 5000);
  await run('get', 10);
  assert.ok((await redis.client.pttl(key)) <= 5000, 'reading does not prolong it');
  await run('confirm', 10);
  assert.ok((await redis.client.pttl(key)) > 59000);
});

// ---- sales ----

test('sales: an older copy never replaces a newer one, all are listed page by page, and they expire after thirty days', async () => {
  const key = `sales:{hall${++count}}`;
  const script = load('sales');
  const run = (...args) => call(redis.client, script, [1, key, ...args.map(String)]);
  const all = async () => {
    const found = new Map();
    let cursor = '0';
    do {
      const [next, ...items] = await run('list', cursor);
      for (let i = 0; i < items.length; i += 3) found.set(items[i], [items[i + 1], items[i + 2]]);
      cursor = next;
    } while (cursor !== '0');
    return found;
  };
  assert.equal((await all()).size, 0, 'an event without copies');
  assert.deepEqual(await run('put', 'a', 2, '{"v":2}', 'b', 1, '{"text":"two words"}'), [2]);
  assert.deepEqual(await run('put', 'a', 1, '{"v":1}'), [0], 'a processor that is late');
  assert.deepEqual(await run('put', 'a', 2, '{"v":"again"}'), [0], 'the same once more');
  assert.deepEqual(await run('put', 'a', 10, '{"v":10}'), [1], 'versions are numbers');
  assert.deepEqual(await all(), new Map([['a', ['10', '{"v":10}']], ['b', ['1', '{"text":"two words"}']]]));
  for (let i = 0; i < 20; i++) await run('put', ...Array.from({ length: 100 }, (_, j) => [`r${i * 100 + j}`, 1, '{}']).flat());
  assert.equal((await all()).size, 2002);
  assert.ok((await run('list', '0')).length < 1000, 'a page is a part');
  await redis.client.pexpire(key, 5000);
  await all();
  assert.ok((await redis.client.pttl(key)) <= 5000, 'reading does not prolong it');
  await run('put', 'b', 2, '{}');
  assert.ok((await redis.client.pttl(key)) > 29 * 24 * 3600 * 1000);
});
