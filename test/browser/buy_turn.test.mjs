// SPDX-License-Identifier: MIT
//
// The buyer's turn on the buying page: one deadline with its consequence, seen and heard in time; the page that is
// seen claims the turn, a hidden one does not.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP, PHONE } from '../fixtures/browser.mjs';
import { staysTrueFor, waitUntil } from '../fixtures/index.mjs';
import { drawn, holds, overheard, reaches, shop } from './buy_support.mjs';

const world = await shop();
const { browser, server, sale, inside } = world;

const connected = ({ page }) => page.locator('main[data-live="socket"]').waitFor();
const heard = (reader, pattern) => waitUntil(async () => pattern.test(await reader.page.locator('#assertive').textContent()), 20000, `${pattern} to be said`);
const phase = ({ page }) => page.locator('#clock').getAttribute('data-phase');

test('two minutes before the turn ends the page says so, and turns amber', async () => {
  const reader = await inside(await sale({ autoHold: 0, sessionLimitMs: 125000 }));
  assert.equal(await phase(reader), 'calm');
  assert.equal(await reader.seen('#clock_label'), 'Time to buy');
  await heard(reader, /^2 minutes left\. When the time is up, your turn ends/);
  assert.equal(await phase(reader), 'soon');
  assert.match(await reader.seen('#deadline'), /your turn ends/, 'the consequence is on the screen');
  await reader.close();
});

test('thirty seconds before the end it says so again, and turns red', async () => {
  const reader = await inside(await sale({ autoHold: 0, sessionLimitMs: 35000 }));
  assert.equal(await phase(reader), 'soon');
  await heard(reader, /^30 seconds left\./);
  assert.equal(await phase(reader), 'last');
  await reader.close();
});

test('of the turn and the time to pay the nearer one is shown, with what it ends', async () => {
  const longer = await inside(await sale({ autoHold: 0, sessionLimitMs: 100000, holdMs: 280000 }), DESKTOP);
  await longer.page.locator('#best_button').click();
  await holds(longer, 2);
  assert.equal(await longer.seen('#clock_label'), 'Time to choose');
  assert.match(await longer.seen('#clock_time'), /^1:\d\d$/);
  assert.match(await longer.seen('#deadline'), /you can still pay for the ones you hold/);
  await longer.close();
  const shorter = await inside(await sale({ autoHold: 0, holdMs: 120000 }), DESKTOP);
  assert.equal(await shorter.seen('#clock_label'), 'Time to buy');
  await shorter.page.locator('#best_button').click();
  await holds(shorter, 2);
  assert.equal(await shorter.seen('#clock_label'), 'Pay within');
  assert.match(await shorter.seen('#deadline'), /your seats go back on sale/);
  await shorter.close();
});

// A reader whose page believes to be hidden or seen, as hide(reader) and show(reader) say; counts wake locks.
const pretend = (page, state) => page.evaluate((one) => {
  Object.defineProperty(document, 'visibilityState', { value: one, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}, state);

test('a page that is seen claims the turn and keeps the screen on; a hidden one does neither', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await browser.reader(PHONE);
  const { page } = reader;
  const sent = [];
  await page.routeWebSocket(/\/ws$/, (route) => {
    const gateway = route.connectToServer();
    route.onMessage((text) => {
      sent.push(JSON.parse(text));
      gateway.send(text);
    });
    gateway.onMessage((text) => route.send(text));
  });
  await page.addInitScript(() => {
    globalThis.locks = [];
    Object.defineProperty(navigator, 'wakeLock', { value: {
      request: async (kind) => {
        globalThis.locks.push(kind);
        return { release: async () => globalThis.locks.push('released') };
      },
    } });
  });
  await reader.open(`${server.url}/wait/${id}`);
  await reaches(reader, 'admitted');
  await page.locator('#enter').click();
  await drawn(reader);
  await connected(reader);
  assert.equal((await page.evaluate(() => globalThis.locks)).at(-1), 'screen');
  const claims = () => sent.filter(({ event, payload }) => event === 'heartbeat' && payload.claim === true).length;
  await pretend(page, 'hidden');
  const before = claims();
  await waitUntil(async () => (await page.evaluate(() => globalThis.locks)).at(-1) === 'released', 5000, 'the screen to be let go');
  await pretend(page, 'visible');
  await waitUntil(() => claims() === before + 1, 5000, 'a claim at once');
  await waitUntil(async () => (await page.evaluate(() => globalThis.locks)).at(-1) === 'screen', 5000, 'the screen to stay on');
  await reader.close();
});

test('a hidden page loads nothing that would claim a turn; it follows as soon as it is seen', async () => {
  const id = await sale({ autoHold: 0 });
  const { reader, line } = await overheard(world, id);
  const { page } = reader;
  await pretend(page, 'hidden');
  await page.route('**/api/queue/status/**', (route) => route.fulfill({ json: { queued: true, status: 'queued', position: 3, nextPoll: 1 } }));
  let loads = 0;
  page.on('request', (request) => (loads += request.isNavigationRequest()));
  const asked = page.waitForResponse('**/api/queue/status/**');
  // Its socket says that the buyer waits, so the page asks.
  line.say('queue-position', { eventId: id, position: 3, queueSize: 3 });
  await asked;
  await staysTrueFor(300, () => loads === 0, 'nothing is loaded');
  await pretend(page, 'visible');
  await page.waitForURL(`**/wait/${id}`);
  await reader.close();
});

test('without a connection the page says by when it must be back', async () => {
  const { reader, line } = await overheard(world, await sale({ autoHold: 0 }));
  const { page } = reader;
  reader.expects(/ERR_INTERNET_DISCONNECTED/);
  await page.route('**/api/queue/status/**', async (route) => {
    const answer = await route.fetch().catch(() => undefined);
    if (answer) await route.fulfill({ response: answer, json: { ...(await answer.json()), idleTimeoutMs: 90000 } });
    else await route.abort('internetdisconnected');
  });
  await page.evaluate(() => globalThis.dispatchEvent(new Event('online')));
  await reader.shows('#rule', /away for more than 90 seconds/);
  line.deaf = true; // the browser's switch does not cut an open socket, and a message on it shows a connection
  await reader.context.setOffline(true);
  await page.evaluate(() => globalThis.dispatchEvent(new Event('online'))); // it asks now, not when the next question is due
  await reader.shows('#clock_label', /^Reconnect within$/);
  assert.match(await reader.seen('#clock_time'), /^1:[0-3]\d$/);
  await reader.shows('#deadline', /the next buyer may get your turn/);
  line.deaf = false;
  await reader.context.setOffline(false);
  await reader.shows('#clock_label', /^Time to buy$/);
  await reader.close();
});

test('an answer that is older than what is known changes nothing', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await inside(id, DESKTOP);
  const { page } = reader;
  await connected(reader);
  const { version } = JSON.parse(await page.locator('body').getAttribute('data-json'));
  let answer = { version: version + 1, revision: 2000 };
  await page.route('**/api/queue/status/**', async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, json: { ...(await response.json()), ...answer } });
  });
  let answered = 0;
  page.on('response', (response) => (answered += response.url().includes('/api/queue/status/')));
  const asks = async () => {
    const before = answered;
    await waitUntil(async () => {
      await page.evaluate(() => globalThis.dispatchEvent(new Event('online')));
      return answered > before;
    }, 10000, 'the answer');
  };
  await asks();
  answer = { version: version + 1, revision: 1000, status: 'not_in_queue' };
  await asks();
  assert.equal(await page.locator('#main').getAttribute('data-state'), 'choose');
  answer = { version: version + 1, revision: 3000, status: 'not_in_queue' };
  await asks();
  await reaches(reader, 'over');
  await reader.close();
});

test('a page that says closed comes back by itself when the closing is taken back', async () => {
  const id = await sale({ autoHold: 0, closeGraceMs: 0 });
  const reader = await inside(id);
  await connected(reader);
  await reader.page.clock.install();
  await reader.page.reload();
  await connected(reader);
  reader.expects(/410 \(Gone\)/);
  await world.organizer.act(id, 'close');
  await reader.page.locator('main[data-state="closed"]').waitFor();
  await world.organizer.act(id, 'reopen');
  await waitUntil(async () => {
    await reader.page.clock.fastForward(75000);
    return !(await reader.page.locator('main[data-state="closed"]').count());
  }, 15000, 'the page to be loaded again');
  await reader.page.locator('main[data-state="waiting"], main[data-state="choose"], main[data-state="admitted"], main[data-state="expired"]').waitFor();
  await reader.close();
});

test('the sale is closed while a buyer chooses: with a grace they go on, and when their turn is over the page says that it has ended', async () => {
  const id = await sale({ autoHold: 0, closeGraceMs: null });
  const reader = await inside(id, DESKTOP);
  await connected(reader);
  const asked = reader.page.waitForResponse(/\/api\/queue\/status\//, { timeout: 15000 }); // the page has heard of the close
  await world.organizer.act(id, 'close');
  await asked;
  await reader.page.locator('#best_button').click();
  await holds(reader, 2);
  await reader.close();

  const other = await inside(await sale({ autoHold: 0, closeGraceMs: 0 }), DESKTOP);
  await connected(other);
  other.expects(/410 \(Gone\)/);
  await world.organizer.act(new URL(other.page.url()).pathname.split('/').at(-1), 'close');
  await other.page.locator('main[data-state="closed"]').waitFor({ timeout: 15000 });
  await other.close();
});

test('a buyer who is shut out while they choose is led to the waiting page, which says so', async () => {
  const id = await sale({ autoHold: 0 });
  const reader = await inside(id, DESKTOP);
  await connected(reader);
  reader.expects(/403 \(Forbidden\)/);
  const cookies = await reader.context.cookies();
  const buyer = cookies.find(({ name }) => name === 'tiketi_guest').value.split('.')[0];
  await world.organizer.must('POST', `/api/admin/events/${id}/ban`, { buyer, reason: 'bot' });
  await reader.page.waitForURL(`**/wait/${id}*`, { timeout: 20000 });
  await reader.page.locator('main[data-state="banned"]').waitFor();
  await reader.open(`${server.url}/buy/${id}`);
  await reader.page.locator('main[data-state="banned"]').waitFor();
  assert.match(reader.page.url(), /\/wait\//);
  await reader.close();
});
