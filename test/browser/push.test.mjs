// SPDX-License-Identifier: MIT
//
// Web Push in a real browser: ticking the box, a turn that reaches a closed page, and the way back to it. The browser's own
// push service is out of reach here: PushManager subscribes to the tests' push service instead, and what arrives there is
// handed to the page's real service worker, decrypted, as the browser does it.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from '../fixtures/browser.mjs';
import { Client, PushService, runTiketi, stage, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { live, showing } from './wait_scenes.mjs';

const service = await PushService.start();
const { stdout: key } = await runTiketi(['vapid-key']);
const { server, database, organizer } = await stage({
  env: { VAPID_KEYS: key.trim(), VAPID_SUBJECT: 'mailto:ops@shop.example', ...service.env },
});
let browser;
before(async () => {
  browser = await Browser.start();
});
after(async () => {
  await service.stop();
  assert.deepEqual(service.faults, []);
});

const { key: publicKey } = (await server.get('/api/queue/push')).body;
const url = (id) => `${server.url}/wait/${id}`;
const subscriptions = (id) => database.query('SELECT endpoint, key FROM push_subscriptions WHERE event_id = $1 ORDER BY id', [id]);

// Runs in the page and in the worker: this PushManager's subscription stands in a cache, which both can read.
function standIn(made) {
  const read = async () => (await (await caches.open('stand-in')).match('/subscription'))?.json();
  const write = async (state) => (await caches.open('stand-in')).put('/subscription', Response.json(state));
  const text = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');
  const bytes = (base64) => Uint8Array.from(atob(base64.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0)).buffer;
  const subscription = ({ at, withKey }) => ({
    endpoint: made[at].endpoint,
    options: { applicationServerKey: bytes(withKey), userVisibleOnly: true },
    toJSON: () => ({ endpoint: made[at].endpoint, expirationTime: null, keys: made[at].keys }),
    unsubscribe: async () => {
      await write({ at: at + 1 });
      return true;
    },
  });
  PushManager.prototype.getSubscription = async () => {
    const state = await read();
    return state?.withKey ? subscription(state) : null;
  };
  PushManager.prototype.subscribe = async ({ applicationServerKey, userVisibleOnly }) => {
    if (!userVisibleOnly) throw new TypeError('userVisibleOnly');
    const state = { at: (await read())?.at ?? 0, withKey: text(applicationServerKey) };
    await write(state);
    return subscription(state);
  };
}

// A reader of the waiting page of a full event. browsers: the subscriptions that this browser gets, one after the other.
async function waiting({ language, way = '' } = {}) {
  const { id } = await organizer.sale({ id: uniqueId('push'), title: 'One Night Only', threshold: 1, intervalMs: 200, autoHold: 0, claimMs: 20000 });
  const inside = new Client(server);
  assert.equal((await inside.check(id)).body.status, 'active');
  const reader = await browser.reader({ permissions: ['notifications'], language });
  const browsers = [0, 1, 2].map(() => service.subscribe());
  const made = browsers.map(({ endpoint, keys }) => ({ endpoint, keys }));
  await reader.context.addInitScript(standIn, made);
  await reader.context.addInitScript(() => {
    globalThis.Notification = class extends Notification {
      static permission = 'granted';

      static requestPermission = async () => 'granted';
    };
  });
  const worker = reader.context.waitForEvent('serviceworker', { timeout: 60000 });
  await reader.open(`${url(id)}${way && '?'}${way}`);
  await live(reader);
  const other = await reader.tab(); // a page of another address, from which the worker is seen when no other is open
  await other.goto(`${server.url}/`);
  const session = await reader.context.newCDPSession(other);
  let registrationId;
  session.on('ServiceWorker.workerRegistrationUpdated', ({ registrations }) => {
    for (const registration of registrations) if (registration.scopeURL === `${server.url}/wait/`) ({ registrationId } = registration);
  });
  await session.send('ServiceWorker.enable');
  await reader.page.bringToFront();
  const push = async (message) => {
    await waitUntil(() => registrationId, 10000, 'the registration');
    await session.send('ServiceWorker.deliverPushMessage', { origin: server.url, registrationId, data: JSON.stringify(message) });
    return message;
  };
  // Hands the next message of the push service to the worker; returns it.
  const deliver = async () => push((await browsers[0].next()).message);
  const shown = (page = other) => page.evaluate(async (scope) => {
    const registration = await navigator.serviceWorker.getRegistration(scope);
    return ((await registration?.getNotifications()) ?? []).map(({ title, body, tag, data }) => ({ title, body, tag, data }));
  }, '/wait/');
  const tick = () => reader.page.locator('#popup').check();
  return { id, inside, reader, other, browsers, made, push, deliver, shown, tick, worker: () => worker };
}

test('the box is ticked: the first call comes the whole way; the page is closed: the turn comes, and a tap leads back to it, with the way to the shop', async () => {
  const way = 'return=/shop/x?y=1%26z=%2520';
  const { id, inside, reader, other, deliver, shown, tick, worker } = await waiting({ way });
  await tick();
  assert.deepEqual(await deliver(), { kind: 'test', event: id });
  await reader.shows('#popup_closed', /^You can close this page\./);
  assert.equal(await reader.seen('#popup_open'), '');
  await waitUntil(async () => (await shown()).length > 0, 10000, 'the first call');
  const [first, ...more] = await shown();
  assert.deepEqual([first.title, first.body, more.length], ['Notifications are on', 'This is how we call you when it is your turn, even if you close the page.', 0]);
  assert.deepEqual((await subscriptions(id)).map((row) => row.key), [publicKey]);

  const background = await worker();
  await background.evaluate(() => {
    globalThis.opened = [];
    globalThis.clients.openWindow = async (path) => globalThis.opened.push(path); // it would need a real tap
  });
  await reader.page.close();
  await inside.leave(id);
  const { kind, until } = await deliver();
  assert.equal(kind, 'offered');
  const time = new Intl.DateTimeFormat('en', { timeStyle: 'short', timeZone: 'Europe/Berlin' }).format(until);
  let call;
  await waitUntil(async () => (call = (await shown()).find(({ title }) => title === 'It’s your turn')), 10000, 'the call');
  assert.equal(call.body.replaceAll('\u202f', ' '), `One Night Only: come in by ${time}. After that, others go first; your place is kept.`.replaceAll('\u202f', ' '));
  assert.equal((await shown()).length, 1, 'it takes the place of the first one');
  const row = await organizer.stats(id);
  assert.equal(row.counters.admitted, 2);
  await background.evaluate(async () => {
    const [notification] = await globalThis.registration.getNotifications();
    globalThis.dispatchEvent(new globalThis.NotificationEvent('notificationclick', { notification }));
  });
  await waitUntil(async () => (await background.evaluate(() => globalThis.opened.length)) === 1, 10000, 'the page to be opened');
  const [path] = await background.evaluate(() => globalThis.opened);
  assert.equal(path, `/wait/${id}?${way}`);
  assert.deepEqual(await shown(), [], 'what was tapped is gone');

  reader.page = await reader.tab();
  await reader.page.goto(`${server.url}${path}`);
  await showing(reader, 'admitted');
  await reader.shows('#countdown_number', /^9:\d\d$|^10:00$/); // the turn, not the 20 s of the offer
  assert.equal(await reader.page.locator('#enter').getAttribute('href'), `/wait/${id}/enter?${way}`);
  await other.close();
  await reader.close();
});

// As if the buyer had changed to another page.
const hide = (page) => page.evaluate(() => {
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => 'hidden' });
  document.dispatchEvent(new Event('visibilitychange'));
});

test('a page that is seen says it itself', async () => {
  const { id, inside, reader, deliver, push, shown, tick, browsers } = await waiting();
  await tick();
  await deliver();
  await reader.shows('#popup_closed', /close this page/);
  await inside.leave(id);
  await showing(reader, 'admitted');
  await staysTrueFor(2500, () => browsers[0].messages.length === 1, 'who claims at once is not called');
  const before = await shown();
  assert.deepEqual(before.filter(({ title }) => title === 'It’s your turn').length, 1, 'the page has called');
  await push({ kind: 'parked', event: id });
  await staysTrueFor(500, async () => JSON.stringify(await shown()) === JSON.stringify(before), 'nothing is added');
  await reader.close();
});

test('a hidden page and the push message call once', async () => {
  const { id, inside, reader, deliver, shown, tick, worker } = await waiting();
  await tick();
  await deliver();
  await reader.shows('#popup_closed', /close this page/);
  const background = await worker();
  await background.evaluate(() => {
    globalThis.clients.matchAll = async () => []; // headless pages are never hidden for the worker
    const show = globalThis.registration.showNotification.bind(globalThis.registration);
    globalThis.options = [];
    globalThis.registration.showNotification = (title, options) => {
      globalThis.options.push(options);
      return show(title, options);
    };
  });
  await hide(reader.page);
  await inside.leave(id);
  await waitUntil(async () => (await shown()).some(({ title }) => title === 'It’s your turn'), 18000, 'the call of the page');
  assert.equal((await deliver()).kind, 'offered', 'a hidden page does not claim');
  await waitUntil(async () => (await background.evaluate(() => globalThis.options.length)) === 1, 10000, 'the call of the worker');
  assert.equal(await background.evaluate(() => globalThis.options[0].renotify), false, 'it makes no second sound');
  assert.equal((await shown()).length, 1);
  await reader.close();
});

test('the box is unticked: the browser is called no more', async () => {
  const { id, reader, deliver, tick } = await waiting();
  await tick();
  await deliver();
  await reader.shows('#popup_closed', /close this page/);
  await reader.page.locator('#popup').uncheck();
  await waitUntil(async () => (await subscriptions(id)).length === 0, 10000, 'the subscription to be deleted');
  assert.equal(await reader.seen('#popup_closed'), '');
  assert.equal(await reader.page.evaluate(async () => (await (await navigator.serviceWorker.ready).pushManager.getSubscription()) === null), true);
  await reader.close();
});

test('where no push message comes through the page says that it must stay open, and shows its own notification', async () => {
  const { id, reader, shown, tick } = await waiting({ language: 'ko-KR' });
  service.answer = () => ({ status: 403 });
  await tick();
  // The page waits ten seconds for the first call.
  await waitUntil(async () => (await reader.seen('#popup_open')) !== '', 30000, 'the page to give up').finally(() => (service.answer = () => undefined));
  await reader.shows('#popup_open', /^이 페이지를 열어 두세요/);
  assert.deepEqual((await shown()).map(({ title }) => title), ['알림이 켜졌습니다']);
  assert.equal(await reader.page.locator('#popup').isChecked(), true);
  assert.equal((await subscriptions(id)).length, 1);
  await reader.close();
});

test('a later visit keeps the subscription; one under a key of before, and one that the browser replaces, are renewed', async () => {
  const { id, reader, deliver, made, tick, worker } = await waiting();
  await tick();
  await deliver();
  await reader.shows('#popup_closed', /close this page/);
  let puts = 0;
  reader.page.on('request', (request) => (puts += request.method() === 'PUT'));
  await reader.page.reload();
  await live(reader);
  await reader.shows('#popup_closed', /close this page/);
  assert.equal(puts, 0, 'the server has it');

  await reader.page.evaluate(async (withKey) => (await caches.open('stand-in')).put('/subscription', Response.json({ at: 0, withKey })), 'B'.repeat(87));
  await reader.page.reload();
  await live(reader);
  await waitUntil(async () => (await subscriptions(id)).some(({ endpoint }) => endpoint === made[1].endpoint), 10000, 'the new subscription');
  assert.deepEqual((await subscriptions(id)).at(-1), { endpoint: made[1].endpoint, key: publicKey });

  const background = await worker();
  await background.evaluate(standIn, made);
  await background.evaluate(async () => {
    await (await caches.open('stand-in')).put('/subscription', Response.json({ at: 2 }));
    globalThis.dispatchEvent(new globalThis.ExtendableEvent('pushsubscriptionchange'));
  });
  await waitUntil(async () => (await subscriptions(id)).some(({ endpoint }) => endpoint === made[2].endpoint), 10000, 'the replaced subscription');
  await reader.close();
});
