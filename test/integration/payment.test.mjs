// SPDX-License-Identifier: MIT
//
// Payments over HTTP: the signed order, the provider's calls in any order, refunds, and processes killed around the
// commit.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { test } from 'node:test';
import { Client, Organizer, SECRETS, Server, jwt, pay, stage, waitUntil, webhookHeaders } from '../fixtures/index.mjs';

const { redis, database, server, organizer } = await stage({ env: { PAYMENT_URL: 'https://pay.example/page', QUEUE_PROCESSOR_INTERVAL: 500 } });

const settings = { threshold: 10, autoHold: 0, grid: { rows: 1, seatsPerRow: 4 } };

async function enter(event, sub, at = server) {
  const buyer = new Client(at, { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, `${sub} to be inside`);
  return buyer;
}

// A new admitted buyer who holds one seat.
async function holder(event, sub) {
  const buyer = await enter(event, sub);
  const { status, body, text } = await buyer.reserve({ eventId: event.id, quantity: 1 });
  assert.equal(status, 201, text);
  return { buyer, reservation: body };
}

const payWith = (buyer, reservation) => buyer.post(`/api/reservations/${reservation.id}/pay`);
const told = (reservation, order, status = 'paid', more = {}) =>
  pay(server, reservation, { provider: order.provider, reference: order.reference, status, ...more });
const payments = (reservation) =>
  database.query('SELECT provider, reference, amount::int, status FROM payments WHERE reservation_id = $1 ORDER BY id', [reservation.id]);
const statusOf = async (buyer, reservation) => (await buyer.get(`/api/reservations/${reservation.id}`)).body.status;
const seatStatuses = async (event) => (await server.get(`/api/seats/${event.id}`)).body.seats.map((seat) => seat.status);

test('pay gives the buyer a signed order, the same one again; the provider confirms it once', async () => {
  const event = await organizer.sale(settings);
  const { buyer, reservation } = await holder(event, 'payer');
  const first = await payWith(buyer, reservation);
  assert.equal(first.status, 200, first.text);
  const order = first.body;
  assert.deepEqual(Object.keys(order).sort(), ['amount', 'currency', 'expiresAt', 'paymentUrl', 'provider', 'reference', 'reservationId',
    'reservationNumber', 'returnUrl', 'signature', 'status']);
  assert.equal(order.status, 'pending');
  assert.equal(order.amount, 5000);
  assert.equal(order.currency, 'EUR');
  assert.equal(order.paymentUrl, 'https://pay.example/page');
  const signed = `pay.${order.reference}.${reservation.id}.5000.EUR.${order.expiresAt}`;
  assert.equal(order.signature, createHmac('sha256', SECRETS.PAYMENT_WEBHOOK_SECRETS).update(signed).digest('hex'));
  assert.deepEqual((await payWith(buyer, reservation)).body, order, 'begun once');

  const paid = await told(reservation, order);
  assert.equal(paid.status, 200, paid.text);
  assert.equal(paid.body.status, 'confirmed');
  assert.equal(paid.body.payment, 'paid');
  assert.equal((await told(reservation, order)).body.payment, 'paid', 'repeated');
  assert.deepEqual(await payments(reservation), [{ provider: 'demo', reference: order.reference, amount: 5000, status: 'paid' }]);
  await waitUntil(async () => (await buyer.status(event.id)).body.status === 'not_in_queue', 15000, 'the slot to be free');
  const again = await payWith(buyer, reservation);
  assert.equal(again.status, 409);
  assert.equal(again.body.code, 'already-paid');
});

test('a reservation that costs nothing is confirmed at once, and the slot is free', async () => {
  const event = await organizer.sale({ ...settings, grid: { rows: 1, seatsPerRow: 2, price: 0 } });
  const { buyer, reservation } = await holder(event, 'lucky');
  const answer = await payWith(buyer, reservation);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.body.status, 'confirmed');
  assert.equal(answer.body.paymentUrl, null);
  assert.equal(await statusOf(buyer, reservation), 'confirmed');
  assert.equal((await payWith(buyer, reservation)).body.status, 'confirmed', 'and again');
  assert.deepEqual(await payments(reservation), []);
  await waitUntil(async () => (await buyer.status(event.id)).body.status === 'not_in_queue', 15000, 'the slot to be free');
});

test('only the owner can pay, and only for a held reservation', async () => {
  const event = await organizer.sale({ ...settings, holdMs: 4000 });
  const { buyer, reservation } = await holder(event, 'owner');
  assert.equal((await payWith(new Client(server, { sub: 'stranger' }), reservation)).status, 403);
  assert.equal((await payWith(buyer, { id: '00000000-0000-4000-8000-000000000000' })).status, 404);
  assert.equal((await payWith(buyer, { id: 'x' })).status, 404);
  assert.equal((await buyer.post(`/api/reservations/${reservation.id}/pay`, { json: { amount: 1 } })).body.field, 'amount');
  await buyer.post(`/api/reservations/${reservation.id}/cancel`);
  assert.equal((await payWith(buyer, reservation)).body.code, 'not-payable');
  const next = (await buyer.reserve({ eventId: event.id, quantity: 1 })).body;
  await waitUntil(async () => (await statusOf(buyer, next)) === 'expired', 15000, 'the hold to expire');
  const late = await payWith(buyer, next);
  assert.equal(late.status, 410);
  assert.equal(late.body.code, 'expired');
});

test('without a provider pay is 503, but reservations that cost nothing are confirmed', async () => {
  const off = await Server.start({ redis, database, roles: 'api', env: { PAYMENT_WEBHOOK_SECRETS: null } });
  const event = await organizer.sale(settings);
  const { reservation } = await holder(event, 'unpaid');
  const buyer = new Client(off, { sub: 'unpaid' });
  const answer = await payWith(buyer, reservation);
  assert.equal(answer.status, 503, answer.text);
  assert.ok(answer.headers['retry-after']);
  assert.deepEqual([answer.body.code, answer.body.detail], ['payment-off', 'Payment is not set up.']);
  const unheard = await pay(off, reservation);
  assert.deepEqual([unheard.status, unheard.body.code], [503, 'payment-off'], 'the webhook is off, too');
  assert.deepEqual(await payments(reservation), []);
  const free = await organizer.sale({ ...settings, grid: { rows: 1, seatsPerRow: 1, price: 0 } });
  const gift = await holder(free, 'unpaid2');
  assert.equal((await payWith(new Client(off, { sub: 'unpaid2' }), gift.reservation)).body.status, 'confirmed');
  await off.stop();
});

test('a webhook about the largest possible sum is accepted', async () => {
  const event = await organizer.sale({ ...settings, maxSeats: 4, grid: { rows: 1, seatsPerRow: 4, price: 1e12 } });
  const buyer = await enter(event, 'rich');
  const { body: reservation } = await buyer.reserve({ eventId: event.id, quantity: 4 });
  assert.equal(reservation.totalAmount, 4e12);
  const order = (await payWith(buyer, reservation)).body;
  const paid = await told(reservation, order);
  assert.equal(paid.status, 200, paid.text);
  assert.equal(paid.body.status, 'confirmed');
});

test('wrong amounts and currencies are refused and change nothing', async () => {
  const event = await organizer.sale(settings);
  const { buyer, reservation } = await holder(event, 'wrong');
  const order = (await payWith(buyer, reservation)).body;
  for (const [field, more] of [['amount', { amount: 4999 }], ['amount', { amount: 5001 }], ['currency', { currency: 'USD' }]])
    for (const status of ['paid', 'refunded', 'failed']) {
      const answer = await told(reservation, order, status, more);
      assert.equal(answer.status, 409, answer.text);
      assert.equal(answer.body.code, 'wrong-amount');
      assert.equal(answer.body.field, field);
    }
  assert.equal((await payments(reservation))[0].status, 'pending');
  assert.equal(await statusOf(buyer, reservation), 'held');
  assert.equal((await told(reservation, order, 'lost')).body.field, 'status');
});

test('a failed payment may be tried again under a new reference; a late webhook still counts', async () => {
  const event = await organizer.sale(settings);
  const { buyer, reservation } = await holder(event, 'retry');
  const first = (await payWith(buyer, reservation)).body;
  assert.equal((await told(reservation, first, 'failed')).status, 200);
  const second = (await payWith(buyer, reservation)).body;
  assert.notEqual(second.reference, first.reference);
  assert.equal((await told(reservation, second)).body.payment, 'paid');
  assert.equal((await told(reservation, first, 'failed')).body.payment, 'failed', 'repeated');
  assert.equal((await told(reservation, first)).body.payment, 'refund_due', 'paid twice: the second goes back');
  assert.equal((await told(reservation, second, 'failed')).body.payment, 'paid', 'what is paid cannot fail any more');
  assert.equal(await statusOf(buyer, reservation), 'confirmed');
});

test('a refund frees the seats and reopens a sold out event', async () => {
  const event = await organizer.sale({ ...settings, grid: { rows: 1, seatsPerRow: 1 } });
  const { buyer, reservation } = await holder(event, 'regret');
  const order = (await payWith(buyer, reservation)).body;
  await told(reservation, order);
  const statusNow = async () => (await server.get(`/api/events/${event.id}`)).body.status;
  await waitUntil(async () => (await statusNow()) === 'sold_out', 10000, 'sold out');
  const back = await told(reservation, order, 'refunded');
  assert.equal(back.body.payment, 'refunded');
  assert.equal(back.body.status, 'refunded');
  assert.deepEqual(await seatStatuses(event), ['available']);
  assert.equal((await told(reservation, order, 'refunded')).body.payment, 'refunded', 'repeated');
  assert.equal((await told(reservation, order)).body.payment, 'refunded', 'a repeated old call sells nothing');
  await waitUntil(async () => (await statusNow()) === 'open', 10000, 'open again');
  const next = await holder(event, 'second');
  assert.equal(next.reservation.seats.length, 1);
});

test('refunded before paid: the late "paid" sells nothing', async () => {
  const event = await organizer.sale(settings);
  const { buyer, reservation } = await holder(event, 'reordered');
  const order = (await payWith(buyer, reservation)).body;
  assert.equal((await told(reservation, order, 'refunded')).body.payment, 'refunded');
  assert.equal((await told(reservation, order)).body.payment, 'refunded');
  assert.equal(await statusOf(buyer, reservation), 'held', 'another payment is still possible');
  assert.deepEqual(new Set(await seatStatuses(event)), new Set(['held', 'available']));
});

test('the organizer refunds a purchase: the seats are free at once, the money is due back, and all of it is recorded', async () => {
  const event = await organizer.sale(settings);
  const { buyer, reservation } = await holder(event, 'unlucky');
  const order = (await payWith(buyer, reservation)).body;
  const path = `/api/admin/events/${event.id}/refund`;
  const refund = (who, json = { reservationId: reservation.id }) => who.post(path, { json });
  assert.equal((await refund(organizer)).body.code, 'not-refundable');
  await told(reservation, order);
  const other = new Organizer(server, { sub: 'other', role: 'organizer' });
  assert.equal((await refund(other)).status, 403);
  assert.equal((await refund(new Client(server, { token: jwt({ sub: 'v', role: 'viewer' }) }))).status, 403);
  assert.equal((await refund(new Client(server, { sub: 'nobody' }))).status, 403);
  assert.equal((await refund(organizer, {})).body.field, 'reservationId');
  assert.equal((await refund(organizer, { reservationId: '00000000-0000-4000-8000-000000000000' })).status, 404);
  const done = await refund(organizer);
  assert.equal(done.status, 200, done.text);
  assert.equal(done.body.payment, 'refund_due');
  assert.equal((await refund(organizer)).body.payment, 'refund_due', 'again: the same');
  assert.deepEqual(new Set(await seatStatuses(event)), new Set(['available']));
  const [row] = await database.query("SELECT who, before ->> 'status' AS b, after ->> 'status' AS a FROM audit WHERE event_id = $1 AND verb = 'refund'", [event.id]);
  assert.deepEqual(row, { who: 'organizer\tadmin', b: 'confirmed', a: 'refunded' });

  const listed = async (query) => (await organizer.get(`/api/admin/events/${event.id}/payments${query}`)).body;
  const due = await listed('?status=refund_due');
  assert.equal(due.next, null);
  assert.deepEqual(due.payments.map((item) => [item.reservationId, item.reference, item.amount, item.status, item.buyer]),
    [[reservation.id, order.reference, 5000, 'refund_due', 'u:unlucky']]);
  await told(reservation, order, 'refunded');
  assert.deepEqual((await listed('?status=refund_due')).payments, []);
  assert.equal((await listed('')).payments[0].status, 'refunded');
  assert.equal((await organizer.get(`/api/admin/events/${event.id}/payments?status=odd`)).body.field, 'status');
  assert.equal((await organizer.get(`/api/admin/events/${event.id}/payments?before=-1`)).body.field, 'before');
  assert.equal((await other.get(`/api/admin/events/${event.id}/payments`)).status, 403);
});

test('parallel webhooks make one purchase and one payment row; paid against cancel ends in one of two ways', async () => {
  const event = await organizer.sale({ ...settings, grid: { rows: 2, seatsPerRow: 10 } });
  const { buyer, reservation } = await holder(event, 'eager');
  const orders = await Promise.all(Array.from({ length: 10 }, () => payWith(buyer, reservation)));
  assert.equal(new Set(orders.map((answer) => answer.body.reference)).size, 1);
  const order = orders[0].body;
  const answers = await Promise.all(Array.from({ length: 10 }, () => told(reservation, order)));
  assert.deepEqual(new Set(answers.map((answer) => `${answer.status} ${answer.body.payment}`)), new Set(['200 paid']));
  assert.equal((await payments(reservation)).length, 1);

  for (let i = 0; i < 12; i++) {
    const one = await holder(event, `torn${i}`);
    const own = (await payWith(one.buyer, one.reservation)).body;
    const [paid, cancelled] = await Promise.all([told(one.reservation, own), one.buyer.post(`/api/reservations/${one.reservation.id}/cancel`)]);
    const end = `${paid.body.payment} ${cancelled.status} ${await statusOf(one.buyer, one.reservation)}`;
    assert.ok(['paid 409 confirmed', 'refund_due 200 cancelled'].includes(end), end);
  }
  const [sum] = await database.query(`SELECT
      (SELECT coalesce(sum(amount), 0)::int FROM payments p JOIN reservations r ON r.id = p.reservation_id WHERE r.event_id = $1 AND p.status = 'paid') AS paid,
      (SELECT coalesce(sum(price), 0)::int FROM seats WHERE event_id = $1 AND status = 'sold') AS sold`, [event.id]);
  assert.equal(sum.paid, sum.sold);
});

for (const point of ['payment-received', 'payment-committed'])
  test(`a crash (${point}) loses no purchase: the provider calls again`, async () => {
    const dying = await Server.start({ redis, database, roles: 'api', env: { TIKETI_CRASH: point } });
    const event = await organizer.sale(settings);
    const { buyer, reservation } = await holder(event, `victim-${point}`);
    const order = (await payWith(buyer, reservation)).body;
    await assert.rejects(pay(dying, reservation, { provider: order.provider, reference: order.reference }));
    assert.equal((await dying.child.exited).code, 137);
    const committed = point === 'payment-committed';
    assert.equal((await payments(reservation))[0].status, committed ? 'paid' : 'pending');
    const again = await told(reservation, order);
    assert.equal(again.status, 200, again.text);
    assert.equal(again.body.payment, 'paid');
    assert.equal(await statusOf(buyer, reservation), 'confirmed');
    await waitUntil(async () => (await buyer.status(event.id)).body.status === 'not_in_queue', 15000, 'the slot to be freed');
  });

for (const price of [5000, 0])
  test(`a crash before the answer to pay (price ${price}) begins no second payment`, async () => {
    const dying = await Server.start({ redis, database, roles: 'api', env: { TIKETI_CRASH: 'payment-begun' } });
    const event = await organizer.sale({ ...settings, grid: { rows: 1, seatsPerRow: 2, price } });
    const { buyer, reservation } = await holder(event, `begun-${price}`);
    await assert.rejects(payWith(new Client(dying, { sub: `begun-${price}` }), reservation));
    assert.equal((await dying.child.exited).code, 137);
    const before = await payments(reservation);
    const { status, body, text } = await payWith(buyer, reservation);
    assert.equal(status, 200, text);
    assert.equal(body.status, price > 0 ? 'pending' : 'confirmed');
    assert.equal(body.reference, price > 0 ? before[0].reference : null);
    assert.deepEqual(await payments(reservation), before);
    if (price === 0)
      await waitUntil(async () => (await buyer.status(event.id)).body.status === 'not_in_queue', 15000, 'the slot to be freed');
  });

test('the provider reports a part that it has returned: recorded once, shown to the organizer', async () => {
  const event = await organizer.sale(settings);
  const { buyer, reservation } = await holder(event, 'half');
  const order = (await payWith(buyer, reservation)).body;
  await told(reservation, order);
  for (let n = 0; n < 2; n++) {
    const part = await told(reservation, order, 'refunded', { amount: 2000, refundId: 're_1' });
    assert.equal(part.status, 200, part.text);
    assert.deepEqual([part.body.status, part.body.payment, part.body.refundedAmount], ['confirmed', 'paid', 2000]);
  }
  const [shown] = (await organizer.get(`/api/admin/events/${event.id}/payments?limit=1`)).body.payments;
  assert.deepEqual([shown.status, shown.amount, shown.refundedAmount], ['paid', 5000, 2000]);
  assert.equal((await told(reservation, order, 'refunded', { amount: 2000 })).body.code, 'wrong-amount', 'without an id it would count each time');
  assert.equal((await told(reservation, order, 'paid', { refundId: 're_2' })).body.field, 'refundId');
  assert.equal((await told(reservation, order, 'refunded', { refundId: '' })).body.field, 'refundId');
  const rest = await told(reservation, order, 'refunded', { amount: 3000, refundId: 're_2' });
  assert.deepEqual([rest.body.status, rest.body.payment, rest.body.refundedAmount], ['refunded', 'refunded', 5000]);
  await waitUntil(async () => (await seatStatuses(event)).every((status) => status === 'available'), 10000, 'the seat to be free');
});

test('an unsigned body is 401, whatever it is: nothing of it is parsed', async () => {
  const headers = { 'content-type': 'application/json' };
  const told = (body, sent = {}) => server.post('/api/payments/webhook', { body, headers: { ...headers, ...sent } });
  for (const body of ['{"a":', '[1]', '', '\u0000', '{"reservationId":1}', '['.repeat(5000)])
    for (const sent of [{}, webhookHeaders(body, { secret: 'another-secret-0123456789' })]) {
      const answer = await told(body, sent);
      assert.deepEqual([answer.status, answer.body.code], [401, 'unauthorized'], body.slice(0, 20));
    }
  const signed = await told('{"a":', webhookHeaders('{"a":'));
  assert.deepEqual([signed.status, signed.body.code], [400, 'invalid'], 'the provider is told what is wrong with its own');
});
