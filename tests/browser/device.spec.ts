// Which device runs, what the page says about it, and that both give the command line's picture.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { expect, pixels, test, visit, waitForPhase } from './visit';

test.use({ file: 'device' });

const ROOT = join(__dirname, '../..');

/** The picture `marscope sample` makes with these settings, as greys; the browser reads the PNG. */
async function sampled(page: Page, settings: Record<string, string>): Promise<number[]> {
  const out = join(mkdtempSync(join(tmpdir(), 'marscope-')), 'picture.png');
  const program = process.env['MARSCOPE_BIN'] ?? join(ROOT, 'target/release/marscope');
  const flags = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value]);
  const run = spawnSync(
    program,
    ['sample', '--model', join(ROOT, 'weights/fashion'), '--count', '1', '--out', out, ...flags],
    { encoding: 'utf8' },
  );
  expect(run.status, run.error?.message ?? run.stderr).toBe(0);
  return page.evaluate(
    async (bytes) => {
      const picture = await createImageBitmap(new Blob([new Uint8Array(bytes)], { type: 'image/png' }));
      const context = new OffscreenCanvas(picture.width, picture.height).getContext('2d');
      context?.drawImage(picture, 0, 0);
      const rgba = context?.getImageData(0, 0, picture.width, picture.height).data ?? [];
      return Array.from(rgba).filter((_, i) => i % 4 === 0);
    },
    Array.from(readFileSync(out)),
  );
}

function largestDifference(a: number[], b: number[]): number {
  expect(b).toHaveLength(a.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}

const SETTINGS = {
  label: '3',
  seed: '7',
  cfg: '2',
  iterations: '8',
  steps: '10',
  temperature: '1',
  order: 'random',
};

function address(settings: Record<string, string>): string {
  return new URLSearchParams(settings).toString();
}

test('the CPU engine gives the picture of the command line', async ({ page }) => {
  await visit(page, `${address(SETTINGS)}&device=cpu&play=0`);
  expect(largestDifference(await pixels(page), await sampled(page, SETTINGS))).toBeLessThanOrEqual(2);
});

test('WebGPU gives the picture of the command line', async ({ page }) => {
  test.setTimeout(300_000);
  const settings = { ...SETTINGS, iterations: '2', steps: '3' };
  await visit(page, `${address(settings)}&device=webgpu&play=0`, 280_000);
  await expect(page.getByText(/Running on WebGPU: chosen by you \(.*software adapter/)).toBeVisible();
  expect(largestDifference(await pixels(page), await sampled(page, settings))).toBeLessThanOrEqual(2);
});

test('auto takes the CPU where the adapter is software, and says why', async ({ page }) => {
  await visit(page, `${address({ ...SETTINGS, iterations: '2', steps: '2' })}&device=auto&play=0`);
  await expect(page.getByText(/Running on the CPU engine: .*software \(.*swiftshader.*\)/i)).toBeVisible();
});

test('only the bundle that is needed is fetched', async ({ page }) => {
  const wasm: string[] = [];
  page.on('request', (request) => {
    if (request.url().endsWith('.wasm')) wasm.push(request.url());
  });
  await visit(page, `${address({ ...SETTINGS, iterations: '2', steps: '2' })}&device=cpu&play=0`);
  expect(wasm).toHaveLength(1);
});

test('auto takes the CPU where a real adapter does not work out, and says so', async ({ page }) => {
  // An adapter that is no software by its name, and a WebGPU engine that cannot be had: the first one fetched.
  await page.addInitScript(() => {
    const adapter = { info: { vendor: 'acme', architecture: 'fast', description: '', isFallbackAdapter: false } };
    Object.defineProperty(navigator, 'gpu', { value: { requestAdapter: () => Promise.resolve(adapter) } });
  });
  await page.route('**/*.wasm', (route) => route.fulfill({ status: 500 }), { times: 1 });
  await visit(page, `${address({ ...SETTINGS, iterations: '2', steps: '2' })}&device=auto&play=0`);
  await expect(page.getByText(/Running on the CPU engine: WebGPU did not start/)).toBeVisible();
});

test('WebGPU asked for where there is none is an error with a way out', async ({ page }) => {
  await page.addInitScript(() => {
    Object.defineProperty(navigator, 'gpu', { value: undefined });
  });
  await page.goto(`./?${address({ ...SETTINGS, iterations: '2', steps: '2' })}&device=webgpu&play=0`);
  await waitForPhase(page, 'error');
  await expect(page.locator('[data-role=error]')).toContainText('This browser has no WebGPU');
  await page.getByRole('button', { name: 'Use the CPU engine' }).click();
  await waitForPhase(page, 'done');
  await expect(page).toHaveURL(/device=cpu/);
});
