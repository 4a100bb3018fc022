// The command line, run beside the browser: what it draws is what the page is compared with.

import type { Page } from '@playwright/test';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from './visit';

const ROOT = join(__dirname, '../..');

/** Runs it in the repository's root; fails where it fails. */
export function marscope(...words: string[]): void {
  const program = process.env['MARSCOPE_BIN'] ?? join(ROOT, 'target/release/marscope');
  const run = spawnSync(program, words, { encoding: 'utf8', cwd: ROOT });
  expect(run.status, run.error?.message ?? run.stderr).toBe(0);
}

/** A path for a file of this name, in a folder that nothing else is in. */
export const inNewFolder = (name: string): string => join(mkdtempSync(join(tmpdir(), 'marscope-')), name);

export interface Decoded {
  width: number;
  height: number;
  /** Greys, row by row; -1 where a pixel is coloured. */
  greys: number[];
}

/** A picture file, read by the browser. */
export function decoded(page: Page, bytes: Buffer, type: string): Promise<Decoded> {
  return page.evaluate(
    async ([data, mime]) => {
      const bitmap = await createImageBitmap(
        new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], { type: mime }),
      );
      const { width, height } = bitmap;
      const context = new OffscreenCanvas(width, height).getContext('2d');
      context?.drawImage(bitmap, 0, 0);
      const rgba = context?.getImageData(0, 0, width, height).data ?? [];
      const greys = Array.from({ length: width * height }, (_, i) => {
        const [r, g, b] = [rgba[4 * i], rgba[4 * i + 1], rgba[4 * i + 2]];
        return r === g && g === b ? (r ?? -1) : -1;
      });
      return { width, height, greys };
    },
    [bytes.toString('base64'), type] as const,
  );
}

/** The picture `marscope sample` makes with these settings, named as in the page's address. */
export async function sampled(page: Page, settings: Record<string, string>): Promise<number[]> {
  const out = inNewFolder('picture.png');
  const flag = (name: string): string => `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  const flags = Object.entries(settings).flatMap(([name, value]) => [flag(name), value]);
  marscope('sample', '--model', 'weights/fashion', '--count', '1', '--out', out, ...flags);
  return (await decoded(page, readFileSync(out), 'image/png')).greys;
}

export function largestDifference(a: readonly number[], b: readonly number[]): number {
  expect(b).toHaveLength(a.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
}
