// The timeline: one row of moments, each iteration holding a read (the transformer) and the frames of its diffusion.
// Pure arithmetic between moment numbers, places (iteration, frame) and playing time.

/** A decoding's extent. */
export interface Extent {
  iterations: number;
  /** Frames of each iteration: its diffusion steps, and the noise. */
  frames: readonly number[];
}

/** A place on the timeline. */
export interface Place {
  /** Counts from 0. */
  iteration: number;
  /** -1 while the transformer reads; 0 is pure noise; the iteration's last frame is the finished tokens. */
  frame: number;
}

/** Shares of an iteration's playing time: reading, then denoising; the rest holds the finished tokens. */
const READ = 0.28;
const DENOISE = 0.58;
/** Keeps momentAt(timeOf(m)) = m under rounding. */
const SLACK = 1e-9;

export function sameExtent(a: Extent, b: Extent): boolean {
  return a.iterations === b.iterations && a.frames.every((frames, i) => frames === b.frames[i]);
}

/** Frames of an iteration. */
export function framesIn({ frames }: Extent, iteration: number): number {
  return frames[iteration] ?? 0;
}

/** The moment an iteration begins with; of one past the last, the number of all moments. */
export function firstOf(iteration: number, { frames }: Extent): number {
  let moments = 0;
  for (let i = 0; i < iteration; i++) moments += (frames[i] ?? 0) + 1;
  return moments;
}

/** Moments in the whole timeline. */
export function momentCount(extent: Extent): number {
  return firstOf(extent.iterations, extent);
}

export function placeOf(moment: number, extent: Extent): Place {
  let iteration = 0;
  let within = moment;
  while (iteration < extent.iterations - 1 && within > framesIn(extent, iteration)) {
    within -= framesIn(extent, iteration) + 1;
    iteration++;
  }
  return { iteration, frame: within - 1 };
}

export function momentOf({ iteration, frame }: Place, extent: Extent): number {
  return firstOf(iteration, extent) + frame + 1;
}

/** The moment of an iteration's finished tokens. */
export function endOf(iteration: number, extent: Extent): number {
  return firstOf(iteration + 1, extent) - 1;
}

/** The last moment that can be shown when `recorded` iterations have arrived. */
export function lastMoment(recorded: number, extent: Extent): number {
  return Math.max(0, endOf(recorded - 1, extent));
}

/** Playing time, in iterations, at which a moment begins. */
export function timeOf(moment: number, extent: Extent): number {
  const { iteration, frame } = placeOf(moment, extent);
  if (frame < 0) return iteration;
  const last = framesIn(extent, iteration) - 1;
  return iteration + READ + DENOISE * (last > 0 ? frame / last : 1);
}

/** The moment shown at a playing time. */
export function momentAt(time: number, extent: Extent): number {
  const iteration = Math.min(Math.floor(time), extent.iterations - 1);
  const within = time - iteration;
  if (within < READ - SLACK) return momentOf({ iteration, frame: -1 }, extent);
  const share = Math.min(1, (within - READ) / DENOISE + SLACK);
  return momentOf({ iteration, frame: Math.floor(share * (framesIn(extent, iteration) - 1)) }, extent);
}

/** Seconds an iteration plays at speed 1: short decodings calmly, long ones in about 20 seconds. */
export function secondsPerIteration({ iterations }: Pick<Extent, 'iterations'>): number {
  return Math.min(1.8, Math.max(0.45, 20 / iterations));
}
