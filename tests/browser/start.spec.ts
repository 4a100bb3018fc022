// The page moves before its engine is there: a recorded decoding plays, and the engine's own takes over unnoticed.

import type { Page } from '@playwright/test';
import { readFileSync } from 'node:fs';
import { expect, pixels, test, waitForPhase } from './visit';

test.use({ file: 'start', serviceWorkers: 'block' });

interface Trace {
  order: number[];
  settings: Record<string, unknown>;
  /** A recording's numbers are whole ones of 16 bits, to be multiplied by `step`. */
  iterations: {
    tokens: number[];
    trajectory: string | { step: number; values: string };
    ms: { backbone: number; head: number };
  }[];
}

/** Pixel bytes of every frame of an iteration's tokens. */
function bytesOf({ trajectory }: Trace['iterations'][number]): number[] {
  const exact = typeof trajectory === 'string';
  const data = Buffer.from(exact ? trajectory : trajectory.values, 'base64');
  const values = exact
    ? Array.from({ length: data.length / 4 }, (_, i) => data.readFloatLE(4 * i))
    : Array.from({ length: data.length / 2 }, (_, i) => data.readInt16LE(2 * i) * trajectory.step);
  return values.map((value) => Math.min(255, Math.max(0, Math.round((value + 1) * 127.5))));
}

/** Holds back what the engine is made of; the answer lets it through. */
async function withoutEngine(page: Page): Promise<() => void> {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  for (const files of ['**/*.wasm', '**/model.safetensors*']) {
    await page.route(files, async (route) => {
      await released;
      await route.continue();
    });
  }
  return release;
}

const timeline = (page: Page) => page.locator('[data-role=timeline]');

test('moves before the engine has arrived, and does not jump when it has', async ({ page }) => {
  test.setTimeout(120_000);
  const release = await withoutEngine(page);
  await page.goto('./?model=fashion');
  await expect(page.locator('[data-role=recorded]')).toBeVisible();
  await page.getByLabel('Speed').selectOption('4');
  const early = await pixels(page);
  await expect.poll(() => pixels(page)).not.toEqual(early);
  await expect(page.locator('html')).toHaveAttribute('data-phase', 'loading');

  // From here on every value the timeline takes is written down.
  await timeline(page).evaluate((input: HTMLInputElement) => {
    const seen: number[] = [];
    Object.assign(window, { seen });
    const look = (): void => {
      seen.push(Number(input.value));
      requestAnimationFrame(look);
    };
    look();
  });
  const recording = (await (await page.request.get('recordings/fashion.json')).json()) as Trace;
  release();
  await expect(page.locator('[data-role=recorded]')).toHaveCount(0);
  await waitForPhase(page, 'done', 60_000);
  const seen = await page.evaluate(() => (window as unknown as { seen: number[] }).seen);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  const moments = recording.iterations.length * (Number(recording.settings['steps']) + 2);
  expect(seen.at(-1)).toBe(moments - 1);

  // What is there now was computed here: it is what the recording says, in every pixel of every frame.
  const last = recording.iterations.at(-1)!;
  const shown = await pixels(page);
  const finished = bytesOf(last).slice(-16 * last.tokens.length);
  last.tokens.forEach((position, slot) => {
    for (let i = 0; i < 16; i++) {
      const at = (Math.floor(position / 7) * 4 + Math.floor(i / 4)) * 28 + (position % 7) * 4 + (i % 4);
      expect(Math.abs(shown[at]! - finished[slot * 16 + i]!)).toBeLessThanOrEqual(1);
    }
  });
  await page.locator('[data-role=share]').click();
  const download = page.waitForEvent('download');
  await page.locator('[data-role=save-trace]').click();
  const live = JSON.parse(readFileSync(await (await download).path(), 'utf8')) as Trace;
  expect(live.iterations.map(({ ms }) => ms)).not.toEqual(recording.iterations.map(({ ms }) => ms));
  expect(live.order).toEqual(recording.order);
  expect(live.iterations).toHaveLength(recording.iterations.length);
  recording.iterations.forEach((expected, i) => {
    expect(live.iterations[i]!.tokens).toEqual(expected.tokens);
    const [a, b] = [bytesOf(live.iterations[i]!), bytesOf(expected)];
    expect(a).toHaveLength(b.length);
    expect(Math.max(...a.map((value, j) => Math.abs(value - b[j]!)))).toBeLessThanOrEqual(1);
  });
});

test('another picture is not taken for the recorded one', async ({ page }) => {
  await withoutEngine(page);
  const recordings: string[] = [];
  page.on('request', (request) => {
    if (request.url().includes('/recordings/')) recordings.push(request.url());
  });
  await page.goto('./?model=fashion&label=1');
  await page.waitForLoadState();
  await expect(page.getByRole('progressbar')).toBeVisible();
  await expect(page.locator('[data-role=recorded]')).toHaveCount(0);
  expect(new Set(await pixels(page))).toEqual(new Set([128]));
  expect(recordings).toEqual([]);
});

test('works without the recording too', async ({ page }) => {
  await page.route('**/recordings/*.json', (route) => route.fulfill({ status: 200, body: '{"format":"spoiled"}' }));
  await page.goto('./?model=fashion&iterations=16&play=0');
  await waitForPhase(page, 'done');
  expect(new Set(await pixels(page)).size).toBeGreaterThan(20);
});
