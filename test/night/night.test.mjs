// SPDX-License-Identifier: MIT
//
// A large sale: 10,000 buyers compete for 1,000 seats and pay through a provider whose webhooks come late (10 %), twice
// (10 %) or are lost at first (5 %), while an api, a gateway and a processor are killed. Then SQL and the provider's
// own books prove that the money taken is that of the seats sold, and that nobody without a seat was charged without a
// recorded refund. The figures are in the log of the suite.
//
// Part of `make test-nightly`. NIGHT_USERS (10000), NIGHT_SEATS (1000), TIKETI_SEED (1).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { Organizer, Postgres, Provider, Redis, SECRETS, Server, privateFolder, removeFolder, runTiketi, seedOf, waitUntil } from '../fixtures/index.mjs';

const USERS = Number(process.env.NIGHT_USERS ?? 10000);
const SEATS = Number(process.env.NIGHT_SEATS ?? 1000);

let redis, postgres, folder;

before(async () => {
  folder = privateFolder('night');
  [redis, postgres] = await Promise.all([Redis.start({ args: ['--maxclients', '12000'] }), Postgres.start()]);
});
after(async () => {
  await Promise.all([redis?.stop(), postgres?.stop()]);
  removeFolder(folder);
});

// Printed queries; money in minor units.
const EVIDENCE = {
  'seats by status': `SELECT status, count(*)::int AS seats, sum(price)::int AS price FROM seats WHERE event_id = $1 GROUP BY 1 ORDER BY 1`,
  'reservations by status': `SELECT status, count(*)::int AS reservations, sum(seat_count)::int AS seats, sum(total)::int AS total
    FROM reservations WHERE event_id = $1 GROUP BY 1 ORDER BY 1`,
  'payments by status': `SELECT p.status, count(*)::int AS payments, sum(p.amount)::int AS amount
    FROM payments p JOIN reservations r ON r.id = p.reservation_id WHERE r.event_id = $1 GROUP BY 1 ORDER BY 1`,
  'payments against their reservations': `SELECT p.status AS payment, r.status AS reservation, count(*)::int AS n
    FROM payments p JOIN reservations r ON r.id = p.reservation_id WHERE r.event_id = $1 GROUP BY 1, 2 ORDER BY 1, 2`,
};
const MUST_BE_NONE = {
  'sold seats without a paid reservation': `SELECT count(*)::int AS n FROM seats s WHERE s.event_id = $1 AND s.status = 'sold' AND NOT EXISTS (
    SELECT FROM reservations r JOIN payments p ON p.reservation_id = r.id WHERE r.id = s.holder AND r.status = 'confirmed' AND p.status = 'paid')`,
  'seats with two live owners': `SELECT count(*)::int AS n FROM (SELECT seat_id FROM reservation_seats WHERE event_id = $1 AND live GROUP BY 1 HAVING count(*) > 1) AS x`,
  'paid, and no seat': `SELECT count(*)::int AS n FROM payments p JOIN reservations r ON r.id = p.reservation_id
    WHERE r.event_id = $1 AND p.status = 'paid' AND (r.status <> 'confirmed' OR r.seat_count <> (SELECT count(*) FROM seats s WHERE s.holder = r.id AND s.status = 'sold'))`,
  'confirmed, and not paid once': `SELECT count(*)::int AS n FROM reservations r WHERE r.event_id = $1 AND r.status = 'confirmed' AND 1 <> (
    SELECT count(*) FROM payments p WHERE p.reservation_id = r.id AND p.status = 'paid' AND p.amount = r.total)`,
  'buyers over their limit': `SELECT count(*)::int AS n FROM (SELECT buyer FROM reservations WHERE event_id = $1 AND status = 'confirmed' GROUP BY 1 HAVING sum(seat_count) > 4) AS x`,
};

test(`${USERS} buyers, ${SEATS} seats, an unreliable provider, three kill -9: money and seats agree`, { timeout: 1500000 }, async (t) => {
  const seed = seedOf(t, 1);
  const database = await postgres.migrated();
  const start = (roles) => Server.start({ redis, database, roles });
  const [web, spare, gateway, processor, second] = await Promise.all([start('api'), start('api'), start('gateway'), start('processor'), start('processor')]);
  // Holds so short that some have expired when a late webhook comes, and their seats went to others.
  const event = await new Organizer(web).sale({ threshold: 1000, intervalMs: 1000, idleTimeoutMs: 20000, holdMs: 4000,
    grid: { rows: Math.ceil(SEATS / 40), seatsPerRow: 40 } });
  const [{ seats }] = await database.query('SELECT count(*)::int AS seats FROM seats WHERE event_id = $1', [event.id]);
  await waitUntil(() => redis.cli('EXISTS', `free:{${event.id}}`).then(Number), 10000, 'the count of free seats');
  const provider = await Provider.start({ server: spare, args: ['--late', 0.1, '--late-by', '3s..10s', '--repeat', 0.1, '--lose', 0.05, '--seed', seed] });

  let running = true;
  const deaths = [];
  const killing = (async () => {
    for (const server of [processor, web, gateway]) {
      const sold = (deaths.length + 1) * SEATS / 5;
      await waitUntil(async () => !running || (await database.query(`SELECT FROM reservations WHERE status = 'confirmed'`)).length >= sold, 600000, `${sold} sales`);
      if (!running) return;
      await server.kill();
      deaths.push(server.roles ?? '?');
      await server.start();
    }
  })();
  const file = join(folder, 'report.json');
  const env = { ...SECRETS, HTTP_PORT: web.port, WS_PORT: gateway.wsPort, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' };
  const { code, stdout } = await runTiketi(['crowd', '--json', file, '--users', USERS, '--event', event.id, '--url', web.url, '--ws', gateway.wsUrl, '--provider', provider.url,
    '--buy', '0.9', '--abandon', '0.05', '--think', '200ms..3s', '--seed', seed, '--max-time', '15m'].map(String), env, { timeoutMs: 1000000, expect: null });
  running = false;
  await killing;
  await provider.settled(60000);
  const books = await provider.books();
  console.log(stdout);

  const report = JSON.parse(readFileSync(file, 'utf8'));
  const found = {};
  for (const [name, text] of Object.entries(EVIDENCE)) {
    found[name] = await database.query(text, [event.id]);
    console.log(`${name}\n${found[name].map((row) => `  ${Object.entries(row).map(([key, value]) => `${key} ${value}`).join(', ')}`).join('\n')}`);
  }
  const sum = (name, column, ...statuses) => found[name].filter((row) => statuses.includes(row.status)).reduce((total, row) => total + row[column], 0);
  const taken = books.reduce((total, charge) => total + charge.amount, 0);
  console.log(`the provider's books\n  charges ${books.length}, taken ${taken}\nkilled\n  ${deaths.length} processes (${deaths.join(', ')})`);

  const none = {};
  for (const [name, text] of Object.entries(MUST_BE_NONE)) none[name] = (await database.query(text, [event.id]))[0].n;
  console.log(Object.entries(none).map(([name, n]) => `${name}: ${n}`).join('\n'));
  assert.deepEqual(none, Object.fromEntries(Object.keys(none).map((name) => [name, 0])));
  assert.equal(deaths.length, 3);
  assert.equal(code, 0);
  assert.deepEqual(Object.values(report.broken).filter((n) => n !== 0), [], JSON.stringify(report.broken));
  assert.equal(report.errors, 0);
  // Every charge has a payment in one of three states, and the money kept is that of the seats sold.
  assert.equal(books.length, sum('payments by status', 'payments', 'paid', 'refund_due', 'refunded'));
  assert.equal(taken, sum('payments by status', 'amount', 'paid', 'refund_due', 'refunded'));
  assert.equal(sum('payments by status', 'amount', 'paid'), sum('seats by status', 'price', 'sold'));
  assert.equal(sum('reservations by status', 'seats', 'confirmed'), sum('seats by status', 'seats', 'sold'));
  assert.equal(sum('seats by status', 'seats', 'sold'), seats, 'sold out');
  await provider.stop();
  for (const server of [web, spare, gateway, processor, second]) await server.stop();
});
