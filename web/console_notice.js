// SPDX-License-Identifier: MIT
//
// console_notice: what has just happened, or could not, at the head of the page and spoken. A notice may offer one way on,
// such as undo.

import { $, element, say } from './dom.js';
import { t } from './i18n.js';

// kind: 'good', 'bad' or 'warn'; action: { label, run }. A notice of the same name takes the other's place.
export function notice(text, { kind = 'good', name = 'last', action = null } = {}) {
  const line = element('p', { className: 'notice' }, [text]);
  line.dataset.kind = kind;
  line.dataset.name = name;
  if (action) {
    const button = element('button', { type: 'button', className: 'control', textContent: action.label });
    button.addEventListener('click', () => { line.remove(); action.run(); });
    line.append(button);
  }
  const close = element('button', { type: 'button', className: 'control', textContent: t('console_dismiss') });
  close.addEventListener('click', () => line.remove());
  line.append(close);
  clearNotice(name);
  $('notices').prepend(line);
  say(text, kind === 'bad' ? 'assertive' : 'polite');
}

export function clearNotice(name) {
  for (const other of $('notices').children) if (other.dataset.name === name) other.remove();
}
