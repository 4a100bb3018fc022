import { describe, expect, it } from 'vitest';
import { Wishes } from './wishes';

describe('wishes', () => {
  it('come newest first, and again newest when looked at again', () => {
    const wishes = new Wishes<string>();
    for (const wish of ['a', 'b', 'c', 'a']) wishes.look(wish);
    const order: string[] = [];
    for (let next = wishes.next(); next !== undefined; next = wishes.next()) {
      order.push(next);
      wishes.done(next);
    }
    expect(order).toEqual(['a', 'c', 'b']);
  });

  it('are dropped once nobody looks', () => {
    const wishes = new Wishes<string>();
    wishes.look('a');
    wishes.look('b');
    wishes.drop('b');
    expect(wishes.next()).toBe('a');
    wishes.drop('a');
    expect(wishes.next()).toBeUndefined();
  });

  it('leave what is foreseen for later, in its order, and keep it where a look ends', () => {
    const wishes = new Wishes<string>();
    wishes.foresee('a');
    wishes.foresee('b');
    wishes.look('b');
    wishes.look('c');
    expect(wishes.next()).toBe('c');
    wishes.drop('c');
    expect(wishes.next()).toBe('b');
    wishes.drop('b');
    expect(wishes.next()).toBe('a');
    wishes.done('a');
    expect(wishes.next()).toBe('b');
  });
});
