// SPDX-License-Identifier: MIT
//
// docs/openapi.json and the program describe the same service: the routes of the binary, the document it serves,
// and the checks of the fixtures, which hold every answer of every other test against the document.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { checkExchange, checkMessage, complaintOf, document } from '../fixtures/contract.mjs';
import { Server, runTiketi } from '../fixtures/index.mjs';

let server;
// No backend is needed for any of this.
before(async () => {
  server = await Server.start({ redis: { url: 'redis://127.0.0.1:1' }, database: { url: 'postgresql://tiketi@127.0.0.1:1/none' } });
});
after(() => server?.stop());

const METHODS = ['get', 'post', 'patch', 'put', 'delete'];

test('every route of the program is in the document, and nothing else', async () => {
  const { stdout } = await runTiketi(['routes']);
  const routes = stdout.trim().split('\n').map((line) => line.split(' '));
  const documented = Object.entries(document.paths).flatMap(([path, item]) => METHODS.filter((method) => item[method])
    .map((method) => (item[method]['x-any-method'] ? `* ${path.replace('{path}', '{path*}')}` : `${method.toUpperCase()} ${path}`)));
  assert.deepEqual(routes.map(([method, path]) => `${method} ${path}`).sort(), documented.sort());
});

test('the roles that may call a route are the same in the document and in the program', async () => {
  const { stdout } = await runTiketi(['routes']);
  for (const [method, path, ...who] of stdout.trim().split('\n').map((line) => line.split(' '))) {
    const operation = document.paths[path.replace('{path*}', '{path}')][method === '*' ? 'get' : method.toLowerCase()];
    const ways = operation.security.flatMap((way) => Object.keys(way));
    const expected = { none: [], buyer: ['shopToken', 'guestCookie'] }[who[0]] ?? ['staffToken'];
    assert.deepEqual(ways.filter((way) => way !== 'webhookSignature'), expected, `${method} ${path}`);
    if (expected[0] === 'staffToken') assert.deepEqual([...who].sort(), [...operation['x-roles']].sort(), `${method} ${path}`);
  }
});

test('the program serves the document it was built with, and answers 304 to a client that has it', async () => {
  const answer = await server.get('/openapi.json');
  assert.equal(answer.status, 200);
  assert.deepEqual(answer.body, document);
  assert.match(answer.headers['cache-control'], /max-age/);
  const again = await server.get('/openapi.json', { headers: { 'if-none-match': answer.headers.etag } });
  assert.equal(again.status, 304);
  assert.equal(again.text, '');
  assert.equal((await server.get('/openapi.json', { headers: { 'if-none-match': '"other"' } })).status, 200);
  assert.equal((await server.request('HEAD', '/openapi.json')).status, 200);
});

// ---- the checks themselves: each of these mistakes must be found ----

const json = { 'content-type': 'application/json', 'x-content-type-options': 'nosniff', 'x-request-id': 'r1' };
const call = (overrides) => {
  const made = { method: 'POST', path: '/api/queue/heartbeat/e', sent: {}, payload: undefined, status: 200, headers: json, body: { queued: true, status: 'queued', version: 1, revision: 1 }, ...overrides };
  return { ...made, text: overrides.text ?? JSON.stringify(made.body) };
};
const problem = {
  type: 'urn:tiketi:problem:unknown-event', title: 'Not Found', status: 404, code: 'unknown-event', detail: 'There is no such event.', field: 'eventId', requestId: 'r1',
};
const refused = { status: 404, headers: { ...json, 'content-type': 'application/problem+json' }, body: problem };

test('the checks accept correct answers', () => {
  for (const good of [{}, refused, { path: '/nowhere', ...refused, body: { ...problem, type: 'urn:tiketi:problem:not-found', code: 'not-found' } },
    { payload: '{}' }, { status: 404, ...refused, payload: '{"wrong":"on purpose"}' }]) {
    assert.equal(complaintOf(() => checkExchange(call(good))), undefined);
  }
});

for (const [what, bad, complaint] of [
  ['a status', { status: 202 }, /this status is not in the document/],
  ['a field', { body: { queued: true, status: 'queued', version: 1, revision: 1, place: 7 } }, /additional properties.*place/],
  ['a word', { body: { queued: true, status: 'asleep', version: 1, revision: 1 } }, /allowed values/],
  ['a missing field', { body: {} }, /required property 'status'/],
  ['a content type', { headers: { 'content-type': 'text/html' } }, /content type text\/html/],
  ['whitespace between the tokens of JSON', { text: '{"queued":true,"status": "queued","version":1,"revision":1}' }, /whitespace/],
  ['a body without nosniff', { headers: { 'content-type': 'application/json' } }, /a browser may guess/],
  ['a header', { headers: { ...json, 'x-powered-by': 'magic' } }, /header x-powered-by/],
  ['a header that is missing', { ...refused, headers: { ...refused.headers, 'x-request-id': undefined } }, /header X-Request-Id is missing/],
  ['a problem of another route', { ...refused, body: { ...problem, type: 'urn:tiketi:problem:id-taken', code: 'id-taken' } }, /allowed values/],
  ['a cookie of another kind', { headers: { ...json, 'set-cookie': ['session=1'] } }, /header Set-Cookie/],
  ['a cookie for staff', { method: 'POST', path: '/api/admin/events/e/open', headers: { ...json, 'set-cookie': ['tiketi_guest=g:0'] } }, /header set-cookie|a cookie where none/],
  ['an answer to GET that may be stored', { method: 'GET', path: '/livez', body: { status: 'alive' } }, /cache-control/],
  ['a body that was granted but is not in the document', { payload: '{"surprise":1}' }, /request: .*additional properties/],
  ['a query', { path: '/api/queue/heartbeat/e?fast=1' }, /request: query fast/],
  ['a path that does not fit', { path: '/api/queue/heartbeat/bad*id' }, /request: path eventId/],
  ['an unknown route that answers', { path: '/secret' }, /this status is not in the document/],
]) {
  test(`the checks refuse: ${what}`, () => assert.match(complaintOf(() => checkExchange(call(bad))) ?? 'nothing', complaint));
}

test('the checks accept correct socket messages and refuse all others', () => {
  const check = (event, payload) => complaintOf(() => checkMessage('Server', { event, payload }));
  assert.equal(check('heartbeat-ack', {}), undefined);
  assert.equal(check('queue-cleared', { eventId: 'e', version: 1, revision: 1, message: 'm' }), undefined);
  assert.match(check('queue-cleared', { eventId: 'e', buyer: 'u:1' }), /additional properties/);
  assert.match(check('queue-cleared', undefined), /required property 'payload'/);
  assert.match(check('gossip', {}), /there is no such message/);
  assert.match(check('room-info', { eventId: 'e', userCount: 1 }), /there is no such message/);
  assert.equal(complaintOf(() => checkMessage('Server', { event: 'room-info', payload: { eventId: 'e', userCount: 1 } }, '', 'socketIo')), undefined);
  assert.match(check('join-queue', { eventId: 'e' }), /there is no such message/);
  const loose = (text) => complaintOf(() => checkMessage('Server', JSON.parse(text), text));
  assert.equal(loose('{"event":"queue-cleared","payload":{"eventId":"e","version":1,"revision":1,"message":"m"}}'), undefined);
  assert.match(loose('{"event" : "queue-cleared","payload":{"eventId":"e"}}'), /whitespace/);
});
