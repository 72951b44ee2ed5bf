/**
 * A connection of TCP that sends any bytes, and sees by the frames of HTTP/2 that come back which streams have ended and whether the server
 * goes on. It never fails: what happens is there to be looked at.
 */
import { type Socket, connect } from "node:net";
import { FLAG, FRAME, type Frame, INITIAL_WINDOW, PREFACE, frame, readFrames, settings } from "./http2-frames.ts";

/** How long a server may take to answer or to close. Far more than it needs: the machine is shared. */
const ANSWER_MS = 15_000;
const DEFAULT_WINDOW = 65_535;
const DATA_BYTES_MAX = 16_384;

export class RawConnection {
  readonly #socket: Socket;
  #closed = false;
  #goaway = false;
  /** Bytes of a frame that is not whole yet. */
  #rest = Buffer.alloc(0);
  /** Streams that the server has ended or reset. */
  readonly #done = new Set<number>();
  /** Streams on which anything was said to the client. */
  readonly #answered = new Set<number>();
  /** Numbers of pings: sent, and answered. */
  #pings = 0;
  #pongs = 0;
  /** Of the server; null before they have come. */
  #initialWindow: number | null = null;
  /** What the server will take, by stream, and of all streams under 0. */
  readonly #windows = new Map([[0, DEFAULT_WINDOW]]);
  #changed: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => this.#data(chunk));
    socket.on("drain", () => this.#wake());
    socket.on("error", () => {}); // `close` follows
    // The server's end of a connection that it has read to its own: this side's is open until it is closed.
    for (const event of ["end", "close"]) {
      socket.once(event, () => {
        this.#closed = true;
        this.#wake();
      });
    }
  }

  /** @throws Error when nobody listens */
  static open(port: number): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        resolve(new RawConnection(socket));
      });
    });
  }

  /** Opened, with preface and settings sent. @param entries of the settings: number and value */
  static async http2(port: number, entries: readonly (readonly [number, number])[] = []): Promise<RawConnection> {
    const connection = await RawConnection.open(port);
    connection.send(PREFACE, settings(entries));
    return connection;
  }

  /** The server has closed the connection, or said that it will not go on. */
  get isOver(): boolean {
    return this.#closed || this.#goaway;
  }

  /** The stream has had an answer to its end, or was reset, or the whole connection is over. */
  isDone(stream: number): boolean {
    return this.isOver || this.#done.has(stream);
  }

  /** How many streams have had headers or a reset. */
  get answered(): number {
    return this.#answered.size;
  }

  send(...bytes: Uint8Array[]): void {
    if (this.#socket.writable) this.#socket.write(Buffer.concat(bytes));
  }

  /** Resolves when the system has taken what was sent, or the server does not read it any more. */
  async flushed(timeoutMs = ANSWER_MS): Promise<void> {
    await this.until(() => !this.#socket.writableNeedDrain, timeoutMs);
  }

  /** Sends data as the server's windows allow: they open as it reads. Stops when the stream or the connection has ended. */
  async sendData(stream: number, data: Uint8Array, end: boolean): Promise<void> {
    await this.until(() => this.#initialWindow !== null);
    this.#windows.set(stream, (this.#windows.get(stream) ?? 0) + (this.#initialWindow ?? DEFAULT_WINDOW));
    const room = (): number => Math.min(this.#windows.get(0)!, this.#windows.get(stream)!);
    for (let at = 0; at < data.length;) {
      await this.until(() => room() > 0 || this.isDone(stream));
      if (room() <= 0 || this.isDone(stream)) return;
      const part = data.subarray(at, at + Math.min(room(), DATA_BYTES_MAX));
      at += part.length;
      for (const id of [0, stream]) this.#windows.set(id, this.#windows.get(id)! - part.length);
      this.send(frame(FRAME.data, end && at === data.length ? FLAG.endStream : 0, stream, part));
    }
  }

  /** Says that it will send no more, and goes on reading. */
  halfClose(): void {
    this.#socket.end();
  }

  /** Reads no more. */
  pause(): void {
    this.#socket.pause();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** Closes it the hard way (RST of TCP). */
  reset(): void {
    this.#socket.resetAndDestroy();
  }

  /** @returns whether it came true in time */
  async until(condition: () => boolean, timeoutMs = ANSWER_MS): Promise<boolean> {
    const end = performance.now() + timeoutMs;
    while (!condition()) {
      const leftMs = end - performance.now();
      if (this.#closed || leftMs <= 0) return false;
      await this.#change(leftMs);
    }
    return true;
  }

  closed(): Promise<boolean> {
    return this.until(() => this.#closed);
  }

  /** Whether the connection still works: `alive`, `over`, or neither in time. */
  async probe(): Promise<"alive" | "over" | "hangs"> {
    const ping = Buffer.alloc(8);
    ping.writeUInt32BE(++this.#pings, 4);
    this.send(frame(FRAME.ping, 0, 0, ping));
    await this.until(() => this.#pongs === this.#pings || this.isOver);
    if (this.isOver) return "over";
    return this.#pongs === this.#pings ? "alive" : "hangs";
  }

  #data(chunk: Buffer): void {
    const { frames, rest } = readFrames(this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]));
    this.#rest = Buffer.from(rest);
    for (const one of frames) this.#frame(one);
    this.#wake();
  }

  #frame({ type, flags, stream, payload }: Frame): void {
    const ack = (flags & FLAG.ack) !== 0;
    if (type === FRAME.headers || type === FRAME.rstStream) this.#answered.add(stream);
    if (type === FRAME.settings && !ack) {
      this.#initialWindow ??= initialWindowOf(payload);
      this.send(frame(FRAME.settings, FLAG.ack, 0));
    } else if (type === FRAME.ping && ack) this.#pongs = Math.max(this.#pongs, payload.readUInt32BE(4));
    else if (type === FRAME.windowUpdate) this.#windows.set(stream, (this.#windows.get(stream) ?? 0) + payload.readUInt32BE());
    else if (type === FRAME.goaway) this.#goaway = true;
    else if (type === FRAME.rstStream) this.#done.add(stream);
    else if ((type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0) this.#done.add(stream);
  }

  #wake(): void {
    for (const changed of this.#changed.splice(0)) changed();
  }

  /** Resolves when anything has come, or the connection is closed. */
  #change(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#changed.push(() => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

function initialWindowOf(entries: Buffer): number {
  for (let at = 0; at < entries.length; at += 6) if (entries.readUInt16BE(at) === INITIAL_WINDOW) return entries.readUInt32BE(at + 2);
  return DEFAULT_WINDOW;
}
