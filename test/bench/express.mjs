// SPDX-License-Identifier: MIT
//
// Joins a second and their CPU, beside a small Express and ioredis service with the same script.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, ROOT } from '../fixtures/index.mjs';
import { KEYS } from '../lua/room.mjs';
import { inTurns, scriptText, startYardstick } from './measure.mjs';

export async function express({ api, redis, folder }) {
  const event = await new Organizer(api).sale({ threshold: 0 });
  const script = `${folder}/join.lua`;
  writeFileSync(script, scriptText('join'));
  const keys = KEYS.map((name) => `${name}:{${event.id}}`).join(' ');
  const other = await startYardstick(process.execPath, [`${ROOT}/test/bench/express_service.mjs`, redis.port, script, event.id, keys],
    { ...process.env, NODE_ENV: 'production' });
  try {
    const [express, own] = await inTurns([other, api], 64, { path: `/api/queue/check/${event.id}` });
    return [
      { what: `joins a second, guest, with load and Redis on the same ${cpus().length} cores, 64 connections`, unit: '/s',
        own: own.rate, beside: 'Express and ioredis with the same script', other: express.rate, bar: '≥ 5' },
      { what: 'service CPU per join of the two', unit: 'µs', own: own.cpu, beside: 'Express and ioredis', other: express.cpu, bar: 0.125 },
    ];
  } finally {
    other.child.kill('SIGKILL');
  }
}
