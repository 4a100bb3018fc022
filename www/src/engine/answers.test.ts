import { beforeEach, describe, expect, it } from 'vitest';
import { Answers } from './answers';
import type { Engine, ShouldContinue, Work } from './types';

/** An engine whose answers take as many steps as a message says; it asks whether to go on before each. */
class FakeEngine {
  steps = 0;

  async answer({ steps }: Work, shouldContinue: ShouldContinue): Promise<Work | 'stopped'> {
    for (let step = 0; step < Number(steps); step++) {
      if (!(await shouldContinue())) return 'stopped';
      this.steps++;
    }
    return { steps };
  }
}

let engine: FakeEngine;
let answers: Answers;
beforeEach(() => {
  engine = new FakeEngine();
  answers = new Answers(engine as unknown as Engine);
});

describe('a peer’s answers', () => {
  it('are the engine’s', async () => {
    expect(await answers.answer({ steps: 3 })).toEqual({ steps: 3 });
    expect(engine.steps).toBe(3);
  });

  it('end early once they are stopped, and what is asked later goes on', async () => {
    const first = answers.answer({ steps: 1000 });
    answers.stop();
    // It is asked before the first one has heard of its end.
    const second = answers.answer({ steps: 5 });
    expect(await Promise.all([first, second])).toEqual(['stopped', { steps: 5 }]);
    expect(engine.steps).toBe(5);
  });

  it('do not mind a stop that came before them', async () => {
    answers.stop();
    expect(await answers.answer({ steps: 1 })).toEqual({ steps: 1 });
  });
});
