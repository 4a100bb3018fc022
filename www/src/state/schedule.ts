// The two cosines of the method: how many tokens stay masked after each iteration, and how much of a token is left at
// each timestep. Sections 3.2 and 3.4 of the paper. The engine's own are in crate/core/src/{sampler,diffusion}; the page needs
// them before there is an engine, and schedules.test.ts holds them together.

import { TIMESTEPS } from '../engine/generated';

export { TIMESTEPS };

/** Masked tokens after each of `iterations` iterations over `length` tokens: each takes at least one, the last all. */
export function maskLengths(length: number, iterations: number): number[] {
  let masked = length;
  return Array.from({ length: iterations }, (_, k) => {
    const cosine = Math.floor(length * Math.cos(((Math.PI / 2) * (k + 1)) / iterations));
    masked = k === iterations - 1 ? 0 : Math.max(1, Math.min(cosine, masked - 1));
    return masked;
  });
}

/** alpha-bar at every timestep: the product of 1 - beta up to it, the betas following a squared cosine, at most 0.999. */
export function alphaBars(): Float64Array {
  const curve = (t: number): number => Math.cos((((t / TIMESTEPS + 0.008) / 1.008) * Math.PI) / 2) ** 2;
  let product = 1;
  return Float64Array.from({ length: TIMESTEPS }, (_, t) => (product *= Math.max(0.001, curve(t + 1) / curve(t))));
}
