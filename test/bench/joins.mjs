// SPDX-License-Identifier: MIT
//
// What a join that queues costs, signed ticket included: the service is compared with a bare hello that gets
// the same requests, and with held.c, which only waits for Redis in batches.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, jwt } from '../fixtures/index.mjs';
import { compared, inTurns, quick, startYardstick } from './measure.mjs';

const HELD_BAR = 1.2; // of a join to its floor
const TOKENS = quick ? 40000 : 100000;

async function batchSize(server) {
  const { text } = await server.get('/metrics');
  const value = (suffix) => Number(new RegExp(`^tiketi_join_batch_size_${suffix} (.*)$`, 'm').exec(text)?.[1] ?? 0);
  return { sum: value('sum'), count: value('count') };
}

// Tokens of many users; each joins once, then asks again.
function tokenFile(folder, name) {
  const path = `${folder}/${name}`;
  writeFileSync(path, Array.from({ length: TOKENS }, (_, i) => `Authorization: Bearer ${jwt({ sub: `${name}-${i}` })}\n`).join(''));
  return path;
}

export async function joins({ api, hello, redis, folder }) {
  const rows = [];
  const event = await new Organizer(api).sale({ threshold: 0 });
  const path = `/api/queue/check/${event.id}`;
  const held = await startYardstick(process.env.BENCH_HELD, [redis.port]);
  const kinds = [
    { name: 'guest', bars: { 64: 1.4, 1000: 1.8 }, lines: '', targets: [hello, api, held] },
    { name: 'JWT', bars: { 64: 2.2, 1000: 2.2 }, lines: tokenFile(folder, 'user'), targets: [hello, api] },
  ];
  for (const connections of [64, 1000])
    for (const { name, bars, lines, targets } of kinds) {
      const before = await batchSize(api);
      const rounds = await inTurns(targets, connections, { path, lines });
      const after = await batchSize(api);
      const batch = ((after.sum - before.sum) / (after.count - before.count)).toFixed(1);
      const row = (id, what, unit, side, field, means) => ({ id, what, means, unit, beside: 'libmicrohttpd hello', ...compared(rounds, (costs) => costs[side][field], ([bare]) => bare[field]) });
      rows.push({ ...row(`join-${name}-${connections}`, `CPU per join, ${name}, ${connections} connections`, 'µs', 1, 'cpu', `one buyer joins the queue and gets a signed ticket; ${batch} buyers a Redis call`), bar: bars[connections] });
      if (!targets.includes(held)) continue;
      if (connections === 1000)
        rows.push({ id: 'join-to-held', what: 'CPU per join beside its floor, 1000 connections', means: 'the same joins beside the hello that waits for Redis: what is ours', unit: 'µs', beside: 'the floor', ...compared(rounds, (costs) => costs[1].cpu, (costs) => costs[2].cpu), bar: HELD_BAR });
      rows.push(row(`held-${connections}`, `the floor of that, ${connections} connections`, 'µs', 2, 'cpu', 'a hello that waits for one Redis call with others and answers as many bytes: a join cannot cost less'));
      rows.push(row(`joins-rate-${connections}`, `joins a second, ${connections} connections`, '/s', 1, 'rate', `with the load generator and Redis on the same ${cpus().length} cores`));
    }
  held.child.kill('SIGKILL');
  await redis.cli('DEL', 'held:seq', 'held:queue', 'held:seen');
  return rows;
}
