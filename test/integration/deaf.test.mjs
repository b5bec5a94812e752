// SPDX-License-Identifier: MIT
//
// Sockets that join and then read nothing, hundreds of them at one gateway beside some that read. What the gateway and the
// kernel keep for each is bounded; they are closed at that bound, or by pings that nobody answers; and who reads gets every
// push meanwhile. (hostile.test.mjs has the same of HTTP.)

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { Client, SLOW, Server, Socket, many, stage, waitUntil } from '../fixtures/index.mjs';

const DEAF = 300;
const READERS = 20;
const OWN_MAX = 32 * 1024; // what the gateway may keep for a socket: 16 KiB of messages, in a block that doubles as it grows
const KERNEL_MAX = 128 * 1024; // SO_SNDBUF, doubled by the kernel, and what one more call puts there

const { redis, database, organizer, server: web } = await stage({ roles: 'api,processor' });

async function serve(env) {
  const gateway = await Server.start({ redis, database, roles: 'gateway', env });
  after(() => gateway.stop());
  return gateway;
}

// Buyers who wait, each with a socket that has its position.
async function joined(gateway, event, count, name) {
  return many(Array.from({ length: count }), 20, async (_, i) => {
    const buyer = new Client(web, { sub: `${name}-${i}` });
    await buyer.check(event.id);
    const socket = await Socket.open(gateway, { cookie: buyer.cookieHeader });
    socket.join(buyer, event.id);
    await socket.next('queue-position', 20000);
    return socket;
  });
}

const closedAs = (gateway, reason) => gateway.metric(`tiketi_websocket_closed_total{reason="${reason}"}`);
const anonymous = ({ pid }) => Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

// The most bytes that the kernel keeps for a connection of this port: not sent, or not acknowledged.
function kernelKeeps(port) {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n').slice(1).map((line) => line.trim().split(/\s+/));
  return Math.max(0, ...lines.filter(([, mine]) => mine?.endsWith(local)).map((fields) => parseInt(fields[4].split(':')[0], 16)));
}

test('300 sockets that read no push are closed at a bound, cost little until then, and who reads gets every push', { timeout: 120000 * SLOW }, async (t) => {
  const gateway = await serve();
  const event = await organizer.sale({ threshold: 0 });
  const readers = await joined(gateway, event, READERS, 'reader');
  const deaf = await joined(gateway, event, DEAF, 'deaf');
  const before = anonymous(gateway);
  for (const socket of deaf) socket.raw.pause();

  const sent = [];
  const most = { own: 0, kernel: 0 };
  while ((await closedAs(gateway, 'slow')) < DEAF) {
    assert.ok(sent.length < 400, `${await closedAs(gateway, 'slow')} closed after ${sent.length} messages of 6 KB`);
    const text = `${sent.length}: ${'한'.repeat(490)}`;
    sent.push(text);
    await organizer.act(event.id, 'message', { text: { en: text, ko: text, ja: text } });
    await waitUntil(() => readers.every((socket) => socket.all('message').length === sent.length), 10000, `message ${sent.length} at each reader`);
    most.own = Math.max(most.own, (anonymous(gateway) - before) / DEAF);
    most.kernel = Math.max(most.kernel, kernelKeeps(gateway.wsPort));
  }
  t.diagnostic(`closed after ${sent.length} messages; at most ${Math.round(most.own / 1024)} KiB of our own and ${Math.round(most.kernel / 1024)} KiB of the kernel for each`);
  if (!process.env.TIKETI_SAN) assert.ok(most.own < OWN_MAX, `${most.own} bytes of our own for each`);
  assert.ok(most.kernel > 0 && most.kernel < KERNEL_MAX, `the kernel keeps ${most.kernel} bytes for one`);

  await waitUntil(async () => (await gateway.metric('tiketi_websocket_open')) === READERS, 15000, 'the end of the connections themselves');
  for (const socket of readers) {
    assert.deepEqual(socket.all('message').map(({ payload }) => payload.text), sent);
    assert.equal(socket.end, undefined);
  }
});

test('100 sockets that read nothing while there is nothing to push are ended after two pings; who answers stays', { timeout: 60000 * SLOW }, async () => {
  const gateway = await serve({ WS_PING_MS: 3000 });
  const event = await organizer.sale({ threshold: 0 });
  const readers = await joined(gateway, event, READERS, 'awake');
  for (const socket of await joined(gateway, event, 100, 'asleep')) socket.raw.pause();
  await waitUntil(async () => (await closedAs(gateway, 'silent')) >= 100, 30000, 'the end of all who sleep');
  assert.equal(await gateway.metric('tiketi_websocket_open'), READERS);
  for (const socket of readers) {
    assert.equal(socket.end, undefined);
    assert.ok(socket.pings >= 2);
  }
});
