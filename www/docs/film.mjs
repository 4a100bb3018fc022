// Draws README's moving picture of a trace, with the page's own film: `node docs/film.mjs TRACE.json` in www writes
// docs/decoding.gif. `marscope sample --trace TRACE.json` writes a trace.

import gifenc from 'gifenc';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createServer } from 'vite';

const SCALE = 10;
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/** The page's colours in the light theme, `--mask-line: #d6d0c5` for `maskLine`. */
function filmColours() {
  const css = readFileSync(here('../src/app.css'), 'utf8');
  const names = ['mask', 'maskLine', 'transformer', 'transformerWash', 'diffusion', 'newest'];
  return Object.fromEntries(
    names.map((name) => {
      const property = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
      const [, hex] = new RegExp(`--${property}: #([0-9a-f]{6})`).exec(css);
      return [name, [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16))];
    }),
  );
}

const [file] = process.argv.slice(2);
if (!file) throw new Error('Give a trace: node docs/film.mjs TRACE.json');
const server = await createServer({ root: here('..'), configFile: false, appType: 'custom', logLevel: 'error' });
try {
  const load = (name) => server.ssrLoadModule(`/src/state/${name}.ts`);
  const [film, scene, settings, timeline, trace] = await Promise.all(
    ['film', 'scene', 'settings', 'timeline', 'trace'].map(load),
  );
  const geometry = settings.FASHION;
  const { events } = trace.readTrace(readFileSync(file, 'utf8'), geometry);
  const extent = { iterations: events.length, frames: events.map(({ timesteps }) => timesteps.length) };
  const colours = filmColours();
  const [height, width] = geometry.image.map((side) => side * SCALE);
  const encoder = gifenc.GIFEncoder();
  for (const { moment, ms } of film.shots(extent, events.length)) {
    const place = timeline.placeOf(moment, extent);
    const frame = film.filmFrame(scene.sceneAt(events, place, geometry), geometry, SCALE, colours);
    let found = film.indexed(frame);
    if (!found) {
      const palette = gifenc.quantize(frame, 256);
      found = { palette, index: gifenc.applyPalette(frame, palette) };
    }
    encoder.writeFrame(found.index, width, height, { palette: found.palette, delay: ms, repeat: 0 });
  }
  encoder.finish();
  writeFileSync(here('decoding.gif'), encoder.bytes());
} finally {
  await server.close();
}
