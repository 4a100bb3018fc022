// A chapter of the tour: a few sentences, a state of the live page, and a task.

import type { Choices } from '../../state/branch.svelte';
import type { Session } from '../../state/session.svelte';
import { endOf, firstOf } from '../../state/timeline';

export interface Chapter {
  title: string;
  /** A few sentences; [token] or [token:tokens] marks a word of the glossary. */
  text: string;
  /** CSS selectors of its target, the best one first; the next is used if the page does not show that. */
  target: readonly string[];
  /** What the visitor is asked to do. */
  question: string;
  /** Settings that the visitor is asked to change. The next chapter starts with the old ones. */
  borrows?: readonly (keyof Choices)[];
  /** Brings the page to where the question makes sense. */
  enter(session: Session): void;
  /** Whether what was asked has been done. */
  answered(session: Session): boolean;
  /** The lesson, computed at the moment the task is done. */
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
  // A running decoding ends by itself.
  if (trunk.status !== 'complete') return;
  player.pause();
  player.seek(player.end);
}
