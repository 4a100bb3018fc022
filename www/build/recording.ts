// Vite plugin: the first decoding of each model that the page offers, computed when the page is built, so that a first visit has
// something to show before the engine has loaded. The page's own CPU engine computes it with the default settings.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { encode } from 'jpeg-js';
import type { Plugin } from 'vite';
import type { Engine, EngineBundle, IterationEvent, ModelInfo } from '../src/engine/types';
import { factsOf } from './facts';
import { STRIP_COLUMNS, packRecording, stripPlaces } from '../src/state/recording';
import { imagePixels, tokensAt } from '../src/state/scene';
import { decodeSettings, defaultSettings } from '../src/state/settings';

/** The inputs of recordings. */
interface Sources {
  /** The folder with the CPU engine's bundle. */
  bundle: string;
  /** The folder of all models, and those to record. */
  weights: string;
  models: readonly string[];
  /** The files that define the format. */
  format: readonly string[];
  /** Keeps recordings between builds. */
  cache: string;
}

/** Of the strip of pictures: at 64x64 pixels nobody sees the difference, and it is replaced soon. */
const JPEG_QUALITY = 88;

/** A recording's files, by their endings. */
type Files = Readonly<Record<string, Buffer>>;

function autoencoderIn(folder: string): { config: string; weights: Buffer } | null {
  const [config, weights] = [join(folder, 'autoencoder.json'), join(folder, 'autoencoder.safetensors')];
  if (!existsSync(config) || !existsSync(weights)) return null;
  return { config: readFileSync(config, 'utf8'), weights: readFileSync(weights) };
}

async function record(bundle: string, folder: string, model: string): Promise<Files> {
  const script = (await import(pathToFileURL(join(bundle, 'marscope.js')).href)) as EngineBundle;
  await script.default({ module_or_path: Uint8Array.from(readFileSync(join(bundle, 'marscope_bg.wasm'))) });
  const config = readFileSync(join(folder, 'config.json'), 'utf8');
  const weights = readFileSync(join(folder, 'model.safetensors'));
  const engine = await script.Engine.load(config, weights, 'cpu', autoencoderIn(folder));
  const { info } = factsOf(folder);
  const settings = defaultSettings(info, model);
  const decoding = engine.decode(decodeSettings(settings), null);
  const events: IterationEvent[] = [];
  for (;;) {
    const event = await decoding.advance(() => Promise.resolve(true));
    if (event === null || event === 'stopped') break;
    events.push(event);
  }
  const { name, parameters } = info;
  const source = { model: { name, parameters }, choices: settings, order: decoding.order(), start: null, events };
  const json = Buffer.from(packRecording(source));
  return info.tokenizer === 'pixel' ? { json } : { json, jpg: await strip(engine, info, events) };
}

/** The pictures of some frames as one JPEG. */
async function strip(engine: Engine, info: ModelInfo, events: readonly IterationEvent[]): Promise<Buffer> {
  const [height, width] = info.image;
  const places = stripPlaces(events.map(({ timesteps }) => timesteps.length));
  const [across, down] = [STRIP_COLUMNS * width, Math.ceil(places.length / STRIP_COLUMNS) * height];
  const data = Buffer.alloc(4 * across * down);
  for (const [i, place] of places.entries()) {
    const pixels = imagePixels(await engine.picture(tokensAt(events, place, info)), info);
    const [left, top] = [(i % STRIP_COLUMNS) * width, Math.floor(i / STRIP_COLUMNS) * height];
    for (let y = 0; y < height; y++) {
      data.set(pixels.subarray(4 * y * width, 4 * (y + 1) * width), 4 * ((top + y) * across + left));
    }
  }
  return encode({ data, width: across, height: down }, JPEG_QUALITY).data;
}

/** The recording, computed anew only when engine, weights or format have changed. */
async function recording({ bundle, weights, format, cache }: Sources, model: string): Promise<Files> {
  const folder = join(weights, model);
  const inputs = [
    ...['marscope.js', 'marscope_bg.wasm'].map((file) => join(bundle, file)),
    ...['config.json', 'model.safetensors', 'autoencoder.json', 'autoencoder.safetensors'].map((file) =>
      join(folder, file),
    ),
    ...format,
  ];
  const hash = createHash('sha256').update(JSON.stringify([JPEG_QUALITY, model]));
  for (const file of inputs) if (existsSync(file)) hash.update(readFileSync(file));
  const stem = join(cache, `recording-${model}-${hash.digest('hex').slice(0, 16)}`);
  const endings = existsSync(join(folder, 'autoencoder.json')) ? ['json', 'jpg'] : ['json'];
  if (!endings.every((ending) => existsSync(`${stem}.${ending}`))) {
    mkdirSync(cache, { recursive: true });
    const files = await record(bundle, folder, model);
    for (const [ending, content] of Object.entries(files)) writeFileSync(`${stem}.${ending}`, content);
  }
  return Object.fromEntries(endings.map((ending) => [ending, readFileSync(`${stem}.${ending}`)]));
}

/** Serves the recordings in development and puts them into the build. */
export function firstDecodings(sources: Sources): Plugin {
  return {
    name: 'marscope-first-decodings',
    configureServer(server) {
      server.middlewares.use('/recordings', (request, response, next) => {
        const [, model = '', ending = ''] = /^\/([a-z0-9-]+)\.([a-z]+)/.exec(request.url ?? '') ?? [];
        if (!sources.models.includes(model)) {
          next();
          return;
        }
        recording(sources, model).then((files) => {
          const content = files[ending];
          if (!content) {
            response.writeHead(404).end();
            return;
          }
          response.setHeader('content-type', ending === 'jpg' ? 'image/jpeg' : 'application/json');
          response.end(content);
        }, next);
      });
    },
    async generateBundle() {
      for (const model of sources.models) {
        for (const [ending, source] of Object.entries(await recording(sources, model))) {
          this.emitFile({ type: 'asset', fileName: `recordings/${model}.${ending}`, source });
        }
      }
    },
  };
}
