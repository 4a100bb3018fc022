import { beforeEach, describe, expect, it } from 'vitest';
import type { IterationEvent } from '../engine/types';
import { Branch, type Choices } from './branch.svelte';
import { FakeClient, eventOf } from './fake-client';
import { Pictures } from './pictures.svelte';
import type { Geometry } from './settings';

// Two pictures of 2x2 tokens of one number, in 4x4 pixels of three colours.
const GEOMETRY: Geometry = {
  ...{ tokenizer: 'kl', image: [4, 4], channels: 3, patch: 1, tokenSide: 2, grid: [2, 2], tokens: 4, tokenDim: 1 },
};
const CHOICES = { iterations: 4, steps: 1 } as Choices;

let fake: FakeClient;
let branch: Branch;
let pictures: Pictures;
let failures: unknown[];
let engine = true;
let geometry: Geometry;

beforeEach(() => {
  fake = new FakeClient();
  branch = new Branch(CHOICES);
  branch.own = [0, 1, 2].map((iteration) => eventOf(iteration, iteration));
  failures = [];
  engine = true;
  geometry = GEOMETRY;
  pictures = new Pictures({
    geometry: () => geometry,
    client: () => (engine ? Promise.resolve(fake.client) : null),
    failed: (error) => failures.push(error),
  });
});

/** Lets every promise that can be settled be settled. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));
/** A picture of one grey. */
const grey = (value: number): Float32Array => new Float32Array(48).fill(value);
const at = (iteration: number, frame: number): number => pictures.at(branch, { iteration, frame })[0]!;
const event = (iteration: number): IterationEvent => branch.events[iteration]!;

async function answer(value: number): Promise<void> {
  await settled();
  fake.pictures.at(-1)!.answer(grey(value));
  await settled();
}

describe('pictures of latents', () => {
  it('are grey until something is there', () => {
    expect(at(0, -1)).toBe(128);
    branch.own = [];
    expect(at(0, -1)).toBe(128);
    expect(fake.pictures).toEqual([]);
  });

  it('are decoded when asked for, once, from the tokens at that frame', async () => {
    const soon = pictures.soon(branch, { iteration: 1, frame: 0 });
    await answer(1);
    expect((await soon)[0]).toBe(255);
    expect(fake.pictures[0]!.tokens).toEqual(Float32Array.of(0, 3, 0, 0));
    await pictures.soon(branch, { iteration: 1, frame: 0 });
    expect(pictures.waits(branch, { iteration: 1, frame: 0 })).toBe(false);
    expect(pictures.waits(branch, { iteration: 1, frame: 1 })).toBe(true);
    expect(fake.pictures).toHaveLength(1);
    expect(at(1, 0)).toBe(255);
  });

  it('are decoded as iterations arrive, one at a time', async () => {
    for (const each of branch.events) pictures.arrived(branch, each);
    await settled();
    expect(fake.pictures).toHaveLength(1);
    await answer(-1);
    await answer(0);
    await answer(1);
    expect(fake.pictures).toHaveLength(3);
    expect([at(0, 1), at(1, 1), at(2, 1)]).toEqual([0, 128, 255]);
    // The picture before an iteration is the one after the iteration before it.
    expect([at(1, -1), at(2, -1)]).toEqual([0, 128]);
  });

  it('have the nearest one stand in for them', async () => {
    pictures.arrived(branch, event(0));
    await answer(1);
    expect([at(0, 0), at(1, 0), at(1, 1), at(2, 1)]).toEqual([255, 255, 255, 255]);
    pictures.arrived(branch, event(1));
    await answer(-1);
    expect([at(0, 0), at(1, 0), at(1, 1), at(2, 1)]).toEqual([255, 0, 0, 0]);
  });

  it('came with the page for some frames, until the engine has its own', async () => {
    const brought = new Uint8ClampedArray(64).fill(7);
    engine = false;
    pictures.bring(branch, event(0), 1, brought);
    expect(at(0, 1)).toBe(7);
    // Without an engine there is no better one.
    expect((await pictures.soon(branch, { iteration: 0, frame: 1 }))[0]).toBe(7);

    const again = [0, 1, 2].map((iteration) => eventOf(iteration, iteration));
    pictures.replaced(branch, branch.own, again);
    branch.own = again;
    expect(at(0, 1)).toBe(7);
    engine = true;
    pictures.wake();
    pictures.arrived(branch, event(0));
    await answer(1);
    expect(at(0, 1)).toBe(255);
    pictures.bring(branch, event(0), 1, brought);
    expect(at(0, 1)).toBe(255);
  });

  it('wait for an engine', async () => {
    engine = false;
    pictures.arrived(branch, event(0));
    await settled();
    expect(fake.pictures).toEqual([]);
    engine = true;
    pictures.wake();
    await answer(1);
    expect(at(0, 1)).toBe(255);
  });

  it('of an engine that is gone are not taken', async () => {
    pictures.arrived(branch, event(0));
    await settled();
    const old = fake.pictures[0]!;
    pictures.wake();
    old.answer(grey(-1));
    await settled();
    expect(at(0, 1)).toBe(128);
    await answer(1);
    expect(at(0, 1)).toBe(255);
  });

  it('that cannot be decoded are reported to whoever waits, or to the page', async () => {
    const soon = pictures.soon(branch, { iteration: 0, frame: 1 });
    await settled();
    fake.pictures[0]!.fail('lost');
    await expect(soon).rejects.toThrow('lost');
    expect(failures).toEqual([]);
    pictures.arrived(branch, event(1));
    await settled();
    fake.pictures[1]!.fail('lost again');
    await settled();
    expect(failures).toHaveLength(1);
  });

  it('show what a token covers, also another token in its place', async () => {
    pictures.arrived(branch, event(0));
    await settled();
    const image = grey(0);
    // Row 0, column 2 of the first channel: in what token 1 covers.
    image[2] = 1;
    fake.pictures[0]!.answer(image);
    await settled();
    expect(Array.from(pictures.part(branch, event(0), 1, 1).subarray(0, 4))).toEqual([255, 128, 128, 255]);

    const token = Float32Array.of(9);
    expect(pictures.tried(branch, event(1), 3, token)[0]).toBe(128);
    await settled();
    // Nobody looks at it in a test: without an effect nothing is wished for.
    expect(fake.pictures).toHaveLength(1);
  });
});

describe('pictures of pixels', () => {
  it('are there at once', () => {
    geometry = { ...GEOMETRY, tokenizer: 'pixel', channels: 1, patch: 2, tokenDim: 4 };
    branch.own = [];
    expect(at(0, 0)).toBe(128);
    expect(pictures.of(branch, new Float32Array(16).fill(1))?.[0]).toBe(255);
    expect(fake.pictures).toEqual([]);
  });
});
