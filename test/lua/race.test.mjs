// SPDX-License-Identifier: MIT
//
// Many callers at once. A test of the test: the replay must find a join that checks first and adds afterwards.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Redis } from '../fixtures/index.mjs';
import { Room, replay } from './room.mjs';

const mutants = fileURLToPath(new URL('mutants', import.meta.url));
let redis;
let count = 0;
let clients;

before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
  clients = Array.from({ length: 20 }, () => redis.connect());
});
after(() => redis.stop());

// 1,000 buyers race for 100 slots over 20 connections, in batches of one to five, twice each.
async function race(scripts) {
  const id = `race${++count}`;
  const room = new Room(redis.client, id, { scripts });
  await room.configure({ threshold: 100 });
  const each = clients.map((client) => new Room(client, id, { scripts }));
  await Promise.all(each.map((one) => one.join(['nobody'].map((buyer) => ({ buyer, mode: 'resume' })))));
  const calls = [];
  for (let i = 0; i < 1000; i += 1 + (i % 5)) {
    const batch = Array.from({ length: Math.min(1 + (i % 5), 1000 - i) }, (_, k) => `u:${i + k}`);
    calls.push(each[i % each.length].join(batch), each[(i + 7) % each.length].join(batch));
  }
  await Promise.all(calls);
  return room;
}

test('1,000 buyers race for 100 slots, 20 times: never more are inside, in the log and in the set', async () => {
  for (let round = 0; round < 20; round++) {
    const room = await race();
    const log = await room.wholeLog();
    assert.deepEqual(replay(log).broken, []);
    assert.equal((await room.active()).size, 100);
    assert.equal(log.length, 100);
    const queue = await room.queue();
    assert.equal(queue.length, 900);
    const last = Math.max(...log.map(({ place }) => place));
    assert.ok(queue.every(({ place }) => place > last), 'waiting buyers have later places than active ones');
  }
});

test('the replay finds a join that checks first and adds afterwards', async () => {
  const room = await race(mutants);
  const { broken } = replay(await room.wholeLog());
  assert.ok((await room.active()).size > 100);
  assert.ok(broken.length > 0 && broken.every((text) => /\d+ inside, threshold 100/.test(text)), broken[0]);
});

test('three promoters with the same lease admit 3,000 waiting buyers: nobody is lost or admitted twice, in order', async () => {
  for (const moves of [7, 100, 500]) {
    const id = `promote${++count}`;
    const room = new Room(redis.client, id);
    await room.configure({ threshold: 0 });
    await room.take();
    const order = [];
    for (let i = 0; i < 3000; i += 500) {
      const batch = Array.from({ length: 500 }, (_, k) => `u:${i + k}`);
      await room.join(batch);
      order.push(...batch);
    }
    await room.configure({ threshold: 3000 });
    const promoters = clients.slice(0, 3).map((client) => {
      const one = new Room(client, id);
      one.lease = room.lease;
      return one;
    });
    const sums = await Promise.all(promoters.map((one) => one.promoteAll({ moves })));
    const log = await room.wholeLog();
    assert.deepEqual(replay(log).broken, []);
    assert.deepEqual(log.map(({ buyer }) => buyer), order);
    assert.equal(sums.reduce((sum, { entered }) => sum + entered, 0), 3000);
    assert.equal((await room.active()).size, 3000);
    assert.equal((await room.queue()).length + (await room.queue('parked')).length, 0);
  }
});

test('a lease holder that is stopped and continued after the takeover changes nothing', async () => {
  const room = new Room(redis.client, `fence${++count}`);
  await room.configure({ threshold: 0 });
  await room.take('old');
  await room.join(Array.from({ length: 100 }, (_, i) => `u:${i}`));
  await room.configure({ threshold: 40 });
  const stale = room.lease;
  await room.promote({ moves: 10 });
  await redis.client.del(room.key('lease')); // expired while its holder was stopped
  await room.take('new');
  const [late, good] = await Promise.all([room.promote({ lease: stale, moves: 10 }), room.promote({ moves: 10 })]);
  assert.deepEqual([late.code, good.code, good.inside], ['LEASE', 'OK', 20]);
  await room.leaseVerb('release', 'old', stale);
  assert.equal((await room.promoteAll({})).inside, 40);
  assert.equal((await room.promote({ lease: stale })).code, 'LEASE');
  assert.deepEqual(replay(await room.wholeLog()).broken, []);
});

test('joins, leaves, heartbeats and promotions at once: never above the threshold, no buyer is lost', async () => {
  const id = `mix${++count}`;
  const room = new Room(redis.client, id);
  await room.configure({ threshold: 50, surge: '200:80' });
  await room.take();
  const each = clients.map((client) => Object.assign(new Room(client, id), { lease: room.lease }));
  const gone = new Set();
  await Promise.all(each.map(async (one, k) => {
    for (let i = 0; i < 40; i++) {
      const own = Array.from({ length: 3 }, (_, n) => `u:${k}-${i}-${n}`);
      await one.join(own);
      if (i % 3 === 0) {
        await one.leave([own[0]]);
        gone.add(own[0]);
      }
      if (i % 5 === 0) await one.promote({ moves: 20 });
      await one.seen(own);
    }
  }));
  await room.promoteAll({});
  const { broken, inside } = replay(await room.wholeLog());
  assert.deepEqual(broken, []);
  const everywhere = [...inside.keys(), ...(await room.queue()).map(({ buyer }) => buyer)];
  assert.equal(everywhere.length, 20 * 40 * 3 - gone.size);
  assert.equal(new Set([...everywhere, ...gone]).size, 20 * 40 * 3);
});
