// SPDX-License-Identifier: MIT
//
// A crowd before a shop that gets slower the more buyers are inside: the threshold falls to what the shop bears, and not far
// below it. A longer run shows how it settles: `tiketi crowd --shop N`.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { SECRETS, privateFolder, removeFolder, runTiketi, stage } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();
const folder = privateFolder('crowd');
after(() => removeFolder(folder));

test('a slow shop is neither starved nor swung', async (t) => {
  const { id } = await organizer.sale({ threshold: 100, thresholdMin: 5, intervalMs: 100, autoHold: 0 });
  const file = join(folder, 'report.json');
  const { stdout } = await runTiketi([
    'crowd', '--json', file, '--event', id, '--users', '700', '--arrive', '500ms', '--buy', '0', '--abandon', '1', '--think', '1s..2s', '--shop', '40',
  ], { ...SECRETS, HTTP_PORT: server.port, WS_PORT: server.wsPort, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' }, { timeoutMs: 120000 });
  const report = JSON.parse(readFileSync(file, 'utf8'));
  t.diagnostic(JSON.stringify(report.shop));
  assert.match(stdout, /Every promise was kept\.\n$/);
  const { reports, slow, inside } = report.shop;
  assert.ok(reports >= 5 && slow >= 1 && slow <= 1 + reports / 2, `${slow} of ${reports} reports were slow`);
  const { limit } = (await organizer.stats(id)).health;
  assert.ok(limit >= 15 && limit <= 60, `lowered as far as the shop needs, and no further: ${limit}`);
  assert.ok(inside.p50 >= 14, 'the shop is used');
});
