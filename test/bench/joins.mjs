// SPDX-License-Identifier: MIT
//
// What a queued join costs, ticket signed: the service beside a bare hello that is sent the very
// same requests, and Redis beside the raw script called by a pipelined client.

import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, ROOT, jwt } from '../fixtures/index.mjs';
import { KEYS } from '../lua/room.mjs';
import { ROUNDS, beside, median, quick, redisCpu } from './measure.mjs';

const TOKENS = quick ? 40000 : 100000;

async function batchSize(server) {
  const { text } = await server.get('/metrics');
  const value = (suffix) => Number(new RegExp(`^tiketi_join_batch_size_${suffix} (.*)$`, 'm').exec(text)?.[1] ?? 0);
  return { sum: value('sum'), count: value('count') };
}

// The raw script, 64 buyers a call, 16 calls a pipeline.
async function rawJoins(redis, id, count) {
  const body = `${readFileSync(`${ROOT}/lua/shared.lua`, 'utf8')}\n${readFileSync(`${ROOT}/lua/join.lua`, 'utf8')}`;
  const sha = await redis.cli('SCRIPT', 'LOAD', body);
  const keys = KEYS.map((name) => `${name}:{${id}}`);
  const before = await redisCpu(redis);
  for (let done = 0; done < count;) {
    const pipeline = redis.client.pipeline();
    for (let call = 0; call < 16; call++, done += 64) {
      const buyers = Array.from({ length: 64 }, () => [`g:${randomBytes(16).toString('hex')}`, 'j', '']).flat();
      pipeline.call('EVALSHA', sha, keys.length, ...keys, '0', ...buyers);
    }
    await pipeline.exec();
  }
  return ((await redisCpu(redis)) - before) / count;
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
  const kinds = [['guest', ''], ['JWT', tokenFile(folder, 'user')]];
  for (const connections of [64, 1000])
    for (const [kind, lines] of kinds) {
      const spent = [];
      const before = await batchSize(api);
      const figures = await beside(api, hello, connections, { path, lines }, async (round) => {
        const from = await redisCpu(redis);
        const result = await round();
        spent.push(((await redisCpu(redis)) - from) / result.requests);
        return result;
      });
      const after = await batchSize(api);
      const batch = ((after.sum - before.sum) / (after.count - before.count)).toFixed(1);
      rows.push({ what: `service CPU per queued join, ${kind}, ${connections} connections, batches of ${batch}`, unit: 'µs',
        own: figures.cpu, beside: 'bare libmicrohttpd hello', other: figures.besideCpu, bar: kind === 'guest' ? 1.8 : 2.2 });
      if (kind !== 'guest') continue;
      rows.push({ what: `joins a second, with load and Redis on the same ${cpus().length} cores, ${connections} connections`, unit: '/s',
        own: figures.rate, beside: 'bare libmicrohttpd hello', other: figures.besideRate });
      const raw = [];
      for (let round = 0; round < ROUNDS; round++) raw.push(await rawJoins(redis, event.id, quick ? 10240 : 51200));
      rows.push({ what: `Redis CPU per join, ${connections} connections`, unit: 'µs', own: median(spent), beside: 'the raw script, 64 a call', other: median(raw) });
    }
  return rows;
}
