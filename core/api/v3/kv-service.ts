/**
 * etcd's KV service: requests are checked for their form, turned into commands or reads of the store, and their results into replies.
 * A method answers at once when it can, and only otherwise with a promise. Source: etcd's rpc.proto and v3rpc/key.go.
 *
 * `bytesAtMost`: a bound on the request's size in protobuf, so that the exact size is computed for large ones only.
 */
import { EMPTY } from "../../bytes/bytes.ts";
import { errEmptyKey, errInvalidSortOption, errKeyNotFound, errTooManyOps } from "../../errors.ts";
import { unreachable } from "../../invariant.ts";
import type { Member } from "../../replica/member.ts";
import {
  type Compare,
  type CompareOperator,
  type CompareTarget,
  type Operation,
  type OperationResult,
  type RangeRequest,
  type SortOrder,
  type SortTarget,
  type TxnRequest,
  type TxnResult,
} from "../../store/command.ts";
import { checkDelete, checkPut, checkRange, checkTxn, isReadOnly } from "../../store/mvcc/transaction.ts";
import { checkRequestSize } from "./message-size.ts";
import {
  type CompactionRequestMessage,
  type CompareMessage,
  DELETE_RANGE_REQUEST,
  type DeleteRangeRequestMessage,
  type DeleteRangeResponseMessage,
  type HeaderOnly,
  PUT_REQUEST,
  type PutRequestMessage,
  type PutResponseMessage,
  type RangeRequestMessage,
  type RangeResponseMessage,
  type RequestOpMessage,
  RESPONSE_OP,
  type ResponseOpMessage,
  TXN_REQUEST,
  type TxnRequestMessage,
  type TxnResponseMessage,
} from "./messages.ts";
import { headerOf, innerHeader } from "./response-header.ts";

export interface RequestLimits {
  /** Operations, and compares, of one transaction. */
  readonly maxTxnOps: number;
  /** Of one request, in protobuf. */
  readonly maxRequestBytes: number;
}

const SORT_ORDERS: readonly SortOrder[] = ["none", "ascend", "descend"];
const SORT_TARGETS: readonly SortTarget[] = ["key", "version", "create", "mod", "value"];
const OPERATORS: readonly CompareOperator[] = ["equal", "greater", "less", "notEqual"];
const TARGETS: readonly CompareTarget[] = ["version", "create", "mod", "value", "lease"];

export class KvService {
  readonly #member: Member;
  readonly #limits: RequestLimits;

  constructor(member: Member, limits: RequestLimits) {
    this.#member = member;
    this.#limits = limits;
  }

  range(message: RangeRequestMessage): RangeResponseMessage | Promise<RangeResponseMessage> {
    const request = rangeOf(message);
    checkRange(request);
    const barrier = message.serializable ? undefined : this.#member.readBarrier();
    return barrier === undefined ? this.#range(request) : barrier.then(() => this.#range(request));
  }

  #range(request: RangeRequest): RangeResponseMessage {
    const { kvs, more, count } = this.#member.store.range(request);
    return { header: headerOf(this.#member), kvs, more, count };
  }

  async put(message: PutRequestMessage, bytesAtMost: number): Promise<PutResponseMessage> {
    checkPut(message);
    checkRequestSize(PUT_REQUEST, message, bytesAtMost, this.#limits.maxRequestBytes);
    const { key, value, lease, prevKv, ignoreValue, ignoreLease } = message;
    const { revision, result } = await this.#member.propose({ kind: "put", key, value, lease, prevKv, ignoreValue, ignoreLease });
    return { header: headerOf(this.#member, revision), prevKv: result.prev };
  }

  async deleteRange(message: DeleteRangeRequestMessage, bytesAtMost: number): Promise<DeleteRangeResponseMessage> {
    const { key, rangeEnd, prevKv } = message;
    checkDelete({ key, end: rangeEnd });
    checkRequestSize(DELETE_RANGE_REQUEST, message, bytesAtMost, this.#limits.maxRequestBytes);
    const { revision, result } = await this.#member.propose({ kind: "delete", key, end: rangeEnd, prevKv });
    return { header: headerOf(this.#member, revision), deleted: result.deleted, prevKvs: result.prev };
  }

  txn(message: TxnRequestMessage, bytesAtMost: number): TxnResponseMessage | Promise<TxnResponseMessage> {
    const request = this.#txnOf(message);
    checkTxn(request, this.#limits.maxTxnOps);
    if (isReadOnly(request)) {
      const barrier = isSerializable(message) ? undefined : this.#member.readBarrier();
      return barrier === undefined ? this.#readTxn(request) : barrier.then(() => this.#readTxn(request));
    }
    checkRequestSize(TXN_REQUEST, message, bytesAtMost, this.#limits.maxRequestBytes);
    return this.#writeTxn(request);
  }

  #txnOf(message: TxnRequestMessage): TxnRequest {
    try {
      return txnOf(message);
    } catch (error) {
      checkInOrder(message, this.#limits.maxTxnOps);
      throw error;
    }
  }

  #readTxn(request: TxnRequest): TxnResponseMessage {
    const result = this.#member.store.readTxn(request);
    return this.#txnReply(this.#member.store.revision, result);
  }

  async #writeTxn(request: TxnRequest): Promise<TxnResponseMessage> {
    const { revision, result } = await this.#member.propose({ kind: "txn", ...request });
    return this.#txnReply(revision, result);
  }

  #txnReply(revision: number, result: TxnResult): TxnResponseMessage {
    return { header: headerOf(this.#member, revision), succeeded: result.succeeded, responses: result.responses.map(responseOf) };
  }

  /** `physical` asks to wait until the space is free; here it is freed in slices behind the reply. */
  async compact({ revision }: CompactionRequestMessage): Promise<HeaderOnly> {
    const applied = await this.#member.propose({ kind: "compact", revision });
    return { header: headerOf(this.#member, applied.revision) };
  }
}

/** @throws QuorateError invalidSortOption: a target that is not known (etcd 3.4 crashes on it) */
function rangeOf(message: RangeRequestMessage): RangeRequest {
  const target = SORT_TARGETS[message.sortTarget];
  if (target === undefined) throw errInvalidSortOption();
  const order = SORT_ORDERS[message.sortOrder];
  return {
    key: message.key,
    end: message.rangeEnd,
    revision: message.revision,
    limit: message.limit,
    sortTarget: order === undefined ? "key" : target, // an unknown order sorts by nothing
    sortOrder: order ?? "none",
    keysOnly: message.keysOnly,
    countOnly: message.countOnly,
    minModRevision: message.minModRevision,
    maxModRevision: message.maxModRevision,
    minCreateRevision: message.minCreateRevision,
    maxCreateRevision: message.maxCreateRevision,
  };
}

function txnOf(message: TxnRequestMessage): TxnRequest {
  return {
    compare: message.compare.map(compareOf),
    success: message.success.map(operationOf),
    failure: message.failure.map(operationOf),
  };
}

/** An operand of another target than the one compared counts for nothing: the comparison is with zero. */
function compareOf(message: CompareMessage): Compare {
  const target = TARGETS[message.target] ?? null;
  return {
    key: message.key,
    end: message.rangeEnd,
    target,
    operator: OPERATORS[message.result] ?? null,
    value: operandOf(target, message),
  };
}

function operandOf(target: CompareTarget | null, message: CompareMessage): Compare["value"] {
  switch (target) {
    case "version":
      return message.version ?? 0;
    case "create":
      return message.createRevision ?? 0;
    case "mod":
      return message.modRevision ?? 0;
    case "value":
      return message.value ?? EMPTY;
    case "lease":
      return (message.lease ?? "0") as Compare["value"];
    case null:
      return 0;
    default:
      return unreachable(target);
  }
}

/** @throws QuorateError keyNotFound, when no operation is given: etcd's answer */
function operationOf({ requestRange, requestPut, requestDeleteRange, requestTxn }: RequestOpMessage): Operation {
  if (requestRange !== null) return { op: "range", ...rangeOf(requestRange) };
  if (requestPut !== null) return { op: "put", ...requestPut };
  if (requestDeleteRange !== null) {
    const { key, rangeEnd, prevKv } = requestDeleteRange;
    return { op: "delete", key, end: rangeEnd, prevKv };
  }
  if (requestTxn !== null) return { op: "txn", ...txnOf(requestTxn) };
  throw errKeyNotFound();
}

/**
 * Finds the first fault in the order in which etcd looks, for a transaction that cannot even be turned into a request.
 * @throws QuorateError
 */
function checkInOrder({ compare, success, failure }: TxnRequestMessage, maxTxnOps: number): void {
  const longest = Math.max(compare.length, success.length, failure.length);
  if (longest > maxTxnOps) throw errTooManyOps();
  for (const { key } of compare) if (key === EMPTY) throw errEmptyKey();
  for (const message of [...success, ...failure]) {
    if (message.requestTxn !== null) checkInOrder(message.requestTxn, maxTxnOps - longest);
    else {
      const operation = operationOf(message);
      if (operation.op === "range") checkRange(operation);
      else if (operation.op === "put") checkPut(operation);
      else if (operation.op === "delete") checkDelete(operation);
    }
  }
}

/** As in etcd: nothing but serializable ranges on both branches. */
function isSerializable(message: TxnRequestMessage): boolean {
  const loose = (operation: RequestOpMessage): boolean => operation.requestRange?.serializable === true;
  return message.success.every(loose) && message.failure.every(loose);
}

function responseOf(result: OperationResult): ResponseOpMessage {
  const header = innerHeader(result.revision);
  switch (result.op) {
    case "range": {
      const { kvs, more, count } = result;
      return { ...RESPONSE_OP.defaults, responseRange: { header, kvs, more, count } };
    }
    case "put":
      return { ...RESPONSE_OP.defaults, responsePut: { header, prevKv: result.prev } };
    case "append": // v3 has no such request; the reply is that of the put that it is
      return { ...RESPONSE_OP.defaults, responsePut: { header, prevKv: null } };
    case "delete":
      return { ...RESPONSE_OP.defaults, responseDeleteRange: { header, deleted: result.deleted, prevKvs: result.prev } };
    case "txn":
      return {
        ...RESPONSE_OP.defaults,
        responseTxn: { header, succeeded: result.succeeded, responses: result.responses.map(responseOf) },
      };
    default:
      return unreachable(result);
  }
}
