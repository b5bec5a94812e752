// SPDX-License-Identifier: MIT
//
// Many sockets of many guests at little cost: the join script puts the buyers into Redis, the tickets are
// signed here, and clients.c keeps the sockets open.

import { spawn } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { ROOT, SECRETS, guestCookie, sleep } from '../fixtures/index.mjs';
import { Room } from '../lua/room.mjs';

// The private memory of a process, in bytes.
export const anonymous = (pid) => Number(/RssAnon:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) * 1024;

// A child process that answers each line with one line; its first line is its port, if it has one.
export class Program {
  constructor(name, args = []) {
    this.child = spawn(`${ROOT}/build/bench/${name}`, args.map(String), { stdio: ['pipe', 'pipe', 'inherit'] });
    this.pid = this.child.pid;
    this.waiting = [];
    createInterface({ input: this.child.stdout }).on('line', (line) => this.waiting.shift()?.(line));
  }

  line() {
    return new Promise((accept) => this.waiting.push(accept));
  }

  async ask(text) {
    const answer = this.line();
    this.child.stdin.write(text);
    return JSON.parse(await answer);
  }

  stop() {
    this.child.stdin.end();
    this.child.kill('SIGKILL');
  }
}

export async function startEcho() {
  const echo = new Program('echo');
  echo.port = Number(await echo.line());
  return echo;
}

let serial = 0;

// Puts guests into the event's queue; returns them in order.
export async function guestsWaiting(redis, event, count) {
  const room = new Room(redis.client, event);
  const guests = Array.from({ length: count }, () => ({ id: `g:${(++serial).toString(16).padStart(32, '0')}` }));
  for (let at = 0; at < count; at += 500) {
    const part = guests.slice(at, at + 500);
    const { buyers, epoch } = await room.join(part.map(({ id }) => id));
    buyers.forEach(({ state, place }, i) => {
      if (state !== 'waiting') throw new Error(`${state}, not waiting`);
      Object.assign(part[i], { place, epoch });
    });
  }
  return guests;
}

const base64 = (text) => Buffer.from(text).toString('base64url');
const [kid, key] = SECRETS.TICKET_KEYS.split(/[:,]/);
const head = base64(JSON.stringify({ alg: 'HS256', kid }));

export function ticketOf(event, { id, place, epoch }) {
  const body = `${head}.${base64(`{"e":"${event}","b":"${id}","p":"${place}","x":${epoch},"l":0}`)}`;
  return `${body}.${createHmac('sha256', Buffer.from(key, 'hex')).update(body).digest('base64url')}`;
}

// Writes the file for clients.c: cookie and first message of each guest; socketio: in that framing.
export function writeGuests(path, event, guests, { socketio = false } = {}) {
  writeFileSync(path, guests.map((guest) => {
    const payload = { eventId: event, ticket: ticketOf(event, guest) };
    return `${guestCookie(guest.id)}\t${socketio ? `42${JSON.stringify(['join-queue', payload])}` : JSON.stringify({ event: 'join-queue', payload })}\n`;
  }).join(''));
  return path;
}

export class Clients extends Program {
  constructor(port, file, { rate = 0, socketio = false } = {}) {
    super('clients', [port, file, rate, ...(socketio ? ['socketio'] : [])]);
  }

  stats() {
    return this.ask('stats\n');
  }

  entries() {
    return this.ask('entries\n');
  }

  // Waits until all sockets are open and their first message was answered.
  async open(timeoutMs = 60000) {
    let now = await this.ask('open\n');
    for (const until = performance.now() + timeoutMs; now.up < now.total; now = await this.stats()) {
      if (now.gone > 0 || performance.now() > until) throw new Error(`sockets do not come up: ${JSON.stringify(now)}`);
      await sleep(20);
    }
    return now;
  }
}
