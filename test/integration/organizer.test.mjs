// SPDX-License-Identifier: MIT
//
// The organizer's routes: create, change with If-Match, open, pause, resume, close, clear, process, stats. A change is
// in force on every pod within a second, even without Pub/Sub.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Organizer, Server, loginTo, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

const admin = (path = '') => `/api/admin/events${path}`;

test('an event needs only a title, and every bad field is named', async () => {
  const made = await organizer.post(admin(), { json: { title: 'A concert' } });
  assert.equal(made.status, 201, made.text);
  assert.equal(made.body.status, 'draft');
  assert.equal(made.body.threshold, 1000);
  assert.equal(made.body.maxSeats, 4);
  assert.equal(made.headers.etag, `"${made.body.version}"`);
  const bad = [
    [{}, 'title'], [{ title: '' }, 'title'], [{ title: 'x'.repeat(201) }, 'title'], [{ title: 7 }, 'title'],
    [{ title: 'a', threshold: -1 }, 'threshold'], [{ title: 'a', threshold: 1.5 }, 'threshold'], [{ title: 'a', id: 'a b' }, 'id'],
    [{ title: 'a', opensAt: 'tomorrow' }, 'opensAt'], [{ title: 'a', surge: [{ queueAbove: 5 }] }, undefined], [{ title: 'a', nope: 1 }, 'nope'],
    [{ title: 'a', allowGuests: 'yes' }, 'allowGuests'], [{ title: 'a', askEmail: 'yes' }, 'askEmail'], [{ title: 'a', intervalMs: 1 }, 'intervalMs'], [{ title: 'a', status: 'open' }, 'status'],
  ];
  for (const [json, field] of bad) {
    const answer = await organizer.post(admin(), { json });
    assert.equal(answer.status, 400, `${JSON.stringify(json)}: ${answer.text}`);
    if (field) assert.equal(answer.body.field, field, answer.text);
  }
  const named = { title: 'Named', id: 'my-event_1' };
  assert.equal((await organizer.post(admin(), { json: named })).status, 201);
  assert.equal((await organizer.post(admin(), { json: named })).status, 409, 'the id is taken');
});

test('If-Match: the second of two writers is told that the event has changed', async () => {
  const event = await organizer.sale({ threshold: 5, open: false });
  const { headers } = await organizer.get(admin(`/${event.id}`));
  const patch = (json, etag) => organizer.request('PATCH', admin(`/${event.id}`), { json, headers: etag ? { 'if-match': etag } : {} });
  const first = await patch({ threshold: 6 }, headers.etag);
  assert.equal(first.status, 200, first.text);
  assert.equal(first.body.threshold, 6);
  assert.notEqual(first.headers.etag, headers.etag);
  const late = await patch({ threshold: 7 }, headers.etag);
  assert.equal(late.status, 412);
  assert.equal((await organizer.get(admin(`/${event.id}`))).body.threshold, 6);
  assert.equal((await patch({ threshold: 8 }, first.headers.etag)).status, 200);
  assert.equal((await patch({ threshold: 9 }, 'rubbish')).status, 400);
  assert.equal((await patch({ bogus: 9 })).body.field, 'bogus');
});

test('If-Match: a value that is not an ETag of the event is refused, and changes nothing', async () => {
  const { id } = (await organizer.post(admin(), { json: { title: 'Plain' } })).body;
  const patch = (match) => organizer.request('PATCH', admin(`/${id}`), { json: { venue: match }, headers: { 'if-match': match } });
  for (const match of ['+1', '"1', '1"', '"01"', '"+1"', '" 1"', '"1", "2"', '""', '"1"x', `"${'9'.repeat(20)}"`, 'W/', '-1']) {
    const { status, body } = await patch(match);
    assert.equal(status, 400, match);
    assert.equal(body.field, 'If-Match', match);
  }
  let version = 1;
  for (const form of [(v) => `"${v}"`, (v) => `W/"${v}"`, String, () => '*']) {
    const { status, body } = await patch(form(version));
    assert.equal(status, 200, form(version));
    version = body.version;
  }
});

test('buyers see each state of an event', async () => {
  const event = await organizer.sale({ threshold: 0, open: false });
  const buyer = new Client(server, { sub: 'patient' });
  assert.equal((await buyer.check(event.id)).status, 404, 'a draft is not public');
  await organizer.act(event.id, 'open');
  assert.equal((await buyer.check(event.id)).body.status, 'queued');
  await organizer.act(event.id, 'pause');
  await waitUntil(async () => (await buyer.status(event.id)).body.status === 'paused', 15000, 'paused');
  await organizer.patch(event.id, { threshold: 5 });
  // 503 while no processor has taken the new event yet.
  await waitUntil(() => organizer.act(event.id, 'process'), 15000, 'a processor');
  assert.equal((await buyer.status(event.id)).body.status, 'paused', 'nobody enters while paused');
  await organizer.act(event.id, 'resume');
  await organizer.act(event.id, 'process');
  await waitUntil(async () => (await buyer.status(event.id)).body.status === 'active', 15000, 'in after the resume');
  await organizer.act(event.id, 'close');
  const late = await new Client(server, { sub: 'late' }).check(event.id);
  assert.equal(late.status, 410, late.text);
  assert.equal(late.body.code, 'event-closed');
  const again = await organizer.post(admin(`/${event.id}/open`));
  assert.deepEqual([again.status, again.body.field], [409, 'status'], again.text);
});

test('events open and close by their times alone', async () => {
  const soon = new Date(Date.now() + 4000).toISOString();
  const end = new Date(Date.now() + 11000).toISOString();
  const event = await organizer.sale({ threshold: 1, intervalMs: 200, opensAt: soon, closesAt: end });
  const first = new Client(server, { sub: 'early1' });
  const second = new Client(server, { sub: 'early2' });
  assert.equal((await first.check(event.id)).body.status, 'scheduled');
  assert.equal((await second.check(event.id)).body.position, 2);
  await waitUntil(async () => (await first.status(event.id)).body.status === 'active', 15000, 'the first is in at the opening');
  await waitUntil(async () => (await second.status(event.id)).body.position === 1, 15000, 'the second to be the next');
  await waitUntil(async () => (await new Client(server, { sub: 'late' }).check(event.id)).status === 410, 15000, 'closed by time');
});

test('clear removes waiting and active buyers, and makes old tickets and passes worthless', async () => {
  const event = await organizer.sale({ threshold: 1, intervalMs: 60000 });
  const inside = new Client(server, { sub: 'inside' });
  const waiting = new Client(server, { sub: 'waiting' });
  await inside.check(event.id);
  await waiting.check(event.id);
  await organizer.act(event.id, 'clear');
  assert.equal((await server.get(`/api/gate/${event.id}`, { headers: { 'x-tiketi-pass': inside.pass } })).status, 401);
  const pass = inside.pass;
  const newcomer = new Client(server, { sub: 'newcomer' });
  assert.equal((await newcomer.check(event.id)).body.status, 'active');
  const back = await waiting.check(event.id, { headers: { 'x-tiketi-ticket': waiting.ticket } });
  assert.equal(back.body.position, 1);
  const again = await inside.check(event.id, { headers: { 'x-tiketi-pass': pass } });
  assert.equal(again.body.queued, true, 'the old pass does not admit');
});

test('every change writes an audit entry with before and after', async () => {
  const event = await organizer.sale({ threshold: 3 });
  await organizer.patch(event.id, { threshold: 9 });
  const rows = await database.query('SELECT * FROM audit WHERE event_id = $1 ORDER BY id', [event.id]);
  const last = rows.at(-1);
  assert.ok(rows.length >= 3, 'create, open, patch');
  assert.match(JSON.stringify(last.before), /"threshold":\s*3/);
  assert.match(JSON.stringify(last.after), /"threshold":\s*9/);
});

test('process runs a tick now, stats count it, and without a processor it is 503 within two seconds', async () => {
  const event = await organizer.sale({ threshold: 0, intervalMs: 600000 });
  await new Client(server, { sub: 'waiter' }).check(event.id);
  await organizer.patch(event.id, { threshold: 2 });
  await waitUntil(() => organizer.act(event.id, 'process'), 15000, 'a processor');
  const stats = await organizer.stats(event.id);
  assert.equal(stats.counters.admitted, 1, JSON.stringify(stats));
  await waitUntil(async () => (await organizer.stats(event.id)).currentUsers === 1, 15000, 'the number inside');
});

test('100 threshold changes on two pods without Pub/Sub: each is in force on both within a second', { timeout: 120000 }, async () => {
  // A Redis user without any channel: every PUBLISH and SUBSCRIBE fails.
  await redis.cli('ACL', 'SETUSER', 'mute', 'on', '>mute', '~*', '+@all', 'resetchannels');
  const pods = await Promise.all([1, 2].map(() => Server.start({ redis: loginTo(redis, 'mute', 'mute'), database })));
  const boss = new Organizer(pods[0]);
  const event = await boss.sale({ threshold: 1, intervalMs: 600000 });
  const buyers = pods.map((pod, i) => new Client(pod, { sub: `looker${i}` }));
  for (const buyer of buyers) await buyer.check(event.id);
  let slowest = 0;
  for (let round = 0; round < 100; round++) {
    const threshold = 1000 + round;
    await boss.patch(event.id, { threshold });
    const from = performance.now();
    for (const buyer of buyers)
      await waitUntil(async () => (await buyer.check(event.id)).body.threshold === threshold, 1000, `threshold ${threshold} on a pod`);
    slowest = Math.max(slowest, performance.now() - from);
  }
  assert.ok(slowest < 1000, `slowest ${slowest} ms`);
  await Promise.all(pods.map((pod) => pod.stop()));
});

test('the time zone of an event is an IANA name, kept and given back', async () => {
  const { id } = await organizer.sale({ timeZone: 'Asia/Seoul' });
  assert.equal((await server.get(`/api/events/${id}`)).body.timeZone, 'Asia/Seoul');
  for (const timeZone of ['KST', 'GMT+9', 'Mars/Base', 'asia/seoul', 'x'.repeat(60), 9]) {
    const { status, body } = await organizer.request('PATCH', `/api/admin/events/${id}`, { json: { timeZone } });
    assert.deepEqual([status, body.field], [400, 'timeZone'], String(timeZone));
  }
  assert.equal((await organizer.patch(id, { timeZone: null })).timeZone, null);
});
