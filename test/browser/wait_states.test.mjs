// SPDX-License-Identifier: MIT
//
// The waiting page in every state, light and dark, in each language: axe and html-validate find nothing, nothing is
// wider than the smallest phone, and the page is small.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, DESKTOP, SMALL_PHONE, axe, markup, traffic } from '../fixtures/browser.mjs';
import { World, live, scenes } from './wait_scenes.mjs';

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

const LANGUAGES = ['en-GB', 'ko-KR', 'ja-JP'];

// The elements that are wider than the window, as text.
const overflow = (page) => page.evaluate(() => {
  const width = document.documentElement.clientWidth;
  return [...document.querySelectorAll('body *')].filter((element) => {
    const { left, right } = element.getBoundingClientRect();
    return (right > width + 1 || left < -1) && !element.matches('.unseen, .skip');
  }).map((element) => element.outerHTML.slice(0, 120)).join('\n');
});

scenes.forEach(([name, scene], i) => {
  for (const theme of ['light', 'dark']) {
    const language = LANGUAGES[(i + (theme === 'dark')) % LANGUAGES.length];
    test(`${name}, ${theme}, ${language}: accessible, valid, and it fits`, async () => {
      const reader = await browser.reader({ theme, language, ...(theme === 'light' ? SMALL_PHONE : DESKTOP), motion: 'reduce', bypassCSP: true });
      const restore = await scene(world, reader);
      try {
        assert.equal(await overflow(reader.page), '');
        assert.equal(await axe(reader.page), '');
        if (name !== 'lost') {
          // The HTML that the server sends in that state.
          const sent = await reader.context.request.get(reader.page.url());
          assert.equal(await markup(await sent.text()), '');
        }
      } finally {
        await restore?.();
      }
      await reader.close();
    });
  }
});

test('the first load is at most 40 KiB and 4 requests, all of it from our origin', async (t) => {
  const id = await world.full();
  for (const language of LANGUAGES) {
    const reader = await browser.reader({ language });
    const measured = traffic(reader.page);
    await reader.open(world.url(id));
    await live(reader);
    await reader.page.waitForLoadState('networkidle');
    const { bytes, requests } = await measured();
    // Not counted: the redirect that asks a new browser for its cookie, and what the script asks the API.
    const files = reader.requests.filter((request) => !request.redirectedTo() && request.resourceType() !== 'fetch' && request.url().startsWith('http'));
    assert.equal(files.length, 4, `the page, its style, and two scripts: ${files.map((request) => request.url())}`);
    assert.ok(bytes <= 40 * 1024, `${language}: ${bytes} bytes`);
    t.diagnostic(`${language}: ${requests} requests, ${bytes} bytes`);
    for (const request of reader.requests) assert.equal(new URL(request.url()).origin, world.server.url);
    await reader.close();
  }
});
