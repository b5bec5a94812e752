// SPDX-License-Identifier: MIT
//
// A buyer is shut out in the console, and let back in: it asks first, the buyer's open page says so in their language, and
// has the place again afterwards.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DESKTOP } from '../fixtures/browser.mjs';
import { agree, noticed, overflow, saleUrl, signIn } from './console_support.mjs';
import { showing } from './wait_scenes.mjs';
import { waitingRoom } from './wait_support.mjs';

const { world, browser, waiting } = await waitingRoom();

for (const [language, title] of [['en-GB', /You cannot take part in this sale/], ['ko-KR', /이 판매에 참여할 수 없습니다/], ['ja-JP', /この販売には参加できません/]]) {
  test(`a ban by the console, on both pages (${language})`, async () => {
    const { id, reader: buyer } = await waiting({}, { language });
    buyer.expects(/403 \(Forbidden\)/); // what a banned buyer is answered
    const cookies = await buyer.context.cookies();
    const who = cookies.find(({ name }) => name === 'tiketi_guest').value.split('.')[0];
    const staff = await browser.reader({ ...DESKTOP, language });
    await signIn(staff, world.server);
    await staff.open(saleUrl(world.server, id, '/people'));
    await staff.page.locator('#no_bans:not([hidden])').waitFor();
    await staff.page.locator('#who').fill(who);
    await staff.page.locator('#find button[type="submit"]').click();
    await staff.page.locator('#buyer_controls .danger').last().click();
    await agree(staff, 'bot');
    await staff.page.locator('#bans li', { hasText: 'bot' }).waitFor();
    await showing(buyer, 'banned');
    assert.match(await buyer.seen('#heading'), title);
    assert.equal(await overflow(staff.page), '');
    if (process.env.SHOTS) {
      await staff.page.screenshot({ path: `${process.env.SHOTS}/ban-console-${language}.png`, fullPage: true });
      await buyer.page.screenshot({ path: `${process.env.SHOTS}/ban-page-${language}.png`, fullPage: true });
    }
    await buyer.page.reload();
    await showing(buyer, 'banned');
    await staff.page.locator('#bans li button').click();
    await agree(staff);
    await staff.page.locator('#no_bans:not([hidden])').waitFor();
    if (language === 'en-GB') await noticed(staff, /The ban is lifted/);
    await buyer.page.reload();
    await showing(buyer, 'waiting');
    await staff.close();
    await buyer.close();
  });
}
