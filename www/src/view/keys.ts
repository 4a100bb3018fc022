// Keyboard shortcuts of the whole page. Keys that a focused control uses itself are left to it.

import { MODES, type Mode } from '../state/view.svelte';

export type Shortcut = 'toggle' | 'release' | { mode: Mode } | { by: 'moment' | 'iteration'; step: 1 | -1 };

/** Whether what the key is meant for matches. */
function isFor(event: KeyboardEvent, selector: string): boolean {
  return event.target instanceof Element && event.target.closest(selector) !== null;
}

const USES_ARROWS = 'input, select, textarea, [role=grid], [role=tablist], [role=radiogroup], [role=slider]';
const USES_SPACE = 'button, select, textarea, a, summary, [role=grid], input:not([type=range])';
const USES_DIGITS = 'select, textarea, input:not([type=range], [type=radio], [type=checkbox])';

/** What a key press asks for; null where it asks for nothing here. */
export function shortcut(event: KeyboardEvent): Shortcut | null {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return null;
  if (isFor(event, 'dialog')) return null;
  switch (event.key) {
    case ' ':
      return isFor(event, USES_SPACE) ? null : 'toggle';
    case 'Escape':
      return 'release';
    case 'ArrowLeft':
    case 'ArrowRight': {
      if (isFor(event, USES_ARROWS)) return null;
      return { by: event.shiftKey ? 'iteration' : 'moment', step: event.key === 'ArrowRight' ? 1 : -1 };
    }
    default: {
      const mode = /^[1-9]$/.test(event.key) ? MODES[Number(event.key) - 1] : undefined;
      return mode && !isFor(event, USES_DIGITS) ? { mode } : null;
    }
  }
}

/** The cell that a key moves to in a grid; the same cell at the edge, undefined for other keys. */
export function walk(key: string, at: number, rows: number, columns: number): number | undefined {
  const row = Math.floor(at / columns);
  const column = at % columns;
  return {
    ArrowLeft: column > 0 ? at - 1 : at,
    ArrowRight: column < columns - 1 ? at + 1 : at,
    ArrowUp: row > 0 ? at - columns : at,
    ArrowDown: row < rows - 1 ? at + columns : at,
    Home: row * columns,
    End: row * columns + columns - 1,
  }[key];
}
