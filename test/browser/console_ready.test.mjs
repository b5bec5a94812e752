// SPDX-License-Identifier: MIT
//
// Before the opening: the panel says what is missing of a draft and where it is mended; of the same sale, mended, that all is
// fine. Warnings on the list's cards and at the head of a sale, with a script and without one.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, axe } from '../fixtures/browser.mjs';
import { Organizer, Postgres, Provider, Redis, Server, freePort, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { overflow, saleUrl, signIn } from './console_support.mjs';

const later = (ms) => new Date(Date.now() + ms).toISOString();
const HOUR = 3600_000;
let redis, postgres, server, provider, browser, organizer;
before(async () => {
  const port = await freePort();
  [redis, postgres, browser] = await Promise.all([Redis.start(), Postgres.start(), Browser.start()]);
  server = await Server.start({ redis, database: await postgres.migrated(), env: { PAYMENT_URL: `http://127.0.0.1:${port}/pay`, OUTBOUND_ALLOW: '127.0.0.0/8' } });
  provider = await Provider.start({ server, port });
  organizer = new Organizer(server);
});
after(async () => {
  await provider?.stop();
  await server?.stop();
});

const draft = (settings = {}) => organizer.must('POST', '/api/admin/events', { id: uniqueId('ready'), title: 'Opening Night', ...settings });
const line = (reader, code) => reader.page.locator(`#checks [data-code="${code}"]`);

// The panel has been drawn, and no check is under way.
async function checked(reader) {
  await reader.page.locator('#readiness:not([data-checking]) [data-code="pace"]').waitFor();
}

async function verdicts(reader) {
  return Object.fromEntries(await reader.page.locator('#checks .check').evaluateAll((lines) => lines.map(({ dataset }) => [dataset.code, dataset.verdict])));
}

async function at(id, options) {
  const reader = await browser.reader({ width: 1440, height: 900, motion: 'reduce', bypassCSP: true, ...options });
  await signIn(reader, server);
  await reader.open(saleUrl(server, id));
  await checked(reader);
  return reader;
}

test('a draft with everything missing: what, how it is mended, and where', async () => {
  const { id } = await draft({ threshold: 0 });
  const reader = await at(id);
  assert.deepEqual(await verdicts(reader), {
    published: 'bad', times: 'warn', 'time-zone': 'warn', hall: 'warn', processor: 'good', rehearsal: 'warn', sockets: 'good', pace: 'bad',
  });
  assert.match(await line(reader, 'pace').innerText(), /0 inside.*nobody enters/is);
  for (const [code, view] of [['times', 'setup'], ['time-zone', 'setup'], ['hall', 'hall'], ['rehearsal', 'setup']]) {
    assert.equal(await line(reader, code).locator('a').getAttribute('href'), `/console/events/${id}/${view}`, code);
  }
  assert.match(await line(reader, 'published').innerText(), /Must be fixed/, 'a word, not the colour alone');
  assert.equal(await line(reader, 'sockets').locator('a').count(), 0, 'what is fine needs no way out');
  await reader.close();
});

test('the same after it was mended: the page finds out by itself, and asks again by a button', async () => {
  const { id } = await draft({ threshold: 0 });
  const reader = await at(id);
  await organizer.must('POST', `/api/admin/events/${id}/seats`, { grid: { section: 'Floor', rows: 4, seatsPerRow: 10, price: 5000, currency: 'EUR' } });
  await organizer.patch(id, { threshold: 50, opensAt: later(HOUR), startsAt: later(9 * HOUR), closesAt: later(8 * HOUR), timeZone: 'Asia/Seoul' });
  await organizer.act(id, 'publish');
  await waitUntil(async () => (await verdicts(reader)).published === 'good', 20000, 'the new version is checked');
  const fine = { published: 'good', times: 'good', 'time-zone': 'good', hall: 'good', currency: 'good', payment: 'good', processor: 'good', rehearsal: 'warn', sockets: 'good', pace: 'good' };
  await waitUntil(async () => {
    await reader.page.locator('#ready_again').click();
    await checked(reader);
    return JSON.stringify(await verdicts(reader)) === JSON.stringify(fine);
  }, 15000, 'all is fine');
  assert.match(await line(reader, 'payment').innerText(), /refuses forged ones/);
  await organizer.act(id, 'open');
  await reader.page.locator('#readiness').waitFor({ state: 'hidden' });
  await reader.close();
});

test('a gateway that this browser does not reach, and a service that fails, are lines; the others are shown', async () => {
  const { id } = await draft();
  const reader = await browser.reader({ width: 1440, height: 900 });
  reader.expects(/./);
  await signIn(reader, server);
  await reader.page.addInitScript(() => {
    globalThis.WebSocket = class { constructor() { queueMicrotask(() => this.onclose?.()); } close() {} };
  });
  await reader.page.route('**/readiness', (route) => route.fulfill({ status: 503, contentType: 'application/json', body: '{"code":"unavailable","detail":"PostgreSQL does not answer."}' }));
  await reader.open(saleUrl(server, id));
  await checked(reader);
  assert.deepEqual(await verdicts(reader), { sockets: 'bad', pace: 'good' });
  assert.match(await reader.seen('#ready_state'), /could not be checked.*A part of the service does not answer/);
  await reader.close();
});

test('accessible, and it fits, in each language, theme and width', async () => {
  const { id } = await draft({ threshold: 0, opensAt: later(2 * HOUR), startsAt: later(3 * HOUR), title: 'Openingnightofthelongestseason'.repeat(3) });
  for (const [language, theme, width] of [['en-GB', 'dark', 360], ['en-GB', 'light', 1440], ['ko-KR', 'light', 360], ['ja-JP', 'dark', 1440]]) {
    const reader = await at(id, { language, theme, width, height: 900 });
    assert.equal(await overflow(reader.page), '', `${language} ${width}`);
    assert.equal(await axe(reader.page), '', `${language} ${theme}`);
    if (process.env.SHOTS) await reader.page.screenshot({ path: `${process.env.SHOTS}/ready_${language}_${theme}_${width}.png`, fullPage: true });
    await reader.close();
  }
});

test('warnings: on the card and at the head of the sale, in words of the language, with a script and without', async () => {
  const { id } = await draft({ threshold: 0, opensAt: later(HOUR) });
  for (const [language, words] of [['en-GB', /until it is published/], ['ko-KR', /공개해야/], ['ja-JP', /公開しないと/]]) {
    for (const script of [true, false]) {
      const reader = await browser.reader({ language, width: 1440, height: 900, javaScriptEnabled: script });
      await signIn(reader, server);
      await reader.open(`${server.url}/console`);
      assert.match(await reader.page.locator(`[data-event="${id}"] .warning`).innerText(), words);
      await reader.open(saleUrl(server, id));
      if (script) await checked(reader);
      const lines = await reader.page.locator('#warnings li').allInnerTexts();
      assert.equal(lines.length, 3, lines.join('\n'));
      assert.match(lines[0], words);
      await reader.close();
    }
  }
});

test('an alert of a running sale: on its card and at its head, and gone with its cause', async () => {
  const { id } = await organizer.sale({ threshold: 5, grid: { section: 'Floor', rows: 1, seatsPerRow: 20, price: 5000, currency: 'EUR' } });
  const seats = { where: { section: 'Floor', from: 2, to: 20 } };
  await organizer.must('POST', `/api/admin/events/${id}/seats/block`, { ...seats, reason: 'stage' });
  const reader = await browser.reader({ width: 360, height: 740 });
  await signIn(reader, server);
  await reader.open(`${server.url}/console`);
  await reader.page.locator(`[data-event="${id}"] .warning`, { hasText: 'Few seats are left.' }).waitFor();
  await reader.open(saleUrl(server, id));
  await reader.page.locator('#warnings li', { hasText: 'Few seats are left.' }).waitFor();
  await organizer.must('POST', `/api/admin/events/${id}/seats/unblock`, seats);
  await reader.page.locator('#warnings').waitFor({ state: 'hidden' });
  await reader.close();
});
