// SPDX-License-Identifier: MIT
//
// The Lua scripts of one event, as the binary calls them: the names of the keys and lua/shared.lua in front of each,
// keys and arguments as their heads say, replies decoded into objects.
//
//   const room = new Room(redis.client, 'e1');
//   await room.configure({ threshold: 10 });
//   const { buyers: [me], size } = await room.join(['u:1']);

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

const NUMBERS = ['status', 'restoring', 'version', 'epoch', 'size', 'inside', 'threshold', 'now', 'seq'];

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

  // The reply about many buyers is one text of four words each; `fields` names those that have a meaning.
  decodeBuyers(reply, fields) {
    const result = this.decode(reply);
    const words = result.rest?.[0].split(' ') ?? [];
    result.buyers = [];
    for (let i = 0; i < words.length; i += 4) {
      const [place, position, since] = words.slice(i + 1, i + 4).map(Number);
      const all = { state: words[i], place, position, since };
      result.buyers.push(Object.fromEntries(fields.map((name) => [name, all[name]])));
    }
    return result;
  }

  // buyers: ids, or { buyer, mode, ticket: {place, epoch}, pass: {place, epoch, since} }.
  async join(buyers, { known = 0 } = {}) {
    const args = [known];
    for (const item of buyers) {
      const { buyer, mode = 'j', ticket, pass } = typeof item === 'string' ? { buyer: item } : item;
      const proof = ticket || pass
        ? [ticket?.place ?? 0, ticket?.epoch ?? 0, pass?.place ?? 0, pass?.epoch ?? 0, pass?.since ?? 0].join(' ')
        : '';
      args.push(buyer, mode === 'resume' ? 'r' : mode, proof);
    }
    return this.decodeBuyers(await this.run('join', ...args), ['state', 'place', 'position', 'since']);
  }

  async seen(buyers) {
    return this.decodeBuyers(await this.run('seen', ...buyers), ['state', 'place', 'since']);
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

  async promote({ lease = this.lease, admit = 0, known = 0, silent = 120000, moves = 500 } = {}) {
    const result = this.decode(await this.run('promote', lease, admit, known, silent, moves));
    if (result.code === 'OK') {
      [result.entered, result.idle, result.timeout, result.parked, result.more, result.admitted] = result.rest.map(Number);
    }
    return result;
  }

  // Repeats promote until nothing more is to be done.
  async promoteAll(options) {
    const sum = { entered: 0, idle: 0, timeout: 0, parked: 0, calls: 0 };
    for (;;) {
      const step = await this.promote(options);
      if (step.code !== 'OK') throw new Error(`promote said ${step.code}`);
      for (const name of ['entered', 'idle', 'timeout', 'parked']) sum[name] += step[name];
      sum.calls++;
      if (!step.more) return { ...step, ...sum };
    }
  }

  async configure(settings = {}, { version = ++this.version, epoch = 1, opened = 1, known = 0, restoreMs = 30000, free = '', freeAdmitted = 0, freeId = '' } = {}) {
    const fields = {
      status: 'open', title: 'Show', artist: '', venue: '', startsAt: 0, opensAt: 0, closesAt: 0, allowGuests: 1,
      seats: 0, threshold: 10, intervalMs: 1000, idleTimeoutMs: 90000, sessionLimitMs: 600000, holdMs: 300000,
      surge: '', outflowPerMinute: 0, autoHold: 1, maxSeats: 4, ...settings,
    };
    const result = this.decode(await this.run('configure', version, epoch, opened, known, restoreMs, free, freeAdmitted, freeId, ...Object.entries(fields).flat()));
    result.applied = result.rest?.[0] === 1;
    return result;
  }

  async clear(epoch) {
    const result = this.decode(await this.run('clear', epoch));
    result.applied = result.rest?.[0] === 1;
    return result;
  }

  // Loads consumed places. By default the call is a run of its own with one chunk.
  async consumed(pairs, { epoch = 1, last = 0, run = 'alone', chunk = 0 } = {}) {
    const result = this.decode(await this.run('consumed', epoch, run, chunk, last, ...pairs.flat()));
    if (result.code === 'OK') [result.applied, result.removed] = result.rest.map(Number);
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

// Proves from the log alone that no admission exceeded its threshold: the number inside after each entry is the one
// that the entry has, and admissions are numbered without a gap.
export function replay(log) {
  const inside = new Map();
  let n = 0;
  const broken = [];
  for (const entry of log) {
    const admission = ['direct', 'promote', 'restored'].includes(entry.kind);
    if (entry.kind === 'cleared') inside.clear();
    else if (admission) {
      if (inside.has(entry.buyer)) broken.push(`${entry.id}: ${entry.buyer} enters twice`);
      inside.set(entry.buyer, entry.place);
      n++;
      if (entry.n !== n) broken.push(`${entry.id}: admission ${n} is numbered ${entry.n}`);
      if (inside.size > entry.threshold) broken.push(`${entry.id}: ${inside.size} inside, threshold ${entry.threshold}`);
    } else if (entry.kind !== 'withdrawn') {
      if (inside.get(entry.buyer) !== entry.place) broken.push(`${entry.id}: ${entry.buyer} was not inside at ${entry.place}`);
      inside.delete(entry.buyer);
    }
    if (entry.inside !== inside.size) broken.push(`${entry.id}: ${inside.size} inside, log says ${entry.inside}`);
  }
  return { inside, broken };
}
