import { describe, expect, it } from 'vitest';
import { largest, meanOf, pixelDifference, shownInBoth, tokenDifference } from './difference';

// A 4x4 picture of four 2x2 patches.
const geometry = {
  tokenizer: 'pixel' as const,
  image: [4, 4] as [number, number],
  channels: 1,
  patch: 2,
  tokenSide: 2,
  grid: [2, 2] as [number, number],
  tokens: 4,
  tokenDim: 4,
};
const rgba = (greys: readonly number[]): Uint8ClampedArray =>
  Uint8ClampedArray.from(greys.flatMap((grey) => [grey, grey, grey, 255]));
const everywhere = [true, true, true, true];
const a = rgba([0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 130, 140, 150]);

describe('the difference of two pictures', () => {
  it('is zero everywhere for the same one', () => {
    const pixels = pixelDifference(a, a);
    expect(new Set(pixels)).toEqual(new Set([0]));
    expect(largest(tokenDifference(pixels, everywhere, geometry))).toBeNull();
  });

  it('does not care which of the two is darker', () => {
    const b = a.map((value) => 255 - value);
    expect(pixelDifference(a, b)).toEqual(pixelDifference(b, a));
  });

  it('is the mean over the colours', () => {
    expect(Array.from(pixelDifference([0, 0, 0, 255], [30, 60, 0, 255]))).toEqual([30]);
  });

  it('is gathered in its tokens', () => {
    // Pixel (0, 2) in token 1 differs by 8, all of token 2 by 5: means 2 and 5.
    const b = a.slice();
    for (let c = 0; c < 3; c++) {
      b[4 * 2 + c] = b[4 * 2 + c]! + 8;
      for (const i of [8, 9, 12, 13]) b[4 * i + c] = b[4 * i + c]! - 5;
    }
    const tokens = tokenDifference(pixelDifference(a, b), everywhere, geometry);
    expect(Array.from(tokens)).toEqual([0, 2, 5, 0]);
    expect(largest(tokens)).toBe(2);
    expect(meanOf(tokens)).toBe(1.75);
  });

  it('says nothing about tokens that are not in both', () => {
    const inBoth = shownInBoth(['known', 'masked', 'newest', 'active'], ['newest', 'known', 'chosen', 'known']);
    expect(inBoth).toEqual([true, false, false, true]);
    const b = a.map((value, i) => (i % 4 === 3 ? value : value + 4));
    const tokens = tokenDifference(pixelDifference(a, b), inBoth, geometry);
    expect(Array.from(tokens)).toEqual([4, NaN, NaN, 4]);
    expect(largest(tokens)).toBe(0);
    expect(meanOf(tokens)).toBe(4);
    expect(meanOf(Float32Array.from([NaN]))).toBeNull();
  });
});
