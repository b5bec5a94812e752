// SPDX-License-Identifier: MIT
//
// The waiting page in a real browser, on a real server.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP } from '../fixtures/browser.mjs';
import { many, pause, staysTrueFor, waitUntil } from '../fixtures/index.mjs';
import { live, showing } from './wait_scenes.mjs';
import { comesBack, heard, listen, waitingRoom } from './wait_support.mjs';

const { world, browser, waiting } = await waitingRoom();

const number = async (reader, page) => Number((await reader.seen('#position', page)).replaceAll(',', ''));

// Records every position that the page shows.
const watchPositions = (page) => page.evaluate(() => {
  const element = document.getElementById('position');
  globalThis.shown = [element.textContent];
  new MutationObserver(() => globalThis.shown.push(element.textContent)).observe(element, { childList: true, characterData: true, subtree: true });
});
const positions = async (page) => (await page.evaluate(() => globalThis.shown)).map((text) => Number(text.replaceAll(',', '')));
const neverRises = (list) => list.every((position, i) => i === 0 || position <= list[i - 1]);

// Answers the n-th status request with change(n), and lets it through when that is nothing. Counts the requests.
async function answering(page, id, change) {
  const asked = { count: 0 };
  await page.route(`**/api/queue/status/${id}`, async (route) => {
    asked.count++;
    const other = change(asked.count);
    return other ? route.fulfill({ json: other }) : route.continue();
  });
  return asked;
}

// Records every state of the page.
const watchStates = (page) => page.evaluate(() => {
  const main = document.getElementById('main');
  globalThis.states = [main.dataset.state];
  new MutationObserver(() => globalThis.states.push(main.dataset.state)).observe(main, { attributes: true, attributeFilter: ['data-state'] });
});
const states = (page) => page.evaluate(() => globalThis.states);

// The numbers may be a second old.
const stats = (id, expected) => waitUntil(async () => {
  const found = await world.organizer.stats(id);
  return Object.entries(expected).every(([name, value]) => found[name] === value);
}, 10000, `stats of ${JSON.stringify(expected)}`);

test('a buyer waits, is admitted, and is notified in every way they chose', async () => {
  const { inside, id, reader } = await waiting({}, { permissions: ['notifications'] });
  assert.equal(await number(reader), 1);
  assert.equal(await reader.seen('#heading'), 'You’re in the queue');
  assert.equal(await reader.seen('#ahead'), 'You’re next');
  assert.match(await reader.page.title(), /^1 · One Night Only$/);
  await listen(reader.page);
  await reader.page.evaluate(() => {
    globalThis.notified = [];
    globalThis.tones = 0;
    const real = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function create() {
      globalThis.tones++;
      return real.call(this);
    };
    ServiceWorkerRegistration.prototype.showNotification = async (title, options) => globalThis.notified.push([title, options.body]);
  });
  await reader.page.locator('#sound').check();
  await reader.page.locator('#popup').check();
  await waitUntil(() => reader.page.evaluate(() => globalThis.notified.length === 1), 10000, 'the notification that is shown as a test');
  const preview = await reader.page.evaluate(() => globalThis.tones);
  assert.equal(preview, 3);
  await inside.leave(id);
  await showing(reader, 'admitted');
  assert.equal(await reader.seen('#heading'), 'It’s your turn');
  await reader.shows('#countdown_number', /^(5:00|4:5\d)$/); // the nearest deadline: that of the seats held
  assert.equal(await reader.seen('#countdown_label'), 'Your seats are held for');
  assert.match(await reader.page.title(), /^Your turn!/);
  assert.equal(await reader.page.locator('#enter').getAttribute('href'), `/buy/${id}`);
  assert.equal(await reader.page.evaluate(() => document.activeElement.id), 'enter', 'what had the focus is gone');
  await waitUntil(async () => (await heard(reader.page)).some(([how]) => how === 'assertive'), 15000, 'the announcement');
  assert.deepEqual(await reader.page.evaluate(() => globalThis.notified.slice(1)), [['It’s your turn', 'One Night Only: come in before your time is up.']]);
  assert.equal(await reader.page.evaluate(() => globalThis.tones), 6);
  await reader.close();
});

test('the enter button does not move while the page becomes live', async () => {
  const id = await world.sale({ threshold: 100 });
  const reader = await browser.reader();
  await reader.context.addInitScript(() => {
    globalThis.tops = new Set();
    const look = () => {
      const enter = document.getElementById('enter');
      if (enter) globalThis.tops.add(Math.round(enter.getBoundingClientRect().top));
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await reader.open(world.url(id));
  await showing(reader, 'admitted');
  await reader.shows('#countdown_number', /^\d+:\d\d$/);
  await live(reader);
  const tops = await reader.page.evaluate(() => new Promise((accept) => requestAnimationFrame(() => requestAnimationFrame(() => accept([...globalThis.tops])))));
  assert.equal(tops.length, 1, `at ${tops.join(', ')}`);
  await reader.close();
});

test('a buyer who has not asked for notifications gets none', async () => {
  const { inside, id, reader } = await waiting();
  await reader.page.evaluate(() => {
    globalThis.asked = 0;
    ServiceWorkerRegistration.prototype.showNotification = async () => globalThis.asked++;
    globalThis.AudioContext = class {
      constructor() {
        globalThis.asked++;
      }
    };
  });
  await inside.leave(id);
  await showing(reader, 'admitted');
  assert.equal(await reader.page.evaluate(() => globalThis.asked), 0);
  await reader.close();
});

test('reloading or reopening the page keeps the place', async () => {
  const { id, reader } = await waiting();
  const reference = await reader.seen('#reference');
  await world.crowd(id, 5);
  await reader.page.reload();
  await live(reader);
  assert.equal(await number(reader), 1);
  assert.equal(await reader.seen('#reference'), reference);
  await reader.page.close();
  reader.page = undefined;
  await reader.tab();
  await reader.open(world.url(id));
  await live(reader);
  assert.equal(await number(reader), 1);
  assert.equal(await reader.seen('#reference'), reference);
  await reader.close();
});

test('two tabs have one place; both are admitted; leaving in one leaves in both', async () => {
  const { id, inside, reader } = await waiting();
  const other = await reader.tab();
  await other.goto(world.url(id));
  await live(reader, 'socket', other);
  assert.equal(await number(reader, other), 1);
  await stats(id, { queueSize: 1 });
  await inside.leave(id);
  await Promise.all([showing(reader, 'admitted'), showing(reader, 'admitted', other)]);
  await stats(id, { currentUsers: 1 });
  await reader.close();

  const second = await waiting();
  const beside = await second.reader.tab();
  await beside.goto(world.url(second.id));
  await live(second.reader, 'socket', beside);
  await second.reader.page.locator('#leave').click();
  await second.reader.page.locator('#leave_dialog button[value="yes"]').click();
  await Promise.all([showing(second.reader, 'left'), showing(second.reader, 'left', beside)]);
  await second.reader.close();
});

test('leaving asks first; keeping the place keeps it', async () => {
  const { id, reader } = await waiting();
  await reader.page.locator('#leave').click();
  await reader.page.locator('#leave_dialog button[value="no"]').click();
  assert.equal(await reader.page.locator('#leave_dialog').isVisible(), false);
  await stats(id, { queueSize: 1 });
  await reader.page.locator('#leave').click();
  await reader.page.keyboard.press('Escape');
  await stats(id, { queueSize: 1 });
  await reader.page.locator('#leave').click();
  await reader.page.locator('#leave_dialog button[value="yes"]').click();
  await showing(reader, 'left');
  await stats(id, { queueSize: 0 });
  await reader.page.waitForURL(/\?left=1$/);
  await reader.page.getByRole('link', { name: 'Join the queue again' }).click();
  await showing(reader, 'waiting');
  assert.equal(await number(reader), 1);
  await reader.close();
});

test('offline and back: the page says so, keeps the place and becomes live again', async () => {
  const { id, inside, reader } = await waiting();
  reader.expects(/ERR_INTERNET_DISCONNECTED|WebSocket connection/);
  await world.crowd(id, 3);
  await watchPositions(reader.page);
  await reader.context.setOffline(true);
  await live(reader, 'lost');
  await reader.shows('#lost', /Your place is safe/);
  assert.equal(await number(reader), 1);
  await reader.context.setOffline(false);
  await live(reader);
  assert.equal(await reader.seen('#lost'), '');
  assert.ok(neverRises(await positions(reader.page)));
  await inside.leave(id);
  await showing(reader, 'admitted');
  await reader.close();
});

test('where sockets are blocked the page polls, and the buyer is admitted', async () => {
  const id = await world.full({ intervalMs: 300 });
  const inside = world.inside;
  const reader = await browser.reader();
  await reader.context.addInitScript(() => {
    globalThis.WebSocket = class {
      static OPEN = 1;

      static CONNECTING = 0;

      readyState = 3;

      constructor() {
        queueMicrotask(() => this.onclose?.({}));
      }

      close() {}
    };
  });
  await reader.open(world.url(id));
  await live(reader, 'polling');
  assert.equal(await reader.seen('#live_text'), 'Connected');
  await inside.leave(id);
  await reader.page.locator('main[data-state="admitted"]').waitFor({ timeout: 40000 });
  await reader.close();
});

test('the server restarts: the page recovers by itself with the same place', async () => {
  const { id, inside, reader } = await waiting();
  reader.expects(/ERR_CONNECTION_\w+|ERR_EMPTY_RESPONSE|WebSocket connection|status of 503/);
  await world.crowd(id, 4);
  await watchPositions(reader.page);
  await world.server.stop();
  await live(reader, 'lost');
  await world.server.start();
  await reader.page.locator('main[data-live="socket"]').waitFor({ timeout: 60000 });
  assert.equal(await number(reader), 1);
  assert.ok(neverRises(await positions(reader.page)));
  await inside.leave(id);
  await showing(reader, 'admitted');
  await reader.close();
});

for (const hours of [-1, 1]) {
  test(`a browser whose clock is ${hours} hour wrong counts down by the server's time`, async () => {
    const opensAt = Date.now() + 25 * 60 * 1000;
    const id = await world.sale({ open: false, opensAt: new Date(opensAt).toISOString() });
    await world.organizer.act(id, 'publish');
    const reader = await browser.reader();
    await reader.context.addInitScript((ms) => {
      const real = Date.now.bind(Date);
      Date.now = () => real() + ms;
    }, hours * 3600 * 1000);
    await reader.open(world.url(id));
    await showing(reader, 'scheduled');
    await live(reader);
    const [minutes, seconds] = (await reader.seen('#countdown_number')).split(':').map(Number);
    const shown = minutes * 60 + seconds;
    const left = (opensAt - Date.now()) / 1000;
    assert.ok(Math.abs(shown - left) < 5, `${shown} s shown, ${left} s left`);
    await reader.close();
  });
}

test('the sale opens while the page counts down: the page continues by itself', async () => {
  const id = await world.sale({ open: false, opensAt: new Date(Date.now() + 9000).toISOString(), intervalMs: 300 });
  await world.organizer.act(id, 'publish');
  const reader = await browser.reader();
  await reader.open(world.url(id));
  await showing(reader, 'scheduled');
  await reader.shows('#countdown_number', /^0:0\d$/);
  await reader.page.locator('main[data-state="admitted"]').waitFor({ timeout: 40000 });
  await reader.close();
});

test('the opening time changes: the countdown follows without a reload', async () => {
  const id = await world.sale({ open: false, opensAt: new Date(Date.now() + 600000).toISOString() });
  await world.organizer.act(id, 'publish');
  const reader = await browser.reader();
  await reader.open(world.url(id));
  await live(reader);
  assert.match(await reader.seen('#countdown_number'), /^(9:\d\d|10:00)$/);
  await world.organizer.patch(id, { opensAt: new Date(Date.now() + 7200000).toISOString() });
  await waitUntil(async () => {
    await reader.page.evaluate(() => globalThis.dispatchEvent(new Event('pageshow')));
    return /^1:59:/.test(await reader.seen('#countdown_number'));
  }, 15000, 'the other time');
  await reader.close();
});

test('a raised threshold admits waiting buyers; a shown position never rises', async () => {
  const { id, reader } = await waiting();
  const behind = await world.crowd(id, 30);
  const far = await browser.reader({ ...DESKTOP });
  await far.open(world.url(id));
  await live(far);
  await watchPositions(far.page);
  assert.equal(await number(far), 32);
  await many(behind.slice(0, 10), 10, (client) => client.leave(id));
  await waitUntil(async () => (await number(far)) === 22, 10000, 'the places of those who left');
  assert.match(await far.seen('#ahead'), /^21 people ahead of you$/);
  await waitUntil(async () => Number(await far.page.locator('#progress').getAttribute('value')) === 31, 15000, 'the bar');
  await world.organizer.patch(id, { threshold: 8 });
  await showing(reader, 'admitted');
  await waitUntil(async () => (await number(far)) <= 15, 10000, 'a shorter queue');
  await world.organizer.patch(id, { threshold: 2 });
  await world.organizer.patch(id, { threshold: 100 });
  await showing(far, 'admitted');
  const shown = await positions(far.page);
  assert.ok(neverRises(shown), shown.join());
  await Promise.all([reader.close(), far.close()]);
});

test('a position that came by the socket does not rise with a reload', async () => {
  const { id, reader } = await waiting();
  await world.crowd(id, 3);
  const far = await browser.reader();
  await far.open(world.url(id));
  await live(far);
  assert.equal(await number(far), 5);
  // As after socket messages that no cookie has.
  await far.page.evaluate((key) => localStorage.setItem(key, JSON.stringify({ ...JSON.parse(localStorage.getItem(key)), first: 9, lowest: 2 })), `tiketi:place:${id}`);
  await far.context.addInitScript(() => {
    globalThis.painted = [];
    const look = () => {
      const text = document.getElementById('position')?.textContent;
      if (text) globalThis.painted.push(`${text} ${document.getElementById('ahead').textContent}`);
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
  });
  await far.page.route('**/wait.en.js', async (route) => { // late, so that the page is painted without it
    await pause(500, 'a slow network');
    await route.continue();
  });
  await far.page.reload();
  await live(far);
  const painted = new Set(await far.page.evaluate(() => globalThis.painted));
  assert.deepEqual([...painted].map((text) => text.trim()), ['2', '2 1 person ahead of you']);
  assert.equal(await far.page.locator('#progress').getAttribute('value'), '78');

  // Another place starts again.
  await far.page.locator('#leave').click();
  await far.page.locator('#leave_dialog button[value="yes"]').click();
  await showing(far, 'left');
  await far.page.getByRole('link', { name: 'Join the queue again' }).click();
  await live(far);
  assert.equal(await number(far), 5);
  await Promise.all([reader.close(), far.close()]);
});

test('the ticket from the socket is sent to the server once, and dropped when it is refused', async () => {
  const { id, reader } = await waiting();
  reader.expects(/status of 403/);
  const sent = [];
  let refuse = true;
  await reader.page.route(`**/api/queue/status/${id}`, (route) => {
    const ticket = route.request().headers()['x-tiketi-ticket'];
    sent.push(ticket);
    if (!ticket || !refuse) return route.continue();
    refuse = false;
    return route.fulfill({ status: 403, contentType: 'application/problem+json', body: '{"status":403,"code":"not-yours"}' });
  });
  // The page becomes live with the first socket message, which may come before the one with the ticket.
  const told = (what) => waitUntil(async () => {
    await comesBack(reader.page);
    const at = sent.findIndex((ticket) => typeof ticket === 'string');
    return at >= 0 && sent.slice(at + 1).includes(undefined);
  }, 10000, what);
  await told('a question with the ticket, and one without');
  assert.equal(refuse, false);
  assert.equal(sent[sent.findIndex(Boolean) + 1], undefined, 'dropped at once');
  await reader.page.reload();
  await live(reader);
  sent.length = 0;
  await told('the same after a reload');
  assert.equal(await reader.seen('#heading'), 'You’re in the queue');
  assert.equal(await number(reader), 1);
  await reader.close();
});

test('the page shows pause, message, resume and close by the organizer', async () => {
  const { id, reader } = await waiting();
  await listen(reader.page);
  await world.organizer.act(id, 'message', { text: 'Ten minutes more. Thank you <b>all</b>.' });
  await waitUntil(async () => (await reader.seen('#message')) === 'Ten minutes more. Thank you <b>all</b>.', 15000, 'the message');
  await world.organizer.act(id, 'pause');
  await showing(reader, 'paused');
  assert.equal(await number(reader), 1);
  await world.organizer.act(id, 'message', { text: null });
  await waitUntil(async () => (await reader.seen('#organizer')) === '', 15000, 'no message');
  await world.organizer.act(id, 'resume');
  await showing(reader, 'waiting');
  reader.expects(/status of 410/); // a poll may come before the message
  await world.organizer.act(id, 'close');
  await showing(reader, 'closed');
  await waitUntil(async () => (await heard(reader.page)).some(([how, what]) => how === 'polite' && what.startsWith('The queue is paused.')), 10000, 'the words');
  await reader.close();
});

test('the queue is cleared: the page joins again', async () => {
  const { id, reader } = await waiting();
  const reference = await reader.seen('#reference');
  await world.organizer.act(id, 'pause');
  await showing(reader, 'paused');
  await world.organizer.act(id, 'clear');
  await waitUntil(async () => ![reference, ''].includes(await reader.seen('#reference')), 15000, 'another place');
  await reader.close();
});

test('the page says when an admission ends; joining again gets a new place', async () => {
  const id = await world.sale({ sessionLimitMs: 6000 });
  const reader = await browser.reader();
  await reader.open(world.url(id));
  await showing(reader, 'admitted');
  await reader.shows('#countdown_number', /^0:0\d$/);
  await showing(reader, 'expired');
  await stats(id, { currentUsers: 0 });
  await reader.page.reload();
  await showing(reader, 'expired');
  await reader.page.getByRole('link', { name: 'Join the queue again' }).click();
  await showing(reader, 'admitted');
  await reader.page.waitForURL(({ search }) => search === ''); // so that a reload does not join again
  await reader.close();
});

test('a page that was opened while the service was down joins as soon as it is back', async () => {
  const id = await world.full();
  const reader = await browser.reader();
  reader.expects(/status of 503/);
  await world.redis.pause();
  try {
    await reader.open(world.url(id));
    await showing(reader, 'unavailable');
  } finally {
    await world.redis.resume();
  }
  await reader.page.locator('main[data-state="waiting"]').waitFor({ timeout: 40000 });
  assert.equal(await number(reader), 1);
  await reader.close();
});

test('positions are announced politely, at most every half minute', async () => {
  const id = await world.full();
  const people = await world.crowd(id, 20);
  const reader = await browser.reader();
  await reader.context.addInitScript(() => {
    // The page's time runs ten times as fast, so that half a minute is three seconds.
    const real = performance.now.bind(performance);
    performance.now = () => real() * 10;
  });
  await reader.open(world.url(id));
  await live(reader);
  await listen(reader.page);
  for (const client of people) {
    await client.leave(id);
    await waitUntil(async () => (await number(reader)) <= people.length - people.indexOf(client), 10000, 'a step');
  }
  const said = (await heard(reader.page)).filter(([, what]) => /ahead|next/.test(what));
  const elapsed = await reader.page.evaluate(() => performance.now());
  assert.ok(said.length >= 1, JSON.stringify(said));
  // Measured as a rate, since each may be late. The first position is on the page and not announced.
  assert.ok(said.length * 30000 <= elapsed, `within ${elapsed} ms: ${JSON.stringify(said)}`);
  for (const [how] of said) assert.equal(how, 'polite');
  await reader.close();
});

test('without JavaScript: joining, refreshing, entering and leaving work', async () => {
  const id = await world.full();
  const { inside } = world;
  const reader = await browser.reader({ javaScriptEnabled: false });
  await reader.open(world.url(id));
  assert.equal(await reader.page.locator('#heading').innerText(), 'You’re in the queue');
  assert.equal(await reader.page.locator('#position').innerText(), '1');
  assert.ok(await reader.page.locator('noscript meta[http-equiv="refresh"], meta[http-equiv="refresh"]').count() > 0);
  await reader.page.locator('#leave').click();
  await reader.page.getByRole('button', { name: 'Leave the queue' }).click();
  assert.equal(await reader.page.locator('#heading').innerText(), 'You’ve left the queue');
  await reader.page.getByRole('link', { name: 'Join the queue again' }).click();
  assert.equal(await reader.page.locator('#position').innerText(), '1');
  await inside.leave(id);
  await waitUntil(async () => {
    await reader.open(world.url(id));
    return (await reader.page.locator('#heading').innerText()) === 'It’s your turn';
  }, 15000, 'the turn');
  assert.equal(await reader.page.locator('#enter').getAttribute('href'), `/buy/${id}`);
  await reader.close();
});

test('when no message comes for an interval, the page checks its connection', async () => {
  const id = await world.full();
  const reader = await browser.reader();
  const sent = [];
  const heardOf = [];
  reader.page.on('websocket', (socket) => {
    socket.on('framesent', ({ payload }) => sent.push(JSON.parse(payload).event));
    socket.on('framereceived', ({ payload }) => heardOf.push(JSON.parse(payload).event));
  });
  await reader.open(world.url(id));
  await live(reader);
  const answered = () => heardOf.filter((event) => event === 'heartbeat-ack').length;
  await waitUntil(() => sent.includes('heartbeat') && answered() > 0, 25000, 'the question and its answer');
  assert.equal(await reader.seen('#live_text'), 'Live');
  await reader.close();
});

test('a gateway that answers while the service is down does not make the page live', async () => {
  const id = await world.full();
  const reader = await browser.reader();
  reader.expects(/status of 503/);
  const socket = {};
  await reader.page.routeWebSocket(/\/ws$/, (route) => {
    const server = route.connectToServer();
    socket.say = (event) => route.send(JSON.stringify({ event, payload: {} }));
    route.onMessage((text) => server.send(text));
    server.onMessage((text) => socket.deaf || route.send(text));
  });
  await reader.open(world.url(id));
  await live(reader);
  socket.deaf = true;
  let out = true;
  await reader.page.route(`**/api/queue/status/${id}`, (route) => (out
    ? route.fulfill({ status: 503, headers: { 'retry-after': '2' }, contentType: 'application/problem+json', body: '{"status":503,"code":"unavailable"}' })
    : route.continue()));
  await comesBack(reader.page);
  await live(reader, 'unavailable');
  await reader.page.evaluate(() => {
    globalThis.links = [];
    const main = document.getElementById('main');
    new MutationObserver(() => globalThis.links.push(main.dataset.live)).observe(main, { attributes: true, attributeFilter: ['data-live'] });
  });
  await waitUntil(async () => /[3-9] seconds ago/.test(await reader.seen('#updated')), 15000, 'an update some seconds ago');
  socket.say('heartbeat-ack');
  await staysTrueFor(300, async () => !/now/.test(await reader.seen('#updated')) && (await reader.page.evaluate(() => globalThis.links.length)) === 0,
    'the page is not live');
  out = false;
  await live(reader);
  await reader.close();
});

test('after an entry an old answer of another pod does not undo it', async () => {
  const { id, inside, reader } = await waiting();
  const { body: queued } = await reader.context.request.get(`${world.server.url}/api/queue/status/${id}`).then(async (answer) => ({ body: await answer.json() }));
  assert.equal(queued.status, 'queued');
  await inside.leave(id);
  await showing(reader, 'admitted');
  await watchStates(reader.page);
  const asked = await answering(reader.page, id, (count) => count === 1 && queued);
  await comesBack(reader.page);
  await waitUntil(() => asked.count >= 2, 10000, 'the second question');
  await staysTrueFor(300, async () => (await states(reader.page)).join() === 'admitted', 'the state is admitted alone');
  await reader.close();
});

test('after an entry a state that is repeated again and again is accepted', async () => {
  const { id, inside, reader } = await waiting();
  await inside.leave(id);
  await showing(reader, 'admitted');
  await answering(reader.page, id, () => ({ status: 'not_in_queue' }));
  await comesBack(reader.page);
  await showing(reader, 'expired');
  await reader.close();
});

test('an admission that ended while the device slept is shown as ended', async () => {
  const { id, reader } = await waiting();
  const over = new Date(Date.now() - 60000).toISOString();
  await answering(reader.page, id, () => ({ queued: false, status: 'active', currentUsers: 1, threshold: 1, passExpiresAt: over }));
  await comesBack(reader.page);
  await showing(reader, 'expired');
  assert.equal(await reader.seen('#heading'), 'Your turn has ended');
  await reader.close();
});

test('the language can be changed on the page, and is kept', async () => {
  const { id, reader } = await waiting();
  await reader.page.locator('.languages summary').click();
  await reader.page.getByRole('link', { name: '한국어' }).click();
  await live(reader);
  assert.equal(await reader.seen('#heading'), '대기 중입니다');
  assert.equal(await number(reader), 1);
  await reader.page.waitForURL(({ search }) => search === '');
  await reader.page.reload();
  assert.equal(await reader.seen('#heading'), '대기 중입니다');
  await reader.open(world.url(id));
  assert.equal(await reader.page.locator('html').getAttribute('lang'), 'ko');
  await reader.close();
});

test('the keyboard alone is enough to leave and to return', async () => {
  const { reader } = await waiting();
  await reader.page.keyboard.press('Tab');
  assert.equal(await reader.page.evaluate(() => document.activeElement.className), 'skip');
  const order = [];
  for (let i = 0; i < 8; i++) {
    await reader.page.keyboard.press('Tab');
    order.push(await reader.page.evaluate(() => document.activeElement.id || document.activeElement.lang));
  }
  assert.deepEqual(order.slice(0, 5), ['', '', 'sound', 'popup', 'leave'], 'the home page and the languages come first');
  await reader.page.locator('#leave').focus();
  await reader.page.keyboard.press('Enter');
  assert.equal(await reader.page.evaluate(() => document.activeElement.value), 'no', 'the safe answer first');
  await reader.page.keyboard.press('Enter');
  assert.equal(await reader.page.evaluate(() => document.activeElement.id), 'leave');
  await reader.close();
});
