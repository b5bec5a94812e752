// SPDX-License-Identifier: MIT
//
// How long things are kept: the keys of a finished event in Redis, e-mail addresses and buyers in PostgreSQL. Time is
// moved by the event's own times.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Client, decode, pay, runTiketi, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { whereIs } from '../fixtures/search.mjs';

const { redis, database, server, organizer } = await stage({ env: { KEEP_REDIS_DAYS: 7, KEEP_EMAILS_DAYS: 30, KEEP_BUYERS_DAYS: 100, RESTORE_MS: 2000 } });

const keysOf = async (event) => (await redis.client.keys(`*:{${event.id}}`)).filter((key) => !/^(seats|sales):/.test(key));
const closedFor = (event, days) => database.query("UPDATE events SET closed_at = now() - $2 * interval '1 day', keys_checked_at = NULL WHERE id = $1", [event.id, days]);

// An event with a buyer who has bought, one who is inside and two who wait; then it is closed.
async function finished() {
  const event = await organizer.sale({ id: uniqueId('kept'), threshold: 2, autoHold: 0, intervalMs: 200, askEmail: 'optional', grid: { rows: 1, seatsPerRow: 10 } });
  const [bought, inside, ...waiting] = ['bought', 'inside', 'first', 'second'].map((name) => new Client(server, { sub: `${name}-${event.id}` }));
  for (const client of [bought, inside]) await waitUntil(async () => (await client.check(event.id)).body.status === 'active', 15000, 'the turn');
  const held = (await bought.reserve({ eventId: event.id, quantity: 1 })).body;
  await bought.post(`/api/reservations/${held.id}/pay`, { json: { email: `${event.id}@mail.example` } });
  const [{ reference, provider }] = await database.query('SELECT reference, provider FROM payments WHERE reservation_id = $1', [held.id]);
  const paused = await organizer.act(event.id, 'pause');
  assert.equal(paused.status, 'paused');
  for (const client of waiting) assert.equal((await client.check(event.id)).body.status, 'paused');
  await pay(server, held, { reference, provider });
  await inside.leave(event.id);
  await waitUntil(async () => (await database.query("SELECT 1 FROM admissions WHERE event_id = $1 AND kind IN ('completed', 'left')", [event.id])).length === 2, 15000, 'the log');
  await organizer.act(event.id, 'close');
  return { event, bought, inside, waiting, held };
}

// A processor may have looked before its runner had ended.
const gone = (event, days) => waitUntil(async () => {
  if ((await keysOf(event)).length === 0) return true;
  await closedFor(event, days);
  return false;
}, 40000, `the keys of ${event.id} to go`);
const runnerGone = (event) => waitUntil(() => server.logs.some((line) => line.message === 'event is no longer live: runner stopped' && line.event === event.id), 30000, 'the end of its runner');

// Both wait for timers most of the time.
describe('what was kept long enough', { concurrency: true }, () => {
  test('the keys of an event go a week after it was closed; it opens again before and after', async () => {
    const [early, late] = [await finished(), await finished()];
    await closedFor(early.event, 6);
    await closedFor(late.event, 8);
    await runnerGone(late.event);
    await gone(late.event, 8);
    assert.ok((await keysOf(early.event)).length > 5, 'a day is left');
    const [{ buyer }] = await database.query("SELECT buyer FROM admissions WHERE event_id = $1 AND kind = 'completed'", [late.event.id]);
    assert.equal(buyer, `u:bought-${late.event.id}`, 'the record stays');
    assert.equal(await redis.cli('EXISTS', `sales:{${late.event.id}}`), 1, 'and the copies of sales, for a restore');

    // Pages, statistics and the report of an event without keys.
    const page = await new Client(server).get(`/wait/${late.event.id}`);
    assert.equal(page.status, 410);
    assert.match(page.text, /A concert/);
    assert.equal((await late.waiting[0].check(late.event.id)).status, 410);
    assert.equal((await organizer.stats(late.event.id)).status, 'closed');
    assert.equal((await organizer.must('GET', `/api/admin/events/${late.event.id}/report`)).eventId ?? late.event.id, late.event.id);

    for (const { event, waiting, bought, inside } of [early, late]) {
      const places = waiting.map((client) => BigInt(decode(client.ticket).p));
      await organizer.act(event.id, 'reopen');
      await organizer.act(event.id, 'resume');
      await waitUntil(async () => {
        const states = await Promise.all(waiting.map(async (client) => (await client.check(event.id)).body.status));
        return states.every((state) => state === 'active');
      }, 60000, 'those who waited to enter');
      waiting.forEach((client, i) => assert.equal(BigInt(decode(client.pass).place), places[i], 'with the places they had'));
      for (const client of [bought, inside]) assert.notEqual((await client.check(event.id)).body.status, 'active', 'no turn comes back');
    }
  });

  test('an event whose log is not consumed keeps its keys, and a processor consumes it', async () => {
    const { event } = await finished();
    await closedFor(event, 1);
    await runnerGone(event);
    const id = await redis.cli('XADD', `log:{${event.id}}`, '*', 'kind', 'withdrawn', 'buyer', 'u:unread', 'place', 7, 'epoch', 1, 'at', Date.now(), 'inside', 0, 'threshold', 2, 'n', 2);
    await waitUntil(async () => {
      if (server.logs.some((line) => line.message === 'finished event keeps its keys in redis for another day' && line.event === event.id && line.reason === 'unconsumed')) return true;
      await closedFor(event, 400); // by the setting of buyers as well; again, for the lease may not be gone yet
      return false;
    }, 30000, 'the refusal');
    await waitUntil(async () => (await database.query('SELECT 1 FROM admissions WHERE event_id = $1 AND stream_id = $2', [event.id, id])).length === 1, 30000, 'the entry in the record');
    await gone(event, 400);
    // The copies of its sales go when they are looked at after that.
    await waitUntil(async () => {
      await closedFor(event, 400);
      return Object.keys(await whereIs({ redis, database }, `-${event.id}`, 'u:unread', `${event.id}@mail.example`)).length === 0;
    }, 60000, 'the buyers to be forgotten');
    assert.equal(await redis.cli('EXISTS', `sales:{${event.id}}`), 0);
    const rows = await database.query('SELECT DISTINCT buyer FROM admissions WHERE event_id = $1', [event.id]);
    assert.ok(rows.length >= 3 && rows.every(({ buyer }) => buyer === '' || /^x:\d+$/.test(buyer)), JSON.stringify(rows));
  });
});

test('what is kept longer in one place than in another is refused by name', async () => {
  const check = async (settings) => (await runTiketi(['serve', '--check-config'], { DATABASE_URL: database.url, REDIS_URL: redis.url, ...settings }, { expect: null })).stdout;
  assert.match(await check({ KEEP_BUYERS_DAYS: 5 }), /problem +KEEP_REDIS_DAYS: must be from 1 to KEEP_BUYERS_DAYS \(5\)[\s\S]*problem +KEEP_EMAILS_DAYS: must be from 1 to KEEP_BUYERS_DAYS \(5\)/);
  assert.match(await check({ KEEP_REDIS_DAYS: 0 }), /problem +KEEP_REDIS_DAYS: must be from 1 to KEEP_BUYERS_DAYS \(365\)/);
  assert.doesNotMatch(await check({ KEEP_REDIS_DAYS: 0, KEEP_EMAILS_DAYS: 0, KEEP_BUYERS_DAYS: 0 }), /KEEP_/);
});
