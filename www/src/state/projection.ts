// Tokens as points of a plane: their coordinates on the two principal axes of real patches, so that paths through the
// space of all patches can be drawn on a page.

export type Point = readonly [x: number, y: number];

/** The plane: the mean real patch, and the two directions of unit length real patches vary along most. */
export interface Plane {
  mean: readonly number[];
  axes: readonly [readonly number[], readonly number[]];
}

/** A rectangle of the plane. */
export interface Frame {
  x: [number, number];
  y: [number, number];
}

/** The coordinates of one token. */
export function project(token: ArrayLike<number>, { mean, axes }: Plane): Point {
  const along = (axis: readonly number[]): number =>
    axis.reduce((sum, part, i) => sum + part * ((token[i] ?? 0) - (mean[i] ?? 0)), 0);
  return [along(axes[0]), along(axes[1])];
}

/** The coordinates of tokens [n, C]. */
export function projectAll(tokens: Float32Array, plane: Plane): Point[] {
  const tokenDim = plane.mean.length;
  return Array.from({ length: tokens.length / tokenDim }, (_, i) =>
    project(tokens.subarray(i * tokenDim, (i + 1) * tokenDim), plane),
  );
}

/** The patch that lies at these coordinates and has nothing off the plane. */
export function patchAt([x, y]: Point, { mean, axes }: Plane): Float32Array {
  return Float32Array.from(mean, (value, i) => value + x * (axes[0][i] ?? 0) + y * (axes[1][i] ?? 0));
}

/** The smallest frame of `aspect` (width over height) around the points, with equal units both ways and some air. */
export function frameAround(points: readonly Point[], aspect: number, air = 0.06): Frame {
  const extent = (axis: 0 | 1): [number, number] =>
    points.reduce<[number, number]>(
      ([low, high], point) => [Math.min(low, point[axis]), Math.max(high, point[axis])],
      [Infinity, -Infinity],
    );
  if (points.length === 0) return { x: [-aspect, aspect], y: [-1, 1] };
  const [left, right] = extent(0);
  const [bottom, top] = extent(1);
  const width = Math.max(right - left, (top - bottom) * aspect, 1e-6) * (1 + 2 * air);
  const around = (middle: number, size: number): [number, number] => [middle - size / 2, middle + size / 2];
  return { x: around((left + right) / 2, width), y: around((bottom + top) / 2, width / aspect) };
}
