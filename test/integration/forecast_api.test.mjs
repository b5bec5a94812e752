// SPDX-License-Identifier: MIT
//
// POST /api/admin/events/{eventId}/forecast: now against then, from what was measured, what was given, what is assumed.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Organizer, jwt, many, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, server, organizer } = await stage();

const path = (id) => `/api/admin/events/${id}/forecast`;
const ask = (id, json) => organizer.must('POST', path(id), json);
const RUSH = { waiting: 99000, inside: 1000, visitMs: 100000, visitSpreadMs: 0, noShow: 0, idle: 0, buy: 0, arrivalsPerMinute: 0 };

test('the founding arithmetic of a draft: nothing is changed by asking', async () => {
  const { id } = await organizer.sale({ threshold: 1000, intervalMs: 10000, open: false });
  const before = await organizer.get(`/api/admin/events/${id}`);
  const answer = await ask(id, { threshold: 5000, intervalMs: 5000, assume: RUSH });
  assert.ok(Math.abs(answer.now.lastWaitMs - 9900000) <= 20000, JSON.stringify(answer.now));
  assert.equal(answer.now.settings.threshold, 1000);
  assert.equal(answer.then.settings.threshold, 5000);
  assert.equal(answer.then.settings.intervalMs, 5000);
  assert.ok(answer.then.lastWaitMs < answer.now.lastWaitMs / 4);
  assert.equal(answer.change.kind, 'shorter');
  assert.equal(answer.change.nowMs, Math.ceil(answer.now.lastWaitMs / 60000) * 60000);
  assert.match(answer.change.sentence, /^the last in line waits 3[0-9] min instead of 2 h 4\d min$/);
  assert.deepEqual(answer.basis.waiting, { value: 99000, source: 'given' });
  assert.deepEqual(answer.basis.abandon, { value: 0, source: 'assumed' });
  assert.equal((await organizer.get(`/api/admin/events/${id}`)).text, before.text);
});

test('without a body it is the present, against itself', async () => {
  const { id } = await organizer.sale({ threshold: 10 });
  await waitUntil(async () => (await organizer.stats(id)).queueSize === 0, 15000, 'the index');
  const answer = await ask(id);
  assert.deepEqual(answer.now, answer.then);
  assert.equal(answer.change.kind, 'nobody-waits');
  assert.deepEqual(answer.basis.waiting, { value: 0, source: 'measured' });
  assert.deepEqual(answer.basis.seats, { value: null, source: 'assumed' });
});

test('a queue is counted, and what its minutes and counters say of the buyers is measured', async () => {
  const { id } = await organizer.sale({ threshold: 3, intervalMs: 1000, claimMs: 90000, grid: { rows: 4, seatsPerRow: 10 } });
  await many(Array.from({ length: 12 }, () => new Client(server, { sub: uniqueId('u') })), 6, (client) => client.check(id));
  await waitUntil(async () => (await organizer.stats(id)).queueSize > 0, 15000, 'a queue');
  // Ten minutes in which 100 were inside, 40 a minute left: 2.5 minutes each. 30 arrived in each, 1 % of 200 gave up.
  const minute = Math.floor(Date.now() / 60000);
  const fields = ['minute', minute, 'queuePeak', 0];
  for (let i = 0; i <= 10; i++) {
    // joined admitted left withdrawn idle timeout completed parked direct claimed unclaimed idle_kept, inside waiting threshold peak
    const counts = [30, 40, 10, 1, 0, 0, 26, 1, 0, 36, 4, 0].map((each) => each * i);
    fields.push(`m${minute - 10 + i}`, [...counts, 100, 200, 100, 200].join(' '));
  }
  const [joined, admitted, left, withdrawn, , , completed, parked, , claimed, unclaimed] = fields.at(-1).split(' ').map(Number);
  fields.push('left', left, 'completed', completed, 'claimed', claimed, 'unclaimed', unclaimed, 'idle', 0, 'idle_kept', 0);
  assert.ok(joined && admitted && withdrawn && parked);
  await redis.client.hset(`stats:{${id}}`, ...fields);
  const { now, basis } = await ask(id, { assume: { buy: 0.5 } });
  const { queueSize, currentUsers } = await organizer.stats(id);
  assert.deepEqual(basis.waiting, { value: queueSize, source: 'measured' });
  assert.deepEqual(basis.inside, { value: currentUsers, source: 'measured' });
  assert.equal(basis.seats.source, 'measured');
  assert.deepEqual(basis.noShow, { value: 0.1, source: 'measured' });
  assert.deepEqual(basis.buy, { value: 0.5, source: 'given' });
  assert.deepEqual(basis.arrivalsPerMinute, { value: 30, source: 'measured' });
  assert.deepEqual(basis.abandon, { value: 0.01, source: 'measured' });
  // (150 s - a tenth of 90.5 s) / 0.9
  assert.equal(basis.visitMs.source, 'measured');
  assert.ok(Math.abs(basis.visitMs.value - 156600) < 500, String(basis.visitMs.value));
  assert.equal(basis.visitSpreadMs.value, Math.round(basis.visitMs.value / 2));
  assert.equal(now.settings.threshold, 3);
  assert.ok(now.lastWaitMs > 60000);
});

test('seats: the last in line may find them sold', async () => {
  const { id } = await organizer.sale({ threshold: 100, open: false, grid: { rows: 10, seatsPerRow: 50 } });
  const { now, then, change } = await ask(id, { threshold: 400, assume: { ...RUSH, waiting: 2000, inside: 0, buy: 1, seatsPerSale: 2 } });
  assert.ok(now.soldOutMs > then.soldOutMs && then.soldOutMs > 0);
  assert.equal(then.seatsLeft, 0);
  assert.equal(change.kind, 'sold-out-first');
  assert.equal(change.thenMs, null);
});

test('what cannot be is named', async () => {
  const { id } = await organizer.sale({ open: false });
  const refused = async (json, field) => {
    const { status, body } = await organizer.post(path(id), { json });
    assert.equal(status, 400, JSON.stringify(body));
    assert.equal(body.field, field, JSON.stringify(body));
  };
  await refused({ threshold: -1 }, 'threshold');
  await refused({ title: 'x' }, 'title');
  await refused({ assume: { noShow: 1.1 } }, 'noShow');
  await refused({ assume: { visitMs: '3m' } }, 'visitMs');
  await refused({ assume: { waiting: 1.5 } }, 'waiting');
  await refused({ assume: { mood: 1 } }, 'mood');
  await refused({ assume: [] }, 'assume');
  await refused({ assume: { waiting: 900000, arrivalsPerMinute: 10000 } }, 'assume');
  await refused({ surge: [{ queueAbove: 0, threshold: 1 }] }, 'surge[0].queueAbove');
  const stranger = new Organizer(server, { sub: 'stranger', role: 'organizer' });
  assert.equal((await stranger.post(path(id), { json: {} })).status, 403);
  assert.equal((await new Client(server, { token: jwt({ sub: 'eyes', role: 'viewer' }) }).post(path(id), { json: {} })).status, 200);
  assert.equal((await organizer.post(path('nothing'), { json: {} })).status, 404);
});

test('large forecasts do not hold up other requests, and too many at once are refused', async () => {
  const { id } = await organizer.sale({ threshold: 5000, open: false });
  const large = { assume: { ...RUSH, waiting: 500000, visitMs: 20000, visitSpreadMs: 10000 } };
  const began = performance.now();
  const asked = Array.from({ length: 6 }, () => organizer.post(path(id), { json: large, timeoutMs: 60000 }));
  const waits = [];
  let open = true;
  const done = Promise.all(asked).finally(() => { open = false; });
  while (open) {
    const at = performance.now();
    assert.equal((await server.get('/livez')).status, 200);
    waits.push(performance.now() - at);
  }
  const answers = await done;
  const took = performance.now() - began;
  assert.ok(answers.every(({ status }) => status === 200 || status === 503));
  assert.ok(answers.some(({ status }) => status === 200));
  waits.sort((a, b) => a - b);
  assert.ok(waits.length > 20 && waits[Math.floor(waits.length / 2)] < took / 10, `${waits.length} requests meanwhile, half of them within ${waits[Math.floor(waits.length / 2)]} ms of ${took} ms`);
});

test('callers who go away leave the place to others', async () => {
  const { id } = await organizer.sale({ threshold: 5000, open: false });
  const large = { assume: { ...RUSH, waiting: 900000, visitMs: 20000 } };
  await Promise.allSettled(Array.from({ length: 8 }, () => organizer.post(path(id), { json: large, timeoutMs: 5 })));
  await waitUntil(async () => (await organizer.post(path(id), { json: {} })).status === 200, 15000, 'a place for another forecast');
});
