import { describe, expect, it } from 'vitest';
import { FASHION } from '../engine/generated';
import { factsOf, firstLabel, offered, offers, opens } from './models';

const PORTRAITS = { ...FASHION, name: 'portraits', classes: ['adventurer', 'micah'], tokens: 64 };

describe('the models of a build', () => {
  it('are offered in their order, the first one opens', () => {
    expect(offered(['other', 'fashion', 'portraits'])).toEqual(['portraits', 'fashion']);
    expect(offered(['fashion'])).toEqual(['fashion']);
    expect(offered(['other'])).toEqual([]);
  });

  it('are those that are there', () => {
    expect(offers().map(({ name }) => name)).toEqual(['fashion']);
    expect(opens()).toBe('fashion');
    expect(factsOf('fashion').tokens).toBe(49);
    // Of a model that a host added nothing is known yet.
    expect(factsOf('other')).toEqual(factsOf('fashion'));
  });
});

describe('the class that is shown first', () => {
  it('is one that was chosen for a known model, else the first', () => {
    expect(firstLabel(FASHION)).toBe(9);
    expect(firstLabel(PORTRAITS)).toBe(1);
    expect(firstLabel({ name: 'other', classes: ['a', 'b'] })).toBe(0);
    expect(firstLabel({ name: 'other', classes: [] })).toBeNull();
    expect(firstLabel({ name: 'portraits', classes: ['thumbs'] })).toBe(0);
  });
});
