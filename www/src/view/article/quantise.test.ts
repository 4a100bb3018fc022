import { describe, expect, it } from 'vitest';
import { errorOf, quantise } from './quantise';

/** Tokens of two equal numbers each. */
const tokens = (...values: number[]): Float32Array => Float32Array.from(values.flatMap((value) => [value, value]));

describe('quantise', () => {
  it('rounds to the mean with one entry', () => {
    quantise(tokens(-1, -0.8, 0.6, 1), 2, 1).forEach((value) => expect(value).toBeCloseTo(-0.05, 6));
  });

  it('finds the two groups there are', () => {
    const rounded = quantise(tokens(-1, -0.8, 0.6, 1), 2, 2);
    tokens(-0.9, -0.9, 0.8, 0.8).forEach((value, i) => expect(rounded[i]).toBeCloseTo(value, 6));
  });

  it('loses nothing with an entry for each token', () => {
    const all = Float32Array.of(-1, 3, 0.5, 0.25, 2, -4);
    expect(quantise(all, 2, 3)).toEqual(all);
  });

  it('manages with fewer kinds of token than entries', () => {
    const flat = new Float32Array(16).fill(0.25);
    expect(quantise(flat, 4, 3)).toEqual(flat);
  });
});

describe('errorOf', () => {
  it('is the root of the mean square over the colours, without the transparency', () => {
    const a = [10, 20, 30, 255, 0, 0, 0, 255];
    const b = [13, 16, 30, 0, 0, 0, 12, 255];
    expect(errorOf(a, b)).toBeCloseTo(Math.sqrt((9 + 16 + 144) / 6), 10);
    expect(errorOf(a, a)).toBe(0);
  });
});
