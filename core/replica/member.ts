/** One member, as the API sees it: propose, read, and ask how it is. `Replica` implements it. */
import type { Applied, CommandBody, LeaseId, ResultOf } from "../store/command.ts";
import type { CommandAuth } from "../store/auth/auth-change.ts";
import type { CommandSession } from "../store/sessions.ts";
import type { StoreView } from "../store/store-view.ts";

export interface PeerInfo {
  /** Decimal uint64. */
  readonly id: string;
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
  readonly learner: boolean;
}

export interface MemberStatus {
  readonly leaderId: string;
  readonly term: number;
  readonly raftIndex: number;
  readonly appliedIndex: number;
  /** Bytes on disk. */
  readonly diskBytes: number;
  readonly learner: boolean;
  /** What is wrong, one sentence each: alarms, a stalled disk. Empty when all is well. */
  readonly problems: readonly string[];
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  /** Milliseconds since 1970 at which the present leader took office. */
  readonly leaderSince: number;
}

/** What goes with a command beside its body. */
export interface ProposalAttributes {
  readonly session?: CommandSession;
  readonly auth?: CommandAuth;
}

export interface Member {
  readonly clusterId: string;
  readonly memberId: string;
  readonly store: StoreView;
  /** It has no vote, or does not know of it yet. Asked with every request. */
  readonly isLearner: boolean;
  status(): MemberStatus;
  members(): readonly PeerInfo[];
  /**
   * Resolves when the command is durable on a quorum and applied here.
   * @throws QuorateError what applying it refused (then nothing changed); noLeader, tooManyRequests, stopped before it was proposed;
   *   leaderChanged or timeout when the outcome is unknown
   * @param attributes `session`: of a client that may send the command again when it does not hear the outcome: then it is done once
   */
  propose<B extends CommandBody>(body: B, attributes?: ProposalAttributes): Promise<Applied<ResultOf<B["kind"]>>>;
  /** undefined: a read of `store` is linearizable at once. @throws QuorateError noLeader */
  readBarrier(): Promise<void> | undefined;
  /** Renews a lease by its full TTL. @returns its TTL in seconds @throws QuorateError leaseNotFound */
  keepAlive(id: LeaseId): Promise<number>;
  /** Remaining whole seconds, by the leader's clock. @throws QuorateError leaseNotFound */
  leaseRemainingSeconds(id: LeaseId): Promise<number>;
  /** A fresh random positive int64, decimal, that no lease has. */
  newLeaseId(): LeaseId;
  /**
   * Adds a member that is yet to be started: as a learner, and unless `learner` is asked for it becomes a voter by itself once it has
   * caught up. @throws QuorateError peerUrlExists, notEnoughStarted, unhealthy, unsupported; noLeader, timeout
   */
  addMember(peerUrls: readonly string[], learner: boolean): Promise<PeerInfo>;
  /** For good: its id never returns. @throws QuorateError memberNotFound, memberRemoved, notEnoughStarted, unhealthy */
  removeMember(id: string): Promise<void>;
  /** @throws QuorateError memberNotFound, memberRemoved, peerUrlExists */
  updateMember(id: string, peerUrls: readonly string[]): Promise<void>;
  /** Makes a learner a voter. @throws QuorateError memberNotFound, memberRemoved, memberNotLearner, learnerNotReady */
  promoteMember(id: string): Promise<void>;
  /** Asked of the leader; resolves when the other one leads. @throws QuorateError badLeaderTransferee, notLeader, leaderTransferTimeout */
  moveLeader(to: string): Promise<void>;
  /** A checked snapshot of the present state, in the format of docs/formats/snapshot.md. */
  snapshot(): AsyncIterable<Uint8Array>;
  /** Frees what compaction left behind. */
  defragment(): Promise<void>;
}
