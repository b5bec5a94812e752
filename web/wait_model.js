// SPDX-License-Identifier: MIT
//
// wait_model: what the waiting page knows, and what follows from it. Pure: no document, no network. wait.js feeds it
// with answers, messages and the time; wait_view.js writes it.

import { nearest } from './deadline.js';

// The status of an answer -> the state of the page.
const STATES = {
  queued: 'waiting', scheduled: 'scheduled', paused: 'paused', restoring: 'restoring', sold_out: 'sold_out', active: 'admitted',
};
// The status of the event -> the state of a page whose buyer waits.
const STATUSES = { open: 'waiting', scheduled: 'scheduled', paused: 'paused', sold_out: 'sold_out' };

// In these states nothing more can change.
export const FINAL = new Set(['bought', 'expired', 'left', 'closed', 'banned', 'unknown', 'login', 'cookies', 'preview', 'return_refused', 'unsent']);
// In these the buyer has no place yet; the page asks for one.
export const PLACELESS = new Set(['unavailable', 'busy', 'network']);
// In these the buyer has a place, or a turn, that an open page keeps.
export const HELD = new Set(['scheduled', 'waiting', 'unlikely', 'paused', 'restoring', 'sold_out', 'admitted']);

const PACE_FROM_S = 10; // a shorter wait is rounded too much to tell the pace from
const MINUTES = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 50, 60];

export const newModel = ({ state, opensAt, language, textLanguage }) => ({
  state,
  opensAt,
  language, // of the page
  textLanguage, // of the organizer's texts
  position: Infinity,
  first: 0, // the first position shown for this place
  joinedAt: undefined,
  wait: undefined, // { seconds, rough }; rough: a first estimate, which nothing was measured for
  perMinute: undefined,
  seats: undefined, // { about, low, high } left at the buyer's turn
  claimed: true,
  endsAt: undefined, // of the turn
  claimEndsAt: undefined, // of an offer
  holdEndsAt: undefined, // of the seats held at the admission
  idleMs: undefined,
  holdRead: true, // is it known whether seats are held?
  missed: false, // an offer ran out while the buyer was away, and only a claim brings them back
  missedBefore: false, // that happened since the page was loaded
  claimFrom: undefined, // missed: no claim before this time brings them back
  message: '',
  messageLanguage: '',
  messageAt: undefined, // when a message came that the buyer has not seen before
  link: undefined,
  lostSince: undefined,
  updatedAt: 0,
  left: false,
  version: 0,
  revision: 0,
});

// Answers and messages come from several pods and by two ways: what is older than what is known is not shown.
export function isOlder(model, { version, revision }) {
  if (revision === undefined) return false;
  return version < model.version || (version === model.version && revision < model.revision);
}

const stamp = (model, { version, revision }) => (revision === undefined ? {} : { version, revision });

const time = (text) => (text ? Date.parse(text) : undefined);

// The organizer's message in the reader's language, if there is one, and the language that it is in ('': not known).
function messageOf({ language, textLanguage }, messages, message) {
  const given = messages?.[language] ? language : Object.keys(messages ?? {})[0];
  return { message: messages?.[given] ?? message ?? '', messageLanguage: given ?? textLanguage ?? '' };
}

// What a place's numbers change.
function withPosition(model, { position, estimatedWait, estimateConfidence, seatsAtTurn, seatsAtTurnRange }) {
  const shown = Math.min(model.position, position);
  const changes = { position: shown, wait: undefined, perMinute: undefined };
  if (estimatedWait !== null && estimatedWait !== undefined) {
    const rough = estimateConfidence === 'low';
    changes.wait = { seconds: estimatedWait, rough };
    if (!rough && estimatedWait >= PACE_FROM_S) changes.perMinute = (60 * position) / estimatedWait;
  }
  if (seatsAtTurnRange) changes.seats = { about: seatsAtTurn, low: seatsAtTurnRange[0], high: seatsAtTurnRange[1] };
  return changes;
}

// An offer (claimed is false) or a turn, as an answer or a message tells it.
export function withTurn({ claimed = true, claimExpiresAt, turnEndsAt, passExpiresAt, idleTimeoutMs, reservation }) {
  const changes = { state: 'admitted', claimed, missed: false, missedBefore: false, claimFrom: undefined, claimEndsAt: claimed ? undefined : time(claimExpiresAt) };
  if (claimed) changes.endsAt = time(turnEndsAt ?? passExpiresAt);
  if (idleTimeoutMs) changes.idleMs = idleTimeoutMs;
  if (claimed && reservation?.expiresAt) changes.holdEndsAt = time(reservation.expiresAt); // before, its time has not begun
  return changes;
}

// What an answer of check or status changes; undefined: nothing, as it is older than what is known. A model whose
// state is `gone` has no place any more.
export function withAnswer(model, answer) {
  if (isOlder(model, answer)) return undefined;
  const changes = stamp(model, answer);
  if (answer.status === 'not_in_queue') {
    const was = model.left ? 'left' : model.state === 'admitted' ? 'expired' : 'gone';
    return { ...changes, state: was };
  }
  if (answer.eventInfo) Object.assign(changes, messageOf(model, answer.eventInfo.messages, answer.eventInfo.message));
  if (answer.status === 'active') return { ...changes, ...withTurn(answer) };
  const state = STATES[answer.status];
  if (!state) return changes;
  if (answer.position) Object.assign(changes, withPosition(model, answer));
  const unlikely = state === 'waiting' && answer.unlikely === true;
  return { ...changes, state: unlikely ? 'unlikely' : state, missed: answer.unclaimed === true, claimFrom: time(answer.claimFrom) };
}

// What a socket message changes; undefined: nothing.
export function withNews(model, name, payload) {
  // It may come with the time of older news, and nothing else tells it: the last one counts.
  if (name === 'message') return messageOf(model, payload.texts, payload.text);
  if (isOlder(model, payload)) return undefined;
  const changes = stamp(model, payload);
  const inside = model.state === 'admitted';
  if (name === 'queue-position') return { ...changes, ...withPosition(model, payload), missed: payload.unclaimed === true, claimFrom: time(payload.claimFrom) };
  if (name === 'queue-entry-allowed' || name === 'turn-claimed') return { ...changes, ...withTurn(payload) };
  if (name !== 'event-status-changed') return changes;
  const state = payload.status === 'closed' ? 'closed' : STATUSES[payload.status];
  const same = state === 'waiting' && model.state === 'unlikely';
  return state && !inside && !same ? { ...changes, state } : changes;
}

// ---- what follows ----

// The one deadline that counts now: { kind, at }, kind as in deadline.js, 'claim' or 'opening'. undefined: there is none.
export function deadlineOf(model, now) {
  if (model.state === 'scheduled') return model.opensAt ? { kind: 'opening', at: model.opensAt } : undefined;
  if (model.state !== 'admitted') return undefined;
  if (!model.claimed) return model.claimEndsAt ? { kind: 'claim', at: model.claimEndsAt } : undefined;
  return nearest({ turn: model.endsAt, hold: model.holdEndsAt > now ? model.holdEndsAt : undefined });
}

// Of `steps` the one that is nearest to n.
const closest = (steps, n) => steps.reduce((best, step) => (Math.abs(step - n) < Math.abs(best - n) ? step : best));

// The estimated wait in the words of a person, who says "about four minutes" and not "3 minutes and 52 seconds":
// [the message's key, { n } or { h, m }]. src/api/api_wait.c does the same for the page as it is sent.
export function estimateWords(wait) {
  if (!wait) return ['estimate_none', {}];
  if (wait.seconds < 10) return ['estimate_soon', {}];
  if (wait.seconds < 60) return ['estimate_under', {}];
  const minutes = wait.seconds / 60;
  if (minutes < 75) return ['estimate_about', { n: closest(MINUTES, minutes) }];
  const quarters = Math.round(minutes / 15);
  const [h, m] = [Math.floor(quarters / 4), (quarters % 4) * 15];
  return m === 0 ? ['estimate_hours', { h }] : ['estimate_hours_minutes', { h, m }];
}

// Two digits are enough for "about": 1,234 becomes 1,200.
export function roughly(n) {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, n))) - 1);
  return Math.round(n / unit) * unit;
}
