// SPDX-License-Identifier: MIT
//
// Locks and slow statements in PostgreSQL: whoever waits for one, the other kinds of statements keep connections, and
// other buyers keep theirs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import pg from 'pg';
import { Client, many, stage, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

// The api's worker has 8 connections: 6 for buyers, 2 for each other kind.
const { database, server, organizer } = await stage({ env: { DB_POOL_MAX: 11, DB_TIMEOUT_MS: 4000 } });

// A session of somebody else, such as an operator's console.
async function session(...statements) {
  const client = new pg.Client({ connectionString: database.url });
  client.on('error', () => {});
  await client.connect();
  for (const [text, values] of statements) await client.query(text, values);
  return client;
}

async function inside(event, count, name) {
  const buyers = Array.from({ length: count }, (_, i) => new Client(server, { sub: `${name}${i}` }));
  await many(buyers, 16, (buyer) => waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'a buyer to be inside'));
  return buyers;
}
const seatsOf = (event) => database.query('SELECT id::text FROM seats WHERE event_id = $1 ORDER BY section_rank, row_rank, number', [event.id]);
const timed = async (work) => {
  const from = performance.now();
  const answer = await work();
  return { ...answer, ms: performance.now() - from };
};

test('forty buyers want a seat that a foreign session has locked: other buyers notice nothing', async (t) => {
  const event = await organizer.sale({ threshold: 200, autoHold: 0, grid: { rows: 10, seatsPerRow: 20 } });
  const seats = (await seatsOf(event)).map(({ id }) => id);
  const [forty, others] = [await inside(event, 40, 'wants'), await inside(event, 10, 'other')];
  const foreign = await session(['BEGIN'], ['SELECT FROM seats WHERE id = $1 FOR UPDATE', [seats[0]]]);
  // Each with another second seat, so that no two wait for the same thing.
  const waiting = many(forty, 40, (buyer, i) => timed(() => buyer.reserve({ eventId: event.id, seatIds: [seats[0], seats[100 + i]] })));
  const slow = [];
  let held = 0;
  let done = false;
  waiting.then(() => (done = true));
  for (let i = 0; !done; i = (i + 1) % others.length) {
    const seat = seats[20 + i];
    const { status, text, ms } = await timed(() => others[i].reserve({ eventId: event.id, seatIds: [seat] }));
    assert.equal(status, 201, text);
    slow.push(ms);
    held++;
  }
  const refused = await waiting;
  t.diagnostic(`${held} holds of others meanwhile, the slowest ${Math.max(...slow).toFixed(0)} ms`);
  for (const { status, body, ms, headers } of refused) {
    assert.deepEqual([status, body.code], [503, 'busy']);
    assert.ok(headers['retry-after']);
    assert.ok(ms < 2500, `${ms} ms`);
  }
  assert.ok(held >= 3, `${held} holds of others`); // a machine that tests share; before, the first of them failed
  await foreign.query('ROLLBACK');
  await foreign.end();
  const [first] = await many(forty.slice(0, 1), 1, (buyer) => buyer.reserve({ eventId: event.id, seatIds: [seats[0]] }));
  assert.equal(first.status, 201, 'nothing is left of it');
});

test('a seat that is locked for a moment is held as soon as it is free, without an error', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 0, grid: { rows: 1, seatsPerRow: 4 } });
  const [{ id: seat }] = await seatsOf(event);
  const [buyer] = await inside(event, 1, 'patient');
  const foreign = await session(['BEGIN'], ['SELECT FROM seats WHERE id = $1 FOR UPDATE', [seat]]);
  let waits = true;
  const wanted = buyer.reserve({ eventId: event.id, seatIds: [seat] }).finally(() => (waits = false));
  await staysTrueFor(200, () => waits, 'the buyer waits');
  await foreign.query('ROLLBACK');
  await foreign.end();
  assert.equal((await wanted).status, 201);
});

test('all buyers\' statements wait for a table that is locked: lists, maps and staff are served, and buyers get 503 in time', async () => {
  const event = await organizer.sale({ threshold: 100, autoHold: 0, grid: { rows: 2, seatsPerRow: 10 } });
  const buyers = await inside(event, 30, 'jammed');
  await buyers[0].reserve({ eventId: event.id, quantity: 1 });
  const foreign = await session(['BEGIN'], ['LOCK TABLE reservations IN ACCESS EXCLUSIVE MODE']);
  const jammed = many(buyers, 30, (buyer) => timed(() => buyer.get('/api/reservations')));
  let done = false;
  jammed.then(() => (done = true));
  let rounds = 0;
  let worst = 0;
  for (; !done; rounds++) {
    const path = ['/api/events?limit=1', `/api/seats/${event.id}`, '/'][rounds % 3];
    const [open, staff] = [await timed(() => server.get(path)), await timed(() => organizer.get('/api/admin/events'))];
    assert.deepEqual([open.status, staff.status], [200, 200], path);
    worst = Math.max(worst, open.ms, staff.ms);
  }
  for (const { status, body, ms } of await jammed) {
    assert.equal(status, 503);
    assert.ok(['busy', 'timeout'].includes(body.code), body.code);
    assert.ok(ms < 4500, `${ms} ms`);
  }
  await foreign.query('ROLLBACK');
  await foreign.end();
  assert.ok(rounds >= 3 && worst < 1000, `${rounds} rounds, the slowest answer ${worst.toFixed(0)} ms`);
  assert.equal((await buyers[0].get('/api/reservations')).status, 200);
});
