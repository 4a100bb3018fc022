// The page's settings and their form in the address: `?label=3&seed=7&cfg=2...`.
// Every bad value gives a message that names it and what is allowed; the default takes its place.

import type { DeviceWish } from '../engine/device';
import type { WorkersWish } from '../engine/growth';
import { CFG_SCHEDULES, FASHION, ORDERS, RANGES, SOLVERS } from '../engine/generated';
import type { DecodeSettings, ModelInfo, Solver } from '../engine/types';
import type { Choices } from './branch.svelte';
import { firstLabel, opens } from './models';

export interface PageSettings extends Choices {
  /** Folder under weights/. */
  model: string;
  device: DeviceWish;
  /** How many workers share the work of the CPU engine. */
  workers: WorkersWish;
  /** Whether a new picture plays by itself. */
  play: boolean;
}

export { CFG_SCHEDULES, FASHION, ORDERS, SOLVERS };

/** The settings that make a picture; the others concern the page. */
export const CHOICES = [
  'label',
  'seed',
  'cfg',
  'cfgSchedule',
  'cfgEvery',
  'iterations',
  'steps',
  'lateSteps',
  'solver',
  'temperature',
  'order',
] as const satisfies readonly (keyof Choices)[];

/** A rejected value of the address. */
export interface Problem {
  parameter: string;
  value: string;
  allowed: string;
  /** What is used instead, as it would stand in the address. */
  used: string;
}

/** The part of a model's description the settings depend on. */
export type ModelFacts = Pick<ModelInfo, 'name' | 'classes' | 'tokens' | 'defaults'>;

/** The geometry pictures and patches are drawn with. */
export type Geometry = Pick<
  ModelInfo,
  'tokenizer' | 'image' | 'channels' | 'patch' | 'tokenSide' | 'grid' | 'tokens' | 'tokenDim'
>;

export const SOLVER_NAMES: Readonly<Record<Solver, string>> = { ddpm: 'DDPM', ddim: 'DDIM', dpm: 'DPM-Solver++' };
export const DEVICES: readonly DeviceWish[] = ['auto', 'cpu', 'webgpu'];

export interface Range {
  min: number;
  max: number;
  /** The control's step; 1 also means whole numbers only. */
  step: number;
}

export const SEED: Range = { ...RANGES.seed, step: 1 };
export const CFG: Range = { ...RANGES.cfg, step: 0.1 };
export const STEPS: Range = { ...RANGES.steps, step: 1 };
export const TEMPERATURE: Range = { ...RANGES.temperature, step: 0.05 };

/** Diffusion steps that a slider goes to; those beyond it are taken where they are given. */
const DRAGGED = 250;

/** What a slider for diffusion steps spans that stands at `value`. */
export function draggedSteps(value: number): Range {
  return { ...STEPS, max: Math.max(DRAGGED, value) };
}

/** Cores of this machine, as far as the browser says. */
export function cores(): number {
  return (globalThis as { navigator?: Partial<Navigator> }).navigator?.hardwareConcurrency ?? 1;
}

/** At most one worker a core: the page itself does little. */
export function workersRange(): Range {
  return { min: 1, max: cores(), step: 1 };
}

/** At most one iteration a token. */
export function iterationsRange(facts: ModelFacts): Range {
  return { min: 1, max: facts.tokens, step: 1 };
}

/** `in every iteration`, `in every 4th iteration`. */
export function everyInWords(every: number): string {
  const ending = every % 100 > 10 && every % 100 < 14 ? 'th' : ({ 1: 'st', 2: 'nd', 3: 'rd' }[every % 10] ?? 'th');
  return `in every ${every === 1 ? '' : `${every}${ending} `}iteration`;
}

/** Defaults that are the same for every model; the address may leave them out. */
const USUAL = { cfgEvery: 1, lateSteps: null, workers: 'auto' } as const;

/** The settings of an address that says no more than the model. */
export function defaultSettings(facts: ModelFacts, model = opens()): PageSettings {
  const { cfg, cfg_schedule: cfgSchedule, iterations, steps, solver, temperature } = facts.defaults;
  return {
    model,
    label: firstLabel(facts),
    seed: 7,
    cfg,
    cfgSchedule,
    iterations,
    steps,
    solver,
    ...USUAL,
    temperature,
    order: 'random',
    device: 'auto',
    play: true,
  };
}

/** A number within the range, or null. Accepts plain decimals only: no exponents, signs or spaces. */
function numberIn(range: Range, text: string): number | null {
  const pattern = range.step === 1 ? /^\d{1,16}$/ : /^\d{1,10}(\.\d{1,10})?$/;
  if (!pattern.test(text)) return null;
  const value = Number(text);
  return value >= range.min && value <= range.max ? value : null;
}

/** An order's positions, `12.40.3...`: each of `tokens` once. Undefined where they are not. */
function positions(text: string, tokens: number): readonly number[] | undefined {
  if (!/^\d+(\.\d+)*$/.test(text)) return undefined;
  const order = text.split('.').map(Number);
  const once = new Set(order).size === order.length && order.every((position) => position < tokens);
  return once && order.length === tokens ? order : undefined;
}

function oneOf<T extends string>(values: readonly T[], text: string): T | null {
  return values.find((value) => value === text) ?? null;
}

function rangeInWords(range: Range): string {
  return `${range.step === 1 ? 'a whole number' : 'a number'} from ${range.min} to ${range.max}`;
}

/** Settings from the address's query, with a problem for each value that was not taken. */
export function parseSettings(search: string, facts: ModelFacts): { settings: PageSettings; problems: Problem[] } {
  const query = new URLSearchParams(search);
  const settings = defaultSettings(facts);
  const problems: Problem[] = [];

  /** Takes a parameter if it is given and valid. `read` returns `undefined` if it is not. */
  function take<K extends keyof PageSettings>(
    key: K,
    allowed: string,
    read: (text: string) => PageSettings[K] | undefined,
  ): void {
    const text = query.get(key);
    if (text === null) return;
    const value = read(text);
    if (value === undefined) {
      problems.push({ parameter: key, value: text, allowed, used: inAddress(settings[key]) });
    } else {
      settings[key] = value;
    }
  }

  function takeNumber(key: 'seed' | 'cfg' | 'cfgEvery' | 'iterations' | 'steps' | 'temperature', range: Range): void {
    take(key, rangeInWords(range), (text) => numberIn(range, text) ?? undefined);
  }

  take('model', 'lower-case letters, digits and hyphens', (text) =>
    /^[a-z0-9-]{1,64}$/.test(text) ? text : undefined,
  );
  const labels = { min: 0, max: facts.classes.length - 1, step: 1 };
  take('label', `${rangeInWords(labels)}, or none`, (text) =>
    text === 'none' ? null : (numberIn(labels, text) ?? undefined),
  );
  takeNumber('seed', SEED);
  takeNumber('cfg', CFG);
  take('cfgSchedule', CFG_SCHEDULES.join(' or '), (text) => oneOf(CFG_SCHEDULES, text) ?? undefined);
  takeNumber('cfgEvery', iterationsRange(facts));
  takeNumber('iterations', iterationsRange(facts));
  takeNumber('steps', STEPS);
  take('lateSteps', `${rangeInWords(STEPS)}, or none`, (text) =>
    text === 'none' ? null : (numberIn(STEPS, text) ?? undefined),
  );
  take('solver', SOLVERS.join(', '), (text) => oneOf(SOLVERS, text) ?? undefined);
  takeNumber('temperature', TEMPERATURE);
  take(
    'order',
    `${ORDERS.join(', ')}, or each of the ${facts.tokens} positions once with dots between them`,
    (text) => oneOf(ORDERS, text) ?? positions(text, facts.tokens),
  );
  take('device', DEVICES.join(', '), (text) => oneOf(DEVICES, text) ?? undefined);
  take('workers', `${rangeInWords(workersRange())}, or auto`, (text) =>
    text === 'auto' ? text : (numberIn(workersRange(), text) ?? undefined),
  );
  take('play', '0 or 1', (text) => (text === '1' ? true : text === '0' ? false : undefined));
  return { settings, problems };
}

function inAddress(value: PageSettings[keyof PageSettings]): string {
  if (value === null) return 'none';
  if (typeof value === 'object') return value.join('.');
  if (typeof value === 'boolean') return value ? '1' : '0';
  return String(value);
}

/** The query that gives these settings again, also where the defaults differ. */
export function formatSettings(settings: PageSettings): string {
  const query = new URLSearchParams();
  if (settings.model !== opens()) query.set('model', settings.model);
  for (const key of [...CHOICES, 'device', 'workers', 'play'] as const) {
    const usual = key in USUAL && settings[key] === USUAL[key as keyof typeof USUAL];
    if (!usual) query.set(key, inAddress(settings[key]));
  }
  return `?${query.toString()}`;
}

/** A readable message about a rejected value. */
export function describeProblem({ parameter, value, allowed, used }: Problem): string {
  return `The address asks for ${parameter}=${value || '(nothing)'}; allowed is ${allowed}. Using ${used}.`;
}

/** What the engine needs to know. */
export function decodeSettings(settings: Choices): DecodeSettings {
  const { label, seed, cfg, cfgSchedule, cfgEvery, iterations, steps, lateSteps, solver, temperature, order } =
    settings;
  return {
    label,
    seed,
    cfg,
    cfgSchedule,
    cfgEvery,
    iterations,
    steps,
    lateSteps,
    solver,
    temperature,
    order,
    stride: 1,
  };
}
