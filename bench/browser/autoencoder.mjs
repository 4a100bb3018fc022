// The autoencoder in a browser: a picture of tokens, and tokens of a picture, by marscope's engine on one thread.
// `node autoencoder.mjs --weights DIR` prints the best and the median of many runs; other work on the machine slows most.

import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openPage, serve } from './chromium.mjs';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const { values: options } = parseArgs({
  options: {
    pkg: { type: 'string', default: here('../../www/src/pkg') },
    bundle: { type: 'string', default: 'cpu-relaxed' },
    weights: { type: 'string', default: here('../../weights/portraits') },
    runs: { type: 'string', default: '100' },
    'native-adapter': { type: 'boolean', default: false },
  },
});

const { origin, close } = await serve({ pkg: options.pkg, weights: options.weights });
const { browser, page } = await openPage(origin, !options['native-adapter']);
const times = await page.evaluate(
  async ([bundle, runs]) => {
    const module = await import(`${location.origin}/pkg/${bundle}/marscope.js`);
    await module.default({ module_or_path: fetch(`/pkg/${bundle}/marscope_bg.wasm`) });
    const text = async (/** @type {string} */ file) => (await fetch(`/weights/${file}`)).text();
    const bytes = async (/** @type {string} */ file) =>
      new Uint8Array(await (await fetch(`/weights/${file}`)).arrayBuffer());
    const autoencoder = { config: await text('autoencoder.json'), weights: await bytes('autoencoder.safetensors') };
    const device = bundle === 'gpu' ? 'webgpu' : 'cpu';
    const engine = await module.Engine.load(
      await text('config.json'),
      await bytes('model.safetensors'),
      device,
      autoencoder,
    );
    const { tokens, tokenDim } = engine.info();
    const drawn = Float32Array.from({ length: tokens * tokenDim }, (_, i) => Math.sin(i));
    const picture = await engine.picture(drawn);
    /** @param {() => Promise<unknown>} work */
    async function time(work) {
      const times = [];
      for (let run = 0; run < runs; run++) {
        const begin = performance.now();
        await work();
        times.push(performance.now() - begin);
      }
      return times.sort((a, b) => a - b);
    }
    // The first runs are slower: the browser compiles the engine again, better, while they run.
    await time(() => engine.picture(drawn));
    return { decode: await time(() => engine.picture(drawn)), encode: await time(() => engine.tokens(picture)) };
  },
  /** @type {const} */ ([options.bundle, Number(options.runs)]),
);
await browser.close();
close();
for (const [task, ms] of Object.entries(times)) {
  const [best, median] = [ms[0] ?? NaN, ms[Math.floor(ms.length / 2)] ?? NaN];
  console.log(`${task}: best ${best.toFixed(1)} ms, median ${median.toFixed(1)} ms of ${ms.length} runs`);
}
