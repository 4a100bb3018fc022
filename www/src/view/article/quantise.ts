// What a codebook does to a picture: every token is replaced by the nearest of a few entries. The entries are found by
// k-means over the picture's own tokens, which is more favourable than one codebook for all pictures.

import type { Geometry } from '../../state/settings';

/** Rounds of k-means: far more than 49 tokens need to settle. */
const ROUNDS = 30;

export interface Rounded {
  /** [channels, height, width], made of entries only. */
  image: Float32Array;
  /** Root of the mean squared difference to the picture, in grey levels of 255. */
  error: number;
}

/** Where the numbers of a token lie in the image, by position. */
function places({ image: [height, width], channels, patch, grid: [rows, columns] }: Geometry): Uint32Array[] {
  return Array.from({ length: rows * columns }, (_, position) => {
    const top = Math.floor(position / columns) * patch;
    const left = (position % columns) * patch;
    return Uint32Array.from({ length: channels * patch * patch }, (_, i) => {
      const channel = Math.floor(i / (patch * patch));
      const row = top + Math.floor((i % (patch * patch)) / patch);
      return channel * height * width + row * width + left + (i % patch);
    });
  });
}

function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0);
}

function nearest(token: Float32Array, entries: readonly Float32Array[]): number {
  let best = 0;
  entries.forEach((entry, i) => {
    if (distance(token, entry) < distance(token, entries[best]!)) best = i;
  });
  return best;
}

/** Entries far apart from one another to begin with: always the same ones for the same tokens. */
function seeds(tokens: readonly Float32Array[], count: number): Float32Array[] {
  const entries = [Float32Array.from(tokens[0]!)];
  while (entries.length < count) {
    const gaps = tokens.map((token) => Math.min(...entries.map((entry) => distance(token, entry))));
    entries.push(Float32Array.from(tokens[gaps.indexOf(Math.max(...gaps))]!));
  }
  return entries;
}

/** The picture through a codebook of `count` entries made for it. */
export function quantise(image: Float32Array, geometry: Geometry, count: number): Rounded {
  const cells = places(geometry);
  const tokens = cells.map((cell) => Float32Array.from(cell, (at) => image[at] ?? 0));
  let entries = seeds(tokens, count);
  for (let round = 0; round < ROUNDS; round++) {
    const codes = tokens.map((token) => nearest(token, entries));
    entries = entries.map((entry, code) => {
      const own = tokens.filter((_, i) => codes[i] === code);
      return own.length === 0 ? entry : entry.map((_, i) => own.reduce((sum, t) => sum + (t[i] ?? 0), 0) / own.length);
    });
  }
  const rounded = new Float32Array(image.length);
  tokens.forEach((token, position) => {
    const entry = entries[nearest(token, entries)]!;
    cells[position]!.forEach((at, i) => (rounded[at] = entry[i] ?? 0));
  });
  return { image: rounded, error: 127.5 * Math.sqrt(distance(image, rounded) / image.length) };
}
