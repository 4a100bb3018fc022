// The colours of app.css for what is drawn on canvas; they follow the light and the dark scheme.

import { MediaQuery } from 'svelte/reactivity';

const NAMES = {
  card: '--card',
  sunk: '--sunk',
  ink: '--ink',
  ink2: '--ink-2',
  line: '--line',
  line2: '--line-2',
  transformer: '--transformer',
  transformerWash: '--transformer-wash',
  diffusion: '--diffusion-strong',
  diffusionWash: '--diffusion-wash',
  newest: '--newest-strong',
  danger: '--danger',
  mask: '--mask',
  maskLine: '--mask-line',
} as const;

export type Palette = Readonly<Record<keyof typeof NAMES, string>>;

const dark = new MediaQuery('prefers-color-scheme: dark');
let read: { dark: boolean; colours: Palette } | null = null;

/** The colours in force. Read inside an effect, it runs again when the scheme changes. */
export function palette(): Palette {
  if (read?.dark !== dark.current) {
    const style = getComputedStyle(document.documentElement);
    const colours = Object.fromEntries(
      Object.entries(NAMES).map(([name, property]) => [name, style.getPropertyValue(property).trim()]),
    ) as Palette;
    read = { dark: dark.current, colours };
  }
  return read.colours;
}
