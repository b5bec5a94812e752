// SPDX-License-Identifier: MIT
//
// make bench: measures each figure together with that of a raw library in the same run, and writes them to
// docs/performance.md (with QUICK=1 to build/bench/performance.md). BENCH="joins polls" runs only these
// sections and writes nothing.
//
// A section is a function that gets the running services and returns rows:
//   { id, what, means, unit, own, beside?, other?, ratio?, bar? }
//   bar: a number is the highest own / other allowed; a text such as '≥ 5' limits the ratio, or `own` if there
//   is no `other`
// After each section every promise is checked (promises.mjs): a fast run that broke one fails.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Postgres, Redis, ROOT, Server, privateFolder, removeFolder } from '../fixtures/index.mjs';
import { machine } from './machine.mjs';
import { quick, startYardstick } from './measure.mjs';
import { checkPromises } from './promises.mjs';
import { prose } from './prose.mjs';

const names = process.env.BENCH_SECTIONS.split(' '); // run.sh has the list and has checked these names
const sections = Object.fromEntries(await Promise.all(names.map(async (name) => [name, (await import(`./${name}.mjs`))[name]])));
const slow = ['profile', 'growth', 'push', 'socketio', 'hostile', 'hundred', 'million', 'stripes']; // a quick run leaves these out, unless BENCH names them
const chosen = process.env.BENCH?.split(/[ ,]+/).filter(Boolean) ?? names.filter((name) => !quick || !slow.includes(name));
const parts = { servers: [] };
const loads = loadavg().map((load) => load.toFixed(1)).join(', ');

after(async () => {
  parts.hello?.child.kill('SIGKILL');
  for (const server of parts.servers) await server.stop();
  await parts.redis?.stop();
  await parts.postgres?.stop();
  if (parts.folder) removeFolder(parts.folder);
});

async function start() {
  [parts.redis, parts.postgres] = await Promise.all([Redis.start({ args: ['--auto-aof-rewrite-percentage', '0'] }), Postgres.start()]);
  parts.database = await parts.postgres.migrated();
  parts.folder = privateFolder('bench');
  const { redis, database } = parts;
  parts.api = await Server.start({ redis, database, roles: 'api', env: { QUEUE_PROCESSOR_INTERVAL: 1000 } });
  parts.servers.push(parts.api, await Server.start({ redis, database, roles: 'processor' }));
  parts.hello = await startYardstick(process.env.BENCH_HELLO);
}

const number = (value) => (value >= 1000 ? Math.round(value).toLocaleString('en') : value >= 100 ? value.toFixed(0) : value.toFixed(2));

const ratioOf = ({ own, other, ratio }) => ratio ?? own / other;

// 'yes', '**no**', or '' if the row has no bar.
function verdict(row) {
  const { own, other, bar } = row;
  const [, sign, limit] = /^([≤≥]) ([0-9.]+)/.exec(typeof bar === 'number' ? `≤ ${bar}` : (bar ?? '')) ?? [];
  if (sign === undefined) return '';
  const value = other === undefined ? own : ratioOf(row);
  return (sign === '≤' ? value <= Number(limit) : value >= Number(limit)) ? 'yes' : '**no**';
}

function line(row) {
  const { what, means, unit, own, beside, other, bar } = row;
  const cells = [what, means ?? '', `${number(own)} ${unit}`, other === undefined ? '' : `${beside}: ${number(other)} ${unit}`,
    other === undefined ? '' : ratioOf(row).toFixed(2), bar === undefined ? '' : typeof bar === 'number' ? `≤ ${bar}` : bar, verdict(row)];
  return `| ${cells.join(' | ')} |`;
}

const table = (rows) => `| what | which means | tiketi | beside it, in the same run | ratio | limit | met |
|---|---|--:|---|--:|--:|---|
${rows.map(line).join('\n')}`;

async function page(rows, kept) {
  const commit = (await promisify(execFile)('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD']).catch(() => ({ stdout: '?' }))).stdout.trim();
  return `# Performance

What tiketi costs, beside the least that the same work can cost: a raw library, or the bare commands of Redis or PostgreSQL, doing it on the same
machine at the same time. **The ratio is what counts**: machines differ, and are shared; ratios of one run hardly do. \`make bench\` wrote this
page and drew the curve; no figure is typed by hand.

${table(rows)}

Promises, replayed from the logs after each section: ${kept.entries.toLocaleString('en')} entries of ${kept.events} events; ${kept.wrongs.length > 0 ? `**${kept.wrongs.join('; ')}**` : `nobody
admitted above a threshold, nobody out of order, nobody at two places`}.

${prose(rows)}
## Method

- Commit ${commit}, on ${await machine(parts.postgres)}; load of the machine at the start: ${loads}.
- CPU is user and system time of a process, all its threads, as the scheduler counts it; Redis' is \`used_cpu_*_main_thread\`. Wall time says
  little on a shared machine.
- The service and what is beside it take turns, in rounds; each figure is the median of the rounds, and a ratio is the median of the rounds'
  ratios. Of the rounds the half counts in which the host took the cores away least.
- The hello is [test/bench/hello.c](../test/bench/hello.c): libmicrohttpd with the allocator and the memory per connection that the service has. It is
  sent the same requests over connections that stay open, by \`wrk\`. A guest is always new, with a cookie of today; a user with a JWT joins once and
  comes again.
- The floor of a join is [test/bench/held.c](../test/bench/held.c): that hello, held for one call to Redis (two ZADDs) with all that came meanwhile, with an
  answer as long as ours.
- A spinner of the idle class keeps each core from halting, since waking a halted virtual core costs what its host does.
- \`make bench BENCH="joins polls"\` runs two sections and writes nothing; \`BENCH=profile\` says by \`perf\` where each microsecond goes;
  \`QUICK=1\` takes two minutes. The sections are the files of [test/bench](../test/bench).
`;
}

test('bench', { timeout: 1800000 }, async () => {
  await start();
  const target = quick ? `${ROOT}/build/bench/performance.md` : `${ROOT}/docs/performance.md`;
  const rows = [];
  const failures = [];
  let kept = { entries: 0, events: 0, wrongs: [] };
  for (const name of chosen) {
    const began = performance.now();
    try {
      rows.push(...(await sections[name](parts)));
      const known = kept.wrongs.length;
      kept = await checkPromises(parts.redis.client);
      if (kept.wrongs.length > known) throw new Error(kept.wrongs.at(-1));
    } catch (error) {
      failures.push(error);
      rows.push({ what: `section ${name} failed: ${String(error.message).split('\n')[0].replaceAll('|', ' ')}`, unit: '', own: NaN });
    }
    process.stdout.write(`# ${name}: ${((performance.now() - began) / 1000).toFixed(0)} s\n`);
    if (process.env.BENCH === undefined) writeFileSync(target, await page(rows, kept));
  }
  process.stdout.write(`${table(rows)}\n${parts.profile ?? ''}\n`);
  if (failures.length > 0) throw failures[0];
});
