// SPDX-License-Identifier: MIT
//
// A pod's process is killed, stopped, drained, or ends at a named point of its own code.

const pod = ({ pod: index }) => [`pod:${index}`];
const anyPod = (roll) => ({ pod: roll.below(3) });

// name: the role that passes this point (include/base/crash.h).
export const CRASH_POINTS = {
  'tick-before-promote': 'processor', 'tick-after-promote': 'processor', 'ledger-before-commit': 'processor', 'ledger-after-commit': 'processor',
  'ledger-after-free': 'processor', 'ledger-after-publish': 'processor', 'payment-begun': 'api', 'payment-received': 'api', 'payment-committed': 'api',
};

export const process = {
  kill: {
    weight: 6,
    draw: anyPod,
    lasts: (roll) => 100 + roll.below(2500),
    hurts: pod,
    begin: (world, { pod: i }) => world.pods[i].kill(),
    end: (world, { pod: i }) => world.startPod(i),
  },
  stop: {
    weight: 6,
    draw: anyPod,
    lasts: (roll) => 200 + roll.below(6000),
    hurts: pod,
    begin: (world, { pod: i }) => world.pods[i].pause(),
    end: (world, { pod: i }) => world.pods[i].resume(),
  },
  drain: {
    draw: anyPod,
    lasts: (roll) => 300 + roll.below(1500),
    hurts: pod,
    begin: (world, { pod: i }) => world.pods[i].stop(),
    end: (world, { pod: i }) => world.startPod(i),
  },
  // The pod is restarted, and ends by itself when it passes the point for the nth time; or lives until the fault is over.
  crash: {
    weight: 8,
    draw: (roll, { podsOf }) => {
      const point = roll.any(Object.keys(CRASH_POINTS));
      return { pod: roll.any(podsOf(CRASH_POINTS[point])), point, nth: 1 + roll.below(20) };
    },
    lasts: (roll) => 2500 + roll.below(4000),
    hurts: pod,
    async begin(world, { pod: i, point, nth }) {
      await world.pods[i].kill();
      await world.startPod(i, { TIKETI_CRASH: `${point}:${nth}` });
    },
    async end(world, { pod: i }) {
      await world.pods[i].kill();
      await world.startPod(i);
    },
  },
};
