import { describe, expect, it } from 'vitest';
import {
  FASHION,
  SOLVERS,
  decodeSettings,
  defaultSettings,
  describeProblem,
  everyInWords,
  formatSettings,
  parseSettings,
} from './settings';

const parse = (search: string) => parseSettings(search, FASHION);

describe('parseSettings', () => {
  it('takes every parameter', () => {
    const { settings, problems } = parse(
      '?model=tiny-1&label=3&seed=9007199254740991&cfg=2.5&cfgSchedule=constant&cfgEvery=4&iterations=49&steps=10&lateSteps=5&solver=dpm&temperature=0.95&order=spiral&device=webgpu&workers=1&play=0',
    );
    expect(problems).toEqual([]);
    expect(settings).toEqual({
      model: 'tiny-1',
      label: 3,
      seed: Number.MAX_SAFE_INTEGER,
      cfg: 2.5,
      cfgSchedule: 'constant',
      cfgEvery: 4,
      iterations: 49,
      steps: 10,
      lateSteps: 5,
      solver: 'dpm',
      temperature: 0.95,
      order: 'spiral',
      device: 'webgpu',
      workers: 1,
      play: false,
    });
  });

  it("uses the model's defaults where the address is silent", () => {
    const same = { cfg: 3, iterations: 8, steps: 25, temperature: 0.9, solver: 'dpm' } as const;
    const facts = { ...FASHION, defaults: { ...same, cfg_schedule: 'constant' as const } };
    const { settings, problems } = parseSettings('', facts);
    expect(problems).toEqual([]);
    expect(settings).toMatchObject({ ...same, cfgSchedule: 'constant', device: 'auto', play: true });
  });

  it('reads none as no class', () => {
    expect(parse('?label=none').settings.label).toBeNull();
  });

  it.each([
    ['label', '10', '0 to 9'],
    ['label', '-1', '0 to 9'],
    ['label', 'boot', 'none'],
    ['seed', '9007199254740992', '0 to 9007199254740991'],
    ['seed', '9007199254740993', '0 to 9007199254740991'],
    ['seed', '1.5', 'whole number'],
    ['cfg', '20.5', '0 to 20'],
    ['cfg', 'NaN', '0 to 20'],
    ['cfg', '1e1', '0 to 20'],
    ['cfg', '', '0 to 20'],
    ['iterations', '0', '1 to 49'],
    ['iterations', '50', '1 to 49'],
    ['steps', '1001', '2 to 1000'],
    ['lateSteps', '1', '2 to 1000, or none'],
    ['solver', 'DDIM', 'ddpm, ddim, dpm'],
    ['cfgEvery', '0', '1 to 49'],
    ['cfgEvery', '50', '1 to 49'],
    ['temperature', 'Infinity', '0 to 2'],
    ['order', 'Random', 'random, raster, spiral, center'],
    ['cfgSchedule', 'cosine', 'linear or constant'],
    ['device', 'gpu', 'auto, cpu, webgpu'],
    ['model', '../x', 'lower-case'],
    ['workers', '0', 'from 1 to'],
    ['workers', '4097', 'or auto'],
    ['play', 'yes', '0 or 1'],
  ])('refuses %s=%s and says what is allowed', (parameter, value, allowed) => {
    const { settings, problems } = parse(`?${parameter}=${encodeURIComponent(value)}`);
    expect(settings).toEqual(defaultSettings(FASHION));
    expect(problems).toHaveLength(1);
    const sentence = describeProblem(problems[0]!);
    expect(sentence).toContain(`${parameter}=${value || '(nothing)'}`);
    expect(sentence).toContain(allowed);
  });

  it('reports every bad value and keeps the good ones', () => {
    const { settings, problems } = parse('?label=99&seed=5&steps=x');
    expect(problems.map((p) => p.parameter)).toEqual(['label', 'steps']);
    expect(settings.seed).toBe(5);
  });

  it("knows the model's own limits", () => {
    const facts = { ...FASHION, classes: ['one', 'two'], tokens: 16 };
    const { problems } = parseSettings('?label=2&iterations=17', facts);
    expect(problems.map((p) => p.allowed)).toEqual([
      'a whole number from 0 to 1, or none',
      'a whole number from 1 to 16',
    ]);
  });
});

describe('formatSettings', () => {
  it('gives an address that reads back to the same settings, whatever the defaults', () => {
    const { settings } = parse(
      '?label=none&seed=12&cfg=1.7&temperature=0.85&order=center&device=cpu&play=0&model=other&solver=ddim&lateSteps=4&cfgEvery=3',
    );
    const facts: typeof FASHION = {
      ...FASHION,
      defaults: { cfg: 5, cfg_schedule: 'constant', iterations: 3, steps: 3, solver: 'ddim', temperature: 2 },
    };
    for (const solver of SOLVERS) {
      const wished = { ...settings, solver };
      expect(parseSettings(formatSettings(wished), facts)).toEqual({ settings: wished, problems: [] });
    }
  });
});

describe('formatSettings of sampling as usual', () => {
  it('leaves it out', () => {
    expect(formatSettings(defaultSettings(FASHION))).not.toMatch(/lateSteps|cfgEvery/);
  });
});

describe('everyInWords', () => {
  it.each([
    [1, 'in every iteration'],
    [2, 'in every 2nd iteration'],
    [3, 'in every 3rd iteration'],
    [4, 'in every 4th iteration'],
    [11, 'in every 11th iteration'],
    [22, 'in every 22nd iteration'],
  ])('of %d is %s', (every, words) => {
    expect(everyInWords(every)).toBe(words);
  });
});

describe('decodeSettings', () => {
  it('hands the engine what shapes the picture, and keeps every diffusion step', () => {
    const { settings } = parse('?label=3&seed=7&cfg=2&iterations=8&steps=10&temperature=1&order=raster');
    expect(decodeSettings(settings)).toEqual({
      label: 3,
      seed: 7,
      cfg: 2,
      cfgSchedule: 'linear',
      cfgEvery: 1,
      iterations: 8,
      steps: 10,
      lateSteps: null,
      solver: 'ddpm',
      temperature: 1,
      order: 'raster',
      stride: 1,
    });
  });
});
