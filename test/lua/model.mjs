// SPDX-License-Identifier: MIT
//
// The scripts of an event in plain JavaScript: maps of the buyers who wait, are parked or are inside; no Redis and no
// clock. Times are only marks: silent, idle or inside for too long. The model is given the new places, which come from
// Redis' clock; it predicts everything else.

export class Model {
  constructor() {
    this.settings = {};
    this.version = 0;
    this.epoch = 0;
    this.forgetEverything();
  }

  // Redis has lost all of it.
  forgetEverything() {
    this.configured = false;
    this.forgetBuyers();
    this.free = undefined;
    this.n = 0;
    this.log = [];
    this.seq = 0;
    this.restoring = false;
    this.consumedLoaded = true;
    this.outflowUsed = 0;
    this.surgeAt = 0;
  }

  forgetBuyers() {
    this.queue = new Map();
    this.parked = new Map();
    this.active = new Map();
    this.consumed = new Map();
    this.silent = new Set();
    this.idle = new Map(); // buyer -> score
    this.late = new Map();
  }

  // ---- what every script does first ----

  bringUpToDate(known = 0) {
    if (known > this.seq) this.openRestoreWindow(known);
    let level = 0;
    this.threshold = this.settings.threshold;
    for (const [above, threshold] of this.settings.surge) {
      const on = this.queue.size > above || (this.surgeAt >= above && this.queue.size * 10 >= above * 8);
      if (on && above >= level) [level, this.threshold] = [above, threshold];
    }
    this.surgeAt = level;
  }

  openRestoreWindow(known) {
    this.seq = Math.max(this.seq, known);
    this.seqAtLeast = true; // and above Redis' clock: the next reply has it
    this.restoring = true;
    this.consumedLoaded = false;
  }

  room(limited) {
    if (this.settings.status !== 'open' || this.restoring) return 0;
    let left = this.threshold - this.active.size;
    if (limited && this.settings.outflow > 0) left = Math.min(left, this.settings.outflow - this.outflowUsed);
    const { seats, autoHold } = this.settings;
    if (seats > 0 && autoHold > 0) {
      const later = this.free ? Math.max(0, this.n - this.free.admitted) : 0;
      const free = this.free ? Math.max(0, this.free.seats - later * autoHold) : 0;
      left = Math.min(left, Math.ceil(free / autoHold));
    }
    return Math.max(left, 0);
  }

  // ---- the two moves ----

  admit(kind, buyer, place) {
    this.active.set(buyer, place);
    this.n++;
    if (kind !== 'restored' && this.settings.outflow > 0) this.outflowUsed++;
    this.log.push({ kind, buyer, place, epoch: this.epoch, inside: this.active.size, threshold: this.threshold, n: this.n });
  }

  depart(kind, buyer) {
    const place = this.active.get(buyer);
    this.active.delete(buyer);
    this.idle.delete(buyer);
    this.late.delete(buyer);
    this.use(buyer, place);
    this.log.push({ kind, buyer, place, epoch: this.epoch, inside: this.active.size, threshold: this.threshold, n: this.n });
  }

  use(buyer, place) {
    this.consumed.set(buyer, Math.max(this.consumed.get(buyer) ?? 0, place));
  }

  wait(buyer, place) {
    this.queue.set(buyer, place);
    this.seq = Math.max(this.seq, place);
  }

  // ---- the scripts ----

  // place(i): the place the script gave the i-th buyer, asked only of newcomers.
  join(buyers, known, place) {
    this.bringUpToDate(known);
    const closed = this.settings.status === 'closed';
    const came = new Set();
    const states = buyers.map(({ buyer, mode, ticket, pass }, i) => {
      if (this.active.has(buyer)) {
        this.idle.delete(buyer);
        return came.has(buyer) ? 'direct' : 'active';
      }
      if (closed) return 'closed';
      const consumed = this.consumed.get(buyer) ?? 0;
      const worth = (proof) => (proof && proof.place && proof.epoch === this.epoch && proof.place > consumed ? proof.place : 0);
      const [tp, pp] = [worth(ticket), worth(pass)];
      const best = Math.min(tp || Infinity, pp || Infinity);
      if (pp && (!this.restoring || this.consumedLoaded) && this.active.size < this.threshold) {
        this.queue.delete(buyer);
        this.parked.delete(buyer);
        this.silent.delete(buyer);
        this.seq = Math.max(this.seq, pp);
        this.admit('restored', buyer, pp);
        return 'active';
      }
      if (this.queue.has(buyer)) {
        if (best < this.queue.get(buyer)) this.queue.set(buyer, best);
      } else if (this.parked.has(buyer)) {
        this.wait(buyer, Math.min(best, this.parked.get(buyer)));
        this.parked.delete(buyer);
      } else if (best < Infinity) {
        this.wait(buyer, best);
      } else if (mode !== 'resume') {
        let fresh = place(i);
        if (fresh <= this.seq) {
          // Only right when the same buyer presents an older place later in this call.
          if (!buyers.slice(i + 1).some((later) => later.buyer === buyer)) throw new Error(`place ${fresh} is not above seq ${this.seq}`);
          fresh = this.seq + 1;
          this.seqAtLeast = true;
        }
        this.seq = fresh;
        if (this.queue.size === 0 && this.room(true) > 0) {
          this.admit('direct', buyer, fresh);
          came.add(buyer);
          return 'direct';
        }
        this.wait(buyer, fresh);
      } else {
        return 'gone';
      }
      this.silent.delete(buyer);
      return 'waiting';
    });
    // One buyer twice in a call: both replies have the state at its end.
    return buyers.map(({ buyer }, i) => {
      if (closed) return { state: this.active.has(buyer) ? 'active' : 'closed' };
      if (this.active.has(buyer)) return { state: came.has(buyer) ? 'direct' : 'active', place: this.active.get(buyer) };
      if (this.queue.has(buyer)) return { state: 'waiting', place: this.queue.get(buyer), position: this.order().indexOf(buyer) + 1 };
      return { state: states[i], place: 0 };
    });
  }

  order() {
    return [...this.queue.keys()].sort((a, b) => this.queue.get(a) - this.queue.get(b));
  }

  state(buyer) {
    if (this.active.has(buyer)) return { state: 'active', place: this.active.get(buyer) };
    if (this.queue.has(buyer)) return { state: 'waiting', place: this.queue.get(buyer) };
    if (this.parked.has(buyer)) return { state: 'parked', place: this.parked.get(buyer) };
    return { state: 'gone', place: 0 };
  }

  seen(buyers) {
    this.bringUpToDate();
    return buyers.map((buyer) => {
      if (this.active.has(buyer)) this.idle.delete(buyer);
      else if (this.queue.has(buyer)) this.silent.delete(buyer);
      const state = this.state(buyer);
      return state.state === 'waiting' ? { state: 'waiting', place: 0 } : state;
    });
  }

  leave(buyers, reason) {
    this.bringUpToDate();
    return buyers.map(({ buyer, place = 0, epoch = 0 }) => {
      const stale = place > 0 && epoch !== this.epoch;
      const given = stale ? 0 : place;
      let result = { state: 'gone', place: 0 };
      if (!(stale && reason === 'completed')) {
        const has = this.state(buyer);
        const ends = reason === 'left' || (has.state === 'active' && given === 0) || has.place <= given;
        if (has.state !== 'gone' && ends) {
          result = has;
          if (has.state === 'active') {
            this.depart(reason, buyer);
          } else {
            this.queue.delete(buyer);
            this.parked.delete(buyer);
            this.silent.delete(buyer);
            this.use(buyer, has.place);
            this.log.push({ kind: 'withdrawn', buyer, place: has.place, epoch: this.epoch, inside: this.active.size, threshold: this.threshold, n: this.n });
          }
        }
      }
      if (given > result.place) {
        this.use(buyer, given);
        result.place = given;
      }
      return result;
    });
  }

  promote({ admit, known, moves }) {
    this.bringUpToDate(known);
    let budget = moves;
    const done = { entered: 0, idle: 0, timeout: 0, parked: 0 };
    for (const [kind, marks] of [['idle', this.idle], ['timeout', this.late]]) {
      for (const [buyer] of [...marks].sort((a, b) => a[1] - b[1]).slice(0, budget)) {
        this.depart(kind, buyer);
        done[kind]++;
        budget--;
      }
    }
    let left = this.room(admit === 0);
    if (admit > 0) left = Math.min(left, admit);
    for (const buyer of this.order()) {
      if (left <= 0 || budget <= 0) break;
      const place = this.queue.get(buyer);
      this.queue.delete(buyer);
      budget--;
      if (this.silent.delete(buyer)) {
        this.parked.set(buyer, place);
        done.parked++;
      } else {
        this.admit('promote', buyer, place);
        done.entered++;
        left--;
      }
    }
    return { ...done, more: budget <= 0 ? 1 : 0 };
  }

  // The status in force follows from the stored one and the times, which tests set far from now.
  inForce({ status, opensAt, closesAt }) {
    const past = (time) => time > 0 && time < Date.now();
    if (status === 'closed' || past(closesAt)) return 'closed';
    if (status === 'open' && opensAt > 0 && !past(opensAt)) return 'scheduled';
    if (status === 'scheduled' && past(opensAt)) return 'open';
    return status;
  }

  configure(stored, version, epoch, known) {
    const settings = { ...stored, status: this.inForce(stored) };
    if (!this.configured) {
      Object.assign(this, { settings, version, epoch, configured: true });
      this.bringUpToDate();
      if (known > 0) this.openRestoreWindow(known);
    } else {
      if (version > this.version) Object.assign(this, { settings, version });
      this.bringUpToDate(known);
      if (epoch > this.epoch) this.clear(epoch);
    }
    this.seq = Math.max(this.seq, known);
  }

  clear(epoch) {
    if (epoch <= this.epoch) return false;
    this.forgetBuyers();
    this.epoch = epoch;
    Object.assign(this, { surgeAt: 0, outflowUsed: 0, restoring: false, consumedLoaded: true, threshold: this.settings.threshold });
    this.log.push({ kind: 'cleared', buyer: '', place: 0, epoch, inside: 0, threshold: this.threshold, n: this.n });
    return true;
  }

  loadConsumed(pairs, epoch, last, windowOver) {
    this.bringUpToDate();
    if (epoch !== this.epoch) return 0;
    for (const [buyer, place] of pairs) this.use(buyer, place);
    let removed = 0;
    const used = (buyer, place) => place <= this.consumed.get(buyer);
    const named = [...new Set(pairs.map(([buyer]) => buyer))];
    for (const map of [this.queue, this.parked]) {
      for (const buyer of named) {
        if (!map.has(buyer) || !used(buyer, map.get(buyer))) continue;
        map.delete(buyer);
        this.silent.delete(buyer);
        removed++;
      }
    }
    for (const buyer of named) {
      if (!this.active.has(buyer) || !used(buyer, this.active.get(buyer))) continue;
      this.depart('left', buyer);
      removed++;
    }
    if (last && !this.consumedLoaded) {
      this.consumedLoaded = true;
      if (windowOver) this.restoring = false;
    }
    return removed;
  }
}
