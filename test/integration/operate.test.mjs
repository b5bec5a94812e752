// SPDX-License-Identifier: MIT
//
// What an organizer does during a sale: roles and ownership for each route, the audit, the message to waiting
// buyers, admissions by hand, the statistics of the last hour.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Organizer, Server, Socket, jwt, many, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

const admin = (id, rest = '') => `/api/admin/events/${id}${rest}`;

// ---- roles ----

// The callers, in this order: a route's letters name those that may call it; all others are refused.
const PEOPLE = {
  n: () => new Client(server, { token: '' }), // nobody: no credential
  g: () => new Client(server, { token: 'not-a-token' }),
  b: () => new Client(server, { sub: 'fan' }),
  v: () => new Client(server, { token: jwt({ sub: 'eyes', role: 'viewer' }) }),
  s: () => new Client(server, { token: jwt({ sub: 'night', role: 'sre' }) }),
  x: () => new Client(server, { token: jwt({ sub: 'stranger', role: 'organizer' }) }),
  o: () => new Client(server, { token: jwt({ sub: 'owner', role: 'organizer' }) }),
  a: () => new Client(server, { token: jwt({ sub: 'root', role: 'admin' }) }),
};

const grid = { grid: { section: 'Z', rows: 1, seatsPerRow: 1, price: 1, currency: 'EUR' } };

// method, route below an event, callers that may, body
const ROUTES = [
  ['GET', '', 'vsoa'],
  ['GET', '/stats', 'vsoa'],
  ['GET', '/audit', 'vsoa'],
  ['GET', '/minutes', 'vsoa'],
  ['POST', '/forecast', 'vsoa', { threshold: 4 }],
  ['GET', '/report', 'oa'],
  ['GET', '/report.csv', 'oa'],
  ['GET', '/payments', 'oa'],
  ['GET', '/export.csv', 'oa'],
  ['PATCH', '', 'soa', { threshold: 4 }],
  ['POST', '/pause', 'soa'],
  ['POST', '/resume', 'soa'],
  ['POST', '/process', 'soa'],
  ['GET', '/buyers/{buyer}', 'oa'],
  ['POST', '/release', 'oa', { buyer: 'u:nobody' }],
  ['POST', '/admit', 'oa', { count: 1 }],
  ['POST', '/message', 'oa', { text: 'Soon.' }],
  ['POST', '/seats', 'oa', grid],
  ['POST', '/refund', 'oa', { reservationId: '00000000-0000-4000-8000-000000000000' }],
  ['POST', '/clear', 'oa'],
  ['POST', '/publish', 'oa'],
  ['POST', '/open', 'oa'],
  ['POST', '/close', 'oa'],
  ['POST', '/reopen', 'oa'],
  ['POST', '/copy', 'oa'],
  ['POST', '/reset', 'oa'],
  ['DELETE', '', 'oa'],
];

for (const [method, rest, allowed, json] of ROUTES)
  test(`roles: ${method} /api/admin/events/{eventId}${rest} by ${allowed}`, async () => {
    const owner = new Organizer(server, { sub: 'owner', role: 'organizer' });
    for (const [letter, person] of Object.entries(PEOPLE)) {
      const event = await owner.sale({ threshold: 3, open: rest !== '/open' && rest !== '/publish' && method !== 'DELETE', rehearsal: rest === '/reset' });
      if (rest === '/resume') await owner.act(event.id, 'pause');
      if (rest === '/reopen') await owner.act(event.id, 'close');
      const before = await database.query('SELECT version, status FROM events WHERE id = $1', [event.id]);
      // 503: no processor has taken the new event yet.
      const { status, text } = await waitUntil(async () => {
        const answer = await person().request(method, admin(event.id, rest.replace('{buyer}', 'u:nobody')), { json });
        return answer.status !== 503 && answer;
      }, 15000, 'a processor');
      if (allowed.includes(letter)) {
        assert.ok(status < 300 || (/^\/(refund|buyers)/.test(rest) && status === 404), `${letter}: ${status} ${text}`);
        continue;
      }
      assert.equal(status, 'ng'.includes(letter) ? 401 : 403, `${letter}: ${status} ${text}`);
      assert.deepEqual(await database.query('SELECT version, status FROM events WHERE id = $1', [event.id]), before, `${letter} has changed something`);
    }
  });

test('roles: listing and creating events; an organizer sees only their own', async () => {
  for (const [letter, person] of Object.entries(PEOPLE)) {
    const made = await person().post('/api/admin/events', { json: { title: 'x' } });
    assert.equal(made.status, 'xoa'.includes(letter) ? 201 : 'ng'.includes(letter) ? 401 : 403, letter);
    const listed = await person().get('/api/admin/events');
    assert.equal(listed.status, 'vsxoa'.includes(letter) ? 200 : 'ng'.includes(letter) ? 401 : 403, letter);
  }
  const other = new Organizer(server, { sub: 'lonely', role: 'organizer' });
  const own = await other.sale({ open: false });
  assert.deepEqual((await other.get('/api/admin/events')).body.events.map((event) => event.id), [own.id]);
});

test('every admin route of the program is in the table above', async () => {
  const { text } = await server.get('/metrics');
  const routes = new Set([...text.matchAll(/method="([A-Z]+)",path="\/api\/admin\/events\/\{eventId\}([^"]*)"/g)].map(([, method, rest]) => `${method} ${rest}`));
  const known = new Set(ROUTES.map(([method, rest]) => `${method} ${rest}`));
  for (const route of routes) assert.ok(known.has(route), `${route} has no row`);
});

// ---- audit ----

test('audit: every change with its actor, before and after, newest first, page by page', async () => {
  const event = await organizer.sale({ threshold: 3, grid: { rows: 1, seatsPerRow: 2 } });
  await organizer.patch(event.id, { threshold: 9 });
  await organizer.act(event.id, 'message', { text: 'Hello.' });
  await organizer.act(event.id, 'pause');
  await organizer.act(event.id, 'resume');
  await waitUntil(() => redis.cli('EXISTS', `lease:{${event.id}}`), 15000, 'a processor');
  await organizer.act(event.id, 'admit', { count: 2 });
  await organizer.act(event.id, 'clear');
  await organizer.act(event.id, 'close');
  const all = (await organizer.get(admin(event.id, '/audit'))).body;
  const own = all.entries.filter((entry) => entry.who !== 'tiketi');
  assert.deepEqual(own.map((entry) => entry.verb).reverse(), ['create', 'seats', 'open', 'patch', 'message', 'pause', 'resume', 'admit', 'clear', 'close']);
  assert.ok(own.every((entry) => entry.who === 'organizer' && Date.parse(entry.at) > 0));
  const patch = own.find((entry) => entry.verb === 'patch');
  assert.equal(patch.before.threshold, 3);
  assert.equal(patch.after.threshold, 9);
  assert.equal(own.find((entry) => entry.verb === 'message').after.message, 'Hello.');
  assert.deepEqual(own.find((entry) => entry.verb === 'admit').after, { count: 2, admitted: 0 });
  assert.equal(all.next, null);

  const paged = [];
  for (let next = ''; next !== null;) {
    const { body } = await organizer.get(admin(event.id, `/audit?limit=3${next ? `&before=${next}` : ''}`));
    assert.ok(body.entries.length <= 3);
    paged.push(...body.entries);
    next = body.next;
  }
  assert.deepEqual(paged, all.entries);
  for (const [query, field] of [['limit=0', 'limit'], ['limit=101', 'limit'], ['limit=x', 'limit'], ['before=-3', 'before'], ['before=', 'before']]) {
    const answer = await organizer.get(admin(event.id, `/audit?${query}`));
    assert.equal(answer.status, 400, query);
    assert.equal(answer.body.field, field, query);
  }
});

// ---- message ----

test('message: texts by language reach each reader in their own', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const waiter = new Client(server, { sub: 'linguist' });
  await waiter.check(event.id);
  const socket = await Socket.open(server, { cookie: waiter.cookieHeader });
  socket.join(waiter, event.id);
  await socket.next('queue-position');
  const texts = { en: 'Doors open at six.', ko: '6시에 입장합니다.' };
  const { messages, message } = await organizer.act(event.id, 'message', { text: texts });
  assert.deepEqual([message, messages], [texts.en, texts]);
  assert.deepEqual(await socket.news('message'), { eventId: event.id, text: texts.en, texts });
  await waitUntil(async () => (await waiter.status(event.id)).body.eventInfo.messages?.ko === texts.ko, 15000, 'the texts in status');
  const page = async (lang) => (await waiter.get(`/wait/${event.id}?lang=${lang}`)).text;
  assert.match(await page('ko'), /<p id="message"[^>]*>6시에 입장합니다\.<\/p>/);
  assert.match(await page('ja'), /<p id="message"[^>]*>Doors open at six\.<\/p>/);
  await organizer.act(event.id, 'message', { text: 'One for all.' });
  assert.deepEqual(await socket.news('message'), { eventId: event.id, text: 'One for all.' });
});

test('message: every waiting buyer receives it at once, newcomers too, until it is removed', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const waiter = new Client(server, { sub: 'reader' });
  await waiter.check(event.id);
  const socket = await Socket.open(server, { cookie: waiter.cookieHeader });
  socket.join(waiter, event.id);
  await socket.next('queue-position');
  const text = 'The doors open at "eight" – bitte Geduld \u{1F39F}';
  const answer = await organizer.post(admin(event.id, '/message'), { json: { text } });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body.message, text);
  assert.deepEqual(await socket.news('message'), { eventId: event.id, text });
  await waitUntil(async () => (await waiter.status(event.id)).body.eventInfo.message === text, 15000, 'the message in status');
  assert.equal((await new Client(server, { sub: 'late' }).check(event.id)).body.eventInfo.message, text);
  assert.equal((await server.get(`/api/events/${event.id}`)).body.message, text);
  await organizer.patch(event.id, { title: 'Another name' });
  assert.equal((await server.get(`/api/events/${event.id}`)).body.message, text, 'a patch leaves it alone');

  await organizer.act(event.id, 'message', { text: null });
  assert.deepEqual(await socket.news('message'), { eventId: event.id, text: '' });
  await waitUntil(async () => !('message' in (await waiter.status(event.id)).body.eventInfo), 15000, 'no message any more');
  for (const json of [{ text: 'x'.repeat(501) }, { text: 'é'.repeat(501) }, { text: 7 }, { text: 'a\u0007b' }, {}, { text: 'x', more: 1 }]) {
    const bad = await organizer.post(admin(event.id, '/message'), { json });
    assert.equal(bad.status, 400, JSON.stringify(json));
  }
  assert.equal((await organizer.post(admin(event.id, '/message'), { json: { text: 'é'.repeat(500) } })).status, 200);
  await socket.close?.();
});

// ---- admit ----

test('admit lets a number of buyers in now, regardless of interval and outflow, in order, never above the threshold', async () => {
  // Not `continuous`: the higher threshold would let the first buyer in by itself, with the one token that there is, unless the request is faster.
  const event = await organizer.sale({ threshold: 0, promotion: 'interval', intervalMs: 600000, outflowPerMinute: 1 });
  const buyers = await many(Array.from({ length: 8 }, (_, i) => i), 1, async (i) => {
    const buyer = new Client(server, { sub: `hand${i}` });
    await buyer.check(event.id);
    return buyer;
  });
  await waitUntil(() => organizer.act(event.id, 'process'), 15000, 'a processor'); // the first tick comes with the lease: it is over now
  await organizer.patch(event.id, { threshold: 5 });
  const admit = async (count) => (await organizer.must('POST', admin(event.id, '/admit'), { count })).admitted;
  assert.equal(await admit(3), 3);
  const inside = async () => (await many(buyers, 4, async (buyer) => (await buyer.status(event.id)).body.status === 'active')).map(Number).join('');
  const told = (wanted) => waitUntil(async () => (await inside()) === wanted, 15000, `${wanted} inside`); // a poll may be a second old
  await told('11100000');
  assert.equal(await admit(100), 2, 'capacity for two');
  await told('11111000');
  assert.equal(await admit(1), 0);
  for (const json of [{}, { count: 0 }, { count: -1 }, { count: 1.5 }, { count: 'x' }, { count: 100001 }, { count: 1, extra: 1 }]) {
    const bad = await organizer.post(admin(event.id, '/admit'), { json });
    assert.equal(bad.status, 400, JSON.stringify(json));
  }
  await organizer.act(event.id, 'pause');
  await buyers[0].leave(event.id);
  assert.equal(await admit(1), 0, 'nobody enters a paused sale');
});

// ---- stats ----

test('stats: the last hour minute by minute', async () => {
  const event = await organizer.sale({ threshold: 2 });
  const buyers = await many([0, 1, 2], 1, async (i) => {
    const buyer = new Client(server, { sub: `minute${i}` });
    await buyer.check(event.id);
    return buyer;
  });
  await buyers[0].leave(event.id);
  const total = (minutes, name) => minutes.reduce((sum, minute) => sum + minute[name], 0);
  await waitUntil(async () => {
    const { minutes } = await organizer.stats(event.id);
    return total(minutes, 'joined') === 3 && minutes.at(-1).currentUsers === 2;
  }, 15000, 'the statistics');
  const { minutes, counters } = await organizer.stats(event.id);
  assert.equal(total(minutes, 'admitted'), 3);
  assert.equal(total(minutes, 'left'), 1);
  assert.ok(Object.keys(counters).every((name) => !/^(m(inute|\d)|queuePeak)/.test(name)), Object.keys(counters).join());
  // An hour of history as the scripts write it, with a restart of the counters in it.
  const now = Math.floor(Date.now() / 60000);
  await redis.client.hset(`stats:{${event.id}}`, {
    [`m${now - 3}`]: '10 5 1 0 0 0 0 0 1 2 0 0 4 6 9 7', [`m${now - 2}`]: '30 9 1 0 0 0 0 0 2 5 1 1 8 22 9 25', [`m${now - 1}`]: '1 1 0 0 0 0 0 0 1 0 0 0 1 0 9 0',
  });
  const more = (await organizer.stats(event.id)).minutes;
  const at = (m) => more.find((minute) => Date.parse(minute.at) === m * 60000);
  assert.deepEqual(at(now - 3), { at: at(now - 3).at, joined: 20, admitted: 4, left: 0, withdrawn: 0, idle: 0, timeout: 0, completed: 0, parked: 0, direct: 1, claimed: 3, unclaimed: 1, idleKept: 1, currentUsers: 8, queueSize: 22, threshold: 9, queuePeak: 25 });
  assert.equal(at(now - 2).joined, 1, 'counters that restarted');
  assert.deepEqual(more.map((minute) => minute.at), [...more.map((minute) => minute.at)].sort());
});

// ---- times ----

test('buyers admitted at the opening time hold seats at once, before the stored status is open', async () => {
  const opensAt = new Date(Date.now() + 2500).toISOString();
  const event = await organizer.sale({ threshold: 5, autoHold: 0, intervalMs: 200, opensAt, grid: { rows: 1, seatsPerRow: 4 } });
  const fan = new Client(server, { sub: 'early' });
  await waitUntil(async () => (await fan.check(event.id)).body.status === 'active', 15000, 'the event to open');
  const held = await fan.reserve({ eventId: event.id, quantity: 2 });
  assert.equal(held.status, 201, held.text);
});

test('a clear of many holds may take longer than a buyer\'s statement timeout', async () => {
  const hurried = await Server.start({ redis, database, env: { DB_TIMEOUT_MS: 400 } });
  try {
    const event = await organizer.sale({ threshold: 5, autoHold: 1, intervalMs: 200, grid: { rows: 1, seatsPerRow: 4 } });
    const fan = new Client(server, { sub: 'cleared' });
    await waitUntil(async () => (await fan.check(event.id)).body.status === 'active', 15000, 'the buyer to be inside');
    const seats = async () => (await database.query(`SELECT status FROM seats WHERE event_id = $1 AND status = 'held'`, [event.id])).length;
    await waitUntil(async () => (await seats()) === 1, 15000, 'the auto-hold');
    const slow = database.query(`DO $$ BEGIN
      PERFORM FROM seats WHERE event_id = '${event.id}' FOR UPDATE; PERFORM pg_sleep(1.5); END $$`);
    await waitUntil(async () => (await database.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'`)).length > 0, 15000, 'the lock');
    await new Organizer(hurried).act(event.id, 'clear');
    await slow;
    assert.equal(await seats(), 0);
  } finally {
    await hurried.stop();
  }
});

test('a grid of 50,000 seats may take longer than a buyer\'s statement timeout', async () => {
  const hurried = await Server.start({ redis, database, roles: 'api', env: { DB_TIMEOUT_MS: 300 } });
  try {
    const { id } = await organizer.sale({ threshold: 1 });
    const added = await new Organizer(hurried).post(admin(id, '/seats'),
      { json: { grid: { section: 'A', rows: 500, seatsPerRow: 100, price: 100, currency: 'EUR' } } });
    assert.equal(added.status, 201, added.text);
  } finally {
    await hurried.stop();
  }
});
