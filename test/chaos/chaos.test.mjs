// SPDX-License-Identifier: MIT
//
// Schedules of faults under a crowd: three of twenty seconds, and those of test/chaos/found/, each of which broke a promise
// once and is here shortened to what it took. Every promise holds, and right answers are everywhere again after each fault.
//
// CHAOS_SEEDS (3) how many, TIKETI_SEED (1) the first, CHAOS_USERS (240). `make chaos` has longer ones.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { ROOT, seedOf } from '../fixtures/index.mjs';
import { playAndJudge, printVerdict } from './play.mjs';
import { makeSchedule, printSchedule } from './schedule.mjs';

const SEEDS = Number(process.env.CHAOS_SEEDS ?? 3);
const USERS = Number(process.env.CHAOS_USERS ?? 240);
const FOUND = join(ROOT, 'test', 'chaos', 'found');
// A killed process leaves no sanitizer's report, and nobody waits for the others' in a schedule.
const skip = process.env.TIKETI_SAN ? 'kill -9 leaves no report of a sanitizer' : false;

async function holds(t, schedule, name) {
  t.diagnostic(printSchedule(schedule));
  const verdict = await playAndJudge(schedule, { name });
  t.diagnostic(printVerdict(verdict));
  assert.deepEqual(verdict.broken, [], `${printSchedule(schedule)}\n${verdict.folder}`);
  assert.ok(verdict.answers.right > 500 || verdict.starvedMs > 0, `${verdict.answers.right} right answers`);
}

describe('schedules of faults', { concurrency: 3 }, () => {
  for (let i = 0; i < SEEDS; i++) {
    test(`every promise holds under the faults of seed number ${i + 1}`, { timeout: 180000, skip }, async (t) => {
      const seed = seedOf(t, 1) + i;
      await holds(t, { ...makeSchedule({ seed, ms: 20000, users: USERS }), afterMs: 8000 }, `test-${seed}`);
    });
  }
  for (const file of readdirSync(FOUND).filter((name) => name.endsWith('.json'))) {
    test(`every promise holds under the faults of found/${file}`, { timeout: 180000, skip }, async (t) => {
      await holds(t, JSON.parse(readFileSync(join(FOUND, file), 'utf8')), `found-${file}`);
    });
  }
});
