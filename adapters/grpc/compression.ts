/** Messages packed with gzip. What is small is left as it is: packing it makes it longer. Source: gRPC's compression.md. */
import { Buffer } from "node:buffer";
import { gunzipSync, gzipSync } from "node:zlib";
import { grpcMessage } from "../../core/api/v3/grpc-message.ts";
import type { Bytes } from "../../core/bytes/bytes.ts";
import { QuorateError, errMessageTooLarge } from "../../core/errors.ts";

/** Shorter messages are not packed. */
const PACKED_BYTES_MIN = 1024;

/** @returns the message with its prefix, packed where that is worth it */
export function packedMessage(message: Bytes): Bytes {
  if (message.length < PACKED_BYTES_MIN) return grpcMessage(message);
  return grpcMessage(gzipSync(Buffer.from(message, "latin1")).toString("latin1") as Bytes, true);
}

/**
 * @param bytesMax of what comes out: a small message may hold a very large one
 * @throws QuorateError messageTooLarge, badProtobuf
 */
export function unpack(packed: Buffer, bytesMax: number): Bytes {
  try {
    return gunzipSync(packed, { maxOutputLength: bytesMax }).toString("latin1") as Bytes;
  } catch (error) {
    if (error instanceof RangeError) throw errMessageTooLarge(bytesMax + 1, bytesMax);
    const what = error instanceof Error ? error.message : String(error);
    throw new QuorateError("internal", "badProtobuf", `grpc: failed to decompress the received message: ${what}`);
  }
}
