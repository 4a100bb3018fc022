// The running engines: the page's own, and those of branches that use another device.
// An engine is a worker; it is fetched at its first use.

import { bundleFor, type BundleName } from '../engine/bundle';
import { EngineClient } from '../engine/client';
import { chooseDevice } from '../engine/device';
import { Growth, type WorkersWish } from '../engine/growth';
import type { Device } from '../engine/types';
import type { Loaded, LoadRequest, OnProgress, Part } from '../engine/worker';
import { cores } from './settings';

/** Parameters of a model that a second worker may load without being asked to: a copy of them is 200 MB. */
const MOST_COPIED = 50_000_000;

export class Engines {
  #page: { client: EngineClient; device: Device } | null = null;
  readonly #others: Partial<Record<Device, Promise<EngineClient> | undefined>> = {};
  /** The bundle that the page fetches; until the device is decided, a small one. */
  expected: BundleName = $state('cpu');
  /** Bytes of the page's engine that have arrived. */
  loaded: Record<Part, number> = $state({ engine: 0, weights: 0 });
  /** How many workers share the work of the CPU engine, and why; null as long as there is none. */
  workers: { size: number; reason: string } | null = $state.raw(null);
  #workersWish: WorkersWish = 'auto';
  #growth: Growth | null = null;

  /**
   * Fetches the page's engine and model and replaces the old ones. With the setting for the fastest device, the CPU may win.
   * Rejects with an Error with a readable message.
   */
  async load(device: Device, model: string, fastest: boolean): Promise<Loaded> {
    this.#page?.client.terminate();
    const client = new EngineClient();
    this.#page = { client, device };
    this.loaded = { engine: 0, weights: 0 };
    const request = await requestOf(device, model, fastest);
    this.expected = request.bundle;
    const loaded = await this.#start(client, request, (part, received) => {
      if (this.#page?.client === client) this.loaded[part] = received;
    });
    if (this.#page.client === client) this.#page.device = loaded.info.device;
    return loaded;
  }

  /** Lets so many workers share the work of the CPU engine, from now on. */
  share(wish: WorkersWish): void {
    this.#workersWish = wish;
    void this.#growth?.want(wish);
  }

  /** The engine on a device, null for the page's own. Null before the page has one. */
  on(device: Device | null, model: string): Promise<EngineClient> | null {
    if (!this.#page) return null;
    if (device === null || device === this.#page.device) return Promise.resolve(this.#page.client);
    let client = this.#others[device];
    if (!client) {
      client = chooseDevice(device, navigator.gpu).then(async () => {
        const engine = new EngineClient();
        await this.#start(engine, await requestOf(device, model, false), () => undefined);
        return engine;
      });
      client.catch(() => (this.#others[device] = undefined));
      this.#others[device] = client;
    }
    return client;
  }

  /** Whether the page's engine answers. */
  get alive(): boolean {
    return this.#page?.client.crashed === false;
  }

  /** Ends what the page's engine does. */
  stop(): void {
    this.#page?.client.stop();
  }

  /** Loads an engine. One on the CPU then gets its workers, while it works already. */
  async #start(client: EngineClient, request: LoadRequest, onProgress: OnProgress): Promise<Loaded> {
    let reason = '';
    let size = 1;
    const tell = (): void => {
      if (this.#growth === growth) this.workers = { size, reason };
    };
    const loaded = await client.load(request, onProgress, (now) => {
      size = now;
      tell();
    });
    const { device, parameters } = loaded.info;
    if (device !== 'cpu') return loaded;
    const growth = new Growth(client, parameters > MOST_COPIED ? 1 : cores(), (why) => {
      reason = why;
      tell();
    });
    this.#growth = growth;
    void growth.want(this.#workersWish);
    return loaded;
  }

  /** Ends all engines. */
  discard(): void {
    this.#growth = null;
    this.workers = null;
    this.#page?.client.terminate();
    this.#page = null;
    for (const device of Object.keys(this.#others) as Device[]) {
      void this.#others[device]?.then(
        (client) => {
          client.terminate();
        },
        () => undefined,
      );
      this.#others[device] = undefined;
    }
  }
}

async function requestOf(device: Device, model: string, fastest: boolean): Promise<LoadRequest> {
  const base = location.origin + location.pathname.replace(/[^/]*$/, '');
  const folder = `weights/${model}`;
  const hash = WEIGHTS_HASHES[folder];
  // The addresses contain a hash of the content, so a cache never returns an old version.
  const version = hash ? `?v=${hash}` : '';
  return { device, fastest, bundle: await bundleFor(device), base, folder, version };
}
