// SPDX-License-Identifier: MIT
//
// Requests that are refused before their handler runs, against every route: raw bytes, so that no client
// library repairs them. Each answer is well-formed, of the type the route answers with, and the server
// still serves afterwards. The sanitizer builds run this file, too.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Client, SLOW, Server, adminToken, bearer, decode, jwt, many, runTiketi, stage, waitUntil, within } from '../fixtures/index.mjs';

const { redis, postgres, database, server, organizer } = await stage();
const event = await organizer.sale({ threshold: 0 });

// Pages and their files are not listed by `tiketi routes`. Those of the predecessor are there with COMPAT_TIKETI_NODE alone.
const PAGES = ['GET /', 'GET /wait/{eventId}', 'GET /wait/{eventId}/leave', 'POST /wait/{eventId}/leave', 'GET /buy/{eventId}',
  'POST /buy/{eventId}', 'GET /assets/{path}', 'GET /brand/{eventId}.css', 'GET /brand/{eventId}/logo'];
const routes = [...(await runTiketi(['routes'])).stdout.trim().split('\n').map((line) => line.split(' ').slice(0, 2).join(' '))
  .filter((name) => !name.includes('/api/queue/admin/')), ...PAGES]
  .map((name) => {
    const [method, template] = name.split(' ');
    return { name, method, path: template.replace(/\{[^}]+\}/, event.id), html: /^\/($|wait|buy|ticket)/.test(template) };
  });

// One connection: what it answers to these bytes, until the server closes it or the answer is complete.
class Raw {
  constructor(port) {
    this.text = '';
    this.socket = connect(port, '127.0.0.1');
    this.closed = new Promise((resolve) => this.socket.once('close', resolve)); // also when the server is gone
    this.opened = Promise.race([new Promise((resolve) => this.socket.once('connect', resolve)), this.closed]);
    this.socket.setEncoding('utf8').on('data', (chunk) => (this.text += chunk));
    this.socket.on('error', () => {});
  }

  async ask(bytes, headOnly = false) {
    await this.opened;
    this.socket.write(bytes);
    const whole = new Promise((resolve) => this.socket.on('data', () => parse(this.text, headOnly) && resolve()));
    await within(10000, Promise.race([whole, this.closed]), `an answer to ${bytes.slice(0, 200)}`);
    this.socket.destroy();
    return parse(this.text, headOnly);
  }
}

// undefined: the answer is not complete.
function parse(text, headOnly) {
  const at = text.indexOf('\r\n\r\n');
  if (at < 0) return undefined;
  const [line, ...lines] = text.slice(0, at).split('\r\n');
  const headers = Object.fromEntries(lines.map((header) => [header.slice(0, header.indexOf(':')).toLowerCase(), header.slice(header.indexOf(':') + 1).trim()]));
  const body = text.slice(at + 4);
  const status = Number(/^HTTP\/1\.1 (\d{3}) \S/.exec(line)?.[1]);
  if (!headOnly && status !== 204 && Buffer.byteLength(body) < Number(headers['content-length'])) return undefined;
  return { status, headers, body };
}

const host = 'Host: tiketi.test\r\n';
const head = (method, path, headers, body = '') => `${method} ${path} HTTP/1.1\r\n${headers}\r\n${body}`;
const json = (body) => `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`;
const large = `{"pad":"${'x'.repeat(1 << 17)}"}`;

// What is wrong, the bytes, and the status. null: whatever the route answers to such a request.
const REFUSALS = [
  ['two Host headers', (r) => head(r.method, r.path, `${host}Host: b\r\n`), 400],
  ['no Host header', (r) => head(r.method, r.path, ''), 400],
  ['two Content-Length headers', (r) => head(r.method, r.path, `${host}Content-Length: 2\r\nContent-Length: 3\r\n`, '{}'), 400],
  ['two framings', (r) => head(r.method, r.path, `${host}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n`, '2\r\n{}\r\n0\r\n\r\n'), 400],
  ['an unknown encoding', (r) => head(r.method, r.path, `${host}Transfer-Encoding: gzip\r\n`), 400],
  ['a header name with a blank', (r) => head(r.method, r.path, `${host}X Y: 1\r\n`), 400],
  ['an address with a blank', (r) => head(r.method, `${r.path}?a b`, host), 400],
  ['a head too large', (r) => head(r.method, r.path, `${host}X-Pad: ${'x'.repeat(17000)}\r\n`), 431],
  ['a body too large', (r) => head(r.method, r.path, host + json(large), large), 413],
  ['a body too large, announced', (r) => head(r.method, r.path, `${host}Expect: 100-continue\r\nContent-Length: 99999999\r\n`), 413],
  ['seats too large, announced', (r) => head(r.method, r.path, `${host}Content-Type: text/csv\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n`), 413],
  ['an expectation that is none', (r) => head(r.method, r.path, `${host}Expect: tea\r\n${json('{}')}`, '{}'), null],
  ['no JSON', (r) => head(r.method, r.path, `${host}${json('{"a":')}`, '{"a":'), null],
  ['a body that is no object', (r) => head(r.method, r.path, `${host}${json('[1]')}`, '[1]'), null],
  ['an id that is none', (r) => head(r.method, r.path.replace(event.id, 'bad*id'), host), null],
  ['an unknown method', (r) => head('BREW', r.path, host), 405],
  ['an unknown method with two Host headers', (r) => head('BREW', r.path, `${host}Host: b\r\n`), 400],
  ['HEAD with two Host headers', (r) => head('HEAD', r.path, `${host}Host: b\r\n`), 400],
];

function checkAnswer(route, what, answer, status) {
  const where = `${what} to ${route.name}`;
  assert.ok(answer, `${where}: no answer`);
  assert.ok(answer.status >= 200 && answer.status < 600, `${where}: ${JSON.stringify(answer)}`);
  if (status) assert.equal(answer.status, status, `${where}: ${answer.body.slice(0, 300)}`);
  if (answer.status < 400) return;
  const type = answer.headers['content-type'];
  if (what.startsWith('HEAD')) {
    assert.equal(answer.body, '', where);
  } else if (route.html && !what.includes('method')) {
    assert.match(type, /^text\/html/, where);
    assert.match(answer.body.trimEnd(), /<\/html>$/, where);
    assert.match(answer.headers['content-security-policy'], /default-src 'none'/, where);
  } else {
    assert.match(type, /^application\/problem\+json/, where);
    const problem = JSON.parse(answer.body);
    assert.equal(problem.status, answer.status, where);
    assert.equal(problem.type, `urn:tiketi:problem:${problem.code}`, where);
    assert.equal(problem.requestId, answer.headers['x-request-id'], where);
  }
}

const pairs = routes.flatMap((route) => REFUSALS.map(([what, bytes, status]) => (
  { route, what, bytes: bytes(route), status: route.method === '*' && status === 405 ? null : status })));

async function askAll(port, which, check) {
  await many(which, 8, async ({ route, what, bytes, status }) => {
    check(route, what, await new Raw(port).ask(bytes, what.startsWith('HEAD')), status);
  });
}

test('a Content-Length with a sign is refused, for every route', async () => {
  await many(routes, 8, async (route) => {
    const answer = await new Raw(server.port).ask(head(route.method, route.path, `${host}Content-Length: +2\r\n`, '{}'));
    assert.equal(answer.status, 400, route.name);
  });
});

test('every early refusal on every route is answered, and the server goes on', { timeout: 120000 * SLOW }, async () => {
  await askAll(server.port, pairs, checkAnswer);
  assert.equal((await server.get('/livez')).status, 200);
  assert.equal((await new Client(server, { sub: 'later' }).check(event.id)).body.status, 'queued');
});

// The memory of a request that is used again would show in another buyer's answer.
test('buyers who join and hold beside refused requests get their own answers', { timeout: 120000 * SLOW }, async () => {
  const sold = await organizer.sale({ threshold: 500, autoHold: 0, grid: { rows: 10, seatsPerRow: 20 } });
  const refusals = pairs.filter(({ route, status }) => route.html && status >= 400);
  let buying = true;
  let refused = 0;
  const refuse = async () => {
    while (buying) {
      const { route, what, bytes, status } = refusals[refused++ % refusals.length];
      checkAnswer(route, what, await new Raw(server.port).ask(bytes, what.startsWith('HEAD')), status);
    }
  };
  const buy = async (sub) => {
    const buyer = new Client(server, { sub });
    const joined = await buyer.check(sold.id);
    assert.deepEqual([joined.status, joined.body.status, decode(joined.body.ticket).b], [200, 'active', `u:${sub}`]);
    const held = await buyer.reserve({ eventId: sold.id, quantity: 1 });
    assert.equal(held.status, 201, held.text);
    const { body } = await buyer.get(`/api/reservations?eventId=${sold.id}`);
    assert.deepEqual(body.reservations.map(({ id }) => id), [held.body.id]);
    assert.ok((await buyer.get(`/buy/${sold.id}`)).text.includes(held.body.id), 'the page shows the hold');
  };
  await Promise.all([many(Array.from({ length: 160 }, (_, i) => `own${i}`), 8, buy).finally(() => (buying = false)),
    ...Array.from({ length: 16 }, refuse)]);
  assert.ok(refused > refusals.length, `${refused} refusals`);
});

test('a head of any size is answered: within the limits, or by 414 or 431', { timeout: 60000 * SLOW }, async () => {
  const probe = (target, headers) => head('GET', target, `${host}Connection: close\r\n${headers}`);
  const kinds = {
    headers: (n) => probe('/livez', Array.from({ length: n - 2 }, (_, i) => `X${i}: 1\r\n`).join('')),
    arguments: (n) => probe(`/livez?${Array.from({ length: n }, () => 'a').join('&')}`, ''),
    target: (n) => probe(`/livez?${'a'.repeat(n - 7)}`, ''),
    head: (n) => probe('/livez', `X: ${'a'.repeat(n - probe('/livez', 'X: \r\n').length)}\r\n`),
  };
  const near = (limit, far) => [...Array.from({ length: 41 }, (_, i) => limit - 20 + i), ...far];
  const cases = [
    ...near(128, [150, 170, 180, 256, 300, 400, 1000]).map((n) => ['headers', n, n <= 128 ? 200 : 431]),
    ...[20, 100, 170, 180, 200, 220, 240, 260, 280, 300, 320, 340, 360, 380, 400, 1000, 1500, 4000].map((n) => ['arguments', n, 200]),
    ...near(8192, [4000, 8000, 9000, 11750, 17000, 70000]).map((n) => ['target', n, n <= 8192 ? 200 : 414]),
    ...near(16384, [8000, 11750, 16000, 17000, 33000, 70000]).map((n) => ['head', n, n <= 16384 ? 200 : 431]),
  ];
  await many(cases, 8, async ([kind, n, status]) => {
    const answer = await new Raw(server.port).ask(kinds[kind](n));
    assert.equal(answer?.status, status, `${kind}: ${n}`);
  });
});

test('an answer that was on its way when a later request of the connection is refused arrives whole', { timeout: 60000 * SLOW }, async () => {
  const whole = head('GET', '/openapi.json', host); // longer than a socket's buffer
  const refused = head('GET', '/', `${host}X-Pad: ${'x'.repeat(50000)}\r\n`);
  await many(Array.from({ length: 40 }), 4, async () => {
    const raw = new Raw(server.port);
    await raw.opened;
    raw.socket.write(whole + refused);
    await within(10000, raw.closed, 'the end of the connection');
    const { headers, body } = parse(raw.text) ?? assert.fail(`half an answer: ${raw.text.length} characters`);
    assert.ok(Buffer.byteLength(body) >= Number(headers['content-length']));
    assert.match(raw.text, /HTTP\/1\.1 431 /);
  });
});

// The socket's buffers hold a part of the answer, which a reset would throw away.
test('an answer arrives whole although the client has sent more after a request that ends the connection', { timeout: 60000 * SLOW }, async () => {
  for (const version of ['1.1', '1.0'])
    await many(Array.from({ length: 20 }), 4, async () => {
      const raw = new Raw(server.port);
      await raw.opened;
      raw.socket.pause();
      raw.socket.write(head('GET', '/openapi.json', `${host}Connection: close\r\n`).replace('HTTP/1.1', `HTTP/${version}`));
      await server.get('/livez'); // it was read
      raw.socket.write(head('POST', `/wait/${event.id}/leave`, host, 'x'.repeat(2000)));
      await server.get('/livez');
      raw.socket.resume();
      await within(10000, raw.closed, 'the end of the connection');
      const { headers, body } = parse(raw.text) ?? assert.fail(`half an answer: ${raw.text.length} characters`);
      assert.equal(Buffer.byteLength(body), Number(headers['content-length']));
    });
});

test('an address that is too long is 414 also for HEAD, whose answer has no body', async () => {
  for (const line of [`HEAD /${'x'.repeat(11000)} HTTP/1.1\r\n${host}\r\n`, `HEAD /${'x'.repeat(11000)}`]) {
    const raw = new Raw(server.port);
    await raw.opened;
    raw.socket.write(line);
    await within(10000, raw.closed, 'the end of the connection');
    assert.match(raw.text, /^HTTP\/1\.1 414 /);
    assert.match(raw.text, /\r\n\r\n$/);
  }
});

test('a form that was refused early has no effect, and the page says so', async () => {
  for (const path of [`/buy/${event.id}`, `/wait/${event.id}/leave`]) {
    const answer = await new Raw(server.port).ask(head('POST', path, `${host}Host: b\r\n`));
    assert.equal(answer.status, 400, path);
    assert.equal(answer.headers.location, undefined, path);
  }
});

test('a client that goes away before its answer is there harms nobody, on any route', { timeout: 60000 * SLOW }, async () => {
  const staff = Object.entries(bearer(adminToken())).map((header) => `${header.join(': ')}\r\n`).join('');
  const buyer = Object.entries(bearer(jwt({ sub: 'gone' }))).map((header) => `${header.join(': ')}\r\n`).join('');
  // Requests that are done, answered or not; those for assets are not counted.
  const done = async () => [...(await server.get('/metrics')).text.matchAll(/^tiketi_http_request_duration_seconds_count\{[^}]*\} (\d+)$/gm)]
    .reduce((sum, [, count]) => sum + Number(count), 0);
  const asked = routes.filter(({ path }) => !path.endsWith('/close')); // the event stays open
  for (const backend of [redis, postgres]) {
    const before = await done();
    await backend.pause();
    await many(asked, 8, async (route) => {
      const raw = new Raw(server.port);
      await raw.opened;
      const body = route.method === 'GET' ? '' : '{}';
      raw.socket.write(head(route.method, route.path, host + (route.path.startsWith('/api/admin') ? staff : buyer) + (body && json(body)), body));
      await server.get('/livez'); // the request was read
      raw.socket.resetAndDestroy(); // noticed at once; of a mere end the server learns with its answer
    });
    await server.get('/livez');
    await backend.resume();
    await waitUntil(async () => (await done()) >= before + 2 * asked.length, 15000, 'all requests to be done'); // each with a /livez
    await new Client(server, { token: adminToken() }).post(`/api/admin/events/${event.id}/resume`); // if the pause came last
    assert.equal((await new Client(server, { sub: 'later' }).check(event.id)).body.status, 'queued');
  }
});

test('above the rate limit every route answers 429, or is exempt from it', { timeout: 60000 * SLOW }, async () => {
  const strict = await Server.start({ redis, database, roles: 'api', env: { RATE_LIMIT_PER_IP: 1, TRUSTED_PROXIES: '127.0.0.0/8' } });
  try {
    const bytes = (route) => head(route.method, route.path, host);
    let limited = 0;
    await askAll(strict.port, routes.map((route) => ({ route, what: 'too much', bytes: bytes(route) })), (route, what, answer) => {
      checkAnswer(route, what, answer);
      if (answer.status === 429) limited++;
    });
    assert.ok(limited > routes.length / 2, `${limited} of ${routes.length} were limited`);
    assert.equal((await strict.get('/livez')).status, 200);
  } finally {
    await strict.stop();
  }
});

test('while the server drains, every early refusal is still answered, and the exit code is 0', { timeout: 60000 * SLOW }, async () => {
  const draining = await Server.start({ redis, database, roles: 'api', env: { DRAIN_MS: 30000 * SLOW } });
  try {
    const which = pairs.filter(({ what }) => /two Host|announced|head too large/.test(what));
    // An upload that does not end keeps the server from closing.
    const upload = new Raw(draining.port);
    const staff = Object.entries(bearer(adminToken())).map((header) => header.join(': ')).join('\r\n');
    await upload.opened;
    upload.socket.write(head('POST', `/api/admin/events/${event.id}/seats`, `${host}${staff}\r\nContent-Type: text/csv\r\nContent-Length: 100\r\n`));
    const asked = await many(which, 8, async (pair) => {
      const raw = new Raw(draining.port);
      await raw.opened;
      return { ...pair, raw };
    });
    await draining.get('/livez'); // answered after all those connections were accepted
    draining.child.signal('SIGTERM');
    await waitUntil(() => draining.output.includes('"draining"'), 5000, 'the drain to begin');
    await many(asked, 8, async ({ route, what, bytes, status, raw }) => checkAnswer(route, what, await raw.ask(bytes, what.startsWith('HEAD')), status));
    upload.socket.destroy();
    assert.deepEqual(await draining.child.exited, { code: 0, signal: null });
  } finally {
    await draining.kill();
  }
});
