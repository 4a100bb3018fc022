import { describe, expect, it } from 'vitest';
import { decimal, frameAt, nearestOf, percent, someFrames, type Sampled } from './subject';

describe('frameAt', () => {
  const sampled = { iteration: 3, frames: 6 } as Sampled;

  it.each([
    [{ iteration: 2, frame: 4 }, 0],
    [{ iteration: 3, frame: -1 }, 0],
    [{ iteration: 3, frame: 2 }, 2],
    [{ iteration: 3, frame: 5 }, 5],
    [{ iteration: 4, frame: -1 }, 5],
  ])('at %j is %d: noise before its iteration, pixels after it', (place, frame) => {
    expect(frameAt(sampled, place)).toBe(frame);
  });
});

describe('someFrames', () => {
  it('has the first and the last, and no frame twice', () => {
    expect(someFrames(51, 8)).toEqual([0, 7, 14, 21, 29, 36, 43, 50]);
    expect(someFrames(3, 8)).toEqual([0, 1, 2]);
    expect(someFrames(1, 8)).toEqual([0]);
  });

  it('leads to the nearest', () => {
    expect(nearestOf([0, 7, 14], 10)).toBe(7);
    expect(nearestOf([0, 7, 14], 11)).toBe(14);
    expect(nearestOf([], 3)).toBe(0);
  });
});

describe('numbers', () => {
  it('have a proper minus and no negative zero', () => {
    expect(decimal(-0.04, 1)).toBe('0.0');
    expect(decimal(-0.06, 1)).toBe('−0.1');
    expect(decimal(1.25, 2)).toBe('1.25');
  });

  it.each([
    [0, '0%'],
    [0.004, '0.4%'],
    [0.0996, '10%'],
    [0.456, '46%'],
    [1, '100%'],
  ])('%d is %s', (share, text) => {
    expect(percent(share)).toBe(text);
  });
});
