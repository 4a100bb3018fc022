// What one token of a picture of latents does: how much of the change it makes lies in the pixels it covers, and how far the
// rest reaches. The decoder of an autoencoder mixes neighbours.

import type { Geometry } from './settings';

export interface Influence {
  /** Share of the change that lies in the pixels the token covers; NaN where nothing changes. */
  inside: number;
  /** Pixels around those within which `MOST` of the change lies. */
  reach: number;
}

/** Share of the change that is called all of it: the rest is rounding. */
export const MOST = 0.95;

/** [L, tokenDim] with another token at one position. */
export function withToken(tokens: Float32Array, position: number, token: Float32Array): Float32Array {
  const other = tokens.slice();
  other.set(token, position * token.length);
  return other;
}

/** Of a map of changes, [height * width], that the token at a position makes. */
export function influenceOf(
  change: Float32Array,
  position: number,
  { image: [height, width], grid, tokenSide }: Geometry,
): Influence {
  const top = Math.floor(position / grid[1]) * tokenSide;
  const left = (position % grid[1]) * tokenSide;
  const beyond = (at: number, first: number): number => Math.max(first - at, at - (first + tokenSide - 1), 0);
  /** The change by distance from what the token covers. */
  const rings = new Float64Array(Math.max(height, width));
  change.forEach((value, i) => {
    rings[Math.max(beyond(Math.floor(i / width), top), beyond(i % width, left))]! += value;
  });
  const all = rings.reduce((sum, ring) => sum + ring, 0);
  let reach = 0;
  for (let sum = rings[0] ?? 0; sum < MOST * all && reach < rings.length - 1; sum += rings[reach] ?? 0) reach++;
  return { inside: (rings[0] ?? 0) / all, reach };
}
