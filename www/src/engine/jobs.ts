// What the worker does with a loaded engine, one job at a time: decodings, and questions about a picture under way.
// A job ends early when it is stopped: the worker hears of that between two steps.

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

export class Jobs {
  readonly #pings = new MessageChannel();
  #engine: Engine | null = null;
  #stopRequested = false;

  /** Takes another engine, or none; the one before is freed. */
  use(engine: Engine | null): void {
    this.#engine?.free();
    this.#engine = engine;
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

  /** The job under way ends before its next diffusion step; on a GPU, where an iteration is one submission, after it. */
  stop(): void {
    this.#stopRequested = true;
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

  /** Lets a waiting message in (a timer would wait for milliseconds), then says whether to go on. */
  readonly #shouldContinue = (): Promise<boolean> =>
    new Promise((resolve) => {
      this.#pings.port1.onmessage = () => {
        resolve(!this.#stopRequested);
      };
      this.#pings.port2.postMessage(null);
    });
}
