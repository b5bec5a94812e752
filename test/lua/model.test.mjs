// SPDX-License-Identifier: MIT
//
// Long random histories of one event, run on a real Redis and on the model (model.mjs): after every call both must
// agree on the reply and on the state of every buyer. Each history is made from a seed, which a failure names:
// TIKETI_SEED=n runs that one alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Redis, TIKETI_SEED, dice, seedOf, settings } from '../fixtures/index.mjs';
import { Model } from './model.mjs';
import { KEYS, Room, replay } from './room.mjs';

const STEPS = 800;
const SEEDS = TIKETI_SEED !== undefined ? [TIKETI_SEED] : Array.from({ length: 12 }, (_, i) => i + 1);

let redis;
before(async () => {
  redis = await Redis.start({ args: ['--appendonly', 'no'] });
});
after(() => redis.stop());

const PAST = 1000;
const FUTURE = 4e12;
const NETWORKS = ['192.0.2.0/24', '198.51.100.0/24', '2001:db8:1:2::/64'];
const CONSUMING = ['left', 'idle', 'timeout', 'completed', 'withdrawn'];
const written = new Map(); // by field of the live copy: the values that the histories have set

class History {
  constructor(seed, crowd) {
    this.roll = dice(seed);
    this.room = new Room(redis.client, `m${seed}-${crowd}`);
    this.model = new Model();
    this.crowd = Array.from({ length: crowd }, (_, i) => (i % 2 ? `u:${i}` : `g:"${i}`));
    this.proofs = new Map(this.crowd.map((buyer) => [buyer, []])); // every place the buyer was ever given
    this.record = new Map(); // what PostgreSQL has recorded of this epoch: buyer -> { consumed, kept }, places
    this.consumed = 0;
    this.epoch = 1; // in PostgreSQL
    this.version = 0;
    this.runs = 0;
    this.highest = 0;
    this.score = 1e9; // times long past, all different
    this.trace = [];
  }

  get surge() {
    return this.model.settings.surge.map((rule) => rule.join(':')).join(',');
  }

  someBuyers(max) {
    return Array.from({ length: 1 + this.roll.below(max) }, () => this.roll.any(this.crowd));
  }

  // A former place of the buyer, if there is one.
  proof(buyer) {
    const own = this.proofs.get(buyer);
    return own.length ? this.roll.any(own.slice(-4)) : undefined;
  }

  latest(buyer) {
    return this.proofs.get(buyer).at(-1);
  }

  same(actual, expected, what) {
    assert.deepEqual(actual, expected, what);
  }

  numbers(result) {
    const { model } = this;
    this.same(
      { status: result.status, restoring: result.restoring, version: result.version, epoch: result.epoch, size: result.size, inside: result.inside, threshold: result.threshold },
      { status: model.settings.status, restoring: model.restoring, version: model.version, epoch: model.epoch, size: model.queue.size, inside: model.active.size, threshold: model.threshold },
      'the numbers',
    );
    assert.ok(result.seq >= model.seq, 'seq is at least every place given');
    if (model.seqAtLeast) model.seqAtLeast = false;
    else assert.equal(result.seq, model.seq, 'seq');
    model.seq = result.seq;
    this.highest = Math.max(this.highest, result.seq);
  }

  // ---- steps ----

  async join() {
    const rush = this.roll.chance(0.3); // a call without proofs, by buyers who want a place: join.lua has a way of its own for it
    const buyers = this.someBuyers(this.roll.chance(0.1) ? 60 : 8).map((buyer) => {
      if (rush) return this.roll.chance(0.5) ? { buyer, mode: 'j' } : { buyer, mode: 'j', network: this.roll.any(NETWORKS) };
      const item = { buyer, mode: this.roll.any(['resume', 'resume', 'claim', 'd', 'd', 'j', 'j', 'j']) };
      if (this.roll.chance(0.8)) item.network = this.roll.any(NETWORKS);
      if (this.roll.chance(0.6)) item.ticket = this.roll.chance(0.8) ? this.latest(buyer) : this.proof(buyer);
      if (this.roll.chance(0.25)) {
        const place = this.roll.chance(0.8) ? this.latest(buyer) : this.proof(buyer);
        // A pass of the turn that ended for idleness is older than what is known of that turn; one of a later turn is newer.
        const ended = place && this.model.keptNote(buyer, place.place).idle && this.roll.chance(0.5);
        if (place?.inside) item.pass = { ...place, ended, since: ended ? 1 : Date.now() + 5000 };
      }
      return item;
    });
    const known = this.roll.chance(0.5) ? this.highest : 0;
    const restoredTo = Number((await this.room.config('restoredTo'))[0] ?? 0);
    const result = await this.room.join(buyers, { known });
    this.model.restoredTo = restoredTo;
    const expected = this.model.join(buyers, known, (i) => result.buyers[i].place);
    this.numbers(result);
    result.buyers.forEach((actual, i) => {
      const { buyer } = buyers[i];
      const want = expected[i];
      assert.equal(actual.state, want.state, `${buyer}: state`);
      if (want.place !== undefined) assert.equal(actual.place, want.place, `${buyer}: place`);
      assert.equal(actual.position, want.position ?? 0, `${buyer}: position`);
      assert.equal(actual.since > 0, ['active', 'direct', 'offered'].includes(actual.state), `${buyer}: since`);
      this.remember(buyer, actual.place);
    });
    this.rememberPasses();
  }

  // Keeps tickets and passes, as buyers do.
  remember(buyer, place, inside = false) {
    if (place === 0) return;
    const own = this.proofs.get(buyer);
    const known = own.find((proof) => proof.place === place && proof.epoch === this.model.epoch);
    if (known) known.inside ||= inside;
    else own.push({ place, epoch: this.model.epoch, inside });
  }

  // Only a claimed turn has a pass.
  rememberPasses() {
    for (const [buyer, place] of this.model.active) this.remember(buyer, place, !this.model.offered.has(buyer));
  }

  async pay() {
    const buyer = this.roll.any([...this.model.active.keys(), ...this.crowd.slice(0, 2)]);
    const pending = this.roll.chance(0.7);
    const { buyers: [{ state, place, deadline, since }], ...result } = await this.room.pay(buyer, pending ? FUTURE : 0);
    const expected = this.model.pay(buyer, pending);
    this.numbers(result);
    this.same({ state, place }, expected, 'pay');
    assert.equal(deadline, expected.state === 'active' && this.model.paying.has(buyer) ? (this.model.payEnds.get(buyer) ?? FUTURE) : 0);
    assert.equal(since > 0, state === 'active');
    this.rememberPasses();
  }

  async seen() {
    const buyers = this.someBuyers(10);
    const claim = this.roll.chance(0.4);
    const result = await this.room.seen(buyers, { claim });
    const expected = this.model.seen(buyers, claim);
    this.numbers(result);
    this.same(result.buyers.map(({ state, place }) => ({ state, place })), expected, 'seen');
  }

  async leave() {
    const reason = this.roll.any(['left', 'left', 'completed']);
    const buyers = this.someBuyers(4).map((buyer) => {
      const proof = this.roll.chance(0.5) ? this.proof(buyer) : undefined;
      return proof ? { buyer, place: proof.place, epoch: proof.epoch } : { buyer };
    });
    const result = await this.room.leave(buyers, reason);
    this.same(result.buyers, this.model.leave(buyers, reason), `leave (${reason})`);
    this.numbers(result);
  }

  async promote() {
    const options = {
      admit: this.roll.chance(0.2) ? 1 + this.roll.below(5) : 0,
      known: this.roll.chance(0.5) ? this.highest : 0,
      moves: this.roll.any([1, 3, 10, 500]),
      part: this.roll.any(['tick', 'tick', 'check', 'refill']),
    };
    const result = await this.room.promote(options);
    const { entered, idle, timeout, parked, unclaimed, kept, more } = result;
    const expected = this.model.promote(options);
    this.same({ entered, idle, timeout, parked, unclaimed, kept, more }, expected, 'promote');
    this.numbers(result);
    this.limit(result.limit, options.admit === 0);
    assert.ok(entered + idle + timeout + parked + unclaimed + kept <= options.moves, 'bounded');
    assert.equal(result.admitted, this.model.n);
    this.rememberPasses();
  }

  // The reason that is given is the least of the limits, and its numbers are those of the model.
  limit(said, limited) {
    const { model } = this;
    assert.ok(model.limitedBy(limited).includes(said.by), `limited by ${said.by}, not ${model.limitedBy(limited).join(' or ')}`);
    assert.deepEqual([said.waiting, said.inside, said.threshold, said.base, said.outflow], [model.queue.size, model.active.size, model.threshold, model.settings.threshold, model.settings.outflow]);
    const wait = model.settings.outflow > 0 ? (Math.max(0, 1 - model.tokens()) * 60000) / model.settings.outflow : 0;
    assert.ok(Math.abs(said.wait - wait) <= 1000, `the next token is ${said.wait} ms away, not ${wait}`);
    assert.equal(said.wait === 0, wait === 0);
  }

  async stalePromote() {
    const before_ = await this.snapshot();
    const result = await this.room.promote({ lease: this.roll.any(['', '0:me', '1:you', `${this.room.lease} `]) });
    assert.equal(result.code, 'LEASE');
    assert.deepEqual(await this.snapshot(), before_);
  }

  // Makes some buyers silent, idle, inside for too long, or late to claim or to pay.
  async age() {
    const { model, room } = this;
    for (const buyer of this.someBuyers(6)) {
      const old = ++this.score;
      if (model.queue.has(buyer)) {
        await redis.client.zadd(room.key('queue:seen'), old, buyer);
        model.heard.add(buyer);
        model.silent.add(buyer);
      } else if (model.offered.has(buyer)) {
        await redis.client.zadd(room.key('active:offered'), old, buyer);
        model.runOut.set(buyer, old);
      } else if (model.paying.has(buyer)) {
        const over = this.roll.chance(0.6);
        await redis.client.zadd(room.key(over ? 'active:paying' : 'active:since'), over ? old : -old, buyer);
        (over ? model.payEnds : model.late).set(buyer, old);
      } else if (model.active.has(buyer)) {
        const idle = this.roll.chance(0.6);
        await redis.client.zadd(room.key(idle ? 'active:seen' : 'active:since'), old, buyer);
        (idle ? model.idle : model.late).set(buyer, old);
      }
    }
  }

  // All who have sent no heartbeat since they came have been silent for too long: as if the last change of gapMs, which
  // counts as a heartbeat of theirs, were long past.
  async fallSilent() {
    const { model, room } = this;
    await room.set('gapSeq', model.seq, 'gapAt', 1);
    for (const buyer of model.queue.keys()) if (!model.heard.has(buyer)) model.silent.add(buyer);
  }

  // The places that rest have rested long enough.
  async restsEnd() {
    for (const [buyer, note] of this.model.kept) {
      if (!note.rests || this.roll.chance(0.3)) continue;
      const text = await redis.client.hget(this.room.key('kept'), buyer);
      await redis.client.hset(this.room.key('kept'), buyer, text.replace(/\d+$/, '1'));
      note.rests = false;
    }
  }

  // The bucket fills.
  async minutePasses() {
    if (this.model.bucket) this.model.bucket.tokens = this.model.burst();
  }

  // Real time fills the bucket too, by what the model knows nothing of: it is told that it was filled in the future.
  async stopTime() {
    const { bucket } = this.model;
    if (bucket) await this.room.set('outflow', `${Math.round(bucket.tokens * 6e7)} ${(Date.now() + 1e6) * 1000} ${bucket.rate}`);
  }

  settings() {
    const { roll } = this;
    const seats = roll.chance(0.3) ? 1000 : 0;
    return {
      status: roll.any(['open', 'open', 'open', 'open', 'paused', 'scheduled', 'sold_out', 'closed']),
      opensAt: roll.any([...Array(16).fill(0), PAST, FUTURE]),
      closesAt: roll.any([...Array(24).fill(0), PAST, FUTURE, FUTURE]),
      closeGraceMs: roll.any([-1, -1, 0, 1000, FUTURE]),
      closedAt: PAST,
      threshold: roll.any([0, 1, 3, 5, 10, 20]),
      surge: roll.chance(0.4) ? [[5, 12], [10, 15], [15, 4]].slice(0, 1 + roll.below(3)) : [],
      outflow: roll.chance(0.4) ? roll.any([1, 2, 5, 60, 90, 180, 300]) : 0,
      seats,
      placesPerNetwork: roll.any([0, 3, 10, 30]),
      autoHold: roll.any([0, 1, 2]),
      // These do not matter to the model: age() makes times older than any of these limits.
      idleTimeoutMs: roll.any([30000, 90000, 3600000]),
      silentMs: roll.any([30000, 120000]),
      claimMs: roll.any([30000, 90000, 600000]),
      timeZone: roll.any(['', 'Asia/Seoul', 'Europe/Berlin']),
      sessionLimitMs: roll.any([60000, 600000, 86400000]),
      intervalMs: roll.any([100, 1000, 60000]),
      // The lease holder alone reads these.
      thresholdMin: roll.any([0, 10]),
      targetP95Ms: roll.any([500, 1000]),
      targetErrorPercent: 1 + roll.below(100),
      promotion: roll.any(['continuous', 'interval']),
      holdMs: roll.any([1000, 300000]),
      maxSeats: 1 + roll.below(100),
      allowGuests: roll.below(2),
      rehearsal: roll.below(2),
      askEmail: roll.any(['no', 'required']),
      startsAt: roll.any([0, PAST, FUTURE]),
      loginUrl: roll.any(['', 'https://shop.example/sign-in']),
      returnUrls: roll.any(['', 'https://shop.example http://localhost:8000/shop']),
      language: roll.any(['', 'ko', 'ja']),
      ...Object.fromEntries(['title', 'artist', 'venue', 'brandName', 'message', 'links'].map((name) => [name, roll.any(['', 'Show', 'a "b" : 공연, 1:2'])])),
    };
  }

  async write(settings, version, epoch, known) {
    const { outflow, surge, ...rest } = settings;
    const fields = { ...rest, outflowPerMinute: outflow, surge: surge.map((rule) => rule.join(':')).join(',') };
    for (const [name, value] of Object.entries(fields)) written.set(name, (written.get(name) ?? new Set()).add(value));
    const result = await this.room.configure(fields, { version, epoch, known });
    this.model.configure(settings, version, epoch, known);
    this.numbers(result);
  }

  async configure() {
    const version = this.roll.chance(0.8) ? ++this.version : this.roll.below(this.version + 1);
    const epoch = this.roll.chance(0.9) ? this.epoch : this.roll.below(this.epoch + 1);
    await this.write(this.settings(), version, epoch, this.roll.chance(0.3) ? this.highest : 0);
  }

  async open() {
    await this.write({ ...this.settings(), status: 'open', opensAt: 0, closesAt: 0, threshold: 8, outflow: 0, seats: 0 }, ++this.version, this.epoch, 0);
  }

  async clear() {
    if (this.roll.chance(0.5)) {
      this.newEpoch();
      const result = await this.room.clear(this.epoch);
      this.model.bringUpToDate();
      this.same(result.applied, this.model.clear(this.epoch), 'clear');
      this.numbers(result);
    } else {
      this.newEpoch();
      await this.write(this.settings(), ++this.version, this.epoch, 0);
    }
  }

  newEpoch() {
    this.consume();
    this.record.clear();
    this.epoch++;
  }

  async freeSeats() {
    const { model } = this;
    if (!model.configured) return;
    const consumed = this.roll.below(model.n + 1);
    const seats = this.roll.below(12);
    const id = `${1000 + model.n + (model.free?.id ?? 0)}-0`;
    const result = await this.room.free(seats, consumed, id);
    model.bringUpToDate();
    assert.equal(result.applied, true);
    const admitted = Math.max(consumed, model.free?.admitted ?? 0);
    model.free = { seats, admitted, id: model.n + (model.free?.id ?? 0) };
    model.n = Math.max(model.n, admitted);
    this.numbers(result);
  }

  // The consumer copies the log to PostgreSQL.
  consume() {
    for (; this.consumed < this.model.log.length; this.consumed++) {
      const { kind, buyer, place, epoch } = this.model.log[this.consumed];
      const known = this.record.get(buyer) ?? { consumed: 0, kept: 0 };
      if (epoch !== this.epoch) continue;
      if (CONSUMING.includes(kind)) this.record.set(buyer, { ...known, consumed: Math.max(known.consumed, place) });
      if (kind === 'idle_kept') this.record.set(buyer, { ...known, kept: Math.max(known.kept, place) });
    }
  }

  // Redis loses everything; the next call finds no config, and the pod writes it anew.
  async lose() {
    this.consume();
    this.consumed = 0;
    await redis.client.del(...KEYS.map((key) => this.room.key(key)));
    this.model.forgetEverything();
    assert.equal((await this.room.join([this.crowd[0]])).code, 'NOCONFIG');
    assert.equal((await this.room.seen([this.crowd[0]])).code, 'NOCONFIG');
    await this.write(this.settings(), ++this.version, this.epoch, this.highest);
    await this.room.take();
  }

  // A failover loses the last writes; only seq tells.
  async failover() {
    const { model } = this;
    if (model.seq < 10) return;
    model.seq -= 1 + this.roll.below(5);
    await redis.client.set(this.room.key('seq'), String(model.seq));
    const result = await this.room.promote({ known: this.highest });
    model.promote({ admit: 0, known: this.highest, moves: 500 });
    this.numbers(result);
    this.rememberPasses();
  }

  async loadConsumed() {
    this.consume();
    const all = [...this.record].map(([buyer, { consumed, kept }]) => [buyer, consumed, kept > consumed ? kept : 0, 5000, PAST]);
    const chunk = 1 + this.roll.below(5);
    const epoch = this.roll.chance(0.9) ? this.epoch : this.epoch - 1;
    const run = `run ${++this.runs}`;
    let number = 0;
    do {
      const part = all.splice(0, chunk);
      const last = all.length === 0;
      const result = await this.room.consumed(part, { epoch, last: last ? 1 : 0, run, chunk: number++ });
      const removed = this.model.loadConsumed(part, epoch, last, this.windowOver);
      assert.equal(result.removed, removed, 'consumed places removed');
      this.numbers(result);
    } while (all.length > 0);
  }

  async windowEnds() {
    const { model } = this;
    if (!model.restoring) return;
    await this.room.set('restoreUntil', 1);
    if (model.consumedLoaded) model.restoring = false;
    else {
      this.windowOver = true;
      await this.loadConsumed();
      if (!model.consumedLoaded) await this.room.set('restoreUntil', Date.now() + 1e7); // the epoch was wrong
      this.windowOver = false;
    }
  }

  // ---- the comparison ----

  async snapshot() {
    const { client } = redis;
    const pipeline = client.pipeline();
    for (const name of ['queue', 'parked', 'active:place', 'consumed', 'active:n']) pipeline.zrange(this.room.key(name), 0, -1, 'WITHSCORES');
    for (const name of ['queue:seen', 'active:seen', 'active:since', 'active:offered', 'active:paying']) pipeline.zrange(this.room.key(name), 0, -1);
    pipeline.smembers(this.room.key('active'));
    pipeline.hgetall(this.room.key('networks'));
    pipeline.hgetall(this.room.key('kept'));
    const replies = (await pipeline.exec()).map(([error, value]) => {
      if (error) throw error;
      return value;
    });
    const pairs = (flat) => Object.fromEntries(flat.flatMap((value, i) => (i % 2 ? [] : [[value, Number(flat[i + 1])]])));
    const [queue, parked, places, consumed, n] = replies.slice(0, 5).map(pairs);
    const [queueSeen, activeSeen, since, offered, paying, active] = replies.slice(5, 11).map((list) => [...list].sort());
    const networks = Object.fromEntries(Object.entries(replies[11]).map(([name, count]) => [name, Number(count)]));
    const kept = Object.fromEntries(Object.entries(replies[12]).map(([name, note]) => {
      const [place, used, , missed, rest] = note.split(' ');
      return [name, { place: Number(place), idle: used !== '', missed: Number(missed), rests: Number(rest) > 1 }];
    }));
    return { queue, parked, places, consumed, n, queueSeen, activeSeen, since, offered, paying, kept, active, networks };
  }

  async compare() {
    const { model } = this;
    const plain = (map) => Object.fromEntries(map);
    const names = (map) => [...map.keys()].sort();
    const claimed = names(model.active).filter((buyer) => !model.offered.has(buyer));
    const actual = await this.snapshot();
    this.same(actual, {
      queue: plain(model.queue), parked: Object.fromEntries([...model.parked].map(([buyer, place]) => [buyer, model.unclaimed.has(buyer) ? -place : place])),
      places: plain(model.active), consumed: plain(model.consumed), n: plain(model.numbers),
      queueSeen: names(model.heard), active: names(model.active), since: claimed,
      activeSeen: claimed.filter((buyer) => !model.paying.has(buyer)),
      offered: names(model.offered), paying: names(model.paying), kept: plain(model.kept),
      networks: { ...plain(model.networks), ...Object.fromEntries([...model.refused].map(([name, count]) => [`!${name}`, count])) },
    }, 'the state of every buyer');
    assert.equal(new Set([...model.queue.keys(), ...model.parked.keys(), ...model.active.keys()]).size,
      model.queue.size + model.parked.size + model.active.size, 'each buyer is in one state');
  }

  async compareLog() {
    const log = (await this.room.wholeLog()).map(({ id, at, ...entry }) => entry);
    this.same(log, this.model.log, 'the log');
  }

  async run() {
    await this.write({ ...this.settings(), status: 'open', opensAt: 0, closesAt: 0, threshold: 5 }, ++this.version, this.epoch, 0);
    await this.room.take();
    const steps = [['join', 34], ['seen', 10], ['leave', 9], ['promote', 20], ['pay', 4], ['stalePromote', 2], ['age', 8],
      ['minutePasses', 2], ['restsEnd', 4], ['fallSilent', 2], ['configure', 6], ['open', 4], ['clear', 1], ['freeSeats', 3], ['lose', 1], ['failover', 1],
      ['loadConsumed', 1], ['windowEnds', 6]].flatMap(([name, weight]) => Array(weight).fill(name));
    for (let i = 0; i < STEPS; i++) {
      const name = this.roll.any(steps);
      this.trace.push(name);
      await this.stopTime();
      await this[name]();
      await this.compare();
      if (i % 50 === 0 || name === 'lose' || i === STEPS - 1) await this.compareLog();
    }
  }
}

for (const seed of SEEDS) {
  for (const crowd of [12, 60]) {
    test(`a random history agrees with the model: seed ${seed}, ${crowd} buyers`, async () => {
      const history = new History(seed, crowd);
      try {
        await history.run();
      } catch (error) {
        error.message = `seed ${seed}, step ${history.trace.length} (${history.trace.slice(-5).join(', ')}): ${error.message}`;
        throw error;
      }
    });
  }
}

test('the random histories set every setting of an event, each to several values', () => {
  const fieldsOf = (setting) => (setting === 'branding' ? ['brandName'] : [setting]);
  const never = settings.filter((setting) => fieldsOf(setting).some((field) => !(written.get(field)?.size > 1)));
  assert.deepEqual(never, [], 'History.settings() has to set these as well, and the model to obey them');
});

// The log alone must prove that no admission exceeded the threshold, also when the event was cleared.
test('the log of a random history proves that no admission exceeded the threshold', async (t) => {
  const room = new Room(redis.client, 'replay');
  const roll = dice(seedOf(t, 99));
  await room.configure({ threshold: 6 });
  await room.take();
  for (let i = 0; i < 400; i++) {
    const buyers = Array.from({ length: 1 + roll.below(6) }, () => `u:${roll.below(40)}`);
    await room.join(buyers);
    if (roll.chance(0.4)) await room.leave([roll.any(buyers)]);
    if (roll.chance(0.4)) await room.promote({ moves: 1 + roll.below(4) });
    if (roll.chance(0.05)) await room.configure({ threshold: roll.below(12) });
    if (roll.chance(0.01)) await room.clear(2 + i);
  }
  const { broken, inside } = replay(await room.wholeLog());
  assert.deepEqual(broken, []);
  assert.deepEqual([...inside.keys()].sort(), [...(await room.active())].sort());
});
