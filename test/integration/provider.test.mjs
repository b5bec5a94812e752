// SPDX-License-Identifier: MIT
//
// tiketi provider, the payment provider of tests: what it charges and what it refuses; and that every webhook
// arrives in the end, however late, repeated, lost or out of order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, Provider, SECRETS, pay, runTiketi, stage, waitUntil } from '../fixtures/index.mjs';

const { database, server, organizer } = await stage();

const settings = { threshold: 100, autoHold: 0, grid: { rows: 1, seatsPerRow: 4 } };

async function provide(t, ...args) {
  const provider = await Provider.start({ server, args });
  t.after(() => provider.stop());
  return provider;
}

// A buyer who holds one seat, and the order for it.
async function ordered(event, sub) {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 10000, `${sub} to be inside`);
  const { body: reservation, text } = await buyer.reserve({ eventId: event.id, quantity: 1 });
  assert.ok(reservation.id, text);
  return { buyer, reservation, order: (await buyer.post(`/api/reservations/${reservation.id}/pay`)).body };
}

const statusOf = async ({ buyer, reservation }) => (await buyer.get(`/api/reservations/${reservation.id}`)).body.status;
const payments = (event) => database.query(
  'SELECT p.reference, p.status, p.amount::int FROM payments p JOIN reservations r ON r.id = p.reservation_id WHERE r.event_id = $1 ORDER BY p.id', [event.id]);

test('it charges a signed order once, and calls the webhook', async (t) => {
  const event = await organizer.sale(settings);
  const provider = await provide(t);
  const one = await ordered(event, 'charged');
  const first = await provider.charge(one.order);
  assert.equal(first.status, 201, first.text);
  assert.equal(first.body.amount, one.order.amount);
  const again = await provider.charge(one.order);
  assert.equal(again.status, 200);
  assert.equal(again.body.number, first.body.number);
  await waitUntil(async () => (await statusOf(one)) === 'confirmed', 10000, 'the sale');
  await provider.settled();
  assert.equal((await provider.charged(one.order.reference)).payment, 'paid');
  assert.deepEqual(await payments(event), [{ reference: one.order.reference, status: 'paid', amount: one.order.amount }]);

  assert.equal((await provider.refund(one.order.reference)).body.status, 'refunded');
  await waitUntil(async () => (await statusOf(one)) === 'refunded', 10000, 'the refund');
  assert.equal((await provider.refund(one.order.reference)).status, 200, 'again: the same');
  await provider.settled();
  const [charge, ...others] = await provider.books();
  assert.deepEqual(others, []);
  assert.equal(charge.payment, 'refunded');
});

test('its secret is rolled: either side may be ahead, orders and webhooks are understood all the while', async (t) => {
  const event = await organizer.sale(settings);
  const [old, fresh] = [SECRETS.PAYMENT_WEBHOOK_SECRETS, 'a-new-secret-of-the-provider-0123456789'];
  // The server has the old secret alone: what counts is that of several one fits.
  for (const [i, PAYMENT_WEBHOOK_SECRETS] of [`${old} ${fresh}`, `${fresh} ${old}`].entries()) {
    const provider = await Provider.start({ server, env: { PAYMENT_WEBHOOK_SECRETS } });
    t.after(() => provider.stop());
    const one = await ordered(event, `rolled-${i}`);
    assert.equal((await provider.charge(one.order)).status, 201);
    await waitUntil(async () => (await statusOf(one)) === 'confirmed', 10000, 'the sale');
  }
  const stranger = await Provider.start({ server, env: { PAYMENT_WEBHOOK_SECRETS: fresh } });
  t.after(() => stranger.stop());
  assert.equal((await stranger.charge((await ordered(event, 'stranger')).order)).status, 403);
});

test('it gives back a part for seats that were refunded by themselves, and the books agree', async (t) => {
  const event = await organizer.sale({ ...settings, maxSeats: 3 });
  const provider = await provide(t, '--repeat', 0.5, '--seed', 3);
  const buyer = new Client(server, { sub: 'parts' });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 10000, 'the buyer to be inside');
  const { body: reservation } = await buyer.reserve({ eventId: event.id, quantity: 3 });
  const { body: order } = await buyer.post(`/api/reservations/${reservation.id}/pay`);
  assert.equal((await provider.charge(order)).status, 201);
  await waitUntil(async () => (await statusOf({ buyer, reservation })) === 'confirmed', 10000, 'the sale');
  const price = reservation.seats[0].price;
  const { status, body } = await organizer.post(`/api/admin/events/${event.id}/refund`, { json: { reservationNumber: reservation.reservationNumber, seatIds: [reservation.seats[0].id] } });
  assert.deepEqual([status, body.seats.length], [200, 2]);
  const back = (amount, refundId) => provider.request('POST', '/refunds', { json: { reference: order.reference, amount, ...(refundId && { refundId }) } });
  const first = await back(price, 'one');
  assert.deepEqual([first.status, first.body.returned, first.body.status], [200, price, 'paid'], first.text);
  assert.equal((await back(price, 'one')).body.returned, price, 'the same refund again');
  assert.equal((await back(price + 1, 'one')).status, 409);
  assert.equal((await back(order.amount)).status, 409);
  const sums = async () => (await database.query('SELECT refunded_amount::int AS back, due_amount::int AS due, status FROM payments WHERE reference = $1', [order.reference]))[0];
  await waitUntil(async () => (await sums()).back === price, 10000, 'the report');
  assert.deepEqual(await sums(), { back: price, due: 0, status: 'paid' });
  await provider.settled();
  assert.equal((await back(order.amount - price)).body.status, 'refunded');
  await waitUntil(async () => (await statusOf({ buyer, reservation })) === 'refunded', 10000, 'the refund of the rest');
  await provider.settled();
  assert.deepEqual(await sums(), { back: order.amount, due: 0, status: 'refunded' });
});

test('altered, expired and invalid orders are not charged', async (t) => {
  const event = await organizer.sale({ ...settings, holdMs: 3000 });
  const provider = await provide(t);
  const { order } = await ordered(event, 'crook');
  for (const change of [{ amount: 1 }, { currency: 'USD' }, { reference: 'other' }, { reservationId: 'other' },
    { expiresAt: '2199-01-01T00:00:00.000Z' }, { signature: '0'.repeat(64) }])
    assert.equal((await provider.charge({ ...order, ...change })).status, 403, JSON.stringify(change));
  for (const wrong of [{}, [], 'text', { ...order, amount: '1' }, { ...order, reference: null }])
    assert.equal((await provider.charge(wrong)).status, 400, JSON.stringify(wrong));
  assert.equal((await provider.request('POST', '/charges', { body: '{' })).status, 400);
  assert.equal((await provider.refund('unknown')).status, 404);
  assert.equal((await provider.request('GET', '/other')).status, 404);
  await waitUntil(() => Date.parse(order.expiresAt) < Date.now(), 15000, 'the order to expire');
  assert.equal((await provider.charge(order)).status, 410);
  assert.deepEqual(await provider.books(), []);
});

test('lost, repeated, late and reordered webhooks: each purchase is made once', async (t) => {
  const event = await organizer.sale({ ...settings, grid: { rows: 4, seatsPerRow: 10 } });
  const provider = await provide(t, '--lose', 0.4, '--repeat', 0.5, '--late', 0.3, '--late-by', '100ms..1s', '--reorder', 0.3, '--seed', 7);
  const all = await Promise.all(Array.from({ length: 24 }, (_, i) => ordered(event, `storm${i}`)));
  for (const { status } of await Promise.all(all.map(({ order }) => provider.charge(order)))) assert.equal(status, 201);
  await provider.settled(40000);
  for (const one of all) assert.equal(await statusOf(one), 'confirmed');
  const rows = await payments(event);
  assert.equal(rows.length, 24);
  assert.ok(rows.every((row) => row.status === 'paid'));
  assert.ok((await provider.books()).every((charge) => charge.payment === 'paid'));
  const [{ sold }] = await database.query("SELECT sum(price)::int AS sold FROM seats WHERE event_id = $1 AND status = 'sold'", [event.id]);
  assert.equal(rows.reduce((sum, row) => sum + row.amount, 0), sold);
});

test('a webhook that comes after the seat went to another buyer: the money is due back', async (t) => {
  const event = await organizer.sale({ ...settings, holdMs: 2000, grid: { rows: 1, seatsPerRow: 1 } });
  const provider = await provide(t, '--late', 1, '--late-by', '10s');
  const one = await ordered(event, 'toolate');
  assert.equal((await provider.charge(one.order)).status, 201);
  const other = new Client(server, { sub: 'faster' });
  await waitUntil(async () => (await other.check(event.id)).body.status === 'active', 10000, 'the other to be inside');
  const taken = await waitUntil(async () => {
    const { status, body } = await other.reserve({ eventId: event.id, quantity: 1 });
    return status === 201 && body;
  }, 8000, 'the seat to be free again');
  assert.equal((await pay(server, taken)).body.payment, 'paid');
  await provider.settled();
  assert.equal((await provider.charged(one.order.reference)).payment, 'refund_due');
  assert.equal(await statusOf(one), 'expired');
  await provider.refund(one.order.reference);
  await provider.settled();
  assert.equal((await payments(event)).find((row) => row.reference === one.order.reference).status, 'refunded');
});

test('"refunded" arrives before "paid": nothing is sold', async (t) => {
  const event = await organizer.sale(settings);
  const provider = await provide(t, '--reorder', 1);
  const one = await ordered(event, 'overtaken');
  await provider.charge(one.order);
  await provider.refund(one.order.reference);
  await provider.settled();
  assert.deepEqual((await payments(event)).map((row) => row.status), ['refunded']);
  assert.equal(await statusOf(one), 'held');
  assert.equal((await provider.charged(one.order.reference)).payment, 'refunded');
});

test('while the service is down the webhook waits', async (t) => {
  const event = await organizer.sale(settings);
  const provider = await provide(t);
  const one = await ordered(event, 'patient');
  await server.kill();
  assert.equal((await provider.charge(one.order)).status, 201);
  await server.start();
  await waitUntil(async () => (await statusOf(one)) === 'confirmed', 20000, 'the sale');
});

test('it names each missing option', async () => {
  const refuse = async (code, pattern, args, env = {}) => {
    const { stderr } = await runTiketi(['provider', ...args], { PAYMENT_WEBHOOK_SECRETS: SECRETS.PAYMENT_WEBHOOK_SECRETS, ...env }, { expect: code });
    assert.match(stderr, pattern);
  };
  await refuse(64, /--webhook-url/, []);
  await refuse(64, /--webhook-url/, ['--webhook-url', 'https://127.0.0.1/']);
  await refuse(64, /--lose/, ['--webhook-url', 'http://127.0.0.1:1/', '--lose', '2']);
  await refuse(78, /PAYMENT_WEBHOOK_SECRETS/, ['--webhook-url', 'http://127.0.0.1:1/'], { PAYMENT_WEBHOOK_SECRETS: null });
  const { stdout } = await runTiketi(['provider', '--help']);
  assert.match(stdout, /--reorder/);
});

// ---- the page ----

// The fields of the payment page's form, as its button sends them.
const formOf = (html) => Object.fromEntries([...html.matchAll(/<input type="hidden" name="(\w+)" value="([^"]*)">/g)]
  .map(([, name, value]) => [name, value.replaceAll('&amp;', '&')]));
const press = (provider, form, action) => provider.request('POST', '/pay', {
  body: new URLSearchParams({ ...form, action }).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded' },
});

test('its page charges a buyer once and sends them back, or lets them return without paying', async (t) => {
  const event = await organizer.sale(settings);
  const provider = await provide(t);
  const one = await ordered(event, 'person');
  const back = `${server.url}/buy/${event.id}?lang=en`;
  const page = await provider.request('GET', provider.payAddress(one.order, back), { headers: { 'accept-language': 'ja' } });
  assert.equal(page.status, 200, page.text);
  assert.match(page.headers['content-type'], /^text\/html/);
  assert.match(page.headers['content-security-policy'], new RegExp(`^default-src 'none'; .*form-action 'self' ${server.url};`));
  assert.match(page.text, /<html lang="ja">/);
  assert.match(page.text, /€50\.00/);
  const form = formOf(page.text);
  assert.equal(form.return, back);

  const cancelled = await press(provider, form, 'cancel');
  assert.equal(cancelled.status, 303);
  assert.equal(cancelled.headers.location, `${back}&payment=cancelled`);
  assert.deepEqual(await provider.books(), []);

  for (let i = 0; i < 2; i++) {
    const paid = await press(provider, form, 'pay');
    assert.equal(paid.status, 303, paid.text);
    assert.equal(paid.headers.location, `${back}&payment=paid`);
  }
  await waitUntil(async () => (await statusOf(one)) === 'confirmed', 10000, 'the sale');
  assert.equal((await provider.books()).length, 1);
  const again = await provider.request('GET', provider.payAddress(one.order, back, { lang: 'ko' }));
  assert.match(again.text, /결제 완료/);
  assert.doesNotMatch(again.text, /<form/);
});

test('its page can send them back by POST, as card processors do', async (t) => {
  const event = await organizer.sale(settings);
  const provider = await provide(t, '--post-return');
  const { order } = await ordered(event, 'carded');
  const page = await provider.request('GET', provider.payAddress(order, order.returnUrl));
  const sent = await press(provider, formOf(page.text), 'pay');
  assert.equal(sent.status, 307, 'the browser repeats its POST there');
  assert.equal(sent.headers.location, `${order.returnUrl}&payment=paid`);
  const { pathname, search } = new URL(sent.headers.location);
  const back = await server.post(pathname + search, { headers: { origin: provider.url, 'content-type': 'application/x-www-form-urlencoded' }, body: 'action=pay' });
  assert.deepEqual([back.status, back.headers.location], [303, pathname + search]);
});

test('its page charges no altered order, and redirects only to the shop', async (t) => {
  const event = await organizer.sale({ ...settings, holdMs: 5000 });
  const provider = await provide(t, '--shop-url', 'https://shop.example/');
  const { order } = await ordered(event, 'tamperer');
  const show = (change, back) => provider.request('GET', provider.payAddress({ ...order, ...change }, back));
  assert.equal((await show({ amount: 1 })).status, 403);
  assert.equal((await show({ reservationId: 'other' })).status, 403);
  assert.equal((await show({ amount: '5000x' })).status, 400);
  assert.equal((await show({ signature: '' })).status, 400);
  assert.equal((await provider.request('GET', '/pay')).status, 400);
  assert.equal((await press(provider, {}, 'pay')).status, 400);

  for (const good of ['http://localhost:8080/buy/e', 'http://127.0.0.1/', 'http://[::1]:8080/buy/e', 'https://shop.example/buy/e?x=1', 'http://localhost'])
    assert.equal(formOf((await show({}, good)).text).return, good);
  for (const bad of ['https://evil.example/', '//evil.example/', 'javascript:alert(1)', 'http://127.0.0.1.evil.example/', 'https://shop.example.evil.example/',
    'http://127.0.0.1@evil.example/', 'http://localhost:8080\\@evil.example/', 'https://shop.example/#x', 'https://shop.example/ x', 'x'])
    assert.equal(formOf((await show({}, bad)).text).return, '', bad);
  const form = formOf((await show({}, 'https://shop.example/')).text);
  assert.equal((await press(provider, { ...form, return: 'https://evil.example/' }, 'cancel')).status, 200);
  assert.equal((await press(provider, { ...form, amount: '1' }, 'pay')).status, 403);
  assert.match((await show({}, 'http://localhost/"><script>')).text, /<input type="hidden" name="return" value="">/);

  await waitUntil(() => Date.parse(order.expiresAt) < Date.now(), 15000, 'the order to expire');
  assert.equal((await show({})).status, 410);
  assert.equal((await press(provider, form, 'pay')).status, 410);
  assert.deepEqual(await provider.books(), []);
  assert.match((await provider.request('GET', '/pay.css')).headers['content-type'], /^text\/css/);
});
