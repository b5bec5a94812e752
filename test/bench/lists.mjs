// SPDX-License-Identifier: MIT
//
// What everybody loads when a sale is announced: the home page and the public list, beside a bare hello with the very
// same requests; and how many statements that costs PostgreSQL.

import { writeFileSync } from 'node:fs';
import { Organizer, Server, waitUntil } from '../fixtures/index.mjs';
import { compared, inTurns, load, quick } from './measure.mjs';

const EVENTS = 6;
const CONNECTIONS = 64;
const COUNTED_S = quick ? 3 : 10;

export async function lists({ hello, postgres, redis, folder, servers }) {
  const database = await postgres.migrated();
  const api = await Server.start({ redis, database, roles: 'api' });
  servers.push(api);
  await database.query(`
    CREATE SEQUENCE asked;
    ALTER FUNCTION events_listing(text) RENAME TO events_listing_uncounted;
    CREATE FUNCTION events_listing(p_known text) RETURNS TABLE (outcome text, version text, next text, body json) LANGUAGE sql AS $$
      SELECT nextval('asked'); SELECT * FROM events_listing_uncounted(p_known) $$`);
  const asked = async () => Number((await database.query('SELECT last_value - (NOT is_called)::int AS n FROM asked'))[0].n);
  const organizer = new Organizer(api);
  for (let i = 0; i < EVENTS; i++) await organizer.sale({ title: `Event ${i}`, grid: { rows: 1, seatsPerRow: 1 } });
  await waitUntil(async () => (await api.get('/api/events')).body.events.length === EVENTS, 5000, 'the list');
  const lines = `${folder}/lists`; // as browsers send it
  writeFileSync(lines, 'Accept-Encoding: gzip, deflate, br\n');
  const rows = [];
  for (const [id, path, what] of [['home', '/', 'GET /'], ['list', '/api/events', 'GET /api/events']]) {
    const rounds = await inTurns([hello, api], CONNECTIONS, { method: 'GET', path, lines });
    rows.push({ id, what: `CPU per ${what}`, means: `${EVENTS} events, anonymous, compressed, ${CONNECTIONS} connections`, unit: 'µs', beside: 'libmicrohttpd hello', ...compared(rounds, ([, own]) => own.cpu, ([bare]) => bare.cpu), bar: 1.5 });
  }
  const before = await asked();
  const began = performance.now();
  let done = 0;
  for (let second = 0; second < COUNTED_S; second++) done += (await load(api.port, 200, { method: 'GET', path: second % 2 ? '/' : '/api/events', lines, seconds: 1 })).requests;
  const seconds = (performance.now() - began) / 1000;
  const statements = (await asked()) - before;
  await api.stop();
  rows.push({ id: 'list-statements', what: 'statements for lists a second', means: `${done.toLocaleString('en')} requests of 200 connections in ${seconds.toFixed(0)} s`, unit: '/s', own: statements / seconds, bar: '≤ 1' });
  return rows;
}
