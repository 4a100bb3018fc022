// A question to the engine and its state: asked, slow, answered, dropped or failed.
// An answer that comes after the next question was asked is dropped.

/** In ms: if an answer takes longer than this, a message says so. */
const SLOW = 500;

export class Answer<T> {
  /** The last answer. It stays until the next one is here: `T` says what it is about. */
  value: T | null = $state.raw(null);
  state: 'none' | 'asking' | 'slow' | 'here' | 'put aside' | 'failed' = $state('none');
  /** The error message. */
  error = $state('');
  #turn = 0;

  readonly pending: boolean = $derived(this.state === 'asking' || this.state === 'slow');

  /** Asks after a pause, in which a newer question may replace this one. Returns a function that cancels it. */
  ask(question: () => Promise<T | null>, pause = 0): () => void {
    const turn = ++this.#turn;
    const current = (): boolean => turn === this.#turn;
    this.state = 'asking';
    const slow = setTimeout(() => (this.state = 'slow'), pause + SLOW);
    const start = setTimeout(() => {
      question()
        .then((value) => {
          if (!current()) return;
          if (value !== null) this.value = value;
          this.state = value === null ? 'put aside' : 'here';
        })
        .catch((error: unknown) => {
          if (!current()) return;
          this.error = error instanceof Error ? error.message : String(error);
          this.state = 'failed';
        })
        .finally(() => {
          clearTimeout(slow);
        });
    }, pause);
    return () => {
      clearTimeout(start);
      clearTimeout(slow);
      if (current()) this.#forget();
    };
  }

  #forget(): void {
    this.#turn++;
    this.state = 'none';
  }
}
