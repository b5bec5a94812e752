// SPDX-License-Identifier: MIT
//
// The staff routes for the seats of an event, over HTTP: what buyers' maps, sockets, stock and pods see of a change; the
// counts of the sections; refunds by number and of single seats; and the search for a reservation.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Socket, jwt, pay, stage, waitUntil } from '../fixtures/index.mjs';

const { database, server, organizer } = await stage();

const at = (event, rest) => `/api/admin/events/${event.id}/${rest}`;
const correct = (event, verb, body, options = {}) => organizer.post(at(event, `seats/${verb}`), { json: body, ...options });
const map = async (event) => (await server.get(`/api/seats/${event.id}`)).body;
const OPEN = { threshold: 50, autoHold: 0, maxSeats: 8, grid: { section: 'S', rows: 2, seatsPerRow: 4, price: 1000, currency: 'EUR' } };

// sub undefined: a guest.
async function inside(event, sub) {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, `${sub} to be inside`);
  return buyer;
}

async function buy(event, buyer, seatIds) {
  const { body, status, text } = await buyer.reserve({ eventId: event.id, seatIds });
  assert.equal(status, 201, text);
  assert.equal((await pay(server, body)).body.payment, 'paid');
  return body;
}

test('seats are added as a list of sections by grid, so that one form makes a hall of 2,400', async () => {
  const event = await organizer.sale({ open: false });
  const grid = [['VIP', 10, 20, 150000], ['R', 20, 60, 99000], ['S', 20, 50, 66000]].map(([section, rows, seatsPerRow, price]) => ({ section, rows, seatsPerRow, price, currency: 'KRW' }));
  const checked = await organizer.post(at(event, 'seats?check=1'), { json: { grid } });
  assert.deepEqual([checked.status, checked.body.errors, checked.body.seats], [200, [], 2400], checked.text);
  assert.deepEqual(checked.body.sections.map(({ section, rows, widestRow, priceFrom }) => [section, rows, widestRow, priceFrom]), grid.map(({ section, rows, seatsPerRow, price }) => [section, rows, seatsPerRow, price]));
  assert.equal((await organizer.get(at(event, 'sections'))).body.total.seats, 0, 'a check writes nothing');
  const added = await organizer.post(at(event, 'seats'), { json: { grid } });
  assert.deepEqual([added.status, added.body.seats], [201, 2400], added.text);
  const again = await organizer.post(at(event, 'seats?check=1'), { json: { seats: [{ section: 'VIP', row: '1', number: 1, price: 1, currency: 'KRW' }] } });
  assert.deepEqual(again.body.errors, [{ field: 'seats[0].number', message: 'Seat VIP 1 1 exists already.', reason: 'seat-exists', values: ['VIP', '1', '1'] }]);
  const wrong = await organizer.post(at(event, 'seats'), { json: { grid: [grid[0], { ...grid[1], rows: 0 }] } });
  assert.deepEqual([wrong.status, wrong.body.field], [400, 'grid[1].rows']);
  const { body } = await organizer.get(at(event, 'sections'));
  assert.deepEqual([body.currency, body.currencyDecimals, body.total.free], ['KRW', 0, 2400]);
});

test('buyers see a new price, name and hall within a second or two: in the map, on their sockets, in the stock and on the list of events', async () => {
  const event = await organizer.sale(OPEN);
  const before = await map(event);
  const socket = await Socket.open(server);
  socket.send('watch-seats', { eventId: event.id });
  await socket.next('seats-changed');
  const changed = await correct(event, 'reprice', { where: { section: 'S', row: '1' }, price: 700 });
  assert.deepEqual([changed.status, changed.body.changed, changed.body.warnings], [200, 4, []], changed.text);
  const { payload } = await socket.next('seats-changed');
  assert.equal(payload.reload, true, 'a delta tells statuses only');
  const after = await waitUntil(async () => { const now = await map(event); return now.version > before.version && now; }, 5000, 'the new map');
  assert.deepEqual([after.layout > before.layout, after.seats.map(({ price }) => price)], [true, [700, 700, 700, 700, 1000, 1000, 1000, 1000]]);
  await correct(event, 'block', { where: { row: '2', from: 2 }, reason: 'camera' });
  const blocked = await socket.next('seats-changed');
  assert.deepEqual(blocked.payload.seats, after.seats.slice(5).map(({ id }) => ({ id, status: 'blocked' })));
  const listed = async () => (await server.get('/api/events')).body.events.find(({ id }) => id === event.id);
  await waitUntil(async () => (await listed()).priceFrom.amount === 700, 10000, 'the new lowest price');
  await waitUntil(async () => (await server.get(`/api/events/${event.id}/stock`)).body.bands?.length === 2, 15000, 'two bands');
  await correct(event, 'remove', { where: { row: '1' } });
  await waitUntil(async () => (await map(event)).seats.length === 4, 5000, 'four seats less');
  socket.close();
});

test('a choice of seats, a price, a name and a reason are checked before anything is changed', async () => {
  const event = await organizer.sale({ ...OPEN, open: false });
  const where = { section: 'S' };
  for (const [verb, body, field] of [
    ['remove', {}, 'where'], ['remove', { where: {} }, 'where'], ['remove', { where: { all: true, section: 'S' } }, 'where'], ['remove', { where: { colour: 'red' } }, 'where.colour'],
    ['remove', { where: { seatIds: [] } }, 'where.seatIds'], ['remove', { where: { seatIds: ['x'] } }, 'where.seatIds'], ['remove', { where: { from: 0 } }, 'where.from'], ['remove', { where, price: 1 }, 'price'],
    ['reprice', { where }, 'price'], ['reprice', { where, price: -1 }, 'price'], ['rename', { where }, 'section'], ['rename', { where, row: 'x'.repeat(65) }, 'row'], ['block', { where }, 'reason'],
    ['unblock', { where, reason: 'x' }, 'reason'],
  ]) {
    const answer = await correct(event, verb, body);
    assert.deepEqual([answer.status, answer.body.field], [400, field], `${verb} ${JSON.stringify(body)}: ${answer.text}`);
  }
  assert.equal((await correct(event, 'remove', { where }, { headers: { 'if-match': '"1"' } })).status, 412);
  assert.equal((await correct(event, 'remove', { where: { section: 'T' } })).body.code, 'unknown-seat');
  for (const role of ['viewer', 'sre']) {
    const staff = new Client(server, { token: jwt({ sub: role, role }) });
    assert.equal((await staff.post(at(event, 'seats/block'), { json: { where, reason: 'x' } })).status, 403);
    assert.equal((await staff.get(at(event, 'sections'))).status, 200);
  }
  assert.equal((await map({ id: (await organizer.sale(OPEN)).id })).seats.length, 8);
});

test('a full section is named when seats of it are asked for', async () => {
  const event = await organizer.sale(OPEN);
  await organizer.post(at(event, 'seats'), { json: { grid: { section: 'VIP', rows: 1, seatsPerRow: 1, price: 9000, currency: 'EUR' } } });
  const buyer = await inside(event, 'late');
  const refused = await buyer.reserve({ eventId: event.id, quantity: 2, section: 'VIP' });
  assert.deepEqual([refused.status, refused.body.detail], [409, 'Fewer than 2 seats are free in section VIP at the moment.']);
});

test('a purchase is refunded by its number, seat by seat; the ticket shows the rest, the counts and the payments what is due', async () => {
  const event = await organizer.sale(OPEN);
  const { seats } = await map(event);
  const buyer = await inside(event);
  const order = await buy(event, buyer, [seats[0].id, seats[1].id, seats[2].id]);
  const spoken = `${order.reservationNumber.slice(0, 4)} ${order.reservationNumber.slice(4).toLowerCase()}`;
  const refund = (body) => organizer.post(at(event, 'refund'), { json: body });
  const one = await refund({ reservationNumber: spoken, seatIds: [seats[1].id], resell: false });
  assert.deepEqual([one.status, one.body.payment, one.body.totalAmount, one.body.refundedSeats.map(({ id }) => id)], [200, 'paid', 2000, [seats[1].id]], one.text);
  const own = await buyer.get(`/api/reservations/${order.id}`);
  assert.deepEqual(own.body.seats.map(({ id }) => id), [seats[0].id, seats[2].id]);
  const { headers: { location } } = await buyer.get(`/tickets/${event.id}?reservation=${order.id}`);
  const ticket = (await server.get(location)).text;
  assert.equal(ticket.match(/<svg[^>]*class="code"/g)?.length, 2, 'a code for each seat that is left');
  assert.match(ticket, /Total<\/dt><dd>€20\.00.*\n?.*Refunded for other seats<\/dt><dd>€10\.00/);
  const { body: counts } = await organizer.get(at(event, 'sections'));
  assert.deepEqual(counts.total, { seats: 8, free: 5, held: 0, sold: 2, blocked: 1, revenue: 2000, refunded: 0, refundDue: 1000 });
  const due = await organizer.get(at(event, 'payments?due=1'));
  assert.deepEqual(due.body.payments.map(({ status, refundDueAmount }) => [status, refundDueAmount]), [['paid', 1000]]);

  const found = await organizer.get(at(event, `reservations?find=${encodeURIComponent(spoken)}`));
  assert.deepEqual(found.body.reservations.map(({ id, buyer: who, payments }) => [id, who, payments.length]), [[order.id, found.body.reservations[0]?.buyer, 1]], found.text);
  assert.deepEqual((await organizer.get(at(event, `reservations?find=${found.body.reservations[0].buyer}`))).body.reservations.map(({ id }) => id), [order.id]);
  assert.equal((await organizer.get(at(event, 'reservations'))).body.reservations.length, 1);
  assert.equal((await organizer.get(at(event, 'reservations?find='))).body.field, 'find');

  const rest = await refund({ reservationId: order.id });
  assert.deepEqual([rest.body.status, rest.body.payment], ['refunded', 'refund_due']);
  assert.equal((await refund({ reservationNumber: order.reservationNumber, reservationId: order.id })).status, 400);
  assert.equal((await refund({ reservationNumber: 'ZZZZZZZZ' })).status, 404);
});

test('a reservation is found by the reference that the waiting page shows', async () => {
  const event = await organizer.sale(OPEN);
  const buyer = await inside(event, 'ref');
  const { body: order } = await buyer.reserve({ eventId: event.id, quantity: 1 });
  const [{ place }] = await database.query('SELECT place::text FROM reservations WHERE id = $1', [order.id]);
  const digits = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
  const reference = Array.from({ length: 11 }, (_, i) => digits[Number(BigInt(place) >> BigInt(5 * (10 - i)) & 31n)]).join('').replace(/^(.{4})(.{4})/, '$1-$2-');
  const found = await organizer.get(at(event, `reservations?find=${reference.toLowerCase()}`));
  assert.deepEqual(found.body.reservations.map(({ id, status }) => [id, status]), [[order.id, 'held']], found.text);
});

test('a hall is replaced by a file, also while buyers hold seats of it', async () => {
  const event = await organizer.sale(OPEN);
  const { seats } = await map(event);
  const buyer = await inside(event, 'holder');
  const { body: order } = await buyer.reserve({ eventId: event.id, seatIds: [seats[0].id] });
  const send = (lines, query) => organizer.post(at(event, `seats${query}`), { body: `section,row,number,price,currency\n${lines.join('\n')}\n`, headers: { 'content-type': 'text/csv' } });
  const refused = await send(['T,1,1,500,EUR'], '?replace=1');
  assert.deepEqual([refused.status, refused.body.errors], [409, [{ field: '', message: 'Seat S 1 1 is held or sold, so it must be in the list.', reason: 'seat-missing', values: ['S', '1', '1'] }]]);
  assert.deepEqual((await send(['S,1,1,500,EUR', 'S,1,1,500,EUR'], '?replace=1')).body.line, 3);
  const done = await send(['S,1,1,1500,EUR', 'T,1,1,500,EUR'], '?replace=1');
  assert.deepEqual([done.status, done.body.added, done.body.removed, done.body.changed, done.body.seats], [201, 1, 7, 1, 2], done.text);
  await waitUntil(async () => (await map(event)).seats.length === 2, 5000, 'the new map');
  assert.equal((await buyer.get(`/api/reservations/${order.id}`)).body.totalAmount, 1000, 'as the hold said');
  assert.equal((await pay(server, order)).body.payment, 'paid');
  assert.equal((await organizer.get(at(event, 'sections'))).body.total.revenue, 1000);
});
