import { describe, expect, it } from 'vitest';
import { quantise } from './quantise';

// 4x4 pixels of four 2x2 tokens, each of one grey: -1, -0.8, 0.6, 1.
const geometry = {
  tokenizer: 'pixel',
  image: [4, 4],
  channels: 1,
  patch: 2,
  grid: [2, 2],
  tokens: 4,
  tokenDim: 4,
} as const;
const facts = { ...geometry, image: [4, 4] as [number, number], grid: [2, 2] as [number, number] };
const picture = (a: number, b: number, c: number, d: number): number[] => [
  a,
  a,
  b,
  b,
  a,
  a,
  b,
  b,
  c,
  c,
  d,
  d,
  c,
  c,
  d,
  d,
];
const image = Float32Array.from(picture(-1, -0.8, 0.6, 1));

describe('quantise', () => {
  it('rounds to the mean with one entry', () => {
    const { image: rounded, error } = quantise(image, facts, 1);
    rounded.forEach((value) => expect(value).toBeCloseTo(-0.05, 6));
    const squares = [-1, -0.8, 0.6, 1].map((value) => (value + 0.05) ** 2);
    expect(error).toBeCloseTo(127.5 * Math.sqrt(squares.reduce((a, b) => a + b) / 4), 3);
  });

  it('finds the two groups there are', () => {
    const { image: rounded } = quantise(image, facts, 2);
    picture(-0.9, -0.9, 0.8, 0.8).forEach((value, i) => expect(rounded[i]).toBeCloseTo(value, 6));
  });

  it('loses nothing with an entry for each token', () => {
    const { image: rounded, error } = quantise(image, facts, 4);
    expect(rounded).toEqual(image);
    expect(error).toBe(0);
  });

  it('keeps the channels of a colour picture apart', () => {
    const colour = { ...facts, channels: 3, tokenDim: 12 };
    const planes = Float32Array.from([image, image.map((v) => v / 2), image.map((v) => -v)].flatMap((p) => [...p]));
    expect(quantise(planes, colour, 4).image).toEqual(planes);
  });

  it('manages with fewer kinds of token than entries', () => {
    const flat = new Float32Array(16).fill(0.25);
    expect(quantise(flat, facts, 3).image).toEqual(flat);
  });
});
