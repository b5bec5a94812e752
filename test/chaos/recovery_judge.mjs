// SPDX-License-Identifier: MIT
//
// How long after the end of each fault right answers came everywhere again: of each pod's api from Redis and from
// PostgreSQL, of each gateway to who joins on a socket (probe.mjs), a tick of the event; and after a fault of the provider the
// next payment that was settled, from when it began. A fault whose recovery another one disturbed, or a machine that stood still, is not measured, but counted.

export const MOST_MS = 15000; // later than this is a broken promise

const isRight = ({ code, body }) => code === 200 && body !== undefined;
const ofProvider = ({ hurts }) => hurts.includes('provider') || hurts.includes('link:webhook');

// -> { measured: [{ fault, ms }], disturbed: how many }
export function judgeRecovery({ probes, faults, machine, judges, tables, breaks }) {
  const ticks = judges.flatMap((judge) => judge.ticks).sort((a, b) => a - b);
  const settled = tables.payments.filter(({ status }) => status !== 'pending').map((one) => ({ began: Date.parse(one.created_at) * 1000, at: Date.parse(one.settled_at) * 1000 })).sort((a, b) => a.at - b.at);
  const result = { measured: [], disturbed: 0 };
  for (const one of faults.done) {
    const { index, fault, end, given } = one;
    if (end === undefined || !probes.length) continue;
    const times = probes.map((probe) => probe.events.find((event) => event.until >= end && isRight(event))?.until ?? Infinity);
    const tick = ticks.find((ms) => ms * 1000 >= end) ?? Infinity;
    const payment = ofProvider(one) && settled.find(({ at }) => at >= end); // none: nobody paid any more
    const back = Math.max(...times, tick * 1000, payment ? payment.at - Math.max(0, payment.began - end) : 0);
    const disturbed = faults.done.some((other) => other.index !== index && other.begin <= back && (other.end ?? Infinity) >= end)
      || machine.some(({ at, lateMs }) => at - lateMs * 1000 <= back && at >= end);
    if (disturbed) {
      result.disturbed++;
      continue;
    }
    const ms = Math.round((back - end) / 1000);
    result.measured.push({ fault, ms: Number.isFinite(ms) ? ms : null });
    if (!(ms <= MOST_MS)) breaks('recovery', `${ms} ms after the end of ${fault} ${JSON.stringify(given)}`);
  }
  const { healed } = faults.marks;
  for (const probe of probes) {
    if (!probe.events.some((event) => event.at >= healed && isRight(event))) breaks('recovery', `pod ${probe.pod} gives no right answer to ${probe.probe} in the end`);
  }
  return result;
}
