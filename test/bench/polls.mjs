// SPDX-License-Identifier: MIT
//
// What a status poll of a waiting buyer costs, compared with a bare hello that gets the same requests; and
// the commands that 100,000 polls cost Redis, counted by MONITOR.

import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { Client, Organizer, Redis, Server, many, sleep, waitUntil } from '../fixtures/index.mjs';
import { compared, inTurns, load, quick, scriptText } from './measure.mjs';

const BUYERS = 200;
const IDLE = quick ? 2 : 5; // windows without polls, which show the commands that come anyway
const POLLS = quick ? 20000 : 100000;
const WATCHED_S = quick ? 3 : 5; // seconds per window at least, so that a command sent once a second is not counted as two a second
const SEEN = createHash('sha1').update(scriptText('seen')).digest('hex');

// Counts the commands that Redis received while `work` ran, without those inside scripts: per second, by
// kind. It uses a plain socket, because the client library loses lines that arrive together with the answer
// to MONITOR.
async function watched(redis, work) {
  const kinds = new Map();
  const monitor = connect(redis.port, '127.0.0.1');
  const lines = createInterface({ input: monitor });
  monitor.write('MONITOR\r\n');
  await once(lines, 'line'); // +OK
  lines.on('line', (line) => {
    const [, source, name, first] = /^\+[0-9.]+ \[\d+ ([^\]]*)\] "([^"]*)"(?: "([^"]*)")?/.exec(line) ?? [];
    if (name === undefined || source === 'lua') return;
    const kind = name.toLowerCase() === 'evalsha' ? `script ${first === SEEN ? 'seen' : first.slice(0, 6)}` : name.toLowerCase();
    kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  });
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  monitor.destroy();
  return { kinds, seconds };
}

export async function polls({ hello, postgres, folder, servers }) {
  const redis = await Redis.start(); // an own Redis, so that only this event sends it commands each second
  const database = await postgres.migrated();
  const [api, processor] = await Promise.all(['api', 'processor'].map((roles) => Server.start({ redis, database, roles, env: { QUEUE_PROCESSOR_INTERVAL: 1000 } })));
  servers.push(api, processor);
  const organizer = new Organizer(api);
  const event = await organizer.sale({ threshold: 0 });
  const buyers = Array.from({ length: BUYERS }, () => new Client(api));
  await many(Array.from({ length: 5 }), 1, () => new Client(api).check(event.id));
  await many(buyers, 1, (buyer) => buyer.check(event.id));
  await waitUntil(async () => (await organizer.queueSize(event.id)) === BUYERS + 5, 10000, 'the index');
  await many(buyers, 8, (buyer) => buyer.status(event.id));
  const lines = `${folder}/polls`;
  writeFileSync(lines, buyers.map((buyer) => `Cookie: ${buyer.cookieHeader}\n`).join(''));
  const request = { method: 'GET', path: `/api/queue/status/${event.id}`, lines };
  const rounds = await inTurns([hello, api], 64, request);
  const row = (field) => ({ beside: 'libmicrohttpd hello', ...compared(rounds, ([, own]) => own[field], ([bare]) => bare[field]) });

  let done = 0;
  const busy = await watched(redis, async () => {
    for (let second = 0; second < WATCHED_S || done < POLLS; second++) done += (await load(api.port, 64, { ...request, seconds: 1 })).requests;
  });
  const idle = [];
  for (let window = 0; window < IDLE; window++) idle.push(await watched(redis, () => sleep(busy.seconds * 1000)));
  const more = []; // than the most that any as long a time has without a poll; one of a kind may fall into it by chance
  for (const [kind, count] of busy.kinds) {
    const over = count - Math.max(...idle.map(({ kinds }) => kinds.get(kind) ?? 0)) - 1;
    if (kind !== 'script seen' && over > 0) more.push(...Array(over).fill(kind));
  }
  const batches = busy.kinds.get('script seen') ?? 0;
  for (const server of [api, processor]) await server.stop();
  await redis.stop();
  return [
    { id: 'poll', what: 'CPU per poll', means: 'a waiting guest asks for their position, 64 connections', unit: 'µs', ...row('cpu'), bar: 1.4 },
    { id: 'poll-rate', what: 'polls a second', means: 'with the load generator on the same cores', unit: '/s', ...row('rate') },
    { id: 'poll-redis', what: 'Redis commands for polls', means: `that ${done.toLocaleString('en')} polls of ${BUYERS} buyers add in ${busy.seconds.toFixed(1)} s, heartbeats aside${more.length > 0 ? ` (${more.join(', ')})` : ''}`, unit: 'commands', own: more.length, bar: '≤ 0' },
    { id: 'poll-seen', what: 'heartbeat batches a second', means: 'one `seen` call for all buyers of a pod', unit: '/s', own: batches / busy.seconds, bar: '≤ 1.3' },
  ];
}
