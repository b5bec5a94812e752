// SPDX-License-Identifier: MIT
//
// Pods that start and stop under load: a port opens when its pod can answer, probes answer at once, and behind a real
// HAProxy nobody notices a restart.

import assert from 'node:assert/strict';
import { Agent } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { Client, HAProxy, Server, Socket, exchange, freePort, stage, staysTrueFor, uniqueId, waitUntil } from '../fixtures/index.mjs';

const { redis, postgres, database, server, organizer } = await stage();

// 'open', 'refused' or another error.
const portOf = (port) => new Promise((resolve) => {
  const socket = connect(port, '127.0.0.1');
  socket.once('connect', () => resolve('open'));
  socket.once('error', ({ code }) => resolve(code === 'ECONNREFUSED' ? 'refused' : code));
  socket.once('close', () => socket.destroy());
}).finally(() => {});

async function starting(t, options) {
  const pod = new Server({ redis, database, ready: false, ...options, env: { METRICS_PORT: await freePort(), ...options?.env } });
  t.after(() => pod.stop());
  await pod.start();
  pod.probes = `http://127.0.0.1:${pod.env.METRICS_PORT}`;
  pod.probe = async (path) => (await exchange(pod.probes, 'GET', path)).status;
  return pod;
}

test('while Redis does not answer, the ports are closed for five seconds, then answer 503; probes answer at once', async (t) => {
  await redis.pause();
  t.after(() => redis.resume());
  const pod = await starting(t);
  const began = performance.now();
  await waitUntil(async () => (await pod.probe('/livez')) === 200, 3000, 'the probe');
  assert.ok(performance.now() - began < 2000, 'at once');
  const ports = async () => [await portOf(pod.port), await portOf(pod.wsPort)].join();
  await staysTrueFor(3000, async () => (await ports()) === 'refused,refused' && (await pod.probe('/readyz')) === 503 && (await pod.probe('/livez')) === 200,
    'closed, alive and not ready');
  await waitUntil(async () => (await ports()) === 'open,open', 8000, 'the ports');
  const took = performance.now() - began;
  assert.ok(took > 4000, `${took} ms`);
  const answer = await pod.get('/api/events/nothing-here');
  assert.equal(answer.status, 503);
  assert.ok(answer.headers['retry-after']);
  await waitUntil(async () => (await pod.probe('/readyz')) === 200, 2000, 'all workers: buyers need the 503 with Retry-After');
  assert.equal(await pod.probe('/readyz?deep=1'), 503);
  await redis.resume();
  await waitUntil(async () => (await pod.probe('/readyz?deep=1')) === 200, 10000, 'Redis');
});

test('as soon as the backends answer, the ports open: the first answer is no 503', async (t) => {
  const { id } = await organizer.sale({ id: uniqueId('roll') });
  await postgres.pause();
  t.after(() => postgres.resume());
  const pod = await starting(t);
  await waitUntil(async () => (await pod.probe('/livez')) === 200, 3000, 'the probe');
  await staysTrueFor(500, async () => (await portOf(pod.port)) === 'refused', 'PostgreSQL does not answer');
  await postgres.resume();
  const buyer = new Client(pod);
  let first;
  await waitUntil(async () => {
    first = await buyer.check(id).catch(({ code }) => assert.equal(code, 'ECONNREFUSED'));
    return first;
  }, 5000, 'the port');
  assert.equal(first.status, 200, first.text);
  const socket = await waitUntil(() => Socket.open(pod).catch(() => undefined), 5000, 'the port of the sockets');
  socket.close();
});

test('the port of the probes serves probes and metrics, and nothing else', async (t) => {
  const pod = await starting(t, { ready: true });
  for (const [path, status] of [['/livez', 200], ['/readyz', 200], ['/health', 200], ['/metrics', 200], ['/', 404], ['/api/events', 404], ['/wait/x', 404]]) {
    assert.equal(await pod.probe(path), status, path);
  }
  assert.equal((await pod.get('/livez')).status, 200, 'so does the other port');
  // It is open until the end. This drain lasts, because a client keeps its connection.
  const kept = connect(pod.port, '127.0.0.1');
  t.after(() => kept.destroy());
  await new Promise((resolve) => kept.once('connect', resolve));
  const ended = pod.stop();
  const said = await waitUntil(async () => (await exchange(pod.probes, 'GET', '/readyz')).body.status === 'draining', 3000, 'word of the drain');
  assert.ok(said);
  await ended;
});

test('a process without the api role answers probes on HTTP_PORT from the start', async (t) => {
  await redis.pause();
  t.after(() => redis.resume());
  const pod = await starting(t, { roles: 'gateway', env: { METRICS_PORT: 0 } });
  await waitUntil(async () => (await pod.get('/livez').catch(() => ({}))).status === 200, 3000, 'the probe');
  assert.equal((await pod.get('/readyz')).status, 503);
  assert.equal(await portOf(pod.wsPort), 'refused');
  await redis.resume();
  await waitUntil(async () => (await portOf(pod.wsPort)) === 'open' && (await pod.get('/readyz')).status === 200, 5000, 'the sockets');
});

test('ports that are the same, or taken, are refused at start', async () => {
  for (const [env, words] of [[{ METRICS_PORT: server.port }, /METRICS_PORT: cannot listen/], [(port) => ({ METRICS_PORT: port }), /METRICS_PORT: must be another port/]]) {
    const pod = new Server({ redis, database, ready: false });
    pod.port = await freePort();
    pod.env = typeof env === 'function' ? env(pod.port) : env;
    await pod.start();
    const { code } = await pod.child.exited;
    assert.notEqual(code, 0);
    assert.match(pod.output, words);
  }
});

const ROUNDS = 10;

test(`a rolling restart of two pods behind HAProxy: 0 errors in ${ROUNDS} rounds`, async (t) => {
  const { id } = await organizer.sale({ id: uniqueId('roll'), threshold: 1 });
  const pods = await Promise.all([0, 1].map(() => starting(t, { ready: true, roles: 'api', env: { DRAIN_MS: 5000 } })));
  const proxy = await HAProxy.start({ ports: pods.map(({ port }) => port) });
  t.after(() => proxy.stop());
  const { url } = proxy;
  await proxy.uses(2);

  // 40 kept connections ask all the time, each as a buyer of its own.
  const agent = new Agent({ keepAlive: true, maxSockets: 40 });
  let going = true;
  let answered = 0;
  const wrong = [];
  const buyers = Array.from({ length: 40 }, () => new Client({ url }));
  for (const buyer of buyers) assert.equal((await buyer.check(id)).status, 200);
  const load = buyers.map(async (buyer, i) => {
    for (let n = 0; going; n++) {
      const [method, path] = [['GET', `/api/queue/status/${id}`], ['POST', `/api/queue/check/${id}`], ['GET', `/wait/${id}`], ['GET', `/api/events/${id}`]][(i + n) % 4];
      try {
        const { status, text } = await buyer.request(method, path, { agent });
        if (status !== 200) wrong.push(`${method} ${path}: ${status} ${text.slice(0, 200)}`);
      } catch (error) {
        wrong.push(`${method} ${path}: ${error.code ?? error.message}`);
      }
      answered++;
    }
  });
  for (let round = 0; round < ROUNDS && wrong.length === 0; round++) {
    for (const pod of pods) {
      await pod.stop();
      await pod.start();
      await waitUntil(async () => (await pod.probe('/readyz').catch(() => 0)) === 200, 10000, 'the pod');
      await proxy.uses(2);
    }
  }
  going = false;
  await Promise.all(load);
  agent.destroy();
  t.diagnostic(`${answered} answers during ${2 * ROUNDS} restarts`);
  assert.deepEqual(wrong, []);
});
