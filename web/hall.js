// SPDX-License-Identifier: MIT
//
// hall: the seats as an SVG map for pointer, keyboard and screen reader. It is an ARIA grid: one tab stop,
// arrow keys move from seat to seat, Enter or Space chooses. The label of a seat has its place, price and
// state. A change updates only the seats that changed; an area is drawn a few rows per frame. At first an area
// is shown whole. Zooming changes the width of the SVG within a scrolling element, so nothing is drawn again
// for it; a mouse drags the map, and a guide (hall_guide.js) shows which part of it is seen.
//
//   const hall = new Hall(root, { seats, stateOf(i), onChoose(i), onSpot(i | undefined) });
//   hall.show(area, { at: i });   hall.changed(indices);   hall.zoom(1.4);

import { say, svg } from './dom.js';
import { Guide } from './hall_guide.js';
import { money, t } from './i18n.js';

const PITCH = 24; // units of the drawing from seat to seat
const SEAT = 18;
const MARGIN = 40; // for the names of the rows
const PER_FRAME = 160; // seats drawn in one frame
const FINGER_PX = 30; // a pitch on screen that suits a finger
const MOUSE_PX = 16; // and a mouse
const LARGEST_PX = 54;
const DRAG_PX = 5; // a pointer that moved so far drags the map and chooses nothing
const KEYS = { ArrowLeft: -1, ArrowRight: 1 };

// Of the names that the organizer has given.
const textLanguage = () => (document.documentElement.dataset.texts ? { lang: document.documentElement.dataset.texts } : {});

const byFinger = () => matchMedia('(pointer: coarse)').matches;

export class Hall {
  constructor(root, options) {
    Object.assign(this, { root, onSpot() {}, onChoose() {} }, options);
    this.view = document.createElement('div');
    this.view.className = 'hall-view';
    this.guide = new Guide(this.view);
    this.root.replaceChildren(this.view, this.guide.element);
    this.view.addEventListener('click', (event) => this.#click(event));
    this.view.addEventListener('keydown', (event) => this.#key(event));
    this.view.addEventListener('pointerdown', (event) => this.#drag(event));
    this.view.addEventListener('focusin', ({ target }) => this.#spot(target));
    this.view.addEventListener('pointerover', ({ target }) => this.#spot(target));
    this.view.addEventListener('pointerleave', () => this.#spot(this.view));
    new ResizeObserver(() => this.#resized()).observe(this.view);
  }

  get shown() {
    return this.area !== undefined && this.view.isConnected;
  }

  // `at`: the seat that is scrolled to and takes the keyboard focus first.
  show(area, { at } = {}) {
    this.area = area;
    this.current = at ?? this.#firstFree(area);
    const [front] = area.rows;
    this.middle = at ?? (front.first + front.end) >> 1;
    this.#place();
    this.#begin();
    this.root.replaceChildren(this.view, this.guide.element);
    this.#fit();
    return (this.drawn = this.#draw());
  }

  changed(indices) {
    if (!this.elements) return;
    for (const i of indices) this.#mark(i);
    this.#ticks();
    this.onSpot(this.spotted);
  }

  zoom(factor) {
    const { view } = this;
    const x = (view.scrollLeft + view.clientWidth / 2) / view.scrollWidth;
    const y = (view.scrollTop + view.clientHeight / 2) / view.scrollHeight;
    this.#size(this.unit * factor);
    view.scrollLeft = x * view.scrollWidth - view.clientWidth / 2;
    view.scrollTop = y * view.scrollHeight - view.clientHeight / 2;
  }

  get canGrow() {
    return this.unit < LARGEST_PX;
  }

  get canShrink() {
    return this.unit > this.fitting;
  }

  center(i) {
    const { view } = this;
    const scale = this.unit / PITCH;
    view.scrollLeft = this.#x(i) * scale - view.clientWidth / 2;
    view.scrollTop = this.#y(i) * scale - view.clientHeight / 2;
  }

  async focus(i = this.current) {
    await this.drawn;
    this.#rove(i);
    this.#element(i)?.focus();
  }

  // The seat that has the tab stop; undefined: it is not drawn yet.
  get focusable() {
    return this.#element(this.current);
  }

  #firstFree({ first, end }) {
    for (let i = first; i < end; i++) {
      if (this.stateOf(i) !== 'taken') return i;
    }
    return first;
  }

  // ---- layout ----

  #place() {
    const { rows, first, end } = this.area;
    this.xs = new Float32Array(end - first);
    this.ys = new Float32Array(end - first);
    const widest = Math.max(...rows.map((row) => row.end - row.first));
    const half = (widest * PITCH) / 2;
    const middle = half + MARGIN;
    const sag = Math.min(2.4 * PITCH, half * 0.16);
    this.width = widest * PITCH + 2 * MARGIN;
    this.stage = sag * 0.6; // the stage moves down into the curve of the rows
    this.titles = [];
    this.names = [];
    let y = 56 + this.stage;
    const sections = new Set(rows.map((row) => row.section)).size;
    let section;
    for (const row of rows) {
      if (row.section !== section) {
        y += section === undefined ? PITCH : PITCH * 1.8;
        if (sections > 1) this.titles.push({ name: row.section, y: y - PITCH * 0.5 });
        if (sections > 1) y += PITCH * 0.7;
        section = row.section;
      }
      const n = row.end - row.first;
      const front = y;
      const bow = (dx) => front - sag * (dx / half) ** 2;
      for (let k = 0; k < n; k++) {
        const dx = (k - (n - 1) / 2) * PITCH;
        this.xs[row.first - first + k] = this.width / 2 + dx;
        this.ys[row.first - first + k] = bow(dx);
      }
      const edge = (n / 2 + 0.45) * PITCH;
      this.names.push({ row, x: this.width / 2 - edge, right: this.width / 2 + edge, y: bow(edge) + 4, bow: (x) => bow(x - middle) });
      y += PITCH;
    }
    this.height = y + 8;
  }

  #x(i) {
    return this.xs[i - this.area.first];
  }

  #y(i) {
    return this.ys[i - this.area.first];
  }

  // ---- drawing ----

  #begin() {
    const middle = this.width / 2;
    const wide = Math.min(this.width * 0.3, 170);
    this.grid = svg('g', { class: 'grid', role: 'grid', 'aria-multiselectable': 'true', 'aria-label': t('buy_grid', { area: this.area.name }) });
    this.tickGroup = svg('g', { class: 'ticks', 'aria-hidden': 'true' });
    this.svg = svg('svg', { viewBox: `0 0 ${this.width} ${this.height}`, class: 'map', role: 'presentation' }, [
      svg('g', { 'aria-hidden': 'true' }, [
        svg('path', { class: 'stage', d: `M${middle - wide} ${12 + this.stage}h${2 * wide}q-8 30-${wide} 34q-${wide - 8}-4-${wide}-34z` }),
        svg('text', { class: 'stage-name', x: middle, y: 34 + this.stage }, [t('buy_stage')]),
        ...this.titles.map(({ name, y }) => svg('text', { class: 'section-name', x: middle, y, ...textLanguage() }, [name])),
      ]),
      this.grid,
      this.tickGroup,
    ]);
    this.elements = new Array(this.area.end - this.area.first);
    this.spotted = undefined;
    this.view.replaceChildren(this.svg);
    const rows = this.names.map(({ row, x, right, bow }) => ({ name: row.row, left: x, right, bow }));
    this.guide.begin({ svg: this.svg, width: this.width, height: this.height, rows });
  }

  async #draw() {
    const { svg: map } = this;
    let drawn = 0;
    let rows = [];
    for (const { row, x, right, y } of this.names) {
      const name = (at, anchor) => svg('text', { 'aria-hidden': 'true', class: 'row-name', x: at, y, 'text-anchor': anchor }, [row.row]);
      const line = [name(x, 'end')];
      for (let i = row.first; i < row.end; i++) line.push((this.elements[i - this.area.first] = this.#seat(i)));
      rows.push(svg('g', { role: 'row', 'aria-label': t('seat_row', { row: row.row }) }, [...line, name(right, 'start')]));
      drawn += row.end - row.first;
      if (drawn < PER_FRAME && row.end !== this.area.end) continue;
      this.grid.append(...rows);
      rows = [];
      drawn = 0;
      await new Promise(requestAnimationFrame);
      if (this.svg !== map) return; // another area is shown by now
    }
    this.#ticks();
  }

  #seat(i) {
    const { seats } = this;
    const state = this.stateOf(i);
    const seat = svg('rect', {
      class: `seat t${seats.tier(seats.prices[i])}`, 'data-i': i, 'data-s': state, role: 'gridcell', tabindex: i === this.current ? 0 : -1,
      x: (this.#x(i) - SEAT / 2).toFixed(1), y: (this.#y(i) - SEAT / 2).toFixed(1), width: SEAT, height: SEAT, rx: 5,
      'aria-label': this.label(i, state), 'aria-selected': state === 'own' || state === 'chosen',
    });
    if (state === 'taken') seat.setAttribute('aria-disabled', 'true');
    return seat;
  }

  label(i, state = this.stateOf(i)) {
    const { seats } = this;
    const row = seats.row(i);
    const where = this.area.section || seats.sections.length === 1 ? 'seat_in_row' : 'seat_name';
    const seat = t(where, { section: row.section, row: row.row, number: seats.numbers[i] });
    return t('seat_label', { seat, price: this.#price(seats.prices[i]), state: t(`seat_${state}`) });
  }

  // Intl is slow for a thousand equal amounts.
  #price(amount) {
    this.prices ??= new Map();
    if (!this.prices.has(amount)) this.prices.set(amount, money(amount, this.seats.currency));
    return this.prices.get(amount);
  }

  #element(i) {
    return this.elements?.[i - this.area.first];
  }

  #mark(i) {
    const element = this.#element(i);
    if (!element) return;
    const state = this.stateOf(i);
    if (element.dataset.s === state) return;
    element.dataset.s = state;
    element.setAttribute('aria-label', this.label(i, state));
    element.setAttribute('aria-selected', state === 'own' || state === 'chosen');
    if (state === 'taken') element.setAttribute('aria-disabled', 'true');
    else element.removeAttribute('aria-disabled');
  }

  // The buyer's own and chosen seats carry a tick: colour alone must not carry the meaning.
  #ticks() {
    const marked = this.elements.filter((element) => element?.dataset.s === 'own' || element?.dataset.s === 'chosen');
    this.tickGroup.replaceChildren(...marked.map(({ dataset: { i } }) => svg('path', { d: `M${this.#x(i) - 4} ${this.#y(i)}l3 3.200l5-6` })));
    this.guide.update({ marked: marked.map(({ dataset: { i } }) => ({ x: this.#x(i), y: this.#y(i) })) });
  }

  // ---- size ----

  // The whole area, in the room that the page has for it.
  #fit() {
    const { view } = this;
    const width = view.clientWidth || this.root.clientWidth || 320;
    const height = parseFloat(getComputedStyle(view).maxHeight) || Infinity;
    this.fitting = PITCH * Math.min(LARGEST_PX / PITCH, width / this.width, height / this.height);
    this.#size(this.fitting);
    this.center(this.middle);
    this.fitted = { width, height };
  }

  #size(unit) {
    this.unit = Math.max(this.fitting, Math.min(unit, LARGEST_PX));
    this.svg.style.width = `${(this.width * this.unit) / PITCH}px`;
    this.svg.style.height = `${(this.height * this.unit) / PITCH}px`;
    this.view.dataset.whole = !this.canShrink;
    this.guide.update({ whole: !this.canShrink });
    this.onZoom?.();
  }

  #resized() {
    const { view, svg, fitted } = this;
    if (!svg || !view.isConnected || Math.abs(view.clientWidth - fitted.width) < 4) return;
    this.#fit();
  }

  // ---- pointer ----

  #click({ target, clientX, clientY, detail }) {
    if (!this.svg || this.dragged) return;
    // Seats too small to be hit: the first touch zooms in. A click without a pointer (detail 0) cannot miss.
    const suits = byFinger() ? FINGER_PX : MOUSE_PX;
    if (detail > 0 && this.unit < suits * 0.6) {
      const near = this.#nearest(clientX, clientY, Infinity);
      this.#size(suits);
      if (near !== undefined) this.center(near);
      say(t('buy_say_larger'));
      return;
    }
    const i = target.dataset?.i !== undefined ? Number(target.dataset.i) : this.#nearest(clientX, clientY, PITCH * 0.75);
    if (i === undefined) return;
    this.#rove(i);
    this.onChoose(i);
  }

  // A finger scrolls the map by itself.
  #drag({ pointerType, button, clientX, clientY }) {
    const { view } = this;
    this.dragged = false;
    if (pointerType !== 'mouse' || button !== 0) return;
    const from = { left: view.scrollLeft, top: view.scrollTop };
    const done = new AbortController();
    const move = ({ clientX: x, clientY: y }) => {
      if (!this.dragged && Math.hypot(x - clientX, y - clientY) < DRAG_PX) return;
      this.dragged = true;
      view.scrollTo(from.left - x + clientX, from.top - y + clientY);
    };
    addEventListener('pointermove', move, done);
    addEventListener('pointerup', () => done.abort(), done);
    addEventListener('pointercancel', () => done.abort(), done);
  }

  #nearest(clientX, clientY, most) {
    const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    let best;
    let least = most;
    for (let k = 0; k < this.xs.length; k++) {
      const away = Math.hypot(this.xs[k] - x, this.ys[k] - y);
      if (away < least) [best, least] = [k + this.area.first, away];
    }
    return best;
  }

  #spot(target) {
    const i = target.dataset?.i ?? this.#focused();
    this.spotted = i === undefined ? undefined : Number(i);
    this.onSpot(this.spotted);
  }

  #focused() {
    return this.view.contains(document.activeElement) ? document.activeElement.dataset.i : undefined;
  }

  // ---- keyboard ----

  #rove(i) {
    this.#element(this.current)?.setAttribute('tabindex', '-1');
    this.current = i;
    this.#element(i)?.setAttribute('tabindex', '0');
  }

  #key(event) {
    const i = Number(event.target.dataset?.i ?? NaN);
    if (Number.isNaN(i) || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.onChoose(i);
      return;
    }
    const to = this.#target(i, event.key);
    if (to === undefined) return;
    event.preventDefault();
    this.#rove(to);
    this.#element(to).focus();
  }

  // The seat that a key moves to; undefined: the map does not use this key.
  #target(i, key) {
    const { area, seats } = this;
    const row = seats.row(i);
    if (KEYS[key]) return Math.min(area.end - 1, Math.max(area.first, i + KEYS[key]));
    if (key === 'Home') return row.first;
    if (key === 'End') return row.end - 1;
    if (key === 'ArrowUp') return this.#across(i, row.index - 1);
    if (key === 'ArrowDown') return this.#across(i, row.index + 1);
    if (key === 'PageUp') return this.#section(i, -1);
    if (key === 'PageDown') return this.#section(i, 1);
    return undefined;
  }

  // The seat of another row that is straight in front or behind.
  #across(i, index) {
    const row = this.area.rows.find((one) => one.index === index);
    if (!row) return i;
    let best = row.first;
    for (let k = row.first; k < row.end; k++) {
      if (Math.abs(this.#x(k) - this.#x(i)) < Math.abs(this.#x(best) - this.#x(i)) - 0.1) best = k;
    }
    return best;
  }

  // The first row of the previous or next section.
  #section(i, step) {
    const { rows } = this.area;
    const firsts = rows.filter((row, n) => n === 0 || rows[n - 1].section !== row.section);
    const at = firsts.findLastIndex((row) => row.index <= this.seats.row(i).index);
    const to = firsts[at + step];
    return to ? this.#across(i, to.index) : i;
  }
}
