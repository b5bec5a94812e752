// SPDX-License-Identifier: MIT
//
// Is an event ready to open? The checks of a draft with nothing, and of one that was mended; the payment page with the right
// and a wrong secret, gone, and at a private address; the mail server; the processor; the last rehearsal.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Client, MailSink, Organizer, Provider, Server, freePort, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const port = await freePort();
const PAY = { PAYMENT_URL: `http://127.0.0.1:${port}/pay`, OUTBOUND_ALLOW: '127.0.0.0/8' };
const { redis, postgres, database, server, organizer } = await stage({ env: PAY });

const later = (ms) => new Date(Date.now() + ms).toISOString();
const HOUR = 3600_000;
const grid = { section: 'Floor', rows: 2, seatsPerRow: 3, price: 5000, currency: 'EUR' };
const path = (id) => `/api/admin/events/${id}/readiness`;

// {code: check} of an event, as this pod finds them.
async function checks(id, staff = organizer) {
  const { status, body, text } = await staff.get(path(id));
  assert.equal(status, 200, text);
  return { ...Object.fromEntries(body.checks.map((check) => [check.code, check])), verdict: body.verdict };
}

// A pod of its own for the API, with other settings.
async function pod(t, env) {
  const other = await Server.start({ redis, database, roles: 'api', env: { ...PAY, ...env } });
  t.after(() => other.stop());
  return new Organizer(other);
}

const draft = (settings = {}) => organizer.must('POST', '/api/admin/events', { id: uniqueId('ready'), title: 'Ready', ...settings });
const seats = (id, of = grid) => organizer.must('POST', `/api/admin/events/${id}/seats`, { grid: of });
const payment = async (id, staff) => (await checks(id, staff)).payment;

test('a draft with nothing: each check says what is missing, and names the field', async () => {
  const { id } = await draft();
  const found = await checks(id);
  assert.deepEqual([found.published.verdict, found.published.value.status, found.published.field], ['bad', 'draft', 'status']);
  assert.deepEqual([found.times.verdict, found.times.value.problem, found.times.field], ['warn', 'no-opening', 'opensAt']);
  assert.deepEqual([found['time-zone'].verdict, found['time-zone'].value.timeZone], ['warn', null]);
  assert.deepEqual([found.hall.verdict, found.hall.value], ['warn', { seats: 0, blocked: 0, free: 0, unpriced: 0 }]);
  assert.deepEqual([found.processor.verdict, found.rehearsal.verdict, found.rehearsal.value.promises], ['good', 'warn', 'none']);
  for (const absent of ['currency', 'payment', 'mail']) assert.equal(found[absent], undefined, absent);
  assert.equal(found.verdict, 'bad');
});

test('the same after it was mended: all is good but the rehearsal that was never made', async (t) => {
  const provider = await Provider.start({ server, port });
  t.after(() => provider.stop());
  const { id } = await draft({ opensAt: later(HOUR), startsAt: later(9 * HOUR), closesAt: later(8 * HOUR), timeZone: 'Asia/Seoul' });
  await seats(id);
  await organizer.act(id, 'publish');
  await waitUntil(async () => (await checks(id)).processor.verdict === 'good', 10000, 'the processor');
  const { verdict, ...found } = await checks(id);
  assert.equal(verdict, 'warn');
  for (const [code, check] of Object.entries(found)) assert.equal(check.verdict, code === 'rehearsal' ? 'warn' : 'good', JSON.stringify(check));
  assert.deepEqual(found.currency.value, { currency: 'EUR', others: 0 });
  assert.deepEqual(found.hall.value, { seats: 6, blocked: 0, free: 6, unpriced: 0 });
  assert.deepEqual([found.payment.value.signedStatus, found.payment.value.forgedStatus, found.payment.value.reason], [200, 403, null]);
  assert.deepEqual(await provider.books(), [], 'nothing was charged');
});

test('times that cannot be meant, a hall that is blocked, seats that cost nothing', async () => {
  const late = await draft({ opensAt: later(HOUR), startsAt: later(2 * HOUR), closesAt: later(3 * HOUR) });
  assert.deepEqual((await checks(late.id)).times, { code: 'times', verdict: 'warn', field: 'closesAt',
    value: { opensAt: late.opensAt, startsAt: late.startsAt, closesAt: late.closesAt, problem: 'closes-late' } });
  await database.query("UPDATE events SET opens_at = now() - interval '1 minute' WHERE id = $1", [late.id]);
  assert.deepEqual([(await checks(late.id)).times.value.problem, (await checks(late.id)).times.verdict], ['overdue', 'bad']);
  await seats(late.id, { ...grid, price: 0 });
  const free = await checks(late.id);
  assert.deepEqual([free.hall.verdict, free.hall.value.unpriced, free.payment], ['warn', 6, undefined]);
  await organizer.must('POST', `/api/admin/events/${late.id}/seats/block`, { where: { section: 'Floor' }, reason: 'sound desk' });
  const blocked = (await checks(late.id)).hall;
  assert.deepEqual([blocked.verdict, blocked.value.blocked, blocked.value.free], ['bad', 6, 0]);
});

test('the payment page: right secret, wrong secret, gone, a private address, no page and no secret', async (t) => {
  const { id } = await draft();
  await seats(id);
  assert.deepEqual([(await payment(id)).verdict, (await payment(id)).value.reason], ['bad', 'unreachable']);
  const right = await Provider.start({ server, port });
  assert.equal((await payment(id)).verdict, 'good');
  await right.stop();
  const wrong = await Provider.start({ server, port, env: { PAYMENT_WEBHOOK_SECRETS: 'another-webhook-secret-0123456789abcdefgh' } });
  t.after(() => wrong.stop());
  const refused = await payment(id);
  assert.deepEqual([refused.verdict, refused.value.reason, refused.value.signedStatus], ['bad', 'refused', 403]);
  const closed = await payment(id, await pod(t, { OUTBOUND_ALLOW: null }));
  assert.deepEqual([closed.verdict, closed.value.reason], ['bad', 'private-address']);
  const pageless = await payment(id, await pod(t, { PAYMENT_URL: null }));
  assert.deepEqual([pageless.verdict, pageless.value.reason], ['warn', 'no-url']);
  const unset = await payment(id, await pod(t, { PAYMENT_WEBHOOK_SECRETS: null }));
  assert.deepEqual([unset.verdict, unset.value.reason], ['bad', 'no-secret']);
});

test('a page that answers both orders alike, one that fails, and one that never answers', async (t) => {
  let behave = (answer) => answer.end('<h1>Pay</h1>');
  const page = createServer((request, answer) => behave(answer)).listen(0, '127.0.0.1');
  await new Promise((resolve) => page.once('listening', resolve));
  t.after(() => { page.closeAllConnections(); page.close(); });
  const staff = await pod(t, { PAYMENT_URL: `http://127.0.0.1:${page.address().port}/pay` });
  const { id } = await draft();
  await seats(id);
  const alike = await payment(id, staff);
  assert.deepEqual([alike.verdict, alike.value.reason, alike.value.forgedStatus], ['warn', 'untold', 200]);
  behave = (answer) => answer.writeHead(502).end();
  assert.deepEqual([(await payment(id, staff)).value.reason], ['failing']);
  behave = () => {};
  const silent = await payment(id, staff);
  assert.deepEqual([silent.verdict, silent.value.reason], ['bad', 'timeout']);
  assert.ok(silent.value.ms >= 2500 && silent.value.ms < 6000, `${silent.value.ms} ms`);
});

test('the mail server is asked when buyers are asked for an address', async (t) => {
  const { id } = await draft({ askEmail: 'required' });
  const mail = async (staff) => (await checks(id, staff)).mail;
  assert.deepEqual(await mail(), { code: 'mail', verdict: 'bad', value: { reason: 'not-set', pending: 0, parked: 0 }, field: 'askEmail' });
  const sink = await MailSink.start();
  const staff = await pod(t, { MAIL_URL: sink.url, MAIL_FROM: 'a@shop.example' });
  assert.equal((await mail(staff)).verdict, 'good');
  await sink.stop();
  assert.deepEqual([(await mail(staff)).verdict, (await mail(staff)).value.reason], ['bad', 'unreachable']);
});


test('no processor: of a draft it was not seen, and nobody holds the lease of a scheduled event', async (t) => {
  const alone = await Server.start({ redis, database: await postgres.migrated(), roles: 'api', env: { REDIS_PREFIX: 'alone' } });
  t.after(() => alone.stop());
  const staff = new Organizer(alone);
  const { id } = await staff.must('POST', '/api/admin/events', { title: 'Alone' });
  const processor = async () => (await checks(id, staff)).processor;
  assert.deepEqual(await processor(), { code: 'processor', verdict: 'warn', value: { reason: 'not-seen' } });
  await staff.act(id, 'publish');
  assert.deepEqual(await processor(), { code: 'processor', verdict: 'bad', value: { reason: 'none' } });
});

test('the last rehearsal: kept, then a log that breaks a promise; one that was reset proves nothing', async () => {
  const { id } = await draft();
  await seats(id);
  const copy = await organizer.must('POST', `/api/admin/events/${id}/copy`, { id: uniqueId('rehearsal'), rehearsal: true });
  const rehearsal = async () => (await checks(id)).rehearsal;
  assert.equal((await rehearsal()).value.promises, 'none');
  await organizer.act(copy.id, 'open');
  await new Client(server, { sub: 'rehearser' }).check(copy.id);
  await waitUntil(async () => (await rehearsal()).value.promises === 'kept', 15000, 'the log in PostgreSQL');
  const kept = await rehearsal();
  assert.deepEqual([kept.verdict, kept.value.eventId, kept.value.admissions], ['good', copy.id, 1]);
  assert.equal((await checks(copy.id)).rehearsal, undefined, 'a rehearsal needs none');
  await database.query('UPDATE admissions SET threshold = 0 WHERE event_id = $1', [copy.id]);
  const broken = await rehearsal();
  assert.deepEqual([broken.verdict, broken.value.promises, broken.value.overLimit], ['bad', 'broken', 1]);
  await organizer.act(copy.id, 'reset');
  assert.equal((await rehearsal()).value.promises, 'none');
});

test('viewers may look, strangers and other organizers may not', async () => {
  const { id } = await draft();
  assert.equal((await new Organizer(server, { sub: 'v', role: 'viewer' }).get(path(id))).status, 200);
  assert.equal((await new Organizer(server, { sub: 'o', role: 'organizer' }).get(path(id))).status, 403);
  assert.equal((await new Client(server, { sub: 'buyer' }).get(path(id))).status, 403);
  assert.equal((await organizer.get(path('no-such-event'))).status, 404);
});
