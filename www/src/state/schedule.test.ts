import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { alphaBars, maskLengths } from './schedule';

describe('maskLengths', () => {
  it('is the schedule of 16 iterations over 49 tokens', () => {
    expect(maskLengths(49, 16)).toEqual([48, 47, 46, 45, 43, 40, 37, 34, 31, 27, 23, 18, 14, 9, 4, 0]);
  });

  it('is one token at a time with as many iterations as tokens, all at once with one', () => {
    expect(maskLengths(5, 5)).toEqual([4, 3, 2, 1, 0]);
    expect(maskLengths(49, 1)).toEqual([0]);
  });

  it('takes at least one token an iteration, whatever the numbers', () => {
    for (let length = 1; length < 70; length++) {
      for (let iterations = 1; iterations <= length; iterations++) {
        let before = length;
        for (const after of maskLengths(length, iterations)) {
          expect(after).toBeLessThan(before);
          before = after;
        }
        expect(before).toBe(0);
      }
    }
  });
});

describe('alphaBars', () => {
  it("is the official implementation's training schedule", () => {
    const path = new URL('../../../tests/fixtures/parity/schedules.json', import.meta.url);
    const { train } = JSON.parse(readFileSync(path, 'utf8')) as { train: { alphas_cumprod: number[] } };
    const ours = alphaBars();
    expect(ours).toHaveLength(train.alphas_cumprod.length);
    train.alphas_cumprod.forEach((theirs, t) => {
      expect(Math.abs(ours[t]! - theirs)).toBeLessThanOrEqual(1e-9 * theirs + 1e-15);
    });
  });
});
