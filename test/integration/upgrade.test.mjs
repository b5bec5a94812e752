// SPDX-License-Identifier: MIT
//
// What docs/operations.md promises about releases: the next one is rolled out, and one step is taken back, in the middle
// of a sale. The release before is the commit named in test/fixtures/previous.mjs; it is built from this repository's history.

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import { Client, Organizer, Postgres, Redis, ROOT, Server, exchange, freePort, pay, runTiketi, uniqueId, waitUntil } from '../fixtures/index.mjs';
import { PREVIOUS, buildPrevious } from '../fixtures/previous.mjs';

let postgres;
let redis;
let previous;

before(async () => {
  [postgres, redis, previous] = await Promise.all([Postgres.start(), Redis.start(), buildPrevious(PREVIOUS)]);
});
after(() => Promise.all([redis?.stop(), postgres?.stop()]));

// Buyers who come one after another, through any of the pods: each joins, is let in by a tick, holds a seat and pays. What
// a page would try again is tried again.
class Sale {
  constructor(pods, id) {
    Object.assign(this, { pods, id, sold: 0, wrong: [], going: true, highest: 0 });
    this.buyers = Array.from({ length: 6 }, () => this.run());
    this.watch = this.watchThreshold();
  }

  async ask(buyer, what) {
    for (let n = 0; this.going; n++) {
      buyer.server = this.pods[(this.sold + n) % this.pods.length];
      const answer = await what(buyer).catch((error) => error);
      if (answer.status < 500 && answer.status !== 429) return answer;
      if (answer.status !== 503 && !['ECONNREFUSED', 'ECONNRESET'].includes(answer.code)) this.wrong.push(answer.text ?? answer.message);
      await waitUntil(() => true, 100, 'a moment');
    }
    return undefined;
  }

  async run() {
    while (this.going) {
      const buyer = new Client(this.pods[0]);
      const turn = await waitUntil(async () => {
        const answer = await this.ask(buyer, (one) => one.check(this.id));
        if (answer && answer.status !== 200) this.wrong.push(answer.text);
        return !this.going || answer?.body.status === 'active';
      }, 30000, 'a turn').catch((error) => this.wrong.push(error.message));
      if (!this.going || turn !== true) continue;
      const held = await this.ask(buyer, (one) => one.reserve({ eventId: this.id, quantity: 1 }, { 'idempotency-key': uniqueId('hold') }));
      if (held?.status !== 201) {
        if (held) this.wrong.push(held.text);
        continue;
      }
      const paid = await this.ask(buyer, (one) => pay(one.server, held.body, { reference: held.body.id }));
      if (paid && paid.status !== 200) this.wrong.push(paid.text);
      else if (paid) this.sold++;
    }
  }

  async watchThreshold() {
    const name = `active:{${this.id}}`;
    while (this.going) {
      this.highest = Math.max(this.highest, await redis.cli('SCARD', name));
      await waitUntil(() => true, 100, 'a moment');
    }
  }

  // Ten more are sold, with the pods that there are now.
  async goesOn(what) {
    const before = this.sold;
    await waitUntil(() => this.sold >= before + 10 || this.wrong.length > 0, 20000, `sales: ${what}`);
    assert.deepEqual(this.wrong, [], what);
  }

  async end() {
    this.going = false;
    await Promise.all([...this.buyers, this.watch]);
  }
}

test('sql/functions/oldest is the generation of the program that is tried here', async (t) => {
  if (!previous.bin) {
    t.skip(previous.reason);
    return;
  }
  const first = (text) => Number(/^\d+/.exec(text));
  const { stdout } = await promisify(execFile)('git', ['show', `${PREVIOUS}:sql/functions/generation`], { cwd: ROOT });
  assert.equal(first(readFileSync(`${ROOT}/sql/functions/oldest`, 'utf8')), first(stdout));
});

test('the next release is rolled out in a sale, and one step is taken back: nobody is lost, nothing is sold twice', async (t) => {
  if (!previous.bin) {
    t.skip(previous.reason);
    return;
  }
  const database = await postgres.createDatabase();
  await runTiketi(['migrate'], { DATABASE_URL: database.url }, { bin: previous.bin });

  const pods = [];
  const start = async (old, ready = true) => {
    const port = await freePort();
    const server = new Server({ redis, database, ready: false, ...(old && { bin: previous.bin }), env: { DRAIN_MS: 2000, METRICS_PORT: port } });
    t.after(() => server.kill());
    await server.start();
    server.deep = () => exchange(`http://127.0.0.1:${port}`, 'GET', '/readyz?deep=1').catch(() => ({ status: 0 }));
    if (ready) await waitUntil(async () => (await server.deep()).status === 200, 15000, `the ${old ? 'previous' : 'next'} release`);
    return server;
  };
  const replace = async (at, old) => {
    const fresh = await start(old);
    const [gone] = pods.splice(at, 1, fresh);
    await gone.stop();
  };

  pods.push(await start(true), await start(true));
  const { id } = await new Organizer(pods[0]).sale({ id: uniqueId('upgrade'), grid: { rows: 40, seatsPerRow: 50 }, threshold: 4, intervalMs: 100, autoHold: 0 });
  const sale = new Sale(pods, id);
  t.after(() => sale.end());
  await sale.goesOn('the previous release on its own schema');

  const next = await start(false, false);
  const waiting = await waitUntil(async () => {
    const { status, body } = await next.deep();
    const schema = body?.checks?.find(({ name }) => name === 'postgres-schema');
    return status === 503 && /run tiketi migrate/.test(schema?.detail) && schema;
  }, 10000, 'the next release to name the older schema');
  assert.equal(waiting.ok, false);
  await sale.goesOn('while the next release waits for its schema');

  const { stdout } = await runTiketi(['migrate'], { DATABASE_URL: database.url });
  assert.match(stdout, /applied/);
  await waitUntil(async () => (await next.deep()).status === 200, 10000, 'the next release, without a restart');
  await sale.goesOn('the previous release on the next schema');
  pods.push(next);
  await sale.goesOn('both releases');

  await replace(0, false);
  const [gone] = pods.splice(1, 1);
  await gone.stop();
  assert.ok(pods.every((pod) => pod.bin !== previous.bin));
  await sale.goesOn('the next release alone');

  // The step back: the schema stays.
  await replace(0, true);
  await sale.goesOn('both releases, on the way back');
  await replace(1, true);
  assert.ok(pods.every((pod) => pod.bin === previous.bin));
  await sale.goesOn('the previous release alone, on the next schema');
  assert.match((await runTiketi(['migrate'], { DATABASE_URL: database.url }, { bin: previous.bin, expect: null })).stderr, /of a newer program|^$/);

  await sale.end();
  assert.deepEqual(sale.wrong, []);
  assert.ok(sale.highest > 0 && sale.highest <= 4, `${sale.highest} inside`);
  const [{ seats, reservations }] = await database.query(`SELECT (SELECT count(*)::int FROM seats WHERE event_id = '${id}' AND status = 'sold') AS seats,
    (SELECT count(*)::int FROM reservations WHERE event_id = '${id}' AND status = 'confirmed') AS reservations`);
  assert.equal(seats, reservations);
  assert.ok(seats >= sale.sold && seats <= sale.sold + 6, `${seats} sold, ${sale.sold} told`);
  t.diagnostic(`${sale.sold} sold`);
});
