// SPDX-License-Identifier: MIT
//
// The SQL functions of webhooks: one sender at a time has one, a claim outlives a sender that died, and what a sender reports
// late changes nothing: sql/functions/hook.sql.

import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => {
  server = await startSql();
  sql = await server.fresh(16);
});
beforeEach(() => sql.rows('DELETE FROM webhooks'));
after(async () => {
  await sql.close();
  await server.stop();
});

const add = async (event, fields = {}) => (await sql.call('hook_create', event, { url: 'https://x.example/', ...fields }, 'staff')).body;
const claim = async (limit = 10, events = 100, ms = 60000) => (await sql.call('hook_claim', limit, events, ms)).body;
const sent = (id, { claim: by }, to, n, error = null, { wait = 0, gone = false } = {}) => sql.call('hook_sent', id, by, to, n, error, wait, gone);
const row = (id) => sql.row('SELECT * FROM webhooks WHERE id = $1', [id]);
const change = (event, ...thresholds) => Promise.all(thresholds.map((threshold) => sql.rows(
  "UPDATE events SET settings = settings || jsonb_build_object('threshold', $2::int), version = version + 1 WHERE id = $1", [event, threshold])));
let n = 0;
const event = async () => {
  const id = `h${++n}`;
  await sql.event(id, { rows: 0 });
  return id;
};

test('twenty senders claim at once: a webhook goes to one of them, with what comes next; what has nothing to send to none', async () => {
  const [busy, idle] = [await event(), await event()];
  const hook = await add(busy);
  await add(idle);
  await change(busy, 1, 2, 3);
  const claims = await Promise.all(Array.from({ length: 20 }, () => claim()));
  const given = claims.flatMap(({ webhooks }) => webhooks);
  assert.deepEqual(given.map(({ id, events }) => [id, events.length]), [[hook.id, 3]]);
  assert.deepEqual(given[0].secrets, [hook.secret]);
  assert.equal((await claim()).webhooks.length, 0);
});

test('a claim outlives its sender: the round is repeated when it ends, and the late report of the dead changes nothing', async () => {
  const id = await event();
  const hook = await add(id);
  await change(id, 1, 2, 3);
  const first = await claim();
  const { due_at: due } = await row(hook.id);
  assert.ok(due - Date.now() > 50000);
  await sql.rows("UPDATE webhooks SET due_at = clock_timestamp()"); // a minute later
  const second = await claim();
  assert.deepEqual(second.webhooks[0].events, first.webhooks[0].events);
  assert.equal((await sent(hook.id, second, second.webhooks[0].events[0].sequence, 1, 'answer 500')).outcome, 'failing');
  assert.equal((await sent(hook.id, first, first.webhooks[0].upTo, 3)).outcome, 'not-found');
  const kept = await row(hook.id);
  assert.deepEqual([String(kept.sent), kept.attempts, kept.claim], [second.webhooks[0].events[0].sequence, 1, null]);
  await sql.rows("UPDATE webhooks SET due_at = clock_timestamp()");
  assert.deepEqual((await claim()).webhooks[0].events.map(({ event: { data } }) => data.to), first.webhooks[0].events.slice(1).map(({ event: { data } }) => data.to));
});

test('a replay takes the claim away: the sender reports in vain, and then it is due', async () => {
  const id = await event();
  const hook = await add(id);
  await change(id, 1, 2);
  const first = await claim();
  for (let i = 0; i < 2; i++) assert.equal((await sql.call('hook_replay', id, hook.id, 0, 'staff')).outcome, 'replayed');
  await sql.call('hook_test', id, hook.id);
  assert.equal((await claim()).webhooks.length, 0, 'the sender may be in the middle of a call');
  assert.equal((await sent(hook.id, first, first.webhooks[0].upTo, 2)).outcome, 'not-found');
  const again = (await claim()).webhooks[0];
  assert.deepEqual(again.events.map(({ event: { type } }) => type), ['event.opened', 'threshold.changed', 'threshold.changed']);
});

test('another address, off and a secret that ends at once take the claim away: the sender\'s report is about what was before', async () => {
  const id = await event();
  const hook = await add(id);
  await change(id, 1, 2);
  const first = await claim();
  await sql.call('hook_change', id, hook.id, { url: 'https://y.example/' }, 'staff');
  await sql.call('hook_change', id, hook.id, { url: 'https://y.example/new' }, 'staff');
  assert.equal((await claim()).webhooks.length, 0, 'the sender may be in the middle of a call');
  assert.equal((await sent(hook.id, first, first.webhooks[0].upTo, 2, 'answer 410', { gone: true })).outcome, 'not-found');
  const second = await claim();
  assert.deepEqual(second.webhooks.map(({ url, events }) => [url, events]), [['https://y.example/new', first.webhooks[0].events]]);
  await sql.call('hook_change', id, hook.id, { description: 'of the shop', types: null }, 'staff');
  await sql.call('hook_rotate', id, hook.id, 60, 'staff');
  assert.equal((await sent(hook.id, second, second.webhooks[0].events[0].sequence, 1)).outcome, 'good');
  const third = await claim();
  await sql.call('hook_rotate', id, hook.id, 0, 'staff');
  assert.equal((await sent(hook.id, third, '', 0, 'answer 401')).outcome, 'not-found');
  const fourth = await claim();
  assert.equal(fourth.webhooks[0].secrets.length, 1);
  await sql.call('hook_change', id, hook.id, { enabled: false }, 'staff');
  assert.equal((await sent(hook.id, fourth, fourth.webhooks[0].upTo, 1)).outcome, 'not-found');
  assert.equal((await claim()).webhooks.length, 0);
  await sql.call('hook_change', id, hook.id, { enabled: true }, 'staff');
  assert.deepEqual((await claim()).webhooks[0].events, fourth.webhooks[0].events);
});

test('a test call that was asked for in a round that fails is not put off', async () => {
  const id = await event();
  const hook = await add(id);
  await change(id, 1);
  const first = await claim();
  await sql.call('hook_test', id, hook.id);
  await sent(hook.id, first, '', 0, 'answer 503', { wait: 1800000 });
  assert.ok((await row(hook.id)).due_at - Date.now() < 5000);
  await sql.rows('UPDATE webhooks SET due_at = clock_timestamp()');
  const second = await claim();
  assert.ok(second.webhooks[0].test);
  await sql.call('hook_tested', hook.id, second.webhooks[0].test, null);
  await sent(hook.id, second, '', 0, 'answer 503', { wait: 1800000 });
  assert.ok((await row(hook.id)).due_at - Date.now() > 1700000);
});

test('a test call leaves a parked webhook parked, with why', async () => {
  const id = await event();
  const hook = await add(id);
  await change(id, 1);
  await sent(hook.id, await claim(), '', 0, 'answer 410', { gone: true });
  await sql.call('hook_test', id, hook.id);
  const given = await claim();
  assert.deepEqual(given.webhooks.map(({ test: called, events }) => [typeof called, events]), [['string', []]]);
  await sql.call('hook_tested', hook.id, given.webhooks[0].test, null);
  await sent(hook.id, given, '', 0);
  const { parked_at: parked, error } = await row(hook.id);
  assert.ok(parked);
  assert.equal(error, 'answer 410');
  assert.equal((await claim()).webhooks.length, 0);
});

test('types are looked for far ahead, a step at a time; a round of none moves on', async () => {
  const id = await event();
  const hook = await add(id, { types: ['event.closed'] });
  await sql.rows(`INSERT INTO feed_new (event_id, type, id, at, data)
    SELECT $1, 'threshold.changed', gen_random_uuid(), now(), '{}' FROM generate_series(1, 11000)`, [id]);
  await sql.rows("UPDATE events SET status = 'closed' WHERE id = $1", [id]);
  const seen = [];
  for (let i = 0; i < 20 && seen.length === 0; i++) {
    const given = await claim();
    const [one] = given.webhooks;
    if (!one) continue;
    seen.push(...one.events);
    assert.equal((await sent(hook.id, given, one.upTo, one.events.length)).outcome, 'good');
  }
  assert.deepEqual(seen.map(({ event: { type } }) => type), ['event.closed']);
  assert.equal((await claim()).webhooks.length, 0);
});

test('what the receiver asks for is waited for; gone and three days park, and a parked one is not claimed', async () => {
  const id = await event();
  const hook = await add(id);
  await change(id, 1);
  assert.equal((await sent(hook.id, await claim(), '', 0, 'answer 429', { wait: 1800000 })).outcome, 'failing');
  assert.ok(Math.abs((await row(hook.id)).due_at - Date.now() - 1800000) < 60000);
  await sql.rows("UPDATE webhooks SET due_at = clock_timestamp(), failing_since = failing_since - interval '3 days'");
  assert.equal((await sent(hook.id, await claim(), '', 0, 'answer 500')).outcome, 'parked');
  await sql.rows('UPDATE webhooks SET due_at = clock_timestamp()');
  assert.equal((await claim()).webhooks.length, 0);
  assert.deepEqual((await sql.call('hook_count', id)).body, { webhooks: 1, failing: 0, parked: 1, lateSeconds: 0 });
  await sql.call('hook_change', id, hook.id, { url: 'https://y.example/' }, 'staff');
  assert.equal((await sent(hook.id, await claim(), '', 0, 'answer 410', { gone: true })).outcome, 'parked');
});

test('a deleted draft takes its webhooks along; a reset rehearsal keeps them, behind what was taken back', async () => {
  const id = await event();
  await sql.rows("UPDATE events SET status = 'draft' WHERE id = $1", [id]);
  await add(id);
  assert.equal((await sql.call('event_delete', id, 0, 'staff')).outcome, 'updated');
  assert.deepEqual(await sql.rows('SELECT 1 FROM webhooks'), []);
  await sql.event('trial', { rows: 0, rehearsal: true });
  const hook = await add('trial');
  await change('trial', 1, 2);
  const given = await claim();
  await sql.call('event_reset', 'trial', 'demo', 'staff');
  assert.equal((await sent(hook.id, given, given.webhooks[0].upTo, 2)).outcome, 'not-found');
  assert.equal((await claim()).webhooks.length, 0);
  await sql.rows("UPDATE events SET status = 'open', version = version + 1 WHERE id = 'trial'");
  assert.deepEqual((await claim()).webhooks[0].events.map(({ event: { type } }) => type), ['event.opened']);
});
