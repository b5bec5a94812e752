// SPDX-License-Identifier: MIT
//
// Signing in with a real browser: staff by a link and by the identity provider, buyers on the waiting page; the pages in
// each language and theme.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, DESKTOP, SMALL_PHONE, axe, markup } from '../fixtures/browser.mjs';
import { IdentityProvider, Organizer, oidcSettings, runTiketi, stage } from '../fixtures/index.mjs';
import { showing } from './wait_scenes.mjs';

const provider = await IdentityProvider.create();
const { server, organizer } = await stage({ env: oidcSettings(provider) });
await provider.serve(server.url);
provider.accounts = { kim: { name: '김민지', email: 'kim@hall.example', role: 'organizer' }, fan: { name: 'A Fan' } };

let browser;
before(async () => {
  browser = await Browser.start();
});
after(() => browser?.close());

const link = async (...args) => (await runTiketi(['console-link', '--url', server.url, ...args])).stdout.trim();
const wide = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

// At the provider: types the name.
async function atProvider(page, name) {
  await page.waitForURL(`${provider.issuer}/**`);
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Continue' }).click();
}

async function signOut(page, name) {
  await page.getByText(name, { exact: true }).click(); // the menu of the person
  await page.getByRole('button', { name: 'Sign out' }).click();
}

test('by a link that came from another site: the button, the events, signing out; without JavaScript as well', async () => {
  const owner = new Organizer(server, { sub: 'Kim Minji', role: 'organizer' });
  await owner.sale({ title: 'The Waiting Line', venue: 'Hall 3', startsAt: '2027-05-14T10:00:00Z', timeZone: 'Asia/Seoul' });
  for (const javaScriptEnabled of [true, false]) {
    const reader = await browser.reader({ javaScriptEnabled });
    reader.expects(/status of 401/);
    const { page } = reader;
    // A chat program's page, on another site.
    await page.goto(`data:text/html,<a href="${await link('--name', 'Kim Minji')}">in</a>`);
    await page.getByText('in').click();
    assert.equal(await reader.seen('h1'), 'Welcome to the console');
    assert.match(await reader.seen('main'), /Kim Minji/);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.waitForURL(`${server.url}/console`);
    assert.match(await reader.seen('main'), /The Waiting Line/);
    await page.reload();
    assert.equal(await reader.seen('h1'), 'Sales');
    await signOut(page, 'Kim Minji');
    await page.waitForURL(`${server.url}/console`);
    assert.equal(await reader.seen('h1'), 'Sign in to the console');
    assert.deepEqual((await reader.context.cookies()).map(({ name }) => name), []);
    await reader.close();
  }
});

test('staff by the identity provider: the Strict cookie is there when the console opens', async () => {
  const reader = await browser.reader();
  reader.expects(/status of 401/);
  const { page } = reader;
  await reader.open(`${server.url}/console`);
  await page.getByRole('link', { name: 'Sign in with your account' }).click();
  await atProvider(page, 'kim');
  await page.waitForURL(`${server.url}/console`);
  await page.getByRole('heading', { name: 'Sales' }).waitFor();
  const cookie = (await reader.context.cookies()).find(({ name }) => name === 'tiketi_staff');
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, 'Strict']);
  // A second time the provider knows its user: nothing is typed.
  await signOut(page, '김민지');
  await page.getByRole('link', { name: 'Sign in with your account' }).click();
  await page.getByRole('heading', { name: 'Sales' }).waitFor();
  await reader.close();
});

test('a buyer signs in from the waiting page, comes back to their place, and it is theirs in another browser', async () => {
  const { id } = await organizer.sale({ title: 'Members only', allowGuests: false, threshold: 0 });
  for (const ahead of [0, 0]) {
    const reader = await browser.reader();
    reader.expects(/status of 401/);
    const { page } = reader;
    await reader.open(`${server.url}/wait/${id}`);
    await showing(reader, 'login');
    assert.match(await reader.seen('#lead'), /you come straight back to the queue/);
    await page.getByRole('link', { name: 'Sign in' }).click();
    await atProvider(page, 'fan');
    await page.waitForURL(`${server.url}/wait/${id}`);
    await showing(reader, 'waiting');
    await page.locator('[data-live="socket"]').waitFor(); // the gateway knows them, too
    assert.equal(await reader.seen('#position'), String(ahead + 1));
    await page.getByRole('button', { name: 'Sign out' }).click();
    await showing(reader, 'login');
    await reader.close();
  }
});

for (const [language, theme, size] of [['en-GB', 'light', SMALL_PHONE], ['ko-KR', 'dark', SMALL_PHONE], ['ja-JP', 'light', DESKTOP]]) {
  test(`the pages of signing in, ${language}, ${theme}: accessible, valid, and they fit`, async () => {
    const reader = await browser.reader({ theme, language, ...size, motion: 'reduce', bypassCSP: true });
    reader.expects(/status of 4\d\d/);
    const check = async (what) => {
      assert.equal(await axe(reader.page), '', what);
      assert.equal(await wide(reader.page), 0, what);
      const sent = await reader.context.request.get(reader.page.url());
      assert.equal(await markup(await sent.text()), '', what);
    };
    const entrance = await link('--name', 'x'.repeat(150), '--role', 'viewer');
    for (const path of ['/console', '/console/enter?link=wrong', '/oidc/callback?state=x&code=y']) {
      await reader.open(`${server.url}${path}`);
      await check(path);
    }
    await reader.open(entrance);
    await check('enter');
    await reader.page.locator('form[action="/console/enter"] button').click();
    await reader.page.waitForURL(`${server.url}/console`);
    await check('console');
    await reader.close();
  });
}
