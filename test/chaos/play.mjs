// SPDX-License-Identifier: MIT
//
// Plays a schedule, judges it, and says how it went.

import { rmSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../fixtures/index.mjs';
import { check } from './checker.mjs';
import { playSchedule } from './run.mjs';

const KEPT = join(ROOT, 'build', 'chaos');

// -> { broken, recoveries, …, folder }: the folder of a schedule that broke nothing is removed, unless keep is set.
export async function playAndJudge(schedule, { name = `seed-${schedule.seed}`, keep = false } = {}) {
  const folder = join(KEPT, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  await playSchedule(schedule, folder);
  const verdict = check(folder);
  if (verdict.broken.length === 0 && !keep) rmSync(folder, { recursive: true, force: true });
  return { ...verdict, folder };
}

export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)];
}

export function printVerdict({ broken, counts, recoveries, disturbed, states, answers, skipped, losses, starvedMs }) {
  const lines = [`  buyers ${JSON.stringify(states)}, answers ${JSON.stringify(answers)}, ${losses} losses of data`];
  lines.push(`  recovery: ${recoveries.length} measured, ${disturbed} disturbed by another fault: ${recoveries.map(({ fault, ms }) => `${fault} ${ms} ms`).join(', ')}`);
  if (starvedMs > 0) lines.push(`  the machine stood still for up to ${starvedMs} ms: ${answers.starved} answers are excused by it`);
  for (const { fault, skipped: why } of skipped) lines.push(`  left out: ${fault}: ${why}`);
  for (const { promise, what } of broken) lines.push(`  BROKEN ${promise}: ${what}`);
  if (broken.length > 0) lines.push(`  broken in all: ${JSON.stringify(counts)}`);
  return lines.join('\n');
}
