// Numbers as colours: the ramps of attention (blue), similarity (red over nothing to blue) and spread (orange).

import { scaleLinear } from 'd3-scale';
import type { Overlay } from '../state/view.svelte';
import type { Palette } from './palette.svelte';

/** 256 colours, three bytes each, for values from 0 to 1. */
export type Ramp = Uint8ClampedArray;

/** The colours a tone goes through, from 0 to 1; similarity has its nothing in the middle. */
export function stopsOf(tone: Overlay['tone'], { card, transformer, diffusion, danger }: Palette): string[] {
  switch (tone) {
    case 'attention':
      return [card, transformer];
    case 'similarity':
      return [danger, card, transformer];
    case 'spread':
      return [card, diffusion];
  }
}

export function rampOf(stops: readonly string[]): Ramp {
  const scale = scaleLinear<string>()
    .domain(stops.map((_, i) => i / (stops.length - 1)))
    .range(stops);
  const ramp = new Uint8ClampedArray(256 * 3);
  for (let i = 0; i < 256; i++) {
    // d3 writes colours between others as rgb(r, g, b).
    const parts = scale(i / 255).match(/[\d.]+/g) ?? [];
    for (let c = 0; c < 3; c++) ramp[3 * i + c] = Number(parts[c]);
  }
  return ramp;
}

/** Values as RGBA, a pixel each; NaN is transparent. */
export function heatPixels(values: ArrayLike<number>, ramp: Ramp): Uint8ClampedArray<ArrayBuffer> {
  const pixels = new Uint8ClampedArray(values.length * 4);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? NaN;
    if (Number.isNaN(value)) continue;
    const at = 3 * Math.round(255 * Math.min(1, Math.max(0, value)));
    pixels.set(ramp.subarray(at, at + 3), 4 * i);
    pixels[4 * i + 3] = 255;
  }
  return pixels;
}
