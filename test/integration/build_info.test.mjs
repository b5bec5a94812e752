// SPDX-License-Identifier: MIT
//
// Which program is this? Each one says it, the first line of a pod's log and its probe say it, and no answer to the
// outside does.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT, exchange, runTiketi, stage } from '../fixtures/index.mjs';

const { server } = await stage();

const release = /^## (\d[\d.]*)/m.exec(readFileSync(join(ROOT, 'CHANGELOG.md'), 'utf8'))[1];
const [, version, commit] = /^tiketi (\S+) \((\S+)\)\n$/.exec((await runTiketi(['--version'])).stdout);

test('every program says its version and commit, whatever the settings are', async () => {
  assert.equal(version, release);
  assert.match(commit, /^([0-9a-f]{12}(-changed)?|unknown)$/);
  for (const command of ['serve', 'migrate', 'token', 'crowd', 'provider', 'simulate', 'ctl', 'proxy']) {
    const { stdout, stderr } = await runTiketi([command, '--version'], { HTTP_PORT: 'wrong' });
    assert.deepEqual([stdout, stderr], [`tiketi ${command} ${version} (${commit})\n`, '']);
  }
  assert.equal((await runTiketi(['version'])).stdout, `tiketi ${version} (${commit})\n`);
});

test('help is a command too', async () => {
  assert.equal((await runTiketi(['help'])).stdout, (await runTiketi(['--help'])).stdout);
  for (const command of ['serve', 'ctl']) {
    assert.equal((await runTiketi(['help', command])).stdout, (await runTiketi([command, '--help'])).stdout);
  }
  assert.match((await runTiketi(['help', 'nonsense'])).stdout, /^Usage: tiketi COMMAND/);
});

test('the first line of the log names version, commit, roles and pod', () => {
  const [first] = server.logs;
  assert.equal(first.message, 'starting');
  assert.deepEqual([first.version, first.commit, first.role, first.pod], [version, commit, 'api,gateway,processor', hostname()]);
});

test('the probe names version and commit', async () => {
  const { body } = await server.get('/readyz');
  assert.deepEqual([body.version, body.commit], [version, commit]);
});

// The head of whatever the port answers to these bytes.
function head(port, bytes) {
  return new Promise((accept, reject) => {
    let text = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.setTimeout(5000, () => socket.destroy(new Error('no answer')));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      if (text.includes('\r\n\r\n')) socket.destroy();
    });
    socket.on('close', () => accept(text.slice(0, text.indexOf('\r\n\r\n'))));
  });
}

test('no answer names the server or its libraries', async () => {
  for (const path of ['/livez', '/readyz', '/', '/nothing/here', '/api/queue/status/nothing']) {
    const { headers } = await exchange(server.url, 'GET', path);
    assert.equal(headers.server, undefined, path);
    assert.equal(headers['x-powered-by'], undefined, path);
  }
  const key = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: tiketi.v1\r\n';
  const requests = [
    [server.port, /^HTTP\/1\.1 400/, 'GET / HTTP/1.1\r\n\r\n'],
    [server.port, /^HTTP\/1\.1 505/, 'GET / HTTP/3.1\r\nHost: x\r\n\r\n'],
    [server.wsPort, /^HTTP\/1\.1 101/, `GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n${key}\r\n`],
    [server.wsPort, /^HTTP\/1\.[01] 4\d\d/, 'GET /other HTTP/1.1\r\nHost: x\r\n\r\n'],
  ];
  for (const [port, status, bytes] of requests) {
    const answer = await head(port, bytes);
    assert.match(answer, status);
    assert.doesNotMatch(answer, /^server:|libwebsockets|microhttpd/im, answer);
  }
});

test('the version comes from one place, and a clone knows its commit', { skip: commit === 'unknown' && 'this is no clone' }, () => {
  const [printed] = execFileSync(join(ROOT, 'src/version.sh'), { encoding: 'utf8' }).trim().split(' ');
  assert.equal(printed, version);
});
