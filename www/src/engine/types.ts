// The engine's interface for the page: the exports of the wasm bundles, and the messages between worker and page.
// Shapes follow Li et al., arXiv 2406.11838: L tokens of tokenDim numbers, sampled a few per iteration.

import type * as generated from './generated';
import type {
  BackboneProbe,
  DecodeState,
  Device,
  Explanation,
  HeadSettings,
  ModelInfo,
  TraceIteration,
} from './generated';

export type {
  AttentionWeights,
  BackboneProbe,
  CfgSchedule,
  DecodeState,
  Device,
  Explanation,
  HeadSettings,
  ModelInfo,
  OrderKind,
  Solver,
  TokenizerKind,
  TraceModel,
} from './generated';

/** One decoding's settings, all of them said. */
export type DecodeSettings = Required<generated.DecodeSettings>;

/** The name of an order, or the order itself: order[rank] = position, each position once. */
export type Order = DecodeSettings['order'];

/** Everything that happened in one iteration: what a trace notes of it, and how the picture stands after it. */
export interface IterationEvent extends TraceIteration {
  /** The number of iterations: fewer than requested if few tokens were masked at the start. */
  iterations: number;
  /** [L], 1 = still masked. */
  maskAfter: Uint8Array;
  /** [L, tokenDim]: the tokens after it, 0 where masked. */
  after: Float32Array;
}

/** A picture under way, of a class, to ask questions about. */
export interface Probe extends DecodeState {
  label: number | null;
}

/** Tokens drawn again and again from the z they have in a picture under way. */
export interface DrawRequest {
  probe: Probe;
  settings: HeadSettings;
  /** Positions; known ones are not possible. */
  tokens: readonly number[];
  /** Samples of each: sample i takes the noise of seed + i, so sample 0 is the seed's own. */
  count: number;
}

/** Whether a computation goes on; asked between its steps. */
export type ShouldContinue = () => Promise<boolean>;

/** A message between two engines that share their work: an object of typed arrays, which only they read. */
export type Work = Readonly<Record<string, unknown>>;

/** Sends a part of the work to an engine in another worker; resolves with its answer, or 'stopped'. */
export type Ask = (work: Work) => Promise<Work | 'stopped'>;

/** A running decoding. */
export interface Decoding {
  /** order[rank] = token position. */
  order(): Uint32Array;
  /**
   * One iteration; null when all are done. `shouldContinue` is asked between diffusion steps, on a GPU, where an iteration is
   * one submission, before it; once it answers no, the iteration is given up ('stopped') and the decoding stays where it was.
   */
  advance(shouldContinue: ShouldContinue): Promise<IterationEvent | null | 'stopped'>;
  free(): void;
}

/** A loaded model. */
export interface Engine {
  info(): ModelInfo;
  /** Diffusion steps of each iteration. Throws an Error with a readable message if a setting is out of range. */
  budget(settings: DecodeSettings): Uint32Array;
  /** From `start`, or with every token masked. Throws an Error with a readable message if a setting is out of range. */
  decode(settings: DecodeSettings, start: DecodeState | null): Decoding;
  /** What the transformer makes of a picture under way. */
  backbone(probe: Probe): Promise<BackboneProbe>;
  /** [tokens, count, tokenDim], or 'stopped'. */
  draw(request: DrawRequest, shouldContinue: ShouldContinue): Promise<Float32Array | 'stopped'>;
  /** One token's reverse process. */
  explain(probe: Probe, token: number, settings: HeadSettings): Promise<Explanation>;
  /** The picture of the tokens [L, tokenDim]: [channels, height, width] in [-1, 1]. */
  picture(tokens: Float32Array): Promise<Float32Array>;
  /** The tokens of a picture: the reverse. An autoencoder's are the mean of its posterior. */
  tokens(picture: Float32Array): Promise<Float32Array>;
  /** Shares the work with engines in other workers, from now on with these and no others. Only the CPU engine can. */
  share(peers: readonly Ask[]): void;
  /** The answer to a part of another engine's work, or 'stopped'. */
  answer(work: Work, shouldContinue: ShouldContinue): Promise<Work | 'stopped'>;
  free(): void;
}

/** The files of an autoencoder: its shape as JSON, and its weights. */
export interface AutoencoderFiles {
  config: string;
  weights: Uint8Array;
}

/** What a wasm bundle exports. */
export interface EngineBundle {
  default(options: { module_or_path: WebAssembly.Module | BufferSource }): Promise<unknown>;
  Engine: {
    /**
     * Checks a model's files and loads them; rejects with an Error with a readable message. Weights of latents need their
     * autoencoder, those of pixels have none.
     */
    load(
      configJson: string,
      weights: Uint8Array,
      device: Device,
      autoencoder: AutoencoderFiles | null,
    ): Promise<Engine>;
  };
}
