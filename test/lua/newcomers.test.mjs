// SPDX-License-Identifier: MIT
//
// join.lua's way for a call of newcomers alone: one ZADD gives the places, nobody is looked up. It must decide as the general
// way does, also where it finds out too late that somebody is no newcomer.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from '../fixtures/index.mjs';
import { Room, load, replay } from './room.mjs';

let redis;
let count = 0;
let mutant;
before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

const promises = [];

function promise(title, run) {
  promises.push([title, run]);
  test(title, run);
}

const names = (n, prefix = 'u:') => Array.from({ length: n }, (_, i) => `${prefix}${i + 1}`);
const from = (network, list) => list.map((buyer) => ({ buyer, network }));

// A room in which `inside` buyers are inside and one waits.
async function hall(settings = {}, inside = 0) {
  const room = new Room(redis.client, `n${++count}`);
  if (mutant) room.scripts.join = mutant;
  await room.configure({ threshold: inside, ...settings });
  await room.take();
  const first = await room.join(names(inside + 1, 'first:'));
  assert.deepEqual([first.inside, first.size], [inside, 1]);
  return room;
}

// What the answer says of each buyer is what Redis has.
async function right(room, buyers, result) {
  const order = await room.queue();
  buyers.forEach((buyer, i) => {
    const { state, place, position } = result.buyers[i];
    const at = order.findIndex((each) => each.buyer === buyer);
    assert.deepEqual({ state, place, position }, { state: 'waiting', place: order[at]?.place, position: at + 1 }, buyer);
  });
  assert.equal(result.size, order.length);
  assert.equal(result.seq, order.at(-1).place, 'no place is given beyond the last');
  assert.equal(Number(await redis.client.get(room.key('seq'))), result.seq);
  assert.deepEqual(replay(await room.wholeLog(), { order: true }).broken, []);
}

const joined = async (room) => Number(await redis.client.hget(room.key('stats'), 'joined'));

promise('newcomers get the next places and positions, in the order of the call', async () => {
  const room = await hall({}, 2);
  const buyers = names(500);
  const result = await room.join(buyers);
  assert.match(result.rest[0], /^newcomers \d+ 2$/);
  await right(room, buyers, result);
  assert.equal(await joined(room), 503);
  assert.deepEqual(await room.queue('queue:seen'), []);
  const more = names(3, 'v:');
  await right(room, more, await room.join(more));
});

promise('a call that is repeated, as its reply was lost, changes nothing but heartbeats', async () => {
  const room = await hall();
  const buyers = names(20);
  const { buyers: given } = await room.join(buyers);
  const again = await room.join(buyers);
  assert.deepEqual(again.buyers, given);
  await right(room, buyers, again);
  assert.equal(await joined(room), 21);
  assert.deepEqual((await room.queue('queue:seen')).map(({ buyer }) => buyer).sort(), [...buyers].sort());
});

promise('of newcomers and buyers who wait already, in any order and named twice, each has one place', async () => {
  const room = await hall();
  await room.join(['u:1', 'u:2']);
  for (const buyers of [['u:1', 'v:1', 'u:2', 'v:2'], ['w:1', 'w:1', 'u:1'], ['x:1', 'x:2', 'x:1'], ['u:2', 'u:2']]) await right(room, buyers, await room.join(buyers));
  assert.equal(await joined(room), 3 + 2 + 1 + 2);
  const rest = names(4, 'y:');
  await right(room, rest, await room.join(rest));
  const places = (await room.queue()).map(({ place }) => place);
  assert.equal(new Set(places).size, places.length);
});

promise('a buyer inside or parked, or who wants no place, gets none among newcomers', async () => {
  const room = await hall({ threshold: 1 }, 1);
  await room.join(['u:1', 'u:2']);
  const inside = await room.join(['u:3', 'first:1', 'u:4']);
  assert.deepEqual(inside.buyers.map(({ state }) => state), ['waiting', 'active', 'waiting']);
  await room.age('queue:seen', 'first:2', 1e6);
  await room.leave(['first:1']);
  assert.equal((await room.promote()).parked, 1);
  assert.deepEqual((await room.queue()).map(({ buyer }) => buyer), ['u:2', 'u:3', 'u:4']);
  const parked = await room.join(['u:5', 'first:2']);
  assert.deepEqual(parked.buyers.map(({ state, position }) => [state, position]), [['waiting', 5], ['waiting', 1]]);
  assert.deepEqual(await room.queue('parked'), []);
  const none = await room.join(['u:6', { buyer: 'u:none', mode: 'resume' }]);
  assert.deepEqual(none.buyers.map(({ state, position }) => [state, position]), [['waiting', 6], ['gone', 0]]);
});

promise('where nobody waits and there is room, newcomers go in at once', async () => {
  const room = await hall({}, 1);
  await room.configure({ threshold: 3 });
  await room.leave(['first:2']);
  const { buyers } = await room.join(names(3));
  assert.deepEqual(buyers.map(({ state }) => state), ['direct', 'direct', 'waiting']);
});

promise('a network is counted for each newcomer, and for nobody else; beyond its limit newcomers are refused', async () => {
  const room = await hall({ placesPerNetwork: 7 });
  const had = (network) => redis.client.hget(room.key('networks'), network);
  const result = await room.join([...from('10.0.0.0/24', names(2)), ...from('10.0.1.0/24', names(1, 'v:')), 'u:none']);
  assert.match(result.rest[0], /^newcomers /);
  await room.join(from('10.0.0.0/24', [...names(3), 'u:3']));
  assert.deepEqual([await had('10.0.0.0/24'), await had('10.0.1.0/24')], ['3', '1']);
  assert.deepEqual((await room.networks()).networks, [], 'noted at every twentieth and at the limit');
  const { buyers } = await room.join(from('10.0.0.0/24', ['u:4', 'u:5', 'u:6', 'u:7', 'u:8', 'u:1']));
  assert.deepEqual(buyers.map(({ state }) => state), ['waiting', 'waiting', 'waiting', 'waiting', 'refused', 'waiting']);
  assert.deepEqual([await had('10.0.0.0/24'), await had('!10.0.0.0/24')], ['7', '1']);
  assert.equal(await joined(room), 10);
  assert.deepEqual((await room.networks()).networks, [{ network: '10.0.0.0/24', places: 7, refused: 1 }]);
});

promise('the busiest networks are noted', async () => {
  const room = await hall({ placesPerNetwork: 25 });
  for (let i = 0; i < 5; i++) await room.join(from('10.0.0.0/24', names(5, `${i}:`)));
  assert.deepEqual((await room.networks()).networks, [{ network: '10.0.0.0/24', places: 25, refused: 0 }]);
});

promise('a closed event gives no place', async () => {
  const room = await hall();
  await room.configure({ status: 'closed' });
  assert.deepEqual((await room.join(names(2))).buyers.map(({ state, place }) => [state, place]), [['closed', 0], ['closed', 0]]);
});

// ---- what these tests are worth ----

for (const [what, right_, wrong] of [
  ['gives a buyer inside a second place', 'if is_active[i] == 1 or parked[i] or banned[i] then', 'if parked[i] then'],
  ['gives a parked buyer a second place', 'if is_active[i] == 1 or parked[i] or banned[i] then', 'if is_active[i] == 1 then'],
  ['gives a place to a buyer who asked for none', "modes:find('[^jn]')", "modes:find('[^jnr]')"],
  ['gives a buyer who waits a new place', "call('ZADD', K_QUEUE, 'NX', unpack(moves))", "call('ZADD', K_QUEUE, unpack(moves))"],
  ['takes who waited for a newcomer', 'if place == moves[2 * i - 1] then', 'if place then'],
  ['lets nobody in at once', 'if ev.size == 0 or closed', 'if closed'],
  ['gives places in a closed event', 'if ev.size == 0 or closed', 'if ev.size == 0'],
  ['gives the last place of a call again', 'own, ev.seq = position, first + i - 1', 'own = position'],
  ['forgets the last place given', 'ev.size + 1}, first + count - 1', 'ev.size + 1}, ev.seq'],
  ['says the position of the buyer before', "{'newcomers', moves[1], ev.size + 1}", "{'newcomers', moves[1], ev.size}"],
  ['counts no new place', "        ev.size = ev.size + new\n", ''],
  ['counts everyone as joined', "call('HINCRBY', K_STATS, 'joined', new)", "call('HINCRBY', K_STATS, 'joined', count)"],
  ['gives places above the limit of a network', 'if total > per_network then', 'if false then'],
  ['counts a network for buyers who waited', 'had[n], given[n] = had[n] - 1, given[n] - 1', ''],
  ['counts no network', '        if per_network > 0 then\n            write_networks()', '        if false then\n            write_networks()'],
  ['takes a repeated call for no heartbeat', "        call('ZADD', K_QUEUE_SEEN, unpack(alive))\n    end\n    if new", '    end\n    if new'],
]) {
  test(`a join that ${what} is noticed`, async () => {
    const script = load('join');
    assert.ok(script.body.includes(right_), right_);
    mutant = { ...script, body: script.body.replace(right_, () => wrong), sha: '0'.repeat(40) };
    const noticed = [];
    for (const [title, run] of promises) await run().catch(() => noticed.push(title));
    mutant = undefined;
    assert.ok(noticed.length > 0, 'by no test');
  });
}
