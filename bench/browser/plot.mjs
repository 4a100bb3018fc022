// Curves as one SVG: a panel a size, both axes logarithmic, points measured and lines fitted.
// No library: it is a dozen lines of arithmetic.

const WIDTH = 300;
const HEIGHT = 240;
const MARGIN = { left: 48, right: 12, top: 28, bottom: 34 };
const COLOURS = ['#2563eb', '#dc2626', '#059669'];

/**
 * @typedef {{ axis: string, task: string, pairs: [number, number][], factor: number, exponent: number }} Curve
 * @param {Curve[]} curves
 */
export function plot(curves) {
  const axes = [...new Set(curves.map(({ axis }) => axis))];
  const panels = axes.map((axis, i) => {
    const own = curves.filter((curve) => curve.axis === axis);
    return `<g transform="translate(${(i % 2) * WIDTH} ${Math.floor(i / 2) * HEIGHT})">${panel(axis, own)}</g>`;
  });
  const [width, height] = [Math.min(2, axes.length) * WIDTH, Math.ceil(axes.length / 2) * HEIGHT];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `font-family="sans-serif" font-size="10"><rect width="100%" height="100%" fill="#fff"/>${panels.join('')}</svg>\n`
  );
}

/**
 * @param {string} axis
 * @param {Curve[]} curves
 */
function panel(axis, curves) {
  const all = curves.flatMap(({ pairs }) => pairs);
  const x = scale(
    all.map(([value]) => value),
    MARGIN.left,
    WIDTH - MARGIN.right,
  );
  const y = scale(
    all.map(([, ms]) => ms),
    HEIGHT - MARGIN.bottom,
    MARGIN.top + 16 * curves.length,
  );
  const sizes = [...new Set(all.map(([value]) => value))];
  const [left, right] = [Math.min(...sizes), Math.max(...sizes)];
  const lines = curves.map(({ task, pairs, factor, exponent }, i) => {
    const colour = COLOURS[i % COLOURS.length];
    const [from, to] = [left, right].map((value) => `${x(value)} ${y(factor * value ** exponent)}`);
    const points = pairs.map(([value, ms]) => `<circle cx="${x(value)}" cy="${y(ms)}" r="3"/>`).join('');
    const label = `<text x="${MARGIN.left + 4}" y="${MARGIN.top + 12 * i}">${task}: size^${exponent.toFixed(2)}</text>`;
    return `<g fill="${colour}"><path d="M${from}L${to}" stroke="${colour}"/>${points}${label}</g>`;
  });
  const bottom = HEIGHT - MARGIN.bottom;
  const ticks = sizes.map((value) => `<text x="${x(value)}" y="${bottom + 13}" text-anchor="middle">${value}</text>`);
  const times = [Math.min(...all.map(([, ms]) => ms)), Math.max(...all.map(([, ms]) => ms))].map(
    (ms) => `<text x="${MARGIN.left - 5}" y="${y(ms) + 3}" text-anchor="end">${+ms.toPrecision(2)}</text>`,
  );
  const frame = `<path d="M${MARGIN.left} ${MARGIN.top}V${bottom}H${WIDTH - MARGIN.right}" fill="none" stroke="#888"/>`;
  const titles =
    `<text x="${MARGIN.left}" y="14" font-weight="bold">ms over ${axis}</text>` +
    `<text x="${WIDTH - MARGIN.right}" y="${HEIGHT - 6}" text-anchor="end">${axis}</text>`;
  return [frame, titles, ...ticks, ...times, ...lines].join('');
}

/**
 * A logarithmic scale that takes the values' range to `from` .. `to`.
 * @param {number[]} values
 * @param {number} from
 * @param {number} to
 */
function scale(values, from, to) {
  const [least, most] = [Math.log(Math.min(...values)), Math.log(Math.max(...values))];
  const span = most - least || 1;
  return (/** @type {number} */ value) => +(from + ((Math.log(value) - least) / span) * (to - from)).toFixed(1);
}
