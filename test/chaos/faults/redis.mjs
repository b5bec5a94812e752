// SPDX-License-Identifier: MIT
//
// Redis: restarts, loses its data, its scripts, its last writes or its connections, and refuses to write.

const hurts = () => ['redis'];
const none = () => ({});
const ALONE = ['single']; // elsewhere a primary that is away for a few seconds is replaced: node_failover, kill_primary
const LOSE_MS = [0, 0, 50, 200, 500, 1000];
const short = (roll) => 300 + roll.below(3000);

export const redis = {
  // From its append-only file.
  restart: {
    backends: ALONE,
    draw: (roll) => ({ signal: roll.any(['SIGTERM', 'SIGKILL']) }),
    lasts: (roll) => 100 + roll.below(2500),
    hurts,
    begin: (world, { signal }) => world.redis.halt(signal),
    end: (world) => world.redis.start(),
  },
  stop: {
    backends: ALONE,
    draw: none,
    lasts: (roll) => 300 + roll.below(5000),
    hurts,
    begin: (world) => world.redis.pause(),
    end: (world) => world.redis.resume(),
  },
  // The primary is killed, with what it had not replicated for `loseMs`; its replica takes over, behind the same address.
  failover: {
    weight: 5,
    once: true,
    backends: ALONE,
    loses: 'writes',
    replaces: true,
    draw: (roll) => ({ loseMs: roll.any(LOSE_MS) }),
    lasts: (roll, { loseMs }) => loseMs + 200 + roll.below(2000),
    hurts,
    begin: (world, { loseMs }) => world.loseRedis(loseMs),
    end: (world) => world.promoteRedis(),
  },
  // The primary that serves the event is killed; the cluster promotes its replica, and the node comes back as that one's.
  node_failover: {
    weight: 8,
    once: true,
    backends: ['cluster'],
    loses: 'writes',
    replaces: true,
    draw: none,
    lasts: (roll) => 2500 + roll.below(2000),
    hurts,
    begin: (world) => world.loseNode(),
    end: (world) => world.nodePromoted(),
  },
  // The slot of the event moves to the primary of another shard.
  reshard: {
    weight: 8,
    once: true,
    backends: ['cluster'],
    replaces: true,
    draw: none,
    lasts: () => 200,
    hurts,
    begin: (world) => world.moveEvent(),
    end: () => {},
  },
  // SENTINEL FAILOVER: what the old primary took until the pods had left it is lost. It ends then, and comes back as a replica.
  sentinel_failover: {
    weight: 10,
    once: true,
    backends: ['sentinel'],
    loses: 'writes',
    replaces: true,
    draw: none,
    lasts: () => 200,
    hurts,
    begin: (world) => world.sentinelFailover(),
    end: (world) => world.bringBack(),
  },
  // The primary is killed, with what it had not replicated for `loseMs`, and the Sentinels find out.
  kill_primary: {
    weight: 10,
    once: true,
    backends: ['sentinel'],
    loses: 'writes',
    replaces: true,
    draw: (roll) => ({ loseMs: roll.any(LOSE_MS) }),
    lasts: (roll, { loseMs }) => loseMs + 4500, // until the Sentinels miss it
    hurts,
    begin: (world, { loseMs }) => world.killPrimary(loseMs),
    async end(world) {
      await world.sentinelsPromoted();
      world.bringBack();
    },
  },
  flushall: {
    weight: 5,
    loses: 'all',
    draw: none,
    lasts: () => 200,
    hurts,
    begin: (world) => world.redis.cli('FLUSHALL'),
    end: () => {},
  },
  script_flush: {
    draw: none,
    lasts: () => 200,
    hurts,
    begin: (world) => world.redis.cli('SCRIPT', 'FLUSH'),
    end: () => {},
  },
  client_pause: {
    draw: (roll) => ({ mode: roll.any(['ALL', 'WRITE']) }),
    lasts: (roll) => 200 + roll.below(1000),
    hurts,
    begin: (world, { mode, for: ms }) => world.redis.cli('CLIENT', 'PAUSE', ms, mode),
    end: (world) => world.redis.cli('CLIENT', 'UNPAUSE'),
  },
  client_kill: {
    draw: (roll) => ({ type: roll.any(['normal', 'pubsub']) }),
    lasts: () => 200,
    hurts,
    begin: (world, { type }) => world.redis.cli('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes'),
    end: () => {},
  },
  sleep: {
    backends: ALONE,
    draw: none,
    lasts: short,
    hurts,
    begin(world, { for: ms }) {
      void world.redis.cli('DEBUG', 'SLEEP', ms / 1000).catch(() => {}); // it answers when it is over
    },
    end: (world) => world.redis.cli('PING'),
  },
  maxmemory: {
    draw: none,
    lasts: short,
    hurts,
    begin: (world) => world.redis.cli('CONFIG', 'SET', 'maxmemory', '1mb'),
    end: (world) => world.redis.cli('CONFIG', 'SET', 'maxmemory', '0'),
  },
  // The disk of its append-only file is full.
  disk_full: {
    backends: ALONE,
    needs: 'mount',
    draw: none,
    lasts: (roll) => 1500 + roll.below(2500),
    hurts,
    begin: (world) => world.fillDisk('redis'),
    end: (world) => world.freeDisk('redis'),
  },
  // It is made a replica of nobody: every write is READONLY.
  readonly: {
    backends: ALONE,
    draw: none,
    lasts: short,
    hurts,
    begin: (world) => world.makeReadOnly(),
    end: (world) => world.redis.cli('REPLICAOF', 'NO', 'ONE'),
  },
};
