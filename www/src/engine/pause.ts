// A pause in a computation, in which the messages that wait come in. A worker that computes hears nothing otherwise.

export class Pause {
  readonly #channel = new MessageChannel();
  /** What goes on after the pauses under way, the first one first. */
  readonly #waiting: (() => void)[] = [];

  constructor() {
    this.#channel.port1.onmessage = () => {
      this.#waiting.shift()?.();
    };
  }

  /** Resolves once the waiting messages are in. A timer would wait for milliseconds. */
  take(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#channel.port2.postMessage(null);
    });
  }
}
