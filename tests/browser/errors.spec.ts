// What can go wrong, each with a message a person can act on and a page that still works.

import type { Page } from '@playwright/test';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { QUICK, cell, expect, pixels, test, visit, waitForPhase } from './visit';

test.use({ file: 'errors' });

const WEIGHTS = join(__dirname, '../../weights/fashion/model.safetensors');

/** A safetensors file, its header read and written back by `edit`, its data by `spoil`. */
function spoiled(
  edit: (header: Header) => void,
  spoil: (data: Buffer, header: Header) => void = () => undefined,
): Buffer {
  const file = readFileSync(WEIGHTS);
  const length = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.subarray(8, 8 + length).toString('utf8')) as Header;
  const data = Buffer.from(file.subarray(8 + length));
  edit(header);
  spoil(data, header);
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, text, data]);
}
type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

function tensors(header: Header) {
  return Object.entries(header).filter(([name]) => name !== '__metadata__');
}

/** Answers the weights' request with this body, or with this status. */
async function serveWeights(page: Page, answer: Buffer | number): Promise<void> {
  await page.route('**/model.safetensors*', (route) =>
    typeof answer === 'number' ? route.fulfill({ status: answer }) : route.fulfill({ status: 200, body: answer }),
  );
}

/** Expects a message, controls that live, and a retry that works once the weights are right. */
async function expectRecovery(page: Page, message: RegExp): Promise<void> {
  await page.goto(`./?${QUICK}&play=0`);
  await waitForPhase(page, 'error');
  const alert = page.locator('[data-role=error]');
  await expect(alert).toContainText(message);
  await expect(alert).not.toContainText(/undefined|unreachable|\[object/);
  await page.getByRole('radio', { name: 'Bag' }).check();
  await expect(page).toHaveURL(/label=8/);
  await page.unroute('**/model.safetensors*');
  await alert.getByRole('button', { name: 'Try again' }).click();
  await waitForPhase(page, 'done');
  await expect(alert).toHaveCount(0);
  expect(new Set(await pixels(page)).size).toBeGreaterThan(20);
}

test('weights that are not there', async ({ page }) => {
  await serveWeights(page, 404);
  await expectRecovery(page, /weights\/fashion\/model\.safetensors is not on the server \(404\)/);
});

test('a server that fails', async ({ page }) => {
  await serveWeights(page, 503);
  await expectRecovery(page, /answered 503 for weights\/fashion\/model\.safetensors/);
});

test('no connection', async ({ page }) => {
  await page.route('**/model.safetensors*', (route) => route.abort());
  await expectRecovery(page, /Could not fetch weights\/fashion\/model\.safetensors/);
});

test('weights cut short', async ({ page }) => {
  const file = readFileSync(WEIGHTS);
  await serveWeights(page, file.subarray(0, Math.floor(file.length / 2)));
  await expectRecovery(page, /weights|safetensors|file/i);
});

test('weights that are no weights', async ({ page }) => {
  await serveWeights(page, Buffer.from('<!doctype html><title>Not here</title>'));
  await expectRecovery(page, /weights|safetensors|file/i);
});

test('weights of the wrong shape', async ({ page }) => {
  let name = '';
  const file = spoiled((header) => {
    const [found, tensor] = tensors(header).find(([, t]) => t.shape.length === 2 && t.shape[0] !== t.shape[1])!;
    name = found;
    tensor.shape.reverse();
  });
  await serveWeights(page, file);
  await expectRecovery(page, new RegExp(name.replaceAll('.', '\\.')));
});

test('weights that are not numbers', async ({ page }) => {
  let name = '';
  const file = spoiled(
    () => undefined,
    (data, header) => {
      const [found, tensor] = tensors(header)[0]!;
      name = found;
      // All bits set is NaN in f16, bf16 and f32 alike.
      data.fill(0xff, tensor.data_offsets[0], tensor.data_offsets[0] + 4);
    },
  );
  await serveWeights(page, file);
  await expectRecovery(page, new RegExp(name.replaceAll('.', '\\.')));
});

test('a model that does not exist', async ({ page }) => {
  await page.goto(`./?model=nothing-here&${QUICK}`);
  await waitForPhase(page, 'error');
  await expect(page.locator('[data-role=error]')).toContainText(/weights\/nothing-here\/\S+ is not on the server/);
});

test('bad values in the address are named, and the defaults used', async ({ page }) => {
  await visit(
    page,
    'label=12&seed=-1&cfg=lots&iterations=4&steps=5&temperature=9&order=up&device=cpu&play=0&model=..%2F..',
  );
  const problems = page.locator('[data-role=problems] li');
  await expect(problems).toHaveCount(6);
  for (const text of ['label=12', 'seed=-1', 'cfg=lots', 'temperature=9', 'order=up', 'model=../..']) {
    await expect(problems.filter({ hasText: text })).toContainText('allowed is');
  }
  await expect(page).toHaveURL(/seed=7&.*iterations=4&steps=5&.*order=random/);
  await page.getByRole('button', { name: 'Dismiss' }).click();
  await expect(problems).toHaveCount(0);
});

test('a browser without WebAssembly', async ({ page }) => {
  await page.addInitScript(() => {
    Reflect.deleteProperty(globalThis, 'WebAssembly');
  });
  await page.goto(`./?${QUICK}`);
  await waitForPhase(page, 'error');
  await expect(page.locator('[data-role=error]')).toContainText(/no WebAssembly.*use a current Firefox/);
  await cell(page, 3).focus();
  await expect(cell(page, 3)).toBeFocused();
});

test('a browser whose WebAssembly has no SIMD', async ({ page }) => {
  await page.addInitScript(() => {
    WebAssembly.validate = () => false;
  });
  await page.goto(`./?${QUICK}`);
  await waitForPhase(page, 'error');
  await expect(page.locator('[data-role=error]')).toContainText(/without SIMD.*or newer/);
});
