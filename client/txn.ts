/**
 * A transaction in the making: conditions, what is done when all of them hold, and what is done otherwise. Everything in it takes effect
 * under one revision, or nothing does.
 */
import { type Bytes, fromUint8Array, toUint8Array } from "../core/bytes/bytes.ts";
import { utf8Decode, utf8Encode } from "../core/bytes/utf8.ts";
import { appendOp, createdAt, deleteOp, isAt, keysUnder, modifiedAt, oneKey, putOp, rangeOp } from "../core/recipes/requests.ts";
import type { ClientStore, TxnOptions } from "./http-store.ts";
import type { Compare, KeyValue, LeaseId, Operation, OperationResult, TxnRequest } from "../core/store/command.ts";

/** Text stands for its UTF-8. */
export type Data = string | Uint8Array;

/** What one step of a transaction did. */
export type TxnStep =
  | { readonly did: "put" }
  | { readonly did: "append"; readonly key: string }
  | { readonly did: "delete"; readonly deleted: number }
  | { readonly did: "get"; readonly found: readonly TxnFound[] };

export interface TxnFound {
  readonly key: string;
  readonly text: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Of the last change of the key. */
  readonly revision: number;
  readonly created: number;
}

export interface TxnDone {
  /** All conditions held. */
  readonly succeeded: boolean;
  readonly revision: number;
  /** Of the branch that was taken, in its order. */
  readonly steps: readonly TxnStep[];
}

/** What is held, as far as a transaction asks: holds of locks, elections and the like are such, and messages that were taken. */
export interface Guard {
  guard(txn: TxnRequest): TxnRequest;
}

const NOTHING: TxnRequest = { compare: [], success: [], failure: [] };

export class TxnBranch {
  readonly operations: Operation[] = [];

  put(key: string, value: Data, options: { readonly lease?: LeaseId } = {}): this {
    return this.#add(putOp(utf8Encode(key), dataOf(value), options.lease));
  }

  /** Under `prefix` and the transaction's revision in 20 digits, so that the order of keys is the order of writes. */
  append(prefix: string, value: Data, options: { readonly suffix?: string; readonly lease?: LeaseId } = {}): this {
    return this.#add(appendOp(utf8Encode(prefix), utf8Encode(options.suffix ?? ""), dataOf(value), options.lease));
  }

  delete(key: string): this {
    return this.#add(deleteOp(oneKey(utf8Encode(key))));
  }

  deleteAll(prefix: string): this {
    return this.#add(deleteOp(keysUnder(utf8Encode(prefix))));
  }

  get(key: string): this {
    return this.#add(rangeOp(oneKey(utf8Encode(key))));
  }

  list(prefix: string, options: { readonly limit?: number } = {}): this {
    return this.#add(rangeOp(keysUnder(utf8Encode(prefix)), { limit: options.limit ?? 0 }));
  }

  #add(operation: Operation): this {
    this.operations.push(operation);
    return this;
  }
}

export class Txn extends TxnBranch {
  readonly #store: ClientStore;
  readonly #compare: Compare[] = [];
  readonly #otherwise = new TxnBranch();

  constructor(store: ClientStore) {
    super();
    this.#store = store;
  }

  /** The key was changed last at this revision; 0: it is not there. */
  ifRevision(key: string, revision: number): this {
    return this.#if(modifiedAt(utf8Encode(key), revision));
  }

  ifAbsent(key: string): this {
    return this.#if(createdAt(utf8Encode(key), 0));
  }

  ifPresent(key: string): this {
    return this.#if({ ...oneKey(utf8Encode(key)), target: "create", operator: "greater", value: 0 });
  }

  ifValue(key: string, value: Data): this {
    return this.#if(isAt("value", oneKey(utf8Encode(key)), dataOf(value)));
  }

  /** What is held is still held: otherwise the other branch is taken. @throws QuorateError sessionLost when it is known to be lost */
  ifHeld(hold: Guard): this {
    this.#compare.push(...hold.guard(NOTHING).compare);
    return this;
  }

  /** Only while the message is this consumer's, which is done with it then: exactly once, inside the store. */
  acknowledge(delivery: Guard): this {
    const { compare, success } = delivery.guard(NOTHING);
    this.#compare.push(...compare);
    this.operations.push(...success);
    return this;
  }

  /** What is done when a condition does not hold. */
  else(fill: (branch: TxnBranch) => unknown): this {
    fill(this.#otherwise);
    return this;
  }

  /** For calls that take a transaction of the store. */
  request(): TxnRequest {
    return { compare: this.#compare, success: this.operations, failure: this.#otherwise.operations };
  }

  /** @throws QuorateError; with `isUnknown`, it may have been done */
  async commit(options: TxnOptions = {}): Promise<TxnDone> {
    const { succeeded, revision, responses } = await this.#store.txn(this.request(), options);
    return { succeeded, revision, steps: responses.map(stepOf) };
  }

  #if(compare: Compare): this {
    this.#compare.push(compare);
    return this;
  }
}

function stepOf(result: OperationResult): TxnStep {
  switch (result.op) {
    case "range":
      return { did: "get", found: result.kvs.map(foundOf) };
    case "delete":
      return { did: "delete", deleted: result.deleted };
    case "append":
      return { did: "append", key: utf8Decode(result.key) };
    default:
      return { did: "put" };
  }
}

function foundOf({ key, value, modRevision, createRevision }: KeyValue): TxnFound {
  return { key: utf8Decode(key), text: utf8Decode(value), bytes: toUint8Array(value), revision: modRevision, created: createRevision };
}

export function dataOf(data: Data): Bytes {
  return typeof data === "string" ? utf8Encode(data) : fromUint8Array(data);
}
