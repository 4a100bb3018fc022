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
}

/** Column and row, whole numbers. */
export type Point = readonly [x: number, y: number];

export interface Brush {
  /** Diameter in pixels. */
  readonly size: number;
  /** The byte painted, in every channel. */
  readonly tone: number;
}

/** The tone of unknown tokens: black, the background of the training pictures. */
const BACKGROUND = 0;

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

/** The sketch of RGBA as shown, with the tokens pinned that are known. */
export function sketchOf(rgba: ArrayLike<number>, known: readonly boolean[], geometry: Geometry): Sketch {
  const [height, width] = geometry.image;
  const plane = height * width;
  const pixels = new Uint8Array(geometry.channels * plane);
  const pinned = Uint8Array.from({ length: geometry.tokens }, (_, position) => (known[position] ? 1 : 0));
  for (let i = 0; i < plane; i++) {
    const position = positionAt([i % width, Math.floor(i / width)], geometry);
    for (let c = 0; c < geometry.channels; c++) {
      pixels[c * plane + i] = position !== null && pinned[position] ? (rgba[4 * i + c] ?? BACKGROUND) : BACKGROUND;
    }
  }
  return { pixels, pinned };
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

/** The pinned tokens. */
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

/** The sketch these pins came from, with nothing in the others. */
export function sketchFromPins(pins: Pins, geometry: Geometry): Sketch {
  const [height, width] = geometry.image;
  const pixels = new Uint8Array(geometry.channels * height * width).fill(BACKGROUND);
  const pinned = new Uint8Array(geometry.tokens);
  for (const [position, token] of pins) {
    pinned[position] = 1;
    coveredBy(position, geometry).forEach((at, i) => (pixels[at] = toByte(token[i] ?? 0)));
  }
  return { pixels, pinned };
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

/** Paints a straight stroke. What is painted on is pinned. */
export function paint(sketch: Sketch, from: Point, to: Point, { size, tone }: Brush, geometry: Geometry): Sketch {
  const [height, width] = geometry.image;
  const pixels = sketch.pixels.slice();
  const pinned = sketch.pinned.slice();
  for (const [x, y] of covered(from, to, size, geometry.image)) {
    for (let c = 0; c < geometry.channels; c++) pixels[c * height * width + y * width + x] = tone;
    pinned[positionAt([x, y], geometry) ?? 0] = 1;
  }
  return { pixels, pinned };
}

/** Erases every token under a straight stroke: it is masked and empty. */
export function erase(sketch: Sketch, from: Point, to: Point, size: number, geometry: Geometry): Sketch {
  const pixels = sketch.pixels.slice();
  const pinned = sketch.pinned.slice();
  const positions = new Set(covered(from, to, size, geometry.image).map((point) => positionAt(point, geometry) ?? 0));
  for (const position of positions) {
    pinned[position] = 0;
    for (const at of coveredBy(position, geometry)) pixels[at] = BACKGROUND;
  }
  return { pixels, pinned };
}

/** Pins or unpins tokens; their pixels stay for a later pin. */
export function pin(sketch: Sketch, positions: Iterable<number>, given: boolean): Sketch {
  const pinned = sketch.pinned.slice();
  for (const position of positions) pinned[position] = given ? 1 : 0;
  return { pixels: sketch.pixels, pinned };
}

/** Inverts light and dark. Pictures of the training data are light on black. */
export function invert(sketch: Sketch): Sketch {
  return { pixels: sketch.pixels.map((value) => 255 - value), pinned: sketch.pinned };
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
