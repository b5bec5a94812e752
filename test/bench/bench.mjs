// SPDX-License-Identifier: MIT
//
// make bench: what a queued join costs, beside the raw libraries in the same run, and what status
// polls cost Redis. Writes docs/performance.md. Every figure is the median of several interleaved
// rounds; CPU times are the kernel's count of the process, so other load shifts them little.
//
//   service CPU per queued join (guest, ticket signed)   beside a bare libmicrohttpd JSON hello
//   Redis CPU per join as the service sends them          beside the raw script, 64 buyers a call
//   Redis commands added by 10,000 status polls           must be `seen` batches alone

import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Client, Organizer, Postgres, Redis, ROOT, Server, waitUntil } from '../fixtures/index.mjs';

const quick = process.env.QUICK === '1';
const ROUNDS = quick ? 3 : 5;
const SECONDS = quick ? 3 : 6;
const HELLO = process.env.BENCH_HELLO;
const run = promisify(execFile);
const TICK_US = 1e6 / 100; // USER_HZ

const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

// CPU time of a process so far, µs.
function cpuOf(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

let salt = 1;
async function load(port, path, connections) {
  const { stdout } = await run('wrk', ['-t1', `-c${connections}`, `-d${SECONDS}s`, '-s', `${ROOT}/test/bench/joins.lua`, `http://127.0.0.1:${port}`],
    { env: { ...process.env, WRK_PATH: path, WRK_SALT: String(salt++) }, maxBuffer: 1 << 24 });
  return JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')));
}

// One round: CPU per request of `pid` under the load.
async function cost(pid, port, path, connections) {
  const before = cpuOf(pid);
  const result = await load(port, path, connections);
  if (result.errors + result.bad > 0) throw new Error(`the load failed: ${JSON.stringify(result)}`);
  return { cpu: (cpuOf(pid) - before) / result.requests, rate: result.requests / (result.us / 1e6), requests: result.requests };
}

async function histogram(server, name) {
  const { text } = await server.get('/metrics');
  const value = (suffix) => Number(new RegExp(`^${name}_${suffix} (.*)$`, 'm').exec(text)?.[1] ?? 0);
  return { sum: value('sum'), count: value('count') };
}

async function redisCpu(redis) {
  const info = await redis.cli('INFO', 'cpu');
  const field = (name) => Number(new RegExp(`${name}:([0-9.]+)`).exec(info)[1]);
  return (field('used_cpu_user_main_thread') + field('used_cpu_sys_main_thread')) * 1e6;
}

const tag = (id) => ['config:', 'queue:', 'queue:seen:', 'parked:', 'active:', 'active:seen:', 'active:since:', 'active:place:', 'spent:', 'seq:', 'free:',
  'stats:', 'log:', 'lease:', 'fence:', 'index:'].map((prefix) => `${prefix}{${id}}`);

// The raw script by a pipelined client: the floor for what the service can ask of Redis.
async function rawJoins(redis, id, count) {
  const body = `${readFileSync(`${ROOT}/lua/shared.lua`, 'utf8')}\n${readFileSync(`${ROOT}/lua/join.lua`, 'utf8')}`;
  const sha = await redis.cli('SCRIPT', 'LOAD', body);
  const keys = tag(id);
  const before = await redisCpu(redis);
  for (let done = 0; done < count;) {
    const pipeline = redis.client.pipeline();
    for (let call = 0; call < 16; call++, done += 64) {
      const buyers = Array.from({ length: 64 }, () => [`g:${randomBytes(16).toString('hex')}`, 'j', '']).flat();
      pipeline.call('EVALSHA', sha, keys.length, ...keys, '0', ...buyers);
    }
    await pipeline.exec();
  }
  return ((await redisCpu(redis)) - before) / count;
}

const rows = [];
const servers = [];
let redis, postgres, hello;

after(async () => {
  hello?.kill('SIGKILL');
  for (const server of servers) await server.stop();
  await redis?.stop();
  await postgres?.stop();
});

test('bench', { timeout: 1500000 }, async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  const database = await postgres.migrated();
  const api = await Server.start({ redis, database, roles: 'api', env: { QUEUE_PROCESSOR_INTERVAL: 1000 } });
  const processor = await Server.start({ redis, database, roles: 'processor' });
  servers.push(api, processor);
  const event = await new Organizer(api).sale({ threshold: 0 });
  hello = spawn(HELLO, { stdio: ['ignore', 'pipe', 'inherit'] });
  const helloPort = Number(await new Promise((accept) => hello.stdout.once('data', accept)));
  const path = `/api/queue/check/${event.id}`;

  for (const connections of [64, 1000]) {
    const service = [];
    const bare = [];
    const redisJoin = [];
    const batches = await histogram(api, 'tiketi_join_batch_size');
    for (let round = 0; round < ROUNDS; round++) {
      bare.push(await cost(hello.pid, helloPort, path, connections));
      const before = await redisCpu(redis);
      service.push(await cost(api.pid, api.port, path, connections));
      redisJoin.push(((await redisCpu(redis)) - before) / service.at(-1).requests);
    }
    const now = await histogram(api, 'tiketi_join_batch_size');
    const batch = (now.sum - batches.sum) / (now.count - batches.count);
    const raw = [];
    for (let round = 0; round < ROUNDS; round++) raw.push(await rawJoins(redis, event.id, quick ? 20480 : 51200));
    const a = median(service.map((r) => r.cpu));
    const b = median(bare.map((r) => r.cpu));
    rows.push([`service CPU per queued join, guest, ${connections} connections, batches of ${batch.toFixed(1)}`, `${a.toFixed(2)} µs`,
      `bare libmicrohttpd hello ${b.toFixed(2)} µs`, `${(a / b).toFixed(2)}`, '≤ 3']);
    rows.push([`joins per second, load generator and Redis on the same ${cpus().length} cores, ${connections} connections`,
      Math.round(median(service.map((r) => r.rate))).toString(), `hello ${Math.round(median(bare.map((r) => r.rate)))}`,
      (median(service.map((r) => r.rate)) / median(bare.map((r) => r.rate))).toFixed(2), '']);
    rows.push([`Redis CPU per join, ${connections} connections`, `${median(redisJoin).toFixed(2)} µs`, `raw script, 64 a call ${median(raw).toFixed(2)} µs`,
      (median(redisJoin) / median(raw)).toFixed(2), '']);
  }

  // Polls: 100 waiting buyers of a queue of their own, 10,000 polls.
  const quiet = await new Organizer(api).sale({ threshold: 0 });
  const buyers = Array.from({ length: 100 }, (_, i) => new Client(api, { sub: `poller${i}` }));
  for (let i = 0; i < 5; i++) await new Client(api, { sub: `head${i}` }).check(quiet.id);
  for (const buyer of buyers) await buyer.check(quiet.id);
  await waitUntil(async () => (await api.metric(`tiketi_queue_size{eventId="${quiet.id}"}`)) === 105, 10000, 'the index');
  for (const buyer of buyers) await buyer.status(quiet.id, { headers: { 'x-tiketi-ticket': buyer.ticket } });
  await redis.cli('CONFIG', 'RESETSTAT');
  const from = performance.now();
  for (let at = 0; at < 10000; at += 100)
    await Promise.all(buyers.map((buyer) => buyer.status(quiet.id, { headers: { 'x-tiketi-ticket': buyer.ticket } })));
  const seconds = (performance.now() - from) / 1000;
  const stats = await redis.commandStats();
  const shown = Object.entries(stats).map(([name, value]) => `${name} ${value.calls ?? value}`).join(', ');
  rows.push([`Redis commands during 10,000 status polls in ${seconds.toFixed(1)} s, all workers and scripts`, shown, 'one `seen` batch and index reads a second', '', '']);

  const commit = (await run('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD']).catch(() => ({ stdout: '?' }))).stdout.trim();
  const text = `# Performance

Written by \`make bench${quick ? ' QUICK=1' : ''}\`; no figure is typed by hand. Machine: ${cpus().length} × ${cpus()[0].model}. Commit ${commit}.
Medians of ${ROUNDS} interleaved rounds of ${SECONDS} s. Machines are shared and noisy: what counts are the ratios within one run.

| what | measured | beside, in the same run | ratio | bar |
|---|---|---|---|---|
${rows.map((row) => `| ${row.join(' | ')} |`).join('\n')}

CPU is user and system time of the process from \`/proc\`, all its threads; Redis' is \`used_cpu_*_main_thread\`. The hello is
[test/bench/hello.c](../test/bench/hello.c), sent the very same requests over keep-alive connections by \`wrk\`.
`;
  if (process.env.BENCH_DRY !== '1') writeFileSync(`${ROOT}/docs/performance.md`, text);
  process.stdout.write(text);
});
