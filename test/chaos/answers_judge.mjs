// SPDX-License-Identifier: MIT
//
// Judges every answer by itself: it is right, an expected refusal that is true, or an honest 503. A 503 is excused by a fault
// of what the answer needs (excuses.mjs); a request without an answer, or a 408, only by a fault of its pod or of the link to it. A
// machine that stood still excuses both, and they are counted as `starved`.

import { Excuses } from './excuses.mjs';
import { JOIN } from './history.mjs';

const CLOCK_MS = 100;
const HANDSHAKE_MS = 5000; // so long a handshake may be on its way
// Two requests of one moment for the same seats: one of them may be told that the other is not over yet. That is no fault of
// anything, and it is rare.
const BUSY_SHARE = 0.01; // of the answers to holds and payments
const BUSY_FEW = 3; // in a record that is short

// What each step needs; a hold asks Redis who is inside, and a payment tells it, but is taken without it.
const NEEDS = {
  'POST /api/queue/check/{eventId}': ['redis'],
  'GET /api/queue/status/{eventId}': ['redis'],
  'POST /api/queue/heartbeat/{eventId}': ['redis'],
  'POST /api/queue/leave/{eventId}': ['redis'],
  'GET /api/reservations': ['postgres'],
  'GET /api/reservations/{id}': ['postgres'],
  'POST /api/reservations/{id}/pay': ['postgres'],
  'POST /api/reservations': ['redis', 'postgres'],
  [JOIN]: ['redis'],
};
const MAY_BE_BUSY = ['POST /api/reservations', 'POST /api/reservations/{id}/pay'];
// A socket says so, and is closed.
const SOCKET_ERRORS = { unavailable: ['redis'], timeout: ['redis'], full: ['redis'], draining: [] };

// step -> code -> words of the problem's type; null: any.
const REFUSALS = {
  'POST /api/reservations': { 403: ['not-admitted'], 409: null },
  'POST /api/reservations/{id}/pay': { 410: ['expired'], 409: ['not-payable', 'already-paid'] },
  'POST /charges': { 410: null, 409: null, 503: null },
};
const AT_PROVIDER = /\/charges/;

const podOf = (link) => link?.split('.')[1];
const wordOf = ({ body }) => body?.type?.split(':').at(-1) ?? '';

class AnswersJudge {
  constructor({ faults, machine, world, inside, breaks }) {
    Object.assign(this, { world, inside, breaks, excuses: new Excuses({ faults, machine }) });
    this.changes = 0; // answers to what may be busy
    this.answers = { right: 0, refused: 0, busy: 0, contended: 0, starved: 0, none: 0, wrong: 0 };
  }

  wrong(what) {
    this.answers.wrong++;
    this.breaks('answer', what);
  }

  // What a fault does not excuse: a machine that stood still may have done it.
  unexcused(from, until, what) {
    if (this.excuses.starved(from, until)) this.answers.starved++;
    else this.wrong(what);
  }

  judge(buyer) {
    let socket; // the link of the last one
    for (const event of buyer.events) {
      if (event.socket) {
        socket = this.world.ports[event.to];
        if (event.socket === 'refused') this.judgeHandshake(event, buyer, socket);
      } else if (!event.step && event.text !== undefined) {
        this.judgeMessage(event, buyer, socket);
      } else if (event.step && event.until !== undefined && !AT_PROVIDER.test(event.step)) {
        this.judgeAnswer(event, buyer);
      }
    }
  }

  judgeHandshake({ at, code }, { id }, link) {
    const what = `a handshake of ${id} at ${link} was answered ${code} at ${at}`;
    if (code === 408) this.judgeSlow(at - HANDSHAKE_MS * 1000, at, link, what);
    else if (code !== 503) this.wrong(what);
    else if (!this.excuses.refusal(podOf(link), [], at, at)) this.unexcused(at, at, what);
  }

  // 408: what was asked did not arrive in time.
  judgeSlow(from, until, link, what) {
    if (!this.excuses.silence(link, from, until)) this.unexcused(from, until, what);
  }

  judgeMessage({ at, message, text }, { id }, link) {
    if (message === undefined) {
      this.wrong(`${id} got a message that is no JSON at ${at}: ${text.slice(0, 80)}`);
      return;
    }
    const needs = message.event === 'error' ? SOCKET_ERRORS[message.payload?.code] : undefined;
    if (needs && !this.excuses.refusal(podOf(link), needs, at, at)) this.unexcused(at, at, `${id} was told ${message.payload.code} on a socket (${link}) at ${at}, though nothing was wrong`);
  }

  judgeAnswer(event, buyer) {
    const { at, until, step, code, why, to } = event;
    const link = this.world.ports[to];
    if (MAY_BE_BUSY.includes(step)) this.changes++;
    const where = `${step} of ${buyer.id || 'a new guest'} at ${at} (${link})`;
    if (code === undefined) {
      if (why === 'stale') return;
      this.answers.none++;
      // A socket says nothing while Redis is away.
      if (!this.excuses.silence(link, at, until) && !(step === JOIN && this.excuses.refusal(podOf(link), NEEDS[JOIN], at, until))) this.unexcused(at, until, `${where}: ${why}, ${Math.round((until - at) / 1000)} ms after it was asked`);
    } else if (code >= 200 && code < 300) {
      if (event.body === undefined) this.wrong(`${where}: ${code} with what is no JSON`);
      else this.judgeHold(event, buyer);
      this.answers.right++;
    } else if (code === 503 || code === 429) {
      this.judgeBusy(event, where, link);
    } else if (code === 408) {
      this.judgeSlow(at, until, link, `${where}: 408, though nothing kept it from arriving`);
      this.answers.refused++;
    } else {
      this.judgeRefusal(event, buyer, where);
      this.answers.refused++;
    }
  }

  judgeBusy(event, where, link) {
    const { at, until, step, code, retry, text } = event;
    this.answers.busy++;
    if (retry < 0) this.wrong(`${where}: ${code} without Retry-After`);
    else if (this.excuses.refusal(podOf(link), NEEDS[step] ?? [], at, until)) return;
    else if (wordOf(event) === 'busy' && MAY_BE_BUSY.includes(step) && !this.excuses.starved(at, until)) this.answers.contended++;
    else this.unexcused(at, until, `${where}: ${code} though nothing that it needs was wrong: ${text?.slice(0, 160)}`);
  }

  // Seats are held (201) only for somebody who was inside at some moment of the request. 200 is the answer to a request that
  // was made before, under the same key.
  judgeHold({ step, at, until, code, body }, { id }) {
    if (step !== 'POST /api/reservations' || code !== 201 || body.status !== 'held') return;
    const [from, to] = [at / 1000 - CLOCK_MS, until / 1000 + CLOCK_MS];
    if (!this.spansOf(id).some((span) => span.from <= to && from <= span.to)) this.breaks('gate', `${id} was given seats at ${at}, and was not inside`);
  }

  judgeRefusal(event, { id }, where) {
    const words = REFUSALS[event.step]?.[event.code];
    const word = wordOf(event);
    if (words === undefined || (words && !words.includes(word))) {
      this.wrong(`${where}: ${event.code} ${word || event.text?.slice(0, 80)}`);
      return;
    }
    if (event.code !== 403) return;
    const [from, to] = [event.at / 1000 - CLOCK_MS, event.until / 1000 + CLOCK_MS];
    if (this.spansOf(id).some((span) => span.from <= from && to <= (span.sure ?? span.to))) this.breaks('gate', `${where}: 403, and the buyer was inside all the time`);
  }

  spansOf(id) {
    return this.inside.get(id) ?? [];
  }

  judgeContention() {
    const { contended } = this.answers;
    if (contended > Math.max(BUSY_FEW, BUSY_SHARE * this.changes)) this.wrong(`${contended} of ${this.changes} holds and payments were answered busy, and nothing was wrong`);
  }
}

// -> how many answers of which kind.
export function judgeAnswers(about) {
  const judge = new AnswersJudge(about);
  for (const buyer of [...about.buyers, ...about.probes]) judge.judge(buyer);
  judge.judgeContention();
  return judge.answers;
}
