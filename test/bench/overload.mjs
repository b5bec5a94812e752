// SPDX-License-Identifier: MIT
//
// More newcomers than can be served: how many get their place in time at twice and five times the sustainable rate. They come at a
// fixed rate (pace.c), and those refused do not come again. A join is made to cost Redis a millisecond instead of microseconds,
// on any machine, so that Redis is what is short and one machine can bring five times what it takes.

import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { Client, Organizer, ROOT, Server, privateFolder, removeFolder, sleep } from '../fixtures/index.mjs';
import { cost, cpuOf, quick } from './measure.mjs';

const JOIN_US = 1000; // of an empty loop, for each join: about a thousand a second remain
const SECONDS = quick ? 4 : 10;
const IN_TIME_MS = 2000;

export async function paced(port, path, rate, seconds, ...more) {
  const args = [port, path, Math.round(rate), seconds, IN_TIME_MS, ...more].map(String);
  return JSON.parse((await promisify(execFile)(`${ROOT}/build/bench/pace`, args)).stdout);
}

// A buyer who has their turn, and claims it again twenty times a second. Returns how many answers there were, and how many were
// not 200.
async function claims(buyer, event, done) {
  const counts = { all: 0, bad: 0, worst: 0 };
  while (!done.now) {
    const from = performance.now();
    const { status } = await buyer.heartbeat(event.id, { json: { claim: true } });
    counts.all++;
    counts.bad += status !== 200;
    counts.worst = Math.max(counts.worst, performance.now() - from);
    await sleep(50);
  }
  return counts;
}

// How often a loop of a script turns in a microsecond on this machine.
async function turnsPerUs(redis) {
  const turns = 1e7;
  const script = `local from = redis.call('TIME') for _ = 1, ${turns} do end local to = redis.call('TIME') return (to[1] - from[1]) * 1000000 + to[2] - from[2]`;
  return turns / (await redis.client.eval(script, 0));
}

// What a refusal costs: Redis is stopped, and who comes is refused at once. Beside it as many joins, at the same rate.
async function refusal(redis, database) {
  const api = await Server.start({ redis, database, roles: 'api', env: { API_WORKERS: 1, LOG_LEVEL: 'error', REDIS_TIMEOUT_MS: 10000 } });
  const event = await new Organizer(api).sale({ threshold: 0 });
  const path = `/api/queue/check/${event.id}`;
  const spent = async () => {
    const before = cpuOf(api.pid);
    const came = await paced(api.port, path, 2000, 3);
    return { came, cpu: (cpuOf(api.pid) - before) / came.sent };
  };
  await spent();
  const joins = await spent();
  await redis.pause();
  const first = new Client(api).check(event.id);
  await sleep(5500); // more than half of REDIS_TIMEOUT_MS
  const refusals = await spent();
  await redis.resume();
  await first;
  await api.stop();
  return {
    id: 'overload-cpu', what: 'CPU per refusal', means: `2,000 newcomers a second while Redis hangs: ${refusals.came.refused.toLocaleString('en')} of ${refusals.came.sent.toLocaleString('en')} were refused`, unit: 'µs',
    own: refusals.cpu, beside: 'a join at that rate', other: joins.cpu, bar: '≤ 1',
  };
}

export async function overload({ redis, postgres }) {
  const folder = privateFolder('overload');
  const turns = Math.round(JOIN_US * (await turnsPerUs(redis)));
  writeFileSync(`${folder}/join.lua`, `for _ = 1, ${turns} * #ARGV[2] do end\n${readFileSync(`${ROOT}/lua/join.lua`, 'utf8')}`);
  const database = await postgres.migrated();
  const api = await Server.start({ redis, database, roles: 'api', env: { API_WORKERS: 1, LOG_LEVEL: 'error', TIKETI_LUA_DIR: folder } });
  const event = await new Organizer(api).sale({ threshold: 1 });
  const inside = new Client(api, { sub: 'inside' });
  await inside.check(event.id);
  const path = `/api/queue/check/${event.id}`;
  const rows = [];
  try {
    for (const times of [2, 5]) {
      const most = await cost({ pid: api.pid, port: api.port }, 256, { path, seconds: quick ? 2 : 5 });
      await sleep(1500);
      const done = {};
      const claimed = claims(inside, event, done);
      const came = await paced(api.port, path, times * most.rate, SECONDS);
      done.now = true;
      const { all, bad, worst } = await claimed;
      const waits = Object.keys(came.retries).map(Number);
      rows.push(
        {
          id: `overload-${times}`, what: `places in time, ${times} × the sustainable rate`, unit: '/s',
          means: `newcomers come at ${Math.round(times * most.rate).toLocaleString('en')} a second for ${SECONDS} s: ${came.good.toLocaleString('en')} got their place within 2 s (99 in 100 within ${came.p99.toFixed(0)} ms), ${came.refused.toLocaleString('en')} were refused with Retry-After ${Math.min(...waits)} to ${Math.max(...waits)} s, ${(came.late + came.other + came.lost).toLocaleString('en')} had neither in time`,
          own: came.good / SECONDS, beside: 'the most, by 256 who ask one after the other', other: most.rate, bar: '≥ 0.9',
        },
        { id: `overload-claims-${times}`, what: `claims refused meanwhile, ${times} ×`, means: `of ${all}; the slowest took ${worst.toFixed(0)} ms`, unit: '', own: bad, bar: '≤ 0' },
      );
    }
    rows.push(await refusal(redis, database));
  } finally {
    await api.stop();
    removeFolder(folder);
  }
  return rows;
}
