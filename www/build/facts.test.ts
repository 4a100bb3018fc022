import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FASHION } from '../src/engine/generated';
import { factsOf } from './facts';

/** A safetensors file of these shapes, without their numbers. */
function header(shapes: number[][]): Buffer {
  const tensors = Object.fromEntries(
    shapes.map((shape, i) => [`t${i}`, { dtype: 'F16', shape, data_offsets: [0, 0] }]),
  );
  const text = Buffer.from(JSON.stringify({ __metadata__: { format: 'pt' }, ...tensors }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}

describe('the facts of a model', () => {
  it('are those that the engine tells', () => {
    expect(factsOf(fileURLToPath(new URL('../../weights/fashion', import.meta.url))).info).toEqual(FASHION);
  });

  it('are those of a picture where the tokens are latents', () => {
    const folder = mkdtempSync(join(tmpdir(), 'marscope-'));
    const model = {
      ...{ img_size: 64, vae_stride: 8, patch_size: 1, vae_embed_dim: 16, buffer_size: 8 },
      ...{ encoder_embed_dim: 192, encoder_depth: 4, decoder_embed_dim: 160, decoder_depth: 3 },
      ...{ diffloss_d: 3, diffloss_w: 256 },
    };
    const defaults = { cfg: 2, iterations: 16, steps: 50, temperature: 1 };
    const config = { name: 'portraits', classes: ['micah'], tokenizer: 'kl', defaults, model };
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    writeFileSync(join(folder, 'model.safetensors'), header([[2, 3], [4]]));
    writeFileSync(join(folder, 'autoencoder.safetensors'), header([[5, 1, 1, 2]]));
    const { info, network } = factsOf(folder);
    expect(info).toMatchObject({
      ...{ image: [64, 64], channels: 3, latentChannels: 16, stride: 8, patch: 1, tokenSide: 8 },
      ...{ grid: [8, 8], tokens: 64, tokenDim: 16, parameters: 10, autoencoderParameters: 10 },
    });
    expect(network).toEqual({ blocks: [4, 3], width: [192, 160], headBlocks: 3, headWidth: 256 });
  });
});
