// SPDX-License-Identifier: MIT
//
// Polls are cheap: 10,000 status polls of waiting buyers are answered from the pod's rank index and add no Redis
// command beyond one `seen` batch per second; and no new ticket is signed while the buyer's own is still right.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, pause, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, server, organizer } = await stage({ env: { QUEUE_PROCESSOR_INTERVAL: 60000 } });

// The commands that clients sent while `work` ran: a script counts once, not the commands inside it.
async function commands(work) {
  await redis.cli('CONFIG', 'RESETSTAT');
  const from = performance.now();
  await work();
  const seconds = (performance.now() - from) / 1000;
  const stats = await redis.commandStats();
  const calls = (name) => Number(stats[name]?.calls ?? stats[name] ?? 0);
  return { seconds, evalsha: calls('evalsha'), get: calls('get'), eval: calls('eval') };
}

test('10,000 polls add no Redis command beyond one seen batch a second', { timeout: 180000 }, async (t) => {
  const event = await organizer.sale({ threshold: 0 });
  await new Client(server, { sub: 'head' }).check(event.id); // the status of the head is always read from Redis
  const buyers = Array.from({ length: 100 }, (_, i) => new Client(server, { sub: `poller${i}` }));
  for (const buyer of buyers) await buyer.check(event.id);
  await waitUntil(async () => (await server.metric(`tiketi_queue_size{eventId="${event.id}"}`)) === 101, 10000, 'the index');
  const poll = (buyer) => buyer.status(event.id, { headers: { 'x-tiketi-ticket': buyer.ticket } });
  for (const buyer of buyers) assert.equal((await poll(buyer)).body.status, 'queued');

  const idle = await commands(() => pause(3000, 'so long it is measured'));
  let position = 0;
  const busy = await commands(async () => {
    for (let round = 0; round < 100; round++) {
      const answers = await Promise.all(buyers.map(poll));
      for (const answer of answers) assert.equal(answer.status, 200);
      position = answers[49].body.position;
    }
  });
  assert.equal(position, 51);
  const allowed = (name) => Math.ceil((idle[name] / idle.seconds) * busy.seconds);
  t.diagnostic(`${busy.seconds.toFixed(1)} s: ${busy.evalsha} script calls, idle ${(idle.evalsha / idle.seconds).toFixed(1)} a second`);
  assert.ok(busy.evalsha <= allowed('evalsha') + Math.ceil(busy.seconds) + 3, `${busy.evalsha} script calls; idle ${idle.evalsha} in ${idle.seconds} s`);
  assert.equal(busy.eval, 0);
});

test('the ticket in a cookie stays the same until the position changes', { timeout: 60000 }, async () => {
  const event = await organizer.sale({ threshold: 0 });
  const [head, before, buyer] = [new Client(server, { sub: 'h' }), new Client(server, { sub: 'b' }), new Client(server)];
  for (const one of [head, before, buyer]) await one.check(event.id);
  const size = (count) => waitUntil(async () => (await server.metric(`tiketi_queue_size{eventId="${event.id}"}`)) === count, 10000, 'the index');
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
