/**
 * One TCP (or TLS) connection between two members, after the sockets met: framing, batching of writes, bounds, pings. It knows
 * nothing of clusters; `tcp-transport.ts` shakes hands and gives meaning to the values.
 */
import type { Socket } from "node:net";
import { FRAME_BYTES_MAX, FrameError, FrameReader, encodeFrame } from "./frame.ts";

/** Bytes that may wait in one connection before further messages are dropped: a slow peer costs no more memory than this. */
export const QUEUE_BYTES_MAX = 64 * 1024 * 1024;
/** A silent connection is asked for a sign of life after this many milliseconds … */
export const PING_AFTER_MS = 2_000;
/** … and given up after this many. */
export const SILENT_MS_MAX = 8_000;

export interface LinkEvents {
  /** One value; a thrown `FrameError` closes the link. */
  value(value: unknown): void;
  /** Called once. `error` is undefined when the other side ended in order. */
  closed(error: Error | undefined): void;
  /** A ping was answered. */
  roundTrip?(ms: number): void;
}

/** Values that the link keeps to itself. */
interface Control {
  readonly ping?: number;
  readonly pong?: number;
}

export class Link {
  readonly socket: Socket;
  #events: LinkEvents;
  readonly #reader: FrameReader;
  #waiting: Buffer[] = [];
  #flushPlanned = false;
  #closed = false;
  #heardAt = performance.now();
  readonly #watchdog: NodeJS.Timeout;
  sentBytes = 0;
  sentFrames = 0;

  /** @param frameBytesMax longest frame that is taken until `trust` or `become` */
  constructor(socket: Socket, events: LinkEvents, frameBytesMax = FRAME_BYTES_MAX) {
    this.socket = socket;
    this.#events = events;
    this.#reader = new FrameReader(frameBytesMax);
    socket.setNoDelay(true);
    socket.on("data", (piece: Buffer) => this.#take(piece));
    socket.on("error", (error) => this.close(error));
    socket.on("close", () => this.close(undefined));
    this.#watchdog = setInterval(() => this.#watch(), PING_AFTER_MS / 2);
    this.#watchdog.unref();
  }

  /** @returns false when the queue is full or the link is closed: the value was dropped */
  send(value: unknown): boolean {
    if (this.#closed || this.socket.writableLength > QUEUE_BYTES_MAX) return false;
    const frame = encodeFrame(value);
    this.sentBytes += frame.length;
    this.sentFrames++;
    this.#waiting.push(frame);
    if (!this.#flushPlanned) {
      this.#flushPlanned = true;
      setImmediate(() => this.#flush()); // what one turn of the loop sends leaves in one write
    }
    return true;
  }

  /** Resolves when the peer takes more: for streams that must not fill the queue. */
  async drained(): Promise<void> {
    this.#flush();
    while (!this.#closed && this.socket.writableNeedDrain) {
      await new Promise<void>((resolve) => {
        const done = () => {
          this.socket.off("drain", done);
          this.socket.off("close", done);
          resolve();
        };
        this.socket.on("drain", done);
        this.socket.on("close", done);
      });
    }
  }

  get isClosed(): boolean {
    return this.#closed;
  }

  /** What happens from now on is somebody else's: after the handshake. Takes effect with the next value, in the same piece too. */
  become(events: LinkEvents): void {
    this.#events = events;
    this.trust();
  }

  /** The other side has said who it is: its frames may be of full length. */
  trust(): void {
    this.#reader.bytesMax = FRAME_BYTES_MAX;
  }

  /**
   * Without an error what was sent still leaves, if the other side takes it. After an error nobody waits for it: a dead peer would
   * hold a whole queue in memory.
   */
  close(error: Error | undefined): void {
    if (this.#closed) return;
    if (error === undefined) {
      this.#flush();
      this.socket.setTimeout(SILENT_MS_MAX, () => this.socket.destroy());
      this.socket.destroySoon();
    } else this.socket.destroy();
    this.#closed = true;
    this.#waiting = [];
    clearInterval(this.#watchdog);
    this.#events.closed(error);
  }

  #flush(): void {
    this.#flushPlanned = false;
    if (this.#closed || this.#waiting.length === 0) return;
    const frames = this.#waiting;
    this.#waiting = [];
    this.socket.write(frames.length === 1 ? frames[0]! : Buffer.concat(frames));
  }

  #take(piece: Buffer): void {
    if (this.#closed) return;
    this.#heardAt = performance.now();
    try {
      for (const value of this.#reader.push(piece)) {
        if (!this.#control(value)) this.#events.value(value);
        if (this.#closed) return;
      }
    } catch (error) {
      // A FrameError is the peer's fault; anything else is a bug of a handler, which must not be hidden as one.
      if (!(error instanceof FrameError)) throw error;
      this.close(error);
    }
  }

  #control(value: unknown): boolean {
    if (typeof value !== "object" || value === null) return false;
    const { ping, pong } = value as Control;
    if (typeof ping === "number") this.send({ pong: ping });
    else if (typeof pong === "number") this.#events.roundTrip?.(performance.now() - pong);
    else return false;
    return true;
  }

  #watch(): void {
    if (this.socket.isPaused()) this.#heardAt = performance.now(); // nothing can be heard, by this side's own wish
    const silent = performance.now() - this.#heardAt;
    if (silent > SILENT_MS_MAX) this.close(new Error(`nothing heard for ${Math.round(silent)} ms`));
    else if (silent > PING_AFTER_MS) this.send({ ping: performance.now() });
  }
}
