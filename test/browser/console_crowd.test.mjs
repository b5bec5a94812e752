// SPDX-License-Identifier: MIT
//
// A crowd buys while a console is open. At rest its figures are those of Redis and PostgreSQL, to the unit. BUYERS: how
// many; `make test-nightly` takes 10,000.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { cpuOf } from '../bench/measure.mjs';
import { Browser, DESKTOP } from '../fixtures/browser.mjs';
import { Provider, SECRETS, SLOW, pause, privateFolder, runTiketi, waitUntil } from '../fixtures/index.mjs';
import { drawn, saleUrl, signIn } from './console_support.mjs';
import { World } from './wait_scenes.mjs';

const BUYERS = Number(process.env.BUYERS ?? 200);
let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

test(`${BUYERS} buyers in a crowd: the console shows what Redis and PostgreSQL have`, async (t) => {
  const { server, redis } = world;
  const seats = Math.ceil(BUYERS / 100) * 400; // enough for all of them
  const id = await world.sale({ threshold: Math.ceil(BUYERS / 5), intervalMs: 500, autoHold: 0, grid: { rows: seats / 50, seatsPerRow: 50 } });
  const reader = await browser.reader({ ...DESKTOP });
  await signIn(reader, server);
  await reader.open(saleUrl(server, id));
  await drawn(reader);

  const file = join(privateFolder('crowd'), 'report.json');
  const provider = await Provider.start({ server });
  const environment = { ...SECRETS, HTTP_PORT: server.port, WS_PORT: server.wsPort, REDIS_URL: redis.url, DATABASE_URL: server.database.url, LOG_LEVEL: 'warn' };
  // The page itself remembers the longest queue that it has shown.
  await reader.page.evaluate(() => {
    globalThis.longest = 0;
    const waiting = document.getElementById('waiting');
    new MutationObserver(() => { globalThis.longest = Math.max(globalThis.longest, Number(waiting.textContent.replace(/\D/g, ''))); }).observe(waiting, { childList: true, characterData: true, subtree: true });
  });
  const run = await runTiketi(['crowd', '--json', file, '--provider', provider.url, '--max-time', `${240 * SLOW}s`, '--event', id, '--users', String(BUYERS), '--arrive', '2s',
    '--buy', '0.7', '--abandon', '0.3', '--think', '200ms..600ms'], environment, { timeoutMs: 300000 * SLOW, expect: null });
  await provider.stop();
  assert.equal(run.code, 0, run.stdout);
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const most = await reader.page.evaluate(() => globalThis.longest);
  assert.ok(most > 0, 'the console saw them wait');

  const figure = async (selector) => Number((await reader.page.locator(selector).innerText()).replace(/\D/g, ''));
  const [{ sold, revenue }] = await server.database.query('SELECT count(*) FILTER (WHERE sold) AS sold, coalesce(sum(price) FILTER (WHERE sold), 0) AS revenue FROM seats WHERE event_id = $1', [id]);
  await waitUntil(async () => (await figure('#sold')) === Number(sold), 10000, `${sold} sold`);
  assert.equal(Number(sold), report.seatsSold);
  assert.equal(await figure('#revenue'), Number(revenue));
  const keys = async (command, key) => Number(await redis.cli(command, `${key}:{${id}}`));
  const inside = await keys('SCARD', 'active');
  const waiting = await keys('ZCARD', 'queue');
  await waitUntil(async () => (await figure('#inside')) === inside && (await figure('#waiting')) === waiting, 10000, `${inside} inside, ${waiting} waiting`);

  // What the open page costs, beside the same time without it.
  const spent = async () => {
    const from = cpuOf(server.pid);
    await pause(5000, 'time in which its CPU is counted');
    return (cpuOf(server.pid) - from) / 50000; // % of a core
  };
  const open = await spent();
  await reader.page.goto('about:blank');
  const closed = await spent();
  t.diagnostic(`${most} waiting at most; the service takes ${open.toFixed(2)} % of a core with the console open, ${closed.toFixed(2)} % without`);
  await reader.close();
});
