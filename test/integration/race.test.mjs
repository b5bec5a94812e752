// SPDX-License-Identifier: MIT
//
// 1,000 simultaneous connections race for 100 slots on two processes, 20 rounds: never above 100, proven by
// replaying log:{id}. A second test proves the first: a mutant `join` that checks
// first and adds afterwards must be found by the same replay.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { after, before, test } from 'node:test';
import { Client, Organizer, Postgres, Redis, ROOT, Server, jwt, waitUntil } from '../fixtures/index.mjs';

const RACERS = 1000;
const SLOTS = 100;
const ROUNDS = Number(process.env.RACE_ROUNDS ?? 20);

let redis, postgres;

before(async () => {
  [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
});

after(async () => {
  await redis?.stop();
  await postgres?.stop();
});

// A connection that is open before the race and then sends one request.
function racer(server, eventId, sub) {
  const request = `POST /api/queue/check/${eventId} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${jwt({ sub })}\r\nContent-Length: 0\r\n\r\n`;
  const socket = connect(server.port, '127.0.0.1');
  const open = new Promise((accept, reject) => {
    socket.once('connect', accept);
    socket.once('error', reject);
  });
  const answer = new Promise((accept, reject) => {
    let text = '';
    socket.setTimeout(30000, () => reject(new Error('no answer')));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk;
      const head = text.indexOf('\r\n\r\n');
      const length = /content-length: (\d+)/i.exec(text);
      if (head < 0 || !length || text.length < head + 4 + Number(length[1])) return;
      socket.destroy();
      accept({ status: Number(text.slice(9, 12)), body: JSON.parse(text.slice(head + 4)) });
    });
  });
  answer.catch(() => {});
  return { open, go: () => socket.write(request), answer };
}

async function race(servers, event, round) {
  const racers = Array.from({ length: RACERS }, (_, i) => racer(servers[i % servers.length], event.id, `r${round}-${i}`));
  await Promise.all(racers.map((one) => one.open));
  for (const one of racers) one.go();
  return Promise.all(racers.map((one) => one.answer));
}

const UNCHANGED = ['claimed', 'parked', 'returned', 'withdrawn']; // entries that leave the number inside as it is

// The highest number inside at any admission, counted from the log alone.
async function highest(event) {
  const entries = await redis.cli('XRANGE', `log:{${event.id}}`, '-', '+');
  const inside = new Set();
  let top = 0;
  for (const [, fields] of entries) {
    const entry = Object.fromEntries(Array.from({ length: fields.length / 2 }, (_, i) => [fields[2 * i], fields[2 * i + 1]]));
    if (['direct', 'offered', 'restored'].includes(entry.kind)) inside.add(entry.buyer);
    else if (!UNCHANGED.includes(entry.kind)) inside.delete(entry.buyer);
    top = Math.max(top, inside.size);
  }
  return { top, admissions: entries.length };
}

const pods = async (env) => {
  const database = await postgres.migrated();
  return Promise.all([1, 2].map(() => Server.start({ redis, database, env })));
};

test(`${RACERS} connections race for ${SLOTS} slots on two processes, ${ROUNDS} rounds`, { timeout: 600000 }, async () => {
  const servers = await pods({});
  const organizer = new Organizer(servers[0]);
  for (let round = 0; round < ROUNDS; round++) {
    const event = await organizer.sale({ threshold: SLOTS, intervalMs: 100 });
    const answers = await race(servers, event, round);
    assert.ok(answers.every((answer) => answer.status === 200), `round ${round}: ${JSON.stringify(answers.find((answer) => answer.status !== 200))}`);
    assert.equal(answers.filter((answer) => answer.body.status === 'active').length, SLOTS, `round ${round}`);
    assert.equal(answers.filter((answer) => answer.body.queued).length, RACERS - SLOTS, `round ${round}`);
    const { top } = await highest(event);
    assert.equal(top, SLOTS, `round ${round}: the log`);
    await organizer.act(event.id, 'close');
  }
  assert.equal(await overAdmissions(servers), 0);
  await Promise.all(servers.map((server) => server.stop()));
});

const overAdmissions = async (servers) => (await Promise.all(servers.map((server) => server.metric('tiketi_over_admissions_total')))).reduce((sum, value) => sum + value, 0);

test('the same replay finds a mutant join that checks first and adds afterwards', { timeout: 120000 }, async () => {
  const servers = await pods({ TIKETI_LUA_DIR: `${ROOT}/test/lua/mutants` });
  const organizer = new Organizer(servers[0]);
  let top = 0;
  for (let round = 0; round < 5 && top <= SLOTS; round++) {
    const event = await organizer.sale({ threshold: SLOTS, intervalMs: 600000 });
    await race(servers, event, `m${round}`);
    ({ top } = await highest(event));
  }
  assert.ok(top > SLOTS, `the mutant was not found: at most ${top} inside`);
  await waitUntil(async () => (await overAdmissions(servers)) > 0, 15000, 'the alarm');
  await Promise.all(servers.map((server) => server.stop()));
});

test('when a script fails, the log names its file and line', async () => {
  const [server, other] = await pods({ TIKETI_LUA_DIR: `${ROOT}/test/lua/broken` });
  const event = await new Organizer(server).sale({ threshold: 0 });
  const buyer = new Client(server, { sub: 'b' });
  await buyer.check(event.id);
  assert.equal((await buyer.leave(event.id)).status, 500);
  const entry = await waitUntil(() => server.logs.find(({ message }) => message === 'redis error reply'), 15000, 'the log');
  assert.match(entry.error, /user_script:\d+: .*nowhere/);
  assert.equal(entry.script, 'lua/leave.lua:9');
  await Promise.all([server.stop(), other.stop()]);
});
