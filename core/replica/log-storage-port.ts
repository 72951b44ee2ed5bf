/**
 * Port: the durable log of one member, and its snapshots. Contract: raft.md §3. Implementations: adapters/file-storage,
 * adapters/memory; one suite for all: test/contract/log-storage-port.ts.
 *
 * One append-only stream holds hard state, entries and snapshot marks in one order, so that a term is never less durable than the
 * entries that arrived under it. After an error of the device every further call fails with the same error; nothing is retried.
 */
import type { Entry, HardState, Index, SnapshotMeta } from "../raft/types.ts";

/** Who this directory belongs to; written once, before the first message. Ids are decimal uint64. */
export interface Identity {
  readonly clusterId: string;
  readonly memberId: string;
  /**
   * Drawn at random when the storage was made: an empty disk under an old member id is recognised by it, and refused by the others,
   * because it has forgotten what it acknowledged. "0": made before there were such numbers.
   */
  readonly diskId: string;
}

/** What a restart finds. */
export interface Recovered {
  /** null: the storage is new, and `initialise` comes next. */
  readonly identity: Identity | null;
  /** Counts the openings of this storage; already durable at its new value when `open` resolves. The first is 1. */
  readonly boot: number;
  readonly hard: HardState;
  /** The newest snapshot that is whole, or null. */
  readonly snapshot: SnapshotMeta | null;
  /** Entries after the snapshot, without a gap, ascending. */
  readonly entries: readonly Entry[];
  /** What recovery had to do, for the log: a torn tail cut off, a damaged snapshot passed over. Each names file and offset. */
  readonly repairs: readonly string[];
}

export interface Batch {
  /** Written when given. */
  readonly hard?: HardState;
  /**
   * Ascending without a gap, and without one to the log before them. Entries of the log at or above the first index are replaced.
   * May be empty. Their bytes must not change until the append resolves.
   */
  readonly entries: readonly Entry[];
}

/** A snapshot being written. Chunks are owned by the writer once passed in. */
export interface SnapshotWriter {
  /** At most 1 MiB a chunk. Resolves when the writer takes the next one (back pressure), not when durable. */
  write(chunk: Uint8Array): Promise<void>;
  /**
   * Makes the snapshot durable (data, name, directory) and marks it in the log, in that order; then it is the newest.
   * Entries after it stay only if the log holds the entry that the snapshot ends with (same index and term): a snapshot that came
   * from elsewhere and leaves a gap, or contradicts the log, replaces the whole log.
   * @returns its meta with `size` filled in
   * @throws QuorateError `noSpace` when the device is full: then the snapshot is dropped and the log goes on
   */
  commit(): Promise<SnapshotMeta>;
  /** Drops what was written. Never fails because of the snapshot itself. */
  abort(): Promise<void>;
}

export interface LogStorage {
  /**
   * Recovers. Call once, first.
   * @throws QuorateError `damaged` (file, offset) when acknowledged data is damaged; `locked` when another process has the storage open
   */
  open(): Promise<Recovered>;
  /** Durable when it resolves. */
  initialise(identity: Identity): Promise<void>;
  /**
   * Appends one batch. Calls take effect in the order they are made, and several may be under way at once; the implementation may
   * merge them into one write and one sync.
   * @param sync true: resolves when this batch and all before it are durable; false: resolves when it is written, owing no sync.
   *   A hard state alone with nothing new but `commit` may then wait in memory for the next write: it is a hint.
   * @throws QuorateError `storageFailed` for ever after the device failed once; `stopped` after `close`
   */
  append(batch: Batch, sync: boolean): Promise<void>;
  /**
   * `size` of the meta is ignored. One at a time, each at a higher index than the one before.
   * @throws QuorateError `snapshotOutdated` when a snapshot at this or a higher index is there already
   */
  createSnapshot(meta: SnapshotMeta): Promise<SnapshotWriter>;
  /** Chunks in order, each with its CRC checked. @throws QuorateError `damaged`, or `notFound` when no snapshot has this id */
  readSnapshot(id: string): AsyncIterable<Uint8Array>;
  /**
   * Allows entries up to and including `index` to be dropped, which the newest snapshot must cover; keeps the two newest snapshots,
   * and the entries that lead on from the older one, so that a damaged snapshot costs nothing.
   * @throws QuorateError `notCovered` when the newest snapshot does not reach `index`
   */
  compact(index: Index): Promise<void>;
  /**
   * `low`: no room is left on the device beyond what is set aside already, which is enough for what was acknowledged and for votes,
   * not for new proposals. Goes back to `ok` by itself when room is found. Cheap; ask before each proposal.
   */
  reserve(): "ok" | "low";
  /** Bytes on the device, of all files. */
  sizeBytes(): number;
  /** Ends what is under way, syncs, releases the lock. */
  close(): Promise<void>;
}
