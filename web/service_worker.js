// SPDX-License-Identifier: MIT
//
// service_worker: registers notice_worker.js for the waiting pages, and keeps the page that it shows without a network.

import { own } from './place.js';
import { ownScript } from './trusted.js';

const CACHE = 'tiketi-offline';
const FILES = new RegExp(`(?:href|src)="(${own('/assets/')}[^"]+)"`, 'g');
let registered;

// The offline page in the language of this page, with the style and the script that it links to.
async function keepOfflinePage() {
  const page = await fetch(own(`/offline?lang=${document.documentElement.lang}`));
  if (!page.ok) return;
  const files = [...(await page.clone().text()).matchAll(FILES)].map(([, path]) => path);
  const cache = await caches.open(CACHE);
  for (const kept of await cache.keys()) await cache.delete(kept);
  await cache.addAll(files);
  await cache.put(own('/offline'), page);
}

// Resolves to the registration once the worker works; rejects where there is none. What failed is tried again by the next
// call: the network may be back.
// Not navigator.serviceWorker.ready: the page may be in the place of one of the shop, which is not below the worker's scope.
const activated = (registration) => new Promise((resolve) => {
  if (registration.active) resolve(registration);
  else (registration.installing ?? registration.waiting).addEventListener('statechange', () => registration.active && resolve(registration));
});

export function registerWorker() {
  registered ??= (async () => {
    if (!navigator.serviceWorker) throw new Error('no service workers');
    const registration = await navigator.serviceWorker.register(ownScript(`notice_worker.${document.documentElement.lang}.js`), { scope: own('/wait/') });
    keepOfflinePage().catch(() => {}); // without it the browser shows its own page
    return activated(registration);
  })().catch((error) => {
    registered = undefined;
    throw error;
  });
  return registered;
}
