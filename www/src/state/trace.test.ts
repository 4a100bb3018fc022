import { describe, expect, it } from 'vitest';
import type { IterationEvent, DecodeState } from '../engine/types';
import { readTrace, writeTrace, type TraceSource } from './trace';

/** Four tokens of 2 x 2 pixels, two channels, in a picture of 4 x 4. */
const TINY = {
  tokenizer: 'pixel' as const,
  image: [4, 4] as [number, number],
  channels: 2,
  patch: 2,
  tokenSide: 2,
  grid: [2, 2] as [number, number],
  tokens: 4,
  tokenDim: 8,
  classes: ['one', 'two'],
};
const FRAMES = 3;
const MODEL = { name: 'tiny', parameters: 1234 };
const CHOICES = {
  label: 1,
  seed: 4294967295,
  cfg: 2.5,
  cfgSchedule: 'linear' as const,
  cfgEvery: 1,
  iterations: 2,
  steps: FRAMES - 1,
  lateSteps: null,
  solver: 'ddpm' as const,
  temperature: 0.95,
  order: 'random' as const,
};

/** The number at a place of a trajectory: all different, most of them with many digits. */
function value(position: number, frame: number, i: number): number {
  return Math.fround(Math.sin(1 + position * 100 + frame * 10 + i));
}

/** Tokens [L, tokenDim], 0 where masked. */
function tokensWhere(masked: readonly number[], token: (position: number, i: number) => number): Float32Array {
  return Float32Array.from({ length: 32 }, (_, at) => {
    const position = Math.floor(at / 8);
    return masked[position] ? 0 : token(position, at % 8);
  });
}

function event(
  iteration: number,
  tokens: number[],
  before: number[],
  token = (position: number, i: number): number => value(position, FRAMES - 1, i),
): IterationEvent {
  const after = before.map((masked, position) => (tokens.includes(position) ? 0 : masked));
  return {
    iteration,
    iterations: 2,
    tokens: Uint32Array.from(tokens),
    maskBefore: Uint8Array.from(before),
    maskAfter: Uint8Array.from(after),
    cfg: Math.fround(1.1 + iteration),
    timesteps: Uint32Array.of(999, 499, 0),
    alphaBar: Float32Array.of(0.0001, 0.3, 1),
    trajectory: Float32Array.from(
      Array.from({ length: FRAMES }, (_, frame) =>
        tokens.flatMap((position) => Array.from({ length: 8 }, (_, i) => value(position, frame, i))),
      ).flat(),
    ),
    before: tokensWhere(before, token),
    after: tokensWhere(after, token),
    ms: { backbone: 1.25, head: 30 },
  };
}

const EVENTS = [event(0, [2], [1, 1, 1, 1]), event(1, [0, 3, 1], [1, 1, 0, 1])];
const SOURCE: TraceSource = {
  model: MODEL,
  choices: CHOICES,
  order: Uint32Array.of(2, 0, 3, 1),
  start: null,
  events: EVENTS,
};

describe('a trace', () => {
  it('reads back to what was written, every event complete', () => {
    expect(readTrace(writeTrace(SOURCE), TINY)).toEqual({
      model: MODEL,
      choices: { ...CHOICES, order: [2, 0, 3, 1] },
      order: Uint32Array.of(2, 0, 3, 1),
      start: null,
      events: EVENTS,
    });
  });

  it('keeps a start whose known tokens no iteration drew', () => {
    const pinned = (position: number, i: number): number => (position === 2 ? i / 8 : value(position, FRAMES - 1, i));
    const tokens = new Float32Array(32);
    for (let i = 0; i < 8; i++) tokens[16 + i] = i / 8;
    const start: DecodeState = { iteration: 0, tokens, masked: Uint8Array.of(1, 1, 0, 1) };
    const events = [event(0, [0], [1, 1, 0, 1], pinned), event(1, [3, 1], [0, 1, 0, 1], pinned)];
    const trace = readTrace(writeTrace({ ...SOURCE, start, events }), TINY);
    expect(trace.start).toEqual(start);
    expect(trace.events).toEqual(events);
  });

  it('keeps the history of a fork, whatever steps and order it had', () => {
    const start: DecodeState = {
      iteration: 1,
      tokens: Float32Array.from({ length: 32 }, (_, i) => (i < 16 || i >= 24 ? 0 : value(2, FRAMES - 1, i - 16))),
      masked: Uint8Array.of(1, 1, 0, 1),
    };
    const long = { ...EVENTS[0]!, timesteps: Uint32Array.of(999, 0), alphaBar: Float32Array.of(0, 1) };
    long.trajectory = EVENTS[0]!.trajectory.slice(8);
    const source = { ...SOURCE, start, events: [long, EVENTS[1]!], order: Uint32Array.of(0, 1, 2, 3) };
    expect(readTrace(writeTrace(source), TINY).events).toEqual(source.events);
  });

  it('keeps a fork of a picture that had patches given', () => {
    const start: DecodeState = {
      iteration: 1,
      tokens: Float32Array.from({ length: 32 }, (_, i) => value(Math.floor(i / 8), FRAMES - 1, i % 8)),
      masked: Uint8Array.of(1, 0, 0, 1),
    };
    const events = [event(0, [2], [1, 0, 1, 1]), event(1, [0, 3], [1, 0, 0, 1])];
    expect(readTrace(writeTrace({ ...SOURCE, start, events }), TINY).events).toEqual(events);
  });

  it('says how it was sampled, where that is not as usual', () => {
    expect(Object.keys((JSON.parse(writeTrace(SOURCE)) as { settings: object }).settings)).toEqual([
      'label',
      'seed',
      'cfg',
      'cfgSchedule',
      'iterations',
      'steps',
      'temperature',
    ]);
    // Three steps in the first iteration, two in the last.
    const more = {
      ...EVENTS[0]!,
      timesteps: Uint32Array.of(999, 499, 249, 0),
      alphaBar: Float32Array.of(0, 0.3, 0.6, 1),
    };
    more.trajectory = Float32Array.of(...EVENTS[0]!.trajectory.subarray(0, 8), ...EVENTS[0]!.trajectory);
    const choices = { ...CHOICES, steps: 3, lateSteps: 2, solver: 'dpm' as const, cfgEvery: 2 };
    const source = { ...SOURCE, choices, events: [more, EVENTS[1]!] };
    const text = writeTrace(source);
    expect(JSON.parse(text)).toMatchObject({ settings: { lateSteps: 2, solver: 'dpm', cfgEvery: 2 } });
    const trace = readTrace(text, TINY);
    expect(trace.choices).toEqual({ ...choices, order: [2, 0, 3, 1] });
    expect(trace.events).toEqual(source.events);
  });

  it('may have any seed and any number of steps that the format has', () => {
    const [seed, steps] = [Number.MAX_SAFE_INTEGER, 1000];
    const timesteps = Uint32Array.from({ length: steps + 1 }, (_, frame) => Math.max(0, steps - 1 - frame));
    const long = {
      ...EVENTS[0]!,
      timesteps,
      alphaBar: Float32Array.from(timesteps, () => 0.5),
      trajectory: new Float32Array(8 * (steps + 1)),
    };
    long.trajectory.set(EVENTS[0]!.trajectory.subarray(-8), 8 * steps);
    const source = { ...SOURCE, choices: { ...CHOICES, seed, steps }, events: [long] };
    expect(readTrace(writeTrace(source), TINY).choices).toMatchObject({ seed, steps });
  });

  it('of a decoding that was stopped says how many iterations were to come', () => {
    expect(readTrace(writeTrace({ ...SOURCE, events: EVENTS.slice(0, 1) }), TINY).events).toEqual(EVENTS.slice(0, 1));
  });

  it('is the documented format', () => {
    const file = JSON.parse(writeTrace(SOURCE)) as Record<string, unknown>;
    expect(Object.keys(file)).toEqual(['format', 'version', 'model', 'settings', 'order', 'start', 'iterations']);
    expect(file).toMatchObject({ format: 'marscope-trace', version: 1, settings: { label: 1, temperature: 0.95 } });
    const first = (file['iterations'] as Record<string, string>[])[0]!;
    expect(first).toMatchObject({ tokens: [2], maskBefore: [1, 1, 1, 1], cfg: 1.1, alphaBar: [0.0001, 0.3, 1] });
    const bytes = Buffer.from(first['trajectory']!, 'base64');
    expect(bytes).toHaveLength(FRAMES * 8 * 4);
    expect(bytes.readFloatLE(4 * (8 + 3))).toBe(value(2, 1, 3));
  });
});

type Json = Record<string, unknown>;

describe('a spoiled trace', () => {
  /** The written file with one change. */
  function spoiled(change: (file: Json, first: Json, last: Json) => void): string {
    const file = JSON.parse(writeTrace(SOURCE)) as Json;
    const [first, last] = file['iterations'] as [Json, Json];
    change(file, first, last);
    return JSON.stringify(file);
  }
  const base64 = (values: number[]): string => Buffer.from(Float32Array.from(values).buffer).toString('base64');

  it.each<[string, (file: Json, first: Json, last: Json) => void, RegExp]>([
    ['another format', (file) => (file['format'] = 'png'), /format is not "marscope-trace"/],
    ['another version', (file) => (file['version'] = 2), /of version 2, and this page reads version 1/],
    ['no version', (file) => delete file['version'], /of version undefined/],
    ['no model', (file) => delete file['model'], /model should be an object/],
    ['a model without a name', (file) => (file['model'] = { parameters: 1 }), /model\.name should be a text/],
    ['a class there is not', (file) => ((file['settings'] as Json)['label'] = 2), /settings\.label .*from 0 to 1/],
    ['half a seed', (file) => ((file['settings'] as Json)['seed'] = 0.5), /settings\.seed .*whole number/],
    ['guidance in words', (file) => ((file['settings'] as Json)['cfg'] = '3'), /settings\.cfg .*from 0 to 20/],
    ['a schedule there is not', (file) => ((file['settings'] as Json)['cfgSchedule'] = 'up'), /linear or constant/],
    ['no iterations to do', (file) => ((file['settings'] as Json)['iterations'] = 0), /settings\.iterations/],
    ['too many steps', (file) => ((file['settings'] as Json)['steps'] = 1e9), /settings\.steps/],
    ['a solver there is not', (file) => ((file['settings'] as Json)['solver'] = 'euler'), /settings\.solver .*ddpm, /],
    ['no steps at the end', (file) => ((file['settings'] as Json)['lateSteps'] = 0), /settings\.lateSteps/],
    ['other steps at the end', (file) => ((file['settings'] as Json)['lateSteps'] = 5), /\[1\]\.timesteps should be 6/],
    ['guidance never anew', (file) => ((file['settings'] as Json)['cfgEvery'] = 0), /settings\.cfgEvery/],
    ['settings in a list', (file) => (file['settings'] = []), /settings should be an object/],
    ['a position twice', (file) => (file['order'] = [2, 0, 3, 3]), /order should be every position from 0 to 3 once/],
    ['a position too far', (file) => (file['order'] = [2, 0, 3, 4]), /order should be/],
    ['too short an order', (file) => (file['order'] = [2, 0, 3]), /order should be/],
    ['a missing start', (file) => delete file['start'], /start should be an object/],
    [
      'a start past the end',
      (file) => (file['start'] = { iteration: 2, masked: [1, 1, 1, 1], tokens: '' }),
      /start\.iteration .*from 0 to 1/,
    ],
    [
      'a start of another size',
      (file) => (file['start'] = { iteration: 0, masked: [1, 1, 1, 1], tokens: base64([1]) }),
      /start\.tokens should be 32 finite/,
    ],
    ['no list of iterations', (file) => (file['iterations'] = 'all'), /iterations should be a list/],
    ['more iterations than it says', (file, first) => (file['iterations'] = [first, first, first]), /at most 2/],
    ['iterations in another order', (file, first, last) => (file['iterations'] = [last, first]), /\[0\]\.iteration/],
    ['an iteration twice', (file, first) => (file['iterations'] = [first, first]), /iterations\[1\]\.iteration/],
    ['an iteration that is a number', (file) => (file['iterations'] = [1]), /iterations\[0\] should be an object/],
    ['no tokens', (_, first) => (first['tokens'] = []), /\[0\]\.tokens/],
    ['a token twice', (_, __, last) => (last['tokens'] = [0, 3, 3]), /\[1\]\.tokens should be different positions/],
    ['a token that is known', (_, __, last) => (last['tokens'] = [0, 3, 2]), /\[1\]\.tokens should be different/],
    [
      'a token out of turn',
      (_, first) => (first['tokens'] = [3]),
      /\[0\]\.tokens should be the next ones of the order/,
    ],
    ['a mask of its own', (_, __, last) => (last['maskBefore'] = [1, 1, 1, 1]), /\[1\]\.maskBefore/],
    ['a mask of truths', (_, first) => (first['maskBefore'] = [true, true, true, true]), /\[0\]\.maskBefore/],
    ['too few timesteps', (_, first) => (first['timesteps'] = [9, 0]), /\[0\]\.timesteps should be 3/],
    ['alpha-bar above one', (_, first) => (first['alphaBar'] = [0, 0.5, 1.5]), /\[0\]\.alphaBar/],
    ['alpha-bar cut short', (_, first) => (first['alphaBar'] = [0, 0.5]), /\[0\]\.alphaBar should be 3 numbers/],
    ['guidance without a number', (_, first) => (first['cfg'] = null), /\[0\]\.cfg/],
    ['a trajectory cut short', (_, first) => (first['trajectory'] = base64([1, 2])), /\[0\]\.trajectory should be 24/],
    ['no base64', (_, first) => (first['trajectory'] = '*'), /\[0\]\.trajectory should be 24 finite/],
    ['a trajectory in a list', (_, first) => (first['trajectory'] = [1]), /\[0\]\.trajectory should be a text/],
    [
      'no number',
      (_, first) => (first['trajectory'] = base64(Array.from({ length: 24 }, () => NaN))),
      /\[0\]\.trajectory should be 24 finite/,
    ],
    [
      'other tokens than were drawn',
      (_, __, last) => (last['before'] = base64(Array.from({ length: 32 }, () => 0.5))),
      /\[1\]\.before/,
    ],
    ['no times', (_, first) => delete first['ms'], /\[0\]\.ms should be an object/],
    ['negative times', (_, first) => (first['ms'] = { backbone: -1, head: 0 }), /\[0\]\.ms\.backbone/],
  ])('with %s says so', (_, change, problem) => {
    const read = () => readTrace(spoiled(change), TINY);
    expect(read).toThrow(problem);
    expect(read).toThrow(/^This trace cannot be shown: .*\.$/);
  });

  it.each(['', 'null', '[]', '"marscope-trace"', '<!doctype html>', '{"format":"marscope-trace"'])(
    'that is %o says so',
    (text) => {
      expect(() => readTrace(text, TINY)).toThrow(/^This trace cannot be shown: /);
    },
  );

  it('is refused wherever it is cut off', () => {
    const text = writeTrace(SOURCE);
    for (let length = 0; length < text.length; length += 37) {
      expect(() => readTrace(text.slice(0, length), TINY)).toThrow(/^This trace cannot be shown: /);
    }
  });
});
