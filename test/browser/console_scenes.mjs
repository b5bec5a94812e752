// SPDX-License-Identifier: MIT
//
// Brings each view of the console to a sale in full swing: for the screenshots.

import { many, pay, waitUntil } from '../fixtures/index.mjs';
import { drawn, saleUrl, signIn } from './console_support.mjs';

const SECTIONS = [{ section: 'Floor', rows: 10, seatsPerRow: 30, price: 12000 }, { section: 'Balcony', rows: 6, seatsPerRow: 20, price: 8500 }, { section: 'Gallery', rows: 4, seatsPerRow: 25, price: 4900 }];

// A sale with a queue, buyers inside and some tickets sold; made once for a world.
async function night(world) {
  if (world.night) return world.night;
  const { organizer, server } = world;
  const { id } = await organizer.must('POST', '/api/admin/events', { title: 'One Night Only', artist: 'The Waiting Line', venue: 'Tiketi Hall', startsAt: '2027-05-14T10:00:00Z', timeZone: 'Asia/Seoul', threshold: 24, intervalMs: 1000, autoHold: 2 });
  await organizer.must('POST', `/api/admin/events/${id}/seats`, { grid: SECTIONS.map((section) => ({ ...section, currency: 'EUR' })) });
  await organizer.act(id, 'open');
  const people = await world.crowd(id, 160);
  await many(people.slice(0, 10), 4, async (client) => {
    const { body } = await client.post('/api/reservations', { json: { eventId: id, quantity: 2, section: 'Floor' } });
    if (body.id) await pay(server, body);
  });
  await organizer.patch(id, { threshold: 36 });
  // The course of the sale in PostgreSQL begins with its first whole minute: for a picture, an hour of it.
  await server.database.query('INSERT INTO event_minutes SELECT * FROM jsonb_populate_recordset(NULL::event_minutes, $1) ON CONFLICT DO NOTHING', [JSON.stringify(course(id))]);
  return (world.night = id);
}

function course(id) {
  const now = Math.floor(Date.now() / 60000);
  const nothing = Object.fromEntries(['left', 'withdrawn', 'idle', 'timeout', 'parked', 'direct', 'claimed', 'unclaimed', 'idle_kept'].map((name) => [name, 0]));
  return Array.from({ length: 60 }, (_, i) => ({
    ...nothing, event_id: id, at: new Date((now - 60 + i) * 60000).toISOString(), joined: Math.round(900 * Math.exp(-i / 7)), admitted: 60 + (i * 7) % 9, completed: 40 + (i * 5) % 8,
    waiting: Math.max(0, Math.round(5200 * (1 - Math.exp(-i / 6)) - i * 62)), queue_peak: 5200, inside: 24 + (i > 30 ? 11 : 0) - (i % 2), threshold: i > 30 ? 36 : 24,
  }));
}

const open = async (world, reader, view = '') => {
  const id = await night(world);
  await signIn(reader, world.server, ['--name', 'Kim Minji', '--role', 'admin']);
  await reader.open(saleUrl(world.server, id, view));
  return id;
};

// The live view with all that it asks for.
async function whole(reader) {
  await drawn(reader);
  await waitUntil(async () => (await reader.seen('#waiting')) !== '–', 10000, 'figures');
  for (const part of ['#section_rows tr', '#charts:not([hidden])', '#change_list li', '#age:not([hidden])']) await reader.page.locator(part).first().waitFor();
}

// [name, (world, reader) => …]
export const consoleScenes = [
  ['list', async (world, reader) => {
    await night(world);
    world.draft ??= await world.organizer.must('POST', '/api/admin/events', { title: 'Harbour Sessions', venue: 'Pier 7', startsAt: '2027-06-20T17:00:00Z', timeZone: 'Europe/Berlin' });
    await signIn(reader, world.server, ['--name', 'Kim Minji', '--role', 'admin']);
    await reader.open(`${world.server.url}/console`);
    await reader.page.locator('.sale .row:not([hidden])').first().waitFor();
  }],
  ['live', async (world, reader) => {
    await open(world, reader);
    await whole(reader);
  }],
  ['pause', async (world, reader) => {
    await open(world, reader);
    await whole(reader);
    await reader.page.locator('form[data-verb="pause"] button').click();
    return () => reader.page.keyboard.press('Escape');
  }],
  ['setup', async (world, reader) => {
    await open(world, reader, '/setup');
    await reader.page.frameLocator('#preview').locator('main[data-state="waiting"]').waitFor();
    await reader.page.locator('#forecast:not(:empty)').waitFor();
  }],
  ['hall', async (world, reader) => {
    await open(world, reader, '/hall');
    await reader.page.locator('#section_rows tr').first().waitFor();
    const row = reader.page.locator('.grid-row').first();
    await row.locator('[name="section"]').fill('Boxes');
    await row.locator('[name="price"]').fill('150');
    await reader.page.locator('#plan figure').first().waitFor();
  }],
  ['people', async (world, reader) => {
    const id = await open(world, reader, '/people');
    const [{ number }] = await world.server.database.query("SELECT number FROM reservations WHERE event_id = $1 AND status = 'confirmed' LIMIT 1", [id]);
    await reader.page.locator('#who').fill(number);
    await reader.page.locator('#find button').click();
    await reader.page.locator('#entries li').first().waitFor();
  }],
  ['readiness', async (world, reader) => {
    const { organizer, server } = world;
    if (!world.soon) {
      const { id } = await organizer.must('POST', '/api/admin/events', { title: 'Winter Lights', venue: 'Tiketi Hall', timeZone: 'Asia/Seoul', opensAt: '2027-01-10T11:00:00Z', startsAt: '2027-02-12T10:00:00Z', threshold: 200 });
      await organizer.must('POST', `/api/admin/events/${id}/seats`, { grid: SECTIONS.map((section) => ({ ...section, currency: 'EUR' })) });
      world.soon = id;
    }
    await signIn(reader, server, ['--name', 'Kim Minji', '--role', 'admin']);
    await reader.open(saleUrl(server, world.soon));
    await reader.page.locator('#checks li').nth(9).waitFor();
    await reader.page.locator('#age:not([hidden])').waitFor();
    await reader.page.locator('#change_list li').first().waitFor();
  }],
  ['team', async (world, reader) => {
    await open(world, reader, '/people');
    await reader.page.locator('#team tr').first().waitFor();
    for (const [name, role] of [['Lee Jieun', 'editor'], ['Sato Haruka', 'viewer']]) {
      if (await reader.page.locator('#team tr', { hasText: name }).count() > 0) continue;
      await reader.page.locator('#invite input[name="name"]').fill(name);
      await reader.page.locator('#invite select').selectOption(role);
      await reader.page.locator('#invite button').click();
      await reader.page.locator('#team tr', { hasText: name }).waitFor();
    }
    await reader.page.locator('#team_panel').scrollIntoViewIfNeeded();
  }],
  ['report', async (world, reader) => {
    await open(world, reader, '/report');
    await reader.page.locator('#report:not([hidden])').waitFor();
  }],
];
