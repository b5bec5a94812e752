// SPDX-License-Identifier: MIT
//
// Forecasts: `tiketi simulate`, and that it foretells what a real crowd will see. (That its rules are those of the
// scripts, move by move: test/lua/forecast.test.mjs. A crowd of 10,000: test/night.)

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Postgres, Redis, runTiketi } from '../fixtures/index.mjs';
import { assertWithin, compareSteadily } from './forecast_support.mjs';

let redis;
let postgres;
before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});
after(() => Promise.all([redis.stop(), postgres.stop()]));

const RUSH = ['--waiting', '99000', '--inside', '1000', '--spread', '0', '--no-show', '0', '--idle', '0', '--buy', '0'];

test('simulate tells the founding arithmetic as a table', async () => {
  const { stdout } = await runTiketi(['simulate', ...RUSH, '--threshold', '1000', '--interval', '10s', '--visit', '100s']);
  assert.match(stdout, /the last in line +waits 2 h 4[56] min/);
  assert.match(stdout, /^ +99,000 {2}2 h 4[56] min$/m);
  const quick = await runTiketi(['simulate', ...RUSH, '--threshold', '1000', '--interval', '5s', '--visit', '25s']);
  assert.match(quick.stdout, /the last in line +waits 42 min/);
  const large = await runTiketi(['simulate', ...RUSH, '--threshold', '5000', '--interval', '5s', '--visit', '50s']);
  assert.match(large.stdout, /the last in line +waits 16 min/);
});

test('simulate shows the timeline as CSV and as SVG', async () => {
  const args = ['simulate', '--waiting', '500', '--rate', '60', '--over', '10m', '--threshold', '100', '--surge', '400:150', '--seats', '700', '--seats-per-sale', '1.5'];
  const csv = (await runTiketi([...args, '--csv'])).stdout.trimEnd().split('\n');
  assert.equal(csv[0], 'seconds,waiting,inside,threshold,entered,sold');
  const rows = csv.slice(1).map((line) => line.split(',').map(Number));
  assert.ok(rows.length > 50 && rows.length <= 512 && rows.flat().every(Number.isFinite));
  assert.deepEqual(rows[0], [0, 350, 150, 150, 150, 0]);
  assert.ok(rows.every(([, waiting], i) => i === 0 || waiting >= 0) && rows.some(([, , , threshold]) => threshold === 100));
  assert.equal(rows.at(-1)[5], 700);
  const svg = (await runTiketi([...args, '--svg'])).stdout;
  assert.match(svg, /^<svg [^>]*role="img"/);
  assert.match(svg, />sold out</);
  assert.match(svg, /<\/svg>\n$/);
  assert.ok(!/NaN|inf/.test(svg));
});

test('simulate names what is wrong', async () => {
  const refused = async (pattern, ...args) => assert.match((await runTiketi(['simulate', ...args], {}, { expect: 64 })).stderr, pattern);
  await refused(/--interval must be a time such as 250ms/, '--interval', '0');
  await refused(/--arrivals and --rate/, '--arrivals', '5', '--rate', '5');
  await refused(/--surge must be/, '--surge', '500-1000');
  await refused(/--visit-quantiles must be/, '--visit-quantiles', '1s,x');
  await refused(/visit is out of range/, '--visit-quantiles', '5s,1s');
  await refused(/arrivals is out of range: 5,000,000/, '--waiting', '4000000', '--arrivals', '2000000');
  await refused(/one of --json/, '--csv', '--svg');
  await refused(/seatsPerSale/, '--seats-per-sale', '0.5');
});

const slow = process.env.TIKETI_SAN ? 'sanitizers slow the visits themselves' : false;

test('a crowd of 2,000 drains, and waits, as forecast', { skip: slow }, async (t) => {
  const database = await postgres.migrated();
  assertWithin(0.1, await compareSteadily(t, { redis, database, users: 2000, arriveS: 2, threshold: 400, intervalMs: 500, thinkMs: [2000, 6000] }));
});
