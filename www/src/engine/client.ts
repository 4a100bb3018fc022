// The page's handle on the engine's worker.
// A worker that dies (a trap in wasm settles no promise) rejects whatever was waiting for it.

import { proxy, wrap, type Remote } from 'comlink';
import { simd } from 'wasm-feature-detect';
import type { DecodeSettings, DecodeState, IterationEvent } from './types';
import type { Loaded, LoadRequest, OnProgress, OnSize, WorkerApi } from './worker';

/** A question to the engine; the answer 'stopped' means that there is none. */
export type Question<T> = (engine: Remote<WorkerApi>) => Promise<T | 'stopped'>;

/** Throws an Error with a readable message if this browser cannot run the engine. */
export async function checkWebAssembly(): Promise<void> {
  if (typeof WebAssembly === 'undefined') {
    throw new Error(
      'This browser has no WebAssembly, or it is switched off (some lockdown modes do that). Allow it for this page, or use a current Firefox, Chrome, Edge or Safari.',
    );
  }
  if (!(await simd())) {
    throw new Error(
      'This browser runs WebAssembly without SIMD, which the engine needs. Use Firefox 89, Chrome 91, Edge 91, Safari 16.4 or newer.',
    );
  }
}

export class EngineClient {
  readonly #worker: Worker;
  readonly #remote: Remote<WorkerApi>;
  readonly #crash: Promise<never>;
  #reject: (reason: Error) => void = () => undefined;
  /** The last job in the queue: the worker does one at a time. */
  #last: Promise<unknown> = Promise.resolve();
  /** Counts the stops: questions from before a stop are dropped. */
  #stops = 0;
  #replaced = false;
  /** Whether the worker is dead; only a new client helps then. */
  crashed = false;

  constructor() {
    this.#worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'engine' });
    this.#remote = wrap<WorkerApi>(this.#worker);
    this.#crash = new Promise((_, reject) => (this.#reject = reject));
    this.#worker.addEventListener('error', (event) => {
      const detail = event.message ? ` (${event.message})` : '';
      this.#end(`The engine stopped unexpectedly${detail}. Try again, or choose the other device.`);
    });
    this.#crash.catch(() => undefined);
  }

  /** Fetches and loads engine and model. Rejects with an Error with a readable message. */
  load(request: LoadRequest, onProgress: OnProgress, onSize: OnSize): Promise<Loaded> {
    return this.#race(this.#remote.load(request, proxy(onProgress), proxy(onSize)));
  }

  /** As many workers share the work from now on; a decoding goes on. Rejects with an Error with a readable message. */
  resize(size: number): Promise<void> {
    return this.#race(this.#remote.resize(size));
  }

  /** Runs a decoding; resolves at its end. Waiting questions are dropped. Rejects with an Error with a readable message. */
  decode(
    settings: DecodeSettings,
    start: DecodeState | null,
    onOrder: (order: Uint32Array) => void,
    onIteration: (event: IterationEvent) => void,
  ): Promise<'complete' | 'stopped'> {
    this.stop();
    return this.#enqueue(() => this.#remote.decode(settings, start, proxy(onOrder), proxy(onIteration)));
  }

  /** Asks once the jobs before it are done; null when a stop, a decoding or another engine came in between. */
  async ask<T>(question: Question<T>): Promise<T | null> {
    const stops = this.#stops;
    try {
      const answer = await this.#enqueue<T | 'stopped'>(() =>
        stops === this.#stops ? question(this.#remote) : Promise.resolve('stopped'),
      );
      return answer === 'stopped' ? null : answer;
    } catch (error) {
      if (this.#replaced) return null;
      throw error;
    }
  }

  /** The picture of tokens; does not wait for the jobs before it. Rejects with an Error with a readable message. */
  picture(tokens: Float32Array): Promise<Float32Array> {
    return this.#race(this.#remote.picture(tokens));
  }

  /** The tokens of a picture; does not wait for the jobs before it. Rejects with an Error with a readable message. */
  tokens(picture: Float32Array): Promise<Float32Array> {
    return this.#race(this.#remote.tokens(picture));
  }

  /**
   * Ends the running job before its next diffusion step, on a GPU after the current iteration, and drops the waiting
   * questions.
   */
  stop(): void {
    this.#stops++;
    void this.#remote.stop();
  }

  /** Ends the worker; questions get no answer, and what else still waits for it is rejected. */
  terminate(): void {
    this.#replaced = true;
    this.#worker.terminate();
    this.#end('The engine was replaced.');
  }

  #end(message: string): void {
    this.crashed = true;
    this.#reject(new Error(message));
  }

  #enqueue<T>(job: () => Promise<T>): Promise<T> {
    const done = this.#last.then(() => this.#race(job()));
    this.#last = done.catch(() => undefined);
    return done;
  }

  #race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#crash]);
  }
}
