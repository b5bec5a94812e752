// SPDX-License-Identifier: MIT
//
// The door's page, for pictures: each scene opens one and types what it scans.

import { Client, jwt, pay, waitUntil } from '../fixtures/index.mjs';
import { World } from './wait_scenes.mjs';

// A world with an event, of which people have bought tickets.
export async function door() {
  const world = await World.start();
  world.event = await world.organizer.sale({ title: 'One Night Only', threshold: 50, autoHold: 0, timeZone: 'Asia/Seoul', grid: { rows: 4, seatsPerRow: 20 } });
  for (let i = 0; i < 12; i++) await buy(world);
  return world;
}

// Returns the number of the purchase.
async function buy({ server, event }, quantity = 1) {
  const buyer = new Client(server);
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'the turn');
  const { body } = await buyer.reserve({ eventId: event.id, quantity });
  await pay(server, body);
  await buyer.leave(event.id);
  return body.reservationNumber;
}

async function open(world, reader) {
  await reader.context.setExtraHTTPHeaders({ authorization: `Bearer ${jwt({ sub: 'North', role: 'door' })}` });
  await reader.context.addInitScript(() => localStorage.setItem('door.device', 'North'));
  await reader.open(`${world.server.url}/door/${world.event.id}`);
  await reader.page.waitForSelector('html[data-ready=door]');
}

async function scan(reader, text, outcome) {
  await reader.page.fill('#number', text);
  await reader.page.press('#number', 'Enter');
  await reader.page.waitForSelector(`#result[data-outcome="${outcome}"]`);
}

export const doorScenes = [
  ['accepted', async (world, reader) => {
    const number = await buy(world);
    await open(world, reader);
    await scan(reader, number, 'accepted');
  }],
  ['used', async (world, reader) => {
    const number = await buy(world);
    await open(world, reader);
    await scan(reader, number, 'accepted');
    await scan(reader, number, 'used');
  }],
  ['not_valid', async (world, reader) => {
    await open(world, reader);
    await scan(reader, 'ZZZZ9999', 'not_valid');
  }],
  ['choose', async (world, reader) => {
    const number = await buy(world, 3);
    await open(world, reader);
    await scan(reader, number, 'choose');
  }],
  ['offline', async (world, reader) => {
    reader.expects(/ERR_INTERNET_DISCONNECTED|Failed to load resource/);
    const number = await buy(world);
    await open(world, reader);
    await reader.context.setOffline(true);
    await scan(reader, number, 'accepted');
    await scan(reader, 'ZZZZ9999', 'unlisted');
  }],
];
