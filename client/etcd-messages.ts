/**
 * The messages of etcd's v3 JSON gateway, as far as the port of the recipes needs them: byte strings in base64, numbers of 64 bits as
 * decimal strings, and whatever is zero, false or empty left out of replies.
 */
import { encodeBase64 } from "../core/bytes/base64.ts";
import { type Bytes, EMPTY } from "../core/bytes/bytes.ts";
import { errUnsupported } from "../core/errors.ts";
import type {
  Compare,
  CompareOperator,
  CompareTarget,
  KeyRange,
  KeyValue,
  Operation,
  OperationResult,
  RangeRequest,
  RangeResult,
  TxnRequest,
  TxnResult,
} from "../core/store/command.ts";
import type { WatchEvent } from "../core/store/watch/watcher.ts";

export interface HeaderMessage {
  readonly revision?: string;
}

interface KeyValueMessage {
  readonly key?: string;
  readonly value?: string;
  readonly create_revision?: string;
  readonly mod_revision?: string;
  readonly version?: string;
  readonly lease?: string;
}

export interface RangeMessage {
  readonly header?: HeaderMessage;
  readonly kvs?: readonly KeyValueMessage[];
  readonly more?: boolean;
  readonly count?: string;
}

interface ResponseMessage {
  readonly response_range?: RangeMessage;
  readonly response_put?: { readonly header?: HeaderMessage; readonly prev_kv?: KeyValueMessage };
  readonly response_delete_range?: {
    readonly header?: HeaderMessage;
    readonly deleted?: string;
    readonly prev_kvs?: readonly KeyValueMessage[];
  };
  readonly response_txn?: TxnMessage;
}

export interface TxnMessage {
  readonly header?: HeaderMessage;
  readonly succeeded?: boolean;
  readonly responses?: readonly ResponseMessage[];
}

export interface EventMessage {
  readonly type?: "PUT" | "DELETE";
  readonly kv?: KeyValueMessage;
  readonly prev_kv?: KeyValueMessage;
}

export function revisionOf(header: HeaderMessage | undefined): number {
  return Number(header?.revision ?? 0);
}

function fromBase64(text: string | undefined): Bytes {
  return text === undefined ? EMPTY : (atob(text) as Bytes);
}

function keyValueOf(message: KeyValueMessage): KeyValue {
  return {
    key: fromBase64(message.key),
    value: fromBase64(message.value),
    createRevision: Number(message.create_revision ?? 0),
    modRevision: Number(message.mod_revision ?? 0),
    version: Number(message.version ?? 0),
    lease: message.lease ?? "0",
  };
}

export function rangeResultOf({ kvs = [], more = false, count = "0" }: RangeMessage): RangeResult {
  return { kvs: kvs.map(keyValueOf), more, count: Number(count) };
}

export function eventOf({ type = "PUT", kv, prev_kv }: EventMessage): WatchEvent {
  return {
    type: type === "DELETE" ? "delete" : "put",
    kv: keyValueOf(kv ?? {}),
    prev: prev_kv === undefined ? null : keyValueOf(prev_kv),
  };
}

export function txnResultOf({ succeeded = false, responses = [] }: TxnMessage): TxnResult {
  return { op: "txn", succeeded, responses: responses.map(responseOf) };
}

function responseOf(message: ResponseMessage): OperationResult {
  const { response_range: range, response_put: put, response_delete_range: deleted, response_txn: txn } = message;
  if (range !== undefined) return { op: "range", ...rangeResultOf(range), revision: revisionOf(range.header) };
  if (deleted !== undefined) {
    const prev = (deleted.prev_kvs ?? []).map(keyValueOf);
    return { op: "delete", deleted: Number(deleted.deleted ?? 0), prev, revision: revisionOf(deleted.header) };
  }
  if (txn !== undefined) return { ...txnResultOf(txn), revision: 0 };
  return { op: "put", prev: put?.prev_kv === undefined ? null : keyValueOf(put.prev_kv), revision: revisionOf(put?.header) };
}

export function rangeOf({ key, end }: KeyRange): { key: string; range_end: string } {
  return { key: encodeBase64(key), range_end: encodeBase64(end) };
}

export function rangeMessage(request: RangeRequest): object {
  return {
    ...rangeOf(request),
    revision: request.revision,
    limit: request.limit,
    sort_order: request.sortOrder.toUpperCase(),
    sort_target: request.sortTarget.toUpperCase(),
    keys_only: request.keysOnly,
    count_only: request.countOnly,
    min_mod_revision: request.minModRevision,
    max_mod_revision: request.maxModRevision,
    min_create_revision: request.minCreateRevision,
    max_create_revision: request.maxCreateRevision,
  };
}

/** @throws QuorateError unsupported for an append, which etcd does not have */
export function txnMessage({ compare, success, failure }: TxnRequest): object {
  return { compare: compare.map(compareMessage), success: success.map(operationMessage), failure: failure.map(operationMessage) };
}

const FIELDS: Readonly<Record<CompareTarget, string>> = {
  version: "version",
  create: "create_revision",
  mod: "mod_revision",
  value: "value",
  lease: "lease",
};
const OPERATORS: Readonly<Record<CompareOperator, string>> = { equal: "EQUAL", greater: "GREATER", less: "LESS", notEqual: "NOT_EQUAL" };

function compareMessage({ target, operator, value, ...range }: Compare): object {
  if (target === null || operator === null) throw errUnsupported("a compare needs a target and an operator");
  const wanted = target === "value" ? encodeBase64(value as Bytes) : value.toString();
  return { ...rangeOf(range), target: target.toUpperCase(), result: OPERATORS[operator], [FIELDS[target]]: wanted };
}

function operationMessage(operation: Operation): object {
  switch (operation.op) {
    case "range":
      return { request_range: rangeMessage(operation) };
    case "put":
      return {
        request_put: {
          key: encodeBase64(operation.key),
          value: encodeBase64(operation.value),
          lease: operation.lease,
          prev_kv: operation.prevKv,
          ignore_value: operation.ignoreValue,
          ignore_lease: operation.ignoreLease,
        },
      };
    case "delete":
      return { request_delete_range: { ...rangeOf(operation), prev_kv: operation.prevKv } };
    case "txn":
      return { request_txn: txnMessage(operation) };
    case "append":
      throw errUnsupported("append is not part of etcd's API: a key that is chosen while a transaction is applied needs the v1 API");
  }
}
