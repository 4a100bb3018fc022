// Drawing on canvas in the page's style: pictures with sharp pixels, hatched masks, framed tokens.

import type { CellState, Pixels } from '../state/scene';
import type { Geometry } from '../state/settings';
import type { Palette } from './palette.svelte';

/** One canvas serves all drawing: it is filled and used at once. */
let scratch: HTMLCanvasElement | null = null;

/** RGBA pixels as something that can be drawn. Valid until the next call. */
export function stamp(pixels: Pixels, width: number, height: number): CanvasImageSource {
  scratch ??= document.createElement('canvas');
  // Setting a size, even the same one, clears the canvas.
  scratch.width = width;
  scratch.height = height;
  scratch.getContext('2d')?.putImageData(new ImageData(pixels, width, height), 0, 0);
  return scratch;
}

/** Draws small pixels large, without blurring them. */
export function blow(
  context: CanvasRenderingContext2D,
  pixels: Pixels,
  size: readonly [width: number, height: number],
  box: readonly [x: number, y: number, width: number, height: number],
): void {
  context.imageSmoothingEnabled = false;
  context.drawImage(stamp(pixels, ...size), ...box);
}

/** Fills a box as a mask. */
export function hatch(
  context: CanvasRenderingContext2D,
  x: number,
  y: number,
  side: number,
  { mask, maskLine }: Palette,
): void {
  context.save();
  context.beginPath();
  context.rect(x, y, side, side);
  context.clip();
  context.fillStyle = mask;
  context.fillRect(x, y, side, side);
  context.strokeStyle = maskLine;
  context.lineWidth = Math.max(1, side / 22);
  const gap = Math.max(4, side / 5);
  context.beginPath();
  for (let d = gap / 2; d < 2 * side; d += gap) {
    context.moveTo(x + d, y);
    context.lineTo(x + d - side, y + side);
  }
  context.stroke();
  context.restore();
}

/** A frame inside a box. */
export function frame(
  context: CanvasRenderingContext2D,
  [x, y, width, height]: readonly [number, number, number, number],
  colour: string,
  thickness: number,
): void {
  context.strokeStyle = colour;
  context.lineWidth = thickness;
  const half = thickness / 2;
  context.strokeRect(x + half, y + half, width - thickness, height - thickness);
}

/** What is drawn of a picture with its grid. */
export interface Sight {
  /** RGBA of the whole picture. */
  pixels: Pixels;
  cells: readonly CellState[];
  geometry: Geometry;
  palette: Palette;
  /** A token to point out. */
  chosen: number | null;
}

/** The picture over the whole canvas: masks hatched, the tokens in work framed. */
export function drawSight(context: CanvasRenderingContext2D, width: number, height: number, sight: Sight): void {
  const { pixels, cells, geometry, palette, chosen } = sight;
  const [rows, columns] = geometry.grid;
  blow(context, pixels, [geometry.image[1], geometry.image[0]], [0, 0, width, height]);
  const [across, down] = [width / columns, height / rows];
  const thickness = Math.max(1.5, across / 11);
  cells.forEach((state, position) => {
    const x = (position % columns) * across;
    const y = Math.floor(position / columns) * down;
    const box = [x, y, across, down] as const;
    if (state === 'masked') {
      hatch(context, x, y, across, palette);
    } else if (state === 'chosen') {
      context.fillStyle = palette.transformerWash;
      context.fillRect(...box);
      frame(context, box, palette.transformer, thickness);
    } else if (state !== 'known') {
      frame(context, box, state === 'active' ? palette.diffusion : palette.newest, thickness);
    }
    if (position === chosen) frame(context, box, palette.ink, thickness * 1.4);
  });
}

/** The cell of a grid under a point, both in the canvas's own measure. */
export function cellUnder(
  x: number,
  y: number,
  width: number,
  height: number,
  [rows, columns]: [number, number],
): number {
  const row = Math.min(rows - 1, Math.max(0, Math.floor((y / height) * rows)));
  const column = Math.min(columns - 1, Math.max(0, Math.floor((x / width) * columns)));
  return row * columns + column;
}
