// SPDX-License-Identifier: MIT
//
// Draws panels of a dashboard as SVG, from the answers of Prometheus: what Grafana would show, for who reads the documents.
//
//   draw({ title, panels, from, to, alerts })
//
// panels: { title, unit, kind, stack, series: [{ name, points: [[seconds, number], …] }] }, of which a stat is a tile and shows the
// last number. from, to: seconds; the axis counts from `from`. alerts: [{ name, from, to }], a band across every graph.

const [WIDTH, GAP, COLUMNS] = [1240, 16, 3];
const PANEL_WIDTH = (WIDTH - GAP * (COLUMNS + 1)) / COLUMNS;
const [LEFT, RIGHT, TOP] = [58, 14, 34]; // of a panel, around its axes
const GRAPH = 150; // height between the axes
const LINE = 17;
const COLOURS = ['#0b6e99', '#c2571a', '#2e7d32', '#6a4c93', '#a8324a', '#8a6d00', '#3c6e71', '#555555'];
const INK = '#222';
const FAINT = '#667';

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);
const text = (x, y, body, extra = '') => `<text x="${x.toFixed(1)}" y="${y.toFixed(1)}" ${extra}>${escape(body)}</text>`;

const few = (value) => (Number.isInteger(value) || Math.abs(value) >= 100 ? Math.round(value).toLocaleString('en') : String(Number(value.toPrecision(2))));

// A number with its unit, as people write it.
export function number(value, unit) {
  if (!Number.isFinite(value)) return '–';
  switch (unit) {
    case 's':
      if (value === 0) return '0 s';
      if (value < 0.001) return `${few(value * 1e6)} µs`;
      if (value < 1) return `${few(value * 1000)} ms`;
      if (value < 300) return `${few(value)} s`;
      return `${few(value / 60)} min`;
    case 'percentunit': return `${few(Math.round(value * 1000) / 10)} %`;
    case 'bytes': return `${few(value / 2 ** 20)} MiB`;
    case 'cps': case 'reqps': case 'ops': return `${few(value)} /s`;
    default: return few(value);
  }
}

// The top of an axis and the distance of its lines: 1, 2 or 5 times a power of ten.
function scale(most) {
  if (!(most > 0)) return { top: 1, step: 1 };
  const power = 10 ** Math.floor(Math.log10(most / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => most / one <= 5);
  return { top: Math.ceil(most / step - 1e-9) * step, step };
}

const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.round(seconds % 60)).padStart(2, '0')}`;

// Where `seconds` is on the axis of a panel at `x`.
const along = (x, { from, to }) => (seconds) => x + LEFT + ((seconds - from) / (to - from)) * (PANEL_WIDTH - LEFT - RIGHT);

function frame(panel, x, y, height, period) {
  const at = along(x, period);
  const parts = [
    `<rect x="${x.toFixed(1)}" y="${y}" width="${PANEL_WIDTH.toFixed(1)}" height="${height}" rx="4" fill="#fff" stroke="#d5d9e0"/>`,
    text(x + 12, y + 21, panel.title, 'font-weight="600" font-size="13"'),
  ];
  for (const { from, to } of period.alerts) {
    const [begin, end] = [at(Math.max(from, period.from)), at(Math.min(to, period.to))];
    parts.push(`<rect x="${begin.toFixed(1)}" y="${y + TOP}" width="${Math.max(2, end - begin).toFixed(1)}" height="${GRAPH}" fill="#c0392b" fill-opacity="0.13"/>`);
  }
  const { step } = scale(period.to - period.from);
  const minutes = [15, 30, 60, 120, 300].find((one) => (period.to - period.from) / one <= 7) ?? step;
  for (let seconds = 0; seconds <= period.to - period.from; seconds += minutes) {
    parts.push(text(at(period.from + seconds), y + TOP + GRAPH + 15, clock(seconds), `text-anchor="middle" fill="${FAINT}"`));
  }
  return parts;
}

function legend(series, unit, x, y) {
  return series.flatMap(({ name, last }, i) => [
    `<path d="M${(x + 14).toFixed(1)} ${y + i * LINE - 4}h16" stroke="${COLOURS[i % COLOURS.length]}" stroke-width="3"/>`,
    text(x + 36, y + i * LINE, name.length > 44 ? `${name.slice(0, 43)}…` : name),
    text(x + PANEL_WIDTH - 14, y + i * LINE, number(last, unit), `text-anchor="end" fill="${FAINT}"`),
  ]);
}

function graph(panel, x, y, rowHeight, period) {
  const at = along(x, period);
  const series = panel.series;
  if (panel.stack) {
    const below = new Map();
    for (const one of series) one.points = one.points.map(([seconds, value]) => [seconds, value, below.get(seconds) ?? 0, below.set(seconds, (below.get(seconds) ?? 0) + value).get(seconds)]);
  }
  const { top, step } = scale(Math.max(...series.flatMap(({ points }) => points.map((point) => point[3] ?? point[1]))));
  const up = (value) => y + TOP + GRAPH - (value / top) * GRAPH;
  const parts = frame(panel, x, y, rowHeight, period);
  for (let value = 0; value <= top + step / 2; value += step) {
    parts.push(`<path d="M${(x + LEFT).toFixed(1)} ${up(value).toFixed(1)}H${(x + PANEL_WIDTH - RIGHT).toFixed(1)}" stroke="#e7eaef"/>`);
    parts.push(text(x + LEFT - 6, up(value) + 4, number(value, panel.unit), `text-anchor="end" fill="${FAINT}"`));
  }
  series.forEach(({ points }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    // A gap in the answers is a gap in the line.
    const runs = [];
    for (const point of points) {
      if (runs.length === 0 || point[0] - runs.at(-1).at(-1)[0] > period.step * 2.5) runs.push([]);
      runs.at(-1).push(point);
    }
    for (const run of runs) {
      const line = run.map(([seconds, value, , summed]) => `${at(seconds).toFixed(1)},${up(summed ?? value).toFixed(1)}`);
      if (panel.stack) {
        const base = [...run].reverse().map(([seconds, , under]) => `${at(seconds).toFixed(1)},${up(under).toFixed(1)}`);
        parts.push(`<polygon fill="${colour}" fill-opacity="0.35" points="${[...line, ...base].join(' ')}"/>`);
      }
      parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="1.8" stroke-linejoin="round" points="${line.join(' ')}"/>`);
    }
  });
  return [...parts, ...legend(series, panel.unit, x, y + TOP + GRAPH + 38)];
}

function timeline(panel, x, y, rowHeight, period) {
  const parts = frame(panel, x, y, rowHeight, period);
  const at = along(x, period);
  const height = Math.min(34, GRAPH / panel.series.length);
  panel.series.forEach(({ points }, i) => {
    const middle = y + TOP + i * height + height / 2;
    const held = []; // [from, to]
    for (const [seconds, value] of points) {
      if (value !== 1) continue;
      if (held.length > 0 && seconds - held.at(-1)[1] < period.step / 2) held.at(-1)[1] = seconds + period.step;
      else held.push([seconds, seconds + period.step]);
    }
    for (const [from, to] of held) {
      parts.push(`<rect x="${at(from).toFixed(1)}" y="${(middle - height * 0.36).toFixed(1)}" width="${(at(Math.min(to, period.to)) - at(from)).toFixed(1)}" height="${(height * 0.72).toFixed(1)}" rx="2" fill="${COLOURS[i % COLOURS.length]}" fill-opacity="0.75"/>`);
    }
  });
  return [...parts, ...legend(panel.series.map((one) => ({ ...one, last: NaN })), 'none', x, y + TOP + GRAPH + 38).filter((part) => !part.includes('>–<'))];
}

const panelHeight = (panel) => TOP + GRAPH + 30 + panel.series.length * LINE + 6;

function tiles(panels, y) {
  const width = (WIDTH - GAP * (panels.length + 1)) / panels.length;
  return panels.flatMap((panel, i) => {
    const x = GAP + i * (width + GAP);
    return [
      `<rect x="${x.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="64" rx="4" fill="#fff" stroke="#d5d9e0"/>`,
      text(x + 12, y + 21, panel.title, `fill="${FAINT}"`),
      text(x + 12, y + 50, panel.series.map(({ last }) => number(last, panel.unit)).join(' · '), 'font-size="22" font-weight="600"'),
    ];
  });
}

export function draw({ title, panels, from, to, step, alerts }) {
  const period = { from, to, step, alerts };
  for (const panel of panels) for (const one of panel.series) one.last = one.points.at(-1)?.[1];
  const numbers = panels.filter(({ kind }) => kind === 'stat');
  const graphs = panels.filter(({ kind }) => kind !== 'stat');
  const parts = [text(GAP, 30, title, 'font-size="18" font-weight="600"')];
  if (alerts.length > 0) {
    parts.push(`<rect x="${WIDTH - GAP - 330}" y="17" width="16" height="16" fill="#c0392b" fill-opacity="0.25"/>`);
    parts.push(text(WIDTH - GAP - 308, 30, `fires: ${[...new Set(alerts.map(({ name }) => name))].join(', ')}`));
  }
  let y = 46;
  if (numbers.length > 0) {
    parts.push(...tiles(numbers, y));
    y += 64 + GAP;
  }
  for (let i = 0; i < graphs.length; i += COLUMNS) {
    const row = graphs.slice(i, i + COLUMNS);
    const rowHeight = Math.max(...row.map(panelHeight));
    row.forEach((panel, column) => {
      const x = GAP + column * (PANEL_WIDTH + GAP);
      parts.push(...(panel.kind === 'state-timeline' ? timeline : graph)(panel, x, y, rowHeight, period));
    });
    y += rowHeight + GAP;
  }
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${y}" font-family="Inter, 'Segoe UI', Roboto, sans-serif" font-size="11.5" fill="${INK}">
<rect width="${WIDTH}" height="${y}" fill="#f4f6f9"/>
${parts.join('\n')}
</svg>
`;
}
