// SPDX-License-Identifier: MIT
//
// The console on the night of a sale: its figures are those of Redis and PostgreSQL, its controls do what they say, can be
// taken back where they can, and say so when they could not; with a script and without.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, DESKTOP } from '../fixtures/browser.mjs';
import { runTiketi, waitUntil } from '../fixtures/index.mjs';
import { agree, becomes, drawn, noticed, overflow, saleUrl, signIn } from './console_support.mjs';
import { World } from './wait_scenes.mjs';

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

async function staff(options = {}, args) {
  const reader = await browser.reader({ ...DESKTOP, ...options });
  await signIn(reader, world.server, args);
  return reader;
}

// A sale with buyers: `size` of them, of which `threshold` are inside.
async function night(reader, { threshold = 3, size = 8, ...settings } = {}) {
  const id = await world.sale({ threshold, intervalMs: 300, ...settings });
  await world.crowd(id, size);
  await reader.open(saleUrl(world.server, id));
  await drawn(reader);
  await becomes(reader, '#waiting', String(size - threshold)); // its pod has heard of them
  return id;
}

const event = (id) => world.organizer.must('GET', `/api/admin/events/${id}`);
const press = (reader, verb) => reader.page.locator(`form[data-verb="${verb}"] button[type="submit"]`).click();

test('the list shows every sale with its state and its figures, and leads to it', async () => {
  const reader = await staff();
  const id = await world.sale({ title: 'A Night at the Pier', threshold: 2 });
  await world.crowd(id, 5);
  await reader.open(`${world.server.url}/console`);
  const card = `.sale[data-event="${id}"]`;
  await becomes(reader, `${card} .waiting`, '3');
  assert.equal(await reader.seen(`${card} .inside`), '2 / 2');
  assert.equal(await reader.seen(`${card} .sold`), '0 / 300');
  assert.equal(await reader.seen(`${card} .state`), 'Open');
  await reader.page.locator(`${card} h2 a`).click();
  await drawn(reader);
  assert.equal(await reader.seen('h1'), 'A Night at the Pier');
  await reader.close();
});

test('the figures agree with Redis and PostgreSQL, to the unit', async () => {
  const reader = await staff();
  const id = await night(reader, { threshold: 4, size: 11 });
  assert.equal(await reader.seen('#inside'), '4');
  const [seats] = await world.server.database.query('SELECT count(*) AS all, count(*) FILTER (WHERE held_until > clock_timestamp()) AS held FROM seats WHERE event_id = $1', [id]);
  await waitUntil(async () => (await reader.page.locator('#section_rows td').allInnerTexts())[1] === String(seats.held), 10000, `${seats.held} held`);
  assert.equal(await reader.seen('#stock_of'), `of ${seats.all}`);
  await reader.shows('#limit', /threshold sets the pace: 4 of 4/);
  await reader.close();
});

test('pause asks, pauses, and can be undone', async () => {
  const reader = await staff();
  const id = await night(reader);
  await press(reader, 'pause');
  assert.match(await reader.seen('dialog[open]'), /5 people wait and keep their places; 3 inside/);
  await reader.page.keyboard.press('Escape');
  assert.equal((await event(id)).status, 'open');
  await press(reader, 'pause');
  await agree(reader);
  await noticed(reader, /The sale is paused/);
  assert.equal((await event(id)).status, 'paused');
  await becomes(reader, '#state', 'Paused');
  await reader.page.locator('#notices button', { hasText: 'Undo' }).click();
  await waitUntil(async () => (await event(id)).status === 'open', 5000, 'open again');
  await becomes(reader, '#state', 'Open');
  await reader.close();
});

test('a new threshold says what it will do, is in force at once, and can be undone', async () => {
  const reader = await staff();
  const id = await night(reader);
  await reader.page.locator('#threshold').fill('6');
  await reader.page.locator('#threshold_form button[type="submit"]').click();
  await reader.shows('dialog[open]', /Threshold 3 → 6/);
  await agree(reader);
  await noticed(reader, /in force/);
  assert.equal((await event(id)).threshold, 6);
  await becomes(reader, '#inside', '6');
  await reader.page.locator('#notices button', { hasText: 'Undo' }).click();
  await waitUntil(async () => (await event(id)).threshold === 3, 5000, 'the old threshold');
  await reader.close();
});

test('who was slower sees both versions, and chooses', async () => {
  const reader = await staff();
  const id = await night(reader);
  let first = true;
  await reader.page.route(`**/api/admin/events/${id}`, async (route) => { // somebody else, between the page and its request
    if (first && route.request().method() === 'PATCH') {
      first = false;
      await world.organizer.patch(id, { threshold: 5, intervalMs: 400 });
    }
    await route.continue();
  });
  reader.expects(/412/);
  await reader.page.locator('#threshold').fill('7');
  await reader.page.locator('#threshold_form button[type="submit"]').click();
  await agree(reader);
  await reader.shows('dialog[open]', /Somebody else was faster/);
  assert.equal((await event(id)).threshold, 5);
  const cells = await reader.page.locator('dialog[open] tbody tr', { hasText: 'Threshold' }).innerText();
  assert.match(cells, /3\s+5\s+7/);
  await reader.page.locator('dialog[open] button[value="yours"]').click();
  await waitUntil(async () => (await event(id)).threshold === 7, 5000, 'the chosen threshold');
  assert.equal((await event(id)).intervalMs, 400, 'what only the other one has changed stays');
  await reader.close();
});

test('closing needs the title, and reopening gives everybody their place', async () => {
  const reader = await staff();
  const id = await night(reader, { title: 'One Night Only' });
  await press(reader, 'close');
  assert.equal(await reader.page.locator('dialog[open] button[value="yes"]').isDisabled(), true);
  await reader.page.locator('dialog[open] input[type="text"]').fill('One Night');
  assert.equal(await reader.page.locator('dialog[open] button[value="yes"]').isDisabled(), true);
  await agree(reader, 'One Night Only');
  await noticed(reader, /The sale is closed/);
  assert.equal((await event(id)).status, 'closed');
  await press(reader, 'reopen');
  await agree(reader);
  await noticed(reader, /open again/);
  await becomes(reader, '#waiting', '5');
  await reader.close();
});

test('admit tells how many entered, and why not more', async () => {
  const reader = await staff();
  await night(reader);
  await reader.page.locator('#more_controls button', { hasText: 'Admit some now' }).click();
  await agree(reader);
  await noticed(reader, /0 were admitted\. The threshold is reached\./);
  await reader.close();
});

test('without a script: figures are missing, and every essential control works', async () => {
  const reader = await staff({ javaScriptEnabled: false });
  const id = await world.sale({ title: 'One Night Only' });
  await world.crowd(id, 3);
  await reader.open(saleUrl(world.server, id));
  const button = (value) => reader.page.locator(`button[value="${value}"]`);
  assert.equal(await overflow(reader.page), '');
  await button('pause').click();
  assert.match(await reader.seen('.notice'), /The sale is paused/);
  assert.equal((await event(id)).status, 'paused');
  await button('resume').click();
  assert.equal((await event(id)).status, 'open');
  await reader.page.locator('#threshold').fill('9');
  await button('threshold').click();
  assert.equal((await event(id)).threshold, 9);
  await reader.page.locator('#message_text').fill('Sound check, ten minutes.');
  await button('message').click();
  assert.equal((await event(id)).message, 'Sound check, ten minutes.');
  await button('unmessage').click();
  assert.equal((await event(id)).message, null);
  await button('close').click();
  assert.match(await reader.seen('.notice[data-kind="bad"]'), /does not match/);
  assert.equal((await event(id)).status, 'open');
  await reader.page.locator('#confirm').fill('Two Nights Only');
  await button('close').click();
  assert.match(await reader.seen('.notice[data-kind="bad"]'), /does not match/);
  assert.equal((await event(id)).status, 'open');
  await reader.page.locator('#threshold').evaluate((input) => { input.type = 'text'; input.value = 'many'; });
  await button('threshold').click();
  assert.match(await reader.seen('.notice[data-kind="bad"]'), /did not work/, 'a failure that has no words of its own');
  await world.organizer.must('POST', `/api/admin/events/${id}/pause`); // meanwhile, by somebody else
  await button('pause').click();
  assert.match(await reader.seen('.notice[data-kind="bad"]'), /paused meanwhile: it can be resumed or closed/);
  await button('resume').click();
  await reader.page.locator('#confirm').fill('One Night Only');
  await button('close').click();
  assert.equal((await event(id)).status, 'closed');
  await button('reopen').click();
  assert.equal((await event(id)).status, 'open');
  await reader.close();
});

test('a viewer sees the figures and has no buttons; the API refuses as well', async () => {
  const reader = await staff({}, ['--name', 'Guest', '--role', 'viewer']);
  const id = await night(reader);
  assert.equal(await reader.page.locator('.steer button').count(), 0);
  assert.match(await reader.seen('.steer'), /may look/);
  const csrf = await reader.page.evaluate(() => document.body.dataset.csrf);
  const refused = await reader.context.request.post(saleUrl(world.server, id), { form: { csrf, action: 'pause' }, maxRedirects: 0 });
  assert.equal(refused.status(), 403);
  assert.equal((await event(id)).status, 'open');
  await reader.close();
});

test('a session that was ended says so, and nothing is done', async () => {
  const reader = await staff({}, ['--name', 'Leaving', '--role', 'admin']);
  const id = await night(reader);
  reader.expects(/401/);
  await runTiketi(['console-revoke', '--name', 'Leaving'], { DATABASE_URL: world.server.database.url });
  await noticed(reader, /Your session is over/);
  await press(reader, 'pause');
  await agree(reader);
  await noticed(reader, /Nothing was changed|nothing was changed/);
  assert.equal((await event(id)).status, 'open');
  await reader.close();
});
