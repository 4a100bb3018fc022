import { beforeEach, describe, expect, it } from 'vitest';
import type { IterationEvent } from '../engine/types';
import { Branch, type Choices } from './branch.svelte';
import { NO_PINS } from './decodestate';
import { FakeClient, eventOf } from './fake-client';
import { Scheduler } from './scheduler';

const CHOICES: Choices = {
  label: 0,
  seed: 1,
  cfg: 1,
  cfgSchedule: 'linear',
  cfgEvery: 1,
  iterations: 4,
  steps: 2,
  lateSteps: null,
  solver: 'ddpm',
  temperature: 1,
  order: 'raster',
};
const GEOMETRY = {
  tokenizer: 'pixel' as const,
  image: [2, 2] as [number, number],
  channels: 1,
  patch: 1,
  tokenSide: 1,
  grid: [2, 2] as [number, number],
  tokens: 4,
  tokenDim: 1,
};

let fake: FakeClient;
let branches: Branch[];
let active: Branch;
let arrived: Branch[];
let failed: [Branch, unknown][];
let computed: IterationEvent[];
let replaced: [Branch, readonly IterationEvent[], readonly IterationEvent[]][];
let scheduler: Scheduler;

beforeEach(() => {
  fake = new FakeClient();
  active = new Branch(CHOICES);
  branches = [active];
  [arrived, failed, computed, replaced] = [[], [], [], []];
  scheduler = new Scheduler({
    branches: () => branches,
    first: () => active,
    client: () => Promise.resolve(fake.client),
    geometry: () => GEOMETRY,
    computed: (_, event) => computed.push(event),
    replaced: (...all) => replaced.push(all),
    arrived: (branch) => arrived.push(branch),
    failed: (branch, error) => failed.push([branch, error]),
  });
});

/** Lets every promise that can be settled be settled. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

function fork(parent: Branch, at: number, changes: Partial<Choices> = {}): Branch {
  const branch = new Branch({ parent, at, changes, pins: NO_PINS, device: null });
  branches.push(branch);
  return branch;
}

async function finish(call: number, from = 0): Promise<void> {
  for (let token = from; token < 4; token++) fake.asked[call]!.iteration(eventOf(token, token));
  fake.asked[call]!.end('complete');
  await settled();
}

describe('the scheduler', () => {
  it('decodes what waits, and notes the order and every iteration', async () => {
    scheduler.pump();
    await settled();
    expect([active.status, fake.asked.length]).toEqual(['running', 1]);
    expect(fake.asked[0]).toMatchObject({ start: null, settings: { ...CHOICES, stride: 1 } });
    fake.asked[0]!.order(Uint32Array.of(3, 0, 1, 2));
    expect(Array.from(active.ranks!)).toEqual([1, 2, 3, 0]);
    await finish(0);
    expect([active.status, active.events.length, arrived.length]).toEqual(['complete', 4, 5]);
  });

  it('does one thing at a time, the active branch first', async () => {
    const other = fork(active, 0, { seed: 2 });
    active = other;
    scheduler.pump();
    scheduler.pump();
    await settled();
    expect(fake.asked.map(({ settings }) => settings.seed)).toEqual([2]);
    await finish(0);
    expect(fake.asked.map(({ settings }) => settings.seed)).toEqual([2, 1]);
  });

  it('waits for what a fork shares with its parent, then starts from there in the parent’s order', async () => {
    const later = fork(active, 2, { cfg: 3 });
    const trunk = active;
    active = later;
    scheduler.pump();
    await settled();
    expect([trunk.status, later.status]).toEqual(['running', 'waiting']);
    fake.asked[0]!.order(Uint32Array.of(0, 1, 2, 3));
    await finish(0);
    expect(fake.asked[1]).toMatchObject({
      settings: { cfg: 3, order: [0, 1, 2, 3] },
      start: { iteration: 2, tokens: Float32Array.of(0, 1, 0, 0), masked: Uint8Array.of(0, 0, 1, 1) },
    });
    await finish(1, 2);
    expect(later.events).toHaveLength(4);
  });

  it('does not hear what an overtaken decoding still sends', async () => {
    scheduler.pump();
    await settled();
    fake.asked[0]!.iteration(eventOf(0, 0));
    scheduler.clear([active]);
    expect([fake.stops, active.status, active.events.length]).toEqual([1, 'waiting', 0]);
    fake.asked[0]!.iteration(eventOf(1, 1));
    fake.asked[0]!.order(Uint32Array.of(3, 2, 1, 0));
    expect([active.events.length, active.ranks]).toEqual([0, null]);
    fake.asked[0]!.end('stopped');
    await settled();
    expect([active.status, fake.asked.length]).toEqual(['running', 2]);
    await finish(1);
    expect(active.status).toBe('complete');
  });

  it('goes on with the others after a failure, and says what it was', async () => {
    const other = fork(active, 0, { seed: 2 });
    scheduler.pump();
    await settled();
    fake.asked[0]!.fail('the device is lost');
    await settled();
    expect([active.status, active.error, failed.length]).toEqual(['failed', 'the device is lost', 1]);
    expect(other.status).toBe('running');
  });

  it('lets nothing wait once it is stopped', async () => {
    const other = fork(active, 0, { seed: 2 });
    scheduler.pump();
    await settled();
    fake.asked[0]!.iteration(eventOf(0, 0));
    scheduler.stop();
    fake.asked[0]!.end('stopped');
    await settled();
    expect([active.status, other.status, fake.asked.length]).toEqual(['stopped', 'stopped', 1]);
    expect(active.events, 'what is recorded stays').toHaveLength(1);
  });

  it('replaces a recording only once it is computed again', async () => {
    active.own = [eventOf(0, 0), eventOf(1, 1), eventOf(2, 2), eventOf(3, 3)];
    active.status = 'complete';
    const recorded = active.own;
    scheduler.confirm(active);
    await settled();
    fake.asked[0]!.iteration(eventOf(0, 0));
    expect([active.status, active.own]).toEqual(['complete', recorded]);
    for (let token = 1; token < 4; token++) fake.asked[0]!.iteration(eventOf(token, token));
    fake.asked[0]!.end('complete');
    await settled();
    expect(active.own).not.toBe(recorded);
    expect(active.own).toHaveLength(4);
    expect(computed).toEqual(active.own);
    expect(replaced).toEqual([[active, recorded, active.own]]);
  });

  it('starts nothing as long as there is no engine', () => {
    const none = new Scheduler({
      branches: () => branches,
      first: () => active,
      client: () => null,
      geometry: () => GEOMETRY,
      computed: () => undefined,
      replaced: () => undefined,
      arrived: () => undefined,
      failed: () => undefined,
    });
    none.pump();
    expect([active.status, fake.asked.length]).toEqual(['waiting', 0]);
  });
});
