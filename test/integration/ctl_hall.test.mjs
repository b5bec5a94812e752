// SPDX-License-Identifier: MIT
//
// tiketi ctl on a real service: the hall (import, corrections, counts), and what it reads of a sale: a buyer's story, the payments, the
// changes, the minutes, and the numbers behind what limits admissions.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { Client, pay, privateFolder, removeFolder, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { ctlIn, token } from './ctl_support.mjs';

const { database, server, organizer } = await stage();
const home = privateFolder('ctl-hall');
after(() => removeFolder(home));
const ctl = ctlIn(home);
await ctl(['login', server.url], { input: `${token()}\n` });

const json = async (args, options) => JSON.parse((await ctl([...args, '--json'], options)).stdout);
const rows = (text) => text.trim().split('\n').map((line) => line.trim().split(/ {2,}/));
const counts = async (id) => (await organizer.must('GET', `/api/admin/events/${id}/sections`)).total;

function file(name, lines) {
  const path = join(home, name);
  writeFileSync(path, `${['section,row,number,price,currency', ...lines].join('\n')}\n`);
  return path;
}

// A draft whose section A has two rows of three seats for €12.50.
async function hall() {
  const id = uniqueId('hall');
  await ctl(['create', 'A hall', '--id', id]);
  await organizer.must('POST', `/api/admin/events/${id}/seats`, { grid: { section: 'A', rows: 2, seatsPerRow: 3, price: 1250, currency: 'EUR' } });
  return id;
}

test('a hall is imported from a file or a pipe, checked before, and replaced only when that is confirmed', async () => {
  const id = uniqueId('import');
  await ctl(['create', 'A hall', '--id', id]);
  const path = file('hall.csv', ['무대,1,1,9900,KRW', '무대,1,2,9900,KRW', 'B,1,1,5000,KRW']);
  const checked = await ctl(['seats', 'import', id, path, '--check']);
  assert.deepEqual(rows(checked.stdout), [['section', 'rows', 'seats', 'longest row', 'price'], ['무대', '1', '2', '2', '9900'], ['B', '1', '1', '1', '5000'], ['it would have 3 seats']]);
  assert.equal((await counts(id)).seats, 0, 'a check changes nothing');
  const added = await ctl(['seats', 'import', id, path]);
  assert.match(added.stdout, new RegExp(`^${id}: 3 seats added, 3 in all, version \\d+\\n$`));
  assert.equal((await json(['seats', 'import', id, '-'], { input: 'section,row,number,price,currency\nC,1,1,1,KRW\n' })).seats, 4);
  const smaller = file('smaller.csv', ['무대,1,1,8800,KRW']);
  assert.match((await ctl(['seats', 'import', id, smaller, '--replace'], { expect: 2 })).stderr, /--yes is needed/);
  assert.equal((await counts(id)).seats, 4);
  const { version } = await json(['show', id]);
  await ctl(['seats', 'import', id, smaller, '--replace', '--yes', '--version', String(version - 1)], { expect: 4 });
  assert.equal((await counts(id)).seats, 4);
  assert.match((await ctl(['seats', 'import', id, smaller, '--replace', '--yes', '--version', String(version)])).stdout, /: 0 seats added, 3 removed, 1 changed, 1 in all, version /);
});

test('each error of a file is a line with its line number, whether it is checked or sent', async () => {
  const id = await hall();
  const path = file('wrong.csv', ['B,1,1,100,EUR', 'B,1,none,100,EUR', 'B,1,2,-5,EUR', 'A,1,1,100,EUR']);
  for (const [more, lines] of [[['--check'], [3, 4, 5]], [[], [3, 4]]]) {
    const { stderr } = await ctl(['seats', 'import', id, path, ...more], { expect: 1 });
    const [head, ...told] = stderr.trim().split('\n');
    assert.equal(head, `tiketi ctl seats import: ${path}: ${lines.length} errors; no seat was changed`);
    assert.deepEqual(told.map((line) => Number(/^line (\d+): \S.* \([a-z]+\)$/.exec(line)?.[1])), lines, stderr);
  }
  assert.equal((await counts(id)).seats, 6);
  assert.deepEqual((await json(['seats', 'import', id, path, '--check'], { expect: 1 })).errors.map(({ line }) => line), [3, 4, 5]);
  assert.match((await ctl(['seats', 'import', id, join(home, 'absent.csv')], { expect: 2 })).stderr, /absent\.csv: No such file/);
  const large = join(home, 'large.csv');
  writeFileSync(large, Buffer.alloc((16 << 20) + 1, 'x'));
  assert.match((await ctl(['seats', 'import', id, large], { expect: 2 })).stderr, /is larger than 16 MiB/);
  writeFileSync(large, '');
  await ctl(['seats', 'import', id, large], { expect: 1 });
});

test('seats are blocked, put back, priced, renamed and removed; what is taken stays and is told', async () => {
  const id = await hall();
  const done = async (expected, ...args) => assert.match((await ctl(['seats', args[0], id, ...args.slice(1)])).stdout, new RegExp(`^${id}: ${expected}, version \\d+\\n$`));
  await done('2 seats blocked, 6 in all', 'block', '--section', 'A', '--row', '1', '--from', '2', '--to', '3', '--reason', 'camera');
  assert.equal((await counts(id)).blocked, 2);
  await done('2 seats unblocked, 6 in all', 'unblock', '--all');
  assert.equal((await counts(id)).blocked, 0);
  await done('3 seats repriced, 6 in all', 'reprice', '--row', '2', '--price', '2000');
  await done('3 seats renamed, 6 in all', 'rename', '--section', 'A', '--row', '2', '--new-section', 'VIP', '--new-row', '1');
  const table = rows((await ctl(['seats', id])).stdout);
  assert.deepEqual(table, [['section', 'rows', 'seats', 'free', 'held', 'sold', 'blocked', 'price', 'revenue'],
    ['A', '1', '3', '3', '0', '0', '0', '€12.50', '€0.00'], ['VIP', '1', '3', '3', '0', '0', '0', '€20.00', '€0.00'], ['in all', '6', '6', '0', '0', '0', '€0.00']]);
  const [{ seat }] = await database.query('SELECT min(id)::text AS seat FROM seats WHERE event_id = $1', [id]);
  await done('1 seats removed, 5 in all', 'remove', '--seats', seat, '--yes');
  assert.match((await ctl(['seats', 'remove', id, '--all'], { expect: 2 })).stderr, /--yes is needed/);
  assert.equal((await counts(id)).seats, 5);
  assert.match((await ctl(['seats', 'block', id, '--all'], { expect: 2 })).stderr, /reason/);
  assert.match((await ctl(['seats', 'unblock', id], { expect: 2 })).stderr, /which seats\? --section/);
  assert.match((await ctl(['seats', 'rename', id, '--all'], { expect: 1 })).stderr, /section or row is needed/);
  const { version } = await json(['show', id]);
  await ctl(['seats', 'unblock', id, '--all', '--version', String(version + 7)], { expect: 4 });
});

test('an event that is called like a second word is named behind --', async () => {
  await ctl(['create', 'Import', '--id', 'import']);
  assert.equal(JSON.parse((await ctl(['seats', '--json', '--', 'import'])).stdout).total.seats, 0);
  assert.match((await ctl(['seats', 'import'], { expect: 2 })).stderr, /it needs EVENT FILE/);
});

test('a sale: a buyer\'s story, revenue, payments, changes, minutes', async () => {
  const { id } = await organizer.sale({ threshold: 5, autoHold: 0, grid: { rows: 1, seatsPerRow: 5 } });
  const buyer = new Client(server, { sub: uniqueId('fan') });
  await waitUntil(async () => (await buyer.check(id)).body.status === 'active', 15000, 'an admission');
  const { body: held } = await buyer.reserve({ eventId: id, quantity: 2 });
  await buyer.post(`/api/reservations/${held.id}/pay`, {});
  assert.equal((await pay(server, held)).status, 200);
  const sold = rows((await ctl(['seats', id])).stdout);
  assert.deepEqual(sold[1], ['A', '1', '5', '3', '0', '2', '0', '€50.00', '€100.00']);
  const left = await ctl(['seats', 'reprice', id, '--all', '--price', '100']);
  assert.match(left.stdout, /: 3 seats repriced, 5 in all/);
  assert.match(left.stderr, /^warning: 0 held and 2 sold seats were left as they are\.$/m);

  const told = (await ctl(['buyer', id, held.reservationNumber])).stdout;
  assert.match(told, /^u:fan-\S+, reference [0-9A-Z-]+\nnow: \w+/);
  assert.match(told, new RegExp(`Z +held 2 seats, ${held.reservationNumber}$`, 'm'));
  assert.match(told, new RegExp(`^${held.reservationNumber} +confirmed +€100\\.00 +A 1 \\d, A 1 \\d$`, 'm'));
  const story = await json(['buyer', id, held.id]);
  assert.equal((await json(['buyer', id, story.reference])).buyer, story.buyer);
  await ctl(['buyer', id, 'u:nobody'], { expect: 1 });
  assert.match((await ctl(['buyer', id, 'a/../b'], { expect: 1 })).stderr, /buyer id/);

  await ctl(['refund', id, held.reservationNumber, '--seats', held.seats[0].id]);
  const due = rows((await ctl(['payments', id, '--due'])).stdout);
  assert.deepEqual(due[0], ['at', 'reservation', 'status', 'amount', 'refunded', 'due', 'buyer', 'provider', 'reference']);
  const row = due.find((cells) => cells[1] === held.reservationNumber && cells.includes('€50.00'));
  assert.ok(row?.includes('paid') && row.includes('€100.00') && row.includes(story.buyer), JSON.stringify(due));
  assert.deepEqual(await json(['payments', id, '--status', 'failed']), []);
  assert.match((await ctl(['payments', id, '--status', 'lost'], { expect: 1 })).stderr, /\(status\)/);
  assert.match((await ctl(['seats', id])).stdout, /^refunds due: €50\.00$/m);

  await ctl(['set', id, 'threshold=7']);
  const changes = rows((await ctl(['audit', id, '--limit', '1'])).stdout);
  assert.equal(changes.length, 2);
  assert.match(changes[1][1], /^threshold 5 → 7, organizer, \d\d:\d\d$/);
  assert.ok((await json(['audit', id])).some(({ verb }) => verb === 'refund'));

  await database.query('DELETE FROM event_minutes WHERE event_id = $1', [id]);
  await database.query(`SELECT * FROM minutes_store($1, $2)`, [id, JSON.stringify(Array.from({ length: 4 }, (_, at) => ({
    at: `2026-03-01T20:0${at}:00Z`, joined: 1000 + at, admitted: 10, left: 0, withdrawn: 0, idle: 0, timeout: 0, completed: at, parked: 0, direct: 0, claimed: 10, unclaimed: 0, idleKept: 0, currentUsers: 50, queueSize: 900, threshold: 50, queuePeak: 950 })))]);
  const minutes = rows((await ctl(['minutes', id, '--from', '2026-03-01T20:00:00+00:00', '--to', '2026-03-01T20:04:00Z'])).stdout);
  assert.deepEqual(minutes[0].slice(0, 7), ['at', 'waiting', 'inside', 'threshold', 'came', 'entered', 'bought']);
  assert.equal(minutes.length, 5);
  assert.deepEqual(minutes[4].slice(1, 7), ['900', '50', '50', '1,003', '10', '3']);
  const steps = await json(['minutes', id, '--from', '2026-03-01T20:00:00Z', '--to', '2026-03-01T20:04:00Z', '--step', '2m']);
  assert.deepEqual([steps.step, steps.minutes.map(({ joined }) => joined)], [120, [2001, 2005]]);
  const around = (ms) => new Date(Date.now() + ms).toISOString();
  assert.match((await ctl(['minutes', id, '--from', around(-600000), '--to', around(600000)])).stdout, /^at +change\n(?:20.*\n)*20\S+Z +threshold 5 → 7, organizer, /m);
  assert.match((await ctl(['minutes', id, '--from', 'noon'], { expect: 1 })).stderr, /\(from\)/);
});

test('lists of several pages are read to their end, or as far as --limit says', async () => {
  const { id } = await organizer.sale({ threshold: 5 });
  await database.query(`INSERT INTO audit (event_id, who, verb, before, after) SELECT $1, 'kim', 'update', '{}', json_build_object('threshold', n) FROM generate_series(1, 250) AS n`, [id]);
  assert.equal((await json(['audit', id])).length, 50);
  const many = await json(['audit', id, '--limit', '240']);
  assert.deepEqual([many.length, new Set(many.map((entry) => entry.id)).size], [240, 240]);
  assert.equal((await json(['audit', id, '--limit', '1000'])).length, 252); // with its creation and opening
  await ctl(['audit', id, '--limit', '0'], { expect: 2 });
});

test('top says by which numbers admissions are limited', async () => {
  const { id } = await organizer.sale({ threshold: 1, intervalMs: 200, surge: [{ queueAbove: 1, threshold: 2 }] });
  for (let at = 0; at < 6; at++) await new Client(server, { sub: uniqueId('u') }).check(id);
  const top = async () => (await ctl(['top', id, '--once'])).stdout;
  await waitUntil(async () => /^ +limited by +threshold: 2 of 2 inside, by a surge rule instead of 1$/m.test(await top()), 15000, 'the surge rule');
  await ctl(['set', id, 'surge=none', 'threshold=1000', 'outflow=2']);
  await waitUntil(async () => /^ +limited by +outflow: 2 a minute$/m.test(await top()), 15000, 'the outflow limit');
  await ctl(['pause', id]);
  await waitUntil(async () => /^ +limited by +paused$/m.test(await top()), 15000, 'the pause');
});

test('readiness says what was found, and its exit code whether something is bad', async () => {
  const id = await hall();
  const { stdout } = await ctl(['readiness', id], { expect: 1 });
  assert.match(stdout, /^published +bad +status +status draft$/m);
  assert.match(stdout, /^hall +good +seats +seats 6, blocked 0, free 6, unpriced 0$/m);
  assert.match(stdout, /^in all: bad$/m);
  assert.equal((await json(['readiness', id], { expect: 1 })).verdict, 'bad');
  const later = (hours) => new Date(Date.now() + hours * 3600000).toISOString();
  await ctl(['set', id, `opensAt=${later(1)}`, `startsAt=${later(9)}`, 'timeZone=Asia/Seoul']);
  await ctl(['seats', 'reprice', id, '--all', '--price', '0']); // no payment page is needed
  await ctl(['publish', id]);
  const checked = await waitUntil(async () => {
    const checks = await organizer.must('GET', `/api/admin/events/${id}/readiness`);
    return checks.verdict !== 'bad' && checks;
  }, 15000, 'the processor');
  assert.equal(checked.verdict, 'warn');
  assert.match((await ctl(['readiness', id])).stdout, /^hall +warn +seats +seats 6, .*unpriced 6$/m);
});

test('a team: invited by a link, listed, withdrawn; mails are sent again', async () => {
  const { id } = await organizer.sale({ threshold: 5 });
  const link = (await ctl(['team', 'invite', id, 'editor', 'Lee Jieun'])).stdout.trim();
  assert.match(link, /^https?:\/\/\S+$/);
  const lines = (await ctl(['team', id])).stdout.split('\n');
  assert.match(lines[0], /^who +name +role +at$/);
  assert.ok(lines.some((line) => /organizer +owner +since +20/.test(line)), lines.join('\n'));
  const invitation = lines.find((line) => /Lee Jieun +editor +invited, until +20/.test(line));
  assert.ok(invitation, `${lines.join('\n')}`);
  const [, number] = /^(\d+) /.exec(invitation);
  assert.match((await ctl(['team', 'remove', id, number], { expect: 2 })).stderr, /--yes is needed/);
  await ctl(['team', 'remove', id, number, '--yes']);
  assert.deepEqual(JSON.parse((await ctl(['team', id, '--json'])).stdout).invitations, []);
  assert.match((await ctl(['team', 'invite', id, 'boss'], { expect: 1 })).stderr, /role must be owner, editor or viewer/);
  assert.match((await ctl(['team', 'remove', id, 'nobody', '--yes'], { expect: 1 })).stderr, /nobody of this subject/);
  assert.match((await ctl(['resend', id])).stdout, /^resent +0$/m);
});

test('a viewer sees the hall and the changes, and neither names of buyers nor payments', async () => {
  const id = await hall();
  const env = { TIKETI_URL: server.url, TIKETI_TOKEN: token({ sub: 'eyes', role: 'viewer' }) };
  await ctl(['seats', id], { env });
  await ctl(['audit', id], { env });
  await ctl(['minutes', id], { env });
  await ctl(['buyer', id, 'u:fan'], { env, expect: 5 });
  await ctl(['payments', id], { env, expect: 5 });
  await ctl(['seats', 'block', id, '--all', '--reason', 'x'], { env, expect: 5 });
  await ctl(['seats', 'import', id, file('viewer.csv', ['Z,1,1,1,EUR'])], { env, expect: 5 });
});
