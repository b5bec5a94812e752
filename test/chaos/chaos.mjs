// SPDX-License-Identifier: MIT
//
// `make chaos`: plays schedules of faults under a crowd, and judges each. By the environment:
//
//   SEED (random)      the first seed        SEEDS (1)      how many, one after the other
//   MINUTES (0.5)      how long each lasts   USERS (2000)   how many buyers
//   BACKEND (single)   Redis: or cluster, three primaries with a replica each; or sentinel, a primary, a replica and three
//                      Sentinels; several, comma-separated: one after the other
//   ONLY               names of faults or families, comma-separated: network,redis.flushall
//   SCHEDULE           a file: plays that schedule instead
//   SHRINK=1           shortens each schedule that fails, and writes it below test/chaos/found/ (with a mutant: build/chaos/)
//   JOBS (1)           so many at a time     KEEP=1         keeps the folders of those that broke nothing
//
// What a failed schedule left stays in build/chaos/: node test/chaos/checker.mjs build/chaos/seed-7 judges it again.
// The last line is "N passed, N failed, N skipped", in schedules; before it the recovery times of all.

import { randomInt } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../fixtures/index.mjs';
import { percentile, playAndJudge, printVerdict } from './play.mjs';
import { makeSchedule, printSchedule } from './schedule.mjs';
import { shrink } from './shrink.mjs';

const env = (name, usual) => (process.env[name] ? process.env[name] : usual);
const say = (text) => process.stdout.write(`${text}\n`);

function schedules() {
  if (process.env.SCHEDULE) return [JSON.parse(readFileSync(process.env.SCHEDULE, 'utf8'))];
  const first = Number(env('SEED', randomInt(2 ** 32)));
  const only = env('ONLY', '').split(',').filter(Boolean);
  const backends = env('BACKEND', 'single').split(',');
  return Array.from({ length: Number(env('SEEDS', 1)) }, (_, i) => makeSchedule({
    seed: first + i, ms: Math.round(Number(env('MINUTES', 0.5)) * 60000), users: Number(env('USERS', 2000)), backend: backends[(first + i) % backends.length], only,
  }));
}

async function shorten(schedule) {
  let count = 0;
  const short = await shrink(schedule, async (candidate) => (await playAndJudge(candidate, { name: `shrink-${schedule.seed}-${++count}` })).broken.length > 0,
    { log: (text) => say(`  shrinking: ${text}`) });
  // One with a mutant fails for as long as it has it: no test.
  const file = join(ROOT, ...(schedule.mutant ? ['build', 'chaos'] : ['test', 'chaos', 'found']), `seed-${schedule.seed}.json`);
  writeFileSync(file, `${JSON.stringify(short, null, 1)}\n`);
  say(`  the shortest that still fails, after ${count} runs: ${file}\n${printSchedule(short)}`);
}

const all = schedules();
const recoveries = [];
let disturbed = 0;
let [passed, failed, skipped] = [0, 0, 0];
let next = 0;

async function work() {
  while (next < all.length) {
    const schedule = all[next++];
    let verdict;
    let error;
    try {
      verdict = await playAndJudge(schedule, { name: process.env.SCHEDULE ? 'replayed' : `seed-${schedule.seed}`, keep: process.env.KEEP === '1' });
    } catch (thrown) {
      error = thrown;
    }
    say(printSchedule(schedule));
    if (error) {
      failed++;
      say(`  FAILED: ${error.message}`);
      continue;
    }
    say(printVerdict(verdict));
    recoveries.push(...verdict.recoveries.map(({ ms }) => ms ?? Infinity));
    disturbed += verdict.disturbed;
    skipped += verdict.skipped.length === schedule.faults.length && schedule.faults.length > 0 ? 1 : 0;
    if (verdict.broken.length === 0) {
      passed++;
      continue;
    }
    failed++;
    say(`FAILED seed ${schedule.seed}: SEED=${schedule.seed} MINUTES=${schedule.ms / 60000} USERS=${schedule.users} BACKEND=${schedule.backend} make chaos; ${verdict.folder}`);
    if (process.env.SHRINK === '1') await shorten(schedule);
  }
}

await Promise.all(Array.from({ length: Number(env('JOBS', 1)) }, work));
if (recoveries.length > 0) say(`recovery of ${recoveries.length} faults (${disturbed} others were disturbed by another fault): p50 ${percentile(recoveries, 0.5)} ms, p95 ${percentile(recoveries, 0.95)} ms, at most ${Math.max(...recoveries)} ms`);
say(`${passed - skipped} passed, ${failed} failed, ${skipped} skipped`);
process.exit(failed > 0 ? 1 : 0);
