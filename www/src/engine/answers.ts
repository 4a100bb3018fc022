// What a peer does: it answers what the engine in another worker asks of the engine here (crate/inference/src/team).

import { Pause } from './pause';
import type { Engine, Work } from './types';

export class Answers {
  readonly #engine: Engine;
  readonly #pause = new Pause();
  /** Requests so far. */
  #received = 0;
  /** Those up to this one were stopped. */
  #stopped = 0;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** The answer to a part of the work, or 'stopped'. */
  answer(work: Work): Promise<Work | 'stopped'> {
    const number = ++this.#received;
    return this.#engine.answer(work, async () => {
      await this.#pause.take();
      return number > this.#stopped;
    });
  }

  /** What was asked so far ends before its next diffusion step. */
  stop(): void {
    this.#stopped = this.#received;
  }
}
