// SPDX-License-Identifier: MIT
//
// docs/runbook.md, played: the trouble is made, what "Find out" tells finds it, and what "Do" tells mends it, with the commands as
// they stand there. The table at its end names the tests of the other parts (runbook_commands.test.mjs).

import assert from 'node:assert/strict';
import { connect, createServer } from 'node:net';
import { test } from 'node:test';
import pg from 'pg';
import { Client, Organizer, Postgres, Redis, Server, Shell, Socket, freePort, keeper, staysTrueFor, waitUntil } from '../fixtures/index.mjs';
import { step } from './runbook_support.mjs';

const keep = keeper();
const [redis, postgres] = await Promise.all([keep(Redis.start()), keep(Postgres.start())]);
const database = await postgres.migrated();
const env = { TRUSTED_PROXIES: '127.0.0.0/8', WS_PING_MS: 25000 };
const front = await keep(Server.start({ redis, database, roles: 'api,gateway', env }));
const worker = await keep(Server.start({ redis, database, roles: 'processor' }));
const organizer = new Organizer(front);
const shell = await keep(new Shell({ redis, database, server: front }));

async function sale(settings = {}) {
  const event = await organizer.sale({ threshold: 50, autoHold: 0, placesPerNetwork: 0, ...settings });
  shell.places.EVENT = event.id;
  await waitUntil(() => redis.cli('EXISTS', `lease:{${event.id}}`), 10000, 'a processor');
  return event;
}
const from = (address) => ({ headers: { 'x-forwarded-for': address } });

test('the queue grows and nobody enters: a processor hangs; another is started', async () => {
  const event = await sale({ threshold: 1 });
  await new Client(front, { sub: 'inside' }).check(event.id);
  const waiting = new Client(front, { sub: 'waits' });
  assert.equal((await waiting.check(event.id)).body.status, 'queued');
  const { stdout: held } = await shell.run(step(/^redis-cli GET 'lease:/));
  assert.match(held, /^\d+:/);
  await worker.pause();
  const lease = step(/^redis-cli GET 'lease:/);
  await waitUntil(async () => (await shell.run(lease)).stdout.trim() === '', 8000, 'the lease to end: nobody tries');
  assert.equal((await shell.run(step(/^tiketi ctl process EVENT$/))).code, 3, '503: no processor works');
  await organizer.patch(event.id, { threshold: 2 });
  const other = await Server.start({ redis, database, roles: 'processor' }); // kubectl scale, below
  await waitUntil(async () => (await waiting.status(event.id)).body.status === 'active', 8000, 'the next in line to enter');
  const { code: exit, output } = await shell.run('tiketi ctl process EVENT');
  assert.equal(exit, 0, output);
  assert.match((await shell.run(step(/^redis-cli PTTL 'lease:/))).stdout, /^[12]\d{3}$|^3000$/m);
  await other.stop();
  await worker.resume();
});

test('sockets drop at the idle timeout of a proxy; with pings below it they stay', async () => {
  const event = await sale({ threshold: 0 });
  let target = front.wsPort;
  const proxy = createServer((client) => {
    const upstream = connect(target, '127.0.0.1');
    for (const [socket, other] of [[client, upstream], [upstream, client]]) {
      socket.on('error', () => {}).on('close', () => other.destroy());
      socket.pipe(other);
      socket.setTimeout(1600, () => socket.destroy());
    }
  });
  const port = await freePort();
  await new Promise((resolve) => proxy.listen(port, '127.0.0.1', resolve));
  await keep({ stop: () => proxy.close() });
  const open = async (server, sub) => {
    const buyer = new Client(server, { sub });
    await buyer.check(event.id);
    const socket = await Socket.open(server, { url: `ws://127.0.0.1:${port}/ws` });
    socket.join(buyer, event.id);
    await socket.next('queue-position');
    return socket;
  };
  const cut = await open(front, 'cut');
  assert.equal((await cut.closed).code, 1006, 'without a close frame');
  await waitUntil(async () => (await front.metric('tiketi_websocket_closed_total{reason="lost"}')) >= 1, 5000, 'the reason that the runbook asks for');
  assert.ok(step(/^sum\(tiketi_websocket_open\) .*reason="lost"/));
  const gateway = await keep(Server.start({ redis, database, roles: 'api,gateway', env: { ...env, WS_PING_MS: 1000 } }));
  target = gateway.wsPort;
  const kept = await open(gateway, 'kept');
  await staysTrueFor(2500, () => !kept.end, 'the socket');
});

test('a crash loop: exit 78, and --check-config names all that is wrong', async () => {
  const wrong = new Shell({ redis, database, server: front, env: { QUEUE_THRESHOLD: 'many', LOG_LEVEL: 'loud', HTTP_PORT: await freePort() } });
  try {
    const { code: exit, output } = await wrong.run('tiketi serve');
    assert.equal(exit, 78);
    assert.match(output, /QUEUE_THRESHOLD: must be an integer/);
    const { code: checked, output: all } = await wrong.run(step(/^tiketi serve --check-config$/));
    assert.equal(checked, 78);
    for (const name of ['QUEUE_THRESHOLD', 'LOG_LEVEL']) assert.match(all, new RegExp(`^problem  ${name}: `, 'm'));
  } finally {
    wrong.stop();
  }
});

test('PostgreSQL is slow: who blocks is found, and ended', async () => {
  const event = await sale({ grid: { rows: 1, seatsPerRow: 10 } });
  const buyer = new Client(front, { sub: 'blocked' });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 10000, 'a buyer inside');
  const locker = new pg.Client({ connectionString: database.url });
  locker.on('error', () => {});
  await locker.connect();
  await locker.query('BEGIN');
  await locker.query('LOCK TABLE seats IN ACCESS EXCLUSIVE MODE');
  const [{ pid }] = (await locker.query('SELECT pg_backend_pid() AS pid')).rows;
  const refused = buyer.reserve({ eventId: event.id, quantity: 1 });
  const find = step(/^psql .*blocked_by/);
  const { stdout } = await waitUntil(async () => {
    const seen = await shell.run(find);
    return seen.stdout.includes(`{${pid}}`) && seen;
  }, 10000, 'who is blocked by whom');
  assert.match(stdout, /Lock/);
  assert.equal((await refused).status, 503);
  await database.query(step(/^SELECT pg_terminate_backend\(PID\)$/).replace('PID', String(pid)));
  await waitUntil(async () => (await buyer.reserve({ eventId: event.id, quantity: 1 })).status === 201, 10000, 'a hold');
  await locker.end().catch(() => {});
});

test("memory: Redis is full, and refuses writes; it is given more", async () => {
  const event = await sale();
  await redis.cli('CONFIG', 'SET', 'maxmemory', '1mb');
  await waitUntil(async () => (await new Client(front, { sub: 'full' }).check(event.id)).status === 503, 10000, 'joins to be refused');
  const find = step(/^curl .*readyz\?deep=1.*jq/);
  assert.match((await waitUntil(async () => {
    const seen = await shell.run(find);
    return /redis-/.test(seen.output) && seen;
  }, 10000, 'readiness to name it')).output, /"redis-(?:memory|write)"/);
  const { output } = await shell.run(step(/^redis-cli INFO memory persistence replication$/));
  assert.match(output, /^maxmemory:1048576/m);
  await shell.run(`redis-cli ${step(/^CONFIG SET maxmemory 4gb$/)}`);
  await waitUntil(async () => (await new Client(front, { sub: 'full' }).check(event.id)).status === 200, 10000, 'joins');
  await redis.cli('CONFIG', 'SET', 'maxmemory-policy', 'allkeys-lru');
  await shell.run(step(/^redis-cli CONFIG SET maxmemory-policy noeviction$/));
  assert.deepEqual(await redis.cli('CONFIG', 'GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction']);
});

test('a flood: its network is named, and held; for one that is known the limit is raised', async () => {
  const event = await sale({ placesPerNetwork: 20 });
  const join = (i, network = '203.0.113') => new Client(front, { sub: `flood-${network}-${i}` }).check(event.id, from(`${network}.${i}`));
  for (let i = 1; i <= 20; i++) assert.equal((await join(i)).status, 200);
  assert.equal((await join(21)).body.code, 'network-limit');
  assert.equal((await join(1, '198.51.100')).status, 200, 'another network is not affected');
  const { networks } = await organizer.stats(event.id);
  assert.deepEqual([networks[0].network, networks[0].refused], ['203.0.113.0/24', 1]);
  const { code: exit, output } = await shell.run(step(/^tiketi ctl set EVENT placesPerNetwork=/));
  assert.equal(exit, 0, output);
  await waitUntil(async () => (await join(22)).status === 200, 5000, 'the limit to be raised');
});
