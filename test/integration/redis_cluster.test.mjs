// SPDX-License-Identifier: MIT
//
// A real Redis Cluster: events on three shards, slots that move while their events sell, primaries that are killed, a shard
// that is gone for good, nodes that come and go, messages of shards.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, Organizer, Postgres, RedisCluster, Server, Socket, exchange, freePort, keeper, privateFolder, removeFolder, waitUntil } from '../fixtures/index.mjs';
import { assertKept, crowds, idOn, openSale } from './redis_cluster_support.mjs';

const keep = keeper();
let cluster;
let postgres;
let database;
let server;
let organizer;
let folder;

before(async () => {
  folder = privateFolder('cluster');
  [cluster, postgres] = await Promise.all([keep(RedisCluster.start()), keep(Postgres.start())]);
  database = await postgres.migrated();
  server = await keep(Server.start({ redis: cluster, database, env: { RESTORE_MS: 1000, REDIS_TIMEOUT_MS: 500, METRICS_PORT: await freePort() } }));
  organizer = new Organizer(server);
});
after(() => removeFolder(folder));

const check = (id, client = new Client(server)) => client.post(`/api/queue/check/${id}`);

test('slots move and a primary is killed, under a crowd in four events: no promise is broken', { timeout: 60000 }, async () => {
  const primaries = await cluster.primariesNow();
  const ids = [];
  for (const [i, node] of [...primaries, primaries[0]].entries()) {
    ids.push(await openSale(cluster, server, { id: await idOn(cluster, node, `c${i}-`), threshold: 10, intervalMs: 100, grid: { rows: 2, seatsPerRow: 20 } }));
  }
  const runs = await crowds({ cluster, servers: [server], database, ids, folder,
    args: ['--users', 30, '--arrive', '1s', '--buy', 0.7, '--abandon', 0.3, '--think', '300ms..900ms', '--max-time', '40s'] }, async (going) => {
    for (const [i, id] of ids.entries()) await cluster.moveSlot(await cluster.slotOf(`config:{${id}}`), primaries[(i + 1) % 3]);
    assert.ok(going(), 'the crowd is still there');
    const [node] = primaries;
    const slot = (await cluster.someone().call('CLUSTER', 'SLOTS')).find(([, , [, port]]) => port === node.port)[0];
    await node.kill();
    await cluster.promoted(slot, node);
    await node.start(); // as a replica of the one that took over
  });
  await cluster.healthy();
  for (const run of runs) assertKept(run);
});

test('staff who run the service see on which shard an event is; metrics and readiness tell the shards', { timeout: 30000 }, async () => {
  const [node] = await cluster.primariesNow();
  const { id } = await organizer.sale({ id: await idOn(cluster, node, 'where') });
  const mine = new Organizer(server, { sub: 'hall', role: 'organizer' });
  const { id: theirs } = await mine.sale({});
  assert.equal((await organizer.must('GET', `/api/admin/events/${id}`)).shard, `127.0.0.1:${node.port}`);
  assert.equal((await mine.must('GET', `/api/admin/events/${theirs}`)).shard, undefined);
  for (const { port } of await cluster.primariesNow()) assert.equal(await server.metric(`tiketi_redis_shard_up{shard="127.0.0.1:${port}"}`), 1);
  assert.equal(await server.sum('tiketi_redis_shard_slots'), 16384);
  await waitUntil(() => server.metric(`tiketi_event_shard{event="${id}",shard="127.0.0.1:${node.port}"}`), 5000, 'the event\'s shard');
  assert.equal((await server.get('/readyz')).body.redis, 'up');
});

test('an event whose keys are on their way waits, then gets 503; then it goes on, with every place', { timeout: 30000 }, async () => {
  const [from, to] = await cluster.primariesNow();
  const id = await openSale(cluster, server, { id: await idOn(cluster, from, 'slow'), threshold: 1, grid: { rows: 1, seatsPerRow: 5 } });
  const clients = Array.from({ length: 5 }, () => new Client(server));
  const places = [];
  for (const client of clients) places.push((await check(id, client)).body.position);
  let seen = 0;
  const slot = await cluster.slotOf(`config:{${id}}`);
  await cluster.moveSlot(slot, to, async () => {
    if (seen++ !== 2) return;
    const began = performance.now();
    const { status, headers } = await check(id);
    assert.equal(status, 503, 'while its keys are on their way');
    assert.ok(Number(headers['retry-after']) >= 1);
    assert.ok(performance.now() - began >= 200, 'it was tried again until most of REDIS_TIMEOUT_MS had passed');
  });
  assert.ok(seen > 5);
  assert.equal(await cluster.primaryOf(`config:{${id}}`), to);
  for (const [i, client] of clients.entries()) {
    const { status, body } = await waitUntil(async () => { const answer = await check(id, client); return answer.status === 200 && answer; }, 3000, 'an answer');
    assert.deepEqual([status, body.position], [200, places[i]]);
  }
  assert.equal((await server.get('/readyz')).body.redis, 'up');
});

test('a channel follows its slot: after each move a socket learns of its turn by messages alone', { timeout: 40000 }, async () => {
  const nodes = await cluster.primariesNow();
  const id = await openSale(cluster, server, { id: await idOn(cluster, nodes[0], 'news'), threshold: 1, intervalMs: 60000, claimMs: 60000, grid: { rows: 1, seatsPerRow: 9 } });
  const channel = `tiketi:0:queue-events:{${id}}`;
  const slot = await cluster.slotOf(channel);
  const subscribers = async (node) => (await node.call('PUBSUB', 'SHARDNUMSUB', channel))[1];
  let inside = new Client(server);
  assert.equal((await check(id, inside)).body.status, 'active');
  for (const node of [nodes[1], nodes[2], nodes[0]]) {
    const next = new Client(server);
    const { body } = await check(id, next);
    assert.equal(body.status, 'queued');
    const socket = await Socket.open(server, { cookie: next.cookieHeader });
    socket.send('join-queue', { eventId: id, ticket: body.ticket });
    await socket.next('queue-position');
    await cluster.moveSlot(slot, node);
    await waitUntil(async () => (await subscribers(node)) >= 3, 5000, 'api, gateway and processor to follow the slot');
    for (const other of nodes.filter((one) => one !== node)) assert.equal(await subscribers(other), 0);
    await inside.post(`/api/queue/leave/${id}`);
    await socket.next('queue-entry-allowed', 2000); // the tick comes in a minute: the hint and the news of the admission have come
    assert.equal((await check(id, next)).body.status, 'active');
    socket.raw.close();
    inside = next;
  }
});

test('a user who may not use the channels of shards: the messages go over the ordinary one', { timeout: 30000 }, async () => {
  for (const node of cluster.nodes) await node.call('ACL', 'SETUSER', 'plain', 'on', '>word', '~*', '&*', '+@all', '-ssubscribe', '-spublish');
  const other = await keep(Server.start({ redis: { url: cluster.url.replace('//', '//plain:word@') }, database, env: { REDIS_PREFIX: 'plain:' } }));
  const id = await new Organizer(other).sale({ threshold: 1, intervalMs: 60000 }).then((event) => event.id);
  const first = new Client(other);
  assert.equal((await check(id, first)).body.status, 'active');
  const second = new Client(other);
  const { body } = await check(id, second);
  const socket = await Socket.open(other, { cookie: second.cookieHeader });
  socket.send('join-queue', { eventId: id, ticket: body.ticket });
  await socket.next('queue-position');
  await first.post(`/api/queue/leave/${id}`);
  await socket.next('queue-entry-allowed', 2000);
  socket.raw.close();
  keep.forget(other);
  await other.stop();
});

test('a node is added, has an event, and is removed again: nobody notices', { timeout: 40000 }, async () => {
  const [from] = await cluster.primariesNow();
  const id = await openSale(cluster, server, { id: await idOn(cluster, from, 'new'), threshold: 1, grid: { rows: 1, seatsPerRow: 5 } });
  const slot = await cluster.slotOf(`config:{${id}}`);
  const clients = [new Client(server), new Client(server)];
  const before = [];
  for (const client of clients) before.push((await check(id, client)).body);
  const node = await cluster.add();
  await cluster.moveSlot(slot, node);
  for (const [i, client] of clients.entries()) assert.equal((await check(id, client)).body.position, before[i].position, server.child.tail());
  assert.equal((await organizer.must('GET', `/api/admin/events/${id}`)).shard, `127.0.0.1:${node.port}`);
  assert.equal((await server.get('/readyz')).body.redis, 'up');
  await cluster.moveSlot(slot, from);
  for (const [i, client] of clients.entries()) assert.equal((await check(id, client)).body.position, before[i].position);
  await cluster.remove(node);
  await waitUntil(async () => (await server.metric(`tiketi_redis_shard_up{shard="127.0.0.1:${node.port}"}`)) === undefined, 10000, 'the pod to forget the node');
  assert.equal((await server.get('/readyz')).body.redis, 'up');
});

test('over TLS and with a password, on each node', { timeout: 60000 }, async () => {
  const secret = await keep(RedisCluster.start({ replicas: 0, tls: true, password: 'word' }));
  const other = await keep(Server.start({ redis: secret, database: await postgres.migrated() }));
  for (const [i, node] of (await secret.primariesNow()).entries()) {
    const { id } = await new Organizer(other).sale({ id: await idOn(secret, node, `tls${i}-`), threshold: 1 });
    assert.equal((await check(id, new Client(other))).body.status, 'active');
  }
  await other.stop();
  keep.forget(other);
  const wrong = await keep(Server.start({ redis: { ...secret, url: secret.url.replace('word', 'other'), tls: secret.tls }, database, ready: false }));
  await waitUntil(() => wrong.logs.some(({ message, error }) => message === 'redis connect failed' && /WRONGPASS/.test(error)), 10000, 'the reason in the log');
});

// The last test: the shard stays away.
test('a shard without a replica is gone: its events get 503, those of the others go on, and readiness names it', { timeout: 40000 }, async () => {
  const [gone, other] = await cluster.primariesNow();
  const ids = {};
  for (const [name, node] of Object.entries({ gone, other })) ids[name] = await openSale(cluster, server, { id: await idOn(cluster, node, name), threshold: 1, grid: { rows: 1, seatsPerRow: 5 } });
  for (const replica of cluster.nodes.filter(({ port }) => port !== gone.port)) {
    if ((await replica.role()) === 'slave' && (await replica.call('ROLE'))[2] === gone.port) await replica.kill();
  }
  await gone.kill();
  await waitUntil(async () => (await server.get('/readyz')).body.redis === 'partial', 5000, 'readiness to say so');
  const { status, headers, body } = await check(ids.gone);
  assert.equal(status, 503);
  assert.ok(Number(headers['retry-after']) >= 1);
  assert.ok(!JSON.stringify(body).includes(String(gone.port)));
  for (let i = 0; i < 5; i++) assert.equal((await check(ids.other)).status, 200);
  const ready = await server.get('/readyz');
  assert.equal(ready.status, 200);
  assert.equal(ready.body.redisProblem, undefined, 'the reason is told on METRICS_PORT alone');
  assert.equal((await server.get('/readyz?deep=1')).status, 503);
  const told = await exchange(`http://127.0.0.1:${server.env.METRICS_PORT}`, 'GET', '/readyz');
  assert.match(told.body.redisProblem, new RegExp(`^shard 127\\.0\\.0\\.1:${gone.port}: `));
  assert.equal(await server.metric(`tiketi_redis_shard_up{shard="127.0.0.1:${gone.port}"}`), 0);
  await gone.start();
  await waitUntil(async () => (await server.get('/readyz')).body.redis === 'up', 15000, 'the shard to be used again');
  assert.equal((await check(ids.gone)).status, 200);
});
