// SPDX-License-Identifier: MIT
//
// Brings the waiting page into each of its states on a real server: for the tests of all states, and for the
// screenshots.

import assert from 'node:assert/strict';
import { Client, Organizer, Postgres, Redis, Server, many, pay, uniqueId, waitUntil } from '../fixtures/index.mjs';

const SHOW = { title: 'One Night Only', artist: 'The Waiting Line', venue: 'Tiketi Hall', startsAt: '2027-05-14T18:00:00Z' };

export class World {
  static async start() {
    const world = new World();
    [world.redis, world.postgres] = await Promise.all([Redis.start(), Postgres.start()]);
    world.server = await Server.start({ redis: world.redis, database: await world.postgres.migrated() });
    world.organizer = new Organizer(world.server);
    return world;
  }

  stop() {
    return this.server.stop();
  }

  // Another pod of the same deployment, with its own settings.
  pod(env) {
    return Server.start({ redis: this.redis, database: this.server.database, roles: 'api', env });
  }

  url(id, rest = '') {
    return `${this.server.url}/wait/${id}${rest}`;
  }

  // A sale whose only slot world.inside has taken.
  async sale(settings = {}) {
    const { id } = await this.organizer.sale({ id: uniqueId('scene'), threshold: 1, intervalMs: 300, grid: { rows: 10, seatsPerRow: 30 }, ...SHOW, ...settings });
    return id;
  }

  async full(settings) {
    const id = await this.sale(settings);
    this.inside = new Client(this.server);
    assert.equal((await this.inside.check(id)).body.status, 'active');
    return id;
  }

  // Buyers ahead of the reader; those admitted directly come first in the list.
  async crowd(id, size) {
    const people = await many(Array.from({ length: size }), 64, async () => {
      const client = new Client(this.server);
      return { client, inside: (await client.check(id)).body.status === 'active' };
    });
    return people.sort((a, b) => b.inside - a.inside).map(({ client }) => client);
  }

  // One active buyer leaves at every tick and the next is admitted, until the rate is measured.
  async flow(id, people, ticks) {
    for (let tick = 0; tick < ticks; tick++) {
      const { counters: { admitted } } = await this.organizer.stats(id);
      await people.shift().leave(id);
      await waitUntil(async () => (await this.organizer.stats(id)).counters.admitted > admitted, 15000, 'a tick');
    }
  }
}

// Waits until the page is in this state and has drawn it.
export async function showing(reader, state, page = reader.page) {
  await page.locator(`main[data-state="${state}"]`).waitFor();
}

export async function live(reader, link = 'socket', page = reader.page) {
  await page.locator(`main[data-live="${link}"]`).waitFor();
}

async function waiting(world, reader, settings, rest) {
  const id = await world.full(settings);
  await world.crowd(id, 3);
  await reader.open(world.url(id, rest));
  await live(reader);
  return id;
}

// [name, (world, reader) => a function that restores what the scene has stopped, or nothing]
export const scenes = [
  ['home', async (world, reader) => {
    await world.sale({ title: 'Harbour Sessions', artist: 'Mira & the Tides', venue: 'Pier 7' });
    await world.sale();
    await reader.open(`${world.server.url}/`);
  }],
  ['scheduled', async (world, reader) => {
    const id = await world.sale({ open: false, opensAt: new Date(Date.now() + (2 * 3600 + 840) * 1000).toISOString() });
    await world.organizer.act(id, 'open');
    await world.crowd(id, 211);
    await reader.open(world.url(id));
    await showing(reader, 'scheduled');
    await live(reader);
  }],
  ['waiting', async (world, reader) => {
    const id = await world.sale({ threshold: 12, autoHold: 0, intervalMs: 1500 });
    const people = await world.crowd(id, 1275);
    await reader.open(world.url(id));
    await live(reader);
    await world.flow(id, people, 5);
    await many(people.splice(100, 430), 32, (client) => client.leave(id)); // and some leave
    await waitUntil(async () => !/measured|측정|計測/.test(await reader.seen('#estimate')), 20000, 'an estimate');
    await waitUntil(async () => Number(await reader.page.locator('#progress').getAttribute('value')) > 30, 20000, 'progress');
  }],
  ['paused', async (world, reader) => {
    const id = await waiting(world, reader);
    await world.organizer.act(id, 'message', { text: 'The doors stay closed for ten minutes while the band checks the sound. Thank you for your patience.' });
    await world.organizer.act(id, 'pause');
    await showing(reader, 'paused');
    await reader.page.locator('#message:not(:empty)').waitFor();
  }],
  ['admitted', async (world, reader) => {
    const id = await waiting(world, reader, { threshold: 5 });
    await showing(reader, 'admitted');
    return () => world.organizer.act(id, 'close');
  }],
  ['expired', async (world, reader) => {
    const id = await world.sale({ sessionLimitMs: 1500 });
    await reader.open(world.url(id));
    await showing(reader, 'expired');
  }],
  ['restoring', async (world, reader) => {
    const id = await waiting(world, reader);
    await world.redis.cli('FLUSHALL');
    await waitUntil(async () => {
      await reader.open(world.url(id));
      return (await reader.page.locator('main').getAttribute('data-state')) === 'restoring';
    }, 15000, 'the restore window');
    await showing(reader, 'restoring');
    return () => world.organizer.act(id, 'close');
  }],
  ['left', async (world, reader) => {
    const id = await waiting(world, reader);
    await reader.open(world.url(id, '?left=1'));
    await showing(reader, 'left');
  }],
  ['leaving', async (world, reader) => {
    await waiting(world, reader);
    await reader.page.locator('#leave').click();
    await reader.page.locator('#leave_dialog[open]').waitFor();
  }],
  ['leaving_plain', async (world, reader) => {
    const id = await world.full();
    await reader.open(world.url(id, '/leave'));
  }],
  ['sold_out', async (world, reader) => {
    const id = await world.full({ grid: { rows: 1, seatsPerRow: 1 } });
    await reader.open(world.url(id));
    await live(reader);
    const { body } = await waitUntil(async () => {
      const list = await world.inside.get('/api/reservations');
      return list.body.reservations?.length > 0 && { body: list.body.reservations[0] };
    }, 10000, 'the held seat');
    assert.equal((await pay(world.server, body)).status, 200);
    await showing(reader, 'sold_out');
  }],
  ['closed', async (world, reader) => {
    const id = await waiting(world, reader);
    await world.organizer.act(id, 'close');
    await showing(reader, 'closed');
  }],
  ['lost', async (world, reader) => {
    reader.expects(/ERR_INTERNET_DISCONNECTED|ERR_CONNECTION|WebSocket connection/);
    await waiting(world, reader);
    await reader.context.setOffline(true);
    await live(reader, 'lost');
  }],
  ['out_of_reach', async (world, reader) => {
    reader.expects(/status of 503/);
    await waiting(world, reader);
    await world.redis.pause();
    // A page that becomes visible asks for its status. For some seconds the pod still answers from its cache.
    await waitUntil(async () => {
      await reader.page.evaluate(() => globalThis.dispatchEvent(new Event('pageshow')));
      return (await reader.page.locator('main').getAttribute('data-live')) === 'unavailable';
    }, 20000, 'word that nobody answers').catch(async (error) => {
      await world.redis.resume();
      throw error;
    });
    return () => world.redis.resume();
  }],
  ['unavailable', async (world, reader) => {
    reader.expects(/status of 503/);
    const id = await world.full();
    await world.redis.pause();
    await reader.open(world.url(id));
    await showing(reader, 'unavailable');
    return () => world.redis.resume();
  }],
  ['busy', async (world, reader) => {
    reader.expects(/status of 429|WebSocket connection/); // the latter when the page itself was answered
    const pod = await world.pod({ RATE_LIMIT_PER_IP: 1 });
    const url = `${pod.url}/wait/${await world.full()}`;
    // Other requests from the reader's address use up the limit, so that the page's own are refused as well.
    const refused = await waitUntil(async () => {
      const answer = await reader.context.request.post(url.replace('/wait/', '/api/queue/check/'));
      return answer.status() === 429 && answer;
    }, 10000, 'the limit');
    await reader.page.route('**/api/queue/check/*', (route) => route.fulfill({ response: refused }));
    await waitUntil(async () => (await reader.open(url)).status() === 429, 10000, 'the page to be refused');
    await showing(reader, 'busy');
    await live(reader, 'unavailable');
    return () => pod.stop();
  }],
  ['unknown', async (world, reader) => {
    reader.expects(/status of 404/);
    await reader.open(world.url('nowhere'));
    await showing(reader, 'unknown');
  }],
  ['login', async (world, reader) => {
    reader.expects(/status of 401/);
    await reader.open(world.url(await world.sale({ allowGuests: false })));
    await showing(reader, 'login');
  }],
  ['branded', async (world, reader) => {
    const logo = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 150 36"><path d="M4 30 16 6l12 24M9 21h14" fill="none" stroke="#ffd166" stroke-width="5" stroke-linejoin="round" stroke-linecap="round"/><text x="38" y="27" font-family="Georgia, serif" font-size="25" font-weight="bold" fill="#fff">Aurora</text></svg>').toString('base64');
    const id = await world.full({ title: 'Northern Lights Tour', artist: 'Aurora Quartet', venue: 'Opera House', branding: { name: 'Aurora', primary: '#e8486b', background: '#1b1640', logo: `data:image/svg+xml;base64,${logo}` } });
    await world.organizer.act(id, 'message', { text: 'Doors open at 18:00. Please have your ticket ready on your phone.' });
    await world.crowd(id, 86);
    await reader.open(world.url(id));
    await live(reader);
    await reader.page.locator('#message:not(:empty)').waitFor();
  }],
];
