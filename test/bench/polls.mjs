// SPDX-License-Identifier: MIT
//
// What a status poll of a waiting buyer costs, beside a bare hello with the very same requests; and
// what ten thousand of them cost Redis.

import { writeFileSync } from 'node:fs';
import { Client, Organizer, waitUntil } from '../fixtures/index.mjs';
import { beside } from './measure.mjs';

const BUYERS = 200;

// Commands of the scripts and of the pods' own seconds, by name.
const shown = (stats) => Object.entries(stats).map(([name, value]) => `${name} ${value.calls ?? value}`).join(', ');

export async function polls({ api, hello, redis, folder }) {
  const event = await new Organizer(api).sale({ threshold: 0 });
  const buyers = Array.from({ length: BUYERS }, () => new Client(api));
  for (let i = 0; i < 5; i++) await new Client(api).check(event.id);
  for (const buyer of buyers) await buyer.check(event.id);
  await waitUntil(async () => (await api.metric(`tiketi_queue_size{eventId="${event.id}"}`)) === BUYERS + 5, 10000, 'the index');
  for (const buyer of buyers) await buyer.status(event.id);
  const lines = `${folder}/polls`;
  writeFileSync(lines, buyers.map((buyer) => `Cookie: ${buyer.cookieHeader}\n`).join(''));

  let calls;
  const figures = await beside(api, hello, 64, { method: 'GET', path: `/api/queue/status/${event.id}`, lines }, async (round) => {
    await redis.cli('CONFIG', 'RESETSTAT');
    const result = await round();
    const stats = await redis.commandStats();
    calls = { requests: result.requests, evalsha: stats.evalsha?.calls ?? stats.evalsha ?? 0, stats };
    return result;
  });
  return [
    { what: 'service CPU per status poll, guest, 64 connections', unit: 'µs', own: figures.cpu, beside: 'bare libmicrohttpd hello', other: figures.besideCpu, bar: 1.4 },
    { what: 'status polls a second', unit: '/s', own: figures.rate, beside: 'bare libmicrohttpd hello', other: figures.besideRate },
    { what: `Redis commands in a round of ${calls.requests} polls, all roles and scripts: ${shown(calls.stats)}`, unit: 'script calls', own: calls.evalsha },
  ];
}
