// SPDX-License-Identifier: MIT
//
// A client that sends nonsense, on the wire: requests, handshakes and frames that mutate.mjs makes, to one process of all
// roles that was built with the address and undefined behaviour sanitizers. In the first half all is well; in the second
// one Redis and PostgreSQL are stopped (SIGSTOP, the servers' own processes) and their connections are cut.
//
// It fails on a crash, a sanitizer's report, a 500, an answer too many or too few, an answer that is none, a connection
// that hangs, and when a buyer who waits meanwhile is told something else than their own. oracle.mjs decides what may come.
//
// WIRE_SECONDS (30): how long; rounds of two minutes, each with a new database. TIKETI_SEED (1): the seed of the first
// round. Connection i draws from the seed and i alone, but the moment at which it arrives is left to chance. So what was
// sent around a failure is kept in a file, and WIRE_REPLAY=file sends that again.

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { Client, Organizer, Postgres, ROOT, Redis, Server, adminToken, decode, dice, guestCookie, jwt, pause, runTiketi, seedOf, waitUntil } from '../fixtures/index.mjs';
import { closeFrame, httpBytes, socketBytes } from './mutate.mjs';
import { readAnswers, readFrames, readRequests, readSocket } from './oracle.mjs';

const SECONDS = Number(process.env.WIRE_SECONDS ?? 30);
const ROUND_SECONDS = 120;
const WIDTH = 24; // connections at a time
const HANG_MS = 25000; // longer than any deadline of a stopped backend
const KEPT = 64; // connections that a failure's file tells of
const LOG = join(ROOT, process.env.TIKETI_OUT ?? 'build/gcc', 'log');
const PAGES = ['GET /', 'GET /wait/{eventId}', 'GET /wait/{eventId}/leave', 'POST /wait/{eventId}/leave', 'GET /buy/{eventId}',
  'POST /buy/{eventId}', 'GET /assets/{path}', 'GET /brand/{eventId}.css', 'GET /brand/{eventId}/logo'].map((name) => name.split(' '));

const shown = (text) => JSON.stringify(text.length > 1500 ? `${text.slice(0, 1500)}… (${text.length} bytes)` : text);

// One TCP connection: what was received so far, and how it ended: undefined, 'closed' or 'reset'.
class Line {
  constructor(port, localAddress) {
    this.text = '';
    this.socket = connect({ port, host: '127.0.0.1', localAddress, allowHalfOpen: true });
    this.socket.setEncoding('latin1').setNoDelay(true);
    lines.add(this);
    this.socket.on('data', (chunk) => { this.text += chunk; this.woken?.(); });
    this.socket.on('end', () => { this.ended ??= 'closed'; this.socket.end(); this.woken?.(); });
    this.socket.on('error', () => { this.ended ??= 'reset'; this.woken?.(); });
    this.socket.on('close', () => { this.ended ??= 'closed'; this.woken?.(); });
  }

  // In `pieces` writes, each after the loop has turned.
  async send(text, pieces, roll) {
    while (pieces > 1 && text.length > 1 && !this.ended) {
      const cut = 1 + roll.below(text.length - 1);
      await new Promise((resolve) => this.socket.write(text.slice(0, cut), 'latin1', resolve));
      text = text.slice(cut);
      pieces--;
    }
    if (!this.ended) this.socket.write(text, 'latin1');
  }

  // Until done() or the end of the connection. False when neither comes in time.
  async wait(done, deadline = performance.now() + HANG_MS) {
    while (!this.ended && !done()) {
      if (performance.now() > deadline) return false;
      await new Promise((resolve) => (this.woken = resolve));
    }
    return true;
  }

  // Gives up the reading side; the server has to close.
  async finish() {
    this.socket.end();
    return this.wait(() => false);
  }

  drop() {
    lines.delete(this);
    this.socket.destroy();
  }
}
const lines = new Set(); // woken now and then, to look at their deadline

// The server itself and all its processes are stopped, not something that started them.
async function stopped(pid, name) {
  const children = spawnSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' }).stdout;
  for (const one of [pid, ...children.split(/\s+/).filter(Boolean)]) {
    await waitUntil(() => {
      const [, command, state] = /^\d+ \((.*)\) (\S)/.exec(readFileSync(`/proc/${one}/stat`, 'utf8'));
      return state === 'Z' || (command === name && state === 'T'); // Z: it has ended, and its parent is stopped
    }, 2000, `${name} ${one} to be stopped`);
  }
}

class Round {
  constructor(seed, seconds, replay) {
    Object.assign(this, { seed, seconds, replay });
    this.sent = [];
    this.findings = [];
    this.codes = {};
    this.closes = {};
    this.connections = this.sockets = this.next = this.dropped = 0;
  }

  // The processes, and what a connection can draw from.
  async start() {
    [this.redis, this.postgres] = await Promise.all([Redis.start(), Postgres.start()]);
    const database = await this.postgres.migrated();
    this.server = await Server.start({ redis: this.redis, database,
      env: { TRUSTED_PROXIES: '127.0.0.2', ALLOWED_ORIGINS: 'http://tiketi.test', PAYMENT_URL: 'https://pay.example/start', LOG_LEVEL: 'error' } });
    const organizer = new Organizer(this.server);
    const sales = await Promise.all([organizer.sale({ threshold: 50, grid: { rows: 10, seatsPerRow: 40 } }), organizer.sale({ threshold: 0 }), organizer.sale({ open: false })]);
    this.waiting = await organizer.sale({ threshold: 0 });
    this.witness = new Client(this.server, { sub: 'witness' });
    await this.witness.check(this.waiting.id);
    const routes = (await runTiketi(['routes'])).stdout.trim().split('\n').map((line) => line.split(' ').slice(0, 2));
    this.world = {
      routes: [...routes, ...PAGES, ...PAGES, ['GET', '/readyz?deep=1']], pages: PAGES, events: sales.map((sale) => sale.id),
      reservations: ['0b8d1f6c-4b52-4f0e-9a57-6d2a64c1f6f1'], tickets: ['x'], passes: ['x'],
      guests: Array.from({ length: 6 }, () => guestCookie()), buyers: Array.from({ length: 6 }, (_, i) => jwt({ sub: `b${i}` })),
      staff: [adminToken(), jwt({ sub: 'o', role: 'organizer' }), jwt({ sub: 'v', role: 'viewer' })],
    };
  }

  // Cookies, tickets, passes and reservations that answers give, for later connections.
  learn(roll, { headers, body }) {
    const keep = (pool, value) => (pool.length < 12 ? pool.push(value) : (pool[roll.below(pool.length)] = value));
    const { guests, tickets, passes, reservations } = this.world;
    for (const [, kind, value] of (headers['set-cookie'] ?? '').matchAll(/tiketi_(guest|ticket|pass)[^=]*=([^;\n]+)/g)) keep({ guest: guests, ticket: tickets, pass: passes }[kind], value);
    for (const [, kind, value] of body.slice(0, 20000).matchAll(/"(ticket|pass)":"([\w.-]+)"/g)) keep({ ticket: tickets, pass: passes }[kind], value);
    const id = /^\{"id":"([0-9a-f-]{36})"/.exec(body)?.[1];
    if (id) keep(reservations, id);
  }

  find(kind, i, sent, got) {
    this.findings.push({ kind, i, sent, got });
  }

  count(name) {
    this.codes[name] = (this.codes[name] ?? 0) + 1;
  }

  async http(i, roll, text) {
    const expected = readRequests(text);
    const line = new Line(this.server.port, roll.chance(0.3) ? '127.0.0.2' : '127.0.0.1');
    const answered = () => {
      const seen = readAnswers(line.text, expected, false);
      return seen.wrong || (!seen.partial && seen.answers.length >= expected.methods.length && expected.rest === 'none');
    };
    await line.send(text, roll.chance(0.7) ? 1 : 2 + roll.below(4), roll);
    if (roll.chance(0.1)) { // gone before the answer
      if (roll.chance(0.5)) await line.wait(() => line.text !== '', performance.now());
      this.dropped++;
      return line.drop();
    }
    let inTime = true;
    if (expected.rest !== 'incomplete') inTime = await line.wait(answered);
    if (inTime && expected.rest === 'incomplete') await line.wait(() => line.text !== '', performance.now() + roll.below(50));
    if (inTime && !line.ended && roll.chance(expected.rest === 'incomplete' ? 0.2 : 0.3)) inTime = await line.finish();
    const { answers, wrong, partial } = readAnswers(line.text, expected, line.ended === 'closed');
    line.drop();
    for (const answer of answers) {
      this.count(answer.status);
      this.learn(roll, answer);
    }
    if (!this.server.running) return;
    if (wrong) return this.find(wrong, i, text, line.text);
    if (!inTime) return this.find('a connection hangs', i, text, line.text);
    if (partial && line.ended === 'closed') return this.find('half an answer', i, text, line.text);
    if (answers.length > 0) return;
    this.count('none');
    if (line.ended === 'closed' && (expected.methods.length > 0 || expected.rest === 'malformed')) this.find('closed without an answer', i, text, line.text);
  }

  async socket(i, roll, text) {
    const [handshake, frames] = text;
    const expected = readRequests(handshake);
    const line = new Line(this.server.wsPort, roll.chance(0.3) ? '127.0.0.2' : '127.0.0.1');
    await line.send(handshake, roll.chance(0.8) ? 1 : 2 + roll.below(3), roll);
    const complete = expected.rest === 'malformed' || expected.methods.length > 0;
    let inTime = !complete || (await line.wait(() => line.text.includes('\r\n\r\n')));
    const opened = line.text.startsWith('HTTP/1.1 101');
    let sent = handshake;
    if (inTime && opened) {
      this.sockets++;
      sent += `\n--- frames ---\n${frames}`;
      await line.send(frames, roll.chance(0.7) ? 1 : 2 + roll.below(4), roll);
      let { state, closed } = readFrames(frames, true);
      if (state === 'open' && !closed) {
        await line.wait(() => line.text.length > 400, performance.now() + roll.below(200));
        if (roll.chance(0.7)) await line.send(closeFrame(roll), closed = 1, roll);
      }
      const closing = state === 'broken' || closed;
      if (!closing && roll.chance(0.5)) { this.dropped++; return line.drop(); }
      // The server closes where it must; the client then gives up its side, as it does at once where it need not.
      if (closing) inTime = await line.wait(() => readSocket(line.text, false).closing);
      if (inTime && !line.ended) inTime = await line.finish();
    } else if (inTime) {
      inTime = await line.finish();
    }
    line.drop();
    const seen = readSocket(line.text, line.ended === 'closed');
    if (seen.status) this.count(`ws ${seen.status}`);
    for (const { opcode, payload } of seen.frames ?? []) {
      if (opcode !== 8) continue;
      const code = payload.length < 2 ? 'none' : payload.charCodeAt(0) * 256 + payload.charCodeAt(1);
      this.closes[code] = (this.closes[code] ?? 0) + 1;
    }
    if (!this.server.running) return;
    if (seen.wrong) return this.find(seen.wrong, i, sent, line.text);
    if (!inTime) return this.find(opened ? 'a socket hangs' : 'a handshake hangs', i, sent, line.text);
    if (complete && line.text === '' && line.ended === 'closed') this.find('a handshake closed without an answer', i, sent, '');
  }

  async connection() {
    const i = this.next++;
    const roll = dice((this.seed * 1000003 + i) >>> 0);
    const again = this.replay?.[i];
    if (this.replay && !again) return (this.over = true);
    const asSocket = again ? Array.isArray(again) : roll.chance(0.2);
    const text = again ?? (asSocket ? socketBytes(roll, this.world) : httpBytes(roll, this.world));
    this.sent.push(text);
    if (this.sent.length > KEPT) this.sent.shift();
    this.connections++;
    return asSocket ? this.socket(i, roll, text) : this.http(i, roll, text);
  }

  get going() {
    return !this.over && this.server.running && this.findings.length < 20;
  }

  // A buyer who waits is told that they wait, with their own ticket, whatever others send.
  async watch() {
    while (this.going) {
      try {
        const { status, body } = await this.witness.status(this.waiting.id);
        this.witnessed = (this.witnessed ?? 0) + 1;
        const own = status === 200 && body.status === 'queued' && decode(body.ticket).b === 'u:witness';
        if (!own && !(this.shaking && [503, 504].includes(status))) this.find('a buyer was told something else', -1, '', JSON.stringify({ status, body }));
      } catch (error) {
        if (this.server.running) this.find(`a buyer got no answer: ${error.message}`, -1, '', '');
      }
      await pause(250, 'the pace of a waiting buyer');
    }
  }

  async shake() {
    const roll = dice(this.seed);
    const { redis, postgres } = this;
    const moment = () => pause(roll.below(1500), 'how long a backend is stopped differs');
    const ways = {
      redis: async () => { await redis.pause(); await stopped(redis.child.pid, 'redis-server'); await moment(); await redis.resume(); },
      postgres: async () => { await postgres.pause(); await stopped(postgres.child.pid, 'postgres'); await moment(); await postgres.resume(); },
      kill: () => redis.cli('CLIENT', 'KILL', 'TYPE', roll.any(['normal', 'pubsub']), 'SKIPME', 'yes'),
      terminate: () => postgres.query('SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL'),
      flush: () => redis.cli('SCRIPT', 'FLUSH'),
    };
    this.shakes = {};
    this.shaking = true;
    while (this.going) {
      const way = roll.weighted({ redis: 3, postgres: 3, kill: 2, terminate: 2, flush: 1 });
      await ways[way]();
      this.shakes[way] = (this.shakes[way] ?? 0) + 1;
      await pause(roll.below(300), 'the moment of the next one differs');
    }
  }

  async run() {
    await this.start();
    const began = performance.now();
    let flowing = true;
    const flow = async () => { while (this.going) await this.connection(); };
    const clock = async () => {
      while (flowing) {
        const passed = (performance.now() - began) / 1000;
        if (passed > this.seconds && !this.replay) this.over = true;
        if (passed > this.seconds / 2 && this.going) this.shaken ??= this.shake();
        for (const line of lines) line.woken?.();
        await pause(200, 'the pace of the clock');
      }
    };
    const flows = Promise.all([this.watch(), ...Array.from({ length: WIDTH }, flow)]).finally(() => (flowing = false));
    await Promise.all([flows, clock()]);
    await this.shaken;
    if (this.server.running && this.findings.length === 0) await this.recover();
    await this.stop();
  }

  // All is well again: ready, the witness still waits, nobody is left, and the end is a good one.
  async recover() {
    this.shaking = false;
    await waitUntil(async () => (await this.server.get('/readyz?deep=1')).status === 200, 15000, 'readiness after the shakes');
    const { status, body } = await this.witness.check(this.waiting.id);
    assert.deepEqual([status, body.status], [200, 'queued']);
    const open = () => this.server.metric('tiketi_websocket_open');
    await waitUntil(async () => (await open()) === 0, 30000, 'all sockets to be gone');
    await this.server.stop();
  }

  async stop() {
    await this.server.kill();
    await Promise.all([this.redis.stop(), this.postgres.stop()]);
  }
}

test(`${SECONDS} s of mutated requests and frames: no crash, no 500, one answer for each request, no hang`, { timeout: (SECONDS * 2 + 300) * 1000 }, async (t) => {
  const first = seedOf(t, 1);
  const replay = process.env.WIRE_REPLAY && JSON.parse(readFileSync(process.env.WIRE_REPLAY, 'utf8'));
  for (let left = SECONDS, seed = first; left > 0; left -= ROUND_SECONDS, seed++) {
    const round = new Round(seed, Math.min(left, ROUND_SECONDS), replay);
    await round.run();
    const { server, findings } = round;
    const died = server.child.output.match(/(?:ERROR|WARNING): \w+Sanitizer|runtime error: /) || (findings.length === 0 && (await server.child.exited).code !== 0);
    const said = `seed ${seed}: ${round.connections} connections (${round.sockets} sockets opened, ${round.dropped} dropped by the client), answers ${JSON.stringify(round.codes)}, `
      + `close codes ${JSON.stringify(round.closes)}, shakes ${JSON.stringify(round.shakes ?? {})}, a buyer was answered ${round.witnessed} times`;
    t.diagnostic(said);
    if (!died && findings.length === 0) continue;
    mkdirSync(LOG, { recursive: true });
    const file = join(LOG, `wire-${seed}.json`);
    writeFileSync(file, JSON.stringify(died ? round.sent : findings.map(({ sent }) => (sent.includes('\n--- frames ---\n') ? sent.split('\n--- frames ---\n') : sent))));
    assert.fail([`seed ${seed}; WIRE_REPLAY=${file} sends it again`, died ? `the server died:\n${server.child.tail(80)}` : '',
      ...findings.slice(0, 8).map(({ kind, i, sent, got }) => `connection ${i}: ${kind}\n  sent ${shown(sent)}\n  got  ${shown(got)}`)].join('\n'));
  }
});
