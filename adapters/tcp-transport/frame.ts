/**
 * Frames between members: `length u32 LE | crc32 u32 LE | body`, where the CRC covers the body and the body is a version byte
 * followed by one MessagePack value. Layout and examples: docs/formats/peer.md.
 */
import { decode, encode } from "@msgpack/msgpack";
import { crc32 } from "node:zlib";

/** First byte of every body. A member that reads another one closes the connection and says so. */
export const FRAME_VERSION = 1;
export const FRAME_HEADER_BYTES = 8;
/** No frame is longer: an append of the largest batch with room to spare. What announces more is not a peer. */
export const FRAME_BYTES_MAX = 64 * 1024 * 1024;

export function encodeFrame(value: unknown): Buffer {
  const packed = encode(value, { ignoreUndefined: true });
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + 1 + packed.length);
  frame[FRAME_HEADER_BYTES] = FRAME_VERSION;
  frame.set(packed, FRAME_HEADER_BYTES + 1);
  const body = frame.subarray(FRAME_HEADER_BYTES);
  frame.writeUInt32LE(body.length, 0);
  frame.writeUInt32LE(crc32(body), 4);
  return frame;
}

/** What is wrong with the bytes of a connection; the connection cannot be read on. */
export class FrameError extends Error {
  override readonly name = "FrameError";
}

/** Cuts a byte stream into frames. Holds at most one frame and what arrived with its end. */
export class FrameReader {
  #parts: Buffer[] = [];
  #bytes = 0;
  /** Longest body that is taken. */
  bytesMax: number;

  constructor(bytesMax: number = FRAME_BYTES_MAX) {
    this.bytesMax = bytesMax;
  }

  /** @returns the values completed by this piece, in order @throws FrameError on a wrong length, CRC, version or encoding */
  push(piece: Buffer): unknown[] {
    this.#parts.push(piece);
    this.#bytes += piece.length;
    const values: unknown[] = [];
    while (this.#bytes >= FRAME_HEADER_BYTES) {
      const head = this.#peek(FRAME_HEADER_BYTES);
      const length = head.readUInt32LE(0);
      if (length < 2 || length > this.bytesMax)
        throw new FrameError(`a frame of a wrong length: ${length} bytes (at most ${this.bytesMax})`);
      if (this.#bytes < FRAME_HEADER_BYTES + length) break;
      const frame = this.#peek(FRAME_HEADER_BYTES + length);
      const body = frame.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length);
      if (crc32(body) !== head.readUInt32LE(4)) throw new FrameError("a frame with a wrong CRC");
      if (body[0] !== FRAME_VERSION) throw new FrameError(`a frame of another version: ${body[0]}; this member reads ${FRAME_VERSION}`);
      try {
        values.push(decode(body.subarray(1)));
      } catch (error) {
        throw new FrameError("a frame that is not MessagePack", { cause: error });
      }
      this.#drop(FRAME_HEADER_BYTES + length);
    }
    return values;
  }

  /** The first `count` bytes in one piece. */
  #peek(count: number): Buffer {
    const [first] = this.#parts;
    if (first !== undefined && first.length >= count) return first;
    const joined = Buffer.concat(this.#parts);
    this.#parts = [joined];
    return joined;
  }

  #drop(count: number): void {
    const rest = this.#parts[0]!.subarray(count);
    this.#bytes -= count;
    if (rest.length > 0) this.#parts[0] = rest;
    else this.#parts.shift();
  }
}
