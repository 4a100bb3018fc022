// Painting over the picture's grid: at most one of the panel's sections does so at a time.

import type { Overlay, View } from '../../state/view.svelte';

export type Painter = Overlay['tone'];

/** Keeps the overlay what `overlay` says while the component lives, and takes it away after that. */
export function paint(on: () => View, overlay: () => Overlay | null): void {
  $effect(() => {
    const view = on();
    const mine = overlay();
    if (!mine) return;
    view.overlay = mine;
    return () => {
      // Not at once: what is torn down must not change what is being drawn, and most often another overlay follows.
      queueMicrotask(() => {
        if (view.overlay === mine) view.overlay = null;
      });
    };
  });
}
