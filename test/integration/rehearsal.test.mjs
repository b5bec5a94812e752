// SPDX-License-Identifier: MIT
//
// Copies of an event, rehearsals and their reset, drafts that are removed, drafts that are forgotten.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Organizer, Server, pay, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

const admin = (id, rest = '') => `/api/admin/events/${id}${rest}`;
const later = (ms) => new Date(Date.now() + ms).toISOString();
const PIXEL = 'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const grid = { section: 'Floor', rows: 2, seatsPerRow: 3, price: 5000 };

const map = async (id) => (await waitUntil(async () => {
  const { status, body } = await server.get(`/api/seats/${id}`);
  return status === 200 && body;
}, 10000, 'the seat map')).seats;

// A rehearsal on sale, with one seat bought from the demo provider, one buyer inside and one who waits.
async function rehearsed(settings = {}) {
  const { id } = await organizer.sale({ rehearsal: true, threshold: 1, autoHold: 0, intervalMs: 600000, grid, ...settings });
  const [buyer, waiting] = ['first', 'second'].map((name) => new Client(server, { sub: `${name}-${id}` }));
  assert.equal((await buyer.check(id)).body.status, 'active');
  assert.equal((await waiting.check(id)).body.status, 'queued');
  const held = await buyer.reserve({ eventId: id, quantity: 1 });
  assert.equal(held.status, 201, held.text);
  return { id, buyer, waiting, reservation: held.body };
}

test('a copy is a draft with the same hall, prices, settings, branding and pictures, and nothing that happened', async () => {
  const from = await organizer.sale({
    title: 'The Original', venue: 'Hall', threshold: 7, surge: [{ queueAbove: 9, threshold: 8 }], maxSeats: 2, timeZone: 'Asia/Seoul',
    startsAt: later(90 * 3600_000), links: { help: 'https://shop.example/help' }, branding: { primary: '#123456', logo: PIXEL, name: 'Hall' }, grid,
  });
  await organizer.must('POST', admin(from.id, '/seats'), { seats: [{ section: 'Balcony', row: 'A', number: 1, price: 2500, currency: 'EUR' }] });
  await organizer.act(from.id, 'message', { text: { en: 'Soon.' } });
  await new Client(server, { sub: 'fan' }).check(from.id);
  const source = await organizer.must('GET', admin(from.id));
  const id = uniqueId('copy');
  const { status, body: copy, headers } = await organizer.post(admin(from.id, '/copy'), { json: { id, title: 'The Copy' } });
  assert.equal(status, 201);
  assert.equal(headers.etag, '"1"');
  const own = ['id', 'title', 'status', 'version', 'opensAt', 'message', 'messages', 'branding', 'warnings'];
  for (const name of Object.keys(source).filter((key) => !own.includes(key))) assert.deepEqual(copy[name], source[name], name);
  assert.deepEqual([copy.id, copy.title, copy.status, copy.opensAt, copy.message, copy.messages, copy.seats], [id, 'The Copy', 'draft', null, null, null, 7]);
  assert.deepEqual({ ...copy.branding, logo: 0 }, { ...source.branding, logo: 0 });
  await organizer.act(id, 'open');
  await waitUntil(async () => (await server.get(copy.branding.logo)).status === 200, 5000, 'the logo');
  const plain = (seats) => seats.map(({ section, row, number, price, currency, status: state }) => ({ section, row, number, price, currency, state }));
  assert.deepEqual(plain(await map(id)), plain((await map(from.id)).map((seat) => ({ ...seat, status: 'available' }))));

  const again = await organizer.post(admin(from.id, '/copy'), { json: { id } });
  assert.deepEqual([again.status, again.body.code], [409, 'id-taken']);
  assert.equal((await organizer.post(admin(from.id, '/copy'))).body.title, 'The Original');
  for (const [json, field] of [[{ id: 'a b' }, 'id'], [{ title: ' ' }, 'title'], [{ rehearsal: 'yes' }, 'rehearsal'], [{ threshold: 1 }, 'threshold']])
    assert.equal((await organizer.post(admin(from.id, '/copy'), { json })).body.field, field);
  assert.equal((await organizer.post(admin('nowhere', '/copy'))).body.code, 'unknown-event');
});

test('the copy of an event that is to come has its times; its rehearsal does not open together with it', async () => {
  const { id } = await organizer.sale({ opensAt: later(3600_000), closesAt: later(7200_000), startsAt: later(9000_000) });
  const copy = (json) => organizer.must('POST', admin(id, '/copy'), json);
  const { opensAt, closesAt, startsAt } = await organizer.must('GET', admin(id));
  assert.deepEqual((({ opensAt: o, closesAt: c, startsAt: s }) => [o, c, s])(await copy({})), [opensAt, closesAt, startsAt]);
  const rehearsal = await copy({ rehearsal: true });
  assert.deepEqual([rehearsal.rehearsal, rehearsal.opensAt, rehearsal.closesAt, rehearsal.startsAt], [true, null, null, startsAt]);
});

test('a rehearsal says so on every page of its buyers, and is not in the public list', async () => {
  const { id } = await organizer.sale({ rehearsal: true, grid });
  const real = await organizer.sale();
  assert.equal((await server.get(`/api/events/${id}`)).body.rehearsal, true);
  const listed = await waitUntil(async () => {
    const { events } = (await server.get('/api/events?limit=100')).body;
    return events.some((event) => event.id === real.id) && events;
  }, 10000, 'the real one to be listed');
  assert.equal(listed.some((event) => event.id === id), false);
  const guest = new Client(server);
  const page = (path) => guest.get(path, { headers: { 'accept-language': 'en', accept: 'text/html' } });
  const says = async (path) => assert.match((await page(path)).text, /<p class="rehearsal" id="rehearsal">Rehearsal: /, path);
  for (const path of [`/wait/${id}`, `/buy/${id}`, `/wait/${id}/leave`]) await says(path);
  const held = await guest.reserve({ eventId: id, quantity: 1 });
  await pay(server, held.body, { provider: 'demo' });
  const { headers } = await page(`/tickets/${id}`);
  assert.match(headers.location, /\/ticket\//);
  await says(headers.location);
  assert.doesNotMatch((await guest.get(`/wait/${real.id}`)).text, /class="rehearsal"/);
  assert.doesNotMatch((await guest.get('/')).text, new RegExp(id));
});

test('reset takes a rehearsal back, the demo payments too, and it can be rehearsed again', async () => {
  const { id, buyer, waiting, reservation } = await rehearsed();
  assert.equal((await pay(server, reservation, { provider: 'demo' })).body.payment, 'paid');
  const oldTicket = waiting.ticket;
  await waitUntil(async () => (await organizer.stats(id)).counters.completed === 1, 10000, 'the purchase to be counted');
  const needed = await organizer.post(admin(id, '/reset'));
  assert.deepEqual([needed.status, needed.body.code], [409, 'confirm-needed']);
  await database.query("SELECT audit_note($1, 'kim', 'release', $2)", [id, { buyer: 'u:released' }]);
  const draft = await organizer.act(id, 'reset');
  assert.deepEqual(await database.query("SELECT after FROM audit WHERE event_id = $1 AND verb = 'release'", [id]), [{ after: { buyer: 'x:' } }], 'no audit entry names a buyer who is not there any more');
  assert.deepEqual([draft.status, draft.epoch, draft.rehearsal, draft.seats, draft.opensAt], ['draft', 2, true, 6, null]);
  await waitUntil(async () => (await server.get(`/api/events/${id}`)).status === 404, 10000, 'buyers to see it no more');
  await waitUntil(async () => (await waiting.check(id)).status === 404, 10000, 'no place in it');
  for (const table of ['reservations', 'payments', 'reservation_seats', 'admissions', 'outbox', 'ledger_cursors', 'event_minutes'])
    assert.deepEqual(await database.query(`SELECT count(*)::integer AS n FROM ${table} WHERE event_id = $1`, [id]), [{ n: 0 }], table);
  assert.deepEqual((await organizer.must('GET', admin(id, '/payments'))).payments, []);
  assert.deepEqual((await organizer.act(id, 'reset')).status, 'draft', 'once more does no harm');

  await organizer.act(id, 'open');
  assert.ok((await map(id)).every((seat) => seat.status === 'available'));
  const late = await waiting.check(id, { headers: { 'x-tiketi-ticket': oldTicket } });
  assert.equal(late.body.status, 'active', 'nobody is before them, and no restore window is open');
  assert.equal((await buyer.check(id)).body.position, 1);
  const { counters } = await organizer.stats(id);
  assert.deepEqual([counters.joined, counters.completed], [2, undefined]);
  const again = await waiting.reserve({ eventId: id, seatIds: [reservation.seats[0].id] });
  assert.equal(again.status, 201, 'the seat that was sold is free');
  const { entries } = await organizer.must('GET', admin(id, '/audit'));
  assert.ok(entries.some((entry) => entry.verb === 'reset'));
});

test('only a rehearsal is reset, and none in which real money was paid', async () => {
  const real = await organizer.sale();
  const refused = await organizer.post(admin(real.id, '/reset'), { json: { confirm: real.id } });
  assert.deepEqual([refused.status, refused.body.field], [409, 'rehearsal']);
  const { id, reservation } = await rehearsed();
  assert.equal((await pay(server, reservation, { provider: 'bank' })).body.payment, 'paid');
  const kept = await organizer.post(admin(id, '/reset'), { json: { confirm: id } });
  assert.deepEqual([kept.status, kept.body.code], [409, 'real-payments']);
  assert.equal((await organizer.must('GET', admin(id))).status, 'open');
  assert.equal((await database.query('SELECT count(*)::integer AS n FROM payments WHERE event_id = $1', [id]))[0].n, 1);
});

test('a draft is removed with its seats; what is public is not; a new event with its id honours no old ticket', async () => {
  const id = uniqueId('gone');
  await organizer.sale({ id, open: false, grid });
  const remove = (headers) => organizer.request('DELETE', admin(id), { headers });
  assert.equal((await remove({ 'if-match': '"77"' })).status, 412);
  assert.equal((await remove({ 'if-match': 'x' })).status, 400);
  assert.equal((await remove()).status, 204);
  assert.equal((await organizer.get(admin(id))).body.code, 'unknown-event');
  assert.equal((await remove()).status, 404);
  assert.deepEqual(await database.query('SELECT count(*)::integer AS n FROM seats WHERE event_id = $1', [id]), [{ n: 0 }]);

  await organizer.sale({ id, rehearsal: true, threshold: 0 });
  const buyer = new Client(server, { sub: 'faithful' });
  assert.equal((await buyer.check(id)).body.position, 1);
  const open = await remove();
  assert.deepEqual([open.status, open.body.field], [409, 'status']);
  await organizer.act(id, 'reset');
  assert.equal((await remove()).status, 204);
  await waitUntil(async () => (await server.get(`/api/events/${id}`)).status === 404, 10000, 'it to be gone');
  const oldTicket = buyer.ticket;
  const made = await organizer.sale({ id, threshold: 0 });
  assert.ok(made.epoch > 2, `epoch ${made.epoch}`);
  await waitUntil(async () => (await new Client(server, { sub: 'new' }).check(id)).body.position === 1, 10000, 'the first in line');
  assert.equal((await buyer.check(id, { headers: { 'x-tiketi-ticket': oldTicket } })).body.position, 2, 'behind them');
});

test('a draft whose opensAt passes is in the log of each processor, once', async () => {
  const { id } = await organizer.sale({ open: false, opensAt: later(1500) });
  const pod = await Server.start({ redis, database, roles: 'processor' });
  try {
    const told = () => pod.output.split('\n').filter((line) => line.includes('draft not opened') && line.includes(id));
    await waitUntil(() => told().length > 0, 15000, 'the log to tell');
    assert.match(told()[0], /"level":"warn"/);
    const { id: next } = await organizer.sale({ open: false, opensAt: later(-1) });
    await waitUntil(() => pod.output.includes(next), 15000, 'the next look');
    assert.equal(told().length, 1);
  } finally {
    await pod.stop();
  }
});

test('while Redis is away a reset says so, and is repeated', async () => {
  const { id } = await rehearsed();
  const pod = await Server.start({ redis: { url: 'redis://127.0.0.1:9' }, database, roles: 'api' });
  try {
    const answer = await new Organizer(pod).post(admin(id, '/reset'), { json: { confirm: id } });
    assert.equal(answer.status, 503, answer.text);
  } finally {
    await pod.stop();
  }
  assert.equal((await organizer.act(id, 'reset')).status, 'draft');
  await waitUntil(async () => (await server.get(`/api/events/${id}`)).status === 404, 10000, 'buyers to see it no more');
});
