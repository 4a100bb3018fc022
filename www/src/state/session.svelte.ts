// The page's state: settings, the loaded engine, the decoding under way with its recorded events.
// Views read it; the only ways to change it are the methods here.

import { EngineClient, checkWebAssembly } from '../engine/client';
import { chooseDevice, type DeviceChoice } from '../engine/device';
import type { Device, IterationEvent, ModelInfo } from '../engine/types';
import type { Part } from '../engine/worker';
import { Player } from './player.svelte';
import { ranksOf } from './scene';
import type { Extent } from './timeline';
import { FASHION, decodeSettings, formatSettings, parseSettings, type PageSettings, type Problem } from './settings';

/** Where the page is; also on <html data-phase>. */
export type Phase = 'loading' | 'ready' | 'running' | 'done' | 'error';

/** Settings that need another engine or model, not only another decoding. */
const NEEDS_LOAD: readonly (keyof PageSettings)[] = ['device', 'model'];

/** A pause in the changing of settings that starts the next decoding, in ms. */
const SETTLE = 250;

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

export class Session {
  readonly #search: string;
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #client: EngineClient | null = null;
  #loading = 0;
  #settle: ReturnType<typeof setTimeout> | undefined;
  /** The decoding whose end the next one waits for. */
  #under: Promise<unknown> = Promise.resolve();
  #run = 0;

  settings: PageSettings = $state()!;
  problems: Problem[] = $state.raw([]);
  /** Null until a model is loaded. */
  info: ModelInfo | null = $state.raw(null);
  device: DeviceChoice | null = $state.raw(null);
  /** The device whose engine is being fetched. */
  expected: Device = $state('cpu');
  loaded: Record<Part, number> = $state({ engine: 0, weights: 0 });
  state: 'loading' | 'loaded' | 'failed' = $state('loading');
  /** What went wrong last, for people; null when nothing did. */
  error: string | null = $state(null);
  decoding: 'idle' | 'running' | 'complete' | 'stopped' = $state('idle');
  events: IterationEvent[] = $state.raw([]);
  /** ranks[position]; null before the first decoding. */
  ranks: Uint32Array | null = $state.raw(null);
  readonly player = new Player();

  readonly phase: Phase = $derived.by(() => {
    if (this.error !== null) return 'error';
    if (this.state !== 'loaded') return 'loading';
    if (this.decoding === 'running') return 'running';
    if (this.decoding !== 'complete') return 'ready';
    const showing = this.player.playing || !(this.player.reachedEnd || !this.#plays());
    return showing ? 'running' : 'done';
  });

  constructor(search: string) {
    this.#search = search;
    const { settings, problems } = parseSettings(search, FASHION);
    this.settings = settings;
    this.problems = problems;
  }

  /** Fetches engine and model for the current settings, then starts a decoding. */
  async load(): Promise<void> {
    const turn = ++this.#loading;
    this.#abandon();
    this.#client?.terminate();
    this.#client = null;
    this.info = null;
    this.device = null;
    this.error = null;
    this.state = 'loading';
    try {
      await checkWebAssembly();
      const wish = this.settings.device;
      let choice = await chooseDevice(wish, navigator.gpu);
      if (turn !== this.#loading) return;
      let info: ModelInfo;
      try {
        info = await this.#loadOn(choice);
      } catch (error) {
        if (wish !== 'auto' || choice.device === 'cpu' || turn !== this.#loading) throw error;
        choice = { device: 'cpu', reason: `WebGPU did not start: ${message(error)}` };
        info = await this.#loadOn(choice);
      }
      if (turn !== this.#loading) return;
      this.device = choice;
      this.#adopt(info);
      this.state = 'loaded';
      this.decode();
    } catch (error) {
      if (turn !== this.#loading) return;
      this.state = 'failed';
      this.error = message(error);
    }
  }

  /** Takes new settings: restarts the decoding once they have settled, or loads where they need it. */
  change(settings: Partial<PageSettings>): void {
    const keys = (Object.keys(settings) as (keyof PageSettings)[]).filter(
      (key) => settings[key] !== this.settings[key],
    );
    if (keys.length === 0) return;
    Object.assign(this.settings, settings);
    this.#writeAddress();
    clearTimeout(this.#settle);
    if (keys.some((key) => NEEDS_LOAD.includes(key))) {
      void this.load();
    } else if (keys.some((key) => key !== 'play') && this.state === 'loaded') {
      // The old picture is no longer what the settings say; the new one starts when they have settled.
      this.#begin();
      this.#settle = setTimeout(() => {
        this.#start();
      }, SETTLE);
    }
  }

  /** Starts the decoding of the current settings, in place of one under way. */
  decode(): void {
    clearTimeout(this.#settle);
    this.#begin();
    this.#start();
  }

  /** Ends the decoding after its current iteration; what is recorded stays. */
  stop(): void {
    clearTimeout(this.#settle);
    this.#client?.stop();
    this.#run++;
    this.decoding = 'stopped';
    this.player.pause();
  }

  /** Tries again what failed. */
  retry(): void {
    if (this.state === 'loaded' && this.#client?.crashed === false) this.decode();
    else void this.load();
  }

  dismissProblems(): void {
    this.problems = [];
  }

  /** Makes way for a new decoding. */
  #begin(): void {
    this.#abandon();
    this.#writeAddress();
    this.error = null;
    this.decoding = 'running';
    this.player.reset(this.#extent(), this.#plays());
  }

  #start(): void {
    if (this.#client) this.#under = this.#decodeAfter(this.#under, this.#run, this.#client);
  }

  #plays(): boolean {
    return this.settings.play && !this.#calm.matches;
  }

  #extent(): Extent {
    return { iterations: this.settings.iterations, frames: this.settings.steps + 1 };
  }

  #loadOn(choice: DeviceChoice): Promise<ModelInfo> {
    this.#client?.terminate();
    this.#client = new EngineClient();
    this.loaded = { engine: 0, weights: 0 };
    this.expected = choice.device;
    const request = {
      device: choice.device,
      base: location.origin + location.pathname.replace(/[^/]*$/, ''),
      folder: `weights/${this.settings.model}`,
    };
    return this.#client.load(request, (part, received) => {
      this.loaded[part] = received;
    });
  }

  /** Reads the address again, now against what the model itself says. */
  #adopt(info: ModelInfo): void {
    this.info = info;
    const address = location.search === this.#search ? this.#search : formatSettings(this.settings);
    const { settings, problems } = parseSettings(address, info);
    this.settings = settings;
    if (address === this.#search) this.problems = problems;
  }

  /** Forgets the decoding under way and everything recorded. */
  #abandon(): void {
    this.#run++;
    if (this.decoding === 'running') this.#client?.stop();
    this.decoding = 'idle';
    this.events = [];
    this.ranks = null;
    this.player.reset(this.#extent(), false);
  }

  async #decodeAfter(previous: Promise<unknown>, run: number, client: EngineClient): Promise<void> {
    await previous;
    if (run !== this.#run) return;
    try {
      const end = await client.decode(
        decodeSettings(this.settings),
        (order) => {
          if (run === this.#run) this.ranks = ranksOf(order);
        },
        (event) => {
          if (run !== this.#run) return;
          this.events = [...this.events, event];
          this.player.record(this.events.length, event.timesteps.length);
        },
      );
      if (run === this.#run) this.decoding = end;
    } catch (error) {
      if (run !== this.#run) return;
      this.decoding = 'stopped';
      this.player.pause();
      this.error = message(error);
    }
  }

  #writeAddress(): void {
    history.replaceState(null, '', formatSettings(this.settings) + location.hash);
  }
}
