import { describe, expect, it } from 'vitest';
import { FASHION } from '../../state/settings';
import { readQuality } from './quality';

const row = { iterations: 16, asInstructed: 0.9, frechet: 12.5, images: 1000 };

describe('a table of what was measured', () => {
  it('is read with the most iterations first', () => {
    const rows = readQuality({ rows: [row, { ...row, iterations: 49 }, { ...row, iterations: 4 }] }, FASHION);
    expect(rows?.map(({ iterations }) => iterations)).toEqual([49, 16, 4]);
  });

  it.each([
    [null],
    [{}],
    [{ rows: [] }],
    [{ rows: 'many' }],
    [{ rows: [null] }],
    [{ rows: [{ ...row, iterations: 50 }] }],
    [{ rows: [{ ...row, asInstructed: 90 }] }],
    [{ rows: [{ ...row, frechet: '12' }] }],
    [{ rows: [row, { iterations: 4 }] }],
  ])('is none: %j', (value) => {
    expect(readQuality(value, FASHION)).toBeNull();
  });
});
