// SPDX-License-Identifier: MIT
//
// Configurations of docs/integrate for programs that are in no package of Debian: each field is one that the program knows, by its
// types or definitions; and the gate, asked as they would ask it, answers what they need.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import protobuf from 'protobufjs';
import { parseAllDocuments } from 'yaml';
import { Client, ROOT, Server, exchange, stage } from '../fixtures/index.mjs';
import { blocks } from './recipe.mjs';
import { schemas } from './schemas.mjs';

const { redis, database, organizer } = await stage();
const server = await Server.start({ redis, database, env: { PATH_PREFIX: '/.tiketi', TRUSTED_PROXIES: '127.0.0.0/8' } });
after(() => server.stop());

const documents = (page) => blocks(page).filter(({ language }) => language === 'yaml').flatMap(({ text }) => parseAllDocuments(text, { merge: true })).map((document) => {
  assert.deepEqual(document.errors.map(String), [], page);
  return document.toJS();
});
const KUBERNETES = documents('kubernetes.md');
const TRAEFIK = documents('traefik.md');
const [ENVOY] = documents('envoy.md');
const find = (list, kind, name) => list.find((one) => one.kind === kind && one.metadata.name === name);
const copy = (value) => JSON.parse(JSON.stringify(value));

// ---- resources of Kubernetes: by tsc ----

const MUTANTS = {
  'a field that forwardAuth does not have': [find(TRAEFIK, 'Middleware', 'tiketi'), (one) => (one.spec.forwardAuth.adress = 'x')],
  'a rule without its kind of match': [find(TRAEFIK, 'IngressRoute', 'shop'), (one) => delete one.spec.routes[0].match],
  'a filter with a field of another': [find(KUBERNETES, 'HTTPRoute', 'shop'), (one) => (one.spec.rules[3].filters[0].externalAuth.htttp = {})],
  'an Ingress without a type of path': [find(KUBERNETES, 'Ingress', 'shop'), (one) => delete one.spec.rules[0].http.paths[0].pathType],
};
let complaints;

before(async () => {
  const [gateway, traefik] = await Promise.all([schemas('gateway-api'), schemas('traefik')]);
  const typeOf = ({ apiVersion, kind }) => {
    if (apiVersion.startsWith('gateway.networking.k8s.io/')) return [join(gateway, apiVersion, kind), `I${kind}`];
    if (apiVersion.startsWith('traefik.io/')) return [join(traefik, apiVersion, kind), `I${kind}`];
    const [group, version] = apiVersion.split('/');
    return [`kubernetes-types/${group.replace(/\.k8s\.io$/, '')}/${version}`, kind];
  };
  const folder = join(ROOT, 'build/recipes');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const write = (name, objects) => writeFileSync(join(folder, `${name}.ts`), objects.map((one, i) => {
    const [module, type] = typeOf(one);
    return `import type { ${type} as T${i} } from '${module}';\nexport const o${i}: T${i} = ${JSON.stringify(one, null, 2)};\n`;
  }).join(''));
  write('kubernetes', KUBERNETES);
  write('traefik', TRAEFIK);
  Object.values(MUTANTS).forEach(([one, change], i) => {
    const changed = copy(one);
    change(changed);
    write(`mutant_${i}`, [changed]);
  });
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({
    compilerOptions: { strict: true, noEmit: true, skipLibCheck: true, module: 'esnext', moduleResolution: 'bundler', types: [], target: 'es2022' }, include: ['*.ts'],
  }));
  const { stdout } = await promisify(execFile)(join(ROOT, 'node_modules/.bin/tsc'), ['--pretty', 'false', '-p', folder], { cwd: folder })
    .catch((error) => (typeof error.code === 'number' ? error : Promise.reject(error)));
  complaints = stdout.split('\n').filter((line) => / error TS\d+: |^error TS/.test(line));
});

for (const name of ['kubernetes', 'traefik']) {
  test(`${name}.md: every object has the fields that its program knows`, () => {
    assert.deepEqual(complaints.filter((line) => line.startsWith(`${name}.ts`) || line.startsWith('error')), []);
  });
}
for (const [i, what] of Object.keys(MUTANTS).entries()) {
  test(`refused: ${what}`, () => assert.match(complaints.filter((line) => line.startsWith(`mutant_${i}.ts`)).join('\n'), /error TS(2322|2353|2741|2739|2561)/));
}

// ---- Envoy: by its protobuf definitions ----

const camel = (name) => name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());
const WRAPPERS = /^\.google\.protobuf\.(?:Bool|UInt32|UInt64|Int32|String|Double|Float)Value$/;

// What of `value` the type does not know, by its path. Definitions are those of JSON: names in snake_case, Any by "@type".
function strangers(root, type, value, at) {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return [`${at}: an object is wanted`];
  if (type.fullName === '.google.protobuf.Any') {
    const { '@type': url, ...rest } = value;
    if (!url) return [`${at}: no @type`];
    return strangers(root, root.lookupType(url.split('/').at(-1)), rest, at);
  }
  return Object.entries(value).flatMap(([name, inner]) => {
    const field = type.fields[camel(name)] ?? type.fields[name];
    const here = `${at}.${name}`;
    if (!field) return [`${here}: ${type.fullName} has no such field`];
    field.resolve();
    const one = (item, where) => checked(root, field.resolvedType, field.type, item, where);
    if (field.map) return Object.entries(inner).flatMap(([key, item]) => one(item, `${here}.${key}`));
    if (field.repeated) return Array.isArray(inner) ? inner.flatMap((item, i) => one(item, `${here}[${i}]`)) : [`${here}: a list is wanted`];
    return one(inner, here);
  });
}

function checked(root, type, scalar, value, at) {
  if (type instanceof protobuf.Enum) return value in type.values ? [] : [`${at}: ${value} is none of ${Object.keys(type.values)}`];
  if (type && WRAPPERS.test(type.fullName)) return typeof value === 'object' ? [`${at}: a plain value is wanted`] : [];
  if (type?.fullName === '.google.protobuf.Duration') return /^\d+(\.\d+)?s$/.test(value) ? [] : [`${at}: ${value} is no duration`];
  if (type) return strangers(root, type, value, at);
  const kind = scalar === 'string' ? 'string' : scalar === 'bool' ? 'boolean' : 'number';
  return typeof value === kind ? [] : [`${at}: a ${kind} is wanted`];
}

async function envoy() {
  const folder = join(await schemas('envoy'), 'deps');
  const root = new protobuf.Root();
  const roots = ['envoy-api', 'xds', 'googleapis', 'protoc-gen-validate'];
  root.resolvePath = (_origin, target) => {
    if (protobuf.common.get(target)) return target;
    return [...roots.map((one) => join(folder, one, target)), join(ROOT, 'node_modules/protobufjs', target)].find((path) => existsSync(path)) ?? target;
  };
  const uses = new Set([...JSON.stringify(ENVOY).matchAll(/type\.googleapis\.com\/([\w.]+)/g)].map(([, name]) => name));
  const files = ['envoy/config/bootstrap/v3/bootstrap.proto', ...[...uses].map((name) => {
    const path = name.split('.').slice(0, -1).join('/');
    const noun = path.split('/').at(-2);
    return [`${path}/${noun}.proto`, `${path}/${noun.replace(/^http_/, '')}.proto`].find((file) => existsSync(join(folder, 'envoy-api', file)));
  })];
  await root.load([...new Set(files)], { keepCase: false });
  return root;
}

test('envoy.md: every field is one of Envoy\'s API, in its type, and a wrong one is found', async () => {
  const root = await envoy();
  const bootstrap = root.lookupType('envoy.config.bootstrap.v3.Bootstrap');
  assert.deepEqual(strangers(root, bootstrap, ENVOY, 'envoy'), []);
  const manager = (one) => one.static_resources.listeners[0].filter_chains[0].filters[0].typed_config;
  const authorization = (one) => manager(one).http_filters[1].typed_config;
  const wrong = {
    'a field that is none': (one) => (authorization(one).fail_open = true),
    'a field one level too high': (one) => (authorization(one).path_prefix = '/x'),
    'a word that is none': (one) => (manager(one).path_with_escaped_slashes_action = 'REJECT'),
    'a text for a number': (one) => (one.static_resources.listeners[0].address.socket_address.port_value = '8000'),
    'a time without its unit': (one) => (one.static_resources.clusters[0].connect_timeout = '2'),
  };
  for (const [what, change] of Object.entries(wrong)) {
    const changed = copy(ENVOY);
    change(changed);
    assert.equal(strangers(root, bootstrap, changed, 'envoy').length, 1, what);
  }
});

// ---- the gate, asked as they do ----

const PAGE = { accept: 'text/html', 'user-agent': 'Mozilla/5.0', 'sec-fetch-mode': 'navigate', host: 'shop.example.com' };
const ask = (method, path, headers) => exchange(server.url, method, path, { headers: { ...PAGE, ...headers } });
const led = (answer) => {
  assert.equal(answer.status, 302, answer.text);
  return answer.headers.location;
};

async function roomful() {
  await organizer.sale({ id: 'demo', threshold: 1, autoHold: 0 });
  const inside = new Client(server);
  assert.equal((await inside.post('/.tiketi/api/queue/check/demo')).body.status, 'active');
  return inside.cookieHeader;
}

test('Envoy, Gateway API, Traefik and ingress-nginx get from the gate what they need, inside and outside', async () => {
  const cookie = await roomful();
  const authorization = ENVOY.static_resources.listeners[0].filter_chains[0].filters[0].typed_config.http_filters[1].typed_config;
  const filter = find(KUBERNETES, 'HTTPRoute', 'shop').spec.rules[3].filters[0].externalAuth;
  for (const prefix of [authorization.http_service.path_prefix, filter.http.path]) {
    assert.equal(led(await ask('GET', `${prefix}/product/7?size=m`)), '/.tiketi/wait/demo?return=%2Fproduct%2F7%3Fsize%3Dm');
    assert.equal(led(await ask('POST', `${prefix}/order`, { 'content-length': '0' })), '/.tiketi/wait/demo');
    for (const method of ['GET', 'POST', 'DELETE']) {
      const answer = await ask(method, `${prefix}/order`, { cookie });
      assert.equal(answer.status, 200);
      assert.match(answer.headers['x-tiketi-buyer'], /^g:/);
    }
  }
  const pathOf = (url) => url.slice(new URL(url).origin.length);
  const { address, authResponseHeaders, addAuthCookiesToResponse } = find(TRAEFIK, 'Middleware', 'tiketi').spec.forwardAuth;
  const forwarded = { 'x-forwarded-uri': '/product/7?size=m', 'x-forwarded-method': 'GET', 'x-forwarded-host': 'shop.example.com', 'x-forwarded-proto': 'https', host: 'tiketi-api.tiketi.svc' };
  assert.equal(led(await ask('GET', pathOf(address), forwarded)), '/.tiketi/wait/demo?return=%2Fproduct%2F7%3Fsize%3Dm');
  const annotations = find(KUBERNETES, 'Ingress', 'shop').metadata.annotations;
  const url = annotations['nginx.ingress.kubernetes.io/auth-url'];
  const original = { 'x-original-url': 'http://shop.example.com/product/7?size=m', 'x-original-method': 'GET' };
  assert.equal((await ask('GET', pathOf(url), original)).status, 401, 'auth-signin leads to the page');
  assert.equal((await ask('GET', pathOf(url), { ...original, cookie })).status, 204);
  assert.equal(new URL(annotations['nginx.ingress.kubernetes.io/auth-signin']).pathname, '/.tiketi/wait/demo');

  // A newcomer over HTTPS, while there is room: the cookie has the name that Traefik is told.
  await organizer.patch('demo', { threshold: 5 });
  let first;
  for (let i = 0; i < 50 && first?.status !== 204; i++) first = await ask('GET', pathOf(address), forwarded);
  assert.equal(first.status, 204, first.text);
  assert.deepEqual(first.headers['set-cookie'].map((line) => line.split('=')[0]), addAuthCookiesToResponse);
  for (const name of authResponseHeaders) assert.ok(first.headers[name.toLowerCase()], name);
});
