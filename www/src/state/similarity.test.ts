import { describe, expect, it } from 'vitest';
import { closest, cosines, likenessHeat } from './similarity';

// Five z of two numbers, at angles of 0, 60, 180 and 90 degrees and of any length, and one that is nothing.
const z = Float32Array.from([2, 0, 0.5, Math.sqrt(3) / 2, -7, 0, 0, 3, 0, 0]);

describe('cosines', () => {
  it('are those of the angles between them, whatever their lengths', () => {
    const found = Array.from(cosines(z, 2, 0));
    [1, 0.5, -1, 0, 0].forEach((expected, i) => {
      expect(found[i]).toBeCloseTo(expected, 6);
    });
    expect(cosines(z, 2, 1)[3]).toBeCloseTo(Math.cos(Math.PI / 6), 6);
  });

  it('are 1 with itself, even of a z that is nothing', () => {
    for (let i = 0; i < 5; i++) expect(cosines(z, 2, i)[i]).toBe(1);
    expect(Array.from(cosines(z, 2, 4))).toEqual([0, 0, 0, 0, 1]);
  });
});

describe('likenessHeat', () => {
  it('has the position itself at 1 and the mean of the others in the middle', () => {
    // The others' mean is 0.6; 0.8 is halfway from it to 1, and 0.2 as far below as 1 is above.
    const heat = likenessHeat(Float32Array.from([0.6, 1, 0.8, 0.2, 0.8]), 1);
    [0.5, 1, 0.75, 0, 0.75].forEach((expected, i) => {
      expect(heat[i]).toBeCloseTo(expected, 6);
    });
  });

  it('stays in range where others are opposite, all alike or missing', () => {
    expect(Array.from(likenessHeat(Float32Array.from([1, 0.9, 0.9, 0.9, -1]), 0))[4]).toBe(0);
    expect(Array.from(likenessHeat(Float32Array.from([1, 1]), 0))).toEqual([1, 1]);
    expect(Array.from(likenessHeat(Float32Array.from([1]), 0))).toEqual([1]);
  });
});

describe('closest', () => {
  it('are the most alike, the best first, and never itself', () => {
    expect(closest(cosines(z, 2, 0), 0, 3)).toEqual([1, 3, 4]);
    expect(closest(cosines(z, 2, 3), 3, 1)).toEqual([1]);
    expect(closest(cosines(z, 2, 3), 3, 9)).toHaveLength(4);
  });
});
