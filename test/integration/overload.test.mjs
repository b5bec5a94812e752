// SPDX-License-Identifier: MIT
//
// Load shedding: when the joins of an event wait too long for Redis, newcomers are told to come again, then buyers with a place;
// whoever claims, is inside, holds or pays never is. So the answers that are given stay right and in time, however many come.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { promisify } from 'node:util';
import { Client, Organizer, Postgres, Redis, Server, many, waitUntil } from '../fixtures/index.mjs';


const [redis, postgres] = [await Redis.start({ args: ['--enable-debug-command', 'yes'] }), await Postgres.start()];
const database = await postgres.migrated();
// One worker: each judges by the requests that it has itself.
const settings = { API_WORKERS: 1, QUEUE_PROCESSOR_INTERVAL: 1000, LOG_LEVEL: 'error' };
after(async () => {
  await postgres.stop();
  await redis.stop();
});

// Stops Redis until `work` has ended, which begins when a join has waited for `ms`.
async function whileRedisStops(server, event, ms, work) {
  await redis.pause();
  const began = performance.now();
  const first = new Client(server).check(event.id);
  await waitUntil(() => performance.now() - began > ms, ms + 5000, 'the first join to have waited');
  try {
    return await work(first);
  } finally {
    await redis.resume();
  }
}

test('while joins wait for Redis, newcomers are refused at once and told when to come; an insider is not', { timeout: 60000 }, async () => {
  const server = await Server.start({ redis, database, env: { ...settings, REDIS_TIMEOUT_MS: 6000 } });
  const organizer = new Organizer(server);
  const event = await organizer.sale({ threshold: 1, grid: { rows: 2, seatsPerRow: 5 } });
  const [inside, waiting] = [new Client(server, { sub: 'inside' }), new Client(server, { sub: 'waiting' })];
  assert.equal((await inside.check(event.id)).body.status, 'active');
  assert.equal((await waiting.check(event.id)).body.status, 'queued');

  // Within half of REDIS_TIMEOUT_MS a burst is served: nobody is refused.
  await whileRedisStops(server, event, 1500, async (first) => {
    const newcomer = new Client(server).check(event.id);
    await redis.resume();
    assert.deepEqual([(await first).status, (await newcomer).status], [200, 200]);
  });

  const claims = await whileRedisStops(server, event, 3200, async () => {
    const began = performance.now();
    const refused = await many(Array.from({ length: 40 }), 10, () => new Client(server).check(event.id));
    const took = performance.now() - began;
    for (const { status, headers, body } of refused) {
      assert.deepEqual([status, body.code], [503, 'overloaded']);
      assert.match(headers['retry-after'], /^[1-9]\d*$/);
      assert.equal(headers['set-cookie'], undefined, 'a refusal makes no guest');
    }
    assert.ok(took < 2000, `40 refusals took ${took.toFixed(0)} ms`);
    const times = new Set(refused.map(({ headers }) => headers['retry-after']));
    assert.ok(times.size > 3, `they would come again together: after ${[...times]} s`);
    // A place was given to them: they may be asked to poll later, but come after every newcomer.
    const poll = await waiting.check(event.id, { headers: { 'x-tiketi-ticket': waiting.ticket } });
    assert.deepEqual([poll.status, poll.body.code], [503, 'overloaded']);
    const page = await new Client(server).get(`/wait/${event.id}?cookies=1`, { headers: { accept: 'text/html' } });
    assert.equal(page.status, 503);
    // Without their pass, too: the pod knows who is inside.
    const unproven = new Client(server, { sub: 'inside' });
    return [
      inside.check(event.id), unproven.check(event.id), inside.heartbeat(event.id, { json: { claim: true } }),
      waiting.heartbeat(event.id, { json: { claim: true } }),
      inside.reserve({ eventId: event.id, quantity: 1 }),
    ];
  });
  for (const [i, answer] of (await Promise.all(claims)).entries()) assert.ok(answer.status < 300, `request ${i}: ${answer.status} ${answer.text}`);
  assert.equal(await server.metric('tiketi_requests_shed_total{who="newcomer"}'), 41);
  assert.equal(await server.metric('tiketi_requests_shed_total{who="returning"}'), 1);

  // It is over when Redis answers again.
  assert.equal((await new Client(server).check(event.id)).status, 200);
  assert.equal((await waiting.check(event.id)).status, 200);
  await server.stop();
});

// A connection that is open before the rush, and has one request.
class Connection {
  constructor(port, event) {
    this.request = `POST /api/queue/check/${event} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`;
    this.socket = connect({ port, host: '127.0.0.1', noDelay: true });
    this.open = new Promise((accept) => this.socket.once('connect', accept));
    this.text = '';
    this.socket.on('error', () => this.answered({ status: 0, text: '' }));
    this.socket.on('data', (chunk) => {
      this.text += chunk;
      const end = this.text.indexOf('\r\n\r\n');
      const length = /content-length: (\d+)/i.exec(this.text);
      if (end < 0 || !length || this.text.length < end + 4 + Number(length[1])) return;
      this.answered({ status: Number(this.text.slice(9, 12)), text: this.text });
    });
  }

  ask() {
    this.socket.write(this.request);
    return new Promise((accept) => (this.answered = accept));
  }
}

test('more newcomers at once than a slow Redis can take: it works for nobody who was told to come again', { timeout: 60000 }, async (t) => {
  const server = await Server.start({ redis, database, env: { ...settings, REDIS_TIMEOUT_MS: 4000 } });
  const event = await new Organizer(server).sale({ threshold: 0 });
  assert.equal((await new Client(server).check(event.id)).status, 200);
  const crowd = Array.from({ length: 1000 }, () => new Connection(server.port, event.id));
  await Promise.all(crowd.map(({ open }) => open));
  // Three others keep Redis busy: while one of them sleeps the next have asked already. In each round it runs one or two calls of
  // joins, of 128 at most.
  let busy = true;
  const neighbours = Array.from({ length: 3 }, () => redis.connect()).map(async (neighbour) => {
    while (busy) await neighbour.call('DEBUG', 'SLEEP', '0.25');
  });
  const first = crowd[0].ask();
  const began = performance.now();
  await waitUntil(() => performance.now() - began > 100, 5000, 'the first call to be under way');
  const answers = await Promise.all([first, ...crowd.slice(1).map((connection) => connection.ask())]);
  busy = false;
  await Promise.all(neighbours);
  for (const { socket } of crowd) socket.destroy();
  const given = answers.filter(({ status }) => status === 200).length;
  const refused = answers.filter(({ status, text }) => status === 503 && text.includes('"overloaded"')).length;
  const waits = new Set(answers.map(({ text }) => /retry-after: (\d+)/i.exec(text)?.[1]));
  t.diagnostic(`of ${answers.length} ${given} got a place, ${refused} were told to come again, after ${[...waits]} s`);
  assert.equal(given + refused, answers.length, 'no other answer');
  assert.ok(given > 0); // how many is the machine's: bench section overload
  assert.equal(await redis.cli('ZCARD', `queue:{${event.id}}`), given + 1, 'Redis gave places to those who were told so, and to nobody else');
  await server.stop();
});

test('a pod whose own core is short keeps few new connections waiting, and many again afterwards', { timeout: 60000 }, async () => {
  const server = await Server.start({ redis, database, roles: 'api', env: settings });
  const event = await new Organizer(server).sale({ threshold: 0 });
  const backlog = async () => {
    const { stdout } = await promisify(execFile)('ss', ['-ltnH', `sport = :${server.port}`]);
    return Math.max(...stdout.trim().split('\n').map((line) => Number(line.trim().split(/\s+/)[2])));
  };
  const whole = await backlog();
  assert.ok(whole > 16);
  server.child.signal('SIGSTOP'); // it gets no CPU time
  const began = performance.now();
  const asked = Array.from({ length: 8 }, () => new Client(server).check(event.id));
  await waitUntil(() => performance.now() - began > 1500, 5000, 'requests to wait');
  server.child.signal('SIGCONT');
  for (const { status, body } of await Promise.all(asked)) assert.ok(status === 200 || body.code === 'overloaded', `${status} ${body.code}`);
  await waitUntil(async () => (await backlog()) === 16, 3000, 'a short queue');
  assert.equal((await new Client(server).check(event.id)).status, 200);
  await waitUntil(async () => (await backlog()) === whole, 10000, 'the whole queue');
  await server.stop();
});
