// The overlay on the picture's grid: at most one section of the panel has it at a time.

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
      // Delayed: a component must not change state while it is removed, and another overlay often follows.
      queueMicrotask(() => {
        if (view.overlay === mine) view.overlay = null;
      });
    };
  });
}
