/**
 * Requests on keys, checked and executed with etcd's semantics (etcd `server/etcdserver/api/v3rpc/key.go` and `apply.go`).
 *
 * Three steps, because there is no roll-back: the *form* of a request is checked without any state, before it is proposed
 * (`checkPut`, `checkTxn` …); what depends on state is checked when it is applied, before anything is written; then it is executed and
 * cannot fail. All compares of a transaction, those of nested ones too, see the state before its first write, and only the operations
 * of the branches taken are checked against the state.
 */
import { type Bytes, EMPTY, ascii } from "../../bytes/bytes.ts";
import {
  errCompacted,
  errDuplicateKey,
  errEmptyKey,
  errFutureRevision,
  errKeyNotFound,
  errLeaseNotFound,
  errLeaseProvided,
  errTooManyOps,
  errValueProvided,
} from "../../errors.ts";
import { must } from "../../invariant.ts";
import {
  type AppendRequest,
  type AppendResult,
  type Compare,
  type DeleteRequest,
  type DeleteResult,
  type KeyRange,
  type KeyValue,
  type LeaseId,
  NO_LEASE,
  type Operation,
  type OperationResult,
  type PutRequest,
  type PutResult,
  type RangeRequest,
  type TxnRequest,
  type TxnResult,
} from "../command.ts";
import type { LeasedKeys } from "../lease/leased-keys.ts";
import type { LeaseTable } from "../state-storage-port.ts";
import type { VersionStore } from "../version-store-port.ts";

export interface TransactionContext {
  readonly store: VersionStore;
  readonly leases: LeaseTable;
  readonly keys: LeasedKeys;
}

// ---- form: no state needed

/** @throws QuorateError emptyKey */
export function checkRange(request: KeyRange): void {
  if (request.key === EMPTY) throw errEmptyKey();
}

/** @throws QuorateError emptyKey, valueProvided, leaseProvided */
export function checkPut(request: PutRequest): void {
  if (request.key === EMPTY) throw errEmptyKey();
  if (request.ignoreValue && request.value !== EMPTY) throw errValueProvided();
  if (request.ignoreLease && request.lease !== NO_LEASE) throw errLeaseProvided();
}

/** @throws QuorateError emptyKey */
export function checkDelete(request: KeyRange): void {
  if (request.key === EMPTY) throw errEmptyKey();
}

/**
 * @param maxTxnOps bounds each list of a transaction; what the longest one leaves bounds those of nested transactions
 * @throws QuorateError emptyKey, valueProvided, leaseProvided, tooManyOps, duplicateKey
 */
export function checkTxn(request: TxnRequest, maxTxnOps: number): void {
  checkTxnForm(request, maxTxnOps);
  writesOf(request.success);
  writesOf(request.failure);
}

function checkTxnForm(request: TxnRequest, maxTxnOps: number): void {
  const longest = Math.max(request.compare.length, request.success.length, request.failure.length);
  if (longest > maxTxnOps) throw errTooManyOps();
  for (const compare of request.compare) if (compare.key === EMPTY) throw errEmptyKey();
  for (const operation of request.success) checkOperationForm(operation, maxTxnOps - longest);
  for (const operation of request.failure) checkOperationForm(operation, maxTxnOps - longest);
}

function checkOperationForm(operation: Operation, maxTxnOps: number): void {
  switch (operation.op) {
    case "range":
      return checkRange(operation);
    case "put":
      return checkPut(operation);
    case "delete":
      return checkDelete(operation);
    case "txn":
      return checkTxnForm(operation, maxTxnOps);
    case "append":
      return;
  }
}

interface Writes {
  readonly puts: Set<Bytes>;
  readonly deletes: DeleteRequest[];
}

/**
 * What etcd counts as the range of a delete when it looks for duplicates: an end of one zero byte is taken as it stands, so that a
 * delete "from key" meets no put. A put beside it is lawful, and what comes last wins.
 */
function meets(key: Bytes, range: DeleteRequest): boolean {
  return range.end === EMPTY ? key === range.key : key >= range.key && key < range.end;
}

/** Keys put and ranges deleted by a list of operations, nested ones included. @throws QuorateError duplicateKey */
function writesOf(operations: readonly Operation[]): Writes {
  const puts = new Set<Bytes>();
  const deletes: DeleteRequest[] = [];
  for (const operation of operations) if (operation.op === "delete") deletes.push(operation);
  const add = (key: Bytes, lawfully?: ReadonlySet<Bytes>) => {
    if (puts.has(key) && !lawfully?.has(key)) throw errDuplicateKey();
    if (deletes.some((range) => meets(key, range))) throw errDuplicateKey();
    puts.add(key);
  };
  for (const operation of operations) {
    if (operation.op !== "txn") continue;
    const success = writesOf(operation.success);
    const failure = writesOf(operation.failure);
    for (const key of success.puts) add(key);
    for (const key of failure.puts) add(key, success.puts); // only one of the two branches is taken
    for (const range of success.deletes) deletes.push(range);
    for (const range of failure.deletes) deletes.push(range);
  }
  for (const operation of operations) if (operation.op === "put") add(operation.key);
  return { puts, deletes };
}

/** True when a transaction cannot write on either branch: it needs no place in the log. */
export function isReadOnly(request: TxnRequest): boolean {
  const reads = (operation: Operation): boolean => operation.op === "range" || (operation.op === "txn" && isReadOnly(operation));
  return request.success.every(reads) && request.failure.every(reads);
}

// ---- one request at a time

/** @throws QuorateError leaseNotFound, keyNotFound; then nothing is written */
export function executePut(request: PutRequest, context: TransactionContext): PutResult {
  checkLease(request.lease, context);
  const old = context.store.get(request.key);
  if ((request.ignoreValue || request.ignoreLease) && old === undefined) throw errKeyNotFound();
  return writePut(request, old, context);
}

function checkLease(lease: LeaseId, { leases }: TransactionContext): void {
  if (lease !== NO_LEASE && leases.get(lease) === undefined) throw errLeaseNotFound();
}

function writePut(request: PutRequest, old: KeyValue | undefined, { keys }: TransactionContext): PutResult {
  const value = request.ignoreValue ? (old?.value ?? EMPTY) : request.value;
  const lease = request.ignoreLease ? (old?.lease ?? NO_LEASE) : request.lease;
  const contentType = request.ignoreValue ? old?.contentType : request.contentType;
  keys.replace(old, { key: request.key, value, lease, contentType });
  return { op: "put", prev: request.prevKv ? (old ?? null) : null };
}

/** @throws QuorateError leaseNotFound; then nothing is written */
export function executeAppend(request: AppendRequest, context: TransactionContext): AppendResult {
  checkLease(request.lease, context);
  return writeAppend(request, 0, context);
}

/** @param earlier appends before this one in the same transaction */
function writeAppend(request: AppendRequest, earlier: number, { store, keys }: TransactionContext): AppendResult {
  const number = String(store.openRevision).padStart(20, "0");
  const place = earlier === 0 ? "" : `.${String(earlier).padStart(4, "0")}`;
  const key = (request.prefix + ascii(number + place) + request.suffix) as Bytes;
  keys.put(key, request.value, request.lease, request.contentType);
  return { op: "append", key };
}

export function executeDelete(request: DeleteRequest, { store, keys }: TransactionContext): DeleteResult {
  const doomed: readonly KeyValue[] =
    request.end === EMPTY ? [store.get(request.key)].filter((kv) => kv !== undefined) : [...store.scan(request)];
  for (const kv of doomed) keys.delete(kv.key);
  return { op: "delete", deleted: doomed.length, prev: request.prevKv ? doomed : [] };
}

// ---- transactions

/** @throws QuorateError leaseNotFound, keyNotFound, futureRevision, compacted; then nothing is written */
export function executeTxn(request: TxnRequest, context: TransactionContext): TxnResult {
  const plan = planTxn(request, context.store);
  checkPlan(plan, (operation) => {
    if (operation.op === "put") {
      if ((operation.ignoreValue || operation.ignoreLease) && context.store.get(operation.key) === undefined) throw errKeyNotFound();
      checkLease(operation.lease, context);
    } else if (operation.op === "append") checkLease(operation.lease, context);
  });
  checkPlan(plan, (operation) => {
    if (operation.op === "range") checkRevision(operation, context.store);
  });
  return runPlan(plan, { context, appends: 0 });
}

/** A transaction with its branch chosen, and those of the nested ones on that branch. */
interface Plan {
  readonly succeeded: boolean;
  readonly operations: readonly Operation[];
  /** In the order of the `txn` operations among `operations`. */
  readonly nested: readonly Plan[];
}

function planTxn(request: TxnRequest, store: VersionStore): Plan {
  const succeeded = request.compare.every((compare) => holds(compare, store));
  const operations = succeeded ? request.success : request.failure;
  const nested: Plan[] = [];
  for (const operation of operations) if (operation.op === "txn") nested.push(planTxn(operation, store));
  return { succeeded, operations, nested };
}

function checkPlan(plan: Plan, check: (operation: Operation) => void): void {
  let at = 0;
  for (const operation of plan.operations) {
    if (operation.op === "txn") checkPlan(plan.nested[at++]!, check);
    else check(operation);
  }
}

/** Unlike in a range request by itself, a negative revision is one that was compacted, as in etcd. */
function checkRevision({ revision }: RangeRequest, store: VersionStore): void {
  if (revision === 0) return;
  if (revision > store.revision) throw errFutureRevision({ wanted: revision, revision: store.revision });
  if (revision < store.compactedRevision) throw errCompacted({ wanted: revision, compactRevision: store.compactedRevision });
}

interface Run {
  readonly context: TransactionContext;
  appends: number;
}

function runPlan(plan: Plan, run: Run): TxnResult {
  const { store } = run.context;
  let at = 0;
  const responses = plan.operations.map((operation): OperationResult => {
    if (operation.op === "txn") return { ...runPlan(plan.nested[at++]!, run), revision: 0 };
    const result = runOperation(operation, run);
    return { ...result, revision: store.hasPending ? store.openRevision : store.revision };
  });
  return { op: "txn", succeeded: plan.succeeded, responses };
}

function runOperation(operation: Exclude<Operation, { op: "txn" }>, run: Run) {
  const { context } = run;
  switch (operation.op) {
    case "range":
      return { op: "range" as const, ...context.store.range(operation) };
    case "put":
      // A delete "from key" earlier in the transaction may have taken what ignoreValue stands for: then it stands for nothing.
      return writePut(operation, context.store.get(operation.key), context);
    case "append":
      return writeAppend(operation, run.appends++, context);
    case "delete":
      return executeDelete(operation, context);
  }
}

// ---- compares

/** For a range: holds for each key in it. Keys that are not there compare as zeros, but a value that is not there equals nothing. */
function holds(compare: Compare, store: VersionStore): boolean {
  if (compare.end === EMPTY) return holdsFor(compare, store.get(compare.key));
  let found = false;
  for (const kv of store.scan(compare)) {
    found = true;
    if (!holdsFor(compare, kv)) return false;
  }
  return found || holdsFor(compare, undefined);
}

function holdsFor(compare: Compare, kv: KeyValue | undefined): boolean {
  if (kv === undefined && compare.target === "value") return false;
  const order = orderOf(compare, kv);
  switch (compare.operator) {
    case "equal":
      return order === 0;
    case "notEqual":
      return order !== 0;
    case "greater":
      return order > 0;
    case "less":
      return order < 0;
    case null:
      return true;
  }
}

/** Negative, 0 or positive, as the key's field is below, at or above the wanted one. An unknown target is always equal, as in etcd. */
function orderOf(compare: Compare, kv: KeyValue | undefined): number {
  const wanted = compare.value;
  switch (compare.target) {
    case "version":
      return (kv?.version ?? 0) - Number(wanted);
    case "create":
      return (kv?.createRevision ?? 0) - Number(wanted);
    case "mod":
      return (kv?.modRevision ?? 0) - Number(wanted);
    case "value": {
      const { value } = must(kv, () => "the value of no key was compared");
      return value < String(wanted) ? -1 : value > String(wanted) ? 1 : 0;
    }
    case "lease":
      return compareLeases(kv?.lease ?? NO_LEASE, String(wanted));
    case null:
      return 0;
  }
}

function compareLeases(a: LeaseId, b: LeaseId): number {
  if (a === b) return 0;
  const [left, right] = [BigInt(a), BigInt(b)];
  return left < right ? -1 : left > right ? 1 : 0;
}
