// SPDX-License-Identifier: MIT
//
// What a join costs one, two and four serve processes together, on one Redis and with the same number of
// connections in all.

import { readFileSync } from 'node:fs';
import { Organizer, Server, many, sleep } from '../fixtures/index.mjs';
import { ROUNDS, calmRounds, compared, cpuOf, load, quick, redisSpent } from './measure.mjs';

const CONNECTIONS = 1024;
const COUNTS = quick ? [1, 2] : [1, 2, 4];

async function joinCost(pods, redis, path) {
  const before = pods.map(({ pid }) => cpuOf(pid));
  const { us, result } = await redisSpent(redis, () => Promise.all(pods.map(({ port }) => load(port, CONNECTIONS / pods.length, { path }))));
  const spent = pods.reduce((sum, { pid }, i) => sum + cpuOf(pid) - before[i], 0);
  const requests = result.reduce((sum, one) => sum + one.requests, 0);
  return { own: spent / requests, redis: us / requests };
}

// What an idle pod costs, with one open event.
async function idleCost(pod, redis) {
  const seconds = quick ? 2 : 10;
  await sleep(1000);
  const before = cpuOf(pod.pid);
  const { us } = await redisSpent(redis, () => sleep(seconds * 1000));
  const [, resident] = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pod.pid}/status`, 'utf8'));
  return [
    { id: 'pod-idle', what: 'CPU of an idle api pod', means: 'one event open, no requests', unit: '% of a core', own: ((cpuOf(pod.pid) - before) / seconds / 1e6) * 100 },
    { id: 'pod-memory', what: 'memory of an idle api pod', means: 'resident', unit: 'MB', own: Number(resident) / 1024 },
    { id: 'pod-redis', what: 'Redis CPU with idle pods', means: `${COUNTS.at(-1)} api pods and a processor`, unit: '% of a core', own: (us / seconds / 1e6) * 100 },
  ];
}

export async function pods({ api, redis, database, servers }) {
  const others = await Promise.all(Array.from({ length: COUNTS.at(-1) - 1 }, () => Server.start({ redis, database, roles: 'api' })));
  servers.push(...others);
  const all = [api, ...others];
  const { id } = await new Organizer(api).sale({ threshold: 0 });
  const idle = await idleCost(others.at(-1), redis);
  const rounds = await calmRounds(2 * ROUNDS, () => many(COUNTS, 1, (count) => joinCost(all.slice(0, count), redis, `/api/queue/check/${id}`)));
  const row = (i, field) => ({ unit: 'µs', beside: 'one pod', ...compared(rounds, (costs) => costs[i][field], ([one]) => one[field]) });
  return [...idle, ...COUNTS.slice(1).flatMap((count, i) => [
    { id: `pods-${count}`, what: `CPU per join, ${count} pods`, means: `together, ${CONNECTIONS.toLocaleString('en')} connections in all: pods must not cost each other`, ...row(i + 1, 'own'), bar: 1.2 },
    { id: `pods-redis-${count}`, what: `Redis CPU per join, ${count} pods`, means: 'batches are smaller where they are spread', ...row(i + 1, 'redis') },
  ])];
}
