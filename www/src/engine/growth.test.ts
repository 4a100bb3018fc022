import { beforeEach, describe, expect, it } from 'vitest';
import type { EngineClient } from './client';
import { Growth } from './growth';
import type { Comparison } from './jobs';

/** A client whose iterations take as long as the table says, by number of workers. */
class FakeClient {
  readonly sizes: number[] = [];
  crashed = false;
  times: number[] = [];
  failure: Error | null = null;
  /** Comparisons that something else comes before. */
  interrupted = 0;
  asked = 0;

  resize(size: number): Promise<void> {
    if (this.failure && size > 1) return Promise.reject(this.failure);
    this.sizes.push(size);
    return Promise.resolve();
  }

  async ask(): Promise<Comparison | null> {
    this.asked++;
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (this.interrupted-- > 0) return null;
    const size = this.sizes.at(-1)!;
    return { fewer: this.times[size - 2]!, all: this.times[size - 1]! };
  }
}

let fake: FakeClient;
let reasons: string[];

beforeEach(() => {
  fake = new FakeClient();
  reasons = [];
});

const growth = (cores: number): Growth =>
  new Growth(fake as unknown as EngineClient, cores, (reason) => reasons.push(reason));

describe('the growth of a team', () => {
  it('adds workers while each of them helps', async () => {
    fake.times = [40, 22, 17, 16.5, 1];
    await growth(8).want('auto');
    expect(fake.sizes).toEqual([1, 2, 3, 4, 3]);
    expect(reasons.at(-1)).toBe('An iteration takes 17 ms with 4, 17 ms with 3.');
  });

  it('has at most a worker a core', async () => {
    fake.times = [40, 21.4, 1];
    await growth(2).want('auto');
    expect(fake.sizes).toEqual([1, 2]);
    expect(reasons).toEqual(['', 'An iteration takes 21 ms with 2, 40 ms with 1.']);
    fake.sizes.length = 0;
    await growth(1).want('auto');
    expect([fake.sizes, fake.asked]).toEqual([[1], 1]);
  });

  it('measures again when something came before', async () => {
    fake.times = [40, 20];
    fake.interrupted = 3;
    await growth(2).want('auto');
    expect([fake.asked, fake.sizes]).toEqual([4, [1, 2]]);
  });

  it('ends with its engine', async () => {
    fake.interrupted = Infinity;
    const measured = growth(2).want('auto');
    await new Promise((resolve) => setTimeout(resolve, 0));
    fake.crashed = true;
    await measured;
    expect(fake.sizes).toEqual([1, 2]);
  });

  it('does as told, whatever helps', async () => {
    await growth(2).want(2);
    expect([fake.sizes, fake.asked, reasons]).toEqual([[2], 0, ['']]);
  });

  it('forgets an earlier wish', async () => {
    fake.times = [40, 20, 10, 5];
    fake.interrupted = Infinity;
    const team = growth(4);
    const early = team.want('auto');
    await new Promise((resolve) => setTimeout(resolve, 0));
    await team.want(3);
    await early;
    expect(fake.sizes).toEqual([1, 2, 3]);
  });

  it('says why a worker did not start, unless the engine itself is gone', async () => {
    fake.failure = new Error('out of memory');
    const team = growth(2);
    await team.want('auto');
    expect(reasons.at(-1)).toBe('Another worker did not start: out of memory.');
    fake.crashed = true;
    await team.want(2);
    expect(reasons.at(-1)).toBe('');
  });
});
