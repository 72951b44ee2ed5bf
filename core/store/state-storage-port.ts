/**
 * Port: where the state machine keeps its state. In memory it is rebuilt from the log; in a Durable Object it *is* what is stored, in tables
 * of which a request reads only what it needs. One suite for all: test/contract/state-storage-port.ts.
 *
 * All parts are synchronous and belong to one state machine. Equal commands make equal contents, whatever the storage: the same hashes,
 * the same rows in a snapshot.
 */
import type { Bytes } from "../bytes/bytes.ts";
import type { Alarm, LeaseId } from "./command.ts";
import type { Lease, LeaseListener, MemoryLeaseTable, V2Expiry } from "./lease/lease-table.ts";
import type { FrozenVersions, LoadedVersions } from "./mvcc/memory-version-store.ts";
import type { CommandSession, KeptOutcome, MemorySessionTable, SessionRow } from "./sessions.ts";
import type { VersionStore } from "./version-store-port.ts";

/** The versions, with what snapshots need of them. */
export interface StateVersions extends VersionStore {
  /**
   * A view of the committed state that stays as it is while the store goes on. Physical compaction waits until it is released. Nothing may
   * be pending.
   */
  freeze(): FrozenVersions;
  /** Replaces everything by what a loader gathered, which must not be used afterwards. */
  adopt(loaded: LoadedVersions): void;
}

/**
 * The leases, as replicated facts: who has which time to live, what is attached. No clock runs here.
 * Invariant: a key is attached to lease L exactly when its live version carries L (kept by LeasedKeys).
 */
export interface LeaseTable {
  /** One listener, told of every change after it was made. */
  listen(listener: LeaseListener): void;
  /** Equal tables have equal hashes, in whatever order leases were granted. O(1). */
  readonly hash: number;
  readonly size: number;
  get(id: LeaseId): Lease | undefined;
  /** Every lease, in the order of granting. Not to be changed while iterating. */
  all(): Iterable<Lease>;
  /** @throws QuorateError leaseNotFound (for id "0"), leaseTtlTooLarge, leaseExists, in this order, as etcd */
  grant(id: LeaseId, ttlSeconds: number, v2: V2Expiry | null): Lease;
  /** An id that no lease has; the same state and seed give the same id everywhere. @param seed the store's open revision */
  unusedId(seed: number): LeaseId;
  /** The keys that were attached are the caller's to delete first. @throws QuorateError leaseNotFound */
  remove(id: LeaseId): void;
  /** @param remainingMs the whole term, or more, takes the checkpoint back. @returns false when there is no such lease */
  checkpoint(id: LeaseId, remainingMs: number): boolean;
  /** The lease must exist (who writes has checked). Attaching twice is attaching once. */
  attach(id: LeaseId, key: Bytes): void;
  detach(id: LeaseId, key: Bytes): void;
  /** Keys attached, in byte order; a fresh array. Empty when there is no such lease. */
  keys(id: LeaseId): Bytes[];
  isAttached(id: LeaseId, key: Bytes): boolean;
  keyCount(id: LeaseId): number;
  /** Takes over the rows that a snapshot had, and tells the listener. The other table must not be used afterwards. */
  adopt(read: MemoryLeaseTable): void;
  /** Recomputes what is kept incrementally and lists each fault. O(n). */
  check(): string[];
}

/** Outcomes of exactly-once commands, in the order of use. */
export interface SessionTable {
  readonly size: number;
  /** Of the rows, not of their order. O(1). */
  readonly hash: number;
  /** Least recently used first. */
  rows(): Iterable<SessionRow>;
  /**
   * What a command of this session has to be answered without being done.
   * @returns undefined when it is new. @throws QuorateError sequencePassed, keyReused, resultNotKept
   */
  repeated(session: CommandSession): KeptOutcome | undefined;
  /**
   * Forgets also whose time is over; each row is forgotten once, so that it costs the same with many sessions as with few.
   * @param now the store's clock
   */
  keep(session: CommandSession, outcome: KeptOutcome, now: number): void;
  /** Takes over the rows that a snapshot had. The other table must not be used afterwards. */
  adopt(read: MemorySessionTable): void;
  /** Recomputes what is kept incrementally and lists each fault. O(n). */
  check(): string[];
}

/** What is left of the state: small, and held in memory by the state machine itself. */
export interface StateFacts {
  /** Of the last command applied. */
  readonly appliedIndex: number;
  readonly clockMs: number;
  /** In the order of raising. */
  readonly alarms: readonly Alarm[];
  /** What `AuthStore.dump` gives. */
  readonly auth: string | null;
}

export interface StateStorage {
  readonly versions: StateVersions;
  readonly leases: LeaseTable;
  readonly sessions: SessionTable;
  /** Forgets what is held in memory and reads it again: at the start, and after a transaction was rolled back. */
  load(): StateFacts;
  /** Once at the end of each transaction: the facts, and what the parts keep incrementally. */
  save(facts: StateFacts): void;
}
