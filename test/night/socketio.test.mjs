// SPDX-License-Identifier: MIT
//
// 2,000 clients of npm's socket.io-client on two pods, and as many raw sockets: each who is admitted is told once, and nobody sees
// the id of another. Prints frames and CPU time of both.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Postgres, Redis } from '../fixtures/index.mjs';
import { crowdOfSockets } from '../integration/socketio_support.mjs';

for (const raw of [true, false]) {
  test(`2,000 ${raw ? 'raw sockets' : 'Socket.IO clients'} on two pods, 100 admitted`, async (t) => {
    const [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
    t.after(() => Promise.all([redis.stop(), postgres.stop()]));
    const database = await postgres.migrated();
    const { frames, cpuMs } = await crowdOfSockets(t, { redis, database, clients: 2000, admitted: 100, raw });
    t.diagnostic(`${frames} frames, ${cpuMs} ms of CPU`);
    assert.ok(frames >= 2100);
  });
}
