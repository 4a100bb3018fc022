import { describe, expect, it } from 'vitest';
import { eventOf } from './fake-client';
import { packRecording, stripPlaces, unpackRecording } from './recording';
import { defaultSettings, FASHION } from './settings';
import type { Trace } from './trace';

const GEOMETRY = {
  ...{ tokenizer: 'kl' as const, image: [4, 4] as [number, number], channels: 3, patch: 1, tokenSide: 2 },
  ...{ grid: [2, 2] as [number, number], tokens: 4, tokenDim: 1, classes: FASHION.classes },
};
const SOURCE = {
  model: { name: 'fashion', parameters: 7 },
  choices: { ...defaultSettings(FASHION), iterations: 4, steps: 2, lateSteps: null },
  order: Uint32Array.of(0, 1, 2, 3),
  start: null,
  events: [0, 1, 2, 3].map((iteration) => ({
    ...eventOf(iteration, iteration),
    timesteps: Uint32Array.of(999, 500, 0),
    alphaBar: Float32Array.of(0, 0.5, 1),
    trajectory: Float32Array.of(3, 1.5, iteration),
  })),
};

describe('a recording', () => {
  it('is the trace again, to a ten thousandth', () => {
    const trace: Trace = unpackRecording(packRecording(SOURCE), GEOMETRY);
    expect(trace.events).toHaveLength(4);
    expect(Array.from(trace.order)).toEqual([0, 1, 2, 3]);
    trace.events.forEach((event, i) => {
      const source = SOURCE.events[i]!;
      expect(event.maskBefore).toEqual(source.maskBefore);
      expect(event.maskAfter).toEqual(source.maskAfter);
      for (const key of ['trajectory', 'before', 'after'] as const) {
        source[key].forEach((value, j) => expect(event[key][j]).toBeCloseTo(value, 3));
      }
    });
  });

  it('takes half the room', () => {
    const wide = {
      ...SOURCE,
      events: SOURCE.events.map((event) => ({ ...event, trajectory: new Float32Array(3000) })),
    };
    expect(packRecording(wide).length).toBeLessThan((4 * 3000 * 4 * 4) / 3 / 1.9);
  });

  it.each(['{', '{}', '{"iterations":[{}]}', '{"format":"spoiled"}'])('is refused where it is none: %s', (text) => {
    expect(() => unpackRecording(text, GEOMETRY)).toThrow();
  });
});

describe('the strip of pictures', () => {
  it('begins before the first iteration and has each last frame', () => {
    expect(stripPlaces([51, 3])).toEqual([
      { iteration: 0, frame: -1 },
      ...[0, 33, 42, 50].map((frame) => ({ iteration: 0, frame })),
      ...[0, 1, 2].map((frame) => ({ iteration: 1, frame })),
    ]);
  });
});
