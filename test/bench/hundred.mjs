// SPDX-License-Identifier: MIT
//
// The largest sale that tiketi is built for: 100,000 buyers arrive within five seconds by HTTP, then each
// waiting buyer opens a socket and stays. One api pod, as many gateway pods as the limit of open files
// requires, one processor, Redis, PostgreSQL and the crowd all run on this machine. At the end the event is
// closed, and every socket must be told; the crowd checks every promise against Redis' log and PostgreSQL.
// HUNDRED_USERS, HUNDRED_CONNECTIONS and HUNDRED_ARGS change the crowd. On a busy machine, HUNDRED_NICE=-10
// runs all these processes at that nice value while the buyers arrive, and at a third of it until the end.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, Provider, SECRETS, Server, runTiketi, sleep, waitUntil } from '../fixtures/index.mjs';
import { cpuOf, quick } from './measure.mjs';

const USERS = Number(process.env.HUNDRED_USERS ?? (quick ? 10000 : 100000));
// The buyers' requests share so many connections that stay open, as from an ingress; 0: each buyer has their
// own.
const CONNECTIONS = Number(process.env.HUNDRED_CONNECTIONS ?? 1000);
const POD = 18000; // sockets of one gateway
const SETTLE_S = Number(process.env.HUNDRED_SETTLE ?? 45); // s from answer to socket; no socket before all have arrived
const STAY_MS = Number(process.env.HUNDRED_STAY ?? 10000);

// What the machine did between two samples, as shares of all its cores.
function machine() {
  const [busy, idle] = readFileSync('/proc/stat', 'utf8').split('\n')[0].trim().split(/ +/).slice(1, 9).map(Number)
    .reduce(([work, rest], value, i) => (i === 3 || i === 4 ? [work, rest + value] : [work + value, rest]), [0, 0]);
  return { busy, all: busy + idle };
}

// Also for all processes that this one has started: a session is scheduled as one.
const precedence = (nice) => writeFileSync('/proc/self/autogroup', String(nice));

export async function hundred({ redis, postgres, folder }) {
  const database = await postgres.migrated();
  const start = (roles) => Server.start({ redis, database, roles, env: { QUEUE_PROCESSOR_INTERVAL: 1000, LOG_LEVEL: 'warn', DB_POOL_MAX: 8 } });
  const api = await start('api');
  const processor = await start('processor');
  const gateways = [];
  for (let i = 0; i < Math.ceil(USERS / POD); i++) gateways.push(await start('gateway'));
  const all = { api: [api], gateways, processor: [processor] };
  const provider = await Provider.start({ server: api });
  const organizer = new Organizer(api);
  const event = await organizer.sale({ threshold: 1000, autoHold: 1, grid: { rows: 50, seatsPerRow: 100 } });
  await waitUntil(() => redis.cli('EXISTS', `free:{${event.id}}`).then(Number), 5000, 'the count of free seats');

  const cpu = () => Object.fromEntries([...Object.entries(all).map(([name, servers]) => [name, servers.reduce((sum, { pid }) => sum + cpuOf(pid), 0)]),
    ['redis', cpuOf(redis.child.pid)]]);
  const sockets = async () => {
    let open = 0;
    for (const gateway of gateways) open += await gateway.metric('tiketi_websocket_open');
    return open;
  };
  const before = { cpu: cpu(), machine: machine() };
  const file = `${folder}/hundred.json`;
  const args = ['crowd', '--event', event.id, '--users', String(USERS), '--arrive', '5s', '--settle', `5s..${SETTLE_S}s`, '--max-time', '150s', '--think', '10s..20s', '--buy', '0.9', '--abandon', '0.1',
    '--json', file, '--provider', provider.url, '--url', api.url, '--ws', gateways.map((gateway) => gateway.wsUrl).join(),
    ...(CONNECTIONS > 0 ? ['--connections', String(CONNECTIONS)] : []), ...(process.env.HUNDRED_ARGS ?? '').split(' ').filter(Boolean)];
  const run = runTiketi(args, { ...SECRETS, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' }, { timeoutMs: 240000, expect: null });
  let ended = false;
  run.finally(() => (ended = true));
  const nice = Number(process.env.HUNDRED_NICE ?? 0);
  const began = performance.now();
  if (nice) precedence(nice);
  let most = 0;
  let closed;
  let rush; // CPU time of the joins
  while (!ended) {
    await sleep(1000);
    const now = await sockets().catch(() => 0);
    most = Math.max(most, now);
    const at = performance.now() - began;
    if (at > 7000) rush ??= cpu();
    if (nice && at > 8000 && at < 9500) precedence(Math.ceil(nice / 3));
    if (process.env.HUNDRED_USERS) process.stderr.write(`${(at / 1000).toFixed(0)} s: ${now} sockets\n`);
    if (closed === undefined && at > (5 + SETTLE_S) * 1000 + STAY_MS) {
      closed = at;
      await organizer.act(event.id, 'close');
    }
  }
  const { code, stdout, stderr } = await run;
  const spent = Object.fromEntries(Object.entries(cpu()).map(([name, us]) => [name, (us - before.cpu[name]) / 1e6]));
  const joined = Object.entries(rush).map(([name, us]) => `${name} ${((us - before.cpu[name]) / 1e6).toFixed(1)} s`).join(', ');
  const now = machine();
  const memory = gateways.map(({ pid }) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]));
  if (nice) precedence(0);
  for (const server of [api, processor, ...gateways]) await server.stop();
  await provider.stop();
  process.stdout.write(`${stderr.slice(-4000)}${stdout}\n`);
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const broken = Object.values(report.broken).reduce((sum, count) => sum + count, 0);
  const shares = Object.entries({ ...spent, crowd: report.crowd.cpuMs / 1000 }).map(([name, seconds]) => `${name} ${seconds.toFixed(1)} s`).join(', ');
  if (code !== 0) process.stdout.write(`the crowd ended with ${code}\n`);
  const crowd = `${USERS.toLocaleString('en')} buyers in 5 s, ${CONNECTIONS > 0 ? `over ${CONNECTIONS.toLocaleString('en')} connections` : 'each on their own connection'}`;
  const busy = ((100 * (now.busy - before.machine.busy)) / (now.all - before.machine.all)).toFixed(0);
  return [
    { id: 'hundred-answered', what: 'the rush: answered', means: crowd, unit: 'buyers', own: report.joinMs.count, bar: `≥ ${USERS}` },
    { id: 'hundred-broken', what: 'the rush: errors and broken promises', means: `${report.retries} requests were tried again`, unit: '', own: report.errors + broken, bar: '≤ 0' },
    { id: 'hundred-join', what: 'the rush: join p99', means: `service, Redis, PostgreSQL and crowd on ${cpus().length} cores`, unit: 'ms', own: report.joinMs.p99, bar: '≤ 1000' },
    { id: 'hundred-sockets', what: 'the rush: all on sockets', means: `after the last arrival; ${report.joined.toLocaleString('en')} of ${report.queued.toLocaleString('en')} opened one, ${most.toLocaleString('en')} at once in ${gateways.length} pods`, unit: 's', own: report.joinedMs / 1000 - 5, bar: '≤ 60' },
    { id: 'hundred-memory', what: 'the rush: gateway memory per socket', means: 'the whole process, shared out', unit: 'kB', own: memory.reduce((a, b) => a + b) / most },
    { id: 'hundred-cpu', what: 'the rush: CPU of the service', means: `in all: ${shares}; in the first seven seconds: ${joined}; the machine was busy for ${busy} %, the crowd ${report.crowd.bottleneck ? 'was the bottleneck' : 'was not the bottleneck'} (its loops late by ${report.crowd.lateMs.p99} ms, p99)`, unit: 's', own: spent.api + spent.gateways + spent.processor },
  ];
}
