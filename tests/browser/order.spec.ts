// Mode "order" as a visitor uses it: an order by hand is the order in which tokens become known.

import type { Page } from '@playwright/test';
import { QUICK, expect, expectAccessible, expectNothingSticksOut, slide, test, visit, waitForPhase } from './visit';

test.use({ file: 'order' });

/** One token an iteration: each with 7 moments. */
const SINGLY = QUICK.replace('iterations=4', 'iterations=49');

const surfaceCell = (page: Page, position: number) =>
  page.locator(`[data-role=order-surface] [data-cell="${position}"]`);

/** The position that the k-th iteration, from 0, has just finished. */
async function finishedIn(page: Page, iteration: number): Promise<number> {
  await slide(page, 'timeline', iteration * 7 + 6);
  const newest = page.locator('[data-state=newest]');
  await expect(newest).toHaveCount(1);
  return Number(await newest.getAttribute('data-position'));
}

async function orderByHand(page: Page): Promise<void> {
  const box = await page.locator('[data-role=order-surface]').boundingBox();
  if (!box) throw new Error('no order to be seen');
  const at = (column: number, row: number): [number, number] => [
    box.x + ((column + 0.5) / 7) * box.width,
    box.y + ((row + 0.5) / 7) * box.height,
  ];
  // A drag along the bottom row, from the third patch to the first, over each once whichever way the pointer shakes.
  await page.mouse.move(...at(2, 6));
  await page.mouse.down();
  await page.mouse.move(...at(0, 6), { steps: 9 });
  await page.mouse.move(...at(1, 6), { steps: 5 });
  await page.mouse.up();
  // Two more by keyboard, the second taken back and another one in its place.
  await surfaceCell(page, 10).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  await page.keyboard.press('Enter');
  await expect(page.locator('[data-role=hand]')).toContainText('5 of 49');
  await page.getByRole('button', { name: 'Undo', exact: true }).click();
  await surfaceCell(page, 48).focus();
  await page.keyboard.press('Enter');
  await expect(surfaceCell(page, 48)).toHaveAccessibleName('row 7, column 7: number 5');
}

test('an order by hand is the order in which tokens become known', async ({ page }) => {
  await visit(page, `${SINGLY}&play=0&mode=order`);
  await orderByHand(page);
  await page.getByRole('button', { name: 'The rest at random' }).click();
  await waitForPhase(page, 'done');
  await expect(page.getByRole('radio', { name: 'by hand' })).toBeChecked();
  const order = new URL(page.url()).searchParams.get('order')?.split('.').map(Number) ?? [];
  expect(order.slice(0, 5)).toEqual([44, 43, 42, 10, 48]);
  expect(order.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 49 }, (_, i) => i));

  await page.getByRole('tab', { name: 'Watch' }).click();
  for (const iteration of [0, 1, 2, 3, 4, 20, 48]) expect(await finishedIn(page, iteration)).toBe(order[iteration]);

  // The rest is the same again for the same seed.
  const address = page.url();
  await visit(page, `${SINGLY}&play=0&mode=order`);
  await orderByHand(page);
  await page.getByRole('button', { name: 'The rest at random' }).click();
  await expect(page).toHaveURL(address.replace(/&mode=watch|$/, '&mode=order'));
});

test('a fixed order makes its own picture, and the chips tell the engine’s orders', async ({ page }) => {
  await visit(page, `${SINGLY}&play=0&mode=order`);
  await page.getByRole('radio', { name: 'spiral' }).check();
  await waitForPhase(page, 'done');
  await page.getByRole('tab', { name: 'Watch' }).click();
  // Right, down, left from the middle of a 7 x 7 grid.
  for (const [iteration, position] of [24, 25, 32, 31, 30, 23].entries()) {
    expect(await finishedIn(page, iteration)).toBe(position);
  }
});

test('fewer iterations: the same picture five times, with times', async ({ page }) => {
  await page.route('**/weights/fashion/iterations.json', (route) =>
    route.fulfill({
      json: {
        rows: [
          { iterations: 4, asInstructed: 0.8125, frechet: 41.26, images: 1000 },
          { iterations: 49, asInstructed: 0.9, frechet: 20.5, images: 1000 },
        ],
      },
    }),
  );
  await visit(page, `${QUICK.replace('steps=5', 'steps=2')}&play=0&mode=order`);
  const table = page.locator('[data-role=quality]');
  await expect(table.getByRole('row')).toHaveText([/iterations/, /49\s*90\.0 %\s*20\.5/, /4\s*81\.3 %\s*41\.3/]);

  await page.locator('[data-role=run-fewer]').click();
  const pictures = page.locator('[data-role=fewer]');
  await expect(pictures).toHaveCount(5);
  for (const [i, iterations] of [49, 32, 16, 8, 4].entries()) {
    await expect(pictures.nth(i)).toHaveAttribute('data-iterations', String(iterations));
    await expect(pictures.nth(i)).toHaveAttribute('data-status', 'complete', { timeout: 40_000 });
    await expect(pictures.nth(i).locator('[data-role=time]')).toHaveText(/^[\d.]+ m?s$/);
  }
  await expect(pictures.first()).toContainText('1 token at a time');
  // The one that is shown is chosen here, and the timeline is its own.
  await page.getByRole('button', { name: 'Show the picture with 8 iterations' }).click();
  await expect(page.getByRole('button', { name: 'Show the picture with 8 iterations' })).toHaveAttribute(
    'aria-pressed',
    'true',
  );
  await expect(page.locator('[data-role=tokens-per-iteration] rect')).toHaveCount(8);
});

test('the experiment stops when asked', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=order`);
  await page.getByRole('slider', { name: 'Diffusion steps' }).fill('50');
  await page.locator('[data-role=run-fewer]').click();
  await page.locator('[data-role=fewer-iterations]').getByRole('button', { name: 'Stop' }).click();
  await expect(page.locator('[data-role=run-fewer]')).toBeEnabled();
  const statuses = await page
    .locator('[data-role=fewer]')
    .evaluateAll((items) => items.map((item) => (item as HTMLElement).dataset['status']));
  expect(statuses).toContain('stopped');
  expect(statuses).not.toContain('running');
  expect(statuses).not.toContain('waiting');
});

test('axe finds nothing and nothing sticks out', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=order`);
  await surfaceCell(page, 3).focus();
  await page.keyboard.press('Enter');
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 });
    await expectAccessible(page, '[data-role=order-panel]', '[data-role=order-surface]');
    await expectNothingSticksOut(page);
  }
});
