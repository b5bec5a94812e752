// SPDX-License-Identifier: MIT
//
// Offers: a turn is offered, claimed, and never lost in silence. On a real Redis, whose clock cannot be moved: times
// are made older.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from '../fixtures/index.mjs';
import { KEYS, Room, load, replay } from './room.mjs';

let redis;
let count = 0;
let mutant; // a script that stands in for another
const promises = new Map(); // name -> test

function promise(name, run) {
  promises.set(name, run);
  test(name, run);
}

function newRoom() {
  const room = new Room(redis.client, `o${++count}`);
  if (mutant) room.scripts[mutant.name] = mutant;
  return room;
}

before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

const names = (n, prefix = 'u:') => Array.from({ length: n }, (_, i) => `${prefix}${i + 1}`);
const score = async (room, name, buyer) => {
  const text = await redis.client.zscore(room.key(name), buyer);
  return text === null ? null : Number(text);
};
const kinds = async (room) => (await room.wholeLog()).map(({ kind, buyer }) => `${kind} ${buyer}`);

// `waiting` buyers in the queue, `slots` offered to the first of them.
async function offer(waiting, slots = 1, settings = {}) {
  const room = newRoom();
  await room.configure({ threshold: 0, ...settings });
  await room.take();
  const { buyers } = await room.join(names(waiting));
  await room.configure({ threshold: slots, ...settings });
  const tick = await room.promote();
  assert.equal(tick.entered, slots);
  return { room, places: buyers.map(({ place }) => place) };
}

async function honest(room) {
  const { inside, broken } = replay(await room.wholeLog(), { order: true });
  assert.deepEqual(broken, []);
  assert.deepEqual([...inside.keys()].sort(), [...(await room.active())].sort());
}

async function runsOut(room, ...buyers) {
  for (const buyer of buyers) await room.age('active:offered', buyer, 91000);
  return room.promote();
}

promise('an admission from the queue is an offer: it occupies the slot, and has neither an idle nor a session limit', async () => {
  const { room, places } = await offer(2, 1, { idleTimeoutMs: 1, sessionLimitMs: 1 });
  const [first, second] = (await room.join([{ buyer: 'u:1', mode: 'resume' }, { buyer: 'u:2', mode: 'resume' }])).buyers;
  assert.equal(first.state, 'offered');
  assert.equal(first.place, places[0]);
  assert.ok(Math.abs(first.since - Date.now()) < 5000, 'the time of the offer');
  assert.deepEqual([second.state, second.position], ['waiting', 1]);
  assert.equal(await score(room, 'active:seen', 'u:1'), null);
  assert.equal(await score(room, 'active:since', 'u:1'), null);
  const tick = await room.promote();
  assert.deepEqual([tick.idle, tick.kept, tick.timeout, tick.unclaimed, tick.entered, tick.inside], [0, 0, 0, 0, 0, 1]);
  await honest(room);
});

for (const [how, claim] of Object.entries({
  'a join': (room) => room.join(['u:1']),
  'a claim': (room) => room.join([{ buyer: 'u:1', mode: 'claim' }]),
  'a heartbeat that claims': (room) => room.seen(['u:1'], { claim: true }),
  'a payment': (room) => room.pay('u:1', 0),
})) {
  promise(`an offer is claimed by ${how}, once, and the session begins with that`, async () => {
    const { room, places } = await offer(1);
    await room.age('active:offered', 'u:1', 60000);
    for (let i = 0; i < 2; i++) {
      const { buyers: [{ state, place, since }] } = await claim(room);
      assert.deepEqual([state, place], ['active', places[0]]);
      assert.ok(Math.abs(since - Date.now()) < 5000, 'since the claim, not the offer');
    }
    assert.deepEqual(await kinds(room), ['offered u:1', 'claimed u:1']);
    assert.deepEqual((await room.wholeLog()).map(({ inside, n }) => [inside, n]), [[1, 1], [1, 1]]);
    assert.equal(await score(room, 'active:offered', 'u:1'), null);
    assert.equal((await redis.client.hget(room.key('stats'), 'claimed')), '1');
    await honest(room);
  });
}

promise('plain heartbeats, status and a resuming socket claim nothing', async () => {
  const { room } = await offer(1);
  assert.equal((await room.seen(['u:1'])).buyers[0].state, 'offered');
  assert.equal((await room.join([{ buyer: 'u:1', mode: 'resume' }])).buyers[0].state, 'offered');
  assert.deepEqual(await kinds(room), ['offered u:1']);
});

promise('direct and restored admissions are claimed in the same call', async () => {
  const room = newRoom();
  await room.configure({ threshold: 2 });
  const { seq } = await room.join(['u:1']);
  await room.set('restoredTo', seq + 5);
  await room.join([{ buyer: 'u:2', mode: 'resume', pass: { place: seq + 5, epoch: 1, since: Date.now() } }]);
  assert.deepEqual(await kinds(room), ['direct u:1', 'restored u:2']);
  assert.equal(await redis.client.exists(room.key('active:offered')), 0);
  for (const buyer of ['u:1', 'u:2']) assert.ok(await score(room, 'active:since', buyer));
});

promise('an offer that is not claimed frees the slot and keeps the place: nothing is consumed, and only a claim brings the buyer back', async () => {
  const { room, places } = await offer(3);
  const tick = await runsOut(room, 'u:1');
  assert.deepEqual([tick.unclaimed, tick.entered, tick.inside], [1, 1, 1]);
  assert.deepEqual([...(await room.active())], ['u:2']);
  assert.equal(await score(room, 'parked', 'u:1'), -places[0]);
  assert.equal(await score(room, 'consumed', 'u:1'), null);
  for (let i = 0; i < 2; i++) {
    assert.deepEqual((await room.seen(['u:1'])).buyers[0], { state: 'unclaimed', place: places[0], claimFrom: 0, since: 0 });
    const [{ state, place, position }] = (await room.join([{ buyer: 'u:1', mode: 'resume', ticket: { place: places[0], epoch: 1 } }])).buyers;
    assert.deepEqual([state, place, position], ['unclaimed', places[0], 0]);
  }
  const back = (await room.join([{ buyer: 'u:1', mode: 'claim' }])).buyers[0];
  assert.deepEqual([back.state, back.place, back.position], ['waiting', places[0], 1]);
  await room.leave(['u:2']);
  assert.equal((await room.promote()).entered, 1);
  assert.deepEqual([...(await room.active())], ['u:1'], 'the next slot is theirs');
  assert.deepEqual(await kinds(room),
    ['offered u:1', 'unclaimed u:1', 'offered u:2', 'returned u:1', 'left u:2', 'offered u:1']);
  assert.deepEqual((await room.wholeLog()).map(({ n }) => n), [1, 1, 2, 2, 2, 3], 'a second admission has its own number');
  await honest(room);
});

promise('a heartbeat that claims brings a parked buyer back to their place, too', async () => {
  const { room, places } = await offer(4);
  await room.age('queue:seen', 'u:2', 130000);
  await runsOut(room, 'u:1'); // parks u:2, who is silent, and lets u:3 in
  const { buyers, size } = await room.seen(['u:1', 'u:2', 'u:4', 'u:1'], { claim: true });
  assert.deepEqual(buyers.map(({ state, place }) => [state, place]),
    [['waiting', places[0]], ['waiting', places[1]], ['waiting', 0], ['waiting', places[0]]]);
  assert.equal(size, 3);
  assert.deepEqual((await room.queue()).map(({ buyer }) => buyer), ['u:1', 'u:2', 'u:4']);
  await room.promote();
  await honest(room);
});

promise('hidden pages at the head of the queue cannot stop it, however many there are and whatever they send', async () => {
  const slots = 3;
  const hidden = names(12);
  const { room } = await offer(30, slots);
  for (let round = 0; round < 20; round++) {
    // Hidden pages: pongs, polls and resuming sockets. All others claim as soon as they are offered a turn, and leave.
    await room.seen(hidden);
    await room.join(hidden.map((buyer) => ({ buyer, mode: 'resume' })));
    const inside = [...(await room.active())];
    const there = inside.filter((buyer) => !hidden.includes(buyer));
    if (there.length) await room.join(there);
    if (there.length) await room.leave(there);
    await runsOut(room, ...inside.filter((buyer) => hidden.includes(buyer)));
  }
  const left = (await room.wholeLog()).filter(({ kind }) => kind === 'left').length;
  assert.equal(left, 18, 'everybody else has had their turn');
  assert.equal((await room.wholeLog()).filter(({ kind }) => kind === 'unclaimed').length, hidden.length, 'one offer each');
  assert.equal((await room.queue('parked')).length, hidden.length, 'and nobody has lost their place');
  await room.join(hidden);
  assert.deepEqual((await room.queue()).map(({ buyer }) => buyer), hidden, 'in their order');
  await honest(room);
});

// A buyer whose offers run out one after the other. Returns the rests, in ms, that followed them.
async function rests(room, buyer, count) {
  const list = [];
  for (let i = 0; i < count; i++) {
    await runsOut(room, buyer);
    const { rest } = await room.kept(buyer);
    list.push(rest === 0 ? 0 : rest - (await room.service()));
    await endRest(room, buyer);
    await room.join([{ buyer, mode: 'claim' }]);
    await room.promote();
  }
  return list;
}

// As if the time of rest had passed.
async function endRest(room, buyer) {
  const note = await redis.client.hget(room.key('kept'), buyer);
  await redis.client.hset(room.key('kept'), buyer, note.replace(/\d+$/, '1'));
}

promise('a buyer who lets one offer after the other run out rests the longer in between, and keeps the place', async () => {
  const { room, places } = await offer(1);
  const list = await rests(room, 'u:1', 7);
  const wanted = [0, 1, 3, 7, 15, 15, 15].map((times) => times * 90000);
  list.forEach((ms, i) => assert.ok(Math.abs(ms - wanted[i]) < 5000, `${i + 1} offers: ${ms} ms`));
  assert.equal(await score(room, 'active:place', 'u:1'), places[0]);
  assert.equal(await score(room, 'consumed', 'u:1'), null);
  await honest(room);
});

promise('while a place rests no claim brings its buyer back, and the answer says from when on one does', async () => {
  const { room, places } = await offer(1);
  await room.set('gapMs', -7000); // service time is 7 s ahead of the clock
  await rests(room, 'u:1', 1);
  await runsOut(room, 'u:1');
  const from = Date.now() + 90000;
  for (const { buyers: [{ state, place, position, claimFrom }] } of [
    await room.join(['u:1']), await room.join([{ buyer: 'u:1', mode: 'claim', ticket: { place: places[0], epoch: 1 } }]),
    await room.join([{ buyer: 'u:1', mode: 'resume' }]), await room.seen(['u:1'], { claim: true }), await room.seen(['u:1']),
  ]) {
    assert.deepEqual([state, place, position ?? 0], ['unclaimed', places[0], 0]);
    assert.ok(Math.abs(claimFrom - from) < 5000, `${claimFrom - from}`);
  }
  await room.promote();
  assert.ok(!(await room.active()).has('u:1'));
  await endRest(room, 'u:1');
  assert.equal((await room.seen(['u:1'])).buyers[0].claimFrom, 0);
  assert.equal((await room.seen(['u:1'], { claim: true })).buyers[0].state, 'waiting');
  await honest(room);
});

promise('a claimed turn ends the count of offers that ran out', async () => {
  const { room } = await offer(1);
  await rests(room, 'u:1', 3);
  assert.equal((await room.kept('u:1')).missed, 3);
  assert.equal((await room.join(['u:1'])).buyers[0].state, 'active');
  assert.equal(await room.kept('u:1'), null);
  await honest(room);
});

promise('however many come back each time and take no turn, the others get theirs', async () => {
  const slots = 3;
  const hostile = names(12);
  const { room } = await offer(30, slots);
  const served = async () => (await room.wholeLog()).filter(({ kind }) => kind === 'left').length;
  let rounds = 0;
  for (; (await served()) < 18; rounds++) { // a round takes claimMs
    assert.ok(rounds < 60, `after ${rounds} rounds ${await served()} have had their turn`);
    const inside = [...(await room.active())];
    const there = inside.filter((buyer) => !hostile.includes(buyer));
    if (there.length) await room.join(there);
    if (there.length) await room.leave(there);
    for (const [buyer, note] of Object.entries(await redis.client.hgetall(room.key('kept')))) {
      await redis.client.hset(room.key('kept'), buyer, note.replace(/\d+$/, (rest) => Math.max(0, rest - 90000)));
    }
    await runsOut(room, ...inside.filter((buyer) => hostile.includes(buyer)));
    const offered = await room.active();
    await room.seen(hostile.filter((buyer) => !offered.has(buyer)), { claim: true }); // what has run out, not what is on offer
    await room.promote();
  }
  for (const buyer of hostile) assert.equal(await score(room, 'consumed', buyer), null, 'no place is lost');
  await honest(room);
});

promise('the end of an offer is in service time: an outage takes nothing from it', async () => {
  const { room } = await offer(1);
  await room.age('active:offered', 'u:1', 120000);
  await room.set('lastRunMs', Date.now() - 120000);
  assert.equal((await room.promote()).unclaimed, 0);
});

promise('claimMs is the event\'s; a live copy of an older release has none', async () => {
  const { room } = await offer(1, 1, { claimMs: 600000 });
  assert.equal((await runsOut(room, 'u:1')).unclaimed, 0);
  await redis.client.hdel(room.key('config'), 'claimMs');
  assert.equal((await room.promote({ claim: 200000 })).unclaimed, 0);
  assert.equal((await room.promote({ claim: 90000 })).unclaimed, 1);
});

promise('a buyer whose offer ran out can leave, and the place is consumed then', async () => {
  const { room, places } = await offer(1);
  await runsOut(room, 'u:1');
  assert.deepEqual((await room.leave(['u:1'])).buyers, [{ state: 'parked', place: places[0] }]);
  assert.equal(await score(room, 'consumed', 'u:1'), places[0]);
  assert.equal((await room.join([{ buyer: 'u:1', mode: 'claim', ticket: { place: places[0], epoch: 1 } }])).buyers[0].state, 'gone');
  await honest(room);
});

promise('when the event closes, an offer can still be claimed, but nobody returns from the parked', async () => {
  const { room } = await offer(3, 2);
  await runsOut(room, 'u:1');
  await room.configure({ status: 'closed' });
  assert.deepEqual((await room.join(['u:1', 'u:2', 'u:3'])).buyers.map(({ state }) => state), ['closed', 'active', 'active']);
  assert.equal((await room.seen(['u:1'], { claim: true })).buyers[0].state, 'unclaimed');
});

// ---- idle ----

promise('the first idle end of a turn keeps the place, for what is left of the session; the second one consumes it', async () => {
  const { room, places } = await offer(2, 1, { sessionLimitMs: 600000 });
  const first = await room.join(['u:1']);
  const pass = { place: places[0], epoch: 1, since: first.buyers[0].since - 200000 }; // as old as the session is made
  await room.age('active:since', 'u:1', 200000);
  await room.age('active:seen', 'u:1', 91000);
  const tick = await room.promote();
  assert.deepEqual([tick.kept, tick.idle, tick.entered], [1, 0, 1], 'the slot is free at once');
  assert.equal(await score(room, 'consumed', 'u:1'), null);
  // neither a hidden page nor the pass of the turn that has ended brings them back, although there is a free slot
  await room.configure({ threshold: 5, sessionLimitMs: 600000 });
  assert.equal((await room.join([{ buyer: 'u:1', mode: 'resume', pass }])).buyers[0].state, 'unclaimed');
  assert.deepEqual([(await room.join([{ buyer: 'u:1', pass }])).buyers[0].state, (await room.active()).size], ['waiting', 1]);
  assert.equal((await room.join([{ buyer: 'u:1', mode: 'resume', pass }])).buyers[0].state, 'waiting', 'nor when they wait');
  await room.leave(['u:2']);
  await room.promote();
  const again = (await room.join(['u:1'])).buyers[0];
  assert.equal(again.state, 'active');
  assert.ok(Math.abs(Date.now() - again.since - 200000) < 5000, '200 s of the session were used');
  await room.age('active:seen', 'u:1', 91000);
  assert.deepEqual([(await room.promote()).idle, await score(room, 'consumed', 'u:1')], [1, places[0]]);
  assert.equal(await room.kept('u:1'), null);
  assert.deepEqual((await kinds(room)).filter((text) => text.endsWith('u:1')),
    ['offered u:1', 'claimed u:1', 'idle_kept u:1', 'returned u:1', 'offered u:1', 'claimed u:1', 'idle u:1']);
  await honest(room);
});

promise('a turn that is both idle and over its session limit is over', async () => {
  const { room, places } = await offer(1);
  await room.join(['u:1']);
  await room.age('active:seen', 'u:1', 1e7);
  await room.age('active:since', 'u:1', 1e7);
  const tick = await room.promote();
  assert.deepEqual([tick.kept, tick.timeout, await score(room, 'consumed', 'u:1')], [0, 1, places[0]]);
  await honest(room);
});

promise('a new place of the same buyer is kept once again', async () => {
  const { room } = await offer(1);
  await room.join(['u:1']);
  await room.age('active:seen', 'u:1', 1e6);
  assert.equal((await room.promote()).kept, 1);
  await room.leave(['u:1']);
  await room.join(['u:1']);
  await room.age('active:seen', 'u:1', 1e6);
  assert.equal((await room.promote()).kept, 1);
  await honest(room);
});

// ---- payment ----

promise('a pending payment takes the place of idle and session limits until its deadline', async () => {
  const { room, places } = await offer(1, 1, { idleTimeoutMs: 60000, sessionLimitMs: 300000 });
  await room.join(['u:1']);
  await room.age('active:since', 'u:1', 299000);
  const deadline = Date.now() + 600000;
  for (let i = 0; i < 2; i++) {
    const [{ state, place, deadline: until, since }] = (await room.pay('u:1', deadline)).buyers;
    assert.deepEqual([state, place, until], ['active', places[0], deadline]);
    assert.ok(Math.abs(Date.now() - since - 299000) < 5000);
  }
  await redis.client.zadd(room.key('active:since'), -1000, 'u:1'); // long over the limit
  assert.deepEqual((await room.promote()).inside, 1);
  // heartbeats and answers do not end it
  await room.seen(['u:1']);
  assert.equal((await room.join(['u:1'])).buyers[0].deadline, deadline);
  assert.equal((await room.promote()).inside, 1);
  // the deadline passes: the session limit applies again
  await redis.client.zadd(room.key('active:paying'), Date.now() - 1, 'u:1');
  await room.promote();
  assert.equal((await room.promote()).timeout, 1);
  assert.equal(await redis.client.exists(room.key('active:paying'), room.key('active:since')), 0);
  await honest(room);
});

promise('when a payment ends, or its deadline passes, the buyer counts as seen then, and the session goes on', async () => {
  for (const ends of [
    (room) => room.pay('u:1', 0),
    async (room) => { await redis.client.zadd(room.key('active:paying'), Date.now() - 1, 'u:1'); },
  ]) {
    const { room } = await offer(1);
    await room.join(['u:1']);
    await room.age('active:since', 'u:1', 100000);
    await room.pay('u:1', Date.now() + 600000);
    await ends(room);
    assert.equal((await room.promote()).inside, 1);
    const [{ state, deadline, since }] = (await room.join([{ buyer: 'u:1', mode: 'resume' }])).buyers;
    assert.deepEqual([state, deadline], ['active', 0]);
    assert.ok(Math.abs(Date.now() - since - 100000) < 5000);
    assert.ok((await room.service()) - (await score(room, 'active:seen', 'u:1')) < 5000);
    await room.age('active:seen', 'u:1', 91000);
    assert.equal((await room.promote()).kept, 1);
    await honest(room);
  }
});

promise('one payment after the other keeps nobody inside: what begins after the session gets no time', async () => {
  const { room, places } = await offer(1, 1, { sessionLimitMs: 300000 });
  await room.join(['u:1']);
  await room.pay('u:1', Date.now() + 60000);
  await redis.client.zadd(room.key('active:since'), -((await room.service()) - 301000), 'u:1'); // the session has ended meanwhile
  const [{ deadline }] = (await room.pay('u:1', Date.now() + 9e6)).buyers;
  assert.ok(deadline < Date.now() + 61000, 'the payment of before still counts, the new one does not');
  await redis.client.zadd(room.key('active:paying'), Date.now() - 1, 'u:1');
  await room.promote();
  assert.deepEqual([(await room.pay('u:1', Date.now() + 9e6)).buyers[0].deadline, await redis.client.exists(room.key('active:paying'))], [0, 0]);
  assert.equal((await room.promote()).timeout, 1);
  assert.equal(await score(room, 'consumed', 'u:1'), places[0]);
  await honest(room);
});

promise('a payment of a buyer who is not inside changes nothing', async () => {
  const { room } = await offer(2);
  const before_ = await redis.client.keys(room.key('*'));
  for (const buyer of ['u:2', 'u:9']) {
    assert.deepEqual((await room.pay(buyer, Date.now() + 1e6)).buyers, [{ state: 'gone', place: 0, deadline: 0, since: 0 }]);
  }
  assert.deepEqual(await redis.client.keys(room.key('*')), before_);
});

promise('a report of the payment provider claims nothing', async () => {
  const { room } = await offer(1);
  assert.equal((await room.pay('u:1', 0, { claim: false })).buyers[0].state, 'gone');
  assert.deepEqual(await kinds(room), ['offered u:1']);
});

promise('a buyer who has paid leaves nothing behind', async () => {
  const { room, places } = await offer(1);
  await room.pay('u:1', Date.now() + 1e6);
  await room.leave([{ buyer: 'u:1', place: places[0], epoch: 1 }], 'completed');
  for (const name of KEYS.filter((key) => /^active|^parked/.test(key))) assert.equal(await redis.client.exists(room.key(name)), 0, name);
  await honest(room);
});

// ---- a new epoch, a loss ----

promise('clear removes offers, payments and what was kept', async () => {
  const { room } = await offer(4, 3);
  await room.join(['u:1', 'u:2']);
  await room.pay('u:1', Date.now() + 1e6);
  await room.age('active:seen', 'u:2', 1e6);
  await room.promote();
  await room.clear(2);
  for (const name of KEYS.filter((key) => /^active|^parked|^queue/.test(key))) assert.equal(await redis.client.exists(room.key(name)), 0, name);
  await honest(room);
});

promise('after a loss of data a place that was offered or kept is not consumed, and its ticket brings it back', async () => {
  const { room, places } = await offer(3, 2);
  await room.join(['u:2']);
  await room.age('active:seen', 'u:2', 1e6);
  await runsOut(room, 'u:1');
  const { seq } = await room.promote();
  const record = (await room.wholeLog()).filter(({ kind }) => ['left', 'idle', 'timeout', 'completed', 'withdrawn'].includes(kind));
  assert.deepEqual(record, [], 'the record has no consumed place');
  await redis.client.del(...KEYS.map((key) => room.key(key)));
  await room.configure({ threshold: 2 }, { known: seq });
  await room.consumed([], { last: 1 });
  const back = await room.join([1, 2].map((i) => ({ buyer: `u:${i}`, mode: 'resume', ticket: { place: places[i - 1], epoch: 1 } })));
  assert.deepEqual(back.buyers.map(({ state, place }) => [state, place]), [['waiting', places[0]], ['waiting', places[1]]]);
});

promise('after a loss of data a place is still kept for idleness once only', async () => {
  const { room, places } = await offer(2, 2, { sessionLimitMs: 600000 });
  const first = (await room.join(['u:1', 'u:2'])).buyers;
  await room.age('active:since', 'u:1', 200000);
  await room.age('active:seen', 'u:1', 1e6);
  const { seq } = await room.promote();
  const { place, used, since } = await room.kept('u:1');
  assert.deepEqual([place, since <= first[0].since], [places[0], true]);
  assert.ok(Math.abs(used - 200000) < 5000);

  await redis.client.del(...KEYS.map((key) => room.key(key)));
  await room.configure({ threshold: 2, sessionLimitMs: 600000 }, { known: seq });
  await room.take();
  for (let i = 0; i < 2; i++) await room.consumed([['u:1', 0, place, used, since], ['u:9', 7]], { last: 1 });
  await room.set('restoreUntil', 1);
  const [old, other] = (await room.join([
    { buyer: 'u:1', pass: { place, epoch: 1, since } }, { buyer: 'u:2', pass: { place: places[1], epoch: 1, since: first[1].since } },
  ])).buyers;
  assert.deepEqual([old.state, other.state], ['waiting', 'active'], 'the pass of the turn that ended does not bring its buyer in');
  await room.promote();
  const [again] = (await room.join(['u:1'])).buyers;
  assert.ok(Math.abs(Date.now() - again.since - used) < 5000, 'for what is left of the session');
  // Redis is lost again: the pass of the second turn counts
  await redis.client.del(...KEYS.map((key) => room.key(key)));
  await room.configure({ threshold: 2 }, { known: seq });
  await room.take();
  await room.consumed([['u:1', 0, place, used, since]], { last: 1 });
  await room.set('restoreUntil', 1);
  assert.equal((await room.join([{ buyer: 'u:1', pass: { place, epoch: 1, since: since + 5000 } }])).buyers[0].state, 'active');
  await room.age('active:seen', 'u:1', 1e6);
  assert.deepEqual([(await room.promote()).idle, await score(room, 'consumed', 'u:1')], [1, places[0]]);
});

promise('what the ledger knows of a kept place replaces nothing that Redis knows', async () => {
  const { room, places } = await offer(2, 2);
  await runsOut(room, 'u:1');
  await room.join(['u:2']);
  await room.age('active:seen', 'u:2', 1e6);
  await room.promote();
  const note = await redis.client.hget(room.key('kept'), 'u:2');
  await room.set('consumedLoaded', 0, 'restoreUntil', 1);
  await room.consumed([['u:1', 0, places[0], 500, 600], ['u:2', 0, places[1], 700, 800]], { last: 1 });
  assert.deepEqual(await room.kept('u:1'), { place: places[0], used: 500, since: 600, missed: 1, rest: 0 });
  assert.equal(await redis.client.hget(room.key('kept'), 'u:2'), note);
});

promise('consumed places are removed from the parked, whichever way they were parked', async () => {
  const { room, places } = await offer(3);
  await room.age('queue:seen', 'u:2', 130000);
  await runsOut(room, 'u:1');
  assert.equal((await room.queue('parked')).length, 2);
  await room.set('consumedLoaded', 0, 'restoreUntil', 1);
  assert.equal((await room.consumed([['u:1', places[0]], ['u:2', places[1]]], { last: 1 })).removed, 2);
  assert.equal(await redis.client.exists(room.key('parked')), 0);
});

promise('entries of an older release, which knows no offers, are removed when they come due', async () => {
  const { room } = await offer(2, 1);
  await redis.client.zadd(room.key('active:offered'), 5, 'u:gone');
  await redis.client.zadd(room.key('active:paying'), 5, 'u:gone');
  const tick = await room.promote();
  assert.deepEqual([tick.unclaimed, tick.inside], [0, 1]);
  assert.equal(await redis.client.exists(room.key('active:paying')), 0);
  assert.equal(await score(room, 'active:offered', 'u:gone'), null);
  assert.equal(await redis.client.exists(room.key('active:seen')), 0);
  await honest(room);
});

promise('log: says of each admission of a place whether its buyer is inside by that one', async () => {
  const { room } = await offer(1);
  await runsOut(room, 'u:1');
  await room.join(['u:1']);
  await room.promote();
  const { entries } = await room.log();
  assert.deepEqual(entries.map(({ kind, n, active }) => [kind, n, active]),
    [['offered', 1, false], ['unclaimed', 1, false], ['returned', 1, false], ['offered', 2, true]]);
});

// ---- what these tests are worth ----

for (const [what, [name, right, wrong]] of Object.entries({
  'consumes the place of an offer that was not claimed': ['promote', 'end_offers(run_out)', "depart('unclaimed', run_out)"],
  'ends no offer': ['promote', 'end_offers(run_out)', 'run_out = {}'],
  'puts an offer that ran out back to the head': ['promote', 'end_offers(run_out)',
    "end_offers(run_out) for _, b in ipairs(run_out) do call('ZADD', K_QUEUE, parked_place(call('ZSCORE', K_PARKED, b)), b) call('ZADD', K_QUEUE_SEEN, text(ev.service), b) call('ZREM', K_PARKED, b) ev.size = ev.size + 1 end"],
  'claims by plain heartbeats': ['seen', "if claims then", 'if true then'],
  'claims by status': ['join', "if mode_of(i) ~= RESUME then", 'if true then'],
  'brings a buyer back by status': ['join', "(state == 'unclaimed' and mode ~= RESUME", "(state == 'unclaimed'"],
  'lets a pass of a turn that has ended in': ['join', 'if used and num(at) <= since then', 'if false then'],
  'refuses the pass of the second turn': ['join', 'if used and num(at) <= since then', 'if used then'],
  'keeps a place after each idle end': ['promote', 'if kept_read(kept[i], places[i]) then', 'if false then'],
  'gives the whole session again': ['join', 'text(ev.service - (used or 0))', 'text(ev.service)'],
  'forgets after a loss that a place was kept': ['consumed', 'load_kept(keepers, kept)\n', '\n'],
  'lets the ledger overwrite what Redis knows': ['consumed', 'if not known_used then', 'if true then'],
  'never lets a place rest': ['promote', 'local rest = min(2 ^ missed - 1, MOST_RESTS) * claim_ms', 'local rest = 0'],
  'lets a place rest after the first offer': ['promote', '2 ^ missed - 1', '2 ^ (missed + 1) - 1'],
  'lets a place rest for ever': ['promote', 'min(2 ^ missed - 1, MOST_RESTS)', '(2 ^ missed - 1)'],
  'takes a claim while the place rests (join)': ['join', "and rests_until(buyers[i], places[i]) == 0", ''],
  'takes a claim while the place rests (heartbeat)': ['seen', 'if not needs_claim or rests_until(b, place) == 0 then', 'if true then'],
  'counts missed offers for ever': ['join', "            stale[#stale + 1] = b\n", ''],
  'gives each payment its time, also after the session': ['pay', 'and not over then', 'then'],
  'numbers a departure by the last admission': ['promote', 'record(kind, buyers[i], places[i], ev.inside - i, numbers[i] or admitted())',
    'record(kind, buyers[i], places[i], ev.inside - i, admitted())'],
  'gives an offer the idle limit': ['promote', "    if kind == 'offered' then\n        call('ZADD', K_OFFERED, unpack(start))\n    else",
    "    if kind == 'offered' then\n        call('ZADD', K_OFFERED, unpack(start))\n    end\n    do"],
  'admits before a parked buyer is noted': ['join', "    record('returned', buyers[i], text(place), ev.inside, admitted())\n", ''],
})) {
  test(`a script that ${what} is noticed`, async () => {
    const script = load(name);
    assert.ok(script.body.includes(right), right);
    mutant = { ...script, body: script.body.replace(right, () => wrong), sha: '0'.repeat(40) };
    const noticed = [];
    for (const [title, run] of promises) await run().catch(() => noticed.push(title));
    mutant = undefined;
    assert.ok(noticed.length > 0, 'by no test');
  });
}
