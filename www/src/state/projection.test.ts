import { describe, expect, it } from 'vitest';
import { frameAround, patchAt, project, projectAll, type Point } from './projection';

// Axes turned by 45 degrees in the first two of three numbers.
const half = Math.SQRT1_2;
const plane = {
  mean: [1, 1, 5],
  axes: [
    [half, half, 0],
    [-half, half, 0],
  ] as [number[], number[]],
};

describe('project', () => {
  it.each([
    [[1, 1, 5], [0, 0], 'the mean is the origin'],
    [[2, 2, 5], [Math.SQRT2, 0], 'along the first axis'],
    [[0, 2, 5], [0, Math.SQRT2], 'along the second axis'],
    [[1, 1, -9], [0, 0], 'what is off the plane does not show'],
    [[3, 1, 5], [Math.SQRT2, -Math.SQRT2], 'both'],
  ])('%j is at %j: %s', (token, [x, y]) => {
    const [px, py] = project(token, plane);
    expect(px).toBeCloseTo(x!, 12);
    expect(py).toBeCloseTo(y!, 12);
  });

  it('takes many at once', () => {
    const points = projectAll(Float32Array.from([1, 1, 5, 2, 2, 0]), plane);
    expect(points).toHaveLength(2);
    expect(points[1]![0]).toBeCloseTo(Math.SQRT2, 12);
  });

  it('undoes patchAt', () => {
    const [x, y] = project(patchAt([0.75, -2], plane), plane);
    expect(x).toBeCloseTo(0.75, 6);
    expect(y).toBeCloseTo(-2, 6);
  });
});

describe('frameAround', () => {
  const width = ([low, high]: [number, number]): number => high - low;

  it('holds every point, with equal units both ways', () => {
    const points: Point[] = [
      [-1, 4],
      [3, -2],
      [0, 0],
    ];
    const { x, y } = frameAround(points, 4 / 3);
    for (const [px, py] of points) {
      expect(px > x[0] && px < x[1] && py > y[0] && py < y[1]).toBe(true);
    }
    expect(width(x) / width(y)).toBeCloseTo(4 / 3, 12);
    // The height of 6 is what counts: 6 * 4/3 wide, and a bit of air on both sides.
    expect(width(x)).toBeCloseTo(8 * 1.12, 12);
    expect((x[0] + x[1]) / 2).toBeCloseTo(1, 12);
  });

  it('is a frame also around one point or none', () => {
    expect(width(frameAround([[2, 2]], 1).x)).toBeGreaterThan(0);
    expect(frameAround([], 2)).toEqual({ x: [-2, 2], y: [-1, 1] });
  });
});
