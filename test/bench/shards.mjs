// SPDX-License-Identifier: MIT
//
// What a Redis Cluster gives: the same four events on 1, 2 and 4 shards. Redis' CPU per join must stay what it is on one shard,
// so that each further shard is worth as much as the first. What a node spends while nobody asks it (its timers, the bus of the
// cluster) is measured before each round, and taken off. (Joins a second say less here: the load generator, the service and
// all shards share the machine's cores.)

import { Organizer, RedisCluster, Server, sleep } from '../fixtures/index.mjs';
import { idOn } from '../integration/redis_cluster_support.mjs';
import { ROUNDS, SECONDS, load, median, redisCpu } from './measure.mjs';

const EVENTS = 4;
const COUNTS = [1, 2, 4];

async function begin(database, primaries) {
  const cluster = await RedisCluster.start({ primaries, replicas: 0, args: ['--auto-aof-rewrite-percentage', '0'] });
  const server = await Server.start({ redis: cluster, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 0 } });
  const nodes = await cluster.primariesNow();
  const paths = [];
  for (let i = 0; i < EVENTS; i++) {
    const { id } = await new Organizer(server).sale({ id: await idOn(cluster, nodes[i % primaries], `shards${primaries}-${i}-`), threshold: 0 });
    paths.push(`/api/queue/check/${id}`);
  }
  return { cluster, server, nodes, paths, rounds: [] };
}

// CPU of each node's main thread during the load of all four events.
async function round({ server, nodes, paths, rounds }) {
  const spent = () => Promise.all(nodes.map((node) => redisCpu({ cli: (...args) => node.call(...args) })));
  const quiet = await spent();
  await sleep(SECONDS * 1000);
  const before = await spent();
  const results = await Promise.all(paths.map((path) => load(server.port, 64, { path })));
  const after = await spent();
  const joins = results.reduce((sum, { requests }) => sum + requests, 0);
  const us = after.map((value, i) => value - before[i] - (before[i] - quiet[i]));
  rounds.push({ perJoin: us.reduce((sum, value) => sum + value, 0) / joins, rate: joins / (results[0].us / 1e6), most: Math.max(...us) / us.reduce((sum, value) => sum + value, 0) });
}

export async function shards({ database }) {
  const sides = [];
  try {
    for (const count of COUNTS) sides.push(await begin(database, count));
    for (let i = 0; i <= ROUNDS; i++) for (const side of sides) await round(side); // in turns: a disturbance hits all
  } finally {
    for (const { server, cluster } of sides) {
      await server.stop();
      await cluster.stop();
    }
  }
  const of = (side, field) => median(side.rounds.slice(1).map((one) => one[field])); // the first warms up
  return sides.flatMap((side, i) => [
    { id: `shards-cpu-${COUNTS[i]}`, what: `Redis CPU per join, four events on ${COUNTS[i]} ${COUNTS[i] === 1 ? 'shard' : 'shards'}`, unit: 'µs', own: of(side, 'perJoin'),
      means: `the main threads of all shards together; the busiest one has ${Math.round(100 * of(side, 'most'))} % of it`,
      ...(i > 0 ? { beside: 'on 1 shard', other: of(sides[0], 'perJoin'), bar: 1.1 } : {}) },
    { id: `shards-rate-${COUNTS[i]}`, what: `joins a second, four events on ${COUNTS[i]} ${COUNTS[i] === 1 ? 'shard' : 'shards'}`, unit: '/s', own: of(side, 'rate'),
      means: 'with the load generator, the service and all shards on the same cores' },
  ]);
}
