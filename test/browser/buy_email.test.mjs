// SPDX-License-Identifier: MIT
//
// The e-mail address on the buying page: asked before paying, checked by the browser and by the service, never in the way
// of giving the seats back; and the mail at the end.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SMALL_PHONE, axe } from '../fixtures/browser.mjs';
import { MailSink, adminToken, bearer, waitUntil } from '../fixtures/index.mjs';
import { holds, shop, ticket } from './buy_support.mjs';

const sink = await MailSink.start();
const { server, provider, sale, inside } = await shop({ MAIL_URL: sink.url, MAIL_FROM: 'Tickets <tickets@shop.example>', OUTBOUND_ALLOW: '127.0.0.1' });

test('an address is required: the browser says so, then the tickets are sent there', async () => {
  const reader = await inside(await sale({ askEmail: 'required' }));
  const { page } = reader;
  await holds(reader, 1);
  const email = page.locator('#email');
  await page.locator('#pay_button').click();
  await waitUntil(() => email.evaluate((field) => field === document.activeElement && field.matches(':invalid')), 5000, 'the field to be asked for');
  assert.match(page.url(), /\/buy\//);
  await email.fill('anna@mail.example');
  await page.locator('#pay_button').click();
  await page.waitForURL('**/pay?**');
  assert.doesNotMatch(page.url(), /anna/);
  await page.getByRole('button', { name: /^Pay/ }).first().click();
  const number = await ticket(reader);
  await provider.settled();
  const mail = await sink.next();
  assert.equal(mail.to, 'anna@mail.example');
  assert.equal(mail.subject, 'Your tickets: One Night Only');
  assert.ok(mail.text.includes(number.trim()), mail.text);
  await reader.close();
});

test('what the browser accepts and the service does not is said at the field; seats can be given back without an address', async () => {
  const reader = await inside(await sale({ askEmail: 'required' }));
  const { page } = reader;
  reader.expects(/status of 400/);
  await holds(reader, 1);
  await page.locator('#pay_button').click(); // opens the sheet, where the field is
  await page.locator('#email').fill('anna@localhost');
  await page.locator('#pay_button').click();
  await waitUntil(() => page.locator('#email').getAttribute('aria-invalid'), 10000, 'the refusal');
  assert.match(await reader.seen('#notice_text'), /name@example\.com/);
  await page.locator('#email').fill('');
  await page.locator('#cancel').click();
  await waitUntil(async () => await page.locator('#seats li').count() === 0, 10000, 'the seats to be given back');
  await reader.close();
});

test('a page that was loaded before the event asked gets the field', async () => {
  const id = await sale();
  const reader = await inside(id);
  reader.expects(/status of 400/);
  await holds(reader, 1);
  assert.equal(await reader.page.locator('#email').count(), 0);
  await server.patch(`/api/admin/events/${id}`, { json: { askEmail: 'required' }, headers: bearer(adminToken()) });
  await reader.page.locator('#pay_button').click();
  await waitUntil(async () => await reader.page.locator('#email').count() === 1, 15000, 'the field');
  await reader.close();
});

for (const [theme, locale] of [['light', 'en-GB'], ['dark', 'ko-KR'], ['light', 'ja-JP']]) {
  test(`on a small phone the field fits, and axe finds nothing: ${theme}, ${locale}`, async () => {
    const reader = await inside(await sale({ askEmail: 'optional' }), { ...SMALL_PHONE, theme, language: locale, bypassCSP: true });
    const { page } = reader;
    await holds(reader, 1);
    await page.locator('#order_toggle').click();
    await waitUntil(() => page.locator('#email').isVisible(), 5000, 'the field');
    assert.equal(await axe(page), '');
    const [width, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
    assert.ok(width <= room);
    if (process.env.SHOTS) await page.screenshot({ path: `${process.env.SHOTS}/email-${locale}.png` });
    await reader.close();
  });
}
