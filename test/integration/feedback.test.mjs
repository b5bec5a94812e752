// SPDX-License-Identifier: MIT
//
// The shop's health and the threshold: reports go through the whole service.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, staysTrueFor, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, server, organizer } = await stage();

const sale = (settings = {}) => organizer.sale({ id: uniqueId('shop'), threshold: 10, thresholdMin: 2, intervalMs: 100, autoHold: 0, ...settings });
const at = (id, what) => `/api/admin/events/${id}/${what}`;
const report = (id, p95Ms, errorRate = 0) => organizer.request('POST', at(id, 'health'), { json: { p95Ms, errorRate } });
const inForce = async (id) => (await organizer.get(at(id, 'stats'))).body.threshold;
const steps = async (id) => (await organizer.get(at(id, 'audit'))).body.entries.filter(({ verb }) => verb === 'feedback');

async function crowd(id, count) {
  const buyers = Array.from({ length: count }, () => new Client(server, { sub: uniqueId('buyer') }));
  for (const buyer of buyers) await buyer.check(id);
  return buyers;
}

test('a slow shop lowers the threshold; nobody is thrown out, nobody enters, and the audit says why', async () => {
  const { id } = await sale();
  const buyers = await crowd(id, 12);
  const told = await report(id, 1500);
  assert.deepEqual([told.status, told.body.mostThreshold], [200, 10]);
  await waitUntil(async () => (await inForce(id)) === 8, 10000, 'four fifths of ten');
  const { body } = await organizer.get(at(id, 'stats'));
  assert.equal(body.currentUsers, 10);
  assert.deepEqual({ ...body.health, ageMs: 0 }, { p95Ms: 1500, errorRate: 0, ageMs: 0, limit: 8, thresholdMin: 2 });
  await buyers[0].leave(id);
  await staysTrueFor(1500, async () => (await buyers[10].status(id)).body.status === 'queued', 'the room shrinks first');
  const [step, ...more] = await steps(id);
  assert.deepEqual([step.who, step.after, more.length], ['tiketi', { cause: 'slow', from: 10, to: 8, p95Ms: 1500, errorRate: 0 }, 0]);
  assert.match(step.sentence, /^threshold 10 → 8, as the shop is slow \(95 % within 1500 ms, 0 % errors\), the service, by itself/);
});

test('errors lower it as well, and at most to thresholdMin', async () => {
  const { id } = await sale({ threshold: 4, thresholdMin: 3 });
  await crowd(id, 4);
  await report(id, 10, 1);
  await waitUntil(async () => (await inForce(id)) === 3, 10000, 'the least');
  assert.equal((await steps(id))[0].after.cause, 'errors');
});

test('a shop that is well again gets more, step by step', async () => {
  const { id } = await sale();
  await redis.cli('HSET', `config:{${id}}`, 'feedback', '4', 'feedbackAt', '1 1 1');
  const buyers = await crowd(id, 6);
  assert.equal((await buyers[4].status(id)).body.status, 'queued', 'four enter');
  await report(id, 700);
  await waitUntil(async () => (await inForce(id)) === 5, 10000, 'one more');
  await waitUntil(async () => (await buyers[4].status(id)).body.status === 'active', 10000, 'the next buyer to enter');
  await staysTrueFor(1500, async () => (await inForce(id)) === 5, 'a report counts once');
});

test('the limit is taken back by hand: thresholdMin 0', async () => {
  const { id } = await sale();
  await crowd(id, 10);
  await report(id, 5000);
  await waitUntil(async () => (await inForce(id)) === 5, 10000, 'half of ten');
  await organizer.patch(id, { thresholdMin: 0 });
  await waitUntil(async () => (await inForce(id)) === 10, 10000, 'all of it');
  const off = await report(id, 5000);
  assert.deepEqual([off.status, off.body.code, off.body.field], [409, 'feedback-off', 'thresholdMin']);
  assert.equal((await organizer.get(at(id, 'stats'))).body.health, null);
});

test('what is wrong with a report is named', async () => {
  const { id } = await sale();
  for (const [field, json] of [
    ['p95Ms', { errorRate: 0 }], ['p95Ms', { p95Ms: -1, errorRate: 0 }], ['p95Ms', { p95Ms: '10', errorRate: 0 }],
    ['p95Ms', { p95Ms: 3600001, errorRate: 0 }],
    ['errorRate', { p95Ms: 10 }], ['errorRate', { p95Ms: 10, errorRate: 1.01 }], ['errorRate', { p95Ms: 10, errorRate: null }],
    ['p99Ms', { p95Ms: 10, errorRate: 0, p99Ms: 1 }],
  ]) {
    const { status, body } = await organizer.request('POST', at(id, 'health'), { json });
    assert.deepEqual([status, body.code, body.field], [400, 'invalid', field], JSON.stringify(json));
  }
  const viewer = new Client(server, { sub: 'viewer', role: 'viewer' });
  assert.equal((await viewer.request('POST', at(id, 'health'), { json: { p95Ms: 1, errorRate: 0 } })).status, 403);
  const { id: draft } = await sale({ open: false });
  assert.equal((await report(draft, 10)).body.code, 'wrong-state');
});

test('a least threshold that changes nothing is warned of', async () => {
  const { id } = await sale();
  const { warnings } = await organizer.patch(id, { thresholdMin: 10 });
  assert.deepEqual(warnings.filter(({ field }) => field === 'thresholdMin').map(({ code }) => code), ['feedback-without-effect']);
});
