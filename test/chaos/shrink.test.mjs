// SPDX-License-Identifier: MIT
//
// The shortest schedule that still fails: found among many faults, whatever they are and however rarely they fail.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { dice, seedOf } from '../fixtures/random.mjs';
import { makeSchedule } from './schedule.mjs';
import { shrink } from './shrink.mjs';

const schedule = (seed) => makeSchedule({ seed, ms: 60000, users: 400 });
const has = (candidate, guilty) => guilty.every((one) => candidate.faults.includes(one));

// Shrinks what fails as `fails` says, and counts the candidates that were played.
async function shortest(long, fails, options) {
  let played = 0;
  const short = await shrink(long, async (candidate) => {
    played++;
    return fails(candidate);
  }, options);
  return { short, played };
}

describe('a schedule that fails is shortened', () => {
  test('to the faults that it takes, however far apart, for any number of them', async (t) => {
    const roll = dice(seedOf(t));
    for (let i = 0; i < 100; i++) {
      const long = schedule(roll.next());
      const guilty = roll.shuffled(long.faults).slice(0, 1 + roll.below(3));
      const { short, played } = await shortest(long, (candidate) => has(candidate, guilty));
      assert.deepEqual(short.faults, long.faults.filter((one) => guilty.includes(one)), 'these, and in their order');
      assert.equal(short.users, 100);
      assert.ok(short.ms <= long.ms && short.ms >= Math.max(...guilty.map(({ at, for: lasts }) => at + lasts)), 'the time of its faults is left');
      assert.equal(short.seed, long.seed);
      assert.ok(played < 2 * long.faults.length ** 2, `${played} were played for ${long.faults.length} faults`);
    }
  });

  test('to no fault, if it takes none', async () => {
    const { short } = await shortest(schedule(7), () => true);
    assert.deepEqual(short.faults, []);
  });

  test('not further than it fails: with fewer buyers and a shorter time it may pass', async () => {
    const long = schedule(8);
    const guilty = long.faults.slice(0, 1);
    const { short } = await shortest(long, (candidate) => has(candidate, guilty) && candidate.users >= 150 && candidate.ms === long.ms);
    assert.deepEqual([short.faults, short.users, short.ms], [guilty, 200, long.ms]);
  });

  test('although every other time what fails passes', async () => {
    const long = schedule(9);
    const guilty = [long.faults[1], long.faults.at(-1)];
    const seen = new Map();
    const { short } = await shortest(long, (candidate) => {
      const key = JSON.stringify(candidate);
      seen.set(key, (seen.get(key) ?? 0) + 1);
      return has(candidate, guilty) && seen.get(key) % 2 === 0;
    });
    assert.deepEqual(short.faults, guilty);
  });

  test('and stays as it is when nothing less fails', async () => {
    const long = schedule(10);
    const { short } = await shortest(long, (candidate) => JSON.stringify(candidate) === JSON.stringify(long));
    assert.deepEqual(short, long);
  });
});
