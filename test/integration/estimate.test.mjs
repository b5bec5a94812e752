// SPDX-License-Identifier: MIT
//
// What buyers are told of their wait: a number from the first answer on, and how sure it is; what an outflow limit and
// another threshold do to it at once.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Socket, many, pause, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, server, organizer } = await stage({ env: { WS_PING_MS: 1000 } });

const told = ({ estimatedWait, estimatedWaitRange, estimateConfidence }) => ({ wait: estimatedWait, range: estimatedWaitRange, confidence: estimateConfidence });
const NONE = { wait: null, range: null, confidence: null };

// An event and `count` buyers who have joined it, in this order.
async function crowd(count, settings) {
  const { id } = await organizer.sale({ id: uniqueId('wait'), autoHold: 0, intervalMs: 1000, ...settings });
  const clients = Array.from({ length: count }, (_, i) => new Client(server, { sub: `${id}-${i}` }));
  await many(clients, 20, (client) => client.check(id));
  const waiting = [];
  for (const client of clients) {
    const { body } = await client.status(id);
    if (body.queued) waiting.push({ client, body });
    else client.inside = true;
  }
  waiting.sort((a, b) => a.body.position - b.body.position);
  return { id, clients, waiting };
}

test('the first answer has an estimate with low confidence; none is told while nobody is admitted', async () => {
  const { id, waiting } = await crowd(6, { threshold: 2, sessionLimitMs: 60000 });
  const last = waiting.at(-1).client;
  // Four wait for two slots, and a visit is taken for as long as a session may be.
  assert.deepEqual(told((await last.status(id)).body), { wait: 120, range: [60, 240], confidence: 'low' });
  const socket = await Socket.open(server, {});
  socket.join(last, id);
  const { payload } = await socket.next('queue-position');
  assert.deepEqual(told(payload), { wait: 120, range: [60, 240], confidence: 'low' });
  await organizer.act(id, 'pause');
  await waitUntil(async () => (await last.status(id)).body.status === 'paused', 10000, 'the pause');
  assert.deepEqual(told((await last.status(id)).body), NONE);
  await organizer.act(id, 'resume');
  await organizer.patch(id, { threshold: 0 });
  await waitUntil(async () => (await last.status(id)).body.threshold === 0, 10000, 'the threshold');
  await waitUntil(async () => (await last.status(id)).body.estimatedWait === null, 10000, 'nobody enters');
  socket.drop();
});

test('an outflow limit is known at once: nobody is told less than it takes', async () => {
  const { id, waiting } = await crowd(40, { threshold: 1000, outflowPerMinute: 120 });
  for (const { client } of waiting.slice(-5)) {
    const { body } = await client.status(id);
    assert.ok(body.queued && body.estimatedWait >= body.position / 2 - 1 && body.estimatedWait <= body.position / 2 + 2, JSON.stringify(told(body)));
  }
  await organizer.patch(id, { outflowPerMinute: 12 });
  const { client } = waiting.at(-1);
  await waitUntil(async () => {
    const { body } = await client.status(id);
    return body.estimatedWait >= body.position * 5 - 1;
  }, 5000, 'ten times as long');
});

test('with a far lower threshold the estimate is far longer within seconds, for those who poll and on sockets', async () => {
  const { id, clients, waiting } = await crowd(70, { threshold: 20, sessionLimitMs: 600000 });
  const last = waiting.at(-1).client;
  const socket = await Socket.open(server, {});
  socket.join(last, id);
  // Four a second leave, and their places are taken: after a few seconds that is measured.
  const inside = clients.filter(({ inside: is }) => is);
  for (let i = 0; i < 5; i++) {
    for (const client of inside.splice(0, 4)) await client.leave(id);
    await pause(800, 'the pace of those who leave');
  }
  const before = await waitUntil(async () => {
    const { body } = await last.status(id);
    return body.estimatedWait < 60 && body;
  }, 10000, 'a measured estimate');
  const began = performance.now();
  await organizer.patch(id, { threshold: 2 });
  await waitUntil(async () => {
    const { body } = await last.status(id);
    return body.estimatedWait > 5 * before.estimatedWait;
  }, 6000, 'the answer');
  await waitUntil(() => socket.all('queue-position').at(-1).payload.estimatedWait > 5 * before.estimatedWait, 6000, 'the message');
  assert.ok(performance.now() - began < 15000);
  assert.equal(await redis.cli('ZCARD', `queue:{${id}}`), (await last.status(id)).body.queueSize);
  socket.drop();
});

test('the statistics count the admissions of the last minute, in whole numbers, direct ones too', async () => {
  const { id } = await crowd(8, { threshold: 5 });
  const stats = await waitUntil(async () => {
    const now = await organizer.stats(id);
    return now.admissionsPerMinute > 0 && now;
  }, 10000, 'the first figures');
  assert.equal(stats.admissionsPerMinute, 5);
});
