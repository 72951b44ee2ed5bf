/**
 * The messages of a request, out of the bytes as they arrive. Gathers no more than one message, and refuses one that is too long by its
 * announced length. Compressed ones (gzip) are unpacked within the same limit. What all readers of a connection, and of the server, gather
 * together has a limit of its own: a client may begin a message on each of many streams and end none.
 */
import { Buffer } from "node:buffer";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { GRPC_PREFIX_BYTES } from "../../core/api/v3/grpc-message.ts";
import { QuorateError, errMessageTooLarge, errTooManyRequests } from "../../core/errors.ts";
import { unpack } from "./compression.ts";

/** Bytes that are held for several calls together: of messages that are not whole yet, or of replies that are not taken. */
export class HeldBytes {
  readonly #bytesMax: number;
  /** Of which these are a part. */
  readonly #whole: HeldBytes | null;
  #bytes = 0;

  constructor(bytesMax: number, whole: HeldBytes | null = null) {
    this.#bytesMax = bytesMax;
    this.#whole = whole;
  }

  /** @returns false when there are too many: then nothing is added */
  add(bytes: number): boolean {
    if (this.#bytes + bytes > this.#bytesMax || this.#whole?.add(bytes) === false) return false;
    this.#bytes += bytes;
    return true;
  }

  remove(bytes: number): void {
    this.#bytes -= bytes;
    this.#whole?.remove(bytes);
  }
}

export class MessageReader {
  readonly #bytesMax: number;
  readonly #encoding: string;
  readonly #allHeld: HeldBytes;
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @param encoding of `grpc-encoding` */
  constructor(bytesMax: number, encoding: string, allHeld: HeldBytes) {
    this.#bytesMax = bytesMax;
    this.#allHeld = allHeld;
    this.#encoding = encoding;
  }

  /** The stream may end here: no message has begun. */
  get isBetweenMessages(): boolean {
    return this.#heldBytes === 0;
  }

  /**
   * @returns the messages that are whole now
   * @throws QuorateError messageTooLarge, tooManyRequests, and `internal` or `unimplemented` for what is no message of gRPC
   */
  read(chunk: Buffer): Bytes[] {
    let rest = chunk;
    if (this.#heldBytes > 0) {
      this.#hold(chunk);
      if (this.#heldBytes < this.#wanted()) return [];
      rest = Buffer.concat(this.#held);
      this.release();
    }
    const messages: Bytes[] = [];
    while (rest.length > 0) {
      const length = rest.length < GRPC_PREFIX_BYTES ? 0 : this.#lengthOf(rest);
      const end = GRPC_PREFIX_BYTES + length;
      if (rest.length < end) break;
      messages.push(
        rest[0] === 0
          ? (rest.toString("latin1", GRPC_PREFIX_BYTES, end) as Bytes)
          : unpack(rest.subarray(GRPC_PREFIX_BYTES, end), this.#bytesMax),
      );
      rest = rest.subarray(end);
    }
    if (rest.length > 0) this.#hold(rest);
    return messages;
  }

  /** Forgets a message that is not whole. */
  release(): void {
    this.#allHeld.remove(this.#heldBytes);
    this.#held = [];
    this.#heldBytes = 0;
  }

  #hold(chunk: Buffer): void {
    if (!this.#allHeld.add(chunk.length)) throw errTooManyRequests();
    this.#heldBytes += chunk.length;
    this.#held.push(chunk.length * 2 < chunk.buffer.byteLength ? copyOf(chunk) : chunk);
  }

  /** Bytes held that make it worth looking again. */
  #wanted(): number {
    const first = this.#held[0]!;
    return first.length < GRPC_PREFIX_BYTES ? GRPC_PREFIX_BYTES : GRPC_PREFIX_BYTES + first.readUInt32BE(1);
  }

  #lengthOf(buffer: Buffer): number {
    const length = buffer.readUInt32BE(1);
    if (length > this.#bytesMax) throw errMessageTooLarge(length, this.#bytesMax);
    const flag = buffer[0]!;
    if (flag > 1) throw new QuorateError("internal", "badProtobuf", `grpc: received unexpected payload format ${flag}`);
    if (flag === 1) this.#checkEncoding();
    return length;
  }

  #checkEncoding(): void {
    if (this.#encoding === "" || this.#encoding === "identity") {
      throw new QuorateError("internal", "badProtobuf", "grpc: compressed flag set with identity or empty encoding");
    }
  }
}

/** A small piece of what was read from the socket would keep all of it in memory. */
function copyOf(chunk: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(chunk.length);
  chunk.copy(copy);
  return copy;
}
