// SPDX-License-Identifier: MIT
//
// The waiting page: how a buyer is called and told. Sound, notifications and their service worker, the title and the icon
// of a tab that nobody sees, the organizer's message, the page without a network.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { staysTrueFor, waitUntil } from '../fixtures/index.mjs';
import { newModel, withAnswer, withNews } from '../../web/wait_model.js';
import { live, showing } from './wait_scenes.mjs';
import { hide, listen, spoken, waitingRoom } from './wait_support.mjs';

const { world, browser, waiting } = await waitingRoom();

// A pod sends it with the time of the news that it has, which may be a second older than the page's own answer.
test('a message of the organizer is shown with whatever time it comes', () => {
  const model = newModel({ state: 'waiting', language: 'en' });
  Object.assign(model, withAnswer(model, { status: 'queued', position: 2, version: 3, revision: 5000 }));
  Object.assign(model, withNews(model, 'message', { text: 'Doors at seven.', version: 3, revision: 4200 }));
  assert.deepEqual([model.message, model.version, model.revision], ['Doors at seven.', 3, 5000]);
  assert.equal(withNews(model, 'event-status-changed', { status: 'paused', version: 3, revision: 4200 }), undefined);
});

test('a new message of the organizer is read out and marked; one that was there is not', async () => {
  const { id, reader } = await waiting();
  await listen(reader.page);
  await world.organizer.act(id, 'message', { text: 'Doors at seven.' });
  await reader.shows('#message', /^Doors at seven\.$/);
  await reader.shows('#message_new', /^New · at /);
  await waitUntil(async () => (await spoken(reader.page)).includes('From the organizer: Doors at seven.'), 5000, 'the words');
  await reader.page.reload();
  await live(reader);
  assert.equal(await reader.seen('#message'), 'Doors at seven.');
  assert.equal(await reader.seen('#message_new'), '');
  await reader.close();
});

test('where pages may not show notifications (Android) the service worker does, first when the box is ticked', async () => {
  const id = await world.full();
  const { inside } = world;
  const reader = await browser.reader({ permissions: ['notifications'] });
  await reader.context.addInitScript(() => {
    globalThis.Notification = class extends Notification {
      static permission = 'granted';

      static requestPermission = async () => 'granted';

      constructor() {
        super('');
        throw new TypeError('Illegal constructor');
      }
    };
  });
  await reader.open(world.url(id));
  await live(reader);
  const shown = () => reader.page.evaluate(async () => {
    const registration = await navigator.serviceWorker.getRegistration();
    return ((await registration?.getNotifications()) ?? []).map(({ title }) => title);
  });
  await reader.page.locator('#popup').check();
  // The service worker is fetched, installed and activated first, which takes seconds on a busy machine: the page says
  // itself when a notification was shown, or could not be.
  const said = () => reader.page.evaluate(() => ['open', 'closed', 'failed', 'denied'].find((word) => !document.getElementById(`popup_${word}`).hidden));
  assert.equal(await waitUntil(said, 30000, 'word of the page'), 'open');
  assert.equal(await reader.page.locator('#popup').isChecked(), true);
  assert.deepEqual(await shown(), ['Notifications are on']);
  await hide(reader.page);
  await inside.leave(id);
  await showing(reader, 'admitted');
  await waitUntil(async () => (await shown()).includes('It’s your turn'), 10000, 'the call');
  await hide(reader.page, false);
  await waitUntil(async () => (await shown()).length === 0, 10000, 'no call once the buyer is here');
  await reader.close();
});

test('a service worker that could not be registered is tried again when the box is ticked again', async () => {
  const id = await world.full();
  const reader = await browser.reader({ permissions: ['notifications'] });
  await reader.context.addInitScript(() => {
    globalThis.Notification = class extends Notification {
      static permission = 'granted';

      static requestPermission = async () => 'granted';
    };
    globalThis.refuse = true;
    const real = ServiceWorkerContainer.prototype.register;
    ServiceWorkerContainer.prototype.register = function register(...args) {
      return globalThis.refuse ? Promise.reject(new TypeError('no network')) : real.apply(this, args);
    };
  });
  await reader.open(world.url(id));
  await live(reader);
  await reader.page.locator('#popup').click();
  await reader.page.locator('#popup_failed:not([hidden])').waitFor();
  assert.equal(await reader.page.locator('#popup').isChecked(), false);
  await reader.page.evaluate(() => (globalThis.refuse = false));
  await reader.page.locator('#popup').click();
  await reader.page.locator('#popup_open:not([hidden])').waitFor();
  assert.equal(await reader.page.locator('#popup').isChecked(), true);
  assert.equal(await reader.seen('#popup_failed'), '');
  await reader.close();
});

test('after a reload the sound needs a key or a tap; the page says so, and then it plays', async () => {
  const { id, inside, reader } = await waiting();
  await reader.page.locator('#sound').check();
  await reader.page.reload();
  await live(reader);
  await reader.shows('#sound_blocked', /Tap anywhere, or press a key/);
  await reader.page.evaluate(() => {
    globalThis.tones = 0;
    const real = AudioContext.prototype.createOscillator;
    AudioContext.prototype.createOscillator = function create() {
      globalThis.tones++;
      return real.call(this);
    };
  });
  await reader.page.keyboard.press('Shift');
  await waitUntil(async () => (await reader.seen('#sound_blocked')) === '', 5000, 'no more hint');
  await inside.leave(id);
  await showing(reader, 'admitted');
  assert.equal(await reader.page.evaluate(() => globalThis.tones), 3);
  await reader.close();
});

test('a reload without a network says that the place is kept, and comes back by itself', async () => {
  const { reader } = await waiting({}, { permissions: ['notifications'] });
  reader.expects(/ERR_INTERNET_DISCONNECTED|WebSocket connection|ERR_FAILED/);
  await reader.page.locator('#popup').check(); // registers the service worker
  await waitUntil(() => reader.page.evaluate(async () => Boolean(await caches.match('/offline'))), 30000, 'the offline page');
  await reader.page.reload();
  await live(reader);
  await reader.context.setOffline(true);
  await reader.page.reload();
  await reader.shows('#heading', /^You are offline$/);
  assert.match(await reader.seen('#lead'), /it is kept/);
  await reader.context.setOffline(false);
  await reader.page.locator('main[data-state="waiting"]').waitFor();
  await reader.close();
});

test('the tab of a page that nobody sees calls: a dot on its icon, a title that changes; seen again it is still', async () => {
  const { id, inside, reader } = await waiting();
  const { page } = reader;
  const icon = async () => decodeURIComponent(await page.locator('link[rel="icon"]').getAttribute('href'));
  assert.doesNotMatch(await icon(), /<circle/);
  await page.evaluate(() => {
    globalThis.titles = [];
    new MutationObserver(() => globalThis.titles.push(document.title)).observe(document.querySelector('title'), { childList: true });
  });
  await hide(page);
  await inside.leave(id);
  await showing(reader, 'admitted');
  await page.evaluate(() => (globalThis.titles = []));
  assert.match(await icon(), /<circle cx='25' cy='7' r='6' fill='#e5484d'[^>]*\/><\/svg>$/);
  const seenTitles = async () => new Set(await page.evaluate(() => globalThis.titles));
  await waitUntil(async () => (await seenTitles()).size === 2, 10000, 'a title that changes each second');
  assert.deepEqual([...await seenTitles()].sort(), ['It’s your turn · One Night Only', 'Your turn! · One Night Only']);
  await hide(page, false);
  await waitUntil(async () => (await page.title()) === 'Your turn! · One Night Only', 5000, 'the title');
  await page.evaluate(() => (globalThis.titles = []));
  await staysTrueFor(2500, async () => ![...await seenTitles()].includes('It’s your turn · One Night Only'), 'the title of a page that is seen is still');
  await reader.close();
});

test('for who wants no motion the title does not change by itself', async () => {
  const { id, inside, reader } = await waiting({}, { motion: 'reduce' });
  await hide(reader.page);
  await inside.leave(id);
  await showing(reader, 'admitted');
  await waitUntil(async () => (await reader.page.title()) === 'Your turn! · One Night Only', 5000, 'the title');
  await staysTrueFor(2500, async () => (await reader.page.title()) === 'Your turn! · One Night Only', 'the title is still');
  await reader.close();
});

test('while a buyer who waits sees the page the screen stays on; not while it is hidden, nor before the sale opens', async () => {
  const locks = () => {
    globalThis.locks = [];
    Object.defineProperty(navigator, 'wakeLock', { value: {
      request: async (kind) => {
        globalThis.locks.push(kind);
        return { release: async () => globalThis.locks.push('released') };
      },
    } });
  };
  const last = (page) => page.evaluate(() => globalThis.locks.at(-1));
  const id = await world.full();
  const reader = await browser.reader();
  await reader.page.addInitScript(locks);
  await reader.open(world.url(id));
  await live(reader);
  await waitUntil(async () => (await last(reader.page)) === 'screen', 5000, 'the screen to stay on');
  await hide(reader.page);
  await waitUntil(async () => (await last(reader.page)) === 'released', 5000, 'the screen to be let go');
  await hide(reader.page, false);
  await waitUntil(async () => (await last(reader.page)) === 'screen', 5000, 'the screen to stay on again');
  await reader.page.locator('#leave').click();
  await reader.page.locator('#leave_dialog button[value="yes"]').click();
  await showing(reader, 'left');
  await waitUntil(async () => (await last(reader.page)) === 'released', 5000, 'the screen to be let go at the end');
  await reader.close();
  const early = await world.sale({ open: false, opensAt: new Date(Date.now() + 3600000).toISOString() });
  await world.organizer.act(early, 'publish');
  const idle = await browser.reader();
  await idle.page.addInitScript(locks);
  await idle.open(world.url(early));
  await live(idle);
  assert.equal(await last(idle.page), undefined);
  await idle.close();
});
