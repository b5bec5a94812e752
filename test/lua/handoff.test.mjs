// SPDX-License-Identifier: MIT
//
// A hand-over token is redeemed once, while the very admission lasts that it was made for. On a real Redis.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from '../fixtures/index.mjs';
import { Room, load } from './room.mjs';

let redis;
let count = 0;
let mutant; // stands in for handoff.lua
const promises = new Map(); // name -> test

function promise(name, run) {
  promises.set(name, run);
  test(name, run);
}

before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

// u:1 inside, u:2 waiting.
async function sale() {
  const room = new Room(redis.client, `h${++count}`);
  if (mutant) room.scripts.handoff = mutant;
  await room.configure({ threshold: 1 });
  await room.take();
  const { buyers: [{ place }, { place: second }] } = await room.join(['u:1', 'u:2']);
  return { room, place, second };
}

promise('once: the second time says so, whatever the order of tokens; each token is its own', async () => {
  const { room, place } = await sale();
  const [one, other] = [await room.redeem('u:1', place, { jti: 'a' }), await room.redeem('u:1', place, { jti: 'b' })];
  assert.deepEqual([one.state, one.used, other.state, other.used], ['active', false, 'active', false]);
  assert.equal(Number(one.place), place);
  assert.ok(Math.abs(one.since - Date.now()) < 60000);
  for (const jti of ['a', 'b', 'a']) assert.equal((await room.redeem('u:1', place, { jti })).used, true);
});

promise('only for that admission: not for who waits, another place, another epoch, an offer, a turn that is over', async () => {
  const { room, place, second } = await sale();
  const state = async (...args) => (await room.redeem(...args)).state;
  assert.deepEqual([await state('u:2', second), await state('u:1', second), await state('u:3', place), await state('u:1', place, { epoch: 2 })], ['gone', 'gone', 'gone', 'gone']);
  await room.leave(['u:1']);
  assert.equal(await state('u:1', place), 'gone');
  assert.equal((await room.promote()).entered, 1);
  assert.equal(await state('u:2', second), 'gone', 'an offer');
  await room.join([{ buyer: 'u:2', mode: 'claim' }]);
  const { state: claimed, used } = await room.redeem('u:2', second);
  assert.deepEqual([claimed, used], ['active', false], 'what was refused has used nothing up');
});

promise('not once the turns of a closed event are over, though nothing has ended them yet; within closeGraceMs they go on', async () => {
  const { room, place } = await sale();
  const state = async () => (await room.redeem('u:1', place, { jti: `over${room.version}` })).state;
  await room.configure({ status: 'closed', closedAt: Date.now(), closeGraceMs: 3600000 });
  assert.equal(await state(), 'active', 'the turn goes on');
  await room.configure({ status: 'closed', closedAt: Date.now(), closeGraceMs: 0 });
  assert.equal(await state(), 'gone');
  assert.equal(await redis.client.zscore(room.key('active:place'), 'u:1'), String(place), 'promote has not run');
  await room.configure({ status: 'closed', closedAt: Date.now() - 1001, closeGraceMs: 1000 });
  assert.equal(await state(), 'gone', 'the time is over');
});

promise('what is remembered ends by itself, and keeps no token that is over', async () => {
  const { room, place } = await sale();
  const key = room.key('active:handed');
  await room.redeem('u:1', place, { jti: 'late', expires: Date.now() - 30000 });
  await room.redeem('u:1', place, { jti: 'old', expires: Date.now() - 61000 });
  await room.redeem('u:1', place, { jti: 'new' });
  assert.deepEqual(await redis.client.zrange(key, 0, -1), ['late', 'new']);
  await room.redeem('u:1', place, { jti: 'lasting', expires: Date.now() + 60000 });
  await room.redeem('u:1', place, { jti: 'short', expires: Date.now() + 1000 });
  const left = Number(await redis.client.pttl(key));
  assert.ok(left > 100000 && left <= 121000, `${left} ms`);
  assert.equal((await room.redeem('u:1', place, { jti: 'late' })).used, true, 'clocks differ by some seconds');
});

for (const [what, [right, wrong]] of Object.entries({
  'takes a token again and again': ["call('ZADD', handed, ARGV[5], jti)", ''],
  'takes one of another epoch': ['ev.epoch ~= num(ARGV[3]) or ', ''],
  'takes one of another place': [' or num(score) ~= num(place)', ''],
  'takes one when the turns are over': ['ev.over or ', ''],
  'takes one for an offer': [" or call('ZSCORE', K_OFFERED, b)", ''],
  'forgets at once': ["call('ZREM', handed, unpack(over))", "call('UNLINK', handed)"],
  'remembers for ever': ["call('PEXPIRE', handed, text(kept))", ''],
  'forgets a token when one that ends sooner comes': ["call('PTTL', handed)", '0'],
})) {
  test(`a script that ${what} is noticed`, async () => {
    const script = load('handoff');
    assert.ok(script.body.includes(right), right);
    mutant = { ...script, body: script.body.replace(right, () => wrong), sha: '0'.repeat(40) };
    const noticed = [];
    for (const [title, run] of promises) await run().catch(() => noticed.push(title));
    mutant = undefined;
    assert.ok(noticed.length > 0, 'by no test');
  });
}
