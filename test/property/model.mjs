// SPDX-License-Identifier: MIT
//
// The seats, reservations and payments of one sale in plain JavaScript: a few lists, no database, no locks, and a time
// that is set. Each method returns { outcome, … } as the SQL function of that step does. An expired hold does not
// count; nothing sweeps.
//
// Admissions come as the log tells them: offered or direct, claimed, ended. An end keeps the place or consumes it.
//
// Reservations and payments are named by their index, in order of creation. Plain data throughout,
// so that a copy is one structuredClone.

// The settings of an event that decide here. test/lua/model.test.mjs sets every setting there is.
export const SETTINGS = ['maxSeats', 'holdMs', 'autoHold', 'claimMs'];

const RENEWAL_GAP = 10000; // ms: hold_renewal_gap() in sql/functions/hold.sql

export class Model {
  // endsAtSale: a purchase ends the buyer's admission, and their next hold has a new one.
  constructor({ rows, perRow, price, maxSeats, holdMs, autoHold = 0, claimMs = 0 }, { endsAtSale = false } = {}) {
    Object.assign(this, { price, maxSeats, holdMs, autoHold, claimMs, endsAtSale, now: 0, reservations: [], payments: [], keys: {} });
    // The log; the buyers inside: { place, n, offered, claimedAt }; places that were left to their buyers: { place, used, since }, of
    // which `used` says that a turn ended for idleness; the highest place of each buyer that is consumed.
    Object.assign(this, { log: [], inside: {}, kept: {}, consumed: {}, n: 0, places: 0 });
    this.seats = Array.from({ length: rows * perRow }, (_, i) => ({ row: Math.floor(i / perRow), number: i % perRow, sold: null, held: null }));
  }

  copy() {
    return Object.assign(Object.create(Model.prototype), structuredClone({ ...this }));
  }

  // ---- the present state ----

  status(r) {
    const { status, until } = this.reservations[r];
    return status === 'held' && until <= this.now ? 'expired' : status;
  }

  live(r) {
    return r !== null && this.status(r) === 'held';
  }

  seatStatus(seat) {
    return seat.sold !== null ? 'sold' : this.live(seat.held) ? 'held' : 'available';
  }

  heldBy(buyer) {
    const r = this.reservations.findIndex((reservation, i) => reservation.buyer === buyer && this.status(i) === 'held');
    return r < 0 ? null : r;
  }

  // Seats this buyer has bought, or (holding) has in any way.
  count(buyer, { holding = false, except = null } = {}) {
    return this.reservations.reduce((sum, reservation, i) => sum + (reservation.buyer === buyer && i !== except
      && (this.status(i) === 'confirmed' || (holding && this.status(i) === 'held')) ? reservation.seats.length : 0), 0);
  }

  free(own) {
    return (i) => this.seatStatus(this.seats[i]) === 'available' || (own !== null && this.seats[i].held === own && this.seats[i].sold === null);
  }

  // ---- seats ----

  take(r, sold) {
    for (const i of this.reservations[r].seats) this.seats[i] = { ...this.seats[i], sold: sold ? r : null, held: sold ? null : r };
  }

  giveBack(r) {
    for (const seat of this.seats) {
      if (seat.held === r) seat.held = null;
      if (seat.sold === r) seat.sold = null;
    }
  }

  // Seats side by side in the first row that has them: as near to its middle as there are, but so that no fewer groups of
  // as many fit beside them.
  best(n, isFree) {
    const perRow = this.seats.filter(({ row }) => row === 0).length;
    for (let begin = 0; begin < this.seats.length; begin += perRow) {
      const groups = [];
      for (let first = begin, last; first < begin + perRow; first = last + 1) {
        for (last = first; last < begin + perRow && isFree(last); last++);
        const fit = (length) => Math.floor(length / n);
        for (let at = first; at + n <= last; at++) {
          if (fit(at - first) + 1 + fit(last - at - n) === fit(last - first)) groups.push(Array.from({ length: n }, (_, k) => at + k));
        }
      }
      const away = (group) => Math.abs(group[0] + group.at(-1) - 2 * begin - (perRow - 1));
      groups.sort((a, b) => away(a) - away(b) || a[0] - b[0]);
      if (groups.length > 0) return groups[0];
    }
    return null;
  }

  // ---- hold, swap ----

  end(r, status) {
    Object.assign(this.reservations[r], { status, ended: this.now });
  }

  // How many admissions of the buyer have ended.
  admission(buyer) {
    return this.endsAtSale ? this.reservations.filter((earlier) => earlier.buyer === buyer && ['confirmed', 'refunded'].includes(earlier.status)).length : 0;
  }

  // The place that a request for seats comes with: of the admission, or of the last one, which has ended.
  placeOf(buyer) {
    return this.inside[buyer]?.place ?? this.consumed[buyer] ?? 0;
  }

  // The latest end of a hold made now. A hold renews the buyer's present one, and any of this admission that had one of
  // its seats within the last ten seconds: then the first one's time and one more holdMs is the end.
  renewableUntil(buyer, seats, own) {
    const renewed = this.reservations.filter((earlier, r) => earlier.buyer === buyer && (r === own
      || (earlier.admission === this.admission(buyer) && earlier.place === this.placeOf(buyer) && (earlier.ended ?? earlier.until) > this.now - RENEWAL_GAP && earlier.seats.some((seat) => seats.includes(seat)))));
    return Math.min(this.now + 2 * this.holdMs, ...renewed.map((earlier) => earlier.renewable));
  }

  hold({ buyer, seats, quantity, section = null, key = null }) {
    const order = { buyer, ...(seats ? { seats } : { quantity, section }), key };
    const wanted = seats ? [...seats].sort((a, b) => a - b).join() : `${quantity} of ${section}`;
    const first = key === null ? undefined : this.keys[`${buyer} ${key}`];
    if (first) return first.wanted === wanted ? { outcome: 'repeated', reservation: first.reservation } : { outcome: 'idempotency-conflict' };
    const n = seats ? seats.length : quantity;
    if (seats && new Set(seats).size !== n) return { outcome: 'invalid' };
    const place = this.placeOf(buyer);
    if (place > 0 && place <= (this.consumed[buyer] ?? 0)) return { outcome: 'not-admitted' };
    if (this.count(buyer) + n > this.maxSeats) return { outcome: 'limit' };
    const own = this.heldBy(buyer);
    const isFree = this.free(own);
    if (seats) {
      if (seats.some((i) => i >= this.seats.length)) return { outcome: 'unknown-seat' };
      const taken = seats.filter((i) => !isFree(i)).sort((a, b) => a - b);
      if (taken.length > 0) return { outcome: 'seat-taken', seats: taken };
    } else {
      if (section === 'nowhere') return { outcome: 'invalid' };
      seats = this.best(n, isFree);
      const left = this.seats.filter((_, i) => isFree(i)).length;
      if (!seats) return { outcome: n > 1 && n <= left ? 'no-adjacent' : 'no-seats' };
    }
    const renewable = this.renewableUntil(buyer, seats, own);
    if (renewable <= this.now) return { outcome: 'held-too-long' };
    if (own !== null) {
      this.end(own, 'cancelled');
      this.giveBack(own);
    }
    const until = Math.min(this.now + this.holdMs, renewable);
    const reservation = this.reservations.push({ buyer, status: 'held', seats: [...seats].sort((a, b) => a - b), until, renewable, ended: null, admission: this.admission(buyer), place, auto: 0, claimBy: null }) - 1;
    this.take(reservation, false);
    if (key !== null) this.keys[`${buyer} ${key}`] = { wanted, reservation, order };
    return { outcome: 'created', reservation };
  }

  cancel({ r, buyer }) {
    if (r === null) return { outcome: 'not-found' };
    if (this.reservations[r].buyer !== buyer) return { outcome: 'not-yours' };
    const status = this.status(r);
    if (status === 'confirmed') return { outcome: 'not-cancellable' };
    if (status === 'expired') return { outcome: 'expired' };
    if (status === 'held') {
      this.end(r, 'cancelled');
      this.giveBack(r);
    }
    return { outcome: 'cancelled' };
  }

  expire({ ms }) {
    this.now += ms;
    return { outcome: 'expired' };
  }

  // ---- admissions ----

  // kind: direct or offered, at the place that was kept or a new one.
  enter({ buyer, kind }) {
    const place = this.kept[buyer]?.place ?? ++this.places;
    this.inside[buyer] = { place, n: ++this.n, offered: kind === 'offered', claimedAt: kind === 'offered' ? null : this.now };
    this.note(kind, buyer);
    this.holdOnAdmission(buyer);
    return { outcome: 'consumed' };
  }

  note(kind, buyer, { place, n } = this.inside[buyer]) {
    this.log.push({ kind, buyer, place, n, at: this.now });
  }

  // Would this admission get a hold now, if its entry were read (again)?
  wantsHold(buyer) {
    const { place, n } = this.inside[buyer];
    const had = this.reservations.some((r) => r.buyer === buyer && r.place === place && (r.auto === n || r.status === 'confirmed'));
    return this.autoHold > 0 && this.heldBy(buyer) === null && !had && this.maxSeats > this.count(buyer) && this.seats.some((_, i) => this.free(null)(i));
  }

  holdOnAdmission(buyer) {
    if (!this.wantsHold(buyer)) return;
    const { place, n, offered } = this.inside[buyer];
    const isFree = this.free(null);
    const wanted = Math.min(this.autoHold, this.maxSeats - this.count(buyer));
    const perRow = this.seats.filter(({ row }) => row === 0).length;
    const away = (i) => Math.abs(2 * (i % perRow) - (perRow - 1));
    const scattered = this.seats.map((_, i) => i).filter(isFree)
      .sort((a, b) => this.seats[a].row - this.seats[b].row || away(a) - away(b) || a - b).slice(0, wanted);
    const seats = (this.best(wanted, isFree) ?? scattered).sort((a, b) => a - b);
    const until = this.now + this.holdMs + (offered ? this.claimMs : 0);
    this.reservations.push({
      buyer, status: 'held', seats, until, renewable: until + this.holdMs, ended: null, admission: this.admission(buyer), place, auto: n,
      claimBy: offered ? this.now + this.claimMs : null,
    });
    this.take(this.reservations.length - 1, false);
  }

  // The offer with which these seats were held is claimed: their time begins.
  startHold(r) {
    const reservation = this.reservations[r];
    if (reservation.claimBy === null || this.status(r) !== 'held') return;
    Object.assign(reservation, { until: this.now + this.holdMs, renewable: this.now + 2 * this.holdMs, claimBy: null });
  }

  autoHoldOf(buyer) {
    const { place, n } = this.inside[buyer];
    return this.reservations.findIndex((r) => r.buyer === buyer && r.place === place && r.auto === n && r.status === 'held');
  }

  claim({ buyer }) {
    this.note('claimed', buyer);
    Object.assign(this.inside[buyer], { offered: false, claimedAt: this.now });
    const r = this.autoHoldOf(buyer);
    if (r >= 0) this.startHold(r);
    return { outcome: 'consumed' };
  }

  // kind: unclaimed and idle_kept leave the place to the buyer, the others consume it.
  depart({ buyer, kind }) {
    const { place, claimedAt } = this.inside[buyer];
    const r = this.autoHoldOf(buyer);
    this.note(kind, buyer);
    if (r >= 0 && !this.payments.some((payment) => payment.r === r && payment.status === 'pending')) {
      this.end(r, 'cancelled');
      this.giveBack(r);
    }
    delete this.inside[buyer];
    if (kind === 'unclaimed') this.kept[buyer] ??= { place, used: null };
    else if (kind === 'idle_kept') this.kept[buyer] = { place, used: this.now - claimedAt, since: claimedAt };
    else this.consume(buyer, place);
    return { outcome: 'consumed' };
  }

  consume(buyer, place) {
    this.consumed[buyer] = Math.max(this.consumed[buyer] ?? 0, place);
    delete this.kept[buyer];
  }

  withdraw({ buyer }) {
    const { place } = this.kept[buyer];
    this.note('withdrawn', buyer, { place, n: this.n });
    this.consume(buyer, place);
    return { outcome: 'consumed' };
  }

  // The log is read once more from its beginning: what was copied has no effect.
  again() {
    for (const buyer of Object.keys(this.inside)) this.holdOnAdmission(Number(buyer));
    return { outcome: 'consumed' };
  }

  // ---- money ----

  total(r) {
    return this.reservations[r].seats.length * this.price;
  }

  sell(r) {
    const { buyer, seats } = this.reservations[r];
    const status = this.status(r);
    if (status !== 'held' && status !== 'expired') return false;
    if (!seats.every((i) => this.seatStatus(this.seats[i]) === 'available' || this.seats[i].held === r)) return false;
    if (status === 'expired' && seats.length + this.count(buyer, { holding: true, except: r }) > this.maxSeats) return false;
    this.end(r, 'confirmed');
    this.take(r, true);
    return true;
  }

  pay({ r, buyer }) {
    if (r === null) return { outcome: 'not-found' };
    if (this.reservations[r].buyer !== buyer) return { outcome: 'not-yours' };
    const status = this.status(r);
    if (status === 'confirmed') return { outcome: this.price === 0 ? 'repeated' : 'already-paid' };
    if (status === 'cancelled' || status === 'refunded') return { outcome: 'not-payable' };
    if (status === 'expired') return { outcome: 'expired' };
    if (this.price === 0) return { outcome: this.sell(r) ? 'confirmed' : 'expired' };
    this.startHold(r);
    let payment = this.payments.findIndex((known) => known.r === r && known.status === 'pending');
    if (payment < 0) payment = this.payments.push({ r, name: null, amount: this.total(r), status: 'pending' }) - 1;
    return { outcome: 'pending', payment };
  }

  // payment: an index, or null with the provider's own `name` of a reference that may be unknown here.
  webhook({ r, payment, name, word, wrong }) {
    if (r === null) return { outcome: 'not-found' };
    if (payment === null) payment = this.payments.findIndex((known) => known.name === name);
    const known = payment < 0 ? undefined : this.payments[payment];
    if (known && known.r !== r) return { outcome: 'reference-used' };
    if (wrong) return { outcome: 'wrong-amount' };
    const record = (status) => {
      if (known) known.status = status;
      else this.payments.push({ r, name, amount: this.total(r), status });
    };
    const was = known?.status ?? 'pending';
    if (word === 'paid' && (was === 'pending' || was === 'failed')) {
      const sold = this.sell(r);
      record(sold ? 'paid' : 'refund_due');
      return { outcome: sold ? 'confirmed' : 'refund-due' };
    }
    if (word === 'failed' && was === 'pending') {
      record('failed');
      return { outcome: 'failed' };
    }
    if (word === 'refunded' && was !== 'refunded') {
      record('refunded');
      if (was === 'paid' && this.status(r) === 'confirmed') this.undo(r);
      return { outcome: 'refunded' };
    }
    return { outcome: 'repeated' };
  }

  undo(r) {
    this.end(r, 'refunded');
    this.giveBack(r);
  }

  refund({ r }) {
    if (r === null) return { outcome: 'not-found' };
    const status = this.status(r);
    if (status === 'refunded') return { outcome: 'repeated' };
    if (status !== 'confirmed') return { outcome: 'not-refundable' };
    this.undo(r);
    for (const payment of this.payments) if (payment.r === r && payment.status === 'paid') payment.status = 'refund_due';
    return { outcome: 'refunded' };
  }

  sweep() {
    return { outcome: 'swept' };
  }

  // ---- to compare ----

  // By a purchase, by a departure; and what was left to its buyer for idleness, in `kept` also while it is used again.
  consumedPlaces() {
    const rows = {};
    const row = (buyer) => (rows[buyer] ??= { place: 0, kept: 0, used: 0, since: 0 });
    for (const { buyer, status, place } of this.reservations) if (status === 'confirmed' && place > 0) row(buyer).place = Math.max(row(buyer).place, place);
    for (const [buyer, place] of Object.entries(this.consumed)) row(buyer).place = Math.max(row(buyer).place, place);
    for (const [buyer, { place, used, since }] of Object.entries(this.kept)) {
      if (used !== null && place > (rows[buyer]?.place ?? 0)) Object.assign(row(buyer), { kept: place, used, since });
    }
    return rows;
  }

  state() {
    return {
      seats: this.seats.map((seat) => {
        const status = this.seatStatus(seat);
        return status === 'available' ? status : `${status} by ${status === 'sold' ? seat.sold : seat.held}`;
      }),
      reservations: this.reservations.map(({ buyer, seats, until }, r) => {
        const status = this.status(r);
        return { buyer, status, seats: seats.join(), total: this.total(r), until: status === 'held' ? until : null };
      }),
      payments: this.payments.map(({ r, amount, status }) => ({ r, amount, status })),
      log: this.log.map(({ kind, buyer, place, n }) => `${n} ${kind} ${buyer} ${place}`).sort(),
      consumed: this.consumedPlaces(),
    };
  }
}
