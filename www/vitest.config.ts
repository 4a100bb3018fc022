// Unit tests run without an engine or a browser.

import { svelte } from '@sveltejs/vite-plugin-svelte';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';
import { factsOf } from './build/facts';

const fashion = fileURLToPath(new URL('../weights/fashion', import.meta.url));

export default defineConfig({
  plugins: [svelte()],
  define: { MODELS: JSON.stringify({ fashion: factsOf(fashion) }) },
  test: { include: ['src/**/*.test.ts', 'build/**/*.test.ts'], environment: 'node' },
});
