// The rest of the page's state in the address: forks with their pins, the mode, the chosen token, the moment.
// Everything is checked when it is read. Invalid parts are reported and left out, with all that depends on them.

import type { Device, TokenizerKind } from '../engine/types';
import type { Branch, Choices, Pins } from './branch.svelte';
import { fromShort, toShort } from './pins';
import { fromByte, toByte } from './scene';
import { CFG, CFG_SCHEDULES, ORDERS, SEED, SOLVERS, STEPS, TEMPERATURE, iterationsRange } from './settings';
import type { Geometry, ModelFacts, Problem, Range } from './settings';
import { MODES, type Mode } from './view.svelte';

/** Branches a page may have, the trunk included. */
export const MOST_BRANCHES = 6;

/** A branch as the address has it; branches are numbered from the trunk (0) on. */
export interface ForkFacts {
  parent: number;
  at: number;
  changes: Partial<Choices>;
  pins: Pins;
  device: Device | null;
}

export interface Sights {
  forks: ForkFacts[];
  /** Numbers of branches. */
  active: number;
  beside: number | null;
  mode: Mode;
  token: number | null;
  /** The moment at which the timeline stands; null plays, or shows the end. */
  moment: number | null;
  embed: boolean;
}

/** Whether the address asks for the player alone. */
export function embedded(search: string): boolean {
  return new URLSearchParams(search).get('embed') === '1';
}

/** Bytes as letters that need no escape in an address. */
function encode(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');
}

/** Throws where the text is no such encoding. */
function decode(text: string): Uint8Array {
  return Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (letter) => letter.charCodeAt(0));
}

/** How a number of a pin is written. */
interface Packing {
  bytes: number;
  write: (value: number) => number[];
  read: (bytes: Uint8Array) => number;
}

/** Pixels as bytes of the screen, latents as whole numbers of two bytes, the high one first. */
const PACKINGS: Readonly<Record<TokenizerKind, Packing>> = {
  pixel: { bytes: 1, write: (value) => [toByte(value)], read: ([byte = 0]) => fromByte(byte) },
  kl: {
    bytes: 2,
    write: (value) => [(toShort(value) >> 8) & 255, toShort(value) & 255],
    read: ([high = 0, low = 0]) => fromShort(((high << 24) >> 16) | low),
  },
};

/** Each pin: its position in two bytes, then its numbers. */
export function packPins(pins: Pins, tokenizer: TokenizerKind): string {
  const { write } = PACKINGS[tokenizer];
  const bytes = [...pins].flatMap(([position, token]) => [
    position >> 8,
    position & 255,
    ...Array.from(token, write).flat(),
  ]);
  return encode(Uint8Array.from(bytes));
}

/** Throws where the text is none of the model's pins. */
export function unpackPins(text: string, { tokenizer, tokens, tokenDim }: Geometry): Pins {
  const packing = PACKINGS[tokenizer];
  const bytes = decode(text);
  const pins = new Map<number, Float32Array>();
  const size = tokenDim * packing.bytes + 2;
  if (bytes.length % size !== 0) throw new Error('pins of the wrong size');
  for (let i = 0; i < bytes.length; i += size) {
    const position = ((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0);
    const number = (at: number): number => packing.read(bytes.subarray(i + 2 + at * packing.bytes));
    if (position >= tokens || pins.has(position)) throw new Error('a pin where there is no token');
    pins.set(
      position,
      Float32Array.from({ length: tokenDim }, (_, at) => number(at)),
    );
  }
  return pins;
}

function number(value: unknown, { min, max, step }: Range): number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) throw new Error('a number out of range');
  if (step === 1 && !Number.isInteger(value)) throw new Error('not a whole number');
  return value;
}

function oneOf<T>(value: unknown, values: readonly T[]): T {
  const found = values.find((known) => known === value);
  if (found === undefined) throw new Error('not one of the possible values');
  return found;
}

function order(value: unknown, tokens: number): Choices['order'] {
  if (!Array.isArray(value)) return oneOf(value, ORDERS);
  const positions = value.map((position) => number(position, { min: 0, max: tokens - 1, step: 1 }));
  if (positions.length !== tokens || new Set(positions).size !== tokens) throw new Error('not each position once');
  return positions;
}

function readChanges(value: unknown, at: number, facts: ModelFacts): Partial<Choices> {
  const given = value as Record<keyof Choices, unknown>;
  const labels = { min: 0, max: facts.classes.length - 1, step: 1 };
  const changes: Partial<Choices> = {};
  if ('label' in given) changes.label = given.label === null ? null : number(given.label, labels);
  if ('seed' in given) changes.seed = number(given.seed, SEED);
  if ('cfg' in given) changes.cfg = number(given.cfg, CFG);
  if ('cfgSchedule' in given) changes.cfgSchedule = oneOf(given.cfgSchedule, CFG_SCHEDULES);
  if ('cfgEvery' in given) changes.cfgEvery = number(given.cfgEvery, iterationsRange(facts));
  if ('steps' in given) changes.steps = number(given.steps, STEPS);
  if ('lateSteps' in given) changes.lateSteps = given.lateSteps === null ? null : number(given.lateSteps, STEPS);
  if ('solver' in given) changes.solver = oneOf(given.solver, SOLVERS);
  if ('temperature' in given) changes.temperature = number(given.temperature, TEMPERATURE);
  if (at > 0) return changes;
  if ('iterations' in given) changes.iterations = number(given.iterations, iterationsRange(facts));
  if ('order' in given) changes.order = order(given.order, facts.tokens);
  return changes;
}

function readFork(value: unknown, earlier: number, facts: ModelFacts & Geometry): ForkFacts {
  const { p, at, set = {}, pins, device } = value as Record<string, unknown>;
  if (typeof set !== 'object' || set === null) throw new Error('changes that are none');
  const first = number(at, { min: 0, max: facts.tokens - 1, step: 1 });
  if (first > 0 && pins !== undefined) throw new Error('pins in mid-way');
  return {
    parent: number(p, { min: 0, max: earlier, step: 1 }),
    at: first,
    changes: readChanges(set, first, facts),
    pins: typeof pins === 'string' ? unpackPins(pins, facts) : new Map(),
    device: device === undefined ? null : oneOf<Device>(device, ['cpu', 'webgpu']),
  };
}

/** The address's state besides the settings, with a problem for each rejected part. */
export function parseSights(search: string, facts: ModelFacts & Geometry): { sights: Sights; problems: Problem[] } {
  const query = new URLSearchParams(search);
  const problems: Problem[] = [];
  const forks: ForkFacts[] = [];
  const text = query.get('forks');
  if (text !== null) {
    try {
      const read: unknown = JSON.parse(new TextDecoder().decode(decode(text)));
      if (!Array.isArray(read) || read.length >= MOST_BRANCHES) throw new Error('not a list of forks');
      for (const fork of read) forks.push(readFork(fork, forks.length, facts));
    } catch {
      const value = text.length > 24 ? `${text.slice(0, 24)}…` : text;
      problems.push({
        parameter: 'forks',
        value,
        allowed: 'links made by this page',
        used: 'the valid ones',
      });
    }
  }

  function take(key: string, most: number): number | null {
    const given = query.get(key);
    if (given === null) return null;
    if (/^\d{1,6}$/.test(given) && Number(given) <= most) return Number(given);
    problems.push({ parameter: key, value: given, allowed: `a whole number from 0 to ${most}`, used: 'none' });
    return null;
  }

  const given = query.get('mode');
  const mode = MODES.find((known) => known === given);
  if (given !== null && !mode) {
    problems.push({ parameter: 'mode', value: given, allowed: MODES.join(', '), used: 'watch' });
  }
  return {
    sights: {
      forks,
      active: take('branch', forks.length) ?? 0,
      beside: take('beside', forks.length),
      mode: mode ?? 'watch',
      token: take('token', facts.tokens - 1),
      moment: take('moment', 999_999),
      embed: embedded(search),
    },
    problems,
  };
}

/** The part of an address that gives these branches and sights again; begins with `&` where there is any. */
export function formatSights(
  branches: readonly Branch[],
  sights: Omit<Sights, 'forks'>,
  { tokenizer }: Pick<Geometry, 'tokenizer'>,
): string {
  const query = new URLSearchParams();
  const forks = branches.slice(1).map(({ parent, at, changes, pins, device }) => ({
    p: branches.indexOf(parent!),
    at,
    ...(Object.keys(changes).length > 0 && { set: changes }),
    ...(pins.size > 0 && { pins: packPins(pins, tokenizer) }),
    ...(device && { device }),
  }));
  if (forks.length > 0) query.set('forks', encode(new TextEncoder().encode(JSON.stringify(forks))));
  if (sights.active > 0) query.set('branch', String(sights.active));
  if (sights.beside !== null) query.set('beside', String(sights.beside));
  if (sights.mode !== 'watch') query.set('mode', sights.mode);
  if (sights.token !== null) query.set('token', String(sights.token));
  if (sights.moment !== null) query.set('moment', String(sights.moment));
  if (sights.embed) query.set('embed', '1');
  const text = query.toString();
  return text ? `&${text}` : '';
}
