// Questions to the engine about a moment of a recording: the transformer's output, other draws of its tokens, and how a
// token was drawn. The answer is null if a decoding or a stop came in between.

import type { EngineClient, Question } from '../engine/client';
import type { BackboneProbe, Explanation, HeadSettings, IterationEvent, Probe } from '../engine/types';
import type { Branch } from './branch.svelte';
import { findToken } from './scene';
import type { Geometry } from './settings';
import { before } from './decodestate';

/** Samples asked for at a time: what is shown of the progress moves at least that often. */
const DRAWN_AT_ONCE = 64;

/** The services that questions need. */
interface Host {
  /** Null as long as there is no engine. */
  client: (branch: Branch) => Promise<EngineClient> | null;
  geometry: () => Geometry;
  failed: (error: unknown) => void;
}

export class Questions {
  readonly #host: Host;
  readonly #backbones = new WeakMap<IterationEvent, Promise<BackboneProbe | null>>();
  #open = $state(0);
  /** Whether a question has no answer yet. */
  readonly asking: boolean = $derived(this.#open > 0);

  constructor(host: Host) {
    this.#host = host;
  }

  /** The transformer's output for the picture before an iteration. */
  backbone(branch: Branch, iteration: number): Promise<BackboneProbe | null> {
    const event = branch.events[iteration];
    if (!event) return Promise.resolve(null);
    let known = this.#backbones.get(event);
    if (!known) {
      const probe = probeOf(branch, event);
      known = this.#ask(branch, (engine) => engine.backbone(probe)).then((answer) => {
        if (!answer) this.#backbones.delete(event);
        return answer;
      });
      this.#backbones.set(event, known);
    }
    return known;
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
    const probe = probeOf(branch, event);
    const usual = headSettings(branch, event);
    const settings = { ...usual, steps: steps ?? usual.steps };
    const each = count * this.#host.geometry().tokenDim;
    const drawn = new Float32Array(tokens.length * each);
    const group = Math.max(1, Math.floor(DRAWN_AT_ONCE / count));
    for (let done = 0; done < tokens.length; done += group) {
      const request = { probe, settings, tokens: tokens.slice(done, done + group), count };
      const part = await this.#ask(branch, (engine) => engine.draw(request));
      if (!part) return null;
      drawn.set(part, done * each);
      onProgress?.(Math.min(done + group, tokens.length));
    }
    return drawn;
  }

  /** How a token was drawn in its iteration, with the head's output at every step. */
  explain(branch: Branch, position: number): Promise<Explanation | null> {
    const found = findToken(branch.events, position);
    const event = found && branch.events[found.iteration];
    if (!event) return Promise.resolve(null);
    const probe = probeOf(branch, event);
    return this.#ask(branch, (engine) => engine.explain(probe, position, headSettings(branch, event)));
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
}

/** The picture before an iteration, to ask about. */
function probeOf(branch: Branch, event: IterationEvent): Probe {
  return { ...before(event), label: branch.choicesAt(event.iteration).label };
}

/** How the tokens of an iteration were drawn: every diffusion step of it is in the recording. */
function headSettings(branch: Branch, event: IterationEvent): HeadSettings {
  const { seed, solver, temperature } = branch.choicesAt(event.iteration);
  return { seed, cfg: event.cfg, steps: event.timesteps.length - 1, solver, temperature };
}
