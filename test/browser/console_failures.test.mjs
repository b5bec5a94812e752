// SPDX-License-Identifier: MIT
//
// What the console shows when a part of the service is gone: the figures say how old they are, a control says that nothing
// was changed, and the page goes on by itself when the part is back.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser, DESKTOP } from '../fixtures/browser.mjs';
import { Postgres, Redis, Server, waitUntil } from '../fixtures/index.mjs';
import { agree, becomes, drawn, noticed, saleUrl, signIn } from './console_support.mjs';
import { World } from './wait_scenes.mjs';

let world, browser;
before(async () => {
  [world, browser] = await Promise.all([World.start(), Browser.start()]);
});
after(() => world?.stop());

async function night(pod = world.server) {
  const id = await world.sale({ threshold: 2, intervalMs: 300 });
  await world.crowd(id, 5);
  const reader = await browser.reader({ ...DESKTOP });
  await signIn(reader, pod);
  await reader.open(saleUrl(pod, id));
  await drawn(reader);
  await becomes(reader, '#waiting', '3');
  return { id, reader };
}

const press = (reader, verb) => reader.page.locator(`form[data-verb="${verb}"] button[type="submit"]`).click();
const status = async (id) => (await world.organizer.must('GET', `/api/admin/events/${id}`)).status;

test('Redis is gone: the figures are marked as old or missing, a change is stored, and all is well again afterwards', async () => {
  const { id, reader } = await night();
  reader.expects(/./);
  await world.redis.kill();
  await reader.shows('#notices .notice[data-name="failure"]', /figures cannot be read/);
  await reader.shows('#age[data-old]', /old/);
  await world.redis.start();
  await becomes(reader, '#waiting', '3', 'the figures are back');
  await waitUntil(async () => (await reader.page.locator('#notices .notice[data-kind="bad"]').count()) === 0, 20000, 'the notice is gone');
  await press(reader, 'pause');
  await agree(reader);
  await noticed(reader, /The sale is paused/);
  assert.equal(await status(id), 'paused');
  await reader.close();
});

test('PostgreSQL is gone: a control says that nothing was changed; the sale goes on, and so does the page later', async () => {
  const { id, reader } = await night();
  reader.expects(/./);
  await world.postgres.halt();
  await press(reader, 'pause');
  await agree(reader);
  await reader.shows('#notices .notice[data-name="last"]', /Nothing was changed/);
  await world.postgres.restart();
  await waitUntil(async () => (await status(id).catch(() => '')) === 'open', 20000, 'the record is as it was');
  await waitUntil(async () => (await reader.page.locator('#age[data-old]').count()) === 0, 20000, 'fresh figures');
  await reader.close();
});

test('no processor: admitting by hand says why it cannot, and nobody has entered', async () => {
  const [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  const server = await Server.start({ redis, database: await postgres.migrated(), roles: 'api,gateway' });
  const own = new World();
  Object.assign(own, { redis, postgres, server, organizer: new (world.organizer.constructor)(server) });
  const id = await own.sale({ threshold: 2 });
  const reader = await browser.reader({ ...DESKTOP });
  await signIn(reader, server);
  reader.expects(/503/);
  await reader.open(saleUrl(server, id));
  await drawn(reader);
  await reader.page.locator('#more_controls button', { hasText: 'Admit some now' }).click();
  await agree(reader);
  await noticed(reader, /No processor answers/);
  await reader.close();
  await server.stop();
});
