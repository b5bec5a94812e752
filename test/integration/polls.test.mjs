// SPDX-License-Identifier: MIT
//
// Polls are cheap: 10,000 status polls of waiting buyers are answered from the pod's rank index and add no Redis
// command beyond one `seen` batch per second; and no new ticket is signed while the buyer's own is still right.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, server, organizer } = await stage({ env: { QUEUE_PROCESSOR_INTERVAL: 60000 } });

const POLLS = 10000;
const ROUNDS = 100; // of all buyers at once

// How often clients sent each command while `work` ran, by name; a script by its hash, and not the commands inside it.
async function commands(work) {
  const counts = new Map();
  const stop = await redis.monitor(([name, hash]) => {
    const command = name.toLowerCase() === 'evalsha' ? hash : name.toLowerCase();
    counts.set(command, (counts.get(command) ?? 0) + 1);
  });
  const from = performance.now();
  await work().finally(stop);
  const seconds = (performance.now() - from) / 1000;
  return { seconds, counts };
}

test('10,000 polls add no Redis command beyond one seen batch a second', { timeout: 180000 }, async (t) => {
  const event = await organizer.sale({ threshold: 0 });
  await new Client(server, { sub: 'head' }).check(event.id); // the status of the head is always read from Redis
  const buyers = Array.from({ length: POLLS / ROUNDS }, (_, i) => new Client(server, { sub: `poller${i}` }));
  for (const buyer of buyers) await buyer.check(event.id);
  await waitUntil(async () => (await organizer.queueSize(event.id)) === 101, 10000, 'the index');
  const poll = (buyer) => buyer.status(event.id, { headers: { 'x-tiketi-ticket': buyer.ticket } });
  for (const buyer of buyers) assert.equal((await poll(buyer)).body.status, 'queued');

  let position = 0;
  const { seconds, counts } = await commands(async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const answers = await Promise.all(buyers.map(poll));
      for (const answer of answers) assert.equal(answer.status, 200);
      position = answers[49].body.position;
    }
  });
  assert.equal(position, 51);
  const scripts = [...counts].filter(([name]) => /^[0-9a-f]{40}$/.test(name)).sort((x, y) => y[1] - x[1]);
  t.diagnostic(`${seconds.toFixed(1)} s: ${JSON.stringify(scripts.map(([hash, calls]) => [hash.slice(0, 6), calls]))}`);
  // What each of the three workers does by itself comes once a second (at each primary), `seen` as well: a busy machine makes it fewer. A program that
  // asks for each poll makes 10,000 calls, one that asks for each batch of polls a hundred at least.
  assert.ok(scripts.length > 0, 'the service was at work');
  for (const [hash, calls] of scripts) {
    assert.ok(calls <= 3 * (redis.primaries ?? 1) * (Math.ceil(seconds) + 1), `${calls} calls of ${hash} in ${seconds} s`);
  }
  for (const [name, calls] of counts) assert.ok(calls < POLLS / 10, `${calls} times ${name}`);
  assert.equal(counts.get('eval'), undefined);
});

test('the ticket in a cookie stays the same until the position changes', { timeout: 60000 }, async () => {
  const event = await organizer.sale({ threshold: 0 });
  const [head, before, buyer] = [new Client(server, { sub: 'h' }), new Client(server, { sub: 'b' }), new Client(server)];
  for (const one of [head, before, buyer]) await one.check(event.id);
  const size = (count) => waitUntil(async () => (await organizer.queueSize(event.id)) === count, 10000, 'the index');
  await size(3);
  const tickets = ({ headers }) => (headers['set-cookie'] ?? []).filter((line) => line.startsWith(`tiketi_ticket_${event.id}=`));
  const first = await buyer.status(event.id);
  const again = await buyer.status(event.id);
  assert.deepEqual([again.body.position, again.body.ticket], [3, first.body.ticket]);
  assert.equal(again.headers['set-cookie'], undefined, 'no cookie that identifies the guest');
  assert.equal(tickets(await buyer.check(event.id)).length, 1, 'a join makes the cookie last anew');
  await before.leave(event.id);
  await size(2);
  const moved = await waitUntil(async () => {
    const answer = await buyer.status(event.id);
    return answer.body.position === 2 && answer;
  }, 10000, 'the new position');
  assert.notEqual(moved.body.ticket, first.body.ticket);
  assert.equal(tickets(moved).length, 1);
  assert.equal((await buyer.status(event.id)).body.ticket, moved.body.ticket);
});
