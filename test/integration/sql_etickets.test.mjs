// SPDX-License-Identifier: MIT
//
// The SQL functions of ticket links: who gets one, that it lasts, and that the table does not give it away.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, afterEach, before, beforeEach, test } from 'node:test';
import { startSql } from './sql_support.mjs';

let server;
let sql;
before(async () => (server = await startSql()));
after(() => server.stop());
beforeEach(async () => (sql = await server.fresh(8)));
afterEach(async () => {
  await sql.assertSound();
  await sql.close();
});

const TOKEN = /^[A-Za-z0-9_-]{43}$/;

async function bought(event, buyer) {
  const { body } = await sql.hold(event, buyer, { quantity: 2 });
  assert.equal((await sql.paid(body.id, 'demo', `ref-${body.id}`, body.totalAmount, 'EUR')).outcome, 'confirmed');
  return body;
}
const link = (buyer, event, reservation, key = 'key-1', proven = false) => sql.call('eticket_link', buyer, proven, event, reservation.id, key);
const opened = (token) => sql.call('eticket_get', token);
const newToken = async ({ id }) => (await sql.call('eticket_new', id)).eticket_new;

test('a link of a message is random, opens its reservation, and only its hash is stored', async () => {
  await sql.event('mail');
  const one = await bought('mail', 'u:1'), other = await bought('mail', 'u:2');
  const tokens = [await newToken(one), await newToken(one), await newToken(other)];
  for (const token of tokens) assert.match(token, TOKEN);
  assert.equal(new Set(tokens).size, 3);
  for (const [i, reservation] of [one, one, other].entries()) {
    const { outcome, body } = await opened(tokens[i]);
    assert.equal(outcome, 'found');
    assert.equal(body.id, reservation.id);
    assert.equal(body.status, 'confirmed');
    assert.equal(body.seats.length, 2);
  }
  const stored = await sql.rows('SELECT hash FROM etickets');
  assert.deepEqual(stored.map(({ hash }) => hash.toString('hex')).sort(),
    tokens.map((token) => createHash('sha256').update(token).digest('hex')).sort());
  assert.equal((await opened('x'.repeat(43))).outcome, 'not-found');
});

test('the link of the buyer’s pages is the same each time, another one after the key is changed, and the old one lasts', async () => {
  await sql.event('own');
  const one = await bought('own', 'u:1'), other = await bought('own', 'u:2');
  const first = (await link('u:1', 'own', one)).body;
  assert.match(first.token, TOKEN);
  assert.equal(first.id, one.id);
  assert.equal((await link('u:1', 'own', one)).body.token, first.token);
  assert.notEqual((await link('u:2', 'own', other)).body.token, first.token);
  const rolled = (await link('u:1', 'own', one, 'key-2')).body.token;
  assert.notEqual(rolled, first.token);
  for (const token of [first.token, rolled]) assert.equal((await opened(token)).body.id, one.id);
  assert.equal((await sql.row('SELECT count(*) AS n FROM etickets')).n, 3);
});

test('many that ask at once get one link', async () => {
  await sql.event('crowd');
  const one = await bought('crowd', 'u:1');
  const answers = await Promise.all(Array.from({ length: 24 }, () => link('u:1', 'crowd', one)));
  assert.equal(new Set(answers.map(({ body }) => body.token)).size, 1);
  assert.equal((await sql.row('SELECT count(*) AS n FROM etickets')).n, 1);
});

test('only the owner, or a proof, gets a link; and only to what was bought', async () => {
  await sql.event('mine');
  await sql.event('else');
  const one = await bought('mine', 'u:1');
  assert.equal((await link('u:2', 'mine', one)).outcome, 'not-yours');
  assert.equal((await link('u:1', 'else', one)).outcome, 'not-found');
  assert.equal((await link('u:1', 'mine', { id: 'x' })).outcome, 'not-found');
  const { token } = (await link('u:1', 'mine', one)).body;
  const proven = (await link('u:2', 'mine', one, 'key-1', true)).body;
  assert.deepEqual([proven.id, proven.own, proven.token], [one.id, false, token]);
  const { body: held } = await sql.hold('mine', 'u:3', { quantity: 1 });
  const before = (await link('u:3', 'mine', held)).body;
  assert.deepEqual([before.status, before.own, before.paying, before.token], ['held', true, false, null]);
  await sql.call('payment_begin', 'u:3', held.id, 'demo', null, null);
  assert.equal((await link('u:3', 'mine', held)).body.paying, true);
  await sql.lapse(held.id);
  assert.equal((await link('u:3', 'mine', held)).body.status, 'expired');
});

test('a link outlives the sale and the refund', async () => {
  await sql.event('long');
  const one = await bought('long', 'u:1');
  const { token } = (await link('u:1', 'long', one)).body;
  await sql.rows("UPDATE events SET status = 'closed' WHERE id = 'long'");
  assert.equal((await opened(token)).body.status, 'confirmed');
  assert.equal((await sql.call('payment_refund', 'long', one.id, 'u:admin')).outcome, 'refunded');
  const { body } = await opened(token);
  assert.equal(body.status, 'refunded');
  assert.equal(body.seats.length, 2, 'what it was for is still told');
  assert.equal((await link('u:1', 'long', one)).body.token, token);
});
