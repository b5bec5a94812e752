// SPDX-License-Identifier: MIT
//
// The shortest schedule that still fails, by delta debugging (ddmin) over its faults; then a shorter time and fewer buyers.
//
//   const short = await shrink(schedule, (candidate) => fails(candidate));
//
// What fails depends on timing as well, so a candidate counts as passing only after `tries` times.

// fails: a function that plays a candidate, and is true when a promise was broken.
export async function shrink(schedule, fails, { tries = 2, log = () => {} } = {}) {
  const failsOnce = async (candidate) => {
    for (let i = 0; i < tries; i++) {
      if (await fails(candidate)) return true;
    }
    return false;
  };
  const withFaults = (faults) => ({ ...schedule, faults });
  let { faults } = schedule;
  for (let parts = 2; faults.length >= 2;) {
    const size = Math.ceil(faults.length / parts);
    const chunks = [];
    for (let at = 0; at < faults.length; at += size) chunks.push(faults.slice(at, at + size));
    let smaller;
    for (const chunk of parts === 2 ? chunks : [...chunks, ...chunks.map((one) => faults.filter((fault) => !one.includes(fault)))]) {
      if (chunk.length === faults.length || chunk.length === 0) continue;
      log(`${chunk.length} of ${faults.length} faults`);
      if (await failsOnce(withFaults(chunk))) {
        smaller = chunk;
        break;
      }
    }
    if (smaller) {
      faults = smaller;
      parts = Math.max(2, Math.min(parts - 1, faults.length));
    } else if (parts >= faults.length) {
      break;
    } else {
      parts = Math.min(faults.length, parts * 2);
    }
  }
  if (faults.length === 1) { // perhaps it needs none
    log('no fault');
    if (await failsOnce(withFaults([]))) faults = [];
  }
  let short = withFaults(faults);
  // Nothing happens after the last fault: the schedule may end soon after it.
  const end = Math.max(0, ...faults.map(({ at, for: lasts }) => at + lasts)) + 2000;
  const changes = [{ ms: Math.min(short.ms, end) }, { users: Math.ceil(short.users / 4) }, { users: Math.ceil(short.users / 2) }];
  for (const change of changes) {
    if (!Object.entries(change).every(([name, value]) => value < short[name])) continue;
    log(JSON.stringify(change));
    const candidate = { ...short, ...change };
    if (await failsOnce(candidate)) short = candidate;
  }
  return short;
}
