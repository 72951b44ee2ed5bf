/** Requests to the store in few words, for code that makes many of them. */
import { type Bytes, EMPTY, prefixEnd } from "../bytes/bytes.ts";
import type {
  Compare,
  CompareTarget,
  KeyRange,
  KeyValue,
  LeaseId,
  Operation,
  RangeRequest,
  TxnRequest,
  TxnResult,
} from "../store/command.ts";

const NO_LEASE: LeaseId = "0";

/** The range of one key. */
export function oneKey(key: Bytes): KeyRange {
  return { key, end: EMPTY };
}

/** The range of all keys that begin with the prefix. */
export function keysUnder(prefix: Bytes): KeyRange {
  return { key: prefix, end: prefixEnd(prefix) };
}

export function readOf(range: KeyRange, more: Partial<RangeRequest> = {}): RangeRequest {
  return { ...NO_FILTER, ...range, ...more };
}

const NO_FILTER = {
  revision: 0,
  limit: 0,
  sortTarget: "key",
  sortOrder: "none",
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
} as const;

export function rangeOp(range: KeyRange, more: Partial<RangeRequest> = {}): Operation {
  return { op: "range", ...readOf(range, more) };
}

export function putOp(key: Bytes, value: Bytes, lease: LeaseId = NO_LEASE): Operation {
  return { op: "put", key, value, lease, prevKv: false, ignoreValue: false, ignoreLease: false };
}

/** A put whose key is `prefix`, the revision in 20 digits, `suffix`. */
export function appendOp(prefix: Bytes, suffix: Bytes, value: Bytes, lease: LeaseId = NO_LEASE): Operation {
  return { op: "append", prefix, suffix, value, lease };
}

export function deleteOp(range: KeyRange): Operation {
  return { op: "delete", ...range, prevKv: false };
}

/** A compare for equality. With a range of several keys it holds when it holds for each one that is there. */
export function isAt(target: CompareTarget, range: KeyRange, value: Bytes | number): Compare {
  return { ...range, target, operator: "equal", value };
}

/** The key is there since this revision; 0: there is none. */
export function createdAt(key: Bytes, revision: number): Compare {
  return isAt("create", oneKey(key), revision);
}

/** The key was put last at this revision; 0: there is none. */
export function modifiedAt(key: Bytes, revision: number): Compare {
  return isAt("mod", oneKey(key), revision);
}

export function txnOf(compare: readonly Compare[], success: readonly Operation[], failure: readonly Operation[] = []): TxnRequest {
  return { compare, success, failure };
}

/** What the range at this place of a transaction found. */
export function foundAt(result: TxnResult, at: number): readonly KeyValue[] {
  const response = result.responses[at];
  return response?.op === "range" ? response.kvs : [];
}
