// SPDX-License-Identifier: MIT
//
// PostgreSQL is restored to an earlier point in time, beside a Redis that lives on. What was sold since is put back from
// the copies in Redis and the books of the provider, and nothing is sold twice.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ARCHIVING, Client, Organizer, Postgres, Provider, Redis, Server, keeper, pay, privateFolder, removeFolder, runTiketi, waitUntil } from '../fixtures/index.mjs';

const keep = keeper();
const redis = await keep(Redis.start());
const folder = privateFolder('books');
const books = join(folder, 'books.json');

const inside = async (server, event, sub) => {
  const buyer = new Client(server, { sub });
  await waitUntil(async () => (await buyer.check(event.id)).body.status === 'active', 10000, `${sub} to be inside`);
  return buyer;
};
async function held(server, event, sub, quantity = 1) {
  const buyer = await inside(server, event, sub);
  const { body, text } = await buyer.reserve({ eventId: event.id, quantity });
  assert.ok(body.id, text);
  return { buyer, reservation: body };
}
const order = async ({ buyer, reservation }) => (await buyer.post(`/api/reservations/${reservation.id}/pay`)).body;
async function bought(server, provider, event, sub, quantity) {
  const one = await held(server, event, sub, quantity);
  one.order = await order(one);
  assert.equal((await provider.charge(one.order)).status, 201);
  await waitUntil(async () => (await one.buyer.get(`/api/reservations/${one.reservation.id}`)).body.status === 'confirmed', 10000, `the sale to ${sub}`);
  return one;
}
// Redis has a copy of every sale.
const copied = (database) => waitUntil(async () => (await database.query('SELECT count(*)::int AS n FROM sales_to_copy'))[0].n === 0, 10000, 'the copies');

const sold = (database) => database.query("SELECT id, holder FROM seats WHERE status = 'sold' ORDER BY id");
const purchases = (database) => database.query(
  `SELECT r.id, r.number, r.buyer, r.status, r.seat_count, r.total, r.returned, r.eticket_salt, p.reference, p.status AS payment, p.amount, p.refunded_amount, p.due_amount
   FROM reservations r LEFT JOIN payments p ON p.reservation_id = r.id
   WHERE r.status IN ('confirmed', 'refunded') ORDER BY r.number, p.reference`);
const links = async (database) => (await database.query("SELECT encode(hash, 'hex') AS hash FROM etickets ORDER BY 1")).map(({ hash }) => hash);
const twice = (database) => database.query('SELECT seat_id FROM reservation_seats WHERE live GROUP BY event_id, seat_id HAVING count(*) > 1');

const settings = { threshold: 100, autoHold: 0, maxSeats: 4, grid: { rows: 2, seatsPerRow: 8 } };

function reconcile(target, args, expect, more = {}) {
  return runTiketi(['reconcile', ...args], { REDIS_URL: redis.url, DATABASE_URL: target.url, ...more }, { expect });
}

// One cluster and one moment for the databases of all tests: it is backed up before, and restored once.
const postgres = await keep(Postgres.start({ args: ARCHIVING }));
const [database, other, third, empty] = [await postgres.migrated(), await postgres.migrated(), await postgres.migrated(), await postgres.createDatabase()];
const backup = await keep(postgres.baseBackup());
// Three deployments: what becomes of each is a test.
const env = { REDIS_PREFIX: 'two:' };
const [server, second, forgotten] = await Promise.all([{ database }, { database: other, env }, { database: third, env: { REDIS_PREFIX: 'three:' } }].map((one) => keep(Server.start({ redis, ...one }))));
// One buyer of two seats and one of one, after the moment to which PostgreSQL goes back.
async function deployment(pod) {
  const organizer = new Organizer(pod);
  const event = await organizer.sale(settings);
  return { organizer, event, async sell() {
    this.one = (await held(pod, event, 'first', 2)).reservation;
    this.two = (await held(pod, event, 'second')).reservation;
    for (const one of [this.one, this.two]) assert.equal((await pay(pod, one)).body.payment, 'paid');
  } };
}
const [unfenced, unseen] = [await deployment(second), await deployment(forgotten)];

test('an older PostgreSQL beside the live Redis: what was sold since is put back, nothing is sold twice, and the differences are told', async (t) => {
  const organizer = new Organizer(server);
  const event = await organizer.sale(settings);
  const provider = await Provider.start({ server });
  t.after(() => provider.stop());

  const early = await bought(server, provider, event, 'early', 2);
  const returned = await bought(server, provider, event, 'returned');
  const pending = await held(server, event, 'pending');
  pending.order = await order(pending);
  const late = await held(server, event, 'charged-while-down');
  late.order = await order(late);
  await copied(database);
  const [{ now: moment }] = await database.query('SELECT clock_timestamp()::text AS now');

  // After the moment to which PostgreSQL will go back:
  await unfenced.sell();
  await unseen.sell();
  assert.equal((await provider.charge(pending.order)).status, 201); // ordered before it, paid after it
  const after = [await bought(server, provider, event, 'after-1', 3), await bought(server, provider, event, 'after-2')];
  const { body: { seats: [first] } } = await organizer.post(`/api/admin/events/${event.id}/refund`, { json: { reservationNumber: early.reservation.reservationNumber, seatIds: [early.reservation.seats[1].id] } });
  assert.equal(first.id, early.reservation.seats[0].id);
  await provider.refund(returned.order.reference); // its seat is free again, and somebody else buys it
  await waitUntil(async () => (await returned.buyer.get(`/api/reservations/${returned.reservation.id}`)).body.status === 'refunded', 10000, 'the refund');
  const resold = await inside(server, event, 'resold');
  const { body: again } = await resold.reserve({ eventId: event.id, seatIds: [returned.reservation.seats[0].id] });
  assert.equal((await provider.charge(await order({ buyer: resold, reservation: again }))).status, 201);
  await organizer.patch(event.id, { threshold: 77 });
  const annex = { grid: { section: 'B', currency: 'EUR', price: 5000, rows: 1, seatsPerRow: 2 } };
  const addAnnex = () => organizer.must('POST', `/api/admin/events/${event.id}/seats`, annex);
  await addAnnex();
  const inAnnex = await inside(server, event, 'annex');
  const { body: balcony } = await inAnnex.reserve({ eventId: event.id, quantity: 1, section: 'B' });
  assert.equal((await provider.charge(await order({ buyer: inAnnex, reservation: balcony }))).status, 201);
  const unknown = await held(server, event, 'unknown');
  unknown.order = await order(unknown);
  const page = await after[0].buyer.get(`/tickets/${event.id}?reservation=${after[0].reservation.id}`);
  const link = page.headers.location ?? /\/ticket\/[\w-]{43}/.exec(page.text)?.[0];
  assert.match(link, /\/ticket\/[\w-]{43}/, page.text);
  await provider.settled();
  for (const one of [database, other, third]) await copied(one);
  // The ledger has told Redis that it has consumed the last entry.
  await waitUntil(async () => {
    const [[last]] = await redis.client.xrevrange(`three:log:{${unseen.event.id}}`, '+', '-', 'COUNT', 1);
    return (await redis.cli('HGET', `three:free:{${unseen.event.id}}`, 'id')) === last;
  }, 10000, 'the ledger');
  const before = { sold: await sold(database), purchases: await purchases(database), links: await links(database) };
  await Promise.all([server.stop(), second.stop(), forgotten.stop()]);
  assert.equal((await provider.charge(late.order)).status, 201);
  assert.equal((await provider.charge(unknown.order)).status, 201);
  await postgres.archived();
  await postgres.halt('SIGQUIT');

  await backup.restore(moment);
  const restored = database.on(backup);
  const then = await sold(restored);
  assert.equal(then.length, 3, 'PostgreSQL has forgotten what was sold');
  writeFileSync(books, JSON.stringify({ charges: await provider.books() }));

  const report = await reconcile(restored, ['--books', books], 2);
  assert.match(report.stdout, new RegExp(`^event ${event.id}: PostgreSQL has version \\d+ \\(epoch 1\\), in force is version \\d+ \\(epoch 1\\)$`, 'm'));
  assert.match(report.stdout, /^ {2}threshold\t100 -> 77$/m);
  assert.match(report.stdout, /Redis has 7 sales, PostgreSQL lacks 7 of them/);
  for (const { reservation } of after) assert.match(report.stdout, new RegExp(`^  missing\t${reservation.reservationNumber}\tconfirmed\t`, 'm'));
  for (const { reservation } of [early, returned, pending]) assert.match(report.stdout, new RegExp(`^  older\t${reservation.reservationNumber}\t`, 'm'));
  assert.match(report.stdout, new RegExp(`^  missing\t${again.reservationNumber}\t`, 'm'));
  assert.match(report.stdout, new RegExp(`^  seat-gone\t${balcony.reservationNumber}\tconfirmed\tB `, 'm'), 'the seats were added after the moment');
  assert.match(report.stdout, new RegExp(`^  sold\t${late.order.reference}\t${late.reservation.reservationNumber}\t`, 'm'));
  assert.match(report.stdout, new RegExp(`^  unknown-reservation\t${unknown.order.reference}\t${unknown.reservation.id}\t`, 'm'));
  assert.match(report.stdout, /^\d+ differences\. Nothing was changed/m);
  assert.doesNotMatch(report.stdout, /conflict/, 'a refunded seat that was sold again is no conflict');
  assert.deepEqual(await sold(restored), then, 'a report changes nothing');

  const applied = await reconcile(restored, ['--books', books, '--apply'], 2);
  assert.match(applied.stdout, /^11 differences, 3 of them left for people\.$/m, applied.stdout);
  // The seats are added again, with other ids, and their sale is put back.
  server.database = restored;
  server.roles = 'api';
  await server.start();
  await addAnnex();
  assert.match((await reconcile(restored, ['--apply'], 0)).stdout, new RegExp(`^  missing\t${balcony.reservationNumber}\t`, 'm'));
  const [{ id: again1 }] = await restored.query("SELECT id FROM seats WHERE event_id = $1 AND section = 'B' AND status = 'sold' AND holder = $2", [event.id, balcony.id]);
  const same = (seat) => (seat.holder === balcony.id ? { ...seat, id: again1 } : seat);
  const lateSeats = late.reservation.seats.map(({ id }) => ({ id, holder: late.reservation.id }));
  assert.deepEqual((await sold(restored)).filter(({ holder }) => holder !== late.reservation.id), before.sold.map(same));
  assert.deepEqual((await sold(restored)).filter(({ holder }) => holder === late.reservation.id), lateSeats);
  assert.deepEqual((await purchases(restored)).filter(({ id }) => id !== late.reservation.id), before.purchases);
  assert.deepEqual(await links(restored), before.links);
  assert.match((await reconcile(restored, [], 0)).stdout, /^Nothing differs\.$/m);

  // The sale goes on.
  await server.stop();
  server.roles = 'api,gateway,processor';
  await server.start();
  assert.equal((await organizer.must('GET', `/api/admin/events/${event.id}`)).threshold, 77);
  await organizer.patch(event.id, { threshold: 78 });
  await waitUntil(async () => Number(await redis.cli('HGET', `config:{${event.id}}`, 'threshold')) === 78, 10000, 'a change of settings to be in force');
  assert.equal((await after[0].buyer.get(link)).status, 200, 'a link to a ticket that was sold after the moment');
  assert.equal((await early.buyer.get(`/api/reservations/${early.reservation.id}`)).body.seats.length, 1);
  const newcomer = await inside(server, event, 'newcomer');
  for (const { reservation } of [...after, pending, late]) {
    const { status } = await newcomer.reserve({ eventId: event.id, seatIds: [reservation.seats[0].id] });
    assert.equal(status, 409, 'a seat that was sold after the moment');
  }
  const free = await held(server, event, 'newcomer-2');
  assert.equal((await pay(server, free.reservation)).body.payment, 'paid');
  assert.ok(!before.purchases.some(({ number }) => number === free.reservation.reservationNumber), 'a number is given once');
  assert.deepEqual(await twice(restored), []);
  const { entries } = await organizer.must('GET', `/api/admin/events/${event.id}/audit`);
  assert.ok(entries.some(({ verb, who }) => verb === 'reconcile' && who === 'tiketi'));
});

test('pods sold on before it: the earlier sale gets its seat unless it was sold again, and then its money is due back', async () => {
  const { event, organizer, one, two } = unfenced;
  const restored = second.database = other.on(backup);
  second.roles = 'api,gateway';
  await second.start();
  const [next, fourth] = [await inside(second, event, 'third'), await inside(second, event, 'fourth')];
  const { body: taken, text } = await next.reserve({ eventId: event.id, seatIds: [one.seats[1].id] });
  assert.equal((await pay(second, taken)).body.payment, 'paid', text);
  const { body: hold } = await fourth.reserve({ eventId: event.id, seatIds: [two.seats[0].id] });
  assert.ok(hold.id);

  const { stdout } = await reconcile(restored, ['--event', event.id, '--apply'], 2, env);
  assert.match(stdout, new RegExp(`^  conflict\t${one.reservationNumber}\t`, 'm'));
  assert.match(stdout, new RegExp(`^  missing\t${two.reservationNumber}\t`, 'm'));
  assert.deepEqual(await twice(restored), []);
  const of = async (id) => (await restored.query('SELECT status FROM reservations WHERE id = $1', [id]))[0].status;
  assert.deepEqual([await of(one.id), await of(two.id), await of(taken.id), await of(hold.id)], ['cancelled', 'confirmed', 'confirmed', 'cancelled']);
  const due = await organizer.must('GET', `/api/admin/events/${event.id}/payments?due=1`);
  assert.deepEqual(due.payments.map(({ reservationId, refundDueAmount }) => [reservationId, refundDueAmount]), [[one.id, one.totalAmount]]);
  assert.equal((await pay(second, hold)).body.payment, 'refund_due', 'a payment for the hold that has ended');
});

test('pods that come back without it: a processor notices that PostgreSQL is older, and puts the sales back before it holds a seat', async () => {
  const { event, one, two } = unseen;
  const restored = forgotten.database = third.on(backup);
  assert.equal((await sold(restored)).length, 0);
  await forgotten.start();
  const line = (message) => forgotten.logs.find((found) => found.message === message && found.event === event.id);
  await waitUntil(() => line('postgresql has what it lacked'), 10000, 'a processor to notice');
  assert.equal(line('postgresql is older than redis').level, 'error');
  assert.equal(line('postgresql has what it lacked').sales, 2);
  assert.deepEqual(new Set((await sold(restored)).map(({ holder }) => holder)), new Set([one.id, two.id]));
  const buyer = await inside(forgotten, event, 'third');
  assert.equal((await buyer.reserve({ eventId: event.id, seatIds: [one.seats[1].id] })).status, 409);
  assert.equal((await pay(forgotten, (await held(forgotten, event, 'fourth')).reservation)).body.payment, 'paid');
  await waitUntil(async () => (await restored.query('SELECT count(*)::int AS n FROM admissions WHERE event_id = $1', [event.id]))[0].n >= 5, 10000, 'the log to be consumed again');
  assert.deepEqual(await twice(restored), []);
  assert.match((await reconcile(restored, [], 0, { REDIS_PREFIX: 'three:' })).stdout, /^Nothing differs\.$/m);
});

test('Redis loses its data: the copies of sales are written again, in their newest version', async () => {
  const { event } = unseen;
  const key = `three:sales:{${event.id}}`;
  // By reservation: its version, buyer and seats.
  const copies = async () => Object.fromEntries(Object.entries(await redis.client.hgetall(key)).sort().map(([id, copy]) => {
    const { reservation, seats } = JSON.parse(copy.replace(/^\d+ /, ''));
    return [id, [parseInt(copy, 10), reservation.buyer, reservation.status, seats]];
  }));
  const before = await copies();
  assert.ok(Object.keys(before).length >= 3, JSON.stringify(before));
  await Promise.all((await redis.client.keys('three:*')).map((name) => redis.client.del(name)));
  await waitUntil(async () => Object.keys(await copies()).length === Object.keys(before).length, 20000, 'the copies');
  assert.deepEqual(await copies(), before);
  await copied(forgotten.database);
});

test('a Redis that knows no event is not taken for one that has nothing to tell', async () => {
  const { stdout } = await reconcile(forgotten.database, [], 2, { REDIS_PREFIX: 'mistyped:' });
  assert.match(stdout, /^Redis knows none of 1 events that are not closed: is it the right one \(REDIS_URL, REDIS_PREFIX\)\?/m);
  assert.doesNotMatch(stdout, /Nothing differs/);
});

test('what cannot be compared is told, and changes nothing', async () => {
  const wrong = async (args, code, pattern, target = database.on(backup)) => assert.match((await reconcile(target, args, code)).stderr, pattern);
  writeFileSync(books, '[{"reference":"x"}]');
  await wrong(['--books', books], 1, /charge 1 of .* needs reference, reservationId/);
  writeFileSync(books, '{');
  await wrong(['--books', books], 1, /no JSON array/);
  await wrong(['--books', join(folder, 'nothing')], 1, /cannot be read/);
  await wrong(['--event', 'no event'], 64, /is no id of an event/);
  await wrong([], 1, /PostgreSQL cannot be used: .*tiketi migrate/, empty.on(backup));
  removeFolder(folder);
});
