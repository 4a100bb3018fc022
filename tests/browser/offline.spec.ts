// Once visited, the page needs no network: it opens, and draws pictures it has never drawn before.

import { chromium, type Page } from '@playwright/test';
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { QUICK, expect, test, waitForPhase } from './visit';

test.use({ file: 'offline', serviceWorkers: 'allow' });

const WWW = join(__dirname, '../../www');
/** The model that opens is the one that is kept, and one of its classes. */
const [OPENS, CLASS] = existsSync(join(WWW, '../weights/portraits')) ? ['portraits', 'thumbs'] : ['fashion', 'Bag'];
const QUERY = QUICK.replace('fashion', OPENS);
type Files = (folder: string, options: object) => (request: unknown, response: unknown) => void;
const sirv = createRequire(join(WWW, 'package.json'))('sirv') as Files;

/** A host that tells browsers what has not changed, as hosts do, and notes what it sends whole. */
async function host(): Promise<{ address: string; sent: string[]; close: () => void }> {
  const files = sirv(process.env['PAGE_DIST'] ?? join(WWW, 'dist'), { etag: true });
  const sent: string[] = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://host');
    response.on('finish', () => {
      if (response.statusCode === 200) sent.push(pathname);
    });
    files(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { address: `http://127.0.0.1:${port}/`, sent, close: () => server.close() };
}

/** RGBA of the picture, once it is the one of its tokens. */
async function rgba(page: Page): Promise<number[]> {
  const canvas = page.locator('canvas[data-role=image]');
  await expect(canvas).not.toHaveAttribute('aria-busy', 'true');
  return canvas.evaluate((element: HTMLCanvasElement) => {
    const context = element.getContext('2d');
    return Array.from(context?.getImageData(0, 0, element.width, element.height).data ?? []);
  });
}

test('a second visit works without a network, and nothing large is fetched twice or in vain', async () => {
  // A profile on disk, as visitors have: the cache of a private window holds no file as large as the weights.
  const context = await chromium.launchPersistentContext(test.info().outputPath('profile'));
  const page = await context.newPage();
  const { address, sent, close } = await host();
  const of = (name: RegExp): string[] => sent.filter((path) => name.test(path));
  await page.goto(`${address}?${QUERY}&play=0`);
  await waitForPhase(page, 'done');
  const shown = await rgba(page);

  await test.step('kept are the page, both CPU engines and its own model, each fetched once', async () => {
    const kept = await page.evaluate(async () => {
      await navigator.serviceWorker.ready;
      const names = await caches.keys();
      const requests = await Promise.all(names.map(async (name) => (await caches.open(name)).keys()));
      return requests.flat().map(({ url }) => new URL(url).pathname);
    });
    expect(kept.filter((path) => /\/cpu-[^/]*\.wasm$/.test(path))).toHaveLength(2);
    expect(kept.filter((path) => path.endsWith('model.safetensors'))).toHaveLength(1);
    expect(kept.filter((path) => /\/gpu-.*\.wasm/.test(path))).toEqual([]);
    expect(of(/model\.safetensors$/)).toHaveLength(1);
    expect(of(/\/cpu-[^/]*\.wasm$/)).toHaveLength(2);
    expect(of(/\/index-[^/]*\.js$/)).toHaveLength(1);
    // Neither the large engine nor the recording, which another picture has no use for.
    expect(of(/\/gpu-[^/]*\.wasm$|\/recordings\//)).toEqual([]);
  });

  await test.step('the same picture and another one without a network', async () => {
    await context.setOffline(true);
    await page.reload();
    await waitForPhase(page, 'done');
    expect(await rgba(page)).toEqual(shown);
    await page.getByRole('radio', { name: CLASS }).check();
    await waitForPhase(page, 'done');
    const drawn = await rgba(page);
    expect(drawn).not.toEqual(shown);
    expect(new Set(drawn).size).toBeGreaterThan(20);
  });

  await test.step('another address of the same page, in another window', async () => {
    const other = await context.newPage();
    await other.goto(`${address}?${QUERY.replace('seed=7', 'seed=123')}&play=0`);
    await waitForPhase(other, 'done');
    expect(await rgba(other)).not.toEqual(shown);
    const scripts = await other.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
    expect(scripts.some((name) => name.endsWith('.js'))).toBe(true);
  });
  await context.close();
  close();
});
