// SPDX-License-Identifier: MIT
//
// What a join that queues costs, signed ticket included: the service beside a bare hello that is sent the same
// requests; and how much of that is waiting for Redis in batches, by a hello that does just that (held.c).

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, jwt } from '../fixtures/index.mjs';
import { compared, inTurns, quick, startYardstick } from './measure.mjs';

const TOKENS = quick ? 40000 : 100000;

async function batchSize(server) {
  const { text } = await server.get('/metrics');
  const value = (suffix) => Number(new RegExp(`^tiketi_join_batch_size_${suffix} (.*)$`, 'm').exec(text)?.[1] ?? 0);
  return { sum: value('sum'), count: value('count') };
}

// Tokens of as many users; each joins once, then comes again.
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
    { name: 'guest', bar: 1.8, lines: '', targets: [hello, api, held] },
    { name: 'JWT', bar: 2.2, lines: tokenFile(folder, 'user'), targets: [hello, api] },
  ];
  for (const connections of [64, 1000])
    for (const { name, bar, lines, targets } of kinds) {
      const before = await batchSize(api);
      const rounds = await inTurns(targets, connections, { path, lines });
      const after = await batchSize(api);
      const batch = ((after.sum - before.sum) / (after.count - before.count)).toFixed(1);
      const row = (id, what, unit, side, field, means) => ({ id, what, means, unit, beside: 'libmicrohttpd hello', ...compared(rounds, (costs) => costs[side][field], ([bare]) => bare[field]) });
      rows.push({ ...row(`join-${name}-${connections}`, `CPU per join, ${name}, ${connections} connections`, 'µs', 1, 'cpu', `one buyer joins the queue and gets a signed ticket; ${batch} buyers a Redis call`), bar });
      if (!targets.includes(held)) continue;
      rows.push(row(`held-${connections}`, `the floor of that, ${connections} connections`, 'µs', 2, 'cpu', 'a hello that waits for one Redis call with others and answers as many bytes: a join cannot cost less'));
      rows.push(row(`joins-rate-${connections}`, `joins a second, ${connections} connections`, '/s', 1, 'rate', `with the load generator and Redis on the same ${cpus().length} cores`));
    }
  held.child.kill('SIGKILL');
  await redis.cli('DEL', 'held:seq', 'held:queue', 'held:seen');
  return rows;
}
