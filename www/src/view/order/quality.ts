// The quality of these weights, measured at different numbers of iterations (quality.json of the weights folder).

import { fetchExtra, isFrom } from '../../state/extras';
import { iterationsRange, type ModelFacts } from '../../state/settings';

export interface QualityRow {
  iterations: number;
  /** Share of pictures that a classifier assigns to the requested class, 0 to 1. */
  asInstructed: number;
  /** Frechet distance to real pictures; less is better. */
  frechet: number;
  /** Pictures measured on. */
  images: number;
}

/** Checks what was read; null where it is no such table. */
export function readQuality(value: unknown, facts: ModelFacts): QualityRow[] | null {
  const rows = (value as { rows?: unknown } | null)?.rows;
  if (!Array.isArray(rows) || rows.length === 0) return null;
  const { max } = iterationsRange(facts);
  const sound = (rows as Partial<QualityRow>[]).every(
    (row) =>
      isFrom(row?.iterations, 1, max) &&
      isFrom(row.asInstructed, 0, 1) &&
      isFrom(row.frechet, 0, Infinity) &&
      isFrom(row.images, 1, Infinity),
  );
  return sound ? (rows as QualityRow[]).toSorted((a, b) => b.iterations - a.iterations) : null;
}

/** The table of a model's folder; null where there is none. */
export async function fetchQuality(model: string, facts: ModelFacts): Promise<QualityRow[] | null> {
  return readQuality(await fetchExtra(model, 'iterations.json'), facts);
}
