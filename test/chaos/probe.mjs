// SPDX-License-Identifier: MIT
//
// A buyer at each pod who asks again and again, and keeps what they were told in the form of the crowd's histories
// (src/crowd/crowd_history.h). From it the checker measures how soon each pod gives right answers again.
//
//   status   of their place, ten times a second: Redis answers
//   list     of their reservations, ten times a second: PostgreSQL does
//   socket   five times a second a handshake and `join-queue`, to which a gateway answers with what Redis says: that they have
//            no place. Nothing is answered while Redis is away (src/gateway/gateway.c), so a silence is Redis' as well

import { createWriteStream } from 'node:fs';
import { Agent, request } from 'node:http';
import WebSocket from 'ws';
import { jwt, pause, waitUntil, within } from '../fixtures/index.mjs';
import { JOIN } from './history.mjs';

const EVERY_MS = { status: 100, list: 100, socket: 200 };
const ANSWER_MS = 8000; // a pod answers 503 after DB_TIMEOUT_MS
const LATE = 'no answer in time';

const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

export class Probe {
  // targets: { kind, pod, port } of the links to each pod: kind web or ws.
  constructor({ file, eventId, targets }) {
    this.out = createWriteStream(file);
    this.eventId = eventId;
    this.going = true;
    this.rightAt = new Map(); // of each probe: when it last began to ask what it got a right answer to
    this.agents = new Map(targets.map(({ port }) => [port, new Agent({ keepAlive: true, maxSockets: 8 })]));
    this.runs = targets.flatMap(({ kind, pod, port }) => (kind === 'ws' ? ['socket'] : ['status', 'list']).map((what) => this.run(pod, port, what)));
  }

  write(line) {
    this.out.write(`${JSON.stringify({ at: nowUs(), ...line })}\n`);
  }

  // Writes the question, and the line of its answer, which `begin(end)` finds out.
  note(about, name, begin) {
    this.write({ ...about, ask: name });
    return new Promise((resolve) => {
      begin((line) => {
        this.write({ ...about, ...line });
        resolve(line);
      });
    });
  }

  ask(port, token, path, name, about) {
    return this.note(about, name, (end) => {
      const call = request({ host: '127.0.0.1', port, method: 'GET', path, agent: this.agents.get(port), headers: { authorization: `Bearer ${token}`, 'content-length': 0 } }, (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (chunk) => (body += chunk)).on('error', () => end({ none: name, why: 'closed without an answer' }))
          .on('end', () => end({ answer: name, code: answer.statusCode, retry: answer.headers['retry-after'] === undefined ? -1 : Number(answer.headers['retry-after']) * 1000, body }));
      });
      call.setTimeout(ANSWER_MS, () => call.destroy(new Error(LATE)));
      call.on('error', (error) => end({ none: name, why: call.reusedSocket && error.code === 'ECONNRESET' ? 'stale' : error.code === 'ECONNREFUSED' ? 'refused' : error.message === LATE ? error.message : 'closed without an answer' }));
      call.end();
    });
  }

  join(port, token, about) {
    return this.note(about, JOIN, (end) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}/ws`, 'tiketi.v1', { perMessageDeflate: false });
      const answered = new Promise((resolve) => {
        socket.on('open', () => socket.send(JSON.stringify({ event: 'join-queue', payload: { eventId: this.eventId, ticket: '', token } })));
        socket.on('message', (data) => {
          const body = data.toString();
          const { event, payload } = JSON.parse(body);
          if (event === 'error') resolve({ answer: JOIN, code: payload.code === 'not-in-queue' ? 200 : 503, retry: 0, body });
        });
        socket.on('unexpected-response', (request, answer) => {
          resolve({ answer: JOIN, code: answer.statusCode, retry: answer.headers['retry-after'] === undefined ? -1 : 0, body: '' });
        });
        socket.on('error', (error) => resolve({ none: JOIN, why: error.code === 'ECONNREFUSED' ? 'refused' : error.message }));
        socket.on('close', () => resolve({ none: JOIN, why: 'closed without an answer' }));
      });
      void within(ANSWER_MS, answered, 'an answer on a socket').catch(() => ({ none: JOIN, why: LATE })).then((line) => {
        end(line);
        socket.terminate();
      });
    });
  }

  async run(pod, port, what) {
    const sub = `probe-${what}-${pod}`;
    const token = jwt({ sub });
    const about = { number: pod, buyer: `u:${sub}`, probe: what, pod, to: `127.0.0.1:${port}` };
    const asks = {
      status: () => this.ask(port, token, `/api/queue/status/${this.eventId}`, 'GET /api/queue/status/{eventId}', about),
      list: () => this.ask(port, token, '/api/reservations', 'GET /api/reservations', about),
      socket: () => this.join(port, token, about),
    };
    this.rightAt.set(sub, -Infinity);
    while (this.going) {
      const began = performance.now();
      const [line] = await Promise.all([asks[what](), pause(EVERY_MS[what], 'the pace of a probe')]);
      if (line.code === 200) this.rightAt.set(sub, began);
    }
  }

  // Waits until every pod has given right answers to questions of now, for at most `ms`: a crowd may be over before the
  // last fault is, and the checker wants to see every pod answer in the end.
  async settle(ms) {
    const now = performance.now();
    await waitUntil(() => [...this.rightAt.values()].every((at) => at >= now), ms, 'right answers of every pod').catch(() => {});
  }

  async stop() {
    this.going = false;
    await Promise.all(this.runs);
    for (const agent of this.agents.values()) agent.destroy();
    await new Promise((resolve) => this.out.end(resolve));
  }
}
