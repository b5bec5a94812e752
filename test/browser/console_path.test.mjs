// SPDX-License-Identifier: MIT
//
// Somebody who organizes concerts prepares a sale of 2,400 seats in the browser alone, runs it, and reads what came of it.
// What they do wrong on the way is said beside the field, and nothing is lost.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, DESKTOP } from '../fixtures/browser.mjs';
import { Client, pay, waitUntil } from '../fixtures/index.mjs';
import { agree, becomes, drawn, noticed, saleUrl, signIn } from './console_support.mjs';
import { World } from './wait_scenes.mjs';

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

async function organizer() {
  const reader = await browser.reader({ ...DESKTOP });
  await signIn(reader, world.server, ['--name', 'Kim Minji', '--role', 'organizer']);
  return reader;
}

const idOf = (reader) => new URL(reader.page.url()).pathname.split('/')[3];

test('from nothing to a sale of 2,400 seats: created, hall by grid, published, run, refunded, closed, reported', async () => {
  const reader = await organizer();
  const { page } = reader;
  await reader.open(`${world.server.url}/console`);
  await page.locator('.console-head a').click();
  await page.locator('input[name="title"]').fill('A Night at the Pier');
  await page.locator('input[name="timeZone"]').fill('Asia/Seoul');
  await page.locator('input[name="startsAt"]').fill('2027-05-14T19:30');
  await page.locator('#basics button[type="submit"]').click();
  await page.waitForURL('**/hall');
  const id = idOf(reader);

  await page.locator('input[name="currency"]').fill('KRW');
  const rows = page.locator('.grid-row');
  for (const [i, [section, count, seats, price]] of [['VIP', 10, 20, 150000], ['R', 40, 30, 110000], ['S', 25, 40, 77000]].entries()) {
    if (i > 0) await page.locator('#another').click();
    await rows.nth(i).locator('[name="section"]').fill(section);
    await rows.nth(i).locator('[name="rows"]').fill(String(count));
    await rows.nth(i).locator('[name="seatsPerRow"]').fill(String(seats));
    await rows.nth(i).locator('[name="price"]').fill(String(price));
  }
  await reader.shows('#summary', /2,400 seats/);
  assert.equal(await page.locator('#plan figure').count(), 3);
  await page.locator('#store:not([disabled])').click();
  await noticed(reader, /2,400 seats/);
  assert.equal((await new Client(world.server).get(`/api/events/${id}/seats`)).status, 404, 'buyers do not see a draft');

  await reader.open(saleUrl(world.server, id));
  await page.locator('form[data-verb="open"] button').click();
  await agree(reader);
  await becomes(reader, '#state', 'Open');
  const stored = await world.organizer.must('GET', `/api/admin/events/${id}`);
  assert.deepEqual([stored.seats, stored.startsAt, stored.timeZone], [2400, '2027-05-14T10:30:00.000Z', 'Asia/Seoul']);

  const buyer = new Client(world.server);
  await buyer.check(id);
  const held = await buyer.post('/api/reservations', { json: { eventId: id, quantity: 2, section: 'VIP' } });
  assert.equal(held.status, 201, held.text);
  await pay(world.server, held.body);
  await becomes(reader, '#sold', '2');
  await becomes(reader, '#revenue', '₩300,000');

  await page.locator('#message_text').fill('Doors at six.');
  await page.locator('#message_form button[value="message"]').click();
  await noticed(reader, /see the message/);

  await reader.open(saleUrl(world.server, id, '/people'));
  await page.locator('#who').fill(held.body.reservationNumber);
  await page.locator('#find button[type="submit"]').click();
  await page.locator('.reservation button').click();
  await agree(reader);
  await noticed(reader, /refund is on its way/);
  await waitUntil(async () => (await world.organizer.must('GET', `/api/admin/events/${id}/sections`)).total.sold === 0, 5000, 'the seats are free again');

  await reader.open(saleUrl(world.server, id));
  await drawn(reader);
  await page.locator('form[data-verb="close"] button').click();
  await agree(reader, 'A Night at the Pier');
  await becomes(reader, '#state', 'Closed');
  await reader.open(saleUrl(world.server, id, '/report'));
  await reader.shows('#promises_title', /Every promise was kept/);
  await reader.close();
});

test('a file with mistakes: each is beside its line, and nothing is stored', async () => {
  const reader = await organizer();
  const { id } = await world.organizer.must('POST', '/api/admin/events', { title: 'Halls' });
  await signIn(reader, world.server);
  await reader.open(saleUrl(world.server, id, '/hall'));
  await reader.page.locator('input[value="file"]').check();
  const csv = (...lines) => reader.page.locator('input[type="file"]').setInputFiles({ name: 'hall.csv', mimeType: 'text/csv', buffer: Buffer.from(['section;row;number;price;currency', ...lines].join('\r\n')) });
  await csv('A;1;1;5000;EUR', 'A;1;2;50,00;EUR', 'A;1;1;5000;EUR');
  await reader.page.locator('#errors li').first().waitFor();
  const errors = await reader.page.locator('#errors li').allInnerTexts();
  assert.match(errors.join('\n'), /Line 3[^]*A;1;2;50,00;EUR/);
  assert.equal(await reader.page.locator('#store').isDisabled(), true);
  await reader.shows('#why', /\d errors? ha/);
  assert.equal((await world.organizer.must('GET', `/api/admin/events/${id}`)).seats, 0);
  await csv('A;1;1;5000;EUR', 'A;1;2;5000;EUR');
  await reader.shows('#summary', /2 seats\. The cells of the file are separated by semicolons/);
  await reader.page.locator('#store:not([disabled])').click();
  await noticed(reader, /2 seats/);
  assert.equal((await world.organizer.must('GET', `/api/admin/events/${id}`)).seats, 2);
  await reader.close();
});

test('a title that is missing is said beside the field; what was typed stays', async () => {
  const reader = await organizer();
  reader.expects(/400/);
  await reader.open(`${world.server.url}/console/new`);
  await reader.page.locator('input[name="venue"]').fill('Pier 7');
  await reader.page.locator('#basics button[type="submit"]').click();
  await reader.page.locator('.field .wrong').waitFor();
  assert.equal(await reader.page.locator('input[name="title"]').getAttribute('aria-invalid'), 'true');
  assert.equal(await reader.page.locator('input[name="venue"]').inputValue(), 'Pier 7');
  await reader.close();
});

test('two people change one sale: the slower one loses nothing that was typed, and overwrites nothing unseen', async () => {
  const reader = await organizer();
  await signIn(reader, world.server);
  const { id } = await world.organizer.must('POST', '/api/admin/events', { title: 'Before', venue: 'Old' });
  await reader.open(saleUrl(world.server, id, '/setup'));
  await reader.page.locator('#setup:not([hidden])').waitFor();
  await world.organizer.patch(id, { venue: 'Theirs' });
  reader.expects(/412/);
  await reader.page.locator('input[name="title"]').fill('Mine');
  await reader.page.locator('#basics button[type="submit"]').click();
  await noticed(reader, /Nothing of yours was saved/);
  assert.equal((await world.organizer.must('GET', `/api/admin/events/${id}`)).title, 'Before');
  assert.equal(await reader.page.locator('input[name="title"]').inputValue(), 'Mine');
  await reader.close();
});
