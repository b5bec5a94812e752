// SPDX-License-Identifier: MIT
//
// A buyer at each pod who asks ten times a second, and keeps what they were told in the form of the crowd's histories
// (src/crowd/crowd_history.h). From it the checker measures how soon each pod gives right answers again.
//
//   status   of their place: Redis answers; list   of their reservations: PostgreSQL does

import { createWriteStream } from 'node:fs';
import { Agent, request } from 'node:http';
import { jwt, pause, waitUntil } from '../fixtures/index.mjs';

const EVERY_MS = 100;
const ANSWER_MS = 8000; // a pod answers 503 after DB_TIMEOUT_MS

const nowUs = () => Math.round((performance.timeOrigin + performance.now()) * 1000);

export class Probe {
  // targets: { pod, port } of the links to each api.
  constructor({ file, eventId, targets }) {
    this.out = createWriteStream(file);
    this.eventId = eventId;
    this.going = true;
    this.rightAt = new Map(); // of each probe: when it last began to ask what it got a right answer to
    this.runs = targets.flatMap(({ pod, port }) => ['status', 'list'].map((what) => this.run(pod, port, what)));
  }

  write(line) {
    this.out.write(`${JSON.stringify({ at: nowUs(), ...line })}\n`);
  }

  ask(port, token, method, path, name, about) {
    this.write({ ...about, ask: name });
    return new Promise((resolve) => {
      const end = (line) => {
        this.write({ ...about, ...line });
        resolve(line);
      };
      const call = request({ host: '127.0.0.1', port, method, path, agent: this.agents.get(port), headers: { authorization: `Bearer ${token}`, 'content-length': 0 } }, (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (chunk) => (body += chunk)).on('error', () => end({ none: name, why: 'closed without an answer' }))
          .on('end', () => end({ answer: name, code: answer.statusCode, retry: answer.headers['retry-after'] === undefined ? -1 : Number(answer.headers['retry-after']) * 1000, body }));
      });
      call.setTimeout(ANSWER_MS, () => call.destroy(new Error('no answer in time')));
      call.on('error', (error) => end({ none: name, why: call.reusedSocket && error.code === 'ECONNRESET' ? 'stale' : error.code === 'ECONNREFUSED' ? 'refused' : error.message === 'no answer in time' ? error.message : 'closed without an answer' }));
      call.end();
    });
  }

  async run(pod, port, what) {
    const sub = `probe-${what}-${pod}`;
    const token = jwt({ sub });
    this.agents ??= new Map();
    if (!this.agents.has(port)) this.agents.set(port, new Agent({ keepAlive: true, maxSockets: 8 }));
    const about = { number: pod, buyer: `u:${sub}`, probe: what, pod, to: `127.0.0.1:${port}` };
    const [method, path, name] = what === 'status'
      ? ['GET', `/api/queue/status/${this.eventId}`, 'GET /api/queue/status/{eventId}'] : ['GET', '/api/reservations', 'GET /api/reservations'];
    this.rightAt.set(sub, -Infinity);
    while (this.going) {
      const began = performance.now();
      const [line] = await Promise.all([this.ask(port, token, method, path, name, about), pause(EVERY_MS, 'the pace of a probe')]);
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
