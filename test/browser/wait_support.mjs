// SPDX-License-Identifier: MIT
//
// What the tests of the waiting page share: a world with a browser, a buyer who waits, and what a page has said.

import { after } from 'node:test';
import { Browser } from '../fixtures/browser.mjs';
import { World, live } from './wait_scenes.mjs';

// A world and a browser, and waiting(settings, options): a reader who is next, behind `inside`, on a page that is live.
export async function waitingRoom() {
  const [world, browser] = await Promise.all([World.start(), Browser.start()]);
  after(() => world.stop());
  async function waiting(settings, options) {
    const id = await world.full(settings);
    const { inside } = world;
    const reader = await browser.reader(options);
    await reader.open(world.url(id));
    await live(reader);
    return { id, inside, reader };
  }
  return { world, browser, waiting };
}

// As if the buyer had changed to another page, or back.
export const hide = (page, hidden = true) => page.evaluate((now) => {
  Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => (now ? 'hidden' : 'visible') });
  document.dispatchEvent(new Event('visibilitychange'));
}, hidden);

// A page that comes back asks for its status.
export const comesBack = (page) => page.evaluate(() => globalThis.dispatchEvent(new Event('pageshow')));

// Records the announcements for screen readers: [region, text, ms].
export const listen = (page) => page.evaluate(() => {
  globalThis.said = [];
  for (const id of ['polite', 'assertive']) {
    const element = document.getElementById(id);
    new MutationObserver(() => element.textContent && globalThis.said.push([id, element.textContent, performance.now()]))
      .observe(element, { childList: true, characterData: true, subtree: true });
  }
});
export const heard = (page) => page.evaluate(() => globalThis.said);
export const spoken = async (page) => (await heard(page)).map(([, text]) => text);
