// The numbers that an iteration's five stages show: attention as a matrix, its share to the class, similarity within the
// iteration, and the attention of the tokens being drawn. Sections 3.2 and 3.3 of the paper.

import type { AttentionWeights, IterationEvent, BackboneProbe } from '../engine/types';
import { gazeOf, type Gaze } from './attention';
import { cosines } from './similarity';

/** One head's attention, or the mean over a block's heads: [seq, seq], each query's row summing to 1. */
export function matrixOf(
  { heads, seq, weights }: AttentionWeights,
  block: number,
  head: number | 'mean',
): Float32Array {
  const size = seq * seq;
  const of = (h: number): Float32Array => weights.subarray((block * heads + h) * size, (block * heads + h + 1) * size);
  if (head !== 'mean') return of(head);
  const mean = new Float32Array(size);
  for (let h = 0; h < heads; h++) of(h).forEach((weight, i) => (mean[i]! += weight / heads));
  return mean;
}

/** The share of all attention that goes to the first `buffer` positions, which hold the class. */
export function shareOfBuffer(matrix: Float32Array, seq: number, buffer: number): number {
  let sum = 0;
  for (let query = 0; query < seq; query++) {
    for (let key = 0; key < buffer; key++) sum += matrix[query * seq + key] ?? 0;
  }
  return sum / seq;
}

/** Cosines between the z of some positions: [n, n]. */
export function likeness({ z, width }: BackboneProbe, positions: readonly number[]): Float32Array {
  const rows = positions.map((position) => cosines(z, width, position));
  return Float32Array.from(rows.flatMap((row) => positions.map((other) => row[other] ?? 0)));
}

/** The two different positions that are most alike, as places in the matrix; null where there is no pair. */
export function mostAlike(matrix: Float32Array, n: number): { a: number; b: number; cosine: number } | null {
  let best: { a: number; b: number; cosine: number } | null = null;
  for (let a = 0; a < n; a++) {
    for (let b = a + 1; b < n; b++) {
      const cosine = matrix[a * n + b] ?? 0;
      if (!best || cosine > best.cosine) best = { a, b, cosine };
    }
  }
  return best;
}

/** Where the iteration's tokens look in the decoder, over all blocks, heads and those tokens. */
export function gazeOfIteration({ decoder }: BackboneProbe, { tokens, maskBefore }: IterationEvent): Gaze | null {
  const gazes = Array.from(tokens, (position) => gazeOf(decoder, 'decoder', maskBefore, position, 'mean'));
  const seen = gazes.filter((gaze) => gaze !== null);
  if (seen.length === 0) return null;
  const mean = (of: (gaze: Gaze) => number): number => seen.reduce((sum, gaze) => sum + of(gaze), 0) / seen.length;
  return {
    weights: Float32Array.from(maskBefore, (_, position) => mean(({ weights }) => weights[position] ?? 0)),
    toClass: mean((gaze) => gaze.toClass),
    toKnown: mean((gaze) => gaze.toKnown),
    toMasked: mean((gaze) => gaze.toMasked),
  };
}

/** `most` whole numbers from 0 to `last`, evenly spread, both ends among them. */
export function spreadOver(last: number, most: number): number[] {
  const n = Math.min(most, last + 1);
  return Array.from({ length: n }, (_, i) => (n > 1 ? Math.round((i * last) / (n - 1)) : last));
}
