// Once visited, the page needs no network: it opens, and draws pictures it has never drawn before.

import { QUICK, expect, pixels, test, visit, waitForPhase } from './visit';

test.use({ file: 'offline', serviceWorkers: 'allow' });

test('a second visit works without a network', async ({ page, context }) => {
  await visit(page, `${QUICK}&play=0`);
  const shown = await pixels(page);
  await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
  });

  await context.setOffline(true);
  await page.reload();
  await waitForPhase(page, 'done');
  expect(await pixels(page)).toEqual(shown);
  await page.getByRole('radio', { name: 'Bag' }).check();
  await waitForPhase(page, 'done');
  const bag = await pixels(page);
  expect(bag).not.toEqual(shown);
  expect(new Set(bag).size).toBeGreaterThan(20);

  // Another address of the same page, in another window.
  const other = await context.newPage();
  await other.goto(`./?${QUICK.replace('seed=7', 'seed=123')}&play=0`);
  await waitForPhase(other, 'done');
  expect(await pixels(other)).not.toEqual(shown);
  const scripts = await other.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
  expect(scripts.some((name) => name.endsWith('.js'))).toBe(true);
});

test('the large WebGPU engine is not fetched ahead', async ({ page, context }) => {
  const fetched: string[] = [];
  context.on('request', (request) => fetched.push(request.url()));
  await visit(page, `${QUICK}&play=0`);
  const kept = await page.evaluate(async () => {
    await navigator.serviceWorker.ready;
    const names = await caches.keys();
    const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
    return requests.flat().map(({ url }) => new URL(url).pathname);
  });
  const wasm = kept.filter((path) => path.endsWith('.wasm'));
  expect(wasm).toHaveLength(1);
  expect(wasm[0]).toMatch(/\/assets\/cpu-/);
  expect(kept.filter((path) => path.endsWith('model.safetensors'))).toHaveLength(1);
  expect(fetched.filter((url) => /\/gpu-.*\.wasm/.test(url))).toEqual([]);
});
