// SPDX-License-Identifier: MIT
//
// The corpus test/http: NAME.http is what a client sends, byte for byte; NAME.answer says how each port answers:
//   http 200 400 closed     two answers in this order, then the connection is closed
//   http 405 open           one answer, and the next request on the connection is answered as well
//   ws 4xx closed           one answer, any 4xx (or 505)
// Each case is sent at once, and in small pieces. A body that holds a request must never be answered as one.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { many, ROOT, SLOW, stage, within } from '../fixtures/index.mjs';

const { server } = await stage();
const folder = `${ROOT}/test/http`;
const cases = readdirSync(folder).filter((name) => name.endsWith('.http')).map((file) => {
  const name = file.slice(0, -5);
  const lines = readFileSync(`${folder}/${name}.answer`, 'utf8').trim().split('\n').map((line) => line.split(' '));
  return { name, bytes: readFileSync(`${folder}/${file}`, 'latin1'), expected: Object.fromEntries(lines.map(([port, ...rest]) => [port, rest])) };
});

// The complete answers at the start of the text, and how far they reach. An answer without a length ends with the connection.
function answersIn(text, { closed, headOnly }) {
  const answers = [];
  let at = 0;
  for (;;) {
    const end = text.indexOf('\r\n\r\n', at);
    if (end < 0) return { answers, rest: text.slice(at) };
    const head = text.slice(at, end + 4);
    const status = Number(/^HTTP\/1\.[01] (\d{3}) [^\r\n]+\r\n/.exec(head)?.[1] ?? 0);
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1];
    const bare = status < 200 || status === 204 || (headOnly && answers.length === 0);
    if (!bare && length === undefined && !closed) return { answers, rest: text.slice(at) };
    const size = bare ? 0 : Number(length ?? text.length - end - 4);
    if (text.length < end + 4 + size) return { answers, rest: text.slice(at) };
    if (status >= 200 || status === 0) answers.push({ status, head, body: text.slice(end + 4, end + 4 + size) }); // 100 may be left out
    at = end + 4 + size;
  }
}

// Sends the bytes, in pieces of `step`, and after `count` answers a last request. Returns all answers.
async function converse(port, bytes, step, count) {
  const socket = connect(port, '127.0.0.1').setNoDelay(true).setEncoding('latin1');
  const headOnly = bytes.startsWith('HEAD') && port === server.port;
  let text = '';
  let last = false;
  const closed = new Promise((resolve) => socket.once('close', resolve));
  socket.on('error', () => {}); // the server may close while we send
  socket.on('data', (chunk) => {
    text += chunk;
    if (!last && count && answersIn(text, { headOnly }).answers.length >= count) {
      last = true;
      socket.write('GET /livez?last HTTP/1.1\r\nHost: last\r\nConnection: close\r\n\r\n');
    }
  });
  await new Promise((resolve) => socket.once('connect', resolve));
  for (let at = 0; at < bytes.length && !socket.destroyed; at += step) {
    await new Promise((resolve) => socket.write(bytes.slice(at, at + step), 'latin1', resolve));
  }
  await within(20000 * SLOW, closed, `the end of the connection after ${bytes.slice(0, 100)} (${step} at a time); so far: ${text.slice(0, 300)}`);
  return answersIn(text, { closed: true, headOnly });
}

const matches = (status, pattern) => (pattern === '4xx' ? (status >= 400 && status < 500) || status === 505 : status === Number(pattern));

async function check({ name, bytes, expected }, which, port, step) {
  const [statuses, end] = [expected[which].slice(0, -1), expected[which].at(-1)];
  const { answers, rest } = await converse(port, bytes, step, end === 'open' ? statuses.length : 0);
  const where = `${name} on ${which}, ${step} bytes at a time: ${answers.map(({ status }) => status)} ${rest.slice(0, 200)}`;
  const wanted = end === 'open' ? [...statuses, '200'] : statuses;
  assert.equal(answers.length, wanted.length, where);
  assert.equal(rest, '', where);
  answers.forEach(({ status, head, body }, i) => {
    assert.ok(matches(status, wanted[i]), where);
    assert.doesNotMatch(body, /tiketi_http_requests/, `${where}: the body was served as a request`);
    if (status < 200 || which === 'ws') return;
    assert.equal(head.match(/\r\ndate:/gi)?.length, 1, `${where}: one Date\n${head}`);
    if (status >= 400 && end === 'closed' && i === answers.length - 1) {
      assert.match(head, /\r\nconnection: close\r\n/i, where);
      if (bytes.startsWith('HEAD')) return;
      assert.match(head, /\r\ncontent-type: application\/problem\+json\r\n/i, where);
      assert.equal(JSON.parse(body).status, status, where);
    }
  });
}

for (const which of ['http', 'ws']) {
  test(`every case of test/http on the ${which} port, sent at once and in small pieces`, { timeout: 120000 * SLOW }, async () => {
    const port = which === 'http' ? server.port : server.wsPort;
    const chosen = cases.filter(({ expected }) => expected[which]);
    assert.ok(chosen.length > 100, `${chosen.length} cases`);
    const failures = [];
    const runs = chosen.flatMap((one) => [[one, one.bytes.length], [one, one.bytes.length > 2000 ? 311 : 1]]);
    await many(runs, 48, async ([one, step]) => {
      await check(one, which, port, step).catch((error) => failures.push(error.message));
    });
    assert.deepEqual(failures, []);
    assert.equal((await server.get('/livez')).status, 200);
  });
}
