// SPDX-License-Identifier: MIT
//
// A pod may open no further file: its limit is set to what it has open. What is open goes on.

import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const setLimit = (pid, soft) => execFileSync('prlimit', ['--pid', String(pid), `--nofile=${soft}:`]);

export const descriptors = {
  exhausted: {
    draw: (roll) => ({ pod: roll.below(3), spare: roll.below(3) }),
    lasts: (roll) => 500 + roll.below(3500),
    hurts: ({ pod }) => [`pod:${pod}`],
    begin(world, { pod, spare }) {
      const { pid } = world.pods[pod];
      // An open file may have any number below the limit that was; the limit is on the number of the next one.
      const open = readdirSync(`/proc/${pid}/fd`).length;
      world.limits[pod] = Number(/open files\s+(\d+)/.exec(execFileSync('cat', [`/proc/${pid}/limits`], { encoding: 'utf8' }))[1]);
      setLimit(pid, open + spare);
    },
    end: (world, { pod }) => setLimit(world.pods[pod].pid, world.limits[pod]),
  },
};
