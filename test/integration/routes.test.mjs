// SPDX-License-Identifier: MIT
//
// Every route of docs/openapi.json with every mistake that applies to all of them: credentials, roles, ids, bodies,
// versions, methods. The routes are read from the document, so a new one is tested as well; the fixtures hold each
// answer against it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { document } from '../fixtures/contract.mjs';
import { bearer, jwt, many, stage } from '../fixtures/index.mjs';

// With the routes of the predecessor, which exist only so (compat.test.mjs).
const { server, organizer } = await stage({ env: { COMPAT_TIKETI_NODE: 1 } });
const event = await organizer.sale();
const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'];

const follow = (value) => (value?.$ref ? value.$ref.slice(2).split('/').reduce((at, key) => at[key], document) : value);

// The routes for Envoy take any method and path, and refuse in their own way (gate.test.mjs).
const operations = Object.entries(document.paths).filter(([, item]) => !item.get?.['x-any-method']).flatMap(([path, item]) => ['get', 'post', 'patch'].filter((method) => item[method])
  .map((method) => {
    const operation = item[method];
    const ways = operation.security.flatMap((way) => Object.keys(way));
    const schema = follow(operation.requestBody?.content['application/json']?.schema);
    return { name: `${method.toUpperCase()} ${path}`, method: method.toUpperCase(), path, operation, ways, body: schema?.examples?.[0] };
  }));

const fill = (path, id) => path.replace(/\{[^}]+\}/, id).replace(/\{[^}]+\}/, 'u:nobody'); // a second parameter is a buyer
const admin = () => bearer(jwt({ sub: 'root', role: 'admin' }));
// A caller that may call the route, and a valid body.
const ask = ({ method, path, ways, body }, { id = event.id, headers = {}, ...rest } = {}) => server.request(method, fill(path, id), {
  headers: { ...(ways.includes('staffToken') ? admin() : ways.includes('shopToken') ? bearer(jwt({ sub: 'buyer' })) : {}), ...headers },
  ...(method === 'GET' ? {} : { json: body ?? {} }), ...rest,
});
const each = (list, step) => many(list, 4, step);

test('an invalid bearer token is 401 on every route that reads it; staff routes need a token', async () => {
  await each(operations.filter(({ ways }) => ways.includes('shopToken') || ways.includes('staffToken')), async (operation) => {
    assert.equal((await ask(operation, { headers: bearer('nonsense') })).status, 401, operation.name);
  });
  await each(operations.filter(({ ways }) => ways.includes('staffToken')), async (operation) => {
    assert.equal((await server.request(operation.method, fill(operation.path, event.id))).status, 401, operation.name);
  });
});

test('roles: a role that the document does not list is 403, one that it lists is not', async () => {
  for (const operation of operations.filter(({ ways }) => ways.includes('staffToken'))) {
    for (const role of ['viewer', 'sre', 'organizer', 'buyer', undefined]) {
      const { status, body } = await ask(operation, { id: 'no-such-event', headers: bearer(jwt({ sub: 'x', role })) });
      const may = operation.operation['x-roles'].includes(role);
      assert.equal(status === 403 && body.code === 'forbidden', !may, `${operation.name} as ${role}: ${status}`);
    }
  }
});

test('an organizer may not use another organizer\'s events', async () => {
  for (const operation of operations.filter(({ path, ways }) => ways.includes('staffToken') && path.includes('{'))) {
    if (!operation.operation['x-roles'].includes('organizer')) continue;
    const answer = await ask(operation, { headers: bearer(jwt({ sub: 'rival', role: 'organizer' })) });
    assert.equal(answer.status, 403, `${operation.name}: ${answer.text}`);
    assert.equal(answer.body.code, 'not-yours', operation.name);
  }
});

test('ids: an invalid id is 400 and named, an unknown one 404', async () => {
  await each(operations.filter(({ path }) => path.includes('{')), async (operation) => {
    const bad = await ask(operation, { id: 'bad*id' });
    assert.equal(bad.status, 400, operation.name);
    assert.equal(bad.body.field, /\{([^}]+)\}/.exec(operation.path)[1], operation.name);
    const unknown = await ask(operation, { id: 'nobody-knows-it' });
    // The gate answers only that the caller is not inside.
    assert.equal(unknown.status, operation.operation.responses[404] ? 404 : 401, `${operation.name}: ${unknown.text}`);
  });
});

test('bodies that are no object, no JSON, too large or have an unknown field are refused', async () => {
  await each(operations.filter(({ operation }) => operation.requestBody), async (operation) => {
    // A webhook is read only when it is signed.
    const wrong = operation.ways.includes('webhookSignature') ? [400, 401] : [400];
    const send = (body) => ask(operation, { json: undefined, body, headers: { 'content-type': 'application/json' } });
    for (const body of ['[1]', '{"a":', '{"surprise":1}', '{"a":1,"a":2}']) {
      const answer = await send(body);
      assert.ok(wrong.includes(answer.status), `${operation.name} ${body}: ${answer.status} ${answer.text}`);
    }
    const carriesPictures = /^(?:POST \/api\/admin\/events|PATCH \/api\/admin\/events\/\{eventId\})$/.test(operation.name);
    assert.equal((await send(`{"pad":"${'x'.repeat(carriesPictures ? 1 << 20 : 1 << 17)}"}`)).status, 413, operation.name);
    if (operation.operation.requestBody.required) {
      const { status } = await ask(operation, { json: undefined });
      assert.ok(wrong.includes(status), `${operation.name} without a body: ${status}`);
    }
  });
});

test('an outdated version is 412 on every route that takes one', async () => {
  const named = operations.filter(({ operation }) => operation.responses[412]);
  assert.ok(named.length >= 6);
  await each(named, async (operation) => {
    assert.equal((await ask(operation, { headers: { 'if-match': '"999999"' } })).status, 412, operation.name);
    assert.equal((await ask(operation, { headers: { 'if-match': 'nonsense' } })).status, 400, operation.name);
  });
});

test('other methods are 405, and OPTIONS lists the right ones', async () => {
  for (const path of new Set(operations.map((operation) => operation.path))) {
    // A word may stand where another route has a parameter: …/staff/invitations and …/staff/{subject}.
    const fits = Object.keys(document.paths).filter((other) => new RegExp(`^${other.replace(/[.]/g, '\\.').replace(/\{\w+\}/g, '[^/]+')}$`).test(path));
    const here = METHODS.filter((method) => fits.some((other) => document.paths[other][method.toLowerCase()]));
    const answer = await server.request(METHODS.find((method) => !here.includes(method)), fill(path, event.id));
    assert.equal(answer.status, 405, path);
    assert.deepEqual(answer.headers.allow.split(', ').sort(), here.sort(), path);
    const asked = await server.request('OPTIONS', fill(path, event.id));
    assert.equal(asked.status, 204, path);
    assert.equal(asked.headers.allow, answer.headers.allow);
    assert.equal(asked.headers['access-control-allow-methods'], answer.headers.allow, `the preflight of ${path}`);
  }
});

test('HEAD works on every route with GET', async () => {
  await each(operations.filter(({ method, path }) => method === 'GET' && !/gate|reservations\/\{|buyers\/|queue\/push$/.test(path)), async (operation) => {
    const answer = await ask({ ...operation, method: 'HEAD' }, { json: undefined });
    assert.equal(answer.status, 200, operation.name);
    assert.equal(answer.text, '', operation.name);
  });
});

test('both documents are served as they are in docs/, and what the socket\'s refers to is in the other one', async () => {
  const [http, sockets] = await Promise.all(['/openapi.json', '/asyncapi.json'].map(async (path) => (await server.get(path)).body));
  assert.deepEqual(http, document);
  assert.deepEqual(sockets, JSON.parse(readFileSync(new URL('../../docs/asyncapi.json', import.meta.url), 'utf8')));
  for (const [name, { payload }] of Object.entries(sockets.components.messages)) {
    const [file, pointer] = payload.schema.$ref.split('#');
    assert.equal(file, 'openapi.json');
    assert.equal(follow({ $ref: `#${pointer}` }).properties.event.const, name);
  }
});
