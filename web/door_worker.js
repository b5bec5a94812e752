// SPDX-License-Identifier: MIT
//
// door_worker: the service worker of the door's page. It keeps the page and what it loads, so that a reload works without
// a network. It answers nothing of the API: the page itself decides what to do without it.

import { own } from './place.js';

const CACHE = 'tiketi-door-page';
const FILES = new RegExp(`(?:href|src)="(${own('/assets/')}[^"]+)"`, 'g');

addEventListener('install', (event) => {
  self.skipWaiting();
  event.addRoutes?.({ condition: { urlPattern: new URLPattern({ pathname: own('/api/*') }) }, source: 'network' });
});

addEventListener('activate', (event) => event.waitUntil((async () => {
  await self.clients.claim();
  // The page that registered this worker was loaded before it: keep it, too.
  for (const { url } of await self.clients.matchAll({ type: 'window' })) await keepPage(new Request(url, { credentials: 'same-origin' })).catch(() => {});
})()));

async function keepPage(request) {
  const page = await fetch(request);
  if (!page.ok) return page;
  const files = [...(await page.clone().text()).matchAll(FILES)].map(([, path]) => path);
  const cache = await caches.open(CACHE);
  await cache.put(request.url, page.clone());
  await Promise.all(files.map(async (path) => (await cache.match(path)) ?? cache.add(path)));
  return page;
}

addEventListener('fetch', (event) => {
  const { request } = event;
  const { pathname } = new URL(request.url);
  if (request.method !== 'GET') return;
  if (request.mode === 'navigate' && pathname.startsWith(own('/door/'))) {
    event.respondWith(keepPage(request).catch(async (error) => {
      const kept = await caches.match(request.url, { ignoreSearch: true });
      if (!kept) throw error;
      return kept;
    }));
  } else if (pathname.startsWith(own('/assets/'))) {
    event.respondWith(caches.match(request).then((kept) => kept ?? fetch(request)));
  }
});
