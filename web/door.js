// SPDX-License-Identifier: MIT
//
// door: tickets at the entrance, by camera or by typing. With a network each scan is asked of the service; without one the
// door decides by its list, lets in, and sends the scans later. Two doors without a network may both let one ticket in:
// the settlement tells, and the page shows it.

import { $, write } from './dom.js';
import { DoorList, isCode } from './door_list.js';
import { Scanner } from './door_scanner.js';
import { number, plural, t } from './i18n.js';
import { own } from './place.js';
import { ownScript } from './trusted.js';

const ANSWER_MS = 4000; // without an answer by then, the door decides by itself
const LIST_MS = 30000;
const SETTLE_MS = 5000;
const AGAIN_MS = 3000; // a code that stays in front of the camera is one scan
const BATCH = 50;

const { event, zone } = document.body.dataset;
let { csrf } = document.body.dataset;
const list = new DoorList(event);
const last = [];
let online = false, settling = false, refreshing = false, lastText = '', lastAt = 0;

const clock = new Intl.DateTimeFormat(document.documentElement.lang, { timeStyle: 'short', ...(zone ? { timeZone: zone } : {}) });
const timeOf = (text) => clock.format(new Date(text));
const nameOf = (seat) => [seat.section, seat.row, seat.number].join(' · ');

// ---- asking ----

class Refused extends Error {}

// In words of the page: what ends a door's work. Anything else is a fault of this page, and told as the service tells it.
const refusal = (status, { detail }) => (status === 401 ? t('door_signed_out') : status === 403 ? t('door_not_allowed') : detail ?? String(status));

async function ask(path, options = {}) {
  const answer = await fetch(own(path), { signal: AbortSignal.timeout(ANSWER_MS), credentials: 'same-origin', ...options });
  if (answer.status >= 500 || answer.status === 429) throw new TypeError(`answered ${answer.status}`);
  const body = await answer.json();
  if (!answer.ok) throw Object.assign(new Refused(refusal(answer.status, body)), { code: body.code });
  return body;
}

async function send(scans, again = false) {
  try {
    return (await ask(`/api/checkin/${event}`, {
      method: 'POST', headers: { 'content-type': 'application/json', 'x-csrf-token': csrf }, body: JSON.stringify({ scans }),
    })).results;
  } catch (error) {
    if (!(error instanceof Refused) || error.code !== 'csrf' || again) throw error;
    ({ csrf } = await ask('/api/admin/session')); // the page came from the cache of an earlier session
    return send(scans, true);
  }
}

// ---- what is shown ----

function showNetwork() {
  const waiting = list.pending.length;
  write('network', online ? t('door_online') : t('door_offline'));
  $('network').dataset.status = online ? 'open' : 'paused';
  write('inside', t('door_counts', { inside: number(list.inside), sold: number(list.sold) }) + (waiting > 0 ? ` · ${plural('door_pending', waiting)}` : ''));
  write('list_age', list.at ? t('door_list_of', { time: timeOf(list.at) }) : t('door_no_list'));
}

function detailOf({ outcome, seat, reservationNumber, error }) {
  const parts = [];
  if (seat) parts.push(nameOf(seat));
  if (outcome === 'used' && seat?.used) parts.push(t(seat.used.device ? 'door_used_at' : 'door_used_here', { time: timeOf(seat.used.at), device: seat.used.device }));
  if (error) parts.push(error);
  if (parts.length === 0 && reservationNumber) parts.push(reservationNumber);
  return parts.join(', ') || t(`door_${outcome}_lead`);
}

function show(result) {
  $('result').dataset.outcome = result.outcome;
  write('verdict', t(`door_${result.outcome}`));
  write('detail', detailOf(result));
  $('choices').hidden = result.outcome !== 'choose';
  $('choices').replaceChildren(...(result.outcome === 'choose' ? result.seats : []).map((seat) => {
    const row = document.createElement('li'), button = document.createElement('button');
    button.type = 'button';
    button.className = 'button quiet';
    button.disabled = Boolean(seat.used);
    button.textContent = nameOf(seat) + (seat.used ? ` (${t('door_used')})` : '');
    button.addEventListener('click', () => scan(`${result.reservationNumber ?? seat.reservationNumber}.${seat.seatId}`));
    row.append(button);
    return row;
  }));
  if (result.outcome !== 'choose') {
    last.unshift({ ...result, at: new Date().toISOString() });
    last.length = Math.min(last.length, 20);
    $('last').replaceChildren(...last.map((entry) => item(t(`door_${entry.outcome}`), detailOf(entry), timeOf(entry.at))));
  }
  navigator.vibrate?.(result.outcome === 'accepted' ? 80 : [80, 60, 80]);
  showNetwork();
}

function item(head, text, at) {
  const row = document.createElement('li'), strong = document.createElement('strong'), span = document.createElement('span');
  strong.textContent = head;
  span.textContent = text;
  row.append(strong);
  if (at) {
    const time = document.createElement('time');
    time.textContent = at;
    row.append(time);
    span.className = 'whole';
  }
  row.append(span);
  return row;
}

function showTwice(seat) {
  $('twice').hidden = false;
  $('twice_list').append(item(nameOf(seat), t('door_used_at', { time: timeOf(seat.used.at), device: seat.used.device })));
}

// ---- a scan ----

async function decide(entry) {
  try {
    const [result] = await send([entry]);
    online = true;
    if (result.outcome === 'accepted') list.markUsed(list.find(`${result.reservationNumber}.${result.seat.seatId}`), entry.device, entry.scannedAt);
    return result;
  } catch (error) {
    if (error instanceof Refused) return { outcome: 'failed', error: error.message };
    online = false;
  }
  const result = await list.judge(entry.ticket);
  if (result.outcome === 'accepted') {
    const ticket = isCode(entry.ticket) ? entry.ticket : `${result.seat.reservationNumber}.${result.seat.seatId}`;
    list.add({ ...entry, ticket, letIn: true });
    list.markUsed(result.seat, entry.device, entry.scannedAt);
  }
  return result;
}

let turn = Promise.resolve();
function scan(text) {
  const entry = { ticket: text, scannedAt: new Date().toISOString(), device: device() };
  turn = turn.then(async () => show(await decide(entry)));
  return turn;
}

function scanned(text) {
  const now = Date.now();
  const same = text === lastText && now - lastAt < AGAIN_MS;
  [lastText, lastAt] = [text, now];
  if (!same) void scan(text);
}

// ---- settling and the list ----

async function settle() {
  if (settling) return;
  settling = true;
  try {
    while (list.pending.length > 0) {
      const batch = list.pending.slice(0, BATCH);
      const results = await send(batch);
      online = true;
      list.drop(batch.length);
      for (const { letInTwice, seat } of results) if (letInTwice) showTwice(seat);
    }
  } catch (error) {
    if (!(error instanceof Refused)) online = false;
    else write('list_age', error.message);
  } finally {
    settling = false;
    showNetwork();
  }
}

async function refresh() {
  if (refreshing) return;
  refreshing = true;
  try {
    await list.refresh(ask);
    online = true;
  } catch (error) {
    if (!(error instanceof Refused)) online = false;
  } finally {
    refreshing = false;
    showNetwork();
  }
}

// ---- the door's name ----

function device() {
  let name = localStorage.getItem('door.device');
  if (!name) {
    name = `${t('door_name')} ${Math.random().toString(36).slice(2, 5).toUpperCase()}`;
    localStorage.setItem('door.device', name);
  }
  return name;
}

$('device').value = device();
$('device').addEventListener('change', ({ target }) => {
  localStorage.setItem('door.device', target.value.trim());
  target.value = device();
});

// ---- the page ----

const scanner = new Scanner($('view'), scanned);

$('start').addEventListener('click', async () => {
  try {
    $('camera').hidden = false;
    $('camera_problem').hidden = true;
    await scanner.start();
    $('start').hidden = true;
  } catch (error) {
    $('camera').hidden = true;
    $('camera_problem').hidden = false;
    write('camera_problem', t(error.name === 'NotAllowedError' ? 'door_camera_denied' : 'door_camera_none'));
  }
});

$('typed').addEventListener('submit', (submitted) => {
  submitted.preventDefault();
  const text = $('number').value.trim();
  if (!text) return;
  $('number').value = '';
  void scan(text);
});

addEventListener('online', () => void settle());
addEventListener('offline', () => {
  online = false;
  showNetwork();
});
addEventListener('pagehide', () => scanner.stop());

await list.load();
showNetwork();
await refresh();
void settle();
setInterval(() => void refresh(), LIST_MS);
setInterval(() => void (list.pending.length > 0 && settle()), SETTLE_MS);
document.documentElement.dataset.ready = 'door';
navigator.serviceWorker?.register(ownScript('door_worker.js'), { scope: own('/door/') }).catch(() => {}); // without it a reload needs the network
