// What is known at a point of a recording, as the engine takes it: tokens [L, tokenDim] and the mask over them.
// Tokens are patches of pixels here, so that a recording's images say it all.

import type { IterationEvent, Standing } from '../engine/types';
import type { Pins } from './branch.svelte';
import type { Geometry } from './settings';

/** For every number of the tokens in order, the index of the pixel it holds. */
function* pixelsOf({ image: [height, width], channels, patch, grid }: Geometry): Generator<number> {
  for (let row = 0; row < grid[0]; row++) {
    for (let column = 0; column < grid[1]; column++) {
      for (let channel = 0; channel < channels; channel++) {
        for (let y = 0; y < patch; y++) {
          for (let x = 0; x < patch; x++) yield (channel * height + row * patch + y) * width + column * patch + x;
        }
      }
    }
  }
}

/** [channels, height, width] to tokens [L, tokenDim]. */
export function tokensOf(image: Float32Array, geometry: Geometry): Float32Array {
  const tokens = new Float32Array(image.length);
  let i = 0;
  for (const pixel of pixelsOf(geometry)) tokens[i++] = image[pixel]!;
  return tokens;
}

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
