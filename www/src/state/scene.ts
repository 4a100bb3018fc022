// What is shown at a moment: scene = f(events, place). This file has no state. Its picture is made in pictures.svelte.ts.
// Pixels are bytes as the command line writes them: clamp(round((v + 1) * 127.5), 0, 255).

import type { IterationEvent } from '../engine/types';
import type { Geometry } from './settings';
import type { Place } from './timeline';

/** A token's state at a moment. `chosen` has its z, `active` is being denoised, `newest` was finished last. */
export type CellState = 'masked' | 'chosen' | 'active' | 'newest' | 'known';

export interface Scene {
  /** Counts from 0. */
  iteration: number;
  /** -1 while the transformer reads. */
  frame: number;
  /** Frames of this iteration. */
  frames: number;
  /** Tokens of this iteration, in the engine's order. */
  tokens: readonly number[];
  /** Tokens known before this iteration. */
  known: number;
  cells: readonly CellState[];
  /** Guidance of this iteration, timestep and alpha-bar at this frame; null before the first event. */
  cfg: number | null;
  timestep: number | null;
  alphaBar: number | null;
}

/** RGBA. */
export type Pixels = Uint8ClampedArray<ArrayBuffer>;

/** A pixel value in [-1, 1] as a byte. */
export function toByte(value: number): number {
  return Math.min(255, Math.max(0, Math.round((value + 1) * 127.5)));
}

/** A byte of the screen as a pixel value in [-1, 1]; `toByte` gives it back. */
export function fromByte(byte: number): number {
  return byte / 127.5 - 1;
}

/** Planes of `channels` values as RGBA; one channel is grey. */
function toRgba(values: Float32Array, plane: number, channels: number): Pixels {
  const out = new Uint8ClampedArray(plane * 4);
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) {
      out[4 * i + c] = toByte(values[Math.min(c, channels - 1) * plane + i] ?? 0);
    }
    out[4 * i + 3] = 255;
  }
  return out;
}

/** A whole picture, [channels, height, width], as RGBA. */
export function imagePixels(image: Float32Array, { image: [height, width], channels }: Geometry): Pixels {
  return toRgba(image, height * width, channels);
}

/** A picture before anything is known of it: grey, which is the middle of what pixels can be. */
export function blankPixels({ image: [height, width] }: Pick<Geometry, 'image'>): Pixels {
  return new Uint8ClampedArray(4 * height * width).map((_, i) => (i % 4 === 3 ? 255 : 128));
}

/** One token of pixels as RGBA of patch x patch pixels. */
export function patchPixels(token: Float32Array, { patch, channels }: Geometry): Pixels {
  return toRgba(token, patch * patch, channels);
}

/** The part of a picture that a token covers, as RGBA of tokenSide x tokenSide pixels. */
export function cropPixels(picture: Pixels, position: number, { image, grid, tokenSide }: Geometry): Pixels {
  const width = image[1];
  const top = Math.floor(position / grid[1]) * tokenSide;
  const left = (position % grid[1]) * tokenSide;
  const out = new Uint8ClampedArray(4 * tokenSide * tokenSide);
  for (let y = 0; y < tokenSide; y++) {
    const from = 4 * ((top + y) * width + left);
    out.set(picture.subarray(from, from + 4 * tokenSide), 4 * y * tokenSide);
  }
  return out;
}

/** The numbers of the iteration's `slot`-th token at a frame. */
export function tokenAt(event: IterationEvent, slot: number, frame: number, { tokenDim }: Geometry): Float32Array {
  const start = (frame * event.tokens.length + slot) * tokenDim;
  return event.trajectory.subarray(start, start + tokenDim);
}

/** The rank of each position: its place in the order. */
export function ranksOf(order: Uint32Array): Uint32Array {
  const ranks = new Uint32Array(order.length);
  order.forEach((position, rank) => (ranks[position] = rank));
  return ranks;
}

/** order[rank] = position, from the rank of each position. */
export function orderOf(ranks: Uint32Array): number[] {
  const order = new Array<number>(ranks.length);
  ranks.forEach((rank, position) => (order[rank] = position));
  return order;
}

/** The iteration (index into events) that samples a position, and the token's slot in it; null where not recorded. */
export function findToken(
  events: readonly IterationEvent[],
  position: number,
): { iteration: number; slot: number } | null {
  for (const [iteration, event] of events.entries()) {
    const slot = event.tokens.indexOf(position);
    if (slot >= 0) return { iteration, slot };
  }
  return null;
}

/** Tokens known before the iteration. */
export function knownBefore(event: IterationEvent): number {
  return event.maskBefore.reduce((n, masked) => n + (masked ? 0 : 1), 0);
}

/** What each token is at a place: the same throughout the read, the denoising and the finished frame. */
export function cellsAt(
  events: readonly IterationEvent[],
  { iteration, frame }: Place,
  { tokens }: Pick<Geometry, 'tokens'>,
): CellState[] {
  const event = events[iteration];
  const cells = Array.from({ length: tokens }, (_, i): CellState => (event?.maskBefore[i] === 0 ? 'known' : 'masked'));
  if (!event) return cells;
  if (frame < 0) {
    events[iteration - 1]?.tokens.forEach((position) => (cells[position] = 'newest'));
    event.tokens.forEach((position) => (cells[position] = 'chosen'));
  } else {
    const state = frame === event.timesteps.length - 1 ? 'newest' : 'active';
    event.tokens.forEach((position) => (cells[position] = state));
  }
  return cells;
}

/** [L, tokenDim]: the tokens at a place, 0 where nothing is known; those under way as they are at that frame. */
export function tokensAt(events: readonly IterationEvent[], place: Place, geometry: Geometry): Float32Array {
  const event = events[place.iteration];
  const before = event?.before ?? events[place.iteration - 1]?.after;
  const tokens = before?.slice() ?? new Float32Array(geometry.tokens * geometry.tokenDim);
  if (event && place.frame >= 0) {
    event.tokens.forEach((position, slot) => {
      tokens.set(tokenAt(event, slot, place.frame, geometry), position * geometry.tokenDim);
    });
  }
  return tokens;
}

/** The scene at a place. If the place's iteration is not recorded yet, it shows what is known before it. */
export function sceneAt(events: readonly IterationEvent[], place: Place, geometry: Pick<Geometry, 'tokens'>): Scene {
  const event = events[place.iteration];
  return {
    iteration: place.iteration,
    frame: place.frame,
    frames: event?.timesteps.length ?? 0,
    tokens: event ? Array.from(event.tokens) : [],
    known: event ? knownBefore(event) : 0,
    cells: cellsAt(events, place, geometry),
    cfg: event?.cfg ?? null,
    timestep: event?.timesteps[Math.max(0, place.frame)] ?? null,
    alphaBar: event?.alphaBar[Math.max(0, place.frame)] ?? null,
  };
}

/** A position in words. */
export function placeInWords(position: number, { grid }: Pick<Geometry, 'grid'>): string {
  return `row ${Math.floor(position / grid[1]) + 1}, column ${(position % grid[1]) + 1}`;
}
