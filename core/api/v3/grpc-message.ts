/** The prefix of a message in gRPC: whether it is compressed, and how long it is. Source: gRPC over HTTP2, "Length-Prefixed-Message". */
import type { Bytes } from "../../bytes/bytes.ts";

/** Bytes before a message. */
export const GRPC_PREFIX_BYTES = 5;

/** @param message protobuf @param packed as the call's `grpc-encoding` says */
export function grpcMessage(message: Bytes, packed = false): Bytes {
  const { length } = message;
  return (String.fromCharCode(packed ? 1 : 0, length >>> 24, (length >>> 16) & 255, (length >>> 8) & 255, length & 255) + message) as Bytes;
}
