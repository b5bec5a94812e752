// SPDX-License-Identifier: MIT
//
// Seats over HTTP: hold, swap, conflict, limit, idempotency, cancel, expiry, auto-hold, payment by
// webhook, sold out and back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Socket, pay, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage();

// enter: joins until inside (the first tick writes how many seats are free).
async function enter(event, sub) {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, `${sub} to be inside`);
  return buyer;
}

// The seats in PostgreSQL: the public map may be a second old.
async function seatsOf(event) {
  const [{ body }] = await database.query('SELECT body FROM seat_map_text($1, -1)', [event.id]);
  return JSON.parse(body).seats;
}

const mapOf = async (event) => (await server.get(`/api/seats/${event.id}`)).body.seats;
const seat = (seats, number) => seats.find((candidate) => String(candidate.number) === String(number));
const soldOrHeld = async (event) => (await seatsOf(event)).filter((candidate) => candidate.status !== 'available').length;

test('two buyers hold the same seat: one gets it, the other is told which seat is taken', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 0, grid: { rows: 1, seatsPerRow: 6 } });
  const [a, b] = [await enter(event, 'a'), await enter(event, 'b')];
  const seats = await mapOf(event);
  assert.equal(seats.length, 6);
  const wanted = seat(seats, 3).id;
  const answers = await Promise.all([a, b].map((buyer) => buyer.reserve({ eventId: event.id, seatIds: [wanted] })));
  assert.deepEqual(answers.map((answer) => answer.status).sort(), [201, 409], answers.map((answer) => answer.text).join());
  const lost = answers.find((answer) => answer.status === 409);
  assert.equal(lost.body.code, 'seat-taken');
  assert.deepEqual(lost.body.seats.map(String), [String(wanted)]);
  const won = answers.find((answer) => answer.status === 201).body;
  assert.equal(won.status, 'held');
  assert.equal(won.totalAmount, 5000);
  assert.equal(won.currency, 'EUR');
  assert.ok(won.reservationNumber);
  assert.ok(Date.parse(won.expiresAt) > Date.now());
  assert.equal(seat(await seatsOf(event), 3).status, 'held');
  await waitUntil(async () => seat(await mapOf(event), 3).status === 'held', 15000, 'the public map to show it');
});

test('holds by quantity: the best adjacent seats; a swap is atomic; the limit holds against parallel requests', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 0, maxSeats: 3, grid: { rows: 2, seatsPerRow: 5 } });
  const buyer = await enter(event, 'pair');
  const first = (await buyer.reserve({ eventId: event.id, quantity: 2 })).body;
  const numbers = first.seats.map((item) => Number(item.number)).sort((x, y) => x - y);
  assert.equal(numbers[1] - numbers[0], 1, 'adjacent');
  const second = await buyer.reserve({ eventId: event.id, quantity: 3 });
  assert.equal(second.status, 201, second.text);
  assert.equal(await soldOrHeld(event), 3, 'the swap gave the first two back');
  const four = await buyer.reserve({ eventId: event.id, quantity: 4 });
  assert.ok(four.status === 409 || four.status === 400, four.text);
  assert.equal(await soldOrHeld(event), 3, 'a refused swap changes nothing');
  await Promise.all(Array.from({ length: 12 }, () => buyer.reserve({ eventId: event.id, quantity: 3 })));
  assert.equal(await soldOrHeld(event), 3);
});

test('an idempotency key repeats the answer, not the hold', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 0, grid: { rows: 1, seatsPerRow: 6 } });
  const buyer = await enter(event, 'twice');
  const order = { eventId: event.id, quantity: 1 };
  const key = { 'idempotency-key': 'order-1' };
  const answers = await Promise.all(Array.from({ length: 5 }, () => buyer.reserve(order, key)));
  assert.equal(new Set(answers.map((answer) => answer.body.id)).size, 1, answers.map((answer) => answer.text).join());
  assert.equal(answers.filter((answer) => answer.status === 201).length, 1);
  const other = await buyer.reserve({ eventId: event.id, quantity: 2 }, key);
  assert.equal(other.status, 409, other.text);
});

test('an idempotency key repeats the answer after the admission has ended, to its buyer alone', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0, grid: { rows: 1, seatsPerRow: 6 } });
  const buyer = await enter(event, 'once-inside');
  const ids = (await mapOf(event)).map(({ id }) => id);
  const orders = [{ quantity: 2 }, { quantity: 1, section: 'A' }, { seatIds: [ids[3], ids[1]] }].map((order) => ({ eventId: event.id, ...order }));
  const first = [];
  for (const [i, order] of orders.entries()) {
    first.push(await buyer.reserve(order, { 'idempotency-key': `lost-${i}` }));
    assert.equal(first[i].status, 201, first[i].text);
  }
  await buyer.leave(event.id);
  const stranger = new Client(server, { sub: 'never-inside' });
  const key = (i) => ({ 'idempotency-key': `lost-${i}` });
  for (const [i, order] of orders.entries()) {
    const again = await buyer.reserve(order, key(i));
    assert.deepEqual([again.status, again.text], [200, first[i].text]);
    const other = await stranger.reserve(order, key(i));
    assert.deepEqual([other.status, other.body.code], [403, 'not-admitted']);
  }
  assert.equal((await buyer.reserve(orders[0], key(1))).body.code, 'idempotency-conflict');
  for (const answer of [await buyer.reserve(orders[0], key(9)), await buyer.reserve(orders[0])]) {
    assert.deepEqual([answer.status, answer.body.code], [403, 'not-admitted'], answer.text);
  }
  assert.equal(await soldOrHeld(event), 2, 'the last hold, and no more');
  await organizer.act(event.id, 'close');
  assert.equal((await buyer.reserve(orders[2], key(2))).status, 200, 'also when the sale is closed');
});

test('cancel: only the owner, once; cancelling an expired hold frees no seat of another buyer', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 0, holdMs: 3000, grid: { rows: 1, seatsPerRow: 1 } });
  const [a, b] = [await enter(event, 'slow'), await enter(event, 'quick')];
  const held = (await a.reserve({ eventId: event.id, quantity: 1 })).body;
  assert.equal((await b.post(`/api/reservations/${held.id}/cancel`)).status, 403);
  assert.equal((await b.get(`/api/reservations/${held.id}`)).status, 403);
  let taken;
  await waitUntil(async () => (taken = await b.reserve({ eventId: event.id, quantity: 1 })).status === 201, 15000, 'the expired hold to be taken over');
  const cancel = await a.post(`/api/reservations/${held.id}/cancel`);
  assert.ok([409, 410].includes(cancel.status), cancel.text);
  assert.equal((await seatsOf(event))[0].status, 'held', 'still held by the second');
  assert.equal((await b.post(`/api/reservations/${taken.body.id}/cancel`)).status, 200);
  assert.equal((await seatsOf(event))[0].status, 'available');
});

test('payment by webhook: signature, amount and reference are checked; it sells the seat and frees the slot', async () => {
  const event = await organizer.sale({ threshold: 1, autoHold: 0, intervalMs: 600000, grid: { rows: 1, seatsPerRow: 3 } });
  const buyer = await enter(event, 'payer');
  const next = new Client(server, { sub: 'next' });
  assert.equal((await next.check(event.id)).body.queued, true);
  const held = (await buyer.reserve({ eventId: event.id, quantity: 1 })).body;
  assert.equal((await pay(server, held, {}, { secret: 'wrong' })).status, 401);
  assert.equal((await pay(server, held, {}, { at: 1000 })).status, 401, 'an old signature');
  assert.ok((await pay(server, held, { amount: 1 })).status >= 400);
  assert.ok((await pay(server, held, { currency: 'USD' })).status >= 400);
  assert.equal((await pay(server, held, { amount: -5 })).body.field, 'amount');
  assert.equal((await seatsOf(event)).filter((item) => item.status === 'sold').length, 0);
  const paid = await pay(server, held, { reference: 'r-1' });
  assert.equal(paid.status, 200, paid.text);
  assert.equal((await pay(server, held, { reference: 'r-1' })).status, 200, 'idempotent by reference');
  assert.equal((await seatsOf(event)).filter((item) => item.status === 'sold').length, 1);
  assert.equal(await redis.cli('SISMEMBER', `active:{${event.id}}`, 'u:payer'), 0, 'the slot is free at once');
  await organizer.act(event.id, 'process');
  assert.equal((await next.status(event.id)).body.status, 'active');
  const back = await buyer.check(event.id, { headers: { 'x-tiketi-ticket': buyer.ticket } });
  assert.equal(back.body.position, 1, 'after a purchase the buyer queues again');
  assert.equal((await buyer.get(`/api/reservations/${held.id}`)).body.status, 'confirmed');
});

test('auto-hold: each admitted buyer is told their seats once, and leaving gives them back', async () => {
  const event = await organizer.sale({ threshold: 2, autoHold: 1, intervalMs: 200, grid: { rows: 1, seatsPerRow: 5 } });
  const buyers = ['h1', 'h2', 'h3'].map((sub) => new Client(server, { sub }));
  for (const buyer of buyers) await buyer.check(event.id);
  await waitUntil(async () => (await redis.cli('SCARD', `active:{${event.id}}`)) === 2, 15000, 'two inside');
  await waitUntil(async () => (await soldOrHeld(event)) === 2, 15000, 'two seats held');
  const socket = await Socket.open(server);
  socket.send('join-queue', { eventId: event.id, ticket: buyers[2].ticket, token: buyers[2].token });
  await socket.next('queue-position');
  await buyers[0].leave(event.id);
  const { payload } = await socket.next('queue-entry-allowed');
  assert.equal(payload.eventId, event.id);
  assert.equal(payload.claimed, false);
  assert.equal(payload.reservation?.seats?.length, 1, JSON.stringify(payload));
  await waitUntil(async () => (await soldOrHeld(event)) === 2, 15000, 'the seat of the buyer who left is free');
  const mine = (await buyers[2].get('/api/reservations')).body;
  const list = Array.isArray(mine) ? mine : mine.reservations;
  assert.equal(list.length, 1);
  socket.close();
});

test('no more buyers are admitted than seats are left; sold out is announced and withdrawn', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 1, intervalMs: 200, grid: { rows: 1, seatsPerRow: 2 } });
  const buyers = ['s1', 's2', 's3', 's4'].map((sub) => new Client(server, { sub }));
  for (const buyer of buyers) await buyer.check(event.id);
  await waitUntil(async () => (await redis.cli('SCARD', `active:{${event.id}}`)) === 2, 15000, 'two inside, though ten could be');
  const inside = [];
  for (const buyer of buyers) if ((await buyer.check(event.id)).body.status === 'active') inside.push(buyer);
  assert.equal(inside.length, 2);
  const waiting = buyers.filter((buyer) => !inside.includes(buyer));
  const socket = await Socket.open(server);
  socket.send('join-queue', { eventId: event.id, ticket: waiting[0].ticket, token: waiting[0].token });
  await socket.next('queue-position');
  const held = [];
  for (const buyer of inside)
    await waitUntil(async () => {
      const mine = (await buyer.get('/api/reservations')).body;
      const list = Array.isArray(mine) ? mine : mine.reservations;
      if (list.length > 0) held.push(list[0]);
      return list.length > 0;
    }, 15000, 'an auto-hold');
  for (const reservation of held) assert.equal((await pay(server, reservation)).status, 200);
  await waitUntil(async () => (await waiting[0].status(event.id)).body.status === 'sold_out', 15000, 'sold out is told');
  await waitUntil(() => socket.all('event-status-changed').some((message) => message.payload.status === 'sold_out'), 15000, 'and pushed');
  assert.equal(await redis.cli('SCARD', `active:{${event.id}}`), 0);
  await database.query("UPDATE seats SET status = 'available', holder = NULL, held_until = NULL WHERE id = $1", [held[0].seats[0].id]);
  await waitUntil(async () => (await waiting[0].status(event.id)).body.status !== 'sold_out', 15000, 'a freed seat reopens');
  socket.close();
});

test('auto-hold of four, seven seats: the second to enter is given three, and all are sold', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 4, maxSeats: 4, intervalMs: 200, grid: { rows: 1, seatsPerRow: 7 } });
  const buyers = [await enter(event, 'l1'), await enter(event, 'l2')];
  const late = new Client(server, { sub: 'l3' });
  assert.equal((await late.check(event.id)).body.queued, true, 'nothing is left for a third');
  const held = [];
  for (const buyer of buyers) {
    const hold = await waitUntil(async () => (await buyer.get('/api/reservations')).body.reservations[0], 15000, 'an auto-hold');
    held.push(hold);
  }
  assert.deepEqual(held.map(({ seats }) => seats.length), [4, 3]);
  for (const reservation of held) assert.equal((await pay(server, reservation)).status, 200);
  await waitUntil(async () => (await server.get(`/api/events/${event.id}`)).body.status === 'sold_out', 15000, 'sold out');
  await waitUntil(async () => (await late.status(event.id)).body.status === 'sold_out', 15000, 'a buyer who never was inside to be told');
});
