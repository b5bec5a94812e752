// SPDX-License-Identifier: MIT
//
// The console in a browser: a person who has signed in, and what tests ask of its pages.

import assert from 'node:assert/strict';
import { runTiketi, waitUntil } from '../fixtures/index.mjs';

// Signs a reader in by a one-time link, whose page a person would have seen first.
export async function signIn(reader, server, args = ['--name', 'Kim Minji', '--role', 'admin']) {
  const { stdout } = await runTiketi(['console-link', '--url', server.url, ...args]);
  const link = new URL(stdout.trim()).searchParams.get('link');
  const answer = await reader.context.request.post(`${server.url}/console/enter`, { form: { link }, maxRedirects: 0 });
  assert.equal(answer.status(), 303);
}

export const saleUrl = (server, id, view = '') => `${server.url}/console/events/${id}${view}`;

// The figures have been drawn.
export const drawn = (reader) => reader.page.locator('#figures:not([hidden])').waitFor();

// The figure of an element becomes a text.
export function becomes(reader, selector, text, why = selector) {
  return waitUntil(async () => (await reader.seen(selector)) === text, 10000, `${why}: ${text}`);
}

// Agrees in the dialog that is open; `typed`: what has to be typed first.
export async function agree(reader, typed = null) {
  const dialog = reader.page.locator('dialog[open]');
  if (typed !== null) await dialog.locator('input[type="text"]').last().fill(typed);
  await dialog.locator('button[value="yes"]').click();
}

export const noticed = (reader, pattern) => reader.page.locator('#notices .notice', { hasText: pattern }).first().waitFor();

// The elements that are wider than the window, as text; what scrolls by itself is no fault.
export const overflow = (page) => page.evaluate(() => {
  const width = document.documentElement.clientWidth;
  return [...document.querySelectorAll('body *')].filter((element) => {
    const { left, right } = element.getBoundingClientRect();
    return (right > width + 1 || left < -1) && !element.matches('.unseen, .skip') && !element.closest('.scroll, .console-tabs, dialog:not([open]), details:not([open]) > :not(summary)');
  }).map((element) => element.outerHTML.slice(0, 120)).join('\n');
});
