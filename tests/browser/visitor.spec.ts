// A visitor's way through the page: it loads, makes a picture, and every moment of it can be gone back to.

import { QUICK, cell, cellStates, expect, narration, pixels, slide, test, visit, waitForPhase } from './visit';

test.use({ file: 'visitor' });

/** Moments of an iteration at 5 diffusion steps: the read, the noise, 5 steps. */
const MOMENTS = 7;

test('loads, plays by itself and finishes', async ({ page }) => {
  const elsewhere: string[] = [];
  page.on('request', (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith('http') && url.hostname !== '127.0.0.1') elsewhere.push(request.url());
  });
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') errors.push(message.text());
  });

  await page.goto(`./?${QUICK}&play=1`);
  await waitForPhase(page, 'running');
  await expect(narration(page)).toContainText('Iteration 2 of 4');
  await waitForPhase(page, 'done');
  await expect(narration(page)).toContainText('the picture is finished');
  expect(await cellStates(page)).not.toHaveProperty('masked');
  expect(new Set(await pixels(page)).size).toBeGreaterThan(20);
  expect(elsewhere).toEqual([]);
  expect(errors).toEqual([]);
});

test('shows real progress while it loads', async ({ page }) => {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  await page.route('**/model.safetensors*', async (route) => {
    await released;
    await route.continue();
  });
  await page.goto(`./?${QUICK}&play=0`);
  const bar = page.getByRole('progressbar');
  await expect(bar).toBeVisible();
  await expect(page.getByText(/of \d+\.\d MB/)).toBeVisible();
  expect(Number(await bar.getAttribute('aria-valuenow'))).toBeLessThan(100);
  release();
  await waitForPhase(page, 'done');
  await expect(bar).toHaveCount(0);
});

test('scrubbing shows every moment again', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  await test.step('scrubbing back shows each earlier state again', async () => {
    const final = await pixels(page);
    const seen: number[][] = [];
    for (let k = 0; k < 4; k++) {
      await slide(page, 'timeline', k * MOMENTS + MOMENTS - 1);
      await expect(narration(page)).toContainText(`Iteration ${k + 1} of 4`);
      seen.push(await pixels(page));
    }
    expect(seen[3]).toEqual(final);
    // A masked patch is mid-grey until its iteration; once known it stays as it is.
    const known = (image: number[]) => image.filter((v) => v !== 128).length;
    for (let k = 1; k < 4; k++) {
      expect(known(seen[k]!)).toBeGreaterThan(known(seen[k - 1]!));
      const altered = seen[k - 1]!.filter((value, i) => value !== 128 && value !== seen[k]![i]);
      expect(altered).toEqual([]);
    }
    for (const k of [2, 0, 1, 3]) {
      await slide(page, 'timeline', k * MOMENTS + MOMENTS - 1);
      expect(await pixels(page)).toEqual(seen[k]);
    }
    await slide(page, 'timeline', 0);
    expect(new Set(await pixels(page))).toEqual(new Set([128]));
    expect(await cellStates(page)).toMatchObject({
      chosen: 49 - (await cellStates(page))['masked']!,
    });
  });

  await test.step('scrubbing inside an iteration goes from noise to pixels, in its tokens alone', async () => {
    await slide(page, 'timeline', 2 * MOMENTS + MOMENTS - 1);
    const end = await pixels(page);
    await slide(page, 'inside', -1);
    await expect(narration(page)).toContainText('The transformer reads');
    const before = await pixels(page);
    const changed = new Set<number>();
    const frames: number[][] = [];
    for (let frame = 0; frame <= 5; frame++) {
      await slide(page, 'inside', frame);
      if (frame < 5) await expect(narration(page)).toContainText(`Diffusion step ${frame} of 5`);
      const now = await pixels(page);
      frames.push(now);
      now.forEach((value, i) => {
        if (value !== before[i]) changed.add(Math.floor(i / 28 / 4) * 7 + Math.floor((i % 28) / 4));
      });
    }
    expect(frames[5]).toEqual(end);
    expect(frames[0]).not.toEqual(end);
    const newest = await page
      .locator('[data-state=newest]')
      .evaluateAll((cells) => cells.map((c) => Number((c as HTMLElement).dataset['position'])));
    expect([...changed].sort((a, b) => a - b)).toEqual(newest.sort((a, b) => a - b));
  });
});

test('a reload of the address gives the same picture, another seed another one', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  const first = await pixels(page);
  await page.getByRole('radio', { name: 'Bag' }).check();
  await expect(page).toHaveURL(/label=8/);
  await waitForPhase(page, 'done');
  const bag = await pixels(page);
  expect(bag).not.toEqual(first);
  await page.reload();
  await waitForPhase(page, 'done');
  expect(await pixels(page)).toEqual(bag);

  await page.getByLabel('Seed', { exact: true }).fill('8');
  await page.keyboard.press('Enter');
  await expect(page).toHaveURL(/seed=8/);
  await waitForPhase(page, 'done');
  expect(await pixels(page)).not.toEqual(bag);

  await visit(page, `${QUICK}&play=0`);
  expect(await pixels(page)).toEqual(first);
});

test('every mode is there for the same picture', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  await test.step('every mode has its panel, and the picture stays where it is', async () => {
    const canvas = page.locator('canvas[data-role=image]');
    const before = await canvas.boundingBox();
    const shown = await pixels(page);
    for (const mode of ['Token', 'Edit', 'Order', 'Compare', 'Watch']) {
      await page.getByRole('tab', { name: mode }).click();
      await expect(page.getByRole('tabpanel', { name: mode })).toBeVisible();
      const grid = mode === 'Edit' || mode === 'Order' ? 0 : 1;
      await expect(page.getByRole('grid', { name: /^Tokens, 7 rows of 7/ })).toHaveCount(grid);
      expect(await canvas.boundingBox()).toEqual(before);
      expect(await pixels(page)).toEqual(shown);
    }
  });

  await test.step('a token is chosen, opened in its own mode, and let go', async () => {
    const open = page.locator('[data-role=open-token]');
    await expect(open).toHaveCount(0);
    await cell(page, 24).click();
    await expect(cell(page, 24)).toHaveAttribute('aria-selected', 'true');
    await expect(open).toHaveAccessibleName('Open in Token mode: row 4, column 4');
    await open.click();
    await expect(page.getByRole('tab', { name: 'Token' })).toHaveAttribute('aria-selected', 'true');
    await expect(page.getByRole('tabpanel')).toContainText('Token at row 4, column 4');
    await page.keyboard.press('Escape');
    await expect(page.locator('[aria-selected=true][data-position]')).toHaveCount(0);
    await page.getByRole('tab', { name: 'Watch' }).click();
    await expect(narration(page)).toBeVisible();
  });

  await test.step('from any moment on one can go another way', async () => {
    await slide(page, 'timeline', 2 * MOMENTS);
    await page.getByRole('button', { name: 'Fork here' }).click();
    await expect(page.getByRole('tab', { name: 'Compare' })).toHaveAttribute('aria-selected', 'true');
    await expect(page.locator('[data-role=timeline]')).toHaveValue(String(2 * MOMENTS));
  });
});

test('what a panel paints over the picture is said, and goes with the panel', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=token&token=24`);
  const panel = page.getByRole('tabpanel');
  await panel.locator('summary', { hasText: 'z against the others' }).click();
  await panel.getByRole('button', { name: 'Show on the picture' }).first().click();
  await expect(page.locator('[data-position][data-heat]')).toHaveCount(49);
  await expect(cell(page, 24)).toHaveAttribute('data-heat', '1.0000');
  await expect(cell(page, 24)).toHaveAccessibleName(/similarity 1\.00$/);
  await expect(page.locator('[data-role=heat-legend]')).toContainText('row 4, column 4');
  await page.getByRole('tab', { name: 'Watch' }).click();
  await expect(page.locator('[data-role=heat]')).toHaveCount(0);
  await expect(page.locator('[data-heat]')).toHaveCount(0);
  await expect(page.getByRole('list', { name: 'Legend' })).toBeVisible();
});

test('the timeline stays in reach while one scrolls, and on a laptop all fits one screen', async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 700 });
  await visit(page, `${QUICK}&play=0`);
  for (const share of [0, 0.2, 0.4]) {
    await page.evaluate((part) => {
      const work = document.querySelector('.work')?.getBoundingClientRect().height ?? 0;
      scrollTo(0, part * work);
    }, share);
    await expect(page.locator('[data-role=timeline]')).toBeInViewport({ ratio: 1 });
  }

  await page.setViewportSize({ width: 1440, height: 900 });
  await page.evaluate(() => {
    scrollTo(0, 0);
  });
  for (const target of [
    'canvas[data-role=image]',
    '[data-role=narration]',
    '[data-stage=picture]',
    '[data-role=inside]',
  ]) {
    await expect(page.locator(target)).toBeInViewport({ ratio: 1 });
  }
  const bottom = await page.locator('.timeline').evaluate((bar) => bar.getBoundingClientRect().bottom);
  const end = await page.locator('.picture').evaluate((picture) => picture.getBoundingClientRect().bottom);
  const top = await page.locator('.timeline').evaluate((bar) => bar.getBoundingClientRect().top);
  expect(bottom).toBeLessThanOrEqual(900);
  expect(end).toBeLessThanOrEqual(top);
});

test('stops, and goes on when asked', async ({ page }) => {
  await page.goto('./?model=fashion&label=1&seed=1&cfg=2&iterations=49&steps=50&device=cpu&play=1');
  await waitForPhase(page, 'running');
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitForPhase(page, 'ready');
  await expect(page.getByRole('button', { name: 'Generate', exact: true })).toBeEnabled();
  await page.getByRole('slider', { name: 'Iterations' }).fill('2');
  await page.getByRole('slider', { name: 'Diffusion steps' }).fill('3');
  await waitForPhase(page, 'done');
  await expect(narration(page)).toContainText('Iteration 2 of 2');
});

test('an unconditional picture works too', async ({ page }) => {
  await visit(page, `${QUICK.replace('label=3', 'label=none')}&play=0`);
  await expect(page.getByRole('radio', { name: 'any class' })).toBeChecked();
  expect(new Set(await pixels(page)).size).toBeGreaterThan(20);
});
