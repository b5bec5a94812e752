// SPDX-License-Identifier: MIT
//
// Silence is loud: when nobody ticks an open event, every pod that has to do with it says so, and says when that is over; and a
// lost lease says why.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Organizer, Postgres, Redis, Server, Socket, keeper, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

const keep = keeper();
const [redis, postgres] = await Promise.all([keep(Redis.start()), keep(Postgres.start())]);
const database = await postgres.migrated();
const [api, gateway, processor] = await Promise.all(['api', 'gateway', 'processor'].map((roles) => keep(Server.start({ redis, database, roles }))));
const organizer = new Organizer(api);

const SILENT = 'no processor ticks the event, nobody is let in';
const AGAIN = 'a processor ticks the event again';
const lines = (pod, message, event) => pod.logs.filter((line) => line.message === message && (event === undefined || line.event === event));
const silent = (pod) => pod.metric('tiketi_events_silent');

// An event with a buyer who waits, known to the api by requests and to the gateway by a socket.
async function waitingRoom() {
  const event = await organizer.sale({ threshold: 0 });
  const buyer = new Client(api);
  await buyer.check(event.id);
  const socket = await Socket.open(gateway, { cookie: buyer.cookieHeader });
  socket.join(buyer, event.id);
  await socket.next('queue-position');
  await waitUntil(async () => (await organizer.stats(event.id)).limitedBy === 'threshold', 10000, 'the first tick');
  return { event, socket };
}

test('nobody has ticked for three intervals: every pod says so, once, and the organizer sees it', async () => {
  const { event, socket } = await waitingRoom();
  assert.deepEqual(await Promise.all([api, gateway, processor].map(silent)), [0, 0, 0]);
  assert.equal((await organizer.stats(event.id)).silentForMs, undefined);
  // A holder that does nothing: the lease never expires, and no processor can take it.
  const began = performance.now();
  await redis.cli('SET', `lease:{${event.id}}`, '999:nobody');
  await waitUntil(async () => (await Promise.all([api, gateway, processor].map(silent))).join() === '1,1,1', 12000, 'three pods that notice');
  const took = performance.now() - began;
  assert.ok(took > 4000, `not within the time in which another pod takes a lease: ${took} ms`);
  const lost = lines(processor, 'lease lost', event.id);
  assert.deepEqual(lost.map(({ level, reason }) => [level, reason]), [['warn', 'taken']]);
  assert.equal(await processor.metric('tiketi_lease_lost_total{reason="taken"}'), 1);
  const stats = await organizer.stats(event.id);
  assert.ok(stats.silentForMs >= 5000 && stats.silentForMs < took + 3000, `${stats.silentForMs} of ${took} ms`);
  assert.equal(stats.limitedBy, 'backend');
  assert.ok(stats.warnings.some(({ code }) => code === 'no-processor'));
  await staysTrueFor(1500, () => [api, gateway, processor].every((pod) => lines(pod, SILENT, event.id).length === 1), 'one line a minute');
  for (const pod of [api, gateway, processor]) assert.equal(lines(pod, SILENT, event.id)[0].level, 'error', pod.roles);

  await redis.cli('DEL', `lease:{${event.id}}`);
  await waitUntil(async () => (await Promise.all([api, gateway, processor].map(silent))).join() === '0,0,0', 8000, 'the end of the silence');
  await waitUntil(() => [api, gateway, processor].every((pod) => lines(pod, AGAIN, event.id).length === 1), 3000, 'the good news');
  await waitUntil(async () => {
    const now = await organizer.stats(event.id);
    return now.limitedBy === 'threshold' && now.silentForMs === undefined && now.warnings.every(({ code }) => code !== 'no-processor');
  }, 5000, 'the stats without it');
  socket.drop();
  await organizer.act(event.id, 'close');
});

test('the only processor hangs: the others say so; a paused or closed event is never silent', async () => {
  const { event, socket } = await waitingRoom();
  const paused = await organizer.sale({ threshold: 0 });
  await new Client(api).check(paused.id);
  await organizer.act(paused.id, 'pause');
  await waitUntil(async () => (await organizer.stats(paused.id)).limitedBy === 'paused', 10000, 'the pause');
  await processor.pause();
  try {
    await waitUntil(async () => (await silent(api)) === 1 && (await silent(gateway)) === 1, 12000, 'the silence');
    assert.equal((await organizer.stats(paused.id)).silentForMs, undefined);
    assert.equal(lines(api, SILENT, paused.id).length, 0);
  } finally {
    await processor.resume();
  }
  await waitUntil(() => lines(processor, 'lease lost', event.id).some(({ reason }) => reason === 'expired'), 5000, 'the reason');
  await waitUntil(async () => (await silent(api)) === 0, 8000, 'the end of the silence');
  assert.ok(await processor.metric('tiketi_lease_lost_total{reason="expired"}') >= 1);
  socket.drop();
  await organizer.act(event.id, 'close');
  await organizer.act(paused.id, 'close');
});

test('while Redis is away nobody knows, and nobody is called silent; the lease says that Redis was the reason', async () => {
  const { event, socket } = await waitingRoom();
  const before = lines(api, SILENT).length;
  await redis.pause();
  try {
    await waitUntil(() => lines(processor, 'lease lost', event.id).some(({ reason }) => reason === 'redis'), 12000, 'the reason');
    await waitUntil(async () => (await api.metric('tiketi_redis_up')) === 0, 5000, 'Redis to count as down');
    await staysTrueFor(3000, async () => (await silent(api)) === 0, 'not silent');
  } finally {
    await redis.resume();
  }
  await waitUntil(async () => (await organizer.stats(event.id)).limitedBy === 'threshold', 10000, 'ticks');
  assert.equal(lines(api, SILENT).length, before);
  await waitUntil(async () => (await api.metric('tiketi_redis_up')) === 1, 5000, 'Redis to count as up');
  socket.drop();
});
