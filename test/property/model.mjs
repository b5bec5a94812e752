// SPDX-License-Identifier: MIT
//
// The seats, reservations and payments of one sale in plain JavaScript: a few lists, no database, no locks, and a time
// that is set. Each method returns { outcome, … } as the SQL function of that step does. An expired hold does not
// count; nothing sweeps.
//
// Reservations and payments are named by their index, in order of creation. Plain data throughout,
// so that a copy is one structuredClone.

// The settings of an event that decide here. test/lua/model.test.mjs sets every setting there is.
export const SETTINGS = ['maxSeats', 'holdMs'];

export class Model {
  constructor({ rows, perRow, price, maxSeats, holdMs }) {
    Object.assign(this, { price, maxSeats, holdMs, now: 0, reservations: [], payments: [], keys: {} });
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

  // The first seats side by side, from left to right, row by row.
  best(n, isFree) {
    let run = [];
    for (let i = 0; i < this.seats.length; i++) {
      const previous = this.seats[i - 1];
      if (!isFree(i)) continue;
      if (run.length > 0 && (run.at(-1) !== i - 1 || previous.row !== this.seats[i].row)) run = [];
      run.push(i);
      if (run.length === n) return run;
    }
    return null;
  }

  // ---- hold, swap ----

  hold({ buyer, seats, quantity, section = null, key = null }) {
    const order = { buyer, ...(seats ? { seats } : { quantity, section }), key };
    const wanted = seats ? [...seats].sort((a, b) => a - b).join() : `${quantity} of ${section}`;
    const first = key === null ? undefined : this.keys[`${buyer} ${key}`];
    if (first) return first.wanted === wanted ? { outcome: 'repeated', reservation: first.reservation } : { outcome: 'idempotency-conflict' };
    const n = seats ? seats.length : quantity;
    if (seats && new Set(seats).size !== n) return { outcome: 'invalid' };
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
    if (own !== null) {
      this.reservations[own].status = 'cancelled';
      this.giveBack(own);
    }
    const reservation = this.reservations.push({ buyer, status: 'held', seats: [...seats].sort((a, b) => a - b), until: this.now + this.holdMs }) - 1;
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
      this.reservations[r].status = 'cancelled';
      this.giveBack(r);
    }
    return { outcome: 'cancelled' };
  }

  expire({ ms }) {
    this.now += ms;
    return { outcome: 'expired' };
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
    this.reservations[r].status = 'confirmed';
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
    this.reservations[r].status = 'refunded';
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
    };
  }
}
