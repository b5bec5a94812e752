// SPDX-License-Identifier: MIT
//
// What a Redis Cluster gives: the same four events on 1, 2 and 4 shards. Redis' CPU per join must stay what it is on one shard,
// so that each further shard is worth as much as the first. What a node spends while nobody asks it (its timers, the bus of the
// cluster) is measured before each round, and taken off.
//
// All shards share the machine's few cores with the load and the service. Each call then finds its process switched out and its
// caches cold, the more so the more processes there are, which is the machine's doing, not ours. So bare commands in batches of
// the same size run on the same shards in the same round, and the ratio is how much more a join grew than they did.

import { Organizer, RedisCluster, Server, sleep } from '../fixtures/index.mjs';
import { idOn } from '../integration/redis_cluster_support.mjs';
import { ROUNDS, SECONDS, load, median, redisCpu } from './measure.mjs';

const EVENTS = 4;
const COUNTS = [1, 2, 4];
const CONNECTIONS = 256; // for each event

async function begin(database, primaries) {
  const cluster = await RedisCluster.start({ primaries, replicas: 0, args: ['--auto-aof-rewrite-percentage', '0'] });
  const server = await Server.start({ redis: cluster, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 0 } });
  const nodes = await cluster.primariesNow();
  const paths = [];
  const keys = []; // for bare commands: on the shards of the events
  for (let i = 0; i < EVENTS; i++) {
    keys.push(`raw:{${await idOn(cluster, nodes[i % primaries], `raw${primaries}-${i}-`)}}`);
    const { id } = await new Organizer(server).sale({ id: await idOn(cluster, nodes[i % primaries], `shards${primaries}-${i}-`), threshold: 0 });
    paths.push(`/api/queue/check/${id}`);
  }
  return { cluster, server, nodes, paths, keys, rounds: [] };
}

// CPU of each node's main thread during `work`, which returns a count: in all for each of it, and the share of the busiest.
async function spentBy(nodes, work) {
  const spent = () => Promise.all(nodes.map((node) => redisCpu({ cli: (...args) => node.call(...args) })));
  const quiet = await spent();
  await sleep(SECONDS * 1000);
  const before = await spent();
  const count = await work();
  const us = (await spent()).map((value, i) => value - before[i] - (before[i] - quiet[i]));
  const all = us.reduce((sum, value) => sum + value, 0);
  return { each: all / count, most: Math.max(...us) / all };
}

// Two ZADDs for each member, as a join that gives a place had once, in pipelines of `batch`. Returns how many pairs.
async function pairs(node, key, seed, batch) {
  const end = performance.now() + SECONDS * 1000;
  let count = 0;
  while (performance.now() < end) {
    const pipeline = node.client.pipeline();
    for (let i = 0; i < batch; i++, count++) {
      pipeline.zadd(key, count, `${seed}-${count}`);
      pipeline.zadd(`${key}:seen`, count, `${seed}-${count}`);
    }
    await pipeline.exec();
  }
  return count;
}

async function round({ server, nodes, paths, keys, rounds }) {
  let rate, batch;
  const calls = () => server.metric('tiketi_join_batch_size_count');
  const joins = await spentBy(nodes, async () => {
    const before = await calls();
    const results = await Promise.all(paths.map((path) => load(server.port, CONNECTIONS, { path })));
    const count = results.reduce((sum, { requests }) => sum + requests, 0);
    rate = count / (results[0].us / 1e6);
    batch = count / ((await calls()) - before);
    return count;
  });
  const bare = await spentBy(nodes, async () => {
    const counts = await Promise.all(keys.map((key, i) => pairs(nodes[i % nodes.length], key, rounds.length, Math.round(batch))));
    return counts.reduce((sum, count) => sum + count, 0);
  });
  rounds.push({ perJoin: joins.each, most: joins.most, rate, batch, perPair: bare.each });
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
  const grown = (side, field) => of(side, field) / of(sides[0], field);
  return sides.flatMap((side, i) => {
    const on = `four events on ${COUNTS[i]} ${COUNTS[i] === 1 ? 'shard' : 'shards'}`;
    return [
      { id: `shards-cpu-${COUNTS[i]}`, what: `Redis CPU per join, ${on}`, unit: 'µs', own: of(side, 'perJoin'),
        means: `batches of ${of(side, 'batch').toFixed(0)}; the main threads of all shards together; the busiest one has ${Math.round(100 * of(side, 'most'))} % of it${i > 0 ? `; ${grown(side, 'perJoin').toFixed(2)} times what it is on 1 shard, and the ratio is to how bare commands grew` : ''}`,
        beside: 'two pipelined ZADD there', other: of(side, 'perPair'), ...(i > 0 ? { ratio: grown(side, 'perJoin') / grown(side, 'perPair'), bar: 1.1 } : {}) },
      { id: `shards-rate-${COUNTS[i]}`, what: `joins a second, ${on}`, unit: '/s', own: of(side, 'rate'),
        means: 'with the load generator, the service and all shards on the same cores' },
    ];
  });
}
