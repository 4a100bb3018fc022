// What was used last, as far as it fits: the rest is let go, the longest unused first.

export class Recent<T> {
  readonly #most: number;
  readonly #drop: (item: T) => void;
  /** The one used last at the end. */
  readonly #items = new Set<T>();

  /** Keeps at most so many; `drop` hears of each that is let go. */
  constructor(most: number, drop: (item: T) => void) {
    this.#most = most;
    this.#drop = drop;
  }

  add(item: T): void {
    this.#items.delete(item);
    this.#items.add(item);
    for (const old of this.#items) {
      if (this.#items.size <= this.#most) break;
      this.#items.delete(old);
      this.#drop(old);
    }
  }

  /** It is used; nothing happens where it is not kept. */
  touch(item: T): void {
    if (this.#items.delete(item)) this.#items.add(item);
  }
}
