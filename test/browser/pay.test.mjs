// SPDX-License-Identifier: MIT
//
// The payment page of the demo provider, as a buyer sees it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SMALL_PHONE, axe } from '../fixtures/browser.mjs';
import { holds, shop } from './buy_support.mjs';

const { server, browser, provider, sale, inside } = await shop();

const GRID = { section: 'Floor', rows: 2, seatsPerRow: 4 };

async function paying(settings, options) {
  const reader = await inside(await sale(settings), { ...SMALL_PHONE, bypassCSP: true, ...options });
  await holds(reader, 1);
  await reader.page.locator('#pay_button').click();
  await reader.page.waitForURL('**/pay?**');
  return reader;
}

// How many lines the text of an element has.
const lines = (reader, where) => reader.page.locator(where).evaluate((one) => {
  const range = document.createRange();
  range.selectNodeContents(one);
  return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
});

test('until when to pay is said by the clock of the event, which is named; amounts are in their currency, on one line', async () => {
  const cases = [
    ['ko-KR', { timeZone: 'Asia/Seoul', halls: [{ ...GRID, price: 1234000, currency: 'KRW' }] }, /^(오전|오후) \d{1,2}:\d\d \(대한민국 표준시\)$/, '₩1,234,000 결제하기', 'Asia/Seoul'],
    ['en-GB', { timeZone: 'America/New_York' }, /^\d{1,2}:\d\d\s[AP]M \(Eastern (Standard|Daylight) Time\)$/, 'Pay €50.00', 'America/New_York'],
    ['ja-JP', { halls: [{ ...GRID, price: 15400, currency: 'JPY' }] }, /^\d{1,2}:\d\d（協定世界時）$/, '￥15,400を支払う', 'UTC'],
  ];
  for (const [language, settings, time, button, zone] of cases) {
    const reader = await paying(settings, { language });
    assert.match(await reader.seen('.order time'), time, language);
    assert.equal(await reader.seen('button[value=pay]'), button);
    assert.equal(await lines(reader, 'button[value=pay]'), 1, button);
    const due = new Date(await reader.page.locator('.order time').getAttribute('datetime'));
    const hour = new Intl.DateTimeFormat(language, { hour: 'numeric', minute: '2-digit', hourCycle: language === 'ja-JP' ? 'h23' : 'h12', timeZone: zone }).formatToParts(due).find(({ type }) => type === 'hour').value;
    assert.match(await reader.seen('.order time'), new RegExp(`(^|\\D)${hour}:`), zone);
    await reader.close();
  }
});

test('the reference can be read out: the beginning of the one that the order has', async () => {
  const reader = await paying();
  const reference = new URL(reader.page.url()).searchParams.get('reference');
  const number = await reader.seen('.order dd[translate=no]');
  assert.match(number, /^[0-9A-Z]{4}-[0-9A-Z]{4}$/);
  assert.ok(reference.replaceAll('-', '').toUpperCase().startsWith(number.replace('-', '')), `${number} of ${reference}`);
  await reader.close();
});

test('what the page is stands in its foot, a landmark of its own', async () => {
  for (const theme of ['light', 'dark']) {
    const reader = await paying({}, { theme });
    assert.match(await reader.page.getByRole('contentinfo').innerText(), /^This is a demonstration\./);
    assert.equal(await axe(reader.page), '');
    await reader.close();
  }
});

test('without JavaScript the order brings the zone along, and a zone that is none counts as none', async () => {
  const id = await sale({ timeZone: 'Asia/Seoul', autoHold: 0 });
  const reader = await browser.reader({ javaScriptEnabled: false });
  await reader.open(`${server.url}/wait/${id}`);
  await reader.page.locator('#enter').click();
  await reader.page.locator('#best_button').click();
  await reader.page.locator('#pay_button').click();
  await reader.page.waitForURL('**/pay?**');
  assert.match(await reader.seen('.order time'), /\(Korean Standard Time\)$/);
  const url = new URL(reader.page.url());
  url.searchParams.set('zone', 'Mars/Base"><b>');
  const answer = await provider.request('GET', url.pathname + url.search);
  assert.match(answer.text, /\(Coordinated Universal Time\)/);
  assert.doesNotMatch(answer.text, /Mars/);
  await reader.close();
});
