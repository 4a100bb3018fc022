// Builds the page into dist/: static files that any host serves under any path.

import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { contentPolicy, engines, fileSizes, models } from './build/site';

const bundles = fileURLToPath(new URL('./src/pkg', import.meta.url));
const weights = fileURLToPath(new URL('../weights', import.meta.url));

export default defineConfig({
  base: './',
  plugins: [svelte(), engines(bundles), models(weights), contentPolicy()],
  resolve: { alias: { '@engine': bundles } },
  define: { FILE_SIZES: JSON.stringify(fileSizes(weights, bundles)) },
  worker: { format: 'es' },
  build: { target: 'es2022' },
});
