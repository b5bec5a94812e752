// SPDX-License-Identifier: MIT
//
// The world of one schedule: Redis and its replica, PostgreSQL and its standby, three pods, a payment provider, and a link
// of our own (link.mjs) between any two of them. Faults hurt it by its methods. It writes what the checker reads into a
// folder: each server's append-only file at the end of its time as primary, the tables, the provider's books.
//
// A schedule with a `mutant` breaks the service itself, to see that the checker finds it: `scripts` is a folder of Lua
// scripts that stand in for the service's own, `sql` is done to the database.

import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, openSync, readdirSync, statfsSync, writeFileSync, writeSync } from 'node:fs';
import { endianness } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { Organizer, Postgres, Provider, Redis, RedisCluster, SECRETS, Server, dice, freePort, pause, removeFolder, waitUntil } from '../fixtures/index.mjs';
import { FAULTS } from './faults/index.mjs';
import { Link } from './link.mjs';
import { LAYOUTS, podsOf } from './schedule.mjs';

// The base of an append-only file is written as commands, so that the checker reads all of it in one way.
const REDIS_ARGS = ['--aof-use-rdb-preamble', 'no', '--auto-aof-rewrite-percentage', '0', '--enable-debug-command', 'yes', '--repl-diskless-sync-delay', '0',
  '--repl-backlog-size', '64mb', '--maxclients', '2000'];
const MANY_ARGS = REDIS_ARGS.filter((word, i) => ![word, REDIS_ARGS[i - 1]].includes('--repl-diskless-sync-delay'));
const SENTINEL_MS = 3000; // more than any fault that leaves the primary alive keeps it from answering
const POSTGRES_ARGS = ['-c', 'max_connections=100'];
const DISK_MB = { redis: 256, postgres: 512 };

// What this machine allows, of what faults need.
export function abilities() {
  const can = new Set();
  if (process.env.CHAOS_OWN_MOUNTS === '1') can.add('mount'); // run.mjs: this process has a mount namespace of its own
  return can;
}

export class World {
  static async start(schedule, folder) {
    const world = new World();
    Object.assign(world, { schedule, folder, links: {}, pods: [], limits: [], disks: {}, tenures: [], clocks: [], taken: [], stopping: [] });
    mkdirSync(join(folder, 'aof'), { recursive: true });
    const named = new Set(schedule.faults.map(({ fault }) => fault));
    world.can = abilities();
    for (const backend of ['redis', 'postgres']) if (named.has(`${backend}.disk_full`)) world.mountDisk(backend);
    await Promise.all([world.startRedis(named.has('redis.failover')), world.startPostgres(named.has('postgres.failover'))]);
    await world.startPods();
    await world.startSale();
    return world;
  }

  keep(one) {
    this.stopping.unshift(one);
    return one;
  }

  async link(name, target) {
    const roll = dice(this.schedule.seed + Object.keys(this.links).length);
    this.links[name] = this.keep(await Link.start(target, () => roll.below(1000) / 1000));
    return this.links[name];
  }

  linksTo(kind) {
    return Object.entries(this.links).filter(([name]) => name.startsWith(`${kind}.`)).map(([, link]) => link);
  }

  // ---- disks ----

  // A small tmpfs below which the backend's folder will be.
  mountDisk(backend) {
    if (!this.can.has('mount')) return;
    const path = join(this.folder, `disk-${backend}`);
    mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MB[backend]}m,mode=1777`, 'tmpfs', path]);
    this.disks[backend] = path;
  }

  fillDisk(backend) {
    const path = this.disks[backend];
    const { bavail, bsize } = statfsSync(path);
    execFileSync('fallocate', ['-l', String(Math.max(bsize, (bavail - 2) * bsize)), join(path, 'filler')]);
  }

  async freeDisk(backend) {
    execFileSync('rm', ['-f', join(this.disks[backend], 'filler')]);
    if (!this[backend].child.running) await this[backend].start();
  }

  // Runs `start` so that private folders are made on the backend's disk, if it has one.
  async onDisk(backend, start) {
    const before = process.env.TMPDIR;
    if (this.disks[backend]) process.env.TMPDIR = this.disks[backend];
    const starting = start(); // the folder is made before the first wait
    if (before === undefined) delete process.env.TMPDIR;
    else process.env.TMPDIR = before;
    return starting;
  }

  // ---- Redis ----

  async startRedis(withReplica) {
    if (this.schedule.backend === 'cluster') {
      this.cluster = this.keep(await RedisCluster.start({ args: MANY_ARGS }));
      return;
    }
    if (this.schedule.backend === 'sentinel') {
      this.sentinel = this.keep(await Redis.start({ kind: 'sentinel', args: MANY_ARGS, downAfterMs: SENTINEL_MS }));
      this.redis = await this.sentinel.primary();
      return;
    }
    const port = await freePort();
    const redis = new Redis({ args: REDIS_ARGS });
    redis.port = port;
    this.redis = this.keep(redis);
    await this.onDisk('redis', () => redis.start());
    await this.link('replica', () => this.redis.port);
    if (withReplica) await this.startReplica();
  }

  async startReplica() {
    const replica = this.keep(new Redis({ args: REDIS_ARGS }));
    await replica.start();
    await replica.cli('REPLICAOF', '127.0.0.1', this.links.replica.port);
    await waitUntil(async () => /master_link_status:up/.test(await replica.client.info('replication')), 15000, 'the replica');
    this.replica = replica;
  }

  // The node of a cluster that serves the event now, with the words of a single server.
  async ownNode() {
    const node = await this.cluster.primaryOf(`config:{${this.eventId}}`);
    node.cli = node.call;
    return node;
  }

  async loseNode() {
    await this.redis.kill();
    this.keepAppendOnlyFile(this.redis);
  }

  async nodePromoted() {
    const old = this.redis;
    await this.cluster.promoted(await this.cluster.slotOf(`config:{${this.eventId}}`), old);
    this.redis = await this.ownNode();
    await old.start();
  }

  // The new shard writes its append-only files anew, as the checker reads no command that brings a whole key.
  async moveEvent() {
    const old = this.redis;
    const others = (await this.cluster.primariesNow()).filter((node) => node !== old);
    await this.cluster.moveSlot(await this.cluster.slotOf(`config:{${this.eventId}}`), others[0]);
    this.keepAppendOnlyFile(old);
    this.redis = await this.ownNode();
    await this.redis.call('WAIT', 1, 5000); // its replica has the keys as well
    await Promise.all(this.cluster.nodes.filter(({ running }) => running).map(async (node) => {
      await node.call('BGREWRITEAOF');
      await this.rewritten(node);
    }));
  }

  async rewritten(redis) {
    await waitUntil(async () => /aof_rewrite_in_progress:0\s+aof_rewrite_scheduled:0/.test(await redis.client.info('persistence')), 15000, 'a new append-only file');
  }

  // The old primary would take writes until a Sentinel makes it a replica, seconds later: it is killed before.
  async sentinelFailover() {
    await this.following;
    this.old = this.redis;
    await this.sentinel.failover();
    this.redis = await this.sentinel.primary();
    await this.old.kill();
    this.keepAppendOnlyFile(this.old);
  }

  // The replica, which Sentinels know by the address that it follows, has no link of ours: it is stopped while it lacks writes.
  async killPrimary(loseMs) {
    await this.following;
    this.old = this.redis;
    const replica = this.sentinel.servers.find((server) => server !== this.old);
    if (loseMs > 0) {
      await replica.pause();
      await this.old.cli('CLIENT', 'KILL', 'TYPE', 'replica');
      await pause(loseMs, 'writes that the replica will not have');
    }
    await this.old.kill();
    await replica.resume();
    this.keepAppendOnlyFile(this.old);
  }

  async sentinelsPromoted() {
    await waitUntil(async () => (await this.sentinel.primary()) !== this.old, 40000, 'the Sentinels to make the replica the primary');
    this.redis = await this.sentinel.primary();
  }

  // Meanwhile, as the service does not need it. Its append-only file begins anew then.
  bringBack() {
    const { old, redis } = this;
    this.following = (async () => {
      await old.start();
      await old.cli('REPLICAOF', '127.0.0.1', redis.port);
      await waitUntil(async () => /master_link_status:up/.test(await old.client.info('replication')), 20000, 'the old primary to follow');
      await this.rewritten(old);
    })();
    this.following.catch(() => {}); // heal() tells
  }

  // The replica hears nothing for `loseMs`; then the primary is killed.
  async loseRedis(loseMs) {
    if (loseMs > 0) {
      this.links.replica.stall('both');
      await pause(loseMs, 'writes that the replica will not have');
    }
    await this.redis.kill();
    this.links.replica.cut();
    this.keepAppendOnlyFile(this.redis);
  }

  async promoteRedis() {
    await this.replica.cli('REPLICAOF', 'NO', 'ONE');
    this.redis = this.replica;
    for (const link of this.linksTo('redis')) link.cut();
    this.links.replica.heal();
  }

  // As when Sentinel makes it a replica of a server that does not answer.
  async makeReadOnly() {
    await this.redis.cli('REPLICAOF', '127.0.0.1', await freePort());
  }

  // The history of a primary, at the end of its time. After a kill it is whole: Redis writes the file before it answers.
  keepAppendOnlyFile(redis) {
    const to = join(this.folder, 'aof', String(this.tenures.length));
    cpSync(join(redis.folder, 'appendonlydir'), to, { recursive: true });
    this.tenures.push({ port: redis.port, files: readdirSync(to).length });
  }

  // ---- PostgreSQL ----

  async startPostgres(withStandby) {
    this.postgres = this.keep(new Postgres({ args: POSTGRES_ARGS }));
    await this.onDisk('postgres', () => this.postgres.start());
    this.database = await this.postgres.migrated();
    if (this.schedule.mutant?.sql) await this.sql(this.schedule.mutant.sql);
    if (!withStandby) return;
    this.standby = this.keep(await this.postgres.standby({ args: POSTGRES_ARGS }));
    await this.postgres.synchronous();
  }

  sql(text, values) {
    return this.database.on(this.postgres).query(text, values);
  }

  async losePostgres() {
    await this.postgres.halt('SIGQUIT');
  }

  async promotePostgres() {
    await this.standby.promote();
    await waitUntil(async () => !(await this.standby.query('SELECT pg_is_in_recovery() AS old'))[0].old, 15000, 'the standby to take writes');
    this.postgres = this.standby;
    for (const link of this.linksTo('postgres')) link.cut();
  }

  async connection() {
    const client = new pg.Client({ connectionString: this.database.on(this.postgres).url });
    client.on('error', () => {});
    await client.connect();
    return client;
  }

  async holdLock(table) {
    this.locker = await this.connection();
    await this.locker.query('BEGIN');
    await this.locker.query("SET LOCAL lock_timeout = '1s'");
    await this.locker.query(`LOCK TABLE ${table} IN ACCESS EXCLUSIVE MODE`).catch(() => {}); // others are in the way: as well
  }

  async releaseLock() {
    await this.locker?.end().catch(() => {});
    this.locker = undefined;
  }

  // Cuts the pods' connections again and again, and takes what becomes free.
  async takeConnections() {
    this.taking = true;
    const first = await this.connection();
    this.taken.push(first);
    this.takingAll = (async () => {
      while (this.taking) {
        await first.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE $1', ['tiketi%']).catch(() => {});
        const more = await Promise.allSettled(Array.from({ length: 25 }, () => this.connection()));
        this.taken.push(...more.flatMap(({ value }) => value ?? []));
        await pause(100, 'how often connections are taken');
      }
    })();
  }

  async giveConnections() {
    this.taking = false;
    await this.takingAll;
    await Promise.all(this.taken.splice(0).map((client) => client.end().catch(() => {})));
  }

  // ---- pods ----

  async startPods() {
    const { layout, event, mutant } = this.schedule;
    for (let i = 0; i < LAYOUTS[layout].length; i++) {
      await this.link(`redis.${i}`, () => this.redis.port);
      await this.link(`postgres.${i}`, () => this.postgres.port);
      const env = {
        RESTORE_MS: event.restoreMs, DRAIN_MS: 2000, WS_SOCKETS_PER_IP: 0, RATE_LIMIT_PER_IP: 0, HTTP_CONNECTIONS_PER_IP: 0, LOG_LEVEL: 'warn',
        QUEUE_PROCESSOR_INTERVAL: 200, TIKETI_LUA_DIR: mutant?.scripts, TIKETI_CLOCK_SHIFT_FILE: this.ownClock(i),
      };
      const pod = new Server({
        redis: { url: (this.cluster ?? this.sentinel)?.url ?? `redis://127.0.0.1:${this.links[`redis.${i}`].port}` },
        database: { url: `postgresql://tiketi@127.0.0.1:${this.links[`postgres.${i}`].port}/${this.database.name}?target_session_attrs=read-write` },
        roles: LAYOUTS[layout][i], env, ready: false,
      });
      this.pods.push(this.keep(pod));
      await this.startPod(i);
      await this.link(`web.${i}`, () => pod.port);
      await this.link(`ws.${i}`, () => pod.wsPort);
    }
    await waitUntil(async () => (await Promise.all(this.pods.map((pod) => this.isReady(pod)))).every(Boolean), 20000, 'the pods');
  }

  // Only pods with the api role have routes to ask; each listens on HTTP for its probes.
  async isReady(pod) {
    return (await pod.get('/readyz', { timeoutMs: 1000 }).catch(() => ({ status: 0 }))).status === 200;
  }

  async startPod(i, env = {}) {
    const pod = this.pods[i];
    const own = pod.env;
    pod.env = { ...own, ...env };
    await pod.start().finally(() => (pod.env = own));
  }

  // ---- clocks ----

  // A file that the pod maps: a number of ms by which its wall clock is wrong (include/base/clock.h).
  ownClock(i) {
    const path = join(this.folder, `clock-${i}`);
    this.clocks[i] = openSync(path, 'w+');
    this.writeClock(i, 0);
    return path;
  }

  writeClock(i, seconds) {
    const bytes = Buffer.alloc(8);
    bytes[endianness() === 'LE' ? 'writeBigInt64LE' : 'writeBigInt64BE'](BigInt(seconds) * 1000n);
    writeSync(this.clocks[i], bytes, 0, 8, 0); // in place: it is mapped
  }

  setClock(i, seconds) {
    this.stepping?.delete(i);
    this.writeClock(i, seconds);
  }

  stepClock(i, steps) {
    (this.stepping ??= new Set()).add(i);
    void (async () => {
      for (const seconds of steps) {
        if (!this.stepping.has(i)) return;
        this.writeClock(i, seconds);
        await pause(1000, 'a step of the clock');
      }
    })();
  }

  // ---- the sale ----

  async startSale() {
    const { event, layout, seed } = this.schedule;
    const { seats, restoreMs, ...settings } = event;
    void restoreMs;
    const api = this.pods[podsOf(layout, 'api')[0]];
    const rows = Math.ceil(seats / 20);
    // On a starved machine a backend may be away for a moment as soon as this.
    const sale = await waitUntil(() => new Organizer(api).sale({ intervalMs: 200, ...settings, grid: { rows, seatsPerRow: 20 } }), 30000, 'the sale to open');
    this.eventId = sale.id;
    if (this.cluster) this.redis = await this.ownNode();
    let turn = 0;
    const apis = podsOf(layout, 'api');
    await this.link('webhook', () => this.pods[apis[turn++ % apis.length]].port);
    this.provider = this.keep(await Provider.start({
      server: { url: `http://127.0.0.1:${this.links.webhook.port}` },
      args: ['--late', 0.1, '--late-by', '500ms..2s', '--repeat', 0.1, '--lose', 0.1, '--reorder', 0.1, '--seed', seed],
    }));
    await waitUntil(() => this.redis.cli('EXISTS', `free:{${this.eventId}}`).then(Number), 15000, 'the count of free seats');
  }

  urls(role) {
    const pods = podsOf(this.schedule.layout, role === 'web' ? 'api' : 'gateway');
    return pods.map((i) => (role === 'web' ? `http://127.0.0.1:${this.links[`web.${i}`].port}` : `ws://127.0.0.1:${this.links[`ws.${i}`].port}/ws`));
  }

  crowdEnvironment() {
    return { ...SECRETS, LOG_LEVEL: 'warn' };
  }

  // ---- the end ----

  // Everything back as it was, whatever the schedule has left.
  async heal() {
    await this.following;
    for (const link of Object.values(this.links)) link.heal();
    this.provider.child.signal('SIGCONT');
    for (let i = 0; i < this.pods.length; i++) {
      await this.pods[i].resume();
      if (!this.pods[i].running) await this.startPod(i);
    }
  }

  // Waits until what is under way has come to its end, and keeps what the checker reads. Returns what did not come.
  async collect() {
    const unsettled = [];
    const wait = (condition, ms, what) => waitUntil(condition, ms, what).catch((error) => unsettled.push(error.message));
    await wait(async () => (await this.provider.request('GET', '/charges')).body.undelivered === 0, 60000, 'every call of the provider to be accepted');
    await wait(async () => {
      const [last] = await this.redis.cli('XREVRANGE', `log:{${this.eventId}}`, '+', '-', 'COUNT', 1);
      const [cursor] = await this.sql('SELECT consumed FROM ledger_cursors WHERE event_id = $1', [this.eventId]);
      return !last || cursor?.consumed === last[0] || undefined;
    }, 30000, 'the ledger to copy the whole log');
    if (this.sentinel && (await this.sentinel.primary()) !== this.redis) throw new Error('the Sentinels have made another server the primary, which no fault asked for');
    this.keepAppendOnlyFile(this.redis);
    const tables = {};
    for (const [name, columns] of Object.entries({
      reservations: 'id, buyer, status, seat_count, total, epoch, place', reservation_seats: 'reservation_id, seat_id, live',
      seats: 'id, status, holder, price', payments: 'reservation_id, provider, reference, amount, currency, status, created_at, settled_at',
      admissions: 'epoch, buyer, place, kind, n, stream_id',
    })) tables[name] = await this.sql(`SELECT ${columns} FROM ${name} WHERE event_id = $1`, [this.eventId]);
    writeFileSync(join(this.folder, 'postgres.json'), JSON.stringify(tables));
    writeFileSync(join(this.folder, 'books.json'), JSON.stringify(await this.provider.books()));
    return unsettled;
  }

  async stop() {
    await this.releaseLock();
    const failures = [];
    for (const one of this.stopping) {
      try {
        await one.stop();
      } catch (error) {
        failures.push(error.message.split('\n').slice(0, 30).join('\n'));
      }
    }
    for (const path of Object.values(this.disks)) execFileSync('umount', ['-l', path]);
    return failures;
  }
}

// Can this fault happen in this world?
export const isPossible = (world, name) => !FAULTS[name].needs || world.can.has(FAULTS[name].needs);
export { removeFolder };
