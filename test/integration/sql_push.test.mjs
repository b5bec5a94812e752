// SPDX-License-Identifier: MIT
//
// The SQL functions of push messages: which entries of the admission log call whom, which withdraw a call, and that the
// ledger waits for none of it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { uniqueId } from '../fixtures/index.mjs';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => {
  server = await startSql();
  sql = await server.fresh(24);
});
after(async () => {
  await sql.close();
  await server.stop();
});

const KEY = 'B'.repeat(87);
const subscribe = (event, buyer, endpoint = `https://push.example/${uniqueId()}`, test = false) => sql.call('push_subscribe', event, buyer,
  endpoint, KEY, 'A'.repeat(22), KEY, test);
const calls = async (event) => (await sql.rows(`SELECT s.buyer, o.kind, o.payload ->> 'kind' AS what, o.attempts,
    extract(epoch FROM o.due_at - clock_timestamp())::float AS due, extract(epoch FROM o.expires_at - clock_timestamp())::float AS left
  FROM outbox o JOIN push_subscriptions s ON s.id = o.subscription_id WHERE o.event_id = $1 ORDER BY o.id`, [event]));
const called = async (event) => (await calls(event)).map(({ buyer, what }) => `${buyer} ${what}`);
const subscriptions = async (event) => (await sql.rows('SELECT endpoint FROM push_subscriptions WHERE event_id = $1 ORDER BY id', [event])).map(({ endpoint }) => endpoint);

// The log of an event; entries as the consumer sends them, of now unless `at` says otherwise.
class Log {
  constructor(event) {
    Object.assign(this, { event, seq: 0, n: 0, numbers: new Map(), cursor: '0-0' });
  }

  entry(kind, buyer, place = 1, { active = true, at = Date.now() } = {}) {
    const departed = ['left', 'idle', 'completed', 'unclaimed'].includes(kind);
    const enters = ['direct', 'offered', 'restored'].includes(kind);
    if (enters) this.numbers.set(buyer, ++this.n);
    return { id: `5-${++this.seq}`, kind, departed, buyer, place, epoch: 1, at, inside: 1, threshold: 10,
      n: this.numbers.get(buyer) ?? this.n, active: active && enters };
  }

  async consume(...entries) {
    const [{ outcome }] = await sql.callAll('ledger_consume', this.event, this.cursor, entries.at(-1).id, JSON.stringify(entries));
    assert.equal(outcome, 'consumed');
    this.cursor = entries.at(-1).id;
  }
}

async function sale(settings = {}) {
  const id = uniqueId('push');
  await sql.event(id, { rows: 0, claimMs: 90000, ...settings });
  return { id, log: new Log(id) };
}

test('who is offered a turn, and who is set aside, is called; others, and buyers without a browser, are not', async () => {
  const { id, log } = await sale();
  for (const buyer of ['u:offered', 'u:parked', 'u:direct', 'u:left', 'u:other', 'u:gone']) await subscribe(id, buyer);
  await subscribe((await sale()).id, 'u:elsewhere');
  await log.consume(log.entry('offered', 'u:offered', 1), log.entry('parked', 'u:parked', 2), log.entry('direct', 'u:direct', 3),
    log.entry('left', 'u:left', 4), log.entry('offered', 'u:none', 5), log.entry('offered', 'u:elsewhere', 6),
    log.entry('offered', 'u:gone', 7, { active: false }));
  const list = await calls(id);
  assert.deepEqual(list.map(({ buyer, what }) => `${buyer} ${what}`).sort(), ['u:offered offered', 'u:parked parked']);
  const [offered, parked] = ['offered', 'parked'].map((what) => list.find((call) => call.what === what));
  assert.ok(offered.due > 2 && offered.due <= 3 && offered.left > 85 && offered.left <= 90, JSON.stringify(offered));
  assert.ok(parked.due <= 0 && parked.left > 3590 && parked.left <= 3600, JSON.stringify(parked));
});

test('the newest entry of a buyer decides: in one batch, and in a later one; test calls stay', async () => {
  const { id, log } = await sale();
  for (const buyer of ['u:1', 'u:2', 'u:3']) await subscribe(id, buyer, undefined, buyer === 'u:3');
  await log.consume(log.entry('offered', 'u:1', 1), log.entry('offered', 'u:2', 2), log.entry('claimed', 'u:1', 1), log.entry('parked', 'u:3', 3));
  assert.deepEqual((await called(id)).sort(), ['u:2 offered', 'u:3 parked', 'u:3 test']);
  await log.consume(log.entry('unclaimed', 'u:2', 2), log.entry('returned', 'u:3', 3), log.entry('offered', 'u:3', 3));
  assert.deepEqual((await called(id)).sort(), ['u:3 offered', 'u:3 test']);
  await log.consume(log.entry('claimed', 'u:3', 3));
  assert.deepEqual(await called(id), ['u:3 test']);
});

test('an entry that is consumed twice calls once; one that is too old, never', async () => {
  const { id, log } = await sale();
  for (const buyer of ['u:1', 'u:2']) await subscribe(id, buyer);
  const entries = [log.entry('offered', 'u:1', 1), log.entry('parked', 'u:2', 2)];
  await log.consume(...entries);
  assert.equal((await calls(id)).length, 2);
  await sql.rows('DELETE FROM outbox WHERE event_id = $1', [id]);
  await sql.call('ledger_rewind', id, log.cursor, '0-0');
  log.cursor = '0-0';
  await log.consume(...entries);
  assert.deepEqual(await called(id), []);
  await log.consume(log.entry('offered', 'u:1', 1, { at: Date.now() - 91000 }), log.entry('parked', 'u:2', 3, { at: Date.now() - 3601000 }));
  assert.deepEqual(await called(id), []);
});

test('a buyer has the three newest browsers, however many come at once; a browser has the buyer who came last', async () => {
  const { id } = await sale();
  await Promise.all(Array.from({ length: 20 }, (_, i) => subscribe(id, 'u:1', `https://push.example/${id}/${i}`)));
  const kept = await subscriptions(id);
  assert.equal(kept.length, 3);
  await subscribe(id, 'u:2', kept[0]);
  assert.deepEqual(await sql.rows('SELECT buyer FROM push_subscriptions WHERE endpoint = $1', [kept[0]]), [{ buyer: 'u:2' }]);
  const before = await sql.deadlocks();
  await Promise.all(Array.from({ length: 60 }, (_, i) => subscribe(id, `u:${i % 4}`, `https://push.example/${id}/${i % 6}`)));
  assert.equal(await sql.deadlocks(), before);
});

test('the ledger neither waits nor fails when a subscription is deleted, or a call is claimed, meanwhile', async () => {
  const { id, log } = await sale();
  const endpoints = ['a', 'b'].map((name) => `https://push.example/${id}/${name}`);
  await subscribe(id, 'u:1', endpoints[0]);
  await subscribe(id, 'u:2', endpoints[1]);
  await log.consume(log.entry('offered', 'u:1', 1), log.entry('offered', 'u:2', 2));
  const client = await sql.pool.connect();
  await client.query('BEGIN');
  await client.query('DELETE FROM push_subscriptions WHERE endpoint = $1', [endpoints[0]]);
  await client.query('UPDATE outbox SET attempts = 1 WHERE event_id = $1', [id]);
  await sql.rows('SET lock_timeout = 1000');
  const began = performance.now();
  await log.consume(log.entry('unclaimed', 'u:1', 1), log.entry('offered', 'u:1', 1), log.entry('claimed', 'u:2', 2));
  assert.ok(performance.now() - began < 1000);
  await client.query('COMMIT');
  client.release();
  assert.deepEqual((await called(id)).filter((call) => call.startsWith('u:1')), []);
});

test('turns are claimed before tests, each by one sender; what failed is due again, as long as it helps', async () => {
  await sql.rows('DELETE FROM push_subscriptions');
  const { id, log } = await sale({ claimMs: 1000 });
  for (let i = 0; i < 6; i++) await subscribe(id, `u:${i}`, undefined, true);
  await log.consume(...[0, 1, 2, 3].map((i) => log.entry('parked', `u:${i}`, i + 1)));
  const claim = async (limit, tests) => (await sql.call('push_claim', limit, tests, 60000)).body;
  const first = await claim(5, 3);
  assert.deepEqual(first.calls.map(({ kind }) => kind).sort(), ['parked', 'parked', 'parked', 'parked', 'test']);
  const many = await Promise.all([1, 2, 3].map(() => claim(5, 2)));
  assert.equal(many.reduce((n, { calls: list }) => n + list.length, 0), 5, 'two for each, but five are left');
  const [one, two, three, four] = first.calls.filter(({ kind }) => kind === 'parked');
  const failed = (call, { wait = 0, gone = false, refused = false, claim: by = first.claim } = {}) => sql.call('push_failed', call.id, by, 'why', wait, gone, refused);
  assert.equal((await failed(one)).outcome, 'pending');
  assert.equal((await failed(one)).outcome, 'not-found', 'the claim is over');
  assert.equal((await failed(two, { wait: 3700000 })).outcome, 'late');
  assert.equal((await failed(three, { refused: true })).outcome, 'dropped');
  assert.equal((await failed(four, { gone: true, claim: many[0].claim })).outcome, 'not-found');
  assert.equal((await failed(four, { gone: true })).outcome, 'gone');
  assert.equal((await subscriptions(id)).length, 5);
  const [{ due }] = (await calls(id)).filter(({ what }) => what === 'parked');
  assert.ok(due > 0.5 && due <= 1.2, String(due));
  const ids = (await sql.rows('SELECT id FROM outbox WHERE event_id = $1', [id])).map((row) => row.id);
  assert.equal((await sql.call('push_sent', ids)).outcome, 'sent');
  assert.deepEqual(await calls(id), []);
});

test('calls are no mail; upkeep deletes what is of no use: late calls, browsers of events that are closed, deleted or over', async () => {
  await sql.rows('DELETE FROM push_subscriptions');
  const [open, closed, gone, over, coming] = await Promise.all([{}, {}, {}, {}, {}].map(() => sale()));
  for (const { id } of [open, closed, gone, over, coming]) await subscribe(id, 'u:1', undefined, true);
  await sql.rows("UPDATE events SET status = 'closed' WHERE id = $1", [closed.id]);
  await sql.rows('DELETE FROM events WHERE id = $1', [gone.id]);
  await sql.rows("UPDATE events SET starts_at = now() - interval '25 hours' WHERE id = $1", [over.id]);
  await sql.rows("UPDATE events SET starts_at = now() + interval '1 hour' WHERE id = $1", [coming.id]);
  assert.deepEqual((await sql.call('outbox_count', open.id)).body, { pending: 0, parked: 0 });
  assert.deepEqual((await sql.call('outbox_upkeep', 100)).body, { pending: 0, parked: 0, oldestSeconds: 0, parkedNow: 0 });
  await sql.rows('UPDATE outbox SET expires_at = clock_timestamp() WHERE event_id = $1', [open.id]);
  assert.deepEqual((await sql.call('push_upkeep', 100)).body, { expired: 1, subscriptions: 3 });
  assert.deepEqual((await sql.rows('SELECT event_id FROM push_subscriptions')).map(({ event_id }) => event_id).sort(), [open.id, coming.id].sort());
  assert.deepEqual((await sql.call('push_upkeep', 100)).body, { expired: 0, subscriptions: 0 });
  assert.deepEqual([(await subscribe(closed.id, 'u:1')).outcome, (await subscribe(gone.id, 'u:1')).outcome], ['event-closed', 'unknown-event']);
});
