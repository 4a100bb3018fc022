import { expose } from 'comlink';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { EngineClient } from './client';
import type { BackboneProbe, DecodeSettings, IterationEvent, Probe } from './types';

/** What the worker is asked for, and how a test has it answer. */
const worker = {
  log: [] as string[],
  /** Settles the job under way. */
  settle: (() => undefined) as (value: unknown) => void,
};

const wait = (what: string): Promise<never> => {
  worker.log.push(what);
  return new Promise<never>((resolve) => (worker.settle = resolve as (value: unknown) => void));
};

const api = {
  decode: async (
    _: DecodeSettings,
    __: unknown,
    onOrder: (order: Uint32Array) => Promise<void>,
    onIteration: (event: IterationEvent) => Promise<void>,
  ): Promise<unknown> => {
    await onOrder(Uint32Array.of(1, 0));
    await onIteration({ iteration: 0 } as IterationEvent);
    return wait('decode');
  },
  backbone: ({ iteration }: Probe) => wait(`backbone ${iteration}`),
  stop: () => {
    worker.log.push('stop');
  },
};

/** A worker whose other end is in this thread. */
class FakeWorker extends EventTarget {
  static last: FakeWorker;
  readonly #port: MessagePort;

  constructor() {
    super();
    FakeWorker.last = this;
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    port1.onmessage = ({ data }: MessageEvent<unknown>) => this.dispatchEvent(new MessageEvent('message', { data }));
    expose(api, port2);
  }

  postMessage(message: unknown, transfer: Transferable[]): void {
    this.#port.postMessage(message, transfer);
  }

  terminate(): void {
    this.#port.close();
  }

  /** Ends as a trap in wasm ends it. */
  die(message: string): void {
    this.#port.close();
    this.dispatchEvent(Object.assign(new Event('error'), { message }));
  }
}

let client: EngineClient;

beforeEach(() => {
  vi.stubGlobal('Worker', FakeWorker);
  worker.log = [];
  client = new EngineClient();
});
afterEach(() => {
  client.terminate();
  vi.unstubAllGlobals();
});

const SETTINGS = {} as DecodeSettings;
const ask = (iteration: number): Promise<BackboneProbe | null> =>
  client.ask((engine) => engine.backbone({ iteration } as Probe));
const logged = (...log: string[]): Promise<void> =>
  vi.waitFor(() => {
    expect(worker.log).toEqual(log);
  });

describe('the engine’s client', () => {
  it('hands on the order and every iteration, and how the decoding ended', async () => {
    const heard: unknown[] = [];
    const ended = client.decode(
      SETTINGS,
      null,
      (order) => heard.push(Array.from(order)),
      ({ iteration }) => heard.push(iteration),
    );
    await logged('stop', 'decode');
    worker.settle('complete');
    expect(await ended).toBe('complete');
    expect(heard).toEqual([[1, 0], 0]);
  });

  it('asks one question at a time', async () => {
    const answers = [ask(1), ask(2)];
    await logged('backbone 1');
    worker.settle('first');
    await logged('backbone 1', 'backbone 2');
    worker.settle('second');
    expect(await Promise.all(answers)).toEqual(['first', 'second']);
  });

  it('drops the questions that wait when it is stopped, and takes stopped for no answer', async () => {
    const answers = [ask(1), ask(2)];
    await logged('backbone 1');
    client.stop();
    await logged('backbone 1', 'stop');
    worker.settle('stopped');
    expect(await Promise.all(answers)).toEqual([null, null]);
    expect(worker.log).toEqual(['backbone 1', 'stop']);
  });

  it('lets questions make way for a decoding', async () => {
    const answer = ask(1);
    const waiting = ask(2);
    await logged('backbone 1');
    const ended = client.decode(SETTINGS, null, vi.fn(), vi.fn());
    await logged('backbone 1', 'stop');
    worker.settle('stopped');
    await logged('backbone 1', 'stop', 'decode');
    worker.settle('complete');
    expect([await answer, await waiting, await ended]).toEqual([null, null, 'complete']);
  });

  it('rejects what waits when the worker dies, and says what to do', async () => {
    const answer = ask(1);
    await logged('backbone 1');
    FakeWorker.last.die('unreachable');
    await expect(answer).rejects.toThrow('The engine stopped unexpectedly (unreachable). Try again');
    expect(client.crashed).toBe(true);
    await expect(ask(2)).rejects.toThrow('stopped unexpectedly');
  });

  it('gives no answer when it is replaced, and rejects what else waits', async () => {
    const answer = ask(1);
    await logged('backbone 1');
    const sized = client.resize(2);
    client.terminate();
    expect(await answer).toBeNull();
    expect(await ask(2)).toBeNull();
    await expect(sized).rejects.toThrow('The engine was replaced.');
  });
});
