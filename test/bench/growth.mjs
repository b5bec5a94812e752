// SPDX-License-Identifier: MIT
//
// How costs grow with the queue: 10 k, 100 k and 1 M waiting buyers, each queue filled by a script at its own
// event. Measures a join by HTTP, a poll, a tick that admits 100, the rank index, and a position pushed to a
// socket. The sizes take turns; the results are medians, and a curve as a picture.

import { writeFileSync } from 'node:fs';
import WebSocket from 'ws';
import { Client, Organizer, ROOT, Server, guestCookie, many, sleep, waitUntil } from '../fixtures/index.mjs';
import { drain, fill, filler } from './fill.mjs';
import { calmRounds, cost, cpuOf, median, quick, redisSpent } from './measure.mjs';
import { growthPlot, short } from './plot.mjs';
import { ownRoom } from './redis.mjs';

const SIZES = quick ? [10000, 100000] : [10000, 100000, 1000000];
const ROUNDS = quick ? 1 : 3; // rounds per size, each with a newly filled queue
const TURNS = quick ? 2 : 9; // measurements per size that need no newly filled queue
const POLLERS = 200;
const [SOCKETS, AHEAD, STEP, PUSH_S] = [2000, 5000, 150, 3]; // STEP leave per second: over 2 % of a position, so it is sent
const [TICKS, ADMIT] = [quick ? 20 : 50, 100];

const SERIES = [
  { name: 'join, service', unit: 'µs', key: 'join' },
  { name: 'join, service and Redis', unit: 'µs', key: 'whole', bar: 2.5 },
  { name: 'poll', unit: 'µs', key: 'poll', bar: 1.1 },
  { name: 'tick that admits 100, Redis', unit: 'µs', key: 'tick', bar: 2 },
  { name: 'rank index, Redis', unit: 'µs', key: 'index', bar: 2 },
  { name: 'pushed position', unit: 'µs', key: 'push', bar: 1.2 },
];

const known = (api, id, size) => waitUntil(async () => (await new Organizer(api).queueSize(id)) === size, 20000, 'the index');

// Fills a queue of `size`, and prepares requests of buyers at its tail.
async function hallOf({ api, redis, folder }, size) {
  const { id } = await new Organizer(api).sale({ threshold: 0 });
  await fill(redis.client, id, size);
  const buyers = Array.from({ length: POLLERS }, () => new Client(api));
  await known(api, id, size);
  await many(buyers, 16, (buyer) => buyer.check(id));
  await known(api, id, size + POLLERS);
  await many(buyers, 16, (buyer) => buyer.status(id));
  const lines = `${folder}/growth-polls-${size}`;
  writeFileSync(lines, buyers.map((buyer) => `Cookie: ${buyer.cookieHeader}\n`).join(''));
  return { id, size, lines };
}

const pollCost = (api, { id, lines }) => cost(api, 64, { method: 'GET', path: `/api/queue/status/${id}`, lines, seconds: 1 });

async function joinCost(api, redis, id) {
  const { us, result } = await redisSpent(redis, () => cost(api, 1000, { path: `/api/queue/check/${id}`, seconds: 1 }));
  return { join: result.cpu, whole: result.cpu + us / result.requests };
}

// Opens sockets of buyers who wait AHEAD places behind the head.
async function openSockets(gateway, hall) {
  hall.pushes = 0;
  hall.sockets = await many(Array.from({ length: SOCKETS }, (_, i) => filler(AHEAD + i)), 32, (buyer) => new Promise((accept, reject) => {
    const socket = new WebSocket(gateway.wsUrl, 'tiketi.v1', { headers: { cookie: `tiketi_guest=${guestCookie(buyer)}` }, perMessageDeflate: false });
    socket.once('error', reject);
    socket.on('open', () => socket.send(JSON.stringify({ event: 'join-queue', payload: { eventId: hall.id } })));
    socket.once('message', () => accept(socket));
    socket.on('message', (data) => {
      hall.pushes += data.includes('"queue-position"') ? 1 : 0;
    });
  }));
}

// Each second some buyers leave at the head, so that every position falls.
async function pushCost(gateway, redis, hall) {
  const step = setInterval(() => redis.client.zremrangebyrank(`queue:{${hall.id}}`, 0, STEP - 1), 1000);
  await sleep(1500);
  const [before, told] = [cpuOf(gateway.pid), hall.pushes];
  await sleep(PUSH_S * 1000);
  clearInterval(step);
  const pushes = hall.pushes - told;
  if (pushes < SOCKETS) throw new Error(`${pushes} positions were pushed to ${SOCKETS} sockets in ${PUSH_S} s`);
  return (cpuOf(gateway.pid) - before) / pushes;
}

async function tickCost(redis, size, round) {
  const room = await ownRoom(redis, `tick-${size}-${round}`, { threshold: 1000000 });
  await fill(redis.client, room.id, size);
  const tick = await redisSpent(redis, async () => {
    for (let i = 0; i < TICKS; i++) await room.promote({ admit: ADMIT });
  });
  const index = await redisSpent(redis, async () => {
    for (let i = 0; i < TICKS; i++) await room.index();
  });
  await drain(redis.client, room.id);
  return { tick: tick.us / TICKS, index: index.us / TICKS };
}

async function refilled({ api, redis }, { id, size }, round) {
  await fill(redis.client, id, size);
  const join = await joinCost(api, redis, id);
  await drain(redis.client, id);
  return { ...join, ...(await tickCost(redis, size, round)) };
}

export async function growth(parts) {
  const { api, redis, database, servers } = parts;
  const gateway = await Server.start({ redis, database, roles: 'gateway' });
  servers.push(gateway);
  const halls = await many(SIZES, 1, (size) => hallOf(parts, size));
  const each = (work) => many(halls, 1, work);
  const polls = await calmRounds(TURNS, () => each(async (hall) => ({ poll: (await pollCost(api, hall)).cpu })));
  await each((hall) => openSockets(gateway, hall));
  await sleep(2000); // until each socket has its first position
  const pushes = await calmRounds(Math.ceil(TURNS / 2), () => each(async (hall) => ({ push: await pushCost(gateway, redis, hall) })));
  for (const { sockets } of halls) for (const socket of sockets) socket.terminate();
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await each((hall) => refilled(parts, hall, round)));
  for (const { id } of halls) await new Organizer(api).act(id, 'close');
  const turns = [...polls, ...pushes, ...rounds];
  const values = (key) => SIZES.map((_, i) => median(turns.filter(([first]) => key in first).map((sizes) => sizes[i][key])));
  const series = SERIES.map(({ key, ...rest }) => ({ ...rest, values: values(key) }));
  if (!quick) writeFileSync(`${ROOT}/docs/growth.svg`, growthPlot('Cost beside the length of the queue; 1 × is the cost at the shortest', SIZES, series));
  return series.map(({ name, unit, bar, values: [first, ...others] }) => ({
    id: `growth-${name}`, what: `growth: ${name}`, means: `with ${short(SIZES.at(-1))} waiting${others.length > 1 ? ` (${short(SIZES[1])}: ${others[0].toFixed(1)} ${unit})` : ''}; it should not grow with the queue`,
    unit, own: others.at(-1), beside: `at ${short(SIZES[0])}`, other: first, bar,
  }));
}
