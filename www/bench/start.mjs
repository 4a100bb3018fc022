// Measures a visitor's waiting times in the built page: `node bench/start.mjs` in www, after `npm run build`.
// Prints a Markdown table and writes target/bench/page.json. PAGE_DIST is another folder than dist/, RUNS the cold loads each.

import { chromium } from '@playwright/test';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { serve } from './host.mjs';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = process.env.PAGE_DIST ?? here('../dist');
if (!existsSync(folder)) throw new Error(`There is no ${folder}: build the page first, with \`npm run build\` in www.`);
const runs = Number(process.env.RUNS ?? 5);

const SLOW = { bitsPerSecond: 10e6, latencyMs: 40 };
const LOADS = [
  { name: 'local network', network: null, throttle: 1 },
  { name: '10 Mbit/s, 40 ms', network: SLOW, throttle: 1 },
  { name: '10 Mbit/s, 40 ms, processor 4 times slower', network: SLOW, throttle: 4 },
];

/** Runs in the page from its start: records the times of events, in ms since the navigation began. */
function watch() {
  const notes = { marked: null, pixels: null, live: null, done: null, tasks: [], messages: [] };
  Object.assign(window, { notes });
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) notes.tasks.push([startTime, duration]);
  }).observe({ type: 'longtask', buffered: true });

  window.Worker = class extends Worker {
    constructor(...args) {
      super(...args);
      this.addEventListener('message', () => notes.messages.push(performance.now()));
    }
  };

  let first = null;
  function look() {
    const now = performance.now();
    const { phase } = document.documentElement.dataset;
    if (notes.marked === null && document.querySelector('[data-state=chosen]')) notes.marked = now;
    const canvas = document.querySelector('canvas[data-role=image]');
    if (notes.pixels === null && canvas) {
      const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.join();
      first ??= pixels;
      if (pixels !== first && /[1-9]/.test(first)) notes.pixels = now;
      if (!/[1-9]/.test(first)) first = null;
    }
    if (notes.live === null && phase && phase !== 'loading') notes.live = now;
    if (notes.done === null && phase === 'done') notes.done = now;
    requestAnimationFrame(look);
  }
  requestAnimationFrame(look);
}

const quantile = (values, share) => {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
};
/** The middle one, or the mean of the two in the middle. */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length / 2;
  return (sorted[Math.ceil(half) - 1] + sorted[Math.floor(half)]) / 2;
}

async function open(browser, port, query, throttle = 1) {
  // A context of its own is a fresh profile: nothing cached, no service worker.
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  await context.addInitScript(watch);
  const page = await context.newPage();
  if (throttle > 1) {
    const session = await context.newCDPSession(page);
    await session.send('Emulation.setCPUThrottlingRate', { rate: throttle });
  }
  await page.goto(`http://127.0.0.1:${port}/${query}`, { waitUntil: 'commit' });
  return { context, page };
}

const phase = (page, wanted) =>
  page.waitForFunction((p) => p.includes(document.documentElement.dataset.phase), wanted, { timeout: 120_000 });
const notesOf = (page) => page.evaluate(() => ({ ...window.notes, origin: performance.timeOrigin }));

/** One cold load. */
async function load(browser, { network, throttle }) {
  const host = await serve(folder, network);
  const { context, page } = await open(browser, host.port, '', throttle);
  await phase(page, ['running', 'ready', 'done']);
  await page.waitForFunction(() => window.notes.pixels !== null);
  const { marked, pixels, live, origin } = await notesOf(page);
  await context.close();
  host.close();
  const bytesUntil = (ms) => host.sent.reduce((sum, [at, bytes]) => sum + (at <= origin + ms ? bytes : 0), 0);
  return { marked, pixels, live, bytesMarked: bytesUntil(marked), bytesLive: bytesUntil(live) };
}

/** Goes through every moment of a full recording, one an animation frame. */
async function scrub(browser, port) {
  const { context, page } = await open(browser, port, '?play=0');
  await phase(page, ['done']);
  await page.waitForTimeout(1500);
  const result = await page.evaluate(async () => {
    const input = document.querySelector('[data-role=timeline]');
    const frames = [];
    const begin = performance.now();
    let before = null;
    for (let moment = 0; moment <= Number(input.max); moment++) {
      const now = await new Promise(requestAnimationFrame);
      if (before !== null) frames.push(now - before);
      before = now;
      input.value = String(moment);
      input.dispatchEvent(new Event('input', { bubbles: true }));
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
    return { frames, tasks: window.notes.tasks.filter(([at]) => at >= begin).map(([, ms]) => ms) };
  });
  await context.close();
  const { frames, tasks } = result;
  return {
    moments: frames.length + 1,
    median: median(frames),
    p95: quantile(frames, 0.95),
    longestTask: Math.max(0, ...tasks),
  };
}

/** A decoding that plays while it is computed, after loading is over; then a long one, stopped in the middle. */
async function decode(browser, port) {
  const { context, page } = await open(browser, port, '?device=cpu');
  await phase(page, ['running', 'done']);
  await page.waitForFunction(() => !document.querySelector('[data-role=recorded]'));
  await page.waitForTimeout(4000);
  const from = await page.evaluate(() => performance.now());
  await page.getByRole('button', { name: 'Generate again' }).click();
  await page.getByRole('button', { name: 'Stop', exact: true }).waitFor();
  await page.getByRole('button', { name: 'Stop', exact: true }).waitFor({ state: 'detached', timeout: 120_000 });
  const tasks = (await notesOf(page)).tasks.filter(([at]) => at >= from).map(([, ms]) => ms);
  await context.close();

  const stops = [];
  for (let i = 0; i < runs; i++) {
    const long = await open(browser, port, '?device=cpu&iterations=4&steps=250');
    const stop = long.page.getByRole('button', { name: 'Stop', exact: true });
    await phase(long.page, ['running']);
    await stop.waitFor();
    await long.page.waitForTimeout(700 + 130 * i);
    const { clicked, seen } = await stop.evaluate(async (button) => {
      const at = performance.now();
      button.click();
      while (button.isConnected) await new Promise(requestAnimationFrame);
      return { clicked: at, seen: performance.now() - at };
    });
    // The worker's last word is that the decoding has ended.
    await long.page.waitForTimeout(3000);
    const { messages } = await notesOf(long.page);
    const last = messages.filter((at) => at >= clicked).at(-1);
    stops.push({ seen, stopped: last === undefined ? null : last - clicked });
    await long.context.close();
  }
  return { longestTask: Math.max(0, ...tasks), stops };
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-background-networking', '--disable-component-update'],
});
const results = {
  processor: cpus()[0].model,
  cores: cpus().length,
  browser: browser.version(),
  runs,
  load: loadavg()[0],
  loads: [],
};
for (const setting of LOADS) {
  const measured = [];
  for (let i = 0; i < runs; i++) measured.push(await load(browser, setting));
  const medians = Object.fromEntries(Object.keys(measured[0]).map((key) => [key, median(measured.map((m) => m[key]))]));
  results.loads.push({ name: setting.name, ...medians, measured });
}
const host = await serve(folder, null);
results.scrub = await scrub(browser, host.port);
results.decode = await decode(browser, host.port);
host.close();
await browser.close();

const seconds = (ms) => `${(ms / 1000).toFixed(2)} s`;
const megabytes = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
const task = (ms) => (ms === 0 ? 'none of 50 ms or more' : `${Math.round(ms)} ms`);
console.log(
  `${results.processor}, ${results.cores} cores, Chromium ${results.browser}, medians of ${runs} cold loads;`,
);
// Other work on the machine makes every time here longer.
console.log(`load average at the beginning ${results.load.toFixed(1)}\n`);
console.log(
  '| Cold load | First tokens chosen | First pixels | Engine ready | Bytes before the first motion | Until ready |',
);
console.log('| --- | --- | --- | --- | --- | --- |');
for (const { name, marked, pixels, live, bytesMarked, bytesLive } of results.loads) {
  const cells = [name, seconds(marked), seconds(pixels), seconds(live), megabytes(bytesMarked), megabytes(bytesLive)];
  console.log(`| ${cells.join(' | ')} |`);
}
const { scrub: scrubbing, decode: decoding } = results;
// If the worker sent nothing after the click, it had ended before it, so the stop was not measured.
const stopped = decoding.stops.map((stop) => stop.stopped).filter((ms) => ms !== null);
console.log('\n| On the page | |\n| --- | --- |');
console.log(
  `| Scrubbing ${scrubbing.moments} moments, time a frame | median ${scrubbing.median.toFixed(1)} ms, 95% within ${scrubbing.p95.toFixed(1)} ms |`,
);
console.log(`| Longest task while scrubbing | ${task(scrubbing.longestTask)} |`);
console.log(`| Longest task while decoding and playing | ${task(decoding.longestTask)} |`);
const stopping =
  stopped.length > 0
    ? `median ${Math.round(median(stopped))} ms, longest ${Math.round(Math.max(...stopped))} ms (${stopped.length} of ${decoding.stops.length} stops)`
    : 'not measured: every decoding had ended before';
console.log(`| From Stop to the engine at rest | ${stopping} |`);

const out = here('../../target/bench');
mkdirSync(out, { recursive: true });
writeFileSync(`${out}/page.json`, `${JSON.stringify(results, null, 2)}\n`);
