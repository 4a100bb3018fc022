import { describe, expect, it } from 'vitest';
import { fixedOrder, restAtRandom, take } from './handorder';

describe("the engine's fixed orders", () => {
  // The same small orders, computed by hand, as in the engine's own test.
  it('are what the engine makes', () => {
    expect(fixedOrder('spiral', [3, 3])).toEqual([4, 5, 8, 7, 6, 3, 0, 1, 2]);
    expect(fixedOrder('center', [3, 3])).toEqual([4, 1, 3, 5, 7, 0, 2, 6, 8]);
    expect(fixedOrder('raster', [2, 2])).toEqual([0, 1, 2, 3]);
  });

  it.each(['raster', 'spiral', 'center'] as const)('%s has each of 49 positions once', (kind) => {
    expect(fixedOrder(kind, [7, 7]).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 49 }, (_, i) => i));
  });
});

describe('an order by hand', () => {
  it('takes each patch once, in the order of the taking', () => {
    expect([5, 2, 5, 0].reduce<readonly number[]>(take, [])).toEqual([5, 2, 0]);
  });

  it('is filled up with the rest, the same for the same seed', () => {
    const order = restAtRandom([5, 2], 9, 7);
    expect(order.slice(0, 2)).toEqual([5, 2]);
    expect(order.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
    expect(restAtRandom([5, 2], 9, 7)).toEqual(order);
    expect(restAtRandom([5, 2], 9, 8)).not.toEqual(order);
    expect(restAtRandom([5, 2], 9, 4_294_967_295)).toHaveLength(9);
  });

  it('leaves nothing to chance when all are taken', () => {
    expect(restAtRandom([2, 0, 1], 3, 1)).toEqual([2, 0, 1]);
  });

  it('gives the rest every order about equally often', () => {
    const counts = new Map<string, number>();
    for (let seed = 0; seed < 6000; seed++) {
      const key = restAtRandom([], 3, seed).join();
      counts.set(key, (counts.get(key) ?? 0) + 1);
    }
    expect(counts.size).toBe(6);
    // 1000 expected each with a deviation of 29; 150 is five of them.
    for (const count of counts.values()) expect(Math.abs(count - 1000)).toBeLessThan(150);
  });
});
