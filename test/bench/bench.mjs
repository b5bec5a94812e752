// SPDX-License-Identifier: MIT
//
// make bench: each figure beside its limit in the same run, written to docs/performance.md (by QUICK=1 to
// build/bench/performance.md). A section
// is a function that is given the running parts and returns rows:
//   { what, own, unit, beside?, other?, ratio?, bar? }   bar: a number is the most that own / other may be; a
//   text like '≥ 5' says it of the ratio too, or of `own` where there is no other
// After each section every promise is looked at (promises.mjs): a fast run that broke one fails.
// BENCH="joins polls" runs only these and writes nothing.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Postgres, Redis, ROOT, Server, privateFolder, removeFolder } from '../fixtures/index.mjs';
import { commands, machine } from './commands.mjs';
import { express } from './express.mjs';
import { growth } from './growth.mjs';
import { holds } from './holds.mjs';
import { hundred } from './hundred.mjs';
import { joins } from './joins.mjs';
import { quick, startYardstick } from './measure.mjs';
import { pods } from './pods.mjs';
import { polls } from './polls.mjs';
import { profile } from './profile.mjs';
import { checkPromises } from './promises.mjs';
import { push } from './push.mjs';
import { redisside } from './redis.mjs';
import { sockets } from './sockets.mjs';
import { prose } from './prose.mjs';

const sections = { joins, profile, express, polls, redisside, growth, pods, sockets, push, holds, hundred };
const slow = ['profile', 'growth', 'push', 'hundred']; // a quick run leaves these out, but where BENCH names them
const chosen = process.env.BENCH?.split(/[ ,]+/) ?? Object.keys(sections).filter((name) => !quick || !slow.includes(name));
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

// 'yes', '**no**', or nothing where there is no bar.
function verdict(row) {
  const { own, other, bar } = row;
  const [, sign, limit] = /^([≤≥]) ([0-9.]+)/.exec(typeof bar === 'number' ? `≤ ${bar}` : (bar ?? '')) ?? [];
  if (sign === undefined) return '';
  const value = other === undefined ? own : ratioOf(row);
  return (sign === '≤' ? value <= Number(limit) : value >= Number(limit)) ? 'yes' : '**no**';
}

function line(row) {
  const { what, unit, own, beside, other, bar } = row;
  const cells = [what, `${number(own)} ${unit}`, other === undefined ? '' : `${beside} ${number(other)} ${unit}`,
    other === undefined ? '' : ratioOf(row).toFixed(2), bar === undefined ? '' : typeof bar === 'number' ? `≤ ${bar}` : bar, verdict(row)];
  return `| ${cells.join(' | ')} |`;
}

const table = (rows) => `| what | measured | beside, in the same run | ratio | bar | met |
|---|---|---|---|---|---|
${rows.map(line).join('\n')}`;

async function page(rows, kept) {
  const commit = (await promisify(execFile)('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD']).catch(() => ({ stdout: '?' }))).stdout.trim();
  return `# Performance

Written by \`make bench${quick ? ' QUICK=1' : ''}\`; no figure is typed by hand. Commit ${commit}.
Machine: ${await machine(parts.postgres)}.
Load of the machine when this began: ${loads}. Medians of interleaved rounds: machines are shared, so what counts are the ratios
within one run, and CPU time, not wall time; a ratio is the median of what each round says of it.

${table(rows)}

Promises, replayed from the logs after each section: ${kept.entries.toLocaleString('en')} entries of ${kept.events} events; ${kept.wrongs.length > 0 ? `**${kept.wrongs.join('; ')}**` : `nobody
let in above a threshold, nobody out of order, nobody at two places`}.

CPU is user and system time of the process as the scheduler counts it, all its threads; Redis' is \`used_cpu_*_main_thread\`. The hello is
[test/bench/hello.c](../test/bench/hello.c), with the allocator and the memory for each connection that the service has (its head of 8 KiB), sent the very same requests over keep-alive
connections by \`wrk\`. A user with a JWT joins once and comes again; a guest is always new, with a cookie of today. Meanwhile a spinner of the idle class
keeps each core from halting: who wakes a halted virtual core would pay for what its host does; and of those rounds the half
counts in which the host took the least time away.

${prose(rows, parts.profile)}
## Commands

\`make bench\` starts Redis, PostgreSQL and the service, runs every section in its order, and ran these for its figures;
\`make bench BENCH="joins polls"\` runs two sections and writes nothing. EVENT, PORT and the files of lines are of one run.

\`\`\`
${commands().join('\n')}
\`\`\`
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
