/**
 * The messages of the v1 API, as far as the port of the recipes needs them: byte strings as text where they are UTF-8, and as
 * `{"base64": "…"}` otherwise.
 */
import { encodeBase64 } from "../core/bytes/base64.ts";
import { type Bytes, EMPTY, ZERO, prefixEnd } from "../core/bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../core/bytes/utf8.ts";
import { errUnsupported } from "../core/errors.ts";
import type {
  Compare,
  KeyRange,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  TxnRequest,
  TxnResult,
} from "../core/store/command.ts";
import type { WatchEvent } from "../core/store/watch/watcher.ts";

type BytesMessage = string | { readonly base64: string };

interface KeyValueMessage {
  readonly key: BytesMessage;
  readonly value?: BytesMessage;
  readonly createRevision: number;
  readonly modRevision: number;
  readonly version: number;
  readonly lease?: string;
  readonly contentType?: Bytes;
}

type ResultMessage =
  | { readonly op: "get"; readonly kvs: readonly KeyValueMessage[]; readonly count: number; readonly more: boolean }
  | { readonly op: "put"; readonly prev?: KeyValueMessage }
  | { readonly op: "append"; readonly key: BytesMessage }
  | { readonly op: "delete"; readonly deleted: number; readonly prev?: readonly KeyValueMessage[] }
  | ({ readonly op: "txn" } & TxnMessage);

export interface TxnMessage {
  readonly succeeded: boolean;
  readonly results: readonly ResultMessage[];
}

export interface EventMessage {
  readonly type: "put" | "delete";
  readonly key: BytesMessage;
  readonly kv?: KeyValueMessage;
  readonly prev?: KeyValueMessage;
  readonly revision: number;
}

function bytesMessage(bytes: Bytes): BytesMessage {
  const text = utf8Decode(bytes);
  return utf8Encode(text) === bytes ? text : { base64: encodeBase64(bytes) };
}

function bytesOf(message: BytesMessage): Bytes {
  return typeof message === "string" ? utf8Encode(message) : (atob(message.base64) as Bytes);
}

function keysMessage({ key, end }: KeyRange): object {
  if (end === EMPTY) return { key: bytesMessage(key) };
  if (key !== ZERO && end === prefixEnd(key)) return { prefix: bytesMessage(key) };
  return { from: bytesMessage(key), ...(end === ZERO ? {} : { to: bytesMessage(end) }) };
}

/** @throws QuorateError unsupported for a range whose ends are no text, which a URL of this API cannot say */
export function keysQuery(range: KeyRange): Record<string, string> {
  const keys = Object.entries(keysMessage(range));
  if (keys.some(([, value]) => typeof value !== "string")) throw errUnsupported("the keys of a watch must be UTF-8");
  return Object.fromEntries(keys) as Record<string, string>;
}

const FIELDS = { key: "key", version: "version", create: "createRevision", mod: "modRevision", value: "value", lease: "lease" } as const;

function getMessage({ key, end, sortTarget, sortOrder, ...filters }: RangeRequest): object {
  const isPlain = sortTarget === "key" && sortOrder === "none";
  const sort = { by: FIELDS[sortTarget], order: sortOrder === "none" ? "ascend" : sortOrder };
  const { revision, limit, keysOnly, countOnly, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision } = filters;
  const bounds = { revision, limit, minModRevision, maxModRevision, minCreateRevision, maxCreateRevision };
  // Zero and less mean none.
  const set = Object.fromEntries(Object.entries(bounds).filter(([, bound]) => bound > 0));
  return { op: "get", ...keysMessage({ key, end }), ...set, ...(isPlain ? {} : { sort }), keysOnly, countOnly };
}

function compareMessage({ target, operator, value, ...range }: Compare): object {
  if (target === null || operator === null) throw errUnsupported("a compare needs a target and an operator");
  const than = target === "value" ? bytesMessage(value as Bytes) : value;
  return { ...keysMessage(range), target: FIELDS[target], is: operator, than };
}

function operationMessage(operation: Operation): object {
  switch (operation.op) {
    case "range":
      return getMessage(operation);
    case "put": {
      const { key, value, ignoreValue, ignoreLease, prevKv, contentType } = operation;
      const kept = { ...(ignoreValue ? {} : { value: bytesMessage(value) }), ...(ignoreLease ? { keepLease: true } : {}) };
      return { op: "put", key: bytesMessage(key), contentType, ...kept, ...leaseMessage(operation), ...(prevKv ? { prev: true } : {}) };
    }
    case "append": {
      const { prefix, suffix, value } = operation;
      const message = { prefix: bytesMessage(prefix), suffix: bytesMessage(suffix), value: bytesMessage(value) };
      return { op: "append", ...message, ...leaseMessage(operation) };
    }
    case "delete":
      return { op: "delete", ...keysMessage(operation), ...(operation.prevKv ? { prev: true } : {}) };
    case "txn":
      return { op: "txn", ...txnMessage(operation) };
  }
}

function leaseMessage({ lease }: { readonly lease: string }): object {
  return lease === "0" ? {} : { lease };
}

export function txnMessage({ compare, success, failure }: TxnRequest): object {
  return { compare: compare.map(compareMessage), success: success.map(operationMessage), failure: failure.map(operationMessage) };
}

function keyValueOf({ lease = "0", ...kv }: KeyValueMessage): KeyValue {
  return { ...kv, lease, key: bytesOf(kv.key), value: bytesOf(kv.value ?? "") };
}

export function txnResultOf({ succeeded, results }: TxnMessage, revision: number): TxnResult {
  return { op: "txn", succeeded, responses: results.map((result) => resultOf(result, revision)) };
}

function resultOf(result: ResultMessage, revision: number): OperationResult {
  switch (result.op) {
    case "get":
      return { op: "range", kvs: result.kvs.map(keyValueOf), count: result.count, more: result.more, revision };
    case "put":
      return { op: "put", prev: result.prev === undefined ? null : keyValueOf(result.prev), revision };
    case "append":
      return { op: "append", key: bytesOf(result.key), revision };
    case "delete":
      return { op: "delete", deleted: result.deleted, prev: (result.prev ?? []).map(keyValueOf), revision };
    case "txn":
      return { ...txnResultOf(result, 0), revision: 0 };
  }
}

export function eventOf({ type, key, kv, prev, revision }: EventMessage): WatchEvent {
  const gone = { key: bytesOf(key), value: EMPTY, createRevision: 0, modRevision: revision, version: 0, lease: "0" };
  return { type, kv: kv === undefined ? gone : keyValueOf(kv), prev: prev === undefined ? null : keyValueOf(prev) };
}
