// SPDX-License-Identifier: MIT
//
// What names a request: its id, and its place in a trace. Both are the caller's if they are well formed; answers, problems,
// log lines and outgoing requests have them, so that one search finds all that was done for it.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, IdentityProvider, Server, adminToken, bearer, exchange, oidcSettings, stage, waitUntil } from '../fixtures/index.mjs';

const provider = await IdentityProvider.create();
const { redis, postgres, database, server, organizer } = await stage({ env: { ...oidcSettings(provider), DB_TIMEOUT_MS: 500, ACCESS_LOG: 'all' } });
await provider.serve(server.url);

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = `00-${TRACE}-b7ad6b7169203331-01`;
const linesOf = (id, pod = server) => pod.logs.filter((line) => line.requestId === id);

test('a well-formed X-Request-Id is kept, on good answers and in problems; any other is replaced', async () => {
  for (const path of ['/api/events', '/nothing', '/assets/none.js', '/api/queue/status/none', '/livez', '/']) {
    const { headers, body } = await server.get(path, { headers: { 'x-request-id': 'Order-4711_a.b' } });
    assert.equal(headers['x-request-id'], 'Order-4711_a.b', path);
    if (body.requestId) assert.equal(body.requestId, 'Order-4711_a.b', path);
  }
  const seen = new Set();
  for (const id of ['a b', 'a"b', 'x'.repeat(129), 'a,b', 'é', '']) {
    const { headers } = await server.get('/api/events', { headers: { 'x-request-id': Buffer.from(id).toString('latin1') } });
    assert.match(headers['x-request-id'], /^[0-9a-f]{17,32}$/, id);
    seen.add(headers['x-request-id']);
  }
  assert.equal(seen.size, 6, 'each is another');
  assert.equal((await server.get('/api/events', { headers: { 'x-request-id': 'y'.repeat(128) } })).headers['x-request-id'], 'y'.repeat(128));
  const refused = await server.get('/api/nothing', { headers: { 'x-request-id': 'mine' } });
  assert.deepEqual([refused.status, refused.body.requestId], [404, 'mine']);
});

test('a browser of another origin may send both, and read the id', async () => {
  const { headers } = await exchange(server.url, 'OPTIONS', '/api/queue/check/none');
  const allowed = headers['access-control-allow-headers'].split(', ');
  for (const name of ['X-Request-Id', 'traceparent', 'tracestate']) assert.ok(allowed.includes(name), name);
});

test('a valid traceparent is in the log lines; one that is not valid is left out', async () => {
  await server.get('/api/events', { headers: { 'x-request-id': 'traced', traceparent: PARENT } });
  const [line] = await waitUntil(() => linesOf('traced').length > 0 && linesOf('traced'), 5000, 'its line');
  assert.equal(line.traceId, TRACE);
  const bad = [PARENT.toUpperCase(), `00-${'0'.repeat(32)}-b7ad6b7169203331-01`, `00-${TRACE}-${'0'.repeat(16)}-01`, `ff${PARENT.slice(2)}`, `${PARENT}-x`, 'nonsense'];
  for (const [i, traceparent] of bad.entries()) {
    await server.get('/api/events', { headers: { 'x-request-id': `bad-${i}`, traceparent } });
    const [other] = await waitUntil(() => linesOf(`bad-${i}`).length > 0 && linesOf(`bad-${i}`), 5000, 'its line');
    assert.equal(other.traceId, undefined, traceparent);
  }
  // Two of them are one too many.
  await server.get('/api/events', { headers: { 'x-request-id': 'twice', traceparent: [PARENT, PARENT] } });
  const [twice] = await waitUntil(() => linesOf('twice').length > 0 && linesOf('twice'), 5000, 'its line');
  assert.equal(twice.traceId, undefined);
});

test('a query that times out, and the answer that fails by it, have the same ids', async () => {
  const event = await organizer.sale({ threshold: 5 });
  const buyer = new Client(server, { sub: 'late' });
  await buyer.check(event.id);
  await postgres.pause();
  const headers = { ...bearer(adminToken()), 'x-request-id': 'too-late', traceparent: PARENT };
  const answer = await server.get(`/api/admin/events/${event.id}`, { headers });
  await postgres.resume();
  assert.equal(answer.status, 503, answer.text);
  assert.equal(answer.body.requestId, 'too-late');
  const lines = await waitUntil(() => linesOf('too-late').length >= 3 && linesOf('too-late'), 5000, 'three lines');
  const timedOut = lines.find(({ message }) => message === 'db query timed out, its connection is closed');
  assert.ok(timedOut, JSON.stringify(lines));
  assert.equal(timedOut.traceId, TRACE);
  assert.match(timedOut.statement, /./);
  const failed = lines.find(({ message }) => message === 'request failed');
  assert.deepEqual([failed.method, failed.route, failed.status, failed.code, failed.event, failed.traceId],
    ['GET', '/api/admin/events/{eventId}', 503, answer.body.code, event.id, TRACE]);
  assert.ok(failed.durationMs >= 400, `${failed.durationMs} ms`);
  // Whoever comes next is not taken for this request.
  await waitUntil(async () => (await server.get('/api/events')).status === 200, 5000, 'the database');
  assert.ok(linesOf('too-late').length <= 4, JSON.stringify(linesOf('too-late')));
});

test('a statement that fails is logged with the id of its request', async () => {
  await database.query('ALTER TABLE reservations RENAME TO gone');
  const answer = await new Client(server, { sub: 'late' }).get('/api/reservations/11111111-1111-1111-1111-111111111111', { headers: { 'x-request-id': 'no-table' } });
  await database.query('ALTER TABLE gone RENAME TO reservations');
  assert.equal(answer.status, 500, answer.text);
  const failed = await waitUntil(() => server.logs.find(({ message, requestId }) => message === 'db statement failed' && requestId === 'no-table'), 5000, 'its line');
  assert.match(failed.error, /reservations/);
});

test('the trace goes on to the identity provider, under a span of ours', async () => {
  const seen = provider.traces.length;
  const browser = new Client(server);
  const there = await browser.get('/console/sign-in', { headers: { traceparent: PARENT } });
  assert.equal(there.status, 303, there.text);
  const asked = provider.traces.slice(seen);
  assert.ok(asked.length > 0, 'its metadata were asked for');
  for (const traceparent of asked) assert.match(traceparent, new RegExp(`^00-${TRACE}-(?!b7ad6b7169203331)[0-9a-f]{16}-01$`));
});

test('a pod says who it is in each line', async () => {
  const pod = await Server.start({ redis, database, roles: 'api,processor' });
  const lines = pod.logs;
  await pod.stop();
  assert.ok(lines.length > 0);
  for (const line of lines.slice(lines.findIndex(({ message }) => message === 'starting'))) {
    assert.match(line.version, /^\d+\.\d+\.\d+/, JSON.stringify(line));
    assert.match(line.pod, /./);
    assert.equal(line.role, 'api,processor');
  }
});
