// SPDX-License-Identifier: MIT
//
// A Redis that is shared: a user with exactly the rights that docs/operations.md names, several databases, several prefixes.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, ROOT, Server, Socket, exchange, freePort, loginTo, pay, runTiketi, waitUntil } from '../fixtures/index.mjs';

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
  const redis = await Redis.start({ args });
  stores.push(redis);
  return redis;
}

async function serve(redis, { database, ready = true, ...env } = {}) {
  const server = await Server.start({ redis, database: database ?? (await postgres.migrated()), ready, env: { METRICS_PORT: await freePort(), ...env } });
  servers.push(server);
  return server;
}

const deep = async (server) => (await exchange(`http://127.0.0.1:${server.env.METRICS_PORT}`, 'GET', '/readyz?deep=1').catch(() => undefined)) ?? { status: 0, body: {} };
const state = async (server) => {
  const { version, commit, checks, redisWarning = '', ...rest } = (await deep(server)).body;
  assert.ok(version && commit && checks.every(({ ok }) => ok));
  assert.match(redisWarning, /^(min-replicas-to-write is not set[^;]*)?$/, 'the tests with Sentinels set none');
  return rest;
};
const lines = (server, message) => server.logs.filter((line) => line.message === message);

const aclLine = /^ACL SETUSER tiketi (.*)$/m.exec(readFileSync(`${ROOT}/docs/operations.md`, 'utf8'))[1].replace('>PASSWORD', '>secret').split(' ');
const login = (redis, user) => loginTo(redis, user, 'secret');
// Those of tiketi: Sentinels have one of their own.
const channels = async (redis) => (await redis.cli('PUBSUB', 'CHANNELS', '*queue-events')).sort();

test('a whole sale runs on exactly the ACL of docs/operations.md', { timeout: 60000 }, async () => {
  const redis = await store();
  await redis.cli('ACL', 'SETUSER', 'tiketi', ...aclLine);
  const server = await serve(login(redis, 'tiketi'));
  const organizer = new Organizer(server);
  assert.deepEqual(await state(server), { status: 'ready', redis: 'up', postgres: 'up' });

  const event = await organizer.sale({ threshold: 2, intervalMs: 100, autoHold: 1, grid: { rows: 2, seatsPerRow: 5 }, surge: [{ queueAbove: 50, threshold: 4 }], outflowPerMinute: 1000 });
  const [first, second, third, fourth] = ['a', 'b', 'c', 'd'].map((sub) => new Client(server, { sub }));
  assert.equal((await first.check(event.id)).body.status, 'active');
  assert.equal((await second.check(event.id)).body.status, 'active');
  assert.equal((await third.check(event.id)).body.position, 1);
  await fourth.check(event.id);
  const socket = await Socket.open(server);
  socket.join(third, event.id);
  await socket.next('queue-position');
  const held = await first.reserve({ eventId: event.id, quantity: 1 });
  assert.equal(held.status, 201, held.text);
  assert.equal((await pay(server, held.body)).status, 200);
  await second.leave(event.id);
  await socket.next('queue-entry-allowed', 10000);
  await fourth.heartbeat(event.id);
  assert.equal((await server.get(`/api/seats/${event.id}`)).status, 200);
  await waitUntil(async () => (await organizer.queueSize(event.id)) >= 0, 10000, 'the index');
  await fourth.leave(event.id);
  await organizer.act(event.id, 'message', { text: 'soon' });
  await organizer.stats(event.id);
  await organizer.act(event.id, 'clear');
  // Redis loses everything: the restore window opens and the consumed places are loaded.
  await redis.cli('FLUSHALL');
  await first.check(event.id);
  await waitUntil(async () => (await redis.cli('HGET', `config:{${event.id}}`, 'consumedLoaded')) === '1', 10000, 'the consumed places');
  await organizer.act(event.id, 'close');
  socket.close();

  const denied = (await redis.cli('ACL', 'LOG')).map((entry) => entry[entry.indexOf('object') + 1]);
  assert.deepEqual(denied, [], 'nothing was refused');
  assert.deepEqual(lines(server, 'redis error reply'), []);
});

test('the channel is refused: named by readiness and log, and the queue goes on without hints', { timeout: 60000 }, async () => {
  const redis = await store();
  await redis.cli('ACL', 'SETUSER', 'tiketi', ...aclLine, 'resetchannels', '&other');
  const server = await serve(login(redis, 'tiketi'));
  const { status, body } = await deep(server);
  assert.equal(status, 200);
  assert.match(body.redisWarning, /may not run PUBLISH tiketi:0:queue-events, SUBSCRIBE tiketi:0:queue-events: pods learn/);
  assert.ok(lines(server, 'redis channel refused').length >= 1);
  const event = await new Organizer(server).sale({ threshold: 1, intervalMs: 100 });
  const [inside, waiting] = [new Client(server, { sub: 'a' }), new Client(server, { sub: 'b' })];
  await inside.check(event.id);
  assert.equal((await waiting.check(event.id)).body.position, 1);
  await inside.leave(event.id);
  await waitUntil(async () => (await waiting.status(event.id)).body.status === 'active', 15000, 'the turn: a processor without the channel finds a new event by its list');
});

test('without INFO nothing is warned of, and the service runs', { timeout: 60000 }, async () => {
  const redis = await store('--maxmemory-policy', 'allkeys-lru');
  await redis.cli('ACL', 'SETUSER', 'tiketi', ...aclLine, '-info');
  const server = await serve(login(redis, 'tiketi'));
  assert.deepEqual(await state(server), { status: 'ready', redis: 'up', postgres: 'up' });
  assert.equal((await new Client(server, { sub: 'x' }).check((await new Organizer(server).sale({ threshold: 1 })).id)).body.status, 'active');
});

test('two databases of one Redis have a channel each', { timeout: 60000 }, async () => {
  const redis = await store();
  const [zero, five] = [await serve(redis), await serve({ url: `${redis.url}/5` })];
  await waitUntil(async () => (await channels(redis)).length === 2, 5000, 'both subscriptions');
  assert.deepEqual(await channels(redis), ['tiketi:0:queue-events', 'tiketi:5:queue-events']);
  const listener = redis.connect();
  const heard = [];
  listener.on('message', (channel, text) => heard.push([channel, JSON.parse(text).eventId]));
  await listener.subscribe('tiketi:0:queue-events', 'tiketi:5:queue-events');
  const [a, b] = [await new Organizer(zero).sale({ threshold: 1 }), await new Organizer(five).sale({ threshold: 1 })];
  await waitUntil(() => [a, b].every(({ id }) => heard.some(([, other]) => other === id)), 5000, 'messages of both');
  for (const [channel, id] of heard) assert.equal(channel, id === a.id ? 'tiketi:0:queue-events' : 'tiketi:5:queue-events');
});

test('REDIS_PREFIX keeps two deployments apart in one database', { timeout: 60000 }, async () => {
  const redis = await store();
  const [one, two] = [await serve(redis, { REDIS_PREFIX: 'shop1:' }), await serve(redis, { REDIS_PREFIX: 'shop2:' })];
  await redis.cli('ACL', 'SETUSER', 'third', 'on', '>secret', 'resetkeys', '~shop3:*', 'resetchannels', '&shop3:tiketi:0:queue-events', ...aclLine.filter((word) => /^[+-]/.test(word)));
  const three = await serve(login(redis, 'third'), { REDIS_PREFIX: 'shop3:' });
  for (const server of [one, two, three]) {
    const event = await new Organizer(server).sale({ threshold: 1, intervalMs: 100 });
    const [inside, waiting] = [new Client(server, { sub: 'a' }), new Client(server, { sub: 'b' })];
    assert.equal((await inside.check(event.id)).body.status, 'active');
    await waiting.check(event.id);
    const socket = await Socket.open(server);
    socket.join(waiting, event.id);
    await socket.next('queue-position');
    await inside.leave(event.id);
    await socket.next('queue-entry-allowed', 10000);
    socket.close();
  }
  // The rehearsal reads Redis' log to check the promises: it finds it below the prefix.
  const event = await new Organizer(one).sale({ threshold: 5, intervalMs: 100 });
  const { stdout } = await runTiketi(['crowd', '--url', one.url, '--ws', one.wsUrl, '--event', event.id, '--users', '10', '--buy', '0', '--abandon', '1', '--arrive', '200ms'],
    { REDIS_URL: redis.url, REDIS_PREFIX: 'shop1:', DATABASE_URL: one.database.url });
  assert.match(stdout, /admissions/, stdout);
  const keys = await redis.cli('KEYS', '*');
  assert.deepEqual(keys.filter((key) => !/^shop[123]:/.test(key)), []);
  for (const prefix of ['shop1:', 'shop2:', 'shop3:']) assert.ok(keys.includes(`${prefix}events`));
  assert.deepEqual(await channels(redis), ['shop1:', 'shop2:', 'shop3:'].map((prefix) => `${prefix}tiketi:0:queue-events`));
});

test('REDIS_PREFIX with a brace, a blank or too long is refused at start', async () => {
  for (const prefix of ['a{b}', 'a b', '*', 'x'.repeat(33)]) {
    const { stderr } = await runTiketi(['serve'], { REDIS_PREFIX: prefix, REDIS_URL: 'redis://127.0.0.1:1', DATABASE_URL: 'postgresql://127.0.0.1:1/x' }, { expect: 78 });
    assert.match(stderr, /REDIS_PREFIX: must be at most 32 letters/);
  }
});

test('a URL that cannot be used is refused at start, with the reason and without its password', async () => {
  const wrong = {
    'redis-sentinel://127.0.0.1:26379/mymaster': /it must begin with redis:\/\/.*redis\+sentinel:\/\//,
    'redis+sentinel://:sesame@127.0.0.1:26379': /the name of the primary must follow the Sentinels/,
    'redis+cluster://:sesame@127.0.0.1:7000/1': /a Redis Cluster has no database but 0/,
  };
  for (const [url, reason] of Object.entries(wrong)) {
    const { stderr } = await runTiketi(['serve'], { REDIS_URL: url, DATABASE_URL: 'postgresql://127.0.0.1:1/x', HTTP_PORT: 0, WS_PORT: 0 }, { expect: 78 });
    assert.match(stderr, reason);
    assert.doesNotMatch(stderr, /sesame/);
  }
});
