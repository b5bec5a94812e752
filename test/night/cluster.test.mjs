// SPDX-License-Identifier: MIT
//
// A Redis Cluster of three primaries with a replica each, under a crowd of 10,000 in four events on two pods: it is resharded
// (redis-cli moves 500 slots of each primary to the next one, then those of the events move), and each primary is killed once. No promise is broken.
// Part of `make test-nightly`. CLUSTER_USERS (10000).

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { Postgres, RedisCluster, Server, keeper, privateFolder, removeFolder, waitUntil } from '../fixtures/index.mjs';
import { assertKept, crowds, idOn, openSale } from '../integration/redis_cluster_support.mjs';

const USERS = Number(process.env.CLUSTER_USERS ?? 10000);
const keep = keeper();

// As an operator does: `slots` slots go from one primary to another. redis-cli refuses while the nodes do not agree about the last move.
const reshard = (from, to, slots) => waitUntil(() => promisify(execFile)('redis-cli', ['--cluster', 'reshard', `127.0.0.1:${from.port}`, '--cluster-from', from.id,
  '--cluster-to', to.id, '--cluster-slots', String(slots), '--cluster-yes'], { timeout: 300000, maxBuffer: 64 << 20 }), 60000, 'the slots to move');

test(`a cluster is resharded and each primary killed once under ${USERS} buyers in four events: 0 broken promises`, { timeout: 1800000 }, async (t) => {
  const folder = privateFolder('cluster-night');
  t.after(() => removeFolder(folder));
  const [cluster, postgres] = await Promise.all([keep(RedisCluster.start({ timeout: 2000, args: ['--maxclients', '12000'] })), keep(Postgres.start())]);
  const database = await postgres.migrated();
  const servers = [];
  for (let i = 0; i < 2; i++) servers.push(await keep(Server.start({ redis: cluster, database, env: { RESTORE_MS: 5000 } })));
  const primaries = await cluster.primariesNow();
  const ids = [];
  const inside = Math.ceil(USERS / 100);
  for (const [i, node] of [...primaries, primaries[0]].entries()) {
    ids.push(await openSale(cluster, servers[0], { id: await idOn(cluster, node, `n${i}-`), threshold: inside, intervalMs: 500, idleTimeoutMs: 30000, grid: { rows: Math.ceil(USERS / 200), seatsPerRow: 20 } }));
  }
  const began = performance.now();
  const at = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
  const runs = await crowds({ cluster, servers, database, ids, folder,
    args: ['--users', Math.ceil(USERS / ids.length), '--connections', 200, '--arrive', '20s', '--think', '3s..9s', '--max-time', '15m'] }, async (going) => {
    await waitUntil(async () => (await Promise.all(ids.map((id) => cluster.cli('ZCARD', `queue:{${id}}`)))).every((n) => Number(n) > inside), 120000, 'four queues');
    for (const [i, from] of primaries.entries()) {
      assert.ok(going(), 'the crowd is still there');
      await reshard(from, primaries[(i + 1) % primaries.length], 500);
      t.diagnostic(`${at()}: 500 slots moved`);
    }
    // The slots that are left at one node may not be those of the events: these move as well.
    for (const [i, id] of ids.entries()) await cluster.moveSlot(await cluster.slotOf(`config:{${id}}`), primaries[i % 3]);
    for (const node of primaries) {
      assert.ok(going(), 'the crowd is still there');
      const slot = (await cluster.someone().call('CLUSTER', 'SLOTS')).find(([, , [, port]]) => port === node.port)[0];
      await node.kill();
      await cluster.promoted(slot, node);
      t.diagnostic(`${at()}: a replica took over`);
      await node.start();
      await cluster.healthy();
    }
    assert.ok(going(), 'the crowd was still there at the end');
  });
  for (const { report } of runs) t.diagnostic(`${report.requests} requests, ${report.retries} retries, ${report.errors} errors, ${JSON.stringify(report.broken)}`);
  for (const run of runs) assertKept(run);
});
