// SPDX-License-Identifier: MIT
//
// The buying page in the hand: seats on the first screen, notices where the thumb is, the browser's Back button,
// the focus, two tabs, forced colours.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP, axe, brokenWords } from '../fixtures/browser.mjs';
import { waitUntil } from '../fixtures/index.mjs';
import { holds, seat, shop } from './buy_support.mjs';

const { server, browser, sale, enter, inside, rival } = await shop();

const SMALL = { width: 360, height: 740, hasTouch: true, isMobile: true };
const LANDSCAPE = { width: 740, height: 360, hasTouch: true, isMobile: true };
const HALL = [{ section: 'Floor', rows: 10, seatsPerRow: 40, price: 9900 }, { section: 'Balcony', rows: 10, seatsPerRow: 30, price: 7900 }];
const STADIUM = Array.from({ length: 6 }, (_, n) => ({ section: `Block ${n + 1}`, rows: 10, seatsPerRow: 30, price: 12900 - 200 * n }));

const connected = ({ page }) => page.locator('main[data-live="socket"]').waitFor();
const focused = ({ page }) => page.evaluate(() => document.activeElement.id || document.activeElement.getAttribute('aria-label') || document.activeElement.tagName);
const focuses = (reader, what) => waitUntil(async () => (what instanceof RegExp ? what.test(await focused(reader)) : (await focused(reader)) === what), 10000, `the focus on ${what}`);
// Seats of which the whole is on the screen and covered by nothing.
const seatsSeen = ({ page }) => page.evaluate(() => [...document.querySelectorAll('.seat')].filter((one) => {
  const { left, top, right, bottom } = one.getBoundingClientRect();
  return top >= 0 && left >= 0 && bottom <= innerHeight && right <= innerWidth && document.elementFromPoint((left + right) / 2, (top + bottom) / 2) === one;
}).length);

for (const [name, look] of [['360x740', SMALL], ['in landscape', LANDSCAPE]]) {
  test(`${name}: the first screen shows the seats, with two of them held`, async () => {
    const reader = await inside(await sale({ halls: HALL, autoHold: 2 }), look);
    await holds(reader, 2);
    await waitUntil(async () => (await reader.page.locator('.seat').count()) === 700, 10000, 'all seats');
    assert.equal(await reader.page.evaluate(() => scrollY), 0);
    assert.ok((await seatsSeen(reader)) >= 600, `${await seatsSeen(reader)} seats are seen`);
    for (const part of ['.event-title', '#clock_time', '#pay_button', '#best_button', '#larger']) {
      const { y, height } = await reader.page.locator(part).boundingBox();
      assert.ok(y >= 0 && y + height <= look.height, `${part} is on the first screen`);
    }
    assert.equal(await reader.page.locator('#smaller').isEnabled(), false, 'the hall is shown whole');
    assert.match(await reader.seen('#legend'), /€99\.00\s+€79\.00/, 'a colour has its price before anything is chosen');
    if (look === SMALL) assert.match(await reader.seen('.schematic'), /Schematic, not to scale/);
    await reader.close();
  });
}

test('what goes wrong is said above the order, on the screen, and can be put away', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await inside(id, SMALL);
  await connected(reader);
  const other = await rival(id);
  await seat(reader, 2, 2).tap();
  await waitUntil(() => reader.page.locator('#take').isVisible(), 10000, 'the choice');
  const { seats } = (await other.get(`/api/seats/${id}`)).body;
  await other.reserve({ eventId: id, seatIds: [seats.find((one) => one.row === '2' && one.number === 2).id] });
  await waitUntil(() => reader.page.locator('#notice').isVisible(), 10000, 'the notice');
  const notice = await reader.page.locator('#notice').boundingBox();
  assert.ok(notice.y > 200 && notice.y + notice.height <= 740, 'where the thumb is');
  await reader.page.locator('#notice_close').tap();
  assert.equal(await reader.page.locator('#notice').isVisible(), false);
  await reader.close();
});

test('paying without a connection says so on the screen, and nothing fails unseen', async () => {
  const reader = await inside(await sale(), SMALL);
  await holds(reader, 1);
  reader.expects(/ERR_INTERNET_DISCONNECTED/);
  await reader.context.setOffline(true);
  await reader.page.locator('#pay_button').tap();
  await waitUntil(() => reader.page.locator('#notice').isVisible(), 10000, 'the notice');
  assert.match(await reader.seen('#notice_text'), /seem to be offline/);
  const { y, height } = await reader.page.locator('#notice').boundingBox();
  assert.ok(y >= 0 && y + height <= 740);
  await waitUntil(async () => (await reader.page.locator('#pay_button').getAttribute('aria-disabled')) === 'false', 10000, 'the button');
  await reader.context.setOffline(false);
  await reader.close();
});

test('Back leads from a section to the plan, and a choice that is not held outlives a reload', async () => {
  const id = await sale({ halls: STADIUM, autoHold: 0 });
  const reader = await enter(id, SMALL);
  const { page } = reader;
  await page.locator('.plan').waitFor();
  await page.locator('.area').nth(3).tap();
  await waitUntil(async () => (await page.locator('.seat').count()) === 300, 10000, 'the seats');
  await page.locator('.seat').nth(40).evaluate((one) => one.dispatchEvent(new MouseEvent('click', { bubbles: true })));
  const chosen = await reader.seen('#order_names');
  await page.goBack();
  await page.locator('.plan').waitFor();
  assert.match(page.url(), new RegExp(`/buy/${id}$`));
  assert.equal(await reader.seen('#order_names'), chosen, 'the choice is kept');
  await page.goForward();
  await waitUntil(async () => (await page.locator('.seat').count()) === 300, 10000, 'the seats');
  await page.reload();
  await waitUntil(async () => (await page.locator('.seat').count()) === 300, 10000, 'the section again');
  assert.equal(await reader.seen('#order_names'), chosen);
  await page.locator('#back').tap();
  await page.locator('.plan').waitFor();
  await page.goBack();
  assert.match(page.url(), new RegExp(`/wait/${id}$`));
  await reader.close();
});

test('the focus never falls to the body', async () => {
  const id = await sale({ autoHold: 0, halls: STADIUM });
  const reader = await enter(id, DESKTOP);
  const { page } = reader;
  await page.locator('.area').first().focus();
  await page.keyboard.press('Enter');
  await focuses(reader, /^Row 1, seat/);
  await page.keyboard.press('Enter');
  await page.locator('#take').focus();
  await page.keyboard.press('Enter');
  await focuses(reader, 'pay_button');
  await holds(reader, 1);
  await page.locator('.seat[tabindex="0"]').focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await page.locator('#keep').focus();
  await page.keyboard.press('Enter');
  await focuses(reader, 'pay_button');
  await page.locator('#cancel').focus();
  await page.keyboard.press('Enter');
  await focuses(reader, /^Row 1, seat 2,/);
  await page.locator('#back').focus();
  await page.keyboard.press('Enter');
  await focuses(reader, 'AREA').catch(async () => assert.ok(await page.evaluate(() => document.activeElement.classList.contains('area'))));
  await reader.close();
});

test('what has the focus is not behind the order, however high it is', async () => {
  const id = await sale({ halls: HALL, autoHold: 4 });
  const reader = await inside(id, { width: 390, height: 844 });
  const { page } = reader;
  await holds(reader, 4);
  await page.locator('#order_toggle').click();
  for (let n = 0; n < 3; n++) await page.locator('#larger').click();
  await page.locator('.seat[tabindex="0"]').focus();
  for (let n = 0; n < 12; n++) {
    await page.keyboard.press('ArrowDown');
    const [bottom, top] = await page.evaluate(() => [document.activeElement.getBoundingClientRect().bottom, document.querySelector('#order').getBoundingClientRect().top]);
    assert.ok(bottom <= top + 1, `step ${n}: ${bottom} is behind ${top}`);
  }
  await reader.close();
});

test('all own seats deselected: they can be released from there', async () => {
  const reader = await inside(await sale({ autoHold: 0 }), DESKTOP);
  await reader.page.locator('#best_button').click();
  await holds(reader, 2);
  for (const number of [1, 2]) await reader.page.locator('.seat[data-s=own]').first().click({ position: { x: 4, y: 4 } }).catch(() => number);
  await reader.shows('#take', /^Release seats$/);
  await reader.page.locator('#take').click();
  await reader.shows('#none', /^No seats yet/);
  await waitUntil(async () => (await reader.page.locator('.seat[data-s=free]').count()) === 72, 10000, 'all seats to be free');
  await reader.close();
});

test('two tabs show the same order, and a choice in one does not drop what the other holds', async () => {
  const id = await sale({ autoHold: 0 });
  const one = await inside(id, DESKTOP);
  const page = await one.tab();
  await page.goto(`${server.url}/buy/${id}`);
  await page.locator('.seat').first().waitFor();
  await one.page.bringToFront();
  await one.page.locator('#best_button').click();
  await holds(one, 2);
  await page.locator('#pay_button').waitFor();
  assert.equal(await page.locator('#seats li').count(), 2);
  await page.bringToFront();
  await page.locator('.seat[aria-label^="Row 5, seat 5,"]').click();
  assert.equal(await page.locator('#take').innerText(), 'Hold these 3 seats');
  await page.locator('#take').click();
  await holds(one, 3);
  await one.close();
});

test('forced colours: prices, the legend and the step keep a form that is seen', async () => {
  const reader = await inside(await sale({ halls: HALL, autoHold: 0 }), { ...DESKTOP, forcedColors: 'active', bypassCSP: true });
  const { page } = reader;
  await connected(reader);
  const style = (where, name) => page.locator(where).first().evaluate((one, property) => getComputedStyle(one)[property], name);
  assert.notEqual(await style('.swatch.t0', 'backgroundColor'), await style('.swatch.t1', 'backgroundColor'));
  assert.notEqual(await style('.seat.t0', 'fill'), await style('.seat.t1', 'fill'));
  assert.equal(await style('.swatch.taken', 'borderTopStyle'), 'solid');
  assert.equal(await style('.dot', 'borderTopStyle'), 'solid');
  assert.equal(await axe(page), '');
  await reader.close();
});

test('200 % text on a small phone: words are not broken inside, nothing is wider than the screen', async () => {
  const reader = await inside(await sale(), { width: 360, height: 740 });
  await holds(reader, 1);
  await reader.page.evaluate(() => (document.documentElement.style.fontSize = '200%'));
  const [width, room] = await reader.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  assert.ok(width <= room, `${width} px wide`);
  assert.deepEqual(await brokenWords(reader.page), []);
  assert.ok(await reader.page.locator('#pay_button').isVisible());
  await reader.close();
});

test('the map is a grid of named rows, and its drawing is no picture of its own', async () => {
  const reader = await inside(await sale({ autoHold: 0 }), DESKTOP);
  assert.equal(await reader.page.locator('svg.map').getAttribute('role'), 'presentation');
  assert.equal(await reader.page.getByRole('row', { name: 'Row 3', exact: true }).count(), 1);
  await reader.close();
});

test('a mouse drags the enlarged map, and chooses nothing by that', async () => {
  const reader = await inside(await sale({ halls: HALL, autoHold: 0 }), DESKTOP);
  const { page } = reader;
  for (let n = 0; n < 4; n++) await page.locator('#larger').click();
  const { x, y, width, height } = await page.locator('.hall-view').boundingBox();
  const before = await page.locator('.hall-view').evaluate((view) => view.scrollLeft);
  await page.mouse.move(x + width / 2, y + height / 2);
  await page.mouse.down();
  await page.mouse.move(x + width / 2 - 90, y + height / 2 - 20, { steps: 4 });
  await page.mouse.up();
  assert.equal(Math.round((await page.locator('.hall-view').evaluate((view) => view.scrollLeft)) - before), 90);
  assert.equal(await page.locator('#seats li').count(), 0);
  await reader.close();
});

test('an enlarged map says where the buyer is: rows at its edge, and the whole hall in small, which leads elsewhere', async () => {
  const reader = await inside(await sale({ halls: HALL, autoHold: 0 }), SMALL);
  const { page } = reader;
  await waitUntil(async () => (await page.locator('.seat').count()) === 700, 10000, 'all seats');
  assert.equal(await page.locator('.minimap').isVisible(), false, 'the hall is shown whole');
  for (let n = 0; n < 4; n++) await page.locator('#larger').click();
  await page.locator('.minimap').waitFor();
  const view = page.locator('.hall-view');
  await view.evaluate((one) => one.scrollTo(one.scrollWidth / 2, 0));
  // Each name stands beside a seat of its row.
  const rows = () => page.evaluate(() => [...document.querySelectorAll('.guide-rows span:not([hidden])')].map((span) => {
    const { right, top, height } = span.getBoundingClientRect();
    let seat;
    for (let away = 0; away < 40 && !seat; away++) seat = document.elementFromPoint(right + away, top + height / 2)?.closest('.seat');
    return [span.textContent, /row (\d+)/i.exec(seat?.getAttribute('aria-label'))?.[1]];
  }));
  await waitUntil(async () => (await rows()).length >= 3, 5000, 'names at the edge');
  for (const [name, seated] of await rows()) assert.equal(name, seated);
  // The frame has the place and the size of the part that is seen.
  const part = () => page.evaluate(() => {
    const { scrollLeft, scrollWidth, clientWidth } = document.querySelector('.hall-view');
    const [frame, width] = [document.querySelector('.guide-frame'), document.querySelector('.minimap').viewBox.baseVal.width];
    return [[scrollLeft / scrollWidth, clientWidth / scrollWidth], [frame.x.baseVal.value / width, frame.width.baseVal.value / width]];
  });
  const [seen, framed] = await part();
  assert.ok(Math.abs(seen[0] - framed[0]) < 0.02 && Math.abs(seen[1] - framed[1]) < 0.02, `${seen} is seen, ${framed} framed`);
  const { x, y, width, height } = await page.locator('.minimap').boundingBox();
  await page.touchscreen.tap(x + width - 3, y + height - 3);
  await waitUntil(() => view.evaluate((one) => one.scrollLeft + one.clientWidth > one.scrollWidth - 2), 5000, 'the other end of the hall');
  assert.equal(await page.locator('#seats li').count(), 0, 'nothing is chosen by that');
  await reader.close();
});

test('without JavaScript: when the time ends, the step, sections with their prices', async () => {
  const id = await sale({ halls: HALL, autoHold: 0, timeZone: 'Asia/Seoul' });
  const reader = await browser.reader({ javaScriptEnabled: false });
  await reader.open(`${server.url}/wait/${id}`);
  await reader.page.locator('#enter').click();
  await reader.page.waitForURL(`**/buy/${id}`);
  assert.equal(await reader.seen('#clock_label'), 'Buy by');
  assert.match(await reader.seen('#clock_time'), /^\d{1,2}:\d\d\s[AP]M \(Korean Standard Time\)$/);
  assert.equal(await reader.page.locator('#step_choose').getAttribute('aria-current'), 'step');
  assert.equal(await reader.page.locator('noscript meta[http-equiv=refresh]').count(), 1, 'the page is read again when it ends');
  assert.deepEqual(await reader.page.locator('#section option').allTextContents(), ['Any section', 'Floor · from €99.00', 'Balcony · from €79.00']);
  await reader.page.locator('#section').selectOption('Balcony');
  await reader.page.locator('#best_button').click();
  await reader.page.waitForURL(`**/buy/${id}`);
  assert.match(await reader.seen('#seats'), /^Balcony, row 1, seat \d+\s+€79\.00/);
  await reader.close();
});
