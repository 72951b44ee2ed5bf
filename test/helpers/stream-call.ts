/**
 * One call of a route without a network, held in the hand: the body is sent piece by piece, the reply is read line by line, and the
 * client can be slow or hang up.
 */
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { ApiReply, ApiRequest, Handler, ReplySink } from "../../core/api/exchange.ts";

const encoder = new TextEncoder();

export class StreamCall {
  /** The reply's head; `lines` fill up after it. */
  readonly reply: Promise<ApiReply>;
  /** Everything written, in the chunks it was written in. */
  readonly chunks: Bytes[] = [];
  ended = false;
  /** While true, `write` says that the client does not read. */
  slow = false;
  #drain: (() => void) | null = null;
  #closed: (() => void) | null = null;
  #hungUp: (() => void) | null = null;
  #pieces: Uint8Array[] = [];
  #bodyEnded = false;
  #wakeBody: (() => void) | null = null;

  /** @param body sent at once, as the whole body of a unary request or the first piece of a stream's */
  constructor(handle: Handler, body = "") {
    const request: ApiRequest = {
      method: "POST",
      path: "/",
      query: "",
      header: () => undefined,
      body: body as Bytes,
      chunks: this.#body(),
      onHangUp: (listener) => void (this.#hungUp = listener),
    };
    if (body !== "") this.send(body);
    this.reply = Promise.resolve(handle(request)).then((reply) => {
      if (typeof reply.body === "function") reply.body(this.#sink());
      return reply;
    });
  }

  send(text: string): void {
    this.#pieces.push(encoder.encode(text));
    this.#wakeBody?.();
  }

  endBody(): void {
    this.#bodyEnded = true;
    this.#wakeBody?.();
  }

  async *#body(): AsyncIterable<Uint8Array> {
    for (;;) {
      while (this.#pieces.length > 0) yield this.#pieces.shift()!;
      if (this.#bodyEnded) return;
      await new Promise<void>((resolve) => (this.#wakeBody = resolve));
    }
  }

  #sink(): ReplySink {
    return {
      write: (chunk) => {
        if (this.ended) throw new Error("written after the end");
        this.chunks.push(chunk);
        return !this.slow;
      },
      onDrain: (resume) => void (this.#drain = resume),
      onClose: (closed) => void (this.#closed = closed),
      end: () => {
        this.ended = true;
        this.#closed?.();
      },
    };
  }

  /** A slow client reads again. */
  drain(): void {
    this.slow = false;
    const resume = this.#drain;
    this.#drain = null;
    resume?.();
  }

  /** The client goes away: while it waits for the reply, or while the reply streams. */
  hangUp(): void {
    this.#hungUp?.();
    this.#closed?.();
    this.endBody();
  }

  /** What came so far, parsed. */
  get lines(): Record<string, unknown>[] {
    const text = this.chunks.join("");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Waits until so many lines have come. @throws when they do not within some turns of the event loop */
  async until(count: number): Promise<Record<string, unknown>[]> {
    for (let turn = 0; turn < 200 && this.lines.length < count; turn++) await settle();
    if (this.lines.length < count) throw new Error(`${this.lines.length} lines instead of ${count}: ${this.chunks.join("")}`);
    return this.lines;
  }
}

/** Lets everything that is ready to run, run. */
export const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
