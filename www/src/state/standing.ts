// What is known at a point of a recording, as the engine takes it: tokens [L, tokenDim] and the mask over them.
// Known are the tokens of earlier iterations and the patches that the visitor gave.

import type { IterationEvent, Standing } from '../engine/types';
import type { Pins } from './branch.svelte';
import type { Geometry } from './settings';
import { tokensOf } from './tokens';

/** No patch is given. */
export const NO_PINS: Pins = new Map();

/** What stood before an iteration. */
export function before(event: IterationEvent, geometry: Geometry): Standing {
  return {
    iteration: event.iteration,
    tokens: tokensOf(event.imageBefore, geometry),
    masked: event.maskBefore,
  };
}

/** What stands after an iteration. */
export function after(event: IterationEvent, geometry: Geometry): Standing {
  return {
    iteration: event.iteration + 1,
    tokens: tokensOf(event.image, geometry),
    masked: event.maskAfter,
  };
}

/** A byte of the screen as a pixel in [-1, 1]. */
export function fromByte(byte: number): number {
  return byte / 127.5 - 1;
}

/** The visitor's patches known, all others masked. */
export function pinned(pins: Pins, { tokens: count, tokenDim }: Geometry): Standing {
  const tokens = new Float32Array(count * tokenDim);
  const masked = new Uint8Array(count).fill(1);
  for (const [position, bytes] of pins) {
    tokens.set(Array.from(bytes, fromByte), position * tokenDim);
    masked[position] = 0;
  }
  return { iteration: 0, tokens, masked };
}
