// Pictures of tokens. Patches of pixels become a picture at once. Latents are decoded by the autoencoder of the engine that
// the branch runs on: on demand, a few frames an iteration. Until a picture is there, the nearest one that is stands in for it.

import { createSubscriber } from 'svelte/reactivity';
import type { EngineClient } from '../engine/client';
import type { IterationEvent } from '../engine/types';
import type { Branch } from './branch.svelte';
import { Recent } from './recent';
import { blankPixels, cropPixels, imagePixels, patchPixels, tokensAt, type Pixels } from './scene';
import type { Geometry } from './settings';
import { spreadOver } from './stages';
import type { Place } from './timeline';
import { tokenizerOf } from './tokenizer';
import { Wishes } from './wishes';

/** Frames of an iteration that are decoded; the others show the nearest of them. */
export const KEPT_FRAMES = 13;
/** Pictures that are kept, those looked at last: 32 MB of 64x64 pixels. */
const MOST_KEPT = 2000;

/** The services that pictures need. */
interface Host {
  geometry: () => Geometry;
  /** Null as long as there is no engine. */
  client: (branch: Branch) => Promise<EngineClient> | null;
  failed: (error: unknown) => void;
}

/** One picture: of a frame of a recording, or of tokens that stand in none. */
interface Slot {
  branch: Branch;
  /** [L, tokenDim] */
  readonly tokens: () => Float32Array;
  pixels: Pixels | null;
  /** False for a picture that came with the page, which the engine's own replaces. */
  exact: boolean;
  /** Tells whoever has read it that it has changed. */
  changed: () => void;
  /** Makes whoever calls it, and looks at what it draws, hear of changes. */
  readonly subscribe: () => void;
  readonly waiting: ((failure: unknown) => void)[];
}

/** The frames of an iteration that are decoded. */
function keptFrames({ timesteps }: IterationEvent): number[] {
  return spreadOver(timesteps.length - 1, KEPT_FRAMES);
}

/** `some`, the nearest to `frame` first. */
function byDistance(some: readonly number[], frame: number): number[] {
  return [...some].sort((a, b) => Math.abs(a - frame) - Math.abs(b - frame));
}

export class Pictures {
  readonly #host: Host;
  readonly #wishes = new Wishes<Slot>();
  /** By iteration and frame; -1 is the picture before it. */
  readonly #frames = new WeakMap<IterationEvent, Record<number, Slot>>();
  /** Of tokens that stand in no recording. */
  readonly #loose = new WeakMap<Float32Array, Slot>();
  /** The tokens of the picture that a token was added to. */
  readonly #tried = new WeakMap<Float32Array, Float32Array>();
  readonly #there = new Recent<Slot>(MOST_KEPT, (slot) => {
    slot.pixels = null;
    slot.exact = false;
  });
  #decoding = false;
  /** Counts the engines: what an earlier one still decodes is not waited for. */
  #turn = 0;

  constructor(host: Host) {
    this.#host = host;
  }

  /** A branch at a place; what is not decoded yet is wished for as long as somebody looks. */
  at(branch: Branch, place: Place): Pixels {
    const geometry = this.#host.geometry();
    const { events } = branch;
    const own = tokenizerOf(geometry);
    if (own) return imagePixels(own.decode(tokensAt(events, place, geometry)), geometry);
    const slot = this.#slotAt(branch, place);
    if (!slot) return blankPixels(geometry);
    return this.#read(slot) ?? this.#standIn(events, place) ?? blankPixels(geometry);
  }

  /** Whether another picture stands in at a place. */
  waits(branch: Branch, place: Place): boolean {
    if (tokenizerOf(this.#host.geometry())) return false;
    const slot = this.#slotAt(branch, place);
    slot?.subscribe();
    return slot?.exact === false;
  }

  /** The picture of tokens [L, tokenDim] that stand in no recording, always given as the same array; null until it is there. */
  of(branch: Branch, tokens: Float32Array): Pixels | null {
    const geometry = this.#host.geometry();
    const own = tokenizerOf(geometry);
    if (own) return imagePixels(own.decode(tokens), geometry);
    return this.#read(this.#looseSlot(branch, tokens));
  }

  /** What a token covers of the picture at a frame of an iteration. */
  part(branch: Branch, { iteration }: IterationEvent, frame: number, position: number): Pixels {
    return cropPixels(this.at(branch, { iteration, frame }), position, this.#host.geometry());
  }

  /**
   * What another token would cover there, if it were added to what is known before an iteration. `token`, [tokenDim], is to be
   * the same array each time.
   */
  tried(branch: Branch, event: IterationEvent, position: number, token: Float32Array): Pixels {
    const geometry = this.#host.geometry();
    if (tokenizerOf(geometry)) return patchPixels(token, geometry);
    let tokens = this.#tried.get(token);
    if (!tokens) {
      tokens = event.before.slice();
      tokens.set(token, position * geometry.tokenDim);
      this.#tried.set(token, tokens);
    }
    return cropPixels(this.of(branch, tokens) ?? blankPixels(geometry), position, geometry);
  }

  /** Like `at`, once it is there; without an engine the nearest there is. Rejects with an Error with a readable message. */
  async soon(branch: Branch, place: Place): Promise<Pixels> {
    const geometry = this.#host.geometry();
    const slot = tokenizerOf(geometry) ? null : this.#slotAt(branch, place);
    if (slot && this.#host.client(branch)) await this.#wait(slot);
    return this.at(branch, place);
  }

  /** An iteration has arrived: the picture after it will be wanted. */
  arrived(branch: Branch, event: IterationEvent): void {
    if (tokenizerOf(this.#host.geometry())) return;
    const slot = this.#frameSlot(branch, event, event.timesteps.length - 1);
    if (!slot.exact) this.#wishes.foresee(slot);
    void this.#pump();
  }

  /** Takes a picture of a frame that came with the page. */
  bring(branch: Branch, event: IterationEvent, frame: number, pixels: Pixels): void {
    const slot = this.#frameSlot(branch, event, frame);
    if (!slot.exact) this.#put(slot, pixels, false);
  }

  /** The same iterations were computed again: until their own pictures are there, the old ones stay. */
  replaced(branch: Branch, before: readonly IterationEvent[], after: readonly IterationEvent[]): void {
    for (const [i, event] of after.entries()) {
      const old = before[i];
      for (const [frame, { pixels }] of Object.entries((old && this.#frames.get(old)) ?? {})) {
        if (pixels && Number(frame) < event.timesteps.length) this.bring(branch, event, Number(frame), pixels);
      }
    }
  }

  /** There is another model: nothing of what is wished for is wanted any more. */
  clear(): void {
    this.#turn++;
    this.#wishes.clear();
  }

  /** There is an engine, or another one. */
  wake(): void {
    this.#turn++;
    this.#decoding = false;
    void this.#pump();
  }

  /** The slot of the kept frame that is nearest to a place; null where nothing is recorded. */
  #slotAt(branch: Branch, { iteration, frame }: Place): Slot | null {
    const { events } = branch;
    const event = events[iteration];
    const before = events[iteration - 1];
    if (event && frame >= 0) {
      const [nearest = 0] = byDistance(keptFrames(event), frame);
      return this.#frameSlot(branch, event, nearest);
    }
    if (before) return this.#frameSlot(branch, before, before.timesteps.length - 1);
    return event ? this.#frameSlot(branch, event, -1) : null;
  }

  /** A picture near a place that is there. */
  #standIn(events: readonly IterationEvent[], { iteration, frame }: Place): Pixels | null {
    const event = events[iteration];
    const own = event && this.#frames.get(event);
    for (const near of event ? byDistance([-1, ...keptFrames(event)], frame) : []) {
      const pixels = own?.[near]?.pixels;
      if (pixels) return pixels;
    }
    for (let i = iteration - 1; i >= 0; i--) {
      const earlier = events[i]!;
      const pixels = this.#frames.get(earlier)?.[earlier.timesteps.length - 1]?.pixels;
      if (pixels) return pixels;
    }
    return null;
  }

  #frameSlot(branch: Branch, event: IterationEvent, frame: number): Slot {
    let slots = this.#frames.get(event);
    if (!slots) this.#frames.set(event, (slots = {}));
    let slot = slots[frame];
    if (!slot) {
      const tokens = (): Float32Array => tokensAt([event], { iteration: 0, frame }, this.#host.geometry());
      slot = slots[frame] = this.#slot(branch, tokens);
    }
    slot.branch = branch;
    return slot;
  }

  #looseSlot(branch: Branch, tokens: Float32Array): Slot {
    let slot = this.#loose.get(tokens);
    if (!slot) this.#loose.set(tokens, (slot = this.#slot(branch, () => tokens)));
    return slot;
  }

  #slot(branch: Branch, tokens: () => Float32Array): Slot {
    const slot: Slot = {
      ...{ branch, tokens, pixels: null, exact: false, waiting: [], changed: () => undefined },
      subscribe: createSubscriber((changed) => {
        slot.changed = changed;
        if (!slot.exact) this.#wishes.look(slot);
        void this.#pump();
        return () => {
          slot.changed = () => undefined;
          this.#wishes.drop(slot);
        };
      }),
    };
    return slot;
  }

  #read(slot: Slot): Pixels | null {
    slot.subscribe();
    this.#there.touch(slot);
    return slot.pixels;
  }

  #wait(slot: Slot): Promise<void> {
    if (slot.exact) return Promise.resolve();
    return new Promise((resolve, reject) => {
      slot.waiting.push((failure) => {
        if (failure === null) resolve();
        else reject(failure instanceof Error ? failure : new Error(String(failure)));
      });
      this.#wishes.foresee(slot);
      void this.#pump();
    });
  }

  #put(slot: Slot, pixels: Pixels, exact: boolean): void {
    slot.pixels = pixels;
    slot.exact = exact;
    this.#there.add(slot);
    slot.changed();
  }

  /** Decodes what is wished for, one picture at a time, so that the newest wish waits for one other at most. */
  async #pump(): Promise<void> {
    if (this.#decoding) return;
    const turn = this.#turn;
    // Wishes made in one go are seen together.
    this.#decoding = true;
    await Promise.resolve();
    for (;;) {
      if (turn !== this.#turn) return;
      const slot = this.#wishes.next();
      const client = slot && this.#host.client(slot.branch);
      if (!slot || !client) break;
      try {
        const geometry = this.#host.geometry();
        const tokens = slot.tokens();
        const image = await (await client).picture(tokens);
        // Another model may have come in the meantime.
        if (turn !== this.#turn) return;
        this.#wishes.done(slot);
        this.#put(slot, imagePixels(image, geometry), true);
        for (const wake of slot.waiting.splice(0)) wake(null);
      } catch (error) {
        if (turn !== this.#turn) return;
        this.#wishes.done(slot);
        const heard = slot.waiting.splice(0);
        for (const wake of heard) wake(error);
        if (heard.length === 0) this.#host.failed(error);
      }
    }
    this.#decoding = false;
  }
}
