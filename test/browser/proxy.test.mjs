// SPDX-License-Identifier: MIT
//
// `tiketi proxy` in a real browser: the waiting page at the very address that was asked for, and the way into the shop.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { Browser } from '../fixtures/browser.mjs';
import { Client, waitUntil } from '../fixtures/index.mjs';
import { PREFIX, proxyStage } from '../integration/proxy_support.mjs';
import { live, showing } from './wait_scenes.mjs';

const { server, shop, sale, front } = await proxyStage();
const browser = await Browser.start();
after(() => browser.close());

const DEEP = '/shop/x?y=1&lang=ko#reviews';

// An event whose only slot `first` has, and a proxy.
async function full(settings) {
  const id = await sale({ threshold: 1, intervalMs: 300, ...settings });
  const proxy = await front(id);
  const first = new Client({ url: proxy.url });
  assert.equal((await first.post(`${PREFIX}/api/queue/check/${id}`)).body.status, 'active');
  return { id, proxy, leave: () => first.post(`${PREFIX}/api/queue/leave/${id}`) };
}

test('nobody waits: a visitor sees nothing of the waiting room', async () => {
  const proxy = await front(await sale());
  const reader = await browser.reader();
  await reader.open(`${proxy.url}${DEEP}`);
  await reader.shows('h1', /^The shop$/);
  assert.equal(reader.page.url(), `${proxy.url}${DEEP}`);
  await reader.close();
});

test('the waiting page is at the very address, live; the turn leads to the shop there, with query and fragment; reload and Back stay there', async () => {
  const { id, proxy, leave } = await full();
  const reader = await browser.reader();
  const before = shop.seen.length;
  await reader.open(`${proxy.url}${DEEP}`);
  await showing(reader, 'waiting');
  await live(reader);
  assert.equal(reader.page.url(), `${proxy.url}${DEEP}`);
  assert.deepEqual(shop.seen.slice(before), []);
  const position = await reader.seen('#position');
  await reader.page.reload();
  await showing(reader, 'waiting');
  assert.equal(reader.page.url(), `${proxy.url}${DEEP}`);
  assert.equal(await reader.seen('#position'), position);
  await leave();
  await showing(reader, 'admitted');
  await reader.page.locator('#enter').click();
  await reader.shows('h1', /^The shop$/);
  assert.equal(reader.page.url(), `${proxy.url}${DEEP}`);
  assert.equal(await reader.seen('#path'), '/shop/x?y=1lang=ko', 'the query as the shop has it');
  const outside = reader.requests.map((request) => new URL(request.url())).filter(({ host, pathname }) => host === new URL(proxy.url).host && !pathname.startsWith(`${PREFIX}/`) && pathname !== '/shop/x');
  assert.deepEqual(outside.map(String), []);
  assert.ok(id && server.running);
  await reader.close();
});

test('without JavaScript the same address leads in, by itself', async () => {
  const { proxy, leave } = await full();
  const reader = await browser.reader({ javaScriptEnabled: false });
  await reader.open(`${proxy.url}/shop/plain?a=b`);
  await showing(reader, 'waiting');
  assert.equal(reader.page.url(), `${proxy.url}/shop/plain?a=b`);
  await leave();
  await waitUntil(async () => {
    await reader.page.reload();
    return (await reader.seen('h1')) === 'The shop';
  }, 20000, 'the shop');
  assert.equal(reader.page.url(), `${proxy.url}/shop/plain?a=b`);
  await reader.close();
});

test('a form that is sent without a turn: the buyer is told that nothing was passed on, and can wait for the page that they came from', async () => {
  const { id, proxy } = await full({ threshold: 2 });
  const reader = await browser.reader();
  reader.expects(/status of 401/);
  await reader.open(`${proxy.url}/shop/form?x=1`);
  await reader.shows('h1', /^The shop$/);
  const ended = await reader.page.evaluate((path) => fetch(path, { method: 'POST' }).then((answer) => answer.status), `${PREFIX}/api/queue/leave/${id}`);
  assert.equal(ended, 200);
  await reader.page.locator('button').click();
  await showing(reader, 'unsent');
  await reader.shows('#heading', /^What you sent was not passed on$/);
  assert.deepEqual(shop.at('/order'), []);
  await reader.page.locator('main a:visible', { hasText: 'Join the queue' }).click();
  await showing(reader, 'admitted');
  await reader.page.locator('#enter').click();
  await reader.shows('h1', /^The shop$/);
  assert.equal(reader.page.url(), `${proxy.url}/shop/form?x=1`);
  await reader.close();
});

test('another language, leaving, and the page of a browser without cookies keep the way back', async () => {
  const { id, proxy } = await full();
  const reader = await browser.reader();
  await reader.open(`${proxy.url}${DEEP}`);
  await showing(reader, 'waiting');
  await reader.page.locator('.languages summary').click();
  await reader.page.locator('.languages a[lang=ja]').click();
  await reader.page.waitForURL(`**${PREFIX}/wait/${id}?**`);
  assert.equal(new URL(reader.page.url()).searchParams.get('return'), '/shop/x?y=1&lang=ko');
  await reader.close();
  const blocked = await Browser.withoutCookies();
  await blocked.open(`${proxy.url}/shop/y`);
  await showing(blocked, 'cookies');
  await blocked.close();
});
