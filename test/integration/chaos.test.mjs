// SPDX-License-Identifier: MIT
//
// A sale during which every process is killed: at least ten kill -9 of each role, in an order made from the
// seed, and Redis restarted from its append-only file, twice. The report of the crowd proves that every buyer ends
// with a seat or sold out, no place is lost, the order holds, nobody is over the limit, no seat is sold twice, and
// the money taken is that of the seats sold, although the payment provider is unreliable as well.
//
// CHAOS_KILLS (10) makes it longer, TIKETI_SEED (1) another one.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  Organizer, Postgres, Provider, Redis, SECRETS, SLOW, Server, privateFolder, removeFolder, dice, pause, runTiketi, seedOf, waitUntil,
} from '../fixtures/index.mjs';

const KILLS = Number(process.env.CHAOS_KILLS ?? 10);
// A killed process leaves no sanitizer's report, so nothing would be learned for the time it takes.
const skip = process.env.TIKETI_SAN ? 'kill -9 leaves no report of a sanitizer' : false;
const KEPT = { overAdmissions: 0, orderBreaks: 0, outflowBreaks: 0, lostPlaces: 0, missedTurnsLost: 0, risenPositions: 0, doubleSales: 0, unmatchedMoney: 0, chargedForNothing: 0 };

let redis;
let postgres;
let folder;

before(async () => {
  folder = privateFolder('chaos');
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});
after(async () => {
  await Promise.all([redis?.stop(), postgres?.stop()]);
  removeFolder(folder);
});

// The roles as processes of their own: one api, one gateway, two processors.
async function pods(t, env = {}) {
  const database = await postgres.migrated();
  const start = (roles) => Server.start({ redis, database, roles, env: { RESTORE_MS: 5000, ...env } });
  const [api, gateway, processor, second] = await Promise.all([start('api'), start('gateway'), start('processor'), start('processor')]);
  const all = { api: [api], gateway: [gateway], processor: [processor, second] };
  t.after(() => Promise.all(Object.values(all).flat().map((server) => server.stop())));
  return { all, database };
}

async function openSale(api, settings) {
  const event = await new Organizer(api).sale(settings);
  await waitUntil(() => redis.cli('EXISTS', `free:{${event.id}}`).then(Number), 15000, 'the count of free seats');
  return event.id;
}

async function rehearse({ all: { api: [api], gateway: [gateway] }, database }, id, args) {
  const file = join(folder, `${id}.json`);
  const env = { ...SECRETS, HTTP_PORT: api.port, WS_PORT: gateway.wsPort, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' };
  const provider = await Provider.start({ server: api, args: ['--late', 0.1, '--late-by', '1s..3s', '--repeat', 0.1, '--lose', 0.05] });
  const run = await runTiketi(['crowd', '--json', file, '--event', id, '--provider', provider.url, '--max-time', `${240 * SLOW}s`, '--url', api.url, '--ws', gateway.wsUrl, ...args], env,
    { timeoutMs: 300000 * SLOW, expect: null }).finally(() => provider.stop());
  return { ...run, report: JSON.parse(readFileSync(file, 'utf8')) };
}

const ended = ({ ended: counts }) => Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

test(`each role is killed ${KILLS} times or more during a sale: every buyer ends with a seat or sold out`, { timeout: 400000, skip }, async (t) => {
  const fleet = await pods(t);
  const seats = 30 * KILLS;
  const id = await openSale(fleet.all.api[0], { threshold: 8, grid: { rows: KILLS, seatsPerRow: 30 } });
  const roll = dice(seedOf(t, 1));
  const kills = { api: 0, gateway: 0, processor: 0 };
  let selling = true;
  const killing = (async () => {
    await waitUntil(() => redis.cli('SCARD', `active:{${id}}`).then(Number), 15000, 'the first buyers inside');
    while (selling) {
      // A random one of the roles that were killed least often.
      const least = Math.min(...Object.values(kills));
      const candidates = Object.keys(kills).filter((role) => kills[role] === least);
      const role = roll.any(candidates);
      const server = roll.any(fleet.all[role]);
      await server.kill();
      kills[role] += 1;
      await pause(roll.below(200), 'how long it is gone');
      await server.start();
      await pause(200 + roll.below(300), 'how long all are there');
    }
  })();
  const { report, stdout, code } = await rehearse(fleet, id, [
    '--users', String(seats + 100), '--arrive', '3s', '--buy', '1', '--abandon', '0', '--think', '300ms..1s',
  ]).finally(() => {
    selling = false;
  });
  await killing;
  t.diagnostic(`killed ${JSON.stringify(kills)}; ${seats + 100} buyers, ${report.retries} retries`);
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(code, 0, stdout);
  assert.equal(report.errors, 0, stdout);
  assert.deepEqual(ended(report), { bought: seats, soldOut: 100 });
  assert.ok(Math.min(...Object.values(kills)) >= KILLS, JSON.stringify(kills));
});

test('Redis restarts with its append-only file during a sale, after SIGTERM and after SIGKILL', { timeout: 400000, skip }, async (t) => {
  const fleet = await pods(t);
  const id = await openSale(fleet.all.api[0], { threshold: 8, grid: { rows: 5, seatsPerRow: 20 } });
  const sold = async () => (await fleet.database.query("SELECT FROM reservations WHERE status = 'confirmed'")).length;
  const restarting = (async () => {
    await waitUntil(async () => (await sold()) >= 20, 60000, 'twenty sales');
    await redis.restart('SIGTERM');
    await waitUntil(async () => (await sold()) >= 60, 60000, 'sixty sales');
    await redis.restart('SIGKILL');
  })();
  const { report, stdout, code } = await rehearse(fleet, id, [
    '--users', '160', '--arrive', '2s', '--buy', '1', '--abandon', '0', '--think', '300ms..1500ms',
  ]);
  await restarting;
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(code, 0, stdout);
  assert.equal(report.errors, 0, stdout);
  assert.deepEqual(ended(report), { bought: 100, soldOut: 60 });
});
