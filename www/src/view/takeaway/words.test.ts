import { describe, expect, it } from 'vitest';
import { FASHION, defaultSettings } from '../../state/settings';
import { commandLine, embedCode, fileStem, pageAddress } from './words';

const choices = defaultSettings(FASHION);
const plain = { choices, at: 0, pins: new Map<number, Float32Array>(), start: null };

describe('fileStem', () => {
  it.each([
    ['Ankle boot', 7, 'marscope-ankle-boot-seed-7'],
    ['T-shirt', 0, 'marscope-t-shirt-seed-0'],
    [null, 12, 'marscope-any-class-seed-12'],
    ['../Ünfug: "x"', 1, 'marscope--nfug-x--seed-1'],
  ])('of %o and %d is %s', (label, seed, stem) => {
    expect(fileStem(label, seed)).toBe(stem);
  });
});

describe('commandLine', () => {
  it('names every setting', () => {
    expect(commandLine(plain, 'fashion', 'x')).toBe(
      'marscope sample --model weights/fashion --label 9 --seed 7 --cfg 3 --cfg-schedule linear --iterations 16 --steps 50 --solver ddpm --temperature 1 --order random --out x.png',
    );
    const less = { ...choices, solver: 'dpm' as const, lateSteps: 5, cfgEvery: 2 };
    expect(commandLine({ ...plain, choices: less }, 'fashion', 'x')).toContain(
      '--steps 50 --late-steps 5 --solver dpm --cfg-every 2 --temperature',
    );
    expect(commandLine({ ...plain, choices: { ...choices, label: null } }, 'm', 'x')).toContain('--label none');
  });

  it.each([
    ['a fork', { ...plain, at: 3 }],
    ['given patches', { ...plain, pins: new Map([[3, new Float32Array(16)]]) }],
    ['an order by hand', { ...plain, choices: { ...choices, order: [1, 0] } }],
    ['an opened trace', { ...plain, start: { iteration: 0, tokens: new Float32Array(0), masked: new Uint8Array(0) } }],
  ])('replays the trace of %s', (_, branch) => {
    expect(commandLine(branch, 'fashion', 'x')).toBe('marscope replay x.json --model weights/fashion --out x.png');
  });
});

describe('pageAddress', () => {
  const page = { origin: 'https://example.org', pathname: '/a/b/' };

  it('keeps the query and puts embed last, once', () => {
    expect(pageAddress(page, '?label=3&embed=1&seed=7', true)).toBe('https://example.org/a/b/?label=3&seed=7&embed=1');
    expect(pageAddress(page, '?label=3&embed=1&seed=7', false)).toBe('https://example.org/a/b/?label=3&seed=7');
    expect(pageAddress(page, '', true)).toBe('https://example.org/a/b/?embed=1');
  });
});

describe('embedCode', () => {
  it('is a frame whose address is escaped', () => {
    expect(embedCode('https://example.org/?a=1&b="')).toMatch(
      /^<iframe src="https:\/\/example\.org\/\?a=1&amp;b=&quot;" title="[^"]+" .*><\/iframe>$/,
    );
  });
});
