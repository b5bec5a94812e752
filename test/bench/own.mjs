// SPDX-License-Identifier: MIT
//
// The rush of hundred.mjs without a proxy in front: each of 100,000 buyers opens a connection of their own within five seconds,
// joins, and closes it. Two api pods, since a process may open 20,000 files here, and two crowds (pace.c) for the same reason.

import { cpus } from 'node:os';
import { Organizer, Server, many } from '../fixtures/index.mjs';
import { cpuOf, quick } from './measure.mjs';
import { paced } from './overload.mjs';

const USERS = Number(process.env.OWN_USERS ?? (quick ? 10000 : 100000));
const SECONDS = 5;
const PODS = 2;

export async function own({ redis, postgres }) {
  const database = await postgres.migrated();
  const pods = await many(Array.from({ length: PODS }), PODS, () => Server.start({ redis, database, roles: 'api', env: { API_WORKERS: 1, LOG_LEVEL: 'warn' } }));
  const event = await new Organizer(pods[0]).sale({ threshold: 0 });
  await pods[1].get(`/api/events/${event.id}`); // it knows the event, as a pod does that has run for a while
  const before = pods.map(({ pid }) => cpuOf(pid));
  const redisBefore = cpuOf(redis.child.pid);
  const came = await Promise.all(pods.map(({ port }) => paced(port, `/api/queue/check/${event.id}`, USERS / SECONDS / PODS, SECONDS, 'close')));
  const spent = pods.reduce((sum, { pid }, i) => sum + cpuOf(pid) - before[i], 0);
  const redisSpent = cpuOf(redis.child.pid) - redisBefore;
  const sum = (field) => came.reduce((all, one) => all + one[field], 0);
  for (const pod of pods) await pod.stop();
  const worst = (field) => Math.max(...came.map((one) => one[field]));
  const what = `${USERS.toLocaleString('en')} buyers in ${SECONDS} s, each on their own connection`;
  return [
    { id: 'own-answered', what: 'a connection each: places given in time', means: `${what}, to ${PODS} api pods; within 2 s. ${sum('refused')} were refused, ${sum('late') + sum('other')} answered later, ${sum('lost')} not at all`, unit: 'buyers', own: sum('good'), bar: `≥ ${Math.floor(USERS * 0.99)}` },
    { id: 'own-join', what: 'a connection each: join p99', means: `from when the buyer came: connecting, asking, the answer; half within ${worst('p50').toFixed(0)} ms; api, Redis and buyers on ${cpus().length} cores; the buyers' own program was late by ${worst('ownLate').toFixed(0)} ms at most`, unit: 'ms', own: worst('p99'), bar: '≤ 1500' },
    { id: 'own-cpu', what: 'CPU per join on a connection of its own', means: `accepted, joined and closed; Redis ${(redisSpent / USERS).toFixed(1)} µs`, unit: 'µs', own: spent / USERS },
  ];
}
