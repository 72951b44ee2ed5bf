/**
 * The leader's own log: proposals, commitment, answers of peers, and what a committed configuration asks for.
 *
 * Sources: dissertation §3.5, §3.6.2 (an entry is committed by counting only in its own term), §4.2.1 (catching up new servers),
 * §4.3 (joint consensus).
 */
import { type ConfigChange, applyChange, encodeConfig, isGone, isJoint, isVoter, leaveJoint } from "./config-change.ts";
import { entryBytes } from "./log.ts";
import type { AppendReply, HeartbeatReply, SnapshotReply } from "./messages.ts";
import { type Progress, acknowledge, becomeProbe, becomeReplicate, freeInflight, newProgress, reject } from "./progress.ts";
import { committedIndex } from "./quorum.ts";
import { advanceReads } from "./reads.ts";
import { bestSuccessor, feedAll, sendHeartbeat, traceProgress } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import { type RaftState, appendEntry, currentConfig, currentConfigIndex, protocolError, send, setCommit } from "./state.ts";
import type { Config, Entry, Index, NodeId } from "./types.ts";

export type Proposed =
  | { readonly ok: true; readonly term: number; readonly first: Index; readonly last: Index }
  | {
      readonly ok: false;
      readonly why:
        | "not-leader"
        | "transferring"
        | "uncommitted-limit"
        | "config-pending"
        | "config-invalid"
        | "term-not-committed"
        | "removed";
      readonly leader: NodeId | null;
      /** For `config-invalid`: what is wrong with it. */
      readonly detail?: string;
    };

type Refusal = Extract<Proposed, { ok: false }>["why"];

function refused(state: RaftState, why: Refusal, detail?: string): Proposed {
  return { ok: false, why, leader: state.leader, ...(detail === undefined ? {} : { detail }) };
}

/** Starts to replicate to members of the newest configuration, stops for those who left it. */
export function alignProgress(state: RaftState): void {
  const present = new Set(state.peers);
  for (const id of [...state.progress.keys()]) if (!present.has(id)) state.progress.delete(id);
  for (const id of state.peers) {
    if (!state.progress.has(id)) state.progress.set(id, newProgress(id, state.log.last, state.now));
  }
  state.flushWanted = true;
}

function appendOwn(state: RaftState, kind: Entry["kind"], data: Uint8Array, config: Config | null): Index {
  const entry: Entry = { term: state.term, index: state.log.last + 1, kind, data };
  appendEntry(state, entry, config);
  state.uncommittedBytes += entryBytes(entry);
  state.flushWanted = true;
  if (config !== null) alignProgress(state);
  return entry.index;
}

/** A new leader's first entry, which lets it commit what earlier terms left behind (§3.6.2, §6.4). */
export function openTerm(state: RaftState): void {
  alignProgress(state);
  // What earlier leaders left uncommitted counts against the limit of this one, and is released when it commits: a count that is
  // carried over instead of taken anew has leaked elsewhere.
  state.uncommittedBytes = 0;
  for (let index = state.commit + 1; index <= state.log.last; index++)
    state.uncommittedBytes += entryBytes(state.log.entry(index) as Entry);
  state.termStart = appendOwn(state, "noop", new Uint8Array(0), null);
}

function officeRefusal(state: RaftState): Refusal | null {
  if (state.role !== "leader") return state.removed || isGone(currentConfig(state), state.id) ? "removed" : "not-leader";
  return state.transferTo === null ? null : "transferring";
}

/** Appends a batch, or refuses it as one. */
export function propose(state: RaftState, data: readonly Uint8Array[]): Proposed {
  const refusal = officeRefusal(state);
  if (refusal !== null) return refused(state, refusal);
  let bytes = 0;
  for (const one of data) bytes += one.length;
  // An empty payload is never refused, and neither is the first one above the limit: it could otherwise never be written.
  if (bytes > 0 && state.uncommittedBytes > 0 && state.uncommittedBytes + bytes > state.limits.maxUncommittedBytes) {
    return refused(state, "uncommitted-limit");
  }
  const first = state.log.last + 1;
  for (const one of data) appendOwn(state, "data", one, null);
  traceAppend(state, first);
  return { ok: true, term: state.term, first, last: state.log.last };
}

function traceAppend(state: RaftState, first: Index): void {
  state.options.trace?.({ node: state.id, term: state.term, event: "append", first, last: state.log.last });
}

export function proposeConfig(state: RaftState, change: ConfigChange): Proposed {
  const refusal = officeRefusal(state);
  if (refusal !== null) return refused(state, refusal);
  // One at a time (§4.1), and none before something of the own term is committed: without this a leader may change a configuration
  // that another leader has already replaced (Ongaro, raft-dev, 10 July 2015: the single-server bug).
  if (currentConfigIndex(state) > state.commit || isJoint(currentConfig(state))) return refused(state, "config-pending");
  if (state.commit < state.termStart) return refused(state, "term-not-committed");
  const next = applyChange(currentConfig(state), change);
  if ("error" in next) return refused(state, "config-invalid", next.error);
  const index = appendConfig(state, next);
  return { ok: true, term: state.term, first: index, last: index };
}

function appendConfig(state: RaftState, config: Config): Index {
  const index = appendOwn(state, "config", encodeConfig(config), config);
  traceAppend(state, index);
  return index;
}

/** What a member is known to have on its disk. The leader's own log counts when written, not when appended (§10.2.1). */
export function durableOf(state: RaftState, id: NodeId): Index | undefined {
  if (id === state.id) return state.amnesiac ? 0 : state.stable;
  const progress = state.progress.get(id);
  return progress === undefined || progress.amnesiac ? undefined : progress.match;
}

/** Moves the commit index as far as the quorum and the term allow, and does what follows from it. */
export function maybeCommit(state: RaftState): void {
  if (state.role !== "leader") return;
  const index = committedIndex(currentConfig(state), (id) => durableOf(state, id));
  if (index <= state.commit) return;
  // Counting replicas commits entries of the own term only; older ones follow with them (§3.6.2, figure 3.7).
  if (state.log.term(index) !== state.term) return;
  for (let at = state.commit + 1; at <= index; at++) state.uncommittedBytes -= entryBytes(state.log.entry(at) as Entry);
  setCommit(state, index);
  state.flushWanted = true;
  advanceReads(state);
  afterCommit(state);
}

/** Leaves a joint configuration by itself; steps down when it is not a voter of the final one any more (§4.2.2). */
function afterCommit(state: RaftState): void {
  const config = currentConfig(state);
  if (currentConfigIndex(state) > state.commit) return;
  if (isJoint(config)) {
    // Whatever the quota says: leaving is what makes progress possible again.
    appendConfig(state, leaveJoint(config));
    maybeCommit(state); // a lone voter with a durable log may commit more
    return;
  }
  if (isVoter(config, state.id)) return;
  feedAll(state); // the others learn that it is committed
  const successor = bestSuccessor(state, config.voters);
  if (successor !== null && state.progress.get(successor)?.match === state.log.last) send(state, { kind: "timeoutNow", to: successor });
  becomeFollower(state, state.term, null);
}

/** A peer that lost what it acknowledged is counted nowhere any more. */
function forgot(state: RaftState, progress: Progress): void {
  if (progress.amnesiac) return;
  progress.amnesiac = true;
  state.amnesiaTotal++;
  state.options.trace?.({ node: state.id, term: state.term, event: "amnesia", of: progress.id });
}

/**
 * A word from a peer, whatever it says. A lower log end than was acknowledged is believed only of a newer boot: from the same one it
 * is merely late.
 */
function heard(state: RaftState, progress: Progress, reply: AppendReply | HeartbeatReply): void {
  progress.active = true;
  if (reply.amnesiac) forgot(state, progress);
  if (reply.boot > progress.boot) {
    if (progress.boot > 0 && reply.lastIndex < progress.match) {
      // It acknowledged more in this term, so that its disk lost the rest. Told before the leader forgets what it acknowledged: once
      // that is refilled, nothing would show the peer that it must not vote.
      forgot(state, progress);
      sendHeartbeat(state, progress);
      progress.match = 0;
      becomeProbe(progress);
      progress.next = Math.min(reply.lastIndex, state.log.last) + 1;
    } else if (progress.boot > 0 && progress.state === "replicate") {
      becomeProbe(progress); // what was in flight to the earlier life is gone
    }
    progress.boot = reply.boot;
  }
  if (reply.readSeq > progress.readAck && !progress.amnesiac) {
    progress.readAck = Math.min(reply.readSeq, state.readSeq);
    advanceReads(state);
  }
}

export function handleAppendReply(state: RaftState, reply: AppendReply): void {
  const progress = state.progress.get(reply.from);
  if (state.role !== "leader" || progress === undefined) return;
  if (reply.accepted && reply.index > state.log.last) {
    protocolError(state, reply, "acknowledges entries that were never sent");
    return;
  }
  heard(state, progress, reply);
  if (state.role !== "leader") return;
  state.flushWanted = true;
  if (reply.accepted) accepted(state, progress, reply);
  else rejected(state, progress, reply);
}

function rejected(state: RaftState, progress: Progress, reply: AppendReply): void {
  // Skip whole terms from this side too: the peer's hint says what term it has there, ours says where such a term can still match.
  const hint = reply.hintTerm > 0 ? state.log.lastAtMost(reply.hintIndex, reply.hintTerm).index : reply.hintIndex;
  if (reject(progress, reply.prevIndex, hint)) traceProgress(state, progress);
}

function accepted(state: RaftState, progress: Progress, reply: AppendReply): void {
  const advanced = acknowledge(progress, reply.index);
  if (progress.state === "probe" && (advanced || reply.index === progress.next - 1)) {
    becomeReplicate(progress);
    traceProgress(state, progress);
  } else if (progress.state === "snapshot" && progress.match >= state.log.offset) {
    // Appends can resume from here, at whatever index that is: waiting for the offered one would open the gap again.
    becomeProbe(progress);
    progress.next = progress.match + 1;
    becomeReplicate(progress);
    traceProgress(state, progress);
  } else if (progress.state === "replicate") {
    freeInflight(progress, reply.index);
  }
  if (!advanced) return;
  catchUpRound(state, progress);
  if (state.transferTo === progress.id) completeTransfer(state, progress);
  maybeCommit(state);
}

/** Rounds of catching up (§4.2.1): a round ends when the peer has what the log had at its beginning. */
function catchUpRound(state: RaftState, progress: Progress): void {
  if (progress.match < progress.roundTarget) return;
  progress.roundTicks = state.now - progress.roundStart;
  progress.roundTarget = state.log.last;
  progress.roundStart = state.now;
}

/** May a learner become a voter without stalling commitment? */
export function isCaughtUp(state: RaftState, progress: Progress): boolean {
  const near = progress.match >= state.log.last - state.limits.learnerMaxLag;
  return (
    near && progress.state === "replicate" && progress.active && !progress.amnesiac && progress.roundTicks <= state.limits.electionTicks
  );
}

/** Promotes learners that were added with `promote: auto` and have caught up. */
export function promoteLearners(state: RaftState): void {
  const config = currentConfig(state);
  if (config.autoPromote === undefined) return;
  const ready = config.autoPromote.filter((id) => {
    const progress = state.progress.get(id);
    return progress !== undefined && isCaughtUp(state, progress);
  });
  if (ready.length === 0) return;
  // Refused while something stands in the way; the next tick asks again.
  proposeConfig(state, { add: ready.map((id) => ({ id, meta: config.meta[id] ?? "", as: "voter" as const })) });
}

/** Tells the successor to campaign once it has everything (§3.10). */
export function completeTransfer(state: RaftState, progress: Progress): void {
  if (state.transferSent || progress.match < state.log.last) return;
  state.transferSent = true;
  send(state, { kind: "timeoutNow", to: progress.id });
}

export function handleHeartbeatReply(state: RaftState, reply: HeartbeatReply): void {
  const progress = state.progress.get(reply.from);
  if (state.role !== "leader" || progress === undefined) return;
  heard(state, progress, reply);
  if (state.role !== "leader") return;
  // A peer that answers is there: a probe that was lost, or a window that was lost, is tried again.
  progress.paused = false;
  if (progress.match < state.log.last && progress.state === "replicate") progress.nudge = true;
  state.flushWanted = true;
}

export function handleSnapshotReply(state: RaftState, reply: SnapshotReply): void {
  const progress = state.progress.get(reply.from);
  if (state.role !== "leader" || progress === undefined) return;
  progress.active = true;
  if (!reply.ok) snapshotFailed(state, progress, reply.id);
}

/** Back to probing from what is known; the next probe finds out whether a snapshot is still needed. */
export function snapshotFailed(state: RaftState, progress: Progress, id: string): void {
  if (progress.state !== "snapshot" || progress.offered?.id !== id) return;
  becomeProbe(progress);
  progress.next = progress.match + 1;
  progress.paused = true; // until it is heard of again: a failing transfer is not repeated at full speed
  traceProgress(state, progress);
}
