import { expose } from 'comlink';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Peer, type Copy } from './peer';
import type { Work } from './types';

/** What the peer's worker is asked for, and how a test has it answer. */
const worker = {
  log: [] as unknown[],
  settle: (() => undefined) as (value: unknown) => void,
  fail: (() => undefined) as (reason: Error) => void,
};

const api = {
  load: ({ bundle }: Copy) => {
    worker.log.push(`load ${bundle}`);
  },
  answer: (work: Work) => {
    worker.log.push(work);
    return new Promise((resolve, reject) => {
      worker.settle = resolve;
      worker.fail = reject;
    });
  },
  stop: () => {
    worker.log.push('stop');
  },
};

/** A worker whose other end is in this thread. */
class FakeWorker extends EventTarget {
  static last: FakeWorker;
  terminated = false;
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
    this.terminated = true;
    this.#port.close();
  }
}

let peer: Peer;
let deaths: number;

beforeEach(() => {
  vi.stubGlobal('Worker', FakeWorker);
  worker.log = [];
  deaths = 0;
  peer = new Peer(() => deaths++);
});
afterEach(() => {
  peer.terminate();
  vi.unstubAllGlobals();
});

const logged = (...log: unknown[]): Promise<void> =>
  vi.waitFor(() => {
    expect(worker.log).toEqual(log);
  });

describe('a peer', () => {
  it('loads, and answers what it is asked; the buffers go along', async () => {
    await peer.load({ bundle: 'cpu' } as Copy);
    const z = Float32Array.of(1, 2);
    const answer = peer.ask({ kind: 'draw', z, stride: 1 });
    expect(z.byteLength).toBe(0);
    await logged('load cpu', { kind: 'draw', z: Float32Array.of(1, 2), stride: 1 });
    worker.settle({ frames: Float32Array.of(3) });
    expect(await answer).toEqual({ frames: Float32Array.of(3) });
  });

  it('hears of a stop', async () => {
    const answer = peer.ask({ kind: 'draw' });
    peer.stop();
    await logged({ kind: 'draw' }, 'stop');
    worker.settle('stopped');
    expect(await answer).toBe('stopped');
  });

  it('hands on why its engine failed', async () => {
    const answer = peer.ask({ kind: 'z' });
    await logged({ kind: 'z' });
    worker.fail(new Error('work: missing field'));
    await expect(answer).rejects.toThrow('work: missing field');
    expect(deaths).toBe(0);
  });

  it('rejects what waits when it dies, and what is asked later', async () => {
    const answer = peer.ask({ kind: 'z' });
    await logged({ kind: 'z' });
    FakeWorker.last.dispatchEvent(Object.assign(new Event('error'), { message: 'unreachable' }));
    await expect(answer).rejects.toThrow('it stopped unexpectedly (unreachable)');
    await expect(peer.ask({ kind: 'z' })).rejects.toThrow('stopped unexpectedly');
    expect([deaths, FakeWorker.last.terminated]).toEqual([1, true]);
  });

  it('rejects what waits when it is ended', async () => {
    const answer = peer.ask({ kind: 'z' });
    await logged({ kind: 'z' });
    peer.terminate();
    await expect(answer).rejects.toThrow('it was ended');
    expect(deaths).toBe(0);
  });
});
