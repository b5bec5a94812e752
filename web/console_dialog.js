// SPDX-License-Identifier: MIT
//
// console_dialog: a question before something happens: what it will do, in a sentence, and two buttons. For what cannot
// be undone a text has to be typed.

import { element } from './dom.js';
import { t } from './i18n.js';

let dialog;

// The one dialog of the page, empty.
function fresh() {
  if (!dialog) {
    dialog = element('dialog');
    document.body.append(dialog);
  }
  dialog.replaceChildren();
  return dialog;
}

// Asks, and resolves to true when the person agrees. title, lead, yes: texts; danger: it is hard to undo; typed: the text
// that has to be typed; effect: a text, or a promise of one, that says what will come of it; body: further elements.
export function confirm({ title, lead = '', yes, danger = false, typed = null, effect = null, body = [] }) {
  const box = fresh();
  const heading = element('h2', { id: 'dialog_title', textContent: title });
  box.setAttribute('aria-labelledby', 'dialog_title');
  const agree = element('button', { type: 'submit', value: 'yes', className: `control ${danger ? 'danger' : 'main'}`, textContent: yes });
  const form = element('form', { method: 'dialog' }, [heading]);
  if (lead) form.append(element('p', { textContent: lead }));
  form.append(...body);
  if (effect) {
    const line = element('p', { className: 'effect', textContent: typeof effect === 'string' ? effect : t('console_effect_wait') });
    line.setAttribute('role', 'status');
    form.append(line);
    if (typeof effect !== 'string') effect.then((text) => { line.textContent = text; line.hidden = !text; }, () => { line.hidden = true; });
  }
  if (typed !== null) {
    const input = element('input', { type: 'text', autocomplete: 'off', dir: 'auto' });
    form.append(element('label', { className: 'field' }, [element('span', { textContent: t('console_type_title', { title: typed }) }), input]));
    agree.disabled = true;
    input.addEventListener('input', () => { agree.disabled = input.value.trim() !== typed.trim(); });
  }
  form.append(element('div', { className: 'controls' }, [
    agree, element('button', { type: 'submit', value: 'no', className: 'control', textContent: t('console_cancel'), formNoValidate: true }),
  ]));
  box.append(form);
  box.returnValue = '';
  box.showModal();
  return new Promise((resolve) => box.addEventListener('close', () => resolve(box.returnValue === 'yes'), { once: true }));
}

// Offers one of several ways: choices: [{ value, label, main }]. Resolves to the value; null: none.
export function choose({ title, lead, body = [], choices }) {
  const box = fresh();
  box.setAttribute('aria-labelledby', 'dialog_title');
  box.append(element('form', { method: 'dialog' }, [
    element('h2', { id: 'dialog_title', textContent: title }), element('p', { textContent: lead }), ...body,
    element('div', { className: 'controls' }, choices.map(({ value, label, main }) => element('button', { type: 'submit', value, className: `control ${main ? 'main' : ''}`, textContent: label }))),
  ]));
  box.returnValue = '';
  box.showModal();
  return new Promise((resolve) => box.addEventListener('close', () => resolve(box.returnValue || null), { once: true }));
}
