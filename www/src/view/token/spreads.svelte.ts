// The spreads computed so far, by iteration. They stay while the visitor looks at something else.

import type { IterationEvent } from '../../engine/types';
import type { Branch } from '../../state/branch.svelte';
import type { Session } from '../../state/session.svelte';
import { spreadOverGrid } from '../../state/spread';

/** Samples of every masked token, and diffusion steps of each: enough to tell undecided tokens from decided ones. */
export const SAMPLES = 8;
export const STEPS = 12;

class Spreads {
  /** A recorded iteration and its grid [L]. Iterations decoded again are other objects. */
  readonly #found = new WeakMap<IterationEvent, Float32Array>();
  #version = $state(0);

  /** The spread over the grid before an iteration; undefined where nobody has asked. */
  of(event: IterationEvent | undefined): Float32Array | undefined {
    void this.#version;
    return event && this.#found.get(event);
  }

  /** Draws the tokens masked before an iteration and keeps their spread; null if a newer question replaced this one. */
  async find(
    session: Session,
    branch: Branch,
    iteration: number,
    onProgress: (share: number) => void,
  ): Promise<Float32Array | null> {
    const event = branch.events[iteration];
    if (!event) return null;
    const known = this.#found.get(event);
    if (known) return known;
    const masked = Array.from(event.maskBefore.keys()).filter((position) => event.maskBefore[position] === 1);
    const samples = await session.questions.draw(branch, iteration, masked, SAMPLES, {
      steps: STEPS,
      onProgress: (done) => {
        onProgress(done / masked.length);
      },
    });
    if (!samples) return null;
    const { tokenDim, tokens } = session.facts;
    const grid = spreadOverGrid(samples, masked, tokenDim, tokens);
    this.#found.set(event, grid);
    this.#version++;
    return grid;
  }
}

export const spreads = new Spreads();
