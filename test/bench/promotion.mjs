// SPDX-License-Identifier: MIT
//
// node test/bench/promotion.mjs: how much of the threshold is used, with each promotion: 50 may be inside, a tick comes each
// 10 s, and 300 buyers stay for 20 s each, one crowd after the other (about five minutes). Prints a line for each.

import { Organizer, Postgres, Redis, Server, roomUsed, visits } from '../fixtures/index.mjs';

const [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
const server = await Server.start({ redis, database: await postgres.migrated() });
const organizer = new Organizer(server);
for (const promotion of ['interval', 'continuous']) {
  const began = performance.now();
  const log = await visits({ redis, server, organizer }, { promotion, threshold: 50, intervalMs: 10000, silentMs: 3600000, buyers: 300, visit: 20000 });
  console.log(`${promotion.padEnd(11)} ${(100 * roomUsed(log)).toFixed(1)} % of the threshold used, everybody was in after ${Math.round((performance.now() - began) / 1000)} s`);
}
await server.stop();
await Promise.all([redis.stop(), postgres.stop()]);
