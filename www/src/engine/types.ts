// The engine's interface as the page sees it: what the wasm bundles export, and what travels between the worker and the page.
// Shapes follow Li et al., arXiv 2406.11838: L tokens of tokenDim numbers, sampled a few per iteration.

/** The engine a bundle computes with. */
export type Device = 'cpu' | 'webgpu';

export type OrderKind = 'random' | 'raster' | 'spiral' | 'center';
/** A way to make an order, or the order itself: order[rank] = position, each position once. */
export type Order = OrderKind | readonly number[];
export type CfgSchedule = 'linear' | 'constant';
/** How the reverse process is solved: with fresh noise in each step, without, or without and to second order. */
export type Solver = 'ddpm' | 'ddim' | 'dpm';

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
  /** Buffer positions in front of the tokens, which hold the class. */
  buffer: number;
  parameters: number;
  /** The device the engine runs on. */
  device: Device;
  defaults: { cfg: number; iterations: number; steps: number; temperature: number };
}

/** One decoding's settings, as the engine takes them. */
export interface DecodeSettings {
  /** Class number, or null for an unconditional picture. */
  label: number | null;
  seed: number;
  cfg: number;
  cfgSchedule: CfgSchedule;
  /** The unconditional branch runs in every so many-th iteration; between, what guidance adds to z is used again. */
  cfgEvery: number;
  iterations: number;
  /** Diffusion steps per token. */
  steps: number;
  /** Those of the last iteration, to which the others' go down evenly; null is the same in all. */
  lateSteps: number | null;
  solver: Solver;
  /** Scales the noise that a step adds; the solvers other than DDPM add none. */
  temperature: number;
  order: Order;
  /** Keep every stride-th diffusion step of the trajectory; 1 keeps all. */
  stride: number;
}

/** A picture on its way: what is known before an iteration. */
export interface Standing {
  /** The iteration that comes next; noise is addressed by it. */
  iteration: number;
  /** [L, tokenDim]; read where not masked. */
  tokens: Float32Array;
  /** [L], 1 = masked. */
  masked: Uint8Array;
}

/** Everything that happened in one iteration. */
export interface IterationEvent {
  iteration: number;
  /** The last iteration's number + 1: less than asked for where few tokens were masked at the start. */
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
  /** [channels, height, width] before this iteration, in [-1, 1]; masked patches are 0. */
  imageBefore: Float32Array;
  /** [channels, height, width] after this iteration. */
  image: Float32Array;
  /** Milliseconds spent. Where a GPU did both in one submission, backbone is 0 and head is all of it. */
  ms: { backbone: number; head: number };
}

/** A picture on its way, of a class. */
export interface Moment extends Standing {
  label: number | null;
}

/** Attention of one transformer: weights[block][head][query][key], each row summing to 1. */
export interface Attention {
  blocks: number;
  heads: number;
  /** Queries and keys: the buffer positions, then the tokens. */
  seq: number;
  /** [blocks, heads, seq, seq] */
  weights: Float32Array;
}

/** What the transformer makes of a moment. */
export interface Look {
  /** Width of z. */
  width: number;
  /** [L, width]: the condition of every position. */
  z: Float32Array;
  /** Over the buffer and the known tokens, in the order of their positions. */
  encoder: Attention;
  /** Over the buffer and all L positions. */
  decoder: Attention;
}

/** How tokens are drawn at a moment. */
export interface HeadSettings {
  seed: number;
  /** Effective guidance. */
  cfg: number;
  steps: number;
  solver: Solver;
  temperature: number;
}

/** Tokens drawn again and again from the z they have at a moment. */
export interface DrawRequest {
  moment: Moment;
  settings: HeadSettings;
  /** Positions; known ones are not possible. */
  tokens: readonly number[];
  /** Samples of each: sample i takes the noise that seed + i would have drawn here, so sample 0 is the seed's own. */
  count: number;
}

/** One token's reverse process with what the head said at every step. */
export interface Explanation {
  /** [steps]: the timestep of each step, the noisiest first. */
  timesteps: Uint32Array;
  /** [steps] */
  alphaBar: Float32Array;
  /** [steps + 1, tokenDim]: before each step, and the token. */
  x: Float32Array;
  /** [steps, tokenDim]: the predicted noise, guidance included. */
  noise: Float32Array;
  /** [steps, tokenDim]: the clean token this predicts, clipped where the model clips. */
  clean: Float32Array;
  /** [steps, tokenDim]: standard deviation of what the step adds, before temperature; 0 where none is added. */
  deviation: Float32Array;
}

/** A decoding under way. */
export interface Decoding {
  /** order[rank] = token position. */
  order(): Uint32Array;
  /**
   * One iteration; null when all are done. `goOn` is asked between diffusion steps, on a GPU, where an iteration is one
   * submission, before it; once it answers no, the iteration is given up ('stopped') and the decoding stays where it was.
   */
  advance(goOn: () => Promise<boolean>): Promise<IterationEvent | null | 'stopped'>;
  free(): void;
}

/** A loaded model. */
export interface Engine {
  info(): ModelInfo;
  /** Diffusion steps of each iteration. Throws an Error fit for people when a setting is out of range. */
  budget(settings: DecodeSettings): Uint32Array;
  /** From `start`, or with every token masked. Throws an Error fit for people when a setting is out of range. */
  decode(settings: DecodeSettings, start: Standing | null): Decoding;
  look(moment: Moment): Promise<Look>;
  /** [tokens, count, tokenDim], or 'stopped'. */
  draw(request: DrawRequest, goOn: () => Promise<boolean>): Promise<Float32Array | 'stopped'>;
  explain(moment: Moment, token: number, settings: HeadSettings): Promise<Explanation>;
  free(): void;
}

/** What a wasm bundle exports. */
export interface EngineBundle {
  default(options: { module_or_path: Response | Promise<Response> | BufferSource }): Promise<unknown>;
  Engine: {
    /** Checks config and weights and uploads them; rejects with an Error fit for people. */
    load(configJson: string, weights: Uint8Array, device: Device): Promise<Engine>;
  };
}
