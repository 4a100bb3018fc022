// The benchmark in a browser: marscope's engines against ONNX Runtime Web, interleaved, same weights, order and noise.
// `node run.mjs --help` lists the options. It writes raw times, from which ../report.mjs makes the table.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describe, openPage, serve } from './chromium.mjs';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const HELP = `node run.mjs [options]
  --pkg DIR        marscope's bundles: cpu, cpu-relaxed if it is there, gpu  [www/src/pkg]
  --baseline DIR   bundles of an older marscope, for comparison             [BASELINE_PKG, else none]
  --weights DIR    weights folder                                           [weights/fashion]
  --onnx DIR       graphs of ../pytorch/export_onnx.py for these weights    [target/bench/onnx]
  --only GROUPS    cpu, workers, webgpu                                     [all]
  --rounds N       rounds of the CPU engines                                [7]
  --gpu-rounds N   rounds of the WebGPU engines                             [1 on a software adapter, else 5]
  --native-adapter use the machine's GPU, not the software one
  --out FILE       raw times as JSON                                        [target/bench/browser.json]`;

const { values: options } = parseArgs({
  options: {
    pkg: { type: 'string', default: here('../../www/src/pkg') },
    baseline: { type: 'string', default: process.env.BASELINE_PKG ?? '' },
    weights: { type: 'string', default: here('../../weights/fashion') },
    onnx: { type: 'string', default: here('../../target/bench/onnx') },
    only: { type: 'string', default: 'cpu,workers,webgpu' },
    rounds: { type: 'string', default: '7' },
    'gpu-rounds': { type: 'string' },
    'native-adapter': { type: 'boolean', default: false },
    out: { type: 'string', default: here('../../target/bench/browser.json') },
    help: { type: 'boolean', default: false },
  },
});
if (options.help) {
  console.log(HELP);
  process.exit();
}
const software = !options['native-adapter'];
const LABEL = 9;
/** An image that would take longer is not run: its time is the iteration's times their number, and called an estimate. */
const LONGEST_IMAGE_MS = 150_000;
/** Two pictures are the same within this, in numbers from -1 to 1. */
const SAME = 0.01;

/**
 * @typedef {{ backbone: number, head: number, tokens: number[], derived: boolean }} Part
 * @typedef {{ name: string, role: 'ours' | 'peer' | 'baseline', module: string, options: object, imageToo?: boolean }} Engine
 * @typedef {Record<'dispatches' | 'submissions' | 'written' | 'readBacks', number> & { moved?: number, least?: number }} Cost
 * @typedef {Engine & { opened: Awaited<ReturnType<typeof openPage>>, skipImage: boolean, difference: number,
 *   cost: Cost | null }} Running
 * @typedef {{ gigaflops: number, gigabytes?: number }} Roof
 */

const folders = {
  page: here('./page'),
  ort: here('./node_modules/onnxruntime-web/dist'),
  detect: here('./node_modules/wasm-feature-detect/dist/esm'),
  weights: options.weights,
  onnx: options.onnx,
  pkg: options.pkg,
  baseline: options.baseline,
};
const plan = JSON.parse(readFileSync(`${options.onnx}/plan.json`, 'utf8'));
const { shape, settings, iterations } = plan;
const steps = settings.steps;

/** Our engine of a bundle. */
const ours = (
  /** @type {string} */ name,
  /** @type {Engine['role']} */ role,
  /** @type {string} */ bundle,
  workers = 1,
) => ({
  name,
  role,
  module: 'ours',
  options: {
    bundle,
    device: bundle.endsWith('/gpu') ? 'webgpu' : 'cpu',
    label: LABEL,
    weights: '/weights',
    plan: '/onnx/plan.json',
    workers,
  },
});
const peer = (/** @type {string} */ name, /** @type {object} */ with_, imageToo = true) => ({
  name,
  role: /** @type {const} */ ('peer'),
  module: 'peer',
  options: { label: LABEL, attention: 'fused', ...with_ },
  imageToo,
});
const has = (/** @type {string} */ folder, /** @type {string} */ bundle) =>
  folder !== '' && existsSync(`${folder}/${bundle}/marscope_bg.wasm`);

/**
 * Loads an engine into a page.
 * @param {Awaited<ReturnType<typeof openPage>>} opened
 * @param {Engine} engine
 * @returns {Promise<Running>}
 */
async function start(opened, engine) {
  await opened.page.evaluate(async ([module, options]) => {
    // First, so that every call is counted.
    const { counted } = await import(`${location.origin}/page/count.js`);
    const { open } = await import(`/page/${module}.js`);
    Object.assign(window, { engine: await open(options), counted });
  }, /** @type {const} */ ([engine.module, engine.options]));
  return { ...engine, opened, skipImage: engine.imageToo === false, difference: NaN, cost: null };
}

const iterate = (/** @type {Running} */ engine, /** @type {number[]} */ image) =>
  /** @type {Promise<Part>} */ (
    engine.opened.page.evaluate(
      (/** @type {number[]} */ image) => /** @type {any} */ (window).engine.iteration(image),
      image,
    )
  );

/**
 * Draws an image, and notes what that asks of the GPU, by the browser's calls; and the bytes that the engine says its
 * dispatches move, and how few would do: the weights once an iteration, what it is given and what is read back.
 * @param {Running} running
 * @returns {Promise<{ ms: number, tokens: number[] }>}
 */
async function draw(running) {
  const { image, cost } = await running.opened.page.evaluate(async () => {
    const { engine, counted } = /** @type {any} */ (window);
    const [before, claimed] = [counted(), engine.cost?.() ?? null];
    const image = await engine.image();
    const cost = counted();
    for (const key of Object.keys(cost)) cost[key] -= before[key];
    if (cost.dispatches === 0) return { image, cost: null };
    if (claimed === null) return { image, cost };
    const { cost: now, weights } = engine.cost();
    const of = (/** @type {string} */ key) => now[key] - claimed.cost[key];
    const least = of('submissions') * weights + of('written') + of('read');
    return { image, cost: { ...cost, moved: of('moved'), least } };
  });
  running.cost = cost;
  return image;
}

const apart = (/** @type {number[]} */ a, /** @type {number[]} */ b) =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] ?? NaN))), 0);

/** What every engine should draw, by our CPU engine: the picture, and the tokens of its middle iteration; what the browser can. */
async function referenceOf(/** @type {string} */ origin) {
  const opened = await openPage(origin, software);
  const engine = await start(opened, ours('reference', 'ours', '/pkg/cpu'));
  const picture = (await draw(engine)).tokens;
  const middle = (await iterate(engine, picture)).tokens;
  const relaxed = await opened.page.evaluate(async () => {
    const { relaxedSimd } = await import(`${location.origin}/detect/index.js`);
    return /** @type {Promise<boolean>} */ (relaxedSimd());
  });
  await opened.browser.close();
  return { picture, middle, relaxed };
}

/**
 * Opens an engine and warms it up; a peer whose fused attention is wrong on this machine gets it written out.
 * @param {string} origin
 * @param {Engine} engine
 * @param {{ picture: number[], middle: number[] }} reference
 * @param {string[]} notes
 */
async function prepare(origin, engine, reference, notes) {
  console.error(`  ${engine.name}: loading`);
  const opened = await openPage(origin, software);
  try {
    return await warm(opened, engine, reference, notes);
  } catch (error) {
    await opened.browser.close();
    throw error;
  }
}

/**
 * Lets an engine run until later runs cost the same.
 * @param {Awaited<ReturnType<typeof openPage>>} opened
 * @param {Engine} engine
 * @param {{ picture: number[], middle: number[] }} reference
 * @param {string[]} notes
 */
async function warm(opened, engine, reference, notes) {
  let running = await start(opened, engine);
  let part = await iterate(running, reference.picture);
  const off = apart(part.tokens, reference.middle);
  if (engine.role === 'peer' && off > SAME) {
    notes.push(`${engine.name}: fused attention is off by ${off.toFixed(2)} here; written out instead`);
    running = await start(opened, { ...engine, options: { ...engine.options, attention: 'plain' } });
    part = await iterate(running, reference.picture);
  }
  // The first run made what later ones reuse.
  const { backbone, head, tokens, derived } = await iterate(running, reference.picture);
  if (derived) {
    notes.push(
      `${engine.name}: an iteration is one submission; backbone and step follow from its times at two numbers of steps`,
    );
  }
  running.skipImage ||= (backbone + head) * plan.iterations.length > LONGEST_IMAGE_MS;
  running.difference = apart(tokens, reference.middle);
  if (!running.skipImage) {
    // Every shape an image has is warmed up by an image.
    running.difference = Math.max(running.difference, apart((await draw(running)).tokens, reference.picture));
  }
  return running;
}

/**
 * Runs a group of engines against each other.
 * @param {string} origin
 * @param {{ group: string, engines: Engine[], rounds: number, iterationsEach: number, roof: 'processor' | 'gpu' }} wanted
 * @param {{ picture: number[], middle: number[] }} reference
 */
async function compete(origin, { group, engines, rounds, iterationsEach, roof }, reference) {
  /** @type {{ engine: string, task: string, ms: number, estimated?: boolean }[]} */
  const samples = [];
  /** @type {string[]} */
  const notes = [];
  /** @type {Running[]} */
  const running = [];
  for (const engine of engines) {
    try {
      running.push(await prepare(origin, engine, reference, notes));
    } catch (error) {
      notes.push(`${engine.name}: not measured: ${String(error).split('\n')[0]}`);
    }
  }
  const empty = await openPage(origin, software);
  /** @type {Roof[]} */
  const roofs = [];
  for (let round = 0; round < rounds; round++) {
    console.error(`  ${group}: round ${round + 1} of ${rounds}`);
    // Every round anew: a shared machine is not as fast in one minute as in another.
    const measured = await empty.page.evaluate(async (roof) => {
      const module = await import(`${location.origin}/page/roof.js`);
      return module[roof]();
    }, roof);
    roofs.push(/** @type {Roof} */ (measured));
    /** @type {Map<string, number>} */
    const times = new Map();
    for (let i = 0; i < iterationsEach; i++) {
      for (const engine of running) {
        const { name } = engine;
        const { backbone, head } = await iterate(engine, reference.picture);
        samples.push({ engine: name, task: 'backbone pass', ms: backbone });
        samples.push({ engine: name, task: 'diffusion step', ms: head / steps });
        samples.push({ engine: name, task: 'reverse process', ms: head });
        samples.push({ engine: name, task: 'one iteration', ms: backbone + head });
        times.set(name, backbone + head);
      }
    }
    for (const engine of running) {
      const { name, skipImage, imageToo } = engine;
      const guess = (times.get(name) ?? NaN) * plan.iterations.length;
      if (!skipImage) samples.push({ engine: name, task: 'whole image', ms: (await draw(engine)).ms });
      else if (imageToo !== false) samples.push({ engine: name, task: 'whole image', ms: guess, estimated: true });
    }
  }
  const machine = running[0] ? await describe(running[0].opened.page) : {};
  for (const { browser } of [empty, ...running.map(({ opened }) => opened)]) await browser.close();
  const entries = running.map(({ name, role, difference, cost }) => ({ name, role, difference, cost }));
  return { group, machine, notes, engines: entries, samples, roofs, plan: { shape, settings, iterations } };
}

const { origin, close } = await serve(folders);
/** @type {object[]} */
const groups = [];
const reference = await referenceOf(origin);
const only = options.only.split(',');
if (only.includes('cpu')) {
  const relaxed = reference.relaxed && has(options.pkg, 'cpu-relaxed');
  const wasm = { provider: 'wasm', runtime: 'ort.wasm.bundle.min.mjs' };
  const engines = [
    ...(relaxed ? [ours('marscope, relaxed SIMD', 'ours', '/pkg/cpu-relaxed')] : []),
    ours('marscope', 'ours', '/pkg/cpu'),
    ...(has(options.baseline, 'cpu') ? [ours('Burn generic', 'baseline', '/baseline/cpu')] : []),
    peer('ONNX Runtime Web, a graph a step', { ...wasm, head: 'step' }),
    peer('ONNX Runtime Web, all steps in one graph', { ...wasm, head: 'process' }),
  ];
  const wanted = { group: 'browser, CPU, 1 thread', engines, rounds: Number(options.rounds), iterationsEach: 5 };
  groups.push(await compete(origin, { ...wanted, roof: 'processor' }, reference));
}
if (only.includes('workers')) {
  const bundle = reference.relaxed && has(options.pkg, 'cpu-relaxed') ? '/pkg/cpu-relaxed' : '/pkg/cpu';
  const engines = [
    ...[2, 4]
      .filter((workers) => workers <= availableParallelism())
      .map((workers) => ({ ...ours(`marscope, ${workers} workers`, 'ours', bundle, workers), module: 'inside' })),
    { ...ours('marscope, 1 worker', 'peer', bundle), module: 'inside' },
  ];
  const wanted = { group: 'browser, CPU, several workers', engines, rounds: Number(options.rounds), iterationsEach: 5 };
  groups.push(await compete(origin, { ...wanted, roof: 'processor' }, reference));
}
if (only.includes('webgpu')) {
  const webgpu = { provider: 'webgpu', runtime: 'ort.jspi.bundle.min.mjs' };
  const engines = [
    ours('marscope', 'ours', '/pkg/gpu'),
    ...(has(options.baseline, 'gpu') ? [ours('Burn generic', 'baseline', '/baseline/gpu')] : []),
    peer('ONNX Runtime Web, a graph a step', { ...webgpu, head: 'step' }, !software),
    peer('ONNX Runtime Web, all steps in one graph', { ...webgpu, head: 'process' }),
  ];
  const rounds = Number(options['gpu-rounds'] ?? (software ? 1 : 5));
  const wanted = { group: 'browser, WebGPU', engines, rounds, iterationsEach: software ? 2 : 5 };
  groups.push(await compete(origin, { ...wanted, roof: 'gpu' }, reference));
}
close();
writeFileSync(options.out, `${JSON.stringify(groups, null, 2)}\n`);
