// SPDX-License-Identifier: MIT
//
// A million buyers of one event arrive within 50 s by HTTP, over 1,000 connections; no sockets. One api pod, one processor,
// Redis, PostgreSQL and the crowd share this machine. Then the crowd audits: each buyer's ticket and position, each buyer's
// place in Redis. MILLION_USERS changes their number.

import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { Organizer, SECRETS, Server, runTiketi, sleep } from '../fixtures/index.mjs';
import { cpuOf, quick } from './measure.mjs';

const USERS = Number(process.env.MILLION_USERS ?? (quick ? 50000 : 1000000));
const CONNECTIONS = 1000;
const [ARRIVE_S, WITHIN_S, END_S] = [50, 60, 90];

export async function million({ redis, postgres, folder }) {
  const database = await postgres.migrated();
  const start = (roles) => Server.start({ redis, database, roles, env: { QUEUE_PROCESSOR_INTERVAL: 1000, LOG_LEVEL: 'warn' } });
  const api = await start('api');
  const processor = await start('processor');
  const event = await new Organizer(api).sale({ threshold: 0 });
  const waiting = () => redis.client.zcard(`queue:{${event.id}}`);
  const all = { api: api.pid, processor: processor.pid, redis: redis.child.pid };
  const cpu = () => Object.fromEntries(Object.entries(all).map(([name, pid]) => [name, cpuOf(pid)]));
  const before = cpu();
  const file = `${folder}/million.json`;
  // Nobody opens a socket or polls before the end: they only arrive.
  const args = ['crowd', '--event', event.id, '--users', String(USERS), '--arrive', `${ARRIVE_S}s`, '--no-sockets', '--settle', '1h..2h', '--max-time', `${END_S}s`, '--buy', '0', '--guests', '--strict',
    '--connections', String(CONNECTIONS), '--json', file, '--url', api.url];
  const began = performance.now();
  const run = runTiketi(args, { ...SECRETS, REDIS_URL: redis.url, DATABASE_URL: database.url, LOG_LEVEL: 'warn' }, { timeoutMs: 400000, expect: null });
  let spent;
  let ended = false;
  run.finally(() => (ended = true));
  while (!ended && spent === undefined) {
    await sleep(500);
    if ((await waiting()) >= USERS) spent = cpu();
  }
  const seconds = (performance.now() - began) / 1000;
  const { code, stdout, stderr } = await run;
  process.stdout.write(`${stderr.slice(-2000)}${stdout}\n`);
  const heartbeats = await redis.client.zcard(`queue:seen:{${event.id}}`);
  await redis.client.unlink(...(await redis.client.keys(`*{${event.id}}`)));
  for (const server of [api, processor]) await server.stop();
  if (code !== 0) process.stdout.write(`the crowd ended with ${code}\n`);
  const report = JSON.parse(readFileSync(file, 'utf8'));
  const broken = Object.values(report.broken).reduce((sum, count) => sum + count, 0);
  const shares = Object.entries(spent ?? cpu()).map(([name, us]) => `${name} ${((us - before[name]) / 1e6).toFixed(1)} s`).join(', ');
  const many = USERS.toLocaleString('en');
  return [
    { id: 'million-answered', what: 'a million: answered', means: `${many} buyers of one event in ${ARRIVE_S} s, over ${CONNECTIONS.toLocaleString('en')} connections, no sockets`, unit: 'buyers', own: report.joinMs.count, bar: `≥ ${USERS}` },
    { id: 'million-in', what: 'a million: all have a place', means: `service, Redis, PostgreSQL and crowd on ${cpus().length} cores; CPU until then: ${shares}`, unit: 's', own: seconds, bar: `≤ ${WITHIN_S}` },
    { id: 'million-broken', what: 'a million: errors and broken promises', means: `every buyer's ticket, position and place in Redis were looked at; ${report.retries} requests were tried again`, unit: '', own: report.errors + broken, bar: '≤ 0' },
    { id: 'million-join', what: 'a million: join p99', means: `p50 ${report.joinMs.p50} ms; ${heartbeats.toLocaleString('en')} of them had sent a second heartbeat at the end`, unit: 'ms', own: report.joinMs.p99, bar: '≤ 1000' },
    { id: 'million-crowd', what: 'a million: memory of the crowd per buyer', means: `the auditor's with it; ${(report.crowd.cpuMs / 1000).toFixed(0)} s CPU, its loops late by ${report.crowd.lateMs.p99} ms, p99`, unit: 'kB', own: report.crowd.memoryKb / USERS },
  ];
}
