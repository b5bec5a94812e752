// SPDX-License-Identifier: MIT
//
// Tickets over HTTP: the link that lasts, the code that is verified without us, the calendar; who is led to a ticket, by
// cookie or by the proof of a return from payment; returns by POST; /wait after a purchase.

import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { test } from 'node:test';
import { Client, SECRETS, Server, decode, exchange, pay, stage, waitUntil } from '../fixtures/index.mjs';
import { codesOf } from '../fixtures/qr.mjs';

const { redis, database, server, organizer } = await stage({ env: { PAYMENT_URL: 'https://pay.example/page', QUEUE_PROCESSOR_INTERVAL: 500 } });

const settings = {
  title: 'A <night> & more', venue: 'The Hall', startsAt: '2027-05-14T10:00:00Z', timeZone: 'Asia/Seoul', threshold: 10, autoHold: 0,
  grid: { rows: 3, seatsPerRow: 4 },
};

async function holder(event, { sub, quantity = 1 } = {}) {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'the buyer to be inside');
  const { status, body, text } = await buyer.reserve({ eventId: event.id, quantity });
  assert.equal(status, 201, text);
  return { buyer, reservation: body };
}

async function bought(event, options) {
  const one = await holder(event, options);
  assert.equal((await pay(server, one.reservation)).status, 200);
  return one;
}

// A buyer who was sent to the payment page, and the path to which it leads back.
async function sent(event, options) {
  const one = await holder(event, options);
  const { body: order } = await one.buyer.post(`/api/reservations/${one.reservation.id}/pay`);
  const back = new URL(order.returnUrl);
  assert.equal(back.origin, server.url);
  return { ...one, order, back: back.pathname + back.search };
}

const told = ({ reservation, order }, status = 'paid') =>
  pay(server, reservation, { provider: order.provider, reference: order.reference, status });
const state = (answer) => /<main id="main" data-state="(\w+)"/.exec(answer.text)?.[1];
const plain = (path, headers = {}) => exchange(server.url, 'GET', path, { headers }); // a browser without cookies

async function linkOf({ buyer }, event) {
  const answer = await buyer.get(`/tickets/${event.id}`);
  assert.equal(answer.status, 303, answer.text);
  assert.match(answer.headers.location, /^\/ticket\/[A-Za-z0-9_-]{43}$/);
  return answer.headers.location;
}

test('a bought ticket has a link that opens in any browser, also when the queue is gone, the sale closed and the keys changed', async () => {
  const event = await organizer.sale(settings);
  const one = await bought(event, { quantity: 2 });
  const link = await linkOf(one, event);
  assert.equal(await linkOf(one, event), link, 'the same each time');
  const page = await plain(link);
  assert.equal(page.status, 200);
  assert.equal(state(page), 'valid');
  assert.equal(page.headers['cache-control'], 'no-store');
  assert.equal(page.headers['set-cookie'], undefined);
  const { reservationNumber: number } = one.reservation;
  assert.match(page.text, new RegExp(`${number.slice(0, 4)}-${number.slice(4)}</dd>`));
  assert.match(page.text, /A &lt;night&gt; &amp; more/);
  assert.match(page.text, /May 14, 2027 at 7:00\sPM \(Korean Standard Time\)/, 'in the venue’s time');
  assert.ok(page.text.includes(`value="${server.url}${link}"`));

  await organizer.act(event.id, 'close');
  const rolled = await Server.start({ redis, database, roles: 'api', env: { TICKET_KEYS: `k2:${'fedcba9876543210'.repeat(4)},${SECRETS.TICKET_KEYS}` } });
  const replaced = await Server.start({ redis, database, roles: 'api', env: { TICKET_KEYS: `k3:${'0f1e2d3c4b5a6978'.repeat(4)}` } });
  try {
    for (const pod of [rolled, replaced]) assert.equal(state(await exchange(pod.url, 'GET', link)), 'valid');
    const again = await new Client(rolled).request('GET', `/tickets/${event.id}`, { headers: { cookie: one.buyer.cookieHeader } });
    assert.notEqual(again.headers.location, link, 'a new key makes another link');
    assert.equal(state(await plain(again.headers.location)), 'valid');
    assert.equal(state(await plain(link)), 'valid', 'and the old one stays');
  } finally {
    await rolled.stop();
    await replaced.stop();
  }
  await redis.pause();
  try {
    assert.equal(state(await plain(link)), 'valid');
  } finally {
    await redis.resume();
  }
});

test('each seat has a code that anyone with the public key can verify', async () => {
  const event = await organizer.sale(settings);
  const { buyer, reservation } = await bought(event, { quantity: 2 });
  const page = await plain(await linkOf({ buyer }, event));
  const codes = codesOf(page.text);
  assert.equal(codes.length, 2);
  const { body: { keys: [jwk] } } = await server.get('/.well-known/jwks.json');
  for (const [i, code] of codes.entries()) {
    const [head, payload, signature] = code.split('.');
    assert.equal(JSON.parse(Buffer.from(head, 'base64url')).kid, jwk.kid);
    assert.ok(verify('SHA256', Buffer.from(`${head}.${payload}`), { key: createPublicKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' },
      Buffer.from(signature, 'base64url')));
    const seat = reservation.seats[i];
    assert.deepEqual(decode(code), {
      iss: 'tiketi', aud: `ticket:${event.id}`, jti: `${reservation.reservationNumber}.${seat.id}`, seat: [seat.section, seat.row, String(seat.number)],
    });
    const gate = await server.get(`/api/gate/${event.id}`, { headers: { 'x-tiketi-pass': code } });
    assert.notEqual(gate.status, 200, 'it opens nothing else');
  }
});

test('the calendar has the time and the way back; without a time there is none', async () => {
  const event = await organizer.sale(settings);
  const one = await bought(event);
  const link = await linkOf(one, event);
  const { status, headers, text } = await plain(`${link}/event.ics`);
  assert.equal(status, 200);
  assert.equal(headers['content-type'], 'text/calendar; charset=utf-8');
  const lines = text.replaceAll('\r\n ', '').split('\r\n');
  for (const line of ['DTSTART:20270514T100000Z', 'SUMMARY:A <night> & more', 'LOCATION:The Hall', `UID:${one.reservation.id}@tiketi`, `URL:${server.url}${link}`])
    assert.ok(lines.includes(line), `${line} in\n${text}`);
  const { startsAt: _, ...untimed } = settings;
  const other = await organizer.sale(untimed);
  const untimedLink = await linkOf(await bought(other), other);
  assert.doesNotMatch((await plain(untimedLink)).text, /event\.ics/);
  assert.equal((await plain(`${untimedLink}/event.ics`)).status, 404);
});

test('a link that is wrong in any way shows nothing', async () => {
  for (const path of [`/ticket/${'x'.repeat(43)}`, '/ticket/x', `/ticket/${'x'.repeat(64)}`, `/ticket/${'x'.repeat(43)}/event.ics`]) {
    const answer = await plain(path);
    assert.ok([400, 404].includes(answer.status), path);
    assert.equal(state(answer), 'unknown', path);
  }
});

test('a refunded ticket says so, and has no code', async () => {
  const event = await organizer.sale(settings);
  const one = await bought(event);
  const link = await linkOf(one, event);
  await organizer.must('POST', `/api/admin/events/${event.id}/refund`, { reservationId: one.reservation.id });
  const page = await plain(link);
  assert.equal(state(page), 'refunded');
  assert.doesNotMatch(page.text, /class="code"|id="link"|event\.ics/);
  assert.equal((await plain(`${link}/event.ics`)).status, 404);
});

test('the way to the tickets: one, several, none, and never those of others', async () => {
  const event = await organizer.sale(settings);
  const one = await bought(event, { sub: 'fan' });
  await linkOf(one, event);
  assert.equal((await new Client(server, { sub: 'other' }).get(`/tickets/${event.id}`)).headers.location, `/wait/${event.id}`);
  const asked = await new Client(server, { sub: 'other' }).get(`/tickets/${event.id}?reservation=${one.reservation.id}`);
  assert.deepEqual([asked.status, state(asked)], [404, 'unknown']);

  await waitUntil(async () => (await one.buyer.status(event.id)).body.status === 'not_in_queue', 15000, 'the slot to be free');
  await one.buyer.get(`/wait/${event.id}?join=1`);
  await waitUntil(async () => (await one.buyer.check(event.id)).body.status === 'active', 15000, 'the second turn');
  const second = (await one.buyer.reserve({ eventId: event.id, quantity: 1 })).body;
  assert.equal((await pay(server, second)).status, 200);
  const list = await one.buyer.get(`/tickets/${event.id}`);
  assert.deepEqual([list.status, state(list)], [200, 'list']);
  for (const { id } of [one.reservation, second]) {
    assert.ok(list.text.includes(`href="/tickets/${event.id}?reservation=${id}"`));
    assert.match((await one.buyer.get(`/tickets/${event.id}?reservation=${id}`)).headers.location, /^\/ticket\//);
  }
});

test('back from paying in another browser: confirming, then the ticket, and no way to do anything', async () => {
  const event = await organizer.sale(settings);
  const one = await sent(event);
  const early = await plain(`${one.back}&payment=paid`);
  assert.deepEqual([early.status, state(early)], [200, 'confirming']);
  assert.equal(early.headers['set-cookie'], undefined);
  assert.doesNotMatch(early.text, new RegExp(`${one.reservation.reservationNumber}|<form|/buy/`), 'no number before it is bought');
  assert.match(early.text, /<noscript><meta http-equiv="refresh"/);
  assert.match((await plain(`${one.back}&payment=paid`, { 'accept-language': 'ko' })).text, /결제를 확인하고 있습니다/);
  assert.ok(early.text.includes(`${one.back.replaceAll('&', '&amp;')}&amp;payment=paid&amp;lang=ja"`), 'the language keeps the state');
  assert.equal((await told(one)).status, 200);
  const led = await plain(`${one.back}&payment=paid`);
  assert.equal(led.status, 303);
  assert.equal(state(await plain(led.headers.location)), 'valid');
  assert.equal(led.headers.location, await linkOf(one, event), 'one link');
});

test('the proof is for this reservation and for a time; without it only the buyer is shown anything', async () => {
  const event = await organizer.sale(settings);
  const one = await sent(event), other = await sent(event);
  const proof = new URLSearchParams(one.back.split('?')[1]).get('proof');
  const until = Number(proof.split('.')[0]) * 1000 - Date.parse(one.order.expiresAt);
  assert.ok(Math.abs(until - 7200000) < 1000, `${until} ms`);
  const path = ({ reservation }) => `/tickets/${event.id}?reservation=${reservation.id}`;
  for (const wrong of [path(one), `${path(one)}&proof=`, `${path(other)}&proof=${proof}`, `${path(one)}&proof=${Number(proof.slice(0, 10)) + 1}${proof.slice(10)}`]) {
    const answer = await plain(wrong);
    assert.deepEqual([answer.status, state(answer)], [404, 'unknown'], wrong);
  }
  assert.equal(state(await one.buyer.get(path(one))), 'confirming');
  const elsewhere = await organizer.sale(settings);
  assert.equal((await plain(one.back.replace(event.id, elsewhere.id))).status, 404);
});

test('not paid: the buyer is back at their seats, another browser says where to go', async () => {
  const event = await organizer.sale(settings);
  const one = await sent(event);
  assert.equal((await one.buyer.get(`${one.back}&payment=cancelled`)).headers.location, `/buy/${event.id}?payment=cancelled`);
  assert.equal(state(await plain(`${one.back}&payment=cancelled`)), 'elsewhere');
  await one.buyer.post(`/api/reservations/${one.reservation.id}/cancel`);
  const [own, others] = [await one.buyer.get(`${one.back}&payment=paid`), await plain(`${one.back}&payment=paid`)];
  assert.deepEqual([state(own), state(others)], ['late', 'late']);
  assert.match(own.text, /\?join=1/);
  assert.doesNotMatch(own.text, /"\/buy\//);
  assert.doesNotMatch(others.text, /\?join=1|"\/buy\//);
  // Typed by hand, without an order.
  const idle = await holder(event);
  assert.equal((await idle.buyer.get(`/tickets/${event.id}?reservation=${idle.reservation.id}&payment=paid`)).headers.location, `/buy/${event.id}`);
});

test('a return by POST, as card processors send it, becomes the same address by GET', async () => {
  const event = await organizer.sale(settings);
  const one = await sent(event);
  const form = { headers: { origin: 'https://bank.example', 'content-type': 'application/x-www-form-urlencoded' }, body: 'MD=1&PaRes=x%3D&action=cancel' };
  for (const more of [{}, { origin: 'null' }, { 'content-type': 'multipart/form-data; boundary=x' }]) {
    const answer = await exchange(server.url, 'POST', `${one.back}&payment=paid&redirectResult=a%2Bb`, { ...form, headers: { ...form.headers, ...more } });
    assert.equal(answer.status, 303);
    assert.equal(answer.headers.location, `${one.back}&payment=paid&redirectResult=a%2Bb`);
    assert.equal(answer.headers['set-cookie'], undefined);
  }
  // A shop that has the buying page as the address of return.
  const buy = `/buy/${event.id}?reservation=${one.reservation.id}&payment=cancelled`;
  const answer = await exchange(server.url, 'POST', buy, { headers: form.headers, body: form.body });
  assert.deepEqual([answer.status, answer.headers.location], [303, buy]);
  assert.equal((await one.buyer.get(`/api/reservations/${one.reservation.id}`)).body.status, 'held', 'nothing was done');
});

test('after a purchase /wait and /buy lead to the tickets, also when the sale is closed', async () => {
  const event = await organizer.sale(settings);
  const { buyer } = await bought(event);
  await waitUntil(async () => (await buyer.status(event.id)).body.status === 'not_in_queue', 15000, 'the slot to be free');
  const open = await buyer.get(`/wait/${event.id}`);
  assert.deepEqual([open.status, state(open)], [200, 'bought']);
  const ways = (page) => [.../<p class="actions" data-in="bought">(.*)/.exec(page.text)[1].matchAll(/href="([^"]+)"/g)].map(([, href]) => href);
  assert.deepEqual(ways(open), [`/tickets/${event.id}`, `/wait/${event.id}?join=1`]);
  assert.equal((await buyer.get(`/buy/${event.id}`)).headers.location, `/tickets/${event.id}`);
  await organizer.act(event.id, 'close');
  await waitUntil(async () => (await new Client(server).get(`/wait/${event.id}`)).status === 410, 10000, 'the end');
  const closed = await buyer.get(`/wait/${event.id}`);
  assert.deepEqual([closed.status, state(closed)], [200, 'bought']);
  assert.deepEqual(ways(closed), [`/tickets/${event.id}`]);
  assert.equal((await buyer.get(`/buy/${event.id}`)).headers.location, `/tickets/${event.id}`);
});

test('the log has no link to a ticket', async () => {
  const event = await organizer.sale(settings);
  const link = await linkOf(await bought(event), event);
  const pod = await Server.start({ redis, database, roles: 'api', env: { LOG_LEVEL: 'debug', ACCESS_LOG: 'all' } });
  try {
    await exchange(pod.url, 'GET', link);
    await waitUntil(() => pod.output.includes('/ticket/{token}'), 5000, 'the log entry');
    assert.ok(!pod.output.includes(link));
  } finally {
    await pod.stop();
  }
});
