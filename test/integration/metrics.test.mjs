// SPDX-License-Identifier: MIT
//
// What /metrics tells, by real scrapes of a deployment of two apis, a gateway and two processors: promtool accepts it, every
// series exists from the start, and each number of an event is told by one pod alone, so that `sum` is right.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Client, Organizer, Postgres, Redis, Server, Socket, exchange, freePort, keeper, many, pay, waitUntil } from '../fixtures/index.mjs';
import { Prometheus } from '../fixtures/prometheus.mjs';

const keep = keeper();
const [redis, postgres] = await Promise.all([keep(Redis.start()), keep(Postgres.start())]);
const database = await postgres.migrated();
const pod = async (roles, env = {}) => keep(Server.start({ redis, database, roles, env: { METRICS_PORT: await freePort(), ...env } }));
const [api, other, gateway, first, second] = await Promise.all(['api', 'api', 'gateway', 'processor', 'processor'].map((roles) => pod(roles)));
const pods = [api, other, gateway, first, second];
const organizer = new Organizer(api);

// Every series of a text, labels in the order written, and its value.
const series = (text) => Object.fromEntries(text.split('\n').filter((line) => line && !line.startsWith('#')).map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.slice(line.lastIndexOf(' ') + 1))]));
const promtool = (text) => new Promise((resolve, reject) => {
  const child = execFile('promtool', ['check', 'metrics'], (error, stdout, stderr) => (error ? reject(new Error(`${error.message}\n${stdout}${stderr}`)) : resolve(stdout + stderr)));
  child.stdin.end(text);
});
// The sum over all pods of a series of an event; undefined: no pod has it.
const sum = async (name) => {
  const values = (await Promise.all(pods.map((one) => one.scrape()))).map((text) => series(text)[name]).filter((value) => value !== undefined);
  return values.length === 0 ? undefined : values.reduce((total, value) => total + value, 0);
};

test('every series of the process exists from the start, at 0', async () => {
  const fresh = series(await gateway.scrape());
  const zero = [
    ...['timeout', 'connection', 'readonly', 'oom', 'script', 'other'].map((kind) => `tiketi_redis_errors_total{kind="${kind}"}`),
    ...['timeout', 'connection', 'readonly', 'conflict', 'lock', 'resources', 'schema', 'internal', 'other'].map((kind) => `tiketi_postgres_errors_total{kind="${kind}"}`),
    ...['limit', 'address_rate', 'address_sockets', 'draining', 'origin', 'invalid', 'timeout'].map((reason) => `tiketi_websocket_refused_total{reason="${reason}"}`),
    ...['client', 'lost', 'silent', 'slow', 'protocol', 'policy', 'unauthorized', 'drain', 'other'].map((reason) => `tiketi_websocket_closed_total{reason="${reason}"}`),
    ...['expired', 'taken', 'redis'].map((reason) => `tiketi_lease_lost_total{reason="${reason}"}`),
    'tiketi_websocket_open', 'tiketi_websocket_opened_total', 'tiketi_over_admissions_total', 'tiketi_events_silent', 'tiketi_events_unexported_total',
    'tiketi_postgres_pool_waiting', 'tiketi_postgres_pool_wait_seconds_count',
  ];
  for (const name of zero) assert.equal(fresh[name], 0, name);
  assert.equal(fresh.tiketi_redis_up, 1);
  assert.equal(fresh.tiketi_postgres_up, 1);
  assert.ok(fresh.tiketi_websocket_max > 0);
  assert.ok(fresh.tiketi_postgres_pool_size >= 2, 'one of the gateway, one of the worker for probes');
  assert.ok(fresh.tiketi_postgres_pool_size <= fresh.tiketi_postgres_pool_max);
});

test('the process tells its build, its CPU time, its memory and its files; each worker how busy it is', async () => {
  const { body } = await exchange(`http://127.0.0.1:${api.env.METRICS_PORT}`, 'GET', '/readyz');
  const before = series(await api.scrape());
  assert.equal(before[`tiketi_build_info{version="${body.version}",commit="${body.commit}"}`], 1);
  const age = Date.now() / 1000 - before.process_start_time_seconds;
  assert.ok(age > 0 && age < 120, `${age} s old`);
  assert.ok(before.process_resident_memory_bytes > 5e6 && before.process_resident_memory_bytes < before.process_virtual_memory_bytes);
  assert.ok(before.process_open_fds > 5 && before.process_open_fds < before.process_max_fds);
  for (let i = 0; i < 300; i++) await api.get('/livez');
  const later = series(await api.scrape());
  assert.ok(later['tiketi_loop_busy_seconds_total{worker="api-0"}'] > before['tiketi_loop_busy_seconds_total{worker="api-0"}']);
  assert.ok(later.process_cpu_seconds_total >= before.process_cpu_seconds_total && later.process_cpu_seconds_total > 0);
  assert.ok(later['tiketi_loop_lag_seconds{worker="api-0"}'] >= 0);
  assert.equal(later.process_start_time_seconds, before.process_start_time_seconds);
  assert.deepEqual(Object.keys(series(await gateway.scrape())).filter((name) => name.startsWith('tiketi_loop_busy')), ['ops-0', 'gateway-0'].map((name) => `tiketi_loop_busy_seconds_total{worker="${name}"}`));
});

test('with METRICS_PORT, buyers do not see the metrics; the probes answer on both ports', async () => {
  assert.equal((await api.get('/metrics')).status, 404);
  assert.equal((await api.get('/livez')).status, 200);
  assert.equal((await exchange(`http://127.0.0.1:${api.env.METRICS_PORT}`, 'GET', '/livez')).status, 200);
  assert.equal((await exchange(`http://127.0.0.1:${api.env.METRICS_PORT}`, 'GET', '/api/events')).status, 404);
  assert.equal((await gateway.get('/metrics')).status, 404, 'nor without the api role');
});

test('a small crowd: sums are right over all pods, and promtool finds nothing', async () => {
  const event = await organizer.sale({ threshold: 4, grid: { rows: 2, seatsPerRow: 5 }, sessionLimitMs: 600000 });
  const of = (name, labels = '') => sum(`tiketi_event_${name}{event="${event.id}"${labels && `,${labels}`}}`);
  const buyers = Array.from({ length: 12 }, (_, i) => new Client(i % 2 ? api : other));
  for (const buyer of buyers) await buyer.check(event.id);
  const socket = await Socket.open(gateway, { cookie: buyers[11].cookieHeader });
  socket.join(buyers[11], event.id);
  await socket.next('queue-position');
  await waitUntil(async () => (await of('waiting')) === 8 && (await of('inside')) === 4, 10000, '8 waiting and 4 inside, by all pods');
  assert.equal(await of('lease_held'), 1, 'one of two processors');
  assert.equal((await Promise.all([first, second].map((one) => one.metric(`tiketi_event_lease_held{event="${event.id}"}`)))).join('').replace('10', '01'), '01', 'the other one says 0');
  assert.equal(await of('threshold'), 4);
  assert.equal(await of('threshold_in_force'), 4);
  assert.equal(await of('joined_total'), 12);
  assert.equal(await of('admitted_total', 'kind="direct"'), 4);
  assert.equal(await of('limited_by', 'reason="threshold"'), 1);
  for (const reason of ['outflow', 'seats', 'paused', 'scheduled', 'restoring', 'closed', 'empty']) assert.equal(await of('limited_by', `reason="${reason}"`), 0, reason);
  assert.equal(await of('status', 'status="open"'), 1);
  assert.equal(await of('status', 'status="paused"'), 0);
  assert.ok((await of('tick_age_seconds')) < 3);
  assert.ok((await of('index_age_seconds')) < 3);
  assert.equal(await gateway.metric('tiketi_websocket_open'), 1);

  // One buys, two leave: three from the queue take their slots, and waited.
  const bought = await buyers[0].reserve({ eventId: event.id, quantity: 1 });
  assert.equal(bought.status, 201, bought.text);
  assert.equal((await pay(api, bought.body)).status, 200);
  await buyers[1].leave(event.id);
  await buyers[2].leave(event.id);
  await waitUntil(async () => (await of('admitted_total', 'kind="promoted"')) === 3 && (await of('ended_total', 'kind="left"')) === 2, 15000, 'three admissions');
  await waitUntil(async () => (await of('ended_total', 'kind="completed"')) === 1, 15000, 'the purchase');
  await waitUntil(async () => (await of('wait_seconds_count')) === 7, 5000, 'seven waits');
  assert.equal(await of('wait_seconds_bucket', 'le="1"') >= 4, true, 'direct admissions waited for 0 s');
  assert.ok((await of('wait_seconds_sum')) > 0);
  await waitUntil(async () => (await of('seats', 'state="sold"')) === 1 && (await of('revenue', 'currency="EUR"')) === 50, 15000, 'the stock');
  assert.equal((await of('seats', 'state="free"')) + (await of('seats', 'state="held"')), 9);
  await waitUntil(async () => (await of('ledger_lag_seconds')) < 2, 5000, 'the ledger');
  assert.equal(await sum('tiketi_over_admissions_total'), 0);

  socket.close();
  await waitUntil(async () => (await gateway.metric('tiketi_websocket_closed_total{reason="client"}')) === 1, 5000, 'the end of a socket, by its reason');
  await gateway.get('/nothing-here');

  for (const one of pods) {
    const text = await one.scrape();
    assert.equal(await promtool(text), '', `promtool on ${one.roles}`);
    const openmetrics = await one.scrape({ accept: 'application/openmetrics-text; version=1.0.0' });
    assert.match(openmetrics, /\n# EOF\n$/);
    assert.match(openmetrics, /# TYPE tiketi_joins counter\n/);
    assert.match(openmetrics, /# UNIT tiketi_event_tick_age_seconds seconds\n/);
    for (const name of Object.keys(series(text))) assert.doesNotMatch(name, /[a-z][A-Z]\w*=/, 'labels are snake_case');
  }

  // docs/metrics.md lists exactly the metrics that there are. Those of shards there are in a Redis Cluster: redis_cluster.test.mjs.
  const families = new Set((await Promise.all(pods.map((one) => one.scrape()))).flatMap((text) => [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name)));
  const doc = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
  const listed = new Set([...doc.matchAll(/^\|([^|]+)\|/gm)].flatMap(([, cell]) => [...cell.matchAll(/`((?:tiketi|process)_\w+)`/g)].map(([, name]) => name)));
  assert.deepEqual([...families].filter((name) => !listed.has(name)), [], 'missing in docs/metrics.md');
  assert.deepEqual([...listed].filter((name) => !families.has(name) && !/_shard/.test(name)), [], 'in docs/metrics.md, but not told');

  // A real Prometheus takes it as OpenMetrics, and knows the units.
  const prometheus = await keep(Prometheus.start({ targets: pods.map((one) => `127.0.0.1:${one.env.METRICS_PORT}`), scrapeMs: 500 }));
  await waitUntil(async () => Number((await prometheus.query(`sum(tiketi_event_joined_total{event="${event.id}"})`))[0]?.value[1]) === 12, 10000, 'the sum of Prometheus');
  await waitUntil(async () => (await prometheus.query('sum(up)'))[0]?.value[1] === '5', 5000, 'five pods that it can read');
  const { data } = (await exchange(prometheus.url, 'GET', '/api/v1/metadata?metric=tiketi_loop_busy_seconds')).body;
  assert.deepEqual(data.tiketi_loop_busy_seconds.map(({ type, unit }) => [type, unit]), [['counter', 'seconds']]);

  await organizer.act(event.id, 'pause');
  await waitUntil(async () => (await of('limited_by', 'reason="paused"')) === 1 && (await of('status', 'status="paused"')) === 1, 10000, 'the pause');
  // Its holder ends in order: the other processor tells the numbers, and nobody tells them twice.
  const holder = (await first.metric(`tiketi_event_lease_held{event="${event.id}"}`)) === 1 ? first : second;
  await holder.stop();
  pods.splice(pods.indexOf(holder), 1);
  keep.forget(holder);
  await waitUntil(async () => (await of('lease_held')) === 1 && (await of('joined_total')) === 12, 10000, 'the other processor');
  assert.equal(await sum('tiketi_events_silent'), 0, 'nobody was silent for long enough');
});

test('what the last in line was told is judged when their turn comes', async () => {
  const event = await organizer.sale({ threshold: 0, intervalMs: 200 });
  await many(Array.from({ length: 60 }), 10, () => new Client(api).check(event.id));
  const of = (name, labels = '') => sum(`tiketi_event_${name}{event="${event.id}"${labels && `,${labels}`}}`);
  assert.equal(await of('estimate_error_seconds_count', 'wait="longer"') ?? 0, 0);
  await organizer.patch(event.id, { threshold: 1000, outflowPerMinute: 600 });
  await waitUntil(async () => (await of('wait_estimate_seconds')) > 0, 10000, 'an estimate of the last in line');
  await waitUntil(async () => (await of('admissions_per_second')) > 1, 10000, 'the measured rate');
  await waitUntil(async () => (await of('admitted_total', 'kind="promoted"')) === 60, 20000, 'all turns');
  const longer = await of('estimate_error_seconds_count', 'wait="longer"'), shorter = await of('estimate_error_seconds_count', 'wait="shorter"');
  assert.ok(longer + shorter >= 1, 'an estimate was judged');
  assert.ok((await of('estimate_error_seconds_sum', 'wait="longer"')) + (await of('estimate_error_seconds_sum', 'wait="shorter"')) < 5 * (longer + shorter), 'and was not far off');
  assert.equal(await of('wait_seconds_count'), 60);
  assert.ok((await of('wait_seconds_sum')) > 60, 'they waited for more than a second each');
  await waitUntil(async () => (await of('limited_by', 'reason="empty"')) === 1, 5000, 'nobody waits');
  assert.equal(await of('wait_estimate_seconds'), undefined, 'nobody is told anything');
});

test('while every seat is held nobody is told when they enter, so no estimate is exported', async () => {
  const event = await organizer.sale({ threshold: 100, intervalMs: 200, autoHold: 1, grid: { rows: 1, seatsPerRow: 2 } });
  const of = (name, labels = '') => sum(`tiketi_event_${name}{event="${event.id}"${labels && `,${labels}`}}`);
  const buyers = Array.from({ length: 4 }, () => new Client(api));
  for (const buyer of buyers) await buyer.check(event.id);
  await waitUntil(async () => (await of('limited_by', 'reason="seats"')) === 1 && (await of('waiting')) === 2, 15000, 'a hall that is held');
  assert.equal(await of('wait_estimate_seconds'), undefined);
  await organizer.patch(event.id, { threshold: 2 });
  await organizer.must('POST', `/api/admin/events/${event.id}/seats`, { grid: { section: 'B', currency: 'EUR', price: 5000, rows: 1, seatsPerRow: 9 } });
  await waitUntil(async () => (await of('limited_by', 'reason="threshold"')) === 1 && (await of('wait_estimate_seconds')) > 0, 15000, 'an estimate, as there are seats again');
});

test('errors of Redis and PostgreSQL are counted by kind', async () => {
  const event = await organizer.sale({ threshold: 1 });
  const of = async (name, kind) => (await Promise.all([api, other].map((one) => one.metric(`tiketi_${name}_errors_total{kind="${kind}"}`)))).reduce((total, value) => total + value, 0);
  await new Client(api).check(event.id);
  assert.equal(await of('redis', 'oom'), 0);
  await redis.cli('CONFIG', 'SET', 'maxmemory', '1');
  // A busy machine may answer 503 for a reason of its own.
  await waitUntil(async () => (await new Client(api).check(event.id)).status === 503 && (await of('redis', 'oom')) > 0, 5000, 'a Redis that is full');
  await redis.cli('CONFIG', 'SET', 'maxmemory', '0');
  assert.equal(await of('redis', 'script'), 0);

  assert.equal(await of('postgres', 'schema'), 0);
  await database.query('ALTER FUNCTION sale_now RENAME TO sale_lost');
  assert.equal((await organizer.get(`/api/admin/events/${event.id}/stats`)).status, 500);
  await database.query('ALTER FUNCTION sale_lost RENAME TO sale_now');
  assert.equal(await of('postgres', 'schema'), 1);
  assert.equal(await of('postgres', 'connection'), 0);
  await redis.pause();
  await waitUntil(async () => (await api.metric('tiketi_redis_up')) === 0, 10000, 'Redis to count as down');
  await redis.resume();
  await waitUntil(async () => (await api.metric('tiketi_redis_up')) === 1, 10000, 'Redis to count as up');
  assert.ok((await of('redis', 'timeout')) > 0);
});
