// A recorded decoding as a JSON file (`marscope-trace`, version 1): both the page and the command line write and read it.
// It holds every diffusion step of every token, so that a page can show it without computing anything.

import { TRACE_FORMAT, TRACE_VERSION } from '../engine/generated';
import type { DecodeState, IterationEvent, TraceModel } from '../engine/types';
import type { Choices } from './branch.svelte';
import { stepsIn } from './budget';
import { CFG, CFG_SCHEDULES, SEED, SOLVERS, STEPS, TEMPERATURE, type Geometry, type Range } from './settings';

export interface TraceSource {
  model: TraceModel;
  choices: Choices;
  /** order[rank] = position */
  order: Uint32Array;
  /** The start of the decoding; null if every token was masked. */
  start: DecodeState | null;
  events: readonly IterationEvent[];
}

export interface Trace {
  model: TraceModel;
  /** With the order position by position. */
  choices: Choices;
  order: Uint32Array;
  start: DecodeState | null;
  events: IterationEvent[];
}

/** An error in a file, with a readable message. */
class TraceError extends Error {
  constructor(problem: string) {
    super(`This trace cannot be shown: ${problem}.`);
  }
}

/** Numbers as base64, little-endian, which is the byte order of every machine that runs WebAssembly. */
export function toBase64(values: Float32Array | Int16Array): string {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  // In pieces, for a function takes only so many arguments.
  const pieces: string[] = [];
  for (let at = 0; at < bytes.length; at += 0x8000) {
    pieces.push(String.fromCharCode(...bytes.subarray(at, at + 0x8000)));
  }
  return btoa(pieces.join(''));
}

/** A 32-bit float with the fewest digits that identify it. */
function short(value: number): number {
  const exact = Math.fround(value);
  for (let digits = 1; digits < 9; digits++) {
    const shorter = Number(exact.toPrecision(digits));
    if (Math.fround(shorter) === exact) return shorter;
  }
  return Number(exact.toPrecision(9));
}

/** The file's text. */
export function writeTrace({ model, choices, order, start, events }: TraceSource): string {
  const { label, seed, cfg, cfgSchedule, cfgEvery, iterations, steps, lateSteps, solver, temperature } = choices;
  return JSON.stringify({
    format: TRACE_FORMAT,
    version: TRACE_VERSION,
    model: { name: model.name, parameters: model.parameters },
    settings: {
      label,
      seed,
      cfg,
      cfgSchedule,
      iterations,
      steps,
      // Default values are left out, so earlier versions can read such a trace.
      ...(lateSteps !== null && { lateSteps }),
      ...(solver !== 'ddpm' && { solver }),
      ...(cfgEvery !== 1 && { cfgEvery }),
      temperature,
    },
    order: Array.from(order),
    start: start && {
      iteration: start.iteration,
      masked: Array.from(start.masked),
      tokens: toBase64(start.tokens),
    },
    iterations: events.map((event) => ({
      iteration: event.iteration,
      tokens: Array.from(event.tokens),
      maskBefore: Array.from(event.maskBefore),
      cfg: short(event.cfg),
      timesteps: Array.from(event.timesteps),
      alphaBar: Array.from(event.alphaBar, short),
      trajectory: toBase64(event.trajectory),
      before: toBase64(event.before),
      ms: { backbone: event.ms.backbone, head: event.ms.head },
    })),
  });
}

/** An object of the file and its path, with readers that report errors. */
class Reader {
  readonly #fields: Record<string, unknown>;
  readonly #at: string;

  constructor(value: unknown, at: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new TraceError(`${at || 'it'} should be an object`);
    }
    this.#fields = value as Record<string, unknown>;
    this.#at = at;
  }

  get(name: string): unknown {
    return this.#fields[name];
  }

  name(field: string): string {
    return this.#at ? `${this.#at}.${field}` : field;
  }

  fail(field: string, expected: string): never {
    throw new TraceError(`${this.name(field)} should be ${expected}`);
  }

  object(field: string): Reader {
    return new Reader(this.get(field), this.name(field));
  }

  text(field: string): string {
    const value = this.get(field);
    return typeof value === 'string' ? value : this.fail(field, 'a text');
  }

  number(field: string, { min, max, step }: Range): number {
    const value = this.get(field);
    const fits = typeof value === 'number' && value >= min && value <= max && (step < 1 || Number.isInteger(value));
    return fits ? value : this.fail(field, `${step < 1 ? 'a number' : 'a whole number'} from ${min} to ${max}`);
  }

  /** A list of numbers that are all `allowed`, `length` of them where that is known. */
  numbers(field: string, expected: string, allowed: (value: number) => boolean, length?: number): number[] {
    const value = this.get(field);
    const fits =
      Array.isArray(value) &&
      (length === undefined || value.length === length) &&
      value.every((v): v is number => typeof v === 'number' && allowed(v));
    return fits ? value : this.fail(field, expected);
  }

  /** `length` finite floats from base64. */
  floats(field: string, length: number): Float32Array {
    const expected = `${length} finite 32-bit numbers in base64`;
    let binary: string;
    try {
      binary = atob(this.text(field));
    } catch (cause) {
      if (cause instanceof TraceError) throw cause;
      this.fail(field, expected);
    }
    if (binary.length !== length * 4) this.fail(field, expected);
    const bytes = new Uint8Array(binary.length);
    for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
    const values = new Float32Array(bytes.buffer);
    return values.every(Number.isFinite) ? values : this.fail(field, expected);
  }

  /** [L], 1 = masked. */
  mask(field: string, length: number): Uint8Array {
    return Uint8Array.from(this.numbers(field, `${length} zeros and ones`, (v) => v === 0 || v === 1, length));
  }
}

/** The settings, each in the page's own range. */
function readChoices(file: Reader, { tokens }: Geometry, classes: number): Omit<Choices, 'order'> {
  const settings = file.object('settings');
  const cfgSchedule = CFG_SCHEDULES.find((schedule) => schedule === settings.get('cfgSchedule'));
  const has = (field: string): boolean => settings.get(field) !== undefined;
  const solver = has('solver') ? SOLVERS.find((known) => known === settings.get('solver')) : 'ddpm';
  return {
    label: settings.get('label') === null ? null : settings.number('label', { min: 0, max: classes - 1, step: 1 }),
    seed: settings.number('seed', SEED),
    cfg: settings.number('cfg', CFG),
    cfgSchedule: cfgSchedule ?? settings.fail('cfgSchedule', CFG_SCHEDULES.join(' or ')),
    cfgEvery: has('cfgEvery') ? settings.number('cfgEvery', { min: 1, max: tokens, step: 1 }) : 1,
    iterations: settings.number('iterations', { min: 1, max: tokens, step: 1 }),
    steps: settings.number('steps', STEPS),
    lateSteps: has('lateSteps') ? settings.number('lateSteps', STEPS) : null,
    solver: solver ?? settings.fail('solver', SOLVERS.join(', ')),
    temperature: settings.number('temperature', TEMPERATURE),
  };
}

function readOrder(file: Reader, { tokens }: Geometry): Uint32Array {
  const expected = `every position from 0 to ${tokens - 1} once`;
  const order = file.numbers('order', expected, (v) => Number.isInteger(v) && v >= 0 && v < tokens, tokens);
  if (new Set(order).size !== tokens) file.fail('order', expected);
  return Uint32Array.from(order);
}

function readStart(file: Reader, { tokens, tokenDim }: Geometry, iterations: number): DecodeState | null {
  if (file.get('start') === null) return null;
  const start = file.object('start');
  return {
    iteration: start.number('iteration', { min: 0, max: iterations - 1, step: 1 }),
    tokens: start.floats('tokens', tokens * tokenDim),
    masked: start.mask('masked', tokens),
  };
}

/** An unfinished picture: the input of the file's next iteration. */
interface Known {
  tokens: Float32Array;
  masked: Uint8Array;
}

/**
 * One iteration. What is `known` before it is null where only the iteration itself can say; `steps` and `order` are null
 * for what a fork shares with its parent, whose settings are not in the file.
 */
function readIteration(
  entry: Reader,
  index: number,
  known: Known | null,
  steps: number | null,
  order: Uint32Array | null,
  geometry: Geometry,
): IterationEvent {
  const { tokens: total, tokenDim } = geometry;
  entry.number('iteration', { min: index, max: index, step: 1 });
  const maskBefore = entry.mask('maskBefore', total);
  const before = entry.floats('before', total * tokenDim);
  const { tokens: left, masked: stillMasked } = known ?? { tokens: before, masked: maskBefore };
  if (maskBefore.some((bit, position) => bit !== stillMasked[position])) {
    entry.fail('maskBefore', 'what the iteration before left masked');
  }
  if (before.some((v, i) => v !== (maskBefore[Math.floor(i / tokenDim)] ? 0 : left[i]))) {
    entry.fail('before', 'the tokens as the iteration before left them, and 0 where masked');
  }

  const masked = 'different positions that were still masked';
  const tokens = entry.numbers('tokens', masked, (v) => Number.isInteger(v) && maskBefore[v] === 1);
  if (tokens.length === 0 || new Set(tokens).size !== tokens.length) entry.fail('tokens', masked);
  if (order) {
    const next = new Set(order.filter((position) => maskBefore[position] === 1).subarray(0, tokens.length));
    if (!tokens.every((position) => next.has(position))) entry.fail('tokens', 'the next ones of the order');
  }

  const whole = (v: number): boolean => Number.isInteger(v) && v >= 0;
  const frames = steps === null ? undefined : steps + 1;
  const timesteps = entry.numbers('timesteps', `${frames ?? 'the'} timesteps`, whole, frames);
  if (timesteps.length < 2) entry.fail('timesteps', 'at least two');
  const alphaBar = entry.numbers(
    'alphaBar',
    `${timesteps.length} numbers from 0 to 1`,
    (v) => v >= 0 && v <= 1,
    timesteps.length,
  );
  const size = tokens.length * tokenDim;
  const trajectory = entry.floats('trajectory', timesteps.length * size);

  const after = before.slice();
  const maskAfter = maskBefore.slice();
  tokens.forEach((position, slot) => {
    const from = (timesteps.length - 1) * size + slot * tokenDim;
    after.set(trajectory.subarray(from, from + tokenDim), position * tokenDim);
    maskAfter[position] = 0;
  });
  const ms = entry.object('ms');
  const time: Range = { min: 0, max: Number.MAX_VALUE, step: 0 };
  return {
    iteration: index,
    iterations: 0,
    tokens: Uint32Array.from(tokens),
    maskBefore,
    maskAfter,
    cfg: Math.fround(entry.number('cfg', { ...CFG, step: 0 })),
    timesteps: Uint32Array.from(timesteps),
    alphaBar: Float32Array.from(alphaBar),
    trajectory,
    before,
    after,
    ms: { backbone: ms.number('backbone', time), head: ms.number('head', time) },
  };
}

/** Reads a file's text for a model of this shape and this many classes. Throws an Error with a readable message. */
export function readTrace(text: string, geometry: Geometry & { classes?: readonly string[] }): Trace {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new TraceError('it is no JSON; choose a file that this page or `marscope sample --trace` wrote');
  }
  const file = new Reader(json, '');
  if (file.get('format') !== TRACE_FORMAT) {
    throw new TraceError(
      `its format is not "${TRACE_FORMAT}"; choose a file that this page or \`marscope sample --trace\` wrote`,
    );
  }
  if (file.get('version') !== TRACE_VERSION) {
    throw new TraceError(
      `it is of version ${JSON.stringify(file.get('version'))}, and this page reads version ${TRACE_VERSION}`,
    );
  }
  const model = file.object('model');
  const settings = readChoices(file, geometry, geometry.classes?.length ?? 1000);
  const order = readOrder(file, geometry);
  const start = readStart(file, geometry, settings.iterations);

  const entries: unknown = file.get('iterations');
  if (!Array.isArray(entries) || entries.length > settings.iterations) {
    return file.fail('iterations', `a list of at most ${settings.iterations}, as settings.iterations says`);
  }
  const first = start?.iteration ?? 0;
  if (entries.length < first) file.fail('iterations', `complete up to iteration ${first}, where the decoding starts`);

  const events: IterationEvent[] = [];
  let known: Known | null = start ?? {
    tokens: new Float32Array(geometry.tokens * geometry.tokenDim),
    masked: new Uint8Array(geometry.tokens).fill(1),
  };
  for (const [index, value] of (entries as unknown[]).entries()) {
    if (index < first && index === 0) known = null;
    if (index === first && start) known = start;
    const own = index >= first;
    const entry = new Reader(value, `iterations[${index}]`);
    const event = readIteration(
      entry,
      index,
      known,
      own ? stepsIn(settings, index) : null,
      own ? order : null,
      geometry,
    );
    events.push(event);
    known = { tokens: event.after, masked: event.maskAfter };
  }
  const complete = known?.masked.every((masked) => masked === 0);
  const iterations = complete ? events.length : settings.iterations;
  return {
    model: { name: model.text('name'), parameters: model.number('parameters', { ...SEED, max: 1e12 }) },
    choices: { ...settings, order: Array.from(order) },
    order,
    start,
    events: events.map((event) => ({ ...event, iterations })),
  };
}
