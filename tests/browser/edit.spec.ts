// Mode "edit" as a visitor uses it: paint, give, mask, upload; and what is given stays as it is at every moment.

import type { Page } from '@playwright/test';
import {
  QUICK,
  expect,
  expectAccessible,
  expectNothingSticksOut,
  pixels,
  slide,
  test,
  visit,
  waitForPhase,
} from './visit';

test.use({ file: 'edit' });

/** Moments of the whole of a QUICK picture: 4 iterations of a read, the noise and 5 steps. */
const MOMENTS = 4 * 7;

/** The grey of every opaque pixel of a canvas, null where it is transparent. */
async function greys(page: Page, role: string): Promise<(number | null)[]> {
  return page.locator(`canvas[data-role=${role}]`).evaluate((canvas: HTMLCanvasElement) => {
    const rgba = canvas.getContext('2d')?.getImageData(0, 0, canvas.width, canvas.height).data ?? [];
    return Array.from({ length: rgba.length / 4 }, (_, i) => (rgba[4 * i + 3] === 255 ? (rgba[4 * i] ?? -1) : null));
  });
}

/** The drawing: null where it is masked. */
const sketch = (page: Page) => greys(page, 'sketch');

/** The middle of a pixel of the picture on the screen. */
async function at(page: Page, column: number, row: number): Promise<[number, number]> {
  const box = await page.locator('[data-role=edit-surface]').boundingBox();
  if (!box) throw new Error('no drawing to be seen');
  return [box.x + ((column + 0.5) / 28) * box.width, box.y + ((row + 0.5) / 28) * box.height];
}

const surfaceCell = (page: Page, position: number) =>
  page.locator(`[data-role=edit-surface] [data-cell="${position}"]`);
const given = (page: Page) => page.locator('[data-role=given]');
const decodeRest = (page: Page) => page.getByRole('button', { name: 'Decode the rest' });
const pixelsOf = (position: number): number[] =>
  Array.from(
    { length: 16 },
    (_, i) => (Math.floor(position / 7) * 4 + Math.floor(i / 4)) * 28 + (position % 7) * 4 + (i % 4),
  );

test('what is given never changes, the rest is made around it', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=edit`);
  const before = await pixels(page);
  expect(await sketch(page)).toEqual(before);
  await expect(given(page)).toHaveText('49 of 49');
  await expect(decodeRest(page)).toBeDisabled();
  await expect(page.getByText('Every token is given, so nothing is left to decode.')).toBeVisible();

  await page.getByRole('button', { name: 'Mask all' }).click();
  await expect(given(page)).toHaveText('0 of 49');
  // By keyboard: the patches 24 and 25 are given as they were.
  await surfaceCell(page, 24).focus();
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('Enter');
  await expect(surfaceCell(page, 25)).toHaveAttribute('aria-selected', 'true');
  await expect(surfaceCell(page, 25)).toHaveAccessibleName('row 4, column 5: given');
  // By pointer: a stroke of grey 160, a pixel wide, along row 2 through the patches 1 and 2.
  await page.getByRole('radio', { name: 'Grey 160 of 255' }).check();
  await page.getByRole('radio', { name: '1 pixel wide' }).check();
  await page.mouse.move(...(await at(page, 5, 2)));
  await page.mouse.down();
  await page.mouse.move(...(await at(page, 10, 2)), { steps: 3 });
  await page.mouse.up();
  await expect(given(page)).toHaveText('4 of 49');

  const drawn = await sketch(page);
  for (let column = 5; column <= 10; column++) expect(drawn[2 * 28 + column]).toBe(160);
  for (const i of [...pixelsOf(24), ...pixelsOf(25)]) expect(drawn[i]).toBe(before[i]);
  expect(drawn.filter((value) => value !== null)).toHaveLength(4 * 16);

  await decodeRest(page).click();
  await waitForPhase(page, 'done');
  await expect(page.locator('[data-role=edit-result]')).toBeVisible();
  const end = await pixels(page);
  expect(end).not.toEqual(before);
  for (let moment = 0; moment < MOMENTS; moment++) {
    await slide(page, 'timeline', moment);
    const now = await greys(page, 'image');
    const altered = drawn.flatMap((value, i) => (value !== null && value !== now[i] ? [i] : []));
    expect(altered, `moment ${moment}`).toEqual([]);
  }
  // The drawing is still the drawing, whatever the timeline shows; and it comes back with the address.
  expect(await sketch(page)).toEqual(drawn);
  await page.reload();
  await waitForPhase(page, 'done');
  expect(await sketch(page)).toEqual(drawn);
  expect(await pixels(page)).toEqual(end);
});

test('paints by keyboard, takes back, and loses nothing between the modes', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=edit`);
  await page.getByRole('button', { name: 'Mask all' }).click();
  await page.getByRole('radio', { name: '1 pixel wide' }).check();
  await surfaceCell(page, 16).focus();
  // From the middle of patch 16, which is pixel (10, 10), two pixels to the left: one in the patch, one at its edge.
  await page.keyboard.press('Space');
  await page.keyboard.press('Shift+ArrowLeft');
  await page.keyboard.press('Space');
  await page.keyboard.press('Shift+ArrowDown');
  await page.keyboard.press('Space');
  const drawn = await sketch(page);
  const white = pixelsOf(16).filter((i) => drawn[i] === 255);
  expect(white).toEqual(expect.arrayContaining([10 * 28 + 10, 10 * 28 + 9, 11 * 28 + 9]));
  await expect(given(page)).toHaveText('1 of 49');
  await expect(page.locator('html')).toHaveAttribute('data-phase', 'done');

  await page.keyboard.press('Control+z');
  expect((await sketch(page))[11 * 28 + 9]).not.toBe(255);
  await page.keyboard.press('Control+y');
  expect(await sketch(page)).toEqual(drawn);

  await page.getByRole('tab', { name: 'Watch' }).click();
  await slide(page, 'timeline', 3);
  await page.getByRole('tab', { name: 'Edit' }).click();
  expect(await sketch(page)).toEqual(drawn);
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(given(page)).toHaveText('0 of 49');
  await page.getByRole('button', { name: 'Undo' }).click();
  await expect(given(page)).toHaveText('49 of 49');
  await expect(page.getByRole('button', { name: 'Undo' })).toBeDisabled();
});

test('rubbing out masks patches and empties them', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=edit`);
  await page.getByRole('radio', { name: 'Rub out' }).check();
  await page.mouse.move(...(await at(page, 13, 1)));
  await page.mouse.down();
  await page.mouse.move(...(await at(page, 13, 26)), { steps: 4 });
  await page.mouse.up();
  await expect(given(page)).toHaveText('42 of 49');
  await surfaceCell(page, 24).focus();
  await page.keyboard.press('Enter');
  const drawn = await sketch(page);
  expect(pixelsOf(24).map((i) => drawn[i])).toEqual(Array(16).fill(0));
});

test('takes a picture from a file, its middle, in grey', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=edit`);
  // 112 x 56 pixels: the middle 56 x 56 is red on its left and black on its right.
  const picture = await page.evaluate(() => {
    const canvas = document.createElement('canvas');
    canvas.width = 112;
    canvas.height = 56;
    const context = canvas.getContext('2d');
    if (!context) throw new Error('no canvas');
    context.fillRect(0, 0, 112, 56);
    context.fillStyle = '#ff0000';
    context.fillRect(0, 0, 56, 56);
    return canvas.toDataURL('image/png').split(',')[1] ?? '';
  });
  await page.locator('[data-role=upload]').setInputFiles({
    name: 'halves.png',
    mimeType: 'image/png',
    buffer: Buffer.from(picture, 'base64'),
  });
  await expect(given(page)).toHaveText('49 of 49');
  // Red is 0.299 of white in grey; the pixels at the seam may be mixed.
  const red = await page
    .locator('canvas[data-role=sketch]')
    .evaluate((canvas: HTMLCanvasElement) =>
      Array.from(canvas.getContext('2d')?.getImageData(12, 14, 1, 1).data ?? []),
    );
  expect(red).toEqual([76, 76, 76, 255]);
  const drawn = await sketch(page);
  for (let row = 0; row < 28; row++) {
    expect(drawn.slice(row * 28, row * 28 + 13)).toEqual(Array(13).fill(76));
    expect(drawn.slice(row * 28 + 15, row * 28 + 28)).toEqual(Array(13).fill(0));
  }
  await page.getByRole('button', { name: 'Invert' }).click();
  expect((await sketch(page))[0]).toBe(255 - 76);

  await page.locator('[data-role=upload]').setInputFiles({
    name: 'words.txt',
    mimeType: 'text/plain',
    buffer: Buffer.from('no picture'),
  });
  await expect(page.getByRole('alert')).toContainText('cannot read "words.txt" as a picture');
  expect((await sketch(page))[0]).toBe(255 - 76);
});

test('axe finds nothing and nothing sticks out', async ({ page }) => {
  await visit(page, `${QUICK}&play=0&mode=edit`);
  await page.getByRole('button', { name: 'Mask all' }).click();
  await surfaceCell(page, 24).focus();
  await page.keyboard.press('Enter');
  await decodeRest(page).click();
  await waitForPhase(page, 'done');
  await page.locator('[data-role=change-from-here] summary').click();
  for (const width of [1280, 360]) {
    await page.setViewportSize({ width, height: 800 });
    await expectAccessible(page, '[data-role=edit-panel]', '[data-role=edit-surface]');
    await expectNothingSticksOut(page);
  }
});
