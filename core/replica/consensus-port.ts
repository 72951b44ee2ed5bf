/**
 * Port: agreement on the order of commands. `Raft` implements it where there are peers, `Solo` where the platform already replicates
 * storage or there is one process. Everything above cannot tell the two apart (architecture decision 1).
 */
import type { Entry, Index, NodeId, SnapshotMeta, Term } from "../raft/types.ts";

/** Who the consensus works for: the replica. Calls are synchronous and in log order. */
export interface ConsensusHost {
  /** Committed and locally durable entries, each exactly once a run, without gaps. */
  apply(entries: readonly Entry[]): void;
  /** Replaces the state by that of a snapshot, before entries after it are applied. */
  restore(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Office won or lost. Losing it fails the proposals that were not applied with an unknown outcome.
   * @param term the current one
   */
  officeChanged(leading: boolean, term: Term): void;
  /** The member cannot go on: a device failed or an invariant broke. Called once. */
  failed(error: Error): void;
}

export type Proposed =
  | { readonly ok: true; readonly term: Term; readonly index: Index }
  | { readonly ok: false; readonly why: "notLeader" | "overloaded" | "stopped"; readonly leader: NodeId | null };

export interface ConsensusStatus {
  readonly leader: NodeId | null;
  readonly leading: boolean;
  readonly term: Term;
  readonly commit: Index;
  readonly applied: Index;
  readonly last: Index;
}

export interface Consensus {
  /** Recovers: restores the newest snapshot and applies what is known to be committed. Resolves when the member can serve. */
  start(host: ConsensusHost): Promise<void>;
  /** Answers at once; the entry is applied later, or never when office is lost. */
  propose(data: Uint8Array): Proposed;
  /** Resolves when a read of the applied state is linearizable; undefined when it is so already. @throws QuorateError noLeader */
  readBarrier(): Promise<void> | undefined;
  status(): ConsensusStatus;
  /**
   * Takes a snapshot of the state as of the last applied entry and then drops the log before it.
   * @param chunks made by the host from a frozen view
   */
  snapshot(
    meta: { readonly index: Index; readonly term: Term; readonly id: string },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<SnapshotMeta>;
  /** Finishes what was acknowledged, then refuses everything. */
  stop(): Promise<void>;
}
