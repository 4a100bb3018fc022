// The token of an iteration to show as an example: the one with the most contrast, since a flat one shows nothing.

import type { IterationEvent } from '../../engine/types';
import { tokenAt } from '../../state/scene';
import type { Geometry } from '../../state/settings';

/** Its slot in the event. */
export function tellingSlot(event: IterationEvent, geometry: Geometry): number {
  const contrast = (slot: number): number => {
    const token = tokenAt(event, slot, event.timesteps.length - 1, geometry);
    return Math.max(...token) - Math.min(...token);
  };
  return Array.from(event.tokens.keys()).reduce((best, slot) => (contrast(slot) > contrast(best) ? slot : best), 0);
}
