// The transformer's output in the iteration shown. The engine is asked as the timeline moves, one question at a time.

import { untrack } from 'svelte';
import type { IterationEvent, BackboneProbe } from '../../engine/types';
import type { Session } from '../../state/session.svelte';

/** A question that was overtaken is asked again after this long, in ms. */
const AGAIN = 500;

export class Looking {
  readonly #session: Session;
  #held: { event: IterationEvent; probe: BackboneProbe } | null = $state.raw(null);
  #pending = false;
  /** Counts the answers: each allows the next question. */
  #answers = $state(0);
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Of the iteration shown; null until it is known. */
  readonly probe: BackboneProbe | null = $derived.by(() =>
    this.#held && this.#held.event === this.#event() ? this.#held.probe : null,
  );
  /** The last one known, possibly of another iteration: shown while the answer is computed. */
  readonly last: BackboneProbe | null = $derived(this.#held?.probe ?? null);

  /** Create it while a component initialises; it ends with the component. */
  constructor(session: Session) {
    this.#session = session;
    $effect(() => {
      this.#ask();
    });
    $effect(() => () => {
      clearTimeout(this.#timer);
    });
  }

  #event(): IterationEvent | undefined {
    return this.#session.active.events[this.#session.player.place.iteration];
  }

  #ask(): void {
    const { active, branches, state } = this.#session;
    const event = this.#event();
    // Questions would delay a running decoding and be dropped by it.
    const idle = state === 'loaded' && !branches.some(({ status }) => status === 'running' || status === 'waiting');
    void this.#answers;
    if (!event || !idle || this.#pending || untrack(() => this.#held?.event) === event) return;
    this.#pending = true;
    const { iteration } = this.#session.player.place;
    void untrack(() => this.#session.questions.backbone(active, iteration)).then((probe) => {
      this.#pending = false;
      if (probe) {
        this.#held = { event, probe };
        this.#answers++;
      } else {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#answers++, AGAIN);
      }
    });
  }
}
