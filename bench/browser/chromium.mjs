// Headless Chromium and the pages it opens: one browser an engine, so that no GPU process is shared.
// The pages are isolated across origins, which makes the browser's clock fine enough for single milliseconds.

import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

const FLAGS = [
  '--no-sandbox',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--enable-unsafe-webgpu',
  '--enable-features=Vulkan',
];
/** @type {Record<string, string>} */
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.json': 'application/json',
  '.wasm': 'application/wasm',
};
const PAGE = '<!doctype html><meta charset="utf-8"><title>marscope bench</title><link rel="icon" href="data:,">';

/**
 * Serves folders under the given names, and an empty page at the root.
 * @param {Record<string, string>} folders
 * @returns {Promise<{ origin: string, close: () => void }>}
 */
export async function serve(folders) {
  const server = createServer(async (request, response) => {
    const [, name = '', ...rest] = decodeURIComponent(new URL(request.url ?? '/', 'http://host').pathname).split('/');
    response.setHeader('cross-origin-opener-policy', 'same-origin');
    response.setHeader('cross-origin-embedder-policy', 'require-corp');
    try {
      const path = rest.join('/');
      const folder = folders[name];
      const body = name === '' ? PAGE : await readFile(join(String(folder), normalize(`/${path}`)));
      const extension = name === '' ? '.html' : extname(path);
      response.setHeader('content-type', TYPES[extension] ?? 'application/octet-stream');
      response.end(body);
    } catch {
      response.statusCode = 404;
      response.end();
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return { origin: `http://127.0.0.1:${address.port}`, close: () => server.close() };
}

/**
 * A page in a browser of its own.
 * @param {string} origin
 * @param {boolean} software Compute WebGPU on the processor.
 */
export async function openPage(origin, software) {
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM_PATH || '/usr/bin/chromium',
    args: software ? [...FLAGS, '--use-webgpu-adapter=swiftshader'] : FLAGS,
  });
  const page = await browser.newPage();
  page.setDefaultTimeout(0);
  page.on('console', (message) => {
    if (message.type() === 'error') console.error(`  page: ${message.text().slice(0, 300)}`);
  });
  await page.goto(origin);
  return { browser, page };
}

/**
 * What of the page's machine the numbers depend on.
 * @param {import('playwright-core').Page} page
 */
export function describe(page) {
  return page.evaluate(async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    const info = adapter?.info;
    return {
      browser: navigator.userAgent.match(/Chrome\/[\d.]+/)?.[0] ?? navigator.userAgent,
      adapter: info ? [info.vendor, info.architecture, info.description].filter(Boolean).join(' ') : null,
    };
  });
}
