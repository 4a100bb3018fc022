// A decoding as a film: its moments, their durations, and its frames.
// Frames are plain pixels, so that a GIF, a video and a test see the same.

import type { CellState, Pixels, Scene } from './scene';
import type { Geometry } from './settings';
import { lastMoment, momentAt, type Extent } from './timeline';

export type Colour = readonly [red: number, green: number, blue: number];

/** The page's colours for what is marked on a picture. */
export interface FilmColours {
  mask: Colour;
  maskLine: Colour;
  transformer: Colour;
  transformerWash: Colour;
  diffusion: Colour;
  newest: Colour;
}

/** A moment of the timeline and how long it stands, in ms. */
export interface Shot {
  moment: number;
  ms: number;
}

/** Time between frames, in ms; GIFs count in hundredths of a second. */
export const FRAME_MS = 80;
/** How long the finished picture stands, in ms. */
const HOLD_MS = 2000;
/** Playing time without the last picture, in ms: for each iteration, and the most for all together. */
const ITERATION_MS = 640;
const MOST_MS = 11_000;

/** The moments of a film of the recording, evenly spaced in playing time; a moment that lasts longer is a longer shot. */
export function shots(extent: Extent, recorded: number): Shot[] {
  const last = lastMoment(recorded, extent);
  const length = Math.min(MOST_MS, extent.iterations * ITERATION_MS) * (recorded / extent.iterations);
  const count = Math.max(1, Math.round(length / FRAME_MS));
  const film: Shot[] = [];
  for (let i = 0; i < count; i++) {
    const moment = Math.min(last, momentAt((i / count) * recorded, extent));
    const before = film.at(-1);
    if (before?.moment === moment) before.ms += FRAME_MS;
    else film.push({ moment, ms: FRAME_MS });
  }
  const end = film.at(-1);
  if (end?.moment === last) end.ms = HOLD_MS;
  else film.push({ moment: last, ms: HOLD_MS });
  return film;
}

/** RGBA blown up by a whole number, every pixel a square. */
export function enlarge(pixels: Uint8ClampedArray, width: number, scale: number): Pixels {
  const height = pixels.length / 4 / width;
  const source = new Uint32Array(pixels.slice().buffer);
  const out = new Uint32Array(source.length * scale * scale);
  for (let y = 0; y < height; y++) {
    const row = y * scale * width * scale;
    for (let x = 0; x < width; x++) {
      out.fill(source[y * width + x]!, row + x * scale, row + (x + 1) * scale);
    }
    for (let copy = 1; copy < scale; copy++) {
      out.copyWithin(row + copy * width * scale, row, row + width * scale);
    }
  }
  return new Uint8ClampedArray(out.buffer);
}

/** How a cell is marked: all of it (masked, chosen), or its rim. */
function marks(state: CellState, side: number, colours: FilmColours): (x: number, y: number) => Colour | null {
  const rim = Math.max(1, Math.round(side / 14));
  const pitch = Math.max(3, Math.round(side / 5));
  const line = Math.max(1, Math.round(side / 22));
  const onRim = (x: number, y: number): boolean => Math.min(x, y, side - 1 - x, side - 1 - y) < rim;
  switch (state) {
    case 'masked':
      return (x, y) => ((x + y) % pitch < line ? colours.maskLine : colours.mask);
    case 'chosen':
      return (x, y) => (onRim(x, y) ? colours.transformer : colours.transformerWash);
    case 'active':
      return (x, y) => (onRim(x, y) ? colours.diffusion : null);
    case 'newest':
      return (x, y) => (onRim(x, y) ? colours.newest : null);
    case 'known':
      return () => null;
  }
}

/** A frame at `scale` times the picture's size, as RGBA: masks hatched, the tokens in work framed. */
export function filmFrame(
  { pixels, cells }: Pick<Scene, 'cells'> & { pixels: Pixels },
  { image, grid, tokenSide }: Geometry,
  scale: number,
  colours: FilmColours,
): Pixels {
  const frame = enlarge(pixels, image[1], scale);
  // Nothing is left to mark on a finished picture.
  if (cells.every((state) => state === 'known' || state === 'newest')) return frame;
  const width = image[1] * scale;
  const side = tokenSide * scale;
  cells.forEach((state, position) => {
    if (state === 'known') return;
    const mark = marks(state, side, colours);
    const top = Math.floor(position / grid[1]) * side;
    const left = (position % grid[1]) * side;
    for (let y = 0; y < side; y++) {
      for (let x = 0; x < side; x++) {
        const colour = mark(x, y);
        if (colour) frame.set(colour, ((top + y) * width + left + x) * 4);
      }
    }
  });
  return frame;
}

/** The most colours of a picture in a GIF; the marks on it have some more. */
export const GIF_COLOURS = 240;

/** A frame as places in a list of its colours; null where they are more than `most`, by default too many for a GIF. */
export function indexed(frame: Uint8ClampedArray, most = 256): { palette: Colour[]; index: Uint8Array } | null {
  const places = new Map<number, number>();
  const palette: Colour[] = [];
  const index = new Uint8Array(frame.length / 4);
  const pixels = new Uint32Array(frame.buffer, frame.byteOffset, index.length);
  for (let i = 0; i < index.length; i++) {
    const pixel = pixels[i]!;
    let place = places.get(pixel);
    if (place === undefined) {
      place = palette.length;
      if (place === most) return null;
      places.set(pixel, place);
      palette.push([frame[4 * i]!, frame[4 * i + 1]!, frame[4 * i + 2]!]);
    }
    index[i] = place;
  }
  return { palette, index };
}
