// SPDX-License-Identifier: MIT
//
// SIGTERM while backends do not answer and clients keep sending: the process still exits with 0 within DRAIN_MS,
// and every pending request and socket is answered.

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { after, afterEach, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, SLOW, Server, Socket, many, waitUntil } from '../fixtures/index.mjs';

const DRAIN_MS = 500;
const EXTRA_MS = 1500 * SLOW; // for the process to start and to end, beside DRAIN_MS

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

// These probes are sent last: once they are answered, the workers have read everything before them.
const underWay = () => many(Array.from({ length: 40 }), 8, () => server.get('/livez'));

test('SIGTERM while Redis does not answer: pending requests get 503, sockets 1001, exit 0 in time', async () => {
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
    socket.join(buyer, event.id); // never answered
    return socket;
  });
  const pending = buyers.map((buyer) => buyer.check(event.id));
  const leaving = buyers.map((buyer) => buyer.leave(event.id));
  await underWay();
  await stopInTime();
  for (const { status } of await Promise.all([...pending, ...leaving])) assert.equal(status, 503);
  for (const socket of [...sockets, ...late]) assert.equal((await socket.closed).code, 1001);
});

test('SIGTERM while PostgreSQL does not answer: pending requests get 503, exit 0 in time', async () => {
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

// Keep-alive connections go on sending while the parts behind them are stopped one by one.
test('SIGTERM while keep-alive connections go on sending: each is answered or closed, exit 0 in time', async () => {
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
