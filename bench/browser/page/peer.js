// ONNX Runtime Web as the benchmark's peer: the decoding loop a page would write around the exported graphs.
// Tokens live on the host (a few kilobytes an iteration); on WebGPU everything between a backbone pass and its tokens stays there.

/**
 * @typedef {{ known: number[], rows: number[], cfg: number }} Iteration
 * @typedef {object} Plan
 * @property {{ tokens: number, dim: number, buffer: number, classes: number }} shape
 * @property {{ steps: number }} settings
 * @property {Iteration[]} iterations
 * @property {Iteration} middle
 * @typedef {object} Options
 * @property {'wasm' | 'webgpu'} provider
 * @property {'fused' | 'plain'} attention
 * @property {'step' | 'process'} head One run a diffusion step, or one for all of them.
 * @property {string} runtime Module of ONNX Runtime Web.
 * @property {number} label
 */

/**
 * Loads the graphs.
 * @param {Options} options
 */
export async function open({ provider, attention, head, runtime, label }) {
  const ort = await import(`/ort/${runtime}`);
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = '/ort/';
  ort.env.logLevel = 'error';
  const fetched = async (/** @type {string} */ name) => (await fetch(`/onnx/${name}`)).arrayBuffer();
  const options = { executionProviders: [provider], graphOptimizationLevel: 'all' };
  const onDevice = provider === 'webgpu' ? { preferredOutputLocation: 'gpu-buffer' } : {};
  const backbone = await ort.InferenceSession.create(await fetched(`backbone_${attention}.onnx`), {
    ...options,
    ...onDevice,
  });
  // Only the one-step head feeds itself; the tokens of a whole process are wanted on the host.
  const denoiser = await ort.InferenceSession.create(await fetched(`head_${head}.onnx`), {
    ...options,
    ...(head === 'step' ? onDevice : {}),
  });
  /** @type {Plan} */
  const plan = await (await fetch('/onnx/plan.json')).json();
  const { shape, settings } = plan;
  const all = new Float32Array(await fetched('noise.bin'));
  const floats = (/** @type {Float32Array} */ data, /** @type {number[]} */ dims) =>
    new ort.Tensor('float32', data, dims);
  const places = (/** @type {number[]} */ list) => new ort.Tensor('int32', Int32Array.from(list), [list.length]);

  // What depends on no token is made beforehand: inputs, and the noise.
  let at = 0;
  const prepared = [...plan.iterations, plan.middle].map((iteration) => {
    const { known, rows, cfg } = iteration;
    const size = (settings.steps + 1) * rows.length * shape.dim;
    const noise = all.subarray(at, (at += size));
    const sources = Array.from({ length: shape.buffer + shape.tokens }, (_, place) => {
      if (place < shape.buffer) return place;
      const index = known.indexOf(place - shape.buffer);
      return index < 0 ? shape.buffer + known.length : shape.buffer + index;
    });
    return {
      rows,
      seen: places([...Array(shape.buffer).keys(), ...known.map((place) => place + shape.buffer)]),
      sources: places(sources),
      positions: places(rows),
      cfg: floats(new Float32Array([cfg]), [1]),
      noise: floats(noise, [settings.steps + 1, rows.length, shape.dim]),
      start: floats(noise.slice(0, rows.length * shape.dim), [rows.length, shape.dim]),
    };
  });
  const middle = prepared.pop();
  const labels = places([label, shape.classes]);
  const steps = Array.from({ length: settings.steps }, (_, step) => places([step]));
  /** @typedef {NonNullable<typeof middle>} Prepared */

  /** The embedded condition of an iteration's tokens, where the provider left it. */
  async function condition(/** @type {Prepared} */ one, /** @type {Float32Array} */ tokens) {
    const { seen, sources, positions } = one;
    const input = floats(tokens, [shape.tokens, shape.dim]);
    return (await backbone.run({ tokens: input, labels, seen, sources, rows: positions })).condition;
  }

  /** The tokens of an iteration, on the host. */
  async function denoise(/** @type {Prepared} */ one, /** @type {any} */ condition) {
    const { noise, cfg } = one;
    if (head === 'process') {
      const { token } = await denoiser.run({ condition, noise, cfg });
      condition.dispose();
      return /** @type {Float32Array} */ (token.data);
    }
    // Uploaded once, not at every step.
    let x = one.start;
    for (const step of steps) {
      const { next } = await denoiser.run({ x, condition, noise, cfg, step });
      if (x !== one.start) x.dispose();
      x = next;
    }
    const token = /** @type {Float32Array} */ (await x.getData());
    x.dispose();
    condition.dispose();
    return token;
  }

  return {
    /** One iteration in the middle of the image whose tokens are given: milliseconds of its two parts. */
    async iteration(/** @type {number[]} */ image) {
      if (!middle) throw new Error('the plan has no iteration');
      const tokens = Float32Array.from(image);
      const begin = performance.now();
      const z = await condition(middle, tokens);
      await z.getData();
      const between = performance.now();
      const x = await denoise(middle, z);
      return { backbone: between - begin, head: performance.now() - between, tokens: [...x], derived: false };
    },
    /** The whole image: milliseconds, and its tokens [L, C]. */
    async image() {
      const tokens = new Float32Array(shape.tokens * shape.dim);
      const begin = performance.now();
      for (const one of prepared) {
        const sampled = await denoise(one, await condition(one, tokens));
        one.rows.forEach((place, row) => {
          tokens.set(sampled.subarray(row * shape.dim, (row + 1) * shape.dim), place * shape.dim);
        });
      }
      return { ms: performance.now() - begin, tokens: [...tokens] };
    },
  };
}
