// Pairs worth laying side by side: the same class and the same noise, one thing chosen differently.

import type { Branch, Choices } from '../../state/branch.svelte';
import type { Session } from '../../state/session.svelte';
import type { Device } from '../../engine/types';

export interface Variant {
  changes?: Partial<Choices>;
  device?: Device;
}

export interface Preset {
  name: string;
  /** What to look for. */
  hint: string;
  a: Variant;
  b: Variant;
}

export const PRESETS: readonly Preset[] = [
  {
    name: 'Guidance 1 and 4',
    hint: 'Without guidance the class is only a hint; with much of it every picture is a textbook one.',
    a: { changes: { cfg: 1 } },
    b: { changes: { cfg: 4 } },
  },
  {
    name: 'Temperature 0.6 and 1',
    hint: 'Less noise in each step of the diffusion: smoother tokens, and fewer surprises.',
    a: { changes: { temperature: 0.6, solver: 'ddpm' } },
    b: { changes: { temperature: 1, solver: 'ddpm' } },
  },
  {
    name: 'Diffusion steps 10 and 50',
    hint: 'How many steps does a token need? Compare the times as well.',
    a: { changes: { steps: 10, lateSteps: null } },
    b: { changes: { steps: 50, lateSteps: null } },
  },
  {
    name: 'DDPM 50 and DPM-Solver++ 10 steps',
    hint: 'Another way from noise to pixels: no fresh noise, and a look back at the step before. Compare the times.',
    a: { changes: { solver: 'ddpm', steps: 50, lateSteps: null } },
    b: { changes: { solver: 'dpm', steps: 10, lateSteps: null } },
  },
  {
    name: 'Equal steps and fewer later',
    hint: 'Later tokens are less uncertain. Is the picture worse if the diffusion steps go from 50 down to 5?',
    a: { changes: { steps: 50, lateSteps: null } },
    b: { changes: { steps: 50, lateSteps: 5 } },
  },
  {
    name: 'Guidance each time and every 4th',
    hint: 'What the class adds to z is computed once and used four times, which saves most of the second pass.',
    a: { changes: { cfgEvery: 1 } },
    b: { changes: { cfgEvery: 4 } },
  },
  {
    name: 'Iterations 4 and 16',
    hint: 'Tokens that are sampled together do not see each other. What that costs on average is measured: see Order.',
    a: { changes: { iterations: 4 } },
    b: { changes: { iterations: 16 } },
  },
  {
    name: 'Random and raster order',
    hint: 'A random order sets landmarks all over the picture first; a raster order knows only what is above.',
    a: { changes: { order: 'random' } },
    b: { changes: { order: 'raster' } },
  },
];

/** The same picture by both engines. */
export const DEVICES: Preset = {
  name: 'CPU and WebGPU',
  hint: 'Two ways to compute the same numbers: the pictures agree, up to rounding; the times do not.',
  a: { device: 'cpu' },
  b: { device: 'webgpu' },
};

/** Whether a branch is the trunk's picture with this variant, from the start. */
function matches(session: Session, branch: Branch, { changes = {}, device }: Variant): boolean {
  if (branch.at > 0 || branch.pins.size > 0 || branch.start) return false;
  if ((device ?? null) !== branch.device && device !== (branch.device ?? session.device?.device)) return false;
  const wanted = { ...session.trunk.choices, ...changes };
  return (Object.keys(wanted) as (keyof Choices)[]).every((key) => branch.choices[key] === wanted[key]);
}

/** The branch of a variant of the trunk: one that is there already, or a new fork of all of it. */
export function variantOf(session: Session, variant: Variant): Branch {
  const there = session.branches.find((branch) => matches(session, branch, variant));
  if (there) return there;
  const { choices } = session.trunk;
  const { changes = {}, device } = variant;
  const keys = (Object.keys(changes) as (keyof Choices)[]).filter((key) => changes[key] !== choices[key]);
  const different = Object.fromEntries(keys.map((key) => [key, changes[key]])) as Partial<Choices>;
  return session.fork({ parent: session.trunk, at: 0, changes: different, ...(device && { device }) });
}

/** Lays both variants side by side, the first one on the picture. */
export function layOut(session: Session, { a, b }: Preset): void {
  const first = variantOf(session, a);
  const second = variantOf(session, b);
  showFromStart(session, first);
  session.beside = second;
}

/** Shows a branch that may just have been forked: without playing, its end is followed as it grows. */
export function showFromStart(session: Session, branch: Branch): void {
  session.show(branch);
  if (!session.player.playing && branch.status !== 'complete') session.player.follow();
}
