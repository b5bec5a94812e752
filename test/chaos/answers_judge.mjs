// SPDX-License-Identifier: MIT
//
// Judges every answer by itself: it is right, an expected refusal that is true, or an honest 503. A request without an
// answer is excused only by a fault of its pod or of the link to it.

const RESTART_MS = 8000; // a pod that was started: until it has found its backends, its ports refuse connections
const LINK_MS = 1500;
const CLOCK_MS = 100;
const QUIET_MS = 10000; // so long after the last fault a 503 has no excuse

// step -> code -> words of the problem's type; null: any.
const REFUSALS = {
  'POST /api/reservations': { 403: ['not-admitted'], 409: null },
  'POST /api/reservations/{id}/pay': { 410: ['expired'], 409: ['not-payable', 'already-paid'] },
  'POST /charges': { 410: null, 409: null, 503: null },
};
const AT_PROVIDER = /\/charges/;

const hits = (faults, from, to, things, graceOf) => faults.done.some(({ begin, end = Infinity, hurts, fault }) => hurts.some((thing) => things.includes(thing))
  && begin <= to && from <= end + graceOf(fault) * 1000);

export function judgeAnswers(about) {
  const { buyers, probes, faults, world, inside, breaks } = about;
  const answers = { right: 0, refused: 0, busy: 0, none: 0, wrong: 0 };
  about.answers = answers;
  const wrong = (what) => {
    answers.wrong++;
    breaks('answer', what);
  };
  const excused = (event) => {
    const link = world.ports[event.to];
    const pod = link?.split('.')[1];
    return hits(faults, event.at, event.until ?? Infinity, [`pod:${pod}`, `link:${link}`], (fault) => (fault.startsWith('process.') || fault.startsWith('descriptors.') ? RESTART_MS : LINK_MS));
  };
  for (const buyer of [...buyers, ...probes]) {
    for (const event of buyer.events) {
      if (event.socket === 'refused' && ![503, 429].includes(event.code)) wrong(`a handshake of ${buyer.id} was answered ${event.code} at ${event.at}`);
      if (event.message === undefined && event.text !== undefined && !event.step) wrong(`${buyer.id} got a message that is no JSON at ${event.at}: ${event.text.slice(0, 80)}`);
      if (!event.step || event.until === undefined || AT_PROVIDER.test(event.step)) continue;
      const where = `${event.step} of ${buyer.id || 'a new guest'} at ${event.at} (${world.ports[event.to]})`;
      if (event.code === undefined) {
        if (event.why === 'stale') continue;
        answers.none++;
        if (!excused(event)) wrong(`${where}: ${event.why}, ${Math.round((event.until - event.at) / 1000)} ms after it was asked`);
      } else if (event.code >= 200 && event.code < 300) {
        if (event.body === undefined) wrong(`${where}: ${event.code} with what is no JSON`);
        else judgeHold(event, buyer, inside, breaks);
        answers.right++;
      } else if (event.code === 503 || event.code === 429) {
        answers.busy++;
        if (event.retry < 0) wrong(`${where}: ${event.code} without Retry-After`);
        else if (!faults.done.some(({ begin, end = Infinity }) => begin <= event.until && event.at <= end + QUIET_MS * 1000)) wrong(`${where}: ${event.code} though nothing was wrong: ${event.text?.slice(0, 120)}`);
      } else {
        judgeRefusal(event, buyer, where, { inside, wrong, breaks });
        answers.refused++;
      }
    }
  }
}

const spansOf = (inside, id) => inside.get(id) ?? [];

// Seats are held (201) only for somebody who was inside at some moment of the request. 200 is the answer to a request that
// was made before, under the same key.
function judgeHold({ step, at, until, code, body }, { id }, inside, breaks) {
  if (step !== 'POST /api/reservations' || code !== 201 || body.status !== 'held') return;
  const [from, to] = [at / 1000 - CLOCK_MS, until / 1000 + CLOCK_MS];
  if (!spansOf(inside, id).some((span) => span.from <= to && from <= span.to)) breaks('gate', `${id} was given seats at ${at}, and was not inside`);
}

function judgeRefusal(event, { id }, where, { inside, wrong, breaks }) {
  const words = REFUSALS[event.step]?.[event.code];
  const word = event.body?.type?.split(':').at(-1) ?? '';
  if (words === undefined || (words && !words.includes(word))) {
    wrong(`${where}: ${event.code} ${word || event.text?.slice(0, 80)}`);
    return;
  }
  if (event.code !== 403) return;
  const [from, to] = [event.at / 1000 - CLOCK_MS, event.until / 1000 + CLOCK_MS];
  if (spansOf(inside, id).some((span) => span.from <= from && to <= span.to)) breaks('gate', `${where}: 403, and the buyer was inside all the time`);
}
