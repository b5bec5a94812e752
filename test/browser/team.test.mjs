// SPDX-License-Identifier: MIT
//
// Sharing an event in the console: an owner invites by a link in one browser, a colleague accepts it in another, works with
// what their role allows, and is removed.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, axe, markup } from '../fixtures/browser.mjs';
import { waitUntil } from '../fixtures/index.mjs';
import { agree, drawn, noticed, overflow, saleUrl, signIn } from './console_support.mjs';
import { World } from './wait_scenes.mjs';

let world, browser, sale;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
  sale = await world.sale({ title: 'One Night Only', timeZone: 'Asia/Seoul' });
});
after(() => world?.stop());

const row = (reader, name) => reader.page.locator('#team tr', { hasText: name });

async function invite(reader, name, role) {
  await reader.open(saleUrl(world.server, sale, '/people'));
  await row(reader, '').first().waitFor();
  await reader.page.locator('#invite input[name="name"]').fill(name);
  await reader.page.locator('#invite select').selectOption(role);
  await reader.page.locator('#invite button').click();
  await row(reader, name).waitFor();
  return reader.page.locator('#invitation_url').inputValue();
}

test('an owner invites, a colleague accepts in another browser, steers the sale, and is removed', async () => {
  const owner = await browser.reader({ width: 1280, height: 900, bypassCSP: true });
  const colleague = await browser.reader({ width: 1280, height: 900, bypassCSP: true });
  await signIn(owner, world.server);
  const url = await invite(owner, 'Lee Jieun', 'editor');
  assert.equal(await axe(owner.page), '');
  assert.match(await row(owner, 'Lee Jieun').innerText(), /Editor\s+Invited, until/);

  await colleague.open(url);
  assert.match(await colleague.page.locator('main').innerText(), /shares “One Night Only” with you[\s\S]*Lee Jieun[\s\S]*Editor/);
  assert.equal(await axe(colleague.page), '');
  assert.equal(await markup(await (await colleague.context.request.get(url)).text()), '');
  await colleague.page.locator('form button').click();
  await drawn(colleague);
  assert.equal(new URL(colleague.page.url()).pathname, `/console/events/${sale}`);
  assert.equal(await colleague.page.locator('[data-verb="close"]').count(), 0);
  assert.equal(await colleague.page.locator('#more_controls button.danger').count(), 0, 'no clear');
  await colleague.page.locator('[data-verb="pause"] button').click();
  await agree(colleague);
  await noticed(colleague, /paused/i);

  await owner.open(saleUrl(world.server, sale, '/people'));
  await owner.page.locator('#audit li', { hasText: 'Joined as Editor' }).waitFor();
  await owner.page.locator('#audit li', { hasText: 'Invited Lee Jieun as Editor' }).waitFor();
  await owner.page.locator('#audit li', { hasText: 'Lee Jieun' }).filter({ hasText: 'Paused' }).waitFor();
  colleague.expects(/40[13] \(|410 \(Gone\)/); // from here on they have lost the event, and their open page asks on
  await row(owner, 'Lee Jieun').locator('button').click();
  await agree(owner);
  await noticed(owner, 'Lee Jieun no longer has this event.');
  await waitUntil(async () => (await row(owner, 'Lee Jieun').count()) === 0, 5000, 'the row to go');
  await owner.page.locator('#audit').waitFor();
  const lost = await colleague.context.request.get(saleUrl(world.server, sale));
  assert.ok([401, 403].includes(lost.status()), `${lost.status()}`);
  await colleague.open(url);
  assert.match(await colleague.page.locator('main').innerText(), /This invitation has been used/);
  await owner.close();
  await colleague.close();
});

test('an invitation can be taken back; the panel is accessible and fits, in each language; a viewer has none', async () => {
  for (const [language, theme, width] of [['en-GB', 'dark', 360], ['ko-KR', 'light', 768], ['ja-JP', 'dark', 1280]]) {
    const owner = await browser.reader({ language, theme, width, height: 900, bypassCSP: true });
    await signIn(owner, world.server);
    const name = `Guest ${width}`;
    const url = await invite(owner, name, 'viewer');
    assert.equal(await overflow(owner.page), '', language);
    assert.equal(await axe(owner.page), '', language);
    await row(owner, name).locator('button').click();
    await waitUntil(async () => (await row(owner, name).count()) === 0, 5000, 'the invitation to go');
    const reader = await browser.reader({ language, theme, width, height: 900, bypassCSP: true });
    reader.expects(/410 \(Gone\)/);
    await reader.open(url);
    assert.equal(await reader.page.locator('form').count(), 0);
    assert.equal(await axe(reader.page), '');
    await reader.close();
    if (width === 1280) {
      const viewer = await browser.reader({ language, theme, width, height: 900 });
      await viewer.open(await invite(owner, 'Eyes', 'viewer'));
      await viewer.page.locator('form button').click();
      await drawn(viewer);
      assert.equal(await viewer.page.locator('form.act').count(), 0);
      await viewer.open(saleUrl(world.server, sale, '/people'));
      await viewer.page.locator('#audit li').first().waitFor();
      assert.equal(await viewer.page.locator('#team_panel').count(), 0);
      await viewer.close();
    }
    await owner.close();
  }
});
