// The visitor's drawing: a sketch of pixels with pinned tokens, and the strokes that change it.
// Every change is a function from one sketch to the next, so undo returns to an earlier one.

import type { Pins } from './branch.svelte';
import { fromByte, toByte } from './scene';
import type { Geometry } from './settings';

export interface Sketch {
  /** [channels, height, width]: bytes as on screen. Tokens that are not pinned keep what their pixels held. */
  readonly pixels: Uint8Array;
  /** [L], 1 = given. */
  readonly pinned: Uint8Array;
  /** Latents whose pixels nobody has touched, by position: they are given as they are. */
  readonly kept: Pins;
}

const NONE: Pins = new Map();

/** Column and row, whole numbers. */
export type Point = readonly [x: number, y: number];

export interface Brush {
  /** Diameter in pixels. */
  readonly size: number;
  /** The byte painted, for each channel. */
  readonly colour: readonly number[];
}

/** The byte where nothing is drawn: black on grey pictures, which is the background of the training pictures, else white. */
export function backgroundOf({ channels }: Pick<Geometry, 'channels'>): number {
  return channels === 1 ? 0 : 255;
}

/** Latents in an address, and so in a pin, are multiples of this, from -8 to 8. */
const LATENT_STEP = 1 / 4096;

/** A latent as a whole number of 16 bits. */
export function toShort(latent: number): number {
  return Math.max(-32_768, Math.min(32_767, Math.round(latent / LATENT_STEP)));
}

export function fromShort(short: number): number {
  return short * LATENT_STEP;
}

/** The position of the token that covers a pixel; null outside of the picture. */
export function positionAt([x, y]: Point, { image: [height, width], tokenSide, grid }: Geometry): number | null {
  if (x < 0 || y < 0 || x >= width || y >= height) return null;
  return Math.floor(y / tokenSide) * grid[1] + Math.floor(x / tokenSide);
}

/** Where the pixels that a token covers lie in [channels, height, width], the channel slowest. */
function coveredBy(position: number, { image, channels, tokenSide: side, grid }: Geometry): number[] {
  const [height, width] = image;
  const top = Math.floor(position / grid[1]) * side;
  const left = (position % grid[1]) * side;
  return Array.from({ length: channels * side * side }, (_, i) => {
    const channel = Math.floor(i / (side * side));
    const row = Math.floor(i / side) % side;
    return channel * height * width + (top + row) * width + left + (i % side);
  });
}

/** The sketch of RGBA as shown, with the tokens pinned that are known; of latents, with those they are [L, tokenDim]. */
export function sketchOf(
  rgba: ArrayLike<number>,
  known: readonly boolean[],
  geometry: Geometry,
  latents?: Float32Array,
): Sketch {
  const [height, width] = geometry.image;
  const plane = height * width;
  const pixels = new Uint8Array(geometry.channels * plane);
  const pinned = Uint8Array.from({ length: geometry.tokens }, (_, position) => (known[position] ? 1 : 0));
  for (let i = 0; i < plane; i++) {
    const position = positionAt([i % width, Math.floor(i / width)], geometry);
    for (let c = 0; c < geometry.channels; c++) {
      // Latents are decoded, and encoded, together with what lies around them.
      const shown = latents !== undefined || (position !== null && pinned[position] === 1);
      pixels[c * plane + i] = shown ? (rgba[4 * i + c] ?? 0) : backgroundOf(geometry);
    }
  }
  const { tokenDim } = geometry;
  const kept = latents
    ? new Map(known.flatMap((given, i) => (given ? [[i, latents.slice(i * tokenDim, (i + 1) * tokenDim)]] : [])))
    : NONE;
  return { pixels, pinned, kept };
}

/** A sketch of a whole picture given as RGBA of the model's size; a model of one channel takes its grey. */
export function sketchOfImage(rgba: ArrayLike<number>, geometry: Geometry): Sketch {
  const [height, width] = geometry.image;
  const grey = new Uint8ClampedArray(height * width * 4);
  for (let at = 0; at < grey.length; at += 4) {
    const [r = 0, g = 0, b = 0] = [rgba[at], rgba[at + 1], rgba[at + 2]];
    // The luma of JPEG and of most programs that turn a photo grey.
    const luma = 0.299 * r + 0.587 * g + 0.114 * b;
    grey.set(geometry.channels === 1 ? [luma, luma, luma, 255] : [r, g, b, 255], at);
  }
  return sketchOf(grey, Array<boolean>(geometry.tokens).fill(true), geometry);
}

/** The sketch as RGBA; tokens that are not pinned are transparent. */
export function sketchPixels({ pixels, pinned }: Sketch, geometry: Geometry): Uint8ClampedArray<ArrayBuffer> {
  const [height, width] = geometry.image;
  const plane = height * width;
  const out = new Uint8ClampedArray(plane * 4);
  for (let i = 0; i < plane; i++) {
    const position = positionAt([i % width, Math.floor(i / width)], geometry) ?? 0;
    for (let c = 0; c < 3; c++) out[4 * i + c] = pixels[Math.min(c, geometry.channels - 1) * plane + i] ?? 0;
    out[4 * i + 3] = pinned[position] ? 255 : 0;
  }
  return out;
}

/** Whether the pins of these latents need the encoder: something was painted or uploaded. */
export function needsEncoder({ pinned, kept }: Sketch): boolean {
  return pinned.some((given, position) => given === 1 && !kept.has(position));
}

/** The sketch as a picture for an encoder, [channels, height, width] in [-1, 1]. */
export function pictureOf({ pixels }: Sketch): Float32Array {
  return Float32Array.from(pixels, fromByte);
}

/** The pinned latents: those that were kept, and of what was touched the encoder's, [L, tokenDim]. */
export function latentPins({ pinned, kept }: Sketch, encoded: Float32Array, { tokenDim }: Geometry): Pins {
  const pins = new Map<number, Float32Array>();
  pinned.forEach((given, position) => {
    if (!given) return;
    const token = kept.get(position) ?? encoded.subarray(position * tokenDim, (position + 1) * tokenDim);
    pins.set(
      position,
      token.map((value) => fromShort(toShort(value))),
    );
  });
  return pins;
}

/** The pinned tokens of pixels. */
export function pinsOf({ pixels, pinned }: Sketch, geometry: Geometry): Pins {
  const pins = new Map<number, Float32Array>();
  pinned.forEach((given, position) => {
    if (!given) return;
    const indices = coveredBy(position, geometry);
    pins.set(
      position,
      Float32Array.from(indices, (at) => fromByte(pixels[at] ?? 0)),
    );
  });
  return pins;
}

/** The sketch these pins of pixels came from, with nothing in the others. */
export function sketchFromPins(pins: Pins, geometry: Geometry): Sketch {
  const [height, width] = geometry.image;
  const pixels = new Uint8Array(geometry.channels * height * width).fill(backgroundOf(geometry));
  const pinned = new Uint8Array(geometry.tokens);
  for (const [position, token] of pins) {
    pinned[position] = 1;
    coveredBy(position, geometry).forEach((at, i) => (pixels[at] = toByte(token[i] ?? 0)));
  }
  return { pixels, pinned, kept: NONE };
}

/** How many tokens are pinned. */
export function pinnedCount({ pinned }: Sketch): number {
  return pinned.reduce((n, given) => n + given, 0);
}

/** The points of a straight line, both ends included, each a neighbour of the one before (Bresenham). */
export function rasterise([x0, y0]: Point, [x1, y1]: Point): Point[] {
  const points: Point[] = [];
  const [dx, dy] = [Math.abs(x1 - x0), -Math.abs(y1 - y0)];
  const [stepX, stepY] = [x0 < x1 ? 1 : -1, y0 < y1 ? 1 : -1];
  let [x, y, error] = [x0, y0, dx + dy];
  for (;;) {
    points.push([x, y]);
    if (x === x1 && y === y1) return points;
    const twice = 2 * error;
    if (twice >= dy) {
      error += dy;
      x += stepX;
    }
    if (twice <= dx) {
      error += dx;
      y += stepY;
    }
  }
}

/** The pixels a round brush covers, about the one it is at. */
export function brushPixels(size: number): Point[] {
  const first = -Math.floor((size - 1) / 2);
  const middle = first + (size - 1) / 2;
  const offsets = Array.from({ length: size }, (_, i) => first + i);
  return offsets.flatMap((y) =>
    offsets.filter((x) => Math.hypot(x - middle, y - middle) <= size / 2).map((x): Point => [x, y]),
  );
}

/** The pixels of the picture under a stroke. */
function covered(from: Point, to: Point, size: number, [height, width]: readonly [number, number]): Point[] {
  const brush = brushPixels(size);
  return rasterise(from, to)
    .flatMap(([x, y]) => brush.map(([dx, dy]): Point => [x + dx, y + dy]))
    .filter(([x, y]) => x >= 0 && y >= 0 && x < width && y < height);
}

function without(kept: Pins, touched: ReadonlySet<number>): Pins {
  return kept.size === 0 ? kept : new Map([...kept].filter(([position]) => !touched.has(position)));
}

/** Paints a straight stroke. What is painted on is pinned. */
export function paint(sketch: Sketch, from: Point, to: Point, { size, colour }: Brush, geometry: Geometry): Sketch {
  const [height, width] = geometry.image;
  const pixels = sketch.pixels.slice();
  const pinned = sketch.pinned.slice();
  const touched = new Set<number>();
  for (const [x, y] of covered(from, to, size, geometry.image)) {
    for (let c = 0; c < geometry.channels; c++) pixels[c * height * width + y * width + x] = colour[c] ?? 0;
    const position = positionAt([x, y], geometry) ?? 0;
    pinned[position] = 1;
    touched.add(position);
  }
  return { pixels, pinned, kept: without(sketch.kept, touched) };
}

/** Erases every token under a straight stroke: it is masked and empty. */
export function erase(sketch: Sketch, from: Point, to: Point, size: number, geometry: Geometry): Sketch {
  const pixels = sketch.pixels.slice();
  const pinned = sketch.pinned.slice();
  const positions = new Set(covered(from, to, size, geometry.image).map((point) => positionAt(point, geometry) ?? 0));
  for (const position of positions) {
    pinned[position] = 0;
    for (const at of coveredBy(position, geometry)) pixels[at] = backgroundOf(geometry);
  }
  return { pixels, pinned, kept: without(sketch.kept, positions) };
}

/** Pins or unpins tokens; their pixels stay for a later pin. */
export function pin(sketch: Sketch, positions: Iterable<number>, given: boolean): Sketch {
  const pinned = sketch.pinned.slice();
  for (const position of positions) pinned[position] = given ? 1 : 0;
  return { pixels: sketch.pixels, pinned, kept: sketch.kept };
}

/** Inverts light and dark. */
export function invert(sketch: Sketch): Sketch {
  return { pixels: sketch.pixels.map((value) => 255 - value), pinned: sketch.pinned, kept: NONE };
}

/** The largest part about the middle of a picture that has the model's proportions. */
export function centreCrop(
  width: number,
  height: number,
  [rows, columns]: readonly [number, number],
): { x: number; y: number; width: number; height: number } {
  const scale = Math.min(width / columns, height / rows);
  const [w, h] = [columns * scale, rows * scale];
  return { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h };
}

/** A sketch with its undo and redo history. */
export interface History {
  readonly past: readonly Sketch[];
  readonly now: Sketch;
  readonly future: readonly Sketch[];
}

/** Steps that can be undone: more than enough, and under a megabyte. */
const KEPT = 200;

/** Adds a step; the redo history is lost. */
export function step({ past, now }: History, next: Sketch): History {
  return { past: [...past, now].slice(-KEPT), now: next, future: [] };
}

export function undo(history: History): History {
  const before = history.past.at(-1);
  if (!before) return history;
  return { past: history.past.slice(0, -1), now: before, future: [history.now, ...history.future] };
}

export function redo(history: History): History {
  const [next, ...future] = history.future;
  return next ? { past: [...history.past, history.now], now: next, future } : history;
}
