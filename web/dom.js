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

// Says in which language a text of the organizer is, if that is known: for those who hear it, and for the choice of glyphs.
export function markLanguage(element, language = document.documentElement.dataset.texts) {
  if (language) element.lang = language;
  else element.removeAttribute('lang');
  return element;
}

// A new element. `properties`: as a script sets them; `children`: elements and texts.
export function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// A new element of an SVG drawing. `children`: elements and texts.
export function svg(name, attributes = {}, children = []) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Has a screen reader say a text. `id`: the live region, 'polite' or 'assertive'. The region is emptied
// first, as an equal text would not be read out.
export function say(text, id = 'polite') {
  $(id).textContent = '';
  setTimeout(() => write(id, text), SAY_AFTER_MS);
}
