// SPDX-License-Identifier: MIT
//
// When no processor works on a sale, its page says so, and since when, in each language; and no more when one does.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, DESKTOP } from '../fixtures/browser.mjs';
import { Client, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { drawn, saleUrl, signIn } from './console_support.mjs';
import { World } from './wait_scenes.mjs';

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

test('a sale that nobody works on says since when, and that it is over', async () => {
  const { id } = await world.organizer.sale({ title: 'One Night', threshold: 0, intervalMs: 200 });
  await new Client(world.server, { sub: uniqueId('buyer') }).check(id);
  await waitUntil(async () => (await world.organizer.stats(id)).limitedBy === 'threshold', 10000, 'a tick');
  await world.redis.cli('SET', `lease:{${id}}`, '999:nobody'); // a holder that does nothing
  await waitUntil(async () => (await world.organizer.stats(id)).silentForMs > 0, 12000, 'the silence');
  const readers = [];
  for (const [language, text] of [
    ['en-GB', /No processor works on this sale.*The queue has stood still for \d+ seconds\./],
    ['ko-KR', /입장이 멈췄습니다.*멈춘 지 \d+초 지났습니다\./],
    ['ja-JP', /入場が止まっています.*停止してから\s?\d+ ?秒が経過しています。/],
  ]) {
    const reader = await browser.reader({ ...DESKTOP, language });
    readers.push(reader);
    await signIn(reader, world.server);
    await reader.open(saleUrl(world.server, id));
    await drawn(reader);
    await reader.page.locator('#warnings li', { hasText: text }).waitFor({ timeout: 10000 }).catch(async () => {
      assert.fail(`${language}: ${await reader.page.locator('#warnings').textContent()}`);
    });
    if (process.env.OUT) await reader.page.screenshot({ path: `${process.env.OUT}/silence-${language}.png` });
  }
  await world.redis.cli('DEL', `lease:{${id}}`);
  for (const reader of readers) {
    await reader.page.locator('#warnings li', { hasText: /No processor|입장이 멈췄|入場が止ま/ }).waitFor({ state: 'detached', timeout: 15000 });
    await reader.close();
  }
});
