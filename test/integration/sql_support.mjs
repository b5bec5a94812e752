// SPDX-License-Identifier: MIT
//
// Shared by the tests of the SQL functions: a database with the schema of sql/, short ways to call a function, and
// the invariants that must hold after every test.

import assert from 'node:assert/strict';
import pg from 'pg';
import { Postgres } from '../fixtures/postgres.mjs';
import { pause } from '../fixtures/wait.mjs';

const LOCK_NOT_AVAILABLE = '55P03';

pg.types.setTypeParser(20, Number); // bigint

// A private server; each test has a migrated database of its own.
export async function startSql() {
  const postgres = await Postgres.start();
  return {
    fresh: async (connections = 1) => new Sql((await postgres.migrated()).url, connections),
    stop: () => postgres.stop(),
  };
}

export class Sql {
  constructor(url, connections) {
    this.pool = new pg.Pool({ connectionString: url, max: connections });
    this.pool.on('error', () => {});
  }

  async rows(text, values = []) {
    return (await this.pool.query(text, values)).rows;
  }

  async row(text, values = []) {
    return (await this.rows(text, values))[0];
  }

  // call('seats_add', 'demo', 'me', {…}): returns the function's row. Objects are passed as JSON.
  async call(name, ...values) {
    const list = values.map((_, i) => `$${i + 1}`).join(', ');
    return this.row(`SELECT * FROM ${name}(${list})`, values.map(plain));
  }

  async callAll(name, ...values) {
    const list = values.map((_, i) => `$${i + 1}`).join(', ');
    return this.rows(`SELECT * FROM ${name}(${list})`, values.map(plain));
  }

  // Also how many rows of the table it read.
  async callReading(table, name, ...values) {
    const client = await this.pool.connect();
    const reads = async () => (await client.query(`SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) AS n
      FROM pg_stat_xact_user_tables WHERE relname = $1`, [table])).rows[0].n;
    try {
      await client.query('BEGIN');
      const before = await reads();
      const list = values.map((_, i) => `$${i + 1}`).join(', ');
      const { rows: [row] } = await client.query(`SELECT * FROM ${name}(${list})`, values);
      return { ...row, read: await reads() - before };
    } finally {
      await client.query('COMMIT');
      client.release();
    }
  }

  // Repeats it where another transaction has one of the rows, as the program does.
  async hold(event, buyer, { seats = null, quantity = null, section = null, key = null, place = 0 }) {
    for (let left = 500; ; left--) {
      try {
        return await this.call('reservation_hold', event, buyer, seats, quantity, section, key, place);
      } catch (error) {
        if (error.code !== LOCK_NOT_AVAILABLE || left === 0) throw error;
        await pause(2, 'until it may be free');
      }
    }
  }

  // Reports that a reservation is paid, as the provider does.
  paid(id, provider, reference, amount, currency) {
    return this.call('payment_report', id, provider, reference, amount, currency, 'paid');
  }

  // Creates an open event with one section "S".
  async event(id, { rows = 1, perRow = 10, price = 1000, status = 'open', ...settings } = {}) {
    await this.call('event_create', {
      id, title: id, threshold: 100, intervalMs: 1000, idleTimeoutMs: 90000, sessionLimitMs: 600000,
      holdMs: 300000, surge: [], outflowPerMinute: 0, autoHold: 1, maxSeats: 4, allowGuests: true, ...settings,
    }, 'owner', 'tester');
    if (rows > 0) {
      const added = await this.call('seats_add', id, 'tester',
        { grid: { section: 'S', rows, seatsPerRow: perRow, price, currency: 'EUR' } });
      assert.equal(added.outcome, 'added');
    }
    await this.rows('UPDATE events SET status = $2 WHERE id = $1', [id, status]);
    return (await this.rows('SELECT id FROM seats WHERE event_id = $1 ORDER BY section_rank, row_rank, number', [id]))
      .map((row) => String(row.id));
  }

  // Lets this reservation expire.
  async lapse(reservation) {
    await this.rows(`UPDATE reservations SET expires_at = now() - interval '1 second' WHERE id = $1`, [reservation]);
    await this.rows(`UPDATE seats SET held_until = now() - interval '1 second' WHERE holder = $1 AND status = 'held'`,
      [reservation]);
  }

  async map(event) {
    return JSON.parse((await this.call('seat_map_text', event, -1)).body);
  }

  // The number of deadlocks so far. A connection reports its own when it ends.
  async deadlocks() {
    const { max, connectionString } = this.pool.options;
    await this.pool.end();
    this.pool = new pg.Pool({ connectionString, max });
    this.pool.on('error', () => {});
    return (await this.row('SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()')).deadlocks;
  }

  close() {
    return this.pool.end();
  }

  // Asserts every promise about seats.
  async assertSound() {
    const broken = await this.rows(`
      SELECT 'two live rows for one seat' AS what, seat_id::text AS which FROM reservation_seats
      WHERE live GROUP BY seat_id HAVING count(*) > 1
      UNION ALL
      SELECT 'a live hold without its seat', r.id::text FROM reservations r JOIN reservation_seats rs
        ON rs.reservation_id = r.id JOIN seats s ON s.id = rs.seat_id
      WHERE r.status = 'held' AND r.expires_at > clock_timestamp()
        AND (s.holder IS DISTINCT FROM r.id OR s.status <> 'held' OR NOT rs.live)
      UNION ALL
      SELECT 'bought, but not sold to its buyer', r.id::text FROM reservations r JOIN reservation_seats rs
        ON rs.reservation_id = r.id JOIN seats s ON s.id = rs.seat_id
      WHERE r.status = 'confirmed' AND rs.refunded_at IS NULL
        AND (s.holder IS DISTINCT FROM r.id OR s.status <> 'sold' OR NOT rs.live)
      UNION ALL
      SELECT 'a seat without a reservation', s.id::text FROM seats s LEFT JOIN reservations r ON r.id = s.holder
      WHERE (s.status = 'sold' AND r.status IS DISTINCT FROM 'confirmed')
         OR (s.status = 'held' AND s.held_until > clock_timestamp() AND r.status IS DISTINCT FROM 'held')
      UNION ALL
      SELECT 'wrong number of seats, total or sum returned', r.id::text FROM reservations r
      WHERE (r.seat_count, r.total, r.returned) <> (
        SELECT count(*) FILTER (WHERE refunded_at IS NULL), sum(price), coalesce(sum(price) FILTER (WHERE refunded_at IS NOT NULL), 0)
        FROM reservation_seats WHERE reservation_id = r.id)
      UNION ALL
      SELECT 'a reservation of a seat that is gone', rs.seat_id::text FROM reservation_seats rs
      WHERE NOT EXISTS (SELECT FROM seats WHERE id = rs.seat_id)
        AND (rs.live OR NOT EXISTS (SELECT FROM removed_seats WHERE id = rs.seat_id))
      UNION ALL
      SELECT 'more returned or due than was paid', p.reference FROM payments p
      WHERE p.refunded_amount + p.due_amount > p.amount OR (p.status = 'refund_due') <> (p.due_amount = p.amount - p.refunded_amount AND p.due_amount > 0)
        AND p.status <> 'paid'
      UNION ALL
      SELECT 'single seats refunded, and not returned or due', p.reference FROM payments p JOIN reservations r ON r.id = p.reservation_id
      WHERE p.status = 'paid' AND r.status = 'confirmed' AND p.refunded_amount + p.due_amount < r.returned
      UNION ALL
      SELECT 'event counts other seats than it has', e.id FROM events e
      WHERE e.seats <> (SELECT count(*) FROM seats WHERE event_id = e.id)
      UNION ALL
      SELECT 'more than maxSeats', r.buyer FROM reservations r JOIN events e ON e.id = r.event_id
      WHERE r.status = 'confirmed' OR (r.status = 'held' AND r.expires_at > clock_timestamp())
      GROUP BY r.event_id, r.buyer, e.settings HAVING sum(r.seat_count) > (e.settings ->> 'maxSeats')::integer
      UNION ALL
      SELECT 'two auto-holds for one admission', buyer FROM reservations WHERE auto
      GROUP BY event_id, epoch, buyer, place, admission HAVING count(*) > 1`);
    assert.deepEqual(broken, []);
  }
}

function plain(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value) ? JSON.stringify(value) : value;
}
