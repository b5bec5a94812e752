// SPDX-License-Identifier: MIT
//
// Two drivers run the steps: one calls the SQL functions, on connections that are cut at any moment; the other sends
// HTTP requests to a running server. The clock of the database stands still until a step sets it, so that an expiry
// is a step like any other.

import assert from 'node:assert/strict';
import pg from 'pg';
import { Client, Organizer, SECRETS, decode, dice, exchange, pause, waitUntil, webhookHeaders } from '../fixtures/index.mjs';

// Close to the real time, which upkeep still uses.
const START = Date.now();
export const PROVIDER = 'test';

// Replaces the clock that the functions of this database see: a schema before pg_catalog in the search path.
export async function stopClock(database) {
  await database.query(`
    CREATE SCHEMA tested;
    CREATE TABLE tested.clock (now timestamptz NOT NULL);
    INSERT INTO tested.clock VALUES (to_timestamp(${START / 1000}));
    CREATE FUNCTION tested.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT now FROM tested.clock';
    DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = tested, public, pg_catalog', current_database()); END $$`);
}

// A connection that reconnects.
class Line {
  constructor(url) {
    this.url = url;
  }

  async connect() {
    const client = new pg.Client({ connectionString: this.url });
    client.on('error', () => this.drop(client));
    await client.connect();
    this.client = client;
  }

  drop(client = this.client) {
    if (this.client === client) this.client = undefined;
    client?.end().catch(() => {});
  }

  // on: only by this client, which has begun a transaction.
  async query(text, values, on) {
    if (on && this.client !== on) throw new Error('the connection is gone');
    if (!this.client) await this.connect();
    const { client } = this;
    try {
      return (await client.query(text, values)).rows;
    } catch (error) {
      if (isLost(error)) this.drop(client);
      throw error;
    }
  }

  // Repeats a statement that may run twice until it has run.
  async surely(text, values) {
    return waitUntil(() => this.query(text, values).catch((error) => {
      if (!isLost(error)) error.final = true;
      throw error;
    }), 30000, 'PostgreSQL to come back');
  }

  get pid() {
    return this.client?.processID;
  }
}

// True when the connection or the server is gone, so that the effect of the statement is unknown. Any other error of
// the database is one that no buyer should see.
function isLost(error) {
  return error.code === undefined || !/^[0-9A-Z]{5}$/.test(error.code) || error.code.startsWith('57P') || error.code.startsWith('08');
}

// What both drivers share: the sale, its clock, its rows, and the ids of the model's reservations and payments.
class Sale {
  constructor(reader, id, settings) {
    Object.assign(this, { reader, id, settings, ids: [], references: [], now: 0 });
  }

  async begin() {
    const [{ now, seats }] = await this.reader.surely(`SELECT (SELECT extract(epoch FROM now) * 1000 FROM tested.clock)::float8 AS now,
      (SELECT json_agg(id::text ORDER BY section_rank, row_rank, number) FROM seats WHERE event_id = $1) AS seats`, [this.id]);
    Object.assign(this, { base: now, seats });
    return this;
  }

  seatId(i) {
    return this.seats[i] ?? String(10 ** 12 + i);
  }

  reservationId(r) {
    return r === null ? '00000000-0000-4000-8000-000000000000' : this.ids[r];
  }

  reference({ payment, name }) {
    return payment === null ? `${this.id}-${name}` : this.references[payment];
  }

  async advance(ms) {
    this.now += ms;
    await this.reader.surely('UPDATE tested.clock SET now = to_timestamp($1::float8 / 1000)', [this.base + this.now]);
    return { outcome: 'expired' };
  }

  async read() {
    const [{ raw }] = await this.reader.surely(`SELECT json_build_object(
      'now', (SELECT ${MS('now')} FROM tested.clock),
      'seats', (SELECT json_agg(json_build_object('id', id::text, 'status', status, 'holder', holder, 'until', ${MS('held_until')}, 'price', price)
                ORDER BY section_rank, row_rank, number) FROM seats WHERE event_id = $1),
      'reservations', (SELECT coalesce(json_agg(json_build_object('id', id, 'buyer', buyer, 'status', status, 'until', ${MS('expires_at')},
                       'total', total, 'count', seat_count)), '[]') FROM reservations WHERE event_id = $1),
      'links', (SELECT coalesce(json_agg(json_build_object('reservation', reservation_id, 'seat', seat_id::text, 'live', live)), '[]')
                FROM reservation_seats WHERE event_id = $1),
      'payments', (SELECT coalesce(json_agg(json_build_object('reservation', p.reservation_id, 'reference', p.reference, 'amount', p.amount,
                   'status', p.status) ORDER BY p.id), '[]')
                   FROM payments p JOIN reservations r ON r.id = p.reservation_id WHERE r.event_id = $1),
      'log', (SELECT coalesce(json_agg(json_build_object('kind', kind, 'buyer', buyer, 'place', place, 'n', n)), '[]')
              FROM admissions WHERE event_id = $1),
      'consumed', (SELECT coalesce(json_agg(row_to_json(c)), '[]') FROM consumed_places($1, 1, '', 100) AS c)) AS raw`, [this.id]);
    return raw;
  }

  // The rows in the form of the model's state.
  state({ now, seats, reservations, links, payments, log, consumed }) {
    const ids = [...this.ids, ...reservations.map(({ id }) => id).filter((id) => !this.ids.includes(id))];
    const row = new Map(reservations.map((reservation) => [reservation.id, reservation]));
    return {
      seats: seats.map(({ status, holder, until }) =>
        (status === 'available' || (status === 'held' && until <= now) ? 'available' : `${status} by ${ids.indexOf(holder)}`)),
      reservations: ids.map((id) => {
        const { buyer, status, until, total } = row.get(id);
        const lapsed = status === 'held' && until <= now;
        return {
          buyer: Number(buyer.slice(3)), status: lapsed ? 'expired' : status,
          seats: links.filter((link) => link.reservation === id).map((link) => this.seats.indexOf(link.seat)).sort((a, b) => a - b).join(),
          total, until: status === 'held' && !lapsed ? until - this.base : null,
        };
      }),
      payments: payments.map(({ reservation, amount, status }) => ({ r: ids.indexOf(reservation), amount, status })),
      ...this.admissionState(log, consumed),
    };
  }

  admissionState(log, consumed) {
    return {
      log: log.map(({ kind, buyer, place, n }) => `${n} ${kind} ${buyer.slice(3)} ${place}`).sort(),
      consumed: Object.fromEntries(consumed.map(({ buyer, since, ...row }) => [buyer.slice(3), { ...row, since: since > 0 ? since - this.base : 0 }])),
    };
  }

  adopt({ reservations, payments }) {
    for (const { id } of reservations) if (!this.ids.includes(id)) this.ids.push(id);
    this.references = payments.map(({ reference }) => reference);
  }

  compareBody(body, expected) {
    if (expected.seats) assert.deepEqual([...body.seats].sort((a, b) => a - b), expected.seats.map((i) => this.seatId(i)), 'the seats named');
    const known = this.ids[expected.reservation];
    if (known) assert.equal(body.id, known, 'the same reservation');
    if (this.references[expected.payment]) assert.equal(body.reference, this.references[expected.payment], 'the same payment');
  }
}

const MS = (column) => `(extract(epoch FROM ${column}) * 1000)::bigint`;

const eventJson = (id, { maxSeats, holdMs, autoHold = 0, claimMs = 90000 }) => ({
  id, title: id, threshold: 1000, intervalMs: 200, idleTimeoutMs: 600000, sessionLimitMs: 3600000, holdMs, surge: [],
  outflowPerMinute: 0, autoHold, claimMs, maxSeats, allowGuests: true,
});
const grid = ({ rows, perRow, price }) => ({ grid: { section: 'S', rows, seatsPerRow: perRow, price, currency: 'EUR' } });

// ---- SQL ----

let sales = 0;

const CALLS = {
  hold: ['reservation_hold', (sale, { buyer, seats, quantity, section, key }) => [sale.id, `u:b${buyer}`,
    seats?.map((i) => sale.seatId(i)) ?? null, quantity ?? null, section ?? null, key === null || key === undefined ? null : `${sale.id}-${key}`, sale.place]],
  cancel: ['reservation_cancel', (sale, { buyer, r }) => [`u:b${buyer}`, sale.reservationId(r)]],
  pay: ['payment_begin', (sale, { buyer, r }) => [`u:b${buyer}`, sale.reservationId(r), PROVIDER, null, null]],
  webhook: ['payment_report', (sale, args) => [sale.reservationId(args.r), PROVIDER, sale.reference(args), args.amount, args.currency, args.word]],
  refund: ['payment_refund', (sale, { r }) => [sale.id, sale.reservationId(r), 'tester']],
  sweep: ['reservation_sweep', (sale, { limit }) => [limit]],
  ...Object.fromEntries(['enter', 'claim', 'depart', 'withdraw', 'again'].map((step) => [
    step, ['ledger_consume', (sale) => [sale.id, ...sale.entries(sale.after, step === 'again')]]])),
};

class SqlSale extends Sale {
  constructor(driver, id, settings) {
    super(driver.reader, id, settings);
    this.driver = driver;
  }

  compare({ outcome, body }, expected) {
    assert.equal(outcome, expected.outcome);
    this.compareBody(body, expected);
  }

  // Entries of the log with the steps' effect, as the program gives them to the ledger: [expected cursor, new cursor, entries].
  entries({ log, inside }, again) {
    const all = log.map(({ kind, buyer, place, n, at }, i) => ({
      id: `${i + 1}-0`, kind, departed: ['unclaimed', 'idle_kept', 'idle', 'timeout', 'left', 'completed', 'withdrawn'].includes(kind),
      buyer: `u:b${buyer}`, place, epoch: 1, at: this.base + at, inside: 1, threshold: 1000, n,
      active: ['offered', 'direct'].includes(kind) && inside[buyer]?.n === n,
    }));
    return [`${again ? 0 : log.length - 1}-0`, `${log.length}-0`, JSON.stringify(again ? all : all.slice(-1))];
  }

  // Returns the function's row; 'undone' when it was rolled back; undefined when the effect is unknown.
  async step(method, args, crash, after) {
    if (method === 'expire') return this.advance(args.ms);
    const [name, parameters] = CALLS[method];
    this.place = after.placeOf(args.buyer);
    this.after = after;
    if (name === 'ledger_consume') { // where an earlier step was cut off, or the log was lost
      const [expected] = this.entries(after, method === 'again');
      await this.reader.surely('UPDATE ledger_cursors SET consumed = $2 WHERE event_id = $1', [this.id, expected]);
    }
    const values = parameters(this, args);
    const text = `SELECT outcome, body FROM ${name}(${values.map((_, i) => `$${i + 1}`).join(', ')})`;
    const { line } = this.driver;
    if (!line.client) await line.surely('SELECT 1');
    const { pid, client } = line;
    const run = () => line.query(text, values, client).then(([row]) => row, (error) => {
      if (isLost(error)) return undefined;
      assert.fail(`${name}: ${error.code} ${error.message}`);
    });
    let answer;
    if (crash === 'rollback' || crash === 'cut') {
      // Even if another driver kills the server meanwhile, this transaction is not committed.
      await line.query('BEGIN', [], client).catch(() => {});
      await run();
      if (crash === 'rollback') await line.query('ROLLBACK', [], client).catch(() => {});
      else await this.driver.end(pid);
      answer = 'undone';
    } else if (crash === 'lost' || crash === 'kill') {
      const done = run();
      if (crash === 'kill') this.driver.kill(pid);
      else await this.driver.end(pid);
      answer = await done;
    } else {
      answer = await run();
    }
    if (line.client !== client || (crash && crash !== 'rollback')) await this.driver.gone(pid);
    return answer;
  }
}

export class SqlDriver {
  constructor(url) {
    Object.assign(this, { line: new Line(url), reader: new Line(url), mutants: [] });
  }

  async open(settings) {
    const id = `sale-${process.pid}-${++sales}`;
    await this.reader.surely(`SELECT event_create($1, 'owner', 'tester') WHERE NOT EXISTS (SELECT FROM events WHERE id = $2)`,
      [JSON.stringify(eventJson(id, settings)), id]);
    await this.reader.surely(`SELECT seats_add($1, 'tester', $2) WHERE NOT EXISTS (SELECT FROM seats WHERE event_id = $1)`,
      [id, JSON.stringify(grid(settings))]);
    await this.reader.surely(`UPDATE events SET status = 'open' WHERE id = $1`, [id]);
    return new SqlSale(this, id, settings).begin();
  }

  async end(pid) {
    await this.reader.surely('SELECT pg_terminate_backend($1)', [pid]);
  }

  // Kills the backend of the connection. The server then ends all others and recovers.
  kill(pid) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (error.code !== 'ESRCH') throw error; // ended together with another one
    }
  }

  async gone(pid) {
    this.line.drop();
    await waitUntil(async () => (await this.reader.surely('SELECT FROM pg_stat_activity WHERE pid = $1', [pid])).length === 0, 30000, 'a backend to end');
  }

  // Replaces a part of a function's text, which must be there.
  async mutate(name, from, to) {
    const [{ source }] = await this.reader.surely('SELECT pg_get_functiondef(oid) AS source FROM pg_proc WHERE proname = $1', [name]);
    assert.ok(source.includes(from), `${name} has no longer ${from}`);
    await this.reader.surely(source.replace(from, to));
  }

  close() {
    this.line.drop();
    this.reader.drop();
  }
}

// ---- HTTP ----

class HttpSale extends Sale {
  constructor(driver, id, settings) {
    super(driver.reader, id, settings);
    Object.assign(this, { driver, buyers: [], endsAtSale: true });
  }

  // The admissions over HTTP are the service's own affair.
  admissionState() {
    return { log: [], consumed: {} };
  }

  // One client per sale: the tickets and passes of all sales would be too many cookies.
  buyer(i) {
    return (this.buyers[i] ??= new Client(this.driver.server, { sub: `b${i}` }));
  }

  compare(answer, expected) {
    if (answer.outcome) return assert.equal(answer.outcome, expected.outcome);
    const code = GRANTED.has(expected.outcome) ? undefined : expected.outcome;
    assert.equal(answer.body?.code, code, `${answer.status} ${answer.text}`);
    if (PAYMENTS[expected.outcome] && answer.body.payment) assert.equal(answer.body.payment, PAYMENTS[expected.outcome]);
    return this.compareBody(answer.body, expected);
  }

  async hold({ buyer, seats, quantity, section, key }) {
    const client = this.buyer(buyer);
    const json = seats ? { eventId: this.id, seatIds: seats.map((i) => this.seatId(i)) } : { eventId: this.id, quantity, ...(section ? { section } : {}) };
    // After a purchase the admission ends a little later than the answer.
    return waitUntil(async () => {
      const place = await client.check(this.id);
      if (place.body.status !== 'active') throw new Error(`not inside: ${place.text}`);
      const [{ bought }] = await this.reader.surely(`SELECT EXISTS (SELECT FROM reservations WHERE event_id = $1 AND buyer = $2 AND place = $3
        AND status IN ('confirmed', 'refunded')) AS bought`, [this.id, `u:b${buyer}`, decode(place.body.pass).place]);
      if (bought) throw new Error('the admission of a purchase has not ended yet');
      const answer = await client.reserve(json, key === null || key === undefined ? {} : { 'idempotency-key': `${this.id}-${key}` });
      if (answer.body?.code === 'not-admitted') throw new Error(answer.text);
      return answer;
    }, 15000, 'an admission');
  }

  webhook(args) {
    const body = JSON.stringify({
      reservationId: this.reservationId(args.r), provider: PROVIDER, reference: this.reference(args), amount: args.amount,
      currency: args.currency, status: args.word,
    });
    return exchange(this.driver.server.url, 'POST', '/api/payments/webhook', { body, headers: webhookHeaders(body, { secret: SECRETS.PAYMENT_WEBHOOK_SECRETS }) });
  }

  send(method, args) {
    if (method === 'hold') return this.hold(args);
    if (method === 'webhook') return this.webhook(args);
    const path = `/api/reservations/${this.reservationId(args.r)}`;
    if (method === 'refund') return this.driver.organizer.post(`/api/admin/events/${this.id}/refund`, { json: { reservationId: this.reservationId(args.r) } });
    return this.buyer(args.buyer).post(`${path}/${method}`);
  }

  async step(method, args, crash) {
    if (method === 'expire') return this.advance(args.ms);
    if (method === 'sweep') return this.driver.sweep(args.limit);
    // At the same time: a backend may end before, during or after the statement.
    const [answer] = await Promise.all([this.send(method, args), crash ? this.driver.cut() : undefined]);
    if (answer.status < 500) return answer;
    assert.equal(answer.status, 503, answer.text);
    await this.driver.quiet();
    return undefined;
  }
}

const GRANTED = new Set(['created', 'repeated', 'cancelled', 'pending', 'confirmed', 'refund-due', 'failed', 'refunded']);
const PAYMENTS = { confirmed: 'paid', 'refund-due': 'refund_due', failed: 'failed' };

export class HttpDriver {
  constructor(server, url, seed) {
    Object.assign(this, { server, roll: dice(seed), reader: new Line(url), organizer: new Organizer(server) });
  }

  async open(settings) {
    const { rows, perRow, price, ...rest } = settings;
    const id = `sale-${process.pid}-${++sales}`;
    const { status, ...event } = eventJson(id, rest);
    await waitUntil(() => this.organizer.must('POST', '/api/admin/events', event), 15000, 'an event');
    await this.organizer.must('POST', `/api/admin/events/${id}/seats`, grid({ rows, perRow, price }));
    await this.organizer.act(id, 'open');
    return new HttpSale(this, id, settings).begin();
  }

  async sweep(limit) {
    const [row] = await this.reader.surely('SELECT outcome FROM reservation_sweep($1)', [limit]);
    return row;
  }

  async cut() {
    await pause(this.roll.below(4), 'somewhere in the statement');
    await this.reader.surely(`SELECT pg_terminate_backend(pid) FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`);
  }

  async quiet() {
    await waitUntil(async () => (await this.reader.surely(`SELECT FROM pg_stat_activity
      WHERE datname = current_database() AND pid <> pg_backend_pid() AND state <> 'idle'`)).length === 0, 15000, 'statements to end');
  }

  close() {
    this.reader.drop();
  }
}
