import { describe, expect, it } from 'vitest';
import { lastMoment, momentAt, momentCount, momentOf, placeOf, secondsPerIteration, timeOf } from './timeline';

const extent = { iterations: 16, frames: 51 };

describe('moments', () => {
  it('are a read and the frames of each iteration', () => {
    expect(momentCount(extent)).toBe(16 * 52);
    expect(placeOf(0, extent)).toEqual({ iteration: 0, frame: -1 });
    expect(placeOf(51, extent)).toEqual({ iteration: 0, frame: 50 });
    expect(placeOf(52, extent)).toEqual({ iteration: 1, frame: -1 });
    expect(placeOf(16 * 52 - 1, extent)).toEqual({ iteration: 15, frame: 50 });
  });

  it('end where the recording ends', () => {
    expect(lastMoment(0, extent)).toBe(0);
    expect(placeOf(lastMoment(3, extent), extent)).toEqual({ iteration: 2, frame: 50 });
  });
});

describe('playing time', () => {
  it.each([extent, { iterations: 1, frames: 2 }, { iterations: 49, frames: 201 }, { iterations: 7, frames: 4 }])(
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
    expect(secondsPerIteration({ iterations: 1, frames: 2 })).toBe(1.8);
    expect(secondsPerIteration({ iterations: 49, frames: 2 })).toBe(0.45);
    expect(secondsPerIteration({ iterations: 16, frames: 2 })).toBeCloseTo(1.25);
  });
});
