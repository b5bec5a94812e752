// SPDX-License-Identifier: MIT
//
// The limit of HTTP connections: idle ones go before a newcomer is refused, busy ones stay, and a newcomer that finds no room
// is told so. It holds before the memory is used up.

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { Client, Organizer, SLOW, Server, jwt, many, stage, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

const { redis, database, organizer } = await stage();
const start = async (t, env, options) => {
  const server = await Server.start({ redis, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 0, ...env }, ...options });
  t.after(() => server.stop());
  return server;
};
const request = (method, path, token) => `${method} ${path} HTTP/1.1\r\nHost: x\r\n${token ? `Authorization: Bearer ${token}\r\n` : ''}\r\n`;

const sockets = new Set();
after(() => sockets.forEach((socket) => socket.destroy()));

// A connection, what it has received, and whether it was closed.
class Line {
  constructor(port) {
    this.text = '';
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk) => (this.text += chunk));
    this.socket.on('error', () => {});
    this.socket.on('close', () => (this.closed = true));
    this.socket.on('end', () => (this.ended = true));
    sockets.add(this.socket);
  }

  get answers() {
    return this.text.match(/HTTP\/1\.1 \d{3}/g)?.map((line) => Number(line.slice(9))) ?? [];
  }

  async ask(...args) {
    const before = this.answers.length;
    this.socket.write(request(...args));
    await waitUntil(() => this.answers.length > before, 5000, 'an answer');
    return this.answers.at(-1);
  }
}

const open = async (server, count) => {
  const lines = [];
  for (let i = 0; i < count; i++) {
    lines.push(new Line(server.port));
    assert.equal(await lines[i].ask('GET', '/livez'), 200);
  }
  return lines;
};
const figures = async (server) => {
  const { text } = await server.get('/metrics');
  const value = (name) => Number(new RegExp(`^tiketi_http_connections_${name} (\\d+)$`, 'm').exec(text)[1]);
  return { open: value('open'), max: value('max'), shed: value('shed_total'), limit: value('refused_total\\{reason="limit"\\}'), memory: value('refused_total\\{reason="memory"\\}'), address: value('refused_total\\{reason="address"\\}') };
};
const idle = (ms) => staysTrueFor(ms, () => true, 'the clock runs');

test('50 idle of 50: a newcomer is served, and the connection that was idle longest is closed', async (t) => {
  const server = await start(t, { HTTP_CONNECTIONS_MAX: 50 });
  const lines = await open(server, 50);
  await idle(1100);
  assert.equal(await lines[0].ask('GET', '/livez'), 200, 'the first one is not idle any more');
  const newcomer = new Line(server.port);
  assert.equal(await newcomer.ask('GET', '/livez'), 200);
  await waitUntil(() => lines.some(({ ended }) => ended), 5000, 'an end');
  assert.deepEqual(lines.map(({ ended }, i) => (ended ? i : -1)).filter((i) => i >= 0), [1]);
  const further = await open(server, 9);
  await waitUntil(() => lines.filter(({ ended }) => ended).length === 10, 5000, 'ten ends');
  assert.deepEqual(lines.map(({ ended }, i) => (ended ? i : -1)).filter((i) => i >= 0), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
  for (const line of [newcomer, ...further, lines[0], ...lines.slice(12)]) assert.equal(await line.ask('GET', '/livez'), 200, 'the others stay');
  // The request for the metrics took the place of lines[11].
  const { open: now, ...others } = await figures(server);
  assert.deepEqual(others, { max: 50, shed: 11, limit: 0, memory: 0, address: 0 });
  assert.ok(now <= 51, `${now} open`); // with lines[11], which is being closed
  assert.ok(server.logs.some(({ message, limit }) => message === 'http idle connection closed for a new one, the limit is met' && limit === 50));
});

test('50 busy of 50: a newcomer gets a polite 503, probes are answered, and the 50 get their answers', { timeout: 60000 * SLOW }, async (t) => {
  const server = await start(t, { HTTP_CONNECTIONS_MAX: 50, REDIS_TIMEOUT_MS: 20000 });
  const event = await organizer.sale({ threshold: 0 });
  await new Client(server, { sub: 'first' }).check(event.id);
  const lines = await open(server, 50);
  await redis.pause();
  try {
    for (const [i, line] of lines.entries()) line.socket.write(request('POST', `/api/queue/check/${event.id}`, jwt({ sub: `busy-${i}` })));
    await waitUntil(async () => Number(/^tiketi_http_requests_in_flight (\d+)$/m.exec((await server.get('/metrics')).text)[1]) >= 50, 10000, '50 in flight');
    await idle(1100);
    const newcomer = new Line(server.port);
    assert.equal(await newcomer.ask('GET', '/api/events'), 503);
    assert.match(newcomer.text, /"code":"no-room"/);
    assert.match(newcomer.text, /\r\nRetry-After: 1\r\n/);
    await waitUntil(() => newcomer.ended, 5000, 'its end');
    assert.equal((await server.get('/livez')).status, 200);
    const { limit, shed } = await figures(server);
    assert.ok(limit >= 2, `${limit} refused`);
    assert.equal(shed, 0);
  } finally {
    await redis.resume();
  }
  await waitUntil(() => lines.every(({ answers }) => answers.length === 2), 10000, 'their answers');
  assert.deepEqual(new Set(lines.map(({ answers }) => answers[1])), new Set([200]));
});

test('who has just come, or has begun a request, is not closed for another', async (t) => {
  const server = await start(t, { HTTP_CONNECTIONS_MAX: 4 });
  const begun = new Line(server.port);
  begun.socket.write('GET /livez HTTP/1.1\r\nHost:');
  const upload = new Line(server.port);
  upload.socket.write('POST /api/queue/check/none HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{');
  await waitUntil(async () => (await figures(server)).open >= 3, 5000, 'both');
  await idle(1100);
  // On a slow machine the two may be older than a second when the newcomer comes: then it is not this case.
  let fresh, answer;
  for (let attempt = 0, took = Infinity; took > 900 && attempt < 10; attempt++) {
    for (const line of fresh ?? []) line.socket.destroy();
    if (fresh) await idle(300); // until these are closed
    const began = performance.now();
    fresh = [new Line(server.port), new Line(server.port)];
    for (const line of fresh) assert.equal(await line.ask('GET', '/api/events'), 200);
    const newcomer = new Line(server.port);
    answer = await newcomer.ask('GET', '/api/events');
    newcomer.socket.destroy();
    took = performance.now() - began;
  }
  assert.equal(answer, 503);
  begun.socket.write(' x\r\n\r\n');
  upload.socket.write('}');
  await waitUntil(() => begun.answers.length === 1 && upload.answers.length === 1, 5000, 'their answers');
  assert.equal(begun.answers[0], 200);
  for (const line of fresh) assert.equal(await line.ask('GET', '/livez'), 200);
});

test('a pod says how many it takes, and why', async (t) => {
  const set = await start(t, { HTTP_CONNECTIONS_MAX: 1000, API_WORKERS: 2 });
  const [starting] = set.logs.filter(({ message }) => message === 'starting');
  assert.deepEqual([starting.httpConnectionsPerWorker, starting.httpConnectionsBy], [500, 'setting']);
  assert.equal((await figures(set)).max, 1000);
  const [free] = (await start(t, {}, { roles: 'api,gateway' })).logs.filter(({ message }) => message === 'starting');
  assert.ok(free.memoryBytes > 1 << 24);
  const share = Math.floor(Math.floor(free.memoryBytes / 2) / 2);
  const [http, sockets] = [Math.floor(share / (24 << 10)), Math.floor(share / (8 << 10))];
  assert.equal(free.httpConnectionsBy, free.httpConnectionsPerWorker === http ? 'memory' : 'files');
  assert.equal(free.socketsBy, free.socketsPerWorker === sockets ? 'memory' : 'files');
  assert.ok(free.httpConnectionsPerWorker <= http && free.socketsPerWorker <= sockets);
});

// A cgroup of its own with that much memory; undefined where none can be made.
function cgroup(bytes) {
  for (const [parent, limit] of [['/sys/fs/cgroup/memory', 'memory.limit_in_bytes'], ['/sys/fs/cgroup', 'memory.max']]) {
    const folder = `${parent}/tiketi-test-${process.pid}`;
    try {
      mkdirSync(folder);
      writeFileSync(`${folder}/${limit}`, String(bytes));
      return {
        remove: () => waitUntil(() => rmdirSync(folder) ?? true, 5000, 'an empty cgroup'),
        launcher: ['sh', '-c', `echo $$ > ${folder}/cgroup.procs; exec "$@"`, 'sh'], used: () => Number(readFileSync(`${folder}/${limit === 'memory.max' ? 'memory.peak' : 'memory.max_usage_in_bytes'}`, 'utf8')) };
    } catch {
      // not this one
    }
  }
  return undefined;
}

test('in a small container the polite 503 comes before the memory is used up', { timeout: 60000 * SLOW, skip: process.env.TIKETI_SAN ? 'a sanitizer needs more memory than that' : false }, async (t) => {
  const MEMORY = 64 << 20;
  const group = cgroup(MEMORY);
  if (!group) return t.skip('no cgroup can be made here');
  const server = await start(t, { REDIS_TIMEOUT_MS: 30000 }, { launcher: group.launcher });
  t.after(group.remove); // after the server has stopped
  const [starting] = server.logs.filter(({ message }) => message === 'starting');
  assert.deepEqual([starting.memoryBytes, starting.memoryOf, starting.httpConnectionsBy], [MEMORY, 'cgroup', 'memory']);
  const limit = starting.httpConnectionsPerWorker;
  assert.equal(limit, Math.floor(MEMORY / 2 / (24 << 10)));
  const event = await new Organizer(server).sale({ threshold: 0 });
  await new Client(server, { sub: 'first' }).check(event.id);
  // As many as there may be, each with a request that waits: what costs most.
  const lines = [];
  await many(Array.from({ length: limit }, (_, i) => i), 20, async () => {
    const line = new Line(server.port);
    lines.push(line);
    assert.equal(await line.ask('GET', '/livez'), 200);
  });
  await redis.pause();
  try {
    for (const [i, line] of lines.entries()) line.socket.write(request('POST', `/api/queue/check/${event.id}`, jwt({ sub: `rush-${i}` })));
    await waitUntil(async () => Number(/^tiketi_http_requests_in_flight (\d+)$/m.exec((await server.get('/metrics')).text)[1]) >= limit, 10000, 'all in flight');
    const newcomers = await many(Array.from({ length: 200 }), 20, async () => {
      const line = new Line(server.port);
      return line.ask('GET', '/api/events');
    });
    assert.deepEqual(new Set(newcomers), new Set([503]));
  } finally {
    await redis.resume();
  }
  await waitUntil(() => lines.every(({ answers }) => answers.length === 2), 20000, 'their answers');
  assert.equal((await server.get('/livez')).status, 200);
  assert.ok((await figures(server)).memory >= 200);
  t.diagnostic(`${limit} connections, at most ${(group.used() / (1 << 20)).toFixed(1)} of 64 MiB`);
});
