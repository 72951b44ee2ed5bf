/**
 * Port: agreement on the order of commands. `Raft` implements it where there are peers, `Solo` where the platform already replicates
 * storage or there is one process. Everything above cannot tell the two apart (architecture decision 1).
 */
import type { QuorateError } from "../errors.ts";
import type { ConfigChange } from "../raft/config-change.ts";
import type { Status } from "../raft/status.ts";
import type { Entry, Index, NodeId, SnapshotMeta, Term } from "../raft/types.ts";
import type { Identity } from "./log-storage-port.ts";

/** Who the consensus works for: the replica. Calls are synchronous and in log order. */
export interface ConsensusHost {
  /** Committed and locally durable entries, each exactly once a run, without gaps. */
  apply(entries: readonly Entry[]): void;
  /** Replaces the state by that of a snapshot, before entries after it are applied. */
  restore(meta: SnapshotMeta, chunks: AsyncIterable<Uint8Array>): Promise<void>;
  /**
   * Office won or lost, or somebody else's. Losing it fails the proposals that were not applied with an unknown outcome.
   * @param term the current one
   * @param leader null while there is none
   */
  officeChanged(leading: boolean, term: Term, leader: NodeId | null): void;
  /** Answers a question that another member asked with `askLeader`. What it throws reaches the asker. */
  answer(from: NodeId, request: unknown): Promise<unknown>;
  /** The member cannot go on: a device failed or an invariant broke. Called once. */
  failed(error: Error): void;
  /** The others have removed this member from the cluster for good. Called once. */
  removed(): void;
}

/** A host whose state is stored as it is applied, and so outlives the process. */
export interface StoredHost extends ConsensusHost {
  /**
   * Applies entries as one act: all of them are stored, or what the transaction throws is thrown and nothing has happened.
   * @param transaction runs its argument once, at once
   * @returns answers those who wait for these entries, and tells watches: to be called once, when they are durable
   */
  applyWithin(entries: readonly Entry[], transaction: (work: () => void) => void): () => void;
  /** An entry that cannot be stored: it is passed over, and whoever proposed it is told why. */
  refuse(index: Index, error: QuorateError): void;
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
  /** What keeps this member from doing its part, for an operator; null when all is well. */
  readonly problem: string | null;
}

export interface ConsensusMember {
  readonly id: NodeId;
  readonly learner: boolean;
  readonly meta: MemberMeta;
}

/** What a configuration keeps of each member. All but the peer URLs is told by the member itself, at each of its starts. */
export interface MemberMeta {
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  /** Openings of its storage; undefined before it has started once. Who comes with a lower one is a copy of an old disk. */
  readonly boot?: number;
  /** See `Identity.diskId`. Who comes with another one has lost what it had acknowledged. */
  readonly diskId?: string;
}

export function parseMemberMeta(text: string | undefined): MemberMeta {
  if (text === undefined || text === "") return { name: "", peerUrls: [], clientUrls: [] };
  return JSON.parse(text) as MemberMeta;
}

export function formatMemberMeta({ name, peerUrls, clientUrls, boot, diskId }: MemberMeta): string {
  const started = boot === undefined ? {} : { boot, diskId: diskId ?? "0" };
  return JSON.stringify({ name, peerUrls, clientUrls, ...started });
}

export interface Consensus {
  /** Known once `start` has opened the storage. Decimal uint64. */
  readonly identity: Identity;
  /** Openings of the storage, this one included. */
  readonly boot: number;
  /** Recovers: restores the newest snapshot and applies what is known to be committed. Resolves when the member can serve. */
  start(host: ConsensusHost): Promise<void>;
  /** Answers at once; the entry is applied later, or never when office is lost. */
  propose(data: Uint8Array): Proposed;
  /** Resolves when a read of the applied state is linearizable; undefined when it is so already. @throws QuorateError noLeader */
  readBarrier(): Promise<void> | undefined;
  status(): ConsensusStatus;
  /** Time passed: whole ticks since the last call. */
  tick(ticks: number): void;
  /**
   * Sends a question to the leader, which answers it with `ConsensusHost.answer`.
   * @throws QuorateError `noLeader` and `notSent` when it certainly was not asked, `timeout` when that is unknown, or the leader's error
   */
  askLeader(request: unknown, timeoutMs: number): Promise<unknown>;
  /** Everybody in the present configuration. */
  members(): readonly ConsensusMember[];
  /** What the core knows, for membership changes, metrics and operators; null where there is no Raft. */
  raftStatus(): Status | null;
  /**
   * Resolves when the change is committed, and no longer joint.
   * @throws QuorateError `changeRefused` with `details.why` (nothing was done: "not-leader", "config-pending", "config-invalid" …),
   *   `leaderChanged` (unknown), `unsupported` where there are no peers
   */
  changeMembership(change: ConfigChange): Promise<void>;
  /** Begins to hand over to another voter; `officeChanged` tells the end. @throws QuorateError `changeRefused`, `unsupported` */
  transferLeadership(to: NodeId): void;
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
