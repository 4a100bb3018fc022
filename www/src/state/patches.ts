// The principal axes of real patches, measured over the training images: the plane on which a token's path is drawn.
// They come with the weights, if they were measured.

import { fetchExtra } from './extras';

export interface Patches {
  /** Patches measured. */
  count: number;
  /** [tokenDim] */
  mean: readonly number[];
  /** Two axes of length 1, [tokenDim] each. */
  axes: readonly [readonly number[], readonly number[]];
  /** Variance along each. */
  variance: readonly [number, number];
  /** Variance in all. */
  total: number;
  /** Some real patches on the axes. */
  sample: readonly (readonly [number, number])[];
}

const numbers = (value: unknown, length: number): boolean =>
  Array.isArray(value) && value.length === length && value.every((n) => Number.isFinite(n));

/** The axes, or null where the value is none for tokens of this size. */
function readPatches(value: unknown, tokenDim: number): Patches | null {
  const given = (value ?? {}) as Partial<Record<keyof Patches, unknown>>;
  const { axes, sample } = given;
  const good =
    Number.isFinite(given.count) &&
    Number.isFinite(given.total) &&
    numbers(given.mean, tokenDim) &&
    numbers(given.variance, 2) &&
    Array.isArray(axes) &&
    axes.length === 2 &&
    axes.every((axis) => numbers(axis, tokenDim)) &&
    Array.isArray(sample) &&
    sample.every((point) => numbers(point, 2));
  return good ? (given as Patches) : null;
}

/** The axes that come with a model; null where there are none. */
export async function fetchPatches(model: string, tokenDim: number): Promise<Patches | null> {
  return readPatches(await fetchExtra(model, 'patches.json'), tokenDim);
}
