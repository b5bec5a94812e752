// SPDX-License-Identifier: MIT
//
// SIGHUP: the settings that may change are in force on every worker without a closed socket or a failed request; those
// that may not are named; a wrong one changes nothing. Signals that are no reason to end do not.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { Agent } from 'node:http';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  Client, Organizer, SECRETS, SLOW, Server, Socket, exchange, jwt, many, privateFolder, stage, staysTrueFor, waitUntil, within,
} from '../fixtures/index.mjs';

const folder = privateFolder('reload');
const { redis, database } = await stage();
const WORKERS = { API_WORKERS: 2, GATEWAY_WORKERS: 2, DB_POOL_MAX: 8 };
const SECOND_KEY = `k2:${'fedcba9876543210'.repeat(4)}`;

// A pod whose settings are read from files, and what rewrites them.
async function pod(t, values, env = {}) {
  const name = (setting) => join(folder, `${t.name.slice(0, 12).replace(/\W/g, '')}-${setting}`);
  const write = (changed) => Object.entries(changed).forEach(([setting, value]) => writeFileSync(name(setting), `${value}\n`));
  write(values);
  const files = Object.keys(values).flatMap((setting) => [[setting, null], [`${setting}_FILE`, name(setting)]]);
  const server = await Server.start({ redis, database, env: { ...WORKERS, ...env, ...Object.fromEntries(files) } });
  t.after(() => server.kill());
  const said = (message) => server.logs.filter((line) => line.message === message);
  // Sends SIGHUP and waits for the line that ends a reload.
  const reload = async (changed, message = 'reloaded') => {
    write(changed);
    const before = said(message).length;
    server.child.signal('SIGHUP');
    await waitUntil(() => said(message).length > before, 10000, message);
  };
  return { server, reload, said };
}

const allowed = async (server, origin) => (await server.get('/api/events', { headers: { origin } })).headers['access-control-allow-origin'] === origin;

// Every worker takes its turn: a connection may be accepted by any of them.
const everywhere = async (condition, what) => waitUntil(async () => {
  for (let i = 0; i < 12; i++) if (!(await condition())) return false;
  return true;
}, 10000, what);

test('a reload under load: origins and limits are in force, no request fails, no socket closes', { timeout: 60000 * SLOW }, async (t) => {
  const proxy = { TRUSTED_PROXIES: '127.0.0.0/8' };
  const { server, reload, said } = await pod(t, { ALLOWED_ORIGINS: 'https://old.example', RATE_LIMIT_PER_IP: 100000, WS_SOCKETS_PER_IP: 5000 }, proxy);
  const event = await new Organizer(server).sale({ threshold: 1, intervalMs: 100 });
  const buyers = Array.from({ length: 16 }, (_, i) => new Client(server, { sub: `reload-${i}` }));
  await many(buyers, 8, (buyer) => buyer.check(event.id));
  const sockets = await many(buyers, 8, async (buyer) => {
    const socket = await Socket.open(server, { headers: { 'x-forwarded-for': '192.0.2.9' } });
    socket.join(buyer, event.id);
    return socket;
  });
  const agent = new Agent({ keepAlive: true });
  const statuses = new Map();
  let going = true;
  const load = buyers.map(async (buyer, i) => {
    while (going) {
      const { status } = await buyer.status(event.id, { agent, headers: { 'x-forwarded-for': `198.51.100.${i + 1}` } });
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
    }
  });
  t.after(() => { going = false; agent.destroy(); });
  await waitUntil(() => statuses.get(200) > 50, 10000, 'load');
  assert.ok(await allowed(server, 'https://old.example'));

  // The load stays below its limit: it is 16 addresses, and the one that is refused another.
  for (let round = 0; round < 5; round++) {
    await reload({ ALLOWED_ORIGINS: round % 2 ? 'https://old.example' : 'https://new.example', RATE_LIMIT_PER_IP: 100000 - round });
  }
  await everywhere(() => allowed(server, 'https://new.example'), 'the new origin');
  assert.equal(await allowed(server, 'https://old.example'), false);
  const socketOf = (origin) => Socket.open(server, { origin, headers: { 'x-forwarded-for': '203.0.113.200' } });
  await everywhere(async () => (await socketOf('https://new.example')).close(), 'the origin at the gateway');
  await assert.rejects(socketOf('https://old.example'), { status: 403 });

  await reload({ RATE_LIMIT_PER_IP: 1 }); // ten at once, on two workers together
  going = false;
  await Promise.all(load);
  const flood = await many(Array.from({ length: 60 }), 8, async () => (await server.get('/api/events', { headers: { 'x-forwarded-for': '203.0.113.7' } })).status);
  const passed = flood.filter((status) => status === 200).length;
  assert.ok(passed >= 10 && passed <= 15, `${passed} of 60 passed`);
  assert.equal(flood.filter((status) => status === 429).length, 60 - passed);

  await reload({ WS_SOCKETS_PER_IP: 1, RATE_LIMIT_PER_IP: 1000 });
  const refused = await many(Array.from({ length: 6 }), 1, () => Socket.open(server, { headers: { 'x-forwarded-for': '192.0.2.9' } }).then((socket) => socket.close(), (error) => error.status));
  assert.ok(refused.filter((status) => status === 429).length >= 4, `sockets over the new limit: ${refused}`);

  assert.deepEqual([...statuses.keys()].filter((status) => ![200, 429].includes(status)), []);
  assert.ok(sockets.every((socket) => !socket.end), 'a socket was closed');
  const lines = said('setting changed').map(({ setting, before, after }) => [setting, before, after]);
  assert.deepEqual(lines.slice(0, 2), [['ALLOWED_ORIGINS', 'https://old.example', 'https://new.example']].concat([lines[1]]));
  assert.deepEqual(lines.at(-1).slice(0, 1), ['WS_SOCKETS_PER_IP']);
  assert.deepEqual(said('setting needs a restart'), []);
});

test('keys: a list that grows loses nobody, one that shrinks ends what it signed; JWT and webhook secrets follow', async (t) => {
  const { server, reload, said } = await pod(t, { TICKET_KEYS: SECRETS.TICKET_KEYS, JWT_SECRETS: SECRETS.JWT_SECRETS });
  const event = await new Organizer(server).sale({ threshold: 0 });
  const secret = 'another-secret-of-the-shop-0123456789';
  const guest = new Client(server);
  const place = (await guest.check(event.id)).body.position;
  const asks = (client) => client.status(event.id, { headers: { 'x-tiketi-ticket': client.ticket } });
  assert.equal(place, 1);
  const old = guest.cookieHeader;

  await reload({ TICKET_KEYS: `${SECOND_KEY},${SECRETS.TICKET_KEYS}`, JWT_SECRETS: secret });
  await everywhere(async () => (await new Client(server, { token: jwt({ sub: 'u' }, { secret }) }).check(event.id)).status === 200, 'the new secret');
  assert.equal((await new Client(server, { sub: 'u' }).check(event.id)).status, 401, 'the old secret');
  for (let i = 0; i < 12; i++) assert.equal((await asks(guest)).body.position, 1, 'the guest keeps cookie and place');

  // A cookie that was not sealed again by then is nobody's.
  await reload({ TICKET_KEYS: SECOND_KEY });
  await everywhere(async () => (await exchange(server.url, 'GET', `/api/queue/status/${event.id}`, { headers: { cookie: old } })).body.status === 'not_in_queue', 'the end of the old key');
  const changed = said('setting changed');
  assert.deepEqual(changed.map(({ setting }) => setting), ['JWT_SECRETS', 'TICKET_KEYS', 'TICKET_KEYS']);
  assert.ok(!server.output.includes(secret) && !server.output.includes(SECOND_KEY.slice(3)), 'a secret in the log');
});

test('a wrong value changes nothing, not even what is right beside it, and is named', async (t) => {
  const { server, reload, said } = await pod(t, { ALLOWED_ORIGINS: 'https://old.example', LOG_LEVEL: 'info', TICKET_KEYS: SECRETS.TICKET_KEYS });
  const wrong = [
    [{ ALLOWED_ORIGINS: 'https://new.example', LOG_LEVEL: 'loud' }, /^LOG_LEVEL: /],
    [{ ALLOWED_ORIGINS: '*', LOG_LEVEL: 'info' }, /^ALLOWED_ORIGINS: /],
    [{ ALLOWED_ORIGINS: 'https://new.example', TICKET_KEYS: 'k1:zz' }, /^TICKET_KEYS: /],
    [{ TICKET_KEYS: '' }, /^TICKET_KEYS: must be set/],
  ];
  for (const [values, error] of wrong) {
    await reload(values, 'reload refused, all settings stay as they are');
    assert.match(said('reload refused, all settings stay as they are').at(-1).error, error);
  }
  assert.deepEqual(said('reloaded'), []);
  assert.deepEqual(said('setting changed'), []);
  assert.ok(await allowed(server, 'https://old.example'));
  assert.equal(await allowed(server, 'https://new.example'), false);
});

test('what needs a restart is named with both values, and is not in force', async (t) => {
  const { server, reload, said } = await pod(t, { QUEUE_THRESHOLD: 7, LOG_LEVEL: 'info', PAYMENT_URL: 'https://old.example/pay' });
  await reload({ QUEUE_THRESHOLD: 9, LOG_LEVEL: 'warn', PAYMENT_URL: 'https://new.example/pay' }, 'setting changed');
  await waitUntil(() => said('setting needs a restart').length === 2, 5000, 'the lines before it');
  const named = said('setting needs a restart').map(({ setting, inForce, wanted, level }) => [setting, inForce, wanted, level]);
  assert.deepEqual(named, [['QUEUE_THRESHOLD', '7', '9', 'warn'], ['PAYMENT_URL', 'https://old.example/pay', 'https://new.example/pay', 'warn']]);
  assert.deepEqual(said('setting changed').map(({ setting, after: now }) => [setting, now]), [['LOG_LEVEL', 'warn']]);
  const { body } = await new Organizer(server).post('/api/admin/events', { json: { title: 'x' } });
  assert.equal(body.threshold, 7);
  assert.deepEqual(said('reloaded'), [], 'a line below the new level');
  await reload({ LOG_LEVEL: 'info' });
  assert.equal(said('setting changed').length, 1, 'a line below the level until then');
});

test('SIGUSR1 and SIGUSR2 do nothing; SIGHUP does not end a drain; a second SIGTERM says that it ended it', async (t) => {
  const { server, said } = await pod(t, { LOG_LEVEL: 'info' }, {
    DRAIN_MS: 60000,
    TSAN_OPTIONS: `${process.env.TSAN_OPTIONS ?? ''} report_thread_leaks=0`, // it ends without waiting for its threads
  });
  for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGPIPE']) server.child.signal(signal);
  await staysTrueFor(300, () => server.running, 'the process runs');
  assert.equal((await server.get('/readyz')).status, 200);

  // A request under way: it is waited for.
  const event = await new Organizer(server).sale({ threshold: 1 });
  const paused = new Client(server, { sub: 'slow' });
  await redis.pause();
  t.after(() => redis.resume());
  const pending = paused.check(event.id).catch(() => {});
  await many(Array.from({ length: 40 }), 8, () => server.get('/livez')); // by then it was read
  server.child.signal('SIGTERM');
  await waitUntil(() => said('draining').length === 1, 5000, 'the drain');
  server.child.signal('SIGHUP');
  await staysTrueFor(300, () => server.running, 'the drain goes on');
  server.child.signal('SIGTERM');
  const { code } = await within(5000, server.child.exited, 'its end');
  assert.equal(code, 1);
  assert.equal(said('ended by a second signal before it was drained').length, 1);
  assert.equal(said('not drained in time, the process ends at once').length, 0);
  await pending;
});

