// SPDX-License-Identifier: MIT
//
// The access log: which requests get a line, what is in it, what must never be, and that nobody waits for who reads it.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { closeSync, constants, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { BIN, Client, SLOW, Server, environment, exchange, freePort, many, privateFolder, stage, waitUntil, within } from '../fixtures/index.mjs';

const { redis, database, server: all, organizer } = await stage({ env: { ACCESS_LOG: 'all', LOG_LEVEL: 'off' } });
const start = async (env) => {
  const server = await Server.start({ redis, database, roles: 'api', env });
  after(() => server.stop());
  return server;
};
const linesOf = (server) => server.logs.filter(({ message }) => message === 'request');
const lineOf = (server, id) => waitUntil(() => linesOf(server).find(({ requestId }) => requestId === id), 5000, `the line of ${id}`);
const named = (id, headers) => ({ headers: { 'x-request-id': id, ...headers } });

test('all: method, route, status, duration, event, id and bytes of each request, whatever LOG_LEVEL is', async () => {
  const event = await organizer.sale({ threshold: 0 });
  const buyer = new Client(all, { sub: 'logged' });
  const joined = await buyer.check(event.id, named('join'));
  const { time, durationMs, worker, version, pod, ...line } = await lineOf(all, 'join');
  assert.deepEqual(line, {
    level: 'info', message: 'request', role: 'api,gateway,processor', requestId: 'join', method: 'POST', route: '/api/queue/check/{eventId}',
    status: 200, event: event.id, bytes: joined.bytes,
  });
  assert.ok(time && worker && version && pod);
  assert.ok(durationMs > 0 && durationMs < 5000 && !Number.isInteger(durationMs * 10), `${durationMs}: to the microsecond`);
  const refused = await new Client(all, { sub: 'logged' }).get('/api/queue/status/nothing', named('unknown'));
  const unknown = await lineOf(all, 'unknown');
  assert.deepEqual([unknown.status, unknown.code, unknown.event], [404, refused.body.code, 'nothing']);
  await all.get('/no/such/path?secret=1', named('nowhere'));
  assert.deepEqual([(await lineOf(all, 'nowhere')).route, (await lineOf(all, 'nowhere')).event], ['(unmatched)', undefined]);
});

test('more than ten a second are written', async () => {
  await many(Array.from({ length: 200 }, (_, i) => i), 20, (i) => all.get('/api/events', named(`many-${i}`)));
  await waitUntil(() => linesOf(all).filter(({ requestId }) => requestId.startsWith('many-')).length === 200, 5000, '200 lines');
});

test('no secret, ticket, address or id of a buyer is in it, and no probe', async () => {
  const event = await organizer.sale({ threshold: 5 });
  const buyer = new Client(all, { sub: 'private-person' });
  await buyer.check(event.id, { headers: { 'x-forwarded-for': '203.0.113.77' } });
  await buyer.get(`/ticket/TICKETTOKENTICKETTOKEN01`, named('ticket'));
  await buyer.get(`/tickets/${event.id}?reservation=1&proof=PROOFPROOF`, named('tickets'));
  for (const path of ['/livez', '/readyz', '/health', '/metrics']) await all.get(path, named(`probe${path.slice(1)}`));
  await all.get('/api/events', named('last'));
  await lineOf(all, 'last');
  assert.equal((await lineOf(all, 'ticket')).route, '/ticket/{token}');
  const text = linesOf(all).map((line) => JSON.stringify(line)).join('\n');
  for (const secret of [/TICKETTOKEN/, /PROOF/, /private-person/, /203\.0\.113/, /127\.0\.0\.1/, /probe/, buyer.ticket ?? /never/]) assert.doesNotMatch(text, new RegExp(secret));
});

test('off is the default; errors has 400 and more; sampled has every hundredth, and 500 and more', async () => {
  const [off, errors, sampled] = [await start({}), await start({ ACCESS_LOG: 'errors' }), await start({ ACCESS_LOG: 'sampled' })];
  for (const server of [off, errors, sampled]) {
    await many(Array.from({ length: 400 }, (_, i) => i), 20, (i) => server.get('/openapi.json', named(`good-${i}`)));
    await many(Array.from({ length: 200 }, (_, i) => i), 20, (i) => server.get('/none', named(`bad-${i}`)));
  }
  const seen = (server, start) => linesOf(server).filter(({ requestId }) => requestId.startsWith(start)).length;
  await waitUntil(() => seen(errors, 'bad-') === 200, 5000, 'the errors');
  assert.equal(seen(errors, 'good-'), 0);
  await waitUntil(() => linesOf(sampled).length === 6, 5000, 'six of six hundred');
  assert.equal(linesOf(off).length, 0);
  await database.query('ALTER TABLE reservations RENAME TO gone');
  const path = '/api/reservations/11111111-1111-1111-1111-111111111111';
  for (let i = 0; i < 3; i++) await new Client(sampled, { sub: 'late' }).get(path, named(`failed-${i}`));
  await database.query('ALTER TABLE gone RENAME TO reservations');
  await waitUntil(() => seen(sampled, 'failed-') === 3, 5000, 'each 500');
});

test('a reload turns it on and off', async () => {
  const file = join(privateFolder('access'), 'mode');
  writeFileSync(file, 'off\n');
  const server = await start({ ACCESS_LOG_FILE: file });
  const reloads = (count) => waitUntil(() => server.logs.filter(({ message }) => message === 'reloaded').length === count, 10000, 'the reload');
  await server.get('/api/events', named('before'));
  writeFileSync(file, 'all\n');
  server.child.signal('SIGHUP');
  await reloads(1);
  await server.get('/api/events', named('between'));
  await lineOf(server, 'between');
  writeFileSync(file, 'off\n');
  server.child.signal('SIGHUP');
  await reloads(2);
  await server.get('/api/events', named('after'));
  assert.deepEqual(linesOf(server).map(({ requestId }) => requestId).filter((id) => ['before', 'between', 'after'].includes(id)), ['between']);
});

test('ACCESS_LOG that is none of these is refused', async () => {
  const env = environment({ ACCESS_LOG: 'some', REDIS_URL: redis.url, DATABASE_URL: database.url });
  assert.throws(() => execFileSync(BIN, ['serve'], { env, stdio: 'pipe' }), (error) => error.status === 78 && /ACCESS_LOG: must be off, errors, sampled or all/.test(error.stderr));
});

test('who reads the log slowly, or not at all, delays no answer; what was lost is counted', { timeout: 60000 * SLOW }, async () => {
  const path = join(privateFolder('log'), 'stderr');
  execFileSync('mkfifo', [path]);
  const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const port = await freePort();
  const env = environment({ HTTP_PORT: port, REDIS_URL: redis.url, DATABASE_URL: database.url, API_WORKERS: 1, ACCESS_LOG: 'all' });
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', BIN, 'serve', '--roles', 'api'], { env, stdio: ['ignore', 'ignore', openSync(path, constants.O_WRONLY)] });
  const ended = new Promise((done) => child.once('exit', (code) => done(code)));
  after(() => {
    child.kill('SIGKILL');
    closeSync(pipe);
  });
  const url = `http://127.0.0.1:${port}`;
  await waitUntil(async () => (await exchange(url, 'GET', '/readyz')).status === 200, 15000, 'readiness');
  const requests = 1000; // some 300 bytes each: more than the pipe holds
  let slowest = 0;
  await many(Array.from({ length: requests }, (_, i) => i), 10, async () => {
    const began = performance.now();
    assert.equal((await exchange(url, 'GET', '/openapi.json', { timeoutMs: 5000 * SLOW })).status, 200);
    slowest = Math.max(slowest, performance.now() - began);
  });
  assert.ok(slowest < 2000 * SLOW, `${slowest} ms`);
  const { text } = await exchange(url, 'GET', '/metrics');
  const lost = Number(/^tiketi_log_lines_dropped_total\{reason="access"\} (\d+)$/m.exec(text)[1]);
  assert.match(text, /^tiketi_log_lines_dropped_total\{reason="stderr"\} 0$/m, 'half of the pipe is kept for what matters more');
  // Somebody reads again: every line is whole, and the next one says how many are missing.
  const buffer = Buffer.alloc(1 << 17);
  let output = '';
  const drain = () => {
    try {
      output += buffer.toString('utf8', 0, readSync(pipe, buffer));
    } catch (error) {
      if (error.code !== 'EAGAIN') throw error;
    }
    return output;
  };
  drain();
  child.kill('SIGTERM');
  assert.equal(await within(20000, ended, 'the end'), 0);
  const lines = drain().trim().split('\n').map((line) => JSON.parse(line));
  const written = lines.filter(({ message }) => message === 'request').length;
  assert.ok(written > 50 && lost > 50, `${written} written, ${lost} lost`);
  assert.equal(written + lost, requests);
  assert.equal(lines.reduce((sum, line) => sum + (line.lost ?? 0), 0), lost);
});
