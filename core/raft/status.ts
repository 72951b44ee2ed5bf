/** A copy of what a member knows, for metrics, the API and tests. */
import { isCaughtUp } from "./leader.ts";
import { isAround, isFull } from "./progress.ts";
import { type RaftState, type Role, currentConfig, currentConfigIndex, sortedKeys } from "./state.ts";
import type { Config, Index, NodeId, Term } from "./types.ts";

export interface PeerStatus {
  readonly match: Index;
  readonly next: Index;
  readonly state: "probe" | "replicate" | "snapshot";
  readonly paused: boolean;
  /** Heard since the quorum check before the last one: just after a check nobody has been heard yet. */
  readonly active: boolean;
  readonly inflight: number;
  readonly amnesiac: boolean;
  /** A learner that could become a voter without stalling commitment. */
  readonly caughtUp: boolean;
}

export interface Status {
  readonly id: NodeId;
  readonly role: Role;
  readonly term: Term;
  readonly vote: NodeId | null;
  readonly leader: NodeId | null;
  readonly commit: Index;
  readonly applied: Index;
  readonly stable: Index;
  readonly last: Index;
  /** First entry retained in memory. */
  readonly first: Index;
  readonly config: Config;
  readonly configIndex: Index;
  /** Of the leader; empty elsewhere. */
  readonly progress: Readonly<Record<NodeId, PeerStatus>>;
  readonly unpersisted: number;
  readonly uncommittedBytes: number;
  readonly logBytes: number;
  readonly pendingReads: number;
  readonly transferTo: NodeId | null;
  /** Lost entries that it had acknowledged; and how often that was seen, here or at a peer. */
  readonly amnesiac: boolean;
  readonly amnesiaTotal: number;
  readonly removed: boolean;
  readonly installing: string | null;
  /** Messages dropped because no correct peer sends them. */
  readonly protocolErrors: number;
}

export function statusOf(state: RaftState): Status {
  const progress: Record<NodeId, PeerStatus> = {};
  for (const id of sortedKeys(state.progress)) {
    const one = state.progress.get(id);
    if (one === undefined) continue;
    progress[id] = {
      match: one.match,
      next: one.next,
      state: one.state,
      paused:
        one.state === "snapshot" ||
        (one.state === "probe" ? one.paused : isFull(one, state.limits.maxInflightMsgs, state.limits.maxInflightBytes)),
      active: isAround(one),
      inflight: one.inflightLast.length,
      amnesiac: one.amnesiac,
      caughtUp: isCaughtUp(state, one),
    };
  }
  return {
    id: state.id,
    role: state.role,
    term: state.term,
    vote: state.vote,
    leader: state.leader,
    commit: state.commit,
    applied: state.applied,
    stable: state.stable,
    last: state.log.last,
    first: state.log.offset + 1,
    config: currentConfig(state),
    configIndex: currentConfigIndex(state),
    progress,
    unpersisted: state.inflight.length,
    uncommittedBytes: state.uncommittedBytes,
    logBytes: state.log.bytes,
    pendingReads: state.pendingReads.length + state.forwardedReads.length,
    transferTo: state.transferTo,
    amnesiac: state.amnesiac,
    amnesiaTotal: state.amnesiaTotal,
    removed: state.removed,
    installing: state.installing.at(-1)?.id ?? null,
    protocolErrors: state.protocolErrors,
  };
}
