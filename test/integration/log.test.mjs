// SPDX-License-Identifier: MIT
//
// What the log says: of a start, of changes by staff, of failed requests; and what it does not say.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Organizer, Server, freePort, stage, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server } = await stage();
const said = (pod, message) => pod.logs.filter((line) => line.message === message);

test('ready comes when Redis and PostgreSQL were reached, and a probe that fails until then is no failed request', async (t) => {
  await redis.pause();
  const pod = new Server({ redis, database, ready: false, env: { METRICS_PORT: await freePort(), REDIS_TIMEOUT_MS: 500 } });
  t.after(() => pod.stop());
  try {
    await pod.start();
    // After five seconds it serves, with 503s, and is not ready all the same.
    await waitUntil(() => said(pod, 'serving before the backends are reached').length >= 3, 15000, 'three workers that serve');
    assert.equal(said(pod, 'serving before the backends are reached')[0].redis, 'down');
    await staysTrueFor(500, async () => (await pod.get('/readyz')).status === 200 && (await pod.get('/readyz?deep=1')).status === 503 && said(pod, 'ready').length === 0, 'not ready');
  } finally {
    await redis.resume();
  }
  await waitUntil(() => said(pod, 'ready').length === 1, 10000, 'ready');
  assert.deepEqual([said(pod, 'ready')[0].httpPort, said(pod, 'ready')[0].wsPort], [pod.port, pod.wsPort]);
  assert.deepEqual(said(pod, 'request failed'), []);
  assert.equal(said(server, 'ready').length, 1);
});

test('a change of settings is a line for each field: who, which event, from what to what', async () => {
  const organizer = new Organizer(server, { sub: 'Kim Min-ji' });
  const event = await organizer.sale({ threshold: 5, intervalMs: 200 });
  const changes = () => said(server, 'event changed').filter((line) => line.event === event.id);
  const before = changes().length;
  await organizer.must('PATCH', `/api/admin/events/${event.id}`, { threshold: 7, intervalMs: 250, title: 'A "new" title' }, { 'x-request-id': 'the-change' });
  const lines = await waitUntil(() => changes().length === before + 3 && changes().slice(before), 5000, 'three lines');
  assert.deepEqual(lines.map(({ field, before: from, after, who, verb, level, requestId }) => [field, from, after, who, verb, level, requestId]).sort(), [
    ['intervalMs', '200', '250', 'Kim Min-ji', 'patch', 'info', 'the-change'],
    ['threshold', '5', '7', 'Kim Min-ji', 'patch', 'info', 'the-change'],
    ['title', event.title, 'A "new" title', 'Kim Min-ji', 'patch', 'info', 'the-change'],
  ]);
  await organizer.must('POST', `/api/admin/events/${event.id}/pause`);
  const paused = await waitUntil(() => changes().find(({ verb }) => verb === 'pause'), 5000, 'the pause');
  assert.deepEqual([paused.field, paused.before, paused.after], ['status', 'open', 'paused']);
  // What is refused changes nothing, and is not told.
  const count = changes().length;
  assert.equal((await organizer.request('PATCH', `/api/admin/events/${event.id}`, { json: { threshold: -1 } })).status, 400);
  assert.equal((await organizer.request('PATCH', `/api/admin/events/${event.id}`, { json: { threshold: 9 }, headers: { 'if-match': '"1"' } })).status, 412);
  assert.equal(changes().length, count);
});

test('all fields of a large change are told, more than ten in a second', async () => {
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 5 });
  const settings = { threshold: 50, intervalMs: 300, idleTimeoutMs: 91000, sessionLimitMs: 610000, holdMs: 310000, silentMs: 130000, claimMs: 95000, placesPerNetwork: 77, maxSeats: 3, title: 'T', artist: 'A', venue: 'V' };
  await organizer.must('PATCH', `/api/admin/events/${event.id}`, settings);
  const fields = () => said(server, 'event changed').filter(({ event: id, verb }) => id === event.id && verb === 'patch').map(({ field }) => field);
  await waitUntil(() => fields().length >= 12, 5000, 'twelve fields');
  assert.deepEqual(fields().sort(), Object.keys(settings).sort());
});

test('an event is called event in every line', () => {
  for (const line of server.logs) for (const name of ['eventId', 'event_id', 'sale']) assert.ok(!(name in line), JSON.stringify(line));
});
