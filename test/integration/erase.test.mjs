// SPDX-License-Identifier: MIT
//
// A buyer is exported and erased: by a search through every table and every key, before and after. What may not be erased
// is refused; what was cut off is repeated; an old ticket brings nothing back.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, ROOT, decode, jwt, pay, runTiketi, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { codesOf } from '../fixtures/qr.mjs';
import { tablesOf, whereIs } from '../fixtures/search.mjs';

const { redis, database, server, organizer } = await stage({ env: { RESTORE_MS: 1500 } });
const env = { DATABASE_URL: database.url, REDIS_URL: redis.url };
const run = (command, buyer, ...args) => runTiketi([command, '--buyer', buyer, ...args], env, { expect: null });
const where = async (...texts) => {
  await waitUntil(async () => { // what waits for its number moves to another table meanwhile
    await database.query('SELECT feed_number_each(10000)');
    return (await database.query('SELECT 1 FROM feed_new LIMIT 1')).length === 0;
  });
  return whereIs({ redis, database }, ...texts);
};
const grid = { rows: 2, seatsPerRow: 10 };
const sale = (settings = {}) => organizer.sale({ id: uniqueId('gdpr'), threshold: 5, autoHold: 0, intervalMs: 200, askEmail: 'optional', grid, ...settings });

async function enter(event, sub) {
  const client = new Client(server, { sub });
  await waitUntil(async () => (await client.check(event.id)).body.status === 'active', 15000, `${sub}'s turn`);
  return client;
}

async function buy(client, event, email) {
  const held = (await client.reserve({ eventId: event.id, quantity: 2 }, { 'idempotency-key': uniqueId('key') })).body;
  const order = await client.post(`/api/reservations/${held.id}/pay`, { json: { email } });
  assert.equal(order.status, 200, order.text);
  const [{ reference, provider }] = await database.query('SELECT reference, provider FROM payments WHERE reservation_id = $1', [held.id]);
  assert.equal((await pay(server, held, { reference, provider })).status, 200);
  return held;
}

const consumed = (event, buyer, kind) => waitUntil(async () => (await database.query(
  'SELECT 1 FROM admissions WHERE event_id = $1 AND buyer = $2 AND kind = $3', [event.id, buyer, kind])).length > 0, 15000, `${kind} in the record`);

// A buyer with traces everywhere: at two events, as one who bought, and as one who waited and left.
async function traces(name) {
  const [first, second] = [await sale(), await sale({ threshold: 1 })];
  const id = `u:${name}`, email = `${name}@mail.example`, endpoint = `https://push.example/${name}`;
  const client = await enter(first, name);
  const held = await buy(client, first, email);
  await consumed(first, id, 'completed');
  await waitUntil(() => redis.cli('HGET', `sales:{${first.id}}`, held.id), 15000, 'the copy of the sale');
  const link = (await client.get(`/tickets/${first.id}`)).headers.location;
  const door = new Client(server, { token: jwt({ sub: 'gate', role: 'door' }) });
  const { body: scanned } = await door.post(`/api/checkin/${first.id}`, { json: { scans: [
    { ticket: codesOf((await client.get(link)).text)[0], device: 'North', scannedAt: '2026-11-29T18:55:00.000Z' }] } });
  assert.equal(scanned.results[0].outcome, 'accepted');
  const again = await enter(first, name);
  await organizer.must('POST', `/api/admin/events/${first.id}/release`, { buyer: id });
  await consumed(first, id, 'left');
  const other = await enter(second, `next-to-${name}`);
  const waits = new Client(server, { sub: name });
  assert.equal((await waits.check(second.id)).body.status, 'queued');
  await waits.leave(second.id);
  await consumed(second, id, 'withdrawn');
  await database.query('SELECT push_subscribe($1, $2, $3, $4, $4, $4, true)', [first.id, id, endpoint, 'A'.repeat(22)]);
  return { id, email, endpoint, first, second, held, client, again, other };
}

test('every table is said to have data of buyers or none', async () => {
  // Tables without any: names of staff, texts and numbers of events.
  const none = ['event_invitations', 'event_minutes', 'event_staff', 'events', 'feed_heads', 'images', 'ledger_cursors', 'logos', 'schema_files',
    'schema_functions', 'schema_generation', 'schema_migrations', 'schema_serves', 'seats_first', 'seats_group', 'staff_sessions',
    'webhooks'];
  const places = (await database.query('SELECT place FROM personal_places()')).map(({ place }) => place);
  assert.deepEqual((await tablesOf(database)).filter((table) => !places.includes(table) && !none.includes(table)), [],
    'new: add it to personal_places in sql/functions/personal.sql, or here');
  const columns = await database.query(`SELECT DISTINCT table_name FROM information_schema.columns
    WHERE table_schema = 'public' AND column_name IN ('buyer', 'email', 'recipient', 'endpoint', 'reservation_id')`);
  for (const { table_name: table } of columns) assert.ok(places.includes(table), table);
});

test('export shows what is stored, erase leaves nothing of it, and the money stays', async () => {
  const { id, email, endpoint, first, second, held, other } = await traces('mina');
  const before = await where(id, email, endpoint);
  for (const place of ['admissions', 'reservations', 'idempotency_keys', 'push_subscriptions', 'outbox', 'audit', `log:{${first.id}}`,
    `consumed:{${first.id}}`, `sales:{${first.id}}`, `log:{${second.id}}`, `consumed:{${second.id}}`]) assert.ok(before[place], `${place} in ${JSON.stringify(before)}`);

  const { code, stdout, stderr } = await run('export', id);
  assert.equal(code, 0, stderr);
  const exported = JSON.parse(stdout);
  assert.equal(exported.buyer, id);
  assert.deepEqual(exported.events.map(({ eventId }) => eventId), [first.id, second.id].sort());
  const tables = new Set([...Object.keys(exported.postgres), ...exported.events.flatMap(({ postgres }) => Object.keys(postgres))]);
  const keys = new Set(exported.events.flatMap((event) => event.redis.map(({ key }) => key)));
  for (const place of Object.keys(before)) assert.ok(tables.has(place) || keys.has(place), `${place} is exported`);
  for (const table of ['payments', 'checkins', 'etickets', 'seats', 'reservation_seats']) assert.ok(tables.has(table), table);
  const [part] = exported.events.filter(({ eventId }) => eventId === first.id);
  assert.equal(part.postgres.reservations[0].email, email);
  assert.equal(part.postgres.checkins[0].device, 'North');
  assert.deepEqual(part.redis.filter(({ key }) => key === `log:{${first.id}}`).map(({ value }) => value.kind).sort(),
    part.postgres.admissions.map(({ kind }) => kind).sort());
  assert.ok(!stdout.includes('gate') && !stdout.includes('organizer'), 'no names of staff');
  assert.equal((await run('export', id)).code, 0, 'nothing was changed');

  // The planner's samples, which no role but the owner of the tables can make anew: the document says how.
  const sampled = async () => (await database.query(`SELECT DISTINCT tablename FROM pg_stats WHERE schemaname = 'public'
    AND EXISTS (SELECT FROM unnest($1::text[]) AS x WHERE position(x IN concat(most_common_vals::text, histogram_bounds::text, most_common_elems::text)) > 0)`,
  [[id, email, endpoint]])).map(({ tablename }) => tablename);
  await database.query('ANALYZE');
  assert.ok((await sampled()).includes('admissions'), 'samples have what is stored');

  const report = () => organizer.must('GET', `/api/admin/events/${first.id}/report`);
  const money = async () => (await database.query('SELECT status, sum(amount)::int AS sum FROM payments GROUP BY 1 ORDER BY 1'));
  const [reported, paid] = [await report(), await money()];
  const bystander = await where('u:next-to-mina');
  const erased = await run('erase', id, '--who', 'Kim');
  assert.equal(erased.code, 0, erased.stderr);
  assert.match(erased.stdout, new RegExp(`^${first.id}: .*reservations 1.*; redis [1-9]`, 'm'));
  assert.deepEqual(await where(id, email, endpoint), {});
  await database.query(/^psql "\$DATABASE_URL" -c "(ANALYZE .*)"$/m.exec(readFileSync(join(ROOT, 'docs/privacy.md'), 'utf8'))[1]);
  assert.deepEqual(await sampled(), []);

  assert.deepEqual(await money(), paid);
  const { at: _, ...after } = await report();
  const { at: __, ...whole } = reported;
  assert.deepEqual(after, whole, 'the report of the sale is the same');
  assert.deepEqual(await where('u:next-to-mina'), bystander, 'the other buyer is as before');
  assert.match(await redis.cli('HGET', `sales:{${first.id}}`, held.id), /"buyer":"x:\d{16}"/, 'the copy of the sale');
  const [row] = await database.query('SELECT buyer, email, status, total FROM reservations WHERE id = $1', [held.id]);
  assert.match(row.buyer, /^x:\d{16}$/);
  assert.deepEqual([row.email, row.status, Number(row.total)], [null, 'confirmed', 10000]);
  const audit = await database.query("SELECT event_id, who, after FROM audit WHERE verb = 'erase' ORDER BY event_id");
  assert.deepEqual(audit.map(({ event_id: event, who }) => [event, who]), [first.id, second.id].sort().map((event) => [event, 'Kim']));
  assert.equal(audit.find(({ event_id: event }) => event === first.id).after.reservations, 1);

  const repeated = await run('erase', id);
  assert.deepEqual([repeated.code, repeated.stdout], [0, 'of no event: nothing\nThe buyer is erased at 0 events.\n']);
  assert.equal((await database.query("SELECT 1 FROM audit WHERE verb = 'erase'")).length, 2);
  await other.leave(second.id);
});

test('a buyer who waits, is inside or holds seats is erased by --force alone; a payment is never cut off', async () => {
  const event = await sale({ threshold: 1 });
  const inside = await enter(event, 'forced-in');
  await consumed(event, 'u:forced-in', 'direct');
  const waits = new Client(server, { sub: 'forced-wait' });
  await waits.check(event.id);
  const refused = async (buyer, pattern, ...args) => {
    const before = await where(buyer);
    const { code, stderr } = await run('erase', buyer, ...args);
    assert.equal(code, 1, stderr);
    assert.match(stderr, pattern);
    assert.match(stderr, /nothing was erased/);
    assert.deepEqual(Object.keys(await where(buyer)).sort(), Object.keys(before).sort());
  };
  await refused('u:forced-wait', new RegExp(`^event ${event.id}: the buyer waits in the queue`, 'm'));
  await refused('u:forced-in', /the buyer is inside/);
  const held = (await inside.reserve({ eventId: event.id, quantity: 1 })).body;
  await refused('u:forced-in', /the buyer holds seats/);
  await inside.post(`/api/reservations/${held.id}/pay`, { json: {} });
  for (const args of [[], ['--force']]) await refused('u:forced-in', /a payment is under way; repeat this when it is settled/, ...args);

  const forced = await run('erase', 'u:forced-wait', '--force');
  assert.equal(forced.code, 0, forced.stderr);
  assert.deepEqual(await where('u:forced-wait'), {});
  const [{ reference, provider }] = await database.query('SELECT reference, provider FROM payments WHERE reservation_id = $1', [held.id]);
  await pay(server, held, { reference, provider, status: 'failed' });
  const gone = await run('erase', 'u:forced-in', '--force');
  assert.equal(gone.code, 0, gone.stderr);
  assert.deepEqual(await where('u:forced-in'), {});
  const [{ status }] = await database.query('SELECT status FROM reservations WHERE id = $1', [held.id]);
  assert.equal(status, 'cancelled');
  await waitUntil(async () => (await organizer.stats(event.id)).currentUsers === 0, 10000, 'an empty room'); // stats are a second old
});

test('an old ticket does not bring the place of an erased buyer back, also after Redis has lost its data', async () => {
  const event = await sale({ threshold: 1, intervalMs: 600000 });
  await enter(event, 'place-first');
  const fan = new Client(server, { sub: 'place-fan' });
  await fan.check(event.id);
  const other = new Client(server, { sub: 'place-other' });
  await other.check(event.id);
  const { p: place } = decode(fan.ticket);
  assert.equal((await run('erase', 'u:place-fan', '--force')).code, 0);
  const cookies = new Map(fan.cookies);
  const back = await fan.check(event.id);
  assert.equal(back.body.position, 2, 'at the tail');
  assert.ok(BigInt(decode(fan.ticket).p) > BigInt(place));

  assert.equal((await run('erase', 'u:place-fan', '--force')).code, 0, 'and once more');
  await redis.cli('FLUSHALL');
  await waitUntil(async () => (await other.check(event.id)).status === 200 && redis.cli('ZSCORE', `consumed:{${event.id}}`, `x:${place}`), 15000, 'the consumed places');
  fan.cookies = cookies;
  const late = await fan.check(event.id);
  assert.ok(BigInt(decode(late.body.ticket ?? fan.ticket).p) > BigInt(place), 'a new place');
});

test('an erasure that fails half way is repeated and finds the rest', async () => {
  const { id, email, first, second, other } = await traces('half');
  const last = [first.id, second.id].sort()[1];
  await database.query(`CREATE FUNCTION refuse_half() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$`);
  await database.query(`CREATE TRIGGER refuse_half BEFORE UPDATE ON admissions FOR EACH ROW WHEN (OLD.event_id = '${last}' AND OLD.buyer = '${id}') EXECUTE FUNCTION refuse_half()`);
  const { code, stderr } = await run('erase', id);
  assert.equal(code, 1);
  assert.match(stderr, /PostgreSQL did not answer .*run the command again/);
  const half = await where(id);
  assert.ok(half.admissions, 'the second event was not erased');
  await database.query('DROP TRIGGER refuse_half ON admissions');
  const again = await run('erase', id);
  assert.equal(again.code, 0, again.stderr);
  assert.deepEqual(await where(id, email), {});
  await other.leave(second.id);
});

test('entries that the ledger has not consumed stay until it has; without a processor the command says so', async () => {
  const event = await sale();
  const client = await enter(event, 'unread');
  await client.leave(event.id);
  await consumed(event, 'u:unread', 'left');
  const log = `log:{${event.id}}`;
  const entry = await redis.cli('XADD', log, '*', 'kind', 'withdrawn', 'buyer', 'u:unread', 'place', 7, 'epoch', 1, 'at', Date.now(), 'inside', 0, 'threshold', 5, 'n', 1);
  const { code, stderr } = await run('erase', 'u:unread');
  assert.equal(code, 0, stderr);
  assert.deepEqual(await where('u:unread'), {});
  assert.equal((await database.query("SELECT 1 FROM admissions WHERE event_id = $1 AND stream_id = $2 AND buyer = 'x:7'", [event.id, entry])).length, 1, 'it was copied first');
});

test('what is no buyer, and servers that do not answer, are named', async () => {
  for (const [buyer, ...args] of [['x'], ['x:1700000000000000'], ['u:'], ['u:a', '--who', ' '], ['u:a', '--who', 'Kim\tadmin']]) {
    const { code, stderr } = await run('erase', buyer, ...args);
    assert.equal(code, 64, stderr);
    assert.match(stderr, args.length > 0 ? /--who must be 1 to 160 characters/ : /--buyer must be the id of a buyer, such as u:mina/);
  }
  assert.match((await runTiketi(['erase', '--buyer', 'u:a'], { REDIS_URL: redis.url }, { expect: 78 })).stderr, /DATABASE_URL: must be set/);
  assert.match((await runTiketi(['erase', '--buyer', 'u:a'], { DATABASE_URL: database.url }, { expect: 78 })).stderr, /REDIS_URL: must be set/);
  assert.match((await runTiketi(['erase', '--buyer', 'u:a'], { ...env, REDIS_URL: 'redis://127.0.0.1:1' }, { expect: 1 })).stderr, /^tiketi erase: Redis: /m);
  assert.match((await runTiketi(['export', '--buyer', 'u:a'], { ...env, DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/x' }, { expect: 1 })).stderr, /^tiketi export: PostgreSQL: /m);
});
