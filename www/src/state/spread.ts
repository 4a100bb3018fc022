// How much tokens drawn from one z differ: the uncertainty that is left after the transformer (section 3.1 of the
// paper: z conditions a distribution, not a value).

import type { TokenizerKind } from '../engine/types';

/** Statistics of the samples of one token. */
export interface Cloud {
  /** [C] */
  mean: Float64Array;
  /** [C]: standard deviation over n - 1. */
  deviation: Float64Array;
  /** The mean of the deviations. */
  spread: number;
}

/**
 * The deviation of full heat: fixed, so that iterations compare. For pixels, half black and half white would be 1, and few come
 * near; all latents together have about 1.
 */
export const FULL_SPREAD: Readonly<Record<TokenizerKind, number>> = { pixel: 0.6, kl: 1 };

/** Mean and deviation of samples [n, C]. One sample has no deviation. */
export function cloudOf(samples: Float32Array, tokenDim: number): Cloud {
  const count = samples.length / tokenDim;
  const mean = new Float64Array(tokenDim);
  samples.forEach((value, i) => (mean[i % tokenDim]! += value / count));
  const squares = new Float64Array(tokenDim);
  samples.forEach((value, i) => (squares[i % tokenDim]! += (value - mean[i % tokenDim]!) ** 2));
  const deviation = squares.map((sum) => (count > 1 ? Math.sqrt(sum / (count - 1)) : 0));
  return { mean, deviation, spread: deviation.reduce((sum, value) => sum + value, 0) / tokenDim };
}

/** The spread of each drawn position over the whole grid; NaN elsewhere. Samples are [tokens, n, C]. */
export function spreadOverGrid(
  samples: Float32Array,
  tokens: readonly number[],
  tokenDim: number,
  positions: number,
): Float32Array {
  const size = samples.length / tokens.length;
  const grid = new Float32Array(positions).fill(NaN);
  tokens.forEach((position, i) => {
    grid[position] = cloudOf(samples.subarray(i * size, (i + 1) * size), tokenDim).spread;
  });
  return grid;
}

/** Spreads as heat, on the same scale in every iteration. */
export function spreadHeat(grid: Float32Array, tokenizer: TokenizerKind): Float32Array {
  return grid.map((spread) => Math.min(1, spread / FULL_SPREAD[tokenizer]));
}

/** The mean of the values that are there. */
export function meanSpread(grid: Float32Array): number {
  const there = grid.filter((spread) => !Number.isNaN(spread));
  return there.reduce((sum, spread) => sum + spread, 0) / there.length;
}

/** The trend of the spread: the first third of the iterations against the last. Less than a fifth apart counts as level. */
export function trendOf(means: readonly number[]): 'falls' | 'rises' | 'level' | null {
  if (means.length < 3) return null;
  const third = Math.ceil(means.length / 3);
  const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const early = mean(means.slice(0, third));
  const late = mean(means.slice(-third));
  if (late < 0.8 * early) return 'falls';
  return early < 0.8 * late ? 'rises' : 'level';
}
