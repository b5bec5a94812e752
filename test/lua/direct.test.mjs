// SPDX-License-Identifier: MIT
//
// join.lua's mode d, by which the gate lets a newcomer straight in: inside or nothing at all. (Among all other steps:
// model.test.mjs.)

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from '../fixtures/index.mjs';
import { KEYS, Room, load } from './room.mjs';

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

async function hall(settings = {}) {
  const room = new Room(redis.client, `d${++count}`);
  if (mutant) room.scripts.join = mutant;
  await room.configure(settings);
  await room.take();
  return room;
}

const direct = (buyer, more = {}) => ({ buyer, mode: 'd', ...more });
const states = async (room, ...buyers) => (await room.join(buyers)).buyers.map(({ state, place }) => (place > 0 ? `${state} at a place` : state));
// Everything that Redis has of the event but the numbers that each call writes.
async function all(room) {
  return Promise.all(KEYS.map(async (name) => [name, (await redis.client.dump(room.key(name)))?.length]));
}

promise('while nobody waits, as many go in as there is room for; the others get nothing', async () => {
  const room = await hall({ threshold: 2 });
  assert.deepEqual(await states(room, direct('u:1'), direct('u:2'), direct('u:3'), direct('u:1')), ['direct at a place', 'direct at a place', 'gone', 'direct at a place']);
  assert.equal((await redis.client.hget(room.key('stats'), 'joined')), '2');
  assert.deepEqual((await room.wholeLog()).map(({ kind, buyer }) => `${kind} ${buyer}`), ['direct u:1', 'direct u:2']);
  const had = await all(room);
  const { seq } = await room.join([{ buyer: 'u:none', mode: 'resume' }]);
  const result = await room.join([direct('u:3'), direct('u:4')]);
  assert.deepEqual([result.size, result.inside, result.seq], [0, 2, seq], 'no place was given');
  assert.deepEqual(await all(room), had);
});

promise('nobody goes past those who wait, and those who wait stay where they are', async () => {
  const room = await hall({ threshold: 0 });
  const { buyers: [{ place }] } = await room.join(['u:1']);
  await room.configure({ threshold: 5 });
  const result = await room.join([direct('u:2'), direct('u:1')]);
  assert.deepEqual(result.buyers.map(({ state, position }) => [state, position]), [['gone', 0], ['waiting', 1]]);
  assert.equal(result.buyers[1].place, place);
  const mixed = await room.join(['u:3', direct('u:4')]);
  assert.deepEqual(mixed.buyers.map(({ state }) => state), ['waiting', 'gone']);
});

promise('nobody goes in while the event is scheduled, paused, sold out, closed or a draft, has no seats, no tokens, or is restored', async () => {
  for (const settings of [{ status: 'scheduled', opensAt: 4e12 }, { status: 'paused' }, { status: 'sold_out' }, { threshold: 0 }]) {
    assert.deepEqual(await states(await hall(settings), direct('u:1')), ['gone'], JSON.stringify(settings));
  }
  for (const status of ['closed', 'draft']) assert.deepEqual(await states(await hall({ status }), direct('u:1')), ['closed'], status);
  const seats = await hall({ seats: 3, autoHold: 2 });
  await seats.free(0, 0, '0-1');
  assert.deepEqual(await states(seats, direct('u:1')), ['gone']);
  const paced = await hall({ outflowPerMinute: 1 });
  assert.deepEqual(await states(paced, direct('u:1'), direct('u:2')), ['direct at a place', 'gone']);
  const lost = await hall();
  await lost.set('restoreUntil', Date.now() + 60000);
  await lost.set('consumedLoaded', 0);
  assert.deepEqual(await states(lost, direct('u:1')), ['gone']);
});

promise('who was there before is as by a claim: inside, back from an offer, at the place of their ticket', async () => {
  const room = await hall({ threshold: 1 });
  await room.join(['u:1', 'u:2']);
  await room.leave(['u:1']);
  await room.promote();
  assert.deepEqual(await states(room, direct('u:2')), ['active at a place'], 'the offer is claimed');
  assert.deepEqual((await room.wholeLog()).at(-1).kind, 'claimed');
  await room.configure({ threshold: 3 });
  const { seq } = await room.join([direct('u:2')]);
  await room.set('restoredTo', seq + 5);
  assert.deepEqual(await states(room, direct('u:3', { ticket: { place: seq + 5, epoch: 1 } })), ['waiting at a place']);
});

promise('a network has no more places by the gate than it may have, and a place that it does not get counts for nothing', async () => {
  const room = await hall({ placesPerNetwork: 2 });
  const network = '10.0.0.0/24';
  const had = async () => [await redis.client.hget(room.key('networks'), network), await redis.client.hget(room.key('networks'), `!${network}`)];
  assert.deepEqual(await states(room, ...['u:1', 'u:2', 'u:3'].map((buyer) => direct(buyer, { network }))), ['direct at a place', 'direct at a place', 'gone']);
  assert.deepEqual(await had(), ['2', null]);
  assert.deepEqual(await states(room, direct('u:4', { network: '10.0.1.0/24' })), ['direct at a place']);
  assert.deepEqual(await states(room, { buyer: 'u:5', network }), ['refused']);
});

// ---- what these tests are worth ----

for (const [what, right, wrong] of [
  ['goes past those who wait', '    if ev.size > 0 then\n        return false\n    end\n    left', '    left'],
  ['goes beyond the threshold', 'return left > 0 and not', 'return not'],
  ['goes beyond the limit of a network', 'not (n and had[n] >= per_network)', 'true'],
  ['is never let in', "or (mode == DIRECT and enters(network, counted))", ''],
  ['claims nothing', 'if mode_of(i) ~= RESUME then', 'if mode_of(i) ~= RESUME and mode_of(i) ~= DIRECT then'],
]) {
  test(`a newcomer at the gate who ${what} is noticed`, async () => {
    const script = load('join');
    assert.ok(script.body.includes(right), right);
    mutant = { ...script, body: script.body.replace(right, () => wrong), sha: '0'.repeat(40) };
    const noticed = [];
    for (const [title, run] of promises) await run().catch(() => noticed.push(title));
    mutant = undefined;
    assert.ok(noticed.length > 0, 'by no test');
  });
}
