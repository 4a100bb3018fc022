// One token from all sides: its steps, its way, what head and transformer say of it, and what else it could have been.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import type { Locator, Page } from '@playwright/test';
import { QUICK, cell, expect, expectAccessible, expectNothingSticksOut, slide, test, visit } from './visit';

test.use({ file: 'token' });

const ROOT = join(__dirname, '../..');
/** QUICK's picture: 4 iterations of 5 diffusion steps, and the moments of one: the read, the noise, 5 steps. */
const STEPS = 5;
const MOMENTS = 7;
const TOKEN = 24;

const panel = (page: Page): Locator => page.locator('[data-role=inspector]');
const section = (page: Page, name: string): Locator => page.locator(`[data-role=section-${name}]`);

/** Opens Token mode on a token, as a visitor does. */
async function look(page: Page, query = QUICK): Promise<void> {
  await visit(page, `${query}&play=0`);
  await page.getByRole('tab', { name: 'Token' }).click();
  await cell(page, TOKEN).click();
  await expect(panel(page)).toContainText('Token at row 4, column 4');
}

/** Opens a section; again if what arrived above it moved it away from under the pointer. */
async function unfold(page: Page, name: string): Promise<Locator> {
  const details = section(page, name);
  await expect(async () => {
    if ((await details.getAttribute('open')) === null) await details.locator('summary').click();
    await expect(details).toHaveAttribute('open', '', { timeout: 1_000 });
  }).toPass();
  return details;
}

/** The iteration of the token, from 0, as the panel says it. */
async function iterationOf(page: Page): Promise<number> {
  const text = await panel(page).innerText();
  return Number(/sampled in iteration (\d+)/.exec(text)?.[1]) - 1;
}

/** The grey of every pixel of a patch. */
async function greys(patch: Locator): Promise<number[]> {
  return patch.locator('canvas').evaluate((canvas: HTMLCanvasElement) => {
    const data = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    return Array.from(data).filter((_, i) => i % 4 === 0);
  });
}

async function json<T>(at: Locator, attribute: string): Promise<T> {
  return JSON.parse((await at.getAttribute(attribute)) ?? 'null') as T;
}

/** What is painted over the picture's grid, by position. */
async function heat(page: Page): Promise<Map<number, number>> {
  const cells = await page
    .locator('[data-position][data-heat]')
    .evaluateAll((all) => all.map((c) => [(c as HTMLElement).dataset['position'], (c as HTMLElement).dataset['heat']]));
  return new Map(cells.map(([position, value]) => [Number(position), Number(value)]));
}

test('weights without a map of real tokens say so', async ({ page }) => {
  await page.route('**/patches.json', (route) => route.fulfill({ status: 404 }));
  await look(page);
  await expect(section(page, 'path')).toContainText('These weights come without a map of real tokens');
});

test('how a token came to be', async ({ page }) => {
  await look(page);
  await test.step('what the head says last is the token', async () => {
    const head = section(page, 'head');
    await expect(head.locator('[data-role=head-step]')).toHaveAttribute('data-step', String(STEPS - 1));
    const token = await greys(section(page, 'noise').locator('[data-role=token]'));
    const clean = await greys(head.locator('[data-role=clean]'));
    expect(clean).toHaveLength(token.length);
    expect(Math.max(...clean.map((grey, i) => Math.abs(grey - token[i]!)))).toBeLessThanOrEqual(1);
    const strip = head.getByRole('button', { name: /Predicted clean token at step \d of 5/ });
    await expect(strip).toHaveCount(STEPS);
    await strip.first().click();
    await expect(head.locator('[data-role=head-step]')).toHaveAttribute('data-step', '0');
    expect(await greys(head.locator('[data-role=noise]'))).not.toEqual(await greys(head.locator('[data-role=clean]')));
  });

  await test.step('its path has a point for every frame and ends where it is at the end', async () => {
    await slide(page, 'timeline', 4 * MOMENTS - 1);
    const points = section(page, 'path').locator('[data-role=path] circle');
    await expect(points).toHaveCount(STEPS + 1);
    const now = section(page, 'path').locator('[data-role=now]');
    expect(await now.getAttribute('cx')).toBe(await points.last().getAttribute('cx'));
    await section(page, 'noise').getByRole('button', { name: 'Diffusion step 0' }).click();
    await expect(now).toHaveAttribute('cx', (await points.first().getAttribute('cx')) ?? '');
    expect(await points.first().getAttribute('cx')).not.toBe(await points.last().getAttribute('cx'));
    // The way of the predicted clean tokens beside it: a move and a line for each further step.
    const predicted = section(page, 'path').locator('[data-role=predicted]');
    await expect(predicted).toHaveAttribute('d', /^M[^ML]+(L[^ML]+){4}$/);
  });

  await test.step('a token goes from noise to pixels, and its strip leads to every step', async () => {
    await slide(page, 'timeline', 4 * MOMENTS - 1);
    await expect(panel(page)).toContainText(/Number \d+ in the order, sampled in iteration [1-4]\. Finished\./);
    const strip = section(page, 'noise').getByRole('button', {
      name: /Diffusion step \d of 5: timestep \d+, alpha-bar \d\.\d+/,
    });
    await expect(strip).toHaveCount(STEPS + 1);
    await expect(strip.last()).toHaveAttribute('aria-current', 'true');
    const end = await greys(section(page, 'noise').locator('[data-role=token]'));
    await strip.first().click();
    await expect(panel(page)).toContainText('Being denoised now.');
    await expect(cell(page, TOKEN)).toHaveAttribute('data-state', 'active');
    await expect(section(page, 'noise')).toContainText(`0 of ${STEPS}`);
    expect(await greys(section(page, 'noise').locator('[data-role=token]'))).not.toEqual(end);

    // Let go of, the panel follows what is made; held again, it stays.
    await panel(page).getByRole('button', { name: 'follow the newest' }).click();
    await slide(page, 'timeline', 0);
    const first = await panel(page).locator('h2').innerText();
    await panel(page).getByRole('button', { name: 'stay with this one' }).click();
    await slide(page, 'timeline', 3 * MOMENTS);
    await expect(panel(page).locator('h2')).toHaveText(first);
  });
});

test('what the transformer says of a token', async ({ page }) => {
  await look(page);
  await test.step('its attention is shared out completely, in every head', async () => {
    const attention = await unfold(page, 'attention');
    const sum = async (): Promise<number> => {
      const shares = await attention
        .locator('[data-share]')
        .evaluateAll((all) => all.map((share) => Number((share as HTMLElement).dataset['share'])));
      expect(shares).toHaveLength(3);
      return shares.reduce((a, b) => a + b, 0);
    };
    const heads = attention.getByRole('button', { name: /^Block \d, head \d/ });
    await expect(heads).toHaveCount(16);
    expect(await sum()).toBeCloseTo(1, 4);
    await heads.nth(6).click();
    await expect(heads.nth(6)).toHaveAttribute('aria-pressed', 'true');
    await expect(attention).toContainText('In block 2, head 3');
    expect(await sum()).toBeCloseTo(1, 4);

    // Before the last iteration it may be known: then the encoder sees it, and looks at nothing that is masked.
    const known = (await iterationOf(page)) < 3;
    await slide(page, 'timeline', (known ? 3 : 0) * MOMENTS);
    const encoder = attention.getByRole('radio', { name: 'encoder' });
    if (known) {
      await encoder.check();
      await expect(attention.locator('[data-to=masked]')).toHaveAttribute('data-share', '0.000000');
      expect(await sum()).toBeCloseTo(1, 4);
    } else {
      await expect(encoder).toBeDisabled();
    }
    await attention.getByRole('button', { name: 'Show on the picture' }).click();
    await expect(page.locator('[data-heat="1.0000"]').first()).toBeVisible();
  });

  await test.step('its z is most like itself, and the likeness can be laid over the picture', async () => {
    await section(page, 'attention').getByRole('button', { name: 'Take it off the picture' }).click();
    await slide(page, 'timeline', 4 * MOMENTS - 1);
    const similar = await unfold(page, 'similar');
    const values = await json<number[]>(similar.locator('[data-role=similarity]'), 'data-values');
    expect(values).toHaveLength(49);
    expect(values[TOKEN]).toBe(1);
    expect(values.filter((value) => value < -1 || value >= 1)).toEqual([1]);
    const others = values.map((value, position) => ({ value, position })).filter(({ position }) => position !== TOKEN);
    const best = others.reduce((a, b) => (b.value > a.value ? b : a)).position;
    await expect(similar.locator('ol li').first()).toContainText(
      `row ${Math.floor(best / 7) + 1}, column ${(best % 7) + 1}`,
    );

    expect(await heat(page)).toEqual(new Map());
    await similar.getByRole('button', { name: 'Show on the picture' }).click();
    await expect(cell(page, TOKEN)).toHaveAttribute('data-heat', '1.0000');
    expect((await heat(page)).size).toBe(49);
    await page.getByRole('tab', { name: 'Watch' }).click();
    expect(await heat(page)).toEqual(new Map());
  });
});

test('64 draws from its z have the mean and the deviation of the command line', async ({ page }) => {
  await look(page);
  const draws = await unfold(page, 'draws');
  await draws.getByRole('button', { name: /Draw 64/ }).click();
  const drawn = draws.locator('[data-role=draws]');
  await expect(drawn).toHaveAttribute('data-count', '64');
  const [mean, deviation] = [await json<number[]>(drawn, 'data-mean'), await json<number[]>(drawn, 'data-deviation')];

  // The first draw is the token that was taken.
  const token = await greys(section(page, 'noise').locator('[data-role=token]'));
  const sheet = await drawn
    .locator('.sheet canvas')
    .evaluate((canvas: HTMLCanvasElement) =>
      Array.from(canvas.getContext('2d')?.getImageData(0, 0, 4, 4).data ?? []).filter((_, i) => i % 4 === 0),
    );
  expect(Math.max(...sheet.map((grey, i) => Math.abs(grey - token[i]!)))).toBeLessThanOrEqual(1);

  const settings = new URLSearchParams(QUICK);
  settings.delete('device');
  settings.delete('model');
  const program = process.env['MARSCOPE_BIN'] ?? join(ROOT, 'target/release/marscope');
  const run = spawnSync(
    program,
    [
      'resample',
      ...['--model', join(ROOT, 'weights/fashion')],
      ...['--iteration', String(await iterationOf(page)), '--token', String(TOKEN), '--count', '64'],
      ...[...settings].flatMap(([name, value]) => [`--${name}`, value]),
    ],
    { encoding: 'utf8' },
  );
  expect(run.status, run.error?.message ?? run.stderr).toBe(0);
  const expected = JSON.parse(run.stdout) as { mean: number[]; deviation: number[] };
  const apart = (a: number[], b: number[]): number => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
  expect(mean).toHaveLength(16);
  expect(expected.mean).toHaveLength(16);
  expect(apart(mean, expected.mean)).toBeLessThan(1e-3);
  expect(apart(deviation, expected.deviation)).toBeLessThan(1e-3);
  expect(Math.max(...deviation)).toBeGreaterThan(0.01);
});

test('the spread is found for what is masked, and follows the timeline', async ({ page }) => {
  await look(page);
  await slide(page, 'timeline', MOMENTS);
  const spread = await unfold(page, 'spread');
  await spread.getByRole('button', { name: 'Where is it still open?' }).click();
  const map = spread.locator('[data-role=spread]');
  await expect(map).toHaveAttribute('data-iteration', '1');
  const found = await json<(number | null)[]>(map, 'data-values');
  const masked = await page
    .locator('[data-state=masked], [data-state=chosen]')
    .evaluateAll((cells) => cells.map((c) => Number((c as HTMLElement).dataset['position'])));
  expect(found.flatMap((value, position) => (value === null ? [] : [position]))).toEqual(masked.sort((a, b) => a - b));
  expect(found.filter((value) => value !== null && value > 0)).toHaveLength(masked.length);
  expect((await heat(page)).size).toBe(masked.length);

  await spread.getByRole('button', { name: 'Through all iterations' }).click();
  await expect(spread.locator('svg circle')).toHaveCount(4);
  await expect(spread.getByRole('progressbar')).toHaveCount(0);
  await slide(page, 'timeline', 3 * MOMENTS);
  await expect(map).toHaveAttribute('data-iteration', '3');
  expect((await heat(page)).size).toBeLessThan(masked.length);
});

test('a long question ends when asked to, and can be asked again', async ({ page }) => {
  await look(page, QUICK.replace('iterations=4', 'iterations=20'));
  const spread = await unfold(page, 'spread');
  await spread.getByRole('button', { name: 'Through all iterations' }).click();
  await expect(spread.getByRole('progressbar')).toBeVisible();
  await spread.getByRole('button', { name: 'Stop' }).click();
  await expect(spread).toContainText('Stopped before there was an answer.');
  expect(await spread.locator('svg circle').count()).toBeLessThan(20);
  await spread.getByRole('button', { name: 'Ask again' }).click();
  await expect(spread.getByRole('progressbar')).toBeVisible();
});

async function unfoldAll(page: Page): Promise<void> {
  for (const name of ['similar', 'attention', 'draws', 'spread']) await unfold(page, name);
  await section(page, 'draws')
    .getByRole('button', { name: /Draw 64/ })
    .click();
  await expect(section(page, 'draws').locator('[data-role=draws]')).toBeVisible();
  await section(page, 'spread').getByRole('button', { name: 'Where is it still open?' }).click();
  await expect(section(page, 'spread').locator('[data-role=spread]')).toBeVisible();
  await expect(section(page, 'attention').locator('[data-role=shares]')).toBeVisible();
}

test('axe finds nothing with everything open, and nothing sticks out at 360 px', async ({ page }) => {
  await look(page);
  await unfoldAll(page);
  await expectAccessible(page, '[data-role=inspector]');
  await page.setViewportSize({ width: 360, height: 740 });
  await expectNothingSticksOut(page);
});
