// SPDX-License-Identifier: MIT
//
// The waiting page: the time that a buyer has. Countdowns that fit, an offer that waits for a page that is seen, one
// deadline that is spoken, what is left of the tickets at the buyer's turn; answers in their order.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { axe } from '../fixtures/browser.mjs';
import { Client, staysTrueFor, waitUntil } from '../fixtures/index.mjs';
import { live, mostlySold, showing } from './wait_scenes.mjs';
import { comesBack, hide, listen, spoken, waitingRoom } from './wait_support.mjs';

const { world, browser, waiting } = await waitingRoom();

const HOUR = 3600000;

for (const [name, ms, pattern] of [['12 hours', 12 * HOUR + 700000, /^12:1\d:\d\d$/], ['3 days', 75 * HOUR + 60000, /^3\sdays 3\shours$/], ['9 minutes', 590000, /^9:\d\d$/]]) {
  test(`a countdown of ${name} stays in one line on small phones`, async () => {
    const id = await world.sale({ open: false, opensAt: new Date(Date.now() + ms).toISOString() });
    await world.organizer.act(id, 'publish');
    for (const width of [360, 390]) {
      const reader = await browser.reader({ width, height: 740 });
      await reader.open(world.url(id));
      await showing(reader, 'scheduled');
      await reader.shows('#countdown_number', pattern);
      const { height, size } = await reader.page.locator('#countdown_number').evaluate((element) => ({
        height: element.getBoundingClientRect().height, size: Number.parseFloat(getComputedStyle(element).fontSize),
      }));
      assert.ok(height < 1.7 * size, `${height} px high, letters of ${size} px`);
      assert.equal(await reader.seen('#ahead'), width === 360 ? 'You are first in line' : '1 person ahead of you');
      await reader.close();
    }
  });
}

test('an answer that is older than what is shown changes nothing', async () => {
  const { id, reader } = await waiting();
  const old = await reader.context.request.get(`${world.server.url}/api/queue/status/${id}`).then((answer) => answer.json());
  assert.ok(old.revision > 0 && old.version > 0);
  await world.organizer.act(id, 'pause');
  await showing(reader, 'paused');
  let asked = 0;
  await reader.page.route(`**/api/queue/status/${id}`, (route) => (++asked === 1 ? route.fulfill({ json: old }) : route.continue()));
  await comesBack(reader.page);
  await waitUntil(() => asked >= 2, 10000, 'the second question');
  await staysTrueFor(300, async () => (await reader.page.locator('main').getAttribute('data-state')) === 'paused', 'the page is paused');
  await reader.close();
});

test('a hidden page claims nothing; seen again, it claims at once', async () => {
  const { id, inside, reader } = await waiting();
  const sent = [];
  await reader.page.route('**/api/queue/**', (route) => {
    sent.push(route.request().postData());
    return route.continue();
  });
  await hide(reader.page);
  await inside.leave(id);
  await showing(reader, 'admitted');
  await reader.shows('#countdown_label', /^Come in within$/);
  assert.match(await reader.seen('#countdown_number'), /^1:[0-3]\d$/);
  assert.match(await reader.seen('#countdown_then'), /Your place is kept/);
  await staysTrueFor(500, () => reader.page.evaluate(() => document.getElementById('countdown_label').textContent === 'Come in within'), 'the offer waits');
  assert.ok(!sent.some((body) => body?.includes('claim')), sent.join());
  await hide(reader.page, false);
  await reader.shows('#countdown_label', /held for|ends in/);
  assert.equal((await reader.context.request.get(`${world.server.url}/api/queue/status/${id}`).then((answer) => answer.json())).claimed, true);
  await reader.close();
});

test('an offer that ran out while the page was hidden: the place is kept, and the buyer is told', async () => {
  const { id, inside, reader } = await waiting({ claimMs: 5000 });
  await listen(reader.page);
  await hide(reader.page);
  await inside.leave(id);
  await showing(reader, 'admitted');
  await reader.page.locator('main[data-state="waiting"]').waitFor({ timeout: 30000 });
  await reader.shows('#missed', /Your place is kept/);
  assert.match(await reader.page.title(), /^Come back|^1 ·/);
  await hide(reader.page, false);
  await showing(reader, 'admitted');
  await reader.close();
});

test('the deadline of a turn: its consequence, its colours, and a word at two minutes and at thirty seconds', async () => {
  const id = await world.sale({ sessionLimitMs: 180000, autoHold: 0 });
  const reader = await browser.reader();
  await reader.page.clock.install();
  await reader.open(world.url(id));
  await showing(reader, 'admitted');
  await listen(reader.page);
  await reader.shows('#countdown_number', /^(3:00|2:[45]\d)$/);
  assert.match(await reader.seen('#countdown_then'), /next in line/);
  assert.match(await reader.seen('#countdown_away'), /90 seconds/);
  const phase = () => reader.page.locator('main').getAttribute('data-phase');
  assert.equal(await phase(), 'calm');
  await reader.page.route('**/api/queue/**', (route) => route.abort()); // the clock of the page runs ahead of the server's
  reader.expects(/ERR_FAILED/);
  await reader.page.clock.runFor(65000);
  assert.equal(await phase(), 'soon');
  await waitUntil(async () => (await spoken(reader.page)).some((text) => text.startsWith('2 minutes left.') || text.startsWith('120 seconds left.')), 5000, 'the first word');
  await reader.page.clock.runFor(90000);
  assert.equal(await phase(), 'last');
  await waitUntil(async () => (await spoken(reader.page)).some((text) => text.startsWith('30 seconds left.')), 5000, 'the second word');
  await reader.close();
});

test('what is left: bands of prices, the seats at the buyer’s turn, and an early good-bye', async () => {
  const id = await mostlySold(world);
  const inside = new Client(world.server);
  assert.equal((await inside.check(id)).body.status, 'active');
  const reader = await browser.reader();
  await reader.open(world.url(id));
  await reader.shows('#stock_bands', /Available|Only a few left/);
  await waitUntil(async () => {
    await comesBack(reader.page);
    return /About \d seats will be left at your turn/.test(await reader.seen('#seats_text'));
  }, 15000, 'the seats at the turn');
  await world.crowd(id, 60);
  const late = await browser.reader();
  await late.open(world.url(id));
  await waitUntil(async () => {
    await comesBack(late.page);
    return (await late.page.locator('main').getAttribute('data-state')) === 'unlikely';
  }, 15000, 'the early good-bye');
  assert.match(await late.seen('#lead'), /your place is safe/);
  await Promise.all([reader.close(), late.close()]);
});

test('forced colours: a face, the progress, the connection and the turn keep a form that is seen', async () => {
  const { id, inside, reader } = await waiting({ autoHold: 0 }, { forcedColors: 'active', bypassCSP: true });
  const { page } = reader;
  const style = (where, name) => page.locator(where).first().evaluate((one, property) => getComputedStyle(one)[property], name);
  const canvas = await style('body', 'color'); // CanvasText
  assert.equal(await style('.mark', 'borderTopStyle'), 'solid');
  assert.equal(await style('.mark', 'borderTopColor'), canvas);
  assert.equal(await style('.dot', 'backgroundColor'), canvas, 'connected: a filled dot');
  await page.locator('#progress').evaluate((bar) => (bar.hidden = false));
  assert.equal(await style('#progress', 'borderTopStyle'), 'solid');
  assert.notEqual(await page.locator('.next li').first().evaluate((one) => getComputedStyle(one, '::before').borderTopStyle), 'none');
  assert.equal(await axe(page), '');
  await inside.leave(id);
  await showing(reader, 'admitted');
  assert.equal(await style('.card', 'borderTopWidth'), '6px', 'the turn has a frame of its own');
  assert.equal(await style('#enter', 'borderTopStyle'), 'solid');
  assert.equal(await axe(page), '');
  reader.expects(/ERR_INTERNET_DISCONNECTED|WebSocket connection|fetching the script/); // the service worker's, on a slow machine
  await reader.context.setOffline(true);
  await live(reader, 'lost');
  assert.notEqual(await style('.dot', 'backgroundColor'), canvas, 'lost: an empty one');
  assert.equal(await style('.dot', 'borderTopStyle'), 'solid');
  await reader.close();
});

test('a page that says closed comes back by itself when the closing is taken back: with its place, and only once it is seen', async () => {
  const { id, reader } = await waiting();
  const { page } = reader;
  const reference = await reader.seen('#reference');
  await page.clock.install();
  await page.reload();
  await live(reader);
  await world.organizer.act(id, 'close');
  await showing(reader, 'closed');
  const asked = () => reader.requests.filter((request) => new URL(request.url()).pathname === `/api/events/${id}`);
  const before = asked().length;
  await page.clock.fastForward(40000);
  assert.equal(asked().length, before, 'not within 45 s');
  const answer = () => page.waitForResponse((response) => new URL(response.url()).pathname === `/api/events/${id}`);
  let answered = answer();
  await page.clock.fastForward(35000);
  assert.equal((await (await answered).json()).status, 'closed');
  assert.equal(await page.locator('main').getAttribute('data-state'), 'closed');
  await world.organizer.act(id, 'reopen');
  await hide(page);
  await page.clock.fastForward(600000);
  assert.equal(asked().length, before + 1, 'a hidden page asks nothing');
  answered = answer();
  await hide(page, false);
  await answered;
  await showing(reader, 'waiting');
  assert.equal(await reader.seen('#reference'), reference, 'the place is the one it was');
  await reader.close();
});

test('a page that was loaded while the sale was closed comes back too', async () => {
  const { id, reader } = await waiting();
  await world.organizer.act(id, 'close');
  await showing(reader, 'closed');
  reader.expects(/status of 410/);
  await reader.page.clock.install();
  await reader.page.reload();
  await showing(reader, 'closed');
  await world.organizer.act(id, 'reopen');
  await waitUntil(async () => {
    await reader.page.clock.fastForward(75000);
    return (await reader.page.locator('main').getAttribute('data-state')) === 'waiting';
  }, 15000, 'the queue again');
  await reader.close();
});

test('the time of the seats held is read a second time: the record may have been behind the claim', async () => {
  const id = await world.sale({ threshold: 5, autoHold: 2, holdMs: 300000 });
  const reader = await browser.reader();
  const { page } = reader;
  let answers = 0;
  await page.route('**/api/reservations?*', async (route) => {
    const response = await route.fetch();
    const body = await response.json();
    if (answers++ === 0) for (const held of body.reservations) held.expiresAt = new Date(Date.parse(held.expiresAt) - 120000).toISOString();
    await route.fulfill({ response, json: body });
  });
  await page.clock.install();
  await reader.open(world.url(id));
  await showing(reader, 'admitted');
  await reader.shows('#countdown_number', /^2:[45]\d$|^3:00$/);
  await page.clock.fastForward(11000);
  await reader.shows('#countdown_number', /^4:[2345]\d$/);
  assert.equal(answers, 2);
  await reader.close();
});
