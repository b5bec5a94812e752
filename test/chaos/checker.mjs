// SPDX-License-Identifier: MIT
//
// The independent checker: judges a schedule that was played, by what is in its folder and nothing else: the buyers'
// histories, Redis' append-only files, PostgreSQL's tables, the provider's books. The promises are those of
// docs/architecture.md ("Promises"); what holds after a loss of data is in docs/redis-keys.md ("Loss of data").
//
//   const { broken, recoveries, disturbed, counts } = check(folder);
//   broken: [{ promise, what }], promise one of PROMISES
//
//   node test/chaos/checker.mjs FOLDER      prints it; exit 1 when a promise was broken

import { fileURLToPath } from 'node:url';
import { judgeAnswers } from './answers_judge.mjs';
import { judgeBuyers } from './buyers_judge.mjs';
import { readFolder } from './history.mjs';
import { LogJudge, timesInside } from './log_judge.mjs';
import { judgeMoney } from './money_judge.mjs';
import { judgeRecovery } from './recovery_judge.mjs';

export const PROMISES = {
  limit: 'never more inside than the threshold and the outflow limit allow',
  order: 'first come, first served',
  place: 'no place is lost, and none is given twice',
  position: 'a shown position never rises',
  seat: 'no seat is sold twice, and a bought one is there',
  money: 'money taken is that of the seats sold, or due back',
  others: "nobody is told another buyer's data",
  gate: 'no seats are held for somebody who is not inside, and none refused to somebody who is',
  answer: 'every answer is right or an honest 503',
  recovery: 'once the backend is back, right answers come everywhere',
  record: 'the record has every admission',
  world: 'every process of ours ends in order',
};
const TOLD_MAX = 20; // of each promise

export function check(folder) {
  const played = readFolder(folder);
  const broken = [];
  const counts = {};
  const breaks = (promise, what) => {
    counts[promise] = (counts[promise] ?? 0) + 1;
    if (counts[promise] <= TOLD_MAX) broken.push({ promise, what });
  };
  const { eventId, unsettled, failures } = played.world;
  const told = new Set(); // servers share what was replicated
  const judges = played.aof.map((path) => new LogJudge({
    eventId, event: played.schedule.event,
    broken: (promise, what) => told.has(what) || (told.add(what), breaks(promise, what)),
  }).read(path));
  const lost = played.faults.done.filter(({ loses }) => loses === 'all').map(({ begin }) => begin / 1000);
  const ends = played.faults.done.filter(({ replaces }) => replaces).sort((a, b) => a.begin - b.begin).map(({ begin, begun }) => ({ from: begin / 1000, to: begun / 1000 }));
  const inside = timesInside(judges, lost, ends);
  const about = { ...played, judges, inside, lost, breaks };
  judgeBuyers(about);
  const answers = judgeAnswers(about);
  judgeMoney(about);
  const { measured: recoveries, disturbed } = judgeRecovery(about);
  judgeRecord(about);
  for (const what of [...unsettled]) breaks('record', what);
  for (const what of failures) breaks('world', what);
  for (const { fault, failed } of played.faults.all) if (failed) breaks('world', `the fault ${fault} could not be done: ${failed}`);
  const states = {};
  for (const { state } of played.buyers) states[state] = (states[state] ?? 0) + 1;
  return {
    broken, counts, recoveries, disturbed, states, answers, losses: judges.at(-1).losses, skipped: played.faults.all.filter(({ skipped }) => skipped),
    starvedMs: Math.max(0, ...played.machine.map(({ lateMs }) => lateMs)),
  };
}

// PostgreSQL's copy of the log has every entry of the log that is left.
function judgeRecord({ judges, tables, breaks }) {
  const copied = new Set(tables.admissions.map(({ buyer, place, kind, epoch }) => `${epoch} ${buyer} ${place} ${kind}`));
  const { entries, losses } = judges.at(-1);
  for (const { kind, buyer, place, epoch, loss, id } of entries) {
    if (loss !== losses || ['claimed', 'parked', 'returned', 'cleared', 'outflow', 'by_hand'].includes(kind)) continue;
    if (!copied.has(`${epoch} ${buyer} ${place} ${kind}`)) breaks('record', `PostgreSQL has no ${kind} of ${buyer} at place ${place} (log entry ${id})`);
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { broken, counts, ...rest } = check(process.argv[2]);
  for (const { promise, what } of broken) process.stdout.write(`BROKEN ${promise}: ${what}\n`);
  process.stdout.write(`${JSON.stringify({ counts, ...rest }, null, 1)}\n`);
  process.exit(broken.length > 0 ? 1 : 0);
}
