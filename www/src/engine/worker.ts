// The engine's worker: loads the bundle that the device needs, then does one job at a time (jobs.ts).
// It decodes at full speed; the page decides when to show what.

import { expose } from 'comlink';
import relaxedWasm from '@engine/cpu-relaxed/marscope_bg.wasm?url';
import cpuWasm from '@engine/cpu/marscope_bg.wasm?url';
import gpuWasm from '@engine/gpu/marscope_bg.wasm?url';
import { bundleInWords, type BundleName } from './bundle';
import type { Trial } from './device';
import { open } from './download';
import { Jobs } from './jobs';
import { fetchModel, type ModelAddress } from './model';
import type { DecodeSettings, Device, Engine, EngineBundle, ModelInfo } from './types';

/** Bytes received of one of the files being fetched. */
export type Part = 'engine' | 'weights';
export type OnProgress = (part: Part, received: number) => void;

export interface LoadRequest extends ModelAddress {
  device: Device;
  /** Time an iteration on both devices and take the faster one; the bundle must have both. */
  fastest: boolean;
  bundle: BundleName;
}

/** The model, and the times of both devices if they were measured. */
export interface Loaded {
  info: ModelInfo;
  trial: Trial | null;
}

const jobs = new Jobs();

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

/** Starts a bundle; if the relaxed CPU bundle fails, the plain one. */
function startOr(name: BundleName, onProgress: OnProgress): Promise<EngineBundle> {
  const started = start(name, onProgress);
  return name === 'cpu-relaxed' ? started.catch(() => start('cpu', onProgress)) : started;
}

async function load(request: LoadRequest, onProgress: OnProgress): Promise<Loaded> {
  jobs.use(null);
  const [module, { config, weights, autoencoder }] = await Promise.all([
    startOr(request.bundle, onProgress),
    fetchModel(request, (n) => {
      onProgress('weights', n);
    }),
  ]);
  const loadOn = (device: Device): Promise<Engine> => module.Engine.load(config, weights, device, autoencoder);
  const wished = await loadOn(request.device);
  jobs.use(wished);
  if (!request.fastest) return { info: wished.info(), trial: null };
  const cpu = await loadOn('cpu');
  const trial = { webgpu: await timeOf(wished), cpu: await timeOf(cpu) };
  if (trial.webgpu <= trial.cpu) {
    cpu.free();
    return { info: wished.info(), trial };
  }
  jobs.use(cpu);
  return { info: cpu.info(), trial };
}

const always = (): Promise<boolean> => Promise.resolve(true);

/** Milliseconds of a middle iteration. The first one is slower, since it creates what later ones reuse. */
async function timeOf(engine: Engine): Promise<number> {
  const { cfg, cfg_schedule: cfgSchedule, steps, solver, temperature } = engine.info().defaults;
  const settings: DecodeSettings = {
    ...{ label: 0, seed: 0, cfg, steps, temperature, iterations: 4, order: 'random', stride: steps },
    ...{ cfgSchedule, cfgEvery: 1, lateSteps: null, solver },
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

const api = {
  load,
  decode: jobs.decode.bind(jobs),
  backbone: jobs.backbone.bind(jobs),
  draw: jobs.draw.bind(jobs),
  explain: jobs.explain.bind(jobs),
  picture: jobs.picture.bind(jobs),
  tokens: jobs.tokens.bind(jobs),
  stop: jobs.stop.bind(jobs),
};
export type WorkerApi = typeof api;
expose(api);
