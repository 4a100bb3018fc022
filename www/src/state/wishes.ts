// Which picture is decoded next: what is looked at comes first, the newest wish of all; then what is only foreseen, in its
// order. A wish is dropped once nobody looks any more, so that a fast hand on the timeline leaves no queue behind.

export class Wishes<T> {
  /** What is looked at and not there yet, the oldest wish first. */
  readonly #looked = new Set<T>();
  readonly #foreseen = new Set<T>();

  /** Somebody looks at it from now on. */
  look(wish: T): void {
    this.#looked.delete(wish);
    this.#looked.add(wish);
  }

  /** Nobody looks at it any more. */
  drop(wish: T): void {
    this.#looked.delete(wish);
  }

  /** It will be wanted. */
  foresee(wish: T): void {
    this.#foreseen.add(wish);
  }

  /** It is there, or cannot be had. */
  done(wish: T): void {
    this.#looked.delete(wish);
    this.#foreseen.delete(wish);
  }

  /** The next one; undefined where nothing is wished for. */
  next(): T | undefined {
    return [...this.#looked].at(-1) ?? [...this.#foreseen][0];
  }

  clear(): void {
    this.#looked.clear();
    this.#foreseen.clear();
  }
}
