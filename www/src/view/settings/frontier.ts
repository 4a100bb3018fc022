// The frontier of quality against time that a search found for these weights (frontier.json, `marscope tune`): settings that
// no other ones beat in both.

import { isFrom } from '../../state/extras';
import type { Choices } from '../../state/branch.svelte';
import {
  CFG,
  CFG_SCHEDULES,
  SOLVERS,
  STEPS,
  TEMPERATURE,
  defaultSettings,
  iterationsRange,
  type ModelFacts,
} from '../../state/settings';

/** What a search varies. */
export type Searched = Pick<
  Choices,
  'cfg' | 'cfgSchedule' | 'iterations' | 'steps' | 'lateSteps' | 'solver' | 'cfgEvery' | 'temperature'
>;

/** Settings on the frontier, and what was measured of them. */
export interface FrontierPoint {
  settings: Searched;
  /** Milliseconds of one picture where it was measured. */
  milliseconds: number;
  /** Frechet distance over that of as many real pictures; 1 is as good as real. */
  frechetRatio: number;
  /** Share of pictures that a classifier assigns to the requested class, 0 to 1. */
  classified: number;
}

function readSettings(value: unknown, facts: ModelFacts): Searched | null {
  const given = (value ?? {}) as Partial<Searched>;
  const { lateSteps = null, cfgEvery = 1 } = given;
  const solver = SOLVERS.find((known) => known === (given.solver ?? 'ddpm'));
  const cfgSchedule = CFG_SCHEDULES.find((known) => known === given.cfgSchedule);
  const { cfg, iterations, steps, temperature } = given;
  const iterationsOf = iterationsRange(facts);
  const sound =
    isFrom(cfg, CFG.min, CFG.max) &&
    isFrom(iterations, 1, iterationsOf.max) &&
    isFrom(steps, STEPS.min, STEPS.max) &&
    isFrom(temperature, TEMPERATURE.min, TEMPERATURE.max) &&
    isFrom(cfgEvery, 1, iterationsOf.max) &&
    (lateSteps === null || isFrom(lateSteps, STEPS.min, STEPS.max));
  if (!sound || !solver || !cfgSchedule) return null;
  // 32 bits wrote 0.9 as 0.8999999761581421.
  const short = (number: number): number => Number(number.toPrecision(6));
  return {
    ...{ cfg: short(cfg), cfgSchedule, iterations, steps, lateSteps, solver, cfgEvery },
    temperature: short(temperature),
  };
}

/** The points, the fastest first; null where the value is no frontier, or one of a search that has found nothing. */
export function readFrontier(value: unknown, facts: ModelFacts): FrontierPoint[] | null {
  const { trials, frontier } = (value ?? {}) as Record<string, unknown>;
  if (!Array.isArray(trials) || !Array.isArray(frontier)) return null;
  const points = (frontier as unknown[]).map((number): FrontierPoint | null => {
    const trial = (trials as unknown[])[Number(number)] as Record<string, unknown> | undefined;
    const figures = (trial?.figures ?? {}) as Record<string, unknown>;
    const settings = readSettings(trial?.settings, facts);
    const milliseconds = trial?.milliseconds;
    const { frechetRatio, classified } = figures;
    const sound =
      isFrom(milliseconds, Number.MIN_VALUE, Infinity) && isFrom(frechetRatio, 0, Infinity) && isFrom(classified, 0, 1);
    return sound && settings ? { settings, milliseconds, frechetRatio, classified } : null;
  });
  const there = points.filter((point) => point !== null);
  if (there.length === 0 || there.length < points.length) return null;
  return there.toSorted((a, b) => a.milliseconds - b.milliseconds);
}

/** Whether a picture's settings are those of a point. */
export function isAt(choices: Choices, { settings }: FrontierPoint): boolean {
  return (Object.keys(settings) as (keyof Searched)[]).every((key) => choices[key] === settings[key]);
}

/** The point that the weights' defaults are; null where none is. */
export function defaultPoint(points: readonly FrontierPoint[], facts: ModelFacts): FrontierPoint | null {
  const usual = defaultSettings(facts);
  return points.find((point) => isAt(usual, point)) ?? null;
}

/** How long a picture took, in words. */
export function timeInWords(milliseconds: number): string {
  return milliseconds < 995 ? `${Number(milliseconds.toPrecision(2))} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}
