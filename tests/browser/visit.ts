// What the browser tests do again and again: visiting the page, waiting for a phase, reading the picture.

import { AxeBuilder } from '@axe-core/playwright';
import { test as base, expect, type Page } from '@playwright/test';

/** A small picture of the Fashion model that is quick to make: the same one in every test that does not care. */
export const QUICK = 'model=fashion&label=3&seed=7&cfg=2&iterations=4&steps=5&temperature=1&order=random&device=cpu';

/** `file` is set to each test file's name: another value makes Playwright start a browser of its own for the file. */
export const test = base.extend<object, { file: string }>({
  file: ['', { scope: 'worker', option: true }],
});
export { expect };

export type Phase = 'loading' | 'ready' | 'running' | 'done' | 'error';

export async function waitForPhase(page: Page, phase: Phase, timeout = 90_000): Promise<void> {
  await expect(page.locator('html')).toHaveAttribute('data-phase', phase, {
    timeout,
  });
}

/** Visits the page with this query and waits until it is done; with the Fashion model, unless the query names another. */
export async function visit(page: Page, query: string, timeout?: number): Promise<void> {
  await page.goto(`./?${/(^|&)model=/.test(query) ? query : `model=fashion&${query}`}`);
  await waitForPhase(page, 'done', timeout);
}

/** The grey of every pixel of the picture, row by row. Fails where a pixel is not an opaque grey. */
export async function pixels(page: Page): Promise<number[]> {
  const rgba = await page.locator('canvas[data-role=image]').evaluate((canvas: HTMLCanvasElement) => {
    const context = canvas.getContext('2d');
    return Array.from(context?.getImageData(0, 0, canvas.width, canvas.height).data ?? []);
  });
  expect(rgba).toHaveLength(28 * 28 * 4);
  const greys = rgba.filter((_, i) => i % 4 === 0);
  expect(rgba).toEqual(greys.flatMap((grey) => [grey, grey, grey, 255]));
  return greys;
}

/** Moves a slider of the timeline. */
export async function slide(page: Page, role: 'timeline' | 'inside', value: number): Promise<void> {
  await page.locator(`[data-role=${role}]`).fill(String(value));
}

export const narration = (page: Page) => page.locator('[data-role=narration]');
export const cell = (page: Page, position: number) => page.locator(`[data-position="${position}"]`);

/** How many cells are in each state. */
export async function cellStates(page: Page): Promise<Record<string, number>> {
  const states = await page
    .locator('[data-position]')
    .evaluateAll((cells) => cells.map((c) => (c as HTMLElement).dataset['state']));
  const counts: Record<string, number> = {};
  for (const state of states) counts[state ?? ''] = (counts[state ?? ''] ?? 0) + 1;
  return counts;
}

/** Axe finds nothing in these parts of the page, none meaning all of it, be the scheme light or dark. */
export async function expectAccessible(page: Page, ...parts: string[]): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme });
    // Colours that are on their way to the other scheme are of neither.
    await page.evaluate(() =>
      Promise.allSettled(
        document
          .getAnimations()
          .filter((animation) => animation instanceof CSSTransition)
          .map(({ finished }) => finished),
      ),
    );
    const { violations } = await parts.reduce((axe, part) => axe.include(part), new AxeBuilder({ page })).analyze();
    const found = violations.map(
      (v) => `${v.id}: ${v.nodes.map((n) => `${n.target.join(' ')} (${n.failureSummary})`).join('; ')}`,
    );
    expect(found, colorScheme).toEqual([]);
  }
}

/** Nothing is wider than the window. */
export async function expectNothingSticksOut(page: Page): Promise<void> {
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }));
  expect(scroll).toBeLessThanOrEqual(client);
}
