// SPDX-License-Identifier: MIT
//
// How long after the end of each fault right answers came everywhere again: of each pod's api from Redis and from
// PostgreSQL (probe.mjs), and a tick of the event. A fault whose recovery another one disturbed is not measured.

export const MOST_MS = 15000; // later than this is a broken promise

// -> [{ fault, ms }]
export function judgeRecovery({ probes, faults, judges, breaks }) {
  const ticks = judges.flatMap((judge) => judge.ticks).sort((a, b) => a - b);
  const recoveries = [];
  for (const { index, fault, end, given } of faults.done) {
    if (end === undefined || !probes.length) continue;
    const times = probes.map((probe) => {
      const event = probe.events.find((one) => one.until >= end && one.code === 200 && one.body !== undefined);
      return event ? event.until : Infinity;
    });
    const tick = ticks.find((ms) => ms * 1000 >= end);
    const back = Math.max(...times, tick === undefined ? Infinity : tick * 1000);
    const disturbed = faults.done.some((other) => other.index !== index && other.begin <= back && (other.end ?? Infinity) >= end);
    if (disturbed) continue;
    const ms = Math.round((back - end) / 1000);
    recoveries.push({ fault, ms: Number.isFinite(ms) ? ms : null });
    if (!(ms <= MOST_MS)) breaks('recovery', `${ms} ms after the end of ${fault} ${JSON.stringify(given)}`);
  }
  const { healed } = faults.marks;
  for (const probe of probes) {
    const right = probe.events.find((one) => one.at >= healed && one.code === 200);
    if (!right) breaks('recovery', `pod ${probe.pod} gives no right answer to ${probe.probe} in the end`);
  }
  return recoveries;
}
