import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FASHION } from '../engine/generated';
import type { IterationEvent } from '../engine/types';
import { FakeClient } from './fake-client';
import { Session } from './session.svelte';

const host = vi.hoisted(() => ({
  client: null as unknown,
  failure: null as Error | null,
  discarded: 0,
  shared: [] as unknown[],
}));

vi.mock('../engine/client', () => ({ checkWebAssembly: () => Promise.resolve() }));
vi.mock('./engines.svelte', async () => {
  const { FASHION } = await import('../engine/generated');
  return {
    Engines: class {
      readonly alive = true;
      load = () => (host.failure ? Promise.reject(host.failure) : Promise.resolve({ info: FASHION, trial: null }));
      on = () => Promise.resolve(host.client);
      stop = () => undefined;
      share = (wish: unknown) => host.shared.push(wish);
      discard = () => host.discarded++;
    },
  };
});

let fake: FakeClient;

beforeEach(() => {
  vi.useFakeTimers();
  fake = new FakeClient();
  host.client = fake.client;
  host.failure = null;
  host.shared = [];
  vi.stubGlobal('matchMedia', () => ({ matches: false }));
  vi.stubGlobal('requestAnimationFrame', () => 0);
  vi.stubGlobal('cancelAnimationFrame', () => undefined);
  vi.stubGlobal('navigator', {});
  vi.stubGlobal('location', { search: '', hash: '', origin: '', pathname: '/' });
  vi.stubGlobal('history', { replaceState: () => undefined });
  vi.stubGlobal('fetch', () => Promise.reject(new Error('offline')));
  vi.stubGlobal('FILE_SIZES', {});
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Lets every promise that can be settled be settled, `ms` later. */
const after = (ms = 0): Promise<unknown> => vi.advanceTimersByTimeAsync(ms);

/** The iteration that draws one token, in row-major order. */
function event(iteration: number): IterationEvent {
  const masked = (from: number): Uint8Array => Uint8Array.from({ length: 49 }, (_, at) => (at < from ? 0 : 1));
  return {
    ...{ iteration, iterations: 16, tokens: Uint32Array.of(iteration), cfg: 1, ms: { backbone: 1, head: 1 } },
    ...{ maskBefore: masked(iteration), maskAfter: masked(iteration + 1) },
    ...{ timesteps: Uint32Array.of(999, 0), alphaBar: Float32Array.of(0, 1), trajectory: new Float32Array(32) },
    ...{ before: new Float32Array(784), after: new Float32Array(784) },
  };
}

async function loaded(search = '?device=cpu'): Promise<Session> {
  const session = new Session(search);
  void session.load();
  await after();
  return session;
}

describe('a session', () => {
  it('loads, then decodes what the address asks for', async () => {
    const session = new Session('?device=cpu&label=3&seed=9007199254740991&steps=400&cfg=99');
    expect([session.state, session.phase]).toEqual(['loading', 'loading']);
    void session.load();
    await after();
    expect([session.state, session.phase, session.info]).toEqual(['loaded', 'running', FASHION]);
    expect(fake.asked[0]!.settings).toMatchObject({ label: 3, seed: Number.MAX_SAFE_INTEGER, steps: 400, cfg: 3 });
    expect(session.problems.map(({ parameter }) => parameter)).toEqual(['cfg']);
    fake.asked[0]!.iteration(event(0));
    expect(session.player.recorded).toBe(1);
    fake.asked[0]!.end('complete');
    await after();
    expect([session.active.status, session.busy]).toEqual(['complete', false]);
  });

  it('says why it could not load, and tries again', async () => {
    host.failure = new Error('The weights are not there.');
    const session = await loaded();
    expect([session.state, session.phase, session.error]).toEqual(['failed', 'error', 'The weights are not there.']);
    host.failure = null;
    session.retry();
    await after();
    expect([session.state, session.error]).toEqual(['loaded', null]);
  });

  it('decodes again once changed settings have settled', async () => {
    const session = await loaded();
    fake.asked[0]!.iteration(event(0));
    session.change({ cfg: 5 });
    session.change({ cfg: 6 });
    expect([session.active.status, session.active.events.length]).toEqual(['waiting', 0]);
    fake.asked[0]!.end('stopped');
    await after(1000);
    expect(fake.asked.at(-1)!.settings.cfg).toBe(6);
    expect(session.active.status).toBe('running');
  });

  it('lets as many workers share the work as it is told, without another decoding', async () => {
    const session = await loaded('?device=cpu&workers=1');
    session.change({ workers: 'auto' });
    expect(host.shared).toEqual([1, 'auto']);
    await after(1000);
    expect([fake.asked.length, session.active.status]).toEqual([1, 'running']);
  });

  it('forks: the new branch is active, its parent beside it; the oldest makes room', async () => {
    const session = await loaded();
    for (let seed = 1; seed <= 6; seed++) session.fork({ parent: session.trunk, at: 0, changes: { seed } });
    expect(session.branches.map(({ choices }) => choices.seed)).toEqual([7, 2, 3, 4, 5, 6]);
    expect([session.active.choices.seed, session.beside]).toEqual([6, session.trunk]);
    session.remove(session.active);
    expect([session.active, session.beside, session.branches.length]).toEqual([session.trunk, null, 5]);
  });

  it('takes another model with its own settings: nothing of the first is left', async () => {
    const session = await loaded('?device=cpu&label=3&seed=5&token=48');
    fake.asked[0]!.iteration(event(0));
    session.fork({ at: 0, changes: { cfg: 1 } });
    session.change({ model: 'other' });
    expect([session.state, session.branches.length, session.view.token]).toEqual(['loading', 1, null]);
    expect(session.trunk.events).toEqual([]);
    await after();
    expect(session.state).toBe('loaded');
    expect(fake.asked.at(-1)!.settings).toMatchObject({ label: 9, seed: 7, cfg: 3 });
    expect(session.address()).toContain('model=other');
  });

  it('can be told to open the other model where one cannot be loaded', async () => {
    host.failure = new Error('autoencoder.safetensors is not there.');
    const session = await loaded('?model=other&device=cpu');
    expect([session.state, session.phase]).toEqual(['failed', 'error']);
    host.failure = null;
    session.change({ model: 'fashion' });
    await after();
    expect([session.state, session.error, session.page.model]).toEqual(['loaded', null, 'fashion']);
  });

  it('writes a trace and opens it again; one of another model it refuses', async () => {
    const session = await loaded('?device=cpu&steps=2&order=raster');
    fake.asked[0]!.order(Uint32Array.from({ length: 49 }, (_, i) => i));
    const drawn = { ...event(0), timesteps: Uint32Array.of(999, 499, 0), alphaBar: Float32Array.of(0, 0.5, 1) };
    fake.asked[0]!.iteration({ ...drawn, trajectory: new Float32Array(48) });
    const text = session.traceOf(session.active);
    await session.openTrace(text);
    expect([session.trunk.status, session.trunk.events.length]).toEqual(['complete', 1]);
    await expect(session.openTrace(text.replace('"fashion"', '"other"'))).rejects.toThrow('made by the model "other"');
  });
});
