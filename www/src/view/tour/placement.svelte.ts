// Places the tour's card so that it does not hide its target. The target is marked, scrolled into view and followed.

import { prefersReducedMotion } from 'svelte/motion';
import { MARGIN, dock, overlap, type Box } from './dock';

/** A smooth scroll is over after this long, in ms. */
const SCROLL = 900;

/** What a visitor does to a page that then is not to be scrolled away from under them. */
const ACTS = ['wheel', 'touchmove', 'pointerdown', 'keydown'] as const;

function visible(selector: string): Element | null {
  const element = document.querySelector(selector);
  return element && element.getClientRects().length > 0 ? element : null;
}

/** The timeline where it sticks to the window's lower edge. */
function stuck(): Element | null {
  const bar = document.querySelector('[data-role=timeline]')?.closest('section');
  if (!bar || getComputedStyle(bar).position !== 'sticky') return null;
  return Math.abs(bar.getBoundingClientRect().bottom - innerHeight) < 2 * MARGIN ? bar : null;
}

function room(): Box {
  const width = document.documentElement.clientWidth;
  return { left: 0, top: 0, width, height: stuck()?.getBoundingClientRect().top ?? innerHeight };
}

export class Placement {
  readonly #card: () => HTMLElement | undefined;
  /** Null until the card has been placed. */
  at: { left: number; top: number } | null = $state.raw(null);
  #target: Element | null = null;
  /** The time at which the tour's own scroll ends. */
  #scrolling = 0;
  /** Whether the visitor has acted since the target was shown: from then on the tour does not scroll. */
  #acted = false;

  constructor(card: () => HTMLElement | undefined) {
    this.#card = card;
    const acted = (): void => {
      this.#acted = true;
    };
    $effect(() => {
      for (const kind of ACTS) addEventListener(kind, acted, { passive: true, capture: true });
      return () => {
        for (const kind of ACTS) removeEventListener(kind, acted, { capture: true });
      };
    });
  }

  /** Marks the first of these that is there. */
  point(selectors: readonly string[]): void {
    const found = selectors.map(visible).find((element) => element !== null) ?? null;
    if (found === this.#target) return;
    this.#target?.removeAttribute('data-toured');
    found?.setAttribute('data-toured', '');
    this.#target = found;
  }

  /** Puts the card where it hides least, as if the page were scrolled `by` pixels further. */
  settle(by = 0): void {
    const card = this.#card();
    if (!card) return;
    const box = (element: Element | null): Box[] => {
      if (!element) return [];
      const { left, top, width, height } = element.getBoundingClientRect();
      return [{ left, top: top - by, width, height }];
    };
    const { width, height } = card.getBoundingClientRect();
    const less = ['[data-role=image]', '#mode-panel', '[data-role=timeline]', '[data-role=inside]']
      .map(visible)
      .flatMap(box);
    const next = dock({ width, height }, room(), box(this.#target), less, this.at);
    if (next.left !== this.at?.left || next.top !== this.at.top) this.at = next;
  }

  /** Scrolls what is pointed at into view, and keeps it there until the visitor acts: panels arrive late and move it. */
  reveal(): void {
    this.#acted = false;
    this.#scrolling = 0;
    this.follow();
  }

  /** Puts the card in its place and scrolls where that is due, unless the page is being scrolled. */
  follow(): void {
    if (performance.now() <= this.#scrolling) return;
    this.settle();
    if (!this.#acted) this.#scroll();
  }

  /** Scrolls the target clear of the card. */
  #scroll(): void {
    const card = this.#card();
    const target = this.#target;
    if (!card || !target || !this.at || stuck()?.contains(target)) return;
    const at = target.getBoundingClientRect();
    const { width, height } = card.getBoundingClientRect();
    const free = room();
    const hidden =
      at.top < free.top || at.bottom > free.top + free.height || overlap(at, { ...this.at, width, height }) > 0;
    if (!hidden) return;
    // A card as wide as the window leaves the part above it; a corner leaves all of the window.
    const left = width > free.width / 2 ? free.height - height - MARGIN : free.height;
    const wanted = Math.max(MARGIN / 2, (left - at.height) / 2);
    const most = document.documentElement.scrollHeight - innerHeight - scrollY;
    const by = Math.max(-scrollY, Math.min(most, at.top - wanted));
    if (Math.abs(by) < 1) return;
    const still = prefersReducedMotion.current;
    scrollBy({ top: by, behavior: still ? 'instant' : 'smooth' });
    this.settle(by);
    this.#scrolling = performance.now() + (still ? 0 : SCROLL);
  }

  /** Removes the mark. */
  release(): void {
    this.#target?.removeAttribute('data-toured');
    this.#target = null;
  }
}
