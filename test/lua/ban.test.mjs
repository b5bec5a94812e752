// SPDX-License-Identifier: MIT
//
// lua/ban.lua: who is shut out has nothing that counts, and loses nothing by it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from '../fixtures/index.mjs';
import { Room, replay } from './room.mjs';

let redis;
before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

let rooms = 0;
async function setUp(settings = {}) {
  const room = new Room(redis.client, `ban${++rooms}`);
  await room.configure({ threshold: 1, autoHold: 0, ...settings });
  await room.take();
  return room;
}

const states = ({ buyers }) => buyers.map(({ state }) => state);
const pass = ({ place }) => ({ place, epoch: 1, since: Date.now() + 5000 });

test('inside, waiting, parked and unknown: each is out, whatever they send, and only they', async () => {
  const room = await setUp();
  const { buyers: [inside, waiting] } = await room.join(['u:in', 'u:wait', 'u:next']);
  assert.deepEqual((await room.ban('u:in')).buyers[0], { state: 'active', place: inside.place });
  assert.deepEqual((await room.ban('u:wait')).buyers[0], { state: 'waiting', place: waiting.place });
  assert.deepEqual((await room.ban('u:never')).buyers[0], { state: 'gone', place: 0 });
  const asked = [{ buyer: 'u:in', ticket: { place: inside.place, epoch: 1 }, pass: pass(inside) }, { buyer: 'u:wait', mode: 'claim', ticket: { place: waiting.place, epoch: 1 } },
    { buyer: 'u:never' }, { buyer: 'u:never', network: '192.0.2.0/24' }, 'u:next', 'u:new'];
  assert.deepEqual(states(await room.join(asked)), ['banned', 'banned', 'banned', 'banned', 'waiting', 'waiting']);
  assert.deepEqual(states(await room.join(['u:never', 'u:newer'])), ['banned', 'waiting'], 'also in a rush of newcomers');
  assert.deepEqual(states(await room.seen(['u:in', 'u:wait', 'u:never', 'u:next'], { claim: true })), ['banned', 'banned', 'banned', 'waiting']);
  assert.deepEqual(states(await room.leave([{ buyer: 'u:wait', place: waiting.place, epoch: 1 }])), ['banned']);
  assert.deepEqual(states(await room.pay('u:in', Date.now() + 60000)), ['gone']);
  const { entered } = await room.promote();
  assert.equal(entered, 1);
  assert.deepEqual([...await room.active()], ['u:next']);
  assert.deepEqual(replay(await room.wholeLog()).broken, []);
});

test('lifted, each has the place again, in its order; a consumed one and one of another epoch stay lost', async () => {
  const room = await setUp({ threshold: 0 });
  const { buyers } = await room.join(['u:1', 'u:2', 'u:3', 'u:4']);
  for (const buyer of ['u:1', 'u:2', 'u:3', 'u:1']) await room.ban(buyer); // one twice
  assert.deepEqual((await room.queue()).map(({ buyer }) => buyer), ['u:4']);
  assert.deepEqual((await room.ban('u:2', { lift: true })).buyers[0], { state: 'parked', place: buyers[1].place });
  assert.deepEqual((await room.ban('u:2', { lift: true })).buyers[0], { state: 'gone', place: 0 });
  await room.ban('u:1', { lift: true });
  const back = await room.join(['u:2', { buyer: 'u:1', mode: 'resume' }]);
  assert.deepEqual(back.buyers.map(({ state, place, position }) => [state, place, position]), [['waiting', buyers[1].place, 2], ['waiting', buyers[0].place, 1]]);
  await room.leave([{ buyer: 'u:3', place: buyers[2].place, epoch: 1 }], 'completed'); // the money of a purchase came
  assert.equal((await room.ban('u:3', { lift: true })).buyers[0].place, 0);
  assert.equal((await room.join([{ buyer: 'u:3', mode: 'claim', ticket: { place: buyers[2].place, epoch: 1 } }])).buyers[0].state, 'gone');
  await room.ban('u:4');
  await room.clear(2);
  assert.deepEqual(states(await room.join(['u:4'])), ['banned'], 'a ban outlasts a clear');
  assert.equal((await room.ban('u:4', { lift: true })).buyers[0].place, 0);
  assert.deepEqual(await room.config('bans'), ['0']);
  assert.deepEqual(replay(await room.wholeLog()).broken, []);
});

test('sync makes exactly the list banned, with the places that it has kept, unless another change came between', async () => {
  const room = await setUp({ threshold: 0 });
  const { buyers } = await room.join(['u:1', 'u:2', 'u:3']);
  await room.ban('u:1');
  const [seq] = await room.config('banSeq');
  const list = [['u:2', 0, 0], ['u:lost', buyers[0].place + 1, 1], ['u:stale', 5, 7]];
  await room.ban('u:3');
  assert.equal((await room.syncBans(list, seq)).applied, false, 'too late');
  assert.equal((await room.syncBans(list, (await room.config('banSeq'))[0])).applied, true);
  assert.deepEqual(await room.config('bans'), ['3']);
  assert.deepEqual(states(await room.join(['u:1', 'u:2', 'u:3', 'u:lost', 'u:stale'])), ['waiting', 'banned', 'waiting', 'banned', 'banned']);
  assert.equal((await room.syncBans(list, (await room.config('banSeq'))[0], 77)).applied, false, 'nothing to do');
  const [now] = await room.config('banSeq');
  assert.deepEqual(await room.config('bansMark', 'bansMarkSeq'), ['77', now], 'whose list it is');
  assert.equal((await room.ban('u:lost', { lift: true })).buyers[0].place, buyers[0].place + 1);
  assert.equal((await room.ban('u:stale', { lift: true })).buyers[0].place, 0);
});

test('an erasure takes the ban, and its place is consumed', async () => {
  const room = await setUp({ threshold: 0 });
  const { buyers: [{ place }] } = await room.join(['u:1']);
  await room.ban('u:1');
  const [, log] = [await room.person('read', 'u:1'), (await room.wholeLog()).at(-1).id];
  await redis.client.hset(room.key('free'), 'id', log);
  assert.equal((await room.person('erase', 'u:1', { cursor: log, places: String(place) })).state, 'gone');
  assert.deepEqual(await room.config('bans'), ['0']);
  const back = await room.join([{ buyer: 'u:1', ticket: { place, epoch: 1 } }]);
  assert.notEqual(back.buyers[0].place, place);
});
