import { describe, expect, it } from 'vitest';
import { readCredits } from './credits';

const link = (name: string) => ({ name, url: `https://example.org/${name}` });
const GOOD = {
  source: link('DiceBear'),
  designs: [{ style: 'micah', title: link('Avatars'), creator: link('Micah'), licence: link('CC BY 4.0') }],
};

describe('credits', () => {
  it('are read as they are written', () => {
    expect(readCredits(GOOD)).toEqual(GOOD);
  });

  it('keep a name without its address, and any that leads elsewhere than to a page', () => {
    const odd = { ...GOOD, source: { name: 'DiceBear', url: 'javascript:alert(1)' } };
    expect(readCredits(odd)?.source).toEqual({ name: 'DiceBear', url: null });
    expect(readCredits({ ...GOOD, source: { name: 'DiceBear' } })?.source.url).toBeNull();
  });

  it.each([
    null,
    [],
    'x',
    {},
    { ...GOOD, designs: [] },
    { ...GOOD, designs: 'all' },
    { ...GOOD, designs: [{ ...GOOD.designs[0], creator: null }] },
    { ...GOOD, designs: [{ ...GOOD.designs[0], style: 3 }] },
    { ...GOOD, source: { name: '' } },
  ])('are none where something is missing: %j', (value) => {
    expect(readCredits(value)).toBeNull();
  });
});
