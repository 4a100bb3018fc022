// The engine's worker: loads the bundle the device needs, runs one job at a time.
// Decoding runs as fast as it can; showing it is the page's business.

import { expose } from 'comlink';
import cpuWasm from '@engine/cpu/marscope_bg.wasm?url';
import gpuWasm from '@engine/gpu/marscope_bg.wasm?url';
import { download, open } from './download';
import type {
  DecodeSettings,
  Device,
  DrawRequest,
  Engine,
  EngineBundle,
  Explanation,
  HeadSettings,
  IterationEvent,
  Look,
  ModelInfo,
  Moment,
  Standing,
} from './types';

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

const pings = new MessageChannel();

/** Lets a waiting message in (a timer would wait for milliseconds), then says whether to go on. */
function goOn(): Promise<boolean> {
  return new Promise((resolve) => {
    pings.port1.onmessage = () => {
      resolve(!stopRequested);
    };
    pings.port2.postMessage(null);
  });
}

/** The engine for a new job, which an earlier stop no longer concerns. */
function begin(): Engine {
  if (!engine) throw new Error('No model is loaded. Load the page again.');
  stopRequested = false;
  return engine;
}

/** Runs a decoding to its end or to a stop; says which. */
async function decode(
  settings: DecodeSettings,
  start: Standing | null,
  onOrder: (order: Uint32Array) => unknown,
  onIteration: (event: IterationEvent) => unknown,
): Promise<'complete' | 'stopped'> {
  const decoding = begin().decode(settings, start);
  try {
    await onOrder(decoding.order());
    for (;;) {
      const event = await decoding.advance(goOn);
      if (event === null) return 'complete';
      if (event === 'stopped') return 'stopped';
      // Waiting for the page keeps the end from overtaking an event.
      await onIteration(event);
      if (stopRequested) return 'stopped';
    }
  } finally {
    decoding.free();
  }
}

const look = (moment: Moment): Promise<Look> => begin().look(moment);

const draw = (request: DrawRequest): Promise<Float32Array | 'stopped'> => begin().draw(request, goOn);

const explain = (moment: Moment, token: number, settings: HeadSettings): Promise<Explanation> =>
  begin().explain(moment, token, settings);

/** The job under way ends before its next diffusion step. */
function stop(): void {
  stopRequested = true;
}

const api = { load, decode, look, draw, explain, stop };
export type WorkerApi = typeof api;
expose(api);
