// SPDX-License-Identifier: MIT
//
// The report of a sale: numbers from the log, the reservations and the payments, and the promises replayed from the log;
// as JSON and as CSV.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Client, Organizer, many, pay, stage, waitUntil, SLOW } from '../fixtures/index.mjs';

const { database, server, organizer } = await stage();

const admin = (id, rest) => `/api/admin/events/${id}${rest}`;
const report = (id) => organizer.must('GET', admin(id, '/report'));

// A log as Redis writes it, copied to PostgreSQL: rows of [kind, buyer, place in seconds, at in seconds, inside, n].
const START = Date.UTC(2026, 10, 1, 10);
async function written(rows, { threshold = 2, id } = {}) {
  const event = id ? { id } : await organizer.sale({ threshold, open: false });
  let sequence = 0;
  for (const [kind, buyer, place, at, inside, n, epoch = 1] of rows) {
    const ms = START + at * 1000;
    await database.query(`INSERT INTO admissions (event_id, epoch, buyer, place, kind, departed, at, inside, threshold, n, stream_id)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)`, [event.id, epoch, buyer, kind === 'outflow' ? place : (START + place * 1000) * 1000, kind,
      /^(left|idle|timeout|completed|unclaimed|idle_kept|withdrawn)$/.test(kind), new Date(ms).toISOString(), inside, threshold, n, `${ms}-${sequence++}`]);
  }
  return event;
}

// Ten seconds of a sale with a threshold of 2: a enters at once and buys, b waits 4 s and leaves, c never claims, d is parked
// and overtaken by e, then returns and enters.
const SALE = [
  ['direct', 'u:a', 0, 0, 1, 1], ['offered', 'u:b', 1, 5, 2, 2], ['claimed', 'u:b', 1, 6, 2, 2], ['completed', 'u:a', 0, 10, 1, 1],
  ['offered', 'u:c', 2, 10, 2, 3], ['left', 'u:b', 1, 16, 1, 2], ['unclaimed', 'u:c', 2, 100, 0, 3], ['parked', 'u:d', 3, 101, 0, 3],
  ['offered', 'u:e', 4, 102, 1, 4], ['returned', 'u:d', 3, 103, 1, 4], ['claimed', 'u:e', 4, 104, 1, 4], ['offered', 'u:d', 3, 105, 2, 5],
  ['claimed', 'u:d', 3, 106, 2, 5], ['idle', 'u:d', 3, 206, 1, 5], ['withdrawn', 'u:f', 5, 207, 1, 5], ['timeout', 'u:e', 4, 304, 0, 4],
];

test('waiting, visits, conversion, no-shows, silent, endings and the peak follow from the log', async () => {
  const event = await written(SALE);
  const told = await report(event.id);
  assert.deepEqual(told.waiting, { buyers: 4, p50: 8, p90: 102, p99: 102, longest: 102 });
  assert.deepEqual(told.visit, { turns: 4, mean: 80, p50: 10, p90: 200, p99: 200, longest: 200 });
  assert.deepEqual(told.buyers, { entered: 5, direct: 1, came: 4, bought: 1, conversion: 0.25 });
  assert.deepEqual(told.noShows, { offers: 1, buyers: 1 });
  assert.deepEqual(told.silent, { parked: 1, neverReturned: 0 });
  assert.equal(told.withdrawn, 1);
  assert.deepEqual(told.endings, { completed: 1, left: 1, idle: 1, idleKept: 0, timeout: 1 });
  assert.deepEqual([told.peak.inside, told.peak.insideAt], [2, new Date(START + 5000).toISOString()]);
  assert.deepEqual(told.promises, {
    verdict: 'kept', overLimit: 0, outOfOrder: 0, overOutflow: 0, seatsSoldTwice: 0, gaps: 0, setAside: 1, entries: 16, admissions: 5, mostInside: 2, mostInTenSeconds: 0, allowedInTenSeconds: 0, examples: [],
  });
});

test('the replay finds each kind of broken promise, and a log with entries missing proves nothing', async () => {
  const promises = async (rows, options) => (await report((await written(rows, options)).id)).promises;
  const over = await promises([...SALE.slice(0, 2), ['direct', 'u:x', 4.5, 5, 3, 3]]);
  assert.deepEqual([over.verdict, over.overLimit, over.outOfOrder, over.gaps], ['broken', 1, 0, 0]);
  assert.match(over.examples[0].example, /as number 3 inside, threshold 2/);
  const order = await promises([['offered', 'u:a', 9, 10, 1, 1], ['offered', 'u:b', 1, 11, 2, 2]]);
  assert.deepEqual([order.verdict, order.overLimit, order.outOfOrder], ['broken', 0, 1]);
  const limited = (at) => promises([['outflow', '', 60, 0, 0, 0], SALE[0], ['offered', 'u:b', 1, at, 2, 2], ...SALE.slice(2)]);
  const [hasty, steady] = [await limited(0.9), await limited(1)];
  assert.deepEqual([hasty.verdict, hasty.overOutflow, hasty.examples[0].kind], ['broken', 1, 'admitted before the outflow limit allowed it']);
  assert.deepEqual([steady.verdict, steady.overOutflow, steady.mostInTenSeconds, steady.allowedInTenSeconds], ['kept', 0, 2, 11]);
  const early = await promises([...SALE.slice(0, 9), ['offered', 'u:d', 3, 103, 2, 5]]);
  assert.deepEqual([early.verdict, early.examples[0].kind], ['broken', 'let in again without having returned']);
  const gap = await promises(SALE.filter(([kind, buyer]) => kind !== 'left' || buyer !== 'u:b'));
  assert.equal(gap.verdict, 'unproven');
  assert.equal(gap.gaps > 0 && gap.overLimit === 0 && gap.outOfOrder === 0, true, JSON.stringify(gap));
});

test('a clear begins anew, and each epoch is replayed by itself', async () => {
  const again = SALE.map(([kind, buyer, place, at, inside, n]) => [kind, buyer, place + 400, at + 400, inside, n + 5, 2]);
  const event = await written([...SALE.slice(0, 9), ['cleared', '', -START / 1000, 399, 0, 4], ...again.map(([kind, buyer, place, at, inside, n, epoch]) => [kind, buyer, place, at, inside, n - 1, epoch])]);
  const { promises, buyers } = await report(event.id);
  assert.equal(promises.verdict, 'kept', JSON.stringify(promises));
  assert.equal(buyers.entered, 9);
});

test('a sale through the API: revenue by section, refunds, abandoned holds, and the same as CSV', async () => {
  const event = await organizer.sale({ threshold: 10, autoHold: 0, title: '=Night, "one"', grid: { section: 'Parkett', rows: 1, seatsPerRow: 6, price: 4000 } });
  await organizer.must('POST', admin(event.id, '/seats'), { grid: { section: '=Rang', rows: 1, seatsPerRow: 3, price: 2500, currency: 'EUR' } });
  const sold = await many([0, 1, 2], 1, async (i) => {
    const buyer = new Client(server, { sub: `report-${i}` });
    await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 15000, 'the turn');
    const { body } = await buyer.reserve({ eventId: event.id, quantity: 2, section: i < 2 ? 'Parkett' : '=Rang' });
    if (i < 2) assert.equal((await pay(server, body)).status, 200);
    else assert.equal((await buyer.post(`/api/reservations/${body.id}/cancel`)).status, 200);
    return body;
  });
  await organizer.act(event.id, 'refund', { reservationId: sold[1].id });
  const told = await waitUntil(async () => {
    const found = await report(event.id);
    return found.endings.completed === 2 && found;
  }, 15000, 'the log');
  assert.deepEqual(told.revenue, {
    currency: 'EUR', amount: 8000, seats: 2, paid: 16000, refunded: 0, refundDue: 8000, refunds: 1,
    sections: [{ section: 'Parkett', seats: 6, sold: 2, amount: 8000 }, { section: '=Rang', seats: 3, sold: 0, amount: 0 }],
  });
  assert.deepEqual(told.holds, { made: 3, bought: 2, abandoned: 1, abandonedSeats: 2, live: 0 });
  assert.deepEqual([told.buyers.came, told.buyers.bought, told.buyers.conversion], [3, 2, 0.6667]);
  assert.equal(told.promises.verdict, 'kept');

  const { status, headers, text } = await organizer.get(admin(event.id, '/report.csv'));
  assert.equal(status, 200);
  assert.match(headers['content-type'], /^text\/csv/);
  assert.ok(text.startsWith('\ufeffpart,name,value\r\n'), text.slice(0, 40));
  const lines = text.slice(1).split('\r\n');
  for (const line of ['revenue,amount,8000', 'revenue,sections.Parkett.sold,2', "sale,title,\"'=Night, \"\"one\"\"\"", 'promises,overLimit,0', 'promises,verdict,kept', 'buyers,conversion,0.6667'])
    assert.ok(lines.includes(line), `${line}\n${text}`);
  assert.ok(lines.some((line) => line.startsWith('revenue,sections.=Rang.seats,3')), text);
  const stranger = new Organizer(server, { sub: 'another', role: 'organizer' });
  assert.equal((await stranger.get(admin(event.id, '/report'))).status, 403);
});

test('a report of 100,000 admissions takes seconds and little memory', async () => {
  const event = await organizer.sale({ threshold: 200000, open: false });
  await database.query(`INSERT INTO admissions (event_id, epoch, buyer, place, kind, departed, at, inside, threshold, n, stream_id)
    SELECT $1, 1, 'u:' || i, (${START}::bigint + i) * 1000, k.kind, k.departed, to_timestamp((${START}::bigint + 600000 * k.after + i) / 1000.0),
           CASE k.after WHEN 1 THEN i ELSE 100000 - CASE WHEN k.departed THEN i ELSE 0 END END, 200000, i,
           (${START}::bigint + 600000 * k.after + i) || '-0'
    FROM generate_series(1, 100000) AS i, (VALUES ('offered', false, 1), ('claimed', false, 2), ('completed', true, 3)) AS k (kind, departed, after)`, [event.id]);
  const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.child.pid}/status`, 'utf8'))[1]) / 1024;
  const before = resident(), began = Date.now();
  const { promises, waiting, visit } = await report(event.id);
  const took = Date.now() - began, more = resident() - before;
  assert.deepEqual([promises.verdict, promises.admissions, promises.entries], ['kept', 100000, 300000]);
  assert.deepEqual([waiting.buyers, waiting.p50, visit.turns, visit.mean], [100000, 600, 100000, 600]);
  assert.ok(took < 15000 * SLOW, `${took} ms`);
  if (!process.env.TIKETI_SAN) assert.ok(more < 40, `${more} MiB`); // a sanitizer keeps what is freed, and more beside it
  console.log(`# 100,000 admissions, 300,000 entries: ${took} ms, ${more.toFixed(1)} MiB`);
});
