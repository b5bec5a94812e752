// SPDX-License-Identifier: MIT
//
// A rollout as k8s/base/api.yaml has it: one pod more than wanted, none less. One with a mistake stops at its first pod.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Client, Organizer, ROOT, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { at, nobody, pod, postgresAs, redisAs } from './startup_support.mjs';

// What the base asks of a starting pod, and of one that serves.
const probesOf = (name) => {
  const text = readFileSync(`${ROOT}/k8s/base/${name}.yaml`, 'utf8');
  return Object.fromEntries(['startup', 'readiness'].map((kind) => [kind, new RegExp(`${kind}Probe:\\n\\s+httpGet:\\n\\s+path: (\\S+)`).exec(text)?.[1]]));
};
const probes = probesOf('api');

// Kubernetes: a new pod is started; when its startup probe has passed, and it is ready, an old one is stopped. A probe that
// fails `patience` times ends the rollout. Returns whether every pod was replaced.
async function rollOut(pods, make, { patience = 25 } = {}) {
  for (const old of pods.slice()) {
    const fresh = await make();
    let tries = 0;
    await waitUntil(async () => (await fresh.probe(probes.startup)).status === 200 || ++tries > patience, 60000, 'the startup probe');
    if (tries > patience) {
      await fresh.kill();
      return false;
    }
    await waitUntil(async () => (await fresh.probe(probes.readiness)).status === 200, 5000, 'the readiness probe');
    pods.push(fresh);
    pods.splice(pods.indexOf(old), 1);
    await old.stop();
  }
  return true;
}

test('every role is asked in the same way', () => {
  for (const name of ['gateway', 'processor']) assert.deepEqual(probesOf(name), probes);
});

test('a rollout with a wrong secret stops at its first pod, and no buyer notices; the right one goes through', async (t) => {
  const env = { DRAIN_MS: 2000 };
  const pods = [await pod(t, { env }), await pod(t, { env })];
  await Promise.all(pods.map((one) => one.passes()));
  const { id } = await new Organizer(pods[0]).sale({ id: uniqueId('roll'), threshold: 5 });
  let going = true;
  const wrong = [];
  let answered = 0;
  const load = Array.from({ length: 8 }, async (_, i) => {
    const buyer = new Client(pods[0]);
    for (let n = i; going; n++) {
      // A proxy tries another pod when a connection is refused.
      for (let left = 3; ; left--) {
        buyer.server = pods[(n + left) % pods.length];
        const answer = await (n % 2 ? buyer.request('GET', `/api/queue/status/${id}`) : buyer.check(id)).catch((error) => error);
        if (left > 0 && ['ECONNREFUSED', 'ECONNRESET'].includes(answer.code)) continue;
        if (answer.status !== 200) wrong.push(answer.text ?? answer.message);
        answered++;
        break;
      }
    }
  });
  const first = pods.slice();
  for (const mistake of [
    { redis: redisAs('wrong') }, { database: postgresAs('wrong') },
    { redis: await nobody() }, { database: await at.postgres.createDatabase() }]) {
    assert.equal(await rollOut(pods, () => pod(t, { env, ...mistake })), false);
    assert.deepEqual(pods, first, 'every old pod is still there');
  }
  assert.equal(await rollOut(pods, () => pod(t, { env, redis: redisAs('right'), database: postgresAs('right') })), true);
  assert.ok(pods.every((one) => !first.includes(one)) && first.every((one) => !one.running));
  going = false;
  await Promise.all(load);
  t.diagnostic(`${answered} answers`);
  assert.ok(answered > 100);
  assert.deepEqual(wrong, []);
  await Promise.all(pods.map((one) => one.stop()));
});
