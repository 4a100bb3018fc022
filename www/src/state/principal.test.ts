import { describe, expect, it } from 'vitest';
import { principal } from './principal';

// Points on an ellipse of half axes 3 and 1 along known directions of 4-space, around a centre: the variance along a half
// axis r is r²/2, and a point's scores are r cos and r sin of its angle.
const u = [0.5, 0.5, 0.5, 0.5];
const v = [0.5, 0.5, -0.5, -0.5];
const angles = Array.from({ length: 24 }, (_, i) => (2 * Math.PI * i) / 24);
const ellipse = Float32Array.from(
  angles.flatMap((a) => u.map((x, j) => 10 + j + 3 * Math.cos(a) * x + Math.sin(a) * v[j]!)),
);

describe('principal', () => {
  it('finds the axes of an ellipse', () => {
    const { scores, variance } = principal(ellipse, 4, 3);
    expect(variance[0]).toBeCloseTo(4.5, 4);
    expect(variance[1]).toBeCloseTo(0.5, 4);
    expect(variance[2]).toBeCloseTo(0, 6);
    // Either axis may point either way.
    const [first, second] = [Math.sign(scores[0]!), Math.sign(scores[6 * 3 + 1]!)];
    angles.forEach((a, i) => {
      expect(first * scores[3 * i]!).toBeCloseTo(3 * Math.cos(a), 4);
      expect(second * scores[3 * i + 1]!).toBeCloseTo(Math.sin(a), 4);
    });
  });

  it('has the row that is farthest out on the positive side', () => {
    const { scores } = principal(Float32Array.from([0, 0, 0, 0, -9, -9]), 2, 1);
    expect(scores[2]).toBeCloseTo(6 * Math.SQRT2, 5);
    expect(scores[0]).toBeCloseTo(-3 * Math.SQRT2, 5);
  });

  it('gives zeros for vectors that are all alike', () => {
    const { scores, variance } = principal(new Float32Array(12).fill(2), 4, 2);
    expect([...scores]).toEqual([0, 0, 0, 0, 0, 0]);
    expect(variance).toEqual([0, 0]);
  });
});
