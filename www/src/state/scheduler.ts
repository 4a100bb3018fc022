// Decides which waiting branch is decoded next: one at a time, the active one first, a parent before its forks.
// A decoding that was replaced ends before its next diffusion step, and its last events are ignored.

import type { EngineClient } from '../engine/client';
import type { DecodeSettings, DecodeState, IterationEvent } from '../engine/types';
import type { Branch } from './branch.svelte';
import { orderOf, ranksOf } from './scene';
import { decodeSettings, type Geometry } from './settings';
import { after, pinned } from './decodestate';

/** The scheduler's owner. */
interface Host {
  branches: () => readonly Branch[];
  /** The branch that goes first. */
  first: () => Branch;
  /** Null as long as there is no engine. */
  client: (branch: Branch) => Promise<EngineClient> | null;
  geometry: () => Geometry;
  /** An iteration is there, also one that is not shown yet. */
  computed: (branch: Branch, event: IterationEvent) => void;
  /** A recording is about to be replaced by an equal one. */
  replaced: (branch: Branch, before: readonly IterationEvent[], after: readonly IterationEvent[]) => void;
  /** A branch has a new iteration, or has ended. */
  arrived: (branch: Branch) => void;
  failed: (branch: Branch, error: unknown) => void;
}

export class Scheduler {
  readonly #host: Host;
  /** The running decoding. If another one takes its place, its events are ignored. */
  #job: { branch: Branch; client: EngineClient | null } | null = null;
  /** A finished recording to be computed again and then replaced. */
  #confirm: Branch | null = null;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Starts the next waiting branch, unless a decoding is running. */
  pump(): void {
    if (this.#job) return;
    const branch = this.#next();
    if (!branch) return;
    const client = this.#host.client(branch);
    if (client) void this.#run(branch, client);
  }

  /** Computes a recorded branch; it is replaced once that is complete. */
  confirm(branch: Branch): void {
    this.#confirm = branch;
    this.pump();
  }

  /** Empties branches: they wait. */
  clear(family: readonly Branch[]): void {
    this.drop(family);
    for (const branch of family) {
      branch.status = 'waiting';
      branch.error = null;
      // A trace that was opened in mid-way keeps what came before.
      branch.own = branch.start ? branch.own.slice(0, branch.start.iteration) : [];
      branch.ownRanks = null;
    }
  }

  /** Ends the running decoding if it is of one of these branches. */
  drop(family: readonly Branch[]): void {
    if (this.#confirm && family.includes(this.#confirm)) this.#confirm = null;
    if (this.#job && family.includes(this.#job.branch)) this.#end();
  }

  /** Ends the running decoding and empties the queue. */
  stop(): void {
    this.#confirm = null;
    for (const branch of this.#host.branches()) {
      if (branch.status === 'running' || branch.status === 'waiting') branch.status = 'stopped';
    }
    this.#end();
  }

  #end(): void {
    this.#job?.client?.stop();
    this.#job = null;
  }

  #next(): Branch | undefined {
    const ready = this.#host
      .branches()
      .filter(
        (branch) =>
          (branch.status === 'waiting' || branch === this.#confirm) &&
          (branch.at === 0 || branch.parent!.events.length >= branch.at),
      );
    return ready.find((branch) => branch === this.#host.first()) ?? ready[0];
  }

  async #run(branch: Branch, engine: Promise<EngineClient>): Promise<void> {
    const job: { branch: Branch; client: EngineClient | null } = { branch, client: null };
    this.#job = job;
    const wanted = (): boolean => this.#job === job;
    const silent = branch === this.#confirm;
    const quietly: IterationEvent[] = [];
    if (!silent) branch.status = 'running';
    try {
      const client = await engine;
      if (!wanted()) return;
      job.client = client;
      const { settings, start } = this.#task(branch);
      const end = await client.decode(
        settings,
        start,
        (order) => {
          if (wanted()) branch.ownRanks = ranksOf(order);
        },
        (event) => {
          if (!wanted()) return;
          this.#host.computed(branch, event);
          if (silent) {
            quietly.push(event);
          } else {
            branch.own = [...branch.own, event];
            this.#host.arrived(branch);
          }
        },
      );
      if (!wanted()) return;
      if (silent) {
        this.#confirm = null;
        this.#host.replaced(branch, branch.own, quietly);
        branch.own = quietly;
      }
      branch.status = end;
      this.#host.arrived(branch);
    } catch (error) {
      if (!wanted()) return;
      this.#confirm = null;
      branch.status = 'failed';
      branch.error = error instanceof Error ? error.message : String(error);
      this.#host.failed(branch, error);
    } finally {
      if (wanted()) this.#job = null;
      // Another one may run already; then this does nothing.
      this.pump();
    }
  }

  /** The request to the engine. A fork keeps its parent's order, whatever its seed. */
  #task(branch: Branch): { settings: DecodeSettings; start: DecodeState | null } {
    const settings = decodeSettings(branch.choices);
    const last = branch.at > 0 ? branch.parent!.events[branch.at - 1] : undefined;
    if (!last) {
      return { settings, start: branch.pins.size > 0 ? pinned(branch.pins, this.#host.geometry()) : branch.start };
    }
    const order = orderOf(branch.parent!.ranks ?? new Uint32Array());
    return { settings: { ...settings, order }, start: after(last) };
  }
}
