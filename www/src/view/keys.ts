// Keyboard shortcuts of the whole page. Keys that a focused control uses itself are left to it.

export type Shortcut = 'toggle' | 'unpin' | { by: 'moment' | 'iteration'; step: 1 | -1 };

/** Whether the control the key is meant for uses arrows itself. */
function usesArrows(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest('input, select, textarea, [role=grid]') !== null;
}

/** Whether the control the key is meant for is worked with the space bar. */
function usesSpace(target: EventTarget | null): boolean {
  return (
    target instanceof Element &&
    target.closest('button, select, textarea, a, summary, input:not([type=range])') !== null
  );
}

/** What a key press asks for; null where it asks for nothing here. */
export function shortcut(event: KeyboardEvent): Shortcut | null {
  if (event.ctrlKey || event.metaKey || event.altKey) return null;
  switch (event.key) {
    case ' ':
      return usesSpace(event.target) ? null : 'toggle';
    case 'Escape':
      return 'unpin';
    case 'ArrowLeft':
    case 'ArrowRight': {
      if (usesArrows(event.target)) return null;
      return { by: event.shiftKey ? 'iteration' : 'moment', step: event.key === 'ArrowRight' ? 1 : -1 };
    }
    default:
      return null;
  }
}
