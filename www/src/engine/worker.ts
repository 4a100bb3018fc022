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
import { Peer } from './peer';
import { SCRIPTS } from './scripts';
import { Team } from './team';
import { timeOf } from './trial';
import type { Device, Engine, EngineBundle, ModelInfo } from './types';

/** Bytes received of one of the files being fetched. */
export type Part = 'engine' | 'weights';
export type OnProgress = (part: Part, received: number) => void;
/** So many workers share the work now. */
export type OnSize = (size: number) => void;

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
/** The workers that share the work of the CPU engine; null without one. */
let team: Team | null = null;

const WASM: Record<BundleName, string> = { cpu: cpuWasm, 'cpu-relaxed': relaxedWasm, gpu: gpuWasm };

/** A bundle that runs here, and its module for others to run. */
interface Started {
  bundle: BundleName;
  script: EngineBundle;
  wasm: WebAssembly.Module;
}

async function start(bundle: BundleName, onProgress: OnProgress): Promise<Started> {
  const [script, response] = await Promise.all([
    SCRIPTS[bundle](),
    open(WASM[bundle], bundleInWords(bundle), (n) => {
      onProgress('engine', n);
    }),
  ]);
  // Compiling while it streams needs the right type, which not every static host sends.
  const typed = new Response(response.body, { headers: { 'content-type': 'application/wasm' } });
  const wasm = await WebAssembly.compileStreaming(typed);
  await script.default({ module_or_path: wasm });
  return { bundle, script, wasm };
}

/** Starts a bundle; if the relaxed CPU bundle fails, the plain one. */
function startOr(bundle: BundleName, onProgress: OnProgress): Promise<Started> {
  const started = start(bundle, onProgress);
  return bundle === 'cpu-relaxed' ? started.catch(() => start('cpu', onProgress)) : started;
}

async function load(request: LoadRequest, onProgress: OnProgress, onSize: OnSize): Promise<Loaded> {
  jobs.use(null);
  const [{ bundle, script, wasm }, { config, weights, autoencoder }] = await Promise.all([
    startOr(request.bundle, onProgress),
    fetchModel(request, (n) => {
      onProgress('weights', n);
    }),
  ]);
  const loadOn = (device: Device): Promise<Engine> => script.Engine.load(config, weights, device, autoencoder);
  /** The engine does the jobs; on the CPU it can share them. */
  const use = (engine: Engine): ModelInfo => {
    const info = engine.info();
    team = null;
    if (info.device === 'cpu') {
      team = new Team({
        start: (onDeath) => new Peer(onDeath),
        copy: { bundle, wasm, config, weights, autoencoder },
        share: (peers) => {
          engine.share(peers);
        },
        onSize,
      });
    }
    jobs.use(engine, team);
    return info;
  };

  const wished = await loadOn(request.device);
  if (!request.fastest) return { info: use(wished), trial: null };
  const cpu = await loadOn('cpu');
  const trial = { webgpu: await timeOn(wished), cpu: await timeOn(cpu) };
  const [taken, other] = trial.webgpu <= trial.cpu ? [wished, cpu] : [cpu, wished];
  other.free();
  return { info: use(taken), trial };
}

const always = (): Promise<boolean> => Promise.resolve(true);

/** Milliseconds of the second of two iterations: the first one is slower, since it creates what later ones reuse. */
async function timeOn(engine: Engine): Promise<number> {
  const { steps } = engine.info().defaults;
  await timeOf(engine, steps, always);
  const ms = await timeOf(engine, steps, always);
  return ms === 'stopped' ? Infinity : ms;
}

const api = {
  load,
  decode: jobs.decode.bind(jobs),
  backbone: jobs.backbone.bind(jobs),
  draw: jobs.draw.bind(jobs),
  explain: jobs.explain.bind(jobs),
  picture: jobs.picture.bind(jobs),
  tokens: jobs.tokens.bind(jobs),
  compare: jobs.compare.bind(jobs),
  stop: jobs.stop.bind(jobs),
  /** As many workers share the work from now on. Rejects with an Error with a readable message. */
  resize: (size: number): Promise<void> => team?.resize(size) ?? Promise.resolve(),
};
export type WorkerApi = typeof api;
expose(api);
