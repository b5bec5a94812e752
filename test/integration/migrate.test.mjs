// SPDX-License-Identifier: MIT
//
// tiketi migrate with the schema of sql/: what it creates and what it refuses. test/unit/net/test_db.c tests the
// rules on small schemas.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { Postgres } from '../fixtures/postgres.mjs';
import { Child, freePort } from '../fixtures/process.mjs';
import { BIN, Server, environment, exchange, inspect, runTiketi } from '../fixtures/server.mjs';
import { waitUntil } from '../fixtures/wait.mjs';

const folder = new URL('../../sql/', import.meta.url);
const files = (name) => readdirSync(new URL(`${name}/`, folder)).filter((file) => file.endsWith('.sql')).sort();

let postgres;

before(async () => {
  postgres = await Postgres.start();
});

after(() => postgres.stop());

const migrate = (database, options) => runTiketi(['migrate'], { DATABASE_URL: database.url }, options);

async function functionsOf(database) {
  return database.query(`SELECT proname AS name, pg_get_functiondef(oid) AS text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace ORDER BY oid::regprocedure::text`);
}

test('several pods migrate an empty database at once; a further run has nothing to do', async () => {
  const database = await postgres.createDatabase();
  const said = (await Promise.all(Array.from({ length: 4 }, () => migrate(database)))).map(({ stdout }) => stdout);
  assert.deepEqual(said.sort().slice(0, 3), ['', '', '']);
  assert.deepEqual(said[3].trim().split('\n'), [
    ...files('migrations').map((name) => `applied ${name}`), ...files('functions').map((name) => `applied functions: ${name}`)]);
  assert.equal((await migrate(database)).stdout, '');
});

test('--wait changes nothing, says what it waits for, and ends when another one has migrated', async () => {
  const database = await postgres.createDatabase();
  const failed = await runTiketi(['migrate', '--wait', '1s'], { DATABASE_URL: database.url }, { expect: 1 });
  assert.match(failed.stdout, /^waiting: the database has no schema, [^\n]*run tiketi migrate[^\n]*\n$/);
  assert.match(failed.stderr, /^tiketi migrate: the database has no schema/);
  assert.deepEqual(await database.query("SELECT FROM pg_tables WHERE schemaname = 'public'"), []);
  const waiting = new Child(BIN, ['migrate', '--wait', '1m'], { env: environment({ DATABASE_URL: database.url }) });
  await waitUntil(() => waiting.output.includes('waiting: '), 10000, 'its reason');
  await migrate(database);
  assert.equal((await waiting.exited).code, 0, waiting.output);
  inspect(waiting.output);
  assert.equal((await runTiketi(['migrate', '--wait', '1m'], { DATABASE_URL: database.url })).stdout, '');
  assert.match((await runTiketi(['migrate', '--wait', '1s'], { DATABASE_URL: `postgresql://127.0.0.1:${await freePort()}/x` }, { expect: 1 })).stderr, /refused/);
});

test('each function is defined once, and the database has no others', async () => {
  const defined = files('functions').flatMap((name) => [...readFileSync(new URL(`functions/${name}`, folder), 'utf8')
    .matchAll(/^CREATE (?:OR REPLACE )?FUNCTION (\w+)/gm)].map(([, found]) => found));
  assert.deepEqual([...new Set(defined)].sort(), [...defined].sort());
  const found = (await functionsOf(await postgres.migrated())).map(({ name }) => name);
  assert.deepEqual(found.sort(), defined.sort());
});

test('functions whose text differs are replaced, and no others', async () => {
  const database = await postgres.migrated();
  const whole = await functionsOf(database);
  await database.query("CREATE OR REPLACE FUNCTION as_uuid(p_text text) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'");
  await database.query("UPDATE schema_migrations SET checksum = 'x' WHERE name = 'functions/common.sql'");
  assert.equal((await migrate(database)).stdout, 'applied functions: common.sql\n');
  assert.deepEqual(await functionsOf(database), whole);
});

test('functions of a newer program are left alone', async () => {
  const database = await postgres.migrated();
  await database.query("CREATE OR REPLACE FUNCTION as_uuid(p_text text) RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'");
  await database.query(`UPDATE schema_migrations SET generation = generation + 1, checksum = 'x' WHERE generation IS NOT NULL`);
  const newer = await functionsOf(database);
  const recorded = await database.query('SELECT * FROM schema_migrations ORDER BY name');
  assert.match((await migrate(database)).stdout, /^left the functions alone: generation \d+ is newer than this program's \d+\n$/);
  assert.deepEqual(await functionsOf(database), newer);
  assert.deepEqual(await database.query('SELECT * FROM schema_migrations ORDER BY name'), recorded);
});

for (const [what, change, said] of [
  ['that a newer program has migrated', "INSERT INTO schema_migrations (name, checksum) VALUES ('9999_later.sql', 'x')",
    /the database has migration 9999_later\.sql of a newer program/],
  ['whose migration had another text', "UPDATE schema_migrations SET checksum = 'x' WHERE name = '0001_initial.sql'",
    /migration 0001_initial\.sql was changed after it was applied/],
  ['of a development version', "DELETE FROM schema_migrations; INSERT INTO schema_migrations VALUES ('001_events.sql', '')",
    /the schema of a development version \(001_events\.sql\), which cannot be upgraded: create an empty database/],
]) {
  test(`a database ${what} is refused and stays as it is`, async () => {
    const database = await postgres.migrated();
    await database.query(change);
    const recorded = await database.query('SELECT * FROM schema_migrations ORDER BY name');
    const { stdout, stderr } = await migrate(database, { expect: 1 });
    assert.equal(stdout, '');
    assert.match(stderr, said);
    assert.deepEqual(await database.query('SELECT * FROM schema_migrations ORDER BY name'), recorded);
  });
}

for (const encoding of ['LATIN1', 'SQL_ASCII']) {
  test(`a database in ${encoding} is refused by migrate, and serve says why it is not ready`, async () => {
    const name = `other_${encoding.toLowerCase()}`;
    await postgres.query(`CREATE DATABASE ${name} TEMPLATE template0 ENCODING ${encoding} LC_COLLATE 'C' LC_CTYPE 'C'`);
    const database = postgres.database(name);
    const { stdout, stderr } = await migrate(database, { expect: 1 });
    assert.equal(stdout, '');
    assert.match(stderr, new RegExp(`the database stores text as ${encoding}.*ENCODING 'UTF8'`));
    assert.deepEqual(await database.query("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"), []);

    const METRICS_PORT = await freePort(); // the others stay closed
    const pod = await Server.start({ redis: { url: 'redis://127.0.0.1:1' }, database, roles: 'api', ready: false, env: { METRICS_PORT } });
    try {
      const line = await waitUntil(() => pod.logs.find(({ error }) => /server_encoding/.test(error)), 10000, 'the reason in the log');
      assert.equal(line.error, `server_encoding is ${encoding}, and must be UTF8`);
      const { status, body } = await exchange(`http://127.0.0.1:${METRICS_PORT}`, 'GET', '/readyz?deep=1');
      assert.equal(status, 503);
      assert.equal(body.postgres, 'down');
      assert.deepEqual(body.checks.find(({ name }) => name === 'postgres-encoding'), { name: 'postgres-encoding', ok: false, detail: line.error });
    } finally {
      await pod.stop();
    }
  });
}
