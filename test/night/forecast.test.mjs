// SPDX-License-Identifier: MIT
//
// A crowd of 10,000 on sockets, against its forecast. Part of `make test-nightly`.

import { after, before, test } from 'node:test';
import { Postgres, Redis } from '../fixtures/index.mjs';
import { assertWithin, compareSteadily } from '../integration/forecast_support.mjs';

let redis;
let postgres;
before(async () => {
  [redis, postgres] = await Promise.all([Redis.start({ args: ['--maxclients', '12000'] }), Postgres.start()]);
});
after(() => Promise.all([redis?.stop(), postgres?.stop()]));

test('a crowd of 10,000 drains, and waits, as forecast', async (t) => {
  const database = await postgres.migrated();
  assertWithin(0.1, await compareSteadily(t, { redis, database, users: 10000, arriveS: 10, threshold: 1500, intervalMs: 1000, thinkMs: [4000, 12000] }));
});
