// Browser tests: the built page as a static host would serve it, under a path of its own, in Chromium.

import { defineConfig } from '@playwright/test';

/** Another built page than dist/, and another port, so that two of them can be tested side by side. */
const { PAGE_DIST: folder = 'dist', PAGE_PORT: port = '4175' } = process.env;

export default defineConfig({
  testDir: '../tests/browser',
  outputDir: '../tests/browser/results',
  workers: 2,
  timeout: 180_000,
  expect: { timeout: 40_000 },
  reporter: [['list']],
  forbidOnly: true,
  use: {
    baseURL: `http://127.0.0.1:${port}/some/where/marscope/`,
    viewport: { width: 1280, height: 900 },
    screenshot: 'only-on-failure',
    // The worker that makes the page work offline would answer what a test wants to see asked for.
    serviceWorkers: 'block',
    launchOptions: {
      executablePath: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--enable-unsafe-webgpu',
        '--use-webgpu-adapter=swiftshader',
        '--enable-features=Vulkan',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
  webServer: {
    command: `node serve.mjs ${port} /some/where/marscope ${folder}`,
    url: `http://127.0.0.1:${port}/some/where/marscope/`,
  },
});
