// SPDX-License-Identifier: MIT
//
// PATH_PREFIX in a real browser: every page and script of a buyer's way and of the console asks for what is below the
// prefix alone, and nothing that they ask for is missing.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { DESKTOP } from '../fixtures/browser.mjs';
import { Server, freePort, runTiketi, waitUntil } from '../fixtures/index.mjs';
import { drawn, holds, shop } from './buy_support.mjs';
import { live, showing } from './wait_scenes.mjs';

const PREFIX = '/.tiketi';
const { redis, database, server, browser, organizer, provider, sale } = await shop();
const pod = new Server({ redis, database, roles: 'api,gateway' });
[pod.port, pod.wsPort] = [await freePort(), await freePort()];
pod.env = { PATH_PREFIX: PREFIX, PAYMENT_URL: `${provider.url}/pay`, PUBLIC_WS_URL: `ws://127.0.0.1:${pod.wsPort}${PREFIX}/ws` };
await pod.start();
after(() => pod.stop());

// A reader of whose requests to the service each must be below the prefix, and found.
async function watched(options) {
  const reader = await browser.reader(options);
  const wrong = [];
  const isOurs = (url) => [pod.port, pod.wsPort].includes(Number(new URL(url).port));
  reader.context.on('response', (response) => {
    const url = response.url();
    if (isOurs(url) && (!new URL(url).pathname.startsWith(`${PREFIX}/`) || response.status() >= 400)) wrong.push(`${response.status()} ${url}`);
  });
  return { reader, check: async () => {
    assert.deepEqual(wrong, []);
    await reader.close();
  } };
}

test('from the waiting page to the ticket, and the waiting page’s worker', async () => {
  const id = await sale({ threshold: 1 });
  const { reader, check } = await watched();
  await reader.open(`${pod.url}${PREFIX}/wait/${id}`);
  await showing(reader, 'admitted');
  await live(reader);
  await reader.page.locator('#enter').click();
  await reader.page.waitForURL(`**${PREFIX}/buy/${id}`);
  await drawn(reader);
  await holds(reader, 1);
  await reader.page.locator('#pay_button').click();
  await reader.page.waitForURL(`${provider.url}/**`);
  await reader.page.locator('button[value=pay]').click();
  await reader.page.waitForURL(`**${PREFIX}/ticket/**`);
  await reader.page.locator('h1').waitFor();
  await check();
});

test('the worker keeps the page for a reload without a network', async () => {
  const id = await sale({ autoHold: 0, threshold: 1 });
  const first = await browser.reader();
  await first.open(`${pod.url}${PREFIX}/wait/${id}`);
  await showing(first, 'admitted');
  const { reader, check } = await watched();
  reader.expects(/ERR_INTERNET_DISCONNECTED/);
  await reader.open(`${pod.url}${PREFIX}/wait/${id}`);
  await live(reader);
  const scope = await waitUntil(() => reader.page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.active && (await navigator.serviceWorker.getRegistration()).scope), 15000, 'the worker');
  assert.equal(scope, `${pod.url}${PREFIX}/wait/`);
  await waitUntil(() => reader.page.evaluate(async (path) => Boolean(await caches.match(path)), `${PREFIX}/offline`), 15000, 'the page to be kept');
  await reader.context.setOffline(true);
  await reader.page.reload();
  await reader.shows('h1', /./);
  assert.match(await reader.page.title(), /offline|connection|network/i);
  await reader.context.setOffline(false);
  await check();
  await first.close();
});

test('the console: signed in by a link, the list, every view of an event, and the door', async () => {
  const id = await sale({ threshold: 5 });
  const { reader, check } = await watched(DESKTOP);
  const { stdout } = await runTiketi(['console-link', '--url', `${pod.url}${PREFIX}`, '--name', 'Kim Minji', '--role', 'admin']);
  await reader.open(stdout.trim());
  await reader.page.locator('form[action$="/console/enter"] button').click();
  await reader.page.waitForURL(`**${PREFIX}/console`);
  await reader.page.locator(`.sale[data-event="${id}"] h2 a`).click();
  await reader.page.locator('#figures:not([hidden])').waitFor();
  for (const view of ['setup', 'hall', 'people', 'report']) {
    const read = reader.page.waitForResponse((response) => response.url().includes(`/api/admin/events/${id}`));
    await reader.page.locator(`.console-tabs a[href="${PREFIX}/console/events/${id}/${view}"]`).click();
    await reader.page.waitForURL(`**${PREFIX}/console/events/${id}/${view}`);
    assert.equal((await read).status(), 200, view);
  }
  await reader.open(`${pod.url}${PREFIX}/console/new`);
  await reader.open(`${pod.url}${PREFIX}/door/${id}`);
  await reader.shows('#network', /Online|connected/i);
  assert.equal(await reader.page.evaluate(async () => (await navigator.serviceWorker.ready).scope), `${pod.url}${PREFIX}/door/`);
  await check();
  assert.equal((await organizer.stats(id)).currentUsers, 0);
  assert.ok(server.running);
});
