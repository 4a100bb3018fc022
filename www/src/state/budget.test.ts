import { describe, expect, it } from 'vitest';
import { stepsIn } from './budget';

const budget = (steps: number, lateSteps: number | null, iterations: number): number[] =>
  Array.from({ length: iterations }, (_, iteration) => stepsIn({ steps, lateSteps, iterations }, iteration));

describe('the diffusion steps of the iterations', () => {
  it('are the same in all, unless later ones take fewer', () => {
    expect(budget(50, null, 3)).toEqual([50, 50, 50]);
  });

  // The numbers of the engine's own test, and what its rounding makes of a half.
  it.each([
    [50, 5, [50, 41, 32, 23, 14, 5]],
    [10, 5, [10, 9, 8, 7, 6, 5]],
    [5, 2, [5, 4, 2]],
    [10, 20, [10, 20]],
    [56, 2, [56, 52, 47, 43, 38, 34, 29, 25, 20, 16, 11, 7, 2]],
    [50, 5, [50]],
  ])('go from %d to %d evenly', (steps, late, expected) => {
    expect(budget(steps, late, expected.length)).toEqual(expected);
  });
});
