// SPDX-License-Identifier: MIT
//
// Several workers of each role in one process, all busy at once, then stopped under load. Small, because the thread
// sanitizer runs it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  Client, Organizer, Postgres, Redis, Server, Socket, jwt, many, uniqueId, waitUntil,
} from '../fixtures/index.mjs';

const BUYERS = 300;
const THRESHOLD = 40;

let redis;
let postgres;
let database;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  database = await postgres.migrated();
});
after(() => Promise.all([redis.stop(), postgres.stop()]));

test('three API and three gateway workers share a process without a race', async (t) => {
  const server = await Server.start({
    redis, database, env: { API_WORKERS: 3, GATEWAY_WORKERS: 3, DB_POOL_MAX: 12, QUEUE_PROCESSOR_INTERVAL: 100 },
  });
  t.after(() => server.kill());
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({
    threshold: THRESHOLD, intervalMs: 100, grid: { rows: 20, seatsPerRow: 20 },
  });

  // All at once; a connection may be accepted by any worker.
  const buyers = Array.from({ length: BUYERS }, () => new Client(server, { sub: uniqueId('fan') }));
  const answers = await many(buyers, 20, (buyer) => buyer.check(id));
  assert.ok(answers.every(({ status }) => status === 200));
  assert.ok(answers.filter(({ body }) => !body.queued).length <= THRESHOLD);

  const sockets = await many(buyers, 20, async (buyer) => {
    const socket = await Socket.open(server);
    socket.join(buyer, id);
    return socket;
  });

  // Metrics are merged, settings change and probes are answered while buyers come and go.
  let busy = true;
  const bystander = (async () => {
    for (let round = 0; busy; round++) {
      await server.get('/metrics');
      await server.get('/readyz?deep=1');
      await organizer.patch(id, { threshold: THRESHOLD - (round % 2) });
      await organizer.stats(id);
    }
  })();

  const entered = new Set();
  answers.forEach(({ body }, at) => body.queued || entered.add(at));
  await waitUntil(async () => {
    sockets.forEach((socket, at) => socket.all('queue-entry-allowed').length > 0 && entered.add(at));
    await many([...entered], 10, async (at) => {
      if (buyers[at].done) return;
      buyers[at].done = true;
      await buyers[at].status(id);
      await buyers[at].get(`/api/seats/${id}`);
      assert.equal((await buyers[at].leave(id)).status, 200);
    });
    return entered.size === BUYERS;
  }, 40000, `all ${BUYERS} to be inside once`);
  busy = false;
  await bystander;

  // Stopped under load: requests in progress are answered or refused, sockets get a close frame.
  const late = many(Array.from({ length: 40 }), 20, () =>
    new Client(server, { token: jwt({ sub: uniqueId('late') }) }).check(id).catch(() => undefined));
  await server.stop();
  await late;
  for (const socket of sockets) assert.equal((await socket.closed).code, 1001);
});
