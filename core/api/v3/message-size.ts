/**
 * The size of a message in protobuf, which is what etcd's limits on requests are about, whatever form the request came in.
 */
import { errMessageTooLarge, errRequestTooLarge } from "../../errors.ts";
import type { MessageTable } from "./message-table.ts";
import { protobufEncoder } from "./protobuf-codec.ts";

/** What gRPC takes beyond the limit of a request, for its envelope (etcd's `grpcOverheadBytes`). */
const ENVELOPE_BYTES = 512 * 1024;

/** What etcd puts around a request in its log: an id of 10 bytes in a header, tags and lengths. */
const LOG_HEADER_BYTES = 14;

/** @param message of the table's type */
export function protobufSize<T>(table: MessageTable<T>, message: T): number {
  return protobufEncoder(table)(message).length; // pieces are only counted: nothing is copied until somebody reads the text
}

/** With the length before it. */
function withLength(bytes: number): number {
  let size = bytes + 1;
  for (let rest = bytes; rest >= 128; rest /= 128) size++;
  return size;
}

/**
 * The limit on a request as it arrives, before it is looked at.
 * @param bytesAtMost its size in protobuf cannot be larger: below the limit it is not computed
 * @throws QuorateError messageTooLarge
 */
export function checkMessageSize<T>(table: MessageTable<T>, message: T, bytesAtMost: number, maxRequestBytes: number): void {
  const bytesMax = maxRequestBytes + ENVELOPE_BYTES;
  if (bytesAtMost <= bytesMax) return;
  const bytes = protobufSize(table, message);
  if (bytes > bytesMax) throw errMessageTooLarge(bytes, bytesMax);
}

/**
 * The limit on a request as it would stand in etcd's log.
 * @param bytesAtMost as above
 * @throws QuorateError requestTooLarge
 */
export function checkRequestSize<T>(table: MessageTable<T>, message: T, bytesAtMost: number, maxRequestBytes: number): void {
  if (bytesAtMost + LOG_HEADER_BYTES + 5 <= maxRequestBytes) return;
  if (LOG_HEADER_BYTES + 1 + withLength(protobufSize(table, message)) > maxRequestBytes) throw errRequestTooLarge();
}
