/** A stream of server-sent events from a real server, read one by one. */

export interface SentEvent {
  readonly event: string;
  readonly id: string | undefined;
  readonly data: Record<string, unknown>;
}

export class EventReader {
  readonly #hungUp = new AbortController();
  #reader: ReadableStreamDefaultReader<Uint8Array> | null = null;
  #text = "";

  /** @throws Error when the reply is no stream */
  static async open(url: string, init: RequestInit = {}): Promise<EventReader> {
    const stream = new EventReader();
    const reply = await fetch(url, { ...init, signal: stream.#hungUp.signal });
    if (reply.headers.get("content-type") !== "text/event-stream") throw new Error(`${reply.status} ${await reply.text()}`);
    stream.#reader = reply.body!.getReader();
    return stream;
  }

  /** @returns undefined when the stream has ended */
  async next(): Promise<SentEvent | undefined> {
    const decoder = new TextDecoder();
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const lines = this.#text.slice(0, end).split("\n");
        this.#text = this.#text.slice(end + 2);
        const field = (name: string) => lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2);
        const data = field("data");
        if (data === undefined) continue; // a comment
        return { event: field("event") ?? "message", id: field("id"), data: JSON.parse(data) as Record<string, unknown> };
      }
      const { done, value } = await this.#reader!.read();
      if (done) return undefined;
      this.#text += decoder.decode(value, { stream: true });
    }
  }

  hangUp(): void {
    this.#hungUp.abort();
  }
}
