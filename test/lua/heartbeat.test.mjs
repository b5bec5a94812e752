// SPDX-License-Identifier: MIT
//
// When a waiting buyer is silent: a newcomer's place is their first heartbeat, and queue:seen has later ones alone. The
// clock is the tests' own.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis } from '../fixtures/index.mjs';
import { BEGIN_MS, ClockedRoom } from './room.mjs';

let redis;
let count = 0;
let mutate; // of the scripts of every room, for the mutants below
before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

const SILENT = 120_000;
const promises = [];

function promise(title, run) {
  promises.push([title, run]);
  test(title, run);
}

// A room with one slot, taken by u:in, in which the others wait.
async function waiting(buyers, at = 0) {
  const room = new ClockedRoom(redis.client, `b${++count}`, { mutate });
  await room.setClock(at);
  await room.configure({ threshold: 1, silentMs: SILENT, idleTimeoutMs: 1e9, sessionLimitMs: 1e9, claimMs: 1e9 });
  await room.take();
  await room.join(['u:in']);
  if (buyers.length > 0) await room.join(buyers);
  return room;
}

const seen = async (room) => (await room.queue('queue:seen')).map(({ buyer }) => buyer);

// Frees the slot and has it given away. Returns who is parked, and who got it.
async function turn(room) {
  await room.leave([...(await room.active())]);
  await room.promote();
  return { parked: (await room.queue('parked')).map(({ buyer }) => buyer), inside: [...(await room.active())] };
}

// Redis cannot be reached for so long: no script runs.
async function away(room, ms) {
  await room.write(room.clock + ms);
  await room.leaseVerb('renew');
}

promise('a newcomer has no entry, and is heard of until silentMs after they came', async () => {
  const room = await waiting(['u:1', 'u:2']);
  assert.deepEqual(await seen(room), []);
  await room.setClock(SILENT);
  assert.deepEqual(await turn(room), { parked: [], inside: ['u:1'] });
  await room.setClock(SILENT + 2);
  assert.deepEqual(await turn(room), { parked: ['u:2'], inside: [] });
});

promise('a heartbeat makes the entry, alone or beside buyers who have one, or who wait no more', async () => {
  const room = await waiting(['u:1', 'u:2', 'u:3']);
  await room.setClock(1000);
  await room.seen(['u:2']);
  assert.deepEqual(await seen(room), ['u:2']);
  await room.setClock(100_000);
  await room.seen(['u:1', 'u:2', 'u:none', 'u:in']);
  assert.deepEqual(await seen(room), ['u:1', 'u:2']);
  await room.setClock(SILENT + 90_000);
  assert.deepEqual(await turn(room), { parked: [], inside: ['u:1'] });
  assert.deepEqual(await turn(room), { parked: [], inside: ['u:2'] });
  assert.deepEqual(await turn(room), { parked: ['u:3'], inside: [] });
  assert.deepEqual(await seen(room), []);
});

promise('to join again is a heartbeat', async () => {
  const room = await waiting(['u:1', 'u:2', 'u:3', 'u:4']);
  await room.setClock(100_000);
  await room.join(['u:1', 'u:5']);
  await room.join([{ buyer: 'u:2', mode: 'resume' }]);
  await room.join(['u:3']);
  assert.deepEqual((await seen(room)).sort(), ['u:1', 'u:2', 'u:3']);
  await room.setClock(SILENT + 90_000);
  for (const buyer of ['u:1', 'u:2', 'u:3']) assert.deepEqual(await turn(room), { parked: [], inside: [buyer] });
  assert.deepEqual(await turn(room), { parked: ['u:4'], inside: ['u:5'] });
});

promise('a restored place is no heartbeat, nor is one to which a buyer returns', async () => {
  const room = await waiting(['u:1'], SILENT);
  const place = (BEGIN_MS - 5 * SILENT) * 1000;
  await room.set('restoredTo', place);
  await room.join([{ buyer: 'u:old', ticket: { place, epoch: 1 } }]);
  assert.deepEqual(await seen(room), ['u:old']);
  assert.deepEqual(await turn(room), { parked: [], inside: ['u:old'] });
  await room.setClock(3 * SILENT);
  assert.deepEqual(await turn(room), { parked: ['u:1'], inside: [] });
  await room.join(['u:1']);
  assert.deepEqual(await seen(room), ['u:1']);
  await room.leave(['u:1']);
});

promise('nobody is silent because Redis was away, and all without an entry are as if heard of when it came back', async () => {
  const room = await waiting(['u:1', 'u:2', 'u:3', 'u:4']);
  await room.setClock(60_000);
  await room.seen(['u:4']);
  await away(room, 10 * SILENT);
  assert.deepEqual(await turn(room), { parked: [], inside: ['u:1'] });
  await room.setClock(room.clock + SILENT - 100);
  await room.join(['u:5']);
  assert.deepEqual(await turn(room), { parked: [], inside: ['u:2'] });
  await room.setClock(room.clock + 200);
  assert.deepEqual(await turn(room), { parked: ['u:3', 'u:4'], inside: ['u:5'] }, 'they are silent after their time all the same');
  assert.deepEqual(await seen(room), []);
});

promise('after an outage a newcomer is silent after silentMs, as ever', async () => {
  const room = await waiting([]);
  await away(room, 10 * SILENT);
  await room.join(['u:1', 'u:2']);
  await room.setClock(room.clock + SILENT - 50);
  assert.deepEqual(await turn(room), { parked: [], inside: ['u:1'] });
  await room.setClock(room.clock + 100);
  assert.deepEqual(await turn(room), { parked: ['u:2'], inside: [] });
});

promise('a clock that steps back makes nobody silent, and nobody seen in the future', async () => {
  const room = await waiting(['u:1', 'u:2'], 40 * SILENT);
  await away(room, -20 * SILENT);
  await room.join(['u:3', 'u:4']); // their places run ahead of the clock
  assert.deepEqual((await seen(room)).sort(), ['u:3', 'u:4']);
  assert.deepEqual(await turn(room), { parked: [], inside: ['u:1'] });
  await room.setClock(room.clock + SILENT - 1000);
  await room.seen(['u:4']);
  await room.setClock(room.clock + 2000);
  assert.deepEqual(await turn(room), { parked: ['u:2', 'u:3'], inside: ['u:4'] });
});

promise('a place that is ahead of the clock is no heartbeat: the newcomer gets an entry', async () => {
  const room = await waiting([]);
  const far = (BEGIN_MS + 10 * SILENT) * 1000;
  await room.set('restoredTo', far);
  await room.join([{ buyer: 'u:far', ticket: { place: far, epoch: 1 } }, 'u:1', 'u:2']);
  assert.deepEqual((await seen(room)).sort(), ['u:1', 'u:2', 'u:far']);
  await room.setClock(SILENT + 1000);
  assert.deepEqual(await turn(room), { parked: ['u:far', 'u:1', 'u:2'], inside: [] });
});

promise('the places of one call are ahead by less than a millisecond, and get no entry', async () => {
  const room = await waiting(Array.from({ length: 500 }, (_, i) => `u:${i}`));
  assert.deepEqual(await seen(room), []);
  await room.setClock(SILENT);
  assert.equal((await turn(room)).parked.length, 0);
});

// ---- what these tests are worth ----

for (const [what, right, wrong] of [
  ['takes a missing entry for silent', 'or first_heartbeat(tonumber(head[2 * i]))', 'or 0'],
  ['never finds a newcomer silent', 'or first_heartbeat(tonumber(head[2 * i]))', 'or ev.service'],
  ['takes a place for a heartbeat whatever was between', 'return place <= gap_seq and gap_at or', 'return'],
  ['takes the last outage for a heartbeat of those who came after it', 'return place <= gap_seq and gap_at or', 'return gap_at > 0 and gap_at or'],
  ['forgets which places were given before an outage', "'gapSeq', text(ev.seq)", "'gapSeq', 0"],
  ['counts the time since a heartbeat by the clock', 'or place / 1000 - ev.gap', 'or place / 1000'],
  ['writes no entry for a heartbeat', "    call('ZADD', K_QUEUE_SEEN, unpack(waiting))", "    call('ZADD', K_QUEUE_SEEN, 'XX', unpack(waiting))"],
  ['writes an entry for everyone who sends a heartbeat', "call('ZADD', K_QUEUE_SEEN, 'XX', 'CH', unpack(heartbeats))", "call('ZADD', K_QUEUE_SEEN, 'CH', unpack(heartbeats))"],
  ['writes no entry for a place ahead of the clock', 'if ev.seq - ev.now_us <= AHEAD_US then', 'if true then'],
  ['writes an entry for each newcomer', 'if ev.seq - ev.now_us <= AHEAD_US then', 'if false then'],
  ['writes no entry at a join', "    if states[i] == 'waiting' then\n        local at = #alive", '    if false then\n        local at = #alive'],
]) {
  test(`a script that ${what} is noticed`, async () => {
    let found = false;
    mutate = (body) => {
      found ||= body.includes(right);
      return body.replace(right, () => wrong);
    };
    const noticed = [];
    for (const [title, run] of promises) await run().catch(() => noticed.push(title));
    mutate = undefined;
    assert.ok(found, right);
    assert.ok(noticed.length > 0, 'by no test');
  });
}
