// The scripts of the engine's bundles, each fetched when it is needed.

import type { BundleName } from './bundle';
import type { EngineBundle } from './types';

export const SCRIPTS: Readonly<Record<BundleName, () => Promise<EngineBundle>>> = {
  cpu: () => import('@engine/cpu/marscope.js'),
  'cpu-relaxed': () => import('@engine/cpu-relaxed/marscope.js'),
  gpu: () => import('@engine/gpu/marscope.js'),
};
