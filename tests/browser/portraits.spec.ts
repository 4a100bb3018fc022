// The model whose tokens are latents: portraits in colour, which is what opens where the build has it.

import type { Locator, Page } from '@playwright/test';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cell, cellStates, expect, expectAccessible, expectNothingSticksOut, slide, test, waitForPhase } from './visit';

test.use({ file: 'portraits', serviceWorkers: 'block' });

const WEIGHTS = join(__dirname, '../../weights/portraits');
test.skip(!existsSync(join(WEIGHTS, 'model.safetensors')), 'the build has no portraits');

/** A small portrait that is quick to make. */
const QUICK = 'model=portraits&label=5&seed=7&cfg=2&iterations=4&steps=5&temperature=1&order=random&device=cpu';
const SIDE = 64;
const TOKENS = 64;
/** Moments of an iteration of it. */
const MOMENTS = 7;

/** RGBA of the picture, or of another canvas. */
function rgba(page: Page | Locator, canvas = 'canvas[data-role=image]'): Promise<number[]> {
  return page.locator(canvas).evaluate((element: HTMLCanvasElement) => {
    const context = element.getContext('2d');
    return Array.from(context?.getImageData(0, 0, element.width, element.height).data ?? []);
  });
}

/** How many pixels have a colour: one channel is clearly more than another. */
function colourful(pixels: number[]): number {
  let count = 0;
  for (let i = 0; i < pixels.length; i += 4) {
    const [r, g, b] = [pixels[i]!, pixels[i + 1]!, pixels[i + 2]!];
    if (Math.max(r, g, b) - Math.min(r, g, b) > 8) count++;
  }
  return count;
}

function apart(a: number[], b: number[]): number {
  expect(a).toHaveLength(b.length);
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
}

async function make(page: Page, more = '&play=0'): Promise<void> {
  await page.goto(`./?${QUICK}${more}`);
  await waitForPhase(page, 'done', 60_000);
}

/** The picture at this moment, once it is decoded. */
async function settled(page: Page): Promise<number[]> {
  await expect(page.locator('canvas[data-role=image]')).toHaveAttribute('aria-busy', 'false');
  return rgba(page);
}

/** Holds back all that the engine needs; the answer lets it through. */
async function withoutEngine(page: Page): Promise<() => void> {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  for (const files of ['**/*.wasm', '**/*.safetensors*']) {
    await page.route(files, async (route) => {
      await released;
      await route.continue();
    });
  }
  return release;
}

test('is what opens: in colour, moving before there is an engine, then live', async ({ page }) => {
  test.setTimeout(120_000);
  const release = await withoutEngine(page);
  await page.goto('./');
  await expect(page.locator('[data-role=recorded]')).toBeVisible();
  await expect(page.getByRole('radio', { name: /^Portraits/ })).toBeChecked();
  await expect(page.locator('[data-position]')).toHaveCount(TOKENS);
  await page.getByLabel('Speed').selectOption('4');
  const early = await rgba(page);
  expect(early).toHaveLength(4 * SIDE * SIDE);
  await expect.poll(() => rgba(page)).not.toEqual(early);
  await expect(page.locator('html')).toHaveAttribute('data-phase', 'loading');
  await expect.poll(async () => (await cellStates(page))['known'] ?? 0, { timeout: 30_000 }).toBeGreaterThan(50);
  const recorded = await rgba(page);
  expect(colourful(recorded)).toBeGreaterThan(SIDE * 8);

  release();
  await expect(page.locator('[data-role=recorded]')).toHaveCount(0, { timeout: 60_000 });
  await waitForPhase(page, 'done', 60_000);
  const live = await settled(page);
  // The recording's pictures are compressed: near, not equal.
  const mean = live.reduce((sum, value, i) => sum + Math.abs(value - recorded[i]!), 0) / live.length;
  expect(mean).toBeLessThan(6);
});

test('what must arrive before the first motion is small', async ({ page }) => {
  await withoutEngine(page);
  let bytes = 0;
  page.on('response', (response) => {
    if (!response.url().includes('/recordings/')) return;
    void response.body().then((body) => (bytes += body.length));
  });
  await page.goto('./');
  await expect(page.locator('[data-role=recorded]')).toBeVisible();
  expect(bytes).toBeGreaterThan(10_000);
  expect(bytes).toBeLessThan(320_000);
});

test('Fashion is one click away, with its own facts, and back', async ({ page }) => {
  test.setTimeout(120_000);
  await make(page);
  await page.getByRole('radio', { name: /^Fashion/ }).check({ force: true });
  await expect(page.locator('[data-position]')).toHaveCount(49);
  await expect(page.getByRole('radio', { name: 'Ankle boot' })).toBeChecked();
  await waitForPhase(page, 'done', 60_000);
  expect(page.url()).toContain('model=fashion');
  expect(colourful(await rgba(page))).toBe(0);
  await page.getByRole('radio', { name: /^Portraits/ }).check({ force: true });
  await expect(page.locator('[data-position]')).toHaveCount(TOKENS);
  await waitForPhase(page, 'done', 90_000);
  expect(colourful(await settled(page))).toBeGreaterThan(SIDE * 8);
  expect(await page.locator('[role=alert]').count()).toBe(0);
});

test('says nothing that is true of other tokens only', async ({ page }) => {
  test.setTimeout(120_000);
  await make(page);
  for (const mode of [1, 2, 3, 4, 5]) {
    await page.keyboard.press(String(mode));
    await expect(page.locator('[role=tabpanel]')).toBeVisible();
    const text = await page.locator('main').innerText();
    expect(text, `mode ${mode}`).not.toMatch(
      /(?<![\d.])49\b|28 × 28|grey values|4 by 4|black to white|patches\b(?!\.json)/,
    );
  }
  const table = page.locator('article table').last();
  await expect(table).toContainText('64 × 64, colour');
  await expect(table).toContainText('64 of 16 numbers');
  await page.locator('[data-term=token]').first().click();
  await expect(page.getByRole('tooltip')).toContainText('makes 8 by 8 pixels of it');
});

test('every iteration has its picture while the decoding goes on', async ({ page }) => {
  test.setTimeout(120_000);
  await page.goto(`./?model=portraits&label=5&seed=3&cfg=2&iterations=32&steps=100&device=cpu&play=0`);
  await expect.poll(async () => (await cellStates(page))['known'] ?? 0, { timeout: 60_000 }).toBeGreaterThan(4);
  await expect(page.locator('html')).toHaveAttribute('data-phase', 'running');
  // Something that is not grey was decoded though the engine is at work.
  await expect.poll(async () => colourful(await rgba(page))).toBeGreaterThan(50);
  await expect(page.locator('html')).toHaveAttribute('data-phase', 'running');
});

test('scrubbing never waits: the nearest picture stands in, then the moment has its own', async ({ page }) => {
  await make(page);
  const end = await settled(page);
  await slide(page, 'timeline', 3 * MOMENTS + 2);
  // At once something like the picture before, not grey.
  expect(colourful(await rgba(page))).toBeGreaterThan(50);
  const middle = await settled(page);
  expect(apart(end, middle)).toBeGreaterThan(0);
  await slide(page, 'timeline', 4 * MOMENTS - 1);
  expect(apart(await rgba(page), end)).toBe(0);
  await slide(page, 'timeline', 3 * MOMENTS + 2);
  expect(apart(await rgba(page), middle)).toBe(0);
});

test('a latent is made visible: its numbers, alone, its reach, its way, and what else it could have been', async ({
  page,
}) => {
  test.setTimeout(180_000);
  await make(page);
  await cell(page, 27).click();
  await page.keyboard.press('2');
  const panel = page.locator('[data-role=inspector]');
  await expect(panel.getByRole('img', { name: /^Its 16 numbers: / }).first()).toBeVisible();

  const influence = panel.locator('[data-role=influence]');
  await expect(influence).toHaveAttribute('data-inside', /^0\.\d+$/);
  const inside = Number(await influence.getAttribute('data-inside'));
  expect(inside).toBeGreaterThan(0.1);
  expect(inside).toBeLessThan(0.99);
  expect(Number(await influence.getAttribute('data-reach'))).toBeGreaterThan(0);
  await expect(panel.locator('[data-role=influence-words]')).toContainText('in its own 8 × 8 pixels');

  const strip = panel.locator('[data-role=section-noise]').getByRole('button', { name: /^Diffusion step \d of 5/ });
  await expect(strip).toHaveCount(6);
  await strip.first().click();
  await expect(cell(page, 27)).toHaveAttribute('data-state', 'active');
  const head = panel.locator('[data-role=section-head]');
  await expect(head.getByRole('button', { name: /^Predicted clean token at step/ })).toHaveCount(5);

  const draws = panel.locator('[data-role=section-draws]');
  await draws.locator('summary').click();
  await draws.getByRole('button', { name: /Draw 64/ }).click();
  const faces = draws.locator('[data-role=faces]');
  await expect(faces).toHaveAttribute('data-shown', '12', { timeout: 60_000 });
  await expect(faces.locator('li[data-there=true]')).toHaveCount(12, { timeout: 30_000 });
  // The first one is the picture as it is; the others differ from it.
  const [first, second] = [
    await rgba(faces.locator('li').nth(0), 'canvas'),
    await rgba(faces.locator('li').nth(1), 'canvas'),
  ];
  await slide(page, 'timeline', 4 * MOMENTS - 1);
  expect(apart(first, await settled(page))).toBeLessThanOrEqual(1);
  expect(apart(first, second)).toBeGreaterThan(0);
  await faces.getByRole('button', { name: '12 more' }).click();
  await expect(faces.locator('li[data-there=true]')).toHaveCount(24, { timeout: 30_000 });

  await expectAccessible(page, '[data-role=inspector]');
  await page.setViewportSize({ width: 390, height: 844 });
  await expectNothingSticksOut(page);
});

test('what is painted becomes tokens, only where it was touched, and the rest is decoded around it', async ({
  page,
}) => {
  test.setTimeout(120_000);
  await make(page, '&play=0&mode=edit');
  await expect(page.locator('[data-role=edit-panel]')).toContainText('A token covers 8 × 8 pixels, and a bit more.');
  await page.getByRole('button', { name: 'Mask all' }).click();
  await expect(page.locator('[data-role=given]')).toHaveText(`0 of ${TOKENS}`);
  await page.getByRole('radio', { name: 'red', exact: true }).check({ force: true });
  const box = (await page.locator('[data-role=edit-surface]').boundingBox())!;
  const to = (x: number, y: number): [number, number] => [
    box.x + (box.width * x) / SIDE,
    box.y + (box.height * y) / SIDE,
  ];
  // A stroke through the middle of the third row of tokens, from the first to the fourth.
  await page.mouse.move(...to(4.5, 20.5));
  await page.mouse.down();
  await page.mouse.move(...to(28.5, 20.5), { steps: 8 });
  await page.mouse.up();
  await expect(page.locator('[data-role=given]')).toHaveText(`4 of ${TOKENS}`);
  await page.locator('[data-role=decode-rest]').click();
  await expect(page.locator('[data-role=edit-result]')).toBeVisible();
  await waitForPhase(page, 'done', 60_000);
  expect(page.url()).toContain('forks=');
  await page.keyboard.press('1');
  for (const position of [16, 17, 18, 19]) await expect(cell(page, position)).toHaveClass(/given/);
  const made = await settled(page);

  // The address holds the very tokens.
  await page.reload();
  await waitForPhase(page, 'done', 60_000);
  expect(apart(await settled(page), made)).toBeLessThanOrEqual(1);
});

test('an upload of any size, also a transparent one, is drawn on white and its middle is taken', async ({ page }) => {
  await make(page, '&play=0&mode=edit');
  const svg = (width: number, height: number): string =>
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}"><circle cx="${width / 2}" cy="${height / 2}" r="${height / 4}" fill="#c00000"/></svg>`;
  for (const [width, height] of [
    [1600, 400],
    [40, 40],
  ] as const) {
    await page
      .locator('[data-role=upload]')
      .setInputFiles({ name: 'face.svg', mimeType: 'image/svg+xml', buffer: Buffer.from(svg(width, height)) });
    await expect(page.locator('[data-role=given]')).toHaveText(`${TOKENS} of ${TOKENS}`);
    const corner = async (): Promise<number[]> => (await rgba(page, 'canvas[data-role=sketch]')).slice(0, 4);
    await expect.poll(corner).toEqual([255, 255, 255, 255]);
    const sketch = await rgba(page, 'canvas[data-role=sketch]');
    const at = (x: number, y: number): number[] => sketch.slice(4 * (y * SIDE + x), 4 * (y * SIDE + x) + 4);
    expect(apart(at(32, 32), [192, 0, 0, 255])).toBeLessThan(4);
    await page.getByRole('button', { name: 'Undo' }).click();
  }
});

test('can be taken along: a PNG as shown, a film in colour, a trace that opens again', async ({ page }) => {
  test.setTimeout(180_000);
  await make(page);
  const shown = await settled(page);
  await page.locator('[data-role=share]').click();
  const saved = async (role: string): Promise<Buffer> => {
    const download = page.waitForEvent('download', { timeout: 120_000 });
    await page.locator(`[data-role=${role}]`).click();
    return readFileSync(await (await download).path());
  };

  await page.getByLabel('Size of the picture in pixels').selectOption('1');
  const png = await saved('save-png');
  const decoded = await page.evaluate(async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const picture = await createImageBitmap(new Blob([bytes]));
    const canvas = new OffscreenCanvas(picture.width, picture.height);
    const context = canvas.getContext('2d');
    context?.drawImage(picture, 0, 0);
    return Array.from(context?.getImageData(0, 0, picture.width, picture.height).data ?? []);
  }, png.toString('base64'));
  expect(decoded).toEqual(shown);

  const gif = await saved('save-gif');
  expect(gif.subarray(0, 6).toString('latin1')).toBe('GIF89a');
  expect(gif.readUInt16LE(6) % SIDE).toBe(0);

  const trace = await saved('save-trace');
  await page.getByRole('button', { name: 'Close' }).first().click();
  await page.getByRole('radio', { name: 'thumbs' }).check({ force: true });
  await waitForPhase(page, 'done', 60_000);
  expect(apart(await settled(page), shown)).toBeGreaterThan(0);
  await page.locator('[data-role=share]').click();
  await page
    .locator('[data-role=takeaway] input[type=file]')
    .setInputFiles({ name: 'portrait.json', mimeType: 'application/json', buffer: trace });
  await waitForPhase(page, 'done', 60_000);
  expect(apart(await settled(page), shown)).toBe(0);
});

test('two portraits and their difference, and the player alone', async ({ page }) => {
  test.setTimeout(120_000);
  await make(page, '&play=0&mode=compare');
  await page.getByRole('button', { name: 'Temperature 0.6 and 1' }).click();
  await waitForPhase(page, 'done', 60_000);
  const map = page.locator('[data-role=difference]');
  await expect(map).toHaveAttribute('data-compared', String(TOKENS), { timeout: 60_000 });
  await expect.poll(async () => Number(await map.getAttribute('data-mean'))).toBeGreaterThan(0);

  await page.goto(`./?${QUICK}&play=0&embed=1`);
  await waitForPhase(page, 'done', 60_000);
  // The player's canvas is as large as the window: it is looked at where it is.
  const middle = (): Promise<number[]> =>
    page.locator('canvas[data-role=player]').evaluate((canvas: HTMLCanvasElement) => {
      const [x, y, side] = [canvas.width >> 2, canvas.height >> 2, 64];
      return Array.from(canvas.getContext('2d')?.getImageData(x, y, side, side).data ?? []);
    });
  await expect.poll(async () => colourful(await middle())).toBeGreaterThan(200);
});

const BROKEN: [string, (page: Page) => Promise<unknown>, RegExp][] = [
  [
    'without its autoencoder',
    (page) => page.route('**/autoencoder.safetensors*', (route) => route.fulfill({ status: 404 })),
    /autoencoder\.safetensors is not on the server \(404\)/,
  ],
  [
    'with a truncated one',
    (page) =>
      page.route('**/autoencoder.safetensors*', (route) =>
        route.fulfill({ body: readFileSync(join(WEIGHTS, 'autoencoder.safetensors')).subarray(0, 100_000) }),
      ),
    /autoencoder\.safetensors: /,
  ],
  [
    'with another one’s shape',
    (page) =>
      page.route('**/autoencoder.json', async (route) => {
        const shape = JSON.parse(readFileSync(join(WEIGHTS, 'autoencoder.json'), 'utf8')) as Record<string, unknown>;
        await route.fulfill({ body: JSON.stringify({ ...shape, embed_dim: 4, z_channels: 4 }) });
      }),
    /./,
  ],
];

for (const [what, spoil, says] of BROKEN) {
  test(`weights ${what} are refused with a sentence, and the other model is a press away`, async ({ page }) => {
    test.setTimeout(120_000);
    await spoil(page);
    await page.goto(`./?${QUICK}&play=0`);
    await waitForPhase(page, 'error', 60_000);
    const notice = page.locator('[data-role=error]');
    await expect(notice).toContainText('The model could not be loaded.');
    await expect(notice).toContainText(says);
    await notice.getByRole('button', { name: 'Open Fashion instead' }).click();
    await waitForPhase(page, 'done', 90_000);
    await expect(page.locator('[data-position]')).toHaveCount(49);
  });
}

test('thanks those who drew what it learnt from', async ({ page }) => {
  test.skip(!existsSync(join(WEIGHTS, 'credits.json')), 'the weights come without credits');
  await make(page);
  const credits = page.locator('footer [data-role=credits]');
  await credits.locator('summary').click();
  await expect(credits.locator('li')).toHaveCount(12);
  await expect(credits.getByRole('link', { name: 'Micah Lanier' })).toBeVisible();
  await expect(credits.getByRole('link', { name: 'CC BY 4.0' }).first()).toBeVisible();
  await page.goto(`./?model=fashion&iterations=2&steps=2&play=0&device=cpu`);
  await waitForPhase(page, 'done', 60_000);
  await expect(page.locator('footer [data-role=credits]')).toHaveCount(0);
  await expect(page.locator('footer')).toContainText('Fashion-MNIST');
});

test('axe finds nothing, and nothing sticks out at 390 px', async ({ page }) => {
  test.setTimeout(120_000);
  await make(page);
  await expectAccessible(page);
  await page.setViewportSize({ width: 390, height: 844 });
  await expectNothingSticksOut(page);
});
