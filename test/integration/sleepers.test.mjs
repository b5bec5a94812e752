// SPDX-License-Identifier: MIT
//
// An unclaimed turn costs nobody their place: phones that sleep through their turn, in a crowd, and come back.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  Organizer, Postgres, Provider, ROOT, Redis, SECRETS, SLOW, Server, privateFolder, removeFolder, runTiketi, waitUntil,
} from '../fixtures/index.mjs';

const KEPT = {
  overAdmissions: 0, orderBreaks: 0, outflowBreaks: 0, lostPlaces: 0, missedTurnsLost: 0, risenPositions: 0, doubleSales: 0, unmatchedMoney: 0, chargedForNothing: 0,
};

let redis;
let postgres;
let folder;

before(async () => {
  folder = privateFolder('sleepers');
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});
after(async () => {
  await Promise.all([redis.stop(), postgres.stop()]);
  removeFolder(folder);
});

// Returns the report. `scripts`: a folder of scripts that stand in for the service's own.
async function rehearse(t, settings, args, scripts) {
  await redis.cli('FLUSHALL');
  const database = await postgres.migrated();
  const server = await Server.start({ redis, database, env: scripts ? { TIKETI_LUA_DIR: scripts } : {} });
  t.after(() => server.stop());
  const { id } = await new Organizer(server).sale(settings);
  await waitUntil(() => redis.cli('EXISTS', `free:{${id}}`).then(Number), 15000, 'the count of free seats');
  const file = join(folder, `${id}.json`);
  const provider = await Provider.start({ server });
  const run = await runTiketi(['crowd', '--json', file, '--provider', provider.url, '--event', id, '--max-time', `${90 * SLOW}s`, ...args], {
    ...SECRETS, HTTP_PORT: server.port, WS_PORT: server.wsPort, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn',
  }, { timeoutMs: 120000 * SLOW, expect: null }).finally(() => provider.stop());
  const report = JSON.parse(readFileSync(file, 'utf8'));
  if (!scripts) {
    assert.equal(run.code, 0, run.stdout);
    assert.deepEqual(report.broken, KEPT, run.stdout);
    assert.equal(report.errors, 0, run.stdout);
  }
  assert.equal(report.checked, true);
  return { id, report, database, stdout: run.stdout };
}

test('in a crowd of 2,000, phones sleep through their turn 200 times: 0 places lost', async (t) => {
  const { id, report, database, stdout } = await rehearse(t, {
    threshold: 200, intervalMs: 100, claimMs: 4000, grid: { rows: 20, seatsPerRow: 40 },
  }, ['--users', '2000', '--arrive', '1s', '--sleep', '0.2', '--asleep', '12s..15s', '--buy', '0.2', '--abandon', '0.8', '--think', '100ms..300ms']);
  assert.ok(report.sleep.missed >= 200, stdout);
  assert.equal(report.sleep.resumed, report.sleep.missed, 'each was let in again');
  assert.equal(report.replay.unclaimed, report.sleep.missed);
  assert.equal(report.replay.returned, report.sleep.missed);
  assert.equal(report.replay.claimed, report.replay.offered - report.replay.unclaimed);
  assert.equal(report.ended.bought + report.ended.left, 2000, stdout);
  // The record in PostgreSQL has each admission of a place that entered twice, and no second departure.
  const kept = () => database.query(`SELECT count(*) AS places, sum(entered) AS entered, sum(consumed) AS consumed FROM (
      SELECT buyer, place, count(*) FILTER (WHERE kind = 'offered') AS entered,
             count(*) FILTER (WHERE departed AND kind <> 'unclaimed') AS consumed
      FROM admissions WHERE event_id = $1 GROUP BY buyer, place HAVING bool_or(kind = 'unclaimed')) AS p`, [id]);
  await waitUntil(async () => Number((await kept())[0].consumed) >= report.sleep.missed, 10000, 'the ledger');
  assert.deepEqual(Object.values((await kept())[0]).map(Number), [report.sleep.missed, 2 * report.sleep.missed, report.sleep.missed]);
});

test('who sleeps longer than silentMs is parked, is offered nothing, and comes back to the head', async (t) => {
  const { report, stdout } = await rehearse(t, {
    threshold: 15, intervalMs: 100, silentMs: 2500, claimMs: 4000, grid: { rows: 5, seatsPerRow: 20 },
  }, ['--users', '100', '--arrive', '0.5s', '--sleep', '0.4', '--asleep', '6s..7s', '--buy', '0', '--abandon', '1', '--think', '500ms']);
  assert.ok(report.replay.parked >= 5, stdout); // how many is left to the moment at which each falls asleep
  assert.equal(report.replay.returned, report.replay.parked + report.replay.unclaimed);
  assert.equal(report.ended.left, 100, stdout);
});

for (const [what, found, right, wrong] of [
  ['consumes the place of an offer that was not claimed', 'missedTurnsLost', 'end_offers(run_out)', "depart('unclaimed', run_out)"],
  ['offers a turn again and again to a page that nobody looks at', 'orderBreaks', 'end_offers(run_out)',
    `end_offers(run_out) for _, b in ipairs(run_out) do call('ZADD', K_QUEUE, parked_place(call('ZSCORE', K_PARKED, b)), b)
    call('ZADD', K_QUEUE_SEEN, text(ev.service), b) call('ZREM', K_PARKED, b) ev.size = ev.size + 1 end`],
]) {
  test(`the crowd finds a service that ${what}`, async (t) => {
    const scripts = join(folder, found);
    const body = readFileSync(join(ROOT, 'lua', 'promote.lua'), 'utf8');
    assert.ok(body.includes(right), 'the mutant does not fit the script any more');
    mkdirSync(scripts);
    writeFileSync(join(scripts, 'promote.lua'), body.replace(right, () => wrong));
    const { report, stdout } = await rehearse(t, {
      threshold: 5, intervalMs: 100, claimMs: 1000, grid: { rows: 2, seatsPerRow: 20 },
    }, ['--users', '40', '--arrive', '0.2s', '--sleep', '0.5', '--asleep', '4s', '--buy', '0', '--abandon', '1', '--think', '300ms', '--max-time', '12s'], scripts);
    assert.ok(report.broken[found] > 0, stdout);
  });
}
