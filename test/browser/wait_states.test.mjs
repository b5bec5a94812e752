// SPDX-License-Identifier: MIT
//
// The waiting page in every state, light and dark, in each language: axe and html-validate find nothing, nothing is
// wider than the smallest phone, and the page is small.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, DESKTOP, SMALL_PHONE, axe, markup } from '../fixtures/browser.mjs';
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

test('the first load is at most 60 KiB, all of it from our origin', async (t) => {
  const id = await world.full();
  for (const language of LANGUAGES) {
    const reader = await browser.reader({ language });
    let bytes = 0;
    const counted = [];
    reader.page.on('requestfinished', (request) => counted.push(request.sizes().then(({ responseBodySize, responseHeadersSize }) => (bytes += responseBodySize + responseHeadersSize))));
    await reader.open(world.url(id));
    await live(reader);
    await reader.page.waitForLoadState('networkidle');
    await Promise.all(counted);
    assert.ok(counted.length > 8, `${counted.length} requests`);
    assert.ok(bytes <= 60 * 1024, `${language}: ${bytes} bytes`);
    t.diagnostic(`${language}: ${counted.length} requests, ${bytes} bytes`);
    for (const request of reader.requests) assert.equal(new URL(request.url()).origin, world.server.url);
    await reader.close();
  }
});

test('every language has the same messages with the same placeholders', async () => {
  const root = /href="(\/assets\/[0-9a-f]+)\//.exec((await world.server.get('/')).text)[1];
  const files = {};
  for (const language of ['en', 'ko', 'ja']) files[language] = (await world.server.get(`${root}/messages/${language}.json`)).body;
  const holes = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, hole]) => hole).sort().join();
  for (const language of ['ko', 'ja']) {
    assert.deepEqual(Object.keys(files[language]), Object.keys(files.en));
    for (const [key, text] of Object.entries(files[language])) {
      assert.equal(holes(text), holes(files.en[key]), `${language} ${key}`);
      assert.equal(text === '', files.en[key] === '', `${language} ${key}`);
    }
  }
});
