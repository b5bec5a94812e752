// SPDX-License-Identifier: MIT
//
// How a figure is measured: CPU time of a process as the kernel counts it, under load by wrk. A service and
// the one it is compared with take turns, so that a disturbance of the machine affects both.

import { execFile, spawn } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { promisify } from 'node:util';
import { ROOT, SECRETS, guestKey, many } from '../fixtures/index.mjs';
import { load as loadScript } from '../lua/room.mjs';

export const quick = process.env.QUICK === '1';
export const ROUNDS = quick ? 2 : 5;
export const SECONDS = quick ? 1 : 2;
const LOADS = quick ? 2 : 13; // rounds of each side, if a round is nothing but load
const run = promisify(execFile);

// Returns a Lua script as the binary has it.
export const scriptText = (name) => loadScript(name).body;

export const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)];

// CPU time of a process so far, in µs: user and system time of all its threads, which the scheduler counts in
// nanoseconds.
export function cpuOf(pid) {
  const spent = (thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]);
  return readdirSync(`/proc/${pid}/task`).reduce((sum, thread) => sum + spent(thread), 0) / 1000;
}

// CPU time of Redis' main thread so far, in µs.
export async function redisCpu(redis) {
  const info = await redis.cli('INFO', 'cpu');
  const field = (name) => Number(new RegExp(`${name}:([0-9.]+)`).exec(info)[1]);
  return (field('used_cpu_user_main_thread') + field('used_cpu_sys_main_thread')) * 1e6;
}

// Steal time of all cores so far: the host ran others while a process here wanted to run.
const stolen = () => Number(/^cpu +(.*)/.exec(readFileSync('/proc/stat', 'utf8'))[1].split(' ')[7]);

let salt = 1;
const WRK_KEY = guestKey(SECRETS.TICKET_KEYS.split(/[:,]/)[1]).toString('hex');

// request: { method, path, lines } as in requests.lua.
export async function load(port, connections, { method = 'POST', path, lines = '', seconds = SECONDS }) {
  const args = ['-t1', `-c${connections}`, `-d${seconds}s`, '-s', `${ROOT}/test/bench/requests.lua`, `http://127.0.0.1:${port}`];
  const env = { WRK_METHOD: method, WRK_PATH: path, WRK_LINES: lines, WRK_KEY };
  const { stdout } = await run('wrk', args, { env: { ...process.env, ...env, WRK_SALT: String(salt++) }, maxBuffer: 1 << 24 });
  const result = JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')));
  if (result.errors + result.bad > 0) throw new Error(`the load failed: ${JSON.stringify(result)}`);
  return result;
}

// Returns the CPU time of Redis during `work`, in µs, and the result of `work`.
export async function redisSpent(redis, work) {
  const before = await redisCpu(redis);
  const result = await work();
  return { us: (await redisCpu(redis)) - before, result };
}

// target: { pid, port }. Returns CPU time per request, and requests per second.
export async function cost(target, connections, request) {
  const before = cpuOf(target.pid);
  const result = await load(target.port, connections, request);
  return { cpu: (cpuOf(target.pid) - before) / result.requests, rate: result.requests / (result.us / 1e6), requests: result.requests };
}

// Keeps each core from halting while `work` runs, as the kernel's idle=poll would: waking a halted virtual
// core costs time of its host, which is no cost of the program that is measured. The spinners run only on
// cores that are otherwise idle.
async function awake(work) {
  const spinners = cpus().map((_, core) => spawn('chrt', ['-i', '0', 'taskset', '-c', String(core), 'sh', '-c', 'while :; do :; done'], { stdio: 'ignore' }));
  try {
    return await work();
  } finally {
    for (const spinner of spinners) spinner.kill('SIGKILL');
  }
}

// Starts a service to compare with: a program that prints its port. kill() of the child stops it.
export async function startYardstick(command, args = [], env = process.env) {
  const child = spawn(command, args.map(String), { stdio: ['ignore', 'pipe', 'inherit'], env });
  return { child, pid: child.pid, port: Number(await new Promise((accept) => child.stdout.once('data', accept))) };
}

// Returns the results of `work` in the half of the rounds that had the least steal time: after it, a process
// finds its caches cold.
export async function calmRounds(count, work) {
  const rounds = [];
  await awake(async () => {
    for (let round = 0; round < count; round++) {
      const before = stolen();
      const result = await work();
      rounds.push({ result, stolen: stolen() - before });
    }
  });
  return rounds.sort((a, b) => a.stolen - b.stolen).slice(0, Math.ceil(count / 2)).map(({ result }) => result);
}

// For a row: the medians of both sides, and the median of their ratio in each round, since the speed of the
// host changes more between rounds than within one.
export function compared(rounds, own, other) {
  return { own: median(rounds.map(own)), other: median(rounds.map(other)), ratio: median(rounds.map((round) => own(round) / other(round))) };
}

// Sends the same requests to each target in turn. Returns the costs of each round, in the order of the
// targets.
export function inTurns(targets, connections, request) {
  return calmRounds(LOADS, () => many(targets, 1, (target) => cost(target, connections, request)));
}
