import { describe, expect, it } from 'vitest';
import {
  brushPixels,
  centreCrop,
  erase,
  fromShort,
  invert,
  latentPins,
  needsEncoder,
  paint,
  positionAt,
  pictureOf,
  pin,
  pinnedCount,
  pinsOf,
  rasterise,
  redo,
  sketchFromPins,
  sketchOf,
  sketchOfImage,
  sketchPixels,
  step,
  toShort,
  undo,
  type Sketch,
} from './pins';
import { toByte } from './scene';

// A 4x6 picture of 2x2 patches: 2 rows and 3 columns of tokens.
const geometry = {
  tokenizer: 'pixel' as const,
  image: [4, 6] as [number, number],
  channels: 1,
  patch: 2,
  tokenSide: 2,
  grid: [2, 3] as [number, number],
  tokens: 6,
  tokenDim: 4,
};
const all = Array<boolean>(6).fill(true);

/** Greys as RGBA. */
const rgba = (greys: readonly number[]): number[] => greys.flatMap((grey) => [grey, grey, grey, 255]);
const counting = Array.from({ length: 24 }, (_, i) => i * 10);
const empty = (): Sketch => ({ pixels: new Uint8Array(24), pinned: new Uint8Array(6), kept: new Map() });

describe('a sketch', () => {
  it('takes what is known and nothing else', () => {
    const sketch = sketchOf(rgba(counting), [false, true, false, false, false, true], geometry);
    expect(Array.from(sketch.pinned)).toEqual([0, 1, 0, 0, 0, 1]);
    expect(Array.from(sketch.pixels.subarray(0, 6))).toEqual([0, 0, 20, 30, 0, 0]);
    expect(Array.from(sketch.pixels.subarray(18))).toEqual([0, 0, 0, 0, 220, 230]);
  });

  it('gives each patch row by row, and comes back from its pins', () => {
    const sketch = sketchOf(rgba(counting), all, geometry);
    const pins = pinsOf(sketch, geometry);
    expect(Array.from(pins.keys())).toEqual([0, 1, 2, 3, 4, 5]);
    // By hand: patch 1 is rows 0 and 1, columns 2 and 3; patch 5 is rows 2 and 3, columns 4 and 5.
    expect(Array.from(pins.get(1)!, toByte)).toEqual([20, 30, 80, 90]);
    expect(Array.from(pins.get(5)!, toByte)).toEqual([160, 170, 220, 230]);
    expect(sketchFromPins(pins, geometry)).toEqual(sketch);
  });

  it('keeps the channels of a colour picture apart, the channel slowest', () => {
    const colour = { ...geometry, channels: 3, tokenDim: 12 };
    const given = Array.from({ length: 24 }, (_, i) => [i, 100 + i, 200 + i, 255]).flat();
    const sketch = sketchOfImage(given, colour);
    expect(Array.from(pinsOf(sketch, colour).get(0)!, toByte)).toEqual([
      0, 1, 6, 7, 100, 101, 106, 107, 200, 201, 206, 207,
    ]);
    expect(Array.from(sketchPixels(sketch, colour))).toEqual(given);
    expect(sketchFromPins(pinsOf(sketch, colour), colour)).toEqual(sketch);
  });

  it('turns a photo grey and pins all of it', () => {
    const red = Array.from({ length: 24 }, () => [255, 0, 0, 255]).flat();
    const sketch = sketchOfImage(red, geometry);
    expect(pinnedCount(sketch)).toBe(6);
    // 0.299 of 255, as JPEG weighs red.
    expect(new Set(sketch.pixels)).toEqual(new Set([76]));
  });

  it('shows through where nothing is pinned', () => {
    const pixels = sketchPixels(sketchOf(rgba(counting), [true, false, true, true, true, true], geometry), geometry);
    const alpha = Array.from({ length: 24 }, (_, i) => pixels[4 * i + 3]);
    expect(alpha.filter((a) => a === 0)).toHaveLength(4);
    expect([alpha[2], alpha[3], alpha[8], alpha[9]]).toEqual([0, 0, 0, 0]);
    expect(pixels[4]).toBe(10);
  });
});

describe('strokes', () => {
  it.each([
    [
      [0, 0],
      [3, 0],
      ['0,0', '1,0', '2,0', '3,0'],
    ],
    [
      [2, 3],
      [0, 1],
      ['2,3', '1,2', '0,1'],
    ],
    [
      [0, 0],
      [4, 2],
      ['0,0', '1,1', '2,1', '3,2', '4,2'],
    ],
    [[1, 1], [1, 1], ['1,1']],
  ] as const)('from %j to %j go through %j', (from, to, points) => {
    expect(rasterise(from, to).map(String)).toEqual(points);
  });

  it('leave no gap, whatever their direction', () => {
    for (const [x, y] of [
      [9, 2],
      [-3, 8],
      [-7, -7],
      [5, -9],
    ] as const) {
      const line = rasterise([0, 0], [x, y]);
      expect(line.at(-1)).toEqual([x, y]);
      for (const [i, [px, py]] of line.slice(1).entries()) {
        const [bx, by] = line[i]!;
        expect(Math.max(Math.abs(px - bx), Math.abs(py - by))).toBe(1);
      }
    }
  });

  it.each([
    [1, 1],
    [2, 4],
    [3, 9],
    [5, 21],
  ])('of a brush of %i cover %i pixels', (size, count) => {
    const pixels = brushPixels(size);
    expect(pixels).toHaveLength(count);
    expect(pixels.map(String)).toContain('0,0');
  });

  it('paint the tone, and pin what they touch', () => {
    const sketch = paint(empty(), [1, 0], [2, 0], { size: 1, colour: [200] }, geometry);
    expect(Array.from(sketch.pixels.subarray(0, 6))).toEqual([0, 200, 200, 0, 0, 0]);
    expect(Array.from(sketch.pinned)).toEqual([1, 1, 0, 0, 0, 0]);
  });

  it('stop at the edge of the picture', () => {
    const sketch = paint(empty(), [-3, 3], [0, 3], { size: 1, colour: [9] }, geometry);
    expect(Array.from(sketch.pixels).flatMap((value, i) => (value ? [i] : []))).toEqual([18]);
    expect(positionAt([6, 0], geometry)).toBeNull();
    expect(positionAt([5, 3], geometry)).toBe(5);
  });

  it('rub out whole patches, for good', () => {
    const full = sketchOf(rgba(counting), all, geometry);
    const rubbed = erase(full, [4, 0], [4, 3], 1, geometry);
    expect(Array.from(rubbed.pinned)).toEqual([1, 1, 0, 1, 1, 0]);
    const again = pin(rubbed, [2], true);
    expect(Array.from(pinsOf(again, geometry).get(2)!, toByte)).toEqual([0, 0, 0, 0]);
    // The sketch before is as it was.
    expect(pinnedCount(full)).toBe(6);
  });
});

it('letting go of a patch keeps what it holds', () => {
  const full = sketchOf(rgba(counting), all, geometry);
  const less = pin(full, [1, 4], false);
  expect(pinnedCount(less)).toBe(4);
  expect(pin(less, [1, 4], true)).toEqual(full);
});

it('inverting twice changes nothing', () => {
  const full = sketchOf(rgba(counting), all, geometry);
  expect(invert(full).pixels[1]).toBe(245);
  expect(invert(invert(full))).toEqual(full);
});

it('the crop is as large as it can be, in the middle', () => {
  expect(centreCrop(300, 100, [28, 28])).toEqual({ x: 100, y: 0, width: 100, height: 100 });
  expect(centreCrop(60, 100, [4, 6])).toEqual({ x: 0, y: 30, width: 60, height: 40 });
});

describe('a sketch of latents', () => {
  // The same grid, of latents of two numbers that stand for 2x2 pixels of three colours.
  const latent = { ...geometry, tokenizer: 'kl' as const, channels: 3, patch: 1, tokenDim: 2 };
  const tokens = Float32Array.from({ length: 12 }, (_, i) => i / 4);
  const encoded = Float32Array.from({ length: 12 }, (_, i) => -i);
  const sketch = sketchOf(rgba(counting), [true, true, false, false, false, true], latent, tokens);
  const pinned = (of: Sketch) => Object.fromEntries([...latentPins(of, encoded, latent)].map(([k, v]) => [k, [...v]]));

  it('gives known tokens as they are, without the encoder', () => {
    expect(needsEncoder(sketch)).toBe(false);
    expect(pinned(sketch)).toEqual({ 0: [0, 0.25], 1: [0.5, 0.75], 5: [2.5, 2.75] });
  });

  it('keeps all pixels, since the encoder looks around', () => {
    expect(Array.from(sketch.pixels.subarray(0, 24))).toEqual(counting);
    expect(Array.from(pictureOf(sketch), toByte)).toEqual(Array.from(sketch.pixels));
  });

  it('takes the encoder’s tokens where it was painted, and only there', () => {
    const painted = paint(sketch, [3, 0], [4, 0], { size: 1, colour: [1, 2, 3] }, latent);
    expect(needsEncoder(painted)).toBe(true);
    expect(pinned(painted)).toEqual({ 0: [0, 0.25], 1: [-2, -3], 2: [-4, -5], 5: [2.5, 2.75] });
    expect([painted.pixels[3], painted.pixels[27], painted.pixels[51]]).toEqual([1, 2, 3]);
    expect(needsEncoder(sketch)).toBe(false);
  });

  it('keeps a token that is masked and given again, not one that was rubbed out', () => {
    const masked = pin(sketch, [1], false);
    expect(pinned(masked)).toEqual({ 0: [0, 0.25], 5: [2.5, 2.75] });
    expect(pinned(pin(masked, [1], true))).toEqual(pinned(sketch));
    const rubbed = pin(erase(sketch, [2, 0], [2, 0], 1, latent), [1], true);
    expect(pinned(rubbed)[1]).toEqual([-2, -3]);
    // What is rubbed out is white.
    expect(rubbed.pixels[2]).toBe(255);
  });

  it('needs the encoder for all of an upload, and once light and dark are inverted', () => {
    expect(needsEncoder(sketchOfImage(rgba(counting), latent))).toBe(true);
    expect(pinned(invert(sketch))).toEqual({ 0: [-0, -1], 1: [-2, -3], 5: [-10, -11].map(() => -8) });
  });

  it('gives numbers that an address holds', () => {
    for (const value of [0.1, -3.33, 7.99, 100, -100]) {
      const held = fromShort(toShort(value));
      expect(fromShort(toShort(held))).toBe(held);
      expect(Math.fround(held)).toBe(held);
      if (Math.abs(value) < 8) expect(Math.abs(held - value)).toBeLessThanOrEqual(1 / 8192);
    }
  });
});

describe('undo', () => {
  const [a, b, c] = [1, 2, 3].map((n) => ({ ...empty(), pixels: new Uint8Array(24).fill(n) })) as [
    Sketch,
    Sketch,
    Sketch,
  ];

  it('goes back and on again', () => {
    const two = step(step({ past: [], now: a, future: [] }, b), c);
    expect(undo(two).now).toBe(b);
    expect(undo(undo(two)).now).toBe(a);
    expect(undo(undo(undo(two))).now).toBe(a);
    expect(redo(undo(undo(two))).now).toBe(b);
    expect(redo(redo(redo(undo(undo(two)))))).toEqual(two);
  });

  it('forgets what was undone once something else is done', () => {
    const other = step(undo(step({ past: [], now: a, future: [] }, b)), c);
    expect(redo(other).now).toBe(c);
    expect(undo(other).now).toBe(a);
  });
});
