// Sampling that does less: other solvers, fewer diffusion steps in later iterations, guidance used again. Chosen in the page,
// kept in its link and its traces, and the same picture as the command line's.

import { readFileSync } from 'node:fs';
import { decoded, inNewFolder, largestDifference, marscope, sampled } from './command';
import { QUICK, expect, pixels, slide, test, visit, waitForPhase } from './visit';

test.use({ file: 'sampling' });

const LESS = {
  label: '3',
  seed: '7',
  cfg: '2',
  iterations: '6',
  steps: '10',
  lateSteps: '5',
  solver: 'dpm',
  cfgEvery: '2',
  order: 'random',
};

test('is chosen in the settings, and its budget is shown', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  const usual = await pixels(page);
  const budget = page.locator('[data-role=budget]');
  const says = page.locator('[data-role=budget-says]');
  const steps = (): Promise<string[]> =>
    budget
      .locator('[data-steps]')
      .evaluateAll((bars) => bars.map((bar) => (bar as HTMLElement).dataset['steps'] ?? ''));
  expect(await steps()).toEqual(['5', '5', '5', '5']);

  await test.step('a solver that adds no noise has no temperature', async () => {
    const temperature = page.getByRole('slider', { name: 'Temperature' });
    await expect(temperature).toBeEnabled();
    await page.getByLabel('Solver').selectOption('DDIM');
    await expect(temperature).toBeDisabled();
    await expect(temperature).toHaveAccessibleDescription('DDIM adds no noise that it could scale.');
    await expect(page).toHaveURL(/&solver=ddim&/);
    await waitForPhase(page, 'done');
    expect(await pixels(page)).not.toEqual(usual);
  });

  await test.step('fewer diffusion steps in later iterations', async () => {
    const late = page.getByRole('slider', { name: 'Steps at the end' });
    await expect(late).toHaveAttribute('aria-valuetext', 'as many');
    await late.fill('2');
    await expect(late).toHaveAccessibleDescription('5 steps in the first iteration, 2 in the last.');
    await expect(page).toHaveURL(/&lateSteps=2&/);
    expect(await steps()).toEqual(['5', '4', '3', '2']);
    await waitForPhase(page, 'done');
    expect(await steps()).toEqual(['5', '4', '3', '2']);
    // Each iteration is a read, the noise and its steps.
    await expect(page.locator('[data-role=timeline]')).toHaveAttribute('max', String(7 + 6 + 5 + 4 - 1));
    await slide(page, 'timeline', 7 + 6 + 5 + 3);
    await expect(page.locator('[data-role=narration]')).toContainText('the picture is finished');
    await slide(page, 'timeline', 7 + 6 + 5);
    await expect(page.locator('[data-role=narration]')).toContainText('Iteration 4 of 4');
  });

  await test.step('the chart follows the timeline and names its numbers', async () => {
    await expect(says).toHaveText('Iteration 4 of 4: 2 diffusion steps');
    const slider = page.getByRole('slider', { name: 'Steps of each iteration' });
    await slider.focus();
    await page.keyboard.press('Home');
    await expect(says).toHaveText('Iteration 1 of 4: 5 diffusion steps');
    await page.keyboard.press('ArrowRight');
    await expect(slider).toHaveAttribute('aria-valuetext', 'iteration 2 of 4: 4 diffusion steps');
    await expect(page.locator('[data-role=narration]')).toContainText('Iteration 2 of 4');
    // A press anywhere on a bar is one on that bar.
    const box = (await slider.boundingBox())!;
    for (const [share, iteration] of [
      [0.26, 2],
      [0.49, 2],
      [0.51, 3],
      [0.76, 4],
      [0.24, 1],
    ] as const) {
      await page.mouse.click(box.x + share * box.width, box.y + box.height / 2);
      await expect(slider).toHaveValue(String(iteration));
    }
    await page.mouse.move(box.x + 0.6 * box.width, box.y + box.height / 2);
    await expect(says).toHaveText('Iteration 3 of 4: 3 diffusion steps');
    await page.mouse.move(0, 0);
    await expect(says).toHaveText('Iteration 1 of 4: 5 diffusion steps');
  });

  await test.step('guidance anew in every so many-th iteration; the address brings all of it back', async () => {
    await page.getByRole('slider', { name: 'Guidance anew' }).fill('3');
    await expect(page).toHaveURL(/&cfgEvery=3&/);
    await waitForPhase(page, 'done');
    const shown = await pixels(page);
    await page.reload();
    await waitForPhase(page, 'done');
    expect(await pixels(page)).toEqual(shown);
    await expect(page.getByLabel('Solver')).toHaveValue('ddim');
    await expect(page.getByRole('slider', { name: 'Steps at the end' })).toHaveValue('2');
    await expect(page.getByRole('slider', { name: 'Guidance anew' })).toHaveValue('3');
  });

  await test.step('what is as usual is not in the address', async () => {
    await page.getByLabel('Solver').selectOption('DDPM');
    await page.getByRole('slider', { name: 'Steps at the end' }).fill('5');
    await page.getByRole('slider', { name: 'Guidance anew' }).fill('1');
    await expect(page).not.toHaveURL(/lateSteps|cfgEvery/);
    await waitForPhase(page, 'done');
    expect(await pixels(page)).toEqual(usual);
  });
});

test('gives the picture of the command line, and traces that both replay', async ({ page }) => {
  await visit(page, `${new URLSearchParams(LESS).toString()}&device=cpu&play=0`);
  const shown = await pixels(page);
  await test.step('the same as `marscope sample`, and another than with the class asked for each time', async () => {
    expect(largestDifference(shown, await sampled(page, LESS))).toBeLessThanOrEqual(2);
    expect(largestDifference(shown, await sampled(page, { ...LESS, cfgEvery: '1' }))).toBeGreaterThan(2);
  });

  await page.locator('[data-role=share]').click();
  const download = page.waitForEvent('download');
  await page.locator('[data-role=save-trace]').click();
  const path = inNewFolder('trace.json');
  await (await download).saveAs(path);
  expect(JSON.parse(readFileSync(path, 'utf8'))).toMatchObject({
    settings: { steps: 10, lateSteps: 5, solver: 'dpm', cfgEvery: 2 },
  });

  await test.step('the command line replays the page’s trace', async () => {
    marscope('replay', path, '--model', 'weights/fashion', '--out', `${path}.png`);
    const { greys } = await decoded(page, readFileSync(`${path}.png`), 'image/png');
    expect(largestDifference(shown, greys)).toBeLessThanOrEqual(2);
  });

  await test.step('the page shows it again, and computes it again', async () => {
    await visit(page, `${QUICK}&play=0`);
    await page.locator('[data-role=share]').click();
    await page.locator('[data-role=open-trace]').setInputFiles(path);
    await expect(page.locator('[data-role=takeaway]')).toBeHidden();
    await page.locator('[data-role=timeline]').press('End');
    expect(await pixels(page)).toEqual(shown);
    await expect(page.getByLabel('Solver')).toHaveValue('dpm');
    await page.getByRole('button', { name: 'Generate again' }).click();
    await waitForPhase(page, 'done');
    expect(largestDifference(shown, await pixels(page))).toBeLessThanOrEqual(1);
  });
});

test('an explanation of a token is of the steps and the solver it was drawn with', async ({ page }) => {
  await visit(page, `${QUICK}&lateSteps=3&solver=ddim&play=0&mode=token`);
  await expect(page.locator('[data-role=head-step]')).toBeVisible();
  await expect(page.locator('[data-role=section-head]')).toContainText('Step 3 of 3');
  await slide(page, 'inside', 0);
  await expect(page.locator('[data-role=section-head]')).toContainText('This solver adds no fresh noise.');
  await slide(page, 'timeline', 5);
  await expect(page.locator('[data-role=section-head]')).toContainText(/Step [1-5] of 5/);
});

test('says what was measured, where that is listed', async ({ page }) => {
  const row = {
    solver: 'ddpm',
    steps: 50,
    lateSteps: null,
    cfgEvery: 1,
    asked: 0.87,
    frechet: 22,
    images: 300,
    seconds: 60,
  };
  const rows = [row, { ...row, solver: 'dpm', steps: 10, asked: 0.88, frechet: 21.4, seconds: 30 }];
  // Weights that the page has not been built with: what lies beside them has to be asked for.
  await page.route('**/weights/other/*', (route) => {
    const url = route.request().url();
    return url.endsWith('/sampling.json')
      ? route.fulfill({ status: 200, body: JSON.stringify(rows) })
      : route.continue({ url: url.replace('/other/', '/fashion/') });
  });
  await visit(page, 'model=other&solver=dpm&steps=10&device=cpu&play=0');
  const measured = page.locator('[data-role=measured]');
  await expect(measured).toHaveText(
    'Measured over 300 pictures: 88% of the right class, Fréchet distance 21, 2.0 times as fast.',
  );
  await page.getByRole('slider', { name: 'Diffusion steps', exact: true }).fill('11');
  await expect(measured).toHaveCount(0);
});
