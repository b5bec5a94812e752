// SPDX-License-Identifier: MIT
//
// Joins per second and their CPU time, compared with a small service on Express and ioredis that runs the
// same script.

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, ROOT } from '../fixtures/index.mjs';
import { KEYS } from '../lua/room.mjs';
import { compared, inTurns, scriptText, startYardstick } from './measure.mjs';

export async function express({ api, redis, folder }) {
  const event = await new Organizer(api).sale({ threshold: 0 });
  const script = `${folder}/join.lua`;
  writeFileSync(script, scriptText('join'));
  const keys = KEYS.map((name) => `${name}:{${event.id}}`).join(' ');
  const other = await startYardstick(process.execPath, [`${ROOT}/test/bench/express_service.mjs`, redis.port, script, event.id, keys],
    { ...process.env, NODE_ENV: 'production' });
  try {
    const rounds = await inTurns([other, api], 64, { path: `/api/queue/check/${event.id}` });
    const row = (field) => compared(rounds, ([, own]) => own[field], ([express]) => express[field]);
    return [
      { id: 'express-rate', what: 'joins a second, beside Express', means: `guests, 64 connections, load and Redis on the same ${cpus().length} cores; Express and ioredis run the same Lua script`, unit: '/s',
        beside: 'Express', ...row('rate'), bar: '≥ 5' },
      { id: 'express-cpu', what: 'CPU per join, beside Express', means: 'the same two', unit: 'µs', beside: 'Express', ...row('cpu'), bar: 0.125 },
    ];
  } finally {
    other.child.kill('SIGKILL');
  }
}
