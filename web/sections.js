// SPDX-License-Identifier: MIT
//
// sections: the overview of a large hall. A hall of up to WHOLE seats is shown in one piece. A larger one is
// cut into areas: its sections, and groups of rows of those that are still too large. The overview is a
// picture of the areas (SVG, for the pointer) above a list of buttons with the same content as text.

import { markLanguage, svg } from './dom.js';
import { money, plural, t } from './i18n.js';

const WHOLE = 1500; // seats that are shown in one piece
const PART = 900; // seats of one part of a section that is larger

// [{ name, rows, first, end }]: the parts of the hall that are shown one at a time.
export function areasOf(seats) {
  const whole = { name: t('buy_hall'), rows: seats.rows, first: 0, end: seats.count };
  if (seats.count <= WHOLE) return [whole];
  const areas = seats.sections.flatMap(partsOf);
  return areas.length > 0 ? areas : [whole];
}

function partsOf({ name, rows }) {
  const area = (list, label) => ({ name: label, section: name, rows: list, first: list[0].first, end: list.at(-1).end });
  const size = rows.at(-1).end - rows[0].first;
  if (size <= WHOLE) return [area(rows, name)];
  const parts = [];
  for (const row of rows) {
    const part = parts.at(-1);
    if (part && row.end - part[0].first <= PART) part.push(row);
    else parts.push([row]);
  }
  return parts.map((list) => area(list, `${name}, ${t('buy_rows', { from: list[0].row, to: list.at(-1).row })}`));
}

// ---- the picture ----

// Distributes the areas over rings around the stage; outer rings take more of them.
function ringsOf(areas) {
  const rings = [];
  const count = Math.max(1, Math.round(Math.sqrt(areas.length / 1.6)));
  const weights = Array.from({ length: count }, (_, i) => count + 2 * i);
  const sum = weights.reduce((a, b) => a + b, 0);
  let from = 0;
  weights.reduce((seen, weight) => {
    const end = Math.round(((seen + weight) / sum) * areas.length);
    rings.push(areas.slice(from, end));
    from = end;
    return seen + weight;
  }, 0);
  return rings.filter((ring) => ring.length > 0);
}

const SPREAD = 1.16; // half of the fan's angle, in radians
const INNER = 74; // radius left for the stage

function sector(inner, outer, from, to) {
  const at = (r, a) => `${(r * Math.sin(a)).toFixed(1)} ${(r * Math.cos(a)).toFixed(1)}`;
  return `M${at(inner, from)}A${inner} ${inner} 0 0 0 ${at(inner, to)}L${at(outer, to)}A${outer} ${outer} 0 0 1 ${at(outer, from)}Z`;
}

// Without the words that all names begin with: "Block 12" -> "12".
function shortNames(areas) {
  const words = areas.map(({ name }) => name.split(' '));
  const alike = words.every((list) => list.length === words[0].length && list.length > 1 && list.slice(0, -1).join() === words[0].slice(0, -1).join());
  return words.map((list) => (alike ? list.at(-1) : list.join(' ')));
}

export class Sections {
  // onChoose(area)
  constructor(root, { seats, areas, onChoose }) {
    Object.assign(this, { root, seats, areas, onChoose });
    this.dirty = new Set();
    this.own = [];
    this.areaOf = new Uint32Array(seats.count);
    areas.forEach((area, n) => {
      this.areaOf.fill(n, area.first, area.end);
      area.free = 0;
      area.from = Infinity;
      for (let i = area.first; i < area.end; i++) {
        area.free += seats.isFree(i);
        area.from = Math.min(area.from, seats.prices[i]);
      }
    });
    this.#draw();
  }

  show() {
    this.root.replaceChildren(this.element);
    this.#flush();
  }

  // Marks the areas of these seats to be counted again, on the next frame if the overview is shown. `own`: the
  // seats that the buyer holds.
  changed(indices, own) {
    for (const i of [...indices, ...own, ...this.own]) this.dirty.add(this.areaOf[i]);
    this.own = own;
    if (this.dirty.size > 0 && this.element.isConnected) this.frame ??= requestAnimationFrame(() => this.#flush());
  }

  focus(area) {
    this.buttons[Math.max(0, this.areas.indexOf(area))].focus();
  }

  get focusable() {
    return this.buttons[0];
  }

  #flush() {
    this.frame = undefined;
    for (const n of this.dirty) {
      const area = this.areas[n];
      area.free = 0;
      for (let i = area.first; i < area.end; i++) area.free += this.seats.isFree(i);
      this.#write(n);
    }
    this.dirty.clear();
  }

  #write(n) {
    const area = this.areas[n];
    const share = area.free / (area.end - area.first);
    const left = area.free === 0 ? 'none' : share < 0.1 ? 'few' : share < 0.5 ? 'some' : 'many';
    this.buttons[n].dataset.left = left;
    this.shapes[n].dataset.left = left;
    if (this.labels[n]) this.labels[n].dataset.left = left;
    const own = this.own.filter((i) => this.areaOf[i] === n).length;
    const words = area.free > 0 ? plural('buy_left', area.free) : t('buy_left_none');
    this.left[n].textContent = own > 0 ? t('buy_left_own', { left: words, own: plural('buy_own_count', own) }) : words;
    for (const one of [this.buttons[n], this.shapes[n]]) one.classList.toggle('own-area', own > 0);
  }

  #draw() {
    this.element = document.createElement('div');
    this.element.className = 'plan';
    this.shapes = [];
    this.element.append(this.#picture(), this.#list());
    this.areas.forEach((_, n) => this.#write(n));
    this.element.addEventListener('click', ({ target }) => {
      const n = target.closest('[data-area]')?.dataset.area;
      if (n !== undefined) this.onChoose(this.areas[n]);
    });
    this.element.addEventListener('pointerover', ({ target }) => {
      const n = target.closest('[data-area]')?.dataset.area;
      for (const one of this.element.querySelectorAll('.near')) one.classList.remove('near');
      if (n === undefined) return;
      this.shapes[n].classList.add('near');
      this.buttons[n].classList.add('near');
    });
  }

  #picture() {
    const rings = ringsOf(this.areas);
    const names = shortNames(this.areas);
    const depth = Math.min(52, 190 / rings.length);
    const bottom = INNER + rings.length * depth;
    const half = Math.max(100, bottom * Math.sin(Math.min(SPREAD, Math.PI / 2)) + 2);
    this.shapes = [];
    this.labels = [];
    rings.forEach((ring, r) => {
      const inner = INNER + r * depth;
      const step = (2 * SPREAD) / ring.length;
      const gap = 1.4 / inner;
      const center = inner + depth / 2 - 1;
      ring.forEach((_, k) => {
        const from = -SPREAD + k * step;
        const middle = from + step / 2;
        const name = names[this.shapes.length];
        const fits = name.length * 6.4 < step * center;
        const at = { x: (center * Math.sin(middle)).toFixed(1), y: (center * Math.cos(middle) + 4).toFixed(1) };
        this.labels.push(fits ? svg('text', { class: 'block-name', ...at }, [name]) : undefined);
        this.shapes.push(svg('path', { 'data-area': this.shapes.length, class: 'block', d: sector(inner, inner + depth - 3, from + gap, from + step - gap) }));
      });
    });
    return svg('svg', { viewBox: `${-half} 8 ${2 * half} ${bottom - 8}`, class: 'fan', 'aria-hidden': 'true' }, [
      svg('path', { class: 'stage', d: 'M-62 14h124a62 50 0 0 1-124 0z' }),
      svg('text', { class: 'stage-name', x: 0, y: 38 }, [t('buy_stage')]),
      ...this.shapes,
      ...this.labels.filter(Boolean),
    ]);
  }

  #list() {
    const list = document.createElement('ul');
    list.className = 'areas';
    list.setAttribute('aria-label', t('buy_sections'));
    this.left = [];
    this.buttons = this.areas.map((area, n) => {
      const button = document.createElement('button');
      const parts = [['area-name', area.name], ['area-price', t('buy_from', { price: money(area.from, this.seats.currency) })], ['area-left', '']]
        .map(([name, text]) => Object.assign(document.createElement('span'), { className: name, textContent: text, dir: 'auto' }));
      if (area.name === area.section) markLanguage(parts[0]); // and nothing of ours
      Object.assign(button, { type: 'button', className: 'area' });
      button.dataset.area = n;
      button.append(parts[0], ' ', parts[1], ' ', parts[2]);
      this.left.push(parts[2]);
      const item = document.createElement('li');
      item.append(button);
      list.append(item);
      return button;
    });
    return list;
  }
}
