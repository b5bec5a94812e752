// SPDX-License-Identifier: MIT
//
// notices: a sound and a notification when it is the buyer's turn, each only if he asked for it.

const $ = (id) => document.getElementById(id);
const KEY = 'tiketi:notices';
let sounds; // an AudioContext, made in a click: browsers want to be asked

function kept() {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}');
  } catch {
    return {};
  }
}

function keep(changes) {
  try {
    localStorage.setItem(KEY, JSON.stringify({ ...kept(), ...changes }));
  } catch {
    // then for this visit alone
  }
}

function allowSounds() {
  sounds ??= new AudioContext();
  sounds.resume();
}

// Three soft notes, half a second each.
function play(volume) {
  if (!sounds) return;
  [523.25, 659.25, 783.99].forEach((pitch, i) => {
    const at = sounds.currentTime + 0.05 + i * 0.22;
    const tone = sounds.createOscillator();
    const loudness = sounds.createGain();
    tone.frequency.value = pitch;
    loudness.gain.setValueAtTime(0, at);
    loudness.gain.linearRampToValueAtTime(volume, at + 0.03);
    loudness.gain.exponentialRampToValueAtTime(0.001, at + 0.9);
    tone.connect(loudness).connect(sounds.destination);
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
    // some phones show notifications of service workers alone
  }
}

export function offerNotices({ denied }) {
  const sound = $('sound');
  const popup = $('popup');
  const before = kept();
  sound.checked = before.sound === true;
  if (sound.checked) addEventListener('pointerdown', allowSounds, { once: true });
  sound.addEventListener('change', () => {
    keep({ sound: sound.checked });
    if (!sound.checked) return;
    allowSounds();
    play(0.08); // so he knows what to listen for
  });
  $('popup_label').hidden = !('Notification' in window);
  popup.checked = before.popup === true && globalThis.Notification?.permission === 'granted';
  popup.addEventListener('change', async () => {
    if (popup.checked && (await Notification.requestPermission()) !== 'granted') {
      popup.checked = false;
      denied();
    }
    keep({ popup: popup.checked });
  });
  $('notify').hidden = false;
}
