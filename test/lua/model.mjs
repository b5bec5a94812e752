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
    this.restoredTo = 0; // places up to it may come back without another loss; the clock is in it, so the test tells it
    this.bucket = undefined; // of outflowPerMinute: { tokens, rate }; the time stands still
    this.surgeAt = 0;
  }

  forgetBuyers() {
    this.queue = new Map();
    this.parked = new Map();
    this.unclaimed = new Set(); // of the parked: only a claim brings them back
    this.kept = new Map(); // buyer -> { place, idle, missed, rests }: an admission ended, and the place was left to them
    this.active = new Map();
    this.numbers = new Map(); // buyer inside -> n of the admission
    this.offered = new Set(); // of the buyers inside: not claimed
    this.paying = new Set(); // of the buyers inside: a payment is pending
    this.consumed = new Map();
    this.networks = new Map(); // network -> new places
    this.refused = new Map(); // network -> refusals
    this.heard = new Set(); // of the waiting: a heartbeat has come after the place, or it was no new place
    this.silent = new Set();
    this.idle = new Map(); // buyer -> score
    this.late = new Map();
    this.runOut = new Map(); // offers
    this.payEnds = new Map(); // payments whose deadline has passed
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
    this.threshold = Math.max(this.settings.threshold, this.threshold);
    this.surgeAt = level;
  }

  openRestoreWindow(known) {
    this.seq = Math.max(this.seq, known);
    this.seqAtLeast = true; // and above Redis' clock: the next reply has it
    this.restoring = true;
    this.consumedLoaded = false;
  }

  // The most tokens that the bucket holds: those of a second, and at least one.
  burst(rate = this.settings.outflow) {
    return Math.max(1, rate / 60);
  }

  tokens() {
    return this.bucket?.tokens ?? this.burst();
  }

  // What each limit leaves; seats: Infinity where seats do not limit admissions.
  rooms(limited) {
    const { seats, autoHold, outflow } = this.settings;
    const later = this.free ? Math.max(0, this.n - this.free.admitted) : 0;
    const free = this.free ? Math.max(0, this.free.seats - later * autoHold) : 0;
    return {
      threshold: this.threshold - this.active.size,
      outflow: limited && outflow > 0 ? Math.floor(this.tokens()) : Infinity,
      seats: seats > 0 && autoHold > 0 ? Math.ceil(free / autoHold) : Infinity,
    };
  }

  room(limited) {
    if (this.settings.status !== 'open' || this.restoring) return 0;
    return Math.max(Math.min(...Object.values(this.rooms(limited))), 0);
  }

  // The words that may be given as the reason why no more enter.
  limitedBy(limited) {
    const { status } = this.settings;
    if (status !== 'open') return [{ sold_out: 'seats', draft: 'closed' }[status] ?? status];
    if (this.restoring) return ['restoring'];
    if (this.queue.size === 0) return ['empty'];
    const rooms = this.rooms(limited);
    const least = Math.max(0, Math.min(...Object.values(rooms)));
    return Object.keys(rooms).filter((name) => Math.max(0, rooms[name]) === least);
  }

  // ---- the moves ----

  note(kind, buyer, place, n = this.n) {
    this.log.push({ kind, buyer, place, epoch: this.epoch, inside: this.active.size, threshold: this.threshold, n });
  }

  admit(kind, buyer, place) {
    this.active.set(buyer, place);
    this.numbers.set(buyer, ++this.n);
    if (kind === 'offered') this.offered.add(buyer);
    const rate = this.settings.outflow;
    if (kind !== 'restored' && rate > 0) this.bucket = { tokens: Math.max(0, this.tokens() - 1), rate };
    this.note(kind, buyer, place);
  }

  claim(buyer) {
    this.offered.delete(buyer);
    const note = this.keptNote(buyer, this.active.get(buyer));
    if (note.idle) this.kept.set(buyer, { ...note, missed: 0, rests: false });
    else this.kept.delete(buyer);
    this.runOut.delete(buyer);
    this.note('claimed', buyer, this.active.get(buyer), this.numbers.get(buyer));
  }

  endAdmission(kind, buyer) {
    const place = this.active.get(buyer);
    const n = this.numbers.get(buyer);
    for (const each of [this.active, this.numbers, this.offered, this.paying, this.idle, this.late, this.runOut, this.payEnds]) each.delete(buyer);
    this.note(kind, buyer, place, n);
    return place;
  }

  keptNote(buyer, place) {
    const note = this.kept.get(buyer);
    return note?.place === place ? note : { place, idle: false, missed: 0, rests: false };
  }

  // Is it a parked buyer whom no claim brings back now?
  rests(buyer) {
    return this.unclaimed.has(buyer) && this.keptNote(buyer, this.parked.get(buyer)).rests;
  }

  depart(kind, buyer) {
    this.use(buyer, this.endAdmission(kind, buyer));
    this.kept.delete(buyer);
  }

  setAside(kind, buyer) {
    this.parked.set(buyer, this.endAdmission(kind, buyer));
    this.unclaimed.add(buyer);
  }

  unpark(buyer) {
    this.parked.delete(buyer);
    this.unclaimed.delete(buyer);
  }

  use(buyer, place) {
    this.consumed.set(buyer, Math.max(this.consumed.get(buyer) ?? 0, place));
  }

  // A buyer who gets a lower place has that one alone.
  giveUp(place) {
    this.use(`x:${place}`, place);
  }

  // A heartbeat of a buyer who waits.
  hear(buyer) {
    this.heard.add(buyer);
    this.silent.delete(buyer);
  }

  // The buyer waits no more.
  unhear(buyer) {
    this.heard.delete(buyer);
    this.silent.delete(buyer);
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
    const refused = new Set();
    const claims = [];
    const untold = new Set(); // buyers with a place from this call, of which there is no ticket
    const states = buyers.map(({ buyer, mode, ticket, pass, network }, i) => {
      if (this.isOver()) return 'closed';
      if (this.active.has(buyer)) {
        if (this.offered.has(buyer) && mode !== 'resume') claims.push(buyer);
        this.idle.delete(buyer);
        return came.has(buyer) ? 'direct' : 'active';
      }
      const consumed = this.consumed.get(buyer) ?? 0;
      const own = this.queue.get(buyer) ?? this.parked.get(buyer) ?? 0;
      const worth = (proof) => (proof && proof.place && proof.epoch === this.epoch && proof.place > consumed
        && (proof.place === own || !this.consumed.has(`x:${proof.place}`)) ? proof.place : 0);
      const [tp, pp] = [worth(ticket), worth(pass)];
      const best = Math.min(tp || Infinity, pp || Infinity);
      // Closed: only an admission may come back, by its pass.
      if (best < Infinity && best > this.restoredTo && !this.restoring && !this.queue.has(buyer) && !this.parked.has(buyer)) this.openRestoreWindow(best);
      if (pp && !(pass.ended && this.keptNote(buyer, pp).idle) && (!this.restoring || this.consumedLoaded) && this.active.size < this.threshold) {
        if (own > pp && !untold.has(buyer)) this.giveUp(own);
        this.queue.delete(buyer);
        this.unpark(buyer);
        this.unhear(buyer);
        this.seq = Math.max(this.seq, pp);
        this.admit('restored', buyer, pp);
        return 'active';
      }
      if (closed) return 'closed';
      if (this.queue.has(buyer)) {
        if (best < own) {
          if (!untold.delete(buyer)) this.giveUp(own);
          this.queue.set(buyer, best);
        }
      } else if (this.unclaimed.has(buyer) && (mode === 'resume' || this.rests(buyer))) {
        return 'unclaimed';
      } else if (this.parked.has(buyer)) {
        if (best < own) this.giveUp(own);
        this.wait(buyer, Math.min(best, own));
        this.unpark(buyer);
        this.note('returned', buyer, this.queue.get(buyer));
      } else if (best < Infinity) {
        this.wait(buyer, best);
      } else if (mode === 'j' || mode === 'd') {
        const most = this.settings.placesPerNetwork;
        const counted = [ticket, pass].some((proof) => proof?.place && proof.epoch === this.epoch);
        if (mode === 'd' && (this.queue.size > 0 || this.room(true) <= 0)) return 'gone';
        if (network && most > 0 && !counted) {
          const had = this.networks.get(network) ?? 0;
          if (mode === 'd' && had >= most) return 'gone';
          if (had >= most) {
            this.refused.set(network, (this.refused.get(network) ?? 0) + 1);
            refused.add(buyer);
            return 'refused';
          }
          this.networks.set(network, had + 1);
        }
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
        untold.add(buyer);
        return 'waiting';
      } else {
        return 'gone';
      }
      this.hear(buyer);
      return 'waiting';
    });
    for (const buyer of new Set(claims)) this.claim(buyer);
    // One buyer twice in a call: both replies have the state at its end.
    return buyers.map(({ buyer }, i) => {
      if (this.isOver()) return { state: 'closed' };
      if (this.offered.has(buyer)) return { state: 'offered', place: this.active.get(buyer) };
      if (closed) return { state: this.active.has(buyer) ? 'active' : 'closed' };
      if (this.active.has(buyer)) return { state: came.has(buyer) ? 'direct' : 'active', place: this.active.get(buyer) };
      if (this.unclaimed.has(buyer)) return { state: 'unclaimed', place: this.parked.get(buyer) };
      if (this.queue.has(buyer)) return { state: 'waiting', place: this.queue.get(buyer), position: this.order().indexOf(buyer) + 1 };
      return { state: refused.has(buyer) ? 'refused' : states[i], place: 0 };
    });
  }

  order() {
    return [...this.queue.keys()].sort((a, b) => this.queue.get(a) - this.queue.get(b));
  }

  state(buyer) {
    if (this.active.has(buyer) && !this.isOver()) return { state: this.offered.has(buyer) ? 'offered' : 'active', place: this.active.get(buyer) };
    if (this.queue.has(buyer)) return { state: 'waiting', place: this.queue.get(buyer) };
    if (this.parked.has(buyer)) return { state: this.unclaimed.has(buyer) ? 'unclaimed' : 'parked', place: this.parked.get(buyer) };
    return { state: 'gone', place: 0 };
  }

  // What the buyer has, whether or not their turn is over.
  held(buyer) {
    return this.active.has(buyer) ? { state: 'active', place: this.active.get(buyer) } : this.state(buyer);
  }

  seen(buyers, claims) {
    this.bringUpToDate();
    for (const buyer of buyers) if (this.queue.has(buyer)) this.hear(buyer);
    const back = new Set();
    if (claims && !buyers.every((buyer) => this.queue.has(buyer))) {
      for (const buyer of new Set(buyers)) if (this.offered.has(buyer) && !this.isOver()) this.claim(buyer);
      for (const buyer of new Set(buyers)) {
        if (!this.parked.has(buyer) || this.settings.status === 'closed' || this.rests(buyer)) continue;
        back.add(buyer);
        this.queue.set(buyer, this.parked.get(buyer));
        this.unpark(buyer);
        this.hear(buyer);
        this.note('returned', buyer, this.queue.get(buyer));
      }
    }
    return buyers.map((buyer) => {
      if (this.active.has(buyer) && !this.isOver()) this.idle.delete(buyer);
      const state = this.state(buyer);
      return state.state === 'waiting' && !back.has(buyer) ? { state: 'waiting', place: 0 } : state;
    });
  }

  pay(buyer, pending) {
    this.bringUpToDate();
    if (this.isOver()) return { state: 'closed', place: 0 };
    if (!this.active.has(buyer)) return { state: 'gone', place: 0 };
    if (this.offered.has(buyer)) this.claim(buyer);
    if (!pending) {
      this.endPayment(buyer);
    } else if (!this.late.has(buyer)) { // a payment that begins after the session gets no time
      this.paying.add(buyer);
      this.payEnds.delete(buyer);
      this.idle.delete(buyer);
    }
    return { state: 'active', place: this.active.get(buyer) };
  }

  endPayment(buyer) {
    this.payEnds.delete(buyer);
    if (this.paying.delete(buyer)) this.idle.delete(buyer);
  }

  leave(buyers, reason) {
    this.bringUpToDate();
    return buyers.map(({ buyer, place = 0, epoch = 0 }) => {
      const stale = place > 0 && epoch !== this.epoch;
      const given = stale ? 0 : place;
      let result = { state: 'gone', place: 0 };
      if (!(stale && reason === 'completed')) {
        const has = this.held(buyer);
        const isInside = this.active.has(buyer);
        const ends = reason === 'left' || (isInside && given === 0) || has.place <= given;
        if (has.state !== 'gone' && ends) {
          result = { place: has.place, state: { offered: 'active', unclaimed: 'parked' }[has.state] ?? has.state };
          if (isInside) {
            this.depart(reason, buyer);
          } else {
            this.queue.delete(buyer);
            this.unpark(buyer);
            this.kept.delete(buyer);
            this.unhear(buyer);
            this.use(buyer, has.place);
            this.note('withdrawn', buyer, has.place);
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

  promote({ admit, known, moves, part = 'tick' }) {
    this.bringUpToDate(known);
    let budget = moves;
    const done = { entered: 0, idle: 0, timeout: 0, parked: 0, unclaimed: 0, kept: 0 };
    const late = (marks) => {
      const list = [...marks].sort((a, b) => a[1] - b[1]).slice(0, budget).map(([buyer]) => buyer);
      budget -= list.length;
      return list;
    };
    const whole = part === 'tick';
    if (this.isOver() && part !== 'refill') this.endTurns(late, done);
    for (const buyer of whole ? late([...this.late].filter(([buyer]) => !this.paying.has(buyer))) : []) {
      this.depart('timeout', buyer);
      done.timeout++;
    }
    const idle = whole ? late(this.idle) : [];
    for (const buyer of idle.filter((each) => this.keptNote(each, this.active.get(each)).idle)) {
      this.depart('idle', buyer);
      done.idle++;
      idle.splice(idle.indexOf(buyer), 1);
    }
    for (const buyer of idle) {
      this.setAside('idle_kept', buyer);
      this.kept.set(buyer, { place: this.parked.get(buyer), idle: true, missed: 0, rests: false });
      done.kept++;
    }
    for (const buyer of part === 'refill' ? [] : late(this.runOut)) {
      this.runOffer(buyer);
      done.unclaimed++;
    }
    for (const buyer of whole ? late(this.payEnds) : []) this.endPayment(buyer);
    let left = this.room(admit === 0);
    if (admit > 0) left = Math.min(left, admit);
    while (left > 0 && budget > 0 && this.queue.size > 0) {
      const head = this.order().slice(0, Math.min(left, budget));
      const silent = head.filter((buyer) => this.silent.has(buyer));
      let live = head.length - silent.length;
      for (const buyer of [...silent, ...head.filter((each) => !silent.includes(each))]) {
        const place = this.queue.get(buyer);
        this.queue.delete(buyer);
        budget--;
        this.heard.delete(buyer);
        if (this.silent.delete(buyer)) {
          this.parked.set(buyer, place);
          this.note('parked', buyer, place);
          done.parked++;
        } else {
          if (live > 0 && admit > 0 && this.settings.outflow > 0) this.note('by_hand', '', live);
          live = 0;
          this.admit('offered', buyer, place);
          done.entered++;
          left--;
        }
      }
    }
    return { ...done, more: budget <= 0 ? 1 : 0 };
  }

  // The turns of a closed event are over: claimed ones are consumed, offers keep their places.
  endTurns(late, done) {
    const inside = late(this.active).map((buyer) => [buyer, this.offered.has(buyer)]);
    for (const [buyer] of inside.filter(([, offered]) => !offered)) {
      this.depart('timeout', buyer);
      done.timeout++;
    }
    for (const [buyer] of inside.filter(([, offered]) => offered)) {
      this.runOffer(buyer);
      done.unclaimed++;
    }
  }

  runOffer(buyer) {
    this.setAside('unclaimed', buyer);
    const { idle: was, missed } = this.keptNote(buyer, this.parked.get(buyer));
    this.kept.set(buyer, { place: this.parked.get(buyer), idle: was, missed: missed + 1, rests: missed > 0 });
  }

  // Does closing end the turns of those inside, and has it? Times are far from now, in tests.
  isOver() {
    const { status, closeGraceMs, closedAt, closesAt, stored } = this.settings;
    if (status !== 'closed' || closeGraceMs < 0) return false;
    const times = [stored === 'closed' ? closedAt : 0, closesAt < Date.now() ? closesAt : 0].filter((time) => time > 0);
    return closeGraceMs === 0 || Math.min(...times) + closeGraceMs <= Date.now();
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
    const settings = { ...stored, stored: stored.status, status: this.inForce(stored) };
    if (!this.configured) {
      Object.assign(this, { settings, version, epoch, configured: true });
      this.bringUpToDate();
      if (known > 0) this.openRestoreWindow(known);
    } else {
      const reopened = version > this.version && this.settings.status === 'closed' && settings.status !== 'closed' && !this.consumedLoaded;
      if (version > this.version) Object.assign(this, { settings, version });
      this.bringUpToDate(known);
      if (reopened) this.openRestoreWindow(known);
      if (epoch > this.epoch) this.clear(epoch);
    }
    const rate = this.settings.outflow;
    if (rate !== (this.bucket?.rate ?? 0)) {
      this.bucket = { tokens: Math.min(this.tokens(), this.burst()), rate };
      this.note('outflow', '', rate);
    }
    this.seq = Math.max(this.seq, known);
  }

  clear(epoch) {
    if (epoch <= this.epoch) return false;
    this.forgetBuyers();
    this.epoch = epoch;
    Object.assign(this, { surgeAt: 0, restoring: false, consumedLoaded: true, threshold: this.settings.threshold });
    this.note('cleared', '', 0);
    return true;
  }

  // rows: [buyer, consumed place, later place that was kept]
  loadConsumed(rows, epoch, last, windowOver) {
    this.bringUpToDate();
    if (epoch !== this.epoch) return 0;
    for (const [buyer, , place] of rows) {
      if (place > 0 && !this.keptNote(buyer, place).idle) this.kept.set(buyer, { ...this.keptNote(buyer, place), idle: true });
    }
    const pairs = rows.filter(([, place]) => place > 0);
    for (const [buyer, place] of pairs) this.use(buyer, place);
    let removed = 0;
    const used = (buyer, place) => place <= this.consumed.get(buyer);
    const named = [...new Set(pairs.map(([buyer]) => buyer))];
    for (const map of [this.queue, this.parked]) {
      for (const buyer of named) {
        if (!map.has(buyer) || !used(buyer, map.get(buyer))) continue;
        map.delete(buyer);
        this.unclaimed.delete(buyer);
        this.kept.delete(buyer);
        this.unhear(buyer);
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
