// SPDX-License-Identifier: MIT
//
// A sale that a real Prometheus watches, with the rules and dashboards of monitoring/: every query has an answer, a
// sale without trouble pages nobody, and the message that it is sold out reaches Discord.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { organizer, sre } from '../../monitoring/grafana/generate.mjs';
import { Alertmanager, Discord, Organizer, Postgres, Prometheus, Provider, ROOT, Redis, SECRETS, SLOW, Server, keeper, runTiketi, waitUntil } from '../fixtures/index.mjs';

const BUYERS = 300;
const SEATS = 120;

const keep = keeper();
let redis;
let database;
let prometheus;
let discord;
let eventId;
let from;
let to;
let fired; // the names of alerts that fired during the sale, and their severity

before(async () => {
  let postgres;
  [redis, postgres] = await Promise.all([keep(Redis.start()), keep(Postgres.start())]);
  database = await postgres.migrated();
  discord = await keep(Discord.start());
  const alertmanager = await keep(Alertmanager.start({ discord }));
  // As in production: two pods of each kind, of which one processor stands by.
  const pods = [];
  for (const roles of ['api,gateway,processor', 'api,gateway,processor']) pods.push(await keep(Server.start({ redis, database, roles, env: { QUEUE_PROCESSOR_INTERVAL: 1000 } })));
  prometheus = await keep(Prometheus.start({
    targets: pods.map((pod, i) => ({ target: `127.0.0.1:${pod.port}`, labels: { namespace: 'shop', pod: `pod-${i}` } })), alertmanager,
  }));
  const provider = await keep(Provider.start({ server: pods[0] }));
  const event = await new Organizer(pods[0]).sale({ title: 'Watched', threshold: 30, grid: { rows: 6, seatsPerRow: SEATS / 6 } });
  eventId = event.id;
  await waitUntil(() => redis.cli('EXISTS', `free:{${eventId}}`).then(Number), 15000, 'the count of free seats');
  await waitUntil(async () => (await prometheus.query('tiketi_event_lease_held == 1')).length === 1, 15000, 'Prometheus to see the event');
  from = Date.now() / 1000;
  const crowd = await runTiketi([
    'crowd', '--event', eventId, '--users', BUYERS, '--arrive', '2s', '--buy', '0.8', '--abandon', '0.2', '--think', '100ms..600ms', '--provider', provider.url, '--max-time', `${60 * SLOW}s`,
    '--url', pods.map((pod) => pod.url).join(), '--ws', pods.map((pod) => pod.wsUrl).join(),
  ].map(String), { ...SECRETS, REDIS_URL: redis.url, DATABASE_URL: database.url, HTTP_PORT: pods[0].port, WS_PORT: pods[0].wsPort }, { timeoutMs: 90000 * SLOW, expect: null });
  assert.equal(crowd.code, 0, crowd.stdout);
  await waitUntil(async () => (await prometheus.query('tiketi_event_status{status="sold_out"} == 1')).length === 1, 15000, 'Prometheus to see that it is sold out');
  to = Date.now() / 1000;
  fired = await prometheus.query(`max by (alertname, severity) (max_over_time(ALERTS{alertstate="firing"}[${Math.ceil(to - from)}s]))`);
});
// As Grafana fills them in.
const filled = (query) => query.replaceAll('$namespace', '.*').replaceAll('$event', '.*').replaceAll('$__rate_interval', '4s').replaceAll('$__range', '60s');

// These have no number in a sale in which nothing of the kind happens: a share of nothing, or a quantile of no waits.
const NOTHING_HAPPENED = /tiketi_event_estimate_error_seconds|tiketi_postgres_pool_wait_seconds/;

for (const dashboard of [sre, organizer]) {
  test(`${dashboard.title}: every query of the dashboard has an answer`, async () => {
    for (const panel of dashboard.panels) {
      for (const { expr } of panel.targets ?? []) {
        const series = await prometheus.range(filled(expr), from, to, 1);
        const what = `"${panel.title}": ${filled(expr)}`;
        assert.ok(series.length > 0, `no series: ${what}`);
        if (NOTHING_HAPPENED.test(expr)) continue;
        assert.ok(series.some(({ values }) => values.some(([, value]) => Number.isFinite(Number(value)))), `no number: ${what}`);
      }
    }
    for (const { expr } of dashboard.annotations.list) await prometheus.range(filled(expr), from, to, 1);
    for (const { type, definition } of dashboard.templating.list) {
      if (type !== 'query') continue;
      const [, selector, label] = definition.match(/^label_values\((.*), (\w+)\)$/);
      const values = await prometheus.api(`label/${label}/values`, { 'match[]': filled(selector) });
      assert.deepEqual(values, label === 'event' ? [eventId] : ['shop']);
    }
  });

  test(`${dashboard.title}: the dashboard is one that Grafana reads`, () => {
    const { panels, templating, uid, schemaVersion } = dashboard;
    assert.match(uid, /^[\w-]{1,40}$/);
    assert.equal(schemaVersion, 38);
    assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length, 'ids are unique');
    assert.equal(templating.list[0].type, 'datasource');
    const boxes = [];
    for (const { title, type, gridPos, targets, datasource, description, fieldConfig } of panels) {
      assert.ok(title);
      assert.ok(gridPos.x >= 0 && gridPos.w > 0 && gridPos.x + gridPos.w <= 24, title);
      for (const other of boxes) {
        const apart = gridPos.x + gridPos.w <= other.x || other.x + other.w <= gridPos.x || gridPos.y + gridPos.h <= other.y || other.y + other.h <= gridPos.y;
        assert.ok(apart, `${title} lies on another panel`);
      }
      boxes.push(gridPos);
      if (type === 'row') continue;
      assert.ok(['timeseries', 'stat', 'state-timeline'].includes(type), type);
      assert.ok(description.endsWith('.'), `${title} says what it shows`);
      assert.ok(fieldConfig.defaults.unit, `${title} has a unit`);
      assert.equal(datasource.uid, '${datasource}');
      assert.ok(targets.length > 0 && targets.every(({ expr, datasource: source }) => expr && source.uid === '${datasource}'), title);
      assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, title);
    }
  });
}

test('the figures are those of the sale', async () => {
  const most = async (query) => Math.max(...(await prometheus.range(query, from, to, 1)).flatMap(({ values }) => values.map(([, value]) => Number(value))));
  assert.ok((await most('sum(tiketi_event_waiting)')) > 50);
  const inside = await most('sum(tiketi_event_inside)');
  assert.ok(inside > 20 && inside <= 30, `${inside} inside at most`);
  await waitUntil(async () => (await prometheus.value('sum(tiketi_event_seats{state="sold"})')) === SEATS, 15000, 'the seats, which are counted every few seconds');
  assert.equal(await prometheus.value('sum(tiketi_event_revenue{currency="EUR"})'), SEATS * 50);
  assert.equal(await prometheus.value('sum(tiketi_over_admissions_total)'), 0);
  assert.equal(await prometheus.value('max(tiketi_events_silent)'), 0);
});

test('each rule has an answer or is silent, and Prometheus found no fault in any', async () => {
  for (const { name, health, lastError, type, query } of await prometheus.readRules()) {
    assert.equal(health, 'ok', `${name}: ${lastError}`);
    if (type === 'recording') assert.ok((await prometheus.range(name, from, to, 1)).length > 0, `nothing is recorded as ${name}: ${query}`);
  }
});

test('every metric that rules, alarms and dashboards name is one that tiketi has', async () => {
  const known = new Set(await prometheus.api('label/__name__/values'));
  const named = new Set();
  for (const text of [...(await prometheus.readRules()).map(({ query }) => query), ...[sre, organizer].flatMap(({ panels }) => panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)))]) {
    for (const [name] of text.matchAll(/\b(?:tiketi|process)_\w+|\b(?:event|namespace|pod):\w+:\w+/g)) named.add(name);
  }
  assert.ok(named.size > 60);
  for (const name of named) assert.ok(known.has(name), `there is no ${name}`);
});

test('every query and metric that the documents give to an operator has an answer', async () => {
  const known = new Set(await prometheus.api('label/__name__/values'));
  const queries = new Set();
  for (const one of [...codeOf('monitoring.md'), ...codeOf('runbook.md')]) {
    if (/\b(?:tiketi_|\w+:tiketi_)\w/.test(one) && !one.includes('…')) queries.add(one);
  }
  assert.ok(queries.size > 30, [...queries].join('\n'));
  for (const query of queries) {
    if (/^\w+$/.test(query)) assert.ok(known.has(query) || known.has(`${query}_bucket`), `there is no ${query}`);
    else assert.ok((await prometheus.range(query, from, to, 1)).length > 0, `no answer: ${query}`);
  }
});

// Code spans and lines of code blocks.
function codeOf(name) {
  const text = readFileSync(join(ROOT, 'docs', name), 'utf8');
  const blocks = [...text.matchAll(/^```\n([^`]*)^```$/gm)].flatMap(([, lines]) => lines.split('\n').map((line) => line.replace(/\s+# .*$/, '')));
  return [...blocks, ...[...text.replaceAll(/^```\n[^`]*^```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(([, span]) => span)];
}

test('what the runbook tells to run, runs: Redis, PostgreSQL, tiketi ctl; and the log lines that it names are written', async () => {
  const code = codeOf('runbook.md');
  const words = (command) => [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, plain]) => (quoted ?? plain).replace('EVENT', eventId));
  const toRedis = code.filter((one) => /^redis-cli [A-Z]/.test(one));
  assert.ok(toRedis.length >= 8);
  for (const one of toRedis) {
    const [, ...command] = words(one.replace(/ [>|].*$/, ''));
    await redis.cli(...command);
  }
  const statements = code.flatMap((one) => one.match(/\b(SELECT [^"]+)/)?.[1] ?? []).map((one) => one.replace('PID', '0'));
  assert.ok(statements.length >= 5);
  for (const one of statements) await database.query(one);
  const verbs = new Set(code.flatMap((one) => one.match(/^tiketi ctl (\w+(?: (?:un)?block)?)/)?.[1] ?? []));
  assert.ok(verbs.size >= 8, [...verbs].join());
  for (const verb of verbs) await runTiketi(['ctl', ...verb.split(' '), '--help']);
  const sources = readdirSync(join(ROOT, 'src'), { withFileTypes: true }).filter((one) => one.isDirectory())
    .flatMap(({ name }) => readdirSync(join(ROOT, 'src', name)).map((file) => readFileSync(join(ROOT, 'src', name, file), 'utf8'))).join('\n').replaceAll(/"\s*\n\s*"/g, '');
  const lines = code.filter((one) => /^[a-z]+ [a-zA-Z_ ,]+(?: …)?$/.test(one) && !/^(?:tiketi|kubectl|promtool|make|psql|date|ulimit|chronyc|perf) /.test(one) && !/[A-Z]{3,} /.test(one));
  assert.ok(lines.length >= 8, lines.join('\n'));
  for (const one of lines) assert.ok(sources.includes(`"${one.replace(' …', '')}`), `nothing logs "${one}"`);
});

test('a sale without trouble pages nobody', () => {
  assert.deepEqual(fired.filter(({ metric }) => metric.severity === 'page').map(({ metric }) => metric.alertname), []);
});

test('that it is sold out reaches Discord, by way of Prometheus and Alertmanager, with the link to the runbook', async () => {
  const message = await waitUntil(() => discord.messages.find(({ title }) => title.includes('TiketiSoldOut')), 15000, 'the message');
  assert.equal(message.title, '[INFO] TiketiSoldOut in shop');
  assert.equal(message.path, '/api/webhooks/TEAM/TOKEN');
  assert.match(message.description, new RegExp(`^\\*\\*${eventId} is sold out\\*\\*\n.*\nWhat to do: https://example.com/runbook#all-seats-are-held-or-sold`));
});
