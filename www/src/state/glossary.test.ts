import { describe, expect, it } from 'vitest';
import { FASHION } from '../engine/generated';
import { entries, entryOf, segments } from './glossary';

const LATENT = {
  ...FASHION,
  ...{ tokenizer: 'kl' as const, image: [64, 64] as [number, number], channels: 3, patch: 1, tokenSide: 8 },
  ...{ grid: [8, 8] as [number, number], tokens: 64 },
};

describe('the glossary', () => {
  it.each([FASHION, LATENT])('says each term in one to three sentences ($tokenizer)', (facts) => {
    for (const { name, meaning } of entries(facts)) {
      const sentences = meaning.split(/[.:;] /).length;
      expect(meaning, name).toMatch(/\.$/);
      expect(sentences, name).toBeLessThanOrEqual(4);
      expect(meaning.length, name).toBeLessThan(240);
    }
  });

  it('lists every term once, by name', () => {
    const names = entries(FASHION).map(({ name }) => name.toLowerCase());
    expect(new Set(names).size).toBe(names.length);
    expect(names[0]).toBe('alpha-bar');
    expect(names.at(-1)).toBe('z');
  });
});

describe('a term', () => {
  it('says what the model has, and nothing of another one', () => {
    expect(entryOf('token', FASHION).meaning).toContain('the 16 grey values of a patch');
    expect(entryOf('token', FASHION).meaning).toContain('49 tokens');
    expect(entryOf('token', LATENT).meaning).toContain('makes 8 by 8 pixels of it');
    expect(entryOf('token', LATENT).meaning).toContain('64 tokens');
    expect(entryOf('patch', LATENT).meaning).toContain('8 by 8 pixels');
    for (const { meaning } of entries(LATENT)) expect(meaning).not.toMatch(/\bgrey\b|49|\b4 by 4|28/);
  });
});

describe('segments', () => {
  it('finds the marked terms and what they are shown as', () => {
    expect(segments('Some [token:tokens] have a [z].')).toEqual([
      'Some ',
      { id: 'token', text: 'tokens' },
      ' have a ',
      { id: 'z', text: 'z' },
      '.',
    ]);
    expect(segments('Plain.')).toEqual(['Plain.']);
  });

  it('refuses a term that nobody explained', () => {
    expect(() => segments('A [wormhole].')).toThrow('no term "wormhole"');
  });
});
