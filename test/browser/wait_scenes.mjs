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

// A sale of forty seats. Thirty buyers have come in and bought one each: so it is known how many a buyer takes.
export async function mostlySold(world) {
  const id = await world.sale({ threshold: 40, autoHold: 0, grid: { rows: 4, seatsPerRow: 10 } });
  await many(Array.from({ length: 30 }), 8, async () => {
    const client = new Client(world.server);
    assert.equal((await client.check(id)).body.status, 'active');
    const { body } = await client.reserve({ eventId: id, quantity: 1 });
    assert.equal((await pay(world.server, body)).status, 200);
    await client.leave(id);
  });
  await world.organizer.patch(id, { threshold: 1 });
  return id;
}

// A picture of an event, painted by the reader's browser: lights above a crowd.
export function poster(reader, hue) {
  return reader.page.evaluate((colour) => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1200, height: 630 });
    const paint = canvas.getContext('2d');
    const fill = (gradient, stops) => {
      stops.forEach(([at, style]) => gradient.addColorStop(at, style));
      paint.fillStyle = gradient;
    };
    fill(paint.createLinearGradient(0, 0, 0, 630), [[0, `hsl(${colour} 60% 12%)`], [1, `hsl(${colour + 40} 70% 30%)`]]);
    paint.fillRect(0, 0, 1200, 630);
    for (let i = 0; i < 7; i++) {
      fill(paint.createRadialGradient(120 + i * 160, 60, 5, 120 + i * 160, 60, 480), [[0, `hsl(${colour + i * 12} 90% 75% / 60%)`], [1, 'transparent']]);
      paint.beginPath();
      paint.moveTo(120 + i * 160, 40);
      paint.lineTo(i * 190 - 120, 630);
      paint.lineTo(i * 190 + 120, 630);
      paint.fill();
    }
    paint.fillStyle = '#0b0d10';
    for (let i = 0; i < 60; i++) {
      paint.beginPath();
      paint.arc(i * 21, 600 + (i * 37) % 23, 22, 0, 7);
      paint.fill();
    }
    return canvas.toDataURL('image/jpeg', 0.8);
  }, hue);
}

// [name, (world, reader) => a function that restores what the scene has stopped, or nothing]
export const scenes = [
  ['home', async (world, reader) => {
    await world.sale({ title: 'Harbour Sessions', artist: 'Mira & the Tides', venue: 'Pier 7', startsAt: '2027-03-20T19:00:00Z', timeZone: 'Europe/Berlin', branding: { image: await poster(reader, 190) } });
    await world.sale({ startsAt: '2027-05-14T10:00:00Z', timeZone: 'Asia/Seoul', branding: { image: await poster(reader, 280) } });
    await world.sale({ title: 'The Long Sunday', artist: 'Quiet Hours', venue: 'Garden Stage', startsAt: '2027-06-06T13:00:00Z', opensAt: '2027-02-01T09:00:00Z', timeZone: 'Europe/Berlin' });
    await reader.open(`${world.server.url}/`);
  }],
  ['scheduled', async (world, reader) => {
    const id = await world.sale({ open: false, opensAt: new Date(Date.now() + (2 * 3600 + 840) * 1000).toISOString() });
    await world.organizer.act(id, 'publish');
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
    await waitUntil(async () => !/…$/.test(await reader.seen('#estimate')), 20000, 'an estimate');
    await waitUntil(async () => Number(await reader.page.locator('#progress').getAttribute('value')) > 30, 20000, 'progress');
  }],
  ['unlikely', async (world, reader) => {
    const id = await mostlySold(world);
    await world.crowd(id, 90);
    await reader.open(world.url(id));
    await live(reader);
    await waitUntil(async () => {
      await reader.page.evaluate(() => globalThis.dispatchEvent(new Event('pageshow')));
      return (await reader.page.locator('main').getAttribute('data-state')) === 'unlikely';
    }, 30000, 'the early good-bye');
  }],
  ['paused', async (world, reader) => {
    const id = await waiting(world, reader);
    await world.organizer.act(id, 'message', { text: 'The doors stay closed for ten minutes while the band checks the sound. Thank you for your patience.' });
    await world.organizer.act(id, 'pause');
    await showing(reader, 'paused');
    await reader.page.locator('#message:not(:empty)').waitFor();
  }],
  ['missed_often', async (world, reader) => {
    const id = await world.full({ claimMs: 1000 });
    const ask = async (method, verb) => (await reader.context.request[method](`${world.server.url}/api/queue/${verb}/${id}`)).json();
    const missed = () => waitUntil(async () => (await ask('get', 'status')).unclaimed, 15000, 'the offer to run out');
    await ask('post', 'check');
    await world.inside.leave(id);
    await missed();
    // As if it had been the fourth in a row: the next one that runs out has the place rest for 15 s.
    const [kept] = await world.redis.cli('KEYS', `*kept:{${id}}`);
    const [buyer, note] = await world.redis.cli('HGETALL', kept);
    await world.redis.cli('HSET', kept, buyer, note.replace(/ 1 (\d+)$/, ' 4 $1'));
    assert.equal((await ask('post', 'check')).unclaimed, undefined);
    await missed();
    await reader.open(world.url(id));
    await live(reader);
    await reader.page.locator('#missed:not([hidden])').waitFor();
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
  ['bought', async (world, reader) => {
    const id = await world.sale({ threshold: 5 });
    await reader.open(world.url(id));
    await showing(reader, 'admitted');
    const { request } = reader.context;
    const held = await waitUntil(async () => (await (await request.get(`${world.server.url}/api/reservations`)).json()).reservations[0], 10000, 'the auto-hold');
    assert.equal((await pay(world.server, held)).status, 200);
    await reader.open(world.url(id));
    await showing(reader, 'bought');
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
    reader.expects(/status of 429|WebSocket connection|Refused to apply style/); // the latter two when the page itself was answered
    const pod = await world.pod({ RATE_LIMIT_PER_IP: 1, TRUSTED_PROXIES: '127.0.0.0/8' });
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
  ['network', async (world, reader) => {
    reader.expects(/status of 429/);
    const pod = await world.pod({ TRUSTED_PROXIES: '127.0.0.0/8' }); // so that the reader's address counts
    const id = await world.full({ placesPerNetwork: 1 });
    await waitUntil(async () => (await reader.context.request.post(`${pod.url}/api/queue/check/${id}`, { headers: { cookie: '' } })).status() === 429, 10000, 'the network to be full');
    await reader.context.clearCookies();
    await reader.open(`${pod.url}/wait/${id}`);
    await showing(reader, 'network');
    return () => pod.stop();
  }],
  ['unknown', async (world, reader) => {
    reader.expects(/status of 404/);
    await reader.open(world.url('nowhere'));
    await showing(reader, 'unknown');
  }],
  ['login', async (world, reader) => {
    reader.expects(/status of 401/);
    await reader.open(world.url(await world.sale({ allowGuests: false, loginUrl: 'https://shop.example/sign-in' })));
    await showing(reader, 'login');
  }],
  ['not_found', async (world, reader) => {
    reader.expects(/status of 404/);
    await reader.open(`${world.server.url}/no-such-page`);
    await reader.page.locator('#heading').waitFor();
  }],
  ['cookies', async (world, reader) => {
    const id = await world.full();
    await reader.open(world.url(id, `?cookies=${Math.floor(Date.now() / 1000)}`)); // as if it had been asked for its cookie
    await showing(reader, 'cookies');
  }],
  ['unsent', async (world, reader) => {
    reader.expects(/status of 401/);
    const id = await world.full();
    await reader.context.setExtraHTTPHeaders({ 'x-tiketi-in-place': '1', 'x-original-method': 'POST' }); // as a proxy asks
    await reader.open(world.url(id, '?return=/shop/order'));
    await showing(reader, 'unsent');
  }],
  ['return_refused', async (world, reader) => {
    reader.expects(/status of 400/);
    await reader.open(world.url(await world.full(), '?return=https://elsewhere.example/'));
    await showing(reader, 'return_refused');
  }],
  ['admitted_for_a_shop', async (world, reader) => {
    await reader.open(world.url(await world.sale({ autoHold: 0 }), '?return=/shop/row%3Fseat=7'));
    await live(reader);
    await showing(reader, 'admitted');
  }],
  ['waiting_for_a_shop', async (world, reader) => {
    await waiting(world, reader, {}, '?return=/shop/row%3Fseat=7');
  }],
  ['preview', async (world, reader) => {
    const id = await world.full();
    await reader.context.setExtraHTTPHeaders({ 'user-agent': 'Mozilla/5.0 (compatible; Googlebot/2.1)' });
    await reader.open(world.url(id));
    await showing(reader, 'preview');
  }],
  ['branded', async (world, reader) => {
    const logo = Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 150 36"><path d="M4 30 16 6l12 24M9 21h14" fill="none" stroke="#ffd166" stroke-width="5" stroke-linejoin="round" stroke-linecap="round"/><text x="38" y="27" font-family="Georgia, serif" font-size="25" font-weight="bold" fill="#fff">Aurora</text></svg>').toString('base64');
    const id = await world.full({ title: 'Northern Lights Tour', artist: 'Aurora Quartet', venue: 'Opera House', startsAt: '2027-05-14T10:00:00Z', timeZone: 'Asia/Seoul', branding: { name: 'Aurora', primary: '#e8486b', background: '#1b1640', logo: `data:image/svg+xml;base64,${logo}`, image: await poster(reader, 250) }, links: { seller: 'https://aurora.example/imprint', help: 'https://aurora.example/help', terms: 'https://aurora.example/terms', refunds: 'https://aurora.example/refunds', privacy: 'https://aurora.example/privacy' } });
    await world.organizer.act(id, 'message', { text: 'Doors open at 18:00. Please have your ticket ready on your phone.' });
    await world.crowd(id, 86);
    await reader.open(world.url(id));
    await live(reader);
    await reader.page.locator('#message:not(:empty)').waitFor();
  }],
];
