/**
 * The messages of a request, out of the bytes as they arrive. Gathers no more than one message, and refuses one that is too long by its
 * announced length. Compressed ones (gzip) are unpacked within the same limit.
 */
import { Buffer } from "node:buffer";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { GRPC_PREFIX_BYTES } from "../../core/api/v3/grpc-message.ts";
import { QuorateError, errMessageTooLarge } from "../../core/errors.ts";
import { unpack } from "./compression.ts";

export class MessageReader {
  readonly #bytesMax: number;
  readonly #encoding: string;
  #held: Buffer[] = [];
  #heldBytes = 0;

  /** @param encoding of `grpc-encoding` */
  constructor(bytesMax: number, encoding: string) {
    this.#bytesMax = bytesMax;
    this.#encoding = encoding;
  }

  /** The stream may end here: no message has begun. */
  get isBetweenMessages(): boolean {
    return this.#heldBytes === 0;
  }

  /**
   * @returns the messages that are whole now
   * @throws QuorateError messageTooLarge, and `internal` or `unimplemented` for what is no message of gRPC
   */
  read(chunk: Buffer): Bytes[] {
    let rest = chunk;
    if (this.#heldBytes > 0) {
      this.#held.push(chunk);
      this.#heldBytes += chunk.length;
      if (this.#heldBytes < this.#wanted()) return [];
      rest = Buffer.concat(this.#held);
      this.#held = [];
      this.#heldBytes = 0;
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
    if (rest.length > 0) {
      this.#held = [rest];
      this.#heldBytes = rest.length;
    }
    return messages;
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
