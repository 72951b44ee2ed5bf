/** The values that raft, the log on disk and the transport share (docs/raft.md; Ongaro's dissertation §3). */

/** Opaque, never reused, compared with `<` and `===`. Here: a decimal uint64, as etcd's member ids. */
export type NodeId = string;
/** Position in the log; the first entry has index 1. A safe integer. */
export type Index = number;
export type Term = number;

export interface Entry {
  readonly term: Term;
  readonly index: Index;
  readonly kind: "data" | "noop" | "config";
  /** Encoded once, by the proposer; owned by the log from then on and never changed. */
  readonly data: Uint8Array;
}

export interface HardState {
  readonly term: Term;
  readonly vote: NodeId | null;
  /** A hint: it never forces a sync. */
  readonly commit: Index;
  /**
   * Present and true once this member has learnt that it lost entries it had acknowledged: it neither votes nor campaigns and is not
   * counted until it is added again under a new id. Durable like the vote.
   */
  readonly amnesiac?: boolean;
}

export interface Config {
  readonly voters: readonly NodeId[];
  readonly outgoing: readonly NodeId[];
  readonly learners: readonly NodeId[];
  readonly learnersNext: readonly NodeId[];
  readonly removed: readonly NodeId[];
  readonly meta: Readonly<Record<NodeId, string>>;
  /** Learners that the leader promotes to voters by itself as soon as they have caught up. Absent: none. */
  readonly autoPromote?: readonly NodeId[];
}

export interface SnapshotMeta {
  /** Last entry that the snapshot contains. */
  readonly index: Index;
  readonly term: Term;
  /** Configuration as of `index`, and the index of the entry that set it. */
  readonly config: Config;
  readonly configIndex: Index;
  /** Bytes of all chunks. */
  readonly size: number;
  /** Names the snapshot on every member that holds it: equal ids mean equal bytes. */
  readonly id: string;
}
