// SPDX-License-Identifier: MIT
//
// console_chart: a chart of the sale over time, drawn by uPlot, with a line for each change of the settings. Colours are
// those of the page, and change with its theme; times are those of the venue. A chart is a picture: its label says the newest values.

import uPlot from 'uplot';
import { venueClock } from './console_zone.js';
import { number } from './i18n.js';

const HEIGHT = 168;
const dark = matchMedia('(prefers-color-scheme: dark)');

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The changes, as dashed lines from top to bottom.
function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = colour('--line-strong');
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const at of marks) {
    const x = Math.min(Math.round(plot.valToPos(at, 'x', true)), bbox.left + bbox.width); // a change of this minute: at its end
    if (x < bbox.left) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

const compact = new Intl.NumberFormat(document.documentElement.lang, { notation: 'compact', maximumFractionDigits: 1 });

export class Chart {
  #plot;
  #data = [[]];
  #marks = [];

  // series: [{ label, colour: '--chart-1', filled }], in the order of the data.
  constructor(element, series) {
    this.element = element;
    this.series = series;
    element.setAttribute('role', 'img');
    new ResizeObserver(() => this.#plot?.setSize({ width: element.clientWidth, height: HEIGHT })).observe(element);
    dark.addEventListener('change', () => this.#draw());
  }

  // data: [times in seconds, values of the first series, …]; marks: times in seconds.
  set(data, marks = []) {
    this.#data = data;
    this.#marks = marks;
    const last = data[0].length - 1;
    this.element.setAttribute('aria-label', this.series.map(({ label }, i) => `${label}: ${last < 0 ? '–' : number(data[i + 1][last] ?? 0)}`).join(', '));
    if (this.#plot) this.#plot.setData(data);
    else this.#draw();
  }

  #draw() {
    this.#plot?.destroy();
    const axis = { stroke: colour('--ink-soft'), grid: { stroke: colour('--line'), width: 1 }, ticks: { show: false }, font: `12px ${colour('--font')}` };
    this.#plot = new uPlot({
      width: this.element.clientWidth,
      height: HEIGHT,
      padding: [8, 8, 0, 0],
      cursor: { y: false, points: { size: 7 } },
      legend: { live: true },
      tzDate: (s) => uPlot.tzDate(new Date(s * 1000), document.documentElement.dataset.zone || 'UTC'),
      scales: { x: { time: true }, y: { range: (_, least, most) => [0, Math.max(most ?? 0, 4) * 1.08] } },
      axes: [
        { ...axis, values: (_, times) => times.map((s) => venueClock(s * 1000)), space: 64 },
        { ...axis, values: (_, values) => values.map((value) => (Number.isInteger(value) ? compact.format(value) : '')), size: 48 },
      ],
      series: [
        { value: (_, s) => (s == null ? '–' : venueClock(s * 1000)), label: '' },
        ...this.series.map(({ label, colour: name, filled, dash }) => ({
          label, stroke: colour(name), width: 2, dash, points: { show: false },
          fill: filled ? `color-mix(in srgb, ${colour(name)} 18%, transparent)` : undefined,
          value: (_, value, series, index) => number((index == null ? this.#data[series].at(-1) : value) ?? 0),
        })),
      ],
      hooks: { draw: [(plot) => drawMarks(plot, this.#marks)] },
    }, this.#data, this.element);
  }
}
