// SPDX-License-Identifier: MIT
//
// Redis or PostgreSQL stopped, restarted or emptied: what buyers are answered meanwhile, and that nothing is lost.

import assert from 'node:assert/strict';
import { after, afterEach, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, SLOW, Server, Socket, decode, dice, seedOf, waitUntil } from '../fixtures/index.mjs';

let redis, postgres, database;
const servers = [];

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});

afterEach(async () => {
  // Both backends are brought back first, so that a test that failed midway does not fail the next.
  await Promise.all([redis, postgres].map(async (store) => {
    if (store.running) await store.resume();
    else await store.start();
  }));
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});

after(async () => {
  await redis?.stop();
  await postgres?.stop();
});

async function serve(env = {}) {
  database = await postgres.migrated();
  const server = await Server.start({ redis, database, env: { RESTORE_MS: 3000, ...env } });
  servers.push(server);
  return server;
}

// The entries of an event's log as objects.
async function readLog(event) {
  const entries = await redis.cli('XRANGE', `log:{${event.id}}`, '-', '+');
  return entries.map(([, fields]) => Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]])));
}

const admission = (entry) => ['direct', 'offered', 'restored'].includes(entry.kind);

function replay(entries) {
  const inside = new Set();
  for (const entry of entries) {
    if (admission(entry)) {
      assert.ok(!inside.has(entry.buyer), `${entry.buyer} admitted twice`);
      inside.add(entry.buyer);
      assert.ok(inside.size <= Number(entry.threshold), `${inside.size} inside, threshold ${entry.threshold}`);
    } else if (!['claimed', 'parked', 'returned', 'withdrawn'].includes(entry.kind)) {
      inside.delete(entry.buyer);
    }
    assert.equal(inside.size, Number(entry.inside), 'the logged number inside');
  }
}

test('Redis stopped: joins get 503 with Retry-After; afterwards service returns within a second and nobody is evicted', { timeout: 120000 }, async () => {
  const server = await serve({ REDIS_TIMEOUT_MS: 500 * SLOW });
  const event = await new Organizer(server).sale({ threshold: 2, intervalMs: 200, idleTimeoutMs: 5000 });
  const inside = [new Client(server, { sub: 'in1' }), new Client(server, { sub: 'in2' })];
  for (const buyer of inside) assert.equal((await buyer.check(event.id)).body.status, 'active');
  const waiting = new Client(server, { sub: 'w1' });
  assert.equal((await waiting.check(event.id)).body.position, 1);
  await redis.pause();
  const newcomer = new Client(server, { sub: 'n1' });
  const from = Date.now();
  while (Date.now() - from < 7000) { // longer than the idle timeout
    const answer = await newcomer.check(event.id);
    assert.equal(answer.status, 503, answer.text);
    assert.ok(Number(answer.headers['retry-after']) >= 1);
    const gate = await server.get(`/api/gate/${event.id}`, { headers: { 'x-tiketi-pass': inside[0].pass } });
    assert.equal(gate.status, 503, 'the gate fails closed');
    assert.equal((await server.get('/livez')).status, 200);
    assert.equal((await server.get('/readyz')).status, 200, 'a dead backend must not take the pod out');
    assert.equal((await server.get('/readyz?deep=1')).status, 503);
  }
  await redis.resume();
  await waitUntil(async () => (await waiting.status(event.id)).status === 200, 1000, 'service within a second');
  assert.equal((await waiting.status(event.id)).body.position, 1, 'the same place');
  await waitUntil(async () => Number(await redis.cli('HGET', `config:{${event.id}}`, 'gapMs')) >= 5000, 15000, 'the gap to be counted');
  assert.equal(await redis.cli('SCARD', `active:{${event.id}}`), 2, 'nobody inside was evicted for the silence');
  assert.ok(!(await readLog(event)).some((entry) => entry.kind === 'idle'));
});

test('Redis killed and restarted from its append-only file: places are the same, and sockets go on', { timeout: 120000 }, async () => {
  const server = await serve();
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 0, intervalMs: 200 });
  const buyers = Array.from({ length: 20 }, (_, i) => new Client(server, { sub: `b${i}` }));
  for (const buyer of buyers) await buyer.check(event.id);
  const socket = await Socket.open(server);
  socket.join(buyers[0], event.id);
  await socket.next('queue-position');
  await redis.written();
  await redis.kill();
  assert.equal((await buyers[3].check(event.id)).status, 503);
  await redis.start();
  await waitUntil(async () => (await buyers[3].status(event.id)).status === 200, 15000, 'the return');
  for (let i = 0; i < buyers.length; i++) assert.equal((await buyers[i].status(event.id)).body.position, i + 1);
  await organizer.patch(event.id, { threshold: 1 });
  await socket.next('queue-entry-allowed', 10000);
  socket.close();
});

test('PostgreSQL stopped: the queue goes on, only purchases get 503, and they work again afterwards', { timeout: 120000 }, async () => {
  const server = await serve({ DB_TIMEOUT_MS: 1000 });
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 1, intervalMs: 200, autoHold: 0, grid: { rows: 1, seatsPerRow: 4 } });
  const first = new Client(server, { sub: 'p1' });
  await first.check(event.id);
  await postgres.halt();
  const second = new Client(server, { sub: 'p2' });
  assert.equal((await second.check(event.id)).body.position, 1, 'joining needs no PostgreSQL');
  const refused = await first.reserve({ eventId: event.id, quantity: 1 });
  assert.equal(refused.status, 503, refused.text);
  assert.ok(refused.headers['retry-after']);
  await first.leave(event.id);
  await waitUntil(async () => (await second.status(event.id)).body.status === 'active', 10000, 'the queue to move on');
  await postgres.start();
  await waitUntil(async () => (await second.reserve({ eventId: event.id, quantity: 1 })).status === 201, 10000, 'buying to work again');
});

test('FLUSHALL during a sale: buyers return in random order behind newcomers, and the old order is restored', { timeout: 180000 }, async (t) => {
  const server = await serve({ RESTORE_MS: 10000 }); // time for all buyers to return
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 5, intervalMs: 100, idleTimeoutMs: 3600000 });
  const buyers = Array.from({ length: 60 }, (_, i) => new Client(server, { sub: `old${i}` }));
  for (const buyer of buyers) await buyer.check(event.id);
  const consumed = buyers[1]; // inside; leaves before the loss: the place is consumed
  await consumed.leave(event.id);
  const consumedTicket = consumed.ticket;
  const left = buyers[30];
  await left.leave(event.id);
  const leftTicket = left.ticket;
  await waitUntil(async () => (await database.query("SELECT count(*)::int AS n FROM admissions WHERE event_id = $1 AND buyer = 'u:old30'", [event.id]))[0].n > 0, 10000, 'the log to reach PostgreSQL');
  await waitUntil(async () => (await redis.cli('SCARD', `active:{${event.id}}`)) === 5, 15000, 'five inside again');
  for (const buyer of buyers) if (buyer !== consumed && buyer !== left) await buyer.check(event.id); // fresh passes and tickets
  const inside = new Set(await redis.cli('SMEMBERS', `active:{${event.id}}`));
  const places = new Map(buyers.map((buyer, i) => [`u:old${i}`, BigInt(decode(buyer.ticket).p)]));

  await redis.cli('FLUSHALL');
  const newcomers = Array.from({ length: 500 }, (_, i) => new Client(server, { sub: `new${i}` }));
  await waitUntil(async () => (await newcomers[0].check(event.id)).status === 200, 15000, 'the event to be configured anew');
  for (let at = 0; at < newcomers.length; at += 50) {
    const answers = await Promise.all(newcomers.slice(at, at + 50).map((buyer) => buyer.check(event.id)));
    for (const answer of answers) {
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body.status, 'restoring', 'nobody enters meanwhile');
    }
  }
  const returning = dice(seedOf(t)).shuffled(buyers.filter((buyer) => buyer !== consumed && buyer !== left));
  for (const buyer of returning) assert.equal((await buyer.check(event.id)).status, 200);
  // A pass counts again once the lease holder has reloaded the consumed places; until then its buyer waits at the old place.
  await waitUntil(async () => (await redis.cli('HGET', `config:{${event.id}}`, 'consumedLoaded')) !== '0', 15000, 'the consumed places to be reloaded');
  const shopper = buyers.find((_, i) => inside.has(`u:old${i}`)); // uses the gate alone, with a pass
  const gate = await server.get(`/api/gate/${event.id}`, { headers: { 'x-tiketi-pass': shopper.pass } });
  assert.equal(gate.status, 204, gate.text);
  for (const buyer of returning) assert.equal((await buyer.check(event.id)).status, 200);
  consumed.ticket = consumedTicket;
  const again = await consumed.check(event.id, { headers: { 'x-tiketi-ticket': consumedTicket } });
  assert.equal(again.body.queued, true);
  const restoredInside = new Set(await redis.cli('SMEMBERS', `active:{${event.id}}`));
  for (const buyer of restoredInside) assert.ok(inside.has(buyer), `${buyer} was not inside before`);
  assert.equal(restoredInside.size, inside.size, 'everybody with a live pass is inside again');

  // Let everyone through, then read the order from the log.
  await waitUntil(async () => !(await newcomers[0].status(event.id)).body.status.startsWith('restoring'), 30000, 'the window to end');
  await left.check(event.id, { headers: { 'x-tiketi-ticket': leftTicket } });
  await organizer.patch(event.id, { threshold: 40 });
  await waitUntil(async () => {
    for (const buyer of await redis.cli('SMEMBERS', `active:{${event.id}}`)) await new Client(server, { sub: buyer.slice(2) }).leave(event.id);
    return (await redis.cli('ZCARD', `queue:{${event.id}}`)) === 0;
  }, 60000, 'the queue to empty');
  const log = await readLog(event);
  replay(log);
  const order = log.filter((entry) => entry.kind === 'offered').map((entry) => entry.buyer);
  const olds = order.filter((buyer) => buyer.startsWith('u:old') && buyer !== 'u:old1' && buyer !== 'u:old30');
  const expected = [...places.keys()].filter((buyer) => !inside.has(buyer) && buyer !== 'u:old1' && buyer !== 'u:old30')
    .sort((x, y) => (places.get(x) < places.get(y) ? -1 : 1));
  assert.deepEqual(olds, expected, 'the old buyers in the order of their places');
  assert.ok(order.indexOf(expected.at(-1)) < order.findIndex((buyer) => buyer.startsWith('u:new')), 'before every newcomer');
  for (const buyer of ['u:old1', 'u:old30'])
    assert.ok(order.indexOf(buyer) > order.indexOf('u:new0'), `the place of ${buyer} was consumed`);
});

test('FLUSHALL and buyers who only poll: one poll during the restore window restores the place, a second one the admission', { timeout: 60000 }, async () => {
  const server = await serve({ RESTORE_MS: 15000 });
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 6, intervalMs: 200, autoHold: 1, grid: { rows: 1, seatsPerRow: 6 } });
  const subs = Array.from({ length: 10 }, (_, i) => `only-polls-${i}`);
  const buyers = subs.map((sub) => new Client(server, { sub }));
  for (const buyer of buyers) await buyer.check(event.id);
  const words = (list) => Promise.all(list.map(async (buyer) => (await buyer.status(event.id)).body.status));
  const begun = [...Array(6).fill('active'), ...Array(4).fill('queued')].join();
  await waitUntil(async () => (await words(buyers)).join() === begun, 10000, 'six inside, four waiting');
  const places = buyers.slice(6).map((buyer) => decode(buyer.ticket).p);
  await waitUntil(async () => String((await database.query('SELECT last_place FROM events WHERE id = $1', [event.id]))[0].last_place) === places[3], 20000,
    'the last place to be noted');

  await redis.cli('FLUSHALL');
  await waitUntil(async () => (await buyers[9].check(event.id)).body.status === 'restoring', 10000, 'the window to open');
  await words(buyers);
  for (let i = 6; i < 10; i++) assert.equal(await redis.cli('ZSCORE', `queue:{${event.id}}`, `u:${subs[i]}`), places[i - 6]);
  await waitUntil(async () => (await redis.cli('HGET', `config:{${event.id}}`, 'consumedLoaded')) !== '0', 10000, 'the consumed places to be reloaded');
  assert.equal((await words(buyers.slice(0, 6))).join(), Array(6).fill('active').join());
});

test('SIGTERM under load: readiness off, sockets closed with notice, requests finished, exit 0', { timeout: 60000 }, async () => {
  const server = await serve({ DRAIN_MS: 5000 });
  const event = await new Organizer(server).sale({ threshold: 0 });
  const buyer = new Client(server, { sub: 'stay' });
  await buyer.check(event.id);
  const socket = await Socket.open(server);
  socket.join(buyer, event.id);
  await socket.next('queue-position');
  let errors = 0;
  let answered = 0;
  let going = true;
  const load = Array.from({ length: 8 }, async (_, i) => {
    while (going) {
      try {
        const answer = await new Client(server, { sub: `l${i}-${answered}` }).check(event.id, { timeoutMs: 4000 });
        if (answer.status === 200) answered += 1;
        else errors += 1;
      } catch (error) {
        if (error.code !== 'ECONNREFUSED' && error.code !== 'ECONNRESET') errors += 1;
        if (error.code === 'ECONNREFUSED') return;
      }
    }
  });
  await waitUntil(() => answered > 50, 10000, 'load');
  const from = Date.now();
  await server.stop(); // throws unless exit 0
  going = false;
  await Promise.all(load);
  const { code } = await socket.closed;
  assert.equal(code, 1001);
  assert.ok(socket.all('error').some((message) => message.payload.code === 'draining'), 'notified before');
  assert.ok(Date.now() - from < 7000);
  assert.equal(errors, 0, 'every accepted request was answered');
});
