// SPDX-License-Identifier: MIT
//
// A Redis that serves, but whose loss would lose places: nothing on disk, no replica any more, one that is behind, a primary
// that would go on without its replicas. Each is named by readiness, log and metric, once, and nobody is turned away.

import assert from 'node:assert/strict';
import { readFileSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { Client, Organizer, Postgres, ROOT, Redis, RedisCluster, Server, exchange, freePort, keeper, waitUntil } from '../fixtures/index.mjs';

const keep = keeper();
const postgres = await keep(Postgres.start());
const LOOK_MS = 20000; // a pod looks every ten seconds

const store = (...args) => keep(Redis.start({ kind: 'single', args }));

async function serve(redis, env = {}) {
  const METRICS_PORT = await freePort();
  const server = await keep(Server.start({ redis, database: await postgres.migrated(), env: { METRICS_PORT, ...env } }));
  server.probes = `http://127.0.0.1:${METRICS_PORT}`;
  return server;
}

const readiness = async (server) => (await exchange(server.probes, 'GET', '/readyz?deep=1')).body;
const warning = async (server) => (await readiness(server)).redisWarning ?? '';
const told = (server, message, risk) => server.logs.filter((line) => line.message === message && line.risk === risk);
const risk = async (server, kind) => {
  const { text } = await exchange(server.probes, 'GET', '/metrics');
  return Number(new RegExp(`^tiketi_redis_risk\\{kind="${kind}"\\} (.*)$`, 'm').exec(text)[1]);
};
const enters = async (server, sub) => {
  const event = await new Organizer(server).sale({ threshold: 5 });
  await waitUntil(async () => (await new Client(server, { sub }).check(event.id)).body.status === 'active', 5000, 'a buyer to enter');
};

test('no append-only file: told from the start, and that it is over; a snapshot makes it less', { timeout: 60000 }, async () => {
  const redis = await store('--appendonly', 'no');
  const server = await serve(redis);
  assert.equal(await warning(server), 'nothing is on disk (appendonly is no, and no snapshot was written since it started): a restart loses every place');
  assert.equal(await risk(server, 'persistence'), 1);
  const [line, ...others] = told(server, 'redis is not safe', 'persistence');
  assert.deepEqual([line.level, line.server, line.reason], ['warn', `127.0.0.1:${redis.port}`, await warning(server)]);
  assert.ok(others.length <= 2, 'once for each worker');
  await enters(server, 'kept');
  await redis.cli('SAVE');
  assert.match(await warning(await serve(redis)), /^appendonly is no: a restart loses what came after the last snapshot$/);
  await redis.cli('CONFIG', 'SET', 'appendonly', 'yes');
  await waitUntil(async () => (await warning(server)) === '' && (await risk(server, 'persistence')) === 0, LOOK_MS, 'the file to be seen');
  assert.ok(told(server, 'redis is safe again', 'persistence').length >= 1);
});

test('an append-only file that cannot be rewritten is told', { timeout: 60000 }, async () => {
  const redis = await store();
  await redis.cli('CONFIG', 'SET', 'auto-aof-rewrite-percentage', '0');
  rmSync(`${redis.folder}/appendonlydir`, { recursive: true, force: true });
  rmSync(redis.folder, { recursive: true, force: true });
  await redis.cli('BGREWRITEAOF').catch(() => {});
  await waitUntil(async () => /aof_last_bgrewrite_status:err/.test(await redis.client.info('persistence')), 10000, 'the rewrite to fail');
  assert.match(await warning(await serve(redis)), /the append-only file could not be rewritten: it grows until the disk is full/);
});

test('replicas: a primary that would go on without them, one that is behind, none any more', { timeout: 120000 }, async () => {
  const aclLine = /^ACL SETUSER tiketi (.*)$/m.exec(readFileSync(`${ROOT}/docs/operations.md`, 'utf8'))[1].replace('>PASSWORD', '>secret').split(' ');
  const primary = await store();
  await primary.cli('ACL', 'SETUSER', 'tiketi', ...aclLine);
  const replica = await store('--replicaof', '127.0.0.1', String(primary.port), '--repl-diskless-sync-delay', '0');
  const follows = () => waitUntil(async () => /^slave0:.*state=online,/m.test(await primary.client.info('replication')), 20000, 'the replica to follow');
  await primary.cli('CONFIG', 'SET', 'repl-diskless-sync-delay', '0');
  await follows();
  const login = { url: `redis://tiketi:secret@127.0.0.1:${primary.port}` };
  const server = await serve(login);
  assert.equal(await warning(server), 'min-replicas-to-write is not set (replicas: 1): a primary that is cut off would go on admitting');
  assert.ok(told(server, 'redis is not safe', 'min_replicas').length >= 1);
  assert.equal(await risk(server, 'replicas'), 0, 'a setting alone wakes nobody');

  await primary.cli('CONFIG', 'SET', 'min-replicas-to-write', '1');
  assert.equal(await warning(await serve(login)), '');

  await replica.pause();
  await primary.cli('SET', 'filler', 'x'.repeat(70 << 20));
  const late = await serve(login);
  assert.match(await warning(late), /^1 of 1 replicas behind \(by up to \d+ s and \d{2} MiB\): a failover would lose what they lack$/);
  assert.equal(await risk(late, 'replicas'), 1);
  await replica.resume();

  await primary.cli('CONFIG', 'SET', 'min-replicas-to-write', '0');
  await replica.halt();
  await waitUntil(async () => /no replica follows any more/.test(await warning(server)) && (await risk(server, 'replicas')) === 1, LOOK_MS, 'the loss to be seen');
  assert.ok(told(server, 'redis is safe again', 'min_replicas').length >= 1, 'nothing follows that could be promoted');
  assert.match(await warning(await serve(login)), /no replica follows any more/, 'a pod that starts now knows it, too');
  await enters(server, 'alone');

  await replica.start();
  await follows();
  await waitUntil(async () => (await risk(server, 'replicas')) === 0, LOOK_MS, 'every worker to see the replica');
  assert.ok(told(server, 'redis is safe again', 'no_replica').length >= 1);
  assert.deepEqual(await primary.cli('ACL', 'LOG'), [], 'nothing was asked that the ACL of the documentation refuses');
});

test('each shard of a cluster is asked, and named', { timeout: 60000 }, async () => {
  const cluster = await keep(RedisCluster.start({ replicas: 0 }));
  const [first, second, third] = await cluster.primariesNow();
  await first.call('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  await second.call('CONFIG', 'SET', 'appendonly', 'no');
  const server = await serve(cluster);
  await waitUntil(async () => (await readiness(server)).checks.every(({ ok }) => ok), 10000, 'all shards');
  const said = (await warning(server)).split('; ');
  assert.equal(said.length, 2, said);
  assert.ok(said.some((one) => one.startsWith(`shard 127.0.0.1:${first.port}: maxmemory-policy allkeys-lru may delete keys`)), said);
  assert.ok(said.some((one) => one.startsWith(`shard 127.0.0.1:${second.port}: nothing is on disk`) || one.startsWith(`shard 127.0.0.1:${second.port}: appendonly is no`)), said);
  assert.ok(!said.some((one) => one.includes(String(third.port))), said);
  assert.deepEqual([...new Set(told(server, 'redis is not safe', 'persistence').map((line) => line.server))], [`127.0.0.1:${second.port}`]);
  assert.equal((await readiness(server)).checks.find(({ name }) => name === 'redis-memory').detail, said.find((one) => one.includes('maxmemory-policy')));
  const { text } = await exchange(server.probes, 'GET', '/metrics');
  assert.match(text, /^tiketi_redis_problem\{kind="evicting_policy"\} 1$/m, 'whatever the other shards are');
  assert.equal(await risk(server, 'persistence'), 1);
});
