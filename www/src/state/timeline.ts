// The timeline: one row of moments, each iteration holding a read (the transformer) and the frames of its diffusion.
// Pure arithmetic between moment numbers, places (iteration, frame) and playing time.

/** A decoding's extent: every iteration has the same number of frames (diffusion steps + the noise). */
export interface Extent {
  iterations: number;
  frames: number;
}

/** A place on the timeline. */
export interface Place {
  /** Counts from 0. */
  iteration: number;
  /** -1 while the transformer reads; 0 is pure noise; frames - 1 is the finished tokens. */
  frame: number;
}

/** Shares of an iteration's playing time: reading, then denoising; the rest holds the finished tokens. */
const READ = 0.28;
const DENOISE = 0.58;
/** Keeps momentAt(timeOf(m)) = m under rounding. */
const SLACK = 1e-9;

/** Moments in the whole timeline. */
export function momentCount({ iterations, frames }: Extent): number {
  return iterations * (frames + 1);
}

export function placeOf(moment: number, { frames }: Extent): Place {
  return { iteration: Math.floor(moment / (frames + 1)), frame: (moment % (frames + 1)) - 1 };
}

export function momentOf({ iteration, frame }: Place, { frames }: Extent): number {
  return iteration * (frames + 1) + frame + 1;
}

/** The last moment that can be shown when `recorded` iterations have arrived. */
export function lastMoment(recorded: number, extent: Extent): number {
  return Math.max(0, recorded * (extent.frames + 1) - 1);
}

/** Playing time, in iterations, at which a moment begins. */
export function timeOf(moment: number, extent: Extent): number {
  const { iteration, frame } = placeOf(moment, extent);
  if (frame < 0) return iteration;
  const share = extent.frames > 1 ? frame / (extent.frames - 1) : 1;
  return iteration + READ + DENOISE * share;
}

/** The moment shown at a playing time. */
export function momentAt(time: number, extent: Extent): number {
  const iteration = Math.min(Math.floor(time), extent.iterations - 1);
  const within = time - iteration;
  if (within < READ - SLACK) return momentOf({ iteration, frame: -1 }, extent);
  const share = Math.min(1, (within - READ) / DENOISE + SLACK);
  return momentOf({ iteration, frame: Math.floor(share * (extent.frames - 1)) }, extent);
}

/** Seconds an iteration plays at speed 1: short decodings calmly, long ones in about 20 seconds. */
export function secondsPerIteration({ iterations }: Extent): number {
  return Math.min(1.8, Math.max(0.45, 20 / iterations));
}
