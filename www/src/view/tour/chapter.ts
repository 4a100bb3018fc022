// What a chapter of the tour is: a few sentences, a state of the live page to look at, and something to do there.

import type { Choices } from '../../state/branch.svelte';
import type { Session } from '../../state/session.svelte';
import { endOf, firstOf } from '../../state/timeline';

export interface Chapter {
  title: string;
  /** A few sentences; [token] or [token:tokens] marks a word of the glossary. */
  text: string;
  /** CSS selectors of what it points at, the best one first; the next is for a page that shows no such thing. */
  target: readonly string[];
  /** What the visitor is asked to do. */
  question: string;
  /** Choices that it has the visitor change. The next chapter begins with the earlier ones again. */
  borrows?: readonly (keyof Choices)[];
  /** Brings the page to where the question makes sense. */
  enter(session: Session): void;
  /** Whether what was asked has been done. */
  answered(session: Session): boolean;
  /** What there is to learn from it, asked for at the moment it is done. */
  insight(session: Session): string;
}

/** The square of the picture, whatever lies over it. */
export const PICTURE = ':has(> [data-role=image])';

/** Stops where the transformer reads in an iteration, as far as that is recorded. */
export function stopBefore({ player }: Session, iteration: number): void {
  player.pause();
  player.seek(firstOf(iteration, player.extent));
}

/** Stops where an iteration's tokens are finished, as far as that is recorded. */
export function stopAfter({ player }: Session, iteration: number): void {
  player.pause();
  player.seek(endOf(iteration, player.extent));
}

/** Whether the active picture has been decoded under its present choices, and its end been seen. */
export function seen({ active, player }: Session): boolean {
  return active.status === 'complete' && player.reachedEnd;
}

/** The whole picture, the trunk's, to try a setting on. */
export function showPicture(session: Session): void {
  const { player, trunk, view } = session;
  view.mode = 'watch';
  view.token = null;
  session.show(trunk);
  // One under way comes to its end by itself.
  if (trunk.status !== 'complete') return;
  player.pause();
  player.seek(player.end);
}
