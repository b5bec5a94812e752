// SPDX-License-Identifier: MIT
//
// The pods of overlays/prod as processes of this machine: the program, the arguments and the environment that were rendered, on
// a PostgreSQL with the roles of docs/kubernetes.md and a Redis with the configuration of k8s/components/redis. Only
// addresses, ports and the values of secrets are the test's.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { execFileSync } from 'node:child_process';
import { BIN, Child, Client, Organizer, Postgres, ROOT, Redis, SECRETS, Server, Socket, environment, exchange, freePort, inspect, pay, privateFolder, runTiketi, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { K8S, look, read, render, secrets } from './support.mjs';

const prod = look(render('overlays/prod'));
const at = {}; // postgres, database, owner, app, redis, replica

// ---- PostgreSQL as the document has it ----

// The statements of the block in "Roles in PostgreSQL", up to \c and after it.
function documented() {
  const [, block] = /## Roles in PostgreSQL[^]*?```sql\n([^]*?)```/.exec(read('docs/kubernetes.md'));
  return block.split(/^\\c tiketi.*$/m).map((half) => half.split(/;[^\n]*\n/).map((one) => one.replace(/^--.*$/gm, '').trim()).filter(Boolean));
}

async function makeRoles(postgres) {
  const [first, then] = documented();
  for (const statement of first) await postgres.query(statement);
  const database = postgres.database('tiketi');
  for (const statement of then) await database.query(statement);
  const as = (role) => ({ url: database.url.replace('//tiketi@', `//${role}@`) });
  return { database, owner: as('tiketi_owner'), app: as('tiketi_app') };
}

// ---- Redis as the component has it ----

const PASSWORDS = { tiketi: 'p1', replica: 'p2' };

// A redis-server with redis.conf and the files of the Secret, in a folder of its own.
async function startRedis(more = []) {
  const folder = privateFolder('redis');
  for (const name of ['users.acl', 'replica.conf']) {
    writeFileSync(join(folder, name), read(`k8s/components/redis/secret.example/${name}`).replaceAll('REPLICA_PASSWORD', PASSWORDS.replica).replaceAll('PASSWORD', PASSWORDS.tiketi));
  }
  mkdirSync(join(folder, 'data'));
  writeFileSync(join(folder, 'redis.conf'), read('k8s/components/redis/redis.conf').replaceAll('/etc/redis/secret', folder).replace('dir /data', `dir ${folder}/data`));
  const redis = new Redis();
  Object.assign(redis, { port: await freePort(), folder });
  redis.child = new Child('redis-server', [join(folder, 'redis.conf'), '--port', String(redis.port), '--bind', '127.0.0.1', ...more]);
  redis.ask = (user, password, ...command) => execFileSync('redis-cli', ['--no-auth-warning', '-p', String(redis.port), '--user', user, '--pass', password, ...command], { encoding: 'utf8' }).trim();
  await waitUntil(() => redis.ask('probe', 'any', 'ping') === 'PONG', 10000, 'Redis to answer the probe');
  return { redis, url: `redis://tiketi:${PASSWORDS.tiketi}@127.0.0.1:${redis.port}`, info: (section) => Object.fromEntries(redis.ask('tiketi', PASSWORDS.tiketi, 'info', section).split(/\r?\n/).map((line) => line.split(':'))) };
}

// ---- pods ----

// The values of the Secrets; a role gets those of the Secrets that it names.
const values = () => ({
  'tiketi-backends': { REDIS_URL: at.primary.url, DATABASE_URL: at.app.url }, 'tiketi-migrate': { DATABASE_URL: at.owner.url },
  'tiketi-keys': { TICKET_KEYS: SECRETS.TICKET_KEYS, JWT_SECRETS: SECRETS.JWT_SECRETS },
  'tiketi-api': { PAYMENT_WEBHOOK_SECRETS: SECRETS.PAYMENT_WEBHOOK_SECRETS, OIDC_CLIENT_SECRET: '' }, 'tiketi-messages': { MAIL_URL: '', VAPID_KEYS: '' },
});

// What Kubernetes would give the container, and nothing of the tests' own.
function environmentOf(container) {
  const none = Object.fromEntries([...Object.keys(SECRETS), 'TIKETI_TEST_HOOKS'].map((name) => [name, null]));
  const known = values();
  return {
    ...none, ...prod.settingsOf(container), ...Object.assign({}, ...prod.secretsOf(container).map((name) => known[name])),
    ...Object.fromEntries(Object.entries(prod.keysOf(container)).map(([name, secret]) => [name, known[secret.name][secret.key]])),
  };
}

class Pod extends Server {
  constructor(role) {
    super({ roles: role });
    this.container = prod.container(prod.deployment(role));
  }

  async start() {
    this.port = await freePort();
    this.wsPort = await freePort();
    this.env = { ...environmentOf(this.container), HTTP_PORT: this.port, WS_PORT: this.wsPort, METRICS_PORT: await freePort(), TRUSTED_PROXIES: null };
    this.child = new Child(BIN, this.container.args, { env: environment(this.env) });
    this.child.exited.then(() => inspect(this.child.output));
  }

  probe(path) {
    return exchange(`http://127.0.0.1:${this.env.METRICS_PORT}`, 'GET', path);
  }
}

const init = () => prod.deployment('api').spec.template.spec.initContainers[0];
const job = () => prod.of('Job')[0].spec.template.spec.containers[0];
const runContainer = (container, options) => runTiketi(container.args, environmentOf(container), options);

before(async () => {
  const [postgres, primary] = await Promise.all([Postgres.start(), startRedis()]);
  Object.assign(at, { postgres, primary }, await makeRoles(postgres));
});

after(async () => {
  for (const pod of at.pods ?? []) await pod.kill();
  await at.postgres?.stop();
  for (const one of [at.replica, at.primary]) await one?.redis.child.end('SIGTERM');
});

test('a Secret of the base has the values that this test gives', () => {
  assert.deepEqual(Object.fromEntries(Object.entries(values()).map(([name, keys]) => [name, Object.keys(keys).sort()])),
    Object.fromEntries(Object.entries(secrets()).map(([name, keys]) => [name, Object.keys(keys).sort()])));
});

test('a pod that starts before the schema waits for it, says why, and cannot make it; the Job can', async () => {
  const waiting = new Child(BIN, init().args, { env: environment(environmentOf(init())) });
  await waitUntil(() => /^waiting: the database has no schema, .*: run tiketi migrate/m.test(waiting.output), 10000, 'its reason');
  assert.match((await runTiketi(['migrate'], { DATABASE_URL: at.app.url }, { expect: 1 })).stderr, /permission denied/);
  assert.match((await runTiketi(['migrate', '--wait', '1s'], { DATABASE_URL: at.app.url }, { expect: 1 })).stderr, /^tiketi migrate: the database has no schema/);
  assert.ok(waiting.running);
  assert.match((await runContainer(job())).stdout, /^applied 0001_initial\.sql$/m);
  assert.deepEqual(await waiting.exited, { code: 0, signal: null });
  const reasons = waiting.output.split('\n').filter((line) => line.startsWith('waiting:'));
  assert.deepEqual([...new Set(reasons)], reasons, 'each reason once');
  assert.equal((await runContainer(init())).stdout, '', 'and at once, when there is nothing to wait for');
  const client = at.postgres.database('tiketi');
  for (const statement of ['CREATE TABLE t ()', 'ALTER TABLE events ADD x int', 'DROP TABLE seats', 'TRUNCATE admissions', 'CREATE SCHEMA s', "CREATE OR REPLACE FUNCTION as_uuid(p_text text) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'"]) {
    await assert.rejects(client.query.call({ url: at.app.url }, statement), /permission denied|must be owner/, statement);
  }
});

test('what waits is ended by SIGTERM at once, also as the first process of a container', async () => {
  const waiting = new Child(BIN, ['migrate', '--wait', '1h'], { env: environment({ DATABASE_URL: `postgresql://127.0.0.1:${await freePort()}/x` }) });
  await waitUntil(() => /^waiting: .*refused/m.test(waiting.output), 10000, 'its reason');
  // A process with the id 1 is ended only by a signal that it handles.
  const caught = BigInt(`0x${/^SigCgt:\s+(\w+)$/m.exec(execFileSync('cat', [`/proc/${waiting.pid}/status`], { encoding: 'utf8' }))[1]}`);
  for (const signal of [2n, 15n]) assert.equal((caught >> (signal - 1n)) & 1n, 1n);
  waiting.signal('SIGTERM');
  assert.equal((await waiting.exited).code, 143);
});

test('the pods start with what they are given, and sell', async () => {
  at.pods = ['api', 'gateway', 'processor'].map((role) => new Pod(role));
  const [api, gateway, processor] = at.pods;
  for (const pod of at.pods) await pod.start();
  for (const pod of at.pods) {
    const probe = (kind) => pod.probe(pod.container[kind].httpGet.path);
    await waitUntil(async () => (await probe('startupProbe')).status === 200, 15000, `the startup probe of ${pod.roles}`).catch((error) => {
      throw new Error(`${error.message}\n${pod.child.tail()}`);
    });
    for (const kind of ['readinessProbe', 'livenessProbe']) assert.equal((await probe(kind)).status, 200, kind);
    assert.equal(pod.logs.find(({ message }) => message === 'starting').role, pod.roles);
    assert.equal(pod.logs.filter(({ message }) => message === 'insecure setting').length, 0);
    // The connections that the arithmetic of production counts.
    assert.equal(await pod.sum('tiketi_postgres_pool_max'), Number(pod.container.env.find(({ name }) => name === 'DB_POOL_MAX')?.value ?? pod.env.DB_POOL_MAX), pod.roles);
  }
  // What the load balancer asks, and what it must not be able to.
  const ingress = prod.find('Ingress', 'tiketi').metadata.annotations['alb.ingress.kubernetes.io/healthcheck-path'];
  assert.equal((await api.get(ingress)).status, 200);
  assert.equal((await gateway.probe(ingress)).status, 200);
  assert.equal((await api.get('/metrics')).status, 404);
  assert.equal((await api.get('/not-found')).status, 404);

  const organizer = new Organizer(api);
  const { id, threshold, intervalMs, idleTimeoutMs } = await organizer.sale({ id: uniqueId('pods'), grid: { rows: 2, seatsPerRow: 5 } });
  assert.deepEqual([threshold, intervalMs, idleTimeoutMs], [2000, 5000, 60000], 'the values of production are those of a new event');
  await organizer.patch(id, { threshold: 1 });
  const [first, second] = [new Client(api, { sub: 'first' }), new Client(api, { sub: 'second' })];
  await waitUntil(async () => (await first.check(id)).body.claimed === true, 10000, 'the first to enter');
  await second.check(id);
  const socket = await Socket.open(gateway);
  socket.send('join-queue', { eventId: id, token: second.token });
  await socket.next('queue-position');
  await first.leave(id);
  await socket.next('queue-entry-allowed'); // by the processor, and over the gateway
  await waitUntil(async () => (await second.check(id)).body.claimed === true, 10000, 'the second to enter');
  const held = await second.post('/api/reservations', { json: { eventId: id, quantity: 2 }, headers: { 'idempotency-key': uniqueId('key') } });
  assert.equal(held.status, 201, held.text);
  assert.equal((await pay(api, held.body)).status, 200);
  await waitUntil(async () => (await second.get(`/api/reservations/${held.body.id}`)).body.status === 'confirmed', 5000, 'the purchase');
  // The ledger, by the processor, with the rights of tiketi_app.
  await waitUntil(async () => (await at.database.query('SELECT count(*)::int AS n FROM admissions WHERE event_id = $1', [id]))[0].n >= 2, 10000, 'the record');
  assert.ok((await processor.sum('tiketi_ticks_total')) > 0);
  await socket.close?.();
});

test('what people run in a pod has the rights of the pod, and they are enough', async () => {
  const inside = (...args) => runTiketi(args, environmentOf(at.pods[0].container));
  assert.match((await inside('console-link', '--name', 'Kim')).stdout, /^https:\/\/tickets\.example\.com\/console/);
  await inside('console-revoke', '--list');
  await inside('reconcile', '--apply');
  assert.match((await inside('export', '--buyer', 'u:second')).stdout, /reservation/);
  await inside('erase', '--buyer', 'u:second');
  assert.equal((await inside('migrate', '--wait', '1s')).stdout, '');
});

test('the Redis of the component keeps everything, deletes nothing, and has a second copy', async () => {
  const { primary } = at;
  assert.equal(primary.info('memory').maxmemory_policy, 'noeviction');
  assert.equal(primary.info('memory').maxmemory, String(1 << 30));
  assert.equal(primary.info('persistence').aof_enabled, '1');
  at.replica = await startRedis(['--replicaof', '127.0.0.1', String(primary.redis.port)]);
  await waitUntil(() => /state=online/.test(primary.info('replication').slave0 ?? '') && at.replica.info('replication').master_link_status === 'up', 15000, 'the replica');
  primary.redis.ask('tiketi', PASSWORDS.tiketi, 'set', 'lease:{copied}', '1');
  await waitUntil(() => at.replica.redis.ask('tiketi', PASSWORDS.tiketi, 'get', 'lease:{copied}') === '1', 5000, 'the copy');
  // Who may do what.
  assert.match(primary.redis.ask('probe', 'any', 'get', 'lease:{copied}'), /NOPERM/);
  assert.match(primary.redis.ask('tiketi', PASSWORDS.tiketi, 'config', 'get', '*'), /NOPERM/);
  assert.match(primary.redis.ask('tiketi', 'wrong', 'ping'), /WRONGPASS|NOAUTH/);
  assert.match(execFileSync('redis-cli', ['-p', String(primary.redis.port), 'get', 'x'], { encoding: 'utf8' }), /NOAUTH/);
  // The rights are those of the document, and what the pods above have used.
  const [, rights] = /^ACL SETUSER tiketi (.*)$/m.exec(read('docs/operations.md'));
  assert.ok(read('k8s/components/redis/secret.example/users.acl').includes(`user tiketi ${rights}\n`), 'users.acl has other rights than the ACL of docs/operations.md');
});

test('the pods end by SIGTERM within the grace that they are given', async () => {
  for (const pod of at.pods) await pod.stop();
});

test('the Secrets of overlays/dev are those that its pods name, and fit together', () => {
  const dev = look(render('overlays/dev'));
  const made = parseAllDocuments(execFileSync(join(K8S, 'overlays/dev/secrets.sh'), { encoding: 'utf8' })).map((one) => one.toJS());
  const by = Object.fromEntries(made.map(({ metadata, stringData }) => [metadata.name, stringData]));
  const named = new Set(dev.workloads.flatMap(({ spec: { template: { spec } } }) => [
    ...[...(spec.initContainers ?? []), ...spec.containers].flatMap((one) => [...dev.secretsOf(one), ...Object.values(dev.keysOf(one)).map(({ name }) => name)]),
    ...(spec.volumes ?? []).flatMap(({ secret }) => (secret ? [secret.secretName] : [])),
  ]));
  assert.deepEqual(Object.keys(by).sort(), [...named].sort());
  for (const [name, keys] of Object.entries(secrets())) assert.deepEqual(Object.keys(by[name]).sort(), Object.keys(keys).sort(), name);
  const { password, host } = new URL(by['tiketi-backends'].REDIS_URL);
  dev.find('Service', host.split(':')[0]);
  assert.ok(by['tiketi-redis']['users.acl'].includes(`user tiketi on >${password} `));
  const replica = /masterauth (\w+)/.exec(by['tiketi-redis']['replica.conf'])[1];
  assert.ok(replica !== password && by['tiketi-redis']['users.acl'].includes(`user replica on >${replica} `));
  const database = new URL(by['tiketi-backends'].DATABASE_URL);
  assert.equal(database.password, by['tiketi-postgres'].POSTGRES_PASSWORD);
  dev.find('Service', database.hostname);
  assert.match(by['tiketi-keys'].TICKET_KEYS, /^k1:[0-9a-f]{64}$/);
  assert.notEqual(execFileSync(join(ROOT, 'k8s/overlays/dev/secrets.sh'), { encoding: 'utf8' }), '', 'and new ones each time');
});
