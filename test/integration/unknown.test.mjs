// SPDX-License-Identifier: MIT
//
// Floods of unknown event ids: what they cost PostgreSQL, and that buyers of real events are not affected.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { Client, Server, Socket, exchange, pause, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

// From now on PostgreSQL counts how often one event or one hall is looked up.
await database.query(`
  CREATE SEQUENCE asked;
  ALTER FUNCTION event_get(text) RENAME TO event_get_uncounted;
  CREATE FUNCTION event_get(p_id text) RETURNS TABLE (outcome text, body json) LANGUAGE sql AS $$
    SELECT nextval('asked'); SELECT * FROM event_get_uncounted(p_id) $$;
  ALTER FUNCTION seat_map_text(text, bigint) RENAME TO seat_map_text_uncounted;
  CREATE FUNCTION seat_map_text(p_event text, p_known bigint)
  RETURNS TABLE (outcome text, body text, version bigint) LANGUAGE sql AS $$
    SELECT nextval('asked'); SELECT * FROM seat_map_text_uncounted(p_event, p_known) $$`);
const asked = async () => Number((await database.query('SELECT last_value - (NOT is_called)::int AS n FROM asked'))[0].n);
const lookups = () => server.metric('tiketi_event_lookups_total');
const strangers = () => server.metric('tiketi_unknown_events_total');
const anyId = () => randomBytes(12).toString('hex');

// flood: requests random ids, 64 at a time, until `count` were requested or until() is true.
async function flood(method, pathOf, count, until = () => false) {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const seen = new Map();
  let left = count;
  await Promise.all(Array.from({ length: 64 }, async () => {
    while (left-- > 0 && !until()) {
      const { status } = await exchange(server.url, method, pathOf(anyId()), { agent });
      seen.set(status, (seen.get(status) ?? 0) + 1);
    }
  }));
  agent.destroy();
  return Object.fromEntries(seen);
}

for (const [method, name, pathOf] of [
  ['POST', 'joins', (id) => `/api/queue/check/${id}`],
  ['GET', 'seat maps', (id) => `/api/seats/${id}`],
  ['GET', 'pages', (id) => `/wait/${id}`],
]) {
  test(`unknown ids, ${name}: each is 404, and PostgreSQL is asked for many at once`, async () => {
    const before = { asked: await asked(), lookups: await lookups(), strangers: await strangers(), at: Date.now() };
    assert.deepEqual(await flood(method, pathOf, 2000), { 404: 2000 });
    const seconds = (Date.now() - before.at) / 1000;
    assert.equal((await strangers()) - before.strangers, 2000);
    assert.ok((await asked()) - before.asked < 50, `asked ${(await asked()) - before.asked} times`);
    const statements = (await lookups()) - before.lookups;
    assert.ok(statements >= 1 && statements <= 50 * seconds + 2, `${statements} statements in ${seconds} s`);
  });
}

test('during a flood an event that Redis has lost is found, and its buyers are served', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0 });
  const buyers = Array.from({ length: 5 }, (_, i) => new Client(server, { sub: `b${i}` }));
  for (const buyer of buyers) assert.equal((await buyer.check(event.id)).status, 200);
  let over = false;
  const flooding = flood('POST', (id) => `/api/queue/check/${id}`, Infinity, () => over);
  for (let i = 0; i < 5; i++) {
    await redis.cli('FLUSHALL');
    for (const buyer of buyers) {
      const answer = await buyer.check(event.id);
      assert.equal(answer.status, 200, answer.text);
    }
  }
  over = true;
  assert.deepEqual(Object.keys(await flooding), ['404']);
});

test('an id that was unknown a moment ago is known once its event is created', async (t) => {
  const other = await Server.start({ redis, database });
  t.after(() => other.stop());
  for (let i = 0; i < 3; i++) {
    const id = anyId();
    const sockets = await Promise.all([server, other].map((pod) => Socket.open(pod)));
    for (const pod of [server, other]) assert.equal((await new Client(pod, { sub: 'early' }).check(id)).status, 404);
    for (const socket of sockets) {
      socket.send('watch-seats', { eventId: id });
      assert.equal((await socket.next('error')).payload.code, 'unknown-event');
    }
    await organizer.sale({ id, threshold: 1, autoHold: 0, grid: { rows: 1, seatsPerRow: 2 } });
    assert.equal((await new Client(server, { sub: 'early' }).check(id)).status, 200);
    assert.equal((await server.get(`/api/seats/${id}`)).body.seats.length, 2);
    // Other pods learn it from the channel; without that their negative cache would last a second.
    for (const socket of sockets) {
      let tries = 0;
      await waitUntil(async () => {
        socket.send('watch-seats', { eventId: id });
        tries++;
        await waitUntil(() => socket.all('seats-changed').length > 0 || socket.all('error').length > tries, 15000, 'an answer');
        if (socket.all('seats-changed').length > 0) return true;
        await pause(100, 'asks at most ten times a second');
        return false;
      }, 15000, 'the hall to be known');
      assert.ok(tries <= 6, `asked ${tries} times`);
      socket.close?.();
    }
  }
});
