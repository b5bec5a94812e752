// SPDX-License-Identifier: MIT
//
// Each view of the console, in both themes and three languages, from 360 to 1,920 px: axe and html-validate find nothing,
// nothing is wider than the window, and the first load is small. It works by keyboard alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, axe, markup, traffic } from '../fixtures/browser.mjs';
import { waitUntil } from '../fixtures/index.mjs';
import { drawn, noticed, overflow, saleUrl, signIn } from './console_support.mjs';
import { World } from './wait_scenes.mjs';

const BUDGET = 120 * 1024;
let world, browser, sale;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
  sale = await world.sale({ title: 'One Night Only', threshold: 3, timeZone: 'Asia/Seoul', branding: { name: 'Arena', primary: '#7a1fa2' } });
  await world.crowd(sale, 7);
  await world.server.database.query("INSERT INTO outbox (kind, event_id, recipient, language, payload, status, ended_at) SELECT 'confirmation', $1, 'a@example.com', 'en', '{}', 'parked', now() FROM generate_series(1, 2)", [sale]);
  await world.sale({ title: 'x'.repeat(200), open: false });
});
after(() => world?.stop());

const ready = (selector) => (reader) => reader.page.locator(selector).first().waitFor();
const VIEWS = [
  ['list', '', async (reader) => reader.page.locator('.sale .row:not([hidden])').first().waitFor()],
  ['new', '/new', ready('#setup:not([hidden])')],
  ['live', null, drawn],
  ['setup', '/setup', ready('#setup:not([hidden])')],
  ['hall', '/hall', ready('#section_rows tr')],
  ['people', '/people', async (reader) => {
    await ready('#audit li')(reader);
    await ready('#mail:not([hidden])')(reader);
  }],
  ['report', '/report', ready('#report:not([hidden])')],
];
const url = (name, path) => (['list', 'new'].includes(name) ? `${world.server.url}/console${path}` : saleUrl(world.server, sale, path ?? ''));

const LOOKS = [['en-GB', 'dark', { width: 360, height: 740 }], ['ko-KR', 'light', { width: 768, height: 1024 }], ['ja-JP', 'dark', { width: 1920, height: 1080 }]];
for (const [name, path, loaded] of VIEWS) {
  test(`${name}: accessible, valid, and it fits, in each language, theme and width`, async () => {
    for (const [language, theme, size] of LOOKS) {
      const reader = await browser.reader({ language, theme, ...size, motion: 'reduce', bypassCSP: true });
      await signIn(reader, world.server);
      await reader.open(url(name, path));
      await loaded(reader);
      assert.equal(await overflow(reader.page), '', `${language} ${size.width}`);
      assert.equal(await reader.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0, `${language} ${size.width}`);
      assert.equal(await axe(reader.page), '', `${language} ${theme}`);
      const sent = await reader.context.request.get(reader.page.url());
      assert.equal(await markup(await sent.text()), '');
      assert.ok(!(await reader.page.locator('body').innerText()).includes('{{'));
      await reader.close();
    }
  });
}

test('the first load of the largest view is at most 120 KiB, all of it from our origin', async (t) => {
  const reader = await browser.reader({ width: 1280, height: 800 });
  await signIn(reader, world.server);
  const measured = traffic(reader.page);
  await reader.open(saleUrl(world.server, sale));
  await drawn(reader);
  const { bytes, requests } = await measured();
  t.diagnostic(`${bytes} bytes in ${requests} requests`);
  assert.ok(bytes <= BUDGET, `${bytes} bytes`);
  for (const request of reader.requests) assert.equal(new URL(request.url()).origin, world.server.url);
  await reader.close();
});

test('by keyboard alone: from the list to a sale, and its pause; the focus comes back to the button', async () => {
  const reader = await browser.reader({ width: 1280, height: 800 });
  await signIn(reader, world.server);
  await reader.open(`${world.server.url}/console`);
  await reader.page.locator(`.sale[data-event="${sale}"] h2 a`).focus();
  await reader.page.keyboard.press('Enter');
  await drawn(reader);
  const focused = () => reader.page.evaluate(() => document.activeElement?.closest('form')?.dataset.verb ?? document.activeElement?.value);
  for (let i = 0; i < 40 && (await focused()) !== 'pause'; i++) await reader.page.keyboard.press('Tab');
  assert.equal(await focused(), 'pause');
  await reader.page.keyboard.press('Enter');
  await reader.page.locator('dialog[open]').waitFor();
  assert.equal(await reader.page.evaluate(() => Boolean(document.activeElement.closest('dialog'))), true, 'the focus is in the dialog');
  await reader.page.keyboard.press('Escape');
  await waitUntil(async () => (await focused()) === 'pause', 5000, 'the focus is back');
  await reader.close();
});

test('the preview is the buyers\' page in the state, language and theme that were chosen, with colours that are not saved', async () => {
  const reader = await browser.reader({ width: 1280, height: 900 });
  await signIn(reader, world.server);
  await reader.open(saleUrl(world.server, sale, '/setup'));
  const frame = reader.page.frameLocator('#preview');
  await frame.locator('main[data-state="waiting"]').waitFor();
  await reader.page.locator('#preview_state').selectOption('sold_out');
  await reader.page.locator('#preview_language').selectOption('ko');
  await frame.locator('html[lang="ko"] main[data-state="sold_out"]').waitFor();
  assert.equal(await frame.locator('script').count(), 0);
  await reader.page.locator('#preview_state').selectOption('admitted');
  await reader.page.locator('input[name="primary"]').fill('#ff0000');
  const colour = () => frame.locator('main[data-state="admitted"]').evaluate((main) => getComputedStyle(main).getPropertyValue('--primary')).catch(() => '');
  await waitUntil(async () => (await colour()).trim() === '#ff0000', 10000, 'the colour in the preview');
  const { branding } = await world.organizer.must('GET', `/api/admin/events/${sale}`);
  assert.equal(branding.primary, '#7a1fa2', 'nothing was saved');
  await reader.close();
});

test('mails that could not be delivered are sent again by a button, which then goes', async () => {
  const reader = await browser.reader({ width: 360, height: 740 });
  await signIn(reader, world.server);
  await reader.open(url('people', '/people'));
  await reader.shows('#mail_text', /^2 mails to buyers could not be delivered\.$/);
  await reader.page.locator('#resend').click();
  await noticed(reader, /2 mails are being sent again\./);
  await reader.page.locator('#mail[hidden]').waitFor({ state: 'attached' });
  assert.deepEqual((await world.organizer.stats(sale)).mail, { pending: 2, parked: 0 });
  await reader.page.reload();
  await reader.page.locator('#audit li', { hasText: 'Mails sent again' }).waitFor();
  await reader.close();
});
