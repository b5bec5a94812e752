// SPDX-License-Identifier: MIT
//
// Writes the dashboards of Grafana (10 or newer) beside this file, and is where they are changed: `make monitoring`. Written
// by a program, since a panel is thirty lines of JSON of which four matter.
//
// Variables: the data source; `namespace`, of which there may be none (then All, which matches a label that is missing); events.

import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCE = { type: 'prometheus', uid: '${datasource}' };
const NS = 'namespace=~"$namespace"';
const EV = `${NS}, event=~"$event"`;
const PROBES = 'route!~"/livez|/readyz|/health|/metrics"';

// ---- the parts of a dashboard ----

// A query: its text, and how its series are named.
const q = (expr, legend) => ({ expr: expr.replace(/\s+/g, ' ').trim(), legend });
const rate = (metric, labels = NS) => `rate(${metric}{${labels}}[$__rate_interval])`;
const quantile = (p, metric, labels = NS, by = 'le') => `histogram_quantile(${p}, sum by (${by}) (${rate(`${metric}_bucket`, labels)}))`;

// A graph. width: of 24 columns. max, min: of its axis. stack: series on top of each other.
const graph = (title, unit, description, queries, { width = 8, ...options } = {}) => ({ kind: 'timeseries', title, unit, description, queries, width, ...options });

// One number. steps: [from, colour] …, of which the first is [null, colour].
const number = (title, unit, description, queries, steps, { width = 4, ...options } = {}) => ({ kind: 'stat', title, unit, description, queries, width, steps, ...options });

// What held when: series that are 1 while their words hold.
const states = (title, description, queries, { width = 24 } = {}) => ({ kind: 'state-timeline', title, description, queries, width, unit: 'none' });

const row = (title) => ({ kind: 'row', title });

const GOOD = 'green';
const BAD = 'red';
const NEUTRAL = 'text';

function drawn(panel, id, x, y) {
  const height = panel.kind === 'stat' ? 4 : panel.kind === 'state-timeline' ? 6 : 8;
  const steps = (panel.steps ?? [[null, GOOD]]).map(([value, color]) => ({ value, color }));
  const defaults = { unit: panel.unit, min: panel.min, max: panel.max, thresholds: { mode: 'absolute', steps } };
  if (panel.kind === 'timeseries') {
    defaults.min ??= 0;
    defaults.custom = { fillOpacity: panel.stack ? 40 : 5, lineWidth: 2, showPoints: 'never', stacking: { mode: panel.stack ? 'normal' : 'none' } };
  }
  if (panel.kind === 'state-timeline') {
    defaults.custom = { fillOpacity: 70, lineWidth: 0 };
    defaults.mappings = [{ type: 'value', options: { 0: { text: ' ', color: 'transparent', index: 0 }, 1: { text: 'yes', color: 'blue', index: 1 } } }];
  }
  const options = {
    timeseries: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi', sort: 'desc' } },
    stat: { reduceOptions: { calcs: ['lastNotNull'] }, colorMode: 'value', graphMode: 'none', textMode: panel.textMode ?? 'value_and_name' },
    'state-timeline': { mergeValues: true, showValue: 'never', rowHeight: 0.8, legend: { showLegend: false } },
  };
  return {
    id, type: panel.kind, title: panel.title, description: panel.description, datasource: SOURCE,
    gridPos: { h: height, w: panel.width, x, y },
    fieldConfig: { defaults, overrides: [] },
    options: options[panel.kind],
    targets: panel.queries.map(({ expr, legend }, i) => ({
      refId: String.fromCharCode(65 + i), datasource: SOURCE, expr, legendFormat: legend ?? '', range: panel.kind !== 'stat', instant: panel.kind === 'stat',
    })),
  };
}

function laid(parts) {
  const panels = [];
  let [x, y, lowest] = [0, 0, 0];
  parts.forEach((part, i) => {
    const width = part.width ?? 24;
    if (part.kind === 'row' || x + width > 24) [x, y] = [0, lowest];
    if (part.kind === 'row') {
      panels.push({ id: i + 1, type: 'row', title: part.title, collapsed: false, panels: [], gridPos: { h: 1, w: 24, x: 0, y } });
      lowest = y += 1;
      return;
    }
    const panel = drawn(part, i + 1, x, y);
    panels.push(panel);
    x += width;
    lowest = Math.max(lowest, y + panel.gridPos.h);
  });
  return panels;
}

const variable = (name, label, query, multi) => ({
  name, label, type: 'query', datasource: SOURCE, query: { query, refId: name }, definition: query, refresh: 2, sort: 1,
  includeAll: true, allValue: '.*', multi, current: { text: multi ? ['All'] : 'All', value: multi ? ['$__all'] : '$__all' }, options: [], hide: 0,
});

function dashboard({ uid, title, description, refresh, from, parts }) {
  return {
    uid, title, description, tags: ['tiketi'], schemaVersion: 38, version: 1, editable: true, graphTooltip: 1, timezone: 'browser', refresh,
    time: { from, to: 'now' },
    links: [{ type: 'dashboards', title: 'tiketi', tags: ['tiketi'], asDropdown: false, includeVars: true, keepTime: true }],
    templating: {
      list: [
        { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus', current: {}, options: [], hide: 0, refresh: 1, multi: false, includeAll: false },
        variable('namespace', 'Deployment', 'label_values(tiketi_build_info, namespace)', false),
        variable('event', 'Event', `label_values(tiketi_event_waiting{${NS}}, event)`, true),
      ],
    },
    annotations: {
      list: [{
        name: 'Alerts', enable: true, hide: false, iconColor: 'red', datasource: SOURCE,
        expr: `ALERTS{${NS}, alertname=~"Tiketi.*", alertstate="firing", severity!="info"}`, titleFormat: '{{alertname}}', textFormat: '{{event}} {{pod}}', step: '15s',
      }],
    },
    panels: laid(parts),
  };
}

// ---- what is seen by the engineer ----

const queue = [
  graph('Waiting', 'short', 'Buyers in the queue of each event.', [q(`max by (event) (tiketi_event_waiting{${EV}})`, '{{event}}')]),
  graph('Inside, and allowed', 'short', 'Inside may touch the threshold in force and never cross it, except just after it was lowered. A gap while people wait is what "limited by" explains.', [
    q(`max by (event) (tiketi_event_inside{${EV}})`, '{{event}} inside'),
    q(`max by (event) (tiketi_event_threshold_in_force{${EV}})`, '{{event}} threshold in force'),
    q(`max by (event) (tiketi_event_threshold{${EV}})`, '{{event}} base threshold'),
  ]),
  graph('Joined and admitted', 'cps', 'Per second. Admitted without a queue is "direct".', [
    q(`sum by (event) (${rate('tiketi_event_joined_total', EV)})`, '{{event}} joined'),
    q(`sum by (event, kind) (${rate('tiketi_event_admitted_total', EV)})`, '{{event}} {{kind}}'),
  ]),
  states('Limited by', 'The one limit that keeps the next buyer out, of each event.', [q(`max by (event, reason) (tiketi_event_limited_by{${EV}})`, '{{event}} {{reason}}')], { width: 16 }),
  graph('How long buyers wait', 's', 'What the last in line is told now, and how long those waited who entered in the last five minutes.', [
    q(`max by (event) (tiketi_event_wait_estimate_seconds{${EV}})`, '{{event}} the last in line is told'),
    q(`histogram_quantile(0.5, sum by (event, le) (rate(tiketi_event_wait_seconds_bucket{${EV}}[5m])))`, '{{event}} half waited at most'),
    q(`histogram_quantile(0.9, sum by (event, le) (rate(tiketi_event_wait_seconds_bucket{${EV}}[5m])))`, '{{event}} nine in ten at most'),
  ]),
];

export const sre = dashboard({
  uid: 'tiketi-sre', title: 'tiketi: the service', refresh: '10s', from: 'now-1h',
  description: 'For the engineer on call. From top to bottom: is it well, what do buyers see, which backend, which pod.',
  parts: [
    row('Is it well?'),
    number('Alerts', 'none', 'Firing now, without mere facts of the sale.', [q(`count(ALERTS{${NS}, alertname=~"Tiketi.*", alertstate="firing", severity!="info"}) or vector(0)`, 'firing')], [[null, GOOD], [1, BAD]], { width: 3, textMode: 'value' }),
    number('Pods', 'none', 'Pods that answer the scrape.', [q(`count(tiketi_build_info{${NS}})`, 'pods')], [[null, BAD], [1, GOOD]], { width: 3, textMode: 'value' }),
    number('Silent events', 'none', 'Open events that no processor has ticked for three intervals.', [q(`max(tiketi_events_silent{${NS}})`, 'silent')], [[null, GOOD], [1, BAD]], { width: 3, textMode: 'value' }),
    number('Over the limit', 'none', 'Ticks that found more inside than allowed. Always 0.', [q(`sum(tiketi_over_admissions_total{${NS}})`, 'ticks')], [[null, GOOD], [1, BAD]], { width: 3, textMode: 'value' }),
    number('Redis', 'percentunit', 'The share of pods that reach it.', [q(`avg(tiketi_redis_up{${NS}})`, 'up')], [[null, BAD], [1, GOOD]], { width: 3, textMode: 'value' }),
    number('PostgreSQL', 'percentunit', 'The share of pods that reach it.', [q(`avg(tiketi_postgres_up{${NS}})`, 'up')], [[null, BAD], [1, GOOD]], { width: 3, textMode: 'value' }),
    number('Versions', 'none', 'More than one during a rollout.', [q(`count by (version, commit) (tiketi_build_info{${NS}})`, '{{version}} {{commit}}')], [[null, NEUTRAL]], { width: 6 }),

    row('The queue'),
    ...queue,
    graph('Ended turns', 'cps', 'Per second, by how they ended: bought (completed), left, idle, at the session limit, not claimed.', [q(`sum by (event, kind) (${rate('tiketi_event_ended_total', `${EV}, kind!="withdrawn"`)})`, '{{event}} {{kind}}')]),
    graph('Parked', 'short', 'Set aside with their places: silent when their turn came, or an offer not claimed.', [q(`max by (event) (tiketi_event_parked{${EV}})`, '{{event}}')]),
    graph('Estimates that were wrong', 's', 'By how much the waits of those who entered were longer, or shorter, than they were told: nine in ten by so much at most.', [
      q(`histogram_quantile(0.9, sum by (event, wait, le) (rate(tiketi_event_estimate_error_seconds_bucket{${EV}}[5m])))`, '{{event}} {{wait}}'),
    ]),

    row('HTTP'),
    graph('Requests', 'reqps', 'Buyers\' and staff\'s, without probes.', [q(`sum by (status) (rate(tiketi_http_requests_total{${NS}, ${PROBES}}[$__rate_interval]))`, '{{status}}')], { stack: true }),
    graph('Errors', 'reqps', 'By exact code. 503: a backend, or no room; 500: a fault; 429: a limit of one network.', [q(`sum by (status) (${rate('tiketi_http_errors_total')})`, '{{status}}')]),
    graph('Durations', 's', 'Of all routes but probes.', [
      q(quantile(0.5, 'tiketi_http_request_duration_seconds', `${NS}, ${PROBES}`), 'half at most'),
      q(quantile(0.99, 'tiketi_http_request_duration_seconds', `${NS}, ${PROBES}`), '99 in 100 at most'),
    ]),
    graph('Slowest routes', 's', '99 in 100 take at most so long.', [q(`topk(8, ${quantile(0.99, 'tiketi_http_request_duration_seconds', `${NS}, ${PROBES}`, 'route, le')})`, '{{route}}')]),
    graph('Requests in flight', 'short', 'Taken and not answered yet, by pod.', [q(`sum by (pod, instance) (tiketi_http_requests_in_flight{${NS}})`, '{{pod}} {{instance}}')]),
    graph('Connections', 'short', 'Open, and the most that there may be, by pod. Idle ones are shed before anybody is refused.', [
      q(`sum by (pod, instance) (tiketi_http_connections_open{${NS}})`, '{{pod}} {{instance}} open'),
      q(`sum by (pod, instance) (tiketi_http_connections_max{${NS}})`, '{{pod}} {{instance}} at most'),
    ]),
    graph('Connections refused and shed', 'cps', 'Refused: a newcomer found no room. Shed: an idle one was closed for a newcomer. Slow readers: ended because they did not read.', [
      q(`sum by (reason) (${rate('tiketi_http_connections_refused_total')})`, 'refused: {{reason}}'),
      q(`sum(${rate('tiketi_http_connections_shed_total')})`, 'shed'),
      q(`sum(${rate('tiketi_http_slow_readers_total')})`, 'slow readers'),
    ]),
    graph('Requests shed', 'reqps', 'Told to come again, because requests wait too long: newcomers, and buyers with a place.', [
      q(`sum by (who) (${rate('tiketi_requests_shed_total')})`, '{{who}}'),
    ]),
    graph('Places refused', 'cps', 'Joins of networks that have all their places.', [q(`sum(${rate('tiketi_places_refused_total')})`, 'refused')]),

    row('Sockets'),
    graph('Sockets', 'short', 'Open, and the most that there may be, by pod.', [
      q(`sum by (pod, instance) (tiketi_websocket_open{${NS}})`, '{{pod}} {{instance}} open'),
      q(`sum by (pod, instance) (tiketi_websocket_max{${NS}})`, '{{pod}} {{instance}} at most'),
    ]),
    graph('Opened and closed', 'cps', 'By reason. "lost": without a close frame, as when a proxy cuts idle sockets.', [
      q(`sum(${rate('tiketi_websocket_opened_total')})`, 'opened'),
      q(`sum by (reason) (${rate('tiketi_websocket_closed_total')})`, 'closed: {{reason}}'),
    ]),
    graph('Refused handshakes', 'cps', 'By reason.', [q(`sum by (reason) (${rate('tiketi_websocket_refused_total')})`, '{{reason}}')]),

    row('Redis and PostgreSQL'),
    graph('Redis: durations', 's', 'Of its commands, as pods see them.', [
      q(quantile(0.5, 'tiketi_redis_duration_seconds'), 'half at most'), q(quantile(0.99, 'tiketi_redis_duration_seconds'), '99 in 100 at most'),
    ]),
    graph('Redis: commands', 'ops', 'Per second, by pod.', [q(`sum by (pod, instance) (${rate('tiketi_redis_duration_seconds_count')})`, '{{pod}} {{instance}}')]),
    graph('Redis: errors and problems', 'short', 'Errors per second by kind; a problem is 1 while it lasts.', [
      q(`sum by (kind) (${rate('tiketi_redis_errors_total')})`, 'errors: {{kind}}'), q(`max by (kind) (tiketi_redis_problem{${NS}})`, 'problem: {{kind}}'), q(`max by (kind) (tiketi_redis_risk{${NS}})`, 'risk: {{kind}}'),
    ]),
    graph('PostgreSQL: durations', 's', 'Of its statements, as pods see them.', [
      q(quantile(0.5, 'tiketi_postgres_duration_seconds'), 'half at most'), q(quantile(0.99, 'tiketi_postgres_duration_seconds'), '99 in 100 at most'),
    ]),
    graph('PostgreSQL: connections', 'short', 'Of all pods: open, in use, and the most that there may be.', [
      q(`sum(tiketi_postgres_pool_in_use{${NS}})`, 'in use'), q(`sum(tiketi_postgres_pool_size{${NS}})`, 'open'), q(`sum(tiketi_postgres_pool_max{${NS}})`, 'at most'),
    ]),
    graph('PostgreSQL: waiting and errors', 'short', 'Statements that wait for a connection now, how long, and errors per second by kind.', [
      q(`sum(tiketi_postgres_pool_waiting{${NS}})`, 'waiting'), q(quantile(0.99, 'tiketi_postgres_pool_wait_seconds'), '99 in 100 waited, in seconds, at most'),
      q(`sum by (kind) (${rate('tiketi_postgres_errors_total')})`, 'errors: {{kind}}'),
    ]),

    row('The processor'),
    states('Who holds the lease', 'Of each event; exactly one pod at a time.', [q(`max by (event, pod, instance) (tiketi_event_lease_held{${EV}})`, '{{event}} {{pod}} {{instance}}')], { width: 12 }),
    graph('Ages', 's', 'Of the last tick and of the rank index.', [
      q(`max by (event) (tiketi_event_tick_age_seconds{${EV}})`, '{{event}} tick'), q(`max by (event) (tiketi_event_index_age_seconds{${EV}})`, '{{event}} index'),
    ], { width: 6 }),
    graph('Ledger', 's', 'Age of the oldest entry of the log that is not in PostgreSQL yet.', [q(`max by (event) (tiketi_event_ledger_lag_seconds{${EV}})`, '{{event}}')], { width: 6 }),
    graph('Ticks', 's', 'How long a tick takes.', [q(quantile(0.99, 'tiketi_tick_duration_seconds'), '99 in 100 at most')]),
    graph('Leases lost', 'cps', 'By reason.', [q(`sum by (reason) (${rate('tiketi_lease_lost_total')})`, '{{reason}}')]),
    graph('Mail', 'short', 'In the outbox.', [q(`max by (status) (tiketi_outbox_mails{${NS}})`, '{{status}}'), q(`max(tiketi_outbox_oldest_seconds{${NS}})`, 'age of the oldest, in seconds')]),

    row('Pods'),
    graph('CPU', 'percentunit', 'Of the cores that the pod may use.', [q(`sum by (pod, instance) (${rate('process_cpu_seconds_total', `${NS}, job=~".*tiketi.*"`)}) / sum by (pod, instance) (tiketi_cpus{${NS}})`, '{{pod}} {{instance}}')], { max: 1 }),
    graph('Busy loops', 'percentunit', 'The share of time in which a worker, which is one thread, is busy.', [q(`sum by (pod, instance, worker) (${rate('tiketi_loop_busy_seconds_total')})`, '{{pod}} {{instance}} {{worker}}')], { max: 1 }),
    graph('Late loops', 's', 'The latest timer of the last ten seconds.', [q(`max by (pod, instance, worker) (tiketi_loop_lag_seconds{${NS}})`, '{{pod}} {{instance}} {{worker}}')]),
    graph('Memory', 'bytes', 'Resident.', [q(`sum by (pod, instance) (process_resident_memory_bytes{${NS}, job=~".*tiketi.*"})`, '{{pod}} {{instance}}')]),
    graph('Open files', 'percentunit', 'Of the limit.', [q(`sum by (pod, instance) (process_open_fds{${NS}, job=~".*tiketi.*"}) / sum by (pod, instance) (process_max_fds{${NS}, job=~".*tiketi.*"})`, '{{pod}} {{instance}}')], { max: 1 }),
    graph('Clocks', 's', 'The pod\'s clock less Redis\'.', [q(`max by (pod, instance) (tiketi_clock_skew_seconds{${NS}})`, '{{pod}} {{instance}}')], { min: null }),
  ],
});

// ---- what is seen by the organizer ----

export const organizer = dashboard({
  uid: 'tiketi-organizer', title: 'tiketi: the sale', refresh: '5s', from: 'now-30m',
  description: 'For the organizer, on a screen in the office. The console shows the same figures of one event, and can act on them.',
  parts: [
    number('Waiting', 'short', 'In the queue now.', [q(`max by (event) (tiketi_event_waiting{${EV}})`, '{{event}}')], [[null, NEUTRAL]], { width: 4 }),
    number('Inside', 'short', 'Buyers who choose and pay now.', [q(`max by (event) (tiketi_event_inside{${EV}})`, '{{event}}')], [[null, NEUTRAL]], { width: 4 }),
    number('The last in line waits', 's', 'The estimate that they are shown.', [q(`max by (event) (tiketi_event_wait_estimate_seconds{${EV}})`, '{{event}}')], [[null, NEUTRAL]], { width: 4 }),
    number('Seats left', 'short', 'Free now.', [q(`max by (event) (tiketi_event_seats{${EV}, state="free"})`, '{{event}}')], [[null, BAD], [1, GOOD]], { width: 4 }),
    number('Sold', 'short', 'Seats.', [q(`max by (event) (tiketi_event_seats{${EV}, state="sold"})`, '{{event}}')], [[null, NEUTRAL]], { width: 4 }),
    number('Revenue', 'short', 'In the currency\'s own units.', [q(`max by (event, currency) (tiketi_event_revenue{${EV}})`, '{{event}} {{currency}}')], [[null, NEUTRAL]], { width: 4 }),
    states('Where the sale stands', 'The status of each event.', [q(`max by (event, status) (tiketi_event_status{${EV}})`, '{{event}} {{status}}')], { width: 12 }),
    states('Why nobody more enters', 'The one limit that keeps the next buyer out. "empty": nobody waits.', [q(`max by (event, reason) (tiketi_event_limited_by{${EV}})`, '{{event}} {{reason}}')], { width: 12 }),
    ...queue.filter((panel) => panel.kind === 'timeseries'),
    graph('Seats', 'short', 'Free, held by buyers who are choosing or paying, sold, and taken from sale.', [q(`max by (event, state) (tiketi_event_seats{${EV}})`, '{{event}} {{state}}')], { stack: true }),
    graph('Admitted a minute', 'short', 'From the queue and directly.', [q(`60 * sum by (event) (tiketi_event_admissions_per_second{${EV}})`, '{{event}}')]),
    graph('How turns ended', 'short', 'Since the sale began: bought (completed), left, idle, at the session limit, not claimed.', [q(`sum by (event, kind) (tiketi_event_ended_total{${EV}, kind!="withdrawn"})`, '{{event}} {{kind}}')]),
  ],
});

export const DASHBOARDS = { 'sre.json': sre, 'organizer.json': organizer };

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const folder = dirname(fileURLToPath(import.meta.url));
  for (const [name, one] of Object.entries(DASHBOARDS)) writeFileSync(join(folder, name), `${JSON.stringify(one, null, 2)}\n`);
}
