// The page's own budgets, masks and orders are the engine's, exhaustively: hashes that crate/core/tests/schedules.rs wrote.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { RANGES } from '../engine/generated';
import { stepsIn } from './budget';
import { fixedOrder } from './handorder';
import { maskLengths } from './schedule';

interface Table {
  budgets: number[];
  pairs: Record<string, number>;
  maskLengths: number[];
  orders: Record<'raster' | 'spiral' | 'center', number>;
}

const path = new URL('../../../tests/fixtures/schedules.json', import.meta.url);
const table = JSON.parse(readFileSync(path, 'utf8')) as Table;
const { min, max } = RANGES.steps;

/** Hundreds of millions of steps take their time on a busy machine. */
const PATIENCE = 120_000;

/** FNV-1a over whole numbers, in 32 bits. */
class Hash {
  #state = 0x811c9dc5;

  add(value: number): void {
    this.#state = Math.imul(this.#state ^ value, 0x01000193);
  }

  addBudget(steps: number, lateSteps: number, iterations: number): void {
    for (let i = 0; i < iterations; i++) this.add(stepsIn({ steps, lateSteps, iterations }, i));
  }

  get value(): number {
    return this.#state >>> 0;
  }
}

describe('what the page computes without an engine', () => {
  it(
    'has the engine’s budgets',
    () => {
      const found = table.budgets.map((_, index) => {
        const hash = new Hash();
        for (let steps = min; steps <= max; steps++) {
          hash.addBudget(steps, min, index + 1);
          hash.addBudget(min, steps, index + 1);
        }
        return hash.value;
      });
      expect(found).toEqual(table.budgets);
    },
    PATIENCE,
  );

  it.each(Object.keys(table.pairs))(
    'has the engine’s budgets of %s iterations between all numbers of steps',
    (count) => {
      const hash = new Hash();
      for (let early = min; early <= max; early++) {
        for (let late = min; late <= max; late++) hash.addBudget(early, late, Number(count));
      }
      expect(hash.value).toBe(table.pairs[count]);
    },
    PATIENCE,
  );

  it(
    'has the engine’s mask lengths',
    () => {
      const found = table.maskLengths.map((_, index) => {
        const hash = new Hash();
        for (let iterations = 1; iterations <= index + 1; iterations++) {
          for (const length of maskLengths(index + 1, iterations)) hash.add(length);
        }
        return hash.value;
      });
      expect(found).toEqual(table.maskLengths);
    },
    PATIENCE,
  );

  it.each(['raster', 'spiral', 'center'] as const)('has the engine’s %s order', (kind) => {
    const hash = new Hash();
    for (let side = 1; side <= 20; side++) for (const position of fixedOrder(kind, [side, side])) hash.add(position);
    expect(hash.value).toBe(table.orders[kind]);
  });
});
