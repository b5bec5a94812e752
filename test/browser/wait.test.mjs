// SPDX-License-Identifier: MIT
//
// The waiting page, in a real browser: from the queue to the door.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Browser } from '../fixtures/browser.mjs';
import { Client, Organizer, Postgres, Redis, Server, uniqueId, waitUntil } from '../fixtures/index.mjs';

let redis, postgres, database, server, organizer, browser;
before(async () => {
  [redis, postgres, browser] = await Promise.all([Redis.start(), Postgres.start(), Browser.start()]);
  database = await postgres.migrated();
  server = await Server.start({ redis, database });
  organizer = new Organizer(server);
});
after(() => server?.stop());

// A sale with nobody let in but those who are there first.
async function sale(settings = {}) {
  const event = await organizer.sale({ id: uniqueId('wait'), title: 'One Night Only', threshold: 1, intervalMs: 200, grid: { rows: 4, seatsPerRow: 10 }, ...settings });
  const url = `${server.url}/wait/${event.id}`;
  return { id: event.id, url };
}

test('waits, and is let in', async () => {
  const { id, url } = await sale();
  const inside = new Client(server);
  await inside.check(id);
  const reader = await browser.reader();
  await reader.open(url);
  await waitUntil(async () => (await reader.seen('#live_text')) === 'Live', 10000, 'the socket');
  assert.equal(await reader.seen('#position'), '1');
  assert.equal(await reader.seen('#heading'), 'You are in the queue');
  await inside.leave(id);
  await waitUntil(async () => (await reader.seen('#heading')) === 'It’s your turn', 10000, 'the turn');
  assert.match(await reader.seen('#countdown_number'), /^\d+:\d\d$/);
  assert.match(await reader.page.title(), /^Your turn!/);
  await reader.close();
});
