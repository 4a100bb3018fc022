// Builds the page into dist/: static files that any host serves under any path.

import { svelte } from '@sveltejs/vite-plugin-svelte';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { offline } from './build/offline';
import { firstDecodings } from './build/recording';
import { offered } from './src/state/models';
import { contentPolicy, engines, fileSizes, modelFacts, models, weightsHashes } from './build/site';

const here = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const bundles = here('./src/pkg');
const weights = here('../weights');
const hashes = weightsHashes(weights);
const facts = modelFacts(weights);

/** The engines' files are named alike; their folders tell them apart. */
function assetName({ originalFileNames }: { originalFileNames: string[] }): string {
  const [file = ''] = originalFileNames;
  return file.endsWith('marscope_bg.wasm')
    ? `assets/${basename(dirname(file))}-[hash][extname]`
    : 'assets/[name]-[hash][extname]';
}

/** Browsers that run the page read woff2: KaTeX's other font files need not be shipped. */
const woff2Only: Plugin = {
  name: 'marscope-woff2-only',
  enforce: 'pre',
  transform: (code, id) =>
    /katex.*\.css/.test(id) ? code.replace(/,url\([^)]*\.(woff|ttf)\) format\("(woff|truetype)"\)/g, '') : null,
};

export default defineConfig({
  base: './',
  plugins: [
    woff2Only,
    svelte(),
    engines(bundles),
    models(weights),
    firstDecodings({
      bundle: here('./src/pkg/cpu'),
      weights,
      models: offered(Object.keys(facts)),
      format: ['recording', 'trace', 'models', 'settings'].map((file) => here(`./src/state/${file}.ts`)),
      cache: here('./node_modules/.cache/marscope'),
    }),
    contentPolicy(),
    offline(hashes, offered(Object.keys(facts))[0] ?? 'fashion'),
  ],
  resolve: { alias: { '@engine': bundles } },
  define: {
    FILE_SIZES: JSON.stringify(fileSizes(weights, bundles)),
    WEIGHTS_HASHES: JSON.stringify(hashes),
    MODELS: JSON.stringify(facts),
  },
  worker: { format: 'es', rolldownOptions: { output: { assetFileNames: assetName } } },
  build: {
    target: 'es2022',
    // The page's content policy lets no font in that is written into a style sheet.
    assetsInlineLimit: (file) => (file.endsWith('.woff2') ? false : undefined),
  },
});
