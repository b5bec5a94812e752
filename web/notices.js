// SPDX-License-Identifier: MIT
//
// notices: a sound and a notification when it is the buyer's turn, each only if the buyer asked for it.

import { $ } from './dom.js';

const KEY = 'tiketi:notices';
let audio; // an AudioContext; browsers allow sound only after a click, so it is made in one

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

function allowSound() {
  audio ??= new AudioContext();
  audio.resume();
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

export function notify(title, body) {
  if (!$('popup').checked || !('Notification' in window) || Notification.permission !== 'granted') return;
  try {
    const shown = new Notification(title, { body, tag: location.pathname, requireInteraction: true });
    shown.onclick = () => {
      window.focus();
      shown.close();
    };
  } catch {
    // some phones only show notifications of service workers
  }
}

// Shows the two choices. onDenied(): the browser refuses notifications.
export function offerNotices({ onDenied }) {
  const sound = $('sound');
  const popup = $('popup');
  const choices = readChoices();
  sound.checked = choices.sound === true;
  if (sound.checked) addEventListener('pointerdown', allowSound, { once: true });
  sound.addEventListener('change', () => {
    saveChoices({ sound: sound.checked });
    if (!sound.checked) return;
    allowSound();
    play(0.08); // a sample, softly
  });
  $('popup_label').hidden = !('Notification' in window);
  popup.checked = choices.popup === true && globalThis.Notification?.permission === 'granted';
  popup.addEventListener('change', async () => {
    if (popup.checked && (await Notification.requestPermission()) !== 'granted') {
      popup.checked = false;
      onDenied();
    }
    saveChoices({ popup: popup.checked });
  });
  $('notify').hidden = false;
}
