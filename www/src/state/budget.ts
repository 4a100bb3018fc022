// How many diffusion steps each iteration gets: the same in all, or fewer in later ones, whose tokens have more to go by.
// Diffusion step annealing (DiSA, Zhao et al., 2025); the engine's own is crate/src/sampler/budget.rs.

import type { Choices } from './branch.svelte';

type Steps = Pick<Choices, 'steps' | 'lateSteps' | 'iterations'>;

/** Diffusion steps of an iteration: on the straight line from `steps` in the first one to `lateSteps` in the last. */
export function stepsIn({ steps, lateSteps, iterations }: Steps, iteration: number): number {
  if (lateSteps === null || iterations === 1) return steps;
  return Math.round(steps + ((lateSteps - steps) * iteration) / (iterations - 1));
}
