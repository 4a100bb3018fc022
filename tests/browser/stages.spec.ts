// The five stages of an iteration: each opens, says what is true of the moment, and closes; one timeline drives them all.
// With 49 tokens in 4 iterations, floor(49 cos(pi/2 k/4)) leaves 45, 34, 18 and 0 masked.

import type { Page } from '@playwright/test';
import { QUICK, cell, expect, expectAccessible, expectNothingSticksOut, narration, slide, test, visit } from './visit';

test.use({ file: 'stages' });

/** Moments of an iteration at 5 diffusion steps: the read, the noise, 5 steps. */
const MOMENTS = 7;
const STAGES = ['known', 'encoder', 'z', 'diffusion', 'picture'] as const;

const card = (page: Page, stage: string) => page.locator(`[data-stage=${stage}]`);
const detail = (page: Page, stage: string) => page.locator(`[data-detail=${stage}]`);

/** Diffusion step 2 of the third iteration: 15 tokens known, 16 in work. */
const MIDST = 2 * MOMENTS + 1 + 2;

async function stand(page: Page): Promise<void> {
  await visit(page, `${QUICK}&play=0`);
  await slide(page, 'timeline', MIDST);
}

async function openAll(page: Page): Promise<void> {
  for (const stage of STAGES) await card(page, stage).click();
  await expect(detail(page, 'encoder').locator('[data-role=attention-matrix]')).toBeVisible();
  await expect(detail(page, 'z').locator('[data-role=likeness]')).toBeVisible();
}

/** What a stage's canvas shows. */
const drawn = (page: Page, stage: string): Promise<string> =>
  card(page, stage)
    .locator('canvas')
    .evaluate((canvas: HTMLCanvasElement) => canvas.toDataURL());

test('every stage says what is true of the moment', async ({ page }) => {
  test.setTimeout(120_000);
  await stand(page);
  await test.step('every stage opens and closes, and several may be open', async () => {
    for (const stage of STAGES) {
      await expect(card(page, stage)).toHaveAttribute('aria-expanded', 'false');
      await card(page, stage).click();
      await expect(card(page, stage)).toHaveAttribute('aria-expanded', 'true');
      await expect(detail(page, stage)).toBeVisible();
    }
    await expect(page.locator('[data-detail]')).toHaveCount(5);
    for (const [i, stage] of STAGES.entries()) {
      if (i % 2 === 0) {
        await detail(page, stage)
          .getByRole('button', { name: /^Close/ })
          .click();
        await expect(card(page, stage)).toBeFocused();
      } else {
        await card(page, stage).press('Enter');
      }
      await expect(detail(page, stage)).toHaveCount(0);
    }
  });

  await test.step('the known tokens: how many, which come next, and the cosine', async () => {
    await expect(card(page, 'known')).toContainText('15 of 49 tokens');
    await card(page, 'known').click();
    const words = detail(page, 'known').locator('[data-role=known-words]');
    await expect(words).toContainText('15 tokens known, 34 hidden');
    await expect(words).toContainText('numbers 16 to 31 in the order');
    await expect(
      detail(page, 'known').getByRole('img', { name: 'Masked tokens before each iteration: 49, 45, 34, 18' }),
    ).toBeVisible();
  });

  await test.step('the encoder: its sequence, and its attention', async () => {
    await slide(page, 'timeline', MIDST);
    await expect(card(page, 'encoder')).toContainText('class + 15 tokens');
    await card(page, 'encoder').click();
    const open = detail(page, 'encoder');
    await expect(open.locator('[data-role=sequence-words]')).toHaveText('8 + 15 = 23 positions.');
    await expect(open).toContainText('“Dress”');
    const share = open.locator('[data-role=buffer-share]');
    const value = async (): Promise<number> => Number(await share.getAttribute('data-share'));
    await expect(share).toBeVisible();
    const mean = await value();
    const heads: number[] = [];
    for (const head of ['0', '1', '2', '3']) {
      await open.getByLabel('Head').selectOption({ index: Number(head) + 1 });
      heads.push(await value());
    }
    // A head's share is a share, the heads differ, and the average is theirs.
    for (const head of heads) expect(head).toBeGreaterThan(0);
    for (const head of heads) expect(head).toBeLessThan(1);
    expect(new Set(heads).size).toBe(4);
    expect(mean).toBeCloseTo(heads.reduce((sum, head) => sum + head, 0) / 4, 5);

    // Before anything is known there is nothing but the class to look at.
    await slide(page, 'timeline', 0);
    await expect(open.locator('[data-role=sequence-words]')).toHaveText('8 + 0 = 8 positions.');
    await expect.poll(value).toBeCloseTo(1, 5);
  });

  await test.step('z: strips, likeness, and where the tokens look', async () => {
    await slide(page, 'timeline', MIDST);
    await expect(card(page, 'z')).toContainText('49 z, 16 used now');
    await card(page, 'z').click();
    const open = detail(page, 'z');
    await expect(open.locator('[data-role=z-strip]')).toHaveCount(8);
    await expect(open).toContainText('8 more are not drawn');
    await expect(open).toContainText('128 numbers');
    await expect(open.locator('[data-role=likeness-words]')).toContainText(
      /Most alike: row \d.* and row \d.*, [01]\.\d{3}\./,
    );
    const shares = JSON.parse(
      (await open.locator('[data-role=gaze-words]').getAttribute('data-shares')) ?? '[]',
    ) as number[];
    expect(shares).toHaveLength(3);
    expect(shares.reduce((sum, part) => sum + part, 0)).toBeCloseTo(1, 4);

    // In the first iteration nothing is known that could be looked at.
    await slide(page, 'timeline', 0);
    await expect(open.locator('[data-role=gaze-words]')).toContainText('0% to known tokens');
    await expect(open.locator('[data-role=z-strip]')).toHaveCount(4);
  });

  await test.step('the diffusion: a film that leads to its moments', async () => {
    await slide(page, 'timeline', MIDST);
    await expect(card(page, 'diffusion')).toContainText('step 2 of 5');
    await card(page, 'diffusion').click();
    const open = detail(page, 'diffusion');
    const film = open.locator('[data-role=film]');
    await expect(film).toHaveAttribute('data-tokens', '8');
    await expect(film).toHaveAttribute('data-frames', '6');
    await expect(open.locator('[data-role=film-now]')).toHaveAttribute('data-frame', '2');
    const timestep = await page
      .locator('dl', { hasText: 'timestep t' })
      .locator('div', { hasText: 'timestep' })
      .locator('dd')
      .innerText();
    await expect(open.locator('[data-role=noise-words]')).toContainText(`Now step 2 of 5: t = ${timestep}`);

    const box = (await film.boundingBox())!;
    await film.click({ position: { x: (box.width * 4.5) / 6, y: box.height / 16 } });
    await expect(narration(page)).toContainText('Diffusion step 4 of 5');
    await expect(open.locator('[data-role=film-now]')).toHaveAttribute('data-frame', '4');
    await expect(page.locator('[data-position][aria-selected=true][data-state=active]')).toHaveCount(1);
  });

  await test.step('the picture: before, after, and what was added', async () => {
    await slide(page, 'timeline', MIDST);
    await expect(card(page, 'picture')).toContainText('16 tokens to come');
    await card(page, 'picture').click();
    const open = detail(page, 'picture');
    await expect(open.locator('[data-role=picture-words]')).toContainText('15 + 16 = 31 of 49 tokens');
    await expect(open.getByRole('img', { name: '15 tokens known before, 16 new, 18 still masked' })).toBeVisible();
    await expect(open.locator('[data-role=picture-words]')).toContainText('still to come');
    await slide(page, 'inside', 5);
    await expect(card(page, 'picture')).toContainText('31 of 49 tokens');
    await expect(open.locator('[data-role=picture-words]')).toContainText('in place');
  });
});

test('one timeline drives every stage, and a chosen token is chosen everywhere', async ({ page }) => {
  await stand(page);
  await test.step('one timeline drives every stage', async () => {
    const lit = () =>
      page
        .locator('li[aria-current=step] [data-stage]')
        .evaluateAll((cards) => cards.map((c) => (c as HTMLElement).dataset['stage']));
    expect(await lit()).toEqual(['diffusion']);
    const head = await drawn(page, 'diffusion');
    const known = await drawn(page, 'known');

    await page.locator('body').press('ArrowRight');
    await expect(card(page, 'diffusion')).toContainText('step 3 of 5');
    expect(await drawn(page, 'diffusion')).not.toBe(head);
    expect(await drawn(page, 'known')).toBe(known);

    await slide(page, 'inside', -1);
    expect(await lit()).toEqual(['encoder', 'z']);
    await expect(card(page, 'diffusion')).toContainText('waits for z');
    await slide(page, 'inside', 5);
    expect(await lit()).toEqual(['picture']);

    await slide(page, 'timeline', 3 * MOMENTS + 3);
    await expect(card(page, 'known')).toContainText('31 of 49 tokens');
    await expect(card(page, 'encoder')).toContainText('class + 31 tokens');
    await expect(card(page, 'z')).toContainText('49 z, 18 used now');
    expect(await drawn(page, 'known')).not.toBe(known);
  });

  await test.step('a token chosen in a stage is chosen everywhere', async () => {
    await page
      .getByRole('tabpanel')
      .getByRole('button', { name: /^Choose the token at/ })
      .first()
      .click();
    const chosen = page.locator('[data-position][aria-selected=true]');
    await expect(chosen).toHaveCount(1);
    const position = Number(await chosen.getAttribute('data-position'));
    await expect(page.getByRole('tabpanel')).toContainText(
      `Row ${Math.floor(position / 7) + 1}, column ${(position % 7) + 1} is chosen`,
    );
    await page.getByRole('tabpanel').getByRole('button', { name: 'Open in Token mode' }).click();
    await expect(page.getByRole('tabpanel')).toContainText(
      `Token at row ${Math.floor(position / 7) + 1}, column ${(position % 7) + 1}`,
    );
    await expect(cell(page, position)).toHaveAttribute('aria-selected', 'true');
  });
});

test('axe finds nothing in any stage, and open stages stay inside any window', async ({ page }) => {
  await stand(page);
  await openAll(page);
  for (const frame of [-1, 2, 5]) {
    await slide(page, 'inside', frame);
    await expectAccessible(page, '[role=tabpanel]');
  }
  for (const width of [360, 1920]) {
    await page.setViewportSize({ width, height: 800 });
    await expectNothingSticksOut(page);
  }
});
