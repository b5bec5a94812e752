// SPDX-License-Identifier: MIT
//
// The service under a service manager: when it says that it is ready, how it answers the watchdog, what it says of a
// reload and of its end.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { Postgres, Redis, Server, privateFolder, runTiketi, staysTrueFor, waitUntil } from '../fixtures/index.mjs';
import { Manager, stall, threads } from '../fixtures/manager.mjs';

const DRAIN_MS = 20000;

let redis, postgres, database, manager, server;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  database = await postgres.migrated();
});
afterEach(async () => {
  await server?.kill();
  await manager?.stop();
});
after(async () => {
  await redis?.stop();
  await postgres?.stop();
});

async function serve(env = {}, options = {}) {
  manager = await Manager.start();
  server = await Server.start({ redis, database, ready: false, ...options, env: { NOTIFY_SOCKET: manager.path, DRAIN_MS, ...env } });
}

test('the manager hears of readiness when the service serves, not before', async () => {
  const empty = await postgres.createDatabase();
  await serve({}, { database: empty });
  await waitUntil(() => server.logs.some(({ error }) => /run tiketi migrate/.test(error ?? '')), 15000, 'the log line about the schema');
  await manager.heard(/^STATUS=waiting/); // which may come later than the line
  assert.deepEqual(manager.said, ['STATUS=waiting for Redis and PostgreSQL']);
  await runTiketi(['migrate'], { DATABASE_URL: empty.url });
  await manager.heard(/^READY=1 STATUS=serving$/);
  assert.equal((await server.get('/readyz')).status, 200);
  assert.equal(manager.count(/READY=1/), 1);
});

test('a reload is begun and ended, also a refused one; the end asks for as much time as the drain may take', async () => {
  const file = join(privateFolder('manager'), 'tiketi.ini');
  writeFileSync(file, 'log_level = info\n', { mode: 0o600 });
  await serve({ LOG_LEVEL: null }, { args: ['--config', file] });
  await manager.heard(/^READY=1/);
  for (const [text, line, count] of [['log_level = warn\n', 'setting changed', 2], ['log_level = loud\n', 'reload refused, all settings stay as they are', 3]]) {
    writeFileSync(file, text);
    server.child.signal('SIGHUP');
    await waitUntil(() => manager.count(/^READY=1/) === count, 15000, 'the end of the reload');
    assert.ok(server.logs.some(({ message }) => message === line), line);
  }
  assert.match(manager.said.at(-2), /^RELOADING=1 MONOTONIC_USEC=\d{6,}$/);
  await server.stop();
  assert.match(await manager.heard(/^STOPPING=1/), / EXTEND_TIMEOUT_USEC=23000000$/);
  assert.equal(manager.count(/^WATCHDOG/), 0); // nobody asked for it
});

test('the watchdog is answered while every worker turns, and only then', async (t) => {
  await serve({ WATCHDOG_USEC: 1200000 });
  await manager.heard(/^READY=1/);
  await waitUntil(() => manager.count(/^WATCHDOG=1$/) >= 3, 15000, 'three answers to the watchdog');
  const [, worker] = threads(server.pid);
  let stopped;
  try {
    stopped = await stall(worker);
  } catch (error) {
    t.skip(`a thread of another process cannot be stopped here: ${error.message}`);
    return;
  }
  await waitUntil(() => server.logs.some(({ message, worker: name }) => message === 'worker does not answer, the watchdog is not told' && name === 'api-0'), 15000, 'the log line');
  const answers = manager.count(/^WATCHDOG/);
  await staysTrueFor(1500, () => manager.count(/^WATCHDOG/) === answers, 'no answer to the watchdog');
  await stopped.end();
  await waitUntil(() => manager.count(/^WATCHDOG/) > answers, 15000, 'an answer to the watchdog');
  assert.ok(server.logs.some(({ message }) => message === 'worker answers again'));
});

test('the watchdog of another process is not answered', async () => {
  await serve({ WATCHDOG_USEC: 400000, WATCHDOG_PID: 1 });
  await manager.heard(/^READY=1/);
  await staysTrueFor(600, () => manager.count(/^WATCHDOG/) === 0, 'no answer to the watchdog');
});

test('the service goes on without its manager', async () => {
  await serve({ WATCHDOG_USEC: 200000 });
  await manager.heard(/^WATCHDOG=1/);
  await manager.stop();
  await server.waitReady();
  assert.equal((await server.get('/livez')).status, 200);
  await server.stop();
});
