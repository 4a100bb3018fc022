import { describe, expect, it } from 'vitest';
import { Recent } from './recent';

describe('recent', () => {
  it('lets go of what was used the longest ago', () => {
    const gone: string[] = [];
    const recent = new Recent<string>(2, (item) => gone.push(item));
    recent.add('a');
    recent.add('b');
    recent.touch('a');
    recent.add('c');
    expect(gone).toEqual(['b']);
    recent.touch('b');
    recent.add('c');
    recent.add('d');
    expect(gone).toEqual(['b', 'a']);
  });
});
