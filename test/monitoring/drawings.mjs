// SPDX-License-Identifier: MIT
//
// `make monitoring-drawings`: plays a sale of three minutes with an incident in it, and draws the main panels of the dashboards from
// what a real Prometheus has recorded, into docs/monitoring-*.svg. The queries are those of the dashboards.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { organizer, sre } from '../../monitoring/grafana/generate.mjs';
import { BIN, Child, Organizer, Postgres, Prometheus, Provider, ROOT, Redis, SECRETS, Server, environment, sleep, waitUntil } from '../fixtures/index.mjs';
import { draw } from './svg.mjs';

const SCRAPE_S = 2;
const STEP_S = 2;
const EVENT = 'summer-night';

const SRE = ['Alerts', 'Pods', 'Silent events', 'Over the limit', 'Redis', 'PostgreSQL', 'Waiting', 'Inside, and allowed', 'Joined and admitted', 'Limited by', 'Ages', 'Who holds the lease',
  'Requests', 'Durations', 'Opened and closed', 'Redis: durations', 'PostgreSQL: connections', 'Busy loops'];
const ORGANIZER = ['Waiting', 'Inside', 'The last in line waits', 'Seats left', 'Sold', 'Revenue', 'Waiting (graph)', 'Where the sale stands', 'Why nobody more enters', 'Inside, and allowed', 'Joined and admitted',
  'How long buyers wait', 'Seats', 'Admitted a minute', 'How turns ended'];

const [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
const database = await postgres.migrated();
const pods = {};
for (const [name, roles] of Object.entries({ 'api-1': 'api,gateway', 'api-2': 'api,gateway', 'processor-1': 'processor', 'processor-2': 'processor' })) {
  pods[name] = await Server.start({ redis, database, roles, env: { QUEUE_PROCESSOR_INTERVAL: 5000 } });
}
const prometheus = await Prometheus.start({
  targets: Object.entries(pods).map(([pod, { port }]) => ({ target: `127.0.0.1:${port}`, labels: { namespace: 'shop', pod } })), scrapeMs: SCRAPE_S * 1000, evaluateMs: 5000,
});
const provider = await Provider.start({ server: pods['api-1'] });
await new Organizer(pods['api-1']).sale({ id: EVENT, title: 'Summer night', threshold: 90, grid: { rows: 25, seatsPerRow: 40 } });
await waitUntil(async () => (await prometheus.query('tiketi_event_lease_held == 1')).length === 1, 30000, 'Prometheus to see the event');
await sleep(8000);

const from = Math.floor(Date.now() / 1000) - 8;
const crowd = new Child(BIN, ['crowd', '--event', EVENT, '--users', '1600', '--arrive', '70s', '--think', '3s..8s', '--buy', '0.8', '--abandon', '0.2', '--max-time', '5m', '--provider', provider.url,
  '--url', `${pods['api-1'].url},${pods['api-2'].url}`, '--ws', `${pods['api-1'].wsUrl},${pods['api-2'].wsUrl}`],
  { env: environment({ ...SECRETS, REDIS_URL: redis.url, DATABASE_URL: database.url, HTTP_PORT: pods['api-1'].port, WS_PORT: pods['api-1'].wsPort }) });
await sleep(45000);
for (const name of ['processor-1', 'processor-2']) await pods[name].pause();
await sleep(50000);
for (const name of ['processor-1', 'processor-2']) await pods[name].resume();
const sold = async () => (await prometheus.query('tiketi_event_status{status="sold_out"} == 1')).length === 1;
const began = performance.now();
while (crowd.running && !(await sold()) && performance.now() - began < 180000) await sleep(1000);
await sleep(10000);
const to = Math.floor(Date.now() / 1000);

const filled = (query) => query.replaceAll('$namespace', '.*').replaceAll('$event', '.*').replaceAll('$__rate_interval', `${SCRAPE_S * 4}s`);
const named = (legend, metric) => legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label) => (label === 'instance' ? '' : metric[label] ?? '')).replace(`${EVENT} `, '').trim() || EVENT;

async function panelOf(dashboard, title) {
  const panel = dashboard.panels.find((one) => (title.endsWith(' (graph)') ? one.title === title.slice(0, -8) && one.type === 'timeseries' : one.title === title));
  const series = [];
  for (const { expr, legendFormat } of panel.targets) {
    for (const { metric, values } of await prometheus.range(filled(expr), from, to, STEP_S)) {
      const points = values.map(([seconds, value]) => [Number(seconds), Number(value)]).filter(([, value]) => Number.isFinite(value));
      const happened = panel.type === 'state-timeline' ? points.some(([, value]) => value === 1) : points.length > 0 && (points.some(([, value]) => value !== 0) || panel.type === 'stat');
      if (happened) series.push({ name: named(legendFormat, metric), points });
    }
  }
  return { title: panel.title, kind: panel.type, unit: panel.fieldConfig.defaults.unit, stack: panel.fieldConfig.defaults.custom?.stacking?.mode === 'normal', series };
}

const fired = await prometheus.range('max by (alertname) (ALERTS{alertstate="firing", severity="page"})', from, to, STEP_S);
const alerts = fired.map(({ metric, values }) => ({ name: metric.alertname, from: Number(values[0][0]), to: Number(values.at(-1)[0]) }));
for (const [name, dashboard, titles] of [['service', sre, SRE], ['sale', organizer, ORGANIZER]]) {
  const panels = [];
  for (const title of titles) panels.push(await panelOf(dashboard, title));
  writeFileSync(join(ROOT, `docs/monitoring-${name}.svg`), draw({ title: dashboard.title, panels: panels.filter(({ series }) => series.length > 0), from, to, step: STEP_S, alerts }));
}
await crowd.end('SIGKILL').catch(() => {});
for (const one of [prometheus, provider, ...Object.values(pods), redis, postgres]) await one.stop();
process.exit(0);
