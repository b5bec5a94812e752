// SPDX-License-Identifier: MIT
//
// A stop when there is no time: backends that do not answer, buyers who keep asking. The process
// ends with 0 all the same, within DRAIN_MS, and whoever still waits is told.

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, SLOW, Server, Socket, many, waitUntil } from '../fixtures/index.mjs';

const DRAIN_MS = 500;
const EXTRA_MS = 1500 * SLOW; // for the process to start and to end: the rest of what a test may see

let redis, postgres, database;
let server;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});
afterEach(async () => {
  await redis.resume();
  await postgres.resume();
  await server?.kill();
});
after(async () => {
  await redis?.stop();
  await postgres?.stop();
});

async function serve(env = {}) {
  database = await postgres.migrated();
  server = await Server.start({ redis, database, env: { DRAIN_MS, API_WORKERS: 2, GATEWAY_WORKERS: 2, ...env } });
  return server;
}

// Exit 0 is checked by stop().
async function stopInTime() {
  const from = performance.now();
  await server.stop();
  const took = performance.now() - from;
  assert.ok(took < DRAIN_MS + EXTRA_MS, `${took} ms to stop`);
}

// Connected and read by the workers: these probes were sent after all else and are answered.
const underWay = () => many(Array.from({ length: 40 }), 8, () => server.get('/livez'));

test('Redis does not answer: who waits for it is told 503, sockets 1001, exit 0 in time', async () => {
  await serve();
  const event = await new Organizer(server).sale({ threshold: 1, intervalMs: 100 });
  const buyers = Array.from({ length: 24 }, (_, i) => new Client(server, { sub: `d${i}` }));
  for (const buyer of buyers) await buyer.check(event.id);
  const sockets = await many(buyers.slice(0, 8), 8, async (buyer) => {
    const socket = await Socket.open(server);
    socket.join(buyer, event.id);
    return socket;
  });
  await sockets[7].next('queue-position');

  await redis.pause();
  const late = await many(buyers.slice(8, 16), 8, async (buyer) => {
    const socket = await Socket.open(server);
    socket.join(buyer, event.id); // answered by nobody any more
    return socket;
  });
  const pending = buyers.map((buyer) => buyer.check(event.id));
  const leaving = buyers.map((buyer) => buyer.leave(event.id));
  await underWay();
  await stopInTime();
  for (const { status } of await Promise.all([...pending, ...leaving])) assert.equal(status, 503);
  for (const socket of [...sockets, ...late]) assert.equal((await socket.closed).code, 1001);
});

test('PostgreSQL does not answer: who waits for it is told 503, exit 0 in time', async () => {
  await serve();
  const event = await new Organizer(server).sale({ threshold: 50, grid: { rows: 5, seatsPerRow: 10 } });
  const buyers = Array.from({ length: 20 }, (_, i) => new Client(server, { sub: `p${i}` }));
  for (const buyer of buyers) await buyer.check(event.id);
  await postgres.pause();
  const pending = buyers.map((buyer) => buyer.reserve({ eventId: event.id, quantity: 1 }, { 'x-tiketi-pass': buyer.pass }));
  await underWay();
  await stopInTime();
  for (const { status } of await Promise.all(pending)) assert.equal(status, 503);
});

// Kept connections ask on while the parts behind them are taken down one by one.
test('kept connections that never cease to ask are answered or cut, exit 0 in time', async () => {
  await serve();
  const event = await new Organizer(server).sale({ threshold: 5, grid: { rows: 5, seatsPerRow: 10 } });
  const agent = new Agent({ keepAlive: true, maxSockets: 16 });
  let going = true;
  const codes = new Set();
  const load = Array.from({ length: 16 }, async (_, i) => {
    const buyer = new Client(server, { sub: `k${i}` });
    for (let round = 0; going; round++) {
      const path = [`/api/queue/status/${event.id}`, `/api/seats/${event.id}`, '/api/reservations'][(i + round) % 3];
      try {
        await buyer.check(event.id, { agent });
        codes.add((await buyer.get(path, { agent })).status);
      } catch (error) {
        if (error.code === 'ECONNREFUSED') return;
      }
    }
  });
  await waitUntil(() => codes.size > 0, 15000, 'the first answers');
  await stopInTime();
  going = false;
  await Promise.all(load);
  agent.destroy();
  for (const code of codes) assert.ok([200, 401, 403, 404, 503].includes(code), `${code}`);
});
