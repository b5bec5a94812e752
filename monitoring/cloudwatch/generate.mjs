// SPDX-License-Identifier: MIT
//
// The alerts of ../rules/tiketi.rules.yaml as alarms of CloudWatch. Writes, and is where they are changed (`make monitoring`):
//
//   agent.json    for the CloudWatch agent: which metrics of a scrape become metrics of CloudWatch, with which dimensions
//   alarms.json   a CloudFormation template: the alarms, and the way to Discord
//
// CloudWatch joins no series, so an alarm looks at the worst pod (Maximum, Minimum) or at all of them (Sum). The agent
// makes differences of counters at each scrape, which is every 15 seconds, and takes no histograms.

import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const FOLDER = dirname(fileURLToPath(import.meta.url));
const NAMESPACE = 'tiketi';
const SCRAPES = 4; // in a minute
const PERIOD = 60; // s; the shortest of alarms on metrics of standard resolution

// A metric as an alarm sees it. labels: dimensions beside ClusterName; true: the value is a parameter of the template.
const of = (metric, stat, labels = {}) => ({ metric, stat, labels });
const above = (threshold) => ({ threshold, operator: 'GreaterThanThreshold' });
const below = (threshold) => ({ threshold, operator: 'LessThanThreshold' });

const EVENT = { event: { Ref: 'EventId' } };
const ALL = of('tiketi_http_requests_total', 'Sum');
const PODS = of('tiketi_build_info', 'SampleCount');

// minutes: for how long. missing: what it means that nothing is measured (notBreaching unless said). needs: a condition of the template.
export const ALARMS = {
  TiketiOverAdmission: { severity: 'page', anchor: 'more-inside-than-allowed', metrics: { m: of('tiketi_over_admissions_total', 'Sum') }, is: above(0) },
  TiketiNoTick: { severity: 'page', anchor: 'no-processor', metrics: { m: of('tiketi_events_silent', 'Maximum') }, is: above(0) },
  TiketiLeaseMissing: { severity: 'page', anchor: 'no-processor', metrics: { m: of('tiketi_event_lease_held', 'Maximum', EVENT) }, is: below(1), missing: 'breaching', needs: 'HasEvent' },
  TiketiNobodyAdmitted: {
    severity: 'page', anchor: 'nobody-is-admitted-although-there-is-room', minutes: 3, needs: 'HasEvent',
    metrics: {
      waiting: of('tiketi_event_waiting', 'Minimum', EVENT), inside: of('tiketi_event_inside', 'Maximum', EVENT), allowed: of('tiketi_event_threshold_in_force', 'Minimum', EVENT),
      admitted: of('tiketi_event_admitted_total', 'Sum', EVENT), no_other: of('tiketi_event_limited_by', 'Minimum', { ...EVENT, reason: 'threshold' }),
    },
    math: 'IF(waiting > 0 AND allowed > inside AND FILL(admitted, 0) == 0 AND no_other == 1, 1, 0)', is: above(0),
  },
  TiketiQueueLong: { severity: 'ticket', anchor: 'the-queue-is-long', metrics: { m: of('tiketi_event_waiting', 'Maximum') }, is: above(10000) },
  TiketiSeatsHeld: { severity: 'info', anchor: 'all-seats-are-held-or-sold', metrics: { m: of('tiketi_event_limited_by', 'Minimum', { ...EVENT, reason: 'seats' }) }, is: above(0), needs: 'HasEvent' },
  TiketiSoldOut: { severity: 'info', anchor: 'all-seats-are-held-or-sold', metrics: { m: of('tiketi_event_status', 'Maximum', { ...EVENT, status: 'sold_out' }) }, is: above(0), needs: 'HasEvent' },
  TiketiIndexOld: { severity: 'ticket', anchor: 'positions-stand-still', metrics: { m: of('tiketi_event_index_age_seconds', 'Maximum') }, is: above(10) },
  TiketiLedgerLag: { severity: 'page', anchor: 'the-ledger-is-behind', metrics: { m: of('tiketi_event_ledger_lag_seconds', 'Maximum') }, is: above(30) },
  // Of the load balancer: the agent takes no histograms.
  TiketiHttpSlow: {
    severity: 'page', anchor: 'requests-are-slow', needs: 'HasLoadBalancer',
    metrics: { m: { namespace: 'AWS/ApplicationELB', metric: 'TargetResponseTime', stat: 'p99', dimensions: [{ Name: 'LoadBalancer', Value: { Ref: 'LoadBalancer' } }] } }, is: above(1),
  },
  TiketiHttpErrors: {
    severity: 'page', anchor: 'requests-fail', metrics: { all: ALL, bad: of('tiketi_http_requests_total', 'Sum', { status: '5xx' }) },
    math: `IF(all > ${PERIOD}, bad / all, 0)`, is: above(0.02),
  },
  TiketiInternalErrors: { severity: 'ticket', anchor: 'requests-fail', metrics: { m: of('tiketi_http_errors_total', 'Sum', { status: '500' }) }, is: above(0) },
  TiketiRequestsLimited: {
    severity: 'ticket', anchor: 'limits-refuse-many', minutes: 2, metrics: { all: ALL, limited: of('tiketi_http_errors_total', 'Sum', { status: '429' }) },
    math: `IF(all > ${PERIOD}, limited / all, 0)`, is: above(0.1),
  },
  TiketiOverloaded: {
    severity: 'page', anchor: 'too-many-come-at-once',
    metrics: { newcomers: of('tiketi_requests_shed_total', 'Sum', { who: 'newcomer' }), returning: of('tiketi_requests_shed_total', 'Sum', { who: 'returning' }) },
    math: 'FILL(newcomers, 0) + FILL(returning, 0)', is: above(0),
  },
  TiketiConnectionsNearLimit: {
    severity: 'ticket', anchor: 'connections-or-sockets-run-out', metrics: { open: of('tiketi_http_connections_open', 'Maximum'), most: of('tiketi_http_connections_max', 'Maximum') }, // of the api pods: others take 256
    math: 'open / most', is: above(0.8),
  },
  TiketiConnectionsRefused: {
    severity: 'page', anchor: 'connections-or-sockets-run-out',
    metrics: { limit: of('tiketi_http_connections_refused_total', 'Sum', { reason: 'limit' }), memory: of('tiketi_http_connections_refused_total', 'Sum', { reason: 'memory' }) },
    math: 'FILL(limit, 0) + FILL(memory, 0)', is: above(0),
  },
  TiketiSocketsNearLimit: {
    severity: 'ticket', anchor: 'connections-or-sockets-run-out', metrics: { open: of('tiketi_websocket_open', 'Maximum'), most: of('tiketi_websocket_max', 'Maximum') },
    math: 'open / most', is: above(0.8),
  },
  TiketiSocketsDrop: {
    severity: 'ticket', anchor: 'sockets-drop', metrics: { open: of('tiketi_websocket_open', 'Sum'), lost: of('tiketi_websocket_closed_total', 'Sum', { reason: 'lost' }) },
    math: `IF(open / ${SCRAPES} > 10, lost / (open / ${SCRAPES}), 0)`, is: above(0.5),
  },
  TiketiRedisDown: { severity: 'page', anchor: 'redis-is-down', metrics: { m: of('tiketi_redis_up', 'Minimum') }, is: below(1) },
  TiketiRedisProblem: { severity: 'page', anchor: 'redis-is-not-as-tiketi-needs-it', metrics: { m: of('tiketi_redis_problem', 'Maximum') }, is: above(0) },
  TiketiRedisAtRisk: { severity: 'ticket', anchor: 'redis-has-no-second-copy', minutes: 5, metrics: { m: of('tiketi_redis_risk', 'Maximum') }, is: above(0) },
  TiketiRedisErrors: { severity: 'ticket', anchor: 'redis-fails-over', metrics: { m: of('tiketi_redis_errors_total', 'Sum') }, is: above(0) },
  TiketiPostgresDown: { severity: 'page', anchor: 'postgresql-is-down', metrics: { m: of('tiketi_postgres_up', 'Minimum') }, is: below(1) },
  TiketiPostgresErrors: { severity: 'ticket', anchor: 'postgresql-is-slow', metrics: { m: of('tiketi_postgres_errors_total', 'Sum') }, is: above(0) },
  TiketiPoolExhausted: { severity: 'page', anchor: 'postgresql-is-slow', minutes: 2, metrics: { m: of('tiketi_postgres_pool_waiting', 'Maximum') }, is: above(0) },
  TiketiOutboxLate: { severity: 'ticket', anchor: 'mail-is-late-or-was-given-up', metrics: { m: of('tiketi_outbox_oldest_seconds', 'Maximum') }, is: above(600) },
  TiketiMailParked: { severity: 'ticket', anchor: 'mail-is-late-or-was-given-up', metrics: { m: of('tiketi_outbox_mails', 'Maximum', { status: 'parked' }) }, is: above(0) },
  TiketiWebhookFails: { severity: 'ticket', anchor: 'a-webhook-fails-or-was-given-up', metrics: { m: of('tiketi_webhook_failing_seconds', 'Maximum') }, is: above(3600) },
  TiketiWebhookParked: { severity: 'ticket', anchor: 'a-webhook-fails-or-was-given-up', metrics: { m: of('tiketi_webhooks', 'Maximum', { state: 'parked' }) }, is: above(0) },
  TiketiRefundsDue: { severity: 'ticket', anchor: 'buyers-are-owed-money', metrics: { m: of('tiketi_refunds_total', 'Sum', { state: 'due' }) }, is: above(0) },
  TiketiAbsent: { severity: 'page', anchor: 'pods-are-missing', metrics: { m: PODS }, is: below(1), missing: 'breaching' },
  TiketiPodsDown: { severity: 'page', anchor: 'pods-are-missing', metrics: { m: PODS }, math: `m / ${SCRAPES}`, is: { threshold: { Ref: 'PodsAtLeast' }, operator: 'LessThanThreshold' }, missing: 'breaching' },
  TiketiPodDown: { severity: 'ticket', anchor: 'pods-are-missing', minutes: 2, metrics: { m: PODS }, math: `m / ${SCRAPES}`, is: { threshold: { Ref: 'Pods' }, operator: 'LessThanThreshold' }, missing: 'breaching' },
  TiketiCpuHigh: {
    severity: 'ticket', anchor: 'a-pod-is-at-its-limit', metrics: { used: of('process_cpu_seconds_total', 'Maximum'), cores: of('tiketi_cpus', 'Minimum') },
    math: `used / ${PERIOD / SCRAPES} / cores`, is: above(0.8),
  },
  TiketiLoopBusy: { severity: 'ticket', anchor: 'a-pod-is-at-its-limit', metrics: { busy: of('tiketi_loop_busy_seconds_total', 'Maximum') }, math: `busy / ${PERIOD / SCRAPES}`, is: above(0.9) },
  TiketiLoopLag: { severity: 'ticket', anchor: 'a-pod-is-at-its-limit', metrics: { m: of('tiketi_loop_lag_seconds', 'Maximum') }, is: above(0.5) },
  TiketiFilesNearLimit: {
    severity: 'ticket', anchor: 'connections-or-sockets-run-out', metrics: { open: of('process_open_fds', 'Maximum'), most: of('process_max_fds', 'Minimum') },
    math: 'open / most', is: above(0.8),
  },
  TiketiClockSkew: {
    severity: 'page', anchor: 'clocks-differ', metrics: { ahead: of('tiketi_clock_skew_seconds', 'Maximum'), behind: of('tiketi_clock_skew_seconds', 'Minimum') },
    math: 'MAX([ABS(ahead), ABS(behind)])', is: above(30),
  },
};

// Alerts without an alarm, and why.
export const WITHOUT = {
  TiketiRedisSlow: 'The agent takes no histograms. Watch the latencies that ElastiCache measures itself.',
  TiketiPostgresSlow: 'The agent takes no histograms. TiketiPoolExhausted sees what it leads to, and RDS measures its own latency and load.',
  TiketiPodRestarts: 'CloudWatch does not compare times of start. Container Insights counts restarts (pod_number_of_container_restarts).',
  TiketiVersionMix: 'CloudWatch compares no labels. `kubectl rollout status` tells it.',
};

// ---- the agent's configuration ----

const used = Object.values(ALARMS).flatMap(({ metrics }) => Object.values(metrics)).filter(({ namespace }) => !namespace);

export function agent() {
  // The metrics of each set of dimensions, in one declaration.
  const sets = new Map();
  for (const { metric, labels } of used) {
    const key = ['ClusterName', ...Object.keys(labels)].join();
    sets.set(key, (sets.get(key) ?? new Set()).add(metric));
  }
  return {
    agent: { metrics_collection_interval: PERIOD / SCRAPES },
    logs: {
      metrics_collected: {
        prometheus: {
          cluster_name: 'tiketi',
          log_group_name: '/tiketi/prometheus',
          prometheus_config_path: '/opt/aws/amazon-cloudwatch-agent/etc/prometheus.yaml',
          emf_processor: {
            metric_namespace: NAMESPACE,
            metric_declaration_dedup: true,
            metric_declaration: [...sets].map(([dimensions, metrics]) => ({
              source_labels: ['job'], label_matcher: '.*tiketi.*', dimensions: [dimensions.split(',')],
              metric_selectors: [...metrics].sort().map((name) => `^${name}$`),
            })),
          },
        },
      },
    },
  };
}

// ---- the template ----

const TOPICS = { page: 'PageTopic', ticket: 'TicketTopic', info: 'InfoTopic' };

function stat({ namespace = NAMESPACE, metric, stat: Stat, labels, dimensions }) {
  const Dimensions = dimensions ?? [{ Name: 'ClusterName', Value: { Ref: 'ClusterName' } }, ...Object.entries(labels).map(([Name, Value]) => ({ Name, Value }))];
  return { Metric: { Namespace: namespace, MetricName: metric, Dimensions }, Period: PERIOD, Stat };
}

function alarm(name, { severity, anchor, metrics, math, is, minutes = 1, missing = 'notBreaching', needs }) {
  const ids = Object.keys(metrics);
  const Metrics = ids.map((Id) => ({ Id, MetricStat: stat(metrics[Id]), ReturnData: math === undefined }));
  if (math !== undefined) Metrics.push({ Id: 'result', Expression: math, Label: name, ReturnData: true });
  return {
    Type: 'AWS::CloudWatch::Alarm',
    ...(needs && { Condition: needs }),
    Properties: {
      AlarmName: { 'Fn::Sub': `\${ClusterName}-${name}` },
      AlarmDescription: { 'Fn::Sub': `What to do: \${Runbook}#${anchor}` },
      Metrics, Threshold: is.threshold, ComparisonOperator: is.operator,
      EvaluationPeriods: minutes, DatapointsToAlarm: minutes, TreatMissingData: missing,
      AlarmActions: [{ Ref: TOPICS[severity] }],
      ...(severity !== 'info' && { OKActions: [{ Ref: TOPICS[severity] }] }),
    },
  };
}

function forwarder(severity) {
  const topic = TOPICS[severity];
  const name = `${topic.replace('Topic', '')}Forwarder`;
  const url = severity === 'page' ? 'DiscordOnCallUrl' : 'DiscordTeamUrl';
  return {
    [topic]: { Type: 'AWS::SNS::Topic', Properties: { Subscription: [{ Protocol: 'lambda', Endpoint: { 'Fn::GetAtt': [name, 'Arn'] } }] } },
    [name]: {
      Type: 'AWS::Lambda::Function',
      Properties: {
        Runtime: 'nodejs22.x', Handler: 'index.handler', Timeout: 10, Role: { 'Fn::GetAtt': ['ForwarderRole', 'Arn'] },
        Code: { ZipFile: readFileSync(join(FOLDER, 'discord.cjs'), 'utf8') },
        Environment: { Variables: { SEVERITY: severity.toUpperCase(), DISCORD_URL: { Ref: url } } },
      },
    },
    [`${name}Permission`]: {
      Type: 'AWS::Lambda::Permission',
      Properties: { Action: 'lambda:InvokeFunction', FunctionName: { Ref: name }, Principal: 'sns.amazonaws.com', SourceArn: { Ref: topic } },
    },
  };
}

const text = (Description, more = {}) => ({ Type: 'String', Description, ...more });

export function template() {
  return {
    AWSTemplateFormatVersion: '2010-09-09',
    Description: 'tiketi: alarms of CloudWatch, and the way to Discord. Made by monitoring/cloudwatch/generate.mjs.',
    Metadata: { WithoutAlarm: WITHOUT },
    Parameters: {
      ClusterName: text('As cluster_name in the configuration of the CloudWatch agent.', { Default: 'tiketi' }),
      EventId: text('The event of tonight: alarms that are about one event are made for it. Take it out after the sale.', { Default: '' }),
      LoadBalancer: text('The full name of the Application Load Balancer (app/name/id), for the time that requests take.', { Default: '' }),
      Pods: { Type: 'Number', Default: 6, MinValue: 1, Description: 'Pods of all roles that should run.' },
      PodsAtLeast: { Type: 'Number', Default: 4, MinValue: 1, Description: 'Fewer than these page somebody.' },
      Runbook: text('The address at which your people read docs/runbook.md.', { Default: 'https://example.com/tiketi/runbook' }),
      DiscordOnCallUrl: text('Webhook of the channel of those on call.', { NoEcho: true }),
      DiscordTeamUrl: text('Webhook of the team\'s channel.', { NoEcho: true }),
    },
    Conditions: {
      HasEvent: { 'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'EventId' }, ''] }] },
      HasLoadBalancer: { 'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'LoadBalancer' }, ''] }] },
    },
    Resources: {
      ...Object.assign({}, ...Object.keys(TOPICS).map(forwarder)),
      ForwarderRole: {
        Type: 'AWS::IAM::Role',
        Properties: {
          AssumeRolePolicyDocument: { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' }] },
          ManagedPolicyArns: [{ 'Fn::Sub': 'arn:${AWS::Partition}:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole' }],
        },
      },
      ...Object.fromEntries(Object.entries(ALARMS).map(([name, one]) => [name, alarm(name, one)])),
    },
    Outputs: Object.fromEntries(Object.values(TOPICS).map((topic) => [topic, { Description: 'For a pager, or others who want to know.', Value: { Ref: topic } }])),
  };
}

export const FILES = { 'agent.json': agent, 'alarms.json': template };

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [name, make] of Object.entries(FILES)) writeFileSync(join(FOLDER, name), `${JSON.stringify(make(), null, 2)}\n`);
}
