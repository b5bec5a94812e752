// SPDX-License-Identifier: MIT
//
// The e-mail address that an event asks for before paying: required, optional or not at all; over the API and by the form
// of the page. It is stored with the reservation and appears in no log and no answer.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, adminToken, bearer, stage, waitUntil } from '../fixtures/index.mjs';

const { database, server, organizer } = await stage({ env: { PAYMENT_URL: 'https://pay.example/page', LOG_LEVEL: 'debug' } });

const settings = { threshold: 10, autoHold: 0, grid: { rows: 1, seatsPerRow: 8 } };

// A new admitted buyer who holds one seat; without sub a guest.
async function holder(event, sub) {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'the buyer to be inside');
  const { status, body, text } = await buyer.reserve({ eventId: event.id, quantity: 1 });
  assert.equal(status, 201, text);
  return { buyer, reservation: body };
}

const payWith = (buyer, reservation, json) => buyer.post(`/api/reservations/${reservation.id}/pay`, { json });
const stored = async (reservation) => (await database.query('SELECT email, language FROM reservations WHERE id = $1', [reservation.id]))[0];

test('an event that requires an address: without one, or with none that can be, paying is refused and the field named', async () => {
  const event = await organizer.sale({ ...settings, askEmail: 'required' });
  const { buyer, reservation } = await holder(event, 'asked');
  const bad = [undefined, {}, { email: '' }, { email: '  ' }, { email: null }, { email: 'x' }, { email: 'a@b' }, { email: 'a@b.c, d@e.f' }, { email: '@example.com' },
    { email: 'a@-example.com' }, { email: 'a@example..com' }, { email: 'a@example.com.' }, { email: 'a b@example.com' }, { email: 'a@1.2.3.4' },
    { email: '"a b"@example.com' }, { email: 'é@example.com' }, { email: `${'x'.repeat(65)}@example.com` }, { email: `a@${'b.'.repeat(126)}com` },
    { email: 'a@example.com\r\nBcc: b@example.com' }, { email: '<a@example.com>' }, { email: 7 }, { email: ['a@example.com'] }, { email: 'x'.repeat(600) }];
  for (const json of bad) {
    const answer = await payWith(buyer, reservation, json);
    assert.equal(answer.status, 400, `${JSON.stringify(json)}: ${answer.text}`);
    assert.deepEqual([answer.body.code, answer.body.field], ['invalid', 'email'], answer.text);
  }
  assert.equal((await payWith(buyer, reservation, { email: 'a@example.com', language: 'tlh' })).body.field, 'language');
  assert.equal((await payWith(buyer, reservation, { mail: 'a@example.com' })).body.field, 'mail');
  assert.deepEqual(await stored(reservation), { email: null, language: null });

  const paid = await payWith(buyer, reservation, { email: ' a..b+tickets@mail.example.co.kr ', language: 'ko-KR' });
  assert.equal(paid.status, 200, paid.text);
  assert.deepEqual(await stored(reservation), { email: 'a..b+tickets@mail.example.co.kr', language: 'ko' });
  const again = await payWith(buyer, reservation);
  assert.equal(again.status, 200, 'it was given before');
  assert.deepEqual(again.body, paid.body);
  await buyer.post(`/api/reservations/${reservation.id}/pay`, { json: { email: 'other@example.com' }, headers: { 'accept-language': 'ja,en;q=0.5' } });
  assert.deepEqual(await stored(reservation), { email: 'other@example.com', language: 'ja' }, 'the last one counts');
});

test('an event may ask without requiring; one that does not ask stores none and refuses nobody', async () => {
  const optional = await organizer.sale({ ...settings, askEmail: 'optional' });
  const first = await holder(optional, 'optional-1');
  assert.equal((await payWith(first.buyer, first.reservation)).status, 200);
  assert.equal((await stored(first.reservation)).email, null);
  const second = await holder(optional, 'optional-2');
  assert.equal((await payWith(second.buyer, second.reservation, { email: 'x' })).body.field, 'email');
  assert.equal((await payWith(second.buyer, second.reservation, { email: 'two@example.com' })).status, 200);
  assert.deepEqual(await stored(second.reservation), { email: 'two@example.com', language: 'en' });

  const silent = await organizer.sale(settings);
  assert.equal(silent.askEmail, 'no');
  const third = await holder(silent, 'silent');
  assert.equal((await payWith(third.buyer, third.reservation, { email: 'three@example.com' })).status, 200, 'a page that was loaded before');
  assert.equal((await stored(third.reservation)).email, null);
});

test('the setting reaches the pages within a second; the form works without a script, and returns with a notice', async () => {
  const event = await organizer.sale({ ...settings, askEmail: 'no' });
  const { buyer, reservation } = await holder(event);
  const form = (fields) => buyer.post(`/buy/${event.id}`, {
    headers: { origin: server.url, 'content-type': 'application/x-www-form-urlencoded', 'accept-language': 'ja' },
    body: String(new URLSearchParams({ action: 'pay', reservation: reservation.id, ...fields })),
  });
  assert.doesNotMatch((await buyer.get(`/buy/${event.id}`)).text, /name="email"/);
  const changed = await server.patch(`/api/admin/events/${event.id}`, { json: { askEmail: 'optional' }, headers: bearer(adminToken()) });
  assert.equal(changed.body.askEmail, 'optional', changed.text);
  const page = await waitUntil(async () => {
    const { text } = await buyer.get(`/buy/${event.id}`);
    return /name="email"/.test(text) && text;
  }, 5000, 'the field');
  assert.doesNotMatch(page.match(/<input type="email"[^>]*>/)[0], /required/);
  assert.match(page, /<button[^>]*value="cancel"[^>]*formnovalidate/, 'giving the seats back needs no address');
  await server.patch(`/api/admin/events/${event.id}`, { json: { askEmail: 'required' }, headers: bearer(adminToken()) });
  await waitUntil(async () => / required/.test((await buyer.get(`/buy/${event.id}`)).text.match(/<input type="email"[^>]*>/)[0]), 5000, 'required');
  assert.equal((await server.patch(`/api/admin/events/${event.id}`, { json: { askEmail: 'perhaps' }, headers: bearer(adminToken()) })).body.field, 'askEmail');

  for (const email of ['', 'nobody']) {
    const refused = await form({ email });
    assert.deepEqual([refused.status, refused.headers.location], [303, `/buy/${event.id}?notice=email`], 'without the address, which is nobody else\'s business');
  }
  assert.match((await buyer.get(`/buy/${event.id}?notice=email`)).text, /name@example\.com/);
  const paid = await form({ email: 'guest@example.com' });
  assert.match(paid.headers.location, /^https:\/\/pay\.example\/page/);
  assert.doesNotMatch(paid.headers.location, /guest/);
  assert.deepEqual(await stored(reservation), { email: 'guest@example.com', language: 'ja' });
});

test('an address is in no log, no answer to anybody else, and no audit entry', async () => {
  const event = await organizer.sale({ ...settings, askEmail: 'required' });
  const { buyer, reservation } = await holder(event, 'discreet');
  await payWith(buyer, reservation, { email: 'discreet-person@example.com' });
  await payWith(buyer, reservation, { email: 'discreet-person@' });
  const answers = await Promise.all([buyer.get(`/api/reservations/${reservation.id}`), buyer.get('/api/reservations'),
    server.get(`/api/admin/events/${event.id}/audit`, { headers: bearer(adminToken()) }), server.get('/metrics')]);
  for (const { status, text } of answers) {
    assert.equal(status, 200, text);
    assert.doesNotMatch(text, /discreet-person/);
  }
  assert.doesNotMatch(server.output, /discreet-person/);
});
