// SPDX-License-Identifier: MIT
//
// Behind `make screenshots`: every state of the pages, as a phone and a desktop show them, into
// docs/screenshots/. SCENES="waiting admitted" makes some of them; OUT=… puts them elsewhere.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { Browser, DESKTOP, PHONE, SMALL_PHONE } from '../fixtures/browser.mjs';
import { ROOT } from '../fixtures/index.mjs';
import { scenes as buying, shop, ticketScenes } from './buy_scenes.mjs';
import { door, doorScenes } from './door_scenes.mjs';
import { gate, signInScenes } from './sign_in_scenes.mjs';
import { World, scenes as waiting } from './wait_scenes.mjs';
import { consoleScenes } from './console_scenes.mjs';

// The variants of each scene, by the end of the picture's name.
const LOOKS = {
  phone: { ...PHONE },
  dark: { ...PHONE, theme: 'dark' },
  desktop: { ...DESKTOP },
};
const MORE = {
  choosing: { ko: { ...PHONE, language: 'ko-KR' }, ja: { ...PHONE, language: 'ja-JP', theme: 'dark' }, small: { ...SMALL_PHONE }, 'desktop-dark': { ...DESKTOP, theme: 'dark' } },
  waiting: { ko: { ...PHONE, language: 'ko-KR' }, ja: { ...PHONE, language: 'ja-JP', theme: 'dark' }, small: { ...SMALL_PHONE }, 'desktop-dark': { ...DESKTOP, theme: 'dark' } },
  valid: { ko: { ...PHONE, language: 'ko-KR' }, ja: { ...PHONE, language: 'ja-JP', theme: 'dark' }, small: { ...SMALL_PHONE } },
  accepted: { ko: { ...PHONE, language: 'ko-KR' }, ja: { ...PHONE, language: 'ja-JP', theme: 'dark' } },
  used: { ko: { ...PHONE, language: 'ko-KR', theme: 'dark' }, ja: { ...PHONE, language: 'ja-JP' } },
  admitted: { ko: { ...PHONE, language: 'ko-KR' }, ja: { ...PHONE, language: 'ja-JP' }, 'desktop-dark': { ...DESKTOP, theme: 'dark' } },
};
const out = resolve(ROOT, process.env.OUT ?? 'docs/screenshots');
const wanted = process.env.SCENES?.split(' ');
const looks = process.env.LOOKS?.split(' ');

const browser = await Browser.start();
mkdirSync(out, { recursive: true });

async function picture(name, scene, world, options, look) {
  const reader = await browser.reader({ motion: 'reduce', ...options });
  const restore = await scene(world, reader);
  await reader.page.evaluate(() => Promise.all(document.getAnimations() // until all movement has ended
    .filter((animation) => animation.effect.getTiming().iterations !== Infinity).map((animation) => animation.finished.catch(() => {}))));
  // Sticky elements would cover parts of a picture of the whole page.
  const whole = !name.startsWith('buy-') && name !== 'wait-leaving';
  const path = `${out}/${name}-${look}.png`;
  await reader.page.screenshot({ path, fullPage: whole });
  execFileSync('pngquant', ['--force', '--strip', '--output', path, '256', path]); // a third of the size
  await restore?.();
  await reader.close();
  console.log(`${name}-${look}`);
}

async function pictures(prefix, scenes, open) {
  const chosen = scenes.filter(([name]) => !wanted || wanted.includes(name) || wanted.includes(`${prefix}-${name}`));
  if (chosen.length === 0) return;
  const world = await open();
  for (const [name, scene] of chosen) {
    for (const [look, options] of Object.entries({ ...LOOKS, ...MORE[name] })) {
      if (!looks || looks.includes(look)) await picture(`${prefix}-${name}`, scene, world, options, look);
    }
  }
  await (world.stop?.() ?? world.server.stop());
}

await pictures('wait', waiting, () => World.start());
await pictures('buy', buying, () => shop());
await pictures('ticket', ticketScenes, () => shop());
await pictures('door', doorScenes, () => door());
await pictures('sign-in', signInScenes, () => gate());
await pictures('console', consoleScenes, () => World.start());
await browser.close();
process.exit(0);
