import { describe, expect, it } from 'vitest';
import { ENTRIES, GLOSSARY, segments } from './glossary';

describe('the glossary', () => {
  it('says each term in one to three sentences', () => {
    for (const { name, meaning } of ENTRIES) {
      const sentences = meaning.split(/[.:;] /).length;
      expect(meaning, name).toMatch(/\.$/);
      expect(sentences, name).toBeLessThanOrEqual(4);
      expect(meaning.length, name).toBeLessThan(220);
    }
  });

  it('lists every term once, by name', () => {
    const names = ENTRIES.map(({ name }) => name.toLowerCase());
    expect(names).toHaveLength(Object.keys(GLOSSARY).length);
    expect(new Set(names).size).toBe(names.length);
    expect(names.indexOf('alpha-bar')).toBe(0);
    expect(names.at(-1)).toBe('z');
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
