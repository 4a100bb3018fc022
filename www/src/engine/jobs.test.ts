import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Jobs } from './jobs';
import type { Team } from './team';
import type { Decoding, DecodeSettings, DrawRequest, Engine, IterationEvent, ModelInfo, ShouldContinue } from './types';

const SETTINGS = {} as DecodeSettings;

/** An engine of three iterations, which asks whether to go on before each. */
class FakeEngine {
  freed = 0;
  decodingsFreed = 0;
  failure: Error | null = null;

  decode(): Decoding {
    let iteration = 0;
    return {
      order: () => Uint32Array.of(2, 0, 1),
      advance: async (shouldContinue) => {
        if (this.failure) throw this.failure;
        if (iteration === 3) return null;
        if (!(await shouldContinue())) return 'stopped';
        return { iteration: iteration++ } as IterationEvent;
      },
      free: () => this.decodingsFreed++,
    };
  }

  async draw(_: DrawRequest, shouldContinue: ShouldContinue): Promise<Float32Array | 'stopped'> {
    return (await shouldContinue()) ? Float32Array.of(1) : 'stopped';
  }

  async picture(tokens: Float32Array): Promise<Float32Array> {
    return Promise.resolve(tokens.map((value) => value / 2));
  }

  async tokens(picture: Float32Array): Promise<Float32Array> {
    return Promise.resolve(picture.map((value) => value * 2));
  }

  info(): ModelInfo {
    return { tokens: 4, tokenDim: 1, defaults: { cfg: 1, iterations: 4, steps: 5, temperature: 1 } } as ModelInfo;
  }

  free(): void {
    this.freed++;
  }

  get engine(): Engine {
    return this as unknown as Engine;
  }
}

/** A team of two, which notes what it is told. */
class FakeTeam {
  readonly size = 2;
  readonly uses: number[] = [];
  stops = 0;

  use(size: number): void {
    this.uses.push(size);
  }

  stop(): void {
    this.stops++;
  }

  get team(): Team {
    return this as unknown as Team;
  }
}

let fake: FakeEngine;
let jobs: Jobs;
beforeEach(() => {
  fake = new FakeEngine();
  jobs = new Jobs();
  jobs.use(fake.engine);
});

describe('the worker’s jobs', () => {
  it('decode to the end, one event after the other', async () => {
    const heard: unknown[] = [];
    const ended = await jobs.decode(
      SETTINGS,
      null,
      (order) => heard.push(Array.from(order)),
      async ({ iteration }) => {
        await new Promise((resolve) => setTimeout(resolve, 1));
        heard.push(iteration);
      },
    );
    expect(ended).toBe('complete');
    expect(heard).toEqual([[2, 0, 1], 0, 1, 2]);
    expect(fake.decodingsFreed).toBe(1);
  });

  it('end early when they are stopped, between iterations or within one', async () => {
    const heard: number[] = [];
    const ended = await jobs.decode(SETTINGS, null, vi.fn(), ({ iteration }) => {
      heard.push(iteration);
      if (iteration === 1) jobs.stop();
    });
    expect([ended, heard, fake.decodingsFreed]).toEqual(['stopped', [0, 1], 1]);
    const drawn = jobs.draw({} as DrawRequest);
    jobs.stop();
    expect(await drawn).toBe('stopped');
  });

  it('do not mind a stop that came before them', async () => {
    jobs.stop();
    expect(await jobs.draw({} as DrawRequest)).toEqual(Float32Array.of(1));
  });

  it('make a picture of tokens, and tokens of a picture', async () => {
    expect(await jobs.picture(Float32Array.of(1, 2))).toEqual(Float32Array.of(0.5, 1));
    expect(await jobs.tokens(Float32Array.of(0.5, 1))).toEqual(Float32Array.of(1, 2));
  });

  it('make pictures while a decoding goes on, and leave it stopped where it was stopped', async () => {
    const pictures: Promise<Float32Array>[] = [];
    const ended = await jobs.decode(SETTINGS, null, vi.fn(), ({ iteration }) => {
      if (iteration === 1) jobs.stop();
      pictures.push(jobs.picture(Float32Array.of(iteration)));
    });
    expect(ended).toBe('stopped');
    expect(await Promise.all(pictures)).toEqual([Float32Array.of(0), Float32Array.of(0.5)]);
  });

  it('time the team without its last worker and with it, in turns', async () => {
    const team = new FakeTeam();
    jobs.use(fake.engine, team.team);
    const times = await jobs.compare();
    expect(times).toEqual({ fewer: expect.any(Number) as number, all: expect.any(Number) as number });
    expect(times).not.toContain(Infinity);
    expect(team.uses).toEqual([1, 2, 1, 2, 1, 2, 2]);
    expect(fake.decodingsFreed).toBe(6);
  });

  it('pass a stop on to the team, which works as a whole again after a comparison that was stopped', async () => {
    const team = new FakeTeam();
    jobs.use(fake.engine, team.team);
    const compared = jobs.compare();
    jobs.stop();
    expect(await compared).toBe('stopped');
    expect([team.stops, team.uses]).toEqual([1, [1, 2]]);
  });

  it('free their decoding when the engine fails', async () => {
    fake.failure = new Error('the device is lost');
    await expect(jobs.decode(SETTINGS, null, vi.fn(), vi.fn())).rejects.toThrow('the device is lost');
    expect(fake.decodingsFreed).toBe(1);
  });

  it('say so where no model is loaded, and free the engine that is replaced', async () => {
    jobs.use(null);
    expect(fake.freed).toBe(1);
    await expect(
      jobs.backbone({ label: 0, iteration: 0, tokens: Float32Array.of(), masked: Uint8Array.of() }),
    ).rejects.toThrow('No model is loaded');
  });
});
