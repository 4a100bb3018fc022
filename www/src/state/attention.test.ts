import { describe, expect, it } from 'vitest';
import type { AttentionWeights } from '../engine/types';
import { gazeOf, heatOf, largest, sequenceOf, type Head } from './attention';

// Four positions, 1 and 3 masked, behind a buffer of two.
const masked = Uint8Array.from([0, 1, 0, 1]);

/** Rows from plain powers of two: the weight of a key is told apart from every other's. */
function attention(seq: number, blocks: number, heads: number): AttentionWeights {
  const weights = Array.from({ length: blocks * heads * seq }, (_, row) => {
    const raw = Array.from({ length: seq }, (_, key) => 2 ** ((key + row) % seq));
    const sum = raw.reduce((a, b) => a + b, 0);
    return raw.map((value) => value / sum);
  });
  return { blocks, heads, seq, weights: Float32Array.from(weights.flat()) };
}

describe('sequenceOf', () => {
  it('is every position for the decoder, the known ones for the encoder', () => {
    expect(sequenceOf('decoder', masked)).toEqual([0, 1, 2, 3]);
    expect(sequenceOf('encoder', masked)).toEqual([0, 2]);
  });
});

describe('gazeOf', () => {
  const decoder = attention(6, 2, 3);
  const encoder = attention(4, 1, 1);

  it('lays the row of a decoder head over the grid', () => {
    // Row 3 (buffer of 2, position 1) of block 0, head 0: powers 8, 16, 32, 1, 2, 4 over 63.
    const gaze = gazeOf(decoder, 'decoder', masked, 1, { block: 0, head: 0 })!;
    expect(Array.from(gaze.weights, (weight) => Math.round(weight * 63))).toEqual([32, 1, 2, 4]);
    expect(gaze.toClass).toBeCloseTo(24 / 63, 6);
    expect(gaze.toKnown).toBeCloseTo(34 / 63, 6);
    expect(gaze.toMasked).toBeCloseTo(5 / 63, 6);
  });

  it('lays the row of an encoder head over the known positions alone', () => {
    // Row 3 (position 2): powers 8, 1, 2, 4 over 15.
    const gaze = gazeOf(encoder, 'encoder', masked, 2, { block: 0, head: 0 })!;
    expect(gaze.weights[0]).toBeCloseTo(2 / 15, 6);
    expect(gaze.weights[2]).toBeCloseTo(4 / 15, 6);
    expect([gaze.weights[1], gaze.weights[3]]).toEqual([NaN, NaN]);
    expect(gaze.toClass).toBeCloseTo(9 / 15, 6);
    expect(gaze.toMasked).toBe(0);
  });

  it('has no encoder row for a masked token', () => {
    expect(gazeOf(encoder, 'encoder', masked, 1, 'mean')).toBeNull();
  });

  it('averages over all blocks and heads', () => {
    // The powers repeat every six rows, so every head says the same of a query, and so does the mean.
    const mean = gazeOf(decoder, 'decoder', masked, 3, 'mean')!;
    const one = gazeOf(decoder, 'decoder', masked, 3, { block: 1, head: 2 })!;
    mean.weights.forEach((weight, i) => {
      expect(weight).toBeCloseTo(one.weights[i]!, 6);
    });
    // Two heads that look at one key each: the mean looks at both by half.
    const split = { blocks: 1, heads: 2, seq: 2, weights: Float32Array.from([1, 0, 1, 0, 0, 1, 0, 1]) };
    expect(gazeOf(split, 'decoder', Uint8Array.from([1]), 0, 'mean')).toMatchObject({ toClass: 0.5, toMasked: 0.5 });
  });

  it('has shares that sum to 1', () => {
    const heads: Head[] = ['mean', { block: 1, head: 0 }, { block: 0, head: 2 }];
    for (const which of heads) {
      for (let position = 0; position < 4; position++) {
        const gaze = gazeOf(decoder, 'decoder', masked, position, which)!;
        expect(gaze.toClass + gaze.toKnown + gaze.toMasked).toBeCloseTo(1, 6);
      }
    }
  });
});

describe('heatOf', () => {
  it('makes the largest 1 and leaves holes', () => {
    expect(Array.from(heatOf(Float32Array.from([0.25, NaN, 0.5, 0])))).toEqual([0.5, NaN, 1, 0]);
    expect(Array.from(heatOf(Float32Array.from([0, NaN])))).toEqual([0, NaN]);
    expect(largest(Float32Array.from([NaN, NaN]))).toBe(0);
  });
});
