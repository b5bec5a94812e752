// SPDX-License-Identifier: MIT
//
// The rules of monitoring/: each alert fires on what it is for, leads to its part of the runbook, and reaches Discord through
// a real Alertmanager, unless its cause is known there already. No server of tiketi runs here.

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parse, parseAllDocuments } from 'yaml';
import { ALARMS, FILES, WITHOUT } from '../../monitoring/cloudwatch/generate.mjs';
import { DASHBOARDS } from '../../monitoring/grafana/generate.mjs';
import { Alertmanager, Discord, MONITORING, ROOT, RULES, exchange, privateFolder, removeFolder, run, staysTrueFor, waitUntil } from '../fixtures/index.mjs';

const read = (path) => readFileSync(join(MONITORING, path), 'utf8');
const rules = parse(read('rules/tiketi.rules.yaml')).groups.flatMap((group) => group.rules);
const alerts = rules.filter((rule) => rule.alert);
const testFiles = readdirSync(join(MONITORING, 'tests')).map((name) => join(MONITORING, 'tests', name));
const tests = testFiles.flatMap((path) => parse(readFileSync(path, 'utf8')).tests);

let folder;
let discord;
let alertmanager;
before(async () => {
  folder = privateFolder('rules');
  discord = await Discord.start();
  alertmanager = await Alertmanager.start({ discord });
});
after(async () => {
  await alertmanager.stop();
  await discord.stop();
  removeFolder(folder);
});

test('Prometheus takes the rules, and its example configuration', async () => {
  for (const args of [['check', 'rules', RULES], ['check', 'config', join(MONITORING, 'prometheus.yml')]]) {
    const { code, stdout, stderr } = await run('promtool', ...args);
    assert.equal(code, 0, stdout + stderr);
  }
});

test('each alert fires on its series, in time, and not on those that are well', async () => {
  const { code, stdout, stderr } = await run('promtool', 'test', 'rules', ...testFiles);
  assert.equal(code, 0, stdout + stderr);
});

test('each alert has a test in which it is silent and one in which it fires', () => {
  const looks = tests.flatMap((one) => one.alert_rule_test);
  for (const { alert } of alerts) {
    const own = looks.filter((look) => look.alertname === alert);
    assert.ok(own.some((look) => look.exp_alerts.length === 0), `${alert} is never silent`);
    assert.ok(own.some((look) => look.exp_alerts.length > 0), `${alert} never fires`);
  }
  for (const { alertname } of looks) assert.ok(alerts.some(({ alert }) => alert === alertname), `there is no alert ${alertname}`);
});

// The tests are worth something only if they fail for rules that are wrong.
test('the tests notice an alert that is too late, too early, blind or rude', async () => {
  const text = read('rules/tiketi.rules.yaml');
  const mutants = [
    ['too late', 'tiketi_events_silent) > 0\n        for: 10s', 'tiketi_events_silent) > 0\n        for: 2m', 'queue'],
    ['too early', 'tiketi_redis_up == 0)\n        for: 15s', 'tiketi_redis_up == 0)', 'backends'],
    ['blind to the state of the event', '{reason!~"threshold|backend"}', '{reason="none"}', 'queue'],
    ['rude: it counts those who left by closing', 'closed_total{reason="lost"}', 'closed_total', 'http'],
    ['it pages when all is over', 'and on (namespace) namespace:tiketi_http_errors:ratio30s > 0.02', '', 'http'],
    ['probes count as buyers', 'route!~"/livez|/readyz|/health|/metrics"', 'route!~"none"', 'http'],
    ['another program counts as ours', '{job=~".*tiketi.*"} == 0)\n          / on', ' == 0)\n          / on', 'pods'],
  ];
  for (const [what, from, to, file] of mutants) {
    assert.ok(text.includes(from), `the rules have no ${from}`);
    const path = join(folder, 'mutant.rules.yaml');
    writeFileSync(path, text.replaceAll(from, to));
    const copy = join(folder, `${file}.yaml`);
    writeFileSync(copy, read(`tests/${file}.yaml`).replace('../rules/tiketi.rules.yaml', path));
    const { code } = await run('promtool', 'test', 'rules', copy);
    assert.notEqual(code, 0, `nobody noticed: ${what}`);
  }
});

test('each alert says how urgent it is, what is wrong, how wrong, and where the runbook tells what to do', () => {
  const runbook = readFileSync(join(ROOT, 'docs/runbook.md'), 'utf8');
  const sections = new Map(runbook.split(/^## /m).slice(1).map((section) => {
    const heading = section.split('\n')[0];
    return [heading.trim().toLowerCase().replace(/[^\p{L}\p{N} _-]/gu, '').replaceAll(' ', '-'), section];
  }));
  assert.equal(new Set(alerts.map(({ alert }) => alert)).size, alerts.length, 'two alerts have one name');
  for (const { alert, labels, annotations } of alerts) {
    assert.match(alert, /^Tiketi[A-Z]\w+$/);
    assert.ok(['page', 'ticket', 'info'].includes(labels.severity), `${alert}: ${labels.severity}`);
    assert.ok(annotations.summary && annotations.description, alert);
    assert.ok(/\$value|\$labels/.test(annotations.summary + annotations.description) || ['TiketiAbsent', 'TiketiSoldOut', 'TiketiPodDown', 'TiketiRedisProblem'].includes(alert),
      `${alert} tells no value`);
    const [, anchor] = annotations.runbook_url.match(/^\{\{ or \$externalLabels\.runbook "docs\/runbook\.md" \}\}#([\w-]+)$/) ?? [];
    assert.ok(anchor, `${alert}: ${annotations.runbook_url}`);
    assert.ok(sections.get(anchor)?.includes(`\`${alert}\``), `docs/runbook.md#${anchor} does not tell of ${alert}`);
  }
  for (const [, named] of runbook.matchAll(/`(Tiketi[A-Z]\w+)`/g)) assert.ok(alerts.some(({ alert }) => alert === named), `the runbook tells of ${named}, which is no alert`);
});

test('where Prometheus has no label runbook, the link is the path of the file', async () => {
  const path = join(folder, 'without.yaml');
  writeFileSync(path, read('tests/promises.yaml').replaceAll(/ +external_labels: .*\n/g, '').replaceAll('https://example.com/runbook', 'docs/runbook.md')
    .replace('../rules', join(MONITORING, 'rules')));
  const { code, stdout, stderr } = await run('promtool', 'test', 'rules', path);
  assert.equal(code, 0, stdout + stderr);
});

test('the discovery of Kubernetes finds every pod of k8s/base, at one port', () => {
  const [{ relabel_configs: steps }] = parse(read('kubernetes.scrape.yaml')).scrape_configs;
  const port = readFileSync(join(ROOT, 'k8s/base/settings.env'), 'utf8').match(/^METRICS_PORT=(\d+)$/m)[1];
  const label = (name) => `__meta_kubernetes_pod_${name.replaceAll(/[./-]/g, '_')}`;
  const deployments = readdirSync(join(ROOT, 'k8s/base')).filter((name) => name.endsWith('.yaml'))
    .flatMap((name) => parseAllDocuments(readFileSync(join(ROOT, 'k8s/base', name), 'utf8')).map((document) => document.toJS())).filter((one) => one?.kind === 'Deployment');
  assert.equal(deployments.length, 3);
  for (const { metadata, spec: { template } } of deployments) {
    let found = 0;
    for (const { containerPort } of template.spec.containers.flatMap(({ ports }) => ports)) {
      const labels = { __meta_kubernetes_pod_phase: 'Running', __meta_kubernetes_pod_container_port_number: String(containerPort) };
      for (const [name, value] of Object.entries(template.metadata.labels)) labels[label(`label_${name}`)] = value;
      for (const [name, value] of Object.entries(template.metadata.annotations)) labels[label(`annotation_${name}`)] = value;
      const kept = steps.every(({ action, source_labels: [source], regex, target_label: target }) => {
        const matches = new RegExp(`^(?:${regex})$`).test(labels[source] ?? '');
        return action === 'keep' ? matches : action === 'drop' ? !matches : action === 'keepequal' ? labels[source] === labels[target] : true;
      });
      if (kept) assert.equal(String(containerPort), port, metadata.name);
      found += kept;
    }
    assert.equal(found, 1, `${metadata.name}: ${found} targets`);
  }
});

// ---- Alertmanager ----

test('amtool takes the configuration, and routes by severity', async () => {
  const file = join(MONITORING, 'alertmanager/alertmanager.yaml');
  const checked = await run('amtool', 'check-config', file);
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  for (const [severity, receiver] of [['page', 'discord-on-call'], ['ticket', 'discord-team'], ['info', 'discord-facts']]) {
    const routed = await run('amtool', 'config', 'routes', 'test', `--config.file=${file}`, `severity=${severity}`, 'alertname=TiketiAny');
    assert.equal(routed.stdout.trim(), receiver);
  }
});

test('an inhibition names alerts that exist', () => {
  const { inhibit_rules: inhibitions } = parse(read('alertmanager/alertmanager.yaml'));
  for (const { source_matchers: source, target_matchers: target } of inhibitions) {
    for (const matcher of [source[0], target[0]]) {
      const [, , value] = matcher.match(/^alertname(=~?)"(.*)"$/);
      const pattern = new RegExp(`^(?:${value})$`);
      const named = value.match(/[A-Z]\w+/g).map((word) => (word === 'Tiketi' || word.startsWith('Tiketi') ? word : `Tiketi${word}`)).filter((word) => word !== 'Tiketi');
      for (const name of named) assert.ok(pattern.test(name) && alerts.some(({ alert }) => alert === name), `${matcher}: there is no ${name}`);
    }
  }
});

const DATA = {
  status: 'firing', receiver: 'discord-on-call',
  groupLabels: { alertname: 'TiketiNoTick', namespace: 'shop' }, commonLabels: { alertname: 'TiketiNoTick', namespace: 'shop', severity: 'page' },
  commonAnnotations: {}, externalURL: 'http://alertmanager',
  alerts: [
    { status: 'firing', labels: { severity: 'page' }, startsAt: '2026-01-01T00:00:00Z', endsAt: '0001-01-01T00:00:00Z',
      annotations: { summary: 'No processor works on 2 open event(s)', description: 'Nobody is let in there.', runbook_url: 'https://example.com/runbook#no-processor' } },
    { status: 'resolved', labels: { severity: 'page' }, startsAt: '2026-01-01T00:00:00Z', endsAt: '2026-01-01T00:01:30Z',
      annotations: { summary: 'An older one', description: 'x', runbook_url: 'x' } },
  ],
};

async function render(template, data) {
  const path = join(folder, 'data.json');
  writeFileSync(path, JSON.stringify(data));
  const { code, stdout, stderr } = await run('amtool', 'template', 'render', `--template.glob=${join(MONITORING, 'alertmanager/*.tmpl')}`,
    `--template.text={{ template "${template}" . }}`, `--template.data=${path}`);
  assert.equal(code, 0, stderr);
  return stdout.trim();
}

test('a message says how urgent, what, where, the value and the page of the runbook', async () => {
  assert.equal(await render('tiketi.title', DATA), '[PAGE] TiketiNoTick in shop');
  assert.equal(await render('tiketi.message', DATA), `**No processor works on 2 open event(s)**
Nobody is let in there.
Over: An older one, after 1m30s
What to do: https://example.com/runbook#no-processor`);
});

test('of forty pods that say the same a message tells ten', async () => {
  const many = { ...DATA, alerts: Array.from({ length: 40 }, (_, i) => ({ ...DATA.alerts[0], annotations: { ...DATA.alerts[0].annotations, summary: `pod ${i}` } })) };
  assert.equal(await render('tiketi.title', many), '[PAGE × 40] TiketiNoTick in shop');
  const message = await render('tiketi.message', many);
  assert.match(message, /pod 9\*\*/);
  assert.doesNotMatch(message, /pod 10\*\*/);
  assert.match(message, /… and more: see Alertmanager\.\nWhat to do: https:/);
  assert.ok(message.length < 2048);
});

const NOTES = { summary: 'Redis is down for 3 pod(s)', description: 'Their buyers get 503.', runbook_url: 'https://example.com/runbook#redis-is-down' };
const told = (title) => discord.messages.filter((message) => message.title.includes(title));

test('a fired alert reaches the channel of those on call, and its end as well', async () => {
  await alertmanager.fire({ alertname: 'TiketiOverAdmission', namespace: 'shop', severity: 'page' }, { ...NOTES, summary: 'More buyers were inside' });
  const [first] = await waitUntil(() => told('TiketiOverAdmission').length > 0 && told('TiketiOverAdmission'), 10000, 'the message in Discord');
  assert.equal(first.path, '/api/webhooks/ON_CALL/TOKEN');
  assert.equal(first.title, '[PAGE] TiketiOverAdmission in shop');
  assert.equal(first.description.trim(), '**More buyers were inside**\nTheir buyers get 503.\nWhat to do: https://example.com/runbook#redis-is-down');
  await alertmanager.fire({ alertname: 'TiketiOverAdmission', namespace: 'shop', severity: 'page' }, { ...NOTES, summary: 'More buyers were inside' },
    { end: new Date(Date.now() - 1000).toISOString() });
  const over = await waitUntil(() => told('[OVER] TiketiOverAdmission')[0], 10000, 'the message of its end');
  assert.match(over.description, /^Over: More buyers were inside, after /);
  assert.notEqual(over.color, first.color);
});

test('a cause hides its symptoms of the same deployment, and those alone', async () => {
  await alertmanager.fire({ alertname: 'TiketiRedisDown', namespace: 'shop', severity: 'page' }, NOTES);
  await waitUntil(() => told('TiketiRedisDown').length > 0, 10000, 'the cause');
  for (const namespace of ['shop', 'other']) await alertmanager.fire({ alertname: 'TiketiNoTick', namespace, severity: 'page' }, { ...NOTES, summary: 'No processor' });
  await waitUntil(() => told('TiketiNoTick in other').length > 0, 10000, 'the symptom of another deployment');
  await staysTrueFor(1500, () => told('TiketiNoTick in shop').length === 0, 'the symptom is hidden');
});

// Which alert hides which, with the labels that they fire with in monitoring/tests.
const REDIS = ['NoTick', 'LeaseMissing', 'NobodyAdmitted', 'IndexOld', 'LedgerLag', 'HttpErrors', 'HttpSlow', 'RedisErrors', 'RedisSlow'];
const HIDDEN = [
  ['PodsDown', ['PodDown', 'PodRestarts', 'SocketsDrop']],
  ...['replica', 'cluster', 'permission', 'writes_refused'].map((kind) => ['RedisProblem', [...REDIS, 'RedisDown'], { kind }]),
  ...['memory', 'evicting_policy'].map((kind) => ['RedisProblem', [], { kind }]), // nobody is turned away by these
  ['RedisDown', REDIS],
  ['PostgresDown', ['PostgresErrors', 'PostgresSlow', 'PoolExhausted', 'LedgerLag', 'OutboxLate', 'HttpErrors', 'HttpSlow']],
  ['PoolExhausted', ['PostgresErrors', 'PostgresSlow', 'HttpErrors', 'HttpSlow']],
  ['NoTick', ['LeaseMissing', 'NobodyAdmitted', 'IndexOld', 'LedgerLag']],
  ['ConnectionsRefused', ['ConnectionsNearLimit']],
  ['LoopBusy', ['CpuHigh']],
  ['LoopLag', ['CpuHigh']],
  ['SoldOut', ['SeatsHeld']],
];
// Labels beside the namespace that cause and symptom must share.
const SHARED = { CpuHigh: ['pod', 'instance'], SeatsHeld: ['event'] };

test('every inhibition of the configuration hides what it is for, in a real Alertmanager, and nothing else', async (t) => {
  const { inhibit_rules: inhibitions } = parse(read('alertmanager/alertmanager.yaml'));
  const matches = (matcher, name) => new RegExp(`^(?:${matcher.match(/^alertname=~?"(.*)"$/)[1]})$`).test(`Tiketi${name}`);
  for (const { source_matchers: [source], target_matchers: [target] } of inhibitions) {
    assert.ok(HIDDEN.some(([cause, symptoms]) => matches(source, cause) && symptoms.some((one) => matches(target, one))), `this test has nothing of: ${source} hides ${target}`);
  }
  // Nothing is sent: what is looked at is whom Alertmanager holds back.
  const silent = await Alertmanager.start({ discord, waits: { group_wait: '1h' } });
  t.after(() => silent.stop());
  const labelsOf = (name) => ({ ...tests.flatMap((one) => one.alert_rule_test).find(({ alertname, exp_alerts: fired }) => alertname === `Tiketi${name}` && fired.length > 0).exp_alerts[0].exp_labels });
  const fired = [];
  const expected = new Set();
  HIDDEN.forEach(([cause, symptoms, labels = {}], n) => {
    for (const { alert } of alerts) {
      const name = alert.slice('Tiketi'.length);
      if (name === cause) continue;
      const namespace = `n${n}-${name}`; // each pair has a deployment of its own, so that no third one hides anything
      fired.push({ alertname: `Tiketi${cause}`, ...labelsOf(cause), ...labels, namespace });
      fired.push({ alertname: alert, ...labelsOf(name), namespace });
      if (symptoms.includes(name)) expected.add(`${namespace}: ${alert}`);
      for (const label of symptoms.includes(name) ? (SHARED[name] ?? []) : []) fired.push({ alertname: alert, ...labelsOf(name), namespace, [label]: 'another' });
      if (symptoms.includes(name)) fired.push({ alertname: alert, ...labelsOf(name), namespace: `${namespace}-beside` });
    }
  });
  const { status, text } = await exchange(silent.url, 'POST', '/api/v2/alerts', { json: fired.map((labels) => ({ labels, annotations: NOTES })) });
  assert.equal(status, 200, text);
  const heldBack = async () => {
    const { body } = await exchange(silent.url, 'GET', '/api/v2/alerts');
    // The other one of a pair may be a cause of this one's cause.
    const hidden = body.filter(({ labels, status: { inhibitedBy } }) => inhibitedBy.length > 0 && labels.alertname !== `Tiketi${HIDDEN[labels.namespace.match(/\d+/)[0]][0]}`);
    return { all: body.length, hidden: hidden.map(({ labels }) => `${labels.namespace}: ${labels.alertname}${Object.values(labels).includes('another') ? ' of another' : ''}`).sort() };
  };
  await waitUntil(async () => (await heldBack()).all === fired.length && (await heldBack()).hidden.length >= expected.size, 15000, 'all of them to be held back').catch(() => {});
  const { all, hidden } = await heldBack();
  assert.equal(all, fired.length);
  assert.deepEqual(hidden, [...expected].sort());
  assert.equal(expected.size, 71);
});

// ---- what is made by programs ----

for (const [name, file] of [['dashboards', 'grafana'], ['files for CloudWatch', 'cloudwatch']]) {
  test(`the ${name} are those that make monitoring writes`, () => {
    const made = file === 'grafana' ? Object.entries(DASHBOARDS) : Object.entries(FILES).map(([path, make]) => [path, make()]);
    for (const [path, content] of made) assert.equal(read(`${file}/${path}`), `${JSON.stringify(content, null, 2)}\n`, `${path}: run make monitoring`);
  });
}

test('each alert has an alarm of CloudWatch, equally urgent and with the same page of the runbook, or a reason why not', () => {
  for (const { alert, labels, annotations } of alerts) {
    assert.notEqual(alert in ALARMS, alert in WITHOUT, `${alert}: an alarm or a reason, and not both`);
    if (!(alert in ALARMS)) continue;
    assert.equal(ALARMS[alert].severity, labels.severity, alert);
    assert.ok(annotations.runbook_url.endsWith(`#${ALARMS[alert].anchor}`), alert);
  }
  for (const name of [...Object.keys(ALARMS), ...Object.keys(WITHOUT)]) assert.ok(alerts.some(({ alert }) => alert === name), `there is no alert ${name}`);
});

test('the template names only what it has, and its alarms only metrics that the agent sends', () => {
  const { Parameters, Conditions, Resources } = JSON.parse(read('cloudwatch/alarms.json'));
  const known = new Set([...Object.keys(Parameters), ...Object.keys(Resources)]);
  const names = [];
  JSON.parse(read('cloudwatch/alarms.json'), (key, value) => {
    if (key === 'Ref') names.push(value);
    if (key === 'Fn::GetAtt') names.push(value[0]);
    if (key === 'Fn::Sub') names.push(...[...value.matchAll(/\$\{([\w:]+)\}/g)].map(([, name]) => name));
    if (key === 'Condition' && typeof value === 'string') assert.ok(value in Conditions, value);
    return value;
  });
  for (const name of names) assert.ok(known.has(name) || name.startsWith('AWS::'), `there is no ${name}`);

  const declared = JSON.parse(read('cloudwatch/agent.json')).logs.metrics_collected.prometheus.emf_processor.metric_declaration;
  const sent = (metric, dimensions) => declared.some((one) => one.dimensions.some((set) => set.join() === dimensions.join()) && one.metric_selectors.some((selector) => new RegExp(selector).test(metric)));
  const alarms = Object.entries(Resources).filter(([, { Type }]) => Type === 'AWS::CloudWatch::Alarm');
  assert.ok(alarms.length > 25);
  for (const [name, { Properties }] of alarms) {
    assert.equal(Properties.Metrics.filter(({ ReturnData }) => ReturnData).length, 1, `${name}: one value is judged`);
    for (const { Id, MetricStat, Expression } of Properties.Metrics) {
      assert.match(Id, /^[a-z]\w*$/);
      if (Expression) for (const [word] of Expression.matchAll(/\b[a-z]\w*/g)) assert.ok(Properties.Metrics.some((one) => one.Id === word), `${name}: ${word}`);
      else if (MetricStat.Metric.Namespace === 'tiketi') {
        assert.ok(sent(MetricStat.Metric.MetricName, MetricStat.Metric.Dimensions.map((dimension) => dimension.Name)), `${name}: the agent does not send ${MetricStat.Metric.MetricName} so`);
      }
    }
  }
});

test('an alarm of CloudWatch is written to Discord, and SNS is told when Discord did not take it', async () => {
  const { handler } = createRequire(import.meta.url)(join(MONITORING, 'cloudwatch/discord.cjs'));
  process.env.SEVERITY = 'PAGE';
  process.env.DISCORD_URL = `${discord.url}/api/webhooks/ON_CALL/TOKEN`;
  const record = (alarm) => ({ Records: [{ Sns: { Subject: 's', Message: typeof alarm === 'string' ? alarm : JSON.stringify(alarm) } }] });
  await handler(record({ AlarmName: 'shop-TiketiNoTick', AlarmDescription: 'What to do: https://example.com/runbook#no-processor', NewStateValue: 'ALARM', NewStateReason: '1 datapoint [2.0] was greater than the threshold (0.0).' }));
  await handler(record({ AlarmName: 'shop-TiketiNoTick', AlarmDescription: 'x', NewStateValue: 'OK', NewStateReason: 'y' }));
  await handler(record('a text of somebody else'));
  const [fired, over, other] = discord.messages.slice(-3);
  assert.equal(fired.title, '[PAGE] shop-TiketiNoTick');
  assert.equal(fired.description, 'What to do: https://example.com/runbook#no-processor\n1 datapoint [2.0] was greater than the threshold (0.0).');
  assert.equal(over.title, '[OVER] shop-TiketiNoTick');
  assert.equal(other.description, 'a text of somebody else');
  await assert.rejects(handler(record({ AlarmName: '', AlarmDescription: '' })), /Discord answered 400/);
});
