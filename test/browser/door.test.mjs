// SPDX-License-Identifier: MIT
//
// The door's page: by camera and by typing, with a network, without one, and the settlement afterwards; a reload without a
// network; accessible in both themes and three languages on a small phone.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Client, jwt, pay, privateFolder, waitUntil } from '../fixtures/index.mjs';
import { Browser, axe, markup } from '../fixtures/browser.mjs';
import { codesOf, film, paintedCodes } from '../fixtures/qr.mjs';
import { World } from './wait_scenes.mjs';

const PHONE = { width: 360, height: 740 };
let world, browser, event;
const bought = [];

before(async () => {
  world = await World.start();
  event = await world.organizer.sale({ title: 'The Night', threshold: 50, autoHold: 0, timeZone: 'Asia/Seoul', grid: { rows: 2, seatsPerRow: 10 } });
  for (let i = 0; i < 4; i++) bought.push(await buy(i, i === 3 ? 2 : 1));
  const file = `${privateFolder('camera')}/code.y4m`;
  writeFileSync(file, film(paintedCodes(bought[0].html)[0]));
  browser = await Browser.start({ args: ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', `--use-file-for-fake-video-capture=${file}`] });
});
after(() => world?.stop());

async function buy(i, quantity) {
  const buyer = new Client(world.server, { sub: `door-${i}` });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'the turn');
  const { body } = await buyer.reserve({ eventId: event.id, quantity });
  assert.equal((await pay(world.server, body)).status, 200);
  const { text } = await buyer.get((await buyer.get(`/tickets/${event.id}`)).headers.location);
  return { ...body, html: text, codes: codesOf(text) };
}

// A phone at a door, ready to scan: it has the page and the list.
async function open({ name = 'North', bypassCSP = false, ...options } = {}) {
  const reader = await browser.reader({ ...PHONE, bypassCSP, permissions: ['camera'], extraHTTPHeaders: { authorization: `Bearer ${jwt({ sub: name, role: 'door' })}` }, ...options });
  await reader.context.addInitScript((device) => localStorage.setItem('door.device', device), name);
  await reader.open(`${world.server.url}/door/${event.id}`);
  await reader.page.waitForSelector('html[data-ready=door]');
  return reader;
}

const outcome = (reader) => reader.page.getAttribute('#result', 'data-outcome');
async function type(reader, text) {
  await reader.page.fill('#number', text);
  await reader.page.press('#number', 'Enter');
}
const until = (reader, wanted) => waitUntil(async () => (await outcome(reader)) === wanted, 10000, `${wanted}`);

test('the camera reads a ticket: let in once, and then used', async () => {
  const reader = await open();
  await reader.page.click('#start');
  await until(reader, 'accepted');
  assert.match(await reader.seen('#detail'), /^A · 1 · \d+$/);
  await reader.page.evaluate(() => document.getElementById('view').srcObject.getTracks().forEach((track) => track.stop()));
  await type(reader, bought[0].reservationNumber);
  await until(reader, 'used');
  assert.match(await reader.seen('#detail'), /North/);
  assert.match(await reader.seen('#inside'), /^1 of 5 in$/);
  await reader.close();
});

test('a number with two seats asks which; nonsense is not valid', async () => {
  const reader = await open();
  await type(reader, bought[3].reservationNumber);
  await until(reader, 'choose');
  await reader.page.click('#choices button >> nth=1');
  await until(reader, 'accepted');
  await type(reader, 'ZZZZ9999');
  await until(reader, 'not_valid');
  await reader.close();
});

test('a door whose session is over, or that may not check tickets here, says so in its language', async () => {
  const reader = await open({ language: 'ko-KR' });
  reader.expects(/status of 40[13]/);
  for (const [authorization, said] of [['', /다시 로그인하세요/], [`Bearer ${jwt({ sub: 'eyes', role: 'viewer' })}`, /권한이 없습니다/]]) {
    await reader.context.setExtraHTTPHeaders(authorization ? { authorization } : {});
    await type(reader, 'ZZZZ9999');
    await reader.shows('#detail', said);
    assert.equal(await outcome(reader), 'failed');
  }
  await reader.close();
});

test('without a network two doors let one ticket in, also after a reload; the settlement shows it', async () => {
  const [north, south] = [await open({ name: 'North' }), await open({ name: 'South' })];
  for (const reader of [north, south]) {
    reader.expects(/ERR_INTERNET_DISCONNECTED|Failed to load resource/);
    await reader.page.evaluate(() => navigator.serviceWorker.ready);
    await reader.page.reload();
    await reader.page.waitForSelector('html[data-ready=door]');
    await reader.context.setOffline(true);
  }
  await south.page.reload();
  await south.page.waitForSelector('html[data-ready=door]');
  await type(north, bought[1].reservationNumber);
  await until(north, 'accepted');
  await type(south, bought[1].codes[0]);
  await until(south, 'accepted');
  await type(south, bought[1].codes[0]);
  await until(south, 'used');
  const forged = bought[1].codes[0].split('.').map((part, i) => (i === 2 ? part.split('').reverse().join('') : part)).join('.');
  await type(south, forged);
  await until(south, 'not_valid');
  await type(south, 'ZZZZ9999');
  await until(south, 'unlisted');
  assert.match(await south.seen('#inside'), /1 scan to send/);
  assert.equal(await south.seen('#network'), 'No network');

  await north.context.setOffline(false);
  await waitUntil(async () => !/to send/.test(await north.seen('#inside')), 15000, 'the scans of the north door');
  assert.equal(await north.seen('#twice'), '');
  await south.context.setOffline(false);
  await waitUntil(async () => /North/.test(await south.seen('#twice')), 15000, 'what the settlement shows');
  await north.close();
  await south.close();
});

for (const [language, theme] of [['en-GB', 'light'], ['ko-KR', 'dark'], ['ja-JP', 'light'], ['ja-JP', 'dark']])
  test(`${language}, ${theme}: accessible, valid, and it fits a phone`, async () => {
    const reader = await open({ language, theme, bypassCSP: true });
    for (const state of ['ready', 'accepted', 'used', 'unlisted']) {
      await reader.page.evaluate((name) => { document.getElementById('result').dataset.outcome = name; }, state);
      assert.equal(await axe(reader.page), '', state);
    }
    assert.ok(await reader.page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth + 1));
    assert.equal(await markup(await (await reader.context.request.get(reader.page.url())).text()), '');
    await reader.close();
  });
