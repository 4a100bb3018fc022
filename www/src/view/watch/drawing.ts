// The small pictures in the stages' cards: a sequence, z as glyphs, tokens in work.

import type { CellState, Pixels } from '../../state/scene';
import type { Geometry } from '../../state/settings';
import { blow, frame, stamp } from '../draw';
import type { Palette } from '../palette.svelte';

type Context = CanvasRenderingContext2D;

/** Principal numbers of z drawn of each position. */
export const BARS = 3;

/** A token's part of the picture that was last stamped. */
function partOf(
  context: Context,
  picture: CanvasImageSource,
  position: number,
  { tokenSide: side, grid }: Geometry,
  [x, y, width, height]: readonly [number, number, number, number],
): void {
  const [left, top] = [(position % grid[1]) * side, Math.floor(position / grid[1]) * side];
  context.imageSmoothingEnabled = false;
  context.drawImage(picture, left, top, side, side, x, y, width, height);
}

/** Sets the font for all following text: setting it is slower than using it. */
function pen(context: Context, size: number, colour: string, style = ''): void {
  context.fillStyle = colour;
  context.font = `${style} 600 ${size}px 'Inter Variable', system-ui, sans-serif`;
  context.textAlign = 'center';
  context.textBaseline = 'middle';
}

/** Places in a row for a sequence to fill a square. */
export function sequenceColumns(length: number): number {
  return Math.max(4, Math.ceil(Math.sqrt(length)));
}

/** The encoder's sequence: the buffer, which holds the class, then the known tokens. */
export function drawSequence(
  context: Context,
  width: number,
  sequence: {
    buffer: number;
    known: readonly number[];
    pixels: Pixels;
    geometry: Geometry;
    palette: Palette;
    chosen: number | null;
    columns: number;
  },
): void {
  const { buffer, known, pixels, geometry, palette, chosen, columns } = sequence;
  const side = width / columns;
  const gap = Math.max(1, side * 0.08);
  const box = (i: number): [number, number, number, number] => [
    (i % columns) * side + gap,
    Math.floor(i / columns) * side + gap,
    side - 2 * gap,
    side - 2 * gap,
  ];
  context.fillStyle = palette.transformerWash;
  for (let i = 0; i < buffer; i++) context.fillRect(...box(i));
  pen(context, (side - 2 * gap) * 0.62, palette.transformer);
  for (let i = 0; i < buffer; i++) {
    const [x, y, w, h] = box(i);
    frame(context, [x, y, w, h], palette.transformer, gap);
    context.fillText('c', x + w / 2, y + h * 0.53);
  }
  const picture = stamp(pixels, geometry.image[1], geometry.image[0]);
  known.forEach((position, i) => {
    partOf(context, picture, position, geometry, box(buffer + i));
    frame(
      context,
      box(buffer + i),
      position === chosen ? palette.ink : palette.line2,
      position === chosen ? 2 * gap : 1,
    );
  });
}

/** A high quantile of the sizes, so that a few large numbers do not flatten the rest. */
function usual(numbers: Float32Array): number {
  const sizes = numbers.map(Math.abs).sort();
  return sizes[Math.floor(0.95 * (sizes.length - 1))] ?? 0;
}

/** z of every position as three bars about a line; the iteration's tokens outlined, known ones pale. */
export function drawGlyphs(
  context: Context,
  width: number,
  glyphs: {
    /** [L, BARS], or null as long as z is not known. */
    scores: Float32Array | null;
    cells: readonly CellState[];
    geometry: Geometry;
    palette: Palette;
    chosen: number | null;
  },
): void {
  const { scores, cells, geometry, palette, chosen } = glyphs;
  const [rows, columns] = geometry.grid;
  const [across, down] = [width / columns, width / Math.max(rows, columns)];
  const most = scores ? usual(scores) : 0;
  cells.forEach((state, position) => {
    const [x, y] = [(position % columns) * across, Math.floor(position / columns) * down];
    const now = state === 'chosen';
    const open = now || state === 'masked';
    if (now) {
      context.fillStyle = palette.transformerWash;
      context.fillRect(x, y, across, down);
    }
    context.fillStyle = open ? palette.transformer : palette.line2;
    if (scores && most > 0) {
      const bar = (across * 0.72) / BARS;
      for (let k = 0; k < BARS; k++) {
        const height = Math.max(-1, Math.min(1, (scores[position * BARS + k] ?? 0) / most)) * down * 0.42;
        context.globalAlpha = open ? 1 - 0.25 * k : 0.55;
        context.fillRect(
          x + across * 0.14 + k * bar,
          y + down / 2 - Math.max(0, height),
          bar * 0.8,
          Math.max(Math.abs(height), 0.5),
        );
      }
      context.globalAlpha = 1;
    } else if (now) {
      pen(context, down * 0.6, palette.transformer, 'italic');
      context.fillText('z', x + across / 2, y + down * 0.53);
    } else {
      context.globalAlpha = 0.6;
      context.fillRect(x + across * 0.42, y + down * 0.42, across * 0.16, down * 0.16);
      context.globalAlpha = 1;
    }
    context.strokeStyle = palette.line;
    context.lineWidth = 1;
    context.strokeRect(x + 0.5, y + 0.5, across - 1, down - 1);
    if (now) frame(context, [x, y, across, down], palette.transformer, Math.max(1.5, across / 11));
    if (position === chosen) frame(context, [x, y, across, down], palette.ink, Math.max(2, across / 8));
  });
}

/** What the iteration's tokens cover at one moment; before the noise, each is shown as its z. */
export function drawTokens(
  context: Context,
  width: number,
  drawn: {
    tokens: readonly number[];
    pixels: Pixels;
    geometry: Geometry;
    palette: Palette;
    stage: 'transformer' | 'diffusion' | 'finished' | 'waiting';
    chosen: number | null;
  },
): void {
  const { tokens, pixels, geometry, palette, stage, chosen } = drawn;
  const columns = Math.max(2, Math.ceil(Math.sqrt(tokens.length)));
  const side = width / columns;
  const gap = Math.max(1.5, side * 0.06);
  // A few are centred.
  const top = (width - side * Math.ceil(tokens.length / columns)) / 2;
  const left = tokens.length < columns ? (width - side * tokens.length) / 2 : 0;
  const picture = stamp(pixels, geometry.image[1], geometry.image[0]);
  tokens.forEach((position, i) => {
    const x = left + (i % columns) * side + gap;
    const y = top + Math.floor(i / columns) * side + gap;
    const box = [x, y, side - 2 * gap, side - 2 * gap] as const;
    if (stage === 'transformer') {
      context.fillStyle = palette.transformerWash;
      context.fillRect(...box);
      pen(context, box[3] * 0.5, palette.transformer, 'italic');
      context.fillText('z', x + box[2] / 2, y + box[3] * 0.53);
      frame(context, box, palette.transformer, gap);
    } else {
      partOf(context, picture, position, geometry, box);
      frame(context, box, stage === 'finished' ? palette.newest : palette.diffusion, gap);
    }
    if (position === chosen) frame(context, [box[0] - gap, box[1] - gap, side, side], palette.ink, gap);
  });
}

/** Rows of small pictures: a film of each token over its frames. */
export function drawFilm(
  context: Context,
  width: number,
  height: number,
  film: { rows: readonly (readonly Pixels[])[]; side: number; gap: number },
): void {
  const { rows, side, gap } = film;
  rows.forEach((row, r) => {
    const across = width / row.length;
    const down = height / rows.length;
    row.forEach((pixels, c) => {
      blow(context, pixels, [side, side], [c * across + gap, r * down + gap, across - 2 * gap, down - 2 * gap]);
    });
  });
}
