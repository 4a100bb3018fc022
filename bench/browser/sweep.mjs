// How time grows with each size, in the browser on the CPU: times the folders of ../pytorch/sweep.py, fits ms = a * size^b, plots.
// `node sweep.mjs --dir DIR` writes DIR/sweep.json and DIR/sweep.svg.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openPage, serve } from './chromium.mjs';
import { plot } from './plot.mjs';

const here = (/** @type {string} */ path) => fileURLToPath(new URL(path, import.meta.url));
const { values: options } = parseArgs({
  options: {
    pkg: { type: 'string', default: here('../../www/src/pkg') },
    dir: { type: 'string', default: here('../../target/bench/sweep') },
    rounds: { type: 'string', default: '7' },
  },
});
const bundle = existsSync(`${options.pkg}/cpu-relaxed/marscope_bg.wasm`) ? 'cpu-relaxed' : 'cpu';
/** @type {{ axis: string, value: number, folder?: string, ms: Record<string, number[]> }[]} */
const points = JSON.parse(readFileSync(`${options.dir}/points.json`, 'utf8'));
const { origin, close } = await serve({ page: here('./page'), pkg: options.pkg, sweep: options.dir });

/** Runs in the page: an engine of its own for every point, all of them at hand. */
async function load(/** @type {[string, string, number]} */ [bundle, folder, index]) {
  const { open } = await import(`${location.origin}/page/ours.js`);
  const weights = `/sweep/${folder}`;
  const engine = await open({
    bundle: `/pkg/${bundle}`,
    device: 'cpu',
    label: 9,
    weights,
    plan: `${weights}/plan.json`,
  });
  const plan = await (await fetch(`${weights}/plan.json`)).json();
  const blank = Array(plan.shape.tokens * plan.shape.dim).fill(0);
  const all = /** @type {any} */ (window);
  all.run ??= [];
  all.run[index] = () => engine.iteration(blank);
  await all.run[index]();
}

const { browser, page } = await openPage(origin, true);
for (const [index, { folder }] of points.entries()) {
  if (folder) await page.evaluate(load, /** @type {[string, string, number]} */ ([bundle, folder, index]));
}
for (let round = 0; round < Number(options.rounds); round++) {
  for (const [index, point] of points.entries()) {
    if (!point.folder) continue;
    const part = await page.evaluate((/** @type {number} */ index) => /** @type {any} */ (window).run[index](), index);
    point.ms ??= { 'backbone pass': [], 'reverse process': [] };
    point.ms['backbone pass']?.push(part.backbone);
    point.ms['reverse process']?.push(part.head);
  }
}
await browser.close();
close();

/** @param {number[]} list */
const median = (list) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN;

/**
 * Least squares of log ms over log size.
 * @param {[number, number][]} pairs
 */
function fit(pairs) {
  const logs = pairs.map(([x, y]) => [Math.log(x), Math.log(y)]);
  const mean = (/** @type {0 | 1} */ i) => logs.reduce((sum, pair) => sum + (pair[i] ?? NaN), 0) / logs.length;
  const [x, y] = [mean(0), mean(1)];
  const over = logs.reduce((sum, [a = NaN, b = NaN]) => sum + (a - x) * (b - y), 0);
  const exponent = over / logs.reduce((sum, [a = NaN]) => sum + (a - x) ** 2, 0);
  return { factor: Math.exp(y - exponent * x), exponent };
}

const curves = [...new Set(points.map(({ axis }) => axis))].flatMap((axis) => {
  const own = points.filter((point) => point.axis === axis);
  // The backbone knows nothing of diffusion steps.
  const tasks = Object.keys(own[0]?.ms ?? {}).filter((task) => axis !== 'steps' || task !== 'backbone pass');
  return tasks.map((task) => {
    const pairs = own.map(({ value, ms }) => /** @type {[number, number]} */ ([value, median(ms[task] ?? [])]));
    return { axis, task, pairs, ...fit(pairs) };
  });
});
console.log(`\n### Time over size, browser CPU (${bundle}), one iteration in the middle of an image\n`);
console.log('| size | task | ms at each size | exponent |\n| --- | --- | --- | --- |');
for (const { axis, task, pairs, exponent } of curves) {
  const list = pairs.map(([x, y]) => `${x}: ${y.toPrecision(3)}`).join(', ');
  console.log(`| ${axis} | ${task} | ${list} | ${exponent.toFixed(2)} |`);
}
writeFileSync(`${options.dir}/sweep.json`, `${JSON.stringify({ bundle, curves, points }, null, 2)}\n`);
writeFileSync(`${options.dir}/sweep.svg`, plot(curves));
console.log(`\nWritten to ${options.dir}/sweep.json and sweep.svg.`);
