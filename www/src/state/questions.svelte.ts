// Questions to the engine about a moment of a recording: what the transformer makes of it, other draws of its tokens, how a
// token came about. Each is null where a decoding or a stop came in between.

import type { EngineClient, Question } from '../engine/client';
import type { Explanation, HeadSettings, IterationEvent, Look, Moment } from '../engine/types';
import type { Branch } from './branch.svelte';
import { findToken } from './scene';
import type { Geometry } from './settings';
import { before } from './standing';

/** Samples asked for at a time: what is shown of the progress moves at least that often. */
const DRAWN_AT_ONCE = 64;

/** What the questions are asked through. */
interface Host {
  /** Null as long as there is no engine. */
  client: (branch: Branch) => Promise<EngineClient> | null;
  geometry: () => Geometry;
  failed: (error: unknown) => void;
}

export class Questions {
  readonly #host: Host;
  readonly #looks = new WeakMap<IterationEvent, Promise<Look | null>>();
  #open = $state(0);
  /** Whether one is still to be answered. */
  readonly asking: boolean = $derived(this.#open > 0);

  constructor(host: Host) {
    this.#host = host;
  }

  /** What the transformer makes of the picture before an iteration. */
  look(branch: Branch, iteration: number): Promise<Look | null> {
    const event = branch.events[iteration];
    if (!event) return Promise.resolve(null);
    let look = this.#looks.get(event);
    if (!look) {
      const moment = this.#momentBefore(branch, event);
      look = this.#ask(branch, (engine) => engine.look(moment)).then((answer) => {
        if (!answer) this.#looks.delete(event);
        return answer;
      });
      this.#looks.set(event, look);
    }
    return look;
  }

  /**
   * Draws masked tokens `count` times each from the z they have before an iteration: [tokens, count, tokenDim], in as many
   * diffusion steps as the iteration took unless told otherwise. `onProgress` hears how many tokens are done.
   */
  async draw(
    branch: Branch,
    iteration: number,
    tokens: readonly number[],
    count: number,
    { steps, onProgress }: { steps?: number; onProgress?: (done: number) => void } = {},
  ): Promise<Float32Array | null> {
    const event = branch.events[iteration];
    if (!event) return null;
    const moment = this.#momentBefore(branch, event);
    const usual = headSettings(branch, event);
    const settings = { ...usual, steps: steps ?? usual.steps };
    const each = count * this.#host.geometry().tokenDim;
    const drawn = new Float32Array(tokens.length * each);
    const group = Math.max(1, Math.floor(DRAWN_AT_ONCE / count));
    for (let done = 0; done < tokens.length; done += group) {
      const request = { moment, settings, tokens: tokens.slice(done, done + group), count };
      const part = await this.#ask(branch, (engine) => engine.draw(request));
      if (!part) return null;
      drawn.set(part, done * each);
      onProgress?.(Math.min(done + group, tokens.length));
    }
    return drawn;
  }

  /** How a token came about in its iteration, with what the head said at every step. */
  explain(branch: Branch, position: number): Promise<Explanation | null> {
    const found = findToken(branch.events, position);
    const event = found && branch.events[found.iteration];
    if (!event) return Promise.resolve(null);
    const moment = this.#momentBefore(branch, event);
    return this.#ask(branch, (engine) => engine.explain(moment, position, headSettings(branch, event)));
  }

  async #ask<T>(branch: Branch, question: Question<T>): Promise<T | null> {
    this.#open++;
    try {
      const client = await this.#host.client(branch);
      return client ? await client.ask(question) : null;
    } catch (error) {
      this.#host.failed(error);
      return null;
    } finally {
      this.#open--;
    }
  }

  #momentBefore(branch: Branch, event: IterationEvent): Moment {
    return { ...before(event, this.#host.geometry()), label: branch.choicesAt(event.iteration).label };
  }
}

/** How the tokens of an iteration were drawn: every diffusion step of it is in the recording. */
function headSettings(branch: Branch, event: IterationEvent): HeadSettings {
  const { seed, solver, temperature } = branch.choicesAt(event.iteration);
  return { seed, cfg: event.cfg, steps: event.timesteps.length - 1, solver, temperature };
}
