// Chapter: tokens, masks, and how many become known at once.

import type { Session } from '../../../state/session.svelte';
import { stopBefore, type Chapter } from '../chapter';

/** Tokens made in each recorded iteration. */
function sizes({ active }: Session): number[] {
  return active.events.map(({ tokens }) => tokens.length);
}

export const masks: Chapter = {
  title: 'Tokens and masks',
  text: 'The picture is a grid of small squares. Each is made of a [token], a handful of numbers. Hatched tokens are [mask:masked]: not known yet. Every [iteration] makes some of them known, in random [order].',
  target: ['[data-role=timeline]'],
  question: 'Drag the timeline to the iteration in which the most tokens become known at once.',
  enter(session) {
    session.view.mode = 'watch';
    session.view.token = null;
    stopBefore(session, 0);
  },
  answered(session) {
    const made = sizes(session);
    return (
      made.length > 0 &&
      made.length === session.active.extent.iterations &&
      made[session.player.place.iteration] === Math.max(...made)
    );
  },
  insight(session) {
    const made = sizes(session);
    const [first = 1] = made;
    return `Up to ${Math.max(...made)} at once, towards the end. The first iteration dares only ${first}: while little is known, tokens made together would hardly fit together.`;
  },
};
