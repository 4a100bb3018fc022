import { describe, expect, it } from 'vitest';
import { packPins, unpackPins } from './address';
import { fromShort, toShort } from './pins';
import type { Geometry } from './settings';

const pixel: Geometry = {
  ...{ tokenizer: 'pixel', image: [4, 4], channels: 1, patch: 2, tokenSide: 2, grid: [2, 2], tokens: 4, tokenDim: 4 },
};
const latent: Geometry = { ...pixel, tokenizer: 'kl', channels: 3, patch: 1, tokenDim: 2 };

describe('pins in an address', () => {
  it('are bytes of the screen for pixels', () => {
    const pins = new Map([[3, Float32Array.of(-1, 1, 0, -0.5)]]);
    const read = unpackPins(packPins(pins, 'pixel'), pixel).get(3)!;
    [-1, 1, 0, -0.5].forEach((value, i) => expect(Math.abs(read[i]! - value)).toBeLessThanOrEqual(1.001 / 255));
  });

  it('are the very numbers of latents', () => {
    const held = [-3.1, 0.25, 7.999, -8].map((value) => fromShort(toShort(value)));
    const pins = new Map([
      [0, Float32Array.from(held.slice(0, 2))],
      [2, Float32Array.from(held.slice(2))],
    ]);
    expect(unpackPins(packPins(pins, 'kl'), latent)).toEqual(pins);
  });

  it.each(['', 'AAA', '!!', 'AAkAAAAA', 'AAAAAAAAAAAAAAAA'])('of %j are none, or refused', (text) => {
    if (text === '') expect(unpackPins(text, latent).size).toBe(0);
    else expect(() => unpackPins(text, latent)).toThrow();
  });
});
