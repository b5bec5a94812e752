// SPDX-License-Identifier: MIT
//
// Seat holds per second: POST /api/reservations by quantity over HTTP, one buyer after the other, compared
// with the same SQL function called by pgbench (prepared) over as many connections in the same hall. wrk,
// Redis and PostgreSQL share the machine with the service; what they cost keeps the ratio below 1.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Organizer, Redis, ROOT, Server, jwt, many, Client } from '../fixtures/index.mjs';
import { ROUNDS, compared, cpuOf, median, quick } from './measure.mjs';

const run = promisify(execFile);
const CONNECTIONS = 8; // connections to PostgreSQL, of either side
const HOLDS = quick ? 800 : 4000; // holds per round
const SEATS = 20000;

// Makes all seats free again.
async function empty(database) {
  await database.query('TRUNCATE idempotency_keys, reservation_seats, reservations CASCADE');
  await database.query("UPDATE seats SET status = 'available', holder = NULL, held_until = NULL WHERE status <> 'available'");
  await database.query('VACUUM ANALYZE seats');
  await database.query('CHECKPOINT');
}

async function raw(postgres, database, script, event) {
  const each = HOLDS / CONNECTIONS;
  const args = ['-n', '-M', 'prepared', '-c', CONNECTIONS, '-j', '1', '-t', each, '-f', script, '-D', `event=${event.id}`].map(String);
  const { stdout } = await run(`${postgres.programs}/pgbench`, [...args, '-h', '127.0.0.1', '-p', String(postgres.port), '-U', 'tiketi', database.name]);
  const done = Number(/transactions actually processed: (\d+)/.exec(stdout)[1]);
  if (done !== HOLDS) throw new Error(stdout);
  return { rate: Number(/tps = ([0-9.]+)/.exec(stdout)[1]) };
}

async function served(api, connections, lines, event) {
  const before = cpuOf(api.pid);
  const args = ['-t1', `-c${connections}`, '-d60s', '-s', `${ROOT}/test/bench/holds.lua`, api.url];
  const env = { WRK_PATH: '/api/reservations', WRK_LINES: lines, WRK_BODY: JSON.stringify({ eventId: event.id, quantity: 1 }) };
  const { stdout } = await run('wrk', args, { env: { ...process.env, ...env } });
  const result = JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')));
  if (result.bad > 0) throw new Error(`the load failed: ${stdout}`);
  return { rate: result.requests / (result.us / 1e6), cpu: (cpuOf(api.pid) - before) / result.requests };
}

async function filled(database, count) {
  const [{ n }] = await database.query("SELECT count(*)::int AS n FROM seats WHERE status = 'held'");
  if (n < count) throw new Error(`${n} seats are held, not ${count}`);
}

export async function holds({ postgres, folder, servers }) {
  const redis = await Redis.start(); // an own Redis, so that no processor of another section interferes
  const database = await postgres.migrated();
  const api = await Server.start({ redis, database, roles: 'api', env: { DB_POOL_MIN: CONNECTIONS, DB_POOL_MAX: CONNECTIONS } });
  servers.push(api);
  const event = await new Organizer(api).sale({ threshold: 100000, autoHold: 0, grid: { rows: SEATS / 50, seatsPerRow: 50 } });
  const tokens = Array.from({ length: HOLDS }, (_, i) => jwt({ sub: `h${i}` }));
  await many(tokens, 64, (token) => new Client(api, { token }).check(event.id));
  const lines = `${folder}/holds`;
  const script = `${folder}/holds.sql`;
  writeFileSync(lines, tokens.map((token) => `Authorization: Bearer ${token}\n`).join(''));
  const [{ now }] = await database.query("SELECT (extract(epoch FROM now()) * 1000000)::bigint::text AS now");
  writeFileSync(script, `\\set n :client_id + random(1, 1000000000) * ${CONNECTIONS}
SELECT outcome, body FROM reservation_hold(:event, 'h-' || :n::text, NULL, 1, NULL, NULL, ${now});
`);
  const rows = [];
  for (const connections of quick ? [64] : [32, 64]) {
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      await empty(database);
      const other = await raw(postgres, database, script, event);
      await filled(database, HOLDS);
      await empty(database);
      rounds.push({ other, own: await served(api, connections, lines, event) });
      await filled(database, HOLDS);
    }
    rows.push({ id: `holds-${connections}`, what: `seat holds a second, ${connections} clients`, means: `over HTTP, best available, ${HOLDS.toLocaleString('en')} into a hall of ${SEATS.toLocaleString('en')} seats`, unit: '/s',
      beside: 'pgbench on the SQL function', ...compared(rounds, ({ own }) => own.rate, ({ other }) => other.rate), bar: '≥ 0.8' });
    rows.push({ id: `holds-cpu-${connections}`, what: `CPU per hold, ${connections} clients`, means: 'without PostgreSQL', unit: 'µs', own: median(rounds.map(({ own }) => own.cpu)) });
  }
  await api.stop();
  await redis.stop();
  return rows;
}
