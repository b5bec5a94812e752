// SPDX-License-Identifier: MIT
//
// Draws a growth curve as SVG: cost over the length of the queue, on a logarithmic axis; each series is
// relative to its own value at the shortest queue.

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [720, 360, 56, 230, 24, 44];
const COLOURS = ['#0b6e99', '#b3412f', '#2e7d32', '#6a4c93', '#8a6d00', '#444444'];

const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

export const short = (n) => (n >= 1e6 ? `${n / 1e6} M` : n >= 1e3 ? `${n / 1e3} k` : String(n));

// series: [{ name, values }], one value for each of `sizes`.
export function growthPlot(title, sizes, series) {
  const most = Math.max(2, ...series.flatMap(({ values }) => values.map((value) => value / values[0]))) * 1.1;
  const x = (size) => LEFT + ((Math.log(size) - Math.log(sizes[0])) / (Math.log(sizes.at(-1)) - Math.log(sizes[0]))) * (WIDTH - LEFT - RIGHT);
  const y = (ratio) => HEIGHT - BOTTOM - (ratio / most) * (HEIGHT - TOP - BOTTOM);
  const text = (px, py, body, extra = '') => `<text x="${px.toFixed(1)}" y="${py.toFixed(1)}" ${extra}>${escape(body)}</text>`;
  const parts = [text(LEFT, 15, title, 'font-weight="bold"')];
  for (let ratio = 0; ratio <= most; ratio += most > 4 ? 1 : 0.5) {
    parts.push(`<path d="M${LEFT} ${y(ratio).toFixed(1)}H${WIDTH - RIGHT}" stroke="#ddd"/>`);
    parts.push(text(LEFT - 8, y(ratio) + 4, `${ratio} ×`, 'text-anchor="end"'));
  }
  for (const size of sizes) parts.push(text(x(size), HEIGHT - BOTTOM + 18, short(size), 'text-anchor="middle"'));
  parts.push(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, 'buyers waiting', 'text-anchor="middle"'));
  series.forEach(({ name, values }, i) => {
    const points = values.map((value, at) => [x(sizes[at]), y(value / values[0])]);
    const colour = COLOURS[i % COLOURS.length];
    parts.push(`<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.map((p) => p.map((v) => v.toFixed(1)).join(',')).join(' ')}"/>`);
    for (const [px, py] of points) parts.push(`<circle cx="${px.toFixed(1)}" cy="${py.toFixed(1)}" r="3" fill="${colour}"/>`);
    const row = TOP + 14 + 18 * i;
    parts.push(`<path d="M${WIDTH - RIGHT + 12} ${row - 4}h18" stroke="${colour}" stroke-width="2"/>`, text(WIDTH - RIGHT + 36, row, name));
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>
${parts.join('\n')}
</svg>
`;
}
