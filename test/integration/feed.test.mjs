// SPDX-License-Identifier: MIT
//
// The feed of an event over HTTP and by `tiketi ctl feed`: what a sale tells, in order and once; who may read it; and what
// becomes of it when the processor dies. (The SQL functions: sql_feed.test.mjs.)

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { BIN, Client, ROOT, bearer, jwt, stage, waitUntil } from '../fixtures/index.mjs';
import { ctlIn, token } from './ctl_support.mjs';

const { database, server, organizer } = await stage({ env: { PAYMENT_WEBHOOK_SECRETS: 'webhook-secret-of-the-shop', TIKETI_TEST_HOOKS: 1 } });
const home = await mkdtemp(join(tmpdir(), 'tiketi-feed-'));
after(() => rm(home, { recursive: true, force: true }));

const get = (id, query = '', headers = organizer.headers) => server.request('GET', `/api/admin/events/${id}/feed${query}`, { headers });
const lines = (text) => text.split('\n').slice(0, -1).map((line) => JSON.parse(line));
const read = async (id, query) => {
  const answer = await organizer.get(`/api/admin/events/${id}/feed${query ?? ''}`);
  assert.equal(answer.status, 200, answer.text);
  return lines(answer.text);
};

async function enter(event, sub) {
  const client = new Client(server, { sub });
  const { body } = await client.check(event.id);
  assert.equal(body.status, 'active', JSON.stringify(body));
  return client;
}

test('a sale is told from its opening to its end: turns, seats, money, in the order in which it happened', async () => {
  const event = await organizer.sale({ threshold: 5, autoHold: 0, grid: { rows: 1, seatsPerRow: 4, price: 0 } });
  const client = await enter(event, 'mina');
  const { body: held } = await client.post('/api/reservations', { json: { eventId: event.id, quantity: 2 } });
  await client.post(`/api/reservations/${held.id}/pay`);
  await organizer.patch(event.id, { threshold: 7 });
  await organizer.act(event.id, 'pause');
  await organizer.act(event.id, 'resume');
  await organizer.act(event.id, 'close');
  const events = await waitUntil(async () => {
    const all = await read(event.id);
    return all.some(({ type }) => type === 'buyer.left') && all;
  });
  const order = (...types) => types.map((type) => events.findIndex((one) => one.type === type));
  for (const chain of [
    order('event.opened', 'reservation.held', 'reservation.confirmed', 'threshold.changed', 'event.paused', 'event.closed'),
    order('event.opened', 'buyer.admitted', 'buyer.left')]) {
    assert.ok(chain.every((at, i) => at >= 0 && (i === 0 || at > chain[i - 1])), JSON.stringify(events.map(({ type }) => type)));
  }
  assert.deepEqual(events.filter(({ type }) => /^(?:buyer|reservation)\./.test(type)).map(({ type }) => type).sort(),
    ['buyer.admitted', 'buyer.left', 'reservation.confirmed', 'reservation.held']);
  assert.equal(events.find(({ type }) => type === 'buyer.left').data.reason, 'completed');
  const confirmed = events.find(({ type }) => type === 'reservation.confirmed');
  assert.deepEqual([confirmed.subject, confirmed.data.buyer, confirmed.data.seats.map(({ id }) => id)],
    [held.id, 'u:mina', held.seats.map(({ id }) => id)]);
  assert.equal(new Set(events.map(({ id }) => id)).size, events.length);
  assert.deepEqual(events.map(({ sequence }) => sequence), events.map(({ sequence }) => sequence).sort());

  const ctl = ctlIn(home);
  const env = { TIKETI_URL: server.url, TIKETI_TOKEN: token() };
  const { stdout } = await ctl(['feed', event.id], { env });
  assert.deepEqual(lines(stdout), events);
  const some = await ctl(['feed', event.id, '--after', events[1].sequence, '--types', 'event.paused,event.closed'], { env });
  assert.deepEqual(lines(some.stdout).map(({ type }) => type), ['event.paused', 'event.closed']);
  const followed = ctl(['feed', event.id, '--follow', '--after', events.at(-1).sequence], { env, until: (text) => text.includes('event.opened') });
  await organizer.act(event.id, 'reopen');
  assert.deepEqual(lines((await followed).stdout).map(({ type }) => type), ['event.opened']);
});

test('a page ends at its limit, and the next one begins behind it', async () => {
  const event = await organizer.sale({ threshold: 5 });
  for (const threshold of [6, 7, 8, 9]) await organizer.patch(event.id, { threshold });
  const all = await read(event.id, '?types=threshold.changed');
  assert.deepEqual(all.map(({ data }) => data.to), [6, 7, 8, 9]);
  const seen = [];
  for (let page = await read(event.id, '?limit=2'); page.length > 0; page = await read(event.id, `?limit=2&after=${seen.at(-1).sequence}`)) {
    assert.ok(page.length <= 2);
    seen.push(...page);
  }
  assert.deepEqual(seen, await read(event.id));
  const last = await organizer.get(`/api/admin/events/${event.id}/feed?after=${seen.at(-1).sequence}`);
  assert.deepEqual([last.status, last.text, last.headers['content-type']], [200, '', 'application/x-ndjson']);
});

test('what is asked wrongly is refused by name; what is forgotten is 410', async () => {
  const event = await organizer.sale({ threshold: 5 });
  for (const [query, field, reason] of [['?after=x', 'after', 'not-a-number'], ['?after=-1', 'after', 'not-a-number'], ['?limit=1001', 'limit', 'not-in-range'],
    ['?types=buyer.left,nonsense', 'types', 'not-an-event-type'], ['?types=,', 'types', 'not-an-event-type'], [`?types=${'event.closed,'.repeat(60)}x`, 'types', 'not-an-event-type']]) {
    const { status, body } = await organizer.get(`/api/admin/events/${event.id}/feed${query}`);
    assert.deepEqual([status, body.field, body.reason], [400, field, reason], query);
  }
  await read(event.id);
  await database.query('UPDATE feed_heads SET pruned = 5 WHERE event_id = $1', [event.id]);
  const { status, body } = await organizer.get(`/api/admin/events/${event.id}/feed?after=3`);
  assert.deepEqual([status, body.code, body.reason, body.field], [410, 'gone', 'feed-forgotten', 'after']);
  assert.equal((await organizer.get('/api/admin/events/none/feed')).status, 404);
});

test('only those who may see payments may read it', async () => {
  const event = await organizer.sale({ threshold: 5 });
  assert.equal((await get(event.id, '', {})).status, 401);
  for (const role of ['viewer', 'sre', 'door', 'buyer', undefined]) assert.equal((await get(event.id, '', bearer(jwt({ sub: 'eve', role })))).status, 403, role);
  assert.equal((await get(event.id, '', bearer(jwt({ sub: 'eve', role: 'organizer' })))).status, 403, 'not their event');
  assert.equal((await get(event.id, '', bearer(jwt({ sub: 'organizer', role: 'service' })))).status, 200, 'a server of the owner');
  assert.equal((await get(event.id, '', bearer(jwt({ sub: 'eve', role: 'service' })))).status, 403);
});

test('rows get their numbers without a reader, and what is older than KEEP_FEED_DAYS is deleted', async () => {
  const event = await organizer.sale({ threshold: 5 });
  await waitUntil(async () => (await database.query('SELECT 1 FROM feed WHERE event_id = $1', [event.id])).length > 0);
  await database.query("UPDATE feed SET at = at - interval '31 days' WHERE event_id = $1", [event.id]);
  await organizer.patch(event.id, { threshold: 6 });
  await database.query("UPDATE feed_heads SET kept_at = NULL");
  await waitUntil(async () => (await read(event.id)).map(({ type }) => type).join() === 'threshold.changed', { timeoutMs: 30000 });
});

test('the script for Kafka writes the feed to a topic', async () => {
  const event = await organizer.sale({ threshold: 5 });
  await organizer.patch(event.id, { threshold: 6 });
  await writeFile(join(home, 'kcat.conf'), 'test.mock.num.brokers=1\n'); // a broker within kcat
  const child = spawn(join(ROOT, 'docs/integrate/kafka.sh'), [event.id], { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env,
    PATH: `${dirname(BIN)}:${process.env.PATH}`, KCAT_CONFIG: join(home, 'kcat.conf'), BROKERS: 'mock', FOLLOW: '', TIKETI_URL: server.url, TIKETI_TOKEN: token() } });
  let told = '';
  child.stderr.on('data', (data) => (told += data));
  const [code] = await once(child, 'close');
  assert.equal(code, 0, told);
  assert.deepEqual([...told.matchAll(/delivered to partition 0 \(offset (\d+)\)/g)].map(([, offset]) => offset), ['0', '1'], told);
});
