// SPDX-License-Identifier: MIT
//
// What excuses an answer that is not right: a fault of what that answer needs, at that time or a little before. A fault of
// Redis does not excuse what PostgreSQL alone answers, one of the provider or of a clock excuses nothing.
//
//   const excuses = new Excuses(about);
//   excuses.refusal(pod, ['redis'], from, until)   // a 503: has this pod, or what it asks for this, been hurt?
//   excuses.silence(link, from, until)             // no answer: has the way to the pod, or the pod, been hurt?
//   excuses.starved(from, until)                   // did the machine stand still?
//
// Times are µs.

export const RECOVER_MS = 5000; // from the end of a fault: what needed the thing that it hurt may be refused so long
const START_MS = 8000; // a pod that was started: until its ports are open
const LINK_MS = 1500;

// Where the things that a pod needs for an answer can be hurt.
const placesOf = (pod, needs) => [`pod:${pod}`, ...needs.flatMap((backend) => [backend, `link:${backend}.${pod}`])];
const PODS_AND_BACKENDS = /^(pod:|redis$|postgres$|link:(redis|postgres)\.)/;

export class Excuses {
  constructor({ faults, machine = [] }) {
    this.faults = faults.done.map((one) => ({ ...one, end: one.end ?? Infinity }));
    this.losses = this.faults.filter(({ loses }) => loses).map((loss) => this.repair(loss));
    this.machine = machine;
  }

  // After a loss of data every pod reads the event from PostgreSQL again, and one of them the consumed places: another fault
  // of any of these makes it longer.
  repair({ begin, end }) {
    const others = this.faults.filter((other) => other.begin <= end + RECOVER_MS * 1000 && other.end >= begin && other.hurts.some((thing) => PODS_AND_BACKENDS.test(thing)));
    return { begin, end: Math.max(end, ...others.map((other) => other.end)) };
  }

  hit(places, from, until, graceOf) {
    return this.faults.some(({ fault, begin, end, hurts }) => begin <= until && from <= end + graceOf(fault) * 1000 && hurts.some((thing) => places.includes(thing)));
  }

  // needs: 'redis', 'postgres', both or none of them.
  refusal(pod, needs, from, until) {
    return this.hit(placesOf(pod, needs), from, until, () => RECOVER_MS)
      || (needs.includes('redis') && this.losses.some(({ begin, end }) => begin <= until && from <= end + RECOVER_MS * 1000));
  }

  // link: web.0, ws.0.
  silence(link, from, until) {
    const pod = link?.split('.')[1];
    return this.hit([`pod:${pod}`, `link:${link}`], from, until, (fault) => (/^(process|descriptors)\./.test(fault) ? START_MS : LINK_MS));
  }

  // The loop that carries every link had no processor for a while (run.mjs), and the pods, which run beside it, had none either.
  starved(from, until) {
    return this.machine.some(({ at, lateMs }) => at - lateMs * 1000 <= until && from <= at + RECOVER_MS * 1000);
  }
}
