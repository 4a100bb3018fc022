// How many workers share the CPU engine's work: as many as the visitor says, or as many as help here.
// Static hosts give no shared memory, so the workers send each other messages (peer.ts), and beyond some number they cost more
// than they help. That is measured: one worker is added after the other, as long as an iteration then takes less time.

import type { EngineClient } from './client';

export type WorkersWish = 'auto' | number;

/** The part of the time without it that a worker must leave at most, to stay. */
const HELPS = 0.9;

/** The part of the engine's client that is used. */
type Client = Pick<EngineClient, 'resize' | 'ask' | 'crashed'>;

export class Growth {
  readonly #client: Client;
  readonly #cores: number;
  /** Says in words why there are as many as there are; empty where there is nothing to say. */
  readonly #onReason: (reason: string) => void;
  /** Counts the wishes: what is under way for an earlier one ends. */
  #wishes = 0;

  constructor(client: Client, cores: number, onReason: (reason: string) => void) {
    this.#client = client;
    this.#cores = cores;
    this.#onReason = onReason;
  }

  /** Has as many workers as `wish` says. Never rejects: where a worker does not start, the others do its work. */
  async want(wish: WorkersWish): Promise<void> {
    const turn = ++this.#wishes;
    this.#onReason('');
    try {
      if (wish === 'auto') await this.#grow(turn);
      else await this.#client.resize(wish);
    } catch (error) {
      if (turn !== this.#wishes || this.#client.crashed) return;
      this.#onReason(`Another worker did not start: ${error instanceof Error ? error.message : String(error)}.`);
    }
  }

  async #grow(turn: number): Promise<void> {
    await this.#client.resize(1);
    for (let size = 2; size <= this.#cores; size++) {
      if (turn !== this.#wishes) return;
      await this.#client.resize(size);
      const times = await this.#compare(turn);
      if (!times) return;
      const helps = times.all <= HELPS * times.fewer;
      const [all, fewer] = [times.all, times.fewer].map((ms) =>
        ms.toLocaleString('en', { maximumSignificantDigits: 2 }),
      );
      this.#onReason(`An iteration takes ${all} ms with ${size}, ${fewer} ms with ${size - 1}.`);
      if (!helps) {
        await this.#client.resize(size - 1);
        return;
      }
    }
  }

  /**
   * The times without the last worker and with it; null where another wish came, or another engine. Decodings go first, as often
   * as they come.
   */
  async #compare(turn: number): Promise<{ fewer: number; all: number } | null> {
    for (;;) {
      if (turn !== this.#wishes || this.#client.crashed) return null;
      const times = await this.#client.ask((engine) => engine.compare());
      if (times) return turn === this.#wishes ? times : null;
    }
  }
}
