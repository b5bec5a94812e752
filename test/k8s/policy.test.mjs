// SPDX-License-Identifier: MIT
//
// What must hold of the objects of every overlay, whatever their types say: names that lead somewhere, probes that have routes,
// settings that there are, times that fit into each other, connections that PostgreSQL has, and nothing open that need not be.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { privateFolder } from '../fixtures/process.mjs';
import { run } from '../fixtures/prometheus.mjs';
import { ROOT } from '../fixtures/server.mjs';
import { Network, within } from './policies.mjs';
import { OVERLAYS, PRODUCTION, ROLES, envFile, files, look, matches, parseFile, read, render, routes, secrets, settings } from './support.mjs';

const each = (overlays, name, check) => overlays.forEach((overlay) => test(`${overlay}: ${name}`, () => check(look(render(overlay)), overlay)));
const podOf = (workload) => workload.spec.template.spec;
const containersOf = (workload) => [...(podOf(workload).initContainers ?? []), ...podOf(workload).containers];
const labelsOf = (workload) => workload.spec.template.metadata.labels;
const seconds = (text) => ({ s: 1, m: 60, h: 3600 })[text.at(-1)] * Number(text.slice(0, -1));
const version = execFileSync(join(ROOT, 'src/version.sh'), { encoding: 'utf8' }).split(' ')[0];

// ---- names ----

each(OVERLAYS, 'every selector chooses what it is for, and nothing else', ({ of, find, workloads }) => {
  for (const workload of workloads.filter(({ kind }) => kind !== 'Job')) {
    const chosen = workloads.filter((one) => matches(labelsOf(one), workload.spec.selector));
    assert.deepEqual(chosen, [workload], workload.metadata.name);
    for (const { labelSelector } of podOf(workload).topologySpreadConstraints ?? []) assert.ok(matches(labelsOf(workload), labelSelector), workload.metadata.name);
    if (workload.kind === 'StatefulSet') find('Service', workload.spec.serviceName);
  }
  for (const { metadata, spec } of of('Service')) {
    const chosen = workloads.filter((one) => matches(labelsOf(one), { matchLabels: spec.selector }));
    assert.equal(chosen.length, 1, metadata.name);
    const ports = podOf(chosen[0]).containers.flatMap(({ ports: all }) => all.map(({ name }) => name));
    for (const { targetPort } of spec.ports) assert.ok(ports.includes(targetPort), `${metadata.name}: ${targetPort}`);
    for (const { targetPort } of spec.ports) assert.notEqual(targetPort, 'probes', 'METRICS_PORT is for the cluster alone');
  }
  for (const { metadata, spec } of of('PodDisruptionBudget')) assert.equal(workloads.filter((one) => matches(labelsOf(one), spec.selector)).length, 1, metadata.name);
  for (const { spec } of [...of('HorizontalPodAutoscaler'), ...of('ScaledObject')]) find('Deployment', spec.scaleTargetRef.name);
  for (const { spec } of of('PodMonitor')) {
    const scraped = workloads.filter((one) => matches(labelsOf(one), spec.selector) && podOf(one).containers.some(({ ports = [] }) => ports.some(({ name }) => name === spec.podMetricsEndpoints[0].port)));
    assert.deepEqual(scraped.map(({ metadata }) => metadata.name).sort(), ROLES.map((role) => `tiketi-${role}`));
  }
});

each(OVERLAYS, 'every ConfigMap, Secret, volume, account and priority that is named is there, or is one that the documents name', ({ of, find, workloads, secretsOf, keysOf }, overlay) => {
  const known = secrets();
  const own = [...files(`k8s/components/redis/secret.example`).map((path) => path.split('/').at(-1))];
  for (const workload of workloads) {
    const pod = podOf(workload);
    for (const one of containersOf(workload)) {
      for (const { configMapRef } of one.envFrom ?? []) if (configMapRef) find('ConfigMap', configMapRef.name);
      for (const name of secretsOf(one)) assert.ok(known[name] || (overlay === 'overlays/dev' && name === 'tiketi-postgres'), name);
      for (const { name, key } of Object.values(keysOf(one))) assert.ok(known[name] && key in known[name], `${name}/${key}`);
      for (const { name } of one.volumeMounts ?? []) {
        const volume = (pod.volumes ?? []).find((candidate) => candidate.name === name) ?? (workload.spec.volumeClaimTemplates ?? []).find(({ metadata }) => metadata.name === name);
        assert.ok(volume, name);
        if (volume.configMap) find('ConfigMap', volume.configMap.name);
        if (volume.secret) assert.equal(volume.secret.secretName, overlay === 'overlays/managed-redis' ? 'tiketi-redis-tls' : 'tiketi-redis');
      }
    }
    if (pod.serviceAccountName) find('ServiceAccount', pod.serviceAccountName);
    if (pod.priorityClassName) find('PriorityClass', pod.priorityClassName);
  }
  for (const { data } of of('ConfigMap')) {
    if (data['redis.conf']) assert.deepEqual([...data['redis.conf'].matchAll(/^(?:aclfile|include) \/etc\/redis\/secret\/(.*)$/gm)].map(([, name]) => name).sort(), own.sort(), 'the files of the Secret tiketi-redis');
  }
});

// ---- pods ----

each(OVERLAYS, 'every pod runs as nobody, reads only its own files, and has no token', ({ workloads }) => {
  for (const workload of workloads) {
    const pod = podOf(workload);
    const what = workload.metadata.name;
    const { securityContext: security } = pod;
    assert.equal(security.runAsNonRoot, true, what);
    assert.ok(security.runAsUser > 0 && security.runAsGroup > 0, what);
    assert.equal(security.seccompProfile.type, 'RuntimeDefault', what);
    assert.equal(pod.automountServiceAccountToken, false, what);
    assert.equal(pod.enableServiceLinks, false, what);
    for (const field of ['hostNetwork', 'hostPID', 'hostIPC']) assert.equal(pod[field], undefined, what);
    for (const one of containersOf(workload)) {
      assert.deepEqual(one.securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } }, `${what}: ${one.name}`);
      assert.equal(one.terminationMessagePolicy, 'FallbackToLogsOnError', `${what}: ${one.name}`);
    }
  }
  assert.equal(workloads.filter(({ metadata }) => metadata.name.startsWith('tiketi-migrate')).length, 1);
});

each(OVERLAYS, 'every container asks for CPU and memory, and has a limit of memory and none of CPU', ({ workloads }) => {
  for (const workload of workloads) {
    for (const { name, resources: { requests, limits } } of containersOf(workload)) {
      assert.ok(requests.cpu && requests.memory && limits.memory, `${workload.metadata.name}: ${name}`);
      assert.equal(limits.cpu, undefined, 'a thread that is held up delays everybody whom it serves');
    }
  }
});

each(OVERLAYS, 'every image has a tag that does not move, and ours is this release', ({ workloads }, overlay) => {
  for (const workload of workloads) {
    for (const { image } of containersOf(workload)) {
      assert.match(image, /^[\w.:/-]+:[\w.-]*\d[\w.-]*$/);
      assert.doesNotMatch(image, /:latest/);
      if (/(^|\/)tiketi:/.test(image)) assert.equal(image.split(':').at(-1), version, overlay);
      else assert.match(image, /^docker\.io\/library\/(redis|postgres):/);
      if (PRODUCTION.includes(overlay)) assert.match(image, /^[\w.-]+\.\w+\//, 'from a registry that is named');
    }
  }
});

test('every probe asks a route that there is, at METRICS_PORT', () => {
  const known = new Set(routes());
  for (const overlay of OVERLAYS) {
    const { deployments, container, settingsOf } = look(render(overlay));
    assert.equal(deployments.length, 3);
    for (const deployment of deployments) {
      const one = container(deployment);
      for (const kind of ['startupProbe', 'readinessProbe', 'livenessProbe']) {
        const { path, port } = one[kind].httpGet;
        assert.ok(known.has(`GET ${path.split('?')[0]}`), path);
        assert.equal(one.ports.find(({ name }) => name === port).containerPort, Number(settingsOf(one).METRICS_PORT), kind);
      }
      assert.equal(one.startupProbe.httpGet.path, '/readyz?deep=1');
      assert.equal(one.livenessProbe.httpGet.path, '/livez');
      assert.ok(one.startupProbe.failureThreshold * one.startupProbe.periodSeconds >= deployment.spec.progressDeadlineSeconds, 'the rollout is given up before the pod is');
    }
  }
});

each(OVERLAYS, 'ports are those of the settings', ({ deployment, container, settingsOf }) => {
  const own = (role) => Object.fromEntries(container(deployment(role)).ports.map(({ name, containerPort }) => [name, containerPort]));
  const { HTTP_PORT, WS_PORT, METRICS_PORT } = Object.fromEntries(Object.entries(settingsOf(container(deployment('api')))).map(([name, value]) => [name, Number(value)]));
  assert.deepEqual(own('api'), { http: HTTP_PORT, probes: METRICS_PORT });
  assert.deepEqual(own('gateway'), { ws: WS_PORT, probes: METRICS_PORT });
  assert.deepEqual(own('processor'), { probes: METRICS_PORT });
});

// ---- settings and secrets ----

test('every setting is one that `tiketi serve --help` lists, and none that is a secret', () => {
  const known = settings();
  assert.ok(known.size > 60 && [...known.values()].filter(Boolean).length >= 8);
  for (const overlay of OVERLAYS) {
    const { deployments, container, settingsOf, deployment } = look(render(overlay));
    for (const one of deployments.map(container)) {
      for (const [name, value] of Object.entries(settingsOf(one))) {
        assert.equal(known.get(name), false, `${overlay}: ${name}`);
        assert.notEqual(value, '', `${overlay}: ${name} is empty`);
      }
    }
    for (const role of ROLES) assert.equal(settingsOf(container(deployment(role))).ROLES, role);
  }
  for (const [secret, keys] of Object.entries(secrets())) for (const name of Object.keys(keys)) assert.equal(known.get(name), true, `${secret}: ${name}`);
  // The comments offer settings, too.
  for (const path of files('k8s').filter((one) => one.endsWith('settings.env'))) {
    for (const [, name] of read(path).matchAll(/^#([A-Z][A-Z0-9_]+)=/gm)) assert.equal(known.get(name), false, `${path}: ${name}`);
  }
});

// What a role uses, and why: the gateway reads buyers' cookies and tokens and signs tickets and passes; the processor sends mail
// and push messages, and signs nothing; api does the rest, and asks the mail server whether it is there.
const USES = {
  api: ['DATABASE_URL', 'JWT_SECRETS', 'MAIL_URL', 'OIDC_CLIENT_SECRET', 'PAYMENT_WEBHOOK_SECRETS', 'REDIS_URL', 'TICKET_KEYS', 'VAPID_KEYS'],
  gateway: ['DATABASE_URL', 'JWT_SECRETS', 'REDIS_URL', 'TICKET_KEYS'],
  processor: ['DATABASE_URL', 'MAIL_URL', 'REDIS_URL', 'VAPID_KEYS'],
};

each(OVERLAYS, 'each role gets the secrets that it uses, and no others', ({ workloads, deployment, container, secretsOf, keysOf }) => {
  const known = secrets();
  for (const role of ROLES) {
    const one = container(deployment(role));
    assert.deepEqual(secretsOf(one).flatMap((name) => Object.keys(known[name])).sort(), USES[role], role);
    assert.deepEqual(keysOf(one), {});
    const [init] = podOf(deployment(role)).initContainers;
    assert.deepEqual([init.envFrom, keysOf(init)], [undefined, { DATABASE_URL: { name: 'tiketi-backends', key: 'DATABASE_URL' } }]);
  }
  for (const workload of workloads) {
    const owns = containersOf(workload).some((one) => secretsOf(one).includes('tiketi-migrate'));
    assert.equal(owns, workload.kind === 'Job', `${workload.metadata.name}: the rights to change the schema are the Job's alone`);
  }
});

test('the pod for commands is as harmless as the others, belongs to none of them, and has both databases', () => {
  const { metadata, spec } = parseFile('k8s/command.yaml');
  const [{ name: _, image, command, envFrom, resources, ...rest }] = spec.containers;
  for (const overlay of OVERLAYS) {
    const { of, deployment, container, workloads } = look(render(overlay));
    const pod = podOf(deployment('processor'));
    for (const field of ['automountServiceAccountToken', 'enableServiceLinks', 'securityContext', 'serviceAccountName']) assert.deepEqual(spec[field], pod[field], field);
    assert.deepEqual(rest, { securityContext: container(deployment('processor')).securityContext });
    for (const one of [...workloads, ...of('PodDisruptionBudget')]) assert.ok(!matches(metadata.labels, one.spec.selector ?? { matchLabels: { no: 'selector' } }), `${one.kind} ${one.metadata.name}`);
    for (const { spec: { selector } } of of('Service')) assert.ok(!matches(metadata.labels, { matchLabels: selector }));
  }
  assert.equal(image, `registry.example.com/tiketi:${version}`);
  assert.deepEqual([command, envFrom], [['sleep', 'infinity'], [{ secretRef: { name: 'tiketi-backends' } }]]);
  assert.deepEqual(Object.keys(secrets()['tiketi-backends']).sort(), ['DATABASE_URL', 'REDIS_URL']);
  assert.ok(resources.limits.memory && resources.requests.cpu);
  for (const page of ['docs/backup.md', 'docs/kubernetes.md']) assert.ok(read(page).includes('k8s/command.yaml'), page);
});

test('there is no secret in the tree', () => {
  for (const overlay of OVERLAYS) assert.deepEqual(look(render(overlay)).of('Secret'), []);
  for (const path of [...files('k8s'), 'compose.yaml']) {
    const text = read(path);
    if (path.endsWith('kustomization.yaml')) assert.doesNotMatch(text, /secretGenerator/, path);
    if (/\.example\.env$/.test(path)) for (const [name, value] of Object.entries(envFile(text))) assert.equal(value, '', `${path}: ${name}`);
    assert.doesNotMatch(text, /-----BEGIN|\b[0-9a-f]{32,}\b|\beyJ[\w-]{10,}/, path);
    for (const [, password] of text.matchAll(/:\/\/[\w.$-]*:([^@/\s]+)@/g)) assert.match(password, /^(PASSWORD|password|\$\w+)$/, path);
  }
});

// ---- times ----

each(OVERLAYS, 'a pod has the time to end: the pause, the drain and a margin fit into the grace', ({ deployments, container, settingsOf }, overlay) => {
  for (const deployment of deployments) {
    const one = container(deployment);
    const [command, pause] = one.lifecycle.preStop.exec.command;
    assert.equal(command, 'sleep');
    assert.ok(podOf(deployment).terminationGracePeriodSeconds >= Number(pause) + Number(settingsOf(one).DRAIN_MS) / 1000 + 5, deployment.metadata.name);
    if (overlay !== 'overlays/dev') assert.ok(Number(pause) >= 15 && Number(pause) <= 20, `${pause} s for the load balancer`);
    assert.deepEqual(deployment.spec.strategy.rollingUpdate.maxUnavailable, 0);
    if (deployment.metadata.name === 'tiketi-gateway') assert.ok(deployment.spec.minReadySeconds >= 10, 'the buyers of one pod have their sockets again before the next one drains');
  }
});

each(OVERLAYS, 'the schema comes before the pods: they wait for it, and cannot change it', ({ of, deployments, keysOf }) => {
  const [job] = of('Job');
  const { spec } = job;
  assert.deepEqual(podOf(job).containers[0].args, ['migrate']);
  assert.ok(spec.activeDeadlineSeconds >= 600 && spec.activeDeadlineSeconds <= 3600);
  assert.ok(spec.ttlSecondsAfterFinished > 0 && spec.backoffLimit > 0);
  for (const deployment of deployments) {
    const [init, ...more] = podOf(deployment).initContainers;
    assert.equal(more.length, 0);
    const [command, option, time] = init.args;
    assert.deepEqual([command, option], ['migrate', '--wait']);
    assert.ok(seconds(time) < deployment.spec.progressDeadlineSeconds, 'its reason is told before the rollout is given up');
    assert.equal(init.image, podOf(deployment).containers[0].image);
    assert.equal(keysOf(init).DATABASE_URL.name, 'tiketi-backends');
  }
});

each(OVERLAYS.slice(1), 'a release has a Job of its own', ({ of }) => {
  assert.equal(of('Job')[0].metadata.name, `tiketi-migrate-${version}`);
});

each(OVERLAYS, 'evictions take one pod at a time, and always may take one', ({ of, deployments }, overlay) => {
  assert.equal(of('PodDisruptionBudget').length, deployments.length);
  for (const { spec } of of('PodDisruptionBudget')) {
    const { selector: _, ...rest } = spec;
    assert.deepEqual(rest, { maxUnavailable: 1, unhealthyPodEvictionPolicy: 'AlwaysAllow' });
  }
  const { pods } = look(render(overlay));
  if (overlay !== 'overlays/dev') for (const deployment of deployments) assert.ok(pods(deployment)[0] >= 2, deployment.metadata.name);
});

each(OVERLAYS, 'pods are spread over zones and nodes, and start all the same where they cannot be', ({ deployments }) => {
  for (const deployment of deployments) {
    assert.deepEqual(podOf(deployment).topologySpreadConstraints.map(({ topologyKey, whenUnsatisfiable, maxSkew, matchLabelKeys }) => [topologyKey, whenUnsatisfiable, maxSkew, matchLabelKeys]),
      ['topology.kubernetes.io/zone', 'kubernetes.io/hostname'].map((key) => [key, 'ScheduleAnyway', 1, ['pod-template-hash']]));
  }
});

// ---- production ----

each(PRODUCTION, 'the values of production', ({ deployment, container, settingsOf, workloads, find, of }) => {
  const given = settingsOf(container(deployment('api')));
  assert.deepEqual([given.QUEUE_THRESHOLD, given.QUEUE_PROCESSOR_INTERVAL, given.QUEUE_IDLE_TIMEOUT_MS], ['2000', '5000', '60000']);
  for (const workload of workloads) assert.equal(podOf(workload).priorityClassName, 'tiketi', workload.metadata.name);
  assert.ok(find('PriorityClass', 'tiketi').value > 0);
  assert.equal(find('Namespace', 'tiketi').metadata.labels['pod-security.kubernetes.io/enforce'], 'restricted');
  assert.equal(of('PrometheusRule').length, 1);
});

test('what KEDA asks Prometheus are queries', async () => {
  const queries = look(render('overlays/prod-gateway')).of('ScaledObject').flatMap(({ spec }) => spec.triggers.flatMap(({ metadata: { query } }) => query ?? []));
  assert.equal(queries.length, 3);
  const path = join(privateFolder('queries'), 'rules.yaml');
  writeFileSync(path, JSON.stringify({ groups: [{ name: 'keda', rules: queries.map((expr, i) => ({ record: `keda:${i}`, expr })) }] }));
  const { code, stdout, stderr } = await run('promtool', 'check', 'rules', path);
  assert.equal(code, 0, stdout + stderr);
});

each(PRODUCTION, 'api has 5 to 20 pods at 60 % of its CPU, and no number of pods that an apply would bring back', ({ of, deployments, deployment, pods }, overlay) => {
  assert.deepEqual(pods(deployment('api')), [5, 20]);
  for (const one of deployments) {
    const [least, most] = pods(one);
    if (one.metadata.name === 'tiketi-processor') assert.equal(one.spec.replicas, 2);
    else assert.ok(one.spec.replicas === undefined && least < most, one.metadata.name);
  }
  if (overlay === 'overlays/prod') {
    for (const { spec } of of('HorizontalPodAutoscaler')) assert.deepEqual(spec.metrics, [{ type: 'Resource', resource: { name: 'cpu', target: { type: 'Utilization', averageUtilization: 60 } } }]);
    return;
  }
  const known = read('src/base/metrics.c') + read('docs/metrics.md');
  for (const { spec } of of('ScaledObject')) {
    assert.equal(spec.triggers.find(({ type }) => type === 'cpu').metadata.value, '60');
    assert.equal(spec.fallback, undefined, 'KEDA 2.14 to 2.16 refuse it beside a trigger of CPU');
    for (const { metadata: { query } } of spec.triggers.filter(({ type }) => type === 'prometheus')) {
      for (const [name] of query.matchAll(/tiketi_\w+/g)) assert.ok(known.includes(name), name);
    }
  }
  assert.deepEqual(of('ScaledObject').find(({ metadata }) => metadata.name === 'tiketi-api').spec.triggers.map(({ name, type }) => name ?? type), ['cpu', 'arrivals', 'waiting']);
});

// DB_POOL_MAX is of one pod: all that there may be, with those of a rollout, must have room in what is given to all.
const LEAST = { api: 1, gateway: 2, processor: 3 }; // what a pod opens at least, with one worker of each kind: src/serve.c:plan_workers
each(PRODUCTION, 'PostgreSQL survives 20 pods: all together may open no more than 200 connections, and keep 20 open', ({ deployment, container, settingsOf, pods }) => {
  let most = 0;
  for (const role of ROLES) {
    const own = settingsOf(container(deployment(role)));
    assert.deepEqual([own.API_WORKERS, own.GATEWAY_WORKERS], ['1', '1']);
    const surge = deployment(role).spec.strategy.rollingUpdate.maxSurge;
    assert.equal(typeof surge, 'number', 'a share of twenty pods would be five');
    const pool = Math.max(Number(own.DB_POOL_MAX), LEAST[role]);
    most += (pods(deployment(role))[1] + surge) * pool;
    const line = read('k8s/production/settings.env').split('\n').find((one) => one.startsWith(`#   ${role} `));
    assert.match(line, new RegExp(`${pods(deployment(role))[1]} \\+ ${surge} +x ${pool} = +${(pods(deployment(role))[1] + surge) * pool}`), 'the arithmetic of the comment');
  }
  assert.match(read('k8s/production/settings.env'), new RegExp(`together +${most} of 200`));
  assert.ok(most <= 200, `${most}`);
  const api = settingsOf(container(deployment('api')));
  assert.equal(pods(deployment('api'))[1] * Number(api.DB_POOL_MIN), 20);
});

// ---- the way in ----

// Which Service answers a path; undefined: none.
function ingressRoute(ingress, path) {
  const fits = ({ path: own, pathType }) => (pathType === 'Exact' ? path === own : own === '/' || path === own || path.startsWith(`${own}/`));
  const [best] = ingress.spec.rules[0].http.paths.filter(fits).sort((a, b) => (b.pathType === 'Exact') - (a.pathType === 'Exact') || b.path.length - a.path.length);
  return best?.backend.service;
}

test('overlays/prod: the load balancer leads where it must, with the times that were asked for', () => {
  const { find, deployment, container, settingsOf } = look(render('overlays/prod'));
  const ingress = find('Ingress', 'tiketi');
  const annotations = Object.fromEntries(Object.entries(ingress.metadata.annotations).map(([name, value]) => [name.replace('alb.ingress.kubernetes.io/', ''), value]));
  const list = (text) => Object.fromEntries(text.split(',').map((one) => one.split('=')));
  assert.ok(routes().includes(`GET ${annotations['healthcheck-path']}`));
  assert.deepEqual(['path', 'interval-seconds', 'timeout-seconds'].map((name) => annotations[`healthcheck-${name}`]), ['/health', '30', '5']);
  assert.deepEqual([annotations['healthy-threshold-count'], annotations['unhealthy-threshold-count']], ['2', '2']);
  assert.equal(list(annotations['load-balancer-attributes'])['idle_timeout.timeout_seconds'], '60');
  assert.equal(list(annotations['target-group-attributes'])['deregistration_delay.timeout_seconds'], '30');
  assert.equal(annotations['target-type'], 'ip');
  assert.equal(annotations['ssl-redirect'], '443');
  assert.match(annotations['certificate-arn'], /^arn:aws:acm:/);
  assert.equal(JSON.parse(annotations['actions.not-found']).fixedResponseConfig.statusCode, '404');
  // What is for the cluster alone: answered by the load balancer itself.
  for (const path of ['/metrics', '/livez', '/readyz', '/health']) assert.deepEqual(ingressRoute(ingress, path), { name: 'not-found', port: { name: 'use-annotation' } });
  for (const path of ['/', '/wait/e', '/api/queue/check/e', '/ws/x', '/metricsx']) assert.equal(ingressRoute(ingress, path).name, 'tiketi-api', path);
  for (const path of ['/ws', '/socket.io/']) assert.equal(ingressRoute(ingress, path).name, 'tiketi-gateway', path);
  const own = settingsOf(container(deployment('api')));
  assert.equal(new URL(own.PUBLIC_URL).host, ingress.spec.rules[0].host);
  assert.equal(ingressRoute(ingress, new URL(own.PUBLIC_WS_URL).pathname).name, 'tiketi-gateway');
  assert.match(read('src/gateway/gateway.c'), new RegExp(`\\.path = "${new URL(own.PUBLIC_WS_URL).pathname}"`));
  // The port of sockets answers no health check; that of the probes does.
  assert.equal(find('Service', 'tiketi-gateway').metadata.annotations['alb.ingress.kubernetes.io/healthcheck-port'], own.METRICS_PORT);
  for (const { backend: { service } } of ingress.spec.rules[0].http.paths.filter(({ backend }) => backend.service.name !== 'not-found')) {
    assert.ok(find('Service', service.name).spec.ports.some(({ name }) => name === service.port.name));
  }
  // Pings come before the idle timeout ends a socket.
  assert.ok(Number(own.WS_PING_MS ?? /"WS_PING_MS"[^}]*?"(\d+)",/.exec(read('src/base/config.c'))[1]) * 2 <= 60000);
});

test('overlays/prod-gateway: the Gateway leads where it must', () => {
  const { find, of, deployment, container, settingsOf } = look(render('overlays/prod-gateway'));
  const { spec: { rules } } = find('HTTPRoute', 'tiketi');
  const route = (path) => {
    const fits = ({ type, value }) => (type === 'Exact' ? path === value : value === '/' || path === value || path.startsWith(`${value}/`));
    const [best] = rules.flatMap((rule) => rule.matches.map((match) => ({ ...match.path, rule }))).filter(fits)
      .sort((a, b) => (b.type === 'Exact') - (a.type === 'Exact') || b.value.length - a.value.length);
    return best.rule;
  };
  for (const path of ['/metrics', '/livez', '/readyz', '/health']) {
    const [{ type, urlRewrite }] = route(path).filters;
    assert.equal(type, 'URLRewrite');
    assert.ok(!routes().some((one) => one === `GET ${urlRewrite.path.replaceFullPath}`), 'a path that nobody has');
  }
  for (const path of ['/', '/wait/e', '/ws/x', '/metricsx']) assert.equal(route(path).backendRefs[0].name, 'tiketi-api', path);
  const own = settingsOf(container(deployment('api')));
  for (const path of [new URL(own.PUBLIC_WS_URL).pathname, '/socket.io/']) assert.equal(route(path).backendRefs[0].name, 'tiketi-gateway', path);
  for (const { spec } of of('HTTPRoute')) {
    for (const { name, sectionName } of spec.parentRefs) {
      const listener = find('Gateway', name).spec.listeners.find((one) => one.name === sectionName);
      assert.equal(listener.hostname, new URL(own.PUBLIC_URL).host);
    }
    for (const { name, port } of spec.rules.flatMap(({ backendRefs = [] }) => backendRefs)) assert.ok(find('Service', name).spec.ports.some((one) => one.port === port));
  }
  const [{ filters: [{ requestRedirect }] }] = find('HTTPRoute', 'tiketi-to-https').spec.rules;
  assert.equal(requestRedirect.scheme, 'https');
});

// ---- the network ----

each(PRODUCTION, 'nothing goes in or out but what is needed', ({ find, of, workloads, deployment, container, settingsOf }, overlay) => {
  const objects = render(overlay);
  const network = new Network(objects);
  const pod = (name) => ({ labels: labelsOf(workloads.find(({ metadata }) => metadata.name.startsWith(name))) });
  const [api, gateway, processor] = ROLES.map((role) => pod(`tiketi-${role}`));
  const migrate = pod('tiketi-migrate');
  const stranger = { labels: { app: 'shell' } };
  const everybody = [api, gateway, processor, migrate];
  const own = settingsOf(container(deployment('api')));

  // In.
  const proxy = overlay === 'overlays/prod' ? { address: '10.0.3.7' } : { namespace: 'envoy-gateway-system', labels: {} };
  const prometheus = { namespace: 'monitoring', labels: {} };
  const seen = (peer, from) => [api, gateway, processor, migrate].map((to) => from.filter((port) => network.in(peer, to, port)));
  assert.deepEqual(seen(proxy, [8080, 8081, 8082]), overlay === 'overlays/prod' ? [[8080], [8081, 8082], [], []] : [[8080], [8081], [], []]);
  assert.deepEqual(seen(prometheus, [8080, 8081, 8082]), [[8082], [8082], [8082], []]);
  for (const other of [{ address: '203.0.113.9' }, { address: '10.0.99.1' }, { namespace: 'default', labels: {} }, api, stranger]) assert.deepEqual(seen(other, [8080, 8081, 8082]), [[], [], [], []], JSON.stringify(other));
  assert.equal(network.in({ namespace: 'default', labels: {} }, stranger, 80), false);
  if (overlay === 'overlays/prod') {
    assert.ok(within(proxy.address, own.TRUSTED_PROXIES));
    for (const name of ['load-balancer-to-api', 'load-balancer-to-gateway']) assert.deepEqual(find('NetworkPolicy', name).spec.ingress[0].from, [{ ipBlock: { cidr: own.TRUSTED_PROXIES } }], 'who leads in is whose X-Forwarded-For is believed');
  }

  // Out.
  const dns = { namespace: 'kube-system', labels: { 'k8s-app': 'kube-dns' } };
  const database = { address: '10.0.16.9' };
  const redis = overlay === 'overlays/prod' ? { address: '10.0.17.9' } : pod('tiketi-redis');
  const internet = { address: '142.250.1.1' };
  const goes = (peer, port) => everybody.map((from) => network.out(from, peer, port));
  assert.deepEqual(everybody.map((from) => network.out(from, dns, 53, 'UDP')), [true, true, true, true]);
  assert.deepEqual(goes(database, 5432), [true, true, true, true]);
  assert.deepEqual(goes(redis, 6379), [true, true, true, false]);
  for (const port of [443, 465, 587]) assert.deepEqual(goes(internet, port), [true, false, true, false], `${port}`);
  for (const port of [22, 25, 80, 5432, 6379]) assert.deepEqual(goes(internet, port), [false, false, false, false], `${port}`);
  // Not the cloud's metadata service, nothing private, and not the API of Kubernetes.
  for (const address of ['169.254.169.254', '10.0.0.1', '10.96.0.1', '172.16.3.1', '192.168.1.1', '127.0.0.1']) {
    for (const port of [80, 443, 6443]) assert.deepEqual(goes({ address }, port), [false, false, false, false], address);
  }
  assert.deepEqual(goes(dns, 443), [false, false, false, false]);
  assert.deepEqual(goes(api, 8082), [false, false, false, false]);
  assert.ok(of('NetworkPolicy').some(({ metadata, spec }) => metadata.name === 'default-deny' && Object.keys(spec.podSelector).length === 0));
  assert.equal(network.out(stranger, internet, 443), false);
  const command = { labels: parseFile('k8s/command.yaml').metadata.labels };
  assert.deepEqual([[dns, 53, 'UDP'], [database, 5432], [redis, 6379], [internet, 443]].map(([peer, ...port]) => network.out(command, peer, ...port)), [true, true, true, false]);
  assert.ok(overlay === 'overlays/prod' || network.in(command, redis, 6379));
  assert.deepEqual([8080, 8081, 8082].filter((port) => network.in(prometheus, command, port)), []);

  if (overlay !== 'overlays/prod-gateway') return;
  const replica = pod('tiketi-redis-replica');
  assert.deepEqual([api, gateway, processor, migrate, stranger, replica].map((from) => network.in(from, redis, 6379)), [true, true, true, false, false, true]);
  assert.equal(network.in({ namespace: 'default', labels: api.labels }, redis, 6379), false);
  assert.equal(network.out(replica, redis, 6379), true);
  assert.equal(network.out(replica, internet, 443), false);
});
