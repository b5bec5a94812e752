// SPDX-License-Identifier: MIT
//
// What TLS between the service and Redis costs: the same joins through a pod with rediss:// and through one with redis://, in
// turns. Both sides encrypt, so both are measured.

import { Organizer, Redis, Server, many } from '../fixtures/index.mjs';
import { calmRounds, compared, cost, quick, redisCpu } from './measure.mjs';

const ROUNDS = quick ? 2 : 9;
const CONNECTIONS = [64, 1000];

async function begin(database, kind) {
  const redis = await Redis.start({ kind, args: ['--auto-aof-rewrite-percentage', '0'] });
  const server = await Server.start({ redis, database, roles: 'api' });
  const { id } = await new Organizer(server).sale({ threshold: 0 });
  return { redis, server, path: `/api/queue/check/${id}` };
}

async function joins({ redis, server, path }, connections) {
  const before = await redisCpu(redis);
  const { cpu, requests } = await cost(server, connections, { path });
  return { service: cpu, redis: ((await redisCpu(redis)) - before) / requests };
}

export async function tls({ database }) {
  const sides = [];
  try {
    for (const kind of ['tls', 'single']) sides.push(await begin(database, kind));
    const rows = [];
    for (const connections of CONNECTIONS) {
      const rounds = await calmRounds(ROUNDS, () => many(sides, 1, (side) => joins(side, connections)));
      for (const [part, whose] of [['service', 'CPU'], ['redis', 'Redis CPU']]) {
        rows.push({ id: `tls-${part}-${connections}`, what: `${whose} per join over TLS, ${connections} connections`, means: 'TLS 1.3 to Redis, and from it', unit: 'µs',
          beside: 'without TLS', ...compared(rounds, ([secure]) => secure[part], ([, plain]) => plain[part]) });
      }
    }
    return rows;
  } finally {
    for (const { server, redis } of sides) {
      await server.stop();
      await redis.stop();
    }
  }
}
