// Mode "compare" as a visitor uses it: forks that keep what came before, and differences that are what the pictures say.

import type { Page } from '@playwright/test';
import {
  QUICK,
  expect,
  expectAccessible,
  expectNothingSticksOut,
  pixels,
  slide,
  test,
  visit,
  waitForPhase,
} from './visit';

test.use({ file: 'compare' });

const branches = (page: Page) => page.locator('[data-role=branch]');
const difference = (page: Page) => page.locator('[data-role=difference]');

/** Goes another way from a moment with another seed, and waits for the picture. */
async function forkWithSeed(page: Page, moment: number, seed: number): Promise<void> {
  await slide(page, 'timeline', moment);
  const change = page.locator('[data-role=change-from-here]');
  await change.getByLabel('Seed', { exact: true }).fill(String(seed));
  await change.locator('[data-role=fork]').click();
  await waitForPhase(page, 'done');
}

test('a fork from the start is the picture of a fresh page with the same choices', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=compare`);
  const first = await pixels(page);
  await forkWithSeed(page, 0, 8);
  await expect(branches(page)).toHaveCount(2);
  const fork = await pixels(page);
  expect(fork).not.toEqual(first);
  await page.getByRole('button', { name: 'Show The picture' }).click();
  expect(await pixels(page)).toEqual(first);
  await visit(page, `${QUICK.replace('seed=7', 'seed=8')}&play=0`);
  expect(await pixels(page)).toEqual(fork);
});

test('a fork on the way keeps all tokens from before', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=compare`);
  const whole = await pixels(page);
  // The third of four iterations, while the transformer reads: what is known is not masked mid-grey.
  await slide(page, 'timeline', 2 * 7);
  const before = await pixels(page);
  await forkWithSeed(page, 2 * 7, 8);
  await expect(branches(page).last()).toContainText('seed 8 from iteration 3');
  const fork = await pixels(page);
  const masked = before.flatMap((value, i) => (value === 128 && whole[i] !== 128 ? [i] : []));
  expect(masked.length).toBeGreaterThan(16);
  const kept = before.flatMap((_, i) => (masked.includes(i) ? [] : [i])).filter((i) => before[i] !== 128);
  expect(kept.length).toBeGreaterThan(16 * 5);
  for (const i of kept) expect(fork[i]).toBe(whole[i]);
  expect(masked.some((i) => fork[i] !== whole[i])).toBe(true);

  // The same place on the timeline shows the same picture on both, up to the fork.
  for (const moment of [3, 2 * 7 - 1, 2 * 7]) {
    await slide(page, 'timeline', moment);
    const here = await pixels(page);
    await expect(difference(page)).toHaveAttribute('data-mean', '0.0000');
    await page.getByRole('button', { name: 'Swap A and B' }).click();
    expect(await pixels(page)).toEqual(here);
    await page.getByRole('button', { name: 'Swap A and B' }).click();
  }
});

test('a fork on the way may take other diffusion steps and another solver', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=compare`);
  await slide(page, 'timeline', 2 * 7);
  const change = page.locator('[data-role=change-from-here]');
  await change.getByLabel('Solver').selectOption('DPM-Solver++');
  await expect(change.getByLabel('Temperature')).toBeDisabled();
  await change.getByLabel('Diffusion steps').fill('3');
  await change.locator('[data-role=fork]').click();
  await waitForPhase(page, 'done');
  await expect(branches(page).last()).toContainText('DPM-Solver++, 3 steps from iteration 3');
  // Two iterations of 7 moments, two of 5.
  await expect(page.locator('[data-role=timeline]')).toHaveAttribute('max', '23');
  await slide(page, 'timeline', 23);
  await expect(page.locator('[data-role=side-a]')).toContainText('iteration 4 of 4, step 3 of 3');
  await slide(page, 'timeline', 13);
  await expect(page.locator('[data-role=side-a]')).toContainText('iteration 2 of 4, step 5 of 5');
  // The link brings it back.
  await page.reload();
  await waitForPhase(page, 'done');
  await expect(page.locator('[data-role=timeline]')).toHaveAttribute('max', '23');
  await expect(branches(page).last()).toContainText('DPM-Solver++, 3 steps from iteration 3');
});

test('the difference is that of the two pictures; of the same picture it is nothing', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=compare`);
  const first = await pixels(page);
  await forkWithSeed(page, 0, 8);
  const second = await pixels(page);
  const gaps = first.map((value, i) => Math.abs(value - second[i]!));
  const mean = gaps.reduce((sum, gap) => sum + gap, 0) / gaps.length;
  expect(Number(await difference(page).getAttribute('data-mean'))).toBeCloseTo(mean, 3);
  const tokens = Array.from({ length: 49 }, (_, position) => {
    const inside = gaps.filter((_, i) => Math.floor(i / 28 / 4) * 7 + Math.floor((i % 28) / 4) === position);
    return inside.reduce((sum, gap) => sum + gap, 0) / 16;
  });
  const largest = Number(await difference(page).getAttribute('data-largest'));
  expect(tokens[largest]).toBe(Math.max(...tokens));

  // A patch tells its number, by keyboard too.
  await page.locator(`[data-role=difference] [data-cell="10"]`).focus();
  await expect(page.locator('[data-role=pointed]')).toContainText(
    `row 2, column 4: ${tokens[10]!.toFixed(1)} of 255 on average`,
  );

  // The same fork again, laid beside the first one.
  await page.getByRole('button', { name: 'Show The picture' }).click();
  await forkWithSeed(page, 0, 8);
  await expect(branches(page)).toHaveCount(3);
  await page.getByLabel('Picture B', { exact: true }).selectOption({ index: 1 });
  await expect(difference(page)).toHaveAttribute('data-mean', '0.0000');
  await expect(difference(page)).not.toHaveAttribute('data-largest');
  await expect(page.locator('[data-role=pointed]')).toContainText('No difference at all');
});

test('a pair at different numbers of iterations stands at the same share of the way', async ({ page }) => {
  await visit(page, `${QUICK.replace('steps=5', 'steps=2')}&play=0&mode=compare`);
  await page.getByRole('button', { name: 'Iterations 4 and 16' }).click();
  // 4 iterations are what there is already; 16 are one branch more.
  await expect(branches(page)).toHaveCount(2);
  await expect(branches(page).nth(1)).toHaveAttribute('data-status', 'complete');
  await expect(page.getByText('at the same share of their way')).toBeVisible();
  // The end of the second of four iterations is the end of the eighth of sixteen, up to rounding.
  await slide(page, 'timeline', 4);
  await expect(page.locator('[data-role=side-a]')).toContainText('iteration 2 of 4');
  await expect(page.locator('[data-role=side-b]')).toContainText(/iteration [567] of 16/);
  await slide(page, 'timeline', 15);
  await expect(page.locator('[data-role=side-a]')).toContainText('49 of 49 known');
  await expect(page.locator('[data-role=side-b]')).toContainText('49 of 49 known');
});

test('branches are shown, laid beside and removed', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=compare`);
  await page.getByRole('button', { name: 'Guidance 1 and 4' }).click();
  await expect(branches(page)).toHaveCount(3);
  for (const branch of await branches(page).all()) await expect(branch).toHaveAttribute('data-status', 'complete');
  await waitForPhase(page, 'done');
  await expect(page.locator('[data-role=side-a]')).toContainText(/[\d.]+ m?s, finished/);
  await expect(page.getByLabel('Picture A', { exact: true }).locator('option:checked')).toHaveText('guidance 1');
  await expect(page.getByLabel('Picture B', { exact: true }).locator('option:checked')).toHaveText('guidance 4');
  await page.getByRole('button', { name: 'DDPM 50 and DPM-Solver++ 10 steps' }).click();
  await expect(page.getByLabel('Picture A', { exact: true }).locator('option:checked')).toHaveText('50 steps');
  await expect(page.getByLabel('Picture B', { exact: true }).locator('option:checked')).toHaveText(
    'DPM-Solver++, 10 steps',
  );
  await page.getByRole('button', { name: 'Remove 50 steps' }).click();
  await page.getByRole('button', { name: 'Remove DPM-Solver++, 10 steps' }).click();
  await page.getByRole('button', { name: 'Remove guidance 4' }).click();
  await page.getByRole('button', { name: 'Remove guidance 1' }).click();
  await expect(branches(page)).toHaveCount(0);
  await expect(page.getByText('There is one picture so far.')).toBeVisible();
});

test('without WebGPU the pair of engines is explained, and nothing breaks', async ({ page }) => {
  await page.addInitScript(() => {
    Object.defineProperty(navigator, 'gpu', { value: undefined });
  });
  await visit(page, `${QUICK}&play=0&mode=compare`);
  await page.getByRole('button', { name: 'CPU and WebGPU' }).click();
  await expect(page.getByRole('alert')).toContainText(
    'The two engines cannot be compared here. This browser has no WebGPU.',
  );
  await expect(branches(page)).toHaveCount(0);
  await expect(page.locator('html')).toHaveAttribute('data-phase', 'done');
});

test('axe finds nothing and nothing sticks out', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=compare`);
  await page.getByRole('button', { name: 'Guidance 1 and 4' }).click();
  for (const branch of await branches(page).all()) await expect(branch).toHaveAttribute('data-status', 'complete');
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 });
    await page.getByRole('tab', { name: 'Compare' }).click();
    await expectAccessible(page, '[data-role=compare-panel]');
    await expectNothingSticksOut(page);
    await page.getByRole('tab', { name: 'Watch' }).click();
    await expect(page.getByRole('region', { name: 'Branches' })).toBeVisible();
    await expectAccessible(page);
    await expectNothingSticksOut(page);
  }
});
