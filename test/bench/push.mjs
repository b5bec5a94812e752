// SPDX-License-Identifier: MIT
//
// What a push costs with 18,000 sockets at one gateway: a position, compared with a direct lws_write of the
// same bytes to as many sockets; how much a fan-out delays joins; and the time from an admission in the log
// to its message on the socket.

import { readFileSync } from 'node:fs';
import { Organizer, SECRETS, Server, runTiketi, sleep, waitUntil } from '../fixtures/index.mjs';
import { Room } from '../lua/room.mjs';
import { Clients, guestsWaiting, startEcho, writeGuests } from './clients.mjs';
import { calmRounds, compared, cpuOf, median, quick } from './measure.mjs';

const SOCKETS = quick ? 6000 : 18000;
const STEP = Math.ceil(SOCKETS / 35); // so many leave at the head that even the last position is sent
const WINDOW_MS = 2500;
const TURNS = quick ? 3 : 5; // measurements of each side, with joins
const PUSHES = quick ? 3 : 9; // rounds of positions to all sockets, and of plain writes
const ENTRIES = 200; // buyers admitted by one tick
const JOINS_A_SECOND = 300;

const percentile = (list, share) => [...list].sort((a, b) => a - b)[Math.max(0, Math.ceil(list.length * share) - 1)];

async function during(pid, work) {
  const before = cpuOf(pid);
  const began = performance.now();
  await work();
  await sleep(WINDOW_MS - (performance.now() - began));
  return cpuOf(pid) - before;
}

// Buyers at the head leave, so that every position falls and each socket is sent one.
async function positions(stage, leaders) {
  const { clients, room, gateway } = stage;
  const idle = await during(gateway.pid, () => sleep(0));
  const before = await clients.stats();
  const cpu = await during(gateway.pid, async () => {
    await room.leave(leaders.splice(0, STEP).map(({ id }) => id));
    await waitUntil(async () => (await clients.stats()).positions - before.positions >= 0.99 * SOCKETS, 10000, 'a position for each');
  });
  const after = await clients.stats();
  const told = after.positions - before.positions;
  return { cpu: (cpu - idle) / told, idle: idle / WINDOW_MS / 10, bytes: Math.round((after.bytes - before.bytes) / told), frames: (after.frames - before.frames) / told };
}

async function written(echo, bytes) {
  const text = 'x'.repeat(Math.max(1, bytes - 4)); // without the 4 bytes of the frame's head
  const before = cpuOf(echo.pid);
  const count = await echo.ask(`push ${text}\n`);
  return (cpuOf(echo.pid) - before) / count;
}

// Sends joins at a steady pace, while `disturb` runs once a second.
async function joins(stage, seconds, disturb) {
  const { api, event, folder, redis, database } = stage;
  const file = `${folder}/joins.json`;
  const run = runTiketi(['crowd', '--event', event, '--users', String(JOINS_A_SECOND * seconds), '--arrive', `${seconds}s`, '--max-time', `${seconds + 1}s`, '--guests',
    '--no-sockets', '--no-check', '--buy', '0', '--url', api.url, '--json', file, '--seed', String(Math.floor(Math.random() * 1e9))],
  { ...SECRETS, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' }, { timeoutMs: 60000, expect: null });
  let over = false;
  run.finally(() => (over = true)).catch(() => {});
  while (!over) await Promise.all([sleep(1000), disturb()]);
  await run;
  const report = JSON.parse(readFileSync(file, 'utf8'));
  if (report.errors + report.retries > 0) throw new Error(JSON.stringify(report));
  return report.joinMs.p99;
}

// Raises the threshold, so that the next tick admits as many buyers.
async function entries(stage, guests, rounds) {
  const { clients, organizer, event, redis } = stage;
  const delays = [];
  await clients.entries();
  for (let round = 1; round <= rounds; round++) {
    await organizer.patch(event, { threshold: ENTRIES * round });
    const told = [];
    await waitUntil(async () => told.push(...(await clients.entries())) >= ENTRIES, 15000, 'entries');
    const at = new Map((await redis.client.call('XREVRANGE', `log:{${event}}`, '+', '-', 'COUNT', String(ENTRIES))).map(([, fields]) => {
      const entry = Object.fromEntries(fields.flatMap((_, i) => (i % 2 ? [] : [[fields[i], fields[i + 1]]])));
      return [entry.buyer, Number(entry.at)];
    }));
    for (const [socket, ms] of told) delays.push(ms - at.get(guests[socket].id));
  }
  return delays;
}

export async function push({ api, redis, database, folder }) {
  const organizer = new Organizer(api);
  const event = (await organizer.sale({ threshold: 0, intervalMs: 1000 })).id;
  const gateway = await Server.start({ redis, database, roles: 'gateway', env: { LOG_LEVEL: 'warn' } });
  const leaders = await guestsWaiting(redis, event, STEP * (PUSHES + 3));
  const guests = await guestsWaiting(redis, event, SOCKETS);
  const file = writeGuests(`${folder}/push`, event, guests);
  const clients = new Clients(gateway.wsPort, file);
  const echo = await startEcho();
  const echoed = new Clients(echo.port, file);
  const stage = { api, redis, database, folder, event, organizer, gateway, clients, room: new Room(redis.client, event) };
  try {
    await clients.open();
    await echoed.open();
    await sleep(2000);
    await positions(stage, leaders);
    const rounds = await calmRounds(PUSHES, async () => {
      const told = await positions(stage, leaders);
      return { ...told, written: await written(echo, told.bytes) };
    });
    const calm = [];
    const storm = [];
    let n = 0;
    for (let round = 0; round < TURNS; round++) {
      calm.push(await joins(stage, 6, async () => {}));
      storm.push(await joins(stage, 6, () => organizer.act(event, 'message', { text: `news ${++n}` })));
    }
    await stage.room.leave(leaders.map(({ id }) => id));
    const delays = await entries(stage, guests, quick ? 3 : 6);
    const of = (name) => median(rounds.map((one) => one[name]));
    return [
      { id: 'push', what: 'CPU per pushed position', means: `to ${SOCKETS.toLocaleString('en')} sockets, ${of('bytes')} bytes in ${of('frames').toFixed(0)} messages`, unit: 'µs',
        beside: 'lws_write of as many bytes', ...compared(rounds, ({ cpu }) => cpu, (round) => round.written), bar: 1.4 },
      { id: 'push-idle', what: 'gateway CPU while nothing changes', means: `${SOCKETS.toLocaleString('en')} sockets: pings and the rank index`, unit: '% of a core', own: of('idle') },
      { id: 'push-joins', what: 'join p99 during a fan-out', means: `${JOINS_A_SECOND} joins a second while ${SOCKETS.toLocaleString('en')} sockets get a message each second`, unit: 'ms', own: median(storm), beside: 'without a fan-out', other: median(calm), bar: 2 },
      { id: 'entry-p50', what: 'from admission to "you may enter", p50', means: `on ${SOCKETS.toLocaleString('en')} sockets`, unit: 'ms', own: percentile(delays, 0.5) },
      { id: 'entry-p99', what: 'from admission to "you may enter", p99', means: `of ${delays.length.toLocaleString('en')}`, unit: 'ms', own: percentile(delays, 0.99), bar: '≤ 100 ms' },
    ];
  } finally {
    clients.stop();
    echoed.stop();
    echo.stop();
    await gateway.stop();
  }
}
