// The token that the panel is about, and its recorded steps.

import type { IterationEvent } from '../../engine/types';
import type { Branch } from '../../state/branch.svelte';
import { findToken } from '../../state/scene';
import type { Place } from '../../state/timeline';

/** The iteration that sampled a token, and the token's slot in it. */
export interface Sampled {
  iteration: number;
  slot: number;
  event: IterationEvent;
  frames: number;
}

export interface Subject {
  branch: Branch;
  position: number;
  /** Null until it is sampled, and always if the visitor gave it. */
  sampled: Sampled | null;
}

export function subjectOf(branch: Branch, position: number): Subject {
  const found = findToken(branch.events, position);
  const event = found && branch.events[found.iteration];
  return { branch, position, sampled: event ? { ...found, event, frames: event.timesteps.length } : null };
}

/** The token's frame at a place: noise before its iteration, pixels after it. */
export function frameAt({ iteration, frames }: Sampled, place: Place): number {
  if (place.iteration > iteration) return frames - 1;
  return place.iteration < iteration ? 0 : Math.max(0, place.frame);
}

/** At most `count` of the frames, first and last included, evenly. */
export function someFrames(frames: number, count: number): number[] {
  const n = Math.min(count, frames);
  return Array.from({ length: n }, (_, i) => (n > 1 ? Math.round((i * (frames - 1)) / (n - 1)) : 0));
}

/** The one of some frames that is nearest to a frame. */
export function nearestOf(some: readonly number[], frame: number): number {
  return some.reduce((best, f) => (Math.abs(f - frame) < Math.abs(best - frame) ? f : best), some[0] ?? 0);
}

/** A number with a proper minus and no negative zero. */
export function decimal(value: number, digits: number): string {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? (0).toFixed(digits) : text.replace('-', '−');
}

export function percent(share: number): string {
  const value = 100 * share;
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)}%`;
}
