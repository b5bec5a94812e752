// SPDX-License-Identifier: MIT
//
// ticket: copies the link and the number, prints, and is glad with the buyer once. Before the provider has confirmed the
// payment, asks whether it has. The page says everything without it.

import { $, say } from './dom.js';

const CONFIRM_MS = 1000;
const CONFIRM_MOST_MS = 5000;
const SLOW_MS = 20000;
const RETRY_MS = 8000;
const COPIED_MS = 2500;

const main = $('main');
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // only https pages have a clipboard: the old way needs a field
    const field = $('link');
    const own = field.value;
    field.value = text;
    field.select();
    document.execCommand('copy');
    field.value = own;
    getSelection().removeAllRanges();
  }
}

function showTools() {
  for (const button of document.querySelectorAll('[data-copy]')) {
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener('click', async () => {
      await copy(button.dataset.copy);
      button.textContent = button.dataset.done;
      say(button.dataset.done);
      await sleep(COPIED_MS);
      button.textContent = label;
    });
  }
  $('link')?.addEventListener('focus', ({ target }) => target.select());
  const print = $('print');
  print.hidden = false;
  print.addEventListener('click', () => globalThis.print());
}

// Once in each browser: the animation is the style's.
function celebrate() {
  const key = `seen${location.pathname}`;
  try {
    if (localStorage.getItem(key)) return;
    localStorage.setItem(key, '1');
  } catch {
    return; // a browser that stores nothing would be glad at each visit
  }
  main.classList.add('fresh');
  $('status').focus({ preventScroll: true }); // what a screen reader says first after paying
}

// The address leads on to the ticket once the payment is confirmed, or shows another state.
async function awaitConfirmation() {
  const slow = $('slow');
  const began = performance.now();
  for (let wait = CONFIRM_MS; ; wait = Math.min(wait * 1.3, CONFIRM_MOST_MS)) {
    await sleep(wait);
    const answer = await fetch(location.href, { redirect: 'manual' }).catch(() => undefined);
    const confirming = answer?.ok && /<main id="main" data-state="confirming"/.test(await answer.text());
    if (answer && !confirming && answer.status < 500) {
      location.reload();
      return;
    }
    if (performance.now() - began > SLOW_MS && slow.textContent === '') slow.textContent = slow.dataset.slow;
  }
}

const { state } = main.dataset;
if (state === 'valid') {
  showTools();
  celebrate();
}
if (state === 'confirming') void awaitConfirmation();
if (state === 'unavailable') setTimeout(() => location.reload(), RETRY_MS + Math.random() * RETRY_MS);
