// The page's state: the loaded engine, the branches with their recordings, what plays. Views read it; the only ways to change
// it are the methods here.

import { chooseDevice, fasterOf, type DeviceChoice } from '../engine/device';
import { checkWebAssembly, type EngineClient } from '../engine/client';
import type { Device, ModelInfo } from '../engine/types';
import type { Loaded } from '../engine/worker';
import { MOST_BRANCHES, embedded, formatSights, parseSights, type Sights } from './address';
import { Branch, type Choices, type ForkSpec } from './branch.svelte';
import { Engines } from './engines.svelte';
import { factsOf, opens } from './models';
import { fetchPatches, type Patches } from './patches';
import { Pictures } from './pictures.svelte';
import { Player } from './player.svelte';
import { Questions } from './questions.svelte';
import { fetchRecording, isRecorded } from './recording';
import { orderOf, ranksOf } from './scene';
import { Scheduler } from './scheduler';
import { CHOICES, defaultSettings, formatSettings, parseSettings } from './settings';
import type { Geometry, ModelFacts, PageSettings, Problem } from './settings';
import { NO_PINS, before } from './decodestate';
import { momentOf } from './timeline';
import { readTrace, writeTrace } from './trace';
import { View } from './view.svelte';

/** Where the page is; also on <html data-phase>. */
export type Phase = 'loading' | 'ready' | 'running' | 'done' | 'error';

/** Settings that need another engine or model, not only another decoding. */
const NEEDS_LOAD: readonly (keyof PageSettings)[] = ['device', 'model'];

/** A pause in the changing of settings that starts the next decoding, in ms. */
const SETTLE = 250;

function message(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function choicesOf(settings: PageSettings): Choices {
  return Object.fromEntries(CHOICES.map((key) => [key, settings[key]])) as unknown as Choices;
}

export class Session {
  readonly #search: string;
  readonly #calm = matchMedia('(prefers-reduced-motion: reduce)');
  #loading = 0;
  #settle: ReturnType<typeof setTimeout> | undefined;
  /** Whether the visitor changed something since the address was read. */
  #touched = false;
  /** Where the address wants the timeline to stand once it is recorded. */
  #moment: number | null = null;
  readonly #scheduler: Scheduler;

  readonly view: View;
  readonly player = new Player();
  readonly engines = new Engines();
  readonly questions = new Questions({
    client: (branch) => this.#engineOf(branch),
    geometry: () => this.facts,
    failed: (error) => (this.error = message(error)),
  });
  readonly pictures = new Pictures({
    client: (branch) => this.#engineOf(branch),
    geometry: () => this.facts,
    failed: (error) => (this.error = message(error)),
  });
  page: Omit<PageSettings, keyof Choices> = $state.raw({
    model: opens(),
    device: 'auto',
    workers: 'auto',
    play: true,
  });
  problems: Problem[] = $state.raw([]);
  /** Null until a model is loaded. */
  info: ModelInfo | null = $state.raw(null);
  device: DeviceChoice | null = $state.raw(null);
  state: 'loading' | 'loaded' | 'failed' = $state('loading');
  /** The last error message, or null. */
  error: string | null = $state(null);
  /** The trunk, then its forks; a parent comes before its children. */
  branches: readonly Branch[] = $state.raw([]);
  active: Branch = $state.raw()!;
  /** Shown next to the active one. */
  beside: Branch | null = $state.raw(null);
  /** Whether what is shown was recorded when the page was built; the engine takes over when it is there. */
  recorded = $state(false);
  patches: Patches | null = $state.raw(null);

  readonly facts: ModelInfo = $derived(this.info ?? factsOf(this.page.model));
  readonly trunk: Branch = $derived(this.branches[0]!);
  /** The active branch's choices and the page's own settings. */
  readonly settings: PageSettings = $derived({ ...this.active.choices, ...this.page });
  /** Whether the engine works, on whichever branch or question. */
  readonly busy: boolean = $derived(
    this.state === 'loaded' &&
      (this.questions.asking || this.branches.some(({ status }) => status === 'running' || status === 'waiting')),
  );

  readonly phase: Phase = $derived.by(() => {
    if (this.error !== null) return 'error';
    if (this.state !== 'loaded') return 'loading';
    const { status } = this.active;
    if (status === 'waiting' || status === 'running' || this.recorded) return 'running';
    if (status !== 'complete') return 'ready';
    const showing = this.player.playing || !(this.player.reachedEnd || !this.#plays());
    return showing ? 'running' : 'done';
  });

  constructor(search: string) {
    this.#search = search;
    this.view = new View(embedded(search));
    this.#plant(search, factsOf(parseSettings(search, factsOf(opens())).settings.model));
    this.#scheduler = new Scheduler({
      branches: () => this.branches,
      first: () => this.active,
      client: (branch) => this.#engineOf(branch),
      geometry: () => this.facts,
      computed: (branch, event) => {
        this.pictures.arrived(branch, event);
      },
      replaced: (branch, before, after) => {
        this.pictures.replaced(branch, before, after);
      },
      arrived: (branch) => {
        this.#arrived(branch);
      },
      failed: (branch, error) => {
        if (branch.device === null || branch === this.trunk) this.error = message(error);
        if (branch === this.active) this.player.pause();
      },
    });
    $effect.root(() => {
      $effect(() => {
        if (this.state !== 'loading') this.#writeAddress();
      });
    });
  }

  /** Fetches engine and model for the current settings, then starts decoding. */
  async load(): Promise<void> {
    const turn = ++this.#loading;
    this.engines.discard();
    this.info = null;
    this.device = null;
    this.error = null;
    this.patches = null;
    this.state = 'loading';
    this.engines.share(this.page.workers);
    void this.#record(turn);
    try {
      await checkWebAssembly();
      const wish = this.page.device;
      let choice = await chooseDevice(wish, navigator.gpu);
      if (turn !== this.#loading) return;
      let loaded: Loaded;
      try {
        // If the setting lets the page choose, both engines are timed.
        const fastest = wish === 'auto' && choice.device === 'webgpu';
        loaded = await this.engines.load(choice.device, this.page.model, fastest);
      } catch (error) {
        if (wish !== 'auto' || choice.device === 'cpu' || turn !== this.#loading) throw error;
        choice = { device: 'cpu', reason: `WebGPU did not start: ${message(error)}` };
        loaded = await this.engines.load(choice.device, this.page.model, false);
      }
      if (turn !== this.#loading) return;
      this.device = loaded.trial ? fasterOf(choice, loaded.trial) : choice;
      this.#adopt(loaded.info);
      this.state = 'loaded';
      this.pictures.wake();
      void this.#fetchPatches(turn);
      if (this.recorded) this.#scheduler.confirm(this.trunk);
      else this.#restart(this.trunk);
    } catch (error) {
      if (turn !== this.#loading) return;
      this.state = 'failed';
      this.error = message(error);
    }
  }

  /** Takes new settings: choices go to the active branch, which is decoded again once they have settled. */
  change(settings: Partial<PageSettings>): void {
    const keys = (Object.keys(settings) as (keyof PageSettings)[]).filter(
      (key) => settings[key] !== this.settings[key],
    );
    if (keys.length === 0) return;
    this.#touched = true;
    const { model, device, workers, play } = { ...this.settings, ...settings };
    this.page = { model, device, workers, play };
    if (keys.includes('workers')) this.engines.share(workers);
    const chosen = keys.filter((key): key is (typeof CHOICES)[number] => CHOICES.some((choice) => choice === key));
    if (chosen.length > 0) {
      const changes = Object.fromEntries(chosen.map((key) => [key, settings[key]]));
      this.active.changes = { ...this.active.changes, ...changes };
      this.active.start = null;
      this.recorded = false;
    }
    clearTimeout(this.#settle);
    if (keys.includes('model')) {
      // Nothing of one model means anything to another.
      this.#scheduler.stop();
      this.#setTrunk(
        new Branch(choicesOf({ ...defaultSettings(factsOf(this.page.model)), ...settings })),
        this.#plays(),
      );
      this.view.token = null;
      this.recorded = false;
      this.pictures.clear();
      void this.load();
    } else if (keys.some((key) => NEEDS_LOAD.includes(key))) {
      void this.load();
    } else if (chosen.length > 0 && this.state === 'loaded') {
      // The old picture is no longer what the settings say; the new one starts when they have settled.
      this.#clear(this.active);
      this.#settle = setTimeout(() => {
        this.#scheduler.pump();
      }, SETTLE);
    } else if (chosen.length > 0) {
      // There is no engine yet, or none could be loaded: that message stays.
      this.#empty(this.active);
    }
  }

  /** Decodes the active branch again. */
  decode(): void {
    clearTimeout(this.#settle);
    this.#restart(this.active);
  }

  /** Ends the running computation before its next diffusion step or iteration; the recording stays. */
  stop(): void {
    clearTimeout(this.#settle);
    this.#scheduler.stop();
    this.engines.stop();
    this.player.pause();
  }

  /** Tries again what failed. */
  retry(): void {
    if (this.state === 'loaded' && this.engines.alive) this.decode();
    else void this.load();
  }

  dismissProblems(): void {
    this.problems = [];
  }

  /**
   * Forks a branch. The new one becomes active, with its parent beside it. The oldest fork is removed if there are too
   * many; throws an Error with a readable message if none can be removed.
   */
  fork({ parent = this.active, at, changes = {}, pins = NO_PINS, device }: Fork): Branch {
    if (this.branches.length >= MOST_BRANCHES) {
      const line = [this.trunk];
      for (let branch: Branch | null = parent; branch; branch = branch.parent) line.push(branch);
      const oldest = this.branches.find(
        (branch) => !line.includes(branch) && !this.branches.some((other) => other.parent === branch),
      );
      if (!oldest) throw new Error(`There are ${MOST_BRANCHES} branches already: remove one first.`);
      this.remove(oldest);
    }
    this.#touched = true;
    const branch = new Branch({ parent, at, changes, pins, device: device ?? null });
    this.branches = [...this.branches, branch];
    this.active = branch;
    this.beside = parent;
    this.error = null;
    this.#follow(branch);
    this.#scheduler.pump();
    return branch;
  }

  /** Removes a fork and all its forks. */
  remove(branch: Branch): void {
    if (!branch.parent) return;
    const family = this.#family(branch);
    this.#scheduler.drop(family);
    this.branches = this.branches.filter((other) => !family.includes(other));
    // Shown first: it puts the active branch beside its parent, where both were shown.
    if (family.includes(this.active)) this.show(branch.parent);
    if (this.beside && (family.includes(this.beside) || this.beside === this.active)) this.beside = null;
  }

  /** Puts a branch on the picture and the timeline, at the moment that is nearest to the one shown. */
  show(branch: Branch): void {
    if (branch === this.active) return;
    const { place } = this.player;
    if (this.beside === branch) this.beside = this.active;
    this.active = branch;
    this.player.switchTo(branch.extent, branch.events.length, branch.momentNear(place));
  }

  /** The tokens of a picture [channels, height, width], by the engine's encoder. Rejects with an Error with a readable message. */
  async encode(picture: Float32Array): Promise<Float32Array> {
    const client = this.#engineOf(this.trunk);
    if (!client) throw new Error('The engine is not there yet, and only it makes tokens of a picture.');
    return (await client).tokens(picture);
  }

  /** A branch's recording as JSON, which the page and the command line replay. */
  traceOf(branch: Branch): string {
    const { name, parameters } = this.facts;
    const first = branch.events[branch.at];
    const forked = branch.at > 0 || branch.pins.size > 0;
    return writeTrace({
      model: { name, parameters },
      choices: branch.choices,
      order: Uint32Array.from(orderOf(branch.ranks ?? new Uint32Array())),
      start: forked && first ? before(first) : branch.start,
      events: branch.events,
    });
  }

  /** Shows a recorded trace in place of the trunk and its forks. Rejects with an Error with a readable message. */
  async openTrace(text: string): Promise<void> {
    const trace = readTrace(text, this.facts);
    if (trace.model.name !== this.page.model) {
      throw new Error(
        `This trace was made by the model "${trace.model.name}", but the page runs "${this.page.model}". Open the page with that model first.`,
      );
    }
    this.stop();
    this.#touched = true;
    this.recorded = false;
    const trunk = new Branch(trace.choices);
    trunk.start = trace.start;
    trunk.own = trace.events;
    trunk.ownRanks = ranksOf(trace.order);
    trunk.status = 'complete';
    this.#setTrunk(trunk, this.#plays());
  }

  /** The whole state as an address's query; with the moment where the timeline stands still before its end. */
  address(): string {
    const { player } = this;
    const still = !player.playing && player.recorded > 0 && player.moment < player.end;
    return this.#format(still ? player.moment : null);
  }

  #format(moment: number | null): string {
    const { mode, token, embed } = this.view;
    const sights = {
      active: this.branches.indexOf(this.active),
      beside: this.beside ? this.branches.indexOf(this.beside) : null,
      mode,
      token,
      moment,
      embed,
    };
    const settings = formatSettings({ ...this.trunk.choices, ...this.page });
    return settings + formatSights(this.branches, sights, this.facts);
  }

  #writeAddress(): void {
    const address = this.#format(null) + location.hash;
    if (address !== location.search + location.hash) history.replaceState(null, '', address);
  }

  /** Reads an address into branches and sights. */
  #plant(search: string, facts: ModelFacts & Geometry): void {
    const { settings, problems } = parseSettings(search, facts);
    const { sights, problems: others } = parseSights(search, facts);
    this.problems = [...problems, ...others];
    const { model, device, workers, play } = settings;
    this.page = { model, device, workers, play };
    this.#setTrunk(new Branch(choicesOf(settings)), this.#plays());
    this.#grow(sights);
  }

  #grow(sights: Sights): void {
    for (const { parent, ...spec } of sights.forks) {
      this.branches = [...this.branches, new Branch({ ...spec, parent: this.branches[parent]! })];
    }
    this.active = this.branches[sights.active] ?? this.trunk;
    this.beside = sights.beside === null ? null : (this.branches[sights.beside] ?? null);
    this.view.mode = sights.mode;
    this.view.token = sights.token;
    this.#moment = sights.moment;
    this.player.reset(this.active.extent, this.#plays() && sights.moment === null);
  }

  #setTrunk(trunk: Branch, plays: boolean): void {
    this.branches = [trunk];
    this.active = trunk;
    this.beside = null;
    this.player.reset(trunk.extent, plays);
    if (trunk.events.length > 0) this.player.record(trunk.events.length, trunk.extent);
  }

  /** Reads the address again, with the model's own ranges. */
  #adopt(info: ModelInfo): void {
    this.info = info;
    if (this.#touched) {
      const { settings } = parseSettings(formatSettings({ ...this.trunk.choices, ...this.page }), info);
      this.trunk.changes = choicesOf(settings);
    } else if (!this.recorded) {
      this.#plant(this.#search, info);
    }
  }

  /** Shows the decoding recorded when the page was built, where it is the one that is asked for. */
  async #record(turn: number): Promise<void> {
    const { trunk } = this;
    const wanted = (): boolean =>
      this.branches.length === 1 &&
      this.trunk === trunk &&
      trunk.events.length === 0 &&
      isRecorded(this.page.model, trunk.choices);
    if (!wanted()) return;
    const recording = await fetchRecording(this.page.model);
    if (!recording || turn !== this.#loading || this.state !== 'loading' || !wanted()) return;
    const { trace, pictures } = recording;
    for (const { iteration, frame, pixels } of pictures) {
      const event = trace.events[iteration];
      if (event) this.pictures.bring(this.trunk, event, frame, pixels);
    }
    this.trunk.own = trace.events;
    this.trunk.ownRanks = ranksOf(trace.order);
    this.trunk.status = 'complete';
    this.recorded = true;
    this.#arrived(this.trunk);
  }

  async #fetchPatches(turn: number): Promise<void> {
    const patches = await fetchPatches(this.page.model, this.facts.tokenDim);
    if (turn === this.#loading) this.patches = patches;
  }

  /** A branch has grown, or was replaced by an equal one. */
  #arrived(branch: Branch): void {
    if (branch === this.trunk && branch.status === 'complete' && this.state === 'loaded') this.recorded = false;
    if (branch !== this.active) return;
    this.player.record(branch.events.length, branch.extent);
    if (this.#moment !== null && this.player.last >= this.#moment) {
      this.player.pause();
      this.player.seek(this.#moment);
      this.#moment = null;
    }
  }

  /** Empties a branch and all that was forked from it; they wait to be decoded. */
  #clear(branch: Branch): void {
    this.error = null;
    this.#empty(branch);
  }

  #empty(branch: Branch): void {
    this.#scheduler.clear(this.#family(branch));
    if (this.#family(branch).includes(this.active)) this.#follow(this.active);
  }

  #restart(branch: Branch): void {
    this.#clear(branch);
    this.#scheduler.pump();
  }

  /** Plays a branch from its first own iteration on. */
  #follow(branch: Branch): void {
    const first = momentOf({ iteration: Math.min(branch.at, branch.events.length), frame: -1 }, branch.extent);
    this.player.pause();
    this.player.switchTo(branch.extent, branch.events.length, first);
    if (this.#moment === null && this.#plays()) this.player.play();
    else this.player.follow();
  }

  /** A branch and all that was forked from it. */
  #family(branch: Branch): Branch[] {
    const family = [branch];
    for (const other of this.branches) if (other.parent && family.includes(other.parent)) family.push(other);
    return family;
  }

  /** The engine a branch is computed by; null as long as there is none. */
  #engineOf(branch: Branch): Promise<EngineClient> | null {
    return this.state === 'loaded' ? this.engines.on(branch.device, this.page.model) : null;
  }

  #plays(): boolean {
    return this.page.play && !this.#calm.matches;
  }
}

/** What `Session.fork` takes. */
export type Fork = { parent?: Branch } & Pick<ForkSpec, 'at'> &
  Partial<Pick<ForkSpec, 'changes' | 'pins'>> & {
    device?: Device;
  };
