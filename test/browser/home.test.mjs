// SPDX-License-Identifier: MIT
//
// What all pages share: the language menu, the foot, times in the event's zone; and the home page, in each language and
// theme.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, DESKTOP, SMALL_PHONE, axe, brokenWords, markup } from '../fixtures/browser.mjs';
import { waitUntil } from '../fixtures/index.mjs';
import { World, live, showing } from './wait_scenes.mjs';

const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const LINKS = { seller: 'https://shop.example/imprint', help: 'mailto:help@shop.example', terms: 'https://shop.example/terms', refunds: 'https://shop.example/refunds', privacy: 'https://shop.example/privacy' };
const image = `data:image/png;base64,${PIXEL}`;

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

const wide = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

for (const [language, theme, size] of [['en-GB', 'light', SMALL_PHONE], ['ko-KR', 'dark', SMALL_PHONE], ['ja-JP', 'light', DESKTOP]]) {
  test(`the home page, ${language}, ${theme}: accessible, valid, and it fits; a search too, and one without a result`, async () => {
    await world.sale({ title: 'Harbour Sessions', venue: 'Pier 7', timeZone: 'Asia/Seoul', branding: { name: 'Arena', image }, links: LINKS });
    await world.sale({ title: 'x'.repeat(200), startsAt: null });
    const reader = await browser.reader({ theme, language, ...size, motion: 'reduce', bypassCSP: true });
    for (const path of ['/', '/?q=harbour', '/?q=nothing+like+it', '/?page=7']) {
      await reader.open(`${world.server.url}${path}`);
      await reader.page.locator('.fair summary').click();
      await reader.page.locator('.languages summary').click();
      assert.equal(await axe(reader.page), '', path);
      assert.equal(await wide(reader.page), 0, path);
      const sent = await reader.context.request.get(reader.page.url());
      assert.equal(await markup(await sent.text()), '', path);
    }
    await reader.close();
  });
}

test('the waiting page with a picture and links: accessible in both themes', async () => {
  const id = await world.full({ branding: { name: 'Arena', image }, links: LINKS });
  for (const theme of ['light', 'dark']) {
    const reader = await browser.reader({ theme, ...SMALL_PHONE, motion: 'reduce', bypassCSP: true });
    await reader.open(world.url(id));
    await live(reader);
    await reader.page.locator('.fair summary').click();
    assert.equal(await axe(reader.page), '');
    assert.equal(await wide(reader.page), 0);
    await reader.close();
  }
});

test('a rehearsal says so above everything: accessible in both themes and three languages, and it fits', async () => {
  const id = await world.full({ rehearsal: true });
  for (const [theme, language, word] of [['light', 'en-GB', 'Rehearsal'], ['dark', 'ko-KR', '리허설'], ['dark', 'ja-JP', 'リハーサル']]) {
    const reader = await browser.reader({ theme, language, ...SMALL_PHONE, motion: 'reduce', bypassCSP: true });
    await reader.open(world.url(id));
    await live(reader);
    assert.match(await reader.page.locator('#rehearsal').textContent(), new RegExp(`^${word}`));
    assert.equal(await axe(reader.page), '');
    assert.equal(await wide(reader.page), 0);
    if (process.env.LOOK) await reader.page.screenshot({ path: `${process.env.LOOK}/rehearsal-${language}.png` });
    await reader.close();
  }
});

test('the language menu works by keyboard, and keeps what the page has become', async () => {
  const id = await world.full();
  const reader = await browser.reader();
  await reader.open(world.url(id));
  await live(reader);
  await reader.page.locator('#leave').click();
  await reader.page.locator('#leave_dialog button[value="yes"]').click();
  await showing(reader, 'left');
  await reader.page.locator('.languages summary').focus();
  await reader.page.keyboard.press('Enter');
  await reader.page.locator('.languages a[lang="ko"]').focus();
  await reader.page.keyboard.press('Enter');
  await reader.page.locator('html[lang="ko"]').waitFor();
  await showing(reader, 'left');
  assert.equal(await reader.seen('#heading'), '대기를 취소했습니다');
  await reader.close();
});

test('times are those of the event; the opening is shown by the reader\'s clock as well', async () => {
  const opensAt = new Date(Date.now() + 40 * 86400000).toISOString();
  const id = await world.sale({ open: false, opensAt, timeZone: 'Asia/Seoul', startsAt: '2027-05-14T10:00:00Z' });
  await world.organizer.act(id, 'publish');
  const reader = await browser.reader({ timezoneId: 'Europe/Berlin' });
  await reader.open(world.url(id));
  await showing(reader, 'scheduled');
  await live(reader);
  const text = async (selector) => (await reader.seen(selector)).replace(/\s/g, ' ');
  assert.equal(await text('#starts'), 'Friday, May 14, 2027 at 7:00 PM (Korean Standard Time)');
  const at = (timeZone) => new Intl.DateTimeFormat('en', { dateStyle: 'full', timeStyle: 'short', timeZone }).format(new Date(opensAt)).replace(/\s/g, ' ');
  assert.equal(await text('#opens'), `${at('Asia/Seoul')} (Korean Standard Time)`);
  assert.equal(await text('#opens_here'), `${at('Europe/Berlin')} where you are`);
  await reader.close();
});

test('the organizer\'s message is shown in the reader\'s language, on the page and when it comes', async () => {
  const id = await world.full();
  const reader = await browser.reader({ language: 'ja-JP' });
  await world.organizer.act(id, 'message', { text: { en: 'Soon.', ja: 'まもなくです。' } });
  await reader.open(world.url(id));
  await live(reader);
  assert.equal(await reader.seen('#message'), 'まもなくです。');
  await world.organizer.act(id, 'message', { text: { en: 'Now.', ja: '今です。' } });
  await reader.page.locator('#message', { hasText: '今です。' }).waitFor();
  await reader.close();
});

test('an event without guests leads to where buyers sign in, and from there back to the queue', async () => {
  const reader = await browser.reader();
  reader.expects(/status of 401/);
  const back = (id) => encodeURIComponent(world.url(id));
  for (const [loginUrl, joint] of [['https://shop.example/sign-in', '?'], ['https://shop.example/in?from=queue', '&']]) {
    const id = await world.sale({ allowGuests: false, loginUrl });
    for (const path of ['wait', 'buy']) {
      await reader.open(`${world.server.url}/${path}/${id}`);
      await showing(reader, 'login');
      assert.equal(await reader.page.getByRole('link', { name: 'Sign in', exact: true }).getAttribute('href'), `${loginUrl}${joint}return=${back(id)}`);
    }
  }
  await reader.open(world.url(await world.sale({ allowGuests: false })));
  await showing(reader, 'login');
  assert.equal(await reader.page.getByRole('link', { name: 'Sign in', exact: true }).count(), 0, 'without an address there is no button');
  await reader.close();
});

test('texts of the organizer are marked with their language, and keep their lines', async () => {
  const id = await world.full({ title: '夜の公演', artist: '待ち列', venue: 'ホール', language: 'ja' });
  const reader = await browser.reader({ language: 'ko-KR' });
  await world.organizer.act(id, 'message', { text: '開場は十九時です。\r\n傘はご遠慮ください。' });
  await reader.open(world.url(id));
  await live(reader);
  const { page } = reader;
  for (const where of ['.event-title', '.event-meta span', '#message']) assert.equal(await page.locator(where).first().getAttribute('lang'), 'ja', where);
  assert.equal(await page.locator('html').getAttribute('lang'), 'ko');
  assert.equal(await reader.seen('#message'), '開場は十九時です。\n傘はご遠慮ください。');
  const lines = () => page.locator('#message').evaluate((one) => one.getBoundingClientRect().height / Number.parseFloat(getComputedStyle(one).lineHeight));
  assert.equal(Math.round(await lines()), 2);
  await world.organizer.act(id, 'message', { text: { en: 'One\n\nThree', ko: '지금입니다.' } });
  await page.locator('#message[lang=ko]', { hasText: '지금입니다.' }).waitFor();
  await world.organizer.act(id, 'message', { text: { en: 'One\n\nThree' } });
  await page.locator('#message[lang=en]', { hasText: 'Three' }).waitFor();
  assert.equal(Math.round(await lines()), 3);
  await page.reload();
  await live(reader);
  assert.equal(await page.locator('#message').getAttribute('lang'), 'en', 'the server says the same');
  await reader.open(`${world.server.url}/`);
  await waitUntil(async () => {
    await page.reload();
    return (await page.locator('h2 a[lang=ja]', { hasText: '夜の公演' }).count()) === 1;
  }, 10000, 'the event on the home page');
  await reader.close();
});

test('a light ground has light cards in a dark theme, too; a dark one leaves the theme to the reader', async () => {
  const look = async (background) => {
    const id = await world.full({ branding: { name: 'Arena', background } });
    const reader = await browser.reader({ theme: 'dark', bypassCSP: true });
    await reader.open(world.url(id));
    await live(reader);
    const found = await reader.page.evaluate(() => ({
      card: getComputedStyle(document.querySelector('.card')).backgroundColor, ground: getComputedStyle(document.documentElement).backgroundColor,
      scheme: getComputedStyle(document.documentElement).colorScheme, bar: [...document.querySelectorAll('meta[name=theme-color]')].map(({ content }) => content).join(),
    }));
    assert.equal(await axe(reader.page), '', background);
    await reader.close();
    return found;
  };
  assert.deepEqual(await look('#fff6e0'), { card: 'rgb(255, 255, 255)', ground: 'rgb(255, 246, 224)', scheme: 'light', bar: '#fff6e0' });
  assert.deepEqual(await look('#1b1640'), { card: 'rgb(25, 29, 32)', ground: 'rgb(27, 22, 64)', scheme: 'light dark', bar: '#1b1640' });
});

test('on a wide screen the foot of each page is as wide as what stands above it', async () => {
  const reader = await browser.reader({ width: 1440, height: 900 });
  reader.expects(/status of 404/);
  const open = { '/': undefined, '/no-such-page': undefined, [`/wait/${await world.full()}`]: 'waiting', [`/wait/${await world.sale()}`]: 'admitted', '/buy/nothing': 'unknown' };
  for (const [path, state] of Object.entries(open)) {
    await reader.open(`${world.server.url}${path}`);
    if (state) await showing(reader, state);
    const [main, foot, card] = await reader.page.evaluate(() => ['main', '.trust', '.card'].map((where) => {
      const { left, right } = document.querySelector(where).getBoundingClientRect();
      return [left, right];
    }));
    assert.deepEqual(foot, main, path);
    if (path !== '/' && state !== 'waiting') assert.deepEqual(card, foot, path);
    assert.ok(Math.abs(main[0] + main[1] - 1440) <= 20, `${path}: ${main} is in the middle`);
  }
  await reader.close();
});

test('on a wide screen a picture stands above the card and what is beside it', async () => {
  const id = await world.full({ branding: { name: 'Arena', image } });
  const reader = await browser.reader({ width: 1440, height: 900 });
  await reader.open(world.url(id));
  await live(reader);
  const [main, poster, card, side] = await reader.page.evaluate(() => ['main', '.poster', '.card', '.side'].map((where) => document.querySelector(where).getBoundingClientRect().toJSON()));
  assert.deepEqual([poster.left, poster.right], [main.left, main.right]);
  assert.equal(card.left, main.left);
  assert.ok(card.top < poster.bottom && card.bottom > poster.bottom, 'the card overlaps the picture');
  assert.ok(side.left > card.right && side.top > poster.bottom && side.top < card.bottom, 'what is next stands beside the card');
  await reader.close();
});

test('200 % text on a phone: no word is broken inside, and nothing is wider than the screen', async () => {
  const reader = await browser.reader({ width: 360, height: 740 });
  reader.expects(/status of 404/);
  for (const path of ['/', '/no-such-page', `/wait/${await world.full()}`, `/wait/${await world.sale()}`, `/wait/${await world.full()}/leave`]) {
    await reader.open(`${world.server.url}${path}`);
    if (/wait\/[^/]+$/.test(path)) await live(reader);
    await reader.page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
    assert.deepEqual(await brokenWords(reader.page), [], path);
    assert.equal(await wide(reader.page), 0, path);
  }
  await reader.close();
});
