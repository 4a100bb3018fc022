// What a model's files say of it, for the page to know before any engine has loaded.

import { existsSync, readFileSync, openSync, readSync, closeSync } from 'node:fs';
import { join } from 'node:path';
import type { Defaults, TokenizerKind } from '../src/engine/generated';
import type { ModelInfo } from '../src/engine/types';

/** The sizes of a network that the engine does not tell. */
export interface Network {
  /** Blocks of the encoder and of the decoder, and their widths. */
  blocks: [number, number];
  width: [number, number];
  /** Blocks and width of the head. */
  headBlocks: number;
  headWidth: number;
}

export interface Facts {
  info: ModelInfo;
  network: Network;
}

/** The part of a config.json that is read here. */
interface Config {
  name: string;
  classes: string[];
  tokenizer: TokenizerKind;
  defaults: Omit<Defaults, 'cfg_schedule' | 'solver'> & Partial<Defaults>;
  model: {
    img_size: number;
    vae_stride: number;
    patch_size: number;
    vae_embed_dim: number;
    encoder_embed_dim: number;
    encoder_depth: number;
    decoder_embed_dim: number;
    decoder_depth: number;
    buffer_size: number;
    diffloss_d: number;
    diffloss_w: number;
  };
}

/** Numbers in a safetensors file; 0 where there is none. */
function parametersIn(file: string): number {
  if (!existsSync(file)) return 0;
  const opened = openSync(file, 'r');
  try {
    const length = Buffer.alloc(8);
    readSync(opened, length, 0, 8, 0);
    const header = Buffer.alloc(Number(length.readBigUInt64LE()));
    readSync(opened, header, 0, header.length, 8);
    const tensors = JSON.parse(header.toString('utf8')) as Record<string, { shape?: number[] }>;
    return Object.values(tensors).reduce((sum, { shape }) => sum + (shape ? shape.reduce((n, d) => n * d, 1) : 0), 0);
  } finally {
    closeSync(opened);
  }
}

/** The facts of the model in a folder. */
export function factsOf(folder: string): Facts {
  const { name, classes, tokenizer, defaults, model } = JSON.parse(
    readFileSync(join(folder, 'config.json'), 'utf8'),
  ) as Config;
  const tokenSide = model.patch_size * model.vae_stride;
  const side = model.img_size / tokenSide;
  return {
    info: {
      name,
      classes,
      tokenizer,
      image: [model.img_size, model.img_size],
      channels: tokenizer === 'kl' ? 3 : model.vae_embed_dim,
      latentChannels: model.vae_embed_dim,
      stride: model.vae_stride,
      patch: model.patch_size,
      tokenSide,
      grid: [side, side],
      tokens: side * side,
      tokenDim: model.vae_embed_dim * model.patch_size ** 2,
      buffer: model.buffer_size,
      parameters: parametersIn(join(folder, 'model.safetensors')),
      autoencoderParameters: tokenizer === 'kl' ? parametersIn(join(folder, 'autoencoder.safetensors')) : 0,
      device: 'cpu',
      // Weights from before these two were there mean them.
      defaults: { cfg_schedule: 'linear', solver: 'ddpm', ...defaults },
    },
    network: {
      blocks: [model.encoder_depth, model.decoder_depth],
      width: [model.encoder_embed_dim, model.decoder_embed_dim],
      headBlocks: model.diffloss_d,
      headWidth: model.diffloss_w,
    },
  };
}
