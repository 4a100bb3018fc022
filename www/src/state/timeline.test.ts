import { describe, expect, it } from 'vitest';
import {
  endOf,
  firstOf,
  lastMoment,
  momentAt,
  momentCount,
  momentOf,
  placeOf,
  sameExtent,
  secondsPerIteration,
  timeOf,
  type Extent,
} from './timeline';

const even = (iterations: number, frames: number): Extent => ({
  iterations,
  frames: Array.from({ length: iterations }, () => frames),
});
const extent = even(16, 51);
/** Fewer diffusion steps in later iterations. */
const uneven: Extent = { iterations: 4, frames: [6, 5, 3, 3] };

describe('moments', () => {
  it('are a read and the frames of each iteration', () => {
    expect(momentCount(extent)).toBe(16 * 52);
    expect(placeOf(0, extent)).toEqual({ iteration: 0, frame: -1 });
    expect(placeOf(51, extent)).toEqual({ iteration: 0, frame: 50 });
    expect(placeOf(52, extent)).toEqual({ iteration: 1, frame: -1 });
    expect(placeOf(16 * 52 - 1, extent)).toEqual({ iteration: 15, frame: 50 });
  });

  it('are as many in each iteration as it has frames', () => {
    expect(momentCount(uneven)).toBe(7 + 6 + 4 + 4);
    expect(placeOf(6, uneven)).toEqual({ iteration: 0, frame: 5 });
    expect(placeOf(7, uneven)).toEqual({ iteration: 1, frame: -1 });
    expect(placeOf(13, uneven)).toEqual({ iteration: 2, frame: -1 });
    expect([0, 1, 2, 3, 4].map((iteration) => firstOf(iteration, uneven))).toEqual([0, 7, 13, 17, 21]);
    expect(placeOf(endOf(2, uneven), uneven)).toEqual({ iteration: 2, frame: 2 });
  });

  it('tell extents apart', () => {
    expect(sameExtent(even(4, 6), even(4, 6))).toBe(true);
    expect(sameExtent(even(4, 6), even(5, 6))).toBe(false);
    expect(sameExtent(even(4, 6), uneven)).toBe(false);
  });

  it('end where the recording ends', () => {
    expect(lastMoment(0, extent)).toBe(0);
    expect(placeOf(lastMoment(3, extent), extent)).toEqual({ iteration: 2, frame: 50 });
  });
});

describe('playing time', () => {
  it.each([extent, even(1, 2), even(49, 201), even(7, 4), uneven])(
    'shows every moment from its own time on (%o)',
    (e) => {
      for (let moment = 0; moment < momentCount(e); moment++) {
        expect(momentOf(placeOf(moment, e), e)).toBe(moment);
        expect(momentAt(timeOf(moment, e), e)).toBe(moment);
      }
    },
  );

  it('never runs backwards', () => {
    let before = -1;
    for (let time = 0; time < 16; time += 0.003) {
      const moment = momentAt(time, extent);
      expect(moment).toBeGreaterThanOrEqual(before);
      before = moment;
    }
    expect(before).toBe(momentCount(extent) - 1);
  });

  it('keeps long decodings short and short ones watchable', () => {
    expect(secondsPerIteration({ iterations: 1 })).toBe(1.8);
    expect(secondsPerIteration({ iterations: 49 })).toBe(0.45);
    expect(secondsPerIteration({ iterations: 16 })).toBeCloseTo(1.25);
  });
});
