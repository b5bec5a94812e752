// SPDX-License-Identifier: MIT
//
// What the framing of Socket.IO costs: memory and CPU per socket, a position for each, and a message to all, beside raw sockets at
// another gateway of the same build. Both have the same audience, place for place, and are told in the same moment.

import { Organizer, Server, sleep, waitUntil } from '../fixtures/index.mjs';
import { Room } from '../lua/room.mjs';
import { Clients, anonymous, guestsWaiting, writeGuests } from './clients.mjs';
import { calmRounds, compared, cpuOf, quick } from './measure.mjs';

const SOCKETS = quick ? 2000 : 9000; // of each framing
const STEP = Math.ceil(SOCKETS / 17); // so many leave at the head that even the last position is sent
const WINDOW_MS = 2500;
const ROUNDS = quick ? 3 : 9;
const MESSAGES = 5;

class Side {
  constructor(socketio) {
    this.socketio = socketio;
  }

  // Opens all sockets at a gateway of its own, and measures it before and after.
  async open({ redis, database, folder }, organizer, event, guests) {
    this.server = await Server.start({ redis, database, roles: 'gateway', env: { LOG_LEVEL: 'warn' } });
    const first = await organizer.get(`/api/events/${event}`); // fills the catalog first, as on a running pod
    if (first.status !== 200) throw new Error(first.text);
    const file = writeGuests(`${folder}/socketio-${this.socketio}`, event, guests, this);
    const before = { cpu: cpuOf(this.server.pid), memory: anonymous(this.server.pid) };
    this.clients = new Clients(this.server.wsPort, file, this);
    await this.clients.open();
    const cpu = cpuOf(this.server.pid) - before.cpu;
    await sleep(1500); // until temporary memory is freed
    return { cpu: cpu / SOCKETS, memory: (anonymous(this.server.pid) - before.memory) / SOCKETS };
  }

  async stop() {
    this.clients?.stop();
    await this.server?.kill();
  }
}

// The CPU of each side's gateway while `work` runs, until the window is over.
async function during(sides, work) {
  const before = sides.map(({ server }) => cpuOf(server.pid));
  const began = performance.now();
  await work();
  await sleep(Math.max(0, WINDOW_MS - (performance.now() - began)));
  return sides.map(({ server }, i) => cpuOf(server.pid) - before[i]);
}

// Waits until each side has been sent `count` more of the kind; returns how many it was.
async function sent(sides, kind, count, work) {
  const before = await Promise.all(sides.map(({ clients }) => clients.stats()));
  await work();
  return waitUntil(async () => {
    const more = (await Promise.all(sides.map(({ clients }) => clients.stats()))).map((now, i) => now[kind] - before[i][kind]);
    return more.every((one) => one >= 0.99 * count) && more;
  }, 20000, `${count} ${kind}`);
}

export async function socketio(parts) {
  const organizer = new Organizer(parts.api);
  const event = (await organizer.sale({ threshold: 0, intervalMs: 1000 })).id;
  const leaders = await guestsWaiting(parts.redis, event, STEP * (ROUNDS + 2));
  const guests = await guestsWaiting(parts.redis, event, 2 * SOCKETS);
  const room = new Room(parts.redis.client, event);
  const sides = [new Side(true), new Side(false)];
  const opened = [];
  try {
    for (const [i, side] of sides.entries()) opened.push(await side.open(parts, organizer, event, guests.filter((_, at) => at % 2 === i)));
    const push = () => room.leave(leaders.splice(0, STEP).map(({ id }) => id));
    await sent(sides, 'positions', SOCKETS, push);
    await sleep(2000);
    const rounds = await calmRounds(ROUNDS, async () => {
      const idle = await during(sides, async () => {});
      let told;
      const pushed = await during(sides, async () => (told = await sent(sides, 'positions', SOCKETS, push)));
      const spread = await during(sides, async () => {
        for (let i = 0; i < MESSAGES; i++) await sent(sides, 'frames', SOCKETS, () => organizer.act(event, 'message', { text: `news ${i} ${'x'.repeat(100)}` }));
      });
      return { push: pushed.map((cpu, i) => (cpu - idle[i]) / told[i]), message: spread.map((cpu, i) => (cpu - idle[i]) / MESSAGES / SOCKETS) };
    });
    const row = (name) => ({ beside: 'raw sockets', ...compared(opened.slice(0, 1), () => opened[0][name], () => opened[1][name]) });
    const told = (name) => ({ beside: 'raw sockets', ...compared(rounds, (round) => round[name][0], (round) => round[name][1]) });
    const means = `${SOCKETS.toLocaleString('en')} sockets`;
    return [
      { id: 'socketio-memory', what: 'memory per Socket.IO socket', means: `idle, with all that is known of its buyer; ${means}`, unit: 'B', ...row('memory'), bar: 1.15 },
      { id: 'socketio-accept', what: 'CPU per new Socket.IO socket', means: 'from the handshake by `40` to the answer to `join-queue`', unit: 'µs', ...row('cpu') },
      { id: 'socketio-push', what: 'CPU per pushed position, Socket.IO', means, unit: 'µs', ...told('push'), bar: 1.2 },
      { id: 'socketio-message', what: 'CPU per message to all, Socket.IO', means: `of each socket; ${means}`, unit: 'µs', ...told('message'), bar: 1.2 },
    ];
  } finally {
    for (const side of sides) await side.stop();
  }
}
