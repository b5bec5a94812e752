// SPDX-License-Identifier: MIT
//
// Behind a real PgBouncer in transaction mode, where each transaction may run in another session: a whole sale, with the
// settings of our own in force. And without one.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Client, Organizer, PgBouncer, Postgres, Redis, Server, exchange, freePort, many, pay, runTiketi, uniqueId, waitUntil } from '../fixtures/index.mjs';

let postgres;
let redis;

before(async () => {
  [postgres, redis] = await Promise.all([Postgres.start(), Redis.start()]);
});
after(() => Promise.all([redis?.stop(), postgres?.stop()]));

// A database whose own defaults are all wrong for us, and that notes those under which a hold ran.
async function contrary() {
  const database = await postgres.migrated();
  for (const setting of ["default_transaction_isolation = 'serializable'", "timezone = 'Asia/Seoul'", "datestyle = 'SQL, DMY'", "lock_timeout = '1h'", "statement_timeout = '1h'", 'jit = on']) {
    await postgres.query(`ALTER DATABASE ${database.name} SET ${setting}`);
  }
  await database.query(`CREATE TABLE seen (isolation text, zone text, style text, locks text, statements text, jit text, backend integer);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      INSERT INTO seen SELECT current_setting('transaction_isolation'), current_setting('timezone'), current_setting('datestyle'),
        current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('jit'), pg_backend_pid();
      RETURN NULL;
    END $$;
    CREATE TRIGGER note AFTER INSERT ON reservations EXECUTE FUNCTION note()`);
  return database;
}

async function serve(t, database, env = {}) {
  const METRICS_PORT = await freePort();
  const server = await Server.start({ redis, database, env: { DB_POOL_MAX: 12, METRICS_PORT, ...env } });
  t.after(() => server.stop());
  server.checks = async () => {
    const { body } = await exchange(`http://127.0.0.1:${METRICS_PORT}`, 'GET', '/readyz?deep=1');
    return Object.fromEntries(body.checks.map(({ name, ok, detail }) => [name, `${ok ? '' : 'fails: '}${detail}`]));
  };
  return server;
}

const OURS = { isolation: 'read committed', zone: 'UTC', style: 'ISO', locks: '500ms', statements: '5s', jit: 'off' };

// 40 buyers queue, are let in by the ticks, hold, and pay; all at once where that is possible.
async function sell(server, database) {
  const organizer = new Organizer(server);
  const { id } = await organizer.sale({ id: uniqueId('pooled'), grid: { rows: 5, seatsPerRow: 20 }, threshold: 30, intervalMs: 100, autoHold: 0 });
  const buyers = Array.from({ length: 40 }, () => new Client(server));
  const sold = await many(buyers, 40, async (buyer) => {
    await waitUntil(async () => (await buyer.check(id)).body.status === 'active', 20000, 'the turn');
    const held = await buyer.reserve({ eventId: id, quantity: 2 });
    assert.equal(held.status, 201, held.text);
    const { id: reservation } = held.body;
    assert.equal((await buyer.post(`/api/reservations/${reservation}/pay`, { json: {} })).status, 200);
    const paid = await pay(server, held.body);
    assert.equal(paid.status, 200, paid.text);
    return held.body;
  });
  assert.equal(new Set(sold.flatMap(({ seats }) => seats.map(({ id: seat }) => seat))).size, 80, 'no seat twice');
  await waitUntil(async () => (await organizer.stats(id)).seatsSold === 80 || (await database.query(`SELECT count(*)::int AS n FROM seats WHERE event_id = '${id}' AND status = 'sold'`))[0].n === 80, 5000, 'the seats');
  // The ledger copies what the ticks have logged, in transactions of its own.
  await waitUntil(async () => (await database.query(`SELECT count(DISTINCT buyer)::int AS n FROM admissions WHERE event_id = '${id}'`))[0].n === 40, 10000, 'the ledger');
  const seen = await database.query("SELECT DISTINCT isolation, zone, split_part(style, ',', 1) AS style, locks, statements, jit FROM seen");
  assert.deepEqual(seen, [OURS]);
  assert.deepEqual(server.logs.filter(({ level, message }) => level === 'error' || /db (statement failed|connection)/.test(message)), []);
}

for (const [what, settings] of [
  ['that refuses our startup options', {}],
  ['that ignores our startup options', { ignore_startup_parameters: 'options' }],
]) {
  test(`a sale through a PgBouncer ${what}`, async (t) => {
    const pooler = await PgBouncer.start(postgres, settings);
    t.after(() => pooler.stop());
    const database = await contrary();
    const server = await serve(t, database.through(pooler));
    const checks = await server.checks();
    assert.deepEqual(Object.values(checks).filter((detail) => /^fails/.test(detail)), []);
    assert.match(checks['postgres-connections'], /^behind a pooler; this process may open 12$/);
    await sell(server, database);
    const backends = await database.query('SELECT count(DISTINCT backend)::int AS n FROM seen');
    assert.ok(backends[0].n > 1 && backends[0].n <= 3, `${backends[0].n} of the pooler's sessions were used`);
    assert.equal(server.logs.filter(({ message }) => /behind a pooler/.test(message)).length > 0, Object.keys(settings).length === 0, 'said when it was noticed by a refusal');
    // Nothing of ours stays in the pooler's sessions for the next client.
    const others = await many(Array.from({ length: 12 }), 12, () => database.through(pooler).query("SELECT current_setting('lock_timeout') AS locks, current_setting('transaction_isolation') AS isolation"));
    for (const [row] of others) assert.deepEqual(row, { locks: '1h', isolation: 'serializable' });
    await pooler.child.end('SIGKILL');
    await waitUntil(async () => /^fails/.test((await server.checks()).postgres), 5000, 'its loss to be noticed');
    await pooler.start();
    await waitUntil(async () => !/^fails/.test((await server.checks()).postgres), 5000, 'its return');
  });
}

test('without a pooler the same settings are in force, whatever the defaults of the database', async (t) => {
  const database = await contrary();
  const server = await serve(t, database);
  assert.match((await server.checks())['postgres-connections'], /^this process may open 12; 197 are allowed/);
  await sell(server, database);
});

test('migrate refuses a pooler by name, and changes nothing', async (t) => {
  const pooler = await PgBouncer.start(postgres);
  t.after(() => pooler.stop());
  const database = await postgres.createDatabase();
  const { stderr } = await runTiketi(['migrate'], { DATABASE_URL: database.through(pooler).url }, { expect: 1 });
  assert.match(stderr, /DATABASE_URL leads to a pooler such as PgBouncer: migrate by the address of PostgreSQL itself/);
  assert.deepEqual(await database.query("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"), []);
});
