// SPDX-License-Identifier: MIT
//
// What is applied to a cluster: the objects of an overlay, as kustomize renders them, and what is asked of them.
//
//   const objects = render('overlays/prod');
//   const { deployments, find, settingsOf } = look(objects);

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parse, parseAllDocuments } from 'yaml';
import { BIN, ROOT } from '../fixtures/server.mjs';

export const K8S = join(ROOT, 'k8s');
export const ROLES = ['api', 'gateway', 'processor'];
export const OVERLAYS = ['base', ...readdirSync(join(K8S, 'overlays')).sort().map((name) => `overlays/${name}`)];
export const PRODUCTION = OVERLAYS.filter((name) => name.startsWith('overlays/prod'));

export const read = (path) => readFileSync(join(ROOT, path), 'utf8');

export const files = (folder) => readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
  const path = `${folder}/${entry.name}`;
  return entry.isDirectory() ? files(path) : [path];
});

// The path of a program of test/k8s/tool.sh.
const tools = new Map();
export function tool(name) {
  if (!tools.has(name)) tools.set(name, execFileSync(join(ROOT, 'test/k8s/tool.sh'), [name], { encoding: 'utf8' }).trim());
  return tools.get(name);
}

const rendered = new Map();

// A copy each time, so that a test may change it.
export function render(folder) {
  if (!rendered.has(folder)) rendered.set(folder, execFileSync(tool('kustomize'), ['build', resolve(K8S, folder)], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }));
  return parseAllDocuments(rendered.get(folder)).map((document) => document.toJS());
}

// The settings that `tiketi serve --help` lists, each with whether it is a secret.
export function settings() {
  const help = execFileSync(BIN, ['serve', '--help'], { encoding: 'utf8' });
  const names = [...help.matchAll(/^ {2}([A-Z][A-Z0-9_]+) /gm)].map(([, name]) => name);
  const secrets = new Set([...read('src/base/config.c').matchAll(/\{"([A-Z0-9_]+)", KIND_SECRET/g)].map(([, name]) => name));
  return new Map(names.map((name) => [name, secrets.has(name)]));
}

// "GET /livez" …
export const routes = () => execFileSync(BIN, ['routes'], { encoding: 'utf8' }).split('\n').map((line) => line.split(' ').slice(0, 2).join(' '));

// NAME=value of a file for --from-env-file.
export const envFile = (text) => Object.fromEntries(text.split('\n').filter((line) => /^[A-Z]/.test(line)).map((line) => {
  const at = line.indexOf('=');
  return [line.slice(0, at), line.slice(at + 1)];
}));

// The Secrets that the base wants, by its examples: their keys, and their values, which are empty.
export const secrets = () => Object.fromEntries(readdirSync(join(K8S, 'base/secrets')).map((name) => [`tiketi-${name.split('.')[0]}`, envFile(read(`k8s/base/secrets/${name}`))]));

export const matches = (labels = {}, { matchLabels = {}, matchExpressions = [] } = {}) => Object.entries(matchLabels).every(([name, value]) => labels[name] === value)
  && matchExpressions.every(({ key, operator, values }) => {
    if (operator !== 'In') throw new Error(`this evaluator does not know ${operator}`);
    return values.includes(labels[key]);
  });

export function look(objects) {
  const of = (kind) => objects.filter((one) => one.kind === kind);
  const find = (kind, name) => {
    const found = of(kind).filter(({ metadata }) => metadata.name === name);
    if (found.length !== 1) throw new Error(`${found.length} of ${kind} ${name}`);
    return found[0];
  };
  const workloads = objects.filter(({ kind }) => ['Deployment', 'StatefulSet', 'Job'].includes(kind));
  const deployment = (role) => find('Deployment', `tiketi-${role}`);
  const container = (workload) => workload.spec.template.spec.containers[0];
  // What a container's environment is, apart from secrets: { NAME: value }.
  const settingsOf = (one) => Object.assign({}, ...(one.envFrom ?? []).filter(({ configMapRef }) => configMapRef).map(({ configMapRef }) => find('ConfigMap', configMapRef.name).data),
    ...(one.env ?? []).filter(({ value }) => value !== undefined).map(({ name, value }) => ({ [name]: value })));
  // The Secrets that it gets whole, and { NAME: [secret, key] } of single ones.
  const secretsOf = (one) => (one.envFrom ?? []).flatMap(({ secretRef }) => (secretRef ? [secretRef.name] : []));
  const keysOf = (one) => Object.fromEntries((one.env ?? []).flatMap(({ name, valueFrom }) => (valueFrom?.secretKeyRef ? [[name, valueFrom.secretKeyRef]] : [])));
  // How many pods there may be: [at least, at most], by whoever decides.
  const pods = (workload) => {
    const { name } = workload.metadata;
    const hpa = of('HorizontalPodAutoscaler').find(({ spec }) => spec.scaleTargetRef.name === name);
    const scaled = of('ScaledObject').find(({ spec }) => spec.scaleTargetRef.name === name);
    if (hpa) return [hpa.spec.minReplicas, hpa.spec.maxReplicas];
    if (scaled) return [scaled.spec.minReplicaCount, scaled.spec.maxReplicaCount];
    return [workload.spec.replicas, workload.spec.replicas];
  };
  return { of, find, workloads, deployments: of('Deployment'), deployment, container, settingsOf, secretsOf, keysOf, pods };
}

export const parseFile = (path, options) => parse(read(path), options);
