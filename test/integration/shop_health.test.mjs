// SPDX-License-Identifier: MIT
//
// The shop's health from a real Prometheus, which scrapes a shop.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { after, test } from 'node:test';
import { Client, Prometheus, Server, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const shop = { p95: 0.2, errors: 0 };
const page = createServer((_request, response) => {
  response.setHeader('content-type', 'text/plain; version=0.0.4');
  response.end(Object.entries(shop).map(([name, value]) => `shop_${name}{shop="one"} ${value}\n`).join(''));
});
await new Promise((resolve) => page.listen(0, '127.0.0.1', resolve));
after(() => page.close());
const prometheus = await Prometheus.start({ targets: [`127.0.0.1:${page.address().port}`], job: 'shop' });
after(() => prometheus.stop());

const env = {
  HEALTH_URL: `${prometheus.url}/`, OUTBOUND_ALLOW: '127.0.0.1',
  HEALTH_P95_QUERY: 'max(shop_p95) + 0 * scalar(vector(1))', HEALTH_ERROR_QUERY: 'shop_errors{shop!="{event}"}',
};
const { server, organizer, redis, database } = await stage({ env });

const health = async (id) => (await organizer.stats(id)).health;
const inForce = async (id) => (await organizer.stats(id)).threshold;

test('Prometheus is asked every five seconds; the threshold follows; without an answer it stays', async () => {
  await waitUntil(async () => (await prometheus.query('shop_p95')).length === 1, 15000, 'the first scrape');
  const { id } = await organizer.sale({ id: uniqueId('shop'), threshold: 10, thresholdMin: 2, intervalMs: 100, autoHold: 0 });
  for (let i = 0; i < 10; i++) await new Client(server, { sub: uniqueId('buyer') }).check(id);
  await waitUntil(async () => (await health(id))?.p95Ms === 200, 15000, 'a shop that is well');
  await waitUntil(async () => (await inForce(id)) === 10, 10000, 'the first numbers');
  Object.assign(shop, { p95: 0.3, errors: 0.015 });
  await waitUntil(async () => (await inForce(id)) === 8, 20000, 'the errors to be judged');
  assert.deepEqual({ ...(await health(id)), ageMs: 0 }, { p95Ms: 300, errorRate: 0.015, ageMs: 0, limit: 8, thresholdMin: 2 });
  Object.assign(shop, { p95: 'NaN', errors: 1 });
  const { ageMs } = await health(id);
  await waitUntil(async () => (await health(id)).ageMs > ageMs + 6000, 20000, 'a question without a number');
  assert.equal(await inForce(id), 8);
});

test('a setting that cannot be used is named', async () => {
  for (const [pattern, wrong] of [
    [/HEALTH_URL: must be a URL/, { HEALTH_URL: 'prometheus:9090' }],
    [/HEALTH_URL: must have neither a query/, { HEALTH_URL: 'http://prometheus:9090/?x' }],
    [/HEALTH_P95_QUERY: must be set where HEALTH_URL is/, { HEALTH_P95_QUERY: '' }],
  ]) {
    await assert.rejects(Server.start({ redis, database, env: { ...env, ...wrong } }), pattern);
  }
});
