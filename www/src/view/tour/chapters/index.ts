// The chapters of the tour, in their order.

import type { Chapter } from '../chapter';
import { again } from './again';
import { codebook } from './codebook';
import { condition } from './condition';
import { diffusion } from './diffusion';
import { edit } from './edit';
import { encoder } from './encoder';
import { guidance } from './guidance';
import { iterations } from './iterations';
import { masks } from './masks';
import { temperature } from './temperature';

export const CHAPTERS: readonly Chapter[] = [
  codebook,
  masks,
  encoder,
  condition,
  diffusion,
  again,
  guidance,
  temperature,
  iterations,
  edit,
];
