// SPDX-License-Identifier: MIT
//
// The buying page in the states beside a plain purchase (buy_quality.test.mjs has those), light and dark, in each
// language: axe finds nothing, and nothing is wider than the screen.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP, SMALL_PHONE, axe } from '../fixtures/browser.mjs';
import { scenes, shop } from './buy_scenes.mjs';

const world = await shop();
world.halls = [{ section: 'Floor', rows: 4, seatsPerRow: 40, price: 9900 }];

const LANGUAGES = ['en-GB', 'ko-KR', 'ja-JP'];
const STATES = ['conflict', 'hold-expired', 'last', 'over', 'empty', 'unknown', 'sold-out', 'unavailable'];

STATES.forEach((name, i) => {
  const [, scene] = scenes.find(([other]) => other === name);
  for (const theme of ['light', 'dark']) {
    const language = theme === 'light' ? 'en-GB' : LANGUAGES[i % LANGUAGES.length];
    test(`${name}, ${theme}, ${language}: accessible, and it fits`, async () => {
      const reader = await world.browser.reader({ theme, language, ...(theme === 'light' ? SMALL_PHONE : DESKTOP), motion: 'reduce', bypassCSP: true });
      const restore = await scene(world, reader);
      try {
        assert.equal(await axe(reader.page), '');
        const [width, room] = await reader.page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
        assert.ok(width <= room, `${width} px wide`);
      } finally {
        await restore?.();
      }
      await reader.close();
    });
  }
});
