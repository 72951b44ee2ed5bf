/**
 * The store as clients may think of it: keys with values and counts, one revision for each request that changes something. Written apart
 * from the product, and to be plainly right rather than fast: checks compare the product's answers with its answers.
 *
 * A put counts version up from 1 and keeps the create revision until the key is deleted. A delete that finds nothing, a read, and a
 * transaction whose branch changes nothing make no revision. Inside a transaction requests see what earlier ones did, and all that it
 * changes bears the one new revision.
 * Source: etcd's API guarantees and API reference (KV).
 */
import type {
  Compare,
  DeleteRequest,
  KeyValue,
  PutRequest,
  RangeRequest,
  Request,
  Response,
  SingleRequest,
  SingleResult,
} from "./history.ts";

/** What happens without a client: a lease ended, and its keys are deleted in one revision. */
export interface LeaseEnd {
  readonly kind: "lease-end";
  readonly lease: string;
}

/** A store at one revision. Changed by `apply` alone. */
export class State {
  revision: number;
  /** What the last revision did, in the order of its events: the key values put, null for deleted ones. */
  changes: ReadonlyMap<string, KeyValue | null> = new Map();
  readonly #keys: Map<string, KeyValue>;
  #hash = 0;

  /** @param revision of an empty store: 1 for etcd */
  constructor(revision = 1, keyValues: Iterable<KeyValue> = []) {
    this.revision = revision;
    this.#keys = new Map();
    for (const keyValue of keyValues) this.set(keyValue.key, keyValue);
  }

  /** As many steps as there are keys. */
  clone(): State {
    const copy = new State(this.revision, this.#keys.values());
    copy.changes = this.changes;
    return copy;
  }

  /** Of revision and contents, 32 bits; equal states have equal hashes. One step. */
  hash(): number {
    return (this.#hash + Math.imul(this.revision, 0x9e3779b1)) >>> 0;
  }

  get(key: string): KeyValue | undefined {
    return this.#keys.get(key);
  }

  set(key: string, next: KeyValue | null): void {
    const before = this.#keys.get(key);
    if (before !== undefined) this.#hash = (this.#hash - hashOf(before)) | 0;
    if (next === null) this.#keys.delete(key);
    else {
      this.#keys.set(key, next);
      this.#hash = (this.#hash + hashOf(next)) | 0;
    }
  }

  /** In order of keys. */
  range(key: string, end: string | undefined): KeyValue[] {
    if (end === undefined) return this.#keys.has(key) ? [this.#keys.get(key)!] : [];
    return [...this.#keys.values()].filter((one) => inRange(one.key, key, end)).toSorted((a, b) => (a.key < b.key ? -1 : 1));
  }

  /** Leases that keys are attached to. */
  leases(): Set<string> {
    return new Set([...this.#keys.values()].flatMap(({ lease }) => (lease === undefined ? [] : [lease])));
  }
}

/** FNV-1a over the fields of a key value. */
function hashOf({ key, value, createRevision, modRevision, version, lease }: KeyValue): number {
  const text = `${key}\0${value}\0${createRevision}\0${modRevision}\0${version}\0${lease ?? ""}`;
  let hash = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}

/** `end` undefined: one key; "\0": all from `key` on. */
export function inRange(candidate: string, key: string, end: string | undefined): boolean {
  if (end === undefined) return candidate === key;
  return candidate >= key && (end === "\0" || candidate < end);
}

/** Changes the state by one request and tells what the client is to be told. */
export function apply(state: State, request: Request): Response {
  const step = new Step(state);
  if (request.kind !== "txn") return { ...step.run(request), revision: step.finish() };
  const succeeded = request.compare.every((one) => holds(state, one));
  const results = (succeeded ? request.success : request.failure).map((one) => step.run(one));
  return { kind: "txn", succeeded, results, revision: step.finish() };
}

/** Deletes the keys of a lease. */
export function endLease(state: State, { lease }: LeaseEnd): void {
  const step = new Step(state);
  for (const keyValue of state.range("", "\0")) if (keyValue.lease === lease) step.run({ kind: "delete", key: keyValue.key });
  step.finish();
}

/** Would `apply` make a revision? Changes nothing. */
export function wouldWrite(state: State, request: Request): boolean {
  if (request.kind === "put") return true;
  if (request.kind === "range") return false;
  if (request.kind === "delete") return state.range(request.key, request.end).length > 0;
  const branch = request.compare.every((one) => holds(state, one)) ? request.success : request.failure;
  return branch.some((one) => wouldWrite(state, one));
}

function holds(state: State, compare: Compare): boolean {
  const found = state.get(compare.key);
  if (compare.target === "value") return found !== undefined && compares(found.value, compare.op, compare.value);
  const field = { create: found?.createRevision, mod: found?.modRevision, version: found?.version }[compare.target];
  return compares(field ?? 0, compare.op, compare.value);
}

function compares<T extends string | number>(left: T, op: Compare["op"], right: T): boolean {
  switch (op) {
    case "=":
      return left === right;
    case "!=":
      return left !== right;
    case "<":
      return left < right;
    case ">":
      return left > right;
  }
}

/** The requests of one revision. */
class Step {
  readonly #state: State;
  readonly #changes = new Map<string, KeyValue | null>();

  constructor(state: State) {
    this.#state = state;
  }

  run(request: SingleRequest): SingleResult {
    switch (request.kind) {
      case "put":
        return this.#put(request);
      case "delete":
        return this.#delete(request);
      case "range":
        return this.#range(request);
    }
  }

  /** @returns the revision of the answer */
  finish(): number {
    if (this.#changes.size > 0) {
      this.#state.revision += 1;
      this.#state.changes = this.#changes;
    }
    return this.#state.revision;
  }

  #put({ key, value, lease, prev }: PutRequest): SingleResult {
    const before = this.#state.get(key);
    const revision = this.#state.revision + 1;
    this.#change(key, {
      key,
      value,
      createRevision: before?.createRevision ?? revision,
      modRevision: revision,
      version: (before?.version ?? 0) + 1,
      ...(lease === undefined ? {} : { lease }),
    });
    return prev === true ? { kind: "put", prev: before ?? null } : { kind: "put" };
  }

  #delete({ key, end, prev }: DeleteRequest): SingleResult {
    const before = this.#state.range(key, end);
    for (const { key: one } of before) this.#change(one, null);
    return { kind: "delete", deleted: before.length, ...(prev === true ? { prev: before } : {}) };
  }

  #range({ key, end }: RangeRequest): SingleResult {
    return { kind: "range", kvs: this.#state.range(key, end) };
  }

  #change(key: string, next: KeyValue | null): void {
    this.#state.set(key, next);
    this.#changes.set(key, next);
  }
}
