// What the transformer makes of the iteration shown: asked of the engine as the timeline moves, one question at a time.

import { untrack } from 'svelte';
import type { IterationEvent, Look } from '../../engine/types';
import type { Session } from '../../state/session.svelte';

/** A question that was overtaken is asked again after this long, in ms. */
const AGAIN = 500;

export class Looking {
  readonly #session: Session;
  #held: { event: IterationEvent; look: Look } | null = $state.raw(null);
  #pending = false;
  /** Counts the answers: each lets the next question out. */
  #answers = $state(0);
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Of the iteration shown; null until it is known. */
  readonly look: Look | null = $derived.by(() =>
    this.#held && this.#held.event === this.#event() ? this.#held.look : null,
  );
  /** The last one known, be it of another iteration: better to look at than nothing while the answer is on its way. */
  readonly last: Look | null = $derived(this.#held?.look ?? null);

  /** To be made while a component is: its life is the component's. */
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
    // A decoding under way would be held up by questions, and would overtake them.
    const idle = state === 'loaded' && !branches.some(({ status }) => status === 'running' || status === 'waiting');
    void this.#answers;
    if (!event || !idle || this.#pending || untrack(() => this.#held?.event) === event) return;
    this.#pending = true;
    const { iteration } = this.#session.player.place;
    void untrack(() => this.#session.questions.look(active, iteration)).then((look) => {
      this.#pending = false;
      if (look) {
        this.#held = { event, look };
        this.#answers++;
      } else {
        clearTimeout(this.#timer);
        this.#timer = setTimeout(() => this.#answers++, AGAIN);
      }
    });
  }
}
