// The least arithmetic that a decoding needs. Every engine is credited with it, whatever else it computes.
// Sections 3.2 and 3.3 of the paper. Products and sums of matrices count, two a weight and row; all else is left out.

/**
 * @typedef {object} Shape
 * @property {number} tokens @property {number} dim @property {number} width @property {number} depth
 * @property {number} hidden @property {number} buffer @property {number} head_depth @property {number} head_width
 * @typedef {{ shape: Shape, settings: { steps: number },
 *   iterations: { known: number[] | number, rows: number[] | number }[] }} Plan
 */

const count = (/** @type {number[] | number} */ list) => (typeof list === 'number' ? list : list.length);

/**
 * An iteration with guidance, one image: sums and products.
 * @param {Shape} shape
 * @param {number} steps
 * @param {number} known Tokens known before it.
 * @param {number} drawn Tokens that it draws.
 */
function iteration(shape, steps, known, drawn) {
  const { tokens, dim, width, depth, hidden, buffer, head_depth, head_width } = shape;
  /** A block of which `queries` rows are wanted and all `rows` are looked at. */
  const block = (/** @type {number} */ rows, /** @type {number} */ queries) =>
    2 * rows * width ** 2 + queries * (2 * width ** 2 + 2 * width * hidden) + 2 * queries * rows * width;
  const [seen, all] = [buffer + known, buffer + tokens];
  const encoder = known * dim * width + depth * block(seen, seen);
  // In the last block only the rows of the drawn tokens are used.
  const decoder = seen * width ** 2 + (depth - 1) * block(all, all) + block(all, drawn);
  const modulation = head_width ** 2 * (3 * head_depth + 2);
  const step = modulation + head_width * (3 * dim + 2 * head_depth * head_width);
  const condition = width * head_width;
  // Twice each: with the class and without; and a product and a sum.
  return 4 * (encoder + decoder + drawn * (condition + steps * step));
}

/**
 * Sums and products of an image.
 * @param {Plan} plan
 */
export function arithmetic({ shape, settings, iterations }) {
  const parts = iterations.map(({ known, rows }) => iteration(shape, settings.steps, count(known), count(rows)));
  return parts.reduce((sum, part) => sum + part, 0);
}
