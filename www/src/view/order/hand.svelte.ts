// The order that the visitor is making by hand. It outlives the panel.

import { restAtRandom, take } from '../../state/handorder';
import type { Session } from '../../state/session.svelte';

export class Hand {
  readonly #session: Session;
  /** Positions in the order taken; null while no order is being made. */
  taken: readonly number[] | null = $state.raw(null);
  /** What had been taken before the order was full: what undoing goes back to. */
  #before: readonly number[] | null = $state.raw(null);

  constructor(session: Session) {
    this.#session = session;
  }

  /** Whether there is something to take back. */
  get canUndo(): boolean {
    return this.taken ? this.taken.length > 0 : this.#before !== null;
  }

  begin(): void {
    this.taken = [];
    this.#before = null;
  }

  cancel(): void {
    this.taken = null;
  }

  /** Takes a token next, from the first one on; the last one makes the picture. */
  take(position: number): void {
    const taken = take(this.taken ?? [], position);
    if (taken.length === this.#session.facts.tokens) this.#finish(taken, taken.slice(0, -1));
    else this.taken = taken;
  }

  undo(): void {
    this.taken = this.taken ? this.taken.slice(0, -1) : this.#before;
    this.#before = null;
  }

  /** Completes the order at random; the result depends on the seed only. */
  fill(): void {
    const taken = this.taken ?? [];
    this.#finish(restAtRandom(taken, this.#session.facts.tokens, this.#session.settings.seed), taken);
  }

  #finish(order: readonly number[], before: readonly number[]): void {
    this.taken = null;
    this.#before = before;
    this.#session.change({ order });
  }
}

const hands = new WeakMap<Session, Hand>();

/** The page's one order in the making. */
export function handOf(session: Session): Hand {
  let hand = hands.get(session);
  if (!hand) hands.set(session, (hand = new Hand(session)));
  return hand;
}
