/** Writes to a streaming reply no faster than the client reads. */
import type { Bytes } from "../bytes/bytes.ts";
import type { ReplySink } from "./exchange.ts";

export class SinkWriter {
  readonly #sink: ReplySink;
  #closed = false;
  #wake: (() => void) | null = null;
  #listener: (() => void) | null = null;

  constructor(sink: ReplySink) {
    this.#sink = sink;
    sink.onClose(() => {
      this.#closed = true;
      this.#wake?.();
      this.#listener?.();
    });
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** One listener: the client is gone, or the reply has ended. */
  onClose(listener: () => void): void {
    this.#listener = listener;
    if (this.#closed) listener();
  }

  /** Resolves when the client is ready for more, or gone. One call at a time. */
  async write(text: Bytes): Promise<void> {
    if (this.#closed || this.#sink.write(text)) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#closed) resolve();
      else this.#sink.onDrain(resolve);
    });
    this.#wake = null;
  }

  /** Does nothing when it is closed. */
  end(): void {
    if (!this.#closed) this.#sink.end();
  }
}
