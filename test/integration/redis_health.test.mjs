// SPDX-License-Identifier: MIT
//
// Redis as others leave it: a user without a command, a replica, a cluster, no memory left, a policy that deletes
// keys. Each is refused or named by readiness, log and metric, and admits nobody.

import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { Child, Client, Organizer, Postgres, REDIS_SERVER, Redis, ROOT, Server, exchange, freePort, loginTo, privateFolder, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

let postgres;
const stores = [];
const servers = [];

before(async () => {
  postgres = await Postgres.start();
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
  await Promise.all(stores.splice(0).map((store) => store.stop()));
});
after(() => postgres?.stop());

async function store(...args) {
  const redis = await Redis.start({ kind: 'one', args: ['--appendonly', 'no', ...args] });
  stores.push(redis);
  return redis;
}

async function serve(redis, { database, ready = true, ...env } = {}) {
  const METRICS_PORT = await freePort(); // answers while the other ports still wait for Redis
  const server = new Server({ redis, database: database ?? (await postgres.migrated()), ready, env: { METRICS_PORT, ...env } });
  server.probes = `http://127.0.0.1:${METRICS_PORT}`;
  await server.start();
  servers.push(server);
  return server;
}

const deep = async (server) => (await exchange(server.probes, 'GET', '/readyz?deep=1').catch(() => undefined)) ?? { status: 0, body: {} };
const problem = async (server, kind) => {
  const { text } = await exchange(server.probes, 'GET', '/metrics');
  return Number(new RegExp(`^tiketi_redis_problem\\{kind="${kind}"\\} (.*)$`, 'm').exec(text)[1]);
};
const lines = (server, message) => server.logs.filter((line) => line.message === message);

// Waits until readiness and log name what is wrong. open: the pod serves already, and lets nobody in.
async function refused(server, pattern, { open = false } = {}) {
  const answer = await waitUntil(async () => {
    const now = await deep(server);
    return pattern.test(now.body.redisProblem ?? '') && now;
  }, 10000, `readiness to say ${pattern}`);
  assert.equal(answer.status, 503);
  assert.equal(answer.body.redis, 'down');
  if (open) {
    const check = await new Client(server, { sub: 'refused' }).check('any');
    assert.equal(check.status, 503, check.text);
    assert.ok(check.headers['retry-after']);
  }
  assert.equal((await exchange(server.probes, 'GET', '/livez')).status, 200);
  await waitUntil(() => server.logs.some((line) => /^redis connect(ion lost| failed)$/.test(line.message) && pattern.test(line.error)), 5000, 'the log to say it');
}

const aclLine = /^ACL SETUSER tiketi (.*)$/m.exec(readFileSync(`${ROOT}/docs/operations.md`, 'utf8'))[1].replace('>PASSWORD', '>secret').split(' ');
const login = (redis, user) => loginTo(redis, user, 'secret');

test('a user without XADD: refused by name before anybody is admitted; back within a second of the grant', { timeout: 60000 }, async () => {
  const redis = await store();
  await redis.cli('ACL', 'SETUSER', 'tiketi', ...aclLine, '-xadd', '-zrem');
  const server = await serve(login(redis, 'tiketi'), { ready: false });
  await refused(server, /may not run XADD log:\{probe\}, .*ZREM active:place:\{probe\}, .*ZREM queue:seen:\{probe\}/);
  assert.equal(await problem(server, 'permission'), 1);
  await redis.cli('ACL', 'SETUSER', 'tiketi', '+xadd', '+zrem');
  await waitUntil(async () => (await deep(server)).status === 200, 3000, 'the connection');
  await waitUntil(async () => (await problem(server, 'permission')) === 0, 3000, 'every worker to find it so');
  assert.ok(lines(server, 'redis connect failed').length < 6, 'logged once per change and every tenth second, not per attempt');
});

test('XADD is taken away from a running service: 503, nobody inside, named within two seconds', { timeout: 60000 }, async () => {
  const redis = await store();
  await redis.cli('ACL', 'SETUSER', 'tiketi', ...aclLine);
  const server = await serve(login(redis, 'tiketi'));
  const event = await new Organizer(server).sale({ threshold: 5, intervalMs: 100 });
  await redis.cli('ACL', 'SETUSER', 'tiketi', '-xadd');
  for (let i = 0; i < 3; i++) {
    const buyer = new Client(server, { sub: `x${i}` });
    assert.equal((await buyer.check(event.id)).status, 503, 'never 500: another try is right');
  }
  await refused(server, /may not run XADD log:\{probe\}/, { open: true });
  assert.equal(await redis.cli('SCARD', `active:{${event.id}}`), 0);
  assert.equal(await redis.cli('EXISTS', `log:{${event.id}}`), 0);
  assert.equal(await redis.cli('HGET', `stats:{${event.id}}`, 'admitted'), null);
  await redis.cli('ACL', 'SETUSER', 'tiketi', '+xadd');
  await waitUntil(async () => (await new Client(server, { sub: 'later' }).check(event.id)).body.status === 'active', 5000, 'service');
});

test('Redis refuses writes: readiness, log and metric say so, and joins get 503', { timeout: 60000 }, async () => {
  const redis = await store();
  const server = await serve(redis);
  const event = await new Organizer(server).sale({ threshold: 1, intervalMs: 100 });
  for (const [setting, bad, good, pattern] of [
    ['maxmemory', '1mb', '0', /^OOM /], ['min-replicas-to-write', '1', '0', /^NOREPLICAS /]]) {
    await redis.cli('CONFIG', 'SET', setting, bad);
    const answer = await waitUntil(async () => {
      const now = await deep(server);
      return now.status === 503 && now;
    }, 3000, `${setting} to be noticed`);
    assert.equal(answer.body.redis, 'read-only');
    assert.match(answer.body.redisProblem, pattern);
    assert.equal((await server.get('/readyz')).status, 200, 'a backend takes no pod out');
    assert.equal((await new Client(server, { sub: setting }).check(event.id)).status, 503);
    assert.equal(await problem(server, 'writes_refused'), 1);
    assert.ok(lines(server, 'redis refuses writes').some((line) => pattern.test(line.error)));
    await redis.cli('CONFIG', 'SET', setting, good);
    await waitUntil(async () => (await deep(server)).status === 200, 3000, 'writes again');
  }
  await waitUntil(async () => (await problem(server, 'writes_refused')) === 0, 3000, 'every worker to find it so');
  const said = lines(server, 'redis refuses writes').length;
  assert.ok(said >= 2 && said <= 6, `once per change and worker, not each second: ${said}`);
});

test('a save that failed (MISCONF): readiness names it, and a new connection does too', { timeout: 60000 }, async () => {
  const redis = await store();
  const server = await serve(redis);
  await redis.cli('CONFIG', 'SET', 'save', '3600 1');
  rmSync(redis.folder, { recursive: true });
  await redis.cli('BGSAVE');
  await waitUntil(async () => /^MISCONF /.test((await deep(server)).body.redisProblem ?? ''), 5000, 'the failed save');
  const fresh = await serve(redis, { ready: false });
  await waitUntil(async () => /^MISCONF /.test((await deep(fresh)).body.redisProblem ?? ''), 5000, 'the new connection to be refused');
  await redis.cli('CONFIG', 'SET', 'stop-writes-on-bgsave-error', 'no');
  await waitUntil(async () => (await deep(server)).status === 200 && (await deep(fresh)).status === 200, 5000, 'writes again');
});

test('a policy that deletes keys, and memory nearly full: named, and nobody is turned away', { timeout: 60000 }, async () => {
  const redis = await store('--maxmemory', '1gb', '--maxmemory-policy', 'allkeys-lru');
  const server = await serve(redis);
  const { status, body } = await deep(server);
  assert.equal(status, 200);
  assert.match(body.redisWarning, /maxmemory-policy allkeys-lru may delete keys/);
  assert.equal(await problem(server, 'evicting_policy'), 1);
  assert.ok(lines(server, 'redis is not safe').length >= 1);
  await redis.cli('CONFIG', 'SET', 'maxmemory-policy', 'noeviction');
  await redis.cli('SETRANGE', 'filler', 30 << 20, 'x'); // so that a connection more or less does not count
  const used = Number(/used_memory:(\d+)/.exec(await redis.client.info('memory'))[1]);
  await redis.cli('CONFIG', 'SET', 'maxmemory', Math.ceil(used * 1.06));
  const full = await serve(redis);
  assert.match((await deep(full)).body.redisWarning ?? '', /more than 90 % of maxmemory/);
  assert.equal(await problem(full, 'memory'), 1);
});

test('a replica is refused by name; when it becomes the primary it is used', { timeout: 60000 }, async () => {
  const primary = await store();
  const replica = await store('--replicaof', '127.0.0.1', String(primary.port));
  const server = await serve(replica, { ready: false });
  await refused(server, /this Redis is a replica: REDIS_URL must lead to the primary/);
  assert.equal(await problem(server, 'replica'), 1);
  await replica.cli('REPLICAOF', 'NO', 'ONE');
  await waitUntil(async () => (await deep(server)).status === 200, 3000, 'the new primary');
  await waitUntil(async () => (await problem(server, 'replica')) === 0, 3000, 'every worker to find it so');
});

// The old primary came back and is demoted: even one that lets replicas be written to admits nobody from then on.
test('a primary that becomes a replica under a running service is left within a second, writable or not', { timeout: 60000 }, async () => {
  const [primary, old] = [await store(), await store('--replica-read-only', 'no')];
  const server = await serve(old);
  const event = await new Organizer(server).sale({ threshold: 1000, intervalMs: 100 });
  assert.equal((await new Client(server, { sub: 'before' }).check(event.id)).body.status, 'active');
  await old.cli('REPLICAOF', '127.0.0.1', primary.port);
  await refused(server, /this Redis is a replica/, { open: true });
  let n = 0;
  await staysTrueFor(1500, async () => (await new Client(server, { sub: `after${n++}` }).check(event.id)).status === 503, 'nobody is let in');
  assert.ok(!(await old.client.smembers(`active:{${event.id}}`)).some((buyer) => buyer.startsWith('u:after')));
});

test('a Sentinel is refused by name', { timeout: 60000 }, async () => {
  const folder = privateFolder('sentinel');
  const port = await freePort();
  writeFileSync(`${folder}/sentinel.conf`, `port ${port}\nbind 127.0.0.1\ndir ${folder}\n`);
  const sentinel = new Child(REDIS_SERVER, [`${folder}/sentinel.conf`, '--sentinel']);
  const server = await serve({ url: `redis://127.0.0.1:${port}` }, { ready: false });
  await refused(server, /this is a Redis Sentinel: REDIS_URL must begin with redis\+sentinel/);
  await sentinel.end();
});

test('a node of a Redis Cluster behind the URL of a single server is refused by name', { timeout: 60000 }, async () => {
  const redis = await store('--cluster-enabled', 'yes', '--cluster-port', String(await freePort())); // by default the port + 10,000, which may be none
  const server = await serve(redis, { ready: false });
  await refused(server, /this Redis is a node of a cluster: REDIS_URL must begin with redis\+cluster:/);
  assert.equal(await problem(server, 'cluster'), 1);
});
