// SPDX-License-Identifier: MIT
//
// The shop's health on the console: why the threshold is lower, who changed it, and the settings.

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

test('a threshold that the shop has lowered says so, in each language, and so does the list of changes', async () => {
  const { id } = await world.organizer.sale({ title: 'One Night', threshold: 10, thresholdMin: 2, autoHold: 0, intervalMs: 200 });
  for (let i = 0; i < 10; i++) await new Client(world.server, { sub: uniqueId('buyer') }).check(id);
  await world.organizer.must('POST', `/api/admin/events/${id}/health`, { p95Ms: 1500, errorRate: 0.002 });
  await waitUntil(async () => (await world.organizer.stats(id)).threshold === 8, 10000, 'the lower threshold');
  for (const [language, limit, change] of [
    ['en-GB', 'so the threshold was lowered to 8 (95 % of its answers within 1,500 ms, errors 0.2%)', 'Threshold 10 → 8: the shop is slow'],
    ['ko-KR', '동시 입장 한도를 8명으로 낮췄습니다(응답 95% 1,500ms 이내, 오류 0.2%)', '동시 입장 한도 10 → 8: 쇼핑몰 느림'],
    ['ja-JP', '上限を 8 人に下げています（応答の95 %が 1,500 ms 以内、エラー 0.2%）', '同時入場の上限 10 → 8：ショップが遅い'],
  ]) {
    const reader = await browser.reader({ ...DESKTOP, language });
    await signIn(reader, world.server);
    await reader.open(saleUrl(world.server, id));
    await drawn(reader);
    await reader.page.locator('#limit', { hasText: limit }).waitFor({ timeout: 10000 }).catch(async () => {
      assert.fail(await reader.page.locator('#limit').textContent());
    });
    await reader.page.locator('#changes', { hasText: change }).waitFor({ timeout: 10000 }).catch(async () => {
      assert.fail(await reader.page.locator('#changes').textContent());
    });
    if (process.env.OUT) await reader.page.screenshot({ path: `${process.env.OUT}/health-${language}.png`, fullPage: true });
    await reader.close();
  }
});
