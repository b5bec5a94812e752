// SPDX-License-Identifier: MIT
//
// seats: the seats of a hall, as columns of numbers instead of 20,000 objects: a change then costs as much as
// the seats that changed. Seats are in the order of the hall (section, row, number); an index is a position
// in that order. Pure: no document, no network.
//
//   const hall = pack({ version, seats: […] });      // may run in a worker: the columns are transferable
//   const seats = new Seats(hall);
//   seats.apply({ from, version, seats: [{ id, status }] })  -> changed indices; null: read the map again

export const FREE = 0;
export const HELD = 1;
export const SOLD = 2;
const TIERS = 5;
const LETTERS = { a: 'available', h: 'held', s: 'sold', b: 'blocked' };
const CODES = { available: FREE, held: HELD, sold: SOLD, blocked: SOLD }; // a buyer cannot have it, whichever it is

// What to ask for: the map in its short form, unless it still has this version. The server gives the compressed copy a
// tag of its own.
export const mapRequest = (eventId, version) => ({
  path: `/api/seats/${eventId}?form=rows`, headers: version === undefined ? {} : { 'If-None-Match': `"${version}-rows", "${version}-rows-gz"` },
});

// The short form of a map, GET /api/seats/{id}?form=rows: runs of neighbouring seats -> its seats as an answer without
// ?form has them.
function* seatsOf({ currency, rows }) {
  for (const [section, row, number, price, id, statuses] of rows) {
    for (let k = 0; k < statuses.length; k++) yield { id: Number(id) + k, section, row, number: number + k, price, currency, status: LETTERS[statuses[k]] };
  }
}

// The answer of GET /api/seats -> columns. Ids are decimal texts below 2^53.
export function pack(map) {
  const seats = map.seats ?? [...seatsOf(map)];
  const count = seats.length;
  const ids = new Float64Array(count);
  const numbers = new Int32Array(count);
  const prices = new Float64Array(count);
  const status = new Uint8Array(count);
  const rows = []; // [section, row, first, end]
  let last;
  for (let i = 0; i < count; i++) {
    const seat = seats[i];
    ids[i] = Number(seat.id);
    numbers[i] = seat.number;
    prices[i] = seat.price;
    status[i] = CODES[seat.status];
    if (!last || last[0] !== seat.section || last[1] !== seat.row) rows.push((last = [seat.section, seat.row, i, i]));
    last[3] = i + 1;
  }
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => ids[a] - ids[b]);
  return { version: map.version, layout: map.layout, currency: seats[0]?.currency ?? 'EUR', ids, numbers, prices, status, rows, order };
}

export const transferable = (hall) => [hall.ids, hall.numbers, hall.prices, hall.status, hall.order].map((column) => column.buffer);

export class Seats {
  constructor(hall) {
    Object.assign(this, hall);
    this.count = this.ids.length;
    this.rows = hall.rows.map(([section, row, first, end], index) => ({ section, row, first, end, index }));
    this.rowOf = new Uint32Array(this.count);
    for (const row of this.rows) this.rowOf.fill(row.index, row.first, row.end);
    this.sections = [];
    for (const row of this.rows) {
      const section = this.sections.at(-1);
      if (section?.name === row.section) section.rows.push(row);
      else this.sections.push({ name: row.section, rows: [row] });
    }
    this.tiers = [...new Set(this.prices)].sort((a, b) => b - a);
    this.provisional = new Set(); // indices marked as taken before a map says so: see markTaken
    this.free = 0;
    for (const status of this.status) this.free += status === FREE;
  }

  id(i) {
    return String(this.ids[i]);
  }

  // 0 for the most expensive seats, up to TIERS - 1.
  tier(price) {
    const { tiers } = this;
    return Math.floor((tiers.indexOf(price) * Math.min(TIERS, tiers.length)) / tiers.length);
  }

  // -1: there is no such seat.
  index(id) {
    const wanted = Number(id);
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.ids[this.order[middle]] < wanted) low = middle + 1;
      else high = middle;
    }
    return low < this.count && this.ids[this.order[low]] === wanted ? this.order[low] : -1;
  }

  row(i) {
    return this.rows[this.rowOf[i]];
  }

  isFree(i) {
    return this.status[i] === FREE;
  }

  total(indices) {
    return indices.reduce((sum, i) => sum + this.prices[i], 0);
  }

  #set(i, status, changed) {
    if (this.status[i] === status) return;
    this.free += (status === FREE) - (this.status[i] === FREE);
    this.status[i] = status;
    changed.push(i);
  }

  // Marks seats as taken that a refused hold named. A map within the next second may be older than that
  // answer, so it does not make them free again.
  markTaken(indices) {
    for (const i of indices) {
      if (this.isFree(i)) this.provisional.add(i);
      this.#set(i, HELD, []);
    }
  }

  // After that second: the seats that no map confirmed as taken are free again. -> changed indices
  releaseUnconfirmed(indices) {
    const changed = [];
    for (const i of indices) if (this.provisional.delete(i)) this.#set(i, FREE, changed);
    return changed;
  }

  apply({ from, version, seats, reload }) {
    if (version <= this.version && !reload) return [];
    if (reload || from !== this.version || !seats) return null;
    const changed = [];
    for (const { id, status } of seats) {
      const i = this.index(id);
      if (i < 0) return null;
      this.provisional.delete(i);
      this.#set(i, CODES[status], changed);
    }
    this.version = version;
    return changed;
  }

  // Takes over a map of the same hall. -> changed indices; null: it is another hall, or has other names or prices
  update(hall) {
    if (hall.version < this.version) return [];
    if (hall.layout !== this.layout || hall.ids.length !== this.count) return null;
    for (let i = 0; i < this.count; i++) {
      if (hall.ids[i] !== this.ids[i]) return null;
    }
    const changed = [];
    for (let i = 0; i < this.count; i++) {
      if (hall.status[i] === FREE && this.provisional.has(i)) continue;
      this.provisional.delete(i);
      this.#set(i, hall.status[i], changed);
    }
    this.version = hall.version;
    return changed;
  }
}

// ---- the next best ----

const middle = (list) => (list[0] + list.at(-1)) / 2;

// n adjacent allowed seats of a row, as close as possible to the offset `place` within it; undefined: there
// are none.
function run(seats, row, n, place, allowed) {
  let best;
  for (let i = row.first; i + n <= row.end; i++) {
    const found = Array.from({ length: n }, (_, k) => i + k);
    const together = found.every((k) => allowed(k)) && seats.numbers[i + n - 1] - seats.numbers[i] === n - 1;
    const away = Math.abs(middle(found) - row.first - place);
    if (together && (!best || away < best.away)) best = { found, away };
  }
  return best;
}

// The seats closest to those wanted: as many, adjacent, in the same row or the nearest one, preferably in the
// same section. `own` count as free. undefined: there are none.
export function nextBest(seats, wanted, own = []) {
  if (wanted.length === 0) return undefined;
  const ownSet = new Set(own);
  const gone = new Set(wanted.filter((i) => !seats.isFree(i) && !ownSet.has(i)));
  const allowed = (i) => !gone.has(i) && (seats.isFree(i) || ownSet.has(i));
  const home = seats.row(wanted[0]);
  const place = middle(wanted) - home.first;
  let best;
  for (const row of seats.rows) {
    const far = Math.abs(row.index - home.index) * 2 + (row.section === home.section ? 0 : 1000);
    if (best && far >= best.cost) continue;
    const found = run(seats, row, wanted.length, place, allowed);
    const cost = found ? far + found.away : Infinity;
    if (found && (!best || cost < best.cost)) best = { found: found.found, cost };
  }
  return best?.found;
}
