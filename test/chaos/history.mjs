// SPDX-License-Identifier: MIT
//
// Reads the folder of a schedule that was played (run.mjs): histories, what was done when, tables, books.

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { FAULTS } from './faults/index.mjs';

export const JOIN = 'JOIN /ws'; // the step of a probe that joins on a socket (probe.mjs)

const readLines = (path) => (existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line)) : []);
const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

// A body or message that is no JSON is undefined.
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

// The claims of a ticket or pass, unverified.
export const claimsOf = (token) => parse(Buffer.from(token?.split('.')[1] ?? '', 'base64url').toString('utf8'));

// What one buyer asked and was told, in order: [{ at, until, step, to, code, retry, body, why }] for requests (`until`: of
// the answer), and { at, message } or { at, socket } for the rest.
function buyersOf(lines, file) {
  const buyers = new Map();
  for (const line of lines) {
    const key = `${file}:${line.probe ?? ''}${line.number}`;
    if (!buyers.has(key)) buyers.set(key, { key, id: '', events: [], probe: line.probe, pod: line.pod, state: '' });
    const buyer = buyers.get(key);
    buyer.id = line.buyer || buyer.id;
    if (line.ask) {
      buyer.asked = { at: line.at, step: line.ask, to: line.to };
      buyer.events.push(buyer.asked);
    } else if (line.answer || line.none) {
      Object.assign(buyer.asked, { until: line.at, code: line.code, retry: line.retry, why: line.why, text: line.body, body: line.body === undefined ? undefined : parse(line.body) });
    } else if (line.message) {
      buyer.events.push({ at: line.at, message: parse(line.message), text: line.message });
    } else if (line.socket) {
      buyer.events.push({ at: line.at, socket: line.socket, to: line.to, code: line.code, why: line.why });
    } else if (line.state) {
      buyer.state = line.state;
      buyer.events.push({ at: line.at, state: line.state });
    }
  }
  return [...buyers.values()];
}

// What was done: [{ index, fault, given, begin, end }] in µs, `end` when everything was back; and the marks.
function faultsOf(lines, schedule) {
  const done = [];
  const marks = {};
  for (const { index, what, at, why } of lines) {
    if (index === undefined) {
      marks[what] = at;
      continue;
    }
    done[index] ??= { index, given: schedule.faults[index], fault: schedule.faults[index].fault };
    const one = done[index];
    if (what === 'failed') one.failed = why;
    else if (what === 'skip') one.skipped = why;
    else one[what] = at;
  }
  const all = done.filter(Boolean);
  for (const one of all) {
    const { hurts, loses, replaces } = FAULTS[one.fault];
    if (one.begin !== undefined) Object.assign(one, { hurts: hurts(one.given), loses, replaces });
  }
  return { all, done: all.filter(({ begin }) => begin !== undefined), marks };
}

export function readFolder(folder) {
  const schedule = readJson(join(folder, 'schedule.json'));
  const names = readdirSync(folder).filter((name) => /^(crowd-.*|probe)\.ndjson(\.\d+)?$/.test(name));
  const buyers = names.flatMap((name) => buyersOf(readLines(join(folder, name)), name));
  const world = readJson(join(folder, 'world.json'));
  return {
    folder, schedule, world, buyers: buyers.filter(({ probe }) => !probe), probes: buyers.filter(({ probe }) => probe),
    machine: readLines(join(folder, 'machine.ndjson')),
    faults: faultsOf(readLines(join(folder, 'faults.ndjson')), schedule),
    tables: readJson(join(folder, 'postgres.json')), books: readJson(join(folder, 'books.json')),
    aof: Array.from({ length: world.tenures }, (_, i) => join(folder, 'aof', String(i))),
  };
}
