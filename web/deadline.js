// SPDX-License-Identifier: MIT
//
// deadline: the one time limit that a page shows: of all that apply the nearest, by what it ends. Pure: no
// document, no network.
//
//   nearest({ turn, hold, idle }) -> { kind, at } | undefined    times of the server, ms
//   phaseOf(left) -> 'calm' | 'soon' | 'last'
//   const warnings = new Warnings();  warnings.due(deadline, left) -> seconds to announce | undefined

const SOON_MS = 120000;
const LAST_MS = 30000;
const SAME_MS = 1500; // two limits so close are one

// turn: the end of the buyer's turn; hold: the end of the time to pay for the seats held; idle: the end of
// the turn if the service does not hear from the buyer. Undefined: there is no such limit.
//   -> kind: 'turn'; 'change': the turn ends, but the seats held can still be paid; 'hold'; 'idle'
export function nearest({ turn, hold, idle }) {
  const limits = [];
  if (hold !== undefined) limits.push({ kind: 'hold', at: hold });
  if (turn !== undefined) limits.push({ kind: hold > turn + SAME_MS ? 'change' : 'turn', at: turn });
  if (idle !== undefined) limits.push({ kind: 'idle', at: idle });
  return limits.reduce((first, one) => (first && first.at <= one.at + SAME_MS ? first : one), undefined);
}

export const phaseOf = (left) => (left <= LAST_MS ? 'last' : left <= SOON_MS ? 'soon' : 'calm');

// What is to be announced: each limit 2 minutes and 30 seconds before its end, once. A limit that begins
// later than that is not announced for a time that had passed before.
export class Warnings {
  due(deadline, left) {
    const phase = phaseOf(left);
    const before = this.kind === deadline.kind && Math.abs(this.at - deadline.at) < SAME_MS ? this.phase : undefined;
    Object.assign(this, deadline, { phase });
    if (before === undefined || before === phase || left <= 0) return undefined;
    return phase === 'last' ? LAST_MS / 1000 : phase === 'soon' ? SOON_MS / 1000 : undefined;
  }
}
