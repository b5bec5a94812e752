// SPDX-License-Identifier: MIT
//
// The checker itself: it finds nothing in a sale that went well, and each promise that is broken once, in what was recorded
// of that sale, or by a service that breaks it.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ROOT, privateFolder, removeFolder } from '../fixtures/index.mjs';
import { check } from './checker.mjs';
import { readFolder } from './history.mjs';
import { POLLS, Record } from './record.mjs';
import { playSchedule } from './run.mjs';
import { makeSchedule } from './schedule.mjs';

const skip = process.env.TIKETI_SAN ? 'what a checker reads does not depend on a sanitizer' : false;
let root;
let good; // the folder of a sale without faults

// It ends sooner where it has a processor.
function schedule(more) {
  const made = makeSchedule({ seed: 1, ms: 4000, users: 100 });
  return { ...made, event: { ...made.event, autoHold: 0 }, layout: 'together', faults: [], afterMs: 12000, ...more };
}

async function play(name, more) {
  const folder = join(root, name);
  mkdirSync(folder);
  await playSchedule(schedule(more), folder);
  return folder;
}

before(async () => {
  root = privateFolder('checker');
  if (!skip) good = await play('good', {});
});
after(() => removeFolder(root));

function copyOfGood(name) {
  const folder = join(root, name.replaceAll(/\W/g, '-'));
  cpSync(good, folder, { recursive: true });
  return folder;
}

const body = (line, change) => {
  const value = JSON.parse(line.body);
  change(value);
  line.body = JSON.stringify(value);
};
const forged = (token, change) => {
  const [head, claims, mac] = token.split('.');
  const value = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8'));
  change(value);
  return [head, Buffer.from(JSON.stringify(value)).toString('base64url'), mac].join('.');
};
const withTicket = (lines) => lines.filter((line) => line.answer?.includes('/check/') && line.code === 200 && line.body.includes('"ticket"'));
const PLACE = 8000000000000000;

// [promise, what is done, how]
const RECORDS = [
  ['limit', 'one more is inside than may be, and the log does not say so', (r) => r.append(['SADD', r.key('active'), ...Array.from({ length: r.threshold + 1 }, (_, i) => `u:x${i}`)])],
  ['limit', 'the log says that too many are inside', (r) => r.append(r.entry('direct', 'u:x', PLACE, r.threshold + 1), ['SADD', r.key('active'), 'u:x'])],
  ['limit', 'somebody enters whom the log does not count', (r) => r.append(r.entry('direct', 'u:x', PLACE, 0), ['SADD', r.key('active'), 'u:x'], ['ZADD', r.key('active:place'), PLACE, 'u:x'])],
  ['order', 'a later place enters before an earlier one', (r) => {
    r.append(['ZADD', r.key('queue'), PLACE, 'u:x', PLACE + 1, 'u:y']);
    r.append(r.entry('offered', 'u:y', PLACE + 1, 1), ['SADD', r.key('active'), 'u:y'], ['ZREM', r.key('queue'), 'u:y']);
  }],
  ['order', 'a later place enters in the call that queued an earlier one', (r) => {
    r.append(['ZADD', r.key('queue'), PLACE, 'u:x'], r.entry('direct', 'u:y', PLACE + 1, 1), ['SADD', r.key('active'), 'u:y'], ['ZADD', r.key('active:place'), PLACE + 1, 'u:y']);
  }],
  ['order', 'a place is given that is before another', (r) => r.append(['ZADD', r.key('queue'), 5, 'u:x'])],
  ['order', 'the first who asked gets the last place', (r) => r.history(POLLS, (lines) => {
    const first = withTicket(lines)[0];
    body(first, (value) => (value.ticket = forged(value.ticket, (claims) => (claims.p = '1'))));
    for (const line of lines) if (line.number === first.number && line.ask) line.at += 3600e6;
    for (const line of lines) if (line.number === first.number && line.answer) line.at += 3600e6;
  })],
  ['place', 'two buyers have one place', (r) => {
    r.append(['ZADD', r.key('queue'), PLACE, 'u:x']);
    r.append(['ZADD', r.key('queue'), PLACE, 'u:y']);
  }],
  ['place', 'a buyer is put behind others', (r) => {
    r.append(['ZADD', r.key('queue'), PLACE, 'u:x']);
    r.append(['ZADD', r.key('queue'), PLACE + 5, 'u:x']);
  }],
  ['place', 'a buyer enters with another place than their own', (r) => {
    r.append(['ZADD', r.key('queue'), PLACE, 'u:x']);
    r.append(r.entry('offered', 'u:x', PLACE + 5, 1), ['SADD', r.key('active'), 'u:x'], ['ZREM', r.key('queue'), 'u:x']);
  }],
  ['place', 'a buyer is given the ticket of a later place', (r) => r.history(POLLS, (lines) => {
    const first = withTicket(lines)[0];
    const again = { ...first, at: first.at + 2 };
    body(again, (value) => (value.ticket = forged(value.ticket, (claims) => (claims.p = String(Number(claims.p) + 7)))));
    lines.splice(lines.indexOf(first) + 1, 0, { ...first, at: first.at + 1, answer: undefined, ask: first.answer }, again);
  })],
  ['place', 'a buyer who waits is told not_in_queue', (r) => r.history(POLLS, (lines) => {
    const { buyer } = lines.findLast((line) => line.state === 'waiting') ?? {};
    const first = withTicket(lines).find((line) => line.buyer === buyer);
    const again = { ...first, at: first.at + 2, answer: 'GET /api/queue/status/{eventId}', body: '{"status":"not_in_queue"}' };
    // Their place is one that the log does not know to be consumed.
    body(first, (value) => (value.ticket = forged(value.ticket, (claims) => (claims.p = String(PLACE)))));
    lines.splice(lines.indexOf(first) + 1, 0, { ...first, at: first.at + 1, answer: undefined, ask: again.answer }, again);
  })],
  ['position', 'a position rises', (r) => r.history(POLLS, (lines) => {
    const first = withTicket(lines).find((line) => line.body.includes('"position"'));
    const again = { ...first, at: first.at + 2 };
    body(again, (value) => (value.position += 1));
    lines.splice(lines.indexOf(first) + 1, 0, { ...first, at: first.at + 1, answer: undefined, ask: first.answer }, again);
  })],
  ['others', 'a buyer is given the ticket of another', (r) => r.history(POLLS, (lines) => {
    const [first, second] = withTicket(lines);
    body(second, (value) => (value.ticket = JSON.parse(first.body).ticket));
  })],
  ['others', 'two buyers are told of one reservation', (r) => r.history(POLLS, (lines) => {
    const first = lines.find((line) => line.answer === 'GET /api/reservations/{id}' && line.code === 200);
    const other = lines.find((line) => line.answer === 'POST /api/queue/check/{eventId}' && line.code === 200 && line.buyer !== first.buyer);
    other.body = first.body;
  })],
  ['seat', 'a seat is confirmed to two reservations', (r) => r.history(POLLS, (lines) => {
    const told = lines.filter((line) => line.answer === 'GET /api/reservations/{id}' && line.code === 200 && line.body.includes('"confirmed"'));
    const other = told.find((line) => line.buyer !== told[0].buyer);
    body(other, (value) => (value.seats = JSON.parse(told[0].body).seats));
  })],
  ['seat', 'a purchase that a buyer was told of is not there', (r) => r.json('postgres.json', (tables) => {
    const row = tables.reservations.find(({ status }) => status === 'confirmed');
    row.status = 'cancelled';
  })],
  ['seat', 'a sold seat belongs to nobody', (r) => r.json('postgres.json', (tables) => {
    const seat = tables.seats.find(({ status }) => status === 'sold');
    tables.reservation_seats = tables.reservation_seats.filter((link) => link.seat_id !== seat.id);
  })],
  ['seat', 'a seat belongs to two', (r) => r.json('postgres.json', (tables) => {
    const live = tables.reservation_seats.find((link) => link.live);
    tables.reservation_seats.push({ ...live, reservation_id: 'another' });
  })],
  ['money', 'the provider took what nobody recorded', (r) => r.json('books.json', (books) => books.push({ ...books[0], reference: 'another' }))],
  ['money', 'another amount was taken', (r) => r.json('books.json', (books) => (books[0].amount += 1))],
  ['money', 'a payment is recorded that was never taken', (r) => r.json('books.json', (books) => books.shift())],
  ['money', 'seats were paid and not sold', (r) => r.json('postgres.json', (tables) => {
    const payment = tables.payments.find(({ status }) => status === 'paid');
    tables.reservations.find(({ id }) => id === payment.reservation_id).status = 'expired';
  })],
  ['money', 'seats were sold and not paid', (r) => r.json('postgres.json', (tables) => (tables.payments.find(({ status }) => status === 'paid').status = 'refund_due'))],
  ['gate', 'seats are held for somebody who is not inside', (r) => r.history(POLLS, (lines) => {
    const first = withTicket(lines)[0];
    const step = 'POST /api/reservations';
    const late = { number: 9999, buyer: 'g:stranger', to: first.to };
    lines.push({ ...late, at: first.at, ask: step }, { ...late, at: first.at + 1, answer: step, code: 201, retry: -1, body: '{"id":"x","status":"held","seats":[]}' });
  })],
  ['gate', 'seats are refused to somebody who is inside', (r) => r.history(POLLS, (lines) => {
    const entered = lines.find((line) => line.state === 'inside' && lines.find(({ buyer, at }) => buyer === line.buyer && at > line.at)?.at > line.at + 600000);
    const about = { number: entered.number, buyer: entered.buyer, to: lines.find(({ to }) => to).to };
    const step = 'POST /api/reservations';
    lines.splice(lines.indexOf(entered) + 1, 0, { ...about, at: entered.at + 200000, ask: step },
      { ...about, at: entered.at + 201000, answer: step, code: 403, retry: -1, body: '{"type":"urn:tiketi:problem:not-admitted"}' });
  })],
  ['answer', 'a request is answered 500', (r) => r.history(POLLS, (lines) => (withTicket(lines)[0].code = 500))],
  ['answer', 'a 503 does not say when to come back', (r) => r.history(POLLS, (lines) => Object.assign(withTicket(lines)[0], { code: 503, retry: -1 }))],
  ['answer', 'a 503 though nothing is wrong', (r) => r.history(POLLS, (lines) => Object.assign(withTicket(lines)[0], { code: 503, retry: 1000 }))],
  ['answer', 'a request gets no answer', (r) => r.history(POLLS, (lines) => {
    const line = withTicket(lines)[0];
    Object.assign(line, { none: line.answer, answer: undefined, why: 'closed without an answer', code: undefined, body: undefined });
  })],
  ['answer', 'an answer is no JSON', (r) => r.history(POLLS, (lines) => (withTicket(lines)[0].body = '<html>'))],
  ['answer', 'a buyer is refused as a stranger', (r) => r.history(POLLS, (lines) => (withTicket(lines)[0].code = 401))],
  ['recovery', 'a pod never answers again', (r) => r.history('probe.ndjson', (lines) => {
    for (const line of lines) if (line.probe === 'list' && line.pod === 1 && line.code === 200) line.code = 503;
  })],
  ['recovery', 'a gateway never answers again', (r) => r.history('probe.ndjson', (lines) => {
    for (const line of lines) if (line.probe === 'socket' && line.pod === 2 && line.code === 200) line.code = 503;
  })],
  ['recovery', 'the next payment after a fault of the provider is late', (r) => r.json('postgres.json', (tables) => {
    const times = tables.payments.flatMap(({ settled_at: at }) => (at ? [Date.parse(at)] : [])).sort();
    const end = times[Math.floor(times.length / 2)] - 1;
    r.hurt({ fault: 'provider.stop', at: 0, for: 0 }, (end - 500) * 1000, end * 1000);
    for (const one of tables.payments) if (Date.parse(one.settled_at) >= end) one.settled_at = new Date(Date.parse(one.settled_at) + 20000).toISOString();
  })],
  ['record', 'an admission is missing in PostgreSQL', (r) => r.json('postgres.json', (tables) => tables.admissions.shift())],
  ['record', 'the ledger does not come to the end of the log', (r) => r.json('world.json', (world) => world.unsettled.push('timed out'))],
  ['world', 'a pod does not end in order', (r) => r.json('world.json', (world) => world.failures.push('exit 139'))],
];

// What a 503, or a silence, is excused by: [what, excused, the faults with their begin and end in ms before the answer, the answer].
const [STATUS, LIST, JOIN, HOLD, PAY] = ['GET /api/queue/status/{eventId}', 'GET /api/reservations', 'JOIN /ws', 'POST /api/reservations', 'POST /api/reservations/{id}/pay'];
const REDIS = { fault: 'redis.client_kill', type: 'normal' };
const POSTGRES = { fault: 'postgres.terminate' };
const EXCUSES = [
  ['what Redis answers by a fault of Redis', true, [[REDIS, 400, 200]], { step: STATUS }],
  ['a socket by a fault of Redis', true, [[REDIS, 400, 200]], { step: JOIN }],
  ['what PostgreSQL answers by a fault of Redis', false, [[REDIS, 400, 200]], { step: LIST }],
  ['what PostgreSQL answers by a fault of PostgreSQL', true, [[POSTGRES, 400, 200]], { step: LIST }],
  ['what Redis answers by a fault of PostgreSQL', false, [[POSTGRES, 400, 200]], { step: STATUS }],
  ['a hold by a fault of Redis', true, [[REDIS, 400, 200]], { step: HOLD }],
  ['a hold by a fault of PostgreSQL', true, [[POSTGRES, 400, 200]], { step: HOLD }],
  ['a payment by a fault of Redis', false, [[REDIS, 400, 200]], { step: PAY }],
  ['a payment by a fault of the provider', false, [[{ fault: 'provider.stop' }, 400, -200]], { step: PAY }],
  ['a hold by calls of the provider that are not heard', false, [[{ fault: 'provider.unheard' }, 400, -200]], { step: HOLD }],
  ['a hold by a clock', false, [0, 1, 2].map((pod) => [{ fault: 'clock.shift', pod, seconds: 3600 }, 400, -200]), { step: HOLD }],
  ['what Redis answers by a fault that has not begun', false, [[REDIS, -200, -400]], { step: STATUS }],
  ['what Redis answers by a fault that was over 4 s ago', true, [[REDIS, 4300, 4000]], { step: STATUS }],
  ['what Redis answers by a fault that was over 6 s ago', false, [[REDIS, 6300, 6000]], { step: STATUS }],
  ["what Redis answers by its pod's link to Redis", true, [[{ fault: 'network.cut', link: 'redis.1' }, 400, 200]], { step: STATUS, pod: 1 }],
  ["what Redis answers by another pod's link to Redis", false, [[{ fault: 'network.cut', link: 'redis.1' }, 400, 200]], { step: STATUS, pod: 0 }],
  ["what Redis answers by its pod's link to PostgreSQL", false, [[{ fault: 'network.cut', link: 'postgres.1' }, 400, 200]], { step: STATUS, pod: 1 }],
  ['a 503 by the link on which it came', false, [[{ fault: 'network.delay', link: 'web.1' }, 400, -200]], { step: STATUS, pod: 1 }],
  ['any answer by a fault of its pod', true, [[{ fault: 'process.kill', pod: 1 }, 400, 200]], { step: LIST, pod: 1 }],
  ['an answer by a fault of another pod', false, [[{ fault: 'process.kill', pod: 1 }, 400, 200]], { step: LIST, pod: 2 }],
  ['what Redis answers by a fault of PostgreSQL while its data was lost', true, [[{ fault: 'redis.flushall' }, 6500, 6400], [POSTGRES, 6300, 1000]], { step: STATUS }],
  ['what PostgreSQL answers by a loss of the data of Redis', false, [[{ fault: 'redis.flushall' }, 400, 200]], { step: LIST }],
  ['a silence by the link on which it came', true, [[{ fault: 'network.reset', link: 'web.1' }, 400, 200]], { step: STATUS, pod: 1, silent: true }],
  ['a silence by a fault of Redis', false, [[REDIS, 400, 200]], { step: STATUS, silent: true }],
  ['a silence on a socket by a fault of Redis', true, [[REDIS, 400, 200]], { step: JOIN, silent: true }],
  ['a handshake that did not arrive by its link', true, [[{ fault: 'network.half_open', link: 'ws.1' }, 400, 200]], { step: JOIN, pod: 1, code: 408 }],
  ['a handshake that did not arrive by nothing', false, [], { step: JOIN, pod: 1, code: 408 }],
  ['an answer by a machine that stood still', true, [], { step: LIST, starvedMs: 1000 }],
  ['a silence by a machine that stood still', true, [], { step: LIST, starvedMs: 1000, silent: true }],
  ['a request for the same seats', true, [], { step: HOLD, word: 'busy' }],
  ['contention where nothing is changed', false, [], { step: LIST, word: 'busy' }],
];

describe('the checker', { concurrency: 3 }, () => {
  test('finds nothing in a sale that went well', { skip }, () => {
    const verdict = check(good);
    assert.deepEqual(verdict.broken, []);
    const { buyers, tables } = readFolder(good);
    assert.ok(buyers.length === 100 && tables.payments.length > 10 && verdict.states.bought > 10, JSON.stringify(verdict.states));
  });

  for (const [promise, what, change] of RECORDS) {
    test(`finds in what was recorded that ${what}`, { skip }, (t) => {
      const folder = copyOfGood(what);
      change(new Record(folder));
      const { broken } = check(folder);
      t.diagnostic(JSON.stringify(broken.slice(0, 2)));
      assert.ok(broken.some((one) => one.promise === promise), JSON.stringify(broken));
      rmSync(folder, { recursive: true });
    });
  }

  for (const [what, excused, hurts, { step, pod, word = 'unavailable', code = 503, silent = false, starvedMs }] of EXCUSES) {
    test(`${excused ? 'excuses' : 'does not excuse'} ${what}`, { skip }, (t) => {
      const folder = copyOfGood(`${step} ${what}`);
      const record = new Record(folder);
      const { at, until } = record.answer(step, pod, silent ? { none: step, answer: undefined, code: undefined, body: undefined, why: 'closed without an answer' }
        : { code, retry: 1000, body: JSON.stringify({ type: `urn:tiketi:problem:${word}` }) });
      for (const [given, begin, end] of hurts) record.hurt({ at: 0, for: 0, ...given }, until - begin * 1000, until - end * 1000);
      if (starvedMs) record.starve(until + 100000, starvedMs);
      const { broken, answers } = check(folder);
      t.diagnostic(JSON.stringify(broken.slice(0, 2)));
      assert.equal(broken.some((one) => one.promise === 'answer' && one.what.includes(` at ${at} `)), !excused, JSON.stringify(broken));
      assert.equal(answers.starved > 0, starvedMs > 0, 'what a machine excuses is counted');
      rmSync(folder, { recursive: true });
    });
  }

  test('does not excuse that many requests meet another one', { skip }, () => {
    const folder = copyOfGood('contention');
    new Record(folder).history(POLLS, (lines) => {
      for (const line of lines) if ([HOLD, PAY].includes(line.answer)) Object.assign(line, { code: 503, retry: 1000, body: '{"type":"urn:tiketi:problem:busy"}' });
    });
    const { broken, answers } = check(folder);
    assert.ok(broken.some(({ what }) => /were answered busy/.test(what)), JSON.stringify([answers, broken]));
    rmSync(folder, { recursive: true });
  });

  test('lets a buyer come back to their place in the call that let another one in', { skip }, () => {
    const folder = copyOfGood('back');
    const r = new Record(folder);
    r.append(['DEL', r.key('queue')]);
    r.append(['ZADD', r.key('parked'), PLACE, 'u:x']);
    r.append(r.entry('direct', 'u:y', PLACE + 1, 1), ['SADD', r.key('active'), 'u:y'], ['ZADD', r.key('active:place'), PLACE + 1, 'u:y'],
      ['ZREM', r.key('parked'), 'u:x'], ['ZADD', r.key('queue'), PLACE, 'u:x']);
    assert.deepEqual(check(folder).broken.filter((one) => one.promise === 'order'), []);
    rmSync(folder, { recursive: true });
  });

  test('counts the faults whose recovery another one disturbed', { skip }, () => {
    const { faults, probes } = readFolder(good);
    const middle = (faults.marks.healed + probes[0].events[0].at) / 2;
    for (const [others, measured, disturbed, lateMs] of [[[], 1, 0], [[[REDIS, -100, 50]], 1, 1], [[[REDIS, -3000, -2500]], 2, 0], [[], 0, 1, 500]]) {
      const folder = copyOfGood('disturbed');
      const record = new Record(folder);
      for (const [given, begin, end] of [[POSTGRES, -200, 0], ...others]) record.hurt({ at: 0, for: 0, ...given }, middle + begin * 1000, middle + end * 1000);
      if (lateMs) record.starve(middle + 20000, lateMs);
      const verdict = check(folder);
      assert.deepEqual([verdict.recoveries.length, verdict.disturbed], [measured, disturbed], JSON.stringify(verdict.recoveries));
      rmSync(folder, { recursive: true });
    }
  });

  // A service that breaks a promise: a script with a mistake, or a database that does something else.
  for (const [promise, what, { file, right, wrong, sql, faults = [] }] of [
    ['limit', 'admits one too many', { file: 'promote.lua', right: 'local left = capacity(wanted == 0)', wrong: 'local left = capacity(wanted == 0) + 1' }],
    ['order', 'admits from the tail', { file: 'promote.lua', right: "call('ZRANGE', K_QUEUE, 0, count - 1, 'WITHSCORES')", wrong: "call('ZRANGE', K_QUEUE, -count, -1, 'WITHSCORES')" }],
    ['place', 'forgets places when Redis has lost its data', { file: 'join.lua', right: 'local lowest = ticket or pass', wrong: 'ticket, pass = nil, nil local lowest', faults: [{ at: 4500, for: 200, fault: 'redis.flushall' }] }],
    ['seat', 'sells seats and does not keep them', { sql: `CREATE FUNCTION mutant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      UPDATE reservation_seats SET live = false WHERE reservation_id = NEW.id; RETURN NULL; END $$;
      CREATE TRIGGER mutant AFTER UPDATE ON reservations FOR EACH ROW WHEN (NEW.status = 'confirmed') EXECUTE FUNCTION mutant()` }],
    ['money', 'writes down another amount', { sql: `CREATE FUNCTION mutant() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      NEW.amount := NEW.amount + 1; RETURN NEW; END $$;
      CREATE TRIGGER mutant BEFORE UPDATE ON payments FOR EACH ROW WHEN (NEW.status = 'paid') EXECUTE FUNCTION mutant()` }],
  ]) {
    test(`finds a service that ${what}`, { skip, timeout: 240000 }, async (t) => {
      const mutant = { sql };
      if (file) {
        const text = readFileSync(join(ROOT, 'lua', file), 'utf8');
        assert.ok(text.includes(right), 'the mutant does not fit the script any more');
        mutant.scripts = join(root, `scripts-${promise}`);
        mkdirSync(mutant.scripts);
        writeFileSync(join(mutant.scripts, file), text.replace(right, () => wrong));
      }
      const { broken } = check(await play(`mutant-${promise}`, { mutant, faults, seed: 2 }));
      t.diagnostic(JSON.stringify(broken.slice(0, 2)));
      assert.ok(broken.some((one) => one.promise === promise), JSON.stringify(broken));
    });
  }
});
