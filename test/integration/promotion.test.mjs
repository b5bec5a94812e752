// SPDX-License-Identifier: MIT
//
// Freed slots are refilled at once: what hints the lease holder, what becomes of a lost hint, and how much of the
// threshold is used. And outflowPerMinute makes a flow, whatever the interval is.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, SLOW, adminToken, bearer, many, pay, roomUsed, stage, staysTrueFor, uniqueId, visits, waitUntil } from '../fixtures/index.mjs';
import { flow } from '../lua/room.mjs';

const parts = await stage({ env: { WS_PING_MS: 1000 } });
const { redis, server, organizer } = parts;

const HOUR = 3600000;
const key = (name, id) => `${name}:{${id}}`;
const waiting = (id) => redis.cli('ZCARD', key('queue', id));
const inside = (id) => redis.cli('SCARD', key('active', id));
const logOf = async (id) => (await redis.client.xrange(key('log', id), '-', '+'))
  .map(([, list]) => Object.fromEntries(list.flatMap((value, i) => (i % 2 ? [] : [[value, /^\d+$/.test(list[i + 1]) ? Number(list[i + 1]) : list[i + 1]]]))));

// An event without ticks, for longer than any test takes, and `count` buyers who came in this order. It is ticked once:
// from then on somebody works on it.
async function crowd(count, settings = {}) {
  const { id } = await organizer.sale({ id: uniqueId('flow'), threshold: 2, intervalMs: HOUR, autoHold: 0, ...settings });
  const clients = Array.from({ length: count }, (_, i) => new Client(server, { sub: `${id}-${i}` }));
  await waitUntil(() => redis.cli('EXISTS', key('index', id)), 15000, 'the holder at work');
  await waitUntil(async () => Number(await redis.cli('HGET', key('config', id), 'tickedAt')) > 0, 15000, 'the first tick');
  for (const client of clients) await client.check(id);
  return { id, clients };
}

const soon = (condition, what) => waitUntil(condition, 3000, what);

test('leaving, staff who end a turn, a higher threshold and a resumed sale: the next in line is offered a turn at once', async () => {
  const { id, clients } = await crowd(8);
  const left = await waiting(id);
  assert.equal(left, 6);
  await clients[0].leave(id);
  await soon(async () => (await waiting(id)) === 5, 'the slot of the buyer who left');
  await organizer.must('POST', `/api/admin/events/${id}/release`, { buyer: `u:${id}-1` });
  await soon(async () => (await waiting(id)) === 4, 'the slot that staff freed');
  await organizer.patch(id, { threshold: 4 });
  await soon(async () => (await waiting(id)) === 2, 'two more slots');
  await organizer.act(id, 'pause');
  await clients[2].check(id);
  await clients[2].leave(id);
  await staysTrueFor(1500, async () => (await waiting(id)) === 2, 'nobody enters while the sale is paused');
  await organizer.act(id, 'resume');
  await soon(async () => (await waiting(id)) === 1, 'the slot that was freed meanwhile');
  const log = await logOf(id);
  assert.ok(log.every(({ inside: number, threshold }) => number <= threshold));
});

test('a purchase frees its slot, and seats that come back let the next in line in, at once', async () => {
  const { id } = await organizer.sale({ id: uniqueId('flow'), threshold: 2, intervalMs: HOUR, autoHold: 1, grid: { rows: 1, seatsPerRow: 3 } });
  await waitUntil(() => redis.cli('EXISTS', key('free', id)), 15000, 'the count of free seats');
  await waitUntil(async () => Number(await redis.cli('HGET', key('config', id), 'tickedAt')) > 0, 15000, 'the first tick');
  const clients = Array.from({ length: 5 }, (_, i) => new Client(server, { sub: `${id}-${i}` }));
  for (const client of clients) await client.check(id);
  assert.equal(await waiting(id), 3);
  const [held] = await waitUntil(async () => {
    const { body } = await clients[0].get('/api/reservations');
    return body.reservations?.length === 1 && body.reservations;
  }, 10000, 'the seat that is held for the first one');
  assert.equal((await pay(server, held)).status, 200);
  await soon(async () => (await waiting(id)) === 2, 'the slot of the purchase, for the third seat');
  await staysTrueFor(1500, async () => (await waiting(id)) === 2, 'no seat is left for another one');
  await clients[1].leave(id);
  await waitUntil(async () => (await waiting(id)) === 1, 8000, 'the seat that came back');
});

test('with promotion interval a freed slot waits for the tick', async () => {
  const { id, clients } = await crowd(4, { promotion: 'interval' });
  await clients[0].leave(id);
  await staysTrueFor(1500, async () => (await waiting(id)) === 2, 'two wait');
  await organizer.patch(id, { promotion: 'continuous' });
  await soon(async () => (await waiting(id)) === 1, 'the change is in force');
  const refused = await server.patch(`/api/admin/events/${id}`, { json: { promotion: 'sometimes' }, headers: bearer(adminToken()) });
  assert.deepEqual([refused.status, refused.body.field], [400, 'promotion']);
});

test('an offer that runs out goes to the next within about a second, and its buyer enters again when they return', async () => {
  const { id, clients } = await crowd(4, { threshold: 1, claimMs: 1000 });
  await clients[0].leave(id);
  await soon(async () => (await waiting(id)) === 2, 'the offer'); // of clients[1], who does not claim
  await waitUntil(async () => (await waiting(id)) === 1, 5000, 'the next offer');
  const log = await logOf(id);
  const [first, second] = log.filter(({ kind }) => kind === 'offered');
  assert.ok(second.at - first.at < 1000 + 2500 * SLOW, `${second.at - first.at} ms`);
  await waitUntil(async () => (await waiting(id)) === 0, 5000, 'the last offer');
  await clients[1].check(id); // a claim: the place waits again
  await waitUntil(async () => (await redis.cli('ZSCORE', key('active:offered', id), `u:${id}-1`)) !== null, 5000, 'their second turn');
});

test('without hints a freed slot is found within a second or two', async () => {
  const { id, clients } = await crowd(4);
  await redis.cli('HSET', key('config', id), 'channel', 'nobody-listens');
  await clients[0].leave(id);
  await waitUntil(async () => (await waiting(id)) === 1, 4000, 'the next offer');
});

test('a crowd that leaves at once is followed by as many, in a few promotes', async () => {
  const size = 150;
  const { id } = await organizer.sale({ id: uniqueId('rush'), threshold: size, intervalMs: HOUR, autoHold: 0 });
  const clients = Array.from({ length: 2 * size }, (_, i) => new Client(server, { sub: `${id}-${i}` }));
  await waitUntil(() => redis.cli('EXISTS', key('index', id)), 15000, 'the holder at work');
  await many(clients, 50, (client) => client.check(id));
  const [before, began] = [await server.metric('tiketi_ticks_total'), performance.now()];
  const isInside = new Set(await redis.client.smembers(key('active', id)));
  await many(clients.filter((_, i) => isInside.has(`u:${id}-${i}`)), 50, (client) => client.leave(id));
  await soon(async () => (await waiting(id)) === 0, 'all the others');
  const promotes = (await server.metric('tiketi_ticks_total')) - before;
  assert.ok(promotes <= (performance.now() - began) / 100 + 3, `${promotes} promotes`);
  const log = await logOf(id);
  const order = log.filter(({ kind }) => kind === 'offered').map(({ place }) => place);
  assert.equal(order.length, size);
  assert.deepEqual(order, [...order].sort((a, b) => a - b));
});

test('an outflow limit is a flow without any tick, also when it is changed, and with either promotion', async () => {
  await Promise.all(['interval', 'continuous'].map(async (promotion) => {
    const { id } = await crowd(1, { threshold: 500, outflowPerMinute: 600, promotion });
    const clients = Array.from({ length: 60 }, (_, i) => new Client(server, { sub: `${id}-more-${i}` }));
    await many(clients, 50, (client) => client.check(id));
    await waitUntil(async () => (await inside(id)) >= 30, 8000, 'a half of them');
    await organizer.patch(id, { outflowPerMinute: 120 });
    await waitUntil(async () => (await inside(id)) >= 34, 8000, 'some more, slowly');
    await organizer.patch(id, { outflowPerMinute: 1200 });
    await waitUntil(async () => (await waiting(id)) === 0, 8000, 'all of them');
    const log = await logOf(id);
    const { broken, worst } = flow(log);
    assert.deepEqual(broken, [], promotion);
    assert.ok(worst > 0.1);
    assert.deepEqual(log.filter(({ kind }) => kind === 'outflow').map(({ place }) => place), [600, 120, 1200]);
  }));
});

test('the threshold is used: nearly all of it with promotion continuous, far less with interval', async () => {
  const settings = { threshold: 20, buyers: 40, visit: 3000, intervalMs: 3000 };
  const [continuous, interval] = await Promise.all(['continuous', 'interval'].map(async (promotion) => roomUsed(await visits(parts, { ...settings, promotion }))));
  assert.ok(continuous >= 0.95, `continuous: ${continuous}`);
  assert.ok(interval < 0.85, `interval: ${interval}`);
});
