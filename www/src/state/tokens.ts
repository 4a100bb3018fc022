// Images [channels, height, width] as tokens [L, tokenDim] and back. Tokens are patches of pixels here, the channel slowest,
// so that a recording's images say everything about its tokens.

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

/** The tokens of an image; where it is 0, as it is where masked, so are they. */
export function tokensOf(image: Float32Array, geometry: Geometry): Float32Array {
  const tokens = new Float32Array(image.length);
  let i = 0;
  for (const pixel of pixelsOf(geometry)) tokens[i++] = image[pixel]!;
  return tokens;
}

/** The image of tokens; 0 where masked. */
export function imageOf(tokens: Float32Array, masked: Uint8Array, geometry: Geometry): Float32Array {
  const image = new Float32Array(tokens.length);
  let i = 0;
  for (const pixel of pixelsOf(geometry)) {
    if (!masked[Math.floor(i / geometry.tokenDim)]) image[pixel] = tokens[i]!;
    i++;
  }
  return image;
}
