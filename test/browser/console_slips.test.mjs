// SPDX-License-Identifier: MIT
//
// What people do to the console by a slip, and what other people and networks do to them: nothing that was typed is lost,
// nothing is sent twice, and what is wrong is said beside the field, in their language.

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

async function organizer(options = {}) {
  const reader = await browser.reader({ ...DESKTOP, ...options });
  await signIn(reader, world.server);
  return reader;
}

const event = (id) => world.organizer.must('GET', `/api/admin/events/${id}`);

async function setup(reader, id) {
  await reader.open(saleUrl(world.server, id, '/setup'));
  await reader.page.locator('#setup:not([hidden])').waitFor();
}

const save = (reader, form) => reader.page.locator(`#${form} button[type="submit"]`).click();

test('the title of an open sale is changed, and its times stay as they are, to the millisecond', async () => {
  const reader = await organizer();
  const id = await world.sale({ title: 'One Night', timeZone: 'Europe/Berlin' }); // opened by hand: not at a whole minute
  await world.organizer.must('POST', `/api/admin/events/${id}/pause`);
  await world.organizer.must('POST', `/api/admin/events/${id}/resume`);
  const { opensAt, startsAt } = await event(id);
  await setup(reader, id);
  await reader.page.locator('#basics [name="title"]').fill('Two Nights');
  await save(reader, 'basics');
  await noticed(reader, /Saved/);
  await reader.page.locator('#basics [name="timeZone"]').fill('Asia/Seoul');
  await save(reader, 'basics');
  await waitUntil(async () => (await event(id)).timeZone === 'Asia/Seoul', 10000, 'the zone');
  const stored = await event(id);
  assert.deepEqual([stored.title, stored.opensAt], ['Two Nights', opensAt]);
  if (startsAt) assert.notEqual(stored.startsAt, startsAt, 'the clock at the venue is another');
  await reader.close();
});

test('where buyers go after the queue: one address a line, and what is wrong with one is said beside the field', async () => {
  for (const [language, wrong] of [['en-GB', /^\/shop is no address such as/], ['ko-KR', /^\/shop은\(는\)/], ['ja-JP', /^\/shop は/]]) {
    const reader = await organizer({ language });
    const id = await world.sale({ open: false });
    await setup(reader, id);
    const field = reader.page.locator('#basics [name="returnUrls"]');
    reader.expects(/status of 400/);
    await field.fill('https://shop.example/tickets\n/shop');
    await save(reader, 'basics');
    await reader.shows('#wrong_returnUrls', wrong);
    assert.deepEqual((await event(id)).returnUrls, []);
    await field.fill('HTTPS://shop.example/tickets\n\nhttp://localhost:8000');
    await save(reader, 'basics');
    await waitUntil(async () => (await event(id)).returnUrls.length === 2, 10000, 'the list');
    await waitUntil(async () => (await field.inputValue()) === 'https://shop.example/tickets\nhttp://localhost:8000', 10000, 'its normal form');
    await reader.close();
  }
});

test('an unknown time zone and an impossible number are said beside the field, and saving works afterwards', async () => {
  const reader = await organizer({ language: 'ko-KR' });
  const id = await world.sale({ open: false });
  await setup(reader, id);
  await reader.page.locator('#basics [name="timeZone"]').fill('Not/AZone');
  await save(reader, 'basics');
  await reader.shows('#wrong_timeZone', /시간대/);
  await reader.page.locator('#basics [name="timeZone"]').fill('Asia/Tokyo');
  await save(reader, 'basics');
  await noticed(reader, /./);
  assert.equal(await reader.page.locator('.wrong').count(), 0);
  assert.equal((await event(id)).timeZone, 'Asia/Tokyo');
  for (const value of ['', '-5']) {
    await reader.page.locator('#pace [name="threshold"]').fill(value);
    await save(reader, 'pace');
    await reader.shows('#wrong_threshold', /0부터 10,000,000까지/);
    assert.equal(await reader.page.locator('#notices [data-kind="good"]').count(), 0, 'an older “saved” is gone');
  }
  await reader.page.locator('#basics [name="opensAt"]').pressSequentially('2027');
  await save(reader, 'basics');
  await reader.shows('#wrong_opensAt', /모두/);
  await reader.close();
});

test('a logo is removed again; a page with unsaved text asks before it is left', async () => {
  const reader = await organizer();
  const id = await world.sale({ open: false });
  await setup(reader, id);
  assert.equal(await reader.page.locator('#drop_logo').isHidden(), true, 'there is none');
  const svg = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><rect width="8" height="8"/></svg>';
  await reader.page.locator('#look [name="logo"]').setInputFiles({ name: 'logo.svg', mimeType: 'image/svg+xml', buffer: Buffer.from(svg) });
  await save(reader, 'look');
  await waitUntil(async () => (await event(id)).branding.logo, 10000, 'the logo');
  await reader.page.locator('#drop_logo input').check();
  await save(reader, 'look');
  await waitUntil(async () => (await event(id)).branding.logo === null, 10000, 'no logo');
  await reader.page.locator('#drop_logo').waitFor({ state: 'hidden' });

  const asked = [];
  reader.page.on('dialog', (dialog) => { asked.push(dialog.type()); void dialog.accept(); });
  await setup(reader, id);
  assert.deepEqual(asked, [], 'all is saved');
  await reader.page.locator('#basics [name="title"]').fill('Not saved');
  await setup(reader, id);
  assert.deepEqual(asked, ['beforeunload']);
  await reader.close();
});

test('a surge rule that cannot be read is named, and nothing is sent; a draft admits nobody and clears nothing', async () => {
  const reader = await organizer();
  const id = await world.sale({ threshold: 10 });
  await reader.open(saleUrl(world.server, id));
  await drawn(reader);
  const more = (text) => reader.page.locator('#more_controls button', { hasText: text });
  await more('All settings').click();
  const dialog = reader.page.locator('dialog[open]');
  await dialog.locator('textarea').fill('50 20\n5,000 200');
  await reader.shows('dialog[open] .wrong', /Line 2 is no rule: “5,000 200”/);
  await dialog.locator('button[value="yes"]').click();
  assert.equal(await dialog.locator('textarea').isVisible(), true, 'still open');
  await dialog.locator('textarea').fill('50 20\n5000: 200');
  await dialog.locator('button[value="yes"]').click();
  await dialog.locator('textarea').waitFor({ state: 'hidden' }); // the next dialog asks whether they are sure
  await agree(reader);
  await waitUntil(async () => (await event(id)).surge.length === 2, 10000, 'both rules');
  await more('Admit some now').waitFor();
  const draft = await world.sale({ open: false });
  await reader.open(saleUrl(world.server, draft));
  await more('All settings').waitFor();
  assert.deepEqual([await more('Admit some now').isVisible(), await more('Clear the queue').isVisible()], [false, false]);
  await reader.close();
});

test('saving one part of the setup leaves what is typed into another', async () => {
  const reader = await organizer();
  const id = await world.sale({ open: false });
  await setup(reader, id);
  await reader.page.locator('#pace [name="threshold"]').fill('777');
  await reader.page.locator('#basics [name="title"]').fill('Half of it');
  await save(reader, 'basics');
  await noticed(reader, /Saved/);
  assert.equal(await reader.page.locator('#pace [name="threshold"]').inputValue(), '777');
  await save(reader, 'pace');
  await waitUntil(async () => (await event(id)).threshold === 777, 10000, 'the threshold');
  await reader.page.locator('#pace [name="expected"]').fill('10000');
  await reader.shows('#forecast', /sold out after about/);
  await reader.close();
});

test('on a slow network a control says that it is under way, and a second press does nothing', async () => {
  const reader = await organizer();
  const id = await world.sale();
  await reader.open(saleUrl(world.server, id));
  await drawn(reader);
  let asked = 0, release;
  const held = new Promise((resolve) => { release = resolve; });
  await reader.page.route('**/pause', async (route) => { asked++; await held; await route.continue(); });
  const button = reader.page.locator('form[data-verb="pause"] button');
  await button.dblclick();
  await agree(reader);
  await noticed(reader, /Under way/);
  await button.click();
  assert.equal(await reader.page.locator('dialog[open]').count(), 0);
  release();
  await noticed(reader, /is paused/);
  assert.equal(await reader.page.locator('[data-name="underway"]').count(), 0);
  assert.equal(asked, 1);
  await reader.close();
});

test('the threshold field follows another person, unless something was typed', async () => {
  const reader = await organizer();
  const id = await world.sale({ threshold: 10 });
  await reader.open(saleUrl(world.server, id));
  await drawn(reader);
  const change = (threshold) => world.organizer.must('PATCH', `/api/admin/events/${id}`, { threshold });
  const field = reader.page.locator('#threshold');
  await change(99);
  await waitUntil(async () => (await field.inputValue()) === '99', 10000, 'the field follows');
  await field.fill('50');
  await change(120);
  await becomes(reader, '#threshold_of', 'of 120');
  assert.equal(await field.inputValue(), '50');
  await reader.close();
});

test('a hall says what is missing, takes no price that would be rounded, and is stored again after a failure', async () => {
  const reader = await organizer();
  reader.expects(/Failed to load resource/);
  const { id } = await world.organizer.must('POST', '/api/admin/events', { title: 'Empty' });
  await reader.open(saleUrl(world.server, id, '/hall'));
  const field = (name) => reader.page.locator(`#add [name="${name}"]`);
  await field('section').fill('A');
  await field('price').fill('1200.5');
  await reader.shows('#why', /Still missing: Currency/);
  await field('currency').fill('KW');
  await reader.shows('#currency_field .wrong', /three capital letters/);
  await field('currency').fill('JPY');
  await reader.shows('#grid .wrong', /JPY have 0 decimals at most: A/);
  await field('rows').fill('-3');
  await reader.shows('#grid', /from 1 to 1,000/);
  await field('rows').fill('10');
  assert.equal(await reader.page.locator('#store').isDisabled(), true);
  await field('currency').fill('KWD');
  await field('price').fill('12.345'); // three decimals, as dinars have
  await reader.shows('#summary', /200 seats/);
  await waitUntil(async () => reader.page.locator('#store').isEnabled(), 10000, 'it can be stored');
  await field('currency').fill('JPY');
  await field('price').fill('1200');
  await reader.page.route('**/seats?check=1', async (route) => {
    await reader.shows('#why', /Checking/);
    await route.continue();
  });
  await field('rows').fill('11');
  await reader.shows('#summary', /220 seats/);
  await reader.page.unroute('**/seats?check=1');
  await field('rows').fill('10');
  await reader.shows('#summary', /200 seats/);
  await reader.page.route('**/seats', (route) => route.abort());
  await reader.page.locator('#store').click();
  await noticed(reader, /cannot be reached/);
  await reader.page.unroute('**/seats');
  await reader.page.locator('#store').click();
  await noticed(reader, /The hall has 200 seats. Buyers see nothing yet/);
  await reader.close();
});

test('what the service refuses is said in the language of the page: a state, a number, the lines of a file', async () => {
  const reader = await organizer({ language: 'ja-JP' });
  reader.expects(/status of 4\d\d/);
  const id = await world.sale({ threshold: 5, timeZone: 'Asia/Tokyo' });
  await reader.open(saleUrl(world.server, id));
  await drawn(reader);
  await world.organizer.must('POST', `/api/admin/events/${id}/close`, { confirm: id });
  await reader.page.locator('form[data-verb="pause"] button').click();
  await agree(reader);
  await noticed(reader, /販売は終了しています。先に再開場してください。/);
  await world.organizer.must('POST', `/api/admin/events/${id}/reopen`);
  await setup(reader, id);
  await reader.page.locator('#look [name="help"]').fill('ftp://example.com');
  await save(reader, 'look');
  await reader.shows('#wrong_help', /リンクは https:\/\/ か mailto: で始まります。/);
  await reader.open(saleUrl(world.server, id, '/hall'));
  await reader.page.locator('#add [name="way"][value="file"]').check();
  const csv = 'section,row,number,price,currency\nX,1,1,"150,000",KRW\nX,1,2,100,WON\nX,1\n';
  await reader.page.locator('#add [name="file"]').setInputFiles({ name: 'hall.csv', mimeType: 'text/csv', buffer: Buffer.from(csv) });
  await reader.shows('#errors', /2 行目: 価格は区切り記号なしで、KRWの最小単位で書きます：150000/);
  await reader.shows('#errors', /3 行目: WON：使われている通貨ではありません。/);
  await reader.shows('#errors', /4 行目: この行のセルが見出しより少なくなっています。/);
  await reader.close();
});

test('nobody is found: in the language of the page; after a refund the payments are those of now', async () => {
  const reader = await organizer({ language: 'ko-KR' });
  reader.expects(/status of 404/);
  const id = await world.sale({ threshold: 5 });
  const buyer = new Client(world.server);
  assert.equal((await buyer.check(id)).body.status, 'active');
  const { body: reservation } = await buyer.post('/api/reservations', { json: { eventId: id, quantity: 2 } });
  await pay(world.server, reservation);
  await reader.open(saleUrl(world.server, id, '/people'));
  const find = async (who) => {
    await reader.page.locator('#who').fill(who);
    await reader.page.locator('#find button').click();
  };
  await find('NOBODY');
  await noticed(reader, /찾지 못했습니다/);
  await find(reservation.reservationNumber);
  await reader.shows('#entries', new RegExp(`결제가 완료되었습니다: ${reservation.reservationNumber}`));
  assert.doesNotMatch(await reader.seen('#entries'), /joined|seats?\b|turn/, 'the story is in the language of the page');
  await reader.page.locator('#reservations button').click();
  for (const box of await reader.page.locator('dialog[open] .field input[value]').all()) if (await box.getAttribute('value') !== 'on') await box.uncheck();
  await reader.page.locator('dialog[open] button[value="yes"]').click();
  assert.equal(await reader.page.locator('dialog[open]').count(), 1, 'no seat is chosen: the question stays');
  for (const box of await reader.page.locator('dialog[open] .field input[value]').all()) await box.check();
  const before = await reader.page.locator('#audit li').count();
  await agree(reader);
  await waitUntil(async () => (await reader.page.locator('#audit li').count()) > before, 10000, 'the list of changes has the refund');
  await reader.shows('#payments', /환불 예정/);
  await reader.close();
});
