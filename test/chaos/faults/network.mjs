// SPDX-License-Identifier: MIT
//
// The network: each pod's link to Redis and to PostgreSQL, the buyers' to its HTTP and its sockets.

const KINDS = ['redis', 'postgres', 'web', 'ws'];

// The nodes of a cluster, and Sentinels, say where Redis is: no link of ours is on the way.
function drawLink(roll, { podsOf, backend }) {
  const kind = roll.any(backend === 'single' ? KINDS : KINDS.filter((one) => one !== 'redis'));
  const pods = kind === 'web' ? podsOf('api') : kind === 'ws' ? podsOf('gateway') : [0, 1, 2];
  return { link: `${kind}.${roll.any(pods)}` };
}

const linkOf = (world, { link }) => world.links[link];
const hurts = ({ link }) => [`link:${link}`];
const heal = (world, given) => linkOf(world, given).heal();

function shaped(draw) {
  return {
    draw: (roll, about) => ({ ...drawLink(roll, about), ...draw(roll) }),
    lasts: (roll) => 500 + roll.below(5000),
    hurts,
    begin: (world, given) => linkOf(world, given).shape(given),
    end: heal,
  };
}

export const network = {
  delay: shaped((roll) => ({ delayMs: 20 + roll.below(400) })),
  jitter: shaped((roll) => ({ delayMs: roll.below(30), jitterMs: 50 + roll.below(300) })),
  slow: shaped((roll) => ({ bytesPerSecond: 20000 + roll.below(180000) })),
  // The connections stay open, and nothing arrives at either end; then all of it does.
  half_open: {
    draw: drawLink,
    lasts: (roll) => 500 + roll.below(6000),
    hurts,
    begin: (world, given) => linkOf(world, given).stall('both'),
    end: heal,
  },
  // The one who asks does not read the answers, or they do not arrive.
  stalled_reader: {
    draw: drawLink,
    lasts: (roll) => 500 + roll.below(6000),
    hurts,
    begin: (world, given) => linkOf(world, given).stall('back'),
    end: heal,
  },
  cut: {
    draw: drawLink,
    lasts: () => 200,
    hurts,
    begin: (world, given) => linkOf(world, given).cut(),
    end: heal,
  },
  reset: {
    draw: drawLink,
    lasts: () => 200,
    hurts,
    begin: (world, given) => linkOf(world, given).reset(),
    end: heal,
  },
  // Half-open, and the connections are gone when the network is back: what was under way is lost.
  partition: {
    draw: drawLink,
    lasts: (roll) => 500 + roll.below(6000),
    hurts,
    begin(world, given) {
      linkOf(world, given).stall('both');
    },
    end(world, given) {
      linkOf(world, given).reset();
      heal(world, given);
    },
  },
};
