// SPDX-License-Identifier: MIT
//
// The processor: ticks and leases, and that no buyer is lost when a processor is killed.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import {
  Client, Organizer, Postgres, Redis, Server, SLOW, many, pause, staysTrueFor, uniqueId, waitUntil,
} from '../fixtures/index.mjs';

let redis;
let postgres;
let database;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});
beforeEach(async () => {
  await redis.cli('FLUSHALL');
  database = await postgres.migrated();
});
after(() => Promise.all([redis.stop(), postgres.stop()]));

async function serve(t, options = {}) {
  const server = await Server.start({ redis, database, ...options });
  t.after(async () => {
    if (!server.running) return;
    await server.resume();
    await server.stop();
  });
  return server;
}

const key = (name, id) => `${name}:{${id}}`;
const inside = (id) => redis.cli('SCARD', key('active', id));
const waiting = (id) => redis.cli('ZCARD', key('queue', id));
const leaseOf = (id) => redis.cli('GET', key('lease', id));

async function joinMany(server, id, count, width = 50) {
  const clients = Array.from({ length: count }, (_, i) => new Client(server, { sub: `${String(i).padStart(5, '0')}-${id}` }));
  await many(clients, width, async (client) => {
    const { status } = await client.check(id);
    assert.equal(status, 200);
  });
  return clients;
}

async function logOf(id) {
  const entries = await redis.client.xrange(key('log', id), '-', '+');
  return entries.map(([, fields]) => Object.fromEntries(fields.flatMap((value, i) => (i % 2 ? [] : [[value, fields[i + 1]]]))));
}

// Every waiting buyer was admitted once, in the order of the places, never above the threshold.
async function assertOrderly(id, expected) {
  const admitted = (await logOf(id)).filter(({ kind }) => kind === 'offered');
  assert.equal(admitted.length, expected);
  assert.equal(new Set(admitted.map(({ buyer }) => buyer)).size, expected, 'somebody was admitted twice');
  for (let i = 1; i < admitted.length; i++) assert.ok(BigInt(admitted[i].place) > BigInt(admitted[i - 1].place), 'out of order');
  for (const { inside: number, threshold } of admitted) assert.ok(Number(number) <= Number(threshold), 'over the threshold');
}

test('a killed holder\'s lease is taken over within five seconds, whatever the interval', async (t) => {
  const web = await serve(t, { roles: 'api', env: { QUEUE_PROCESSOR_INTERVAL: 60000 } });
  const one = await serve(t, { roles: 'processor', env: { QUEUE_PROCESSOR_INTERVAL: 60000 } });
  const organizer = new Organizer(web);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, promotion: 'interval' });
  const [first] = await joinMany(web, id, 3, 1);
  const lease = await waitUntil(() => leaseOf(id), 15000, 'a lease');
  await serve(t, { roles: 'processor', env: { QUEUE_PROCESSOR_INTERVAL: 60000 } });
  await staysTrueFor(1500, async () => (await leaseOf(id)) === lease, 'the lease stays with its holder');
  await first.leave(id); // a slot is free, and the next tick is nearly a minute away
  assert.equal(await leaseOf(id), lease);
  const killed = performance.now();
  await one.kill();
  await waitUntil(async () => (await waiting(id)) === 1, 8000, 'the next buyer to be admitted');
  const took = performance.now() - killed;
  assert.ok(took < 5000 * SLOW, `took ${took} ms`);
  assert.ok(Number((await leaseOf(id)).split(':')[0]) > Number(lease.split(':')[0]), 'the fence number rises');
});

test('process runs a tick now and answers what it did; without a lease holder it is 503', async (t) => {
  const web = await serve(t, { roles: 'api', env: { QUEUE_PROCESSOR_INTERVAL: 60000 } });
  const processor = await serve(t, { roles: 'processor' });
  const organizer = new Organizer(web);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 60000, promotion: 'interval' });
  const [first] = await joinMany(web, id, 4, 1);
  await waitUntil(() => redis.cli('EXISTS', key('index', id)), 15000, 'the holder at work');
  await first.leave(id);
  const { limitedBy, limits, ...done } = await organizer.act(id, 'process');
  assert.deepEqual(done, { eventId: id, promoted: 1, evicted: 0 });
  assert.deepEqual([limitedBy, limits.inside, limits.waiting], ['threshold', 1, 2]);
  assert.equal(await waiting(id), 2);
  await processor.stop();
  const { status } = await organizer.post(`/api/admin/events/${id}/process`);
  assert.equal(status, 503);
});

test('a changed interval is in force at once', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 60000, promotion: 'interval' });
  const [first] = await joinMany(server, id, 3, 1);
  await waitUntil(() => redis.cli('EXISTS', key('index', id)), 15000, 'the holder at work');
  await first.leave(id);
  await staysTrueFor(1000, async () => (await waiting(id)) === 2, 'two wait');
  await organizer.patch(id, { intervalMs: 200 });
  await waitUntil(async () => (await waiting(id)) === 1, 15000, 'the next tick');
});

const HOUR = 3600000;

// An event with waiting buyers, whose threshold is raised in Redis without the processor's knowledge: only a tick
// admits them.
async function filled(server, settings, count) {
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 0, autoHold: 0, intervalMs: HOUR, ...settings });
  await joinMany(server, id, count);
  await waitUntil(() => redis.cli('EXISTS', key('index', id)), 15000, 'the holder at work');
  await redis.cli('HSET', key('config', id), 'threshold', count);
  return { organizer, id };
}

test('admitting by hand does not delay regular ticks', async (t) => {
  const server = await serve(t);
  const { organizer, id } = await filled(server, { intervalMs: 2500 }, 60);
  const until = Date.now() + 8000;
  let byHand = 0;
  while ((await waiting(id)) > 0 && Date.now() < until) {
    await organizer.act(id, 'admit', { count: 1 });
    byHand++;
    await pause(500, 'the pace of the organizer: faster than the ticks');
  }
  assert.equal(await waiting(id), 0, `only by hand: ${byHand}`);
  await assertOrderly(id, 60);
});

test('a tick requested together with an admission by hand is a full tick', async (t) => {
  const server = await serve(t);
  const { id } = await filled(server, {}, 40);
  const ask = (more) => JSON.stringify({ eventId: id, event: 'process', payload: more });
  const both = redis.client.multi();
  for (const more of [{ reply: 'one', admit: 1 }, { reply: 'two', admit: 2 }, { reply: 'all' }])
    both.publish('tiketi:0:queue-events', ask(more));
  await both.exec();
  await waitUntil(async () => (await waiting(id)) === 0, 10000, 'all to be admitted');
  await assertOrderly(id, 40);
});

test('a failed tick is retried within a second or so, whatever the interval', async (t) => {
  const server = await serve(t);
  const { organizer, id } = await filled(server, {}, 5);
  // Breaks a key that only the tick uses, so that the lease stays.
  const lease = await leaseOf(id);
  await redis.client.set(key('queue:seen', id), 'not a sorted set');
  assert.equal((await organizer.post(`/api/admin/events/${id}/process`)).status, 503);
  await redis.client.del(key('queue:seen', id));
  await waitUntil(async () => (await waiting(id)) === 0, 15000, 'the next tick');
  assert.equal(await leaseOf(id), lease);
});

test('an event that opens, by hand or by its time, gets a tick at once', async (t) => {
  const server = await serve(t);
  const { organizer, id } = await filled(server, {}, 5);
  await organizer.act(id, 'pause');
  await waitUntil(async () => (await redis.cli('HGET', key('config', id), 'status')) === 'paused', 15000, 'the pause');
  await organizer.patch(id, { threshold: 5 });
  await staysTrueFor(1500, async () => (await waiting(id)) === 5, 'all wait while it is paused');
  await organizer.act(id, 'resume');
  await waitUntil(async () => (await waiting(id)) === 0, 15000, 'all to be admitted');
  const opensAt = new Date(Date.now() + 5000).toISOString();
  const timed = await organizer.sale({ threshold: 5, autoHold: 0, intervalMs: HOUR, opensAt });
  await joinMany(server, timed.id, 5);
  assert.equal(await waiting(timed.id), 5);
  await waitUntil(async () => (await waiting(timed.id)) === 0, 15000, 'the event to open');
  assert.ok(Date.now() >= Date.parse(opensAt), 'not before the time');
});

test('a broken event does not stop other events', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const broken = await organizer.sale({ threshold: 1, autoHold: 0 });
  const sound = await organizer.sale({ threshold: 1, autoHold: 0 });
  const [first] = await joinMany(server, sound.id, 3, 1);
  await waitUntil(() => leaseOf(broken.id), 15000, 'the lease of the event that is to break');
  await redis.cli('DEL', key('queue', broken.id));
  await redis.cli('SET', key('queue', broken.id), 'not a sorted set');
  const troubled = () => server.logs.some(({ level, message, event }) => level === 'error' && message === 'tick failed' && event === broken.id);
  await waitUntil(troubled, 15000, 'the error to be logged');
  await first.leave(sound.id);
  await waitUntil(async () => (await waiting(sound.id)) === 1, 15000, 'the other event to go on');
  const ticks = await server.metric('tiketi_ticks_total');
  await waitUntil(async () => (await server.metric('tiketi_ticks_total')) > ticks + 5, 15000, 'more ticks');
  assert.ok(server.logs.filter(({ event }) => event === broken.id).length < 20, 'but not repeatedly');
  await redis.cli('DEL', key('queue', broken.id));
  const buyers = await joinMany(server, broken.id, 2, 1);
  await buyers[0].leave(broken.id);
  await waitUntil(async () => (await inside(broken.id)) === 1 && (await waiting(broken.id)) === 0, 15000, 'the broken one to work again');
});

test('three processors admit 3,000 waiting buyers: nobody is lost, nobody enters twice', async (t) => {
  const web = await serve(t, { roles: 'api' });
  const organizer = new Organizer(web);
  const { id } = await organizer.sale({ threshold: 3000, autoHold: 0, intervalMs: 100 });
  await organizer.act(id, 'pause');
  await joinMany(web, id, 3000);
  assert.equal(await waiting(id), 3000);
  const processors = await Promise.all([1, 2, 3].map(() => serve(t, { roles: 'processor' })));
  await waitUntil(() => leaseOf(id), 15000, 'a lease');
  await organizer.act(id, 'resume');
  await waitUntil(async () => (await waiting(id)) === 0, 20000, 'everyone to be admitted');
  assert.equal(await inside(id), 3000);
  await assertOrderly(id, 3000);
  assert.ok(processors.every(({ running }) => running));
});

test('a holder that is stopped during a tick and continued after the takeover changes nothing', async (t) => {
  const web = await serve(t, { roles: 'api' });
  const organizer = new Organizer(web);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 20 });
  const one = await serve(t, { roles: 'processor' });
  await waitUntil(() => leaseOf(id), 15000, 'a lease');
  const lease = await leaseOf(id);
  const count = 600;
  await joinMany(web, id, count);
  await serve(t, { roles: 'processor' });
  const changes = organizer.patch(id, { threshold: 300 });
  await waitUntil(async () => (await inside(id)) > 1, 15000, 'ticks under way');
  await one.pause();
  await changes;
  await organizer.patch(id, { threshold: count });
  await waitUntil(async () => (await leaseOf(id)) && (await leaseOf(id)) !== lease, 15000, 'the takeover');
  await one.resume();
  await waitUntil(async () => (await waiting(id)) === 0, 20000, 'everyone to be admitted');
  const fence = (text) => Number(text.split(':')[0]);
  await staysTrueFor(1500, async () => fence(await leaseOf(id)) > fence(lease) && (await inside(id)) === count, 'the new holder has the lease, everyone is inside');
  await assertOrderly(id, count - 1);
  await waitUntil(() => one.logs.some(({ message, event }) => message === 'lease lost' && event === id), 15000, 'the old holder to notice');
});

for (const point of ['tick-before-promote', 'tick-after-promote']) {
  test(`a crash at ${point} loses nobody`, async (t) => {
    const web = await serve(t, { roles: 'api' });
    const organizer = new Organizer(web);
    const { id } = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 100 });
    await joinMany(web, id, 200);
    const doomed = await serve(t, { roles: 'processor', ready: false, env: { TIKETI_CRASH: `${point}:20` } });
    await waitUntil(() => leaseOf(id), 15000, 'a lease');
    await serve(t, { roles: 'processor' });
    await organizer.patch(id, { threshold: 200 });
    const { code } = await doomed.child.exited;
    assert.equal(code, 137);
    await waitUntil(async () => (await waiting(id)) === 0, 20000, 'everyone to be admitted');
    await assertOrderly(id, 199);
  });
}

test('events open and close by their times, and PostgreSQL follows', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const opensAt = new Date(Date.now() + 5000).toISOString();
  const { id } = await organizer.sale({ threshold: 5, autoHold: 0, opensAt });
  const clients = await joinMany(server, id, 3, 1);
  assert.equal((await clients[0].status(id)).body.status, 'scheduled');
  assert.equal(await inside(id), 0);
  await waitUntil(async () => (await inside(id)) === 3, 15000, 'the event to open');
  assert.ok(Date.now() >= Date.parse(opensAt), 'not before the time');
  await waitUntil(async () => (await organizer.get(`/api/admin/events/${id}`)).body.status === 'open', 15000, 'the stored status to follow');
  await organizer.patch(id, { closesAt: new Date(Date.now() + 1000).toISOString() });
  await waitUntil(async () => (await new Client(server, { sub: uniqueId('late') }).check(id)).status === 410, 15000, 'the event to close');
  await waitUntil(async () => (await organizer.get(`/api/admin/events/${id}`)).body.status === 'closed', 15000, 'the stored status to follow');
});

test('idle buyers and those inside for too long lose their slots', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  for (const settings of [{ idleTimeoutMs: 3000 }, { sessionLimitMs: 3000 }]) {
    const { id } = await organizer.sale({ threshold: 1, autoHold: 0, ...settings });
    await joinMany(server, id, 2, 1);
    const first = await redis.cli('SMEMBERS', key('active', id));
    await waitUntil(async () => {
      const now = await redis.cli('SMEMBERS', key('active', id));
      return now.length === 1 && now[0] !== first[0];
    }, 15000, `the slot to go on (${Object.keys(settings)})`);
  }
  assert.ok((await server.metric('tiketi_evictions_total')) >= 2);
});

test('silentMs: a silent buyer is parked at the head and keeps their place; a change is in force at once', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0 });
  const [first, silent, polling] = await joinMany(server, id, 3, 1);
  const [silentId, pollingId] = [1, 2].map((i) => `u:0000${i}-${id}`);
  const seen = async (buyer) => Number(await redis.cli('ZSCORE', key('queue:seen', id), buyer));
  const came = Number(await redis.cli('ZSCORE', key('queue', id), silentId)) / 1000; // the place is the first heartbeat
  assert.equal((await organizer.get(`/api/admin/events/${id}`)).body.silentMs, 120000, 'the default: QUEUE_SILENT_MS');
  await assert.rejects(organizer.patch(id, { silentMs: 999 }), /400.*"field":"silentMs"/);
  assert.equal((await organizer.patch(id, { silentMs: 4000 })).silentMs, 4000);
  await waitUntil(async () => (await redis.cli('HGET', key('config', id), 'silentMs')) === '4000', 15000, 'the live copy');
  await waitUntil(async () => {
    await polling.heartbeat(id);
    return (await seen(pollingId)) - came > 5000;
  }, 15000, 'five seconds without a heartbeat');
  await first.leave(id);
  await waitUntil(async () => (await redis.cli('SISMEMBER', key('active', id), pollingId)) === 1, 15000, 'the polling buyer to enter');
  assert.deepEqual(await redis.cli('ZRANGE', key('parked', id), 0, -1), [silentId], 'the silent one is parked');
  assert.equal((await silent.check(id)).body.position, 1, 'and has their place as soon as they return');
});

test('expired holds are swept and their seats are free for others', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 2, autoHold: 0, holdMs: 1000, grid: { rows: 1, seatsPerRow: 2 } });
  const [first, second] = await joinMany(server, id, 2, 1);
  const { status, body } = await first.reserve({ eventId: id, quantity: 2 });
  assert.equal(status, 201);
  await waitUntil(async () => (await database.query('SELECT status FROM reservations WHERE id = $1', [body.id]))[0].status === 'expired',
    15000, 'the sweep');
  const seats = await database.query('SELECT status FROM seats WHERE event_id = $1', [id]);
  assert.deepEqual(seats.map((seat) => seat.status), ['available', 'available']);
  assert.equal((await second.reserve({ eventId: id, quantity: 2 })).status, 201);
});

test('a buyer\'s slot is freed after the purchase, even if Redis was not told', async (t) => {
  const server = await serve(t);
  const { id } = await new Organizer(server).sale({ threshold: 1, autoHold: 0, grid: { rows: 1, seatsPerRow: 2, price: 100 } });
  const [buyer] = await joinMany(server, id, 2, 1);
  const { body } = await buyer.reserve({ eventId: id, quantity: 1 });
  const [{ outcome }] = await database.query('SELECT outcome FROM payment_report($1, $2, $3, $4, $5, $6)', [body.id, 'test', 'r1', 100, 'EUR', 'paid']);
  assert.equal(outcome, 'confirmed');
  await waitUntil(async () => (await waiting(id)) === 0, 15000, 'the next buyer to be admitted');
  await waitUntil(async () => (await database.query('SELECT slot_freed FROM reservations WHERE id = $1', [body.id]))[0].slot_freed, 15000, 'the slot to be marked as freed');
  assert.ok((await logOf(id)).some(({ kind, buyer: who }) => kind === 'completed' && who === `u:${buyer.sub ?? `00000-${id}`}`));
});

test('the queue goes on while PostgreSQL is down, also on a processor that starts then', async (t) => {
  const own = await Postgres.start();
  t.after(() => own.stop());
  const data = await own.migrated();
  const server = await serve(t, { database: data, roles: 'api,processor' });
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 200 });
  const clients = await joinMany(server, id, 4, 1);
  await waitUntil(() => redis.cli('SISMEMBER', 'events', id), 15000, 'the cache of live events');
  await own.halt();
  await clients[0].leave(id);
  await waitUntil(async () => (await waiting(id)) === 2, 15000, 'the next one');
  await server.kill();
  const other = await serve(t, { database: data, roles: 'api,processor', ready: false });
  await other.waitReady();
  const late = new Client(other, { token: clients[1].token });
  await waitUntil(async () => (await late.leave(id)).status === 200, 15000, 'an answer');
  await waitUntil(async () => (await waiting(id)) === 1, 10000, 'the next one');
});

test('a lost live copy is restored from PostgreSQL', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 7, autoHold: 0 });
  await waitUntil(() => redis.cli('EXISTS', key('index', id)), 15000, 'the holder at work');
  await redis.cli('DEL', key('config', id));
  await waitUntil(async () => (await redis.cli('HGET', key('config', id), 'threshold')) === '7', 15000, 'the live copy');
});

test('an event is sold out when all seats are sold, and a freed seat reopens it', async (t) => {
  const server = await serve(t);
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ threshold: 2, autoHold: 1, grid: { rows: 1, seatsPerRow: 1 } });
  const statusIs = async (status) => (await organizer.get(`/api/admin/events/${id}`)).body.status === status;
  await database.query(`UPDATE seats SET status = 'sold', holder = gen_random_uuid(), held_until = NULL WHERE event_id = $1`, [id]);
  await waitUntil(() => statusIs('sold_out'), 10000, 'sold out');
  await waitUntil(async () => (await redis.cli('HGET', key('config', id), 'status')) === 'sold_out', 15000, 'the live copy');
  await database.query(`UPDATE seats SET status = 'available', holder = NULL WHERE event_id = $1`, [id]);
  await waitUntil(() => statusIs('open'), 10000, 'open again');
});
