// The engine's worker: loads the bundle the device needs, and runs one decoding at a time.
// Decoding runs as fast as it can; showing it is the page's business.

import { expose } from 'comlink';
import cpuWasm from '@engine/cpu/marscope_bg.wasm?url';
import gpuWasm from '@engine/gpu/marscope_bg.wasm?url';
import { download, open } from './download';
import type { DecodeSettings, Device, Engine, EngineBundle, IterationEvent, ModelInfo } from './types';

/** Bytes received of one of the files being fetched. */
export type Part = 'engine' | 'weights';
export type OnProgress = (part: Part, received: number) => void;

export interface LoadRequest {
  device: Device;
  /** Absolute address of the page's folder, with a slash at its end. */
  base: string;
  /** The model's folder, relative to base. */
  folder: string;
}

let engine: Engine | null = null;
let stopRequested = false;

async function bundle(device: Device, onProgress: OnProgress): Promise<EngineBundle> {
  const [module, wasm] =
    device === 'cpu'
      ? [await import('@engine/cpu/marscope.js'), cpuWasm]
      : [await import('@engine/gpu/marscope.js'), gpuWasm];
  const response = await open(wasm, `The ${device === 'cpu' ? 'CPU' : 'WebGPU'} engine`, (n) => {
    onProgress('engine', n);
  });
  // Compiling while it streams needs the right type, which not every static host sends.
  const typed = new Response(response.body, { headers: { 'content-type': 'application/wasm' } });
  await module.default({ module_or_path: typed });
  return module;
}

async function load(request: LoadRequest, onProgress: OnProgress): Promise<ModelInfo> {
  engine?.free();
  engine = null;
  const { base, folder } = request;
  const [module, config, weights] = await Promise.all([
    bundle(request.device, onProgress),
    download(`${base}${folder}/config.json`, `${folder}/config.json`, () => undefined),
    download(`${base}${folder}/model.safetensors`, `${folder}/model.safetensors`, (n) => {
      onProgress('weights', n);
    }),
  ]);
  engine = await module.Engine.load(new TextDecoder().decode(config), weights, request.device);
  return engine.info();
}

/** Runs a decoding to its end or to a stop; says which. */
async function decode(
  settings: DecodeSettings,
  onOrder: (order: Uint32Array) => unknown,
  onIteration: (event: IterationEvent) => unknown,
): Promise<'complete' | 'stopped'> {
  if (!engine) throw new Error('No model is loaded. Load the page again.');
  stopRequested = false;
  const decoding = engine.decode(settings);
  try {
    await onOrder(decoding.order());
    for (;;) {
      const event = await decoding.advance();
      if (!event) return 'complete';
      // Waiting for the page keeps the end from overtaking an event, and lets a stop in.
      await onIteration(event);
      if (stopRequested) return 'stopped';
    }
  } finally {
    decoding.free();
  }
}

/** The decoding under way ends after its current iteration. */
function stop(): void {
  stopRequested = true;
}

const api = { load, decode, stop };
export type WorkerApi = typeof api;
expose(api);
