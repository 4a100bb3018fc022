// Reading along: the tour, its questions answered as a visitor would, the article with its formulas, the glossary.

import type { Page } from '@playwright/test';
import { QUICK, expect, expectAccessible, slide, test, visit } from './visit';

test.use({ file: 'tour' });

/** Moments of an iteration at 5 diffusion steps: the read, the noise, 5 steps. */
const MOMENTS = 7;
const CHAPTERS = 10;

const card = (page: Page) => page.locator('[data-role=tour]');
const question = (page: Page) => card(page).locator('[data-role=question]');
const insight = (page: Page) => card(page).locator('[data-role=insight]');

async function start(page: Page): Promise<void> {
  await page.getByRole('button', { name: 'Take the tour' }).click();
  await expect(card(page)).toHaveAttribute('data-chapter', '0');
}

/** Goes to the next chapter and waits until the page has followed. */
async function next(page: Page): Promise<void> {
  const number = Number(await card(page).getAttribute('data-chapter'));
  await card(page).getByRole('button', { name: 'Next', exact: true }).click();
  await expect(card(page)).toHaveAttribute('data-chapter', String(number + 1));
  await expect(page.locator('[data-toured]')).toHaveCount(1);
}

test('the tour asks, sees what is done, and says what there is to learn', async ({ page }) => {
  const errors: string[] = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await visit(page, `${QUICK}&play=0`);
  await expect(card(page)).toHaveCount(0);
  await start(page);
  await expect(card(page).getByRole('heading')).toBeFocused();

  const steps: { title: string; act: () => Promise<void>; learns: RegExp }[] = [
    {
      title: 'A picture without a codebook',
      act: () => slide(page, 'timeline', 4 * MOMENTS - 1),
      learns: /Nothing was looked up/,
    },
    {
      title: 'Tokens and masks',
      // 49 tokens in 4 iterations: 4, 11, 16 and 18 of them.
      act: async () => {
        await slide(page, 'timeline', 2 * MOMENTS);
        await expect(question(page)).toHaveAttribute('data-answered', 'false');
        await slide(page, 'timeline', 3 * MOMENTS);
      },
      learns: /Up to 18 at once.*dares only 4/,
    },
    {
      title: 'The encoder reads what is known',
      act: () => page.locator('[data-stage=encoder]').click(),
      learns: /8 buffer positions and 15 known tokens: 23 in all/,
    },
    {
      title: 'A z for every place',
      act: async () => {
        await page.locator('[data-position][data-state=known], [data-position][data-state=newest]').first().click();
        await expect(question(page)).toHaveAttribute('data-answered', 'false');
        await page.locator('[data-position][data-state=masked]').last().click();
      },
      learns: /yet it has a z/,
    },
    { title: 'From noise to a token', act: () => slide(page, 'inside', 0), learns: /alpha-bar is almost 0/ },
    {
      title: 'What else it could have been',
      act: async () => {
        await page.locator('[data-role=section-draws] summary').click();
        await page.getByRole('button', { name: 'Draw 64 more' }).click();
      },
      learns: /64 different noises/,
    },
    { title: 'How hard the class pulls', act: () => page.locator('#cfg').fill('1'), learns: /only amplifies it/ },
    { title: 'How much chance', act: () => page.locator('#temperature').fill('0.5'), learns: /smooth/ },
    { title: 'Many tokens at once', act: () => page.locator('#iterations').fill('2'), learns: /Up to 34 tokens/ },
    {
      title: 'Your turn',
      act: () => page.getByRole('button', { name: 'Decode the rest' }).click(),
      learns: /not changed by a single number/,
    },
  ];
  expect(steps).toHaveLength(CHAPTERS);
  for (const [number, { title, act, learns }] of steps.entries()) {
    await expect(card(page).getByRole('heading')).toHaveText(title);
    await expect(question(page)).toHaveAttribute('data-answered', 'false');
    await expect(insight(page)).toHaveCount(0);
    await act();
    await expect(insight(page)).toHaveText(learns);
    await expect(question(page)).toHaveAttribute('data-answered', 'true');
    await expect(card(page).locator('.dots .learnt')).toHaveCount(number + 1);
    if (number + 1 < CHAPTERS) await next(page);
    // What a chapter had changed is as before in the next one.
    if (title === 'How hard the class pulls') await expect(page.locator('#cfg')).toHaveValue('2');
    if (title === 'How much chance') await expect(page.locator('#temperature')).toHaveValue('1');
    if (title === 'Many tokens at once') await expect(page.locator('#iterations')).toHaveValue('4');
  }

  await card(page).getByRole('button', { name: 'Finish' }).click();
  await expect(card(page)).toHaveCount(0);
  await expect(page.locator('[data-toured]')).toHaveCount(0);
  const again = page.getByRole('button', { name: 'The tour' });
  await expect(again).toBeFocused();

  // It is taken up where it was left; Escape in it leaves it, a chapter can be chosen.
  await again.press('Enter');
  await expect(card(page)).toHaveAttribute('data-chapter', '9');
  await card(page).getByRole('combobox', { name: 'Chapter' }).selectOption('3. The encoder reads what is known');
  await expect(card(page).getByRole('heading')).toHaveText('The encoder reads what is known');
  await page.keyboard.press('Escape');
  await expect(card(page)).toHaveCount(0);
  expect(errors).toEqual([]);
});

for (const [width, height] of [
  [1440, 900],
  [360, 740],
] as const) {
  test(`the card hides nothing that it points at, at ${width} px`, async ({ page }) => {
    await page.emulateMedia({ reducedMotion: 'reduce' });
    await page.setViewportSize({ width, height });
    await visit(page, `${QUICK}&play=0`);
    await start(page);
    // A slow machine: panels arrive after the card has pointed at its target.
    const cdp = await page.context().newCDPSession(page);
    await cdp.send('Emulation.setCPUThrottlingRate', { rate: 4 });
    for (let number = 0; number < CHAPTERS; number++) {
      if (number > 0) await next(page);
      await expect
        .poll(
          () =>
            page.evaluate(() => {
              const own = document.querySelector('[data-role=tour]')!.getBoundingClientRect();
              const at = document.querySelector('[data-toured]')!.getBoundingClientRect();
              const across = Math.min(own.right, at.right) - Math.max(own.left, at.left);
              const down = Math.min(own.bottom, at.bottom) - Math.max(own.top, at.top);
              // The picture with its legend may be taller than what a phone has left.
              const seen = Math.min(at.bottom, innerHeight) - Math.max(at.top, 0);
              const inside = own.left >= 0 && own.top >= 0 && own.right <= innerWidth && own.bottom <= innerHeight;
              const hidden = Math.max(0, across) * Math.max(0, down);
              return {
                inside,
                hidden: hidden / (at.width * at.height) > 0.02,
                seen: seen > 0.9 * Math.min(at.height, innerHeight / 2),
              };
            }),
          { message: `chapter ${number + 1}` },
        )
        .toEqual({ inside: true, hidden: false, seen: true });
    }
    const sticksOut = await page.evaluate(
      () => document.documentElement.scrollWidth > document.documentElement.clientWidth,
    );
    expect(sticksOut).toBe(false);
  });
}

test('a word of the glossary explains itself by hover, focus and tap', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  const word = page.locator('[data-role=article] [data-term=codebook]');
  const tip = page.getByRole('tooltip');
  await word.hover();
  await expect(tip).toContainText('rounds every piece to the nearest entry');
  // The pointer may go onto the tip.
  await tip.hover();
  await expect(tip).toBeVisible();
  await page.mouse.move(2, 2);
  await expect(tip).toHaveCount(0);

  await word.focus();
  await expect(tip).toBeVisible();
  await expect(word).toHaveAccessibleDescription(/A fixed list of possible tokens/);
  await page.keyboard.press('Escape');
  await expect(tip).toHaveCount(0);
  await page.keyboard.press('Enter');
  await expect(tip).toBeVisible();
  await page.keyboard.press('Tab');
  await expect(word).not.toBeFocused();
  await expect(tip).toHaveText(/[^A]/);
  await expect(tip).not.toContainText('A fixed list');
});

test.describe('on a phone', () => {
  test.use({ viewport: { width: 360, height: 740 }, hasTouch: true });

  test('the tips stay on the screen, and a tap elsewhere closes them', async ({ page }) => {
    await visit(page, `${QUICK}&play=0`);
    const tip = page.getByRole('tooltip');
    for (const word of await page.locator('[data-role=article] [data-term]').all()) {
      await word.tap();
      await expect(tip).toHaveCount(1);
      const box = (await tip.boundingBox())!;
      expect(box.x).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width).toBeLessThanOrEqual(360);
      expect(box.y).toBeGreaterThanOrEqual(0);
      expect(box.y + box.height).toBeLessThanOrEqual(740);
      expect(box.width).toBeGreaterThan(150);
    }
    await page.locator('[data-role=article] h3').last().tap();
    await expect(tip).toHaveCount(0);
  });
});

test('the article has its formulas, its figures from the picture, and every word of the glossary', async ({ page }) => {
  const errors: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' && !message.text().includes('404')) errors.push(message.text());
  });
  await visit(page, 'label=3&seed=7&cfg=3&iterations=16&steps=3&device=cpu&play=0');
  const article = page.locator('[data-role=article]');
  // Nothing of KaTeX is fetched before somebody comes near the formulas.
  const fetched = () =>
    page.evaluate(() => performance.getEntriesByType('resource').filter(({ name }) => name.includes('katex')).length);
  expect(await fetched()).toBe(0);

  const formulas = article.locator('.formula');
  await expect(formulas).toHaveCount(6);
  for (const formula of await formulas.all()) {
    const before = await formula.evaluate((element) => element.getBoundingClientRect().height);
    await formula.scrollIntoViewIfNeeded();
    await expect(formula.locator('math')).toBeAttached();
    const after = await formula.evaluate((element) => element.getBoundingClientRect().height);
    // The words that stand there first may be of another height on a narrow screen, not here.
    expect(Math.abs(after - before)).toBeLessThanOrEqual(2);
  }
  await expect(formulas.first().locator('annotation')).toContainText('\\varepsilon_\\theta(x_t \\mid t, z)');
  expect(await fetched()).toBeGreaterThan(0);

  const numbers = (figure: string) => article.locator(`[data-figure=${figure}] .number`).allTextContents();
  expect((await numbers('masks')).map(Number)).toEqual([48, 47, 46, 45, 43, 40, 37, 34, 31, 27, 23, 18, 14, 9, 4, 0]);
  // 1 + (3 - 1) * (49 - masked) / 49, to a digit.
  expect((await numbers('guidance')).map(Number)).toEqual([
    1.0, 1.1, 1.1, 1.2, 1.2, 1.4, 1.5, 1.6, 1.7, 1.9, 2.1, 2.3, 2.4, 2.6, 2.8, 3.0,
  ]);

  // More entries, less rounding.
  const rounded = article.locator('[data-figure=codebook]');
  const off: number[] = [];
  for (const entries of ['4', '8', '16', '32']) {
    await rounded.getByRole('radio', { name: entries, exact: true }).check();
    await expect(rounded).toContainText(`${entries} entries, off by`);
    off.push(Number(/off by (\d+)/.exec((await rounded.textContent()) ?? '')?.[1]));
  }
  expect(off).toEqual([...off].sort((a, b) => b - a));
  expect(off[0]).toBeGreaterThan(off[3]!);

  await article.locator('[data-role=noising]').fill('999');
  await expect(article).toContainText('t = 999, ᾱ = 0.0000');

  await article.locator('summary').click();
  const words = await article.locator('dt').allTextContents();
  expect(words.length).toBeGreaterThanOrEqual(18);
  const marked = await article
    .locator('[data-term]')
    .evaluateAll((terms) => terms.map((term) => (term as HTMLElement).dataset['term']));
  expect(new Set(marked).size).toBe(words.length);
  expect(errors).toEqual([]);
});

test('axe finds nothing in the article, the tour and a tip', async ({ page }) => {
  await page.emulateMedia({ reducedMotion: 'reduce' });
  await visit(page, `${QUICK}&play=0`);
  for (const formula of await page.locator('.formula').all()) {
    await formula.scrollIntoViewIfNeeded();
    await expect(formula.locator('math')).toBeAttached();
  }
  await page.locator('[data-role=article] summary').click();
  await page.locator('[data-role=article] [data-term=ema]').focus();
  await expect(page.getByRole('tooltip')).toBeVisible();
  await expectAccessible(page, '[data-role=article]');

  await start(page);
  await expectAccessible(page, '[data-role=tour]');
  await next(page);
  await slide(page, 'timeline', 3 * MOMENTS);
  await expect(insight(page)).toBeVisible();
  await card(page).locator('[data-term=mask]').focus();
  await expect(page.getByRole('tooltip')).toBeVisible();
  await expectAccessible(page, '[data-role=tour]');
});
