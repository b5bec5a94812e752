// SPDX-License-Identifier: MIT
//
// A managed Redis over TLS: what k8s/components/redis-tls and redis-tls-client give to the pods, and a Redis, Sentinels and a
// cluster over TLS that the program reaches with just that.

import assert from 'node:assert/strict';
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, Organizer, Postgres, Redis, Server, freePort, keeper, privateFolder, runTiketi, testAuthority } from '../fixtures/index.mjs';
import { ROLES, look, read, render, settings } from './support.mjs';

const keep = keeper();
const postgres = await keep(Postgres.start());
const { deployment, container, settingsOf } = look(render('overlays/managed-redis'));
const given = (role) => Object.fromEntries(Object.entries(settingsOf(container(deployment(role)))).filter(([name]) => name.startsWith('REDIS_')));
const FILES = { REDIS_TLS_CA: 'ca.crt', REDIS_TLS_CERT: 'tls.crt', REDIS_TLS_KEY: 'tls.key' };

test('each role has the files of the Secret, and the settings that name them; what is without the components has neither', () => {
  for (const role of ROLES) {
    const { volumes, initContainers: [init] } = deployment(role).spec.template.spec;
    assert.deepEqual(volumes, [{ name: 'redis-tls', secret: { secretName: 'tiketi-redis-tls' } }]);
    // Without subPath: then a renewed file comes into the pod.
    assert.deepEqual(container(deployment(role)).volumeMounts, [{ name: 'redis-tls', mountPath: '/etc/tiketi/redis', readOnly: true }]);
    assert.equal(init.volumeMounts, undefined, 'what waits for the schema asks no Redis');
    assert.deepEqual(given(role), Object.fromEntries(Object.entries(FILES).map(([name, file]) => [name, `/etc/tiketi/redis/${file}`])));
    const prod = look(render('overlays/prod'));
    assert.equal(prod.deployment(role).spec.template.spec.volumes, undefined);
    assert.ok(!Object.keys(prod.settingsOf(prod.container(prod.deployment(role)))).some((name) => name.startsWith('REDIS_')));
  }
  for (const name of Object.keys(FILES)) assert.ok(settings().has(name), name);
  const head = read('k8s/components/redis-tls-client/kustomization.yaml');
  for (const file of Object.values(FILES)) assert.ok(head.includes(`--from-file=${file}`), file);
});

// The mounted Secret, as a folder.
const authority = testAuthority();
const mounted = privateFolder('secret');
const { cert, key } = authority.sign('pod');
for (const [from, name] of [[authority.file, 'ca.crt'], [cert, 'tls.crt'], [key, 'tls.key']]) copyFileSync(from, join(mounted, name));
const environmentOf = (role) => Object.fromEntries(Object.entries(given(role)).map(([name, path]) => [name, path.replace('/etc/tiketi/redis', mounted)]));


// A Redis whose port of TLS asks for a certificate; the other one is the test's.
async function strict() {
  const redis = await Redis.start({ kind: 'single' });
  const own = authority.sign('strict');
  const port = await freePort();
  for (const [name, value] of [['tls-cert-file', own.cert], ['tls-key-file', own.key], ['tls-ca-cert-file', authority.file], ['tls-auth-clients', 'yes'], ['tls-port', port]]) {
    await redis.cli('CONFIG', 'SET', name, value);
  }
  return { url: `rediss://127.0.0.1:${port}`, stop: () => redis.stop() };
}

const kinds = {
  'one server that asks for a certificate': ['rediss:', strict],
  Sentinels: ['rediss+sentinel:', () => Redis.start({ kind: 'sentinel', tls: {} })],
  'a cluster': ['rediss+cluster:', () => Redis.start({ kind: 'cluster', tls: {} })],
};

for (const [kind, [scheme, start]] of Object.entries(kinds)) {
  test(`${kind}: reached over TLS with what the pods are given, and sold on`, { timeout: 60000 }, async () => {
    const redis = await keep(start());
    assert.ok(redis.url.startsWith(scheme));
    assert.ok(read('docs/kubernetes.md').includes(`| \`${scheme}//`), 'the document has a URL of this kind');
    const database = await postgres.migrated();
    const server = await keep(Server.start({ redis: { url: redis.url }, database, env: { ...environmentOf('api'), METRICS_PORT: await freePort() } }));
    const event = await new Organizer(server).sale({ threshold: 1 });
    assert.equal((await new Client(server, { sub: 'first' }).check(event.id)).body.status, 'active');
  });
}

test('without the client\'s certificate the same server is named as one that asks for it', { timeout: 60000 }, async () => {
  const redis = await keep(strict());
  const { REDIS_TLS_CA } = environmentOf('api');
  const database = await postgres.migrated();
  const { stdout } = await runTiketi(['serve', '--check-config'], { REDIS_URL: redis.url, DATABASE_URL: database.url, REDIS_TLS_CA }, { expect: 78 });
  assert.match(stdout, /^problem +REDIS_URL: .*Set REDIS_TLS_CERT and REDIS_TLS_KEY/m);
});
