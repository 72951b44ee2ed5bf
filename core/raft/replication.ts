/**
 * What a leader sends: appends, heartbeats and offers of snapshots.
 *
 * Appends are made when a Ready is taken, not when something happens, so that everything that happened in between travels together.
 * Sources: dissertation §3.5 (replication), §10.2 (pipelining, and writing to the own disk at the same time).
 */
import { ENTRY_OVERHEAD } from "./log.ts";
import { type Progress, becomeSnapshot, isFull, sentInflight } from "./progress.ts";
import { type RaftState, send } from "./state.ts";
import type { Entry, NodeId, SnapshotMeta } from "./types.ts";

export function traceProgress(state: RaftState, progress: Progress): void {
  const { id: peer, match, next } = progress;
  state.options.trace?.({ node: state.id, term: state.term, event: "progress", peer, state: progress.state, match, next });
}

/** The log no longer reaches back to what the peer needs. */
function offerSnapshot(state: RaftState, progress: Progress): void {
  // A log that was cut has a snapshot; without one there is nothing that could be missing from it.
  if (state.snapshot === null || !progress.active) return; // or nobody is there to fetch it
  becomeSnapshot(progress, state.snapshot);
  sendOffer(state, progress, state.snapshot);
}

function sendOffer(state: RaftState, progress: Progress, meta: SnapshotMeta): void {
  progress.offerAge = 0;
  send(state, { kind: "snapshotOffer", to: progress.id, meta });
  state.options.trace?.({ node: state.id, term: state.term, event: "offer", to: progress.id, index: meta.index, id: meta.id });
}

/**
 * Makes an offer again that was not answered for T: it or the answer may be lost. The same snapshot is named as long as the log
 * reaches back to it: a newer one would make a slow peer begin anew each time, and one that is always overtaken by the next never
 * arrives (etcd raft, slow_follower_after_compaction.txt).
 */
function repeatOffer(state: RaftState, progress: Progress): void {
  const { offered } = progress;
  if (offered !== null && offered.index >= state.log.offset) sendOffer(state, progress, offered);
  else offerSnapshot(state, progress);
}

function payload(entries: readonly Entry[]): number {
  let bytes = 0;
  for (const entry of entries) bytes += entry.data.length + ENTRY_OVERHEAD;
  return bytes;
}

/** @returns whether anything with entries left */
function sendAppend(state: RaftState, progress: Progress, withEntries: boolean): boolean {
  const { log, limits } = state;
  const prevIndex = progress.next - 1;
  const prevTerm = log.term(prevIndex);
  if (prevTerm === undefined) {
    offerSnapshot(state, progress);
    return false;
  }
  const entries = withEntries ? log.slice(progress.next, log.last, limits.maxMsgBytes) : [];
  const last = prevIndex + entries.length;
  send(state, { kind: "append", to: progress.id, prevIndex, prevTerm, entries, commit: state.commit, readSeq: state.readSeq });
  progress.readSent = state.readSeq;
  progress.sentCommit = Math.max(progress.sentCommit, Math.min(state.commit, last));
  progress.nudge = false;
  if (progress.state === "probe") {
    // One append at a time: until the logs are known to match, more would be wasted.
    progress.paused = true;
  } else if (entries.length > 0) {
    progress.next = last + 1;
    sentInflight(progress, last, payload(entries));
  }
  return entries.length > 0;
}

/** Sends one peer what its state allows. */
function feed(state: RaftState, progress: Progress): void {
  const { limits, log } = state;
  if (progress.state === "snapshot") return;
  if (progress.state === "probe") {
    if (!progress.paused) sendAppend(state, progress, true);
    return;
  }
  while (progress.next <= log.last && !isFull(progress, limits.maxInflightMsgs, limits.maxInflightBytes)) {
    if (!sendAppend(state, progress, true)) return;
  }
  // A full window may be lost as a whole. Only an append without entries can then find out (etcd raft, replicate_pause.txt), and it
  // does so because the peer has to refuse it.
  const lagging = progress.sentCommit < state.commit && progress.sentCommit < progress.next - 1;
  if (progress.nudge || (lagging && progress.next > log.last)) sendAppend(state, progress, false);
}

export function feedAll(state: RaftState): void {
  for (const id of state.peers) {
    const progress = state.progress.get(id);
    if (progress === undefined) continue;
    feed(state, progress);
    // A read round that no append has carried.
    if (progress.readSent < state.readSeq && state.pendingReads.length > 0) sendHeartbeat(state, progress);
  }
}

export function sendHeartbeat(state: RaftState, progress: Progress): void {
  // Never beyond what the peer acknowledged: a heartbeat proves nothing about the peer's log (§3.5).
  const commit = Math.min(state.commit, progress.match);
  send(state, { kind: "heartbeat", to: progress.id, commit, readSeq: state.readSeq });
  progress.readSent = state.readSeq;
}

/** One round of heartbeats, as the heartbeat timer asks for. */
export function heartbeatRound(state: RaftState): void {
  if (state.options.reads === "lease") {
    state.readSeq++;
    state.rounds.push({ seq: state.readSeq, at: state.now });
    // Rounds older than a whole election timeout cannot extend the lease any more.
    while (state.rounds.length > 2 * state.limits.electionTicks + 2) state.rounds.shift();
  }
  for (const id of state.peers) {
    const progress = state.progress.get(id);
    if (progress === undefined) continue;
    sendHeartbeat(state, progress);
    if (progress.state !== "snapshot") continue;
    progress.offerAge += state.limits.heartbeatTicks;
    if (progress.offerAge >= state.limits.electionTicks) repeatOffer(state, progress);
  }
}

/** The most caught-up voter that is there, to hand over to; null when nobody is. */
export function bestSuccessor(state: RaftState, voters: readonly NodeId[]): NodeId | null {
  let best: Progress | null = null;
  for (const id of voters) {
    const progress = state.progress.get(id);
    if (progress === undefined || !progress.active || progress.amnesiac) continue;
    if (best === null || progress.match > best.match) best = progress;
  }
  return best === null ? null : best.id;
}
