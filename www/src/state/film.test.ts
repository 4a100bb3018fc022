import { describe, expect, it } from 'vitest';
import { FRAME_MS, enlarge, filmFrame, indexed, shots, type FilmColours } from './film';
import type { CellState } from './scene';
import type { Extent } from './timeline';

const COLOURS: FilmColours = {
  mask: [1, 1, 1],
  maskLine: [2, 2, 2],
  transformer: [0, 0, 255],
  transformerWash: [200, 200, 255],
  diffusion: [255, 128, 0],
  newest: [0, 200, 0],
};

/** Two patches of 2 x 2 pixels side by side, all 90. */
const GEOMETRY = {
  tokenizer: 'pixel' as const,
  image: [2, 4] as [number, number],
  channels: 1,
  patch: 2,
  tokenSide: 2,
  grid: [1, 2] as [number, number],
  tokens: 2,
  tokenDim: 4,
};

function scene(cells: CellState[]) {
  return { pixels: Uint8ClampedArray.from({ length: 32 }, (_, i) => (i % 4 === 3 ? 255 : 90)), cells };
}

const even = (iterations: number, frames: number): Extent => ({
  iterations,
  frames: Array.from({ length: iterations }, () => frames),
});

describe('shots', () => {
  it.each([
    [16, 51, 16],
    [16, 51, 3],
    [49, 251, 49],
    [1, 3, 1],
  ])(
    'go from the first moment to the last recorded one (%d of %d frames, %d recorded)',
    (iterations, frames, recorded) => {
      const extent = even(iterations, frames);
      const film = shots(extent, recorded);
      const moments = film.map(({ moment }) => moment);
      expect(moments[0]).toBe(0);
      expect(moments.at(-1)).toBe(recorded * (frames + 1) - 1);
      expect(moments).toEqual([...new Set(moments)].sort((a, b) => a - b));
      expect(film.every(({ ms }) => ms > 0 && ms % 10 === 0)).toBe(true);
      // A film of a long decoding is not too long, and a film of a short one not too short.
      const seconds = film.slice(0, -1).reduce((sum, { ms }) => sum + ms, 0) / 1000;
      expect(seconds).toBeLessThanOrEqual(11.1);
      expect(film.length).toBeLessThan(150);
      expect(film.at(-1)!.ms).toBeGreaterThan(FRAME_MS * 10);
    },
  );

  it('show something of every iteration', () => {
    const iterations = new Set(shots(even(49, 251), 49).map(({ moment }) => Math.floor(moment / 252)));
    expect(iterations.size).toBe(49);
  });
});

describe('enlarge', () => {
  it('makes every pixel a square', () => {
    const pixels = Uint8ClampedArray.of(1, 2, 3, 255, 4, 5, 6, 255);
    const out = enlarge(pixels, 2, 3);
    expect(out).toHaveLength(6 * 3 * 4);
    for (let y = 0; y < 3; y++) {
      for (let x = 0; x < 6; x++) {
        const at = (y * 6 + x) * 4;
        expect([...out.slice(at, at + 4)]).toEqual(x < 3 ? [1, 2, 3, 255] : [4, 5, 6, 255]);
      }
    }
  });

  it('leaves what it is given as it was', () => {
    const pixels = Uint8ClampedArray.of(9, 9, 9, 255);
    enlarge(pixels, 1, 2)[0] = 1;
    expect(pixels[0]).toBe(9);
  });
});

describe('filmFrame', () => {
  const SCALE = 8;
  const at = (frame: Uint8ClampedArray, x: number, y: number) => [
    ...frame.slice((y * 32 + x) * 4, (y * 32 + x) * 4 + 3),
  ];

  it.each<[CellState, readonly number[], readonly number[]]>([
    ['chosen', COLOURS.transformer, COLOURS.transformerWash],
    ['active', COLOURS.diffusion, [90, 90, 90]],
    ['newest', COLOURS.newest, [90, 90, 90]],
  ])('frames a token that is %s', (state, rim, inside) => {
    const frame = filmFrame(scene([state, 'masked']), GEOMETRY, SCALE, COLOURS);
    for (const [x, y] of [
      [0, 0],
      [15, 15],
      [7, 0],
      [0, 9],
    ] as const)
      expect(at(frame, x, y)).toEqual(rim);
    expect(at(frame, 7, 7)).toEqual(inside);
  });

  it('hatches masks in two colours and leaves known tokens alone', () => {
    const frame = filmFrame(scene(['known', 'masked']), GEOMETRY, SCALE, COLOURS);
    const colours = new Set<string>();
    for (let y = 0; y < 16; y++) {
      for (let x = 0; x < 16; x++) expect(at(frame, x, y)).toEqual([90, 90, 90]);
      for (let x = 16; x < 32; x++) colours.add(String(at(frame, x, y)));
    }
    expect([...colours].sort()).toEqual(['1,1,1', '2,2,2']);
  });

  it('marks nothing on a finished picture', () => {
    const frame = filmFrame(scene(['known', 'newest']), GEOMETRY, SCALE, COLOURS);
    expect(new Set(frame)).toEqual(new Set([90, 255]));
  });
});

describe('indexed', () => {
  it('lists the colours and says where each is', () => {
    const frame = filmFrame(scene(['chosen', 'masked']), GEOMETRY, 4, COLOURS);
    const found = indexed(frame)!;
    expect(found.palette.length).toBe(4);
    const back = Array.from(found.index, (place) => [...found.palette[place]!, 255]).flat();
    expect(back).toEqual([...frame]);
  });

  it('gives up above 256 colours', () => {
    const many = Uint8ClampedArray.from(
      { length: 257 * 4 },
      (_, i) => [Math.floor(i / 4) % 256, i > 1020 ? 7 : 1, 0, 255][i % 4]!,
    );
    expect(indexed(many.slice(0, 256 * 4))?.palette).toHaveLength(256);
    expect(indexed(many)).toBeNull();
  });
});
