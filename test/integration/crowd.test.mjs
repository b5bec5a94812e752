// SPDX-License-Identifier: MIT
//
// tiketi crowd: a whole sale with virtual buyers, also while servers are killed; and that its report
// names a broken promise when there is one.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';
import {
  Organizer, Postgres, Provider, Redis, SECRETS, SLOW, Server, privateFolder, removeFolder, runTiketi, waitUntil,
} from '../fixtures/index.mjs';

const KEPT = { overAdmissions: 0, orderBreaks: 0, outflowBreaks: 0, lostPlaces: 0, missedTurnsLost: 0, risenPositions: 0, doubleSales: 0, unmatchedMoney: 0, chargedForNothing: 0 };

let redis;
let postgres;
let database;
let folder;

before(async () => {
  folder = privateFolder('crowd');
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});
beforeEach(async () => {
  await redis.cli('FLUSHALL');
  database = await postgres.migrated();
});
after(async () => {
  await Promise.all([redis.stop(), postgres.stop()]);
  removeFolder(folder);
});

async function serve(t) {
  const server = await Server.start({ redis, database });
  t.after(() => server.stop());
  return server;
}

// An event that is open and knows its seats, so that the first buyers are admitted directly.
async function openSale(server, settings) {
  const event = await new Organizer(server).sale(settings);
  await waitUntil(() => redis.cli('EXISTS', `free:{${event.id}}`).then(Number), 15000, 'the count of free seats');
  return event.id;
}

// How many reservations are sold in PostgreSQL.
const sold = async () => (await database.query("SELECT FROM reservations WHERE status = 'confirmed'")).length;

const environment = (server) => ({
  ...SECRETS, HTTP_PORT: server.port, WS_PORT: server.wsPort, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn',
});

let runs = 0;
async function rehearse(server, args, { env = {}, expect = 0, unreliable = [] } = {}) {
  const file = join(folder, `${++runs}.json`);
  const provider = await Provider.start({ server, args: unreliable });
  const run = await runTiketi(['crowd', '--json', file, '--provider', provider.url, '--max-time', `${60 * SLOW}s`, ...args], { ...environment(server), ...env },
    { timeoutMs: 90000 * SLOW, expect: null }).finally(() => provider.stop());
  const report = JSON.parse(readFileSync(file, 'utf8'));
  assert.equal(run.code, expect, run.stdout);
  return { ...run, report };
}

const ended = ({ ended: counts }) => Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));

test('a sale: every buyer is answered, the socket announces each entry, and every seat is sold once', async (t) => {
  const server = await serve(t);
  const id = await openSale(server, { threshold: 20, grid: { rows: 4, seatsPerRow: 15 } });
  const { report, stdout } = await rehearse(server, [
    '--event', id, '--users', '150', '--arrive', '1s', '--buy', '0.9', '--abandon', '0.1', '--think', '100ms..300ms', '--strict',
  ]);
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(report.errors, 0, stdout);
  assert.equal(report.checked, true);
  assert.equal(report.allowedImmediately + report.queued, 150);
  assert.equal(report.allowedImmediately, report.replay.direct);
  assert.equal(report.seatsSold, 60);
  assert.equal(report.ended.bought, 60);
  assert.equal(report.ended.bought + report.ended.left + report.ended.soldOut, 150, stdout);
  assert.equal(report.pushMs.count, report.replay.offered);
  assert.ok(report.replay.mostInside <= 20);
  assert.deepEqual(report.money, { taken: 300000, paid: 300000, charges: 60, chargesPaid: 60, chargesDue: 0, chargesRefunded: 0 });
  assert.match(stdout, /Every promise was kept\.\n$/);
});

test('a crowd of three processes against two pods makes one report', async (t) => {
  const servers = [await serve(t), await serve(t)];
  const id = await openSale(servers[0], { threshold: 20, grid: { rows: 4, seatsPerRow: 15 } });
  const { report, stdout } = await rehearse(servers[0], [
    '--event', id, '--users', '151', '--arrive', '1s', '--settle', '0s..500ms', '--buy', '0.9', '--abandon', '0.1', '--think', '100ms..300ms', '--strict',
    '--processes', '3', '--url', servers.map((server) => server.url).join(), '--ws', servers.map((server) => server.wsUrl).join(),
  ]);
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(report.errors, 0, stdout);
  assert.equal(report.checked, true);
  assert.equal(report.crowd.processes, 3);
  assert.ok(report.crowd.cpuMs > 0 && report.crowd.lateMs.count > 0);
  assert.match(stdout, /the crowd itself +\d+\.\d s CPU in 3 processes/);
  assert.equal(report.joinMs.count, 151);
  assert.equal(report.allowedImmediately + report.queued, 151);
  assert.equal(report.allowedImmediately, report.replay.direct);
  assert.ok(report.joined <= report.queued && report.joined > 100, stdout);
  assert.equal(report.replay.excused, 0);
  assert.equal(report.seatsSold, 60);
  assert.equal(report.ended.bought + report.ended.left + report.ended.soldOut, 151, stdout);
  assert.deepEqual(report.money, { taken: 300000, paid: 300000, charges: 60, chargesPaid: 60, chargesDue: 0, chargesRefunded: 0 });
  for (const server of servers) assert.ok((await server.metric('tiketi_websocket_opened_total')) > 30, 'both pods had their share');
});

// Each buyer sends over any free connection; all connections break when the service is killed during the sale.
test('a sale over four shared connections, as behind an ingress', async (t) => {
  const server = await serve(t);
  const id = await openSale(server, { threshold: 20, grid: { rows: 4, seatsPerRow: 15 } });
  const run = rehearse(server, [
    '--event', id, '--users', '150', '--connections', '4', '--processes', '2', '--arrive', '1s', '--buy', '0.9', '--abandon', '0.1', '--think', '100ms..1500ms',
  ]);
  await waitUntil(async () => (await sold()) >= 10, 30000, 'sales');
  await server.kill();
  await server.start();
  const { report, stdout } = await run;
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(report.errors, 0, stdout);
  assert.equal(report.allowedImmediately + report.queued, 150);
  assert.equal(report.ended.bought, 60);
});

test('guests who poll buy every seat, and silent ones are evicted', async (t) => {
  const server = await serve(t);
  // A buyer who is admitted directly polls for the first time after five seconds: the idle timeout must be longer.
  const id = await openSale(server, { threshold: 10, idleTimeoutMs: 8000, grid: { rows: 2, seatsPerRow: 10 } });
  const { report, stdout } = await rehearse(server, [
    '--event', id, '--users', '40', '--arrive', '0.5s', '--buy', '0.7', '--abandon', '0', '--think', '50ms', '--guests', '--no-sockets',
  ]);
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(report.sockets, 0);
  assert.equal(report.seatsSold, 20);
  assert.ok(report.ended.evicted > 0, stdout);
  assert.equal(report.ended.bought + report.ended.evicted + report.ended.soldOut, 40, stdout);
});

test('the server is killed three times and no buyer loses their place', async (t) => {
  const server = await serve(t);
  const id = await openSale(server, { threshold: 10, grid: { rows: 3, seatsPerRow: 20 } });
  let selling = true;
  const killing = (async () => {
    for (let i = 0; i < 3 && selling; i++) {
      await waitUntil(async () => !selling || (await sold()) >= 5 + 15 * i, 60000, 'sales');
      if (!selling) return;
      await server.kill();
      await server.start();
    }
  })();
  const { report, stdout } = await rehearse(server, [
    '--event', id, '--users', '120', '--arrive', '2s', '--buy', '1', '--abandon', '0', '--think', '100ms..1s',
  ]).finally(() => {
    selling = false;
  });
  await killing;
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(report.errors, 0, stdout);
  assert.ok(report.retries > 0);
  assert.ok(report.retriesInARow > 1, 'a server that is away is asked more than once');
  assert.ok(report.retried.some(({ kind, times }) => kind.includes('refused') && times > 0), JSON.stringify(report.retried));
  assert.deepEqual(ended(report), { bought: 60, soldOut: 60 });
});

test('the provider\'s calls come late, twice, never or out of order while the server is killed: the money adds up', async (t) => {
  const server = await serve(t);
  const id = await openSale(server, { threshold: 30, holdMs: 4000, grid: { rows: 3, seatsPerRow: 20 } });
  let selling = true;
  const killing = (async () => {
    for (let i = 0; i < 3 && selling; i++) {
      await waitUntil(async () => !selling || (await sold()) >= 5 + 15 * i, 60000, 'sales');
      if (!selling) return;
      await server.kill();
      await server.start();
    }
  })();
  const { report, stdout } = await rehearse(server, [
    '--event', id, '--users', '150', '--arrive', '2s', '--buy', '1', '--abandon', '0', '--think', '100ms..1s',
  ], { unreliable: ['--late', 0.3, '--late-by', '3s..7s', '--repeat', 0.3, '--lose', 0.2, '--reorder', 0.2] }).finally(() => {
    selling = false;
  });
  await killing;
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.equal(report.errors, 0, stdout);
  assert.equal(report.seatsSold, 60, stdout);
  assert.equal(report.money.paid, report.seatsSold * 5000);
  assert.equal(report.money.charges, report.money.chargesPaid + report.money.chargesDue);
  assert.equal(report.ended.bought, report.money.chargesPaid, stdout);
  assert.equal(report.ended.refunded, report.money.chargesDue, stdout);
  assert.equal(report.ended.bought + report.ended.refunded + report.ended.expired + report.ended.soldOut + report.ended.evicted, 150, stdout);
});

test('Redis is emptied during a sale and the order of the queue holds', async (t) => {
  const server = await Server.start({ redis, database, env: { RESTORE_MS: 15000 } });
  t.after(() => server.stop());
  const id = await openSale(server, { threshold: 5, grid: { rows: 2, seatsPerRow: 20 } });
  const emptied = waitUntil(async () => (await sold()) >= 10, 30000, 'sales')
    .then(() => redis.cli('FLUSHALL'));
  const { report, stdout } = await rehearse(server, [
    '--event', id, '--users', '80', '--arrive', '1s', '--buy', '1', '--abandon', '0', '--think', '300ms..1s', '--max-time', '90s',
  ]);
  await emptied;
  assert.equal(report.replay.losses, 1, 'the sale was over too early');
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.deepEqual(ended(report), { bought: 40, soldOut: 40 });
});

test('an outflow limit is kept, and the report says how near the fullest ten seconds came to it', async (t) => {
  const server = await serve(t);
  const id = await openSale(server, { threshold: 100, intervalMs: 10000, outflowPerMinute: 600, grid: { rows: 3, seatsPerRow: 20 } });
  const { report, stdout } = await rehearse(server, ['--event', id, '--users', '60', '--arrive', '0.5s', '--buy', '1', '--abandon', '0', '--think', '100ms..300ms', '--processes', '2']);
  assert.deepEqual(report.broken, KEPT, stdout);
  assert.deepEqual(ended(report), { bought: 60 });
  assert.equal(report.replay.outflowWorstOf, 110, stdout);
  assert.ok(report.replay.outflowWorst > 20 && report.replay.outflowWorst <= 60, stdout);
  assert.match(stdout, /outflow kept: worst 10 s window \d+ of 110/);
});

for (const processes of [1, 2]) test(`damage done behind the back of the crowd is in its report (processes: ${processes})`, async (t) => {
  const server = await serve(t);
  const id = await openSale(server, { threshold: 3, intervalMs: 60000, promotion: 'interval', grid: { rows: 1, seatsPerRow: 50 } });
  const tampering = (async () => {
    await waitUntil(async () => (await sold()) === 3, 12000, 'sales');
    await database.query("UPDATE seats SET status = 'available', holder = NULL WHERE id = (SELECT min(id) FROM seats WHERE status = 'sold')");
    await database.query("UPDATE payments SET reference = 'another' WHERE id = (SELECT max(id) FROM payments)");
    await redis.cli('XADD', `log:{${id}}`, '*', 'kind', 'offered', 'buyer', 'u:nobody', 'place', '9999999999999999', 'epoch', '1',
      'at', String(Date.now()), 'inside', '4', 'threshold', '3', 'n', '77');
  })();
  const { report, stdout } = await rehearse(server, [
    '--event', id, '--users', '10', '--arrive', '0.2s', '--buy', '1', '--abandon', '0', '--think', '1s', '--max-time', `${12 * SLOW}s`, '--processes', String(processes),
  ], { expect: 1 });
  await tampering;
  assert.equal(report.timedOut, true);
  assert.ok(report.broken.overAdmissions >= 1, stdout);
  assert.ok(report.broken.doubleSales >= 1, stdout);
  assert.ok(report.broken.unmatchedMoney >= 3, stdout); // a charge unknown, a payment not taken, a sum that is not that of the seats
  assert.equal(report.broken.orderBreaks, 7, stdout); // all waiting buyers were passed by
  assert.match(stdout, /FAILED/);
});

test('the crowd refuses targets and options that it must not use', async () => {
  const server = { port: 1, wsPort: 2 };
  const env = environment(server);
  const refuse = async (code, pattern, args, changes = {}) => {
    const { stderr } = await runTiketi(['crowd', ...args], { ...env, ...changes }, { expect: code });
    assert.match(stderr, pattern);
  };
  const base = ['--event', 'x', '--users', '5', '--provider', 'http://127.0.0.1:1'];
  await refuse(64, /--allow-remote/, [...base, '--url', 'http://192.0.2.1:80']);
  await refuse(64, /--allow-remote/, [...base, '--ws', 'ws://127.0.0.1:2/ws,ws://192.0.2.1:2/ws', '--processes', '2']);
  await refuse(64, /--url/, [...base, '--url', 'https://127.0.0.1']);
  await refuse(64, /--url/, [...base, '--url', Array(17).fill('http://127.0.0.1').join()]);
  await refuse(64, /--users/, ['--event', 'x', '--users', '1000001']);
  await refuse(64, /--event/, ['--users', '5']);
  await refuse(64, /--provider/, ['--event', 'x', '--users', '5']);
  await refuse(64, /--allow-remote/, [...base, '--provider', 'http://192.0.2.1']);
  await refuse(78, /DATABASE_URL/, base, { DATABASE_URL: null });
  await refuse(78, /DATABASE_URL/, [...base, '--processes', '3'], { DATABASE_URL: null });
});
