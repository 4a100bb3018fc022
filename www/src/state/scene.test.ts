import { describe, expect, it } from 'vitest';
import type { IterationEvent } from '../engine/types';
import { narrate, stageOf, working } from './narration';
import {
  blankPixels,
  cropPixels,
  findToken,
  fromByte,
  imagePixels,
  patchPixels,
  placeInWords,
  ranksOf,
  sceneAt,
  toByte,
  tokensAt,
} from './scene';
import { tokenizerOf } from './tokenizer';

// A 4x4 picture of four 2x2 patches, made in two iterations of one diffusion step: tokens 2 and 1 first, then 0 and 3.
const geometry = {
  tokenizer: 'pixel' as const,
  image: [4, 4] as [number, number],
  channels: 1,
  patch: 2,
  tokenSide: 2,
  grid: [2, 2] as [number, number],
  tokens: 4,
  tokenDim: 4,
};

function event(
  tokens: number[],
  maskBefore: number[],
  noise: number,
  value: number,
  before: number[],
  after: number[],
): IterationEvent {
  const { encode } = tokenizerOf(geometry)!;
  const maskAfter = maskBefore.map((m, i) => (tokens.includes(i) ? 0 : m));
  const frame = (v: number): number[] => tokens.flatMap((t) => [v, v, v, v + t / 10]);
  return {
    iteration: 0,
    iterations: 2,
    tokens: Uint32Array.from(tokens),
    maskBefore: Uint8Array.from(maskBefore),
    maskAfter: Uint8Array.from(maskAfter),
    cfg: 1.5,
    timesteps: Uint32Array.from([999, 0]),
    alphaBar: Float32Array.from([0, 1]),
    trajectory: Float32Array.from([...frame(noise), ...frame(value)]),
    before: encode(Float32Array.from(before)),
    after: encode(Float32Array.from(after)),
    ms: { backbone: 1, head: 1 },
  };
}

const filled = (value: number): number[] => Array.from({ length: 16 }, () => value);
const half = [0, 0, 0.5, 0.5, 0, 0, 0.5, 0.6, 0.5, 0.5, 0, 0, 0.5, 0.7, 0, 0];
const first = event([2, 1], [1, 1, 1, 1], -3, 0.5, filled(0), half);
const second = event([0, 3], [1, 0, 0, 1], 3, -1, half, filled(-1));
const events = [first, second];

function greys(pixels: Uint8ClampedArray): number[] {
  return Array.from({ length: pixels.length / 4 }, (_, i) => pixels[4 * i]!);
}

/** The picture of the tokens at a place. */
const greysAt = (of: readonly IterationEvent[], iteration: number, frame: number): number[] =>
  greys(imagePixels(tokenizerOf(geometry)!.decode(tokensAt(of, { iteration, frame }, geometry)), geometry));

describe('toByte', () => {
  it('gives back the byte of fromByte, through 32 bits', () => {
    for (let byte = 0; byte < 256; byte++) expect(toByte(Math.fround(fromByte(byte)))).toBe(byte);
  });

  it.each([
    [-1, 0],
    [0, 128],
    [1, 255],
    [-7, 0],
    [7, 255],
    [0.5, 191],
  ])('maps %d to %d', (value, byte) => {
    expect(toByte(value)).toBe(byte);
  });
});

describe('sceneAt', () => {
  it('is all mask and mid-grey before anything is recorded', () => {
    const scene = sceneAt([], { iteration: 0, frame: -1 }, geometry);
    expect(scene.cells).toEqual(['masked', 'masked', 'masked', 'masked']);
    expect(new Set(greysAt([], 0, -1))).toEqual(new Set([128]));
    expect(new Set(greys(blankPixels(geometry)))).toEqual(new Set([128]));
    expect(stageOf(scene)).toBe('waiting');
  });

  it('shows noise at frame 0, in the places of the tokens', () => {
    const scene = sceneAt(events, { iteration: 0, frame: 0 }, geometry);
    expect(scene.cells).toEqual(['masked', 'active', 'active', 'masked']);
    expect(greysAt(events, 0, 0)).toEqual([128, 128, 0, 0, 128, 128, 0, 0, 0, 0, 128, 128, 0, 0, 128, 128]);
    expect(scene.timestep).toBe(999);
  });

  it("shows the event's own picture at the last frame", () => {
    const scene = sceneAt(events, { iteration: 0, frame: 1 }, geometry);
    expect(scene.cells).toEqual(['masked', 'newest', 'newest', 'masked']);
    expect(greysAt(events, 0, 1)).toEqual(half.map(toByte));
  });

  it('marks what was just finished and what comes next while the transformer reads', () => {
    const scene = sceneAt(events, { iteration: 1, frame: -1 }, geometry);
    expect(scene.cells).toEqual(['chosen', 'newest', 'newest', 'chosen']);
    expect(scene.known).toBe(2);
    expect(greysAt(events, 1, -1)).toEqual(half.map(toByte));
  });
});

describe('a picture that does not begin empty', () => {
  // Patch 0 is given, white, from the start.
  const given = [1, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
  const pinned = event([2], [0, 1, 1, 1], -3, 0.5, given, given);

  it('shows what is given in the very first iteration', () => {
    const scene = sceneAt([pinned], { iteration: 0, frame: -1 }, geometry);
    expect(scene.cells).toEqual(['known', 'masked', 'chosen', 'masked']);
    expect(scene.known).toBe(1);
    expect(greysAt([pinned], 0, -1)).toEqual(given.map(toByte));
  });
});

describe('tokens', () => {
  it('stand where one would say they do', () => {
    expect(placeInWords(3, geometry)).toBe('row 2, column 2');
    expect(placeInWords(1, { grid: [1, 7] })).toBe('row 1, column 2');
  });

  it('are found in the iteration that samples them', () => {
    expect(findToken(events, 3)).toEqual({ iteration: 1, slot: 1 });
    expect(findToken([first], 3)).toBeNull();
  });

  it('have the rank the order gives them', () => {
    expect(Array.from(ranksOf(Uint32Array.from([2, 1, 0, 3])))).toEqual([2, 1, 0, 3]);
    expect(Array.from(ranksOf(Uint32Array.from([3, 0, 1, 2])))).toEqual([1, 2, 3, 0]);
  });

  it('keep the channels of a colour picture apart', () => {
    const colour = { ...geometry, channels: 3, tokenDim: 12 };
    const token = Float32Array.from([-1, -1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1]);
    expect(Array.from(patchPixels(token, colour).subarray(0, 4))).toEqual([0, 128, 255, 255]);
  });
});

describe('cropPixels', () => {
  it('cuts out what a token covers', () => {
    const picture = Uint8ClampedArray.from({ length: 64 }, (_, i) => Math.floor(i / 4));
    const rows = (...at: number[]): number[] => at.flatMap((pixel) => [pixel, pixel, pixel, pixel]);
    expect(Array.from(cropPixels(picture, 1, geometry))).toEqual(rows(2, 3, 6, 7));
    expect(Array.from(cropPixels(picture, 2, geometry))).toEqual(rows(8, 9, 12, 13));
  });
});

describe('narrate', () => {
  const at = (iteration: number, frame: number) => narrate(sceneAt(events, { iteration, frame }, geometry), 2, 'Dress');

  it('follows the stages of an iteration', () => {
    expect(at(0, -1).text).toContain('No token is known yet');
    expect(at(0, 0).text).toContain('2 tokens start as pure noise');
    expect(at(0, 1).text).toContain('2 of 4 are known');
    expect(at(1, -1)).toEqual({
      heading: 'Iteration 2 of 2',
      text: 'The transformer reads the 2 tokens known so far, and the class “Dress”. It writes a vector z for each of the next 2 tokens in the order.',
    });
    expect(at(1, 1).text).toContain('the picture is finished');
  });

  it('says which stages are at work', () => {
    const stages = (iteration: number, frame: number) => working(sceneAt(events, { iteration, frame }, geometry));
    expect(stages(0, -1)).toEqual(['encoder', 'z']);
    expect(stages(0, 0)).toEqual(['diffusion']);
    expect(stages(1, 1)).toEqual(['picture']);
    expect(working(sceneAt([], { iteration: 0, frame: -1 }, geometry))).toEqual([]);
  });
});
