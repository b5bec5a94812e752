// SPDX-License-Identifier: MIT
//
// Clients that do not play along, at one pod with default limits: they read nothing of large answers, send heads and bodies
// byte by byte, or say nothing. What the pod and the kernel keep for them is bounded, and
// buyers are served meanwhile. `make bench BENCH=hostile` does it with 10,000.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { after, test } from 'node:test';
import { Client, SLOW, Server, many, stage, waitUntil } from '../fixtures/index.mjs';

const { redis, database, organizer } = await stage();
const pod = await Server.start({ redis, database, roles: 'api' });
after(() => pod.stop());
const sockets = new Set();
after(() => sockets.forEach((socket) => socket.destroy()));
const UNSENT_MAX = 32768;

// A connection that has sent this, and reads nothing.
const deaf = (text) => new Promise((accept, reject) => {
  const socket = connect({ port: pod.port, host: '127.0.0.1', readableHighWaterMark: 1 }, () => socket.write(text, () => accept(socket)));
  socket.pause().once('error', reject).once('connect', () => socket.off('error', reject).on('error', () => {}));
  sockets.add(socket);
});

// Bytes that the kernel keeps for each client of this port: sent and not acknowledged, or not even sent.
function unread(port) {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1)
    .map((line) => line.trim().split(/\s+/)).filter(([, mine, , state]) => mine?.endsWith(local) && state === '01')
    .map((fields) => parseInt(fields[4].split(':')[0], 16));
}
const anonymous = () => Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pod.pid}/status`, 'utf8'))[1]) * 1024;

async function joins(count, event) {
  const statuses = await many(Array.from({ length: count }), 8, async () => (await new Client(pod).check(event.id)).status);
  assert.deepEqual([...new Set(statuses)], [200]);
}

test('300 clients that read nothing of large answers cost little memory, and buyers join', { timeout: 60000 * SLOW }, async () => {
  const event = await organizer.sale({ threshold: 0, grid: { rows: 100, seatsPerRow: 100 } });
  const map = await pod.get(`/api/seats/${event.id}`);
  assert.ok(map.text.length > 900000, `${map.text.length} bytes`);
  await joins(20, event);
  const before = anonymous();
  const paths = [`/api/seats/${event.id}`, '/openapi.json', `/api/seats/${event.id}`];
  await many(Array.from({ length: 300 }), 50, (_, i) => deaf(`GET ${paths[i % 3]} HTTP/1.1\r\nHost: x\r\n\r\n`));
  await waitUntil(() => unread(pod.port).filter((bytes) => bytes > 0).length >= 300, 10000 * SLOW, 'answers that nobody reads');
  await joins(100, event);
  // A segment on the loopback interface has up to 64 KiB.
  const most = Math.max(...unread(pod.port));
  assert.ok(most <= UNSENT_MAX + 65536, `the kernel keeps ${most} bytes for one client`);
  if (!process.env.TIKETI_SAN) {
    const each = (anonymous() - before) / 300;
    assert.ok(each < 24 * 1024, `${each} bytes of our own for each`);
  }
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});

test('100 slow heads, 100 slow bodies and 300 silent connections: buyers join meanwhile', { timeout: 60000 * SLOW }, async () => {
  const event = await organizer.sale({ threshold: 0 });
  await many(Array.from({ length: 500 }), 50, (_, i) => deaf(i < 100 ? 'GET / HTTP/1.1\r\nX: '
    : i < 200 ? 'POST /api/queue/check/none HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n' : '\r\n'));
  for (let round = 0; round < 3; round++) {
    for (const socket of sockets) socket.write('x');
    await joins(50, event);
  }
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});
