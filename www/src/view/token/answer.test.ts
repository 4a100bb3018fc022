import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Answer } from './answer.svelte';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** A question that is answered when one says so. */
function open<T>(): { question: () => Promise<T | null>; asked: () => boolean; settle: (value: T | null) => void } {
  let settle: (value: T | null) => void = () => undefined;
  let asked = false;
  const promise = new Promise<T | null>((resolve) => (settle = resolve));
  return {
    question: () => {
      asked = true;
      return promise;
    },
    asked: () => asked,
    settle: (value) => {
      settle(value);
    },
  };
}

describe('Answer', () => {
  it('is asked after its pause, says when it is slow, and holds what comes', async () => {
    const answer = new Answer<number>();
    const { question, asked, settle } = open<number>();
    answer.ask(question, 100);
    await vi.advanceTimersByTimeAsync(99);
    expect([asked(), answer.state]).toEqual([false, 'asking']);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked()).toBe(true);
    await vi.advanceTimersByTimeAsync(500);
    expect([answer.state, answer.pending]).toEqual(['slow', true]);
    settle(7);
    await vi.advanceTimersByTimeAsync(0);
    expect([answer.state, answer.value, answer.pending]).toEqual(['here', 7, false]);
  });

  it('drops an answer that comes after the next question, and keeps the last one until then', async () => {
    const answer = new Answer<string>();
    const [first, second] = [open<string>(), open<string>()];
    answer.ask(first.question);
    await vi.advanceTimersByTimeAsync(0);
    answer.ask(second.question);
    await vi.advanceTimersByTimeAsync(0);
    first.settle('late');
    await vi.advanceTimersByTimeAsync(0);
    expect([answer.state, answer.value]).toEqual(['asking', null]);
    second.settle('in time');
    await vi.advanceTimersByTimeAsync(0);
    expect([answer.state, answer.value]).toEqual(['here', 'in time']);
  });

  it('does not ask at all when interest is lost in the pause', async () => {
    const answer = new Answer<number>();
    const { question, asked } = open<number>();
    const lose = answer.ask(question, 100);
    lose();
    await vi.advanceTimersByTimeAsync(1000);
    expect([asked(), answer.state]).toEqual([false, 'none']);
  });

  it('tells no answer from a failure', async () => {
    const answer = new Answer<number>();
    answer.ask(() => Promise.resolve(null));
    await vi.advanceTimersByTimeAsync(0);
    expect(answer.state).toBe('put aside');
    answer.ask(() => Promise.reject(new Error('No model is loaded.')));
    await vi.advanceTimersByTimeAsync(0);
    expect([answer.state, answer.error]).toEqual(['failed', 'No model is loaded.']);
  });
});
