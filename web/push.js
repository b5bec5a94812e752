// SPDX-License-Identifier: MIT
//
// push: the push subscription of this browser, and the events for which the server has it. Used by the waiting page, and
// by its service worker, which renews a subscription that the browser has replaced. The browser has one subscription, the
// server has it for each event; which these are stands in a cache, which both can read.

import { own } from './place.js';

const CACHE = 'tiketi-push';
const RENEW_MS = 3600000;

const noteOf = (event) => `/push/${event}`;
const path = (event) => own(`/api/queue/push/${event}`);

const bytesOf = (text) => Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (c) => c.charCodeAt(0));
const textOf = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');

async function send(method, event, json) {
  const answer = await fetch(path(event), { method, headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(json) });
  if (!answer.ok) throw new Error(`${method} ${path(event)}: ${answer.status}`);
}

// ---- what the server has: { endpoint, place, at } by event; and `way`, the `return=…` of the page that asked for calls,
// which stays in this browser ----

async function readNote(event) {
  const note = await (await caches.open(CACHE)).match(noteOf(event));
  return note?.json();
}

// The `return=…` of the event's waiting page; '': none.
export const wayOf = async (event) => (await readNote(event))?.way ?? '';

async function keptEvents() {
  const notes = await (await caches.open(CACHE)).keys();
  return notes.map(({ url }) => new URL(url).pathname.slice(noteOf('').length));
}

// The subscription under this key; one under another key is given up, since the server will not have that for long.
async function subscribe(registration, key) {
  const known = await registration.pushManager.getSubscription();
  const knownKey = known?.options?.applicationServerKey;
  if (known && (!knownKey || textOf(knownKey) === key)) return known;
  await known?.unsubscribe();
  return registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytesOf(key) });
}

// Has this browser called at this event. `place`: the buyer's, as the server may have the subscription for an earlier one.
// test: a first call comes at once. Rejects where the browser or its push service refuses.
export async function keepPush(registration, { event, key, place, way = '', test = false }) {
  const subscription = await subscribe(registration, key);
  const { endpoint, keys: { p256dh, auth } } = subscription.toJSON();
  const note = await readNote(event);
  const noted = (at) => caches.open(CACHE).then((cache) => cache.put(noteOf(event), Response.json({ endpoint, place, way, at })));
  if (!test && note?.endpoint === endpoint && note.place === place && Date.now() - note.at < RENEW_MS) {
    if (note.way !== way) await noted(note.at);
    return;
  }
  await send('PUT', event, { endpoint, keys: { p256dh, auth }, key, test });
  await noted(Date.now());
}

// Has this browser called nowhere any more.
export async function endPush(registration) {
  const subscription = await registration.pushManager.getSubscription();
  const events = await keptEvents();
  await caches.delete(CACHE);
  if (!subscription) return;
  const { endpoint } = subscription;
  await Promise.allSettled(events.map((event) => send('DELETE', event, { endpoint })));
  await subscription.unsubscribe();
}

// The browser has replaced the subscription: the server gets the new one, for all events that had the old one.
export async function renewPush(registration) {
  const events = await keptEvents();
  if (events.length === 0) return;
  const { key } = await (await fetch(own('/api/queue/push'))).json();
  await Promise.allSettled(events.map(async (event) => keepPush(registration, { event, key, ...await readNote(event) })));
}
