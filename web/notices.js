// SPDX-License-Identifier: MIT
//
// notices: a sound and a notification when it is the buyer's turn, each only if the buyer asked for it.
//
// Notifications are shown by the service worker (notice_worker.js): phones show no others. Where the server and the browser
// can, it is also called when no page is open, by push messages. Whether all that works is known only once it did, so
// ticking the box brings the first notification the whole way.

import { $ } from './dom.js';
import { t } from './i18n.js';
import { own } from './place.js';
import { endPush, keepPush } from './push.js';
import { registerWorker } from './service_worker.js';

const KEY = 'tiketi:notices';
const TEST_MS = 10000; // so long a test message may take
const ICON = document.querySelector('link[rel="icon"]').href;
let audio; // an AudioContext; browsers allow sound only after a gesture, so it is made in one

function readChoices() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}');
  } catch {
    return {};
  }
}

function saveChoices(changes) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...readChoices(), ...changes }));
  } catch {
    // no storage: the choice counts for this visit
  }
}

// ---- the sound ----

function allowSound() {
  audio ??= new AudioContext();
  audio.resume();
  $('sound_blocked').hidden = true;
}

// Three soft notes.
function play(volume) {
  if (!audio) return;
  [523.25, 659.25, 783.99].forEach((pitch, i) => {
    const at = audio.currentTime + 0.05 + i * 0.22;
    const tone = audio.createOscillator();
    const loudness = audio.createGain();
    tone.frequency.value = pitch;
    loudness.gain.setValueAtTime(0, at);
    loudness.gain.linearRampToValueAtTime(volume, at + 0.03);
    loudness.gain.exponentialRampToValueAtTime(0.001, at + 0.9);
    tone.connect(loudness).connect(audio.destination);
    tone.start(at);
    tone.stop(at + 1);
  });
}

export function chime() {
  if ($('sound').checked) play(0.2);
}

// The box is ticked from an earlier visit: the first gesture allows the sound, and until then the page says so.
function awaitGesture() {
  $('sound_blocked').hidden = false;
  for (const gesture of ['pointerdown', 'keydown']) {
    addEventListener(gesture, () => $('sound').checked && allowSound(), { once: true });
  }
}

// ---- the notification ----

const { event, place, push: key, return: way, inPlace } = document.body.dataset;
const page = inPlace ? own(`/wait/${event}`) : location.pathname; // what a notification leads to
const canPush = () => Boolean(key) && 'PushManager' in window;

async function showNotification(title, options) {
  const registration = await registerWorker();
  // A push message may have said it before.
  const shown = await registration.getNotifications({ tag: page });
  if (options.data?.kind && shown.some(({ data }) => data?.kind === options.data.kind)) return;
  await registration.showNotification(title, { icon: ICON, tag: page, renotify: true, ...options, data: { path: page, way, ...options.data } });
}

// kind: offered or parked, as push messages have it.
export function notify(kind, title, body) {
  if (!$('popup').checked || globalThis.Notification?.permission !== 'granted') return;
  showNotification(title, { body, requireInteraction: true, data: { kind } }).catch(() => {}); // the sound and the title still call
}

// The turn has come to its end, or the buyer is back: nothing calls any more.
export async function withdrawNotification() {
  try {
    const registration = await navigator.serviceWorker?.getRegistration(own('/wait/'));
    const shown = (await registration?.getNotifications({ tag: page })) ?? [];
    for (const notification of shown) notification.close();
  } catch {
    // no service workers here
  }
}

// ---- push messages ----

// Resolves once the worker has got the test message.
const tested = () => new Promise((resolve, reject) => {
  setTimeout(() => reject(new Error('no test message')), TEST_MS);
  navigator.serviceWorker.addEventListener('message', ({ data }) => data?.push === 'test' && data.event === event && resolve());
});

// Has this browser called when no page is open. Returns whether a test message, if one is wanted, has come through.
async function startPush({ test }) {
  if (!canPush()) return false;
  try {
    const keeping = registerWorker().then((registration) => keepPush(registration, { event, key, place, way, test }));
    await Promise.all([keeping, test && tested()]);
    return true;
  } catch {
    return false;
  }
}

async function stopPush() {
  try {
    const registration = await navigator.serviceWorker.getRegistration();
    if (registration?.pushManager) await endPush(registration);
  } catch {
    // the browser has no subscription, and the server deletes its own
  }
}

// Says whether this page may be closed.
function showReach(reach) {
  $('popup_closed').hidden = reach !== 'closed';
  $('popup_open').hidden = reach !== 'open';
}

async function tickPopup(popup) {
  $('popup_denied').hidden = true;
  $('popup_failed').hidden = true;
  showReach();
  if (popup.checked && (await Notification.requestPermission()) !== 'granted') {
    popup.checked = false;
    $('popup_denied').hidden = false;
  }
  const called = popup.checked && (await startPush({ test: true }));
  if (popup.checked && !called) {
    await showNotification(t('notify_test_title'), { body: t('notify_test_body') }).catch(() => {
      popup.checked = false;
      $('popup_failed').hidden = false;
    });
  }
  if (!popup.checked) void stopPush();
  else showReach(called ? 'closed' : 'open');
  saveChoices({ popup: popup.checked });
}

// Shows the two choices.
export function offerNotices() {
  const sound = $('sound');
  const popup = $('popup');
  const choices = readChoices();
  sound.checked = choices.sound === true;
  if (sound.checked) awaitGesture();
  sound.addEventListener('change', () => {
    saveChoices({ sound: sound.checked });
    $('sound_blocked').hidden = true;
    if (!sound.checked) return;
    allowSound();
    play(0.08); // a sample, softly
  });
  $('popup_label').hidden = !('Notification' in window && navigator.serviceWorker);
  popup.checked = choices.popup === true && globalThis.Notification?.permission === 'granted';
  popup.addEventListener('change', () => tickPopup(popup));
  if (popup.checked) void startPush({ test: false }).then((called) => popup.checked && showReach(called ? 'closed' : 'open'));
  $('notify').hidden = false;
}
