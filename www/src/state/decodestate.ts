// What is known at a point of a recording, as the engine takes it: tokens [L, tokenDim] and the mask over them.
// Known are the tokens of earlier iterations and those that the visitor gave.

import type { DecodeState, IterationEvent } from '../engine/types';
import type { Pins } from './branch.svelte';
import type { Geometry } from './settings';

/** Nothing is given. */
export const NO_PINS: Pins = new Map();

/** The state before an iteration. */
export function before(event: IterationEvent): DecodeState {
  return { iteration: event.iteration, tokens: event.before, masked: event.maskBefore };
}

/** The state after an iteration. */
export function after(event: IterationEvent): DecodeState {
  return { iteration: event.iteration + 1, tokens: event.after, masked: event.maskAfter };
}

/** The visitor's tokens known, all others masked. */
export function pinned(pins: Pins, { tokens: count, tokenDim }: Geometry): DecodeState {
  const tokens = new Float32Array(count * tokenDim);
  const masked = new Uint8Array(count).fill(1);
  for (const [position, token] of pins) {
    tokens.set(token, position * tokenDim);
    masked[position] = 0;
  }
  return { iteration: 0, tokens, masked };
}
