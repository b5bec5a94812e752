// SPDX-License-Identifier: MIT
//
// Where the CPU time of a request goes: `perf` samples the service and hello under load, and the CPU time of
// a request is divided among groups of functions. The result is a table, and no row has a bar.

import { execFile, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { Client, Organizer, jwt, many, waitUntil } from '../fixtures/index.mjs';
import { cost, quick } from './measure.mjs';

const SECONDS = quick ? 1 : 2;
const CONNECTIONS = 64;
const CALLS = /^(?:__x64_sys_|__sys_|ksys_|do_epoll_)(\w+)/;

// The first entry that matches names the group: [name, does it match ({ call, dso, symbol })].
const GROUPS = [
  ['kernel: the answer sent', ({ call }) => /^send/.test(call)],
  ['kernel: the request read', ({ call }) => /^recv/.test(call)],
  ['kernel: waiting, waking, switching threads', ({ call, symbol }) => /^epoll|^wait|^ctl|^futex/.test(call) || /task_switch/.test(symbol)],
  ['kernel: to and from Redis', ({ call }) => /^(read|write)v?$/.test(call)],
  ['kernel: all else', ({ dso }) => /kernel/.test(dso)],
  ['libmicrohttpd: requests parsed, heads of answers written', ({ dso }) => /microhttpd/.test(dso)],
  ['libcrypto: HMAC', ({ dso }) => /libcrypto/.test(dso)],
  ['hiredis: replies parsed', ({ dso }) => /hiredis/.test(dso)],
  ['jemalloc', ({ dso }) => /jemalloc/.test(dso)],
  ['jansson: JSON of a JWT', ({ dso }) => /jansson/.test(dso)],
  ['libc: copying, comparing, clearing', ({ dso }) => /libc\.so/.test(dso)],
  ['libuv and the clock', ({ dso }) => /libuv|vdso/.test(dso)],
  ['ours: tokens, base64, JSON text', ({ symbol }) => /buf_|base64|jws|ticket|token|decode|take_|is_bound|all_are|hex/.test(symbol)],
  ['ours: presence and other tables', ({ symbol }) => /table_|presence|^find$|XXH/.test(symbol)],
  ['ours: requests, routes, handlers, batches', () => true],
];

// Samples by group, as shares of all.
async function shares(file) {
  const counts = new Map(GROUPS.map(([name]) => [name, 0]));
  const child = spawn('perf', ['script', '-i', file, '-F', 'ip,sym,dso'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let stack = [];
  let total = 0;
  const close = () => {
    if (stack.length === 0) return;
    const call = stack.map(({ symbol }) => CALLS.exec(symbol)?.[1]).findLast(Boolean) ?? '';
    const seen = { ...stack[0], call: /kernel/.test(stack[0].dso) ? call : '' };
    const [name] = GROUPS.find(([, fits]) => fits(seen));
    counts.set(name, counts.get(name) + 1);
    total++;
    stack = [];
  };
  for await (const line of createInterface({ input: child.stdout })) {
    const [, symbol, dso] = /^\s*[0-9a-f]+ (.*) \((.*)\)$/.exec(line) ?? [];
    if (symbol === undefined) close();
    else stack.push({ symbol, dso });
  }
  close();
  return new Map([...counts].map(([name, count]) => [name, count / Math.max(total, 1)]));
}

async function profileOf(target, request, file) {
  const record = spawn('perf', ['record', '-q', '-g', '-F', '999', '-p', target.pid, '-o', file, '--', 'sleep', SECONDS].map(String), { stdio: 'ignore' });
  const ended = new Promise((accept) => record.once('exit', accept));
  const { cpu } = await cost(target, CONNECTIONS, { ...request, seconds: SECONDS });
  await ended;
  return { cpu, shares: await shares(file) };
}

async function pollers(api, id, folder) {
  const buyers = Array.from({ length: 200 }, () => new Client(api));
  await new Client(api).check(id);
  await many(buyers, 1, (buyer) => buyer.check(id));
  await waitUntil(async () => (await new Organizer(api).queueSize(id)) === 201, 10000, 'the index');
  await many(buyers, 8, (buyer) => buyer.status(id));
  const lines = `${folder}/profile-polls`;
  writeFileSync(lines, buyers.map((buyer) => `Cookie: ${buyer.cookieHeader}\n`).join(''));
  return lines;
}

const table = (columns) => {
  const rows = GROUPS.map(([name]) => [name, ...columns.map(({ cpu, shares: of }) => of.get(name) * cpu)]);
  const cell = (value) => (typeof value === 'string' ? value : value < 0.005 ? '' : value.toFixed(2));
  return [['µs of CPU', ...columns.map(({ name }) => name)], columns.map(() => '---').concat('---'),
    ...rows.filter(([, ...values]) => values.some((value) => value >= 0.005)), ['**together**', ...columns.map(({ cpu }) => cpu)]]
    .map((row) => `| ${row.map(cell).join(' | ')} |`).join('\n');
};

export async function profile(parts) {
  const { api, hello, folder } = parts;
  const works = await promisify(execFile)('perf', ['--version']).then(() => true, () => false);
  if (!works) {
    parts.profile = '`perf` is not installed here: no profile in this run.';
    return [];
  }
  const organizer = new Organizer(api);
  const [joins, polls] = [await organizer.sale({ threshold: 0 }), await organizer.sale({ threshold: 0 })];
  const tokens = `${folder}/profile-users`;
  writeFileSync(tokens, Array.from({ length: 20000 }, (_, i) => `Authorization: Bearer ${jwt({ sub: `profile-${i}` })}\n`).join(''));
  const join = { path: `/api/queue/check/${joins.id}` };
  const loads = [
    ['hello', hello, join],
    ['join, guest', api, join],
    ['join, JWT', api, { ...join, lines: tokens }],
    ['poll', api, { method: 'GET', path: `/api/queue/status/${polls.id}`, lines: await pollers(api, polls.id, folder) }],
  ];
  const columns = [];
  for (const [name, target, request] of loads) columns.push({ name, ...(await profileOf(target, request, `${folder}/perf`)) });
  parts.profile = table(columns);
  return [];
}
