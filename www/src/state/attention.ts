// Where one token looks: its row of a transformer's attention, laid out over the grid (section 3.3 of the paper: the
// encoder sees the buffer and the known tokens, the decoder every position).

import type { AttentionWeights } from '../engine/types';

export type Transformer = 'encoder' | 'decoder';

/** One head of one block, or the mean over all of them. */
export type Head = { block: number; head: number } | 'mean';

/** Where a token looks. The three shares sum to 1; its own position counts as what it is, known or masked. */
export interface Gaze {
  /** [L]: attention to each position; NaN where the transformer has none. */
  weights: Float32Array;
  /** Attention to the buffer, which holds the class. */
  toClass: number;
  toKnown: number;
  toMasked: number;
}

/** The grid positions a transformer works on, in the order of its sequence behind the buffer. */
export function sequenceOf(transformer: Transformer, masked: Uint8Array): number[] {
  const positions = Array.from(masked.keys());
  return transformer === 'decoder' ? positions : positions.filter((position) => masked[position] === 0);
}

/** One query's row over the whole sequence, buffer included. */
function rowOf({ blocks, heads, seq, weights }: AttentionWeights, query: number, which: Head): Float32Array {
  const row = (block: number, head: number): Float32Array => {
    const start = ((block * heads + head) * seq + query) * seq;
    return weights.subarray(start, start + seq);
  };
  if (which !== 'mean') return row(which.block, which.head);
  const mean = new Float32Array(seq);
  for (let block = 0; block < blocks; block++) {
    for (let head = 0; head < heads; head++) row(block, head).forEach((weight, key) => (mean[key]! += weight));
  }
  return mean.map((sum) => sum / (blocks * heads));
}

/** Where the token at `position` looks; null where it is not part of the sequence. */
export function gazeOf(
  attention: AttentionWeights,
  transformer: Transformer,
  masked: Uint8Array,
  position: number,
  which: Head,
): Gaze | null {
  const sequence = sequenceOf(transformer, masked);
  const buffer = attention.seq - sequence.length;
  const index = sequence.indexOf(position);
  if (index < 0) return null;
  const row = rowOf(attention, buffer + index, which);
  const gaze: Gaze = { weights: new Float32Array(masked.length).fill(NaN), toClass: 0, toKnown: 0, toMasked: 0 };
  row.forEach((weight, key) => {
    const to = sequence[key - buffer];
    if (to === undefined) {
      gaze.toClass += weight;
      return;
    }
    gaze.weights[to] = weight;
    if (masked[to]) gaze.toMasked += weight;
    else gaze.toKnown += weight;
  });
  return gaze;
}

/** Weights as heat: the largest is 1, NaN stays. */
export function heatOf(weights: Float32Array): Float32Array {
  const most = largest(weights);
  return weights.map((weight) => (most > 0 ? weight / most : weight));
}

/** The largest of the values that are there; 0 where there are none. */
export function largest(values: Float32Array): number {
  return values.reduce((most, value) => (value > most ? value : most), 0);
}
