import { describe, expect, it } from 'vitest';
import { FASHION, defaultSettings } from '../../state/settings';
import { measuredInWords, readMeasured, type Measured } from './measured';

const usual: Measured = {
  solver: 'ddpm',
  steps: 50,
  lateSteps: null,
  cfgEvery: 1,
  asked: 0.873,
  frechet: 22.1,
  images: 300,
  seconds: 60,
};
const quick: Measured = { ...usual, solver: 'dpm', steps: 10, cfgEvery: 2, asked: 0.88, frechet: 20.6, seconds: 32 };
const choices = defaultSettings(FASHION);

describe('a table of ways to sample', () => {
  it('is read', () => {
    expect(readMeasured([usual, quick, { ...usual, lateSteps: 5 }], FASHION)).toHaveLength(3);
  });

  it.each([
    [null],
    [{}],
    [[null]],
    [[{ ...usual, solver: 'euler' }]],
    [[{ ...usual, steps: 0 }]],
    [[{ ...usual, lateSteps: undefined }]],
    [[{ ...usual, cfgEvery: 50 }]],
    [[{ ...usual, asked: 88 }]],
    [[usual, { ...usual, seconds: 0 }]],
  ])('is none: %j', (value) => {
    expect(readMeasured(value, FASHION)).toBeNull();
  });
});

describe('what was measured', () => {
  it('is said of what is chosen, with the time against the usual way', () => {
    expect(measuredInWords([usual, quick], choices, FASHION)).toBe(
      'Measured over 300 pictures: 87% of the right class, Fréchet distance 22.',
    );
    const chosen = { ...choices, solver: 'dpm' as const, steps: 10, cfgEvery: 2 };
    expect(measuredInWords([usual, quick], { ...chosen, temperature: 0.5 }, FASHION)).toBe(
      'Measured over 300 pictures: 88% of the right class, Fréchet distance 21, 1.9 times as fast.',
    );
    expect(measuredInWords([quick], chosen, FASHION)).not.toContain('fast');
  });

  it.each([{ lateSteps: 5 }, { cfg: 4 }, { temperature: 0.9 }, { order: 'raster' as const }, { iterations: 8 }])(
    'is not said of %o, which was not',
    (other) => {
      expect(measuredInWords([usual, quick], { ...choices, ...other }, FASHION)).toBeNull();
    },
  );
});
