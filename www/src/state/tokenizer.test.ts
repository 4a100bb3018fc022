import { describe, expect, it } from 'vitest';
import { tokenizerOf } from './tokenizer';

/** Four tokens of 2 x 2 pixels, two channels, in a picture of 4 x 4. */
const geometry = {
  tokenizer: 'pixel' as const,
  image: [4, 4] as [number, number],
  channels: 2,
  patch: 2,
  tokenSide: 2,
  grid: [2, 2] as [number, number],
  tokens: 4,
  tokenDim: 8,
};

describe('pixel patches', () => {
  const { decode, encode } = tokenizerOf(geometry)!;

  it('have the channel slowest: pixel (channel, y, x) is number (channel, y % 2, x % 2) of its token', () => {
    const tokens = Float32Array.from({ length: 32 }, (_, i) => i);
    const image = decode(tokens);
    for (let pixel = 0; pixel < 32; pixel++) {
      const [channel, y, x] = [Math.floor(pixel / 16), Math.floor(pixel / 4) % 4, pixel % 4];
      const position = Math.floor(y / 2) * 2 + Math.floor(x / 2);
      expect(image[pixel]).toBe(position * 8 + channel * 4 + (y % 2) * 2 + (x % 2));
    }
    expect(encode(image)).toEqual(tokens);
  });

  it('are made ready once for each geometry', () => {
    expect(tokenizerOf(geometry)!.decode).toBe(decode);
  });
});

describe('latents', () => {
  it('have their tokenizer in the engine', () => {
    expect(tokenizerOf({ ...geometry, tokenizer: 'kl' })).toBeNull();
  });
});
