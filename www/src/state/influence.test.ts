import { describe, expect, it } from 'vitest';
import { influenceOf, withToken } from './influence';
import type { Geometry } from './settings';

// 6x6 pixels, 3x3 tokens of 2x2 pixels each.
const geometry: Geometry = {
  ...{ tokenizer: 'kl', image: [6, 6], channels: 3, patch: 1, tokenSide: 2, grid: [3, 3], tokens: 9, tokenDim: 2 },
};
/** A change at these rows and columns. */
function changed(...at: (readonly [number, number, number])[]): Float32Array {
  const map = new Float32Array(36);
  for (const [row, column, value] of at) map[row * 6 + column] = value;
  return map;
}

describe('the influence of a token', () => {
  it('lies inside where only its own pixels change', () => {
    expect(influenceOf(changed([2, 2, 3], [3, 3, 1]), 4, geometry)).toEqual({ inside: 1, reach: 0 });
  });

  it('reaches as far as nearly all of the change', () => {
    // The token in the middle covers rows and columns 2 and 3.
    const { inside, reach } = influenceOf(changed([2, 2, 80], [1, 2, 10], [5, 5, 10]), 4, geometry);
    expect(inside).toBeCloseTo(0.8, 6);
    expect(reach).toBe(2);
    expect(influenceOf(changed([2, 2, 90], [3, 4, 6], [0, 0, 4]), 4, geometry).reach).toBe(1);
  });

  it('counts from its own corner', () => {
    expect(influenceOf(changed([0, 5, 1]), 2, geometry)).toEqual({ inside: 1, reach: 0 });
    expect(influenceOf(changed([5, 0, 1]), 2, geometry).reach).toBe(4);
  });

  it('has no share where nothing changes', () => {
    expect(influenceOf(changed(), 4, geometry)).toEqual({ inside: NaN, reach: 0 });
  });
});

describe('withToken', () => {
  it('leaves the others and the original', () => {
    const tokens = Float32Array.of(1, 2, 3, 4);
    expect(withToken(tokens, 1, Float32Array.of(7, 8))).toEqual(Float32Array.of(1, 2, 7, 8));
    expect(tokens).toEqual(Float32Array.of(1, 2, 3, 4));
  });
});
