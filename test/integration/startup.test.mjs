// SPDX-License-Identifier: MIT
//
// What a pod must find before it may take over from another one: /readyz?deep=1 names each fault.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import pg from 'pg';
import { Organizer, Postgres, Redis, ROOT, adminToken, bearer, loginTo, runTiketi, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { NAMES, at, nobody, pod, postgresAs, redisAs } from './startup_support.mjs';

test('every check is passed, by a real write that Redis forgets; all who ask at once share it', async (t) => {
  const server = await pod(t);
  await server.passes();
  const key = 'lease:{.probe}';
  const left = await at.redis.cli('PTTL', key);
  assert.ok(left > 50000 && left <= 60000, String(left));
  await waitUntil(async () => (await at.redis.cli('DEL', key)) === 0, 2000, 'a moment without an answer to reuse');
  const before = (await at.redis.commandStats()).set;
  const answers = await Promise.all(Array.from({ length: 50 }, () => server.probe('/readyz?deep=1')));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.ok((await at.redis.commandStats()).set - before <= 2);
});

const OF_REDIS = NAMES.filter((name) => name.startsWith('redis-'));
const OF_POSTGRES = NAMES.filter((name) => name.startsWith('postgres-'));

// Each with a database or a Redis of its own.
describe('a fault', { concurrency: true }, () => {
  test('a wrong secret or address is named; the pod serves its 503s after five seconds, and never passes', async (t) => {
    await Promise.all([
      ['a wrong password of Redis', { redis: redisAs('wrong') }, 'redis', /WRONGPASS/, OF_REDIS],
      ['a wrong address of Redis', { redis: await nobody() }, 'redis', /refused/i, OF_REDIS],
      ['a wrong password of PostgreSQL', { database: postgresAs('wrong') }, 'postgres', /password authentication failed/, OF_POSTGRES],
      ['an unknown host of PostgreSQL', { database: { url: 'postgresql://tiketi@database.invalid/tiketi' } }, 'postgres', /resolved/, OF_POSTGRES],
      ['a database that does not exist', { database: { url: at.database.url.replace(at.database.name, 'nowhere') } }, 'postgres', /"nowhere" does not exist/, OF_POSTGRES],
    ].map(async ([what, options, name, pattern, others]) => {
      const server = await pod(t, options);
      const failing = await waitUntil(async () => {
        const { workers, ...now } = (await server.failing()) ?? {};
        return pattern.test(now[name] ?? '') && Object.keys(now).sort().join() === [name, ...others].sort().join() && now;
      }, 10000, what);
      for (const other of others) assert.equal(failing[other], 'not known', what);
      await waitUntil(async () => (await server.probe('/readyz')).status === 200, 10000, 'buyers need the 503 with Retry-After');
      assert.match((await server.failing())[name], pattern, what);
    }));
  });

  test('strangers, who ask HTTP_PORT, are told which checks fail, and no host, user or word of the servers', async (t) => {
    const mistakes = { redis: redisAs('wrong'), database: { url: 'postgresql://sales_admin@database.invalid/secret_sale' } };
    const words = /shop|sales_admin|secret_sale|database\.invalid|127\.0\.0\.1|WRONGPASS|resolved|generation|open \d|detail|Problem|Warning/;
    await Promise.all([{}, { METRICS_PORT: null }].map(async (env) => {
      const server = await pod(t, { ...mistakes, env });
      await waitUntil(async () => (await server.get('/readyz').catch(() => ({ status: 0 }))).status === 200, 10000, 'the port, with its 503s');
      for (const path of ['/readyz', '/readyz?deep=1', '/health', '/health?deep=1']) {
        const { status, text, body } = await server.get(path);
        assert.equal(status, path.endsWith('=1') ? 503 : 200);
        assert.doesNotMatch(text, words, path);
        assert.deepEqual([body.redis, body.postgres], ['down', 'down']);
        if (status === 200) continue;
        assert.deepEqual(body.checks.map(({ name }) => name), NAMES);
        assert.deepEqual(body.checks.filter(({ ok }) => !ok).map(({ name }) => name), NAMES.filter((name) => name !== 'workers'));
      }
      if (env.METRICS_PORT === undefined) assert.match((await server.failing()).postgres, /database\.invalid|resolved/, 'the operator is told');
      assert.ok(server.logs.some(({ message, error }) => message === 'redis connect failed' && /WRONGPASS/.test(error)), 'the log is the operator\'s, too');
    }));
  });

  test('an empty database: not ready, by name, until it is migrated; then without a restart', async (t) => {
    const empty = await at.postgres.createDatabase();
    const server = await pod(t, { database: empty });
    const failing = await server.fails('postgres-schema', /no schema.*run tiketi migrate/);
    assert.equal(failing.postgres, undefined, 'it answers');
    // Longer than the five seconds after which other pods serve.
    await staysTrueFor(5500, async () => (await server.probe('/readyz')).status === 503 && !(await server.get('/livez').catch(() => false)), 'closed ports');
    assert.deepEqual(server.logs.filter(({ error }) => /run tiketi migrate/.test(error)).map(({ level }) => level), ['warn'], 'once every half a minute');
    await runTiketi(['migrate'], { DATABASE_URL: empty.url });
    await server.passes();
    await new Organizer(server).sale({ id: uniqueId('start') });
  });

  test('a schema that is older, or too new, is refused by name, also by a pod that serves; a newer one that allows it is not', async (t) => {
    const own = await at.postgres.migrated();
    const server = await pod(t, { database: own });
    await server.passes();
    const [{ generation }] = await own.query('SELECT generation FROM schema_serves');
    const serves = (change) => own.query(`UPDATE schema_serves SET ${change}`);

    await serves('generation = generation + 3');
    const other = await pod(t, { database: own });
    await other.passes();
    assert.match((await other.probe('/readyz?deep=1')).body.checks.find(({ name }) => name === 'postgres-schema').detail, new RegExp(`^generation ${+generation + 3}, serves programs of \\d+ or newer; this program has ${generation}$`));

    await serves(`oldest = ${+generation + 1}`);
    assert.match((await server.fails('postgres-schema', /too new/, 5000))['postgres-schema'],
      new RegExp(`serves programs of generation ${+generation + 1} or newer and this one has ${generation}: start a newer release`));
    assert.equal((await server.probe('/readyz')).status, 200);
    const answer = await server.get('/api/admin/events', { headers: bearer(adminToken()) });
    assert.equal(answer.status, 503, answer.text);
    assert.ok(answer.headers['retry-after']);

    await serves(`generation = ${generation - 1}, oldest = 1`);
    await server.fails('postgres-schema', /older than this program, it has generation \d+ and this program needs \d+: run tiketi migrate/, 5000);
    await serves(`generation = ${generation}`);
    await server.passes();
    const [{ name, checksum }] = await own.query("DELETE FROM schema_migrations WHERE name = (SELECT max(name) FROM schema_migrations WHERE generation IS NULL) RETURNING *");
    await server.fails('postgres-schema', new RegExp(`it lacks migration ${name}: run tiketi migrate`), 5000);
    await own.query('INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2)', [name, checksum]);
    await server.passes();
  });

  test('a replica, memory that is full, writes that are refused', async (t) => {
    const primary = await Redis.start({ kind: 'one', args: ['--appendonly', 'no'] });
    const replica = await Redis.start({ kind: 'one', args: ['--appendonly', 'no', '--replicaof', '127.0.0.1', String(primary.port)] });
    t.after(() => Promise.all([primary.stop(), replica.stop()]));
    const wrong = await pod(t, { redis: replica });
    const failing = await wrong.fails('redis-primary', /replica/);
    assert.equal(failing.redis, undefined, 'it answers');
    const server = await pod(t, { redis: primary });
    await server.passes();
    await primary.cli('CONFIG', 'SET', 'maxmemory', '1mb');
    await server.fails('redis-write', /^OOM /, 3000);
    const late = await pod(t, { redis: primary });
    await late.fails('redis-write', /^OOM /);
    assert.match((await late.failing())['redis-memory'], /over maxmemory/);
    await primary.cli('CONFIG', 'SET', 'maxmemory', '0');
    await primary.cli('CONFIG', 'SET', 'min-replicas-to-write', '3');
    await server.fails('redis-write', /^NOREPLICAS /, 3000);
  });

  test('the ACL of the documentation is enough for the probe key, and the user of a narrower one is named', async (t) => {
    // The second one is what a cluster needs besides.
    const lines = [...readFileSync(`${ROOT}/docs/operations.md`, 'utf8').matchAll(/^ACL SETUSER tiketi (.*)$/gm)].map(([, line]) => line.replace('>PASSWORD', '>secret').split(' '));
    assert.equal(lines.length, 2);
    for (const line of lines.slice(0, at.redis.url.includes('+cluster:') ? 2 : 1)) await at.redis.cli('ACL', 'SETUSER', 'narrow', ...line);
    const server = await pod(t, { redis: loginTo(at.redis, 'narrow', 'secret') });
    await server.passes();
    await at.redis.cli('ACL', 'SETUSER', 'narrow', '-set');
    await server.fails('redis-permissions', /may not run .*SET lease:\{\.?probe\d*\}/, 5000);
  });
});

test('a standby, and a database that only reads, are named', async (t) => {
  const standby = await at.postgres.standby();
  t.after(() => standby.stop());
  const own = await at.postgres.migrated();
  await waitUntil(async () => (await own.on(standby).query('SELECT 1 FROM schema_serves')).length === 1, 10000, 'the standby to have it');
  const wrong = await pod(t, { database: own.on(standby) });
  await wrong.fails('postgres-write', /a standby, which only reads/);
  assert.equal((await wrong.probe('/readyz')).body.postgres, 'read-only');
  const server = await pod(t, { database: own });
  await server.passes();
  await at.postgres.query(`ALTER DATABASE ${own.name} SET default_transaction_read_only = on`);
  await own.query(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${own.name}' AND pid <> pg_backend_pid()`).catch(() => {});
  await server.fails('postgres-write', /read-only/);
});

test('a PostgreSQL that hangs fails within five seconds', async (t) => {
  const server = await pod(t);
  await server.passes();
  await at.postgres.pause();
  t.after(() => at.postgres.resume());
  const began = performance.now();
  await server.fails('postgres', /./, 5000);
  const took = performance.now() - began;
  assert.ok(took < 5000, `${took} ms`);
  assert.equal((await server.probe('/readyz')).status, 200);
  await at.postgres.resume();
  await server.passes();
});

test('more connections than PostgreSQL has are refused, with numbers; too few free ones are a warning', async (t) => {
  const small = await Postgres.start({ args: ['-c', 'max_connections=20', '-c', 'superuser_reserved_connections=2'] });
  t.after(() => small.stop());
  const own = await small.migrated();
  const greedy = await pod(t, { database: own, env: { DB_POOL_MAX: 30 } });
  const failing = await greedy.fails('postgres-connections', /this process may open 30 connections and PostgreSQL allows 18: lower DB_POOL_MAX or raise max_connections/);
  assert.ok(failing.workers, 'no worker serves');
  await small.query(`ALTER ROLE tiketi CONNECTION LIMIT 12`); // not for a superuser, and told all the same
  const limited = await pod(t, { database: own, env: { DB_POOL_MAX: 13 } });
  await limited.fails('postgres-connections', /may open 13 connections and PostgreSQL allows 12/);
  await greedy.kill();
  await limited.kill();
  const fits = await pod(t, { database: own, env: { DB_POOL_MAX: 6 } });
  await fits.passes();
  assert.deepEqual(fits.logs.filter(({ message }) => message === 'postgresql connections may run out'), []);
  const held = Array.from({ length: 6 }, () => new pg.Client({ connectionString: own.url, application_name: 'another shop' }));
  t.after(() => Promise.all(held.map((client) => client.end().catch(() => {}))));
  for (const client of held) {
    client.on('error', () => {});
    await client.connect();
  }
  const tight = await pod(t, { database: own, env: { DB_POOL_MAX: 11 } });
  const warning = await waitUntil(() => tight.logs.find(({ message }) => message === 'postgresql connections may run out'), 10000, 'the warning');
  assert.equal(warning.mayOpen, 11);
  assert.equal(warning.allowed, 12);
  assert.ok(warning.usedByOthers >= 6, String(warning.usedByOthers));
  await tight.passes();
  const names = await own.query("SELECT DISTINCT application_name AS name FROM pg_stat_activity WHERE application_name LIKE 'tiketi %'");
  assert.ok(names.some(({ name }) => /^tiketi \S+ api-0$/.test(name)), JSON.stringify(names));
});
