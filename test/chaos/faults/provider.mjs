// SPDX-License-Identifier: MIT
//
// The payment provider calls late, loses calls, repeats them, or is away. How late, lost and repeated is drawn by the
// provider itself, from the schedule's seed, all the time; here is what comes on top.

const hurts = () => ['provider'];

export const provider = {
  // It does not answer, and calls nobody.
  stop: {
    draw: () => ({}),
    lasts: (roll) => 500 + roll.below(4000),
    hurts,
    begin: (world) => world.provider.child.signal('SIGSTOP'),
    end: (world) => world.provider.child.signal('SIGCONT'),
  },
  // Its calls do not reach the service; what it has called meanwhile is called again.
  unheard: {
    draw: () => ({}),
    lasts: (roll) => 500 + roll.below(4000),
    hurts: () => ['link:webhook'],
    begin(world) {
      world.links.webhook.refuse(true);
      world.links.webhook.reset();
    },
    end: (world) => world.links.webhook.heal(),
  },
  // The service has taken the call, but its answer does not come back: each is made again.
  unanswered: {
    draw: () => ({}),
    lasts: (roll) => 500 + roll.below(4000),
    hurts: () => ['link:webhook'],
    begin: (world) => world.links.webhook.stall('back'),
    end(world) {
      world.links.webhook.reset();
      world.links.webhook.heal();
    },
  },
};
