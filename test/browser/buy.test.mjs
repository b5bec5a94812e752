// SPDX-License-Identifier: MIT
//
// The buying page in a real browser: from the queue to the ticket.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP } from '../fixtures/browser.mjs';
import { Client, waitUntil } from '../fixtures/index.mjs';
import { drawn, holds, label, overheard, pay, reaches, seat, shop, state, ticket } from './buy_support.mjs';

const world = await shop();
const { server, organizer, postgres, database, browser, provider, sale, inside, rival } = world;

test('from the queue to a bought ticket, with a reload at every step', async () => {
  const id = await sale({ threshold: 1, intervalMs: 200 });
  const first = new Client(server);
  await first.check(id);
  const reader = await browser.reader();
  await reader.open(`${server.url}/wait/${id}`);
  await waitUntil(async () => (await reader.seen('#position')) === '1', 10000, 'a place');
  await first.leave(id);
  await reaches(reader, 'admitted');
  await reader.page.locator('#enter').click();
  await reader.page.waitForURL(`**/buy/${id}`);

  // The auto-hold is shown at once.
  await holds(reader, 1);
  assert.match(await reader.seen('#order_toggle'), /^1 seat\s+Floor, row 1, seat \d+$/);
  await reader.page.locator('#order_toggle').click();
  assert.match(await reader.seen('#seats'), /^Floor, row 1, seat \d+\s+€50\.00$/);
  assert.equal(await reader.seen('#clock_label'), 'Pay within', 'the nearest deadline alone');
  await reader.shows('#clock_time', /^(4:\d\d|5:00)$/); // an offer's hold lasts longer, until the turn is claimed
  assert.equal(await reader.seen('#deadline'), 'When the time is up, your seats go back on sale.');
  await reader.page.reload();
  await holds(reader, 1);
  await drawn(reader);

  // Swaps it for three seats together, then adds one and removes one by hand.
  await reader.page.locator('#quantity').selectOption('3');
  await reader.page.locator('#best_button').click();
  await holds(reader, 3);
  await seat(reader, 4, 6).click();
  await seat(reader, 1, 5).click();
  assert.equal(await reader.seen('#take'), 'Hold these 3 seats');
  assert.match(await label(reader, 4, 6), /^Row 4, seat 6, €50\.00, selected$/);
  await reader.page.locator('#take').click();
  await waitUntil(async () => /row 4, seat 6/.test(await reader.seen('#order_names')) && (await reader.page.locator('#pay').isVisible()), 10000, 'the swap');
  assert.match(await label(reader, 4, 6), /yours$/);
  // The map may be a second old: it may have the first hold, but not yet the swap.
  await waitUntil(async () => (await label(reader, 1, 5)) === 'Row 1, seat 5, €50.00, available', 15000, 'the seat that was given back');
  await reader.page.reload();
  await holds(reader, 3);

  // Goes to the payment page, comes back without paying, goes there again.
  await reader.page.locator('#pay_button').click();
  await reader.page.waitForURL('**/pay?**');
  await reader.page.reload();
  assert.match(await reader.seen('.price'), /^€150\.00$/);
  await reader.page.getByRole('button', { name: 'Cancel' }).click();
  await reader.page.waitForURL('**/buy/**');
  await holds(reader, 3);
  assert.match(await reader.seen('#notice_text'), /You haven’t paid/);
  await reader.page.waitForURL(({ search }) => search === '');
  await pay(reader);
  const number = await ticket(reader);
  assert.equal(await reader.page.locator('.stub').count(), 3);
  await reader.shows('.order', /€150\.00/);

  await reader.page.reload();
  assert.equal(await ticket(reader), number);
  await reader.open(`${server.url}/buy/${id}`);
  assert.equal(await ticket(reader), number);
  await provider.settled();
  assert.deepEqual((await provider.books()).map(({ amount }) => amount), [15000], 'charged once');
  const [sold] = await database.query("SELECT count(*)::int AS n FROM seats WHERE event_id = $1 AND status = 'sold'", [id]);
  assert.equal(sold.n, 3);
  await reader.close();
});

test('two buyers choose the same seat: one gets it, the other is told and offered the closest seats', async () => {
  const id = await sale({ autoHold: 0 });
  const one = await inside(id, DESKTOP);
  const two = await inside(id, { ...DESKTOP, theme: 'dark' });
  two.expects(/status of 409/);
  await seat(two, 3, 5).click();
  await seat(two, 3, 6).click();
  // The other buyer is slightly faster: their order arrives while this one is on its way.
  await two.page.route('**/api/reservations', async (route) => {
    if (route.request().method() === 'POST' && !two.raced) {
      two.raced = true;
      await seat(one, 3, 5).click();
      await one.page.locator('#take').click();
      await holds(one, 1);
    }
    await route.continue();
  });
  await two.page.locator('#take').click();
  await waitUntil(() => two.page.locator('#offer').isVisible(), 15000, 'the offer');
  assert.match(await two.seen('#notice_text'), /Floor, row 3, seat 5 just went to another buyer\./);
  assert.equal(await two.seen('#offer'), 'Take Floor, row 3, seats 6 and 7 instead');
  assert.match(await label(two, 3, 5), /taken$/);
  await two.page.locator('#offer').click();
  await holds(two, 2);
  assert.match(await two.seen('#seats'), /row 3, seat 6.*row 3, seat 7/s);
  assert.equal(await two.page.locator('#notice').isVisible(), false);
  await Promise.all([one.close(), two.close()]);
});

test('seats that others take and free change on the page, also in a choice that is not yet held', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await inside(id, DESKTOP);
  const other = await rival(id);
  await seat(reader, 2, 2).click();
  await waitUntil(() => reader.page.evaluate(() => document.querySelector('#main').dataset.live === 'socket'), 10000, 'the socket');
  const seats = (await other.get(`/api/seats/${id}`)).body.seats;
  const idOf = (row, number) => seats.find((one) => one.row === String(row) && one.number === number).id;
  const { body: held } = await other.reserve({ eventId: id, seatIds: [idOf(2, 2), idOf(5, 7)] });
  await waitUntil(async () => /taken$/.test(await label(reader, 5, 7)), 10000, 'the seat to go');
  assert.match(await reader.seen('#notice_text'), /Floor, row 2, seat 2 just went to another buyer/);
  assert.equal(await reader.page.locator('#seats li').count(), 0);
  assert.equal(await seat(reader, 5, 7).getAttribute('aria-disabled'), 'true');
  await seat(reader, 5, 7).click({ force: true });
  assert.equal(await reader.page.locator('#seats li').count(), 0, 'a taken seat cannot be chosen');
  await other.post(`/api/reservations/${held.id}/cancel`);
  await waitUntil(async () => /available$/.test(await label(reader, 5, 7)), 10000, 'the seat to come back');
  await reader.close();
});

test('an admission that ends in another tab ends in this one at once', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await inside(id);
  await waitUntil(async () => (await reader.page.locator('#main').getAttribute('data-live')) === 'socket', 10000, 'the socket');
  await reader.page.evaluate(() => {
    const { event: eventId, ws, json } = document.body.dataset;
    const other = new WebSocket(ws, 'tiketi.v1');
    const send = (event, payload) => other.send(JSON.stringify({ event, payload }));
    other.onopen = () => send('join-queue', { eventId, ticket: JSON.parse(json).ticket });
    other.onmessage = ({ data }) => JSON.parse(data).event === 'queue-entry-allowed' && send('leave-queue', { eventId });
  });
  await reaches(reader, 'over'); // with a socket the page polls only once a minute
  await reader.close();
});

test('a position that arrives while the buyer chooses makes the page ask whether they are inside', async () => {
  const id = await sale({ autoHold: 0 });
  const { reader, line } = await overheard(world, id);
  let asked = 0;
  reader.page.on('request', (request) => (asked += request.url().includes('/api/queue/status/')));
  line.say('queue-position', { eventId: id, position: 3, queueSize: 3 });
  await waitUntil(() => asked > 0, 4000, 'the question');
  assert.equal(await state(reader), 'choose');
  await reader.close();
});

test('each status request carries the pass, so that no pod answers from an old state', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await inside(id);
  const asked = reader.page.waitForRequest(`**/api/queue/status/${id}`);
  await reader.page.evaluate(() => globalThis.dispatchEvent(new Event('pageshow')));
  const { cookie } = await (await asked).allHeaders();
  assert.match(cookie, new RegExp(`(^|; )tiketi_pass_${id}=`));
  await reader.close();
});

test('a map that is older than the last change is read again', async () => {
  const id = await sale({ autoHold: 0 });
  const { reader, line } = await overheard(world, id);
  line.deaf = true;
  const other = await rival(id);
  const { seats } = (await other.get(`/api/seats/${id}`)).body;
  await other.reserve({ eventId: id, seatIds: [seats[0].id] });
  const version = await waitUntil(async () => {
    const map = (await other.get(`/api/seats/${id}`)).body;
    return map.seats[0].status !== 'available' && map.version;
  }, 10000, 'the map to know');
  let old = 0;
  await reader.context.route(`**/api/seats/${id}?*`, (route) => (old++ === 0 ? route.fulfill({ status: 304 }) : route.continue()));
  await reader.context.route(`**/api/queue/status/${id}`, () => {}); // its poll, which reads the map as well, gets no answer
  line.say('seats-changed', { eventId: id, from: version - 1, version, reload: true });
  await waitUntil(async () => /taken$/.test(await label(reader, 1, 1)), 12000, 'the second look');
  assert.ok(old >= 2);
  await reader.close();
});

test('a seat that was taken when ordered, and is free again, is shown as free', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await inside(id, DESKTOP);
  reader.expects(/status of 409/);
  await reader.page.route('**/api/reservations', (route) => {
    if (route.request().method() !== 'POST') return route.continue();
    const { seatIds } = route.request().postDataJSON();
    return route.fulfill({ status: 409, contentType: 'application/problem+json', body: JSON.stringify({ status: 409, code: 'seat-taken', seats: seatIds }) });
  });
  await seat(reader, 2, 3).click();
  await reader.page.locator('#take').click();
  await waitUntil(async () => /taken$/.test(await label(reader, 2, 3)), 10000, 'the seat to go');
  await waitUntil(async () => /available$/.test(await label(reader, 2, 3)), 10000, 'the seat to come back');
  await reader.close();
});

test('the keyboard alone is enough from the waiting page to the ticket', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await browser.reader(DESKTOP);
  const { page } = reader;
  const active = () => page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent.trim());
  const tabTo = (what) => waitUntil(async () => {
    if (what.test(await active())) return true;
    await page.keyboard.press('Tab');
    return what.test(await active());
  }, 15000, `Tab to reach ${what}`);
  await reader.open(`${server.url}/wait/${id}`);
  await reaches(reader, 'admitted');
  await tabTo(/^Enter now$/);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/buy/**');
  await drawn(reader);
  await tabTo(/^Row 1, seat 1,/);
  for (const key of ['ArrowDown', 'ArrowDown', 'ArrowRight', 'ArrowRight', 'ArrowLeft']) await page.keyboard.press(key);
  assert.equal(await active(), 'Row 3, seat 2, €50.00, available');
  await page.keyboard.press('End');
  assert.equal(await active(), 'Row 3, seat 12, €50.00, available');
  await page.keyboard.press(' ');
  assert.equal(await active(), 'Row 3, seat 12, €50.00, selected');
  assert.equal(await seat(reader, 3, 12).getAttribute('aria-selected'), 'true');
  await waitUntil(async () => (await page.locator('#polite').textContent()) === 'Floor, row 3, seat 12, selected. 1 seat in your selection.', 15000, 'the words');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('Enter');
  await tabTo(/^Hold these 2 seats$/);
  await page.keyboard.press('Enter');
  await holds(reader, 2);
  assert.equal(await page.locator('[role=gridcell][tabindex="0"]').count(), 1, 'one tab stop');
  await tabTo(/^Pay €100\.00$/);
  await page.keyboard.press('Enter');
  await page.waitForURL('**/pay?**');
  await tabTo(/^Pay €100\.00$/);
  await page.keyboard.press('Enter');
  await ticket(reader);
  await waitUntil(async () => (await active()).startsWith('You’re going! Booking confirmed'), 15000, 'the focus on what happened');
  await reader.close();
});

test('a hold that expires and an admission that ends are announced', async () => {
  const id = await sale({ autoHold: 0, holdMs: 4000, sessionLimitMs: 16000, intervalMs: 200 });
  const reader = await inside(id);
  await reader.page.locator('#best_button').click(); // a hold that begins while the page shows it
  await waitUntil(async () => /back on sale/.test(await reader.seen('#notice_text')), 15000, 'the end of the hold');
  assert.equal(await reader.seen('#none'), 'No seats yet. Pick some on the map, or let us find seats together.');
  assert.equal(await state(reader), 'choose');
  await reaches(reader, 'over', 30000);
  assert.equal(await reader.seen('#heading'), 'Your turn has ended');
  assert.match(await reader.page.locator('.state .button:visible').getAttribute('href'), /\?join=1$/);
  await waitUntil(async () => { // as soon as the queue has ended the admission as well
    await reader.open(`${server.url}/buy/${id}`);
    return reader.page.url().endsWith(`/wait/${id}`);
  }, 15000, 'the waiting page');
  await reader.close();
});

test('held seats can be paid after the admission has ended', async () => {
  const id = await sale({ sessionLimitMs: 10000, holdMs: 90000 });
  const reader = await inside(id);
  await reader.page.locator('#best_button').click();
  await holds(reader, 2);
  await reaches(reader, 'last', 30000);
  await waitUntil(async () => { // as soon as the queue has ended the admission as well
    await reader.page.reload();
    return (await state(reader)) === 'last';
  }, 15000, 'the same, read anew');
  assert.equal(await reader.page.locator('#hall').isVisible(), false);
  await pay(reader);
  await ticket(reader);
  await reader.close();
});

test('a buyer who is not inside is sent to the waiting page; an unknown event says so', async () => {
  const id = await sale({ threshold: 1 });
  const first = new Client(server);
  await first.check(id);
  const stranger = await browser.reader();
  await stranger.open(`${server.url}/buy/${id}`);
  assert.match(stranger.page.url(), new RegExp(`/wait/${id}$`));
  await stranger.open(`${server.url}/buy/${id}`);
  assert.match(stranger.page.url(), new RegExp(`/wait/${id}$`), 'a place in the queue is not enough');
  stranger.expects(/status of 404/);
  const answer = await stranger.open(`${server.url}/buy/no-such-event`);
  assert.equal(answer.status(), 404);
  assert.equal(await stranger.seen('#heading'), 'We can’t find this event');
  await stranger.close();
});

test('the page shows sold out, and a freed seat afterwards', async () => {
  const id = await sale({ autoHold: 0, grid: { section: 'Floor', rows: 1, seatsPerRow: 4 } });
  const reader = await inside(id);
  const other = await rival(id);
  const { body: held } = await other.reserve({ eventId: id, quantity: 4 });
  await reaches(reader, 'sold_out');
  assert.equal(await reader.seen('#heading'), 'All seats are taken');
  await other.post(`/api/reservations/${held.id}/cancel`);
  await reaches(reader, 'choose');
  await reader.close();
});

test('seats can be given back; the limit and too many adjacent seats are refused with a notice', async () => {
  const id = await sale({ autoHold: 0, maxSeats: 3, grid: { section: 'Floor', rows: 2, seatsPerRow: 2 } });
  const reader = await inside(id, DESKTOP);
  reader.expects(/status of 409/);
  for (const [row, number] of [[1, 1], [1, 2], [2, 1], [2, 2]]) await seat(reader, row, number).click();
  assert.match(await reader.seen('#limit'), /Limit 3 per person/);
  await reader.page.locator('#take').click();
  await holds(reader, 3);
  await reader.page.locator('#cancel').click();
  await waitUntil(async () => (await reader.seen('#none')) === 'No seats yet. Pick some on the map, or let us find seats together.', 10000, 'nothing held');
  await waitUntil(async () => /available$/.test(await label(reader, 1, 1)), 10000, 'the seat to be free');
  await reader.page.locator('#quantity').selectOption('3');
  await reader.page.locator('#best_button').click();
  await waitUntil(() => reader.page.locator('#notice').isVisible(), 10000, 'the notice');
  assert.match(await reader.seen('#notice_text'), /aren’t that many seats together/);
  await reader.close();
});

test('without JavaScript: best seats, payment page and ticket work', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await browser.reader({ javaScriptEnabled: false });
  await reader.open(`${server.url}/wait/${id}`);
  await reader.page.locator('#enter').click();
  await reader.page.waitForURL(`**/buy/${id}`);
  assert.equal(await state(reader), 'choose');
  await reader.page.locator('#quantity').selectOption('2');
  await reader.page.locator('#best_button').click();
  await reader.page.waitForURL(`**/buy/${id}`);
  assert.match(await reader.seen('#seats'), /Floor, row 1, seat 5.*€50\.00.*Floor, row 1, seat 6/s);
  assert.equal(await reader.seen('#clock_label'), 'Pay by');
  assert.match(await reader.seen('#clock_time'), /^\d{1,2}:\d\d\s[AP]M \(Coordinated Universal Time\)$/);
  assert.equal(await reader.seen('#pay_button'), 'Pay €100.00');
  await reader.page.locator('#pay_button').click();
  await reader.page.waitForURL('**/pay?**');
  await reader.page.getByRole('button', { name: /^Pay / }).click();
  await ticket(reader); // the page before it loads itself again
  await reader.close();
});

test('a refused form without JavaScript says why; a form from another origin has no effect', async () => {
  const id = await sale({ autoHold: 0, grid: { section: 'Floor', rows: 2, seatsPerRow: 2 } });
  const buyer = await rival(id);
  const form = (fields, headers) => buyer.post(`/buy/${id}`, { body: new URLSearchParams(fields).toString(), headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers } });
  const refused = await form({ action: 'best', quantity: '4' });
  assert.equal(refused.status, 303);
  assert.equal(refused.headers.location, `/buy/${id}?notice=no-adjacent`);
  assert.match((await buyer.get(refused.headers.location)).text, /aren’t that many seats together/);
  for (const quantity of ['x', '2x', ' 2', '+2', '02', '2.0', '-1', '0', '', '9'.repeat(30)]) {
    assert.equal((await form({ action: 'best', quantity })).headers.location, `/buy/${id}?notice=invalid`, quantity);
  }
  assert.equal((await form({ action: 'pay', reservation: 'nonsense' })).status, 303);
  assert.equal((await form({})).status, 303);
  const foreign = await form({ action: 'best', quantity: '1' }, { origin: 'https://evil.example' });
  assert.match(foreign.headers.location ?? '', /notice=foreign-origin/);
  assert.deepEqual((await buyer.get('/api/reservations')).body.reservations, []);
  assert.doesNotMatch((await buyer.get(`/buy/${id}?notice=%3Cscript%3E`)).text, /<script>/);
});

test('names run their own way: a Hebrew title, venue and section turn nothing else', async () => {
  const event = await organizer.sale({ title: 'קונצרט 2031!', venue: 'היכל 1', artist: 'The Band', threshold: 9, open: false, branding: { name: 'בית' } });
  for (const section of ['יציע 1', 'Floor']) await organizer.must('POST', `/api/admin/events/${event.id}/seats`, { grid: { section, rows: 1, seatsPerRow: 4, price: 5000, currency: 'EUR' } });
  await organizer.act(event.id, 'open');
  const reader = await inside(event.id);
  await holds(reader, 1);
  const runs = (where) => reader.page.locator(where).evaluateAll((found) => found.map((element) => getComputedStyle(element).direction));
  assert.deepEqual(await runs('.event-title'), ['rtl']);
  assert.deepEqual((await runs('.event-meta span')).slice(0, 2), ['ltr', 'rtl']); // a price follows
  assert.deepEqual(await runs('.brand .home'), ['rtl']);
  assert.deepEqual(await runs('#seats .seat-name'), ['rtl'], 'the best seat is in the first section');
  assert.deepEqual(await runs('#seats .seat-price'), ['ltr']);
  assert.deepEqual(await reader.page.locator('#section option').evaluateAll((found) => found.map(({ dir }) => dir)), ['', 'auto', 'auto']);
  assert.deepEqual([...new Set(await reader.page.locator('.section-name').evaluateAll((found) => found.map((text) => getComputedStyle(text).unicodeBidi)))], ['plaintext']);
  assert.deepEqual(await runs('#order_title, #best, main'), ['ltr', 'ltr', 'ltr']);
  await reader.close();
});

test('PostgreSQL down: the page says so, and recovers by itself', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await inside(id);
  reader.expects(/status of 503/);
  await postgres.halt();
  await reader.page.locator('#best_button').click();
  await waitUntil(() => reader.page.locator('#notice').isVisible(), 20000, 'the notice');
  assert.match(await reader.seen('#notice_text'), /isn’t possible right now/);
  const answer = await reader.page.reload();
  assert.equal(answer.status(), 503);
  assert.equal(await reader.seen('#heading'), 'We’ll be right back');
  await postgres.restart();
  await reaches(reader, 'choose', 30000);
  await reader.close();
});
