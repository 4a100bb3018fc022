// A visitor's progress in the tour: the last chapter, the tasks done, and the state to restore at the end.

import { untrack } from 'svelte';
import { SvelteMap } from 'svelte/reactivity';
import type { Choices } from '../../state/branch.svelte';
import type { Session } from '../../state/session.svelte';
import { CHAPTERS } from './chapters';

class Progress {
  /** The lesson learnt, by chapter; no entry while the task is not done. */
  readonly learnt = new SvelteMap<number, string>();
  /** Where the tour was last. */
  last = $state(0);
  /** Whether the page is still to be brought to the chapter. */
  pending = $state(false);
  #borrowed: Partial<Choices> = {};

  /** Opens a chapter. The page follows as soon as there is a whole picture to show it on. */
  go(session: Session, number: number): void {
    const chapter = CHAPTERS[number];
    if (!chapter) return;
    this.#putBack(session);
    session.view.chapter = number;
    this.last = number;
    for (const key of chapter.borrows ?? []) Object.assign(this.#borrowed, { [key]: session.trunk.choices[key] });
    this.pending = true;
  }

  /** Brings the page to the chapter, if that is possible now. */
  follow(session: Session): void {
    const chapter = CHAPTERS[this.last];
    const { status } = session.active;
    if (!chapter || !this.pending) return;
    // One that asks for other choices needs no picture, and must not undo what the visitor chose meanwhile.
    if (!chapter.borrows && (status === 'waiting' || status === 'running')) return;
    this.pending = false;
    untrack(() => {
      chapter.enter(session);
    });
  }

  /** Records when the task has been done. */
  check(session: Session): void {
    const chapter = CHAPTERS[this.last];
    if (!chapter || this.pending || untrack(() => this.learnt.has(this.last)) || !chapter.answered(session)) return;
    this.learnt.set(
      this.last,
      untrack(() => chapter.insight(session)),
    );
  }

  /** Ends the tour, leaving the picture as the visitor has it. */
  close(session: Session): void {
    this.#borrowed = {};
    session.view.chapter = null;
  }

  #putBack(session: Session): void {
    const borrowed = this.#borrowed;
    this.#borrowed = {};
    const { choices } = session.trunk;
    if ((Object.keys(borrowed) as (keyof Choices)[]).every((key) => borrowed[key] === choices[key])) return;
    session.show(session.trunk);
    session.change(borrowed);
  }
}

/** The page has one tour. */
export const progress = new Progress();
