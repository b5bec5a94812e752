// SPDX-License-Identifier: MIT
//
// Joins a second and their CPU, beside a small Express and ioredis service with the same script.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, ROOT } from '../fixtures/index.mjs';
import { KEYS } from '../lua/room.mjs';
import { inTurns, scriptText } from './measure.mjs';

export async function express({ api, redis, folder }) {
  const event = await new Organizer(api).sale({ threshold: 0 });
  const script = `${folder}/join.lua`;
  writeFileSync(script, scriptText('join'));
  const keys = KEYS.map((name) => `${name}:{${event.id}}`).join(' ');
  const child = spawn(process.execPath, [`${ROOT}/test/bench/express_service.mjs`, redis.port, script, event.id, keys].map(String),
    { stdio: ['ignore', 'pipe', 'inherit'], env: { ...process.env, NODE_ENV: 'production' } });
  try {
    const other = { pid: child.pid, port: Number(await new Promise((accept) => child.stdout.once('data', accept))) };
    const [express, own] = await inTurns([other, api], 64, { path: `/api/queue/check/${event.id}` });
    return [
      { what: `joins a second, guest, with load and Redis on the same ${cpus().length} cores, 64 connections`, unit: '/s',
        own: own.rate, beside: 'Express and ioredis with the same script', other: express.rate, bar: '≥ 5' },
      { what: 'service CPU per join of the two', unit: 'µs', own: own.cpu, beside: 'Express and ioredis', other: express.cpu, bar: 0.125 },
    ];
  } finally {
    child.kill('SIGKILL');
  }
}
