// The files of a model: its configuration and weights, and, where its tokens are latents, those of its autoencoder.
// Section 3.1 of the paper: a network of latents draws no picture without the autoencoder that they come from.

import { download, type OnBytes } from './download';
import type { AutoencoderFiles } from './types';

/** Where a model's files are. */
export interface ModelAddress {
  /** Absolute address of the page's folder, with a slash at its end. */
  base: string;
  /** The model's folder, relative to base. */
  folder: string;
  /** What follows the names of the large files in their addresses: a hash of their content, or nothing. */
  version: string;
}

export interface ModelFiles {
  config: string;
  weights: Uint8Array;
  /** Null where tokens are pixels. */
  autoencoder: AutoencoderFiles | null;
}

/** Fetches a model's files; `onBytes` hears the bytes of all weights. Throws an Error with a readable message. */
export async function fetchModel({ base, folder, version }: ModelAddress, onBytes: OnBytes): Promise<ModelFiles> {
  const received = new Map<string, number>();
  const text = async (file: string): Promise<string> =>
    new TextDecoder().decode(await download(`${base}${folder}/${file}`, `${folder}/${file}`, () => undefined));
  const large = (file: string): Promise<Uint8Array> =>
    download(`${base}${folder}/${file}${version}`, `${folder}/${file}`, (bytes) => {
      received.set(file, bytes);
      onBytes([...received.values()].reduce((sum, each) => sum + each, 0));
    });
  const described = async (): Promise<Pick<ModelFiles, 'config' | 'autoencoder'>> => {
    const config = await text('config.json');
    if (!drawsLatents(config)) return { config, autoencoder: null };
    const [shape, weights] = await Promise.all([text('autoencoder.json'), large('autoencoder.safetensors')]);
    return { config, autoencoder: { config: shape, weights } };
  };
  const [{ config, autoencoder }, weights] = await Promise.all([described(), large('model.safetensors')]);
  return { config, weights, autoencoder };
}

/** Whether the tokens of a model are latents. The engine checks the configuration; a broken one is its to refuse. */
function drawsLatents(config: string): boolean {
  try {
    return (JSON.parse(config) as { tokenizer?: unknown } | null)?.tokenizer === 'kl';
  } catch {
    return false;
  }
}
