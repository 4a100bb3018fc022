import { afterEach, describe, expect, it, vi } from 'vitest';
import { fetchModel } from './model';

const AT = { base: 'https://example.org/page/', folder: 'weights/faces', version: '?v=12' };

/** A server with these files, by the end of their addresses; the addresses asked for. */
function serve(files: Record<string, string | undefined>): string[] {
  const asked: string[] = [];
  vi.stubGlobal('fetch', (url: string) => {
    asked.push(url);
    const name = url.split('/').at(-1)!;
    const content = files[name];
    return Promise.resolve(new Response(content, { status: content === undefined ? 404 : 200 }));
  });
  return asked;
}

afterEach(() => vi.unstubAllGlobals());

const LATENTS = {
  'config.json': '{"tokenizer": "kl"}',
  'model.safetensors?v=12': 'network',
  'autoencoder.json': '{"ch": 16}',
  'autoencoder.safetensors?v=12': 'autoencoder',
};

describe('fetchModel', () => {
  it('takes two files where tokens are pixels', async () => {
    const asked = serve({ 'config.json': '{"tokenizer": "pixel"}', 'model.safetensors?v=12': 'network' });
    const onBytes = vi.fn();
    const { config, weights, autoencoder } = await fetchModel(AT, onBytes);
    expect([config, new TextDecoder().decode(weights), autoencoder]).toEqual([
      '{"tokenizer": "pixel"}',
      'network',
      null,
    ]);
    expect(asked.sort()).toEqual([
      'https://example.org/page/weights/faces/config.json',
      'https://example.org/page/weights/faces/model.safetensors?v=12',
    ]);
    expect(onBytes).toHaveBeenLastCalledWith(7);
  });

  it('takes the autoencoder too where they are latents, and counts its bytes', async () => {
    serve(LATENTS);
    const onBytes = vi.fn();
    const { autoencoder } = await fetchModel(AT, onBytes);
    expect(autoencoder?.config).toBe('{"ch": 16}');
    expect(new TextDecoder().decode(autoencoder?.weights)).toBe('autoencoder');
    expect(onBytes).toHaveBeenLastCalledWith(18);
  });

  it('names the file of an autoencoder that is not there', async () => {
    serve({ ...LATENTS, 'autoencoder.safetensors?v=12': undefined });
    await expect(fetchModel(AT, () => undefined)).rejects.toThrow(
      /^weights\/faces\/autoencoder.safetensors is not on the server/,
    );
  });

  it('leaves a broken configuration to the engine', async () => {
    serve({ 'config.json': 'null,', 'model.safetensors?v=12': 'network' });
    expect((await fetchModel(AT, () => undefined)).config).toBe('null,');
  });
});
