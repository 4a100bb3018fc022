// How long an engine takes for an iteration in the middle of a picture, to compare devices or numbers of workers.

import type { DecodeSettings, DecodeState, Engine, ShouldContinue } from './types';

/** Milliseconds of that iteration, of as many tokens as by default, in so many diffusion steps. */
export async function timeOf(
  engine: Engine,
  steps: number,
  shouldContinue: ShouldContinue,
): Promise<number | 'stopped'> {
  const { defaults, tokens, tokenDim } = engine.info();
  const { cfg, cfg_schedule: cfgSchedule, solver, temperature, iterations } = defaults;
  const settings: DecodeSettings = {
    ...{ label: 0, seed: 0, cfg, steps, temperature, iterations, order: 'random', stride: steps },
    ...{ cfgSchedule, cfgEvery: 1, lateSteps: null, solver },
  };
  const half: DecodeState = {
    iteration: Math.floor(iterations / 2),
    tokens: new Float32Array(tokens * tokenDim),
    masked: Uint8Array.from({ length: tokens }, (_, position) => (position < tokens / 2 ? 0 : 1)),
  };
  const decoding = engine.decode(settings, half);
  try {
    const begin = performance.now();
    const event = await decoding.advance(shouldContinue);
    return event === 'stopped' ? event : performance.now() - begin;
  } finally {
    decoding.free();
  }
}
