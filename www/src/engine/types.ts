// The engine's interface as the page sees it: what the wasm bundles export, and what travels between the worker and the page.
// Shapes follow Li et al., arXiv 2406.11838: L tokens of tokenDim numbers, sampled a few per iteration.

/** The engine a bundle computes with. */
export type Device = 'cpu' | 'webgpu';

export type Order = 'random' | 'raster' | 'spiral' | 'center';
export type CfgSchedule = 'linear' | 'constant';

/** What a model is and what it likes to be run with. */
export interface ModelInfo {
  name: string;
  classes: string[];
  /** Height and width in pixels. */
  image: [number, number];
  channels: number;
  /** Side of a patch in pixels. */
  patch: number;
  /** Rows and columns of tokens. */
  grid: [number, number];
  /** L, the number of tokens. */
  tokens: number;
  /** Numbers per token: channels * patch * patch, channel slowest. */
  tokenDim: number;
  parameters: number;
  /** The device the engine runs on, in words. */
  device: string;
  defaults: { cfg: number; iterations: number; steps: number; temperature: number };
}

/** One decoding's settings, as the engine takes them. */
export interface DecodeSettings {
  /** Class number, or null for an unconditional picture. */
  label: number | null;
  seed: number;
  cfg: number;
  cfgSchedule: CfgSchedule;
  iterations: number;
  /** Diffusion steps per token. */
  steps: number;
  temperature: number;
  order: Order;
  /** Keep every stride-th diffusion step of the trajectory; 1 keeps all. */
  stride: number;
}

/** Everything that happened in one iteration. */
export interface IterationEvent {
  iteration: number;
  iterations: number;
  /** Grid positions (row-major) sampled in this iteration. */
  tokens: Uint32Array;
  /** [L], 1 = still masked. */
  maskBefore: Uint8Array;
  maskAfter: Uint8Array;
  /** Effective guidance of this iteration. */
  cfg: number;
  /** [frames]: the diffusion timestep each frame is at; frame 0 is pure noise. */
  timesteps: Uint32Array;
  /** [frames] */
  alphaBar: Float32Array;
  /** [frames, tokens, tokenDim]: frame 0 is the noise, the last one the token. */
  trajectory: Float32Array;
  /** [channels, height, width] after this iteration, in [-1, 1]; masked patches are 0. */
  image: Float32Array;
  /** Milliseconds spent. */
  ms: { backbone: number; head: number };
}

/** A decoding under way. */
export interface Decoding {
  /** order[rank] = token position. */
  order(): Uint32Array;
  /** One iteration; null when all are done. */
  advance(): Promise<IterationEvent | null>;
  free(): void;
}

/** A loaded model. */
export interface Engine {
  info(): ModelInfo;
  /** Throws an Error fit for people when a setting is out of range. */
  decode(settings: DecodeSettings): Decoding;
  free(): void;
}

/** What a wasm bundle exports. */
export interface EngineBundle {
  default(options: { module_or_path: Response | Promise<Response> }): Promise<unknown>;
  Engine: {
    /** Checks config and weights and uploads them; rejects with an Error fit for people. */
    load(configJson: string, weights: Uint8Array, device: Device): Promise<Engine>;
  };
}
