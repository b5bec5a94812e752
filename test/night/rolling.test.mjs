// SPDX-License-Identifier: MIT
//
// Four pods are restarted one after the other under a crowd of 10,000, behind HAProxy as a load balancer: no request fails
// beyond one retry, no place is lost, and every other promise is kept. The same while the next release is rolled out, and one
// step is taken back.
//
// The sockets have a proxy of their own for each half of the crowd: a proxy needs two open files for each of them.
// Part of `make test-nightly`. ROLLING_USERS (10000).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { BIN, HAProxy, Organizer, Postgres, Provider, Redis, SECRETS, Server, keeper, privateFolder, runTiketi, waitUntil } from '../fixtures/index.mjs';
import { PREVIOUS, buildPrevious } from '../fixtures/previous.mjs';

const USERS = Number(process.env.ROLLING_USERS ?? 10000);
const PODS = 4;

const keep = keeper();
const [redis, postgres] = await Promise.all([keep(Redis.start({ args: ['--maxclients', '12000'] })), keep(Postgres.start())]);

// Runs a crowd against a sale on four pods of `options`, and `during(restart)` while most of it waits: restart(change) stops
// each pod, lets `change` alter it, and starts it again, one after the other; the next one when the buyers of the last one have
// their sockets again, as minReadySeconds gives them time for.
async function underCrowd(t, database, options, during) {
  const pods = [];
  for (let i = 0; i < PODS; i++) pods.push(await keep(Server.start({ redis, database, ...options })));
  const probes = pods.map(({ port }) => port);
  const web = await keep(HAProxy.start({ ports: probes }));
  const sockets = [];
  for (let i = 0; i < 2; i++) sockets.push(await keep(HAProxy.start({ ports: pods.map(({ wsPort }) => wsPort), probes, connections: Math.ceil(USERS / 2) + 100 })));
  const inUse = (count) => Promise.all([web, ...sockets].map((proxy) => proxy.uses(count)));
  await inUse(PODS);

  const { id } = await new Organizer({ url: web.url }).sale({ threshold: Math.ceil(USERS / 20), intervalMs: 1000, idleTimeoutMs: 30000,
    grid: { rows: Math.ceil(USERS / 100), seatsPerRow: 50 } });
  const provider = await keep(Provider.start({ server: { url: web.url } }));
  const file = join(privateFolder('rolling'), 'report.json');
  const env = { ...SECRETS, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' };
  let going = true;
  const crowd = runTiketi(['crowd', '--json', file, '--users', USERS, '--event', id, '--url', web.url, '--connections', 800,
    '--ws', sockets.map(({ port }) => `ws://127.0.0.1:${port}/ws`).join(), '--provider', provider.url, '--arrive', '20s', '--think', '3s..8s', '--max-time', '10m'].map(String),
  env, { timeoutMs: 700000, expect: null }).finally(() => (going = false));

  await waitUntil(async () => (await redis.client.zcard(`queue:{${id}}`)) > USERS * 0.7, 120000, 'the queue');
  const isWaiting = () => redis.client.zcard(`queue:{${id}}`);
  const haveSockets = async () => {
    const [waiting, ...states] = await Promise.all([isWaiting(), ...sockets.map((proxy) => proxy.now())]);
    return states.reduce((sum, { connections }) => sum + connections, 0) >= waiting;
  };
  let restarts = 0;
  await during(async (change) => {
    for (const pod of pods) {
      assert.ok(going, 'the crowd is still there');
      await pod.stop();
      await inUse(PODS - 1);
      change(pod);
      await pod.start();
      await inUse(PODS);
      await waitUntil(haveSockets, 30000, 'the sockets');
      restarts++;
    }
  });
  const waiting = await isWaiting();
  const { code, stdout } = await crowd;
  console.log(stdout);
  const report = JSON.parse(readFileSync(file, 'utf8'));
  t.diagnostic(`${restarts} restarts, ${waiting} still waiting after the last; ${report.requests} requests, ${report.retries} retries, at most ${report.retriesInARow} in a row`);
  assert.ok(waiting > 0, 'the restarts were over before the queue was');
  assert.ok(report.checked, 'every promise was checked');
  assert.deepEqual(Object.values(report.broken).filter((n) => n !== 0), [], JSON.stringify(report.broken));
  assert.equal(report.errors, 0);
  assert.equal(code, 0);
  assert.ok(report.retriesInARow <= 1, `${report.retriesInARow} failures in a row`);
  for (const one of [web, ...sockets, provider, ...pods]) {
    keep.forget(one);
    await one.stop();
  }
}

const ENV = { DRAIN_MS: 10000 };

test(`a rolling restart of ${PODS} pods under ${USERS} buyers behind HAProxy: one retry at most, no place lost`, { timeout: 900000 }, async (t) => {
  await underCrowd(t, await postgres.migrated(), { env: ENV }, (restart) => restart(() => {}));
});

test(`the next release is rolled out under ${USERS} buyers, and one step is taken back: one retry at most, no place lost`, { timeout: 900000 }, async (t) => {
  const previous = await buildPrevious(PREVIOUS);
  if (!previous.bin) {
    t.skip(previous.reason);
    return;
  }
  const database = await postgres.createDatabase();
  await runTiketi(['migrate'], { DATABASE_URL: database.url }, { bin: previous.bin });
  const releases = { previous: { bin: previous.bin, env: ENV }, next: { bin: BIN, env: ENV } };
  await underCrowd(t, database, releases.previous, async (restart) => {
    await runTiketi(['migrate'], { DATABASE_URL: database.url });
    await restart((pod) => Object.assign(pod, releases.next));
    await restart((pod) => Object.assign(pod, releases.previous));
  });
});
