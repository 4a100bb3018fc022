// Vite plugin: the page's first decoding, computed when the page is built, so that the first visit has something to show
// before the engine has loaded. The page's own CPU engine computes it with the default settings.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Plugin } from 'vite';
import type { EngineBundle, IterationEvent } from '../src/engine/types';
import { FASHION, decodeSettings, defaultSettings } from '../src/state/settings';
import { writeTrace } from '../src/state/trace';

/** The inputs of a recording. */
interface Sources {
  /** The folder with the CPU engine's bundle. */
  bundle: string;
  /** The model's folder. */
  weights: string;
  /** The file that defines the trace format. */
  format: string;
  /** Keeps recordings between builds. */
  cache: string;
}

const SETTINGS = defaultSettings(FASHION);
const FILE = `recordings/${SETTINGS.model}.json`;

async function record(script: string, wasm: Buffer, config: string, weights: Buffer): Promise<string> {
  const bundle = (await import(pathToFileURL(script).href)) as EngineBundle;
  await bundle.default({ module_or_path: Uint8Array.from(wasm) });
  const engine = await bundle.Engine.load(config, weights, 'cpu', null);
  const info = engine.info();
  const decoding = engine.decode(decodeSettings(SETTINGS), null);
  const events: IterationEvent[] = [];
  for (;;) {
    const event = await decoding.advance(() => Promise.resolve(true));
    if (event === null || event === 'stopped') break;
    events.push(event);
  }
  const { name, parameters } = info;
  const source = { model: { name, parameters }, choices: SETTINGS, order: decoding.order(), start: null };
  return writeTrace({ ...source, events });
}

/** The recording, computed anew only when engine, weights, settings or format have changed. */
async function recording({ bundle, weights, format, cache }: Sources): Promise<string> {
  const script = join(bundle, 'marscope.js');
  const wasm = readFileSync(join(bundle, 'marscope_bg.wasm'));
  const config = readFileSync(join(weights, 'config.json'), 'utf8');
  const tensors = readFileSync(join(weights, 'model.safetensors'));
  const hash = createHash('sha256');
  for (const part of [readFileSync(script), wasm, config, tensors, JSON.stringify(SETTINGS), readFileSync(format)]) {
    hash.update(part);
  }
  const kept = join(cache, `recording-${hash.digest('hex').slice(0, 16)}.json`);
  if (existsSync(kept)) return readFileSync(kept, 'utf8');
  const text = await record(script, wasm, config, tensors);
  mkdirSync(dirname(kept), { recursive: true });
  writeFileSync(kept, text);
  return text;
}

/** Serves the recording in development and puts it into the build. */
export function firstDecoding(sources: Sources): Plugin {
  return {
    name: 'marscope-first-decoding',
    configureServer(server) {
      server.middlewares.use(`/${FILE}`, (_, response, next) => {
        recording(sources).then((text) => {
          response.setHeader('content-type', 'application/json');
          response.end(text);
        }, next);
      });
    },
    async generateBundle() {
      this.emitFile({ type: 'asset', fileName: FILE, source: await recording(sources) });
    },
  };
}
