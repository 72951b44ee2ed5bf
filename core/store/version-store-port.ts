/**
 * Port: the multi-version store that the state machine, the watches and the v2 view stand on. Synchronous, single-threaded, so that
 * it can be implemented in memory and on the SQLite of a Durable Object alike. One suite for all: test/contract/version-store-port.ts.
 *
 * Model (etcd's, https://etcd.io/docs/v3.4/learning/data_model/): a key has versions; each version is the work of one revision, which
 * may write many keys. Writes become visible to readers of the newest state at once, but get their revision only by `commit`; until
 * then they are *pending* and carry `openRevision`. A reader at a revision never sees pending writes. There is no roll-back: whoever
 * writes has checked first.
 *
 * Compaction at C forgets what was no longer visible at C: reads below C fail, reads at C and above answer as before. It is logical at
 * once; the memory is given back by `compactStep`, in slices that the caller drives.
 *
 * Initially `revision` is 1 and `compactedRevision` is -1, as in etcd, where a first compaction at 0 is lawful.
 */
import type { Bytes } from "../bytes/bytes.ts";
import type { KeyRange, KeyValue, LeaseId, RangeRequest, RangeResult } from "./command.ts";
import type { V2Note } from "./v2-tree/v2-command.ts";

/** What one revision did. */
export interface RevisionRecord {
  readonly revision: number;
  /** In the order of writing, one entry a key: what the key became. Tombstones have version 0. Never empty. */
  readonly kvs: readonly KeyValue[];
  readonly note: V2Note | null;
  /** Milliseconds since 1970, as the command that made it was stamped. */
  readonly time: number;
}

export interface ScanOptions {
  /** Omitted: the newest state, pending writes included. */
  readonly revision?: number;
  /** Descending by key. */
  readonly reverse?: boolean;
}

export interface VersionStore {
  /** The last committed one. */
  readonly revision: number;
  readonly compactedRevision: number;
  /** The revision that pending writes get: `revision` + 1. */
  readonly openRevision: number;
  /** Number of live keys, pending writes included. */
  readonly keyCount: number;

  /** @param revision between `compactedRevision` and `revision`; omitted: the newest state, pending writes included */
  get(key: Bytes, revision?: number): KeyValue | undefined;

  /**
   * Live keys of a range, lazily, by seeking: stopping early costs nothing for what was not taken. A write ends the validity of the
   * iteration: collect first, then write.
   * @throws QuorateError compacted, futureRevision
   */
  scan(range: KeyRange, options?: ScanOptions): Iterable<KeyValue>;

  /** Live keys in a range; O(log n) at the newest revision. @throws QuorateError compacted, futureRevision */
  count(range: KeyRange, revision?: number): number;

  /**
   * A range request with etcd's semantics: count ignores limit and filters; filters, then sort, then limit; a sort target other than
   * the key without an order sorts ascending. Revision 0 or negative: the newest state, pending writes included.
   * O(log n + keys returned) for unsorted, unfiltered requests at the newest revision.
   * @returns `kvs` is a fresh array, what is in it is shared
   * @throws QuorateError compacted, futureRevision
   */
  range(request: RangeRequest): RangeResult;

  /** Writes a new version. A key written again before the commit keeps one version for that revision: the last. */
  put(key: Bytes, value: Bytes, lease: LeaseId, contentType?: Bytes): KeyValue;

  /** @returns the version that was live; undefined (and nothing is written) when the key was not there */
  delete(key: Bytes): KeyValue | undefined;

  /** True when something was written since the last commit. */
  readonly hasPending: boolean;

  /**
   * Gives the pending writes their revision.
   * @returns null when nothing was written: the revision stays and `note` is dropped
   */
  commit(note: V2Note | null, time: number): RevisionRecord | null;

  /**
   * Records of the revisions from `from` up to the newest committed one, ascending, none left out, ended early by `bytesMax`. The
   * record of `compactedRevision` itself has the puts that are still visible and no note.
   * @param bytesMax soft limit on key and value bytes; the first record is returned whole in any case
   * @returns a fresh array; empty when `from` is after the newest revision
   * @throws QuorateError compacted when `from` is below `compactedRevision`
   */
  revisions(from: number, bytesMax: number): RevisionRecord[];

  /** The version of the same key that was live just before `kv.modRevision`; undefined when there was none or it is compacted. */
  before(kv: KeyValue): KeyValue | undefined;

  /** Logical compaction. @throws QuorateError compacted at or below `compactedRevision`, futureRevision above `revision` */
  compact(revision: number): void;

  /**
   * Gives back the memory of what compactions made unreachable.
   * @param budget versions to look at, at most
   * @returns true when there is nothing (more) that may be freed now; what a pin holds back counts as that
   */
  compactStep(budget: number): boolean;

  /** Holds back `compactStep` for a reader of the past that takes its time (a snapshot). Call the result once to let go. */
  pin(): () => void;

  /** Bytes of keys and values held, every kept version with a fixed overhead. */
  sizeBytes(): number;
  /** The same without what a compaction has made unreachable but not yet freed. */
  sizeInUseBytes(): number;

  /** 32-bit hash of all live versions and their fields, independent of the order they came in and of compaction. O(1). */
  hash(): number;

  /**
   * Raises the revision without a write and compacts there, so that no number given out before is ever given out again: what was
   * restored from a backup must not repeat fencing tokens. Nothing may be pending. @param revision at least the present one
   */
  raiseRevision(revision: number): void;

  /** Recomputes everything that is kept incrementally, and lists each fault in a sentence; empty when all is well. O(n). */
  check(): string[];
}
