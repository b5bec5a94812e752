// SPDX-License-Identifier: MIT
//
// Brings the buying page into each of its states on a real server: for the screenshots, and for axe, which needs a
// smaller hall (world.halls) to be fast enough.

import { waitUntil } from '../fixtures/index.mjs';
import { drawn, holds, pay, reaches, shop, ticket } from './buy_support.mjs';
import { poster } from './wait_scenes.mjs';

const HALL = [{ section: 'Floor', rows: 10, seatsPerRow: 40, price: 9900 }, { section: 'Balcony', rows: 10, seatsPerRow: 30, price: 7900 },
  { section: 'Gallery', rows: 15, seatsPerRow: 20, price: 4900 }];
const STADIUM = Array.from({ length: 40 }, (_, n) => ({ section: `Block ${n + 1}`, rows: 20, seatsPerRow: 25, price: 12900 - 200 * n }));
const SHOW = { title: 'One Night Only', artist: 'The Waiting Line', venue: 'Tiketi Hall', startsAt: '2027-05-14T18:00:00Z' };

export { shop };

// A sale in which others have taken seats: each with the probability `share(section number)`.
async function visited(world, settings, share) {
  const id = await world.sale({ ...SHOW, ...settings });
  await world.database.query(`UPDATE seats SET status = 'sold', holder = gen_random_uuid(), version = version + 1
    WHERE event_id = $1 AND abs(hashtext(section || (abs(row_rank * 7 + number / 3))::text)) % 100 < ${share}`, [id]);
  return id;
}

async function arrive(world, reader, id) {
  await reader.open(`${world.server.url}/wait/${id}`);
  await reader.page.locator('main[data-state="admitted"]').waitFor();
  await reader.open(`${world.server.url}/buy/${id}`);
}

async function choosing(world, reader, settings = {}) {
  const id = await visited(world, { halls: world.halls ?? HALL, ...settings }, '45 - section_rank * 10');
  await arrive(world, reader, id);
  await drawn(reader);
  if (settings.autoHold !== 0) await holds(reader, 1);
  await reader.page.locator('main[data-live="socket"]').waitFor();
  return id;
}

// Chooses two free adjacent seats in the first rows by hand.
async function mark(reader) {
  const free = await reader.page.evaluate(() => {
    const seats = [...document.querySelectorAll('.seat')];
    const n = seats.findIndex((one, i) => i > 90 && i % 40 > 14 && one.dataset.s === 'free' && seats[i + 1]?.dataset.s === 'free');
    return [seats[n].dataset.i, seats[n + 1].dataset.i];
  });
  for (const i of free) await reader.page.locator(`.seat[data-i="${i}"]`).evaluate((element) => element.dispatchEvent(new MouseEvent('click', { bubbles: true })));
  await reader.page.locator('#take').waitFor();
  return free;
}

async function stadium(world, reader) {
  const id = await visited(world, { title: 'Open Air', halls: STADIUM, autoHold: 0 }, "CASE WHEN section_rank < 3 THEN 100 WHEN section_rank < 12 THEN 93 WHEN section_rank < 26 THEN 60 ELSE 12 END");
  await arrive(world, reader, id);
  await reader.page.locator('.plan').waitFor();
  await reader.page.locator('main[data-live="socket"]').waitFor();
}

// Returns the address to which the payment page leads back.
async function leaveForPayment(reader) {
  await reader.page.locator('#pay_button').click();
  await reader.page.waitForURL('**/pay?**');
  return new URL(reader.page.url()).searchParams.get('return');
}

const openElsewhere = async (reader, url) => {
  await reader.context.clearCookies(); // another browser
  await reader.open(url);
};

// What comes after the payment page.
export const ticketScenes = [
  ['confirming', async (world, reader) => {
    await choosing(world, reader);
    await openElsewhere(reader, `${await leaveForPayment(reader)}&payment=paid`);
    await reaches(reader, 'confirming');
  }],
  ['elsewhere', async (world, reader) => {
    await choosing(world, reader);
    await openElsewhere(reader, `${await leaveForPayment(reader)}&payment=cancelled`);
    await reaches(reader, 'elsewhere');
  }],
  ['valid', async (world, reader) => {
    await choosing(world, reader, { branding: { image: await poster(reader, 280) } });
    await reader.page.locator('#best_button').click();
    await holds(reader, 2);
    await pay(reader);
    await ticket(reader);
  }],
  ['late', async (world, reader) => {
    await choosing(world, reader);
    const back = await leaveForPayment(reader);
    const reservation = new URL(back).searchParams.get('reservation');
    await reader.context.request.post(`${world.server.url}/api/reservations/${reservation}/cancel`);
    await reader.open(`${back}&payment=paid`);
    await reaches(reader, 'late');
  }],
  ['refunded', async (world, reader) => {
    const id = await choosing(world, reader);
    await pay(reader);
    await ticket(reader);
    const { reservations: [{ id: reservationId }] } = await (await reader.context.request.get(`${world.server.url}/api/reservations`)).json();
    await world.organizer.must('POST', `/api/admin/events/${id}/refund`, { reservationId });
    await reader.page.reload();
    await reaches(reader, 'refunded');
  }],
  ['list', async (world, reader) => {
    const id = await choosing(world, reader);
    await pay(reader);
    await ticket(reader);
    await reader.open(`${world.server.url}/wait/${id}?join=1`);
    await reader.page.locator('main[data-state="admitted"]').waitFor();
    await reader.open(`${world.server.url}/buy/${id}`);
    await holds(reader, 1);
    await pay(reader);
    await ticket(reader);
    await reader.open(`${world.server.url}/tickets/${id}`);
    await reaches(reader, 'list');
  }],
  ['unknown', async (world, reader) => {
    reader.expects(/status of 404/);
    await reader.open(`${world.server.url}/ticket/${'x'.repeat(43)}`);
    await reaches(reader, 'unknown');
  }],
];

// [name, (world, reader) => a function that restores what the scene has stopped, or nothing]
export const scenes = [
  ['choosing', async (world, reader) => { await choosing(world, reader); }],
  ['draft', async (world, reader) => {
    await choosing(world, reader);
    await mark(reader);
  }],
  ['conflict', async (world, reader) => {
    const id = await choosing(world, reader, { autoHold: 0 });
    reader.expects(/status of 409/);
    await mark(reader);
    const other = await world.rival(id);
    await reader.page.route('**/api/reservations', async (route) => {
      const wanted = JSON.parse(route.request().postData() ?? '{}').seatIds;
      if (wanted) await other.reserve({ eventId: id, seatIds: wanted.slice(0, 1) });
      await route.continue();
    });
    await reader.page.locator('#take').click();
    await reader.page.locator('#offer').waitFor();
  }],
  ['sections', async (world, reader) => { await stadium(world, reader); }],
  ['section', async (world, reader) => {
    await stadium(world, reader);
    await reader.page.locator('.area').nth(14).click();
    await waitUntil(async () => (await reader.page.locator('.seat').count()) === 500, 10000, 'the seats');
    await mark(reader);
  }],
  ['payment', async (world, reader) => {
    await choosing(world, reader);
    await leaveForPayment(reader);
  }],
  ['not-paid', async (world, reader) => {
    await choosing(world, reader);
    await leaveForPayment(reader);
    await reader.page.locator('button[value=cancel]').click();
    await reader.page.waitForURL('**/buy/**');
    await holds(reader, 1);
    await drawn(reader);
  }],
  ['hold-expired', async (world, reader) => {
    await choosing(world, reader, { autoHold: 0, holdMs: 4000 });
    await reader.page.locator('#best_button').click(); // begins while the page shows it
    await waitUntil(() => reader.page.locator('#notice').isVisible(), 15000, 'the end of the hold');
  }],
  ['last', async (world, reader) => {
    await choosing(world, reader, { sessionLimitMs: 10000, holdMs: 240000 });
    await reader.page.locator('#best_button').click();
    await reaches(reader, 'last', 30000);
  }],
  ['over', async (world, reader) => {
    await choosing(world, reader, { sessionLimitMs: 8000, autoHold: 0 });
    await reaches(reader, 'over', 30000);
  }],
  ['empty', async (world, reader) => {
    await arrive(world, reader, await world.sale({ ...SHOW, halls: [] }));
    await reaches(reader, 'empty');
  }],
  ['unknown', async (world, reader) => {
    reader.expects(/status of 404/);
    await reader.open(`${world.server.url}/buy/nothing-of-the-kind`);
    await reaches(reader, 'unknown');
  }],
  ['sold-out', async (world, reader) => {
    const id = await choosing(world, reader, { halls: [{ section: 'Floor', rows: 6, seatsPerRow: 24, price: 9900 }], autoHold: 0 });
    await world.database.query("UPDATE seats SET status = 'sold', holder = gen_random_uuid(), version = version + 1 WHERE event_id = $1 AND status = 'available'", [id]);
    await reader.page.evaluate(() => globalThis.dispatchEvent(new Event('online')));
    await reaches(reader, 'sold_out');
  }],
  ['unavailable', async (world, reader) => {
    const id = await choosing(world, reader);
    reader.expects(/status of 503/);
    reader.expects(/WebSocket/);
    await world.redis.pause();
    await world.postgres.pause();
    await reader.open(`${world.server.url}/buy/${id}`);
    return async () => {
      await world.redis.resume();
      await world.postgres.resume();
    };
  }],
];
