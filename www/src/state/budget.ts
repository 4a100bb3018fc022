// Diffusion steps of each iteration: the same number in all, or fewer in later ones, whose tokens are less uncertain.
// Diffusion step annealing (DiSA, Zhao et al., 2025). The engine's own is crate/core/src/sampler/budget.rs; the page needs
// it before there is an engine, and schedules.test.ts holds the two together.

import type { Choices } from './branch.svelte';

type Steps = Pick<Choices, 'steps' | 'lateSteps' | 'iterations'>;

/**
 * Diffusion steps of an iteration: on the straight line from `steps` in the first one to `lateSteps` in the last, halves
 * rounded up. Whole numbers throughout, so that nothing is rounded otherwise than in the engine.
 */
export function stepsIn({ steps, lateSteps, iterations }: Steps, iteration: number): number {
  if (lateSteps === null || iterations === 1) return steps;
  const last = iterations - 1;
  return Math.floor((2 * (steps * (last - iteration) + lateSteps * iteration) + last) / (2 * last));
}
