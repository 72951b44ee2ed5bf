/** Replies that the v2 paths share: CORS headers, plain error pages as Go's `net/http` writes them, and v2 errors as JSON. */
import type { Bytes } from "../../bytes/bytes.ts";
import { EMPTY, ascii } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import { utf8Encode } from "../../bytes/utf8.ts";
import type { ApiReply } from "../exchange.ts";
import { encodeError } from "./json.ts";

/** What etcd sends by default, to everybody. */
export const CORS = {
  "access-control-allow-headers": "accept, content-type, authorization",
  "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
  "access-control-allow-origin": "*",
} as const;

const PLAIN = { ...CORS, "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" };

export function textReply(status: number, text: string, headers: Readonly<Record<string, string>> = {}): ApiReply {
  return { status, headers: { ...PLAIN, ...headers }, body: ascii(text) };
}

export function notFoundPage(): ApiReply {
  return textReply(404, "404 page not found\n");
}

/** @param allow left out where etcd sends no `allow` header */
export function methodNotAllowed(allow: string | null, headers: Readonly<Record<string, string>> = {}): ApiReply {
  return textReply(405, "Method Not Allowed\n", allow === null ? headers : { ...headers, allow });
}

/** What OPTIONS is answered with, whatever the path. */
export function preflight(): ApiReply {
  return { status: 200, headers: CORS, body: EMPTY };
}

/** One row an error: etcd's number, text and status. */
interface V2ErrorRow {
  readonly code: number;
  readonly message: string;
  readonly status: number;
}

const row = (code: number, message: string, status = 400): V2ErrorRow => ({ code, message, status });

const RAFT_INTERNAL = row(300, "Raft Internal Error", 500);

const UNAUTHORISED = row(110, "The request requires user authentication", 401);
const UNAUTHORISED_CAUSE = utf8Encode("Insufficient credentials");

/** By reason. Source: https://etcd.io/docs/v2.3/errorcode/ and etcd 3.4.23. */
const ROWS: Readonly<Record<string, V2ErrorRow>> = {
  v2KeyNotFound: row(100, "Key not found", 404),
  v2CompareFailed: row(101, "Compare failed", 412),
  v2NotFile: row(102, "Not a file", 403),
  v2NotDirectory: row(104, "Not a directory"),
  v2NodeExists: row(105, "Key already exists", 412),
  v2RootReadOnly: row(107, "Root is read only"),
  v2DirectoryNotEmpty: row(108, "Directory not empty", 403),
  userEmpty: UNAUTHORISED,
  permissionDenied: UNAUTHORISED,
  eventIndexCleared: row(401, "The event in requested index is outdated and cleared"),
};

/** Faults of request fields; their index is 0. */
export const FIELD_ROWS = {
  prevValueRequired: row(201, "PrevValue is Required in POST form"),
  ttlNotNumber: row(202, "The given TTL in POST form is not a number"),
  indexNotNumber: row(203, "The given index in POST form is not a number"),
  invalidField: row(209, "Invalid field"),
  invalidForm: row(210, "Invalid POST form"),
  refreshValue: row(211, "Value provided on refresh"),
  refreshTtlRequired: row(212, "A TTL must be provided on refresh"),
} as const;

/** A field that cannot be taken, on its way to the reply. */
export interface FieldFault {
  readonly row: V2ErrorRow;
  readonly cause: Bytes;
}

function errorReply(found: V2ErrorRow, cause: Bytes, index: number, clusterId: string): ApiReply {
  return {
    status: found.status,
    headers: { ...CORS, "content-type": "application/json", "x-etcd-cluster-id": clusterId, "x-etcd-index": String(index) },
    body: encodeError(found.code, found.message, cause, index),
  };
}

export function faultReply(fault: FieldFault, clusterId: string): ApiReply {
  return errorReply(fault.row, fault.cause, 0, clusterId);
}

/**
 * What a write, a read or a watch was refused with. Whatever the v2 tree did not say itself (no leader, too many requests, no space)
 * is "Raft Internal Error" with the text as its cause, as in etcd. @throws what is no QuorateError
 */
export function refusalReply(error: unknown, clusterId: string): ApiReply {
  if (!isQuorateError(error)) throw error;
  const found = ROWS[error.reason];
  if (found === undefined) return errorReply(RAFT_INTERNAL, utf8Encode(error.message), 0, clusterId);
  if (found === UNAUTHORISED) return errorReply(found, UNAUTHORISED_CAUSE, 0, clusterId);
  const { cause, index } = error.details;
  return errorReply(found, (typeof cause === "string" ? cause : "") as Bytes, typeof index === "number" ? index : 0, clusterId);
}
