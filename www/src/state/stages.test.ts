import { describe, expect, it } from 'vitest';
import type { AttentionWeights, IterationEvent, BackboneProbe } from '../engine/types';
import { gazeOfIteration, likeness, matrixOf, mostAlike, shareOfBuffer, spreadOver } from './stages';

// One buffer position and two tokens; two blocks of two heads. The heads of block 1 differ, computed by hand.
const uniform = Array.from({ length: 9 }, () => 1 / 3);
const first = [1, 0, 0, 0.5, 0.5, 0, 0.25, 0.25, 0.5];
const second = [0, 1, 0, 0.5, 0, 0.5, 0.75, 0.25, 0];
const attention: AttentionWeights = {
  blocks: 2,
  heads: 2,
  seq: 3,
  weights: Float32Array.from([...uniform, ...uniform, ...first, ...second]),
};

describe('attention of a block', () => {
  it('is one head, or the mean of them', () => {
    expect([...matrixOf(attention, 1, 0)]).toEqual(first);
    expect([...matrixOf(attention, 1, 1)]).toEqual(second);
    expect([...matrixOf(attention, 1, 'mean')]).toEqual([0.5, 0.5, 0, 0.5, 0.25, 0.25, 0.5, 0.25, 0.25]);
  });

  it('gives the buffer its share', () => {
    expect(shareOfBuffer(Float32Array.from(first), 3, 1)).toBeCloseTo((1 + 0.5 + 0.25) / 3);
    expect(shareOfBuffer(Float32Array.from(first), 3, 3)).toBeCloseTo(1);
  });
});

describe('z of an iteration', () => {
  const probe: BackboneProbe = {
    width: 2,
    z: Float32Array.from([3, 0, 0, 2, 1, 1]),
    encoder: attention,
    decoder: {
      blocks: 1,
      heads: 1,
      seq: 4,
      weights: Float32Array.from(
        [
          [1, 0, 0, 0],
          [0.1, 0.2, 0.3, 0.4],
          [0.5, 0.1, 0.2, 0.2],
          [0.25, 0.25, 0.25, 0.25],
        ].flat(),
      ),
    },
  };

  it('is compared by cosines', () => {
    const matrix = likeness(probe, [2, 0, 1]);
    const half = Math.SQRT1_2;
    [1, half, half, half, 1, 0, half, 0, 1].forEach((cosine, i) => expect(matrix[i]).toBeCloseTo(cosine, 6));
    expect(mostAlike(matrix, 3)).toMatchObject({ a: 0, b: 1 });
    expect(mostAlike(Float32Array.from([1]), 1)).toBeNull();
  });

  it('comes from where its tokens look, on average', () => {
    // Tokens 0 and 1 are made; 2 is known. The buffer is the first key.
    const event = { tokens: Uint32Array.from([0, 1]), maskBefore: Uint8Array.from([1, 1, 0]) } as IterationEvent;
    const gaze = gazeOfIteration(probe, event)!;
    expect(gaze.toClass).toBeCloseTo(0.3, 6);
    expect(gaze.toKnown).toBeCloseTo(0.3, 6);
    expect(gaze.toMasked).toBeCloseTo(0.4, 6);
    [0.15, 0.25, 0.3].forEach((weight, i) => expect(gaze.weights[i]).toBeCloseTo(weight, 6));
  });
});

describe('spreadOver', () => {
  it('keeps both ends', () => {
    expect(spreadOver(50, 6)).toEqual([0, 10, 20, 30, 40, 50]);
    expect(spreadOver(3, 6)).toEqual([0, 1, 2, 3]);
    expect(spreadOver(5, 1)).toEqual([5]);
  });
});
