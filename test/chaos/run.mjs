// SPDX-License-Identifier: MIT
//
// Plays one schedule and leaves what the checker reads in a folder. A process of its own, so that a schedule cannot hurt
// the next one; playSchedule() starts it, as root in a mount namespace of its own, in which it may fill disks.
//
//   node test/chaos/run.mjs FOLDER      reads FOLDER/schedule.json
//
// The folder then has schedule.json, faults.ndjson (what was done when), machine.ndjson (when the machine stood still),
// crowd-*.ndjson and probe.ndjson (the histories), aof/, postgres.json, books.json, and world.json (ports of the links, the event, what did not end well).

import { spawn } from 'node:child_process';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTiketi, pause } from '../fixtures/index.mjs';
import { FAULTS } from './faults/index.mjs';
import { Probe } from './probe.mjs';
import { MOST_MS } from './recovery_judge.mjs';
import { podsOf } from './schedule.mjs';
import { World, isPossible } from './world.mjs';

const LOOK_MS = 50;
const STOOD_STILL_MS = 400; // later than this is no timer of a machine that has a processor left for it
const AFTER_MS = 12000; // how long buyers may go on after the last fault; a schedule may say another `afterMs`

const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

// Every link of the world runs in this process. When its timer is late, whatever crosses a link is too, and the pods, which
// share the processors, may have waited as long: what they had not answered in time says nothing about them.
// Returns what ends it.
function watchMachine(folder) {
  const file = join(folder, 'machine.ndjson');
  let going = true;
  writeFileSync(file, '');
  void (async () => {
    while (going) {
      const due = performance.now() + LOOK_MS;
      await pause(LOOK_MS, 'how often the machine is looked at');
      const lateMs = Math.round(performance.now() - due);
      if (lateMs >= STOOD_STILL_MS) appendFileSync(file, `${JSON.stringify({ at: nowUs(), lateMs })}\n`);
    }
  })();
  return () => (going = false);
}

// Do two faults hurt the same thing?
function meet(one, other) {
  const things = FAULTS[other.fault].hurts(other);
  return FAULTS[one.fault].hurts(one).some((thing) => things.includes(thing));
}

// Does the faults, each at its time, or when one before it that hurts the same thing has really ended. Returns when all are over.
async function hurt(world, schedule, note) {
  const began = performance.now();
  const until = (ms) => pause(Math.max(0, began + ms - performance.now()), 'the schedule');
  const all = schedule.faults.map(async (given, index) => {
    const fault = FAULTS[given.fault];
    await until(given.at);
    await Promise.all(all.slice(0, index).filter((one, i) => meet(schedule.faults[i], given)));
    if (!isPossible(world, given.fault)) {
      note({ index, what: 'skip', why: `this machine allows no ${fault.needs}` });
      return;
    }
    const at = Math.max(given.at, performance.now() - began);
    note({ index, what: 'begin' });
    try {
      await fault.begin(world, given);
      note({ index, what: 'begun' });
      await until(at + given.for);
      note({ index, what: 'ending' });
      await fault.end(world, given);
    } catch (error) {
      note({ index, what: 'failed', why: error.stack });
    }
    note({ index, what: 'end' });
  });
  await Promise.all(all);
  await until(schedule.ms);
}

function startCrowds(world, schedule, folder) {
  const { seed, ms, users, afterMs = AFTER_MS } = schedule;
  const half = Math.ceil(users / 2);
  const common = ['--event', world.eventId, '--url', world.urls('web').join(), '--ws', world.urls('ws').join(), '--provider', world.provider.url,
    '--arrive', `${Math.round(ms * 0.7)}ms`, '--buy', '0.6', '--abandon', '0.36', '--sleep', '0.1', '--asleep', '2s..5s', '--think', '200ms..1500ms',
    '--max-time', `${ms + afterMs}ms`, '--no-check'];
  const crowds = { sockets: ['--users', half, '--seed', seed], polls: ['--users', users - half, '--seed', seed + 1, '--no-sockets', '--guests'] };
  return Promise.all(Object.entries(crowds).map(([name, args]) => runTiketi(
    ['crowd', ...common, ...args, '--history', join(folder, `crowd-${name}.ndjson`), '--json', join(folder, `report-${name}.json`)].map(String),
    world.crowdEnvironment(), { timeoutMs: ms + 60000, expect: null },
  ).then((run) => writeFileSync(join(folder, `crowd-${name}.txt`), run.stdout + run.stderr))));
}

async function play(folder) {
  const schedule = JSON.parse(readFileSync(join(folder, 'schedule.json'), 'utf8'));
  const note = (line) => appendFileSync(join(folder, 'faults.ndjson'), `${JSON.stringify({ at: nowUs(), ...line })}\n`);
  writeFileSync(join(folder, 'faults.ndjson'), '');
  const world = await World.start(schedule, folder);
  const probe = new Probe({ file: join(folder, 'probe.ndjson'), eventId: world.eventId,
    targets: [['web', 'api'], ['ws', 'gateway']].flatMap(([kind, role]) => podsOf(schedule.layout, role).map((pod) => ({ kind, pod, port: world.links[`${kind}.${pod}`].port }))) });
  const forgetMachine = watchMachine(folder);
  let unsettled = [];
  let failures = [];
  const ports = Object.fromEntries(Object.entries(world.links).map(([name, { port }]) => [`127.0.0.1:${port}`, name]));
  try {
    const crowds = startCrowds(world, schedule, folder);
    await hurt(world, schedule, note);
    await world.heal();
    note({ what: 'healed' });
    await Promise.all([crowds, probe.settle(4 * MOST_MS)]);
    note({ what: 'over' });
    unsettled = await world.collect();
  } finally {
    await probe.stop();
    forgetMachine();
    writeFileSync(join(folder, 'pods.log'), world.pods.map((pod, i) => `---- pod ${i}\n${pod.output.slice(-2000000)}`).join('\n'));
    failures = await world.stop();
    writeFileSync(join(folder, 'world.json'), JSON.stringify({ eventId: world.eventId, ports, unsettled, failures, tenures: world.tenures.length }));
  }
}

// Plays the schedule in a process of its own. Throws when it could not be played to its end.
export async function playSchedule(schedule, folder) {
  writeFileSync(join(folder, 'schedule.json'), JSON.stringify(schedule, null, 1));
  const self = fileURLToPath(import.meta.url);
  const mounts = process.getuid() === 0;
  const [command, ...args] = mounts ? ['unshare', '--mount', '--propagation', 'private', process.execPath, self, folder] : [process.execPath, self, folder];
  const env = { ...process.env, CHAOS_OWN_MOUNTS: mounts ? '1' : '' };
  delete env.NODE_TEST_CONTEXT; // it is no test file
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', command, ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => (output += chunk));
  const code = await new Promise((resolve) => child.once('close', resolve));
  if (code !== 0 || !existsSync(join(folder, 'postgres.json'))) throw new Error(`the schedule was not played to its end (${code}):\n${output.slice(-4000)}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await play(process.argv[2]);
  process.exit(0);
}
