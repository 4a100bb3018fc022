// The engine's worker: loads the bundle the device needs, runs one job at a time.
// Decoding runs as fast as it can; showing it is the page's business.

import { expose } from 'comlink';
import relaxedWasm from '@engine/cpu-relaxed/marscope_bg.wasm?url';
import cpuWasm from '@engine/cpu/marscope_bg.wasm?url';
import gpuWasm from '@engine/gpu/marscope_bg.wasm?url';
import { bundleInWords, type BundleName } from './bundle';
import type { Trial } from './device';
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
  /** Time an iteration on both devices and take the faster one; the bundle must have both. */
  fastest: boolean;
  bundle: BundleName;
  /** Absolute address of the page's folder, with a slash at its end. */
  base: string;
  /** The model's folder, relative to base. */
  folder: string;
  /** The weights' address, relative to base. */
  weights: string;
}

/** The model, and, where both devices were timed, how they did. */
export interface Loaded {
  info: ModelInfo;
  trial: Trial | null;
}

let engine: Engine | null = null;
let stopRequested = false;

const BUNDLES: Record<BundleName, { script: () => Promise<EngineBundle>; wasm: string }> = {
  cpu: { script: () => import('@engine/cpu/marscope.js'), wasm: cpuWasm },
  'cpu-relaxed': { script: () => import('@engine/cpu-relaxed/marscope.js'), wasm: relaxedWasm },
  gpu: { script: () => import('@engine/gpu/marscope.js'), wasm: gpuWasm },
};

async function start(name: BundleName, onProgress: OnProgress): Promise<EngineBundle> {
  const { script, wasm } = BUNDLES[name];
  const [module, response] = await Promise.all([
    script(),
    open(wasm, bundleInWords(name), (n) => {
      onProgress('engine', n);
    }),
  ]);
  // Compiling while it streams needs the right type, which not every static host sends.
  const typed = new Response(response.body, { headers: { 'content-type': 'application/wasm' } });
  await module.default({ module_or_path: typed });
  return module;
}

/** Starts a bundle; the CPU's plain one where the relaxed one is not to be had. */
function startOr(name: BundleName, onProgress: OnProgress): Promise<EngineBundle> {
  const started = start(name, onProgress);
  return name === 'cpu-relaxed' ? started.catch(() => start('cpu', onProgress)) : started;
}

async function load(request: LoadRequest, onProgress: OnProgress): Promise<Loaded> {
  engine?.free();
  engine = null;
  const { base, folder } = request;
  const [module, config, weights] = await Promise.all([
    startOr(request.bundle, onProgress),
    download(`${base}${folder}/config.json`, `${folder}/config.json`, () => undefined),
    download(`${base}${request.weights}`, `${folder}/model.safetensors`, (n) => {
      onProgress('weights', n);
    }),
  ]);
  const loadOn = (device: Device): Promise<Engine> =>
    module.Engine.load(new TextDecoder().decode(config), weights, device);
  const wished = await loadOn(request.device);
  engine = wished;
  if (!request.fastest) return { info: wished.info(), trial: null };
  const cpu = await loadOn('cpu');
  const trial = { webgpu: await timeOf(wished), cpu: await timeOf(cpu) };
  engine = trial.webgpu <= trial.cpu ? wished : cpu;
  (engine === wished ? cpu : wished).free();
  return { info: engine.info(), trial };
}

const always = (): Promise<boolean> => Promise.resolve(true);

/** Milliseconds of an iteration that draws some of a picture's tokens, not the first, which makes what later ones use again. */
async function timeOf(engine: Engine): Promise<number> {
  const { cfg, steps, temperature } = engine.info().defaults;
  const settings: DecodeSettings = {
    ...{ label: 0, seed: 0, cfg, steps, temperature, iterations: 4, order: 'random', stride: steps },
    ...{ cfgSchedule: 'linear', cfgEvery: 1, lateSteps: null, solver: 'ddpm' },
  };
  const decoding = engine.decode(settings, null);
  try {
    await decoding.advance(always);
    const begin = performance.now();
    await decoding.advance(always);
    return performance.now() - begin;
  } finally {
    decoding.free();
  }
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

/** The job under way ends before its next diffusion step; on a GPU, where an iteration is one submission, after it. */
function stop(): void {
  stopRequested = true;
}

const api = { load, decode, look, draw, explain, stop };
export type WorkerApi = typeof api;
expose(api);
