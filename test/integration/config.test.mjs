// SPDX-License-Identifier: MIT
//
// Settings of real processes: the file, --set and the environment; what is misspelt; all problems at once; what
// `serve --check-config` finds by trying; what a pod says at start about what is off.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  Client, IdentityProvider, MailSink, Organizer, Postgres, Redis, SECRETS, SLOW, Server, freePort, loginTo, oidcSettings, privateFolder, runTiketi,
  selfSigned, waitUntil,
} from '../fixtures/index.mjs';

const folder = privateFolder('config');
const [redis, postgres] = await Promise.all([Redis.start(), Postgres.start()]);
const database = await postgres.migrated();
after(() => Promise.all([redis.stop(), postgres.stop()]));

const BACKENDS = { REDIS_URL: redis.url, DATABASE_URL: database.url };

function file(name, lines) {
  const path = join(folder, name);
  writeFileSync(path, `${lines.join('\n')}\n`);
  return path;
}

// {NAME: [verdict, sentence]} of a check, and its exit code. It must be done in a few seconds.
async function check(env, args = []) {
  const began = performance.now();
  const { code, stdout, stderr } = await runTiketi(['serve', '--check-config', ...args], env, { expect: null });
  assert.ok(performance.now() - began < 8000 * SLOW, 'it takes some seconds at most');
  const found = {};
  for (const [, verdict, name, sentence] of stdout.matchAll(/^(ok|problem) +([^:\n]+): (.*)$/gm)) {
    assert.equal(found[name], undefined, `${name} has two lines:\n${stdout}`);
    found[name] = [verdict, sentence];
  }
  return { code, found, stdout, stderr };
}

// ---- where values come from ----

test('a file, the environment and --set: the stronger one wins, in a running pod and in other commands', async (t) => {
  const path = file('whole.ini', ['# of a test', '[tiketi]', `redis_url = ${redis.url}`, `DATABASE_URL = ${database.url}`,
    ...(redis.tls ? [`redis_tls_ca = ${redis.tls.authority.file}`] : []), `ticket_keys = ${SECRETS.TICKET_KEYS}`, 'queue_threshold = 11', 'queue_silent_ms = 11000', 'queue_claim_ms = 11000', `jwt_secrets = ${SECRETS.JWT_SECRETS}`]);
  chmodSync(path, 0o644);
  const server = await Server.start({
    redis: null, database: null, args: ['--config', path, '--set', 'QUEUE_CLAIM_MS=33000', '--set=drain_ms=5000'],
    env: { TICKET_KEYS: null, JWT_SECRETS: '', QUEUE_SILENT_MS: 22000, QUEUE_CLAIM_MS: 22000 },
  });
  t.after(() => server.stop());
  const { body } = await new Organizer(server).post('/api/admin/events', { json: { title: 'x' } });
  assert.deepEqual([body.threshold, body.silentMs, body.claimMs], [11, 22000, 33000]);
  assert.equal(server.logs.find((line) => line.message === 'settings read from a file').file, path);
  const exposed = () => server.logs.filter((line) => line.message === 'insecure setting' && line.setting === path);
  assert.equal(exposed().length, 1, 'everybody may read the secrets in it');

  const { stdout } = await runTiketi(['token', '--sub', 'kim', '--role=admin', '--config', path], { JWT_SECRETS: null });
  const answer = await server.get('/api/admin/events', { headers: { authorization: `Bearer ${stdout.trim()}` } });
  assert.equal(answer.status, 200);
  assert.match((await runTiketi(['console-link', '--config', path], { TICKET_KEYS: null })).stdout, /^http:\/\/127\.0\.0\.1:8080\/console\/enter\?link=/);
  await runTiketi(['migrate', `--config=${path}`], {});
});

test('a file that nobody else may read is no risk; SIGHUP reads it again', async (t) => {
  const lines = (origin) => [`ticket_keys = ${SECRETS.TICKET_KEYS}`, `allowed_origins = ${origin}`];
  const path = file('reload.ini', lines('https://old.example'));
  chmodSync(path, 0o640);
  const server = await Server.start({ redis, database, args: ['--config', path], env: { TICKET_KEYS: null } });
  t.after(() => server.stop());
  assert.ok(!server.logs.some((line) => line.setting === path));
  const said = (message) => server.logs.filter((line) => line.message === message);
  file('reload.ini', [...lines('https://new.example'), 'alowed_origins = x', 'rate_limit_per_ip = many']);
  server.child.signal('SIGHUP');
  const refused = 'reload refused, all settings stay as they are';
  await waitUntil(() => said(refused).length === 2, 10000, 'both mistakes');
  assert.deepEqual(said(refused).map((line) => line.error), [
    `alowed_origins: no setting has this name: is ALLOWED_ORIGINS meant? (line 3 of ${path})`,
    `RATE_LIMIT_PER_IP: must be an integer from 0 to 1000000, not 'many' (line 4 of ${path})`,
  ]);
  file('reload.ini', lines('https://new.example'));
  server.child.signal('SIGHUP');
  await waitUntil(() => said('reloaded').length === 1, 10000, 'the reload');
  await waitUntil(async () => (await server.get('/api/events', { headers: { origin: 'https://new.example' } })).headers['access-control-allow-origin'], 5000, 'the new origin');
});

test('a wrong command line is a wrong command line; a secret does not belong there', async () => {
  assert.match((await runTiketi(['serve', '--config'], {}, { expect: 64 })).stderr, /--config needs a value: settings/);
  assert.match((await runTiketi(['serve', '--set', ''], {}, { expect: 64 })).stderr, /--set needs a value/);
  assert.match((await runTiketi(['migrate', '--config', '/nonexistent'], {}, { expect: 78 })).stderr, /^tiketi migrate: --config: \/nonexistent cannot be read: No such file/);
  const { stderr } = await runTiketi(['migrate', '--set', 'DATABASE_URL=postgresql://u:hunter2@h/d'], {}, { expect: 78 });
  assert.match(stderr, /DATABASE_URL: a secret does not belong on a command line.*--set DATABASE_URL_FILE=FILE/);
  assert.ok(!stderr.includes('hunter2'));
});

// ---- what is wrong ----

test('all problems are named at once, each once, with the name that was meant', async () => {
  const { stderr } = await runTiketi(['serve'], {
    ...BACKENDS, REDIS_HOST: 'other', TICKET_KEYS: null, QUEUE_TRESHOLD: 2000, DATABSE_URL: 'x', TIKETI_COLOUR: 'red', HTTP_PORT: 'x', LOG_LEVEL: 'loud',
    MAIL_URL: 'http://mail', JWT_SECRETS_FILE: '/nonexistent', OUTBOUND_ALLOW: '10.0.0.0/33', TRUSTED_PROXIES: 'proxy',
  }, { expect: 78 });
  assert.deepEqual(stderr.trim().split('\n').sort(), [
    'tiketi serve: DATABSE_URL: no setting has this name: is DATABASE_URL meant?',
    "tiketi serve: HTTP_PORT: must be an integer from 0 to 65535, not 'x'",
    'tiketi serve: JWT_SECRETS: set either this or JWT_SECRETS_FILE, not both',
    'tiketi serve: LOG_LEVEL: must be debug, info, warn, error or off',
    'tiketi serve: MAIL_FROM: must be set where MAIL_URL is',
    'tiketi serve: MAIL_URL: must be smtp://[user:password@]host[:port] or smtps://…, without a path; in user and password write other characters than letters and digits as %XX',
    "tiketi serve: OUTBOUND_ALLOW: '10.0.0.0/33' is not an IP address or CIDR",
    'tiketi serve: QUEUE_TRESHOLD: no setting has this name: is QUEUE_THRESHOLD meant?',
    'tiketi serve: REDIS_HOST: set either this or REDIS_URL, not both',
    'tiketi serve: TICKET_KEYS: must be set; `tiketi serve --help` describes it',
    'tiketi serve: TIKETI_COLOUR: no setting has this name; `tiketi serve --help` lists them',
    "tiketi serve: TRUSTED_PROXIES: 'proxy' is not an IP address or CIDR",
  ]);
});

test('the variables of Kubernetes for services named tiketi, queue, redis and http are no settings', async (t) => {
  const plain = await Redis.start({ kind: 'single' });
  t.after(() => plain.stop());
  const server = await Server.start({
    redis: null, database,
    env: {
      REDIS_HOST: '127.0.0.1', REDIS_PORT: plain.port, REDIS_SERVICE_HOST: '10.0.0.7', REDIS_PORT_6379_TCP: 'tcp://10.0.0.7:6379',
      TIKETI_API_SERVICE_HOST: '10.0.0.8', TIKETI_API_SERVICE_PORT_HTTP: '80', TIKETI_API_PORT: 'tcp://10.0.0.8:80', TIKETI_API_PORT_80_TCP_ADDR: '10.0.0.8',
      QUEUE_SERVICE_HOST: '10.0.0.9', QUEUE_PORT: 'tcp://10.0.0.9:80', DRAIN_PORT: 'tcp://10.0.0.9:80', METRICS_PORT: 'tcp://10.0.0.9:80',
    },
  });
  t.after(() => server.stop());
  assert.equal((await new Client(server, { sub: 'x' }).get('/api/events')).status, 200);
});

// ---- what is off ----

test('one line says what is off because its setting is unset or empty', async () => {
  const off = async (env) => {
    const server = await Server.start({ redis, database, env });
    const lines = server.logs.filter((line) => line.message === 'features are off, their settings are unset or empty');
    await server.stop();
    return lines.map((line) => [line.level, line.off.replace(/ \([^)]*\)/g, '')]);
  };
  assert.deepEqual(await off({ PAYMENT_WEBHOOK_SECRETS: '', JWT_SECRETS: '' }),
    [['warn', "payment, tokens of the shop's users and staff, mail, push messages"]]);
  const vapid = (await runTiketi(['vapid-key'])).stdout.trim();
  const all = { PAYMENT_URL: 'https://pay.example/', MAIL_URL: 'smtp://127.0.0.1:1', MAIL_FROM: 'a@b.example', VAPID_KEYS: vapid, VAPID_SUBJECT: 'mailto:a@b.example', PUBLIC_URL: 'https://a.example' };
  assert.deepEqual(await off(all), []);
  assert.deepEqual(await off({ ...all, MAIL_URL: '' }), [['warn', 'mail']]);
});

// ---- --check-config ----

test('--check-config: every server that the settings name is reached', async (t) => {
  const tls = selfSigned();
  const sink = await MailSink.start({ tls, user: 'tiketi', password: 'hunter2' });
  const provider = await IdentityProvider.create();
  await provider.serve('http://127.0.0.1:1');
  t.after(() => sink.stop());
  const env = {
    ...BACKENDS, ...oidcSettings(provider), DATABASE_REPLICA_URL: database.url, JWT_JWKS_URL: `${provider.issuer}/jwks`, MAIL_URL: sink.url, MAIL_FROM: 'a@b.example',
    MAIL_CA_FILE: tls.path, PAYMENT_URL: 'http://localhost/pay', TRUSTED_PROXIES: '10.0.0.0/8',
  };
  const { code, found, stdout } = await check(env);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /\nAll settings can be used\.\n$/);
  assert.deepEqual(Object.keys(found).sort(), ['DATABASE_REPLICA_URL', 'DATABASE_URL', 'JWT_JWKS_URL', 'MAIL_CA_FILE', 'MAIL_URL', 'OIDC_ISSUER', 'OUTBOUND_ALLOW',
    'PAYMENT_URL', 'REDIS_URL', 'TICKET_KEYS', 'TRUSTED_PROXIES']);
  assert.ok(Object.values(found).every(([verdict]) => verdict === 'ok'), stdout);
  assert.match(found.DATABASE_URL[1], /^reached, schema \d+$/);
  assert.ok(!stdout.includes('hunter2'), 'no password is printed');
});

test('--check-config: all problems at once, also what only a try shows; exit 78', async () => {
  const nobody = await freePort();
  const { code, found, stdout } = await check({
    REDIS_URL: `redis://127.0.0.1:${nobody}`, DATABASE_URL: `${database.url}?sslmode=bogus`, DATABASE_REPLICA_URL: 'postgresql://tiketi@no-such-host.invalid/x',
    TICKET_KEYS: 'k1:zz', MAIL_URL: 'smtp://no-such-host.invalid', MAIL_FROM: 'a@b.example', MAIL_CA_FILE: '/etc/hostname', OUTBOUND_CA_FILE: '/nonexistent.pem',
    PAYMENT_URL: 'https://no-such-host.invalid/pay', OIDC_ISSUER: `http://127.0.0.1:${nobody}`, OIDC_CLIENT_ID: 'x', OIDC_ROLES: 'it=king', TRUSTED_PROXIES: 'proxy', OUTBOUND_ALLOW: '10.0.0.25, mail',
    HTTP_HOST: '192.0.2.1', HTTP_PORT: 'x', QUEUE_TRESHOLD: 1,
  });
  assert.equal(code, 78);
  assert.match(stdout, /\nThere are problems\.\n$/);
  const expected = {
    REDIS_URL: /Connection refused/, DATABASE_URL: /invalid sslmode value: "bogus"/, DATABASE_REPLICA_URL: /host name cannot be resolved/, TICKET_KEYS: /must be kid:hex/,
    MAIL_URL: /Could not resolve host/, MAIL_CA_FILE: /\/etc\/hostname cannot be read, or has no certificate/, OUTBOUND_CA_FILE: /\/nonexistent\.pem cannot be read/,
    PAYMENT_URL: /there is no host no-such-host\.invalid/, OIDC_ISSUER: /private: name it in OUTBOUND_ALLOW|connect/i, OIDC_ROLES: /where a role is admin/,
    TRUSTED_PROXIES: /'proxy' is not an IP address/, OUTBOUND_ALLOW: /'mail' is not an IP address/, HTTP_HOST: /numeric address of this machine/, HTTP_PORT: /integer/, QUEUE_TRESHOLD: /is QUEUE_THRESHOLD meant/,
  };
  for (const [name, pattern] of Object.entries(expected)) {
    assert.equal(found[name]?.[0], 'problem', `${name} in\n${stdout}`);
    assert.match(found[name][1], pattern);
  }
  assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort());
});

test('--check-config: a database without the schema, one that is not there, a wrong password', async () => {
  const empty = await postgres.createDatabase();
  assert.match((await check({ ...BACKENDS, DATABASE_URL: empty.url })).found.DATABASE_URL.join(), /^problem,.*migrate/);
  assert.match((await check({ ...BACKENDS, DATABASE_URL: `${database.url}_gone` })).found.DATABASE_URL.join(), /^problem,.*does not exist/);
  assert.match((await check({ ...BACKENDS, DATABASE_URL: database.url.replace('tiketi@', 'stranger@') })).found.DATABASE_URL.join(), /^problem,.*stranger/);
  await redis.cli('CONFIG', 'SET', 'requirepass', 'word');
  try {
    assert.match((await check(BACKENDS)).found.REDIS_URL.join(), /^problem,.*NOAUTH/);
    const wrong = await check({ ...BACKENDS, REDIS_URL: loginTo(redis, '', 'hunter2').url });
    assert.match(wrong.found.REDIS_URL.join(), /^problem,.*WRONGPASS/);
    assert.ok(!`${wrong.stdout}${wrong.stderr}`.includes('hunter2'));
  } finally {
    await redis.cli('CONFIG', 'SET', 'requirepass', '');
  }
});

test('--check-config: TLS files that DATABASE_URL names must be there, although libpq connects without them', async () => {
  const tls = selfSigned();
  const of = async (keywords, replica) => (await check({ ...BACKENDS, DATABASE_URL: `${database.url}?${keywords}`, ...(replica && { DATABASE_REPLICA_URL: `${database.url}?${replica}` }) })).found;
  for (const [keyword, path] of [['sslrootcert', '/nonexistent.pem'], ['sslcert', '/nonexistent.crt'], ['sslkey', '/nonexistent.key'], ['sslcrl', '/nonexistent.crl']]) {
    assert.deepEqual((await of(`${keyword}=${path}`)).DATABASE_URL, ['problem', `${keyword}: ${path} cannot be read`]);
  }
  const found = await of(`sslrootcert=${tls.path}&sslcert=${tls.path}&sslkey=engine:hsm`, 'sslcert=/nonexistent.crt');
  assert.equal(found.DATABASE_URL[0], 'ok');
  assert.deepEqual(found.DATABASE_REPLICA_URL, ['problem', 'sslcert: /nonexistent.crt cannot be read']);
});

test('--check-config: servers that do not answer are named in a few seconds', { timeout: 30000 * SLOW }, async () => {
  await Promise.all([redis.pause(), postgres.pause()]);
  try {
    const { code, found } = await check(BACKENDS);
    assert.equal(code, 78);
    assert.equal(found.REDIS_URL[0], 'problem');
    assert.equal(found.DATABASE_URL[0], 'problem');
    assert.equal(found.TICKET_KEYS[0], 'ok');
  } finally {
    await Promise.all([redis.resume(), postgres.resume()]);
  }
});

test('--check-config: a running service is not in the way, and --set is tried before it is put in force', async (t) => {
  const server = await Server.start({ redis, database });
  t.after(() => server.stop());
  const ports = { ...BACKENDS, HTTP_PORT: server.port, WS_PORT: server.wsPort };
  assert.equal((await check(ports)).code, 0);
  const { code, found } = await check(ports, ['--set', 'ALLOWED_ORIGINS=*', '--set', `WS_PORT=${server.port}`]);
  assert.equal(code, 78);
  assert.match(found.ALLOWED_ORIGINS[1], /without a wildcard.*\(--set\)$/);
  assert.match(found.WS_PORT[1], /another port than HTTP_PORT/);
});

test('the help describes every setting, the file and --check-config', () => {
  const help = execFileSync(process.env.TIKETI_BIN ?? 'build/tiketi', ['serve', '--help'], { encoding: 'utf8' });
  for (const pattern of [/--config FILE .*\/etc\/tiketi\/tiketi\.ini/, /--set NAME=VALUE/, /--check-config/, /NAME_FILE/, /ALLOWED_ORIGINS [^[]*\[reload\]\n/, /^Redis and PostgreSQL$/m]) assert.match(help, pattern);
  const settings = help.slice(help.indexOf('Queues'));
  assert.ok(settings.split('\n').every((line) => line.length <= 100), 'a line is too long');
});
