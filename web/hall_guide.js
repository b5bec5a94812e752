// SPDX-License-Identifier: MIT
//
// hall_guide: where the buyer is in an enlarged map: the whole hall in small, with a frame around the part that is seen,
// and the names of the rows at the edge, where they would have been scrolled away. Both lie over the scrolling element,
// so that scrolling draws no seat again. For the eye and the pointer alone: a seat says its row itself.
//
//   const guide = new Guide(view);   view: the scrolling element, a child of the element that guide.element goes into
//   guide.begin({ svg, width, height, rows });   rows: [{ name, left, right, bow(x) }], in units of the drawing
//   guide.update({ unit, whole, marked });       unit: px of a seat's pitch; marked: [{ x, y }], the buyer's seats

import { svg } from './dom.js';

const NAME_PX = 15; // the height of a name, which no other may overlap
const EDGE_PX = 12; // the middle of a name from the edge
const SIDE_PX = 112; // the longer side of the small picture, at most

export class Guide {
  constructor(view) {
    this.view = view;
    this.element = document.createElement('div');
    this.element.className = 'guide';
    this.element.setAttribute('aria-hidden', 'true');
    this.names = document.createElement('div');
    this.names.className = 'guide-rows';
    this.element.append(this.names);
    view.addEventListener('scroll', () => this.#soon(), { passive: true });
  }

  begin({ svg: map, width, height, rows }) {
    Object.assign(this, { map, width, height, rows, now: undefined });
    this.spans = rows.map(({ name }) => Object.assign(document.createElement('span'), { textContent: name, dir: 'auto' }));
    this.names.replaceChildren(...this.spans);
    this.marks = svg('g', { class: 'guide-marks' });
    this.frame = svg('rect', { class: 'guide-frame' });
    const scale = SIDE_PX / Math.max(width, height);
    this.small?.remove();
    this.small = svg('svg', { class: 'minimap', viewBox: `0 0 ${width} ${height}`, width: Math.round(width * scale), height: Math.round(height * scale) }, [
      svg('path', { class: 'guide-seats', d: rows.map(lineOf).join('') }), this.marks, this.frame,
    ]);
    this.small.addEventListener('pointerdown', (event) => this.#follow(event));
    this.element.append(this.small);
    this.element.hidden = true;
  }

  update(now) {
    this.now = { ...this.now, ...now };
    const { whole, marked } = this.now;
    this.element.hidden = whole;
    if (whole) return;
    this.marks.replaceChildren(...(marked ?? []).map(({ x, y }) => svg('circle', { cx: x, cy: y, r: Math.max(this.width, this.height) / 45 })));
    this.#soon();
  }

  // Once a frame.
  #soon() {
    this.due ??= requestAnimationFrame(() => {
      this.due = undefined;
      if (this.now && !this.now.whole && this.map.isConnected) this.#place();
    });
  }

  #place() {
    const map = this.map.getBoundingClientRect();
    const view = this.view.getBoundingClientRect();
    const scale = map.width / this.width;
    const [left, top] = [map.left - view.left, map.top - view.top];
    const part = { x: Math.max(0, -left / scale), y: Math.max(0, -top / scale) };
    part.width = Math.min(view.width / scale, this.width - part.x);
    part.height = Math.min(view.height / scale, this.height - part.y);
    for (const [name, value] of Object.entries(part)) this.frame.setAttribute(name, value);
    let free = -Infinity; // below the last name
    this.rows.forEach((row, n) => {
      const y = top + row.bow(Math.max(row.left, (EDGE_PX - left) / scale)) * scale;
      const gone = left + row.left * scale < EDGE_PX && left + row.right * scale > 2 * EDGE_PX; // its own name, not the row
      const shown = gone && y > NAME_PX / 2 && y < view.height - NAME_PX / 2 && y - free >= NAME_PX;
      this.spans[n].hidden = !shown;
      if (!shown) return;
      free = y;
      this.spans[n].style.transform = `translateY(${Math.round(y - NAME_PX / 2)}px)`;
    });
  }

  // Brings what is pressed in the small picture into view, and follows the pointer.
  #follow(event) {
    event.preventDefault();
    this.small.setPointerCapture(event.pointerId);
    const show = ({ clientX, clientY }) => {
      const { view, small } = this;
      const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(small.getScreenCTM().inverse());
      const scale = this.map.getBoundingClientRect().width / this.width;
      view.scrollTo(x * scale - view.clientWidth / 2, y * scale - view.clientHeight / 2);
    };
    const done = new AbortController();
    this.small.addEventListener('pointermove', show, done);
    for (const end of ['pointerup', 'pointercancel']) this.small.addEventListener(end, () => done.abort(), done);
    show(event);
  }
}

// The curve of a row: a parabola, which is a quadratic Bézier curve.
function lineOf({ left, right, bow }) {
  const middle = (left + right) / 2;
  const end = bow(left);
  return `M${left} ${end.toFixed(1)}Q${middle} ${(2 * bow(middle) - end).toFixed(1)} ${right} ${end.toFixed(1)}`;
}
