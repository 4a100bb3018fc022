// The tokenizer that the page computes itself: pictures [channels, height, width] in [-1, 1] as patches of pixels
// [L, tokenDim], and back. Latents need their autoencoder, which the engine has (pictures.svelte.ts).

import type { Geometry } from './settings';

export interface Tokenizer {
  /** The picture that tokens stand for; masked tokens are 0, and so are their pixels. */
  decode(tokens: Float32Array): Float32Array;
  /** The tokens of a picture. */
  encode(image: Float32Array): Float32Array;
}

/** Made once for each geometry: a picture is drawn many times a second. */
const known = new WeakMap<Geometry, Tokenizer>();

/** The tokenizer of weights; null where their tokens are latents. */
export function tokenizerOf(geometry: Geometry): Tokenizer | null {
  if (geometry.tokenizer !== 'pixel') return null;
  let tokenizer = known.get(geometry);
  if (!tokenizer) {
    tokenizer = pixelPatches(geometry);
    known.set(geometry, tokenizer);
  }
  return tokenizer;
}

/** Tokens that are patches of the picture itself, the channel slowest. */
function pixelPatches(geometry: Geometry): Tokenizer {
  const places = Uint32Array.from(pixelsOf(geometry));
  return {
    decode(tokens) {
      const image = new Float32Array(tokens.length);
      places.forEach((pixel, i) => (image[pixel] = tokens[i]!));
      return image;
    },
    encode: (image) => Float32Array.from(places, (pixel) => image[pixel]!),
  };
}

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
