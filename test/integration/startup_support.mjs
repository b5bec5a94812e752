// SPDX-License-Identifier: MIT
//
// What the tests of starting pods share: Redis and PostgreSQL with passwords, and pods that are asked by their probes.

import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before } from 'node:test';
import { Postgres, Redis, Server, exchange, freePort, loginTo, waitUntil } from '../fixtures/index.mjs';

export const NAMES = ['workers', 'redis', 'redis-shards', 'redis-primary', 'redis-permissions', 'redis-write', 'redis-memory',
  'postgres', 'postgres-encoding', 'postgres-schema', 'postgres-write', 'postgres-connections'];

export const at = {}; // redis, postgres, database

before(async () => {
  const [postgres, redis] = await Promise.all([Postgres.start(), Redis.start()]);
  Object.assign(at, { postgres, redis, database: await postgres.migrated() });
  await redis.cli('ACL', 'SETUSER', 'shop', 'on', '>right', 'allkeys', 'allchannels', 'allcommands');
  await postgres.query("CREATE ROLE shop LOGIN SUPERUSER PASSWORD 'right'");
  const rules = `${postgres.folder}/data/pg_hba.conf`;
  writeFileSync(rules, `host all shop 127.0.0.1/32 scram-sha-256\n${readFileSync(rules, 'utf8')}`);
  await postgres.query('SELECT pg_reload_conf()');
});
after(async () => {
  await at.redis?.stop();
  await at.postgres?.stop();
});

export const redisAs = (password) => loginTo(at.redis, 'shop', password);
export const postgresAs = (password) => ({ url: `postgresql://shop:${password}@127.0.0.1:${at.postgres.port}/${at.database.name}` });
export const nobody = async () => ({ url: `redis://127.0.0.1:${await freePort()}` });

// options: those of a Server.
export async function pod(t, options = {}) {
  const server = new Server({ redis: at.redis, database: at.database, ready: false, roles: 'api', ...options, env: { METRICS_PORT: await freePort(), ...options.env } });
  t.after(() => server.kill());
  await server.start();
  server.probe = (path) => exchange(`http://127.0.0.1:${server.env.METRICS_PORT}`, 'GET', path).catch(() => ({ status: 0, body: {} }));
  server.failing = async () => {
    const { status, body } = await server.probe('/readyz?deep=1');
    if (status === 0) return undefined;
    assert.deepEqual(body.checks.map(({ name }) => name), NAMES);
    const failed = body.checks.filter(({ ok }) => !ok);
    assert.equal(status, failed.length === 0 ? 200 : 503);
    return Object.fromEntries(failed.map(({ name, detail }) => [name, detail]));
  };
  // Waits until the check fails with this detail; returns all that fail.
  server.fails = async (name, pattern, timeoutMs = 10000) => {
    let failing;
    await waitUntil(async () => {
      failing = await server.failing();
      return pattern.test(failing?.[name] ?? '');
    }, timeoutMs, `${name} to fail`).catch((error) => {
      throw new Error(`${error.message}; failing: ${JSON.stringify(failing)}`);
    });
    return failing;
  };
  server.passes = () => waitUntil(async () => Object.keys((await server.failing()) ?? NAMES).length === 0, 10000, 'every check to pass');
  return server;
}
