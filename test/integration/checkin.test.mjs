// SPDX-License-Identifier: MIT
//
// Tickets at the door: what each scan is answered, once and again, by one door and by two; who may scan; the list for doors
// without a network.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Organizer, jwt, many, pay, stage, waitUntil } from '../fixtures/index.mjs';
import { codesOf } from '../fixtures/qr.mjs';

const { database, server, organizer } = await stage();
const door = new Client(server, { token: jwt({ sub: 'gate', role: 'door' }) });

const path = (id, rest = '') => `/api/checkin/${id}${rest}`;
const scan = (ticket, device = 'North', more = {}) => ({ ticket, device, scannedAt: '2026-11-29T18:55:00.000Z', ...more });
async function check(id, ...scans) {
  const { status, body, text } = await door.post(path(id), { json: { scans } });
  assert.equal(status, 200, text);
  return body.results;
}

async function sale(settings) {
  return organizer.sale({ threshold: 50, autoHold: 0, grid: { rows: 2, seatsPerRow: 10 }, ...settings });
}

let buyers = 0;
async function bought(event, quantity = 1, payment = {}) {
  const buyer = new Client(server, { sub: `door-${buyers++}` });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'the turn');
  const { body } = await buyer.reserve({ eventId: event.id, quantity });
  assert.equal((await pay(server, body, payment)).status, 200);
  const link = (await buyer.get(`/tickets/${event.id}`)).headers.location;
  return { ...body, buyer: `u:door-${buyers - 1}`, codes: codesOf((await buyer.get(link)).text) };
}

test('a ticket is used once: by its code, by its number, and the same scan again is the same answer', async () => {
  const event = await sale();
  const { codes, reservationNumber: number, seats, buyer } = await bought(event, 2);
  const [first] = await check(event.id, scan(codes[0]));
  assert.deepEqual([first.outcome, first.reservationNumber, first.seat.seatId, first.letInTwice], ['accepted', number, seats[0].id, false]);
  assert.deepEqual(await check(event.id, scan(codes[0])), [first], 'a repetition of the batch');
  const [again] = await check(event.id, scan(codes[0], 'South'));
  assert.deepEqual([again.outcome, again.seat.used, again.letInTwice], ['used', { at: '2026-11-29T18:55:00.000Z', device: 'North' }, false]);
  const [later] = await check(event.id, scan(codes[0], 'North', { scannedAt: '2026-11-29T18:56:00.000Z' }));
  assert.equal(later.outcome, 'used', 'the same door, a minute later');
  const [choose] = await check(event.id, scan(number.toLowerCase()));
  assert.deepEqual([choose.outcome, choose.seats.map(({ used }) => used?.device ?? null)], ['choose', ['North', null]]);
  const [typed] = await check(event.id, scan(`${number}.${seats[1].id}`));
  assert.equal(typed.outcome, 'accepted');
  assert.equal((await check(event.id, scan(codes[1], 'South')))[0].outcome, 'used', 'typed at one door, scanned at the next');
  const { entries } = await organizer.must('GET', `/api/admin/events/${event.id}/buyers/${buyer}`);
  assert.deepEqual(entries.filter(({ what }) => /^scanned/.test(what)).map(({ what, device }) => `${what} ${device}`).sort(),
    ['scanned North', 'scanned North', 'scanned_again North', 'scanned_again South', 'scanned_again South']);
});

test('what is no ticket of this event: forged, changed, of another event, refunded, unpaid, unknown', async () => {
  const event = await sale(), other = await sale();
  const good = await bought(event), foreign = await bought(other), gone = await bought(event);
  await organizer.act(event.id, 'refund', { reservationId: gone.id });
  const [head, payload, signature] = good.codes[0].split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url'));
  const changed = Buffer.from(JSON.stringify({ ...claims, jti: claims.jti.replace(/\d+$/, (id) => String(Number(id) + 1)) })).toString('base64url');
  const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${payload}.`;
  const fan = new Client(server, { sub: 'door-unpaid' });
  await fan.check(event.id);
  const { body: unpaid } = await fan.reserve({ eventId: event.id, quantity: 1 });
  const results = await check(event.id, ...[`${head}.${changed}.${signature}`, none, foreign.codes[0], foreign.reservationNumber, gone.codes[0],
    gone.reservationNumber, unpaid.reservationNumber, 'ZZZZ9999', `${good.reservationNumber}.999999`, `${good.reservationNumber}.x`, '.', 'a.b.c', fan.pass ?? 'x'].map((ticket) => scan(ticket)));
  assert.deepEqual(results.map(({ outcome }) => outcome), ['not_valid', 'not_valid', 'other_event', 'other_event', 'refunded', 'refunded', 'not_valid',
    'not_valid', 'not_valid', 'not_valid', 'not_valid', 'not_valid', 'not_valid']);
  assert.deepEqual(await database.query('SELECT 1 FROM checkins WHERE event_id = $1', [event.id]), [], 'nothing was used');
  assert.equal((await check(event.id, scan(good.codes[0])))[0].outcome, 'accepted');
});

test('two doors without a network let one ticket in: the settlement says so at the second, however often it is sent', async () => {
  const event = await sale();
  const { codes } = await bought(event);
  const north = scan(codes[0], 'North', { letIn: true, scannedAt: '2026-11-29T18:55:00.000Z' });
  const south = scan(codes[0], 'South', { letIn: true, scannedAt: '2026-11-29T18:54:00.000Z' });
  assert.deepEqual((await check(event.id, north)).map(({ outcome, letInTwice }) => [outcome, letInTwice]), [['accepted', false]]);
  for (let i = 0; i < 2; i++) {
    const [result] = await check(event.id, south);
    assert.deepEqual([result.outcome, result.letInTwice, result.seat.used.device], ['used', true, 'North']);
  }
  assert.equal((await database.query('SELECT 1 FROM checkins WHERE event_id = $1', [event.id])).length, 2);
});

test('of many doors at once exactly one lets a ticket in', async () => {
  const event = await sale();
  const { codes } = await bought(event, 3);
  const results = (await many(Array.from({ length: 12 }, (_, i) => i), 12, (i) =>
    check(event.id, ...(i % 2 ? codes : codes.toReversed?.() ?? [...codes].reverse()).map((code) => scan(code, `Door ${i}`))))).flat();
  assert.equal(results.filter(({ outcome }) => outcome === 'accepted').length, 3);
  assert.equal(results.filter(({ outcome }) => outcome === 'used').length, 33);
});

test('the list: what is valid now and what was used, page by page', async () => {
  const event = await sale();
  const kept = await bought(event, 2), gone = await bought(event);
  await check(event.id, scan(kept.codes[0]));
  await organizer.act(event.id, 'refund', { reservationId: gone.id });
  const list = await organizer.must('GET', path(event.id));
  assert.deepEqual([list.sold, list.in, list.next], [2, 1, null]);
  assert.deepEqual(list.tickets.map(({ reservationNumber, seatId, used }) => [reservationNumber, seatId, used?.device ?? null]),
    [[kept.reservationNumber, kept.seats[0].id, 'North'], [kept.reservationNumber, kept.seats[1].id, null]]);
  assert.deepEqual((await organizer.must('GET', path(event.id, `?after=${kept.seats[0].id}`))).tickets.length, 1);
  assert.equal((await organizer.get(path(event.id, '?after=x'))).body.field, 'after');
});

test('a rehearsal in which tickets were scanned can be taken back', async () => {
  const event = await sale({ rehearsal: true });
  const { codes } = await bought(event, 1, { provider: 'demo' });
  assert.equal((await check(event.id, scan(codes[0])))[0].outcome, 'accepted');
  await organizer.must('POST', `/api/admin/events/${event.id}/reset`, { confirm: event.id });
  assert.equal((await check(event.id, scan(codes[0])))[0].outcome, 'not_valid');
});

test('who may scan, and what a batch must be', async () => {
  const event = await organizer.sale({ open: false });
  const people = { viewer: 403, sre: 403, organizer: 403, buyer: 403, door: 200, admin: 200 };
  for (const [role, status] of Object.entries(people)) {
    const person = new Client(server, { token: jwt({ sub: 'somebody', role }) });
    assert.equal((await person.post(path(event.id), { json: { scans: [scan('X')] } })).status, status, role);
    assert.equal((await person.get(path(event.id))).status, status, role);
    assert.equal((await person.get(`/door/${event.id}`)).status, status, role);
  }
  for (const part of ['', '/stats', '/report', '/payments']) assert.equal((await door.get(`/api/admin/events/${event.id}${part}`)).status, 403, part);
  assert.equal((await new Client(server, { token: '' }).get(`/door/${event.id}`)).status, 401);
  for (const [json, field] of [[{}, 'scans'], [{ scans: [] }, 'scans'], [{ scans: Array(51).fill(scan('X')) }, 'scans'], [{ scans: [scan('')] }, 'scans[0].ticket'],
    [{ scans: [scan('X'), scan('X', '')] }, 'scans[1].device'], [{ scans: [scan('X', 'N', { scannedAt: 'noon' })] }, 'scans[0].scannedAt'], [{ scans: [scan('X', 'N', { more: 1 })] }, 'scans[0].more'], [{ scans: [3] }, 'scans[0]']]) {
    const answer = await door.post(path(event.id), { json });
    assert.equal(answer.status, 400, JSON.stringify(json).slice(0, 80));
    assert.ok(answer.body.field.startsWith(field), `${answer.body.field} is not ${field}`);
  }
  const stranger = new Organizer(server, { sub: 'another', role: 'organizer' });
  assert.equal((await stranger.get(path(event.id))).status, 403);
});
