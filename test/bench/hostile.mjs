// SPDX-License-Identifier: MIT
//
// What a buyer's join costs them while others do not play along, beside the same joins a moment before: 10,000 idle
// connections, slow heads and bodies, clients that read nothing of a large answer; and what the pod keeps for each.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent } from 'node:http';
import { Organizer, ROOT, Server, exchange, many, sleep } from '../fixtures/index.mjs';
import { anonymous } from './clients.mjs';
import { quick } from './measure.mjs';

const JOINS = quick ? 500 : 2000;
const CONNECTIONS = 16;
const ROUNDS = 3;
const kinds = [
  { kind: 'idle', count: quick ? 2000 : 10000, what: 'idle connections' },
  { kind: 'slow', count: quick ? 500 : 2000, what: 'heads and bodies of a byte a second' },
  { kind: 'deaf', count: quick ? 500 : 2000, what: 'clients that read nothing of a seat map of 2 MB' },
];

// The time in ms within which 99 % of new guests were answered. On a machine that is too busy a few are told to come again.
async function joined(server, event) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  let refused = 0;
  const times = await many(Array.from({ length: JOINS }), CONNECTIONS, async () => {
    const began = performance.now();
    const { status } = await exchange(server.url, 'POST', `/api/queue/check/${event.id}`, { agent });
    if (status === 503) refused++;
    else if (status !== 200) throw new Error(`a join was answered ${status}`);
    return performance.now() - began;
  });
  agent.destroy();
  if (refused > JOINS / 100) throw new Error(`${refused} of ${JOINS} joins were refused`);
  return times.sort((a, b) => a - b)[Math.floor(times.length * 0.99)];
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

export async function hostile({ postgres, redis }) {
  const server = await Server.start({ redis, database: await postgres.migrated(), roles: 'api' });
  const event = await new Organizer(server).sale({ threshold: 0, placesPerNetwork: 0, grid: { rows: 100, seatsPerRow: 200 } });
  await joined(server, event);
  const rows = [];
  for (const { kind, count, what } of kinds) {
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      const alone = await joined(server, event);
      const before = anonymous(server.pid);
      const crowd = spawn(process.execPath, [`${ROOT}/test/bench/hostile_crowd.mjs`, server.port, count, kind, `/api/seats/${event.id}`].map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
      await once(crowd.stdout, 'data');
      await sleep(1000); // until temporary memory is freed
      const each = (anonymous(server.pid) - before) / count;
      const beside = await joined(server, event);
      rounds.push({ alone, beside, each });
      crowd.stdin.end();
      await once(crowd, 'exit');
      await sleep(1000);
    }
    const of = (name) => median(rounds.map((round) => round[name]));
    rows.push({ id: `hostile-${kind}`, what: `join p99 beside ${count.toLocaleString('en')} ${what}`, means: `${JOINS.toLocaleString('en')} new guests over ${CONNECTIONS} connections; the pod keeps ${(of('each') / 1024).toFixed(1)} KiB for each of the others`, unit: 'ms', own: of('beside'), beside: 'without them, just before', other: of('alone'), ratio: median(rounds.map(({ alone, beside }) => beside / alone)), bar: 2 });
  }
  await server.stop();
  return rows;
}
