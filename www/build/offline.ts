// Vite plugin: a service worker that keeps the page, its CPU engines and its own model, so that a second visit needs no network.
// A new version is fetched beside the old one and used once no window shows the old one.

import { readdirSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import type { Plugin } from 'vite';
import { generateSW } from 'workbox-build';

/**
 * Kept from the first visit on. Fonts: those of the page and of its formulas. Both CPU engines: the one that was used comes
 * from the browser's own cache; the other is small, and an updated browser may need it without a network.
 */
const kept = (opens: string): string[] => [
  'index.html',
  '*.svg',
  'assets/*.{js,css}',
  'assets/cpu-*.wasm',
  'assets/inter-latin-wght-*.woff2',
  'assets/KaTeX_*.woff2',
  `weights/${opens}/*`,
];

/** The largest file under a folder, in bytes. */
function largest(folder: string): number {
  const sizes = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map(
    (name) => statSync(join(folder, name)).size,
  );
  return Math.max(...sizes);
}

/** Writes sw.js next to the page, which opens with the model `opens`. It must be the last plugin, since it lists the files of the others. */
export function offline(hashes: Readonly<Record<string, string>>, opens: string): Plugin {
  let out = '';
  let written = false;
  return {
    name: 'marscope-offline',
    apply: 'build',
    configResolved(config) {
      out = config.build.outDir;
    },
    writeBundle() {
      written = true;
    },
    closeBundle: {
      order: 'post',
      sequential: true,
      async handler() {
        // A failed build also calls this.
        if (!written) return;
        const { warnings } = await generateSW({
          globDirectory: out,
          globPatterns: kept(opens),
          swDest: join(out, 'sw.js'),
          maximumFileSizeToCacheInBytes: largest(out),
          // Names under assets/ carry a hash of their content, weights carry it behind their name, as the page asks for them
          // (src/state/engines.svelte.ts): what the browser has of them is not fetched again.
          dontCacheBustURLsMatching: /^assets\//,
          manifestTransforms: [
            (entries) => ({
              manifest: entries.map((entry) => {
                const hash = entry.url.endsWith('.safetensors') && hashes[dirname(entry.url)];
                return hash ? { ...entry, url: `${entry.url}?v=${hash}`, revision: null } : entry;
              }),
            }),
          ],
          // The whole query is the page's own state.
          ignoreURLParametersMatching: [/./],
          cleanupOutdatedCaches: true,
          clientsClaim: true,
          inlineWorkboxRuntime: true,
          sourcemap: false,
          mode: 'production',
          runtimeCaching: [
            // Useful only with a graphics adapter: kept after its first use.
            {
              urlPattern: /\/assets\/gpu-[^/]*\.wasm$/,
              handler: 'CacheFirst',
              options: { cacheName: 'gpu-engine', expiration: { maxEntries: 1 } },
            },
            {
              urlPattern: /\/assets\/[^/]*\.woff2$/,
              handler: 'CacheFirst',
              options: { cacheName: 'fonts', expiration: { maxEntries: 12 } },
            },
            { urlPattern: /\/weights\//, handler: 'NetworkFirst', options: { cacheName: 'other-models' } },
            // Shown only where the engine is slower than the network.
            { urlPattern: /\/recordings\//, handler: 'NetworkFirst', options: { cacheName: 'recordings' } },
          ],
        });
        for (const warning of warnings) this.warn(`${relative('.', out)}/sw.js: ${warning}`);
      },
    },
  };
}
