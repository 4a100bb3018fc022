import { describe, expect, it } from 'vitest';
import { FASHION, defaultSettings } from '../../state/settings';
import { defaultPoint, isAt, readFrontier, timeInWords } from './frontier';

const usual = defaultSettings(FASHION);
const settings = { cfg: 3, cfgSchedule: 'linear', iterations: 16, steps: 50, temperature: 1 };
const figures = { frechet: 7.5, frechetRatio: 1.5, classified: 0.91, realClassified: 0.92 };
const trial = { settings, round: 2, milliseconds: 420, figures, seconds: 60 };
const fast = {
  ...trial,
  ...{ settings: { ...settings, iterations: 5, solver: 'dpm', temperature: 0.8999999761581421 }, milliseconds: 130 },
};
const file = { weights: 'fashion', device: 'cpu', trials: [{ ...trial, figures: undefined }, trial, fast], chosen: 1 };

describe('a frontier', () => {
  it('is read, the fastest first, with what is usual where a search does not say it', () => {
    const points = readFrontier({ ...file, frontier: [1, 2] }, FASHION)!;
    expect(points.map(({ milliseconds }) => milliseconds)).toEqual([130, 420]);
    expect(points[0]!.settings).toEqual({
      ...{ cfg: 3, cfgSchedule: 'linear', iterations: 5, steps: 50, lateSteps: null, solver: 'dpm', cfgEvery: 1 },
      temperature: 0.9,
    });
  });

  it('knows which point the defaults are', () => {
    const points = readFrontier({ ...file, frontier: [2, 1] }, FASHION)!;
    expect(defaultPoint(points, FASHION)).toBe(points[1]);
    expect(isAt({ ...usual, cfg: 2 }, points[1]!)).toBe(false);
    expect(defaultPoint(points.slice(0, 1), FASHION)).toBeNull();
  });

  it.each([
    null,
    {},
    { ...file, frontier: [] },
    { ...file, frontier: [0] },
    { ...file, frontier: [1, 9] },
    { ...file, frontier: ['x'] },
    { ...file, frontier: [1], trials: [null, { ...trial, milliseconds: -1 }] },
    { ...file, frontier: [1], trials: [null, { ...trial, settings: { ...settings, iterations: 50 } }] },
    { ...file, frontier: [1], trials: [null, { ...trial, settings: { ...settings, solver: 'euler' } }] },
  ])('is none where something is missing: %j', (value) => {
    expect(readFrontier(value, FASHION)).toBeNull();
  });

  it.each([
    [128.4, '130 ms'],
    [994, '990 ms'],
    [1240, '1.2 s'],
  ])('%d milliseconds are %s', (milliseconds, words) => {
    expect(timeInWords(milliseconds)).toBe(words);
  });
});
