/**
 * Finds where one HTTP/1.1 reply ends, and nothing else: the status, then the length of the body by Content-Length or by chunks.
 *
 * States: head (looking for the empty line) · body (counting down) · chunk size, chunk data, trailer. Bytes are looked at where they lie;
 * only a head or a size line cut by a packet boundary is copied.
 */

const HEAD_MAX = 64 * 1024;

type State = "head" | "body" | "chunk-size" | "chunk-data" | "chunk-end" | "trailer";

export class ResponseFramer {
  readonly #onReply: (status: number) => void;
  readonly #onBody: ((part: Buffer) => void) | undefined;
  #state: State = "head";
  #status = 0;
  #left = 0;
  #rest: Buffer | undefined;

  /**
   * @param onReply called once a reply, when its last byte was seen
   * @param onBody called with the bytes of the body as they pass; they are the caller's only during the call
   */
  constructor(onReply: (status: number) => void, onBody?: (part: Buffer) => void) {
    this.#onReply = onReply;
    this.#onBody = onBody;
  }

  /** @throws Error on bytes that are not HTTP/1.1 */
  push(packet: Buffer): void {
    let bytes = packet;
    if (this.#rest !== undefined) {
      bytes = Buffer.concat([this.#rest, packet]);
      this.#rest = undefined;
    }
    let at = 0;
    // Each turn consumes at least one byte, or ends a reply, or leaves.
    while (at < bytes.length) {
      const next = this.#step(bytes, at);
      if (next === undefined) {
        if (bytes.length - at > HEAD_MAX) throw new Error("a reply head without end");
        this.#rest = bytes.subarray(at);
        return;
      }
      at = next;
    }
  }

  /** @returns where to go on, or undefined when more bytes are needed for a line */
  #step(bytes: Buffer, at: number): number | undefined {
    switch (this.#state) {
      case "head": {
        const end = bytes.indexOf("\r\n\r\n", at, "latin1");
        if (end < 0) return undefined;
        this.#head(bytes.toString("latin1", at, end + 2));
        return end + 4;
      }
      case "body":
      case "chunk-data": {
        const taken = Math.min(this.#left, bytes.length - at);
        this.#left -= taken;
        this.#onBody?.(bytes.subarray(at, at + taken));
        if (this.#left === 0) {
          if (this.#state === "body") this.#done();
          else this.#state = "chunk-end";
        }
        return at + taken;
      }
      case "chunk-end":
      case "chunk-size":
      case "trailer": {
        const end = bytes.indexOf("\r\n", at, "latin1");
        if (end < 0) return undefined;
        this.#line(bytes.toString("latin1", at, end));
        return end + 2;
      }
    }
  }

  #head(text: string): void {
    this.#status = Number(text.slice(9, 12));
    if (!text.startsWith("HTTP/1.1 ") || !(this.#status >= 200)) throw new Error(`not a reply: ${text.slice(0, 60)}`);
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(text);
    if (length !== null) {
      this.#left = Number(length[1]);
      this.#state = "body";
      if (this.#left === 0) this.#done();
    } else if (/\r\ntransfer-encoding: *chunked\r\n/i.test(text)) this.#state = "chunk-size";
    else if (this.#status === 204 || this.#status === 304) this.#done();
    else throw new Error("a reply without a length");
  }

  #line(text: string): void {
    if (this.#state === "chunk-end") {
      this.#state = "chunk-size";
    } else if (this.#state === "chunk-size") {
      this.#left = Number.parseInt(text, 16);
      if (!(this.#left >= 0)) throw new Error(`not a chunk size: ${text.slice(0, 20)}`);
      this.#state = this.#left === 0 ? "trailer" : "chunk-data";
    } else if (text === "") this.#done();
  }

  #done(): void {
    this.#state = "head";
    this.#onReply(this.#status);
  }
}
