// What a visitor takes along: links that restore everything, pictures and films with the right pixels, traces that replay.

import type { Page } from '@playwright/test';
import { readFileSync } from 'node:fs';
import { decoded, inNewFolder, largestDifference, marscope } from './command';
import { QUICK, expect, expectAccessible, pixels, slide, test, visit, waitForPhase } from './visit';

test.use({ file: 'takeaway', serviceWorkers: 'block' });

const dialog = (page: Page) => page.locator('[data-role=takeaway]');

async function share(page: Page): Promise<void> {
  await page.locator('[data-role=share]').click();
  await expect(dialog(page)).toBeVisible();
}

async function shareLink(page: Page): Promise<string> {
  await share(page);
  const link = await page.locator('[data-role=link]').inputValue();
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  return link;
}

/** Presses a button of the dialog and takes what is saved. */
async function saved(page: Page, role: string): Promise<{ name: string; path: string; bytes: Buffer }> {
  const download = page.waitForEvent('download');
  await page.locator(`[data-role=${role}]`).click();
  const file = await download;
  const name = file.suggestedFilename();
  const path = inNewFolder(name);
  await file.saveAs(path);
  return { name, path, bytes: readFileSync(path) };
}

/** Each pixel as a square of `scale`. */
function enlarged(greys: number[], scale: number): number[] {
  const side = 28 * scale;
  return Array.from(
    { length: side * side },
    (_, i) => greys[Math.floor(i / side / scale) * 28 + Math.floor((i % side) / scale)]!,
  );
}

const base64url = (bytes: Uint8Array | string): string => Buffer.from(bytes).toString('base64url');

/** Raster order from the last position to the first: nothing the page makes by itself. */
const BY_HAND = Array.from({ length: 49 }, (_, i) => 48 - i);

/** A picture of an order by hand; a fork with the patch in the middle given; a fork of that in mid-way. */
function busyQuery(): { query: string; patch: number[] } {
  const patch = Array.from({ length: 16 }, (_, i) => 10 + 15 * i);
  const forks = [
    { p: 0, at: 0, pins: base64url(Uint8Array.from([0, 24, ...patch])) },
    { p: 1, at: 2, set: { seed: 99, cfg: 1.5 } },
  ];
  const settings = QUICK.replace('order=random', `order=${BY_HAND.join('.')}`);
  const sights = `forks=${base64url(JSON.stringify(forks))}&branch=2&beside=1&mode=compare&token=30&moment=18`;
  return { query: `${settings}&play=0&${sights}`, patch };
}

/** What can be seen of the page's state. */
async function sight(page: Page) {
  return {
    pixels: await pixels(page),
    mode: await page.getByRole('tab', { selected: true }).textContent(),
    moment: await page.locator('[data-role=timeline]').inputValue(),
    token: await page.locator('[data-position][aria-selected=true]').getAttribute('data-position'),
  };
}

test('a link restores branches, given patches, an order by hand, mode, token and moment', async ({ page }) => {
  const { query, patch } = busyQuery();
  await visit(page, query);
  await expect(page.locator('[data-role=timeline]')).toHaveValue('18');
  const first = await sight(page);
  expect(first.token).toBe('30');
  expect(first.mode).toContain('Compare');
  // The given patch is in the picture as it was given.
  const given = patch.map((_, i) => first.pixels[(12 + Math.floor(i / 4)) * 28 + 12 + (i % 4)]);
  expect(given).toEqual(patch);

  const link = await shareLink(page);
  const again = await page.context().newPage();
  await again.goto(link);
  await expect(again.locator('[data-role=timeline]')).toHaveValue('18');
  expect(await sight(again)).toEqual(first);
  expect(await shareLink(again)).toBe(link);

  // The fork is another picture than what it was forked from, and both differ from the trunk.
  await slide(again, 'timeline', 27);
  const fork = await pixels(again);
  await visit(page, `${query.replace(/&branch=.*/, '')}&branch=1`);
  const parent = await pixels(page);
  await visit(page, `${QUICK.replace('order=random', `order=${BY_HAND.join('.')}`)}&play=0`);
  const trunk = await pixels(page);
  expect(fork).not.toEqual(parent);
  expect(parent).not.toEqual(trunk);
});

test('what is saved is what is shown', async ({ page }) => {
  test.setTimeout(120_000);
  await visit(page, `${QUICK}&play=0`);
  await test.step('a PNG holds the pixels on screen, at any moment and size', async () => {
    await slide(page, 'timeline', 17);
    const shown = await pixels(page);
    await share(page);
    for (const scale of [1, 16]) {
      await page.getByLabel('Size of the picture in pixels').selectOption(String(scale));
      const { name, bytes } = await saved(page, 'save-png');
      expect(name).toBe('marscope-dress-seed-7.png');
      const picture = await decoded(page, bytes, 'image/png');
      expect([picture.width, picture.height]).toEqual([28 * scale, 28 * scale]);
      expect(picture.greys).toEqual(enlarged(shown, scale));
    }
  });

  await test.step('a GIF shows the decoding and ends with the picture', async () => {
    await page.keyboard.press('Escape');
    await slide(page, 'timeline', 27);
    const shown = await pixels(page);
    await share(page);
    await page.getByLabel('Size of the film in pixels').selectOption('8');
    const { name, bytes } = await saved(page, 'save-gif');
    expect(name).toBe('marscope-dress-seed-7.gif');
    expect(bytes.subarray(0, 6).toString('latin1')).toBe('GIF89a');
    expect([bytes.readUInt16LE(6), bytes.readUInt16LE(8)]).toEqual([224, 224]);

    const film = await page.evaluate(async (data) => {
      const decoder = new ImageDecoder({
        type: 'image/gif',
        data: Uint8Array.from(atob(data), (c) => c.charCodeAt(0)),
      });
      await decoder.tracks.ready;
      await decoder.completed;
      const count = decoder.tracks.selectedTrack!.frameCount;
      const seen: number[][] = [];
      let ms = 0;
      for (let i = 0; i < count; i++) {
        const { image } = await decoder.decode({ frameIndex: i });
        ms += (image.duration ?? 0) / 1000;
        if (i !== 0 && i !== count - 1) continue;
        const context = new OffscreenCanvas(224, 224).getContext('2d')!;
        context.drawImage(image, 0, 0);
        const { data: rgba } = context.getImageData(0, 0, 224, 224);
        seen.push(Array.from({ length: 224 * 224 }, (_, p) => rgba[4 * p]!));
      }
      return { count, ms, seen };
    }, bytes.toString('base64'));
    expect(film.count).toBeGreaterThan(12);
    expect(film.ms).toBeGreaterThan(3000);
    expect(film.seen[1]).toEqual(enlarged(shown, 8));
    // It begins with masks alone: hatching and the chosen ones, no picture.
    expect(new Set(film.seen[0]).size).toBeLessThan(6);
  });

  await test.step('a film can be given up, and a video is recorded', async () => {
    const saves = page.locator('[data-role=save-video]');
    await saves.click();
    await expect(dialog(page).getByRole('progressbar')).toBeVisible();
    await expectAccessible(page, 'dialog');
    await expect(dialog(page).getByRole('progressbar')).toHaveCount(0, { timeout: 60_000 });
    await saves.click();
    await dialog(page).getByRole('button', { name: 'Cancel' }).click();
    await expect(dialog(page).getByText('Given up.')).toBeVisible();
    await expect(dialog(page).getByRole('progressbar')).toHaveCount(0);

    const { name, bytes } = await saved(page, 'save-video');
    expect(name).toMatch(/^marscope-dress-seed-7\.(webm|mp4)$/);
    const played = await page.evaluate(
      async ([data, type]) => {
        const video = document.createElement('video');
        video.muted = true;
        video.src = URL.createObjectURL(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], { type }));
        await video.play();
        const { videoWidth, videoHeight } = video;
        return { videoWidth, videoHeight };
      },
      [bytes.toString('base64'), name.endsWith('webm') ? 'video/webm' : 'video/mp4'] as const,
    );
    expect(played).toEqual({ videoWidth: 224, videoHeight: 224 });
  });

  await test.step('a file that is no trace says what is wrong, and leaves the page as it was', async () => {
    const shown = await pixels(page);
    const { bytes } = await saved(page, 'save-trace');
    const open = page.locator('[data-role=open-trace]');
    const alert = dialog(page).getByRole('alert');
    const json = (change: object): Buffer =>
      Buffer.from(JSON.stringify({ ...(JSON.parse(bytes.toString()) as object), ...change }));
    for (const [buffer, message] of [
      [Buffer.from('<!doctype html>'), /it is no JSON/],
      [bytes.subarray(0, bytes.length / 2), /it is no JSON/],
      [json({ format: 'other' }), /format is not "marscope-trace"/],
      [json({ version: 9 }), /of version 9/],
      [json({ order: [] }), /order should be every position/],
      [json({ iterations: [{}] }), /iterations\[0\]/],
    ] as const) {
      await open.setInputFiles({ name: 'trace.json', mimeType: 'application/json', buffer });
      await expect(alert).toContainText(message);
    }
    await page.keyboard.press('Escape');
    expect(await pixels(page)).toEqual(shown);
  });

  await test.step('the command shown draws the picture shown', async () => {
    const shown = await pixels(page);
    await share(page);
    const command = await page.locator('[data-role=command]').inputValue();
    expect(command).toMatch(/^marscope sample .* --out marscope-dress-seed-7\.png$/);
    const out = inNewFolder('picture.png');
    const words = command.split(' ').slice(1);
    words[words.indexOf('--out') + 1] = out;
    marscope(...words);
    const picture = await decoded(page, readFileSync(out), 'image/png');
    expect(largestDifference(picture.greys, shown)).toBeLessThanOrEqual(2);
  });
});

for (const [what, query] of [
  ['a picture', `${QUICK}&play=0`],
  ['a fork of given patches', busyQuery().query.replace('&moment=18', '')],
] as const) {
  test(`the trace of ${what} opens as it was recorded, and computes to the same again here and on the command line`, async ({
    page,
  }) => {
    await visit(page, query);
    const shown = await pixels(page);
    await share(page);
    const { name, path } = await saved(page, 'save-trace');
    expect(name).toMatch(/^marscope-dress-seed-(7|99)\.json$/);

    await test.step('the command line replays it', async () => {
      marscope('replay', path, '--model', 'weights/fashion', '--out', `${path}.png`);
      const { greys } = await decoded(page, readFileSync(`${path}.png`), 'image/png');
      expect(largestDifference(greys, shown)).toBeLessThanOrEqual(2);
    });

    await visit(page, `${QUICK.replace('label=3', 'label=8').replace('seed=7', 'seed=5')}&play=0`);
    expect(await pixels(page)).not.toEqual(shown);
    await share(page);
    await page.locator('[data-role=open-trace]').setInputFiles(path);
    await expect(dialog(page)).toBeHidden();
    await slide(page, 'timeline', 27);
    expect(await pixels(page)).toEqual(shown);
    await share(page);
    await expect(page.locator('[data-role=link-says]')).toContainText(
      what === 'a picture' ? 'as it is now' : 'no link',
    );
    await page.keyboard.press('Escape');
    await slide(page, 'timeline', 6);
    const early = await pixels(page);
    expect(early).not.toEqual(shown);

    await page.getByRole('button', { name: 'Generate again' }).click();
    await waitForPhase(page, 'done');
    // What came before a fork is there as well.
    for (const [moment, before] of [
      [27, shown],
      [6, early],
    ] as const) {
      await slide(page, 'timeline', moment);
      await expect(page.locator('[data-role=timeline]')).toHaveValue(String(moment));
      const again = await pixels(page);
      expect(largestDifference(again, before)).toBeLessThanOrEqual(1);
    }
  });
}

test("the command line's own trace opens on the page", async ({ page }) => {
  const [picture, trace] = [inNewFolder('picture.png'), inNewFolder('trace.json')];
  const settings = '--label 3 --seed 7 --cfg 2 --iterations 4 --steps 5 --temperature 1 --order random';
  marscope('sample', ...settings.split(' '), '--out', picture, '--trace', trace);
  await visit(page, `${QUICK.replace('label=3', 'label=8')}&play=0`);
  await share(page);
  await page.locator('[data-role=open-trace]').setInputFiles(trace);
  await expect(dialog(page)).toBeHidden();
  await slide(page, 'timeline', 27);
  const shown = await pixels(page);
  expect(shown).toEqual((await decoded(page, readFileSync(picture), 'image/png')).greys);
});

test('the dialog is for everyone', async ({ page }) => {
  await page.setViewportSize({ width: 360, height: 740 });
  await visit(page, `${QUICK}&play=0`);
  await page.locator('[data-role=share]').focus();
  await page.keyboard.press('Enter');
  await expect(dialog(page)).toBeVisible();
  await page
    .locator('[data-role=open-trace]')
    .setInputFiles({ name: 'x.json', mimeType: 'text/plain', buffer: Buffer.from('x') });
  await expect(dialog(page).getByRole('alert')).toBeVisible();
  await expectAccessible(page);
  const box = await dialog(page).evaluate((element) => [element.scrollWidth, element.clientWidth]);
  expect(box[0]).toBeLessThanOrEqual(box[1]!);

  // Space and arrows are the dialog's while it is open.
  const moment = await page.locator('[data-role=timeline]').inputValue();
  await page.keyboard.press('ArrowLeft');
  expect(await page.locator('[data-role=timeline]').inputValue()).toBe(moment);
  await page.keyboard.press('Escape');
  await expect(dialog(page)).toBeHidden();
  await expect(page.locator('[data-role=share]')).toBeFocused();
});

test('the embedded page is the player alone, in the smallest frame', async ({ page }) => {
  await visit(page, `${QUICK}&play=0`);
  await slide(page, 'timeline', 17);
  await share(page);
  const code = await page.locator('[data-role=embed-code]').inputValue();
  const source = /src="([^"]+)"/.exec(code)![1]!.replaceAll('&amp;', '&');

  await page.goto(source);
  for (const [width, height] of [
    [240, 300],
    [200, 260],
    [700, 320],
  ] as const) {
    await page.setViewportSize({ width, height });
    const range = page.getByRole('slider', { name: 'Timeline' });
    await expect(range).toHaveValue('17');
    await expect(page.locator('h2, select, [role=tab], [role=gridcell]')).toHaveCount(0);
    await expect(page.getByRole('button')).toHaveCount(1);
    const over = await page.evaluate(() => [
      document.documentElement.scrollWidth - innerWidth,
      document.documentElement.scrollHeight - innerHeight,
    ]);
    expect(Math.max(...over)).toBeLessThanOrEqual(0);
    for (const part of [page.locator('[data-role=player]'), range, page.getByRole('link')]) {
      const box = (await part.boundingBox())!;
      expect(box.x).toBeGreaterThanOrEqual(0);
      expect(box.y).toBeGreaterThanOrEqual(0);
      expect(box.x + box.width).toBeLessThanOrEqual(width);
      expect(box.y + box.height).toBeLessThanOrEqual(height);
    }
  }
  await expectAccessible(page);

  await page.locator('body').press('ArrowRight');
  await expect(page.getByRole('slider', { name: 'Timeline' })).toHaveValue('18');
  const full = page.waitForEvent('popup');
  await page.getByRole('link').click();
  const opened = await full;
  await expect(opened.locator('h1')).toHaveText('marscope');
  await expect(opened.locator('[data-role=timeline]')).toHaveValue('18');
});
