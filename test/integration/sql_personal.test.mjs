// SPDX-License-Identifier: MIT
//
// The SQL functions of personal data: what is erased, what is refused, and how long things are kept, in batches.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { randomUUID } from 'node:crypto';
import { uniqueId } from '../fixtures/index.mjs';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => {
  server = await startSql();
  sql = await server.fresh(8);
});
after(async () => {
  await sql.close();
  await server.stop();
});

let stream = 0;
// An entry of the admission log.
const entry = (event, buyer, place, { epoch = 1, kind = 'left', n = 1 } = {}) => sql.rows(`INSERT INTO admissions
  (event_id, epoch, buyer, place, kind, departed, at, inside, threshold, n, stream_id) VALUES ($1, $2, $3, $4, $5, true, now(), 0, 1, $6, $7)`,
[event, epoch, buyer, place, kind, n, `9-${++stream}`]);

async function bought(event, buyer, { place = 0, email = null } = {}) {
  const { body } = await sql.hold(event, buyer, { quantity: 1, place });
  await sql.rows('UPDATE reservations SET place = $2, email = $3, entered = true WHERE id = $1', [body.id, place, email]);
  const paid = await sql.paid(body.id, 'test', randomUUID(), body.totalAmount, body.currency);
  assert.equal(paid.outcome, 'confirmed');
  return body;
}

const close = (event, days, { starts = null } = {}) => sql.rows(`UPDATE events SET status = 'closed', closed_at = now() - $2 * interval '1 day',
  starts_at = now() - $3::int * interval '1 day' WHERE id = $1`, [event, days, starts]);
const upkeep = async (emails, buyers, limit = 500) => (await sql.call('personal_upkeep', emails, buyers, limit)).body.rows;
const settled = async (emails, buyers, limit = 500) => {
  const steps = [];
  for (let n = await upkeep(emails, buyers, limit); n > 0; n = await upkeep(emails, buyers, limit)) steps.push(n);
  return steps;
};

test('a payment that is pending, and a live hold, keep the buyer; a lapsed one does not', async () => {
  const event = uniqueId('sp');
  await sql.event(event);
  const { body } = await sql.hold(event, 'u:a', { quantity: 1 });
  assert.equal((await sql.call('personal_erase', 'u:a', event, 'me')).outcome, 'held');
  await sql.rows(`INSERT INTO payments (event_id, reservation_id, provider, reference, amount, currency, status) VALUES ($1, $2, 'test', $3, 1, 'EUR', 'pending')`,
    [event, body.id, uniqueId()]);
  assert.equal((await sql.call('personal_erase', 'u:a', event, 'me')).outcome, 'paying');
  assert.deepEqual((await sql.call('personal_event', 'u:a', event)).body.events.map(({ paying, holds, known }) => [paying, holds, known]), [[true, [body.id], true]]);
  await sql.rows("UPDATE payments SET status = 'failed' WHERE reservation_id = $1", [body.id]);
  await sql.lapse(body.id);
  const erased = await sql.call('personal_erase', 'u:a', event, 'me');
  assert.deepEqual([erased.outcome, erased.body], ['erased', { rows: { feed: 1, reservations: 1 }, copies: [] }]);
  assert.equal((await sql.row('SELECT buyer FROM reservations WHERE id = $1', [body.id])).buyer, `x:${body.id}`, 'it has no place');
  await sql.call('reservation_sweep', 10);
  await sql.assertSound();
});

test('the record keeps its order and its sums, and each place one name in all tables', async () => {
  const event = uniqueId('sp');
  await sql.event(event);
  const { id } = await bought(event, 'u:b', { place: 4711, email: 'b@mail.example' });
  await entry(event, 'u:b', 4711, { kind: 'direct' });
  await entry(event, 'u:b', 4711, { kind: 'completed' });
  await entry(event, 'u:b', 4800, { kind: 'withdrawn', n: 2 });
  await entry(event, 'u:c', 4900);
  await entry(event, '', 0, { kind: 'outflow' });
  await sql.rows('DELETE FROM sales_to_copy');
  const { body } = await sql.call('personal_erase', 'u:b', event, 'me');
  assert.deepEqual(body.rows, { outbox: 1, admissions: 3, reservations: 1, feed: 4 });
  const [{ version, sale }] = body.copies;
  assert.deepEqual([body.copies.length, sale.reservation.buyer, sale.reservation.language, sale.reservation.sale_version], [1, 'x:4711', null, version]);
  assert.deepEqual(await sql.rows('SELECT reservation_id, version FROM sales_to_copy'), [{ reservation_id: id, version }], 'a processor copies it, too');
  assert.deepEqual((await sql.rows('SELECT buyer FROM admissions WHERE event_id = $1 ORDER BY place, kind', [event])).map(({ buyer }) => buyer),
    ['', 'x:4711', 'x:4711', 'x:4800', 'u:c']);
  assert.equal((await sql.row('SELECT buyer FROM reservations WHERE id = $1', [id])).buyer, 'x:4711');
  assert.deepEqual((await sql.callAll('consumed_places', event, 1, '', 10)).map(({ buyer, place }) => [buyer, place]), [['u:c', 4900], ['x:4711', 4711], ['x:4800', 4800]]);
  const [note] = await sql.rows("SELECT who, after FROM audit WHERE event_id = $1 AND verb = 'erase'", [event]);
  assert.deepEqual(note, { who: 'me', after: body.rows });
  assert.deepEqual((await sql.call('personal_erase', 'u:b', event, 'me')).body, { rows: {}, copies: [] });
  assert.equal((await sql.rows("SELECT 1 FROM audit WHERE event_id = $1 AND verb = 'erase'", [event])).length, 1);
  await sql.assertSound();
});

test('all events are walked, page by page, whether they know the buyer or not', async () => {
  const mine = uniqueId('sp-walk');
  await sql.event(mine, { rows: 0 });
  await entry(mine, 'u:walk', 5, { epoch: 1 });
  const seen = [];
  let next = '';
  do {
    const { body } = await sql.call('personal_events', 'u:walk', next, 2);
    seen.push(...body.events.map(({ id, known }) => [id, known]));
    next = body.next;
  } while (next);
  const all = (await sql.rows('SELECT id FROM events ORDER BY id')).map(({ id }) => id);
  assert.deepEqual(seen.map(([id]) => id), all);
  assert.deepEqual(seen.filter(([, known]) => known), [[mine, true]]);
});

test('addresses go when the show is so long ago, not the sale; ids later; each once, in batches', async () => {
  await settled(1, 1);
  const [early, later, sold] = [uniqueId('sp'), uniqueId('sp'), uniqueId('sp')];
  for (const event of [early, later, sold]) {
    await sql.event(event, { perRow: 40 });
    for (let i = 0; i < 12; i++) {
      await bought(event, `u:${i}`, { place: 1000 + i, email: `${i}@mail.example` });
      await entry(event, `u:${i}`, 1000 + i, { epoch: 1 + (i % 2) });
    }
    await bought(event, 'u:unknown', { email: 'u@mail.example' }); // the log does not know them
    await sql.rows('UPDATE events SET epoch = 2 WHERE id = $1', [event]);
  }
  await close(early, 40);
  await close(later, 400, { starts: 10 }); // the show was ten days ago
  await close(sold, 400, { starts: 380 });
  const left = async (event) => {
    const [row] = await sql.rows(`SELECT count(email)::int AS emails, count(*) FILTER (WHERE buyer LIKE 'u:%')::int AS buyers FROM reservations WHERE event_id = $1`, [event]);
    const [log] = await sql.rows(`SELECT count(*) FILTER (WHERE buyer LIKE 'u:%')::int AS log FROM admissions WHERE event_id = $1`, [event]);
    const [mail] = await sql.rows('SELECT count(*)::int AS mail FROM outbox WHERE event_id = $1', [event]);
    return { ...row, ...log, ...mail };
  };
  const whole = { emails: 13, buyers: 13, log: 12, mail: 13 };
  assert.equal(await upkeep(0, 0), 0, '0: for ever');
  assert.deepEqual(await left(sold), whole);
  const steps = await settled(30, 365, 5);
  assert.ok(steps.every((n) => n <= 15), String(steps));
  assert.ok(steps.length > 8, String(steps));
  assert.deepEqual(await left(early), { ...whole, emails: 0, mail: 0 });
  assert.deepEqual(await left(later), whole);
  assert.deepEqual(await left(sold), { emails: 0, buyers: 0, log: 0, mail: 0 });
  assert.deepEqual(await settled(30, 365), [], 'nothing is left to do');
  await sql.rows("UPDATE events SET status = 'open', closed_at = NULL WHERE id = $1", [sold]);
  await entry(sold, 'u:again', 9999);
  await close(sold, 366);
  await sql.rows("UPDATE events SET emails_forgotten_at = now() - interval '370 days', buyers_forgotten_at = now() - interval '370 days' WHERE id = $1", [sold]);
  assert.ok((await settled(30, 365)).length > 0, 'it was open again');
  assert.equal((await left(sold)).log, 0);
  // An entry that came into the log after the buyers were forgotten.
  await entry(sold, 'u:late', 9998);
  await sql.rows("INSERT INTO ledger_cursors (event_id, consumed) VALUES ($1, '7-0') ON CONFLICT (event_id) DO UPDATE SET consumed = '7-0'", [sold]);
  const forgotten = async () => (await sql.row('SELECT event_buyers_forgotten(e) AS f FROM events e WHERE e.id = $1', [sold])).f;
  assert.equal(await forgotten(), false);
  assert.ok((await settled(30, 365)).length > 0, 'the log went on');
  assert.equal((await left(sold)).log, 0);
  assert.equal(await forgotten(), true);
  assert.deepEqual(await settled(30, 365), []);
  await sql.assertSound();
});

test('an event is given to one caller a day, and no row that is locked is waited for', async () => {
  const [one, two, open] = [uniqueId('sp'), uniqueId('sp'), uniqueId('sp')];
  for (const event of [one, two, open]) await sql.event(event, { rows: 0 });
  await sql.rows("UPDATE events SET keys_checked_at = now() WHERE status = 'closed'");
  await close(one, 8);
  await close(two, 6);
  const keys = async () => (await sql.call('personal_keys', 7, 10)).body.events.map(({ id }) => id);
  const client = await sql.pool.connect();
  try {
    await client.query('BEGIN');
    await client.query('SELECT FROM events WHERE id = $1 FOR UPDATE', [one]);
    assert.deepEqual(await keys(), []);
    await settled(1, 1);
    assert.equal((await sql.row('SELECT emails_forgotten_at FROM events WHERE id = $1', [one])).emails_forgotten_at, null, 'passed over');
    await client.query('COMMIT');
  } finally {
    client.release();
  }
  const answers = await Promise.all([keys(), keys(), keys()]);
  assert.deepEqual(answers.flat(), [one]);
  assert.deepEqual(await keys(), []);
  await sql.rows("UPDATE events SET keys_checked_at = now() - interval '25 hours' WHERE id = $1", [one]);
  assert.deepEqual(await keys(), [one]);
});
