// Several workers share the CPU engine's work: chosen in the settings, the same picture, and a stop that reaches all.

import type { Page } from '@playwright/test';
import { QUICK, expect, pixels, test, visit, waitForPhase } from './visit';

test.use({ file: 'workers' });

const workers = (page: Page) => page.getByLabel('Workers');

test('two draw the picture of one', async ({ page }) => {
  await visit(page, `${QUICK}&workers=1&play=0`);
  await expect(workers(page)).toHaveValue('1');
  await expect(workers(page)).toHaveAccessibleDescription('CPU engine: 1 worker.');
  const one = await pixels(page);

  await workers(page).selectOption('2');
  await expect(workers(page)).toHaveAccessibleDescription('CPU engine: 2 workers.');
  await expect(page).toHaveURL(/&workers=2&/);
  await page.getByRole('button', { name: 'Generate again' }).click();
  await waitForPhase(page, 'done');
  expect(await pixels(page)).toEqual(one);

  await test.step('a link has the number', async () => {
    await page.reload();
    await waitForPhase(page, 'done');
    await expect(workers(page)).toHaveValue('2');
    await expect(workers(page)).toHaveAccessibleDescription('CPU engine: 2 workers.');
    expect(await pixels(page)).toEqual(one);
  });

  await test.step('one again', async () => {
    await workers(page).selectOption('1');
    await expect(workers(page)).toHaveAccessibleDescription('CPU engine: 1 worker.');
    await page.getByRole('button', { name: 'Generate again' }).click();
    await waitForPhase(page, 'done');
    expect(await pixels(page)).toEqual(one);
  });
});

test('as many as help are measured, and the page says what was measured', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  await expect(workers(page)).toHaveValue('auto');
  const said = /^CPU engine: [12] workers?\. An iteration takes [\d,.]+ ms with 2, [\d,.]+ ms with 1\.$/;
  await expect(workers(page)).toHaveAccessibleDescription(said);
  await expect(page).not.toHaveURL(/workers=/);
});

test('Stop reaches both, and what follows is whole', async ({ page }) => {
  const long = QUICK.replace('steps=5', 'steps=1000').replace('iterations=4', 'iterations=2');
  await page.goto(`./?${long}&workers=2&play=0`);
  await waitForPhase(page, 'running');
  await expect(workers(page)).toHaveAccessibleDescription('CPU engine: 2 workers.');
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitForPhase(page, 'ready');
  await page.getByRole('slider', { name: 'Diffusion steps' }).fill('5');
  await waitForPhase(page, 'done');
  const two = await pixels(page);
  await visit(page, `${QUICK.replace('iterations=4', 'iterations=2')}&workers=1&play=0`);
  expect(await pixels(page)).toEqual(two);
});
