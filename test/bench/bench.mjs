// SPDX-License-Identifier: MIT
//
// make bench: each figure beside its limit in the same run, written to docs/performance.md. A section
// is a function that is given the running parts and returns rows:
//   { what, own, unit, beside?, other?, bar? }   the ratio own / other has to stay at or below bar
// BENCH="joins polls" runs only these and writes nothing.

import { execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Postgres, Redis, ROOT, Server, privateFolder, removeFolder } from '../fixtures/index.mjs';
import { holds } from './holds.mjs';
import { joins } from './joins.mjs';
import { ROUNDS, SECONDS, quick } from './measure.mjs';
import { polls } from './polls.mjs';

const sections = { joins, polls, holds };
const chosen = process.env.BENCH?.split(/[ ,]+/) ?? Object.keys(sections);
const parts = { servers: [] };

after(async () => {
  parts.hello?.child.kill('SIGKILL');
  for (const server of parts.servers) await server.stop();
  await parts.redis?.stop();
  await parts.postgres?.stop();
  if (parts.folder) removeFolder(parts.folder);
});

async function start() {
  [parts.redis, parts.postgres] = await Promise.all([Redis.start(), Postgres.start()]);
  parts.database = await parts.postgres.migrated();
  parts.folder = privateFolder('bench');
  const { redis, database } = parts;
  parts.api = await Server.start({ redis, database, roles: 'api', env: { QUEUE_PROCESSOR_INTERVAL: 1000 } });
  parts.servers.push(parts.api, await Server.start({ redis, database, roles: 'processor' }));
  const child = spawn(process.env.BENCH_HELLO, { stdio: ['ignore', 'pipe', 'inherit'] });
  parts.hello = { child, pid: child.pid, port: Number(await new Promise((accept) => child.stdout.once('data', accept))) };
}

const number = (value) => (value >= 1000 ? Math.round(value).toLocaleString('en') : value >= 100 ? value.toFixed(0) : value.toFixed(2));

function line({ what, unit, own, beside, other, bar }) {
  const cells = [what, `${number(own)} ${unit}`, other === undefined ? '' : `${beside} ${number(other)} ${unit}`,
    other === undefined ? '' : (own / other).toFixed(2), bar === undefined ? '' : typeof bar === 'number' ? `≤ ${bar}` : bar];
  return `| ${cells.join(' | ')} |`;
}

async function page(rows) {
  const commit = (await promisify(execFile)('git', ['-C', ROOT, 'rev-parse', '--short', 'HEAD']).catch(() => ({ stdout: '?' }))).stdout.trim();
  return `# Performance

Written by \`make bench${quick ? ' QUICK=1' : ''}\`; no figure is typed by hand. Machine: ${cpus().length} × ${cpus()[0].model}. Commit ${commit}.
Medians of ${ROUNDS} interleaved rounds of ${SECONDS} s. Machines are shared and noisy: what counts are the ratios within one run.

| what | measured | beside, in the same run | ratio | bar |
|---|---|---|---|---|
${rows.map(line).join('\n')}

CPU is user and system time of the process from \`/proc\`, all its threads; Redis' is \`used_cpu_*_main_thread\`. The hello is
[test/bench/hello.c](../test/bench/hello.c), with the same allocator as the service, sent the very same requests over keep-alive
connections by \`wrk\`. A user with a JWT joins once and comes again; a guest is always new.
`;
}

test('bench', { timeout: 1500000 }, async () => {
  await start();
  const rows = [];
  for (const name of chosen) rows.push(...(await sections[name](parts)));
  const text = await page(rows);
  if (process.env.BENCH === undefined) writeFileSync(`${ROOT}/docs/performance.md`, text);
  process.stdout.write(text);
});
