/**
 * What readers see of the state machine: the views of the API and the recipes read through this, at once and without a promise.
 * A read here is serializable; it is linearizable after `Member.readBarrier()`.
 */
import type { AuthView } from "./auth/auth-store.ts";
import type { Alarm, KeyValue, LeaseId, RangeRequest, RangeResult, TxnRequest, TxnResult } from "./command.ts";
import type { V2TreeView } from "./v2-tree/v2-tree-view.ts";
import type { WatchOptions, Watcher } from "./watch/watcher.ts";

export interface LeaseView {
  readonly id: LeaseId;
  /** As granted, in seconds. */
  readonly ttlSeconds: number;
  /** Keys attached, in byte order. */
  readonly keys: readonly KeyValue["key"][];
}

export interface StoreView {
  /** The revision of the last change; 1 in an empty store, as in etcd. */
  readonly revision: number;
  readonly compactedRevision: number;
  /** Milliseconds since 1970 of the last command applied; 0 before the first. */
  readonly clockMs: number;
  /** @throws QuorateError compacted, futureRevision */
  range(request: RangeRequest): RangeResult;
  /**
   * A transaction that cannot write on either branch (`isReadOnly`), without a place in the log.
   * @throws QuorateError compacted, futureRevision
   */
  readTxn(request: TxnRequest): TxnResult;
  lease(id: LeaseId): LeaseView | undefined;
  /** In the order of granting; those behind v2 TTLs, which nobody granted, left out (`lease` knows them). */
  leaseIds(): LeaseId[];
  alarms(): readonly Alarm[];
  /** 32-bit hash of the whole replicated state at the current revision; equal states have equal hashes on every runtime. */
  hash(): number;
  /** Bytes of keys and values held, with every kept version and overhead; what the quota is measured with. */
  sizeBytes(): number;
  /** The same without what a compaction has made unreachable but not yet freed. */
  sizeInUseBytes(): number;
  /** Number of live keys. */
  keyCount(): number;
  watch(options: WatchOptions): Watcher;
  readonly v2: V2TreeView;
  readonly auth: AuthView;
}
