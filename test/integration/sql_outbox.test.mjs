// SPDX-License-Identifier: MIT
//
// The SQL functions of the outbox: a row is committed with what it tells; one sender at a time has it; back-off; three
// days; and what is kept.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => (server = await startSql()));
after(() => server.stop());
beforeEach(async () => (sql = await server.fresh(16)));
afterEach(async () => {
  await sql.assertSound();
  await sql.close();
});

// A purchase whose buyer gave an address; returns the reservation.
async function buy(event, buyer, { email = `${buyer.slice(2)}@example.com`, language = 'ko' } = {}) {
  const { body: held } = await sql.hold(event, buyer, { quantity: 1 });
  const order = (await sql.call('payment_begin', buyer, held.id, 'demo', email, language)).body;
  if (held.totalAmount > 0) await sql.paid(held.id, 'demo', order.reference, held.totalAmount, 'EUR');
  return held;
}

const outbox = () => sql.rows('SELECT * FROM outbox ORDER BY id');
const claim = async (limit = 10, ms = 60000) => (await sql.call('outbox_claim', 'confirmation', limit, ms)).body;
const failed = (mail, { claim: id }, permanent = false) => sql.call('outbox_failed', mail.id, id, '451', permanent);
const isDue = () => sql.rows("UPDATE outbox SET due_at = clock_timestamp() WHERE status = 'pending'");
const age = (interval) => sql.rows('UPDATE outbox SET created_at = created_at - $1::interval', [interval]);

test('a row is written exactly once with each purchase whose buyer gave an address, also a free one, a late one, a repeated one', async () => {
  await sql.event('paid', { askEmail: 'required' });
  const held = await buy('paid', 'u:1');
  const [row] = await outbox();
  assert.deepEqual([row.kind, row.event_id, row.recipient, row.language, row.payload, row.status, row.attempts],
    ['confirmation', 'paid', '1@example.com', 'ko', { reservation: held.id, ticket: row.payload.ticket }, 'pending', 0]);
  assert.equal((await sql.call('eticket_get', row.payload.ticket)).body.id, held.id, 'the token leads to the ticket');
  await sql.event('free', { askEmail: 'optional', price: 0 });
  await buy('free', 'u:2');
  await buy('free', 'u:3', { email: null });
  assert.equal((await outbox()).length, 2);

  await sql.event('late', { askEmail: 'optional' });
  const { body: late } = await sql.hold('late', 'u:4', { quantity: 1 });
  const order = (await sql.call('payment_begin', 'u:4', late.id, 'demo', 'late@example.com', 'ja')).body;
  assert.equal((await outbox()).length, 2, 'nothing is told before the purchase');
  await sql.lapse(late.id);
  assert.equal((await sql.paid(late.id, 'demo', order.reference, late.totalAmount, 'EUR')).outcome, 'confirmed');
  assert.equal((await sql.paid(late.id, 'demo', order.reference, late.totalAmount, 'EUR')).outcome, 'repeated');
  assert.deepEqual((await outbox()).map(({ event_id, language }) => [event_id, language]), [['paid', 'ko'], ['free', 'ko'], ['late', 'ja']]);
});

test('a transaction that fails leaves no row', async () => {
  await sql.event('undone', { askEmail: 'required' });
  const { body: held } = await sql.hold('undone', 'u:1', { quantity: 1 });
  const order = (await sql.call('payment_begin', 'u:1', held.id, 'demo', 'a@example.com', 'en')).body;
  const client = await sql.pool.connect();
  await client.query('BEGIN');
  const { rows: [row] } = await client.query("SELECT * FROM payment_report($1, 'demo', $2, $3, 'EUR', 'paid')", [held.id, order.reference, held.totalAmount]);
  assert.equal(row.outcome, 'confirmed');
  await client.query('ROLLBACK');
  client.release();
  assert.deepEqual(await outbox(), []);
});

test('twenty senders claim at once: each mail goes to one of them, with all that its text needs', async () => {
  await sql.event('rush', { askEmail: 'required', perRow: 40, rows: 2 });
  for (let i = 0; i < 30; i++) await buy('rush', `u:${i}`);
  const claims = await Promise.all(Array.from({ length: 20 }, () => claim(4)));
  const ids = claims.flatMap(({ mails }) => mails.map(({ id }) => id));
  assert.equal(ids.length, 30);
  assert.equal(new Set(ids).size, 30);
  assert.equal((await claim()).mails.length, 0, 'they are claimed');
  const [mail] = claims.find(({ mails }) => mails.length > 0).mails;
  assert.match(mail.messageId, /^[0-9a-f-]{36}$/);
  assert.equal(mail.event.title, 'rush');
  assert.deepEqual([mail.reservation.status, mail.reservation.seats.length, mail.reservation.totalAmount], ['confirmed', 1, 1000]);
  assert.deepEqual([mail.attempts, mail.language], [1, 'ko']);
});

test('a claim that ends without a report is claimed again under the same Message-ID; the report of the first is then refused', async () => {
  await sql.event('dies', { askEmail: 'required' });
  await buy('dies', 'u:1');
  const first = await claim(10, 1);
  const second = await claim();
  assert.equal(second.mails[0].messageId, first.mails[0].messageId);
  assert.equal(second.mails[0].attempts, 2);
  assert.equal((await failed(first.mails[0], first)).outcome, 'not-found');
  assert.equal((await sql.call('outbox_sent', second.mails[0].id)).outcome, 'sent');
  const [row] = await outbox();
  assert.deepEqual([row.status, row.recipient, row.payload, row.error], ['sent', null, null, null], 'nothing about the buyer is kept');
  assert.equal((await failed(second.mails[0], second)).outcome, 'not-found');
});

test('back-off doubles from 5 s to an hour, and ends after three days; what is refused for good is parked at once', async () => {
  await sql.event('slow', { askEmail: 'required' });
  await buy('slow', 'u:1');
  const waits = [];
  for (let n = 1; n <= 12; n++) {
    await isDue();
    const claimed = await claim();
    const { outcome } = await failed(claimed.mails[0], claimed);
    assert.equal(outcome, 'pending');
    waits.push((await sql.row('SELECT extract(epoch FROM due_at - clock_timestamp())::float AS s FROM outbox')).s);
  }
  waits.forEach((seconds, i) => {
    const expected = Math.min(5 * 2 ** i, 3600);
    assert.ok(seconds > expected * 0.8 - 1 && seconds <= expected * 1.2, `attempt ${i + 1}: ${seconds} s, expected about ${expected}`);
  });
  await isDue();
  await age('3 days');
  const last = await claim();
  assert.equal((await failed(last.mails[0], last)).outcome, 'parked');
  await buy('slow', 'u:2');
  const refused = await claim();
  assert.equal((await failed(refused.mails[0], refused, true)).outcome, 'parked');
  assert.deepEqual((await sql.call('outbox_count', 'slow')).body, { pending: 0, parked: 2 });
  assert.equal((await claim()).mails.length, 0);
});

test('the upkeep parks what nobody tries for three days, not what a sender has; and forgets after 30 days', async () => {
  await sql.event('kept', { askEmail: 'required' });
  for (let i = 0; i < 3; i++) await buy('kept', `u:${i}`);
  const upkeep = async () => (await sql.call('outbox_upkeep', 100)).body;
  const fresh = await upkeep();
  assert.deepEqual([fresh.pending, fresh.parked, fresh.parkedNow], [3, 0, 0]);
  await age('3 days');
  const claimed = await claim(1);
  const old = await upkeep();
  assert.deepEqual([old.pending, old.parked, old.parkedNow], [1, 2, 2]);
  assert.ok(old.oldestSeconds >= 259200, JSON.stringify(old));
  await sql.call('outbox_sent', claimed.mails[0].id);
  await sql.rows("UPDATE outbox SET ended_at = ended_at - interval '31 days' WHERE status = 'sent' OR id = (SELECT max(id) FROM outbox WHERE status = 'parked')");
  assert.equal((await upkeep()).parked, 1);
  assert.equal((await outbox()).length, 1);
});

test('a claim reads only what is due, however much was sent before', async () => {
  await sql.event('much', { askEmail: 'required' });
  await sql.rows(`INSERT INTO outbox (kind, event_id, language, status, ended_at)
                  SELECT 'confirmation', 'much', 'en', 'sent', now() FROM generate_series(1, 20000)`);
  await buy('much', 'u:1');
  const { body, read } = await sql.callReading('outbox', 'outbox_claim', 'confirmation', 10, 60000);
  assert.equal(body.mails.length, 1);
  assert.ok(read < 100, `${read} rows read`);
});

test('parked mails of one event are sent again: with new days and attempts before them, at most so many, and audited', async () => {
  for (const id of ['again', 'other']) {
    await sql.event(id, { askEmail: 'optional' });
    for (const n of [1, 2, 3]) await buy(id, `u:${id}${n}`);
  }
  const claimed = await claim();
  for (const mail of claimed.mails) assert.equal((await failed(mail, claimed, true)).outcome, 'parked');
  await age('4 days');
  assert.deepEqual(await sql.call('outbox_resend', 'again', 2, 'kim\tadmin\t'), { outcome: 'resent', body: { eventId: 'again', resent: 2 } });
  assert.deepEqual((await outbox()).map((row) => [row.event_id, row.status, row.attempts, row.error]), [
    ['again', 'pending', 0, null], ['again', 'pending', 0, null], ['again', 'parked', 1, '451'], ...Array(3).fill(['other', 'parked', 1, '451']),
  ]);
  const next = await claim();
  assert.equal(next.mails.length, 2, 'they are due at once');
  assert.equal((await failed(next.mails[0], next)).outcome, 'pending', 'the three days begin anew');
  assert.equal((await sql.call('outbox_resend', 'again', 100, 'kim\tadmin\t')).body.resent, 1);
  assert.equal((await sql.call('outbox_resend', 'again', 100, 'kim\tadmin\t')).body.resent, 0);
  const notes = await sql.rows("SELECT event_id, after FROM audit WHERE verb = 'resend' ORDER BY id");
  assert.deepEqual(notes, [{ event_id: 'again', after: { mails: 2 } }, { event_id: 'again', after: { mails: 1 } }]);
});
