// SPDX-License-Identifier: MIT
//
// The SQL functions about events and seats: sql/functions/event.sql, seat.sql, demo.sql.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startSql } from './sql_support.mjs';

let server;
let sql;
let SETTINGS; // every setting there is
before(async () => {
  server = await startSql();
  sql = await server.fresh(4);
  const [{ defaults }] = await sql.rows('SELECT event_setting_defaults() AS defaults');
  SETTINGS = { ...defaults, threshold: 7, intervalMs: 1000, surge: [{ queueAbove: 10, threshold: 20 }] };
});
after(async () => {
  await sql.close();
  await server.stop();
});

const audit = (event) => sql.rows('SELECT who, verb, before, after FROM audit WHERE event_id = $1 ORDER BY id', [event]);

test('an event is created as a draft with every field, and audited', async () => {
  const { outcome, body } = await sql.call('event_create',
    { id: 'e1', title: 'T', artist: 'A', venue: 'V', startsAt: '2031-05-01T20:00:00.5Z', ...SETTINGS }, 'me', 'u');
  assert.equal(outcome, 'created');
  assert.deepEqual(body, {
    id: 'e1', title: 'T', artist: 'A', venue: 'V', startsAt: '2031-05-01T20:00:00.500Z', opensAt: null, closesAt: null,
    status: 'draft', version: 1, epoch: 1, lastPlace: 0, seats: 0, opened: false, closedPaused: false, closedAt: null, bans: 0, bansMark: 0, owner: 'me',
    freeSeats: 0, freeAdmitted: 0, freeId: '0-0', message: null, ...SETTINGS,
    branding: { name: '', primary: null, background: null, logo: null, image: null }, priceFrom: null,
  });
  const [entry] = await audit('e1');
  assert.deepEqual([entry.who, entry.verb, entry.before, entry.after.id], ['u', 'create', null, 'e1']);
});

test('a missing id becomes a uuid; a taken one is a conflict', async () => {
  const made = await sql.call('event_create', { title: 'T', ...SETTINGS }, 'me', 'u');
  assert.match(made.body.id, /^[0-9a-f-]{36}$/);
  const again = await sql.call('event_create', { id: made.body.id, title: 'X', ...SETTINGS }, 'me', 'u');
  assert.equal(again.outcome, 'conflict');
  assert.equal((await sql.call('event_get', made.body.id)).body.title, 'T');
});

test('an update compares the version, keeps before and after, and refuses the second of two', async () => {
  const { body: event } = await sql.call('event_create', { id: 'e2', title: 'T', ...SETTINGS }, 'me', 'u');
  const change = { ...event, title: 'U', threshold: 9, status: 'open' };
  const results = await Promise.all([sql.call('event_update', change, 'patch', 'a'), sql.call('event_update', change, 'patch', 'b')]);
  assert.deepEqual(results.map((row) => row.outcome).sort(), ['stale', 'updated']);
  const { body } = results.find((row) => row.outcome === 'updated');
  assert.deepEqual([body.title, body.threshold, body.version, body.status], ['U', 9, 2, 'open']);
  const entry = (await audit('e2'))[1];
  assert.deepEqual([entry.verb, entry.before.title, entry.after.title], ['patch', 'T', 'U']);
  assert.equal((await sql.call('event_update', { ...change, id: 'none' }, 'patch', 'a')).outcome, 'not-found');
});

test('lists: the events of one owner, all events, page by page; the public one without drafts and closed events', async () => {
  await sql.call('event_create', { id: 'l1', title: 'T', ...SETTINGS }, 'lister', 'u');
  await sql.event('l2', { rows: 0 });
  await sql.event('l3', { rows: 0, status: 'closed' });
  const page = async (...args) => (await sql.call('events_page', ...args)).body;
  const ids = async (owner) => (await page(owner, null, null, null, 500)).events.map((event) => event.id);
  assert.deepEqual(await ids('lister'), ['l1']);
  assert.deepEqual((await page(null, 'l3,none', null, null, 500)).events.map(({ id }) => id), ['l3']);
  assert.deepEqual((await page('lister', 'l3', null, null, 500)).events.map(({ id }) => id), ['l3', 'l1']);
  const every = await ids(null);
  assert.ok(every.includes('l1') && every.includes('l3'));
  assert.equal((await page('lister', null, null, null, 1)).events[0].owner, 'lister');
  const seen = [];
  for (let next = null; seen.length === 0 || next !== null;) {
    const body = await page(null, null, null, next, 2);
    seen.push(...body.events.map((event) => event.id));
    next = body.next;
  }
  assert.deepEqual(seen, every);

  const [head, ...rows] = await sql.callAll('events_listing', '');
  assert.deepEqual([head.outcome, head.body], ['found', null]);
  const open = rows.map(({ body }) => body.id);
  assert.ok(open.includes('l2') && !open.includes('l1') && !open.includes('l3'));
  const known = await sql.callAll('events_listing', head.version);
  assert.deepEqual(known.map(({ outcome }) => outcome), ['unchanged']);
  await sql.event('l4', { rows: 0 });
  assert.equal((await sql.callAll('events_listing', head.version))[0].outcome, 'found');
});

test('live events: no drafts; closed events until a minute after the last session', async () => {
  const db = await server.fresh();
  for (const status of ['draft', 'scheduled', 'open', 'paused', 'sold_out']) await db.event(status, { rows: 0, status });
  const { body } = await db.call('event_get', 'open');
  await db.call('event_update', { ...body, status: 'closed' }, 'close', 'u');
  const live = async () => (await db.callAll('event_live')).map((row) => row.body.id).sort();
  assert.deepEqual(await live(), ['open', 'paused', 'scheduled', 'sold_out']);
  const { sessionLimitMs = 0 } = body;
  await db.rows(`UPDATE events SET closed_at = now() - interval '1 millisecond' * ${sessionLimitMs + 30000} WHERE id = 'open'`);
  assert.deepEqual(await live(), ['open', 'paused', 'scheduled', 'sold_out'], 'sessions may still last');
  await db.rows(`UPDATE events SET closed_at = now() - interval '1 millisecond' * ${sessionLimitMs + 90000} WHERE id = 'open'`);
  assert.deepEqual(await live(), ['paused', 'scheduled', 'sold_out']);
  await db.close();
});

test('settling opens and closes in time, and never lowers the last place', async () => {
  await sql.event('t1', { rows: 0, status: 'scheduled' });
  await sql.rows(`UPDATE events SET opens_at = now() + interval '1 hour' WHERE id = 't1'`);
  assert.equal((await sql.call('event_settle', 't1', 5)).body.status, 'scheduled');
  await sql.rows(`UPDATE events SET opens_at = now() - interval '1 second' WHERE id = 't1'`);
  const opened = await sql.call('event_settle', 't1', 3);
  assert.deepEqual([opened.outcome, opened.body.status, opened.body.lastPlace, opened.body.opened, opened.body.version],
    ['settled', 'open', 5, true, 2]);
  await sql.rows(`UPDATE events SET closes_at = now(), status = 'paused' WHERE id = 't1'`);
  assert.equal((await sql.call('event_settle', 't1', 0)).body.status, 'closed');
  const again = await sql.call('event_settle', 't1', 0);
  assert.deepEqual([again.outcome, again.body.status, again.body.version], ['unchanged', 'closed', 3]);
  assert.deepEqual((await audit('t1')).map((entry) => entry.verb), ['create', 'settle', 'settle']);
  assert.equal((await sql.call('event_settle', 'none', 0)).outcome, 'not-found');
});

test('an event that is scheduled without a time stays so; a paused one that its time closes is remembered as paused', async () => {
  await sql.event('t2', { rows: 0, status: 'scheduled' });
  await sql.rows(`UPDATE events SET opens_at = NULL WHERE id = 't2'`);
  assert.deepEqual((({ outcome, body }) => [outcome, body.status])(await sql.call('event_settle', 't2', 0)), ['unchanged', 'scheduled']);
  for (const [id, status, remembered] of [['t3', 'paused', true], ['t4', 'open', false]]) {
    await sql.event(id, { rows: 0, status });
    await sql.rows(`UPDATE events SET closes_at = now() WHERE id = $1`, [id]);
    const { body } = await sql.call('event_settle', id, 0);
    assert.deepEqual([body.status, body.closedPaused], ['closed', remembered], id);
    const patched = await sql.call('event_update', { ...body, title: 'U' }, 'patch', 'u');
    assert.equal(patched.body.closedPaused, remembered, 'a change of a closed event forgets nothing');
    const reopened = await sql.call('event_update', { ...patched.body, closesAt: null, status }, 'reopen', 'u');
    assert.deepEqual([reopened.body.status, reopened.body.closedPaused], [status, false], id);
    const [{ closed_at: closedAt }] = await sql.rows('SELECT closed_at FROM events WHERE id = $1', [id]);
    assert.equal(closedAt, null);
  }
});

test('open dates the opening now, not by the clock of a pod that is ahead', async () => {
  const { body } = await sql.call('event_create', { id: 't5', title: 'T', ...SETTINGS, opensAt: '2031-01-01T00:00:00Z' }, 'me', 'u');
  const opened = await sql.call('event_update', { ...body, opensAt: new Date(Date.now() + 3600_000).toISOString(), status: 'open' }, 'open', 'u');
  assert.ok(Date.parse(opened.body.opensAt) <= Date.now(), opened.body.opensAt);
});

test('the public form and list have nothing that is for the staff alone; rehearsals are not listed', async () => {
  await sql.event('p1', { rows: 0 });
  await sql.event('p2', { rows: 0, rehearsal: true });
  const [, ...rows] = await sql.callAll('events_listing', '');
  const ids = rows.map(({ body }) => body.id);
  assert.ok(ids.includes('p1') && !ids.includes('p2'));
  const { body } = rows.find((row) => row.body.id === 'p1');
  for (const name of ['threshold', 'surge', 'outflowPerMinute', 'intervalMs', 'silentMs', 'placesPerNetwork', 'autoHold', 'returnUrls', 'owner', 'epoch', 'seats'])
    assert.equal(name in body, false, name);
  for (const name of ['maxSeats', 'holdMs', 'sessionLimitMs', 'idleTimeoutMs', 'claimMs', 'rehearsal', 'allowGuests']) assert.ok(name in body, name);
});

test('sold out only when every seat is sold, and back when one is freed; never without seats', async () => {
  const [a, b] = await sql.event('s1', { perRow: 2, maxSeats: 2 });
  const first = (await sql.hold('s1', 'u:1', { seats: [a] })).body;
  const second = (await sql.hold('s1', 'u:2', { seats: [b] })).body;
  await sql.paid(first.id, 'p', 's1-1', 1000, 'EUR');
  assert.equal((await sql.call('event_settle', 's1', 0)).body.status, 'open', 'a live hold may still lapse');
  await sql.paid(second.id, 'p', 's1-2', 1000, 'EUR');
  assert.equal((await sql.call('event_settle', 's1', 0)).body.status, 'sold_out');
  await sql.call('seats_add', 's1', 'u', { seats: [{ section: 'S', row: '9', number: 1, price: 5, currency: 'EUR' }] });
  assert.equal((await sql.call('event_settle', 's1', 0)).body.status, 'open');
  await sql.event('s2', { rows: 0 });
  assert.equal((await sql.call('event_settle', 's2', 0)).body.status, 'open');
});

test('seats: grid and list keep the order of the request; duplicates and second currencies are refused', async () => {
  await sql.event('g1', { rows: 0 });
  const add = (body) => sql.call('seats_add', 'g1', 'u', body);
  const seat = (section, row, number, currency = 'EUR') => ({ section, row, number, price: 100, currency });
  const first = await add({ grid: { section: 'Z', rows: 2, seatsPerRow: 2, price: 100, currency: 'EUR' } });
  assert.deepEqual([first.outcome, first.body], ['added', { added: 4, seats: 4, version: 2 }]);
  assert.equal((await add({ seats: [seat('A', 'x', 2), seat('A', 'b', 1), seat('A', 'x', 1), seat('Z', '1', 3)] })).outcome, 'added');
  const map = await sql.map('g1');
  assert.deepEqual(map.seats.map((s) => `${s.section}${s.row}${s.number}`),
    ['Z11', 'Z12', 'Z13', 'Z21', 'Z22', 'Ax1', 'Ax2', 'Ab1']);
  assert.equal((await add({ seats: [seat('Z', '1', 1)] })).outcome, 'conflict');
  assert.equal((await add({ seats: [seat('Q', '1', 1), seat('Q', '1', 1)] })).outcome, 'conflict');
  assert.deepEqual((({ outcome, body }) => [outcome, body.detail, body.errors])(await add({ seats: [seat('Q', '1', 1, 'USD')] })),
    ['invalid', 'This event sells in EUR.', [{ seat: 1, field: 'currency', message: 'This event sells in EUR.', reason: 'event-currency', values: ['EUR'] }]]);
  assert.equal((await add({ seats: [] })).outcome, 'invalid');
  assert.equal((await add({ grid: { section: 'Q', rows: 1000, seatsPerRow: 1000, price: 1, currency: 'EUR' } })).outcome, 'invalid');
  assert.equal((await sql.map('g1')).seats.length, 8);
  assert.equal((await sql.call('seats_add', 'none', 'u', { seats: [] })).outcome, 'not-found');
  assert.deepEqual((await audit('g1')).at(-1).after, { seats: 8 });
});

test('invalid seats are refused, and the field is named', async () => {
  await sql.event('g2', { rows: 0 });
  const seat = { section: 'A', row: '1', number: 1, price: 100, currency: 'EUR' };
  const grid = { section: 'A', rows: 1, seatsPerRow: 1, price: 100, currency: 'EUR' };
  for (const [body, field] of [
    [{}, 'seats'], [{ seats: [seat], grid }, 'seats'], [{ seats: [seat], more: 1 }, 'more'], [{ seats: 7 }, 'seats'],
    [{ seats: [seat, 7] }, 'seats[1]'], [{ seats: [seat, { ...seat, color: 'red' }] }, 'seats[1].color'],
    [{ seats: [{ ...seat, row: 1 }] }, 'seats[0].row'], [{ seats: [{ ...seat, row: 'a\nb' }] }, 'seats[0].row'],
    [{ seats: [{ ...seat, section: 'x'.repeat(65) }] }, 'seats[0].section'], [{ seats: [{ ...seat, number: 0 }] }, 'seats[0].number'],
    [{ seats: [{ ...seat, number: '1' }] }, 'seats[0].number'], [{ seats: [{ ...seat, price: -1 }] }, 'seats[0].price'],
    [{ seats: [{ ...seat, price: 1.5 }] }, 'seats[0].price'], [{ seats: [{ ...seat, price: null }] }, 'seats[0].price'],
    [{ seats: [{ ...seat, price: 1e30 }] }, 'seats[0].price'], [{ seats: [{ ...seat, currency: 'eur' }] }, 'seats[0].currency'],
    [{ grid: { ...grid, rows: 0 } }, 'grid.rows'], [{ grid: { ...grid, seatsPerRow: 1001 } }, 'grid.seatsPerRow'],
    [{ grid: { ...grid, section: undefined } }, 'grid.section'], [{ grid: [] }, 'grid'],
    [{ grid: { ...grid, rows: 1000, seatsPerRow: 1000 } }, 'grid.rows'],
  ]) {
    const { outcome, body: answer } = await sql.call('seats_add', 'g2', 'u', body);
    assert.deepEqual([outcome, answer.field], ['invalid', field], JSON.stringify(body));
  }
  assert.equal((await sql.map('g2')).seats.length, 0);
});

test('the map of a draft or of an unknown event is not found', async () => {
  await sql.call('event_create', { id: 'd1', title: 'T', ...SETTINGS }, 'me', 'u');
  assert.equal((await sql.call('seat_map_text', 'd1', -1)).outcome, 'not-found');
  assert.equal((await sql.call('seat_map_text', 'none', -1)).outcome, 'not-found');
});

test('a map version never falls, and one version never stands for two maps', async () => {
  const seats = await sql.event('v1', { perRow: 6, maxSeats: 3 });
  const seen = new Map();
  const held = [];
  let last = 0;
  const look = async (what) => {
    const map = await sql.map('v1');
    assert.ok(map.version >= last, `${what}: ${map.version} after ${last}`);
    last = map.version;
    const text = map.seats.map((seat) => seat.status[0]).join('');
    assert.equal(seen.get(map.version) ?? text, text, what);
    seen.set(map.version, text);
  };
  let random = 12345;
  const pick = (n) => (random = (random * 1103515245 + 12345) % 2147483648) % n;
  for (let i = 0; i < 400; i++) {
    const what = pick(6);
    const victim = held[pick(Math.max(held.length, 1))];
    if (what <= 2) {
      const { outcome, body } = await sql.hold('v1', `u:${pick(4)}`, { seats: [seats[pick(6)]] });
      if (outcome === 'created') held.push(body);
    } else if (victim && what === 3) await sql.lapse(victim.id);
    else if (victim && what === 4) await sql.rows('SELECT reservation_cancel(buyer, id::text) FROM reservations WHERE id = $1', [victim.id]);
    else if (what === 5) await sql.call('reservation_sweep', 10);
    if (victim && pick(60) === 0) await sql.paid(victim.id, 'p', `v1-${i}`, 1000, 'EUR');
    await look(`step ${i}`);
  }
  assert.ok(seen.size > 100, `${seen.size} versions`);
  await sql.assertSound();
});

test('clear starts the next epoch and removes every auto-hold', async () => {
  const [a, b] = await sql.event('c1');
  const mine = (await sql.hold('c1', 'u:own', { seats: [a] })).body;
  const auto = (await sql.hold('c1', 'u:auto', { seats: [b] })).body;
  await sql.rows('UPDATE reservations SET auto = true WHERE id = $1', [auto.id]);
  const { outcome, body } = await sql.call('event_clear', 'c1', 'me');
  assert.deepEqual([outcome, body.epoch, body.version], ['updated', 2, 3]);
  assert.equal((await sql.call('reservation_get', 'u:own', mine.id)).body.status, 'held');
  assert.equal((await sql.call('reservation_get', 'u:auto', auto.id)).body.status, 'cancelled');
  assert.equal((await sql.map('c1')).seats[1].status, 'available');
  assert.equal((await audit('c1')).at(-1).verb, 'clear');
  assert.equal((await sql.call('event_clear', 'none', 'me')).outcome, 'not-found');
  await sql.assertSound();
});

test('the demo event is created once by many callers, and gets the given settings', async () => {
  const made = await Promise.all([1, 2, 3].map(() => sql.call('demo_event')));
  assert.deepEqual(made.map((row) => row.outcome).sort(), ['created', 'unchanged', 'unchanged']);
  const { body } = await sql.call('event_get', 'demo');
  assert.deepEqual([body.status, body.seats, body.threshold, body.intervalMs, body.allowGuests, body.owner],
    ['open', 1000, 1000, 10000, true, 'demo']);
  const map = await sql.map('demo');
  assert.equal(map.seats.length, 1000);
  assert.ok(new Set(map.seats.map((seat) => seat.section)).size >= 3);
  const changed = await sql.call('demo_event', 50, 2000);
  assert.deepEqual([changed.outcome, changed.body.threshold, changed.body.intervalMs], ['updated', 50, 2000]);
});

test('branding: fields stay until they are changed; a logo has the version that set it', async () => {
  const event = { id: 'branded', title: 'T', ...SETTINGS, branding: { name: 'Arena', primary: '#102030', background: null } };
  const stored = async () => (await sql.rows('SELECT data FROM logos WHERE event_id = $1', ['branded'])).map(({ data }) => data);
  const made = await sql.call('event_create', event, 'me', 'u');
  assert.deepEqual(made.body.branding, { name: 'Arena', primary: '#102030', background: null, logo: null, image: null });
  const update = (version, changes) => sql.call('event_update', { ...event, status: 'draft', version, ...changes }, 'patch', 'u');
  assert.equal((await update(1, { newLogo: 'data:image/png;base64,AAAA' })).body.branding.logo, '/brand/branded/logo?v=2');
  assert.deepEqual(await stored(), ['data:image/png;base64,AAAA']);
  const kept = await update(2, { branding: { name: '', primary: null, background: '#ffffff' } });
  assert.deepEqual(kept.body.branding, { name: '', primary: null, background: '#ffffff', logo: '/brand/branded/logo?v=2', image: null });
  assert.deepEqual((await sql.call('logo_get', 'branded')), { outcome: 'found', body: { data: 'data:image/png;base64,AAAA' } });
  assert.equal((await update(3, { newLogo: '' })).body.branding.logo, null);
  assert.deepEqual(await stored(), []);
  assert.equal((await sql.call('logo_get', 'branded')).outcome, 'not-found');
  for (const entry of await audit('branded')) assert.doesNotMatch(JSON.stringify(entry), /AAAA/);
});
