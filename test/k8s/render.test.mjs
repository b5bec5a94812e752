// SPDX-License-Identifier: MIT
//
// Every overlay renders, and every object has the fields that Kubernetes knows, in their types: each becomes a TypeScript
// literal of its type in kubernetes-types (or @kubernetes-models, of which only the types are used), and tsc refuses
// what the type lacks. kubectl would pass over an unknown field in a CRD, and no cluster is at hand.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { appendFileSync, cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { before, test } from 'node:test';
import { promisify } from 'node:util';
import { parse } from 'yaml';
import { FILE, made } from '../../k8s/components/monitoring/generate.mjs';
import { privateFolder } from '../fixtures/process.mjs';
import { ROOT } from '../fixtures/server.mjs';
import { K8S, OVERLAYS, PRODUCTION, files, look, parseFile, read, render } from './support.mjs';

const CRDS = {
  'gateway.networking.k8s.io/v1': (kind) => [`@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1/${kind}`, `I${kind}`],
  'monitoring.coreos.com/v1': (kind) => [`@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/${kind}`, `I${kind}`],
  'keda.sh/v1alpha1': (kind) => [`@kubernetes-models/keda/keda.sh/v1alpha1/${kind}`, `I${kind}`],
};

// The module and the name of an object's type.
function typeOf({ apiVersion, kind }) {
  if (CRDS[apiVersion]) return CRDS[apiVersion](kind);
  const [group, version] = apiVersion.includes('/') ? apiVersion.split('/') : ['core', apiVersion];
  return [`kubernetes-types/${group.replace(/\.k8s\.io$/, '')}/${version}`, kind];
}

// What may not pass, each made of an object that is right.
const MUTANTS = {
  'a field that no container has': [['overlays/prod', 'Deployment', 'tiketi-api'], (one) => (one.spec.template.spec.containers[0].securityContext.readOnlyRootFileSystem = true)],
  'a text for a number': [['overlays/prod', 'HorizontalPodAutoscaler', 'tiketi-api'], (one) => (one.spec.maxReplicas = '20')],
  'a field one level too high': [['overlays/prod', 'NetworkPolicy', 'to-redis'], (one) => (one.ports = [])],
  'a field that is missing': [['overlays/prod', 'Service', 'tiketi-api'], (one) => delete one.spec.ports[0].port],
  'a probe of another kind': [['base', 'Deployment', 'tiketi-gateway'], (one) => (one.spec.template.spec.containers[0].livenessProbe.http = {})],
  'a scrape with a wrong key': [['overlays/prod', 'PodMonitor', 'tiketi'], (one) => (one.spec.podMetricsEndpoints[0].intervall = '15s')],
  'a rule without an expression': [['overlays/prod', 'PrometheusRule', 'tiketi'], (one) => delete one.spec.groups[0].rules[0].expr],
  'a route with a wrong match': [['overlays/prod-gateway', 'HTTPRoute', 'tiketi'], (one) => (one.spec.rules[1].matches[0].path.typ = 'Exact')],
  'a listener without a port': [['overlays/prod-gateway', 'Gateway', 'tiketi'], (one) => delete one.spec.listeners[0].port],
  'a trigger without its type': [['overlays/prod-gateway', 'ScaledObject', 'tiketi-api'], (one) => delete one.spec.triggers[0].type],
};

let complaints; // of tsc, by file

before(async () => {
  const folder = join(ROOT, 'build/k8s');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const write = (name, objects) => writeFileSync(join(folder, `${name}.ts`), objects.map((one, i) => {
    const [module, type] = typeOf(one);
    return `import type { ${type} as T${i} } from '${module}';\nexport const o${i}: T${i} = ${JSON.stringify(one, null, 2)};\n`;
  }).join(''));
  for (const overlay of OVERLAYS) write(overlay.replace('/', '_'), render(overlay));
  write('command', [parseFile('k8s/command.yaml')]);
  Object.values(MUTANTS).forEach(([[overlay, kind, name], change], i) => {
    const one = look(render(overlay)).find(kind, name);
    change(one);
    write(`mutant_${i}`, [one]);
  });
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: { strict: true, noEmit: true, skipLibCheck: true, module: 'esnext', moduleResolution: 'bundler', types: [], target: 'es2022' },
    include: ['*.ts'],
  }));
  const { stdout } = await promisify(execFile)(join(ROOT, 'node_modules/.bin/tsc'), ['--pretty', 'false', '-p', folder], { cwd: folder })
    .catch((error) => (typeof error.code === 'number' ? error : Promise.reject(error)));
  complaints = stdout.split('\n').filter((line) => / error TS\d+: |^error TS/.test(line));
});

for (const overlay of OVERLAYS) {
  test(`${overlay}: every object has the fields that Kubernetes knows`, () => {
    assert.ok(render(overlay).length >= 11);
    assert.deepEqual(complaints.filter((line) => line.startsWith(`${overlay.replace('/', '_')}.ts`) || line.startsWith('error')), []);
  });
}

test('the pod for commands has them, too', () => {
  assert.deepEqual(complaints.filter((line) => line.startsWith('command.ts') || line.startsWith('error')), []);
});

for (const [i, what] of Object.keys(MUTANTS).entries()) {
  test(`refused: ${what}`, () => {
    assert.match(complaints.filter((line) => line.startsWith(`mutant_${i}.ts`)).join('\n'), /error TS(2322|2353|2741|2739|2561)/);
  });
}

test('each object is there once, and those of a namespace are in one', () => {
  for (const overlay of OVERLAYS) {
    const objects = render(overlay);
    const names = objects.map(({ kind, metadata }) => `${kind} ${metadata.name}`);
    assert.deepEqual([...new Set(names)], names);
    if (overlay === 'base') continue;
    for (const { kind, metadata } of objects) assert.equal(metadata.namespace, ['Namespace', 'PriorityClass'].includes(kind) ? undefined : overlay === 'overlays/dev' ? 'tiketi-dev' : 'tiketi', `${kind} ${metadata.name}`);
  }
});

test("an overlay's own settings, images and patches are stronger than what it is made of", () => {
  const copy = privateFolder('k8s');
  cpSync(K8S, copy, { recursive: true });
  const overlay = join(copy, 'overlays/prod');
  appendFileSync(join(overlay, 'settings.env'), 'QUEUE_THRESHOLD=3000\nDB_POOL_MAX=5\nLOG_LEVEL=warn\n');
  const path = join(overlay, 'kustomization.yaml');
  const kustomization = parse(readFileSync(path, 'utf8'));
  Object.assign(kustomization.images[0], { newName: 'registry.example.org/shop/tiketi', newTag: 'v2' });
  kustomization.patches.push({ target: { kind: 'HorizontalPodAutoscaler', name: 'tiketi-api' }, patch: JSON.stringify([{ op: 'replace', path: '/spec/maxReplicas', value: 30 }]) });
  writeFileSync(path, JSON.stringify(kustomization));
  const { find, deployment, container, settingsOf, of } = look(render(overlay));
  const { QUEUE_THRESHOLD, DB_POOL_MAX, LOG_LEVEL, QUEUE_PROCESSOR_INTERVAL } = settingsOf(container(deployment('api')));
  assert.deepEqual([QUEUE_THRESHOLD, DB_POOL_MAX, LOG_LEVEL, QUEUE_PROCESSOR_INTERVAL], ['3000', '5', 'warn', '5000']);
  assert.equal(settingsOf(container(deployment('gateway'))).DB_POOL_MAX, '2', "a role's own");
  assert.equal(find('HorizontalPodAutoscaler', 'tiketi-api').spec.maxReplicas, 30);
  assert.deepEqual(of('Job').map(({ metadata, spec }) => [metadata.name, spec.template.spec.containers[0].image]), [['tiketi-migrate-v2', 'registry.example.org/shop/tiketi:v2']]);
});

test('every component is used by an overlay, so that it is tested', () => {
  const used = new Set(OVERLAYS.slice(1).flatMap((overlay) => parseFile(`k8s/${overlay}/kustomization.yaml`).components.map((path) => path.split('/').at(-1))));
  const all = new Set(files('k8s/components').map((path) => path.split('/')[2]));
  assert.deepEqual([...used].sort(), [...all].sort());
  assert.equal(PRODUCTION.length, 2);
});

test('the PrometheusRule is monitoring/rules', () => {
  assert.equal(readFileSync(FILE, 'utf8'), made(), 'run `make monitoring`');
  const { spec } = parse(made());
  assert.deepEqual(spec, parse(read('monitoring/rules/tiketi.rules.yaml')));
  assert.ok(spec.groups.length > 3);
});
