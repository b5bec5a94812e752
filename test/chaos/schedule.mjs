// SPDX-License-Identifier: MIT
//
// A schedule: which faults happen when, to a world of which kind. It follows from the seed alone, and is JSON, so that it
// can be printed, replayed and shortened:
//
//   { seed, ms, users, backend, layout, event: {…}, faults: [{ at, for, fault, …what it is given }] }
//
// Times are ms since the first buyer. Two faults that hurt the same thing are never on at a time; others overlap.

import { dice } from '../fixtures/random.mjs';
import { FAULTS } from './faults/index.mjs';

export const PODS = 3;
// Together: all roles in each pod. Apart: each role in two of three pods.
export const LAYOUTS = {
  together: Array(PODS).fill('api,gateway,processor'),
  apart: ['api,gateway', 'api,processor', 'gateway,processor'],
};

export const podsOf = (layout, role) => LAYOUTS[layout].flatMap((roles, i) => (roles.split(',').includes(role) ? [i] : []));

const FIRST_MS = 2500; // the crowd is there
const LAST_MS = 3000; // before the end nothing new begins
const GAP_MS = 1500; // between two faults of the same thing

// only: names of faults, or of families of them, to draw from.
export function makeSchedule({ seed, ms, users = 2000, backend = 'single', only = [] }) {
  const roll = dice(seed);
  const layout = roll.any(Object.keys(LAYOUTS));
  const threshold = Math.max(10, Math.round(users / 40)) + roll.below(20);
  const event = {
    threshold,
    autoHold: roll.any([0, 0, 1]),
    claimMs: 3000 + roll.below(4) * 1000,
    idleTimeoutMs: 5000 + roll.below(4) * 1000,
    outflowPerMinute: roll.chance(0.2) ? threshold * 60 : 0,
    seats: Math.ceil(users * (0.3 + roll.below(30) / 100)),
    restoreMs: 1000 + roll.below(3) * 500,
  };
  const wanted = (name) => only.length === 0 || only.some((word) => name === word || name.startsWith(`${word}.`));
  const table = {};
  for (const [name, fault] of Object.entries(FAULTS)) {
    if (wanted(name) && (!fault.backends || fault.backends.includes(backend))) table[name] = fault.weight ?? 4;
  }
  if (Object.keys(table).length === 0) throw new Error(`no fault is called ${only.join(', ')}: ${Object.keys(FAULTS).join(', ')}`);
  const faults = [];
  const last = Math.max(FIRST_MS, ms - LAST_MS);
  const busy = (fault, params, at, until) => faults.some((other) => fault.hurts(params).some((thing) => FAULTS[other.fault].hurts(other).includes(thing))
    && at < other.at + other.for + GAP_MS && other.at < until + GAP_MS);
  // One about every two seconds; each has a few attempts to find a free time.
  for (let wish = Math.max(1, Math.round((last - FIRST_MS) / 2000)), tries = wish * 8; wish > 0 && tries > 0; tries--) {
    const name = roll.weighted(table);
    const fault = FAULTS[name];
    if (fault.once && faults.some((other) => other.fault === name)) continue;
    const params = fault.draw(roll, { layout, podsOf: (role) => podsOf(layout, role), event, backend });
    const at = FIRST_MS + roll.below(Math.max(1, last - FIRST_MS));
    const lasts = Math.min(fault.lasts(roll, params), Math.max(200, ms - LAST_MS / 2 - at));
    if (busy(fault, params, at, at + lasts)) continue;
    faults.push({ at, for: lasts, fault: name, ...params });
    wish--;
  }
  faults.sort((a, b) => a.at - b.at);
  return { seed, ms, users, backend, layout, event, faults };
}

export function printSchedule({ seed, ms, users, backend, layout, faults }) {
  const lines = faults.map(({ at, for: lasts, fault, ...params }) => `  ${String(at).padStart(7)} ms  ${String(lasts).padStart(5)} ms  ${fault}`
    + Object.entries(params).map(([name, value]) => ` ${name}=${Array.isArray(value) ? value.join('+') : value}`).join(''));
  return `seed ${seed}: ${ms / 1000} s, ${users} buyers, Redis ${backend}, pods ${layout}, ${faults.length} faults\n${lines.join('\n')}`;
}
