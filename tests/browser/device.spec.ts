// Which device runs, what the page says about it, and that both give the command line's picture.

import { largestDifference, sampled } from './command';
import { expect, pixels, test, visit, waitForPhase } from './visit';

test.use({ file: 'device' });

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

test('only the bundle that is needed is fetched: here the one with relaxed SIMD', async ({ page }) => {
  const wasm: string[] = [];
  page.on('request', (request) => {
    const [, bundle] = /\/([a-z-]+)-[^/]*\.wasm$/.exec(request.url()) ?? [];
    if (bundle) wasm.push(bundle);
  });
  await visit(page, `${address({ ...SETTINGS, iterations: '2', steps: '2' })}&device=cpu&play=0`);
  expect(wasm).toEqual(['cpu-relaxed']);

  await test.step('the plain one where that is not to be had', async () => {
    await page.route('**/cpu-relaxed-*.wasm', (route) => route.fulfill({ status: 404 }));
    await page.reload();
    await waitForPhase(page, 'done');
    expect(wasm).toEqual(['cpu-relaxed', 'cpu-relaxed', 'cpu']);
  });
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

test('auto takes the faster of both engines where a real adapter is there, and says how fast they were', async ({
  page,
}) => {
  test.setTimeout(300_000);
  // The software adapter under another name: it passes for a real one, and shows what it can do.
  await page.addInitScript(() => {
    const info = { vendor: 'acme', architecture: 'fast', description: '', isFallbackAdapter: false };
    Object.defineProperty(GPUAdapter.prototype, 'info', { get: () => info });
  });
  const settings = { ...SETTINGS, iterations: '2', steps: '3' };
  await visit(page, `${address(settings)}&device=auto&play=0`, 280_000);
  const said =
    /Running on the CPU engine: .*\(acme fast\), but an iteration takes [\d,.]+ ms on it, [\d,.]+ ms on the CPU engine/;
  await expect(page.getByText(said)).toBeVisible();
  expect(largestDifference(await pixels(page), await sampled(page, settings))).toBeLessThanOrEqual(2);
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
