// The page's handle on the engine's worker.
// A worker that dies (a trap in wasm settles no promise) rejects whatever was waiting for it.

import { proxy, wrap, type Remote } from 'comlink';
import { simd } from 'wasm-feature-detect';
import type { DecodeSettings, IterationEvent, ModelInfo } from './types';
import type { LoadRequest, OnProgress, WorkerApi } from './worker';

/** Throws an Error fit for people where this browser cannot run the engine at all. */
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

  /** Fetches and loads engine and model. Rejects with an Error fit for people. */
  load(request: LoadRequest, onProgress: OnProgress): Promise<ModelInfo> {
    return this.#race(this.#remote.load(request, proxy(onProgress)));
  }

  /** Runs a decoding; resolves at its end. Rejects with an Error fit for people. */
  decode(
    settings: DecodeSettings,
    onOrder: (order: Uint32Array) => void,
    onIteration: (event: IterationEvent) => void,
  ): Promise<'complete' | 'stopped'> {
    return this.#race(this.#remote.decode(settings, proxy(onOrder), proxy(onIteration)));
  }

  /** Asks the decoding under way to end after its current iteration. */
  stop(): void {
    void this.#remote.stop();
  }

  /** Ends the worker; what still waits for it is rejected. */
  terminate(): void {
    this.#worker.terminate();
    this.#end('The engine was replaced.');
  }

  #end(message: string): void {
    this.crashed = true;
    this.#reject(new Error(message));
  }

  #race<T>(work: Promise<T>): Promise<T> {
    return Promise.race([work, this.#crash]);
  }
}
