// The quality of these weights, measured with other sampling settings (sampling.json of the weights folder).

import type { Solver } from '../../engine/types';
import type { Choices } from '../../state/branch.svelte';
import { isFrom } from '../../state/extras';
import { SOLVERS, STEPS, defaultSettings, iterationsRange, type ModelFacts } from '../../state/settings';

export interface Measured {
  solver: Solver;
  steps: number;
  lateSteps: number | null;
  cfgEvery: number;
  /** Share of pictures that a classifier assigns to the requested class, 0 to 1. */
  asked: number;
  /** Frechet distance to real pictures; less is better. */
  frechet: number;
  /** Pictures measured on, and the seconds they took. */
  images: number;
  seconds: number;
}

/** Checks what was read; null where it is no such table. */
export function readMeasured(value: unknown, facts: ModelFacts): Measured[] | null {
  const sound = (row: Partial<Measured> | null): boolean =>
    SOLVERS.some((solver) => solver === row?.solver) &&
    isFrom(row?.steps, STEPS.min, STEPS.max) &&
    (row.lateSteps === null || isFrom(row.lateSteps, STEPS.min, STEPS.max)) &&
    isFrom(row.cfgEvery, 1, iterationsRange(facts).max) &&
    isFrom(row.asked, 0, 1) &&
    isFrom(row.frechet, 0, Infinity) &&
    isFrom(row.images, 1, Infinity) &&
    isFrom(row.seconds, Number.MIN_VALUE, Infinity);
  return Array.isArray(value) && value.every(sound) ? (value as Measured[]) : null;
}

type Sampling = Pick<Choices, 'solver' | 'steps' | 'lateSteps' | 'cfgEvery'>;

function rowOf(rows: readonly Measured[], of: Sampling): Measured | undefined {
  const keys = ['solver', 'steps', 'lateSteps', 'cfgEvery'] as const;
  return rows.find((row) => keys.every((key) => row[key] === of[key]));
}

/** The measurement for these choices, in words; null if there is none. All other settings had their defaults. */
export function measuredInWords(rows: readonly Measured[], choices: Choices, facts: ModelFacts): string | null {
  const usual = defaultSettings(facts);
  const fixed = ['cfg', 'cfgSchedule', 'iterations', 'order'] as const;
  if (fixed.some((key) => choices[key] !== usual[key])) return null;
  // Only DDPM's noise has a temperature.
  if (choices.solver === 'ddpm' && choices.temperature !== usual.temperature) return null;
  const row = rowOf(rows, choices);
  if (!row) return null;
  const base = rowOf(rows, usual);
  const faster = base && base !== row ? base.seconds / base.images / (row.seconds / row.images) : null;
  const parts = [
    `${(100 * row.asked).toFixed(0)}% of the right class`,
    `Fréchet distance ${row.frechet.toFixed(0)}`,
    ...(faster === null ? [] : [`${faster.toFixed(1)} times as fast`]),
  ];
  return `Measured over ${row.images} pictures: ${parts.join(', ')}.`;
}
