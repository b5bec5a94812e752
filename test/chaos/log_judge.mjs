// SPDX-License-Identifier: MIT
//
// Judges one server's append-only file: after every transaction nobody is inside above the threshold, the order held, each
// buyer has one place, and no place belongs to two buyers. It keeps a model of its own of who waits and who is inside, made
// of the plain writes, so that a script that lies in its log is found as well.
//
// After a FLUSHALL, the model is as empty as Redis, and the places given before are still known: none may be given again.

import { filesOf, transactionsOf } from './aof.mjs';

export const ENTERS = new Set(['direct', 'offered', 'restored']);
export const KEEPS = new Set(['unclaimed', 'idle_kept']); // ends an admission, and keeps the place
export const CONSUMES = new Set(['left', 'idle', 'timeout', 'completed', 'withdrawn']);

export class LogJudge {
  // broken(promise, what): called for each break.
  constructor({ eventId, event, broken }) {
    Object.assign(this, { eventId, event, broken });
    this.owners = new Map(); // place -> buyer
    this.placeOf = new Map(); // buyer -> their last place, unless it was consumed
    this.entries = []; // of the log, with `loss`: how many losses of data came before
    this.ticks = []; // ms
    this.losses = 0;
    this.highest = 0;
    this.forget();
  }

  forget() {
    this.queue = new Map();
    this.parked = new Map();
    this.active = new Map(); // buyer -> place
    this.bucket = undefined;
  }

  read(folder) {
    for (const { base, bytes } of filesOf(folder)) for (const transaction of transactionsOf(bytes)) this.take(transaction, base);
    return this;
  }

  take(transaction, base) {
    const key = (name) => `${name}:{${this.eventId}}`;
    const before = this.active.size;
    const fresh = [];
    const touched = new Set();
    this.back = new Set(); // buyers whom this transaction put into the queue, at a place given before it
    this.known = this.highest;
    for (const [command, name, ...args] of transaction) {
      const verb = command.toUpperCase();
      if (verb === 'FLUSHALL' || verb === 'FLUSHDB') {
        this.losses++;
        this.forget();
      } else if (verb === 'XADD' && name === key('log')) {
        fresh.push(this.entryOf(args));
      } else if ((verb === 'HSET' || verb === 'HMSET') && name === key('config')) { // a base has the latter
        const at = args.indexOf('tickedAt');
        if (at >= 0 && at % 2 === 0) this.ticks.push(Number(args[at + 1]));
        const until = args.indexOf('restoreUntil');
        if (until >= 0 && until % 2 === 0 && Number(args[until + 1]) > 0) this.restored = true; // tickets bring places back
      } else if ((verb === 'DEL' || verb === 'UNLINK')) {
        for (const one of [name, ...args]) for (const [set, what] of [['queue', this.queue], ['parked', this.parked], ['active', this.active]]) if (one === key(set)) what.clear();
      } else {
        this.change(verb, name, args, key, touched, base);
      }
    }
    if (!base) this.judge(fresh, before, touched);
    for (const entry of fresh) this.note(entry);
  }

  entryOf([id, ...pairs]) {
    const entry = { id, loss: this.losses };
    for (let i = 0; i < pairs.length; i += 2) entry[pairs[i]] = pairs[i + 1];
    for (const name of ['place', 'at', 'inside', 'threshold', 'n', 'epoch']) entry[name] = Number(entry[name]);
    return entry;
  }

  change(verb, name, args, key, touched, base) {
    if (verb === 'ZADD' && (name === key('queue') || name === key('parked') || name === key('active:place'))) {
      const set = { [key('queue')]: this.queue, [key('parked')]: this.parked, [key('active:place')]: this.active }[name];
      let flags = '';
      while (/^(NX|XX|GT|LT|CH)$/i.test(args[0])) flags += args.shift().toUpperCase();
      for (let i = 0; i < args.length; i += 2) {
        const place = Math.abs(Number(args[i]));
        const buyer = args[i + 1];
        if ((flags.includes('NX') && set.has(buyer)) || (flags.includes('XX') && !set.has(buyer))) continue; // it changes nothing
        touched.add(buyer);
        if (set === this.queue && set.get(buyer) !== place && place <= this.known) this.back.add(buyer);
        set.set(buyer, place);
        this.own(buyer, place, base);
      }
    } else if (verb === 'SADD' && name === key('active')) {
      for (const buyer of args) if (!this.active.has(buyer)) this.active.set(buyer, 0);
    } else if ((verb === 'ZREM' || verb === 'SREM') && (name === key('queue') || name === key('parked') || name === key('active'))) {
      const set = { [key('queue')]: this.queue, [key('parked')]: this.parked, [key('active')]: this.active }[name];
      for (const buyer of args) set.delete(buyer);
    }
  }

  // The buyer has this place now. base: they had it before what is judged here.
  own(buyer, place, base) {
    if (base) {
      this.owners.set(place, buyer);
      this.highest = Math.max(this.highest, place);
      this.placeOf.set(buyer, { place, loss: this.losses });
      return;
    }
    const owner = this.owners.get(place);
    if (owner !== undefined && owner !== buyer) this.broken('place', `place ${place} was given to ${owner} and to ${buyer}`);
    if (owner === undefined) {
      if (place <= this.highest && this.losses === 0 && !this.restored) this.broken('order', `${buyer} was given place ${place}, and ${this.highest} had been given before`);
      this.owners.set(place, buyer);
    }
    this.highest = Math.max(this.highest, place);
    const old = this.placeOf.get(buyer);
    if (old && old.place < place && old.loss === this.losses) this.broken('place', `${buyer} had place ${old.place} and got ${place}, which is behind it`);
    this.placeOf.set(buyer, { place, loss: this.losses });
  }

  // What must hold after a transaction that wrote these entries.
  judge(fresh, before, touched) {
    let inside = before;
    const entered = [];
    for (const entry of fresh) {
      const { kind, buyer, place } = entry;
      if (ENTERS.has(kind)) {
        inside++;
        entered.push(entry);
        if (entry.inside > entry.threshold || entry.inside > this.event.threshold) {
          this.broken('limit', `${kind} of ${buyer} at ${entry.at}: ${entry.inside} inside, and the threshold is ${Math.min(entry.threshold, this.event.threshold)}`);
        }
        if (kind !== 'restored') this.flow(entry);
        const own = this.placeOf.get(buyer);
        if (own && own.place !== place && own.loss === this.losses) this.broken('place', `${buyer} had place ${own.place} and entered with ${place}`);
      } else if (KEEPS.has(kind) || (CONSUMES.has(kind) && kind !== 'withdrawn')) {
        inside--;
      } else if (kind === 'cleared') {
        inside = 0;
      }
      if (entry.inside !== inside) {
        this.broken('limit', `the log says ${entry.inside} are inside after ${kind} of ${buyer} at ${entry.at}, and ${inside} are`);
        inside = entry.inside;
      }
    }
    if (fresh.length > 0 && this.active.size !== inside) {
      this.broken('limit', `${this.active.size} are inside after ${fresh.at(-1).kind} at ${fresh.at(-1).at}, and the log says ${inside}`);
    }
    if (this.active.size > before && this.active.size > this.event.threshold) this.broken('limit', `${this.active.size} are inside, and the threshold is ${this.event.threshold}`);
    this.judgeOrder(entered.filter(({ kind }) => kind !== 'restored'));
    for (const buyer of touched) {
      const sets = [this.queue, this.parked, this.active].filter((set) => set.has(buyer)).length;
      if (sets > 1) this.broken('place', `${buyer} is at more than one of queue, parked and active`);
    }
  }

  // Nobody entered while an earlier place waited. A call brings many joins, one after the other: who comes back to their place
  // in it may have come after another one was let in at the tail of an empty queue.
  judgeOrder(entered) {
    const lastOf = (some) => Math.max(0, ...some.map(({ place }) => place));
    const [last, lastOffered] = [lastOf(entered), lastOf(entered.filter(({ kind }) => kind === 'offered'))];
    if (last === 0) return;
    let [first, who] = [Infinity, ''];
    for (const [buyer, place] of this.queue) if (place < first && place < (this.back.has(buyer) ? lastOffered : last)) [first, who] = [place, buyer];
    if (who) this.broken('order', `place ${last} entered while ${who} waited at ${first}`);
  }

  // outflowPerMinute as a token bucket: at most a second's worth at once.
  flow({ at, buyer }) {
    const rate = this.event.outflowPerMinute;
    if (!rate) return;
    const most = Math.max(1, rate / 60);
    const { level, since } = this.bucket ?? { level: most, since: at };
    const now = Math.min(most, level + ((at - since + 1) * rate) / 60000) - 1; // 1 ms: entries are dated in whole ones
    if (now < -0.001) this.broken('limit', `${buyer} entered at ${at}, sooner than ${rate} a minute allow`);
    this.bucket = { level: Math.max(0, now), since: at };
  }

  note(entry) {
    this.entries.push(entry);
    if (CONSUMES.has(entry.kind)) this.placeOf.delete(entry.buyer);
  }
}

// The times inside of each buyer, ms, of all servers' logs together: buyer -> [{ from, to }]. lost: when data was lost.
// ends: { from, to } of when each primary but the last lost its place: what the next one had not got ended then, `sure` at the
// first of these times and `to` at the last.
export function timesInside(judges, lost, ends) {
  const times = new Map();
  for (const [i, { entries }] of judges.entries()) {
    const open = new Map();
    let loss = 0;
    for (const { kind, buyer, at, loss: now } of entries) {
      if (now !== loss) {
        for (const span of open.values()) span.to = Math.min(span.to, Math.max(span.from, lost[now - 1] ?? at));
        open.clear();
        loss = now;
      }
      if (ENTERS.has(kind)) {
        const span = { from: at, to: Infinity };
        open.set(buyer, span);
        if (!times.has(buyer)) times.set(buyer, []);
        times.get(buyer).push(span);
      } else if (open.has(buyer) && (KEEPS.has(kind) || CONSUMES.has(kind))) {
        open.get(buyer).to = at;
        open.delete(buyer);
      }
    }
    if (ends[i]) for (const span of open.values()) Object.assign(span, { sure: Math.max(span.from, ends[i].from), to: Math.max(span.from, ends[i].to) });
  }
  return times;
}
