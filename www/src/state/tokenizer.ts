// Tokenizers: pictures [channels, height, width] in [-1, 1] as tokens [L, tokenDim], and back.
// Everything else holds tokens. Pictures are made of them on demand, by the tokenizer that the weights name.

import type { Geometry } from './settings';

export interface Tokenizer {
  /** The picture that tokens stand for; masked tokens are 0, and so are their pixels. */
  decode(tokens: Float32Array): Float32Array;
  /** The tokens of a picture. */
  encode(image: Float32Array): Float32Array;
}

/** Made once for each geometry: a picture is drawn many times a second. */
const known = new WeakMap<Geometry, Tokenizer>();

/** The tokenizer of weights. Throws an Error fit for people where the page has none for them. */
export function tokenizerOf(geometry: Geometry): Tokenizer {
  let tokenizer = known.get(geometry);
  if (!tokenizer) {
    if (geometry.tokenizer !== 'pixel') {
      throw new Error(
        'The tokens of these weights are latents, which only their autoencoder makes pictures of. This page cannot draw them yet.',
      );
    }
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
