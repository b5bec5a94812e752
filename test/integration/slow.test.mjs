// SPDX-License-Identifier: MIT
//
// Clients that send a byte a second, with default settings: heads and bodies are ended, and nobody else notices.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test } from 'node:test';
import { SLOW, stage, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { server } = await stage();

// Sends the start; the test adds a byte a second, until the server closes. text: what came back; end: when, in ms.
class Drip {
  constructor(start) {
    this.text = '';
    const began = performance.now();
    this.socket = connect(server.port, '127.0.0.1', () => this.socket.write(start)).setNoDelay(true);
    this.socket.on('data', (data) => (this.text += data)).on('error', () => {});
    this.socket.once('close', () => {
      this.end = performance.now() - began;
    });
  }
}

test('250 slow heads and 250 slow bodies are gone within 10 seconds and a little, each with a 408; others are served', { timeout: 60000 * SLOW }, async () => {
  const host = 'Host: tiketi.test\r\n';
  const path = `/api/queue/check/${uniqueId()}`;
  const drips = [];
  for (let i = 0; i < 250; i++) {
    drips.push(new Drip(i % 2 ? `GET ${path} HTTP/1.1\r\n${host}X-A: ` : 'GET /'));
    drips.push(new Drip(i % 2 ? `POST ${path} HTTP/1.1\r\n${host}Content-Type: application/json\r\nContent-Length: 60000\r\n\r\n{"`
      : `POST ${path} HTTP/1.1\r\n${host}Transfer-Encoding: chunked\r\n\r\nfff\r\n`));
  }
  let next = performance.now();
  await waitUntil(async () => {
    assert.equal((await server.get('/livez')).status, 200);
    if (performance.now() >= next) {
      next += 1000;
      for (const { socket } of drips) socket.write('x');
    }
    return drips.every(({ end }) => end);
  }, 20000 * SLOW, 'the end of all slow connections');
  for (const { text, end } of drips) {
    assert.match(text, /^HTTP\/1\.1 408 /);
    assert.equal(text.match(/HTTP\/1\.1 /g).length, 1, text);
    assert.match(text, /"code":"too-slow"/);
    assert.ok(end > 9900, `${end} ms`);
  }
});
