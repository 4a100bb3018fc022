// The page for everyone: keyboard, screen readers, reduced motion, small screens.

import {
  QUICK,
  cell,
  expect,
  expectAccessible,
  expectNothingSticksOut,
  narration,
  pixels,
  slide,
  test,
  visit,
  waitForPhase,
} from './visit';

test.use({ file: 'access' });

test('axe finds nothing while loading or failed', async ({ page }) => {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  await page.route('**/model.safetensors*', async (route) => {
    await released;
    await route.fulfill({ status: 404 });
  });
  await page.goto(`./?${QUICK}&cfg=no&cfg=2`);
  await expect(page.getByRole('progressbar')).toBeVisible();
  await expectAccessible(page);
  release();
  await waitForPhase(page, 'error');
  await expectAccessible(page);
});

test('axe finds nothing while the recording plays in the engine’s place', async ({ page }) => {
  await page.route('**/*.wasm', () => undefined);
  await page.goto('./');
  await expect(page.locator('[data-role=recorded]')).toBeVisible();
  await expect(page.locator('[data-role=article] h3').last()).toBeAttached();
  await expectAccessible(page);
  await expect(page.locator('[data-role=recorded]')).toBeVisible();
});

test('axe finds nothing while running, stopped or done', async ({ page }) => {
  test.setTimeout(300_000);
  await page.goto('./?model=fashion&label=1&seed=1&cfg=2&iterations=30&steps=50&device=cpu&play=1');
  await waitForPhase(page, 'running');
  await expect(narration(page)).toContainText('Iteration 2 of 30');
  await expectAccessible(page);
  await waitForPhase(page, 'running');
  await page.getByRole('button', { name: 'Generate again' }).click();
  await page.getByRole('button', { name: 'Stop' }).click();
  await waitForPhase(page, 'ready');
  await expectAccessible(page);
  await visit(page, `${QUICK}&play=0`);
  await cell(page, 10).click();
  await expectAccessible(page);
  await slide(page, 'inside', -1);
  await expectAccessible(page);
  await slide(page, 'inside', 2);
  await expectAccessible(page);
});

test('everything works from the keyboard', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  const final = await pixels(page);
  await page.locator('body').press('ArrowLeft');
  await expect(narration(page)).toContainText('Diffusion step 4 of 5');
  await page.keyboard.press('ArrowRight');
  await expect(narration(page)).toContainText('the picture is finished');
  await page.keyboard.press('Shift+ArrowLeft');
  await expect(narration(page)).toContainText('Iteration 3 of 4');
  expect(await pixels(page)).not.toEqual(final);
  await page.keyboard.press('Space');
  await expect(page.getByRole('button', { name: 'Pause' })).toBeVisible();
  await page.keyboard.press('Space');
  await expect(page.getByRole('button', { name: 'Play', exact: true })).toBeVisible();

  // The grid is one tab stop; arrows walk it, Enter opens a token.
  await cell(page, 0).focus();
  for (const key of ['ArrowRight', 'ArrowDown', 'ArrowDown', 'ArrowLeft', 'End']) await page.keyboard.press(key);
  await expect(cell(page, 20)).toBeFocused();
  await page.keyboard.press('Enter');
  await expect(cell(page, 20)).toHaveAttribute('aria-selected', 'true');
  await expect(page.locator('[role=gridcell][tabindex="0"]')).toHaveCount(1);

  // Digits change the mode, and so do the arrows among the modes.
  await page.keyboard.press('2');
  await expect(page.getByRole('tabpanel')).toContainText('Token at row 3, column 7');
  await page.getByRole('tab', { name: 'Token' }).focus();
  await page.keyboard.press('ArrowLeft');
  await expect(page.getByRole('tab', { name: 'Watch' })).toBeFocused();
  await expect(page.getByRole('tab', { name: 'Watch' })).toHaveAttribute('aria-selected', 'true');
  await page.locator('#seed').focus();
  await page.keyboard.press('3');
  await expect(page.getByRole('tab', { name: 'Watch' })).toHaveAttribute('aria-selected', 'true');
});

test('every control is reached by tabbing', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  await page.locator('body').focus();
  const reached = new Set<string>();
  for (let i = 0; i < 90; i++) {
    await page.keyboard.press('Tab');
    reached.add(
      await page.evaluate(() => {
        const element = document.activeElement as HTMLElement | null;
        return (
          element?.id ||
          element?.dataset['stage'] ||
          element?.dataset['role'] ||
          element?.getAttribute('name') ||
          element?.textContent?.trim() ||
          ''
        );
      }),
    );
  }
  for (const name of [
    'label',
    'seed',
    'mode-watch',
    'known',
    'encoder',
    'z',
    'diffusion',
    'picture',
    'timeline',
    'inside',
    'iterations',
    'steps',
    'cfg',
    'temperature',
    'solver',
    'lateSteps',
    'cfgEvery',
    'order',
    'cfgSchedule',
    'device',
    'Play',
  ]) {
    expect([...reached]).toContain(name);
  }
});

test('reduced motion: the finished picture at once, whatever the address says', async ({ page }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await visit(page, `${QUICK}&play=1`);
  await expect(narration(page)).toContainText('the picture is finished');
  await expect(page.getByRole('button', { name: 'Play', exact: true })).toBeEnabled();
});

test('nothing sticks out, be the window narrow or wide', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  for (const width of [360, 820, 1920]) {
    await page.setViewportSize({ width, height: 800 });
    await expectNothingSticksOut(page);
  }
});
