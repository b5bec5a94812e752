// SPDX-License-Identifier: MIT
//
// Real browsers that the waiting page must not give a place: one that blocks cookies, one that loads the page ahead.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from '../fixtures/browser.mjs';
import { staysTrueFor } from '../fixtures/index.mjs';
import { World, live, showing } from './wait_scenes.mjs';

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

const places = async (id) => Number(await world.redis.cli('ZCARD', `queue:{${id}}`)) + Number(await world.redis.cli('SCARD', `active:{${id}}`));
const loads = (reader) => reader.requests.filter((request) => request.isNavigationRequest() && new URL(request.url()).pathname.startsWith('/wait/')).length;

const WORDS = {
  'en-GB': [/^Your browser blocks cookies$/, /You don’t have a place yet/],
  'ko-KR': [/^브라우저에서 쿠키가 차단되어 있습니다$/, /아직 대기 순번을 받지 않았습니다/],
  'ja-JP': [/^ブラウザーでCookieがブロックされています$/, /待ち順はまだ確保されていません/],
};

for (const [language, [title, lead]] of Object.entries(WORDS)) {
  test(`a browser that blocks cookies is told so, after one check and without a place: ${language}`, async () => {
    const id = await world.sale({ threshold: 1000 });
    const reader = await Browser.withoutCookies({ language });
    await reader.open(world.url(id));
    await showing(reader, 'cookies');
    await reader.shows('#heading', title);
    await reader.shows('#lead', lead);
    const before = loads(reader);
    assert.equal(before, 2, 'the visit and the check');
    await staysTrueFor(language === 'en-GB' ? 3000 : 500, async () => loads(reader) === before && (await places(id)) === 0, 'no further load, no place');
    // Trying again is one more check.
    await reader.page.locator('main a:visible', { hasText: /./ }).last().click();
    await showing(reader, 'cookies');
    assert.equal(await places(id), 0);
    await reader.close();
  });
}

test('once cookies are allowed, trying again joins', async () => {
  const id = await world.sale({ threshold: 1000 });
  const reader = await browser.reader();
  await reader.open(world.url(id, `?cookies=${Math.floor(Date.now() / 1000)}`)); // what the check of a browser that blocks them ends with
  await showing(reader, 'cookies');
  await reader.page.locator('main a:visible').last().click();
  await showing(reader, 'admitted');
  assert.equal(new URL(reader.page.url()).search, '');
  assert.equal(await places(id), 1);
  await reader.close();
});

test('an image, a frame and a prefetch of the page take no place; the click after them does', async () => {
  const id = await world.sale({ threshold: 1000 });
  const reader = await browser.reader();
  reader.expects(/ERR_BLOCKED_BY_RESPONSE|Refused to (frame|display)|frame-ancestors|status of 403|violates/);
  const answers = [];
  reader.context.on('response', (response) => {
    if (response.url().includes('/wait/')) answers.push(response.status());
  });
  await reader.page.route('**/shop', (route) => route.fulfill({
    contentType: 'text/html',
    body: `<!DOCTYPE html><link rel="icon" href="data:,"><link rel="prefetch" href="/wait/${id}"><img src="/wait/${id}"><iframe src="/wait/${id}"></iframe>
      <script type="speculationrules">{"prerender":[{"source":"list","urls":["/wait/${id}"],"eagerness":"immediate"}]}</script><a id="go" href="/wait/${id}">go</a>`,
  }));
  await reader.open(`${world.server.url}/shop`);
  await staysTrueFor(1500, async () => (await places(id)) === 0, 'no place');
  assert.ok(answers.includes(200) && answers.includes(403), `${answers}`);
  await reader.page.locator('#go').click();
  await showing(reader, 'admitted');
  await live(reader);
  assert.equal(await places(id), 1);
  await reader.close();
});
