// The engine's handle on a peer: a worker that its own worker starts, so that the two send messages to each other directly.
// A peer that dies (a trap in wasm settles no promise) rejects whatever was waiting for it.

import { transfer, wrap, type Remote } from 'comlink';
import { buffersOf } from './buffers';
import type { BundleName } from './bundle';
import type { PeerApi } from './peerworker';
import type { AutoencoderFiles, Work } from './types';

/** What a peer is made of: nothing of it is fetched or compiled again. */
export interface Copy {
  bundle: BundleName;
  wasm: WebAssembly.Module;
  config: string;
  weights: Uint8Array;
  autoencoder: AutoencoderFiles | null;
}

export class Peer {
  readonly #worker: Worker;
  readonly #remote: Remote<PeerApi>;
  /** Rejects each request that has no answer yet. */
  readonly #waiting = new Set<(reason: Error) => void>();
  #end: Error | null = null;

  /** `onDeath` is called if it dies by itself. */
  constructor(onDeath: () => void) {
    this.#worker = new Worker(new URL('./peerworker.ts', import.meta.url), { type: 'module', name: 'engine peer' });
    this.#remote = wrap<PeerApi>(this.#worker);
    this.#worker.addEventListener('error', (event) => {
      const detail = event.message ? ` (${event.message})` : '';
      this.#finish(`it stopped unexpectedly${detail}`);
      onDeath();
    });
  }

  /** Loads the copy's bundle and weights. Rejects with an Error with a readable message. */
  load(copy: Copy): Promise<void> {
    return this.#wait(() => this.#remote.load(copy));
  }

  /** Sends a part of the work; its buffers go along. */
  ask(work: Work): Promise<Work | 'stopped'> {
    return this.#wait<Work | 'stopped'>(() => this.#remote.answer(transfer(work, buffersOf(work))));
  }

  /** What it was asked so far ends before its next diffusion step. */
  stop(): void {
    void this.#remote.stop();
  }

  /** Ends the worker; what still waits for it is rejected. */
  terminate(): void {
    this.#finish('it was ended');
  }

  #finish(message: string): void {
    this.#worker.terminate();
    this.#end ??= new Error(message);
    for (const reject of this.#waiting) reject(this.#end);
    this.#waiting.clear();
  }

  #wait<T>(request: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#end) {
        reject(this.#end);
        return;
      }
      this.#waiting.add(reject);
      request()
        .then(resolve, reject)
        .finally(() => this.#waiting.delete(reject));
    });
  }
}
