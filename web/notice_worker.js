// SPDX-License-Identifier: MIT
//
// notice_worker: the service worker of the waiting pages. It shows notifications where pages may not (phones) and when no
// page is open (push messages), leads a tap on one to the page, and answers a reload without a network with a page that
// says that the place is kept (service_worker.js puts it into the cache).
//
// It never asks the queue anything: only a page that the buyer sees claims a turn.

import messages from 'messages';
import { own } from './place.js';
import { renewPush, wayOf } from './push.js';

const WAIT = own('/wait/');
const isWaitingPage = (url) => new URL(url).pathname.startsWith(WAIT) && /^[^/]+$/.test(new URL(url).pathname.slice(WAIT.length));

addEventListener('install', (event) => {
  self.skipWaiting();
  event.addRoutes?.({ condition: { urlPattern: new URLPattern({ pathname: own('/api/*') }) }, source: 'network' }); // no detour
});

addEventListener('activate', (event) => event.waitUntil((async () => {
  await self.registration.navigationPreload?.enable(); // the page is asked for while this worker starts
  await self.clients.claim();
})()));

async function answerLoad(event) {
  try {
    return (await event.preloadResponse) ?? (await fetch(event.request));
  } catch (error) {
    const offline = await caches.match(own('/offline'));
    if (!offline) throw error;
    return offline;
  }
}

addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET') return;
  if (request.mode === 'navigate' && isWaitingPage(request.url)) event.respondWith(answerLoad(event));
  else if (new URL(request.url).pathname.startsWith(own('/assets/'))) {
    event.respondWith(caches.match(request).then((kept) => kept ?? fetch(request))); // the name has the content's hash
  }
});

// ---- push messages ----

const CALLS = {
  offered: ['notification_title', 'push_offered'],
  parked: ['notification_title', 'push_parked'],
  test: ['notify_test_title', 'push_test'],
};

const pages = () => self.clients.matchAll({ type: 'window', includeUncontrolled: true });
const language = self.location.pathname.split('.').at(-2); // notice_worker.en.js
const timeOfDay = (ms) => new Intl.DateTimeFormat(language, { timeStyle: 'short' }).format(ms);

// The messages name no event but by its id. Without a network the notification names the site.
async function titleOf(event) {
  try {
    return (await (await fetch(own(`/api/events/${event}`))).json()).title ?? self.location.host;
  } catch {
    return self.location.host;
  }
}

async function showCall({ kind, event, until }) {
  const [title, body] = CALLS[kind] ?? CALLS.parked;
  const path = `${WAIT}${event}`;
  const open = await pages();
  for (const page of open) page.postMessage({ push: kind, event });
  const seen = open.some(({ url, visibilityState }) => visibilityState === 'visible' && [path, own(`/buy/${event}`)].includes(new URL(url).pathname));
  if (seen && kind !== 'test') return; // the page says it
  const values = { title: await titleOf(event), time: timeOfDay(until ?? 0) };
  const shown = await self.registration.getNotifications({ tag: path });
  await self.registration.showNotification(messages[title], {
    body: messages[body].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole),
    icon: own('/icon-512.png'),
    tag: path,
    renotify: !shown.some(({ data }) => data?.kind === kind), // a hidden page may have said it
    requireInteraction: kind !== 'test',
    data: { path, kind, way: await wayOf(event) },
  });
}

addEventListener('push', (event) => {
  let call;
  try {
    call = event.data.json();
  } catch {
    return; // not ours
  }
  if (/^[\w-]{1,64}$/.test(call?.event)) event.waitUntil(showCall(call));
});

addEventListener('pushsubscriptionchange', (event) => event.waitUntil(renewPush(self.registration)));

addEventListener('notificationclick', (event) => {
  const { path, way } = event.notification.data ?? {};
  event.notification.close();
  if (!path) return;
  event.waitUntil((async () => {
    const page = (await pages()).find(({ url }) => new URL(url).pathname === path);
    await (page ? page.focus() : self.clients.openWindow(way ? `${path}?${way}` : path));
  })());
});
