// SPDX-License-Identifier: MIT
//
// One real browser among a crowd that is being admitted: the page hears something at least every interval, the
// position never rises, and the entry is shown within a second of its tick. Here with a small crowd;
// `CROWD=10000 make test-browser TESTS=test/browser/wait_crowd.test.mjs` with a large one.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from '../fixtures/browser.mjs';
import { SLOW, runTiketi, waitUntil } from '../fixtures/index.mjs';
import { World, live, showing } from './wait_scenes.mjs';

const CROWD = Number(process.env.CROWD ?? 400);
const INSIDE = Math.max(20, CROWD / 10);
const INTERVAL_MS = CROWD > 2000 ? 2000 : 1000;

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

// When a tick admitted the buyer, by Redis' clock, which is that of this machine.
async function admittedAt(id, buyer) {
  for (const [entry, fields] of await world.redis.client.xrange(`log:{${id}}`, '-', '+')) {
    const said = Object.fromEntries(fields.flatMap((name, i) => (i % 2 === 0 ? [[name, fields[i + 1]]] : [])));
    if (said.buyer === buyer && Number(said.n) > 0) return Number(entry.split('-')[0]);
  }
  return undefined;
}

test(`a browser among ${CROWD} buyers: live all the time, and the entry is shown within a second of the tick`, async (t) => {
  const id = await world.sale({ threshold: INSIDE, intervalMs: INTERVAL_MS, autoHold: 0, idleTimeoutMs: 5000 });
  const crowd = runTiketi(['crowd', '--users', String(CROWD), '--event', id, '--url', world.server.url, '--ws', world.server.wsUrl, '--buy', '0',
    '--abandon', '1', '--think', '1s..3s', '--arrive', '2s', '--max-time', CROWD > 2000 ? '8m' : '90s', '--no-check', '--guests'], {}, { timeoutMs: CROWD > 2000 ? 540000 : 120000, expect: null });
  // Far behind the others.
  await waitUntil(async () => (await world.organizer.stats(id)).queueSize > CROWD / 3, 60000, 'a queue');
  const reader = await browser.reader();
  const news = [];
  reader.page.on('websocket', (socket) => socket.on('framereceived', () => news.push(performance.now())));
  await reader.page.addInitScript(() => {
    globalThis.shown = [];
    globalThis.addEventListener('DOMContentLoaded', () => {
      new MutationObserver(() => {
        const main = document.getElementById('main');
        globalThis.shown.push(Number(document.getElementById('position').textContent.replaceAll(',', '')));
        if (main.dataset.state === 'admitted') globalThis.inAt ??= Date.now();
      }).observe(document.getElementById('main'), { attributes: true, childList: true, subtree: true, characterData: true });
    });
  });
  await reader.open(world.url(id));
  await live(reader);
  const first = Math.max(0, news.length - 1);
  await reader.page.locator('main[data-state="admitted"]').waitFor({ timeout: 480000 });
  await showing(reader, 'admitted');

  const shown = await reader.page.evaluate(() => globalThis.shown);
  assert.ok(shown.every((position, i) => i === 0 || position <= shown[i - 1]), shown.join());
  assert.ok(shown[0] > INSIDE, `began at ${shown[0]}`);

  const gaps = news.slice(first + 1).map((at, i) => at - news[first + i]);
  const longest = Math.max(...gaps);
  assert.ok(longest < INTERVAL_MS + 1000 * SLOW, `${longest} ms without news`);

  const [buyer] = (await reader.context.cookies()).find(({ name }) => name === 'tiketi_guest').value.split('.');
  const tick = await admittedAt(id, buyer);
  const inAt = await reader.page.evaluate(() => globalThis.inAt);
  assert.ok(inAt - tick < 1000 * SLOW, `${inAt - tick} ms after the tick`);
  t.diagnostic(`began at position ${shown[0]}, ${news.length} messages, longest silence ${Math.round(longest)} ms (interval ${INTERVAL_MS} ms), in ${inAt - tick} ms after the tick`);
  await reader.close();
  const { code, stdout } = await crowd;
  t.diagnostic(stdout.split('\n').filter((line) => /total users|errors|over-admi|order breaks|lost places|risen/i.test(line)).join(' · '));
  assert.equal(code, 0, stdout);
});
