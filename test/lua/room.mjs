// SPDX-License-Identifier: MIT
//
// The Lua scripts of one event, as the binary calls them: the names of the keys and lua/shared.lua in front of each,
// keys and arguments as their heads say, replies decoded into objects.
//
//   const room = new Room(redis.client, 'e1');
//   await room.configure({ threshold: 10 });
//   const { buyers: [me], size } = await room.join(['u:1']);

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../../lua/', import.meta.url));
const list = readFileSync(fileURLToPath(new URL('../../src/queue/queue_keys.h', import.meta.url)), 'utf8');

// The keys that every script is given, by their names in Lua and without {id}; and those of one script alone.
export const KEY_NAMES = [...list.matchAll(/^ *KEY\(([A-Z_]+), "([a-z:]+)"\)/gm)].map(([, name]) => `K_${name}`);
export const KEYS = [...list.matchAll(/^ *KEY\(([A-Z_]+), "([a-z:]+)"\)/gm)].map(([, , text]) => text);
export const OWN_KEYS = [...list.matchAll(/^ *OWN_KEY\(([A-Z_]+), "([a-z:]+)"\)/gm)].map(([, , text]) => text);

// The text of a script as Redis is given it. override: a folder whose scripts stand in for those of the same name.
export function load(name, override) {
  const own = override && `${override}/${name}.lua`;
  const path = own && existsSync(own) ? own : `${folder}/${name}.lua`;
  const shared = `local ${KEY_NAMES.join()} = unpack(KEYS) ${readFileSync(`${folder}/shared.lua`, 'utf8')}\n`;
  const body = `${shared}${readFileSync(path, 'utf8')}`;
  return { name, path: relative('', path), body, sharedLines: shared.split('\n').length - 1, sha: createHash('sha1').update(body).digest('hex') };
}

// Runs a script that load() has read; tail: the number of keys, the keys and the arguments. Redis names a line of
// the text it was given; the error that is thrown names the line of the file.
export async function call(client, script, tail) {
  try {
    return await client.call('EVALSHA', script.sha, ...tail).catch((error) => {
      if (!error.message.startsWith('NOSCRIPT')) throw error;
      return client.call('EVAL', script.body, ...tail);
    });
  } catch (error) {
    throw new Error(error.message.replace(/@?user_script:(\d+)/g, (_, line) => (
      line <= script.sharedLines ? `lua/shared.lua:${line}` : `${script.path}:${line - script.sharedLines}`)), { cause: error });
  }
}

// The channel of a deployment on database 0, without a prefix.
export const CHANNEL = 'tiketi:0:queue-events';

const NUMBERS = ['status', 'restoring', 'version', 'epoch', 'size', 'inside', 'threshold', 'now', 'seq'];

// The text of limit_text in lua/shared.lua: why no more buyers enter.
export function limitOf(text) {
  const [by, ...numbers] = text.split(' ');
  const [waiting, inside, threshold, base, outflow, wait, seats] = numbers.map((word) => (word === '-' ? null : Number(word)));
  return { by, waiting, inside, threshold, base, outflow, wait, seats };
}

export class Room {
  constructor(client, id, { scripts } = {}) {
    this.client = client;
    this.id = id;
    this.folder = scripts;
    this.scripts = {};
    this.version = 0;
  }

  key(name) {
    return `${name}:{${this.id}}`;
  }

  async run(name, ...args) {
    const script = (this.scripts[name] ??= load(name, this.folder));
    const tail = [KEYS.length, ...KEYS.map((key) => this.key(key)), ...args.map(String)];
    return call(this.client, script, tail);
  }

  // The numbers, and what follows them cut into rows of `width` under `rows`.
  decode(reply, width = 1) {
    const result = { code: reply[0] };
    if (reply[0] !== 'OK') return result;
    NUMBERS.forEach((name, i) => (result[name] = i === 0 ? reply[1] : Number(reply[i + 1])));
    result.restoring = result.restoring === 1;
    result.rest = reply.slice(NUMBERS.length + 1);
    result.rows = [];
    for (let i = 0; i < result.rest.length; i += width) result.rows.push(result.rest.slice(i, i + width));
    return result;
  }

  // The reply about many buyers is one text of four words each; `fields` names those that have a meaning. Or it says
  // that all `count` of them are newcomers in a row, with the place and the position of the first.
  decodeBuyers(reply, fields, count) {
    const result = this.decode(reply);
    let words = result.rest?.[0].split(' ') ?? [];
    if (words[0] === 'newcomers') {
      const [place, position] = words.slice(1).map(Number);
      words = Array.from({ length: count }, (_, i) => ['waiting', place + i, position + i, 0]).flat();
    }
    result.buyers = [];
    for (let i = 0; i < words.length; i += 4) {
      const [place, third, since] = words.slice(i + 1, i + 4).map(Number);
      const names = { active: 'deadline', unclaimed: 'claimFrom' };
      const all = { state: words[i], place, position: 0, deadline: 0, claimFrom: 0, since, [names[words[i]] ?? 'position']: third };
      result.buyers.push(Object.fromEntries(fields.map((name) => [name, all[name]])));
    }
    return result;
  }

  // buyers: ids, or { buyer, mode, network, ticket: {place, epoch}, pass: {place, epoch, since} }.
  async join(buyers, { known = 0 } = {}) {
    const [ids, details] = [[], []];
    let modes = '';
    for (const item of buyers) {
      const { buyer, mode = 'j', network = '', ticket, pass } = typeof item === 'string' ? { buyer: item } : item;
      const letter = { resume: 'r', claim: 'c' }[mode] ?? mode;
      ids.push(buyer);
      if (ticket || pass) {
        modes += letter.toUpperCase();
        details.push(network, [ticket?.place ?? 0, ticket?.epoch ?? 0, pass?.place ?? 0, pass?.epoch ?? 0, pass?.since ?? 0].join(' '));
      } else if (network && letter === 'j') {
        modes += 'n';
        details.push(network);
      } else if (network && letter === 'd') {
        modes += 'D';
        details.push(network, '');
      } else {
        modes += letter;
      }
    }
    const reply = await this.run('join', known, modes, ...ids, ...details);
    return this.decodeBuyers(reply, ['state', 'place', 'position', 'deadline', 'claimFrom', 'since'], ids.length);
  }

  async seen(buyers, { claim = false } = {}) {
    return this.decodeBuyers(await this.run('seen', ...buyers, claim ? 1 : 0), ['state', 'place', 'claimFrom', 'since']);
  }

  // deadline: ms of Redis' clock; 0: the payment is over.
  async pay(buyer, deadline, { claim = true } = {}) {
    return this.decodeBuyers(await this.run('pay', buyer, deadline, claim ? 1 : 0), ['state', 'place', 'deadline', 'since']);
  }

  // buyers: ids, or { buyer, place, epoch }.
  async leave(buyers, reason = 'left') {
    const args = [reason];
    for (const item of buyers) {
      const { buyer, place = 0, epoch = 0 } = typeof item === 'string' ? { buyer: item } : item;
      args.push(buyer, place, epoch);
    }
    return this.decodeBuyers(await this.run('leave', ...args), ['state', 'place']);
  }

  async promote({ lease = this.lease, admit = 0, known = 0, silent = 120000, moves = 500, claim = 90000, part = 'tick' } = {}) {
    const result = this.decode(await this.run('promote', lease, admit, known, silent, moves, CHANNEL, claim, part));
    if (result.code === 'OK') {
      [result.entered, result.idle, result.timeout, result.parked, result.more, result.admitted, result.unclaimed, result.kept] = result.rest.map(Number);
      result.limit = limitOf(result.rest[8]);
    }
    return result;
  }

  // Repeats promote until nothing more is to be done.
  async promoteAll(options) {
    const sum = { entered: 0, idle: 0, timeout: 0, parked: 0, unclaimed: 0, kept: 0, calls: 0 };
    for (;;) {
      const step = await this.promote(options);
      if (step.code !== 'OK') throw new Error(`promote said ${step.code}`);
      for (const name of ['entered', 'idle', 'timeout', 'parked', 'unclaimed', 'kept']) sum[name] += step[name];
      sum.calls++;
      if (!step.more) return { ...step, ...sum };
    }
  }

  async configure(settings = {}, { version = ++this.version, epoch = 1, opened = 1, known = 0, restoreMs = 30000, free = '', freeAdmitted = 0, freeId = '' } = {}) {
    const fields = {
      status: 'open', title: 'Show', artist: '', venue: '', startsAt: 0, opensAt: 0, closesAt: 0, allowGuests: 1,
      seats: 0, threshold: 10, intervalMs: 1000, idleTimeoutMs: 90000, sessionLimitMs: 600000, holdMs: 300000,
      surge: '', outflowPerMinute: 0, autoHold: 1, maxSeats: 4, claimMs: 90000,
      promotion: 'continuous', channel: CHANNEL, ...settings,
    };
    const result = this.decode(await this.run('configure', version, epoch, opened, known, restoreMs, free, freeAdmitted, freeId, ...Object.entries(fields).flat()));
    result.applied = result.rest?.[0] === 1;
    return result;
  }

  // The busiest networks of new places.
  async networks() {
    const result = this.decode(await this.run('networks'), 3);
    result.networks = result.rows?.map(([network, places, refused]) => ({ network, places, refused }));
    return result;
  }

  async clear(epoch) {
    const result = this.decode(await this.run('clear', epoch));
    result.applied = result.rest?.[0] === 1;
    return result;
  }

  // Loads consumed places: [buyer, place], or [buyer, place, kept, used, since] with a later place that was kept. By
  // default the call is a run of its own with one chunk.
  async consumed(list, { epoch = 1, last = 0, run = 'alone', chunk = 0 } = {}) {
    const args = list.flatMap(([buyer, place, kept = 0, used = 0, since = 0]) => [buyer, place, kept, used, since]);
    const result = this.decode(await this.run('consumed', epoch, run, chunk, last, ...args));
    if (result.code === 'OK') [result.applied, result.removed] = result.rest.map(Number);
    return result;
  }

  // Returns what the buyer had (unban: has), and the place that is kept (given back).
  async ban(buyer, { place = 0, epoch = 0, lift = false } = {}) {
    return this.decodeBuyers(await this.run('ban', lift ? 'unban' : 'ban', CHANNEL, '', '', buyer, place, epoch), ['state', 'place']);
  }

  // list: [buyer, place, epoch] of all who are banned. seq: config.banSeq before the list was read.
  async syncBans(list, seq, mark = 0) {
    const result = this.decode(await this.run('ban', 'sync', CHANNEL, seq, mark, ...list.flat()));
    result.applied = result.rest?.[0] === 1;
    return result;
  }

  async leaseVerb(verb, owner = 'me', value = this.lease ?? '', ttl = 60000) {
    const [, held, text, need] = await this.run('lease', verb, owner, value, ttl);
    return { held: held === 1, value: text, needConsumed: need === 1 };
  }

  // Takes the lease and remembers it for promote and index.
  async take(owner = 'me') {
    const { held, value } = await this.leaseVerb('take', owner, '');
    if (held) this.lease = value;
    return held;
  }

  async free(seats, admitted, id = '0-0', keep = 1000000) {
    const result = this.decode(await this.run('free', seats, admitted, id, keep));
    result.applied = result.rest?.[0] === 1;
    return result;
  }

  // cursor: everything up to `after` was consumed.
  async log(after = '0-0', limit = 500, { cursor = false } = {}) {
    const result = this.decode(await this.run('log', after, limit, cursor ? 1 : 0), 10);
    result.entries = result.rows?.map(([id, kind, buyer, place, epoch, at, inside, threshold, n, active]) => ({
      id, kind, buyer, place: Number(place), epoch: Number(epoch), at: Number(at), inside: Number(inside),
      threshold: Number(threshold), n: Number(n), active: active === 1,
    }));
    return result;
  }

  async index(mean = '0', spread = '0', ticks = '0', lease = this.lease) {
    const result = this.decode(await this.run('index', lease, mean, spread, ticks));
    if (result.code !== 'OK') return result;
    const [head, body] = result.rest[0].split('\n');
    const names = ['format', 'version', 'epoch', 'status', 'restoring', 'size', 'inside', 'threshold', 'seq',
      'time', 'seats', 'admitted', 'mean', 'spread', 'ticks', 'count'];
    const blob = Object.fromEntries(head.split(' ').map((value, i) => [names[i], value]));
    let rank = 0;
    let place = 0;
    blob.samples = body === '' ? [] : body.split(' ').map((pair) => {
      const [dr, dp] = pair.split(',').map(Number);
      return { rank: (rank += dr), place: (place += dp) };
    });
    return { ...result, text: result.rest[0], blob };
  }

  // Runs a script that has sales:{id} besides.
  runWithSales(name, ...args) {
    const script = (this.scripts[name] ??= load(name, this.folder));
    const keys = [...KEYS, 'sales'].map((key) => this.key(key));
    return call(this.client, script, [keys.length, ...keys, ...args.map(String)]);
  }

  // A hand-over token is redeemed: { code, …, state, place, used }.
  async redeem(buyer, place, { epoch = 1, jti = 'j1', expires = Date.now() + 60000 } = {}) {
    const script = (this.scripts.handoff ??= load('handoff', this.folder));
    const keys = [...KEYS, 'active:handed'].map((key) => this.key(key));
    const result = this.decode(await call(this.client, script, [keys.length, ...keys, buyer, place, epoch, jti, expires].map(String)));
    if (result.code !== 'OK') return result;
    const [state, at, ends, since] = result.rest[0].split(' ');
    return { ...result, state, place: at, payUntil: Number(ends), since: Number(since), used: result.rest[1] === 1 };
  }

  // cursor: the ledger's. Returns the outcome.
  async expire(cursor = '0-0', { sales = false } = {}) {
    return (await this.runWithSales('expire', cursor, sales ? 1 : 0))[1];
  }

  // verb: read or erase.
  async person(verb, buyer, { after = '0-0', count = 1000, cursor = '0-0', places = '', sales = '' } = {}) {
    const [code, state, next, found, waiting, json] = await this.runWithSales('person', verb, buyer, after, count, cursor, places, sales);
    return code === 'OK' ? { state, next, found, waiting, items: JSON.parse(`[${json}]`) } : { code };
  }

  // ---- looking inside ----

  async queue(name = 'queue') {
    const flat = await this.client.zrange(this.key(name), 0, -1, 'WITHSCORES');
    const list = [];
    for (let i = 0; i < flat.length; i += 2) list.push({ buyer: flat[i], place: Number(flat[i + 1]) });
    return list;
  }

  async active() {
    return new Set(await this.client.smembers(this.key('active')));
  }

  // What is known of a place that was left to its buyer: { place, used, since, missed, rest }, or null.
  async kept(buyer) {
    const note = await this.client.hget(this.key('kept'), buyer);
    if (note === null) return null;
    const [place, used, since, missed, rest] = note.split(' ');
    return { place: Number(place), used: used === '' ? undefined : Number(used), since: Number(since), missed: Number(missed), rest: Number(rest) };
  }

  config(...fields) {
    return this.client.hmget(this.key('config'), ...fields);
  }

  set(...pairs) {
    return this.client.hset(this.key('config'), ...pairs);
  }

  // The time in which heartbeats are kept: Redis' clock less the gaps.
  async service() {
    const [s, us] = await this.client.time();
    return Number(s) * 1000 + Math.floor(Number(us) / 1000) - Number((await this.config('gapMs'))[0] ?? 0);
  }

  // Sets the last heartbeat (or another time of a buyer) to `ms` ago.
  async age(name, buyer, ms) {
    await this.client.zadd(this.key(name), (await this.service()) - ms, buyer);
  }

  async wholeLog() {
    return (await this.client.xrange(this.key('log'), '-', '+')).map(([id, list]) => {
      const entry = { id };
      for (let i = 0; i < list.length; i += 2) entry[list[i]] = /^\d+$/.test(list[i + 1]) && list[i] !== 'buyer' ? Number(list[i + 1]) : list[i + 1];
      return entry;
    });
  }
}

// When the clock of a ClockedRoom begins, ms.
export const BEGIN_MS = 1_800_000_000_000;

// Redis' clock cannot be moved, so the scripts read theirs from a key. One such room at a time in a Redis.
export class ClockedRoom extends Room {
  constructor(client, id, { mutate = (body) => body } = {}) {
    super(client, id);
    for (const name of ['configure', 'clear', 'lease', 'free', 'join', 'leave', 'promote', 'seen']) {
      const script = load(name);
      const body = script.body.replace("local time = call('TIME')", "local time = redis.call('LRANGE', 'clock', 0, 1)");
      assert.notEqual(body, script.body, `${name}.lua reads the clock in another way`);
      const mutated = mutate(body);
      this.scripts[name] = { ...script, body: mutated, sha: createHash('sha1').update(mutated).digest('hex') };
    }
  }

  // The lease is renewed meanwhile, or the time would count as one in which Redis was out of reach.
  async setClock(ms) {
    for (; this.lease && ms - this.clock > 2500; await this.leaseVerb('renew')) await this.write(this.clock + 2500);
    await this.write(ms);
  }

  async write(ms) {
    this.clock = ms;
    const us = (BEGIN_MS + ms) * 1000;
    await this.client.multi().del('clock').rpush('clock', Math.floor(us / 1e6), us % 1e6).exec();
  }
}

const ENTERS = ['direct', 'offered', 'restored'];
const ENDS = ['left', 'idle', 'timeout', 'completed', 'unclaimed', 'idle_kept', 'banned'];
const KEEPS = ['unclaimed', 'idle_kept', 'parked', 'banned', 'barred']; // the place: it may enter again
const SKIPPED = ['unclaimed', 'idle_kept', 'parked', 'banned', 'barred', 'withdrawn', 'left', 'idle', 'timeout', 'completed'];

// Proves from the log alone that no admission exceeded its threshold: the number inside after each entry is the one
// that the entry has; admissions are numbered without a gap, and each later entry of one has its number; an offer is
// claimed at most once; no place enters again after it was consumed. order: buyers enter in the order of their places,
// but for places that were set aside and have returned, which enter before all behind them (only for a log whose places were all given by this Redis).
export function replay(log, { order = false } = {}) {
  const inside = new Map(); // buyer -> { place, n, claimed }
  const consumed = new Map();
  const aside = new Set(); // buyers who are parked, or have returned and not entered since
  const back = new Map(); // of these, those that have returned: buyer -> place
  let n = 0;
  let highest = 0;
  const broken = [];
  for (const entry of log) {
    const say = (text) => broken.push(`${entry.id}: ${text}`);
    const { kind, buyer, place } = entry;
    const admission = inside.get(buyer);
    if (kind === 'cleared') {
      for (const each of [inside, consumed, aside, back]) each.clear();
      highest = 0;
    } else if (ENTERS.includes(kind)) {
      if (admission) say(`${buyer} enters twice`);
      if (place <= (consumed.get(buyer) ?? 0)) say(`${buyer} enters with ${place}, which is consumed`);
      if (order && kind !== 'restored' && place < highest && !aside.has(buyer)) say(`${buyer} was overtaken`);
      if (order && kind !== 'restored' && aside.has(buyer) && !back.has(buyer)) say(`${buyer} enters without having returned`);
      back.delete(buyer);
      const [passed] = order && kind !== 'restored' ? [...back].find(([, lower]) => lower < place) ?? [] : [];
      if (passed) say(`${buyer} enters before ${passed}, who had returned to a lower place`);
      if (kind !== 'restored') highest = Math.max(highest, place);
      aside.delete(buyer);
      inside.set(buyer, { place, n: ++n, claimed: kind !== 'offered' });
      if (entry.n !== n) say(`admission ${n} is numbered ${entry.n}`);
      if (inside.size > entry.threshold) say(`${inside.size} inside, threshold ${entry.threshold}`);
    } else if (kind === 'claimed' || ENDS.includes(kind)) {
      if (admission?.place !== place) say(`${buyer} was not inside at ${place}`);
      if (admission?.n !== entry.n) say(`${kind} of admission ${admission?.n} is numbered ${entry.n}`);
      if (['claimed', 'unclaimed'].includes(kind) && admission?.claimed) say(`${kind}, but the turn was claimed`);
      if (['idle', 'idle_kept', 'timeout'].includes(kind) && admission?.claimed === false) say(`${kind}, but the turn was not claimed`);
      if (kind === 'claimed') admission.claimed = true;
      else inside.delete(buyer);
    } else if (kind === 'returned') {
      if (order && !aside.has(buyer)) say(`${buyer} returns, but was not parked`);
      back.set(buyer, place);
    } else if (!['withdrawn', 'parked', 'barred', 'outflow', 'by_hand'].includes(kind)) {
      say(`unknown kind ${kind}`);
    }
    if (SKIPPED.includes(kind)) back.delete(buyer);
    if (KEEPS.includes(kind)) aside.add(buyer);
    else if (SKIPPED.includes(kind)) {
      aside.delete(buyer);
      consumed.set(buyer, Math.max(place, consumed.get(buyer) ?? 0));
    }
    if (entry.inside !== inside.size) say(`${inside.size} inside, log says ${entry.inside}`);
  }
  return { inside, broken };
}

// Proves from the log alone that outflowPerMinute was kept: between any two admissions, however far apart, there are at
// most as many as come in that time at this rate, and one second's worth (at least one). Windows end where the rate
// changes; restored admissions, and those by hand, do not count. Returns what is broken, and the fullest 10 s as a share
// of what is allowed.
export function flow(log) {
  const broken = [];
  let worst = 0;
  let rate = 0;
  let byHand = 0;
  let times = [];
  let clock = 0;
  let now = 0; // never goes back: a step back of the clock is no time
  for (const { kind, place, at } of log) {
    now += Math.max(0, at - clock);
    clock = at;
    if (kind === 'outflow') [rate, times] = [place, []];
    if (kind === 'by_hand') byHand = place;
    if (kind === 'offered' && byHand-- > 0) continue;
    if (rate === 0 || !['direct', 'offered'].includes(kind)) continue;
    times.push(now);
    const most = (ms) => Math.max(1, rate / 60) + (rate * ms) / 60000;
    times.forEach((since, i) => {
      // Both times are rounded down to ms.
      if (times.length - i > most(now - since + 1) + 1e-6) broken.push(`${times.length - i} in ${now - since} ms at ${rate} a minute`);
    });
    worst = Math.max(worst, times.filter((since) => since > now - 10000).length / most(10000));
  }
  return { broken, worst };
}
