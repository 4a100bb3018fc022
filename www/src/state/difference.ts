// The difference of two pictures: the absolute difference of each pixel, and its mean over each token.
// In screen values from 0 to 255.

import type { CellState } from './scene';
import type { Geometry } from './settings';

/** [height * width]: |a - b| of every pixel of two RGBA pictures, the mean over their colours. */
export function pixelDifference(a: ArrayLike<number>, b: ArrayLike<number>): Float32Array {
  return Float32Array.from({ length: a.length / 4 }, (_, i) => {
    let sum = 0;
    for (let c = 0; c < 3; c++) sum += Math.abs((a[4 * i + c] ?? 0) - (b[4 * i + c] ?? 0));
    return sum / 3;
  });
}

/** [L]: the mean of a map of pixels over the pixels that each token covers; NaN for a token that only one picture has, or none. */
export function tokenDifference(
  pixels: Float32Array,
  inBoth: readonly boolean[],
  { image, tokenSide, grid, tokens }: Geometry,
): Float32Array {
  const means = Float32Array.from({ length: tokens }, (_, position) => (inBoth[position] ? 0 : NaN));
  pixels.forEach((value, i) => {
    const row = Math.floor(i / image[1] / tokenSide);
    const column = Math.floor((i % image[1]) / tokenSide);
    const position = row * grid[1] + column;
    means[position] = (means[position] ?? 0) + value / tokenSide ** 2;
  });
  return means;
}

/** Whether each token is visible in both pictures, even as noise. */
export function shownInBoth(a: readonly CellState[], b: readonly CellState[]): boolean[] {
  const shown = (state: CellState | undefined): boolean => state !== 'masked' && state !== 'chosen';
  return a.map((state, position) => shown(state) && shown(b[position]));
}

/** The position of the largest value; null where all are 0 or NaN. */
export function largest(values: Float32Array): number | null {
  let best: number | null = null;
  values.forEach((value, i) => {
    if (value > (best === null ? 0 : (values[best] ?? 0))) best = i;
  });
  return best;
}

/** The mean of the values that are numbers; null of none. */
export function meanOf(values: Float32Array): number | null {
  const numbers = values.filter((value) => !Number.isNaN(value));
  return numbers.length === 0 ? null : numbers.reduce((sum, value) => sum + value, 0) / numbers.length;
}
