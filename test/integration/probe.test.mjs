// SPDX-License-Identifier: MIT
//
// tiketi probe: what a container's health check runs.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { Postgres, Redis, Server, freePort, runTiketi, waitUntil } from '../fixtures/index.mjs';

let redis;
let postgres;
let database;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  database = await postgres.migrated();
});
after(() => Promise.all([redis.stop(), postgres.stop()]));

const probe = (env, args = [], expect = 0) => runTiketi(['probe', ...args], env, { expect });

test('it asks what it is told to, and says what it was answered', async (t) => {
  const server = await Server.start({ redis, database });
  t.after(() => server.stop());
  const env = { HTTP_PORT: server.port };
  for (const args of [[], ['--ask', 'live'], ['--ask', 'ready'], ['--ask', 'deep']]) {
    await waitUntil(async () => (await probe(env, args, null)).code === 0, 5000, `0 of ${args}`);
    const { stdout, stderr } = await probe(env, args);
    assert.equal(stdout + stderr, '');
  }
  await redis.pause();
  t.after(() => redis.resume());
  await probe(env);
  // An answer is shared for half a second.
  await waitUntil(async () => (await probe(env, ['--ask', 'deep'], null)).code === 1, 10000, 'Redis to be missed');
  const { stderr } = await probe(env, ['--ask', 'deep'], 1);
  assert.match(stderr, new RegExp(`^tiketi probe: http://127\\.0\\.0\\.1:${server.port}/readyz\\?deep=1: 503 \\{.*"redis"`));
  // A process that hangs is not alive.
  server.child.signal('SIGSTOP');
  const began = performance.now();
  assert.match((await probe(env, ['--timeout', '300ms'], 1)).stderr, /\/livez: no answer: Connection timed out/);
  assert.ok(performance.now() - began < 3000);
  server.child.signal('SIGCONT');
});

test('with METRICS_PORT that port is asked, whatever the roles are, and at another address than all', async (t) => {
  const metrics = await freePort();
  const server = await Server.start({ redis, database, roles: 'processor', env: { METRICS_PORT: metrics, HTTP_HOST: '127.0.0.3' }, ready: false });
  t.after(() => server.stop());
  await waitUntil(async () => (await probe({ HTTP_PORT: 1, METRICS_PORT: metrics, HTTP_HOST: '127.0.0.3' }, [], null)).code === 0, 10000, 'the probe of its own port');
  assert.match((await probe({ HTTP_PORT: 1, HTTP_HOST: '127.0.0.3' }, [], 1)).stderr, /http:\/\/127\.0\.0\.3:1\/livez: nobody answers: Connection refused/);
});

test('nobody there, nobody that speaks HTTP, no port to ask', async (t) => {
  const port = await freePort();
  assert.match((await probe({ HTTP_PORT: port }, [], 1)).stderr, /nobody answers: Connection refused/);
  const stranger = createServer((socket) => socket.end('SSH-2.0-stranger\r\n\r\n')).listen(port, '127.0.0.1');
  t.after(() => stranger.close());
  assert.match((await probe({ HTTP_PORT: port }, [], 1)).stderr, /does not speak HTTP/);
  assert.match((await probe({ HTTP_PORT: 0 }, [], 78)).stderr, /HTTP_PORT and METRICS_PORT are 0/);
  assert.match((await runTiketi(['probe', '--ask', 'everything'], {}, { expect: 64 })).stderr, /--ask must be live, ready or deep, not 'everything'/);
});
