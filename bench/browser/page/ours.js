// marscope's engine as the page drives it (www/src/engine/worker.ts): a bundle, a decoding, an event an iteration.
// The times of an iteration's parts are the ones its event reports, or follow from its time at two numbers of steps.

/**
 * @typedef {object} Options
 * @property {string} bundle Folder of the bundle, as served.
 * @property {'cpu' | 'webgpu'} device
 * @property {number} label
 * @property {string} weights Folder of the weights, as served.
 * @property {number} [workers] Workers that share the work of the CPU engine, this page included.
 * @property {string} plan What is decoded, as served.
 */

/** The least diffusion steps there can be. */
const FEW = 2;

const pings = new MessageChannel();

/**
 * Starts a worker with the same bundle and weights; returns what sends it work.
 * @param {WebAssembly.Module} wasm
 * @param {{ bundle: string, config: string, data: Uint8Array }} rest
 */
async function startPeer(wasm, { bundle, config, data }) {
  const worker = new Worker('/page/second.js', { type: 'module' });
  /** Settles the requests in their order. @type {((answer: any) => void)[]} */
  const waiting = [];
  const first = () => new Promise((resolve) => waiting.push(resolve));
  worker.onmessage = ({ data }) => waiting.shift()?.(data);
  worker.onerror = ({ message }) => {
    throw new Error(`a second worker failed: ${message}`);
  };
  const ready = first();
  worker.postMessage({ wasm, bundle, config, data });
  await ready;
  return (/** @type {Record<string, any>} */ work) => {
    const buffers = Object.values(work).flatMap((value) => (ArrayBuffer.isView(value) ? [value.buffer] : []));
    const answer = first();
    worker.postMessage(work, buffers);
    return answer;
  };
}

/** What the page answers between diffusion steps: go on, once waiting messages are through. */
function shouldContinue() {
  return new Promise((resolve) => {
    pings.port1.onmessage = () => resolve(true);
    pings.port2.postMessage(null);
  });
}

/**
 * Loads the bundle and the weights.
 * @param {Options} options
 */
export async function open({ bundle, device, label, weights, plan: address, workers = 1 }) {
  const module = await import(`${bundle}/marscope.js`);
  const wasm = await WebAssembly.compileStreaming(fetch(`${bundle}/marscope_bg.wasm`));
  await module.default({ module_or_path: wasm });
  const config = await (await fetch(`${weights}/config.json`)).text();
  const data = new Uint8Array(await (await fetch(`${weights}/model.safetensors`)).arrayBuffer());
  const engine = await module.Engine.load(config, data, device);
  const peers = Array.from({ length: workers - 1 }, () => startPeer(wasm, { bundle, config, data }));
  if (workers > 1) engine.share(await Promise.all(peers));
  const plan = await (await fetch(address)).json();
  const { dim, tokens: length } = plan.shape;
  const settings = {
    ...plan.settings,
    label,
    cfgSchedule: 'linear',
    temperature: 1,
    order: plan.order,
    // Nothing is kept of the reverse process but its two ends.
    stride: plan.settings.steps,
  };
  const last = (/** @type {any} */ event) => event.trajectory.slice(-event.tokens.length * dim);

  /** The iteration in the middle, of so many diffusion steps. */
  async function middle(/** @type {number[]} */ image, /** @type {number} */ steps) {
    const { iteration, known } = plan.middle;
    const masked = new Uint8Array(length).fill(1);
    for (const place of known) masked[place] = 0;
    const start = { iteration, tokens: Float32Array.from(image), masked };
    const decoding = engine.decode({ ...settings, steps, stride: steps }, start);
    const event = await decoding.advance(shouldContinue);
    decoding.free();
    return event;
  }

  return {
    /** One iteration in the middle of the image whose tokens are given: milliseconds of its two parts. */
    async iteration(/** @type {number[]} */ image) {
      const { steps } = settings;
      const event = await middle(image, steps);
      const tokens = [...last(event)];
      const { backbone, head } = event.ms;
      if (backbone > 0) return { backbone, head, tokens, derived: false };
      // Both parts went to the GPU together: the time of a step is what more steps cost, the rest is the backbone's.
      const few = (await middle(image, FEW)).ms.head;
      const process = Math.min(head, ((head - few) / (steps - FEW)) * steps);
      return { backbone: head - process, head: process, tokens, derived: true };
    },
    /** What the GPU was asked to do so far, as the engine counts it; null without one. */
    cost: () => engine.cost?.() ?? null,
    /** The whole image: milliseconds, and its tokens [L, C]. */
    async image() {
      const tokens = new Float32Array(length * dim);
      const begin = performance.now();
      const decoding = engine.decode(settings, null);
      for (;;) {
        const event = await decoding.advance(shouldContinue);
        if (event === null) break;
        const sampled = last(event);
        [...event.tokens].forEach((place, row) => {
          tokens.set(sampled.subarray(row * dim, (row + 1) * dim), place * dim);
        });
      }
      decoding.free();
      return { ms: performance.now() - begin, tokens: [...tokens] };
    },
  };
}
