// SPDX-License-Identifier: MIT
//
// The ticket in real browsers: paid in one and shown in another, by GET and by POST; copied, printed, celebrated once; and
// its states, light and dark, in each language.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP, SMALL_PHONE, axe, markup } from '../fixtures/browser.mjs';
import { Provider, waitUntil } from '../fixtures/index.mjs';
import { shop, ticketScenes } from './buy_scenes.mjs';
import { drawn, holds, pay, reaches, ticket } from './buy_support.mjs';

const world = await shop();
const { browser, server, sale } = world;
world.halls = [{ section: 'Floor', rows: 4, seatsPerRow: 40, price: 9900 }];

const LANGUAGES = ['en-GB', 'ko-KR', 'ja-JP'];
const NIGHT = { title: 'One Night Only', venue: 'Tiketi Hall', startsAt: '2027-05-14T10:00:00Z', timeZone: 'Asia/Seoul', halls: world.halls };

async function seated(settings = {}, look = {}) {
  const id = await sale({ ...NIGHT, ...settings });
  const reader = await browser.reader(look);
  await reader.open(`${server.url}/wait/${id}`);
  await reader.page.locator('main[data-state="admitted"]').waitFor();
  await reader.open(`${server.url}/buy/${id}`);
  await drawn(reader);
  await holds(reader, 1);
  return { id, reader };
}

// Presses Pay, and returns the address to which the payment page leads back.
async function toPayment(reader) {
  await reader.page.locator('#pay_button').click();
  await reader.page.waitForURL('**/pay?**');
  return new URL(reader.page.url()).searchParams.get('return');
}

ticketScenes.forEach(([name, scene], i) => {
  for (const theme of ['light', 'dark']) {
    const language = LANGUAGES[(i + (theme === 'dark')) % LANGUAGES.length];
    test(`${name}, ${theme}, ${language}: accessible, valid, and it fits`, async () => {
      const reader = await browser.reader({ theme, language, ...(theme === 'light' ? SMALL_PHONE : DESKTOP), motion: 'reduce', bypassCSP: true });
      await scene(world, reader);
      if (name === 'valid') assert.ok((await reader.page.locator('.strip-image').boundingBox()).height <= 224, 'the picture leaves the first screen to the ticket');
      assert.equal(await axe(reader.page), '');
      assert.equal(await markup(await (await reader.context.request.get(reader.page.url())).text()), '');
      const [width, room] = await reader.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      assert.ok(width <= room, `${width} px wide`);
      await reader.close();
    });
  }
});

test('paid in an app, back in another browser: confirming, then the ticket by itself, which outlives the cookies', async () => {
  const { reader } = await seated();
  const back = await toPayment(reader);
  const other = await browser.reader({ language: 'ko-KR' });
  await other.open(`${back}&payment=paid`);
  await reaches(other, 'confirming');
  await reader.page.locator('button[value=pay]').click();
  const number = await ticket(reader);
  assert.equal(await ticket(other), number, 'without a reload by hand');
  assert.match(await other.seen('.starts'), /2027년 5월 14일 금요일 오후 7:00/, 'in the venue’s time');
  const link = other.page.url();
  assert.match(link, /\/ticket\/[\w-]{43}$/);
  await other.context.clearCookies();
  await other.page.reload();
  assert.equal(await ticket(other), number);
  await reader.close();
  await other.close();
});

test('a payment page that returns by POST leads to the ticket as well', async (t) => {
  const card = await Provider.start({ server, args: ['--post-return'] });
  t.after(() => card.stop());
  const { reader } = await seated();
  const { request } = reader.context;
  const { reservations: [held] } = await (await request.get(`${server.url}/api/reservations`)).json();
  const order = await (await request.post(`${server.url}/api/reservations/${held.id}/pay`)).json();
  await reader.open(card.url + card.payAddress(order, order.returnUrl));
  const posts = [];
  reader.page.on('request', (request) => request.method() === 'POST' && posts.push(new URL(request.url()).pathname.split('/')[1]));
  await reader.page.locator('button[value=pay]').click();
  await ticket(reader);
  assert.deepEqual(posts, ['pay', 'tickets']);
  await reader.close();
});

test('not paid: the buyer is back at their seats; another browser says where to pay', async () => {
  const { id, reader } = await seated();
  const back = await toPayment(reader);
  const other = await browser.reader();
  await other.open(`${back}&payment=cancelled`);
  await reaches(other, 'elsewhere');
  assert.equal(await other.page.locator('a[href^="/buy/"], form').count(), 0, 'nothing can be done from there');
  await reader.page.locator('button[value=cancel]').click();
  await reader.page.waitForURL(`**/buy/${id}**`);
  await holds(reader, 1);
  await reader.close();
  await other.close();
});

test('the link and the number are copied; the page prints the ticket alone; the joy is once, and still for those who want it so', async () => {
  const { id, reader } = await seated({}, { permissions: ['clipboard-read', 'clipboard-write'] });
  const { page } = reader;
  await pay(reader);
  const number = await ticket(reader);
  assert.equal(await page.locator('main.fresh').count(), 1);
  const copied = async (button) => {
    await page.getByRole('button', { name: button, exact: true }).click();
    await reader.shows('#polite', /^Copied$/);
    return page.evaluate(() => navigator.clipboard.readText());
  };
  assert.equal(await copied('Copy link'), page.url());
  assert.equal(await copied('Copy booking number'), number);
  await page.reload();
  assert.equal(await page.locator('main.fresh').count(), 0, 'once');

  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  assert.equal(await page.locator('.keep, .top').filter({ visible: true }).count(), 0);
  assert.equal(await page.locator('.ticket').evaluate((element) => getComputedStyle(element).backgroundColor), 'rgb(255, 255, 255)');
  assert.equal(await page.locator('.code').first().evaluate((element) => getComputedStyle(element).backgroundColor), 'rgb(255, 255, 255)');
  await page.emulateMedia({ media: 'screen', colorScheme: 'dark', reducedMotion: 'reduce' });
  await page.evaluate(() => localStorage.clear());
  await page.reload();
  await waitUntil(async () => (await page.locator('main.fresh').count()) === 1, 5000, 'the script');
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  assert.equal(await page.locator('.code').first().evaluate((element) => getComputedStyle(element).backgroundColor), 'rgb(255, 255, 255)', 'readers need it light');

  await reader.open(`${server.url}/wait/${id}`);
  await reaches(reader, 'bought');
  await page.getByRole('link', { name: 'See my tickets' }).first().click();
  assert.equal(await ticket(reader), number);
  await reader.close();
});

test('without JavaScript the page before the ticket loads itself again, and the link can be marked', async () => {
  const { reader } = await seated();
  const back = await toPayment(reader);
  const other = await browser.reader({ javaScriptEnabled: false });
  await other.open(`${back}&payment=paid`);
  await reaches(other, 'confirming');
  await reader.page.locator('button[value=pay]').click();
  const number = await ticket(reader);
  assert.equal(await ticket(other), number);
  assert.equal(await other.page.locator('#link').inputValue(), other.page.url());
  assert.equal(await other.page.locator('button').filter({ visible: true }).count(), 0, 'nothing that does not work');
  await reader.close();
  await other.close();
});
