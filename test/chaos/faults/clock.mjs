// SPDX-License-Identifier: MIT
//
// The clock of one pod is wrong: by an hour, or by steps. Its wall clock is moved under the running process
// (TIKETI_CLOCK_SHIFT_FILE; libfaketime cannot be loaded beside jemalloc); monotonic time stays as it is, as with a clock
// that somebody sets.

const HOUR_S = 3600;

export const clock = {
  shift: {
    weight: 3,
    draw: (roll) => ({ pod: roll.below(3), seconds: roll.any([-HOUR_S, HOUR_S, -90, 90]) }),
    lasts: (roll) => 2000 + roll.below(6000),
    hurts: ({ pod }) => [`clock:${pod}`],
    begin: (world, { pod, seconds }) => world.setClock(pod, seconds),
    end: (world, { pod }) => world.setClock(pod, 0),
  },
  // Forth and back, a step each second.
  stepping: {
    weight: 3,
    draw: (roll) => ({ pod: roll.below(3), steps: Array.from({ length: 4 }, () => roll.below(7201) - HOUR_S) }),
    lasts: (roll) => 4000 + roll.below(4000),
    hurts: ({ pod }) => [`clock:${pod}`],
    begin: (world, { pod, steps }) => world.stepClock(pod, steps),
    end: (world, { pod }) => world.setClock(pod, 0),
  },
};
