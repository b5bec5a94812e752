// SPDX-License-Identifier: MIT
//
// dom: the few things that the scripts of all pages do to their document.

const SAY_AFTER_MS = 50;

export const $ = (id) => document.getElementById(id);

// Sets the text of an element, if it is another: a screen reader may read out what is set again.
export function write(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

// Has a screen reader say a text. `id`: the live region, 'polite' or 'assertive'. The region is emptied
// first, as an equal text would not be read out.
export function say(text, id = 'polite') {
  $(id).textContent = '';
  setTimeout(() => write(id, text), SAY_AFTER_MS);
}
