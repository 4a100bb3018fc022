// A stand-in for the engine's client in unit tests: what it is asked for is noted, and answered when a test says so.

import type { EngineClient } from '../engine/client';
import type { DecodeSettings, DecodeState, IterationEvent } from '../engine/types';

/** A decoding that was asked for. */
export interface Asked {
  settings: DecodeSettings;
  start: DecodeState | null;
  order: (order: Uint32Array) => void;
  iteration: (event: IterationEvent) => void;
  end: (how: 'complete' | 'stopped') => void;
  fail: (message: string) => void;
}

export class FakeClient {
  readonly asked: Asked[] = [];
  stops = 0;

  decode(
    settings: DecodeSettings,
    start: DecodeState | null,
    order: (order: Uint32Array) => void,
    iteration: (event: IterationEvent) => void,
  ): Promise<'complete' | 'stopped'> {
    return new Promise((resolve, reject) => {
      const fail = (message: string): void => {
        reject(new Error(message));
      };
      this.asked.push({ settings, start, order, iteration, end: resolve, fail });
    });
  }

  /** Pictures that were asked for: answered, in their order, when a test says so. */
  readonly pictures: {
    tokens: Float32Array;
    answer: (image: Float32Array) => void;
    fail: (message: string) => void;
  }[] = [];
  /** What the encoder makes of a picture. */
  encode: (picture: Float32Array) => Float32Array = (picture) => picture;

  picture(tokens: Float32Array): Promise<Float32Array> {
    return new Promise((answer, reject) => {
      const fail = (message: string): void => {
        reject(new Error(message));
      };
      this.pictures.push({ tokens, answer, fail });
    });
  }

  tokens(picture: Float32Array): Promise<Float32Array> {
    return Promise.resolve(this.encode(picture));
  }

  stop(): void {
    this.stops++;
  }

  /** As what takes a client sees it. */
  get client(): EngineClient {
    return this as unknown as EngineClient;
  }
}

/** An iteration over four tokens of one number, which draws `token`. */
export function eventOf(iteration: number, token: number): IterationEvent {
  const before = Uint8Array.from([0, 1, 2, 3], (position) => (position < token ? 0 : 1));
  return {
    iteration,
    iterations: 4,
    tokens: Uint32Array.of(token),
    maskBefore: before,
    maskAfter: before.map((masked, position) => (position === token ? 0 : masked)),
    cfg: 1,
    timesteps: Uint32Array.of(999, 0),
    alphaBar: Float32Array.of(0, 1),
    trajectory: Float32Array.of(3, token),
    before: Float32Array.from([0, 1, 2, 3], (position) => (position < token ? position : 0)),
    after: Float32Array.from([0, 1, 2, 3], (position) => (position <= token ? position : 0)),
    ms: { backbone: 1, head: 2 },
  };
}
