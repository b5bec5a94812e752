// SPDX-License-Identifier: MIT
//
// The record of a sale: its minutes in PostgreSQL, which survive Redis, and the changes of settings beside them.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Server, many, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

const admin = (id, rest) => `/api/admin/events/${id}${rest}`;
const rows = (id) => database.query('SELECT * FROM event_minutes WHERE event_id = $1 ORDER BY at', [id]);
const minutes = async (id, query = '') => (await organizer.must('GET', admin(id, `/minutes${query}`)));

// Counters as lua/index.lua notes them: joined admitted left withdrawn idle timeout completed parked direct claimed unclaimed
// idle_kept, then inside, waiting, threshold, and the longest queue of the minute before.
const HOUR = [
  '0 0 0 0 0 0 0 0 0 0 0 0 0 0 5 0', '40 8 1 2 0 0 0 3 2 5 1 0 5 30 5 33', '90 20 3 4 1 1 5 6 2 15 2 1 5 61 9 61',
  '90 20 3 4 1 1 5 6 2 15 2 1 5 61 9 61', '7 3 0 0 0 0 0 0 1 1 0 0 3 4 9 64',
];

// passed: an event with an hour of minutes, which a new holder of the lease copies. Returns its first minute.
async function passed(entries = HOUR) {
  const event = await organizer.sale({ threshold: 5 });
  await waitUntil(() => redis.cli('HGET', `stats:{${event.id}}`, 'minute'), 15000, 'the first minute');
  const first = Math.floor(Date.now() / 60000) - entries.length - 1;
  await redis.client.hset(`stats:{${event.id}}`, Object.fromEntries(entries.map((text, i) => [`m${first + i}`, text])));
  await redis.cli('DEL', `lease:{${event.id}}`);
  await waitUntil(async () => (await rows(event.id)).length >= 3, 15000, 'the minutes in PostgreSQL');
  return { event, first };
}

test('finished minutes are copied once, whoever holds the lease, and survive Redis', async () => {
  const { event, first } = await passed();
  const stored = await rows(event.id);
  const at = (row) => Math.round(new Date(row.at).getTime() / 60000) - first;
  const plain = ({ event_id: _, at: __, ...counts }) => Object.values(counts).map(Number).join(' ');
  assert.deepEqual(stored.slice(0, 3).map(at), [0, 1, 2]);
  assert.equal(plain(stored[0]), '40 8 1 2 0 0 0 3 2 5 1 0 5 30 5 33');
  assert.equal(plain(stored[1]), '50 12 2 2 1 1 5 3 0 10 1 1 5 61 9 61');
  assert.equal(plain(stored[2]), '0 0 0 0 0 0 0 0 0 0 0 0 5 61 9 61', 'nothing happened, but people waited');
  assert.equal(plain(stored[3]), '7 3 0 0 0 0 0 0 1 1 0 0 3 4 9 64', 'counters that restarted');

  // Another pod takes over, with other counters under the same minutes: what was finished stays.
  await redis.client.hset(`stats:{${event.id}}`, { [`m${first + 1}`]: '41 8 1 2 0 0 0 3 2 5 1 0 5 30 5 33' });
  const other = await Server.start({ redis, database });
  try {
    await redis.cli('DEL', `lease:{${event.id}}`);
    const later = await organizer.sale({ threshold: 5 });
    await waitUntil(() => redis.cli('EXISTS', `lease:{${later.id}}`), 15000, 'processors at work');
    await waitUntil(() => redis.cli('EXISTS', `lease:{${event.id}}`), 15000, 'the lease');
  } finally {
    await other.stop();
  }
  assert.deepEqual((await rows(event.id)).slice(0, 4), stored.slice(0, 4));

  await redis.cli('FLUSHALL');
  const { minutes: list } = await minutes(event.id);
  assert.deepEqual(list.slice(0, 2).map((minute) => [minute.joined, minute.queuePeak, minute.currentUsers]), [[40, 33, 5], [50, 61, 5]]);
});

test('after a loss of data the admissions from before it are not counted again', async () => {
  const event = await organizer.sale({ threshold: 50 });
  const buyers = await many([0, 1, 2, 3], 4, async (i) => {
    const buyer = new Client(server, { sub: `before-${i}` });
    await buyer.check(event.id);
    return buyer;
  });
  await waitUntil(async () => (await database.query('SELECT admitted FROM ledger_cursors WHERE event_id = $1 AND admitted = 4', [event.id])).length === 1, 15000, 'the ledger');
  await redis.cli('FLUSHALL');
  await waitUntil(async () => {
    await buyers[0].check(event.id);
    return redis.cli('HGET', `stats:{${event.id}}`, 'minute');
  }, 15000, 'the first minute of the new Redis');
  const { minutes: [minute], counters } = await organizer.stats(event.id);
  assert.ok(counters.admitted >= 4, `n of the log goes on: ${counters.admitted}`);
  assert.ok(minute.admitted < 4, `${minute.admitted} admissions in the first minute`);
});

test('minutes: a range, steps with sums and the last numbers, and what is refused', async () => {
  const { event, first } = await passed();
  const time = (m) => new Date((first + m) * 60000).toISOString();
  const range = `?from=${time(0)}&to=${time(4)}`;
  const each = await minutes(event.id, range);
  assert.equal(each.step, 60);
  assert.deepEqual(each.minutes.map((minute) => minute.joined), [40, 50, 0, 7]);
  assert.deepEqual([each.from, each.to], [time(0), time(4)]);
  const day = await minutes(event.id, `${range}&step=86400`);
  assert.equal(day.minutes.reduce((sum, minute) => sum + minute.joined, 0), 97);
  const last = day.minutes.at(-1);
  assert.deepEqual([last.currentUsers, last.queueSize, last.threshold, last.queuePeak], [3, 4, 9, 64]);
  assert.ok(day.minutes.length <= 2);
  for (const [query, field] of [
    ['from=yesterday', 'from'], ['to=1', 'to'], ['step=0', 'step'], ['step=61', 'step'], ['step=x', 'step'], ['step=86460', 'step'],
    [`from=${time(4)}&to=${time(0)}`, 'to'], ['from=2020-01-01T00:00:00Z&to=2022-01-01T00:00:00Z&step=60', 'step'],
    ['from=2010-01-01T00:00:00Z&to=2026-01-01T00:00:00Z', 'from'],
  ]) {
    const answer = await organizer.get(admin(event.id, `/minutes?${query}`));
    assert.equal(answer.status, 400, query);
    assert.equal(answer.body.field, field, query);
  }
  const long = await organizer.get(admin(event.id, '/minutes?from=2020-01-01T00:00:00Z&to=2020-01-03T00:00:00Z&step=60'));
  assert.match(long.body.detail, /at least 120 seconds/);
  const wide = await minutes(event.id, `?from=2024-01-01T00:00:00Z&to=${time(5)}`);
  assert.equal(wide.step, 86400);
});

test('minutes: every change of settings is a mark, and a sentence', async () => {
  const event = await organizer.sale({ threshold: 50, timeZone: 'Asia/Seoul', open: false });
  await organizer.patch(event.id, { threshold: 150, branding: { primary: '#112233' }, surge: [{ queueAbove: 500, threshold: 200 }] });
  await organizer.act(event.id, 'open');
  const { marks, minutes: none } = await minutes(event.id, `?from=${new Date(Date.now() - 60000).toISOString()}&to=${new Date(Date.now() + 60000).toISOString()}`);
  assert.deepEqual(none, []);
  const patch = marks.find((mark) => mark.verb === 'patch');
  assert.deepEqual(patch.changes.map(({ field, from, to }) => [field, from, to]), [
    ['branding.primary', null, '#112233'], ['surge', [], [{ queueAbove: 500, threshold: 200 }]], ['threshold', 50, 150]]);
  const clock = new Intl.DateTimeFormat('en-GB', { timeZone: 'Asia/Seoul', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(new Date(patch.at));
  assert.equal(patch.sentence, `branding.primary none → #112233, surge none → 500:200, threshold 50 → 150, organizer, ${clock}`);
  assert.match(marks.find((mark) => mark.verb === 'create').sentence, /^created, organizer, \d\d:\d\d$/);
  // The audit says the same, and what the service did by itself.
  await organizer.act(event.id, 'pause');
  await database.query("INSERT INTO audit (event_id, who, verb, before, after) SELECT id, 'tiketi', 'settle', jsonb_build_object('status', 'open', 'freeId', '1-0', 'lastPlace', 4, 'version', 1), jsonb_build_object('status', 'sold_out', 'freeId', '2-0', 'lastPlace', 9, 'version', 2) FROM events WHERE id = $1", [event.id]);
  const { entries } = await organizer.must('GET', admin(event.id, '/audit'));
  assert.match(entries[0].sentence, /^status open → sold_out, the service, by itself, \d\d:\d\d$/);
  assert.deepEqual(entries[0].changes, [{ field: 'status', from: 'open', to: 'sold_out' }]);
  assert.match(entries[1].sentence, /^pause: status open → paused, organizer, /);
  assert.ok(entries.every(({ changes }) => changes.every(({ field }) => !/^(free|last|version|epoch|opened)/.test(field))));
});
