// Which of the engine's bundles to fetch: one for WebGPU, two for the CPU, of which the faster needs relaxed SIMD.
// All have the same interface.

import { relaxedSimd } from 'wasm-feature-detect';
import type { Device } from './types';

export type BundleName = 'cpu' | 'cpu-relaxed' | 'gpu';

/** The bundle for a device in this browser. */
export async function bundleFor(device: Device): Promise<BundleName> {
  if (device === 'webgpu') return 'gpu';
  return (await relaxedSimd()) ? 'cpu-relaxed' : 'cpu';
}

/** The name of a bundle, for messages. */
export function bundleInWords(bundle: BundleName): string {
  return `The ${bundle === 'gpu' ? 'WebGPU' : 'CPU'} engine`;
}
