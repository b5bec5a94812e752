// SPDX-License-Identifier: MIT
//
// A shop with a payment provider, and the steps of a buyer.

import assert from 'node:assert/strict';
import { Browser, DESKTOP } from '../fixtures/browser.mjs';
import { Client, Provider, freePort, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

// The parts of `stage`, a browser, the provider of its orders, and:
//   sale(settings) -> an event's id;   inside(id, options) -> a reader on /buy, let in
export async function shop(env = {}) {
  const port = await freePort();
  const parts = await stage({ env: { PAYMENT_URL: `http://127.0.0.1:${port}/pay`, ...env } });
  const browser = await Browser.start();
  const provider = await Provider.start({ server: parts.server, port, args: env.PROVIDER_ARGS ?? [] });
  const { organizer, server } = parts;

  async function sale({ halls, ...settings } = {}) {
    const event = await organizer.sale({
      id: uniqueId('buy'), title: 'One Night Only', artist: 'The Waiting Line', venue: 'Tiketi Hall', startsAt: '2027-03-05T19:00:00Z', threshold: 100,
      grid: halls ? undefined : { section: 'Floor', rows: 6, seatsPerRow: 12 }, ...settings, open: false,
    });
    for (const grid of halls ?? []) await organizer.must('POST', `/api/admin/events/${event.id}/seats`, { grid: { currency: 'EUR', ...grid } });
    await organizer.act(event.id, 'open');
    return event.id;
  }

  async function enter(id, options = {}) {
    const reader = await browser.reader(options);
    await reader.open(`${server.url}/wait/${id}`);
    await waitUntil(async () => (await reader.page.locator('#main').getAttribute('data-state')) === 'admitted', 15000, 'the admission');
    await reader.page.locator('#enter').click();
    await reader.page.waitForURL(`**/buy/${id}`);
    return reader;
  }

  async function inside(id, options) {
    const reader = await enter(id, options);
    await drawn(reader);
    return reader;
  }

  // Another admitted buyer, who uses the API alone.
  async function rival(id) {
    const client = new Client(server);
    await waitUntil(async () => (await client.check(id)).body.status === 'active', 10000, 'the other buyer to be inside');
    return client;
  }

  return { ...parts, browser, provider, sale, enter, inside, rival };
}

export const state = (reader) => reader.page.locator('#main').getAttribute('data-state');
export const reaches = (reader, wanted, timeoutMs = 15000) => waitUntil(async () => (await state(reader).catch(() => '')) === wanted, timeoutMs,
  `the state ${wanted}`);
export const drawn = (reader) => waitUntil(() => reader.page.evaluate(() => document.querySelector('.seat, .plan') !== null).catch(() => false), 15000, 'the hall');
// Waits until the page's script shows the seats and no request is in progress: the server's own HTML does not count.
export const holds = (reader, count) => waitUntil(async () => (await reader.page.locator('#order[data-changing=false] #pay_button[aria-disabled=false]').isVisible())
  && (await reader.page.locator('#seats li').count()) === count,
  15000, `${count} seats to be held`);

// A seat by its accessible name: "Row 3, seat 12".
export const seat = (reader, row, number) => reader.page.locator(`.seat[aria-label^="Row ${row}, seat ${number},"]`);
export const label = (reader, row, number) => seat(reader, row, number).getAttribute('aria-label');

export async function pay(reader) {
  await reader.page.locator('#pay_button').click();
  await reader.page.waitForURL('**/pay?**');
  await reader.page.locator('button[value=pay]').click();
  await reader.page.waitForURL(/\/tickets?\//);
}

export async function ticket(reader) {
  await reaches(reader, 'valid', 30000);
  const number = await reader.seen('.reservation-number');
  assert.match(number, /^[0-9A-Z]{4}-[0-9A-Z]{4}$/);
  return number;
}

// An admitted reader whose socket the test controls: line.say(event, payload) sends a message; `deaf` drops those of
// the gateway.
export async function overheard({ browser, server }, id) {
  const reader = await browser.reader(DESKTOP);
  const line = { deaf: false };
  await reader.page.routeWebSocket(/\/ws$/, (route) => {
    const gateway = route.connectToServer();
    line.say = (event, payload) => route.send(JSON.stringify({ event, payload }));
    route.onMessage((text) => gateway.send(text));
    gateway.onMessage((text) => line.deaf || route.send(text));
  });
  await reader.open(`${server.url}/wait/${id}`);
  await reaches(reader, 'admitted');
  await reader.open(`${server.url}/buy/${id}`);
  await drawn(reader);
  await waitUntil(async () => (await reader.page.locator('#main').getAttribute('data-live')) === 'socket', 10000, 'the socket');
  return { reader, line };
}
