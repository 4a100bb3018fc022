import { describe, expect, it } from 'vitest';
import { FULL_SPREAD, cloudOf, meanSpread, spreadHeat, spreadOverGrid, trendOf } from './spread';

describe('cloudOf', () => {
  it('has the mean and the deviation of 1, 2 ... n in closed form', () => {
    // 1..n: mean (n + 1) / 2, variance over n - 1 is n (n + 1) / 12; the second number is the first one, times -3.
    const n = 64;
    const samples = Float32Array.from({ length: 2 * n }, (_, i) => (Math.floor(i / 2) + 1) * (i % 2 ? -3 : 1));
    const { mean, deviation, spread } = cloudOf(samples, 2);
    const expected = Math.sqrt((n * (n + 1)) / 12);
    expect(mean[0]).toBeCloseTo((n + 1) / 2, 9);
    expect(mean[1]).toBeCloseTo((-3 * (n + 1)) / 2, 9);
    expect(deviation[0]).toBeCloseTo(expected, 9);
    expect(deviation[1]).toBeCloseTo(3 * expected, 9);
    expect(spread).toBeCloseTo(2 * expected, 9);
  });

  it('has no deviation where samples agree, or where there is only one', () => {
    expect(cloudOf(Float32Array.from([0.5, -1, 0.5, -1, 0.5, -1]), 2).spread).toBe(0);
    expect(cloudOf(Float32Array.from([0.5, -1]), 2)).toMatchObject({ spread: 0, mean: Float64Array.from([0.5, -1]) });
  });
});

describe('spreadOverGrid', () => {
  // Two tokens, two samples each, of two numbers: apart by 2 in both, and by 0 and 1.
  const samples = Float32Array.from([-1, -1, 1, 1, 0.5, 0, 0.5, 1]);
  const grid = spreadOverGrid(samples, [4, 1], 2, 6);

  it('puts each token where it belongs and nothing anywhere else', () => {
    expect(Array.from(grid.keys()).filter((i) => !Number.isNaN(grid[i]))).toEqual([1, 4]);
    expect(grid[4]).toBeCloseTo(Math.SQRT2, 6);
    expect(grid[1]).toBeCloseTo(Math.SQRT1_2 / 2, 6);
  });

  it('has a mean over what is there', () => {
    expect(meanSpread(grid)).toBeCloseTo((Math.SQRT2 + Math.SQRT1_2 / 2) / 2, 6);
  });

  it('gives heat on one scale', () => {
    const heat = spreadHeat(grid, 'pixel');
    expect(heat[4]).toBe(1);
    expect(heat[1]).toBeCloseTo(Math.SQRT1_2 / 2 / FULL_SPREAD.pixel, 6);
    expect(heat[0]).toBeNaN();
  });
});

describe('trendOf', () => {
  it.each([
    [[0.5, 0.4, 0.3, 0.2, 0.1, 0.1], 'falls'],
    [[0.1, 0.1, 0.2, 0.3, 0.4, 0.5], 'rises'],
    [[0.3, 0.31, 0.29, 0.3], 'level'],
    [[0.5, 0.1], null],
  ])('of %j is %s', (means, trend) => {
    expect(trendOf(means)).toBe(trend);
  });
});
