/**
 * The size of a message in protobuf, which is what etcd's limits on requests are about, whatever form the request came in.
 * Source: https://protobuf.dev/programming-guides/encoding/.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import { errMessageTooLarge, errRequestTooLarge } from "../../errors.ts";
import { type Field, type MessageTable, defaultOf } from "./message-table.ts";

/** What gRPC takes beyond the limit of a request, for its envelope (etcd's `grpcOverheadBytes`). */
const ENVELOPE_BYTES = 512 * 1024;

/** What etcd puts around a request in its log: an id of 10 bytes in a header, tags and lengths. */
const LOG_HEADER_BYTES = 14;

/** @param message of the table's type */
export function protobufSize<T>(table: MessageTable<T>, message: T): number {
  const values = message as Record<string, unknown>;
  let size = 0;
  for (const field of table.fields) {
    const value = values[field.property];
    if (field.repeated) size += listSize(field, value as readonly unknown[]);
    else if (value !== defaultOf(field) && value !== null) size += tagSize(field) + valueSize(field, value);
  }
  return size;
}

function listSize(field: Field, list: readonly unknown[]): number {
  if (list.length === 0) return 0;
  let size = 0;
  for (const value of list) size += valueSize(field, value);
  const packed = field.kind !== "message" && field.kind !== "bytes" && field.kind !== "string";
  return packed ? tagSize(field) + varintSize(size) + size : size + list.length * tagSize(field);
}

function valueSize(field: Field, value: unknown): number {
  switch (field.kind) {
    case "bool":
      return 1;
    case "bytes":
      return withLength((value as Bytes).length);
    case "string":
      return withLength(utf8Encode(value as string).length);
    case "message":
      return withLength(protobufSize(field.message!() as MessageTable<unknown>, value));
    default:
      return varintSize(Number(value));
  }
}

function tagSize(field: Field): number {
  return varintSize(field.number << 3);
}

function withLength(bytes: number): number {
  return varintSize(bytes) + bytes;
}

/** Seven bits a byte; negative numbers take all ten. */
function varintSize(value: number): number {
  if (value < 0) return 10;
  let size = 1;
  for (let rest = value; rest >= 128; rest /= 128) size++;
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
