// The decoding that was recorded when the page was built (build/recording.ts): shown until the engine is there.
// There is one of each model that the page offers, with its default settings. It is a trace with shorter numbers and, for
// latents, a strip of pictures, since the page cannot decode them yet.

import type { Choices } from './branch.svelte';
import { factsOf, offers } from './models';
import type { Pixels } from './scene';
import { CHOICES, defaultSettings, type Geometry } from './settings';
import { readTrace, toBase64, writeTrace, type Trace, type TraceSource } from './trace';

/** Frames of an iteration whose pictures are in the strip, besides the last one: shares of its steps. */
const STRIP_SHARES = [0, 0.66, 0.84];
/** Pictures in a row of the strip. */
export const STRIP_COLUMNS = 8;

/** A picture of the strip: an iteration and one of its frames; -1 is the picture before it. */
export interface StripPlace {
  iteration: number;
  frame: number;
}

/** What is in the strip, row by row, of iterations with so many frames each. */
export function stripPlaces(frames: readonly number[]): StripPlace[] {
  return [
    { iteration: 0, frame: -1 },
    ...frames.flatMap((count, iteration) =>
      [...new Set([...STRIP_SHARES, 1].map((share) => Math.round(share * (count - 1))))].map((frame) => ({
        iteration,
        frame,
      })),
    ),
  ];
}

/** The numbers of a file: whole numbers of 16 bits, to be multiplied by `step`. */
interface Short {
  step: number;
  values: string;
}

function shorten(values: Float32Array): Short {
  const step = Math.fround(values.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6) / 32_767);
  const short = Int16Array.from(values, (value) => Math.round(value / step));
  return { step, values: toBase64(short) };
}

function lengthen({ step, values }: Short): Float32Array {
  const bytes = Uint8Array.from(atob(values), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (value) => value * step);
}

/** An iteration of the file; what else it says is the trace's own. */
interface Iteration {
  tokens: number[];
  trajectory: Short;
}

/** A recording's text. It begins with every token masked. */
export function packRecording(source: TraceSource): string {
  const trace = JSON.parse(writeTrace(source)) as { iterations: Record<string, unknown>[] };
  const iterations = trace.iterations.map((iteration, i) => ({
    ...iteration,
    trajectory: shorten(source.events[i]?.trajectory ?? new Float32Array()),
    // What was known before follows from the iterations before; JSON leaves these out.
    ...{ before: undefined, maskBefore: undefined },
  }));
  return JSON.stringify({ ...trace, iterations });
}

/** Reads a recording. Throws an Error where it is none of this model. */
export function unpackRecording(text: string, facts: Geometry & { classes: readonly string[] }): Trace {
  const file = JSON.parse(text) as { iterations: Iteration[] };
  const tokens = new Float32Array(facts.tokens * facts.tokenDim);
  const masked = Array<number>(facts.tokens).fill(1);
  const iterations = file.iterations.map(({ trajectory: short, ...rest }) => {
    const trajectory = lengthen(short);
    const iteration = {
      ...rest,
      ...{ maskBefore: [...masked], before: toBase64(tokens), trajectory: toBase64(trajectory) },
    };
    const last = trajectory.subarray(trajectory.length - rest.tokens.length * facts.tokenDim);
    rest.tokens.forEach((position, slot) => {
      tokens.set(last.subarray(slot * facts.tokenDim, (slot + 1) * facts.tokenDim), position * facts.tokenDim);
      masked[position] = 0;
    });
    return iteration;
  });
  return readTrace(JSON.stringify({ ...file, iterations }), facts);
}

/** Whether this picture is the recorded one. */
export function isRecorded(model: string, choices: Choices): boolean {
  const usual = defaultSettings(factsOf(model));
  return offers().some(({ name }) => name === model) && CHOICES.every((key) => choices[key] === usual[key]);
}

export interface Recording {
  trace: Trace;
  /** Pictures of some frames; none for a model whose tokens are pixels. */
  pictures: readonly (StripPlace & { pixels: Pixels })[];
}

/** The recording of a model; null where there is none, and the page waits for its engine. */
export async function fetchRecording(model: string): Promise<Recording | null> {
  const facts = factsOf(model);
  const latents = facts.tokenizer !== 'pixel';
  try {
    const [text, strip] = await Promise.all([
      fetched(`recordings/${model}.json`).then((response) => response.text()),
      latents ? fetched(`recordings/${model}.jpg`).then((response) => response.blob()) : null,
    ]);
    const trace = unpackRecording(text, facts);
    return { trace, pictures: strip ? await cut(strip, trace, facts) : [] };
  } catch {
    return null;
  }
}

async function fetched(address: string): Promise<Response> {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`the server answered ${response.status} for ${address}`);
  return response;
}

/** The pictures of a strip. */
async function cut(strip: Blob, trace: Trace, { image: [height, width] }: Geometry): Promise<Recording['pictures']> {
  const picture = await createImageBitmap(strip);
  const canvas = document.createElement('canvas');
  [canvas.width, canvas.height] = [picture.width, picture.height];
  const context = canvas.getContext('2d', { willReadFrequently: true });
  if (!context) throw new Error('this browser gives no canvas');
  context.drawImage(picture, 0, 0);
  picture.close();
  return stripPlaces(trace.events.map(({ timesteps }) => timesteps.length)).map((place, i) => {
    const [x, y] = [(i % STRIP_COLUMNS) * width, Math.floor(i / STRIP_COLUMNS) * height];
    return { ...place, pixels: new Uint8ClampedArray(context.getImageData(x, y, width, height).data) };
  });
}
