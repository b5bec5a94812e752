// SPDX-License-Identifier: MIT
//
// The quality of the buying page: a large hall on a slow phone, both themes, three languages, small screens,
// accessibility, and size.

import assert from 'node:assert/strict';
import { gzipSync } from 'node:zlib';
import { test } from 'node:test';
import { DESKTOP, PHONE, SMALL_PHONE, axe, markup } from '../fixtures/browser.mjs';
import { many, waitUntil } from '../fixtures/index.mjs';
import { drawn, holds, reaches, seat, shop, state, ticket } from './buy_support.mjs';

const FRAME_MS = 200; // more than for a task: a frame waits for other programs of the machine as well

const { server, provider, sale, enter, inside, rival } = await shop();

const HALL = [{ section: 'Floor', rows: 10, seatsPerRow: 40, price: 9900 }, { section: 'Balcony', rows: 10, seatsPerRow: 30, price: 7900 },
  { section: 'Gallery', rows: 15, seatsPerRow: 20, price: 4900 }];
const STADIUM = Array.from({ length: 40 }, (_, n) => ({ section: `Block ${n + 1}`, rows: 20, seatsPerRow: 25, price: 12000 - 200 * n }));
const finger = { ...PHONE, hasTouch: true, isMobile: true };

// ---- speed ----

// The longest task and the longest gap between two frames of the page's thread, ms, while `step` runs and until the
// page is quiet. Other programs on the machine can only add to it: the best of some attempts is what the page needs.
async function slowest(page, step, attempts = 8) {
  let best = { task: Infinity, frame: Infinity };
  for (let n = 0; n < attempts && (best.task > 100 || best.frame > 100); n++) {
    await page.evaluate(() => {
      const seen = { task: 0, frame: 0, last: performance.now(), on: true };
      const frame = () => {
        const at = performance.now();
        seen.frame = Math.max(seen.frame, at - seen.last);
        seen.last = at;
        if (seen.on) requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      new PerformanceObserver((list) => {
        for (const { duration } of list.getEntries()) seen.task = Math.max(seen.task, duration);
      }).observe({ entryTypes: ['longtask'] });
      globalThis.seenByTest = seen;
    });
    await step(n);
    const { task, frame } = await page.evaluate(async () => {
      for (let quiet = 0, until = performance.now() + 10000; quiet < 20 && performance.now() < until;) quiet = await new Promise((next) => requestAnimationFrame((at) => requestAnimationFrame((then) => next(then - at < 40 ? quiet + 1 : 0))));
      globalThis.seenByTest.on = false;
      return globalThis.seenByTest;
    });
    best = { task: Math.min(best.task, task), frame: Math.min(best.frame, frame) };
  }
  return best;
}

async function slowed(reader) {
  const devtools = await reader.context.newCDPSession(reader.page);
  await devtools.send('Emulation.setCPUThrottlingRate', { rate: 4 });
}

test('a hall of 20,000 seats on a phone four times slower: no change blocks it for 100 ms', async (t) => {
  const id = await sale({ halls: STADIUM, autoHold: 0, threshold: 500, idleTimeoutMs: 600000 }); // the other buyers only have to be inside
  const reader = await enter(id, finger);
  const { page } = reader;
  await waitUntil(() => page.locator('.plan').isVisible(), 15000, 'the plan');
  assert.equal(await page.locator('.area').count(), 40);
  assert.equal(await page.locator('.block').count(), 40);
  await waitUntil(() => page.evaluate(() => document.querySelector('#main').dataset.live === 'socket'), 20000, 'the socket');
  await slowed(reader);
  const others = await Promise.all(Array.from({ length: 25 }, () => rival(id)));
  const figures = {};
  const measure = async (name, step) => {
    figures[name] = await slowest(page, step);
  };

  await measure('a section opens', async () => {
    if (await page.locator('#back').isVisible()) await page.locator('#back').evaluate((button) => button.click());
    await page.locator('.area').nth(6).evaluate((button) => button.click());
    await waitUntil(async () => (await page.locator('.seat').count()) === 500, 20000, 'its seats');
  });
  const chosen = page.locator('.seat').nth(200);
  await measure('a seat is chosen', () => chosen.evaluate((element) => element.dispatchEvent(new MouseEvent('click', { bubbles: true }))));
  await measure('the map grows', () => page.locator('#larger').evaluate((button) => button.click()));
  // A hundred seats of this section are taken at once.
  const { seats } = (await others[0].get(`/api/seats/${id}`)).body;
  const here = seats.filter(({ section }) => section === 'Block 7');
  await measure('a hundred seats go', async (n) => {
    const first = 100 * (n % 5);
    await many(others, 8, async (other, k) => {
      const seatIds = here.slice(first + 4 * k, first + 4 * k + 4).map((one) => one.id);
      const { status } = await other.reserve({ eventId: id, seatIds });
      assert.equal(status, 201);
    });
    await waitUntil(() => page.evaluate((last) => document.querySelector(`.seat[data-i="${last}"]`)?.dataset.s === 'taken', 6 * 500 + first + 99), 20000, 'the change');
  });
  await measure('back to the plan', async () => {
    if (await page.locator('.plan').isVisible()) await page.locator('.area').nth(6).evaluate((button) => button.click());
    await page.locator('#back').evaluate((button) => button.click());
    await waitUntil(() => page.locator('.plan').isVisible(), 20000, 'the plan');
  });
  await measure('the whole map is read again', async () => {
    const answered = page.waitForResponse(/\/api\/queue\/status/);
    await page.evaluate(() => globalThis.dispatchEvent(new Event('online')));
    await answered;
  });
  for (const [name, { task, frame }] of Object.entries(figures)) t.diagnostic(`${name}: longest task ${Math.round(task)} ms, longest frame ${Math.round(frame)} ms`);
  for (const [name, { task, frame }] of Object.entries(figures)) {
    assert.ok(task <= 100, `${name}: a task of ${task} ms`);
    assert.ok(frame <= FRAME_MS, `${name}: a frame of ${frame} ms`);
  }
  // Chooses a seat in a section.
  if (await page.locator('#take').isVisible()) await page.locator('#keep').evaluate((button) => button.click());
  await page.locator('.area', { hasText: 'Block 12' }).first().tap();
  await waitUntil(async () => (await page.locator('.seat').count()) === 500, 20000, 'its seats');
  await seat(reader, 7, 13).tap(); // the map grows
  await seat(reader, 7, 13).tap();
  await page.locator('#take').tap();
  await holds(reader, 1);
  assert.match(await reader.seen('#order_names'), /Block 12, row 7, seat 13/);
  await reader.close();
});

test('a hall of 1,000 seats is shown whole, and a live change takes less than 100 ms as well', async (t) => {
  const id = await sale({ halls: HALL, autoHold: 0 });
  const reader = await inside(id, finger);
  await waitUntil(async () => (await reader.page.locator('.seat').count()) === 1000, 20000, 'all seats');
  await waitUntil(() => reader.page.evaluate(() => document.querySelector('#main').dataset.live === 'socket'), 20000, 'the socket');
  await slowed(reader);
  const others = await Promise.all(Array.from({ length: 5 }, () => rival(id)));
  const live = await slowest(reader.page, async (n) => {
    const { body } = await others[n % others.length].reserve({ eventId: id, quantity: 4, section: 'Gallery' });
    await waitUntil(() => reader.page.evaluate(({ section, row, number }) => {
      const one = document.querySelector(`.seat[aria-label^="${section}, row ${row}, seat ${number},"]`);
      return one?.dataset.s === 'taken';
    }, body.seats.at(-1)), 20000, 'the change');
  });
  const chosen = await slowest(reader.page, (n) => reader.page.locator('.seat').nth(40 + n).evaluate((element) => element.dispatchEvent(new MouseEvent('click', { bubbles: true }))));
  t.diagnostic(`live change: task ${Math.round(live.task)} ms, frame ${Math.round(live.frame)} ms; choice: task ${Math.round(chosen.task)} ms, frame ${Math.round(chosen.frame)} ms`);
  for (const { task, frame } of [live, chosen]) assert.ok(task <= 100 && frame <= FRAME_MS, `${task} ms, ${frame} ms`);
  await reader.close();
});

test('a tap on a small map zooms in first, the next one chooses', async () => {
  const id = await sale({ halls: HALL, autoHold: 0 });
  const reader = await inside(id, finger);
  const { page } = reader;
  await waitUntil(async () => (await page.locator('.seat').count()) === 1000, 20000, 'all seats');
  assert.equal(await page.locator('#smaller').isEnabled(), false, 'the hall is shown whole at first');
  const width = async (one) => (await one.boundingBox()).width;
  const one = page.locator('.seat').nth(420);
  assert.ok((await width(one)) < 12);
  await one.tap();
  await waitUntil(async () => (await width(one)) > 20, 15000, 'the map to grow');
  assert.equal(await page.locator('#seats li').count(), 0);
  await one.tap();
  await waitUntil(async () => (await page.locator('#seats li').count()) === 1, 5000, 'the choice'); // the browser sends a click after the tap
  await reader.close();
});

test('the page loads at most 60 KiB compressed, hall included, all of it from our origin', async (t) => {
  const id = await sale({ halls: HALL });
  const reader = await inside(id);
  await holds(reader, 1);
  const sizes = [];
  for (const request of reader.requests) {
    const response = await request.response();
    const url = new URL(request.url());
    if (!['http:', 'https:'].includes(url.protocol) || (await response?.request().headerValue('upgrade'))) continue;
    assert.equal(url.origin, server.url);
    if (!/^\/(buy|assets|brand|api\/seats)\//.test(url.pathname) || !response || response.status() !== 200) continue;
    if (/\/wait[._]/.test(url.pathname)) continue; // belongs to the waiting page
    const { text } = await server.get(url.pathname + url.search, { headers: { cookie: (await request.allHeaders()).cookie ?? '' } });
    sizes.push([url.pathname, gzipSync(text, { level: 9 }).length]);
  }
  const unique = new Map(sizes);
  const total = [...unique.values()].reduce((a, b) => a + b, 0);
  t.diagnostic(`${unique.size} files, ${(total / 1024).toFixed(1)} KiB: ${[...unique].map(([path, size]) => `${path.split('/').at(-1)} ${size}`).join(', ')}`);
  const loaded = [...unique.keys()].filter((path) => !path.startsWith('/api/'));
  assert.equal(loaded.length, 4, `the page, its style, its script and a worker: ${loaded}`);
  assert.ok(total <= 60 * 1024, `${total} bytes`);
  await reader.close();
});

// ---- accessibility ----

const LOOKS = [{ ...DESKTOP, theme: 'light' }, { ...PHONE, theme: 'dark', hasTouch: true, language: 'ko-KR' }, { ...SMALL_PHONE, theme: 'light', hasTouch: true, language: 'ja-JP' },
  { ...DESKTOP, theme: 'dark' }];

// Goes through the states of a purchase: axe checks each, and none is wider than the screen.
async function walk(look) {
  const halls = [{ section: 'Floor', rows: 4, seatsPerRow: 40, price: 9900 }, { section: 'Balcony', rows: 3, seatsPerRow: 30, price: 7900 }];
  const thorough = LOOKS.indexOf(look) < 2; // the others check only what size and colour change
  const reader = await enter(await sale({ halls }), { ...look, bypassCSP: true });
  const { page } = reader;
  const check = async (what) => {
    if (!thorough && !['choosing', 'a draft', 'bought'].includes(what)) return;
    const where = `${what}, ${look.theme}, ${look.width} px, ${look.language ?? 'en-GB'}`;
    await page.evaluate(() => Promise.all(document.getAnimations() // what fades in has its colours afterwards
      .filter((animation) => animation.effect.getTiming().iterations !== Infinity).map((animation) => animation.finished.catch(() => {}))));
    assert.equal(await axe(page), '', where);
    const [width, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width <= room, `${where}: ${width} px wide`);
  };
  await drawn(reader);
  await holds(reader, 1);
  await waitUntil(async () => (await page.locator('.seat').count()) === halls.reduce((sum, { rows, seatsPerRow }) => sum + rows * seatsPerRow, 0), 10000, 'all seats');
  await check('choosing');
  await page.locator('.seat').nth(105).evaluate((element) => element.dispatchEvent(new MouseEvent('click', { bubbles: true })));
  await waitUntil(() => page.locator('#take').isVisible(), 15000, 'the draft');
  await check('a draft');
  await page.locator('#keep').evaluate((button) => button.click());
  await page.locator('#pay_button').click();
  await page.waitForURL('**/pay?**');
  await check('the payment page');
  await page.locator('button[value=cancel]').click();
  await page.waitForURL('**/buy/**');
  await holds(reader, 1);
  await check('not paid');
  // The webhook is held back, so that the state before it stays.
  await page.locator('#pay_button').click();
  await page.waitForURL('**/pay?**');
  process.kill(provider.child.pid, 'SIGSTOP');
  const back = new URL(new URL(page.url()).searchParams.get('return'));
  await reader.open(`${back}&payment=paid`);
  assert.equal(await state(reader), 'confirming');
  await check('confirming');
  process.kill(provider.child.pid, 'SIGCONT');
  await reader.open(`${server.url}/buy/${back.pathname.split('/')[2]}`);
  await holds(reader, 1);
  await page.locator('#pay_button').click();
  await page.waitForURL('**/pay?**');
  await page.locator('button[value=pay]').click();
  await ticket(reader);
  await check('bought');
  await reader.close();
  if (!thorough) return;

  const plan = await enter(await stadium(), { ...look, bypassCSP: true });
  await waitUntil(() => plan.page.locator('.plan').isVisible(), 15000, 'the plan');
  assert.equal(await axe(plan.page), '', `the plan, ${look.theme}`);
  await plan.close();

  const over = await enter(await sale({ autoHold: 0, sessionLimitMs: 10000, grid: { section: 'A', rows: 1, seatsPerRow: 2 } }), { ...look, bypassCSP: true });
  await reaches(over, 'over', 30000);
  assert.equal(await axe(over.page), '', `over, ${look.theme}`);
  await over.close();
}

let made;
const stadium = () => (made ??= sale({ halls: STADIUM, autoHold: 0 }));

for (const look of LOOKS) {
  test(`axe finds nothing: ${look.theme}, ${look.width} px, ${look.language ?? 'en-GB'}`, () => walk(look));
}

test('the server sends valid HTML in every state', async () => {
  const id = await sale({ halls: HALL });
  const buyer = await rival(id);
  await waitUntil(async () => (await buyer.get('/api/reservations')).body.reservations.length === 1, 10000, 'the auto-hold');
  const [{ id: reservation }] = (await buyer.get('/api/reservations')).body.reservations;
  const valid = async (path, status = 200) => {
    const answer = await buyer.get(path);
    assert.equal(answer.status, status, answer.text);
    assert.equal(await markup(answer.text), '', path);
    return answer;
  };
  const page = await valid(`/buy/${id}`);
  assert.equal(page.headers['cache-control'], 'no-store');
  assert.match(page.headers['content-security-policy'], new RegExp(`script-src 'self'; style-src 'self';.* form-action 'self' ${provider.url};`));
  assert.doesNotMatch(page.headers['content-security-policy'], /unsafe/);
  await valid(`/buy/${id}?payment=cancelled&lang=ko`);
  await valid(`/buy/${id}?notice=seat-taken&lang=ja`);
  await valid('/buy/unknown', 404);
  await valid('/ticket/unknown', 404);
  const order = (await buyer.post(`/api/reservations/${reservation}/pay`)).body;
  await valid(`/tickets/${id}?reservation=${reservation}&payment=paid`);
  const payment = await provider.request('GET', provider.payAddress(order, `${server.url}/buy/${id}`));
  assert.equal(await markup(payment.text), '');
  assert.equal((await provider.charge(order)).status, 201);
  await waitUntil(async () => (await buyer.get(`/api/reservations/${reservation}`)).body.status === 'confirmed', 10000, 'the sale');
  assert.equal((await buyer.get(`/buy/${id}`)).headers.location, `/tickets/${id}`);
  const { location } = (await buyer.get(`/tickets/${id}`)).headers;
  for (const language of ['en', 'ko', 'ja']) assert.match((await valid(`${location}?lang=${language}`)).text, /data-state="valid"/);
});

test('reduced motion stops all movement; numbers have the form of the page\'s language', async () => {
  const id = await sale({ halls: [{ section: 'Floor', rows: 4, seatsPerRow: 10, price: 99000, currency: 'KRW' }] });
  const reader = await inside(id, { language: 'ko-KR', motion: 'reduce' });
  await holds(reader, 1);
  assert.equal(await reader.seen('#pay_button'), '₩99,000 결제하기');
  const moving = await reader.page.evaluate(() => document.getAnimations().filter((one) => one.effect.getComputedTiming().duration > 1).length);
  assert.equal(moving, 0);
  await reader.close();
});
