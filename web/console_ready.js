// SPDX-License-Identifier: MIT
//
// console_ready: is a sale ready to open? The checks of the service, and two that only a browser can make: whether it reaches
// the live connection, and the threshold against the time of a visit. Each has what was found, a verdict and a way to
// mend it.
//
//   GET …/readiness, a WebSocket, POST …/forecast -> [{ code, verdict, text, fix, view }] -> #checks

import { ask, failure } from './console_request.js';
import { venueTimes } from './console_zone.js';
import { $, element, write } from './dom.js';
import { duration, number, t } from './i18n.js';
import { own } from './place.js';

const SOCKET_MS = 5000;
const LONG_SALE_S = 4 * 3600; // to sell all seats: longer is worth a look
const STATES = new Set(['draft', 'scheduled']);
const name = (code) => code.replaceAll('-', '_');

// ---- the sentences ----

const SETTINGS = {
  'private-address': 'OUTBOUND_ALLOW', 'no-secret': 'PAYMENT_WEBHOOK_SECRETS', refused: 'PAYMENT_WEBHOOK_SECRETS', untold: 'PAYMENT_WEBHOOK_SECRETS',
};

function timesText({ opensAt, startsAt, closesAt }, timeZone) {
  const format = venueTimes('short', timeZone);
  const text = (time) => (time ? format.format(Date.parse(time)) : t('console_none'));
  return t('ready_say_times', { opens: text(opensAt), starts: text(startsAt), closes: text(closesAt) });
}

function hallFix({ seats, free }) {
  return seats === 0 ? t('ready_fix_no_seats') : free === 0 ? t('ready_fix_blocked') : t('ready_fix_unpriced');
}

const reasonText = (reason, values) => t(`ready_say_${name(reason)}`, values);

// Of each check: what it says, how it is mended, and in which view.
const SAY = {
  published: ({ status }) => ({ text: t(`state_${status}`), fix: t('ready_fix_publish') }),
  times: (value, { timeZone }) => ({ text: timesText(value, timeZone), fix: value.problem && t(`ready_fix_${name(value.problem)}`), view: 'setup' }),
  'time-zone': ({ timeZone }) => ({ text: timeZone ?? t('console_none'), fix: t('ready_fix_time_zone'), view: 'setup' }),
  hall: (value) => ({ text: t('ready_say_hall', Object.fromEntries(Object.entries(value).map(([key, n]) => [key, number(n)]))), fix: hallFix(value), view: 'hall' }),
  currency: ({ currency }) => ({ text: currency ?? t('console_none'), fix: t('ready_fix_currency'), view: 'hall' }),
  payment: ({ reason, ms, signedStatus }) => ({
    text: reasonText(reason ?? 'told', { ms: number(ms ?? 0), status: signedStatus ?? 0 }), fix: t('ready_fix_payment', { settings: SETTINGS[reason] ?? 'PAYMENT_URL' }),
  }),
  mail: ({ reason, parked }) => ({
    text: reasonText(reason ?? 'greeted', { n: number(parked) }), fix: t('ready_fix_mail', { settings: SETTINGS[reason] ?? 'MAIL_URL' }), view: 'setup',
  }),
  webhooks: ({ webhooks, failing, parked }) => ({
    text: t('ready_say_webhooks', { n: number(webhooks), failing: number(failing), parked: number(parked) }), fix: t('ready_fix_webhooks'),
  }),
  processor: ({ reason }) => ({ text: reasonText(reason ?? 'works', { redis: 'Redis' }), fix: t('ready_fix_processor') }),
  rehearsal: ({ promises, eventId, title, at, admissions }, { timeZone }) => ({
    text: t(`ready_say_rehearsed_${promises}`, {
      title, n: number(admissions), time: at ? venueTimes('short', timeZone).format(Date.parse(at)) : '',
    }),
    fix: t(`ready_fix_rehearsed_${promises}`), view: promises === 'none' ? 'setup' : 'report', event: eventId ?? undefined,
  }),
};

// ---- what the browser finds ----

// Does this browser reach the gateway? Resolves to the ms until the socket was open, or to null.
function reachSocket(url) {
  return new Promise((resolve) => {
    const began = performance.now();
    let socket;
    const end = (answer) => {
      clearTimeout(timer);
      if (socket) socket.onopen = socket.onclose = null;
      socket?.close();
      resolve(answer);
    };
    const timer = setTimeout(() => end(null), SOCKET_MS);
    try {
      socket = new WebSocket(url, 'tiketi.v1');
    } catch {
      end(null); // no URL, or none that is valid
      return;
    }
    socket.onopen = () => end(Math.round(performance.now() - began));
    socket.onclose = () => end(null);
  });
}

async function checkSockets(url) {
  const ms = await reachSocket(url);
  return {
    code: 'sockets', verdict: ms === null ? 'bad' : 'good', text: ms === null ? t('ready_say_shut') : t('ready_say_open', { ms: number(ms) }),
    fix: t('ready_fix_sockets', { settings: 'PUBLIC_WS_URL' }),
  };
}

// How many enter a minute, and how long the seats last at that rate, s; 0: nobody enters, or there are no seats.
function pace({ threshold, intervalMs, promotion, outflowPerMinute }, { visitMs, noShow, buy, seatsPerSale, seats }) {
  const empty = promotion === 'interval' ? intervalMs / 2 : 0; // ms that a slot waits for the next tick
  const rate = Math.min(threshold * 60000 / (visitMs.value + empty), outflowPerMinute || Infinity);
  const sold = rate * (1 - noShow.value) * buy.value * seatsPerSale.value;
  return { rate, lasts: sold > 0 && seats.value > 0 ? seats.value / sold * 60 : 0 };
}

async function checkPace(base) {
  const { now, basis } = await ask('POST', `${base}/forecast`, { json: {} });
  const { threshold } = now.settings;
  const { rate, lasts } = pace(now.settings, basis);
  const slow = lasts > LONG_SALE_S;
  return {
    code: 'pace', verdict: threshold === 0 ? 'bad' : slow ? 'warn' : 'good', view: 'setup',
    text: t(`ready_say_pace_${basis.visitMs.source === 'measured' ? 'measured' : 'assumed'}`, { threshold: number(threshold), visit: duration(basis.visitMs.value / 1000), rate: number(Math.round(rate)) }),
    fix: threshold === 0 ? t('ready_fix_pace_zero') : slow ? t('ready_fix_pace_slow', { time: duration(lasts) }) : '',
  };
}

// ---- the panel ----

function drawCheck({ code, verdict, text, fix, view, event }, id) {
  const line = element('li', { className: 'check' }, [
    element('p', { className: 'check-head' }, [element('strong', { textContent: t(`ready_${name(code)}`) }), ' ', element('span', { className: 'verdict', textContent: t(`console_verdict_${verdict}`) })]),
    element('p', { className: 'small', dir: 'auto', textContent: text }),
  ]);
  line.dataset.verdict = verdict;
  line.dataset.code = code;
  if (verdict !== 'good' && fix) {
    line.append(element('p', { className: 'small soft' }, [fix, ...(view ? [' ', element('a', { href: own(`/console/events/${event ?? id}/${view}`), textContent: t(`console_${view}`) })] : [])]));
  }
  return line;
}

export class Readiness {
  #checked = null; // the version and state that the checks are of
  #asking = false;

  constructor(base) {
    this.base = base;
    this.id = $('main').dataset.event;
    $('ready_again').addEventListener('click', () => void this.#check());
  }

  // Shows the panel before the opening, and checks again when the event is another.
  draw({ event, stats }) {
    const state = stats?.status ?? event.status;
    $('readiness').hidden = !STATES.has(state);
    const now = `${event.version} ${state}`;
    if (!STATES.has(state) || now === this.#checked) return;
    this.#checked = now;
    this.event = event;
    void this.#check();
  }

  // A check that fails is a line that says so; the others are shown all the same.
  async #check() {
    if (this.#asking) {
      this.#checked = null; // the next figures bring another check
      return;
    }
    this.#asking = true;
    $('readiness').dataset.checking = '';
    write('ready_state', t('ready_wait'));
    const [service, ...others] = await Promise.allSettled([ask('GET', `${this.base}/readiness`), checkSockets(document.body.dataset.ws), checkPace(this.base)]);
    const checks = service.status === 'fulfilled'
      ? service.value.checks.filter(({ code }) => code in SAY).map(({ code, verdict, value }) => ({ code, verdict, ...SAY[code](value, { timeZone: this.event.timeZone ?? 'UTC' }) })) : [];
    for (const { status, value } of others) if (status === 'fulfilled') checks.push(value);
    $('checks').replaceChildren(...checks.map((check) => drawCheck(check, this.id)));
    const failed = [service, ...others].find(({ status }) => status === 'rejected');
    write('ready_state', failed ? `${t('ready_failed')} ${failure(failed.reason)}` : '');
    delete $('readiness').dataset.checking;
    this.#asking = false;
  }
}
