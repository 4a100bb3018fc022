// The workers that share the CPU engine's work: the one that this runs in, and its peers (crate/inference/src/team).
// They have the same weights, and the picture does not depend on how many they are.

import type { Copy, Peer } from './peer';
import type { Ask } from './types';

/** The services that a team needs. */
interface Host {
  /** Starts a peer, which has loaded nothing yet; `onDeath` is called if it dies later. */
  start: (onDeath: () => void) => Peer;
  /** What peers load. */
  copy: Copy;
  /** From now on the engine shares its work with these. */
  share: (peers: readonly Ask[]) => void;
  /** The team has this size now. */
  onSize: (size: number) => void;
}

export class Team {
  readonly #host: Host;
  #peers: readonly Peer[] = [];
  /** The last change of size: one is done at a time. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(host: Host) {
    this.#host = host;
  }

  /** Workers, this one included. */
  get size(): number {
    return 1 + this.#peers.length;
  }

  /**
   * Has so many workers. New ones take part in a decoding under way as soon as they are loaded. Rejects with an Error with a
   * readable message when one does not start; those before it stay.
   */
  resize(size: number): Promise<void> {
    const done = this.#last.then(async () => {
      for (const peer of this.#peers.slice(Math.max(0, size - 1))) this.#remove(peer);
      for (let missing = size - this.size; missing > 0; missing--) await this.#add();
    });
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Shares the work among so many of the workers only, until it is told otherwise. */
  use(size: number): void {
    this.#host.share(this.#peers.slice(0, size - 1).map((peer) => (work) => peer.ask(work)));
  }

  /** What the peers were asked so far ends before its next diffusion step. */
  stop(): void {
    for (const peer of this.#peers) peer.stop();
  }

  async #add(): Promise<void> {
    const peer: Peer = this.#host.start(() => {
      this.#remove(peer);
    });
    try {
      await peer.load(this.#host.copy);
    } catch (error) {
      peer.terminate();
      throw error;
    }
    this.#change([...this.#peers, peer]);
  }

  #remove(peer: Peer): void {
    peer.terminate();
    this.#change(this.#peers.filter((other) => other !== peer));
  }

  #change(peers: readonly Peer[]): void {
    this.#peers = peers;
    this.use(this.size);
    this.#host.onSize(this.size);
  }
}
