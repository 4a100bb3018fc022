// What the worker does with a loaded engine, one job at a time: decodings, and questions about a picture under way.
// A job ends early when it is stopped: the worker hears of that between two steps.

import { Pause } from './pause';
import type { Team } from './team';
import { timeOf } from './trial';
import type {
  BackboneProbe,
  DecodeSettings,
  DecodeState,
  Engine,
  Explanation,
  HeadSettings,
  IterationEvent,
  Probe,
  DrawRequest,
} from './types';

/** Times that two sizes of a team take turns; the least time of each counts, since other work only adds to it. */
const TURNS = 3;
/** Diffusion steps of an iteration that is timed: few, so that it takes little time. */
const TIMED_STEPS = 10;

/** Milliseconds of the same iteration by one worker less, and by all. */
export interface Comparison {
  fewer: number;
  all: number;
}

export class Jobs {
  readonly #pause = new Pause();
  #engine: Engine | null = null;
  #team: Team | null = null;
  #stopRequested = false;

  /** Takes another engine, or none; the one before is freed. The team is those that share its work. */
  use(engine: Engine | null, team: Team | null = null): void {
    this.#engine?.free();
    this.#engine = engine;
    this.#team = team;
  }

  /** Runs a decoding to its end or to a stop; says which. */
  async decode(
    settings: DecodeSettings,
    start: DecodeState | null,
    onOrder: (order: Uint32Array) => unknown,
    onIteration: (event: IterationEvent) => unknown,
  ): Promise<'complete' | 'stopped'> {
    const decoding = this.#begin().decode(settings, start);
    try {
      await onOrder(decoding.order());
      for (;;) {
        const event = await decoding.advance(this.#shouldContinue);
        if (event === null) return 'complete';
        if (event === 'stopped') return 'stopped';
        // Waiting for the page keeps the end from overtaking an event.
        await onIteration(event);
        if (this.#stopRequested) return 'stopped';
      }
    } finally {
      decoding.free();
    }
  }

  async backbone(probe: Probe): Promise<BackboneProbe> {
    return this.#begin().backbone(probe);
  }

  async draw(request: DrawRequest): Promise<Float32Array | 'stopped'> {
    return this.#begin().draw(request, this.#shouldContinue);
  }

  async explain(probe: Probe, token: number, settings: HeadSettings): Promise<Explanation> {
    return this.#begin().explain(probe, token, settings);
  }

  /** No job of its own: it is answered between two steps of the one under way. */
  async picture(tokens: Float32Array): Promise<Float32Array> {
    return this.#loaded().picture(tokens);
  }

  /** Like `picture`, the other way. */
  async tokens(picture: Float32Array): Promise<Float32Array> {
    return this.#loaded().tokens(picture);
  }

  /** Times the team without its last worker and with it. */
  async compare(): Promise<Comparison | 'stopped'> {
    const engine = this.#begin();
    const team = this.#team;
    if (!team) throw new Error('This engine shares no work.');
    const times = { fewer: Infinity, all: Infinity };
    try {
      for (let turn = 0; turn < TURNS; turn++) {
        for (const which of ['fewer', 'all'] as const) {
          team.use(which === 'all' ? team.size : team.size - 1);
          const ms = await timeOf(engine, TIMED_STEPS, this.#shouldContinue);
          if (ms === 'stopped') return ms;
          times[which] = Math.min(times[which], ms);
        }
      }
      return times;
    } finally {
      team.use(team.size);
    }
  }

  /**
   * The job under way ends before its next diffusion step, on all workers that share it; on a GPU, where an iteration is one
   * submission, after it.
   */
  stop(): void {
    this.#stopRequested = true;
    this.#team?.stop();
  }

  /** The engine for a new job, which an earlier stop no longer concerns. */
  #begin(): Engine {
    const engine = this.#loaded();
    this.#stopRequested = false;
    return engine;
  }

  #loaded(): Engine {
    if (!this.#engine) throw new Error('No model is loaded. Load the page again.');
    return this.#engine;
  }

  /** Lets the waiting messages in, then says whether to go on. */
  readonly #shouldContinue = async (): Promise<boolean> => {
    await this.#pause.take();
    return !this.#stopRequested;
  };
}
