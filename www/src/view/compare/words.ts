// Texts about branches: progress, time and errors.

import type { Branch, Status } from '../../state/branch.svelte';
import { framesIn, type Place } from '../../state/timeline';

const STATUS: Record<Status, string> = {
  waiting: 'waits for the engine',
  running: 'being made',
  complete: 'finished',
  stopped: 'stopped',
  failed: 'failed',
};

/** Engine time, rounded for reading. */
export function seconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 1)} s`;
}

/** A branch's state; one with an engine of its own may still have to fetch it. */
export function statusOf(branch: Branch): string {
  if (branch.status === 'running' && branch.device && branch.own.length === 0) {
    return `starting the ${branch.device === 'cpu' ? 'CPU' : 'WebGPU'} engine`;
  }
  return STATUS[branch.status];
}

export function placeInTime({ iteration, frame }: Place, { extent }: Branch): string {
  const step = frame < 0 ? 'the transformer reads' : `step ${frame} of ${framesIn(extent, iteration) - 1}`;
  return `iteration ${iteration + 1} of ${extent.iterations}, ${step}`;
}
