// SPDX-License-Identifier: MIT
//
// What a socket costs: memory while it is idle, including what is known of its buyer, and CPU time from the
// handshake to the answer to join-queue; compared with a tuned libwebsockets that echoes the same message.

import { Organizer, Server, sleep } from '../fixtures/index.mjs';
import { Clients, anonymous, guestsWaiting, startEcho, writeGuests } from './clients.mjs';
import { ROUNDS, compared, cpuOf, quick } from './measure.mjs';

const SOCKETS = quick ? 4000 : 10000;

// Opens all sockets at a new process, and measures it before and after.
async function open(target, file) {
  const before = { cpu: cpuOf(target.pid), memory: anonymous(target.pid) };
  const clients = new Clients(target.port, file);
  await clients.open();
  const cpu = cpuOf(target.pid) - before.cpu;
  await sleep(1500); // until temporary memory is freed
  const memory = anonymous(target.pid) - before.memory;
  clients.stop();
  return { cpu: cpu / SOCKETS, memory: memory / SOCKETS };
}

async function ours({ redis, database }, organizer, event, file) {
  const server = await Server.start({ redis, database, roles: 'gateway', env: { LOG_LEVEL: 'warn' } });
  const first = await organizer.get(`/api/events/${event}`); // fills the catalog first, as on a running pod
  if (first.status !== 200) throw new Error(first.text);
  const figures = await open({ pid: server.pid, port: server.wsPort }, file);
  await server.kill();
  return figures;
}

async function echoes(file) {
  const echo = await startEcho();
  const figures = await open(echo, file);
  echo.stop();
  return figures;
}

export async function sockets(parts) {
  const { api, redis, folder } = parts;
  const organizer = new Organizer(api);
  const event = await organizer.sale({ threshold: 0 });
  const file = writeGuests(`${folder}/sockets`, event.id, await guestsWaiting(redis, event.id, SOCKETS));
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push({ other: await echoes(file), own: await ours(parts, organizer, event.id, file) });
  const row = (name) => ({ beside: 'libwebsockets echo, tuned', ...compared(rounds, ({ own }) => own[name], ({ other }) => other[name]) });
  return [
    { id: 'socket-memory', what: 'memory per socket', means: `idle, with all that is known of its buyer; ${SOCKETS.toLocaleString('en')} sockets`, unit: 'B', ...row('memory'), bar: 1.6 },
    { id: 'socket-accept', what: 'CPU per new socket', means: 'from the handshake to the answer to `join-queue`', unit: 'µs', ...row('cpu'), bar: 2 },
  ];
}
