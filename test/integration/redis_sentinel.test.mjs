// SPDX-License-Identifier: MIT
//
// Redis with Sentinels, over TLS and with passwords: pods find the primary by them, follow a failover, and outlive the Sentinels.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import {
  Client, Organizer, Postgres, Provider, Redis, SECRETS, SLOW, Server, freePort, keeper, privateFolder, exchange, runTiketi, staysTrueFor, waitUntil,
} from '../fixtures/index.mjs';

const keep = keeper();
const skip = process.env.TIKETI_REDIS_SERVER ? 'the Sentinels are those of redis-server' : false;
const folder = privateFolder('sentinel-test');
const [redis, postgres] = await Promise.all([
  keep(Redis.start({ kind: 'sentinel', downAfterMs: 1000, tls: {}, password: 'of-redis', sentinelPassword: 'of-sentinels' })), keep(Postgres.start()),
]);
const REDIS_SENTINEL_PASSWORD = redis.sentinelPassword;

const lines = (server, message) => server.logs.filter((line) => line.message === message);
// Every connection to Redis of this pod, by the port that it was made to last: commands and subscription of three workers.
const portOf = (server) => new Set(lines(server, 'redis connected').slice(-6).map(({ port }) => port));
const isAt = (server, { port }) => portOf(server).size === 1 && portOf(server).has(port);

const KEPT = { overAdmissions: 0, orderBreaks: 0, outflowBreaks: 0, lostPlaces: 0, missedTurnsLost: 0, risenPositions: 0, doubleSales: 0, unmatchedMoney: 0, chargedForNothing: 0 };

async function crowd(server, id, users) {
  const file = `${folder}/${id}.json`;
  const env = { ...SECRETS, HTTP_PORT: server.port, WS_PORT: server.wsPort, REDIS_URL: redis.url, DATABASE_URL: server.database.url, REDIS_SENTINEL_PASSWORD, LOG_LEVEL: 'warn' };
  const provider = await Provider.start({ server });
  const run = await runTiketi(['crowd', '--json', file, '--provider', provider.url, '--event', id, '--users', String(users), '--arrive', '2s', '--buy', '1', '--abandon', '0',
    '--think', '300ms..1s', '--max-time', `${120 * SLOW}s`, '--url', server.url, '--ws', server.wsUrl], env, { timeoutMs: 150000 * SLOW, expect: null }).finally(() => provider.stop());
  assert.equal(run.code, 0, run.stdout + run.stderr);
  return { ...run, report: JSON.parse(readFileSync(file, 'utf8')) };
}

test('passwords of Redis and of its Sentinels, over TLS; what is wrong has a name', { timeout: 60000, skip }, async () => {
  const database = await postgres.migrated();
  const check = async (env, url = redis.url) => (await runTiketi(['serve', '--check-config'], { REDIS_URL: url, DATABASE_URL: database.url, ...env }, { expect: null })).stdout;
  const known = { REDIS_SENTINEL_PASSWORD };
  assert.match(await check(known), /^ok +REDIS_URL: reached/m);
  assert.match(await check({}), /^problem +REDIS_URL: no Sentinel can be asked: 127\.0\.0\.1:\d+: NOAUTH .*set REDIS_SENTINEL_PASSWORD/m);
  assert.match(await check({ REDIS_SENTINEL_PASSWORD: 'wrong' }), /^problem +REDIS_URL: no Sentinel can be asked: .*WRONGPASS/m);
  assert.match(await check(known, redis.url.replace('of-redis', 'wrong')), /^problem +REDIS_URL: .*WRONGPASS/m);
  assert.match(await check(known, redis.url.replace('mymaster', 'other')), /^problem +REDIS_URL: Sentinel 127\.0\.0\.1:\d+, asked for other: it knows no primary of that name/m);
  // The first Sentinel of the URL is away: the next one is asked.
  assert.match(await check(known, redis.url.replace(/@[^,]+/, `@127.0.0.1:${await freePort()}`)), /^ok +REDIS_URL: reached/m);
  const { stdout } = await runTiketi(['erase', '--buyer', 'u:nobody'], { REDIS_URL: redis.url, DATABASE_URL: database.url, ...known });
  assert.ok(stdout);
});

test('a sale goes through a failover by command and one by kill -9, and keeps every promise', { timeout: 200000, skip }, async (t) => {
  const server = await keep(Server.start({ redis, database: await postgres.migrated(), env: { REDIS_SENTINEL_PASSWORD, RESTORE_MS: 3000 } }));
  const event = await new Organizer(server).sale({ threshold: 8, intervalMs: 100, grid: { rows: 4, seatsPerRow: 20 } });
  const sold = async () => (await server.database.query("SELECT FROM reservations WHERE status = 'confirmed'")).length;
  const [first, second] = redis.servers;
  assert.ok(isAt(server, first));
  const failing = (async () => {
    await waitUntil(async () => (await sold()) >= 8, 60000, 'eight sales');
    await redis.failover();
    await waitUntil(() => isAt(server, second), 5000, 'the pod to be at the new primary');
    assert.ok(lines(server, 'redis connection lost').some(({ error }) => error === 'Sentinel has made another server the primary'), 'it left before a command failed');
    const before = await sold();
    await waitUntil(async () => (await sold()) >= before + 8, 60000, 'eight more sales');
    await waitUntil(async () => /^master_link_status:up/m.test(await first.client.info('replication')), 20000, 'the old primary to follow the new one');
    await second.kill();
    const killed = performance.now();
    await waitUntil(() => isAt(server, first), 30000, 'the pod to be at the first server again');
    t.diagnostic(`at the new primary ${Math.round(performance.now() - killed)} ms after kill -9 (Sentinel waits ${redis.downAfterMs} ms by its settings)`);
    await second.start(); // it believes to be a primary until a Sentinel tells it otherwise
    await waitUntil(async () => /^role:slave/m.test(await second.client.info('replication')), 30000, 'the old primary to become a replica');
    assert.ok(isAt(server, first), 'nobody goes back to it');
  })();
  const [{ report, stdout, code }] = await Promise.all([crowd(server, event.id, 100), failing]);
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(code, 0, stdout);
  assert.equal(report.ended.bought, 80, stdout);
  await server.stop();
  keep.forget(server);
});

test('all Sentinels away: connected pods go on, a new one says which it asked, and all follow the next failover', { timeout: 120000, skip }, async () => {
  const database = await postgres.migrated();
  const server = await keep(Server.start({ redis, database, env: { REDIS_SENTINEL_PASSWORD } }));
  const event = await new Organizer(server).sale({ threshold: 100, intervalMs: 100 });
  const before = lines(server, 'redis connection lost').length;
  const away = redis.sentinels.map(({ child }) => child.end('SIGKILL'));
  await Promise.all(away);
  let joined = 0;
  await staysTrueFor(1500, async () => (await new Client(server, { sub: `b${joined++}` }).check(event.id)).body.status === 'active', 'joins without any Sentinel');
  assert.equal(lines(server, 'redis connection lost').length, before);
  assert.ok(lines(server, 'sentinel connection lost').length > 0);

  const METRICS_PORT = await freePort();
  const fresh = new Server({ redis, database, ready: false, env: { METRICS_PORT, REDIS_SENTINEL_PASSWORD } });
  await fresh.start();
  await keep(fresh);
  await waitUntil(async () => {
    const { body } = await exchange(`http://127.0.0.1:${METRICS_PORT}`, 'GET', '/readyz');
    return /^no Sentinel can be asked: 127\.0\.0\.1:\d+: Connection refused/.test(body.redisProblem ?? '');
  }, 10000, 'the new pod to say so');

  for (const sentinel of redis.sentinels) redis.startSentinel(sentinel);
  await fresh.waitReady();
  const old = await redis.primary();
  await waitUntil(async () => (await redis.stateAt(redis.sentinels[0].client))['num-other-sentinels'] === '2', 20000, 'the Sentinels to find each other');
  await redis.failover();
  const now = await redis.primary();
  assert.notEqual(now, old);
  await waitUntil(() => isAt(server, now) && isAt(fresh, now), 10000, 'both pods at the new primary');
  assert.equal((await new Client(fresh, { sub: 'after' }).check(event.id)).body.status, 'active');
});
