// Films of a decoding as files: an animated GIF, computed in slices, and a video, recorded as it plays.
// A signal can abort both at any time; they then throw its reason.

import type { IterationEvent } from '../../engine/types';
import { GIF_COLOURS, filmFrame, indexed, shots, type Colour, type FilmColours } from '../../state/film';
import { cellsAt, type Pixels } from '../../state/scene';
import type { Geometry } from '../../state/settings';
import { placeOf, type Extent, type Place } from '../../state/timeline';
import type { Palette } from '../palette.svelte';

export interface Film {
  events: readonly IterationEvent[];
  /** The picture at a place. */
  picture: (place: Place) => Promise<Pixels>;
  extent: Extent;
  geometry: Geometry;
  colours: FilmColours;
  /** Pixels of the film to a pixel of the picture. */
  scale: number;
  /** Called with the share that is done. */
  onProgress: (share: number) => void;
  signal: AbortSignal;
}

/** The longest time that the page may be blocked, in ms; too short to notice. */
const SLICE_MS = 8;

/** Video formats, the most widely played first. */
const FORMATS = ['video/mp4;codecs=avc1.42E01E', 'video/webm;codecs=vp9', 'video/webm;codecs=vp8'] as const;

/** The format this browser records; null where it records none. */
export function videoFormat(): (typeof FORMATS)[number] | null {
  if (typeof MediaRecorder === 'undefined' || !('captureStream' in HTMLCanvasElement.prototype)) return null;
  return FORMATS.find((format) => MediaRecorder.isTypeSupported(format)) ?? null;
}

/** The colours of the page as numbers. A canvas parses every notation of a colour. */
export function filmColours(palette: Palette): FilmColours {
  const context = document.createElement('canvas').getContext('2d');
  const rgb = (colour: string): Colour => {
    if (!context) return [128, 128, 128];
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    const [red = 0, green = 0, blue = 0] = context.getImageData(0, 0, 1, 1).data;
    return [red, green, blue];
  };
  return {
    mask: rgb(palette.mask),
    maskLine: rgb(palette.maskLine),
    transformer: rgb(palette.transformer),
    transformerWash: rgb(palette.transformerWash),
    diffusion: rgb(palette.diffusion),
    newest: rgb(palette.newest),
  };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** A frame; `reduce` may take colours away before the picture is enlarged. */
async function frameAt(
  film: Film,
  moment: number,
  reduce: (pixels: Pixels) => Pixels = (pixels) => pixels,
): Promise<Pixels> {
  const { events, picture, extent, geometry, colours, scale } = film;
  const place = placeOf(moment, extent);
  const shown = { pixels: reduce(await picture(place)), cells: cellsAt(events, place, geometry) };
  return filmFrame(shown, geometry, scale, colours);
}

/** The film as an animated GIF that plays for ever. */
export async function makeGif(film: Film): Promise<Blob> {
  const { GIFEncoder, quantize, applyPalette } = await import('gifenc');
  const [height, width] = film.geometry.image.map((side) => side * film.scale) as [number, number];
  const encoder = GIFEncoder();
  /** With few enough colours for a GIF. The small picture has far fewer pixels to find them in than the large one. */
  const reduce = (pixels: Pixels): Pixels => {
    if (indexed(pixels, GIF_COLOURS)) return pixels;
    const palette = quantize(pixels, GIF_COLOURS);
    const index = applyPalette(pixels, palette);
    const out = new Uint8ClampedArray(pixels.length);
    index.forEach((place, i) => {
      out.set([...(palette[place] ?? [0, 0, 0]), 255], 4 * i);
    });
    return out;
  };
  const whole = (frame: Pixels): { palette: Colour[]; index: Uint8Array } => {
    const palette = quantize(frame, 256) as Colour[];
    return { palette, index: applyPalette(frame, palette) };
  };
  const list = shots(film.extent, film.events.length);
  let since = performance.now();
  for (const [i, { moment, ms }] of list.entries()) {
    film.signal.throwIfAborted();
    const frame = await frameAt(film, moment, reduce);
    const found = indexed(frame) ?? whole(frame);
    encoder.writeFrame(found.index, width, height, { palette: found.palette, delay: ms, repeat: 0 });
    if (performance.now() - since > SLICE_MS) {
      film.onProgress((i + 1) / list.length);
      await pause(0);
      since = performance.now();
    }
  }
  encoder.finish();
  return new Blob([encoder.bytes()], { type: 'image/gif' });
}

/** The film as a video; takes as long as it plays. */
export async function makeVideo(film: Film, format: string): Promise<Blob> {
  const [height, width] = film.geometry.image.map((side) => side * film.scale) as [number, number];
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext('2d');
  if (!context) throw new Error('This browser gives no canvas to draw on. Save the GIF instead.');
  const list = shots(film.extent, film.events.length);
  const length = list.reduce((sum, { ms }) => sum + ms, 0);
  const draw = async (moment: number): Promise<void> => {
    context.putImageData(new ImageData(await frameAt(film, moment), width, height), 0, 0);
  };
  // A picture that must be decoded first would keep the film waiting.
  for (const { moment } of list) {
    film.signal.throwIfAborted();
    await film.picture(placeOf(moment, film.extent));
  }
  await draw(0);

  const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: format, videoBitsPerSecond: 4_000_000 });
  const parts: Blob[] = [];
  recorder.addEventListener('dataavailable', ({ data }) => parts.push(data));
  const ended = new Promise<void>((resolve, reject) => {
    recorder.addEventListener('stop', () => {
      resolve();
    });
    recorder.addEventListener('error', () => {
      reject(new Error('The browser stopped recording the video. Save the GIF instead.'));
    });
  });
  recorder.start();
  try {
    const begin = performance.now();
    let due = 0;
    for (const { moment, ms } of list) {
      await draw(moment);
      due += ms;
      // Waits in short steps, so that an abort works and the progress moves while a picture stands still.
      for (let left = begin + due - performance.now(); left > 0; left = begin + due - performance.now()) {
        film.signal.throwIfAborted();
        film.onProgress(Math.min(1, (performance.now() - begin) / length));
        await pause(Math.min(left, 100));
      }
    }
  } finally {
    recorder.stop();
    for (const track of recorder.stream.getTracks()) track.stop();
  }
  await ended;
  return new Blob(parts, { type: format });
}
