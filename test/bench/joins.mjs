// SPDX-License-Identifier: MIT
//
// What a queued join costs, ticket signed: the service beside a bare hello that is sent the very
// same requests.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, jwt } from '../fixtures/index.mjs';
import { beside, quick } from './measure.mjs';

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

export async function joins({ api, hello, folder }) {
  const rows = [];
  const event = await new Organizer(api).sale({ threshold: 0 });
  const path = `/api/queue/check/${event.id}`;
  const kinds = [['guest', ''], ['JWT', tokenFile(folder, 'user')]];
  for (const connections of [64, 1000])
    for (const [kind, lines] of kinds) {
      const before = await batchSize(api);
      const figures = await beside(api, hello, connections, { path, lines });
      const after = await batchSize(api);
      const batch = ((after.sum - before.sum) / (after.count - before.count)).toFixed(1);
      rows.push({ what: `service CPU per queued join, ${kind}, ${connections} connections, batches of ${batch}`, unit: 'µs',
        own: figures.cpu, beside: 'bare libmicrohttpd hello', other: figures.besideCpu, bar: kind === 'guest' ? 1.8 : 2.2 });
      if (kind !== 'guest') continue;
      rows.push({ what: `joins a second, with load and Redis on the same ${cpus().length} cores, ${connections} connections`, unit: '/s',
        own: figures.rate, beside: 'bare libmicrohttpd hello', other: figures.besideRate });
    }
  return rows;
}
