// SPDX-License-Identifier: MIT
//
// PostgreSQL: restarts, fails over, has no connection, no lock or no disk for us.

const hurts = () => ['postgres'];
const none = () => ({});
const TABLES = ['seats', 'reservations', 'payments', 'events', 'ledger_cursors'];

export const postgres = {
  // SIGINT: transactions are rolled back; SIGQUIT: as a crash.
  restart: {
    draw: (roll) => ({ signal: roll.any(['SIGINT', 'SIGQUIT']) }),
    lasts: (roll) => 100 + roll.below(2500),
    hurts,
    begin: (world, { signal }) => world.postgres.halt(signal),
    end: (world) => world.postgres.start(),
  },
  stop: {
    draw: none,
    lasts: (roll) => 300 + roll.below(5000),
    hurts,
    begin: (world) => world.postgres.pause(),
    end: (world) => world.postgres.resume(),
  },
  terminate: {
    draw: none,
    lasts: () => 200,
    hurts,
    begin: (world) => world.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"),
    end: () => {},
  },
  lock: {
    draw: (roll) => ({ table: roll.any(TABLES) }),
    lasts: (roll) => 300 + roll.below(3000),
    hurts,
    begin: (world, { table }) => world.holdLock(table),
    end: (world) => world.releaseLock(),
  },
  // Commits wait for the standby, so nothing that was answered is lost when the primary dies and the standby takes over.
  failover: {
    weight: 5,
    once: true,
    draw: none,
    lasts: (roll) => 200 + roll.below(2000),
    hurts,
    begin: (world) => world.losePostgres(),
    end: (world) => world.promotePostgres(),
  },
  disk_full: {
    needs: 'mount',
    draw: none,
    lasts: (roll) => 1000 + roll.below(3000),
    hurts,
    begin: (world) => world.fillDisk('postgres'),
    end: (world) => world.freeDisk('postgres'),
  },
  // Others have taken every connection that the server has.
  exhausted: {
    draw: none,
    lasts: (roll) => 300 + roll.below(3000),
    hurts,
    begin: (world) => world.takeConnections(),
    end: (world) => world.giveConnections(),
  },
};
