// SPDX-License-Identifier: MIT
//
// Behind `make screenshots`: every state of the pages, as a phone and a desktop show them, into
// docs/screenshots/. SCENES="waiting admitted" makes some of them; OUT=… puts them elsewhere.

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';
import { Browser, DESKTOP, PHONE, SMALL_PHONE } from '../fixtures/browser.mjs';
import { ROOT } from '../fixtures/index.mjs';
import { World, scenes as wait } from './wait_scenes.mjs';

// The pictures of a page begin with its name.
const PAGES = { wait };

// What is shown of each scene: the name of the picture ends with it.
const LOOKS = {
  phone: { ...PHONE },
  dark: { ...PHONE, theme: 'dark' },
  desktop: { ...DESKTOP },
};
const MORE = {
  waiting: { ko: { ...PHONE, language: 'ko-KR' }, ja: { ...PHONE, language: 'ja-JP', theme: 'dark' }, small: { ...SMALL_PHONE }, 'desktop-dark': { ...DESKTOP, theme: 'dark' } },
  admitted: { ko: { ...PHONE, language: 'ko-KR' }, ja: { ...PHONE, language: 'ja-JP' }, 'desktop-dark': { ...DESKTOP, theme: 'dark' } },
};
const out = resolve(ROOT, process.env.OUT ?? 'docs/screenshots');
const wanted = process.env.SCENES?.split(' ');
const looks = process.env.LOOKS?.split(' ');

const world = await World.start();
const browser = await Browser.start();
mkdirSync(out, { recursive: true });
const all = Object.entries(PAGES).flatMap(([page, scenes]) => scenes.map(([name, scene]) => [page, name, scene]));
for (const [page, name, scene] of all) {
  if (wanted && !wanted.includes(name)) continue;
  for (const [look, options] of Object.entries({ ...LOOKS, ...(page === 'wait' && MORE[name]) })) {
    if (looks && !looks.includes(look)) continue;
    const reader = await browser.reader({ motion: 'reduce', ...options });
    const restore = await scene(world, reader);
    await reader.page.waitForTimeout(400); // what moves has come to rest
    const path = `${out}/${page}-${name}-${look}.png`;
    await reader.page.screenshot({ path, fullPage: name !== 'leaving' });
    execFileSync('pngquant', ['--force', '--strip', '--output', path, '256', path]); // a third of the size
    await restore?.();
    await reader.close();
    console.log(`${page}-${name}-${look}`);
  }
}
await browser.close();
await world.stop();
process.exit(0);
