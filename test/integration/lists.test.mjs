// SPDX-License-Identifier: MIT
//
// Lists: the public list and the home page are read once a second whoever asks; closed events hide no open one; every
// list has pages, whose rows are whole and which lose and repeat nothing; /buy finds what the buyer has of its event.

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { test } from 'node:test';
import { Client, Organizer, Server, adminToken, bearer, exchange, many, pay, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, postgres, database, server, organizer } = await stage({ env: { DB_POOL_MAX: 8 } });

// From now on PostgreSQL counts how often events, and the reservations of a buyer, are listed.
await database.query(`
  CREATE SEQUENCE asked;
  ALTER FUNCTION events_listing(text) RENAME TO events_listing_uncounted;
  CREATE FUNCTION events_listing(p_known text) RETURNS TABLE (outcome text, version text, next text, body json) LANGUAGE sql AS $$
    SELECT nextval('asked'); SELECT * FROM events_listing_uncounted(p_known) $$;
  CREATE SEQUENCE read;
  ALTER FUNCTION reservations_page(text, text, boolean, text, text, integer) RENAME TO reservations_page_uncounted;
  CREATE FUNCTION reservations_page(p_buyer text, p_event text, p_current boolean, p_named text, p_before text, p_limit integer)
  RETURNS TABLE (outcome text, body json) LANGUAGE sql AS $$
    SELECT nextval('read'); SELECT * FROM reservations_page_uncounted(p_buyer, p_event, p_current, p_named, p_before, p_limit) $$`);
const counted = async (sequence) => Number((await database.query(`SELECT last_value - (NOT is_called)::int AS n FROM ${sequence}`))[0].n);
const asked = () => counted('asked');

// Adds events as the organizer's tools do, all at once.
const add = (count, prefix, status, title = prefix) => database.query(`
  INSERT INTO events (id, owner, title, artist, venue, settings, status, created_at)
  SELECT $1 || n, 'lister', $2 || ' ' || n, $2, $2, '{}', $3, now() + n * interval '1 millisecond'
  FROM generate_series(1, $4::int) AS n`, [prefix, title, status, count]);
const listed = (query = '', headers = {}) => server.get(`/api/events${query}`, { headers });
const fresh = (what, check) => waitUntil(async () => {
  const answer = await listed();
  return check(answer.body) && answer;
}, 5000, what);

// Every item of a list, page by page.
async function all(page, key) {
  const items = [];
  let pages = 0;
  for (let next; next !== null; pages++) {
    const { status, body, text } = await page(next === undefined ? '' : `before=${encodeURIComponent(next)}`);
    assert.equal(status, 200, text);
    items.push(...body[key]);
    next = body.next;
  }
  return { items, pages };
}

test('500 closed events hide no open one, neither in the API nor on the home page', async () => {
  const open = await organizer.sale({ title: 'The open one' });
  await add(500, 'over', 'closed');
  await add(3, 'plan', 'draft');
  const { body } = await fresh('the open event', ({ events }) => events.length > 0);
  assert.deepEqual(body.events.map(({ id }) => id), [open.id]);
  assert.equal(body.next, null);
  const { text } = await server.get('/');
  assert.match(text, new RegExp(`href="/wait/${open.id}"[^>]*>The open one<`));
  assert.doesNotMatch(text, /\/wait\/(?:over|plan)|>(?:over|plan)/);
  await database.query("DELETE FROM events WHERE id LIKE 'over%'");
});

test('250 events: each page goes on where the one before ended, whatever is added meanwhile', async () => {
  await add(250, 'many', 'open');
  await fresh('all of them', ({ next }) => next !== null);
  const mine = ({ id }) => id.startsWith('many');
  const whole = await all((before) => listed(`?${before}`), 'events');
  assert.equal(whole.pages, 3);
  assert.equal(new Set(whole.items.map(({ id }) => id)).size, whole.items.length);
  assert.deepEqual(whole.items.filter(mine).map(({ id }) => id), Array.from({ length: 250 }, (_, i) => `many${250 - i}`));

  const first = (await listed('?limit=7')).body;
  assert.equal(first.events.length, 7);
  await add(5, 'newer', 'open');
  await fresh('the newer ones', ({ events }) => events[0].id.startsWith('newer'));
  const second = (await listed(`?limit=7&before=${first.next}`)).body;
  assert.deepEqual([...first.events, ...second.events].map(({ id }) => id), whole.items.slice(0, 14).map(({ id }) => id));

  const staff = new Organizer(server, { sub: 'lister', role: 'organizer' });
  const own = await all((before) => staff.get(`/api/admin/events?limit=60&${before}`), 'events');
  assert.equal(own.items.filter(mine).length, 250);
  assert.equal(own.items.filter(({ status }) => status === 'draft').length, 3, 'staff see drafts');
  for (const [path, headers] of [['/api/events', {}], ['/api/admin/events', bearer(adminToken())]])
    for (const [query, field] of [['limit=0', 'limit'], ['limit=101', 'limit'], ['limit=x', 'limit'], ['before=', 'before'], ['before=x', 'before'],
      ['before=1.', 'before'], ['before=1.a%27', 'before'], ['before=99999999999999999999.a', 'before']]) {
      const { status, body } = await server.get(`${path}?${query}`, { headers });
      assert.deepEqual([status, body.code, body.field], [400, 'invalid', field], `${path}?${query}`);
    }
});

test('the home page shows whole rows and leads to the next page, with the longest titles too', async () => {
  await add(120, 'long', 'open', '&"<'.repeat(60));
  await fresh('the long ones', ({ events }) => events[0].id.startsWith('long'));
  const seen = [];
  for (let path = '/'; path;) {
    const { status, text } = await server.get(path);
    assert.equal(status, 200);
    const rows = text.match(/<li class="card/g) ?? [];
    assert.equal(rows.length, /<ul class="event-list">(.*?)<\/ul>/s.exec(text)[1].match(/<\/li>/g).length, 'whole rows');
    assert.match(text, /<\/html>\s*$/);
    seen.push(...[...text.matchAll(/href="\/wait\/([^"]+)"/g)].map(([, id]) => id));
    path = /<a href="([^"]+)" rel="next">/.exec(text)?.[1];
  }
  const { items } = await all((before) => listed(`?${before}`), 'events');
  assert.deepEqual(seen, items.map(({ id }) => id).sort(), 'each event once');
  for (const page of ['nonsense', '0', '-1', '99999999999999999999', '999']) assert.equal((await server.get(`/?page=${page}`)).status, 200, page);
  await database.query("DELETE FROM events WHERE id LIKE 'long%'");
});

test('whoever asks, and whatever page: PostgreSQL lists the events once a second', async () => {
  const cursor = (await listed('?limit=5')).body.next;
  const paths = ['/', '/api/events', `/api/events?before=${cursor}`, '/api/events?limit=3', '/?page=2', '/?lang=ko'];
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const before = await asked();
  const from = performance.now();
  const answers = await many(Array.from({ length: 6000 }), 64, (_, i) => exchange(server.url, 'GET', paths[i % paths.length], { agent }));
  const seconds = (performance.now() - from) / 1000;
  agent.destroy();
  assert.ok(answers.every(({ status }) => status === 200));
  const statements = (await asked()) - before;
  assert.ok(statements <= seconds + 1, `${statements} statements in ${seconds} s`);
});

test('a list that nothing changed has the same ETag on every pod, and 304 for those who have it', async () => {
  const pod = await Server.start({ redis, database, roles: 'api' });
  for (const path of ['/', '/api/events']) {
    const first = await server.get(path);
    assert.match(first.headers.etag, /^"[0-9a-z-]+"$/);
    assert.equal(first.headers['cache-control'], 'no-cache');
    const known = { 'if-none-match': first.headers.etag };
    for (const one of [server, pod]) {
      const again = await one.get(path, { headers: known });
      assert.deepEqual([again.status, again.text], [304, ''], path);
    }
    const packed = await server.get(path, { headers: { 'accept-encoding': 'gzip' } });
    assert.equal(packed.headers['content-encoding'], 'gzip');
    assert.equal(packed.text, first.text);
    assert.ok(packed.bytes < first.bytes / 3, `${packed.bytes} of ${first.bytes} bytes`);
    assert.notEqual(packed.headers.etag, first.headers.etag);
    assert.match(String(first.headers.vary), /Accept-Encoding/);
  }
  assert.notEqual((await server.get('/?lang=ja')).headers.etag, (await server.get('/?lang=ko')).headers.etag);
  const { headers } = await listed();
  const event = await organizer.sale({ title: 'Another' });
  await fresh('a change', ({ events }) => events[0].id === event.id);
  assert.equal((await listed('', { 'if-none-match': headers.etag })).status, 200);
  await pod.stop();
});

test('without PostgreSQL the list of the last minute is shown', async () => {
  const { body } = await listed();
  await postgres.halt();
  try {
    await waitUntil(async () => (await server.get('/readyz')).body.postgres === 'down', 10000, 'PostgreSQL to be missed');
    assert.deepEqual((await listed()).body, body);
    assert.equal((await server.get('/')).status, 200);
  } finally {
    await postgres.start();
  }
  await waitUntil(async () => (await server.get('/readyz')).body.postgres === 'up', 10000, 'PostgreSQL to be reached');
});

// ---- the buyer's own ----

async function enter(event, sub) {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, `${sub} to be inside`);
  return buyer;
}

test('a ticket behind 55 holds is found: in the list, by its event, and on the page', async () => {
  const grid = { rows: 2, seatsPerRow: 10 };
  const [event, other] = [await organizer.sale({ threshold: 10, autoHold: 0, grid }), await organizer.sale({ threshold: 10, autoHold: 0, grid })];
  let buyer = await enter(event, 'restless');
  const bought = (await buyer.reserve({ eventId: event.id, quantity: 1 })).body;
  assert.equal((await pay(server, bought)).status, 200);
  buyer = await enter(other, 'restless');
  for (let i = 0; i < 55; i++) assert.equal((await buyer.reserve({ eventId: other.id, quantity: 1 + (i % 2) })).status, 201);
  const again = await enter(event, 'restless');
  for (let i = 0; i < 55; i++) {
    const { body } = await again.reserve({ eventId: event.id, quantity: 1 + (i % 2) });
    if (i === 54) await again.post(`/api/reservations/${body.id}/cancel`);
  }

  const { items } = await all((before) => buyer.get(`/api/reservations?${before}`), 'reservations');
  assert.equal(items.length, 111);
  assert.equal(new Set(items.map(({ id }) => id)).size, 111);
  assert.equal(items.at(-1).id, bought.id);
  const current = await buyer.get(`/api/reservations?eventId=${event.id}&current=1`);
  assert.deepEqual(current.body.reservations.map(({ id, status }) => [id, status]), [[bought.id, 'confirmed']]);
  const small = await all((before) => buyer.get(`/api/reservations?eventId=${other.id}&limit=20&${before}`), 'reservations');
  assert.deepEqual([small.items.length, small.pages], [55, 3]);
  for (const [query, field] of [['limit=51', 'limit'], ['before=1', 'before'], ['eventId=%27', 'eventId'], ['current=2', 'current']])
    assert.equal((await buyer.get(`/api/reservations?${query}`)).body.field, field);

  await again.leave(event.id);
  assert.equal((await again.get(`/buy/${event.id}`)).headers.location, `/tickets/${event.id}`);
  const { location } = (await again.get(`/tickets/${event.id}`)).headers;
  assert.ok((await again.get(location)).text.includes(`${bought.reservationNumber.slice(0, 4)}-${bought.reservationNumber.slice(4)}`));
});

test('a guest who came without a cookie has no reservations: PostgreSQL is not asked, on any page', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 0, grid: { rows: 1, seatsPerRow: 10 } });
  const before = await counted('read');
  await many(Array.from({ length: 60 }), 8, async () => {
    const list = await server.get(`/api/reservations?eventId=${event.id}`);
    assert.deepEqual([list.status, list.body], [200, { reservations: [], next: null }]);
    for (const page of ['buy', 'tickets']) {
      const { status, headers } = await server.get(`/${page}/${event.id}`);
      assert.deepEqual([status, headers.location], [303, `/wait/${event.id}`], page);
    }
  });
  assert.equal(await counted('read') - before, 0);

  const guest = new Client(server); // the same, but with a cookie and a hold
  assert.equal((await guest.check(event.id)).body.status, 'active');
  const held = await guest.reserve({ eventId: event.id, quantity: 1 });
  assert.deepEqual((await guest.get('/api/reservations')).body.reservations.map(({ id }) => id), [held.body.id]);
  assert.ok((await guest.get(`/buy/${event.id}`)).text.includes(held.body.id));
  assert.equal(await counted('read') - before, 2);
});

test('the page finds the reservation that the payment page names, whatever became of it', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 0, grid: { rows: 1, seatsPerRow: 10 } });
  const buyer = await enter(event, 'late');
  const gone = (await buyer.reserve({ eventId: event.id, quantity: 1 })).body;
  await buyer.post(`/api/reservations/${gone.id}/pay`);
  for (let i = 0; i < 3; i++) await buyer.reserve({ eventId: event.id, quantity: 2 });
  const path = `/tickets/${event.id}?reservation=${gone.id}&payment=paid`;
  assert.match((await buyer.get(path)).text, /data-state="late"/);
  const stranger = await enter(event, 'stranger');
  assert.match((await stranger.get(path)).text, /data-state="unknown"/);
});
