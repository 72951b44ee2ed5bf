/**
 * Linearizable reads without a write (dissertation §6.4): the leader notes the commit index, makes sure that it still is the leader,
 * and the reader waits until that index is applied.
 *
 * A read is confirmed when a quorum of each half has echoed its number, in this term. The number grows with every accepted read, so
 * that an echo of an earlier round cannot confirm a later read (etcd issue 20418). Nothing is confirmed before an entry of the own
 * term is committed, with one voter as with five: before that the leader does not know how far its predecessors got (etcd issue 7331),
 * and a member that restarts alone may not know its own commit index (etcd raft issue 105).
 */
import { isVoter } from "./config-change.ts";
import type { ReadReply, ReadRequest } from "./messages.ts";
import { committedIndex } from "./quorum.ts";
import { type RaftState, currentConfig, send } from "./state.ts";
import type { NodeId } from "./types.ts";

/** `ok: false` is final, and not repeated in a Ready. */
export type ReadRequested = { readonly ok: true } | { readonly ok: false; readonly why: "no-leader" | "overflow" };

const MILLION = 1_000_000;

/** Number of the newest round that a quorum has acknowledged; the leader acknowledges its own. */
function confirmedSeq(state: RaftState): number {
  return committedIndex(currentConfig(state), (id) => {
    if (id === state.id) return state.readSeq;
    const progress = state.progress.get(id);
    return progress === undefined || progress.amnesiac ? undefined : progress.readAck;
  });
}

/** Emits what is confirmed; extends the lease. Called after every acknowledgement and every commit. */
export function advanceReads(state: RaftState): void {
  if (state.rounds.length === 0 && state.pendingReads.length === 0) return;
  const seq = confirmedSeq(state);
  extendLease(state, seq);
  if (state.commit < state.termStart) return;
  let done = 0;
  for (const read of state.pendingReads) {
    if (read.seq > seq) break; // ascending by seq
    done++;
    emit(state, read.from, read.ctx, read.index);
  }
  if (done > 0) state.pendingReads = state.pendingReads.slice(done);
}

function emit(state: RaftState, from: NodeId, ctx: string, index: number): void {
  if (from === state.id) state.reads.push({ ctx, index });
  else send(state, { kind: "readReply", to: from, ctx, index, ok: true });
}

/**
 * A lease of §6.4.1 runs from when the round was sent, because that is before any follower's promise began. Two ticks are taken off:
 * this clock and a follower's are each read up to one tick late.
 */
function extendLease(state: RaftState, seq: number): void {
  if (state.options.reads !== "lease") return;
  let done = 0;
  for (const round of state.rounds) {
    if (round.seq > seq) break;
    done++;
    const length = Math.floor((state.limits.electionTicks * (MILLION - state.options.maxClockDriftPpm)) / MILLION);
    state.leaseUntil = Math.max(state.leaseUntil, round.at + length - 2);
  }
  if (done > 0) state.rounds = state.rounds.slice(done);
}

/** Followers promise not to vote for T after hearing a leader, so that nobody else can lead before then (stickiness). */
export function hasLease(state: RaftState): boolean {
  if (state.options.reads !== "lease" || state.role !== "leader" || state.leaseVoid) return false;
  return state.commit >= state.termStart && state.now <= state.leaseUntil;
}

function accept(state: RaftState, from: NodeId, ctx: string): boolean {
  if (hasLease(state)) {
    emit(state, from, ctx, state.commit);
    return true;
  }
  if (state.pendingReads.length >= state.limits.maxPendingReads) return false;
  state.readSeq++;
  state.pendingReads.push({ ctx, from, seq: state.readSeq, index: Math.max(state.commit, state.termStart) });
  state.flushWanted = true;
  if (state.peers.length === 0 || isVoter(currentConfig(state), state.id)) advanceReads(state); // a lone voter needs nobody
  return true;
}

export function readIndex(state: RaftState, ctx: string): ReadRequested {
  if (state.role === "leader") return accept(state, state.id, ctx) ? { ok: true } : { ok: false, why: "overflow" };
  if (state.leader === null) return { ok: false, why: "no-leader" };
  if (state.forwardedReads.length >= state.limits.maxPendingReads) return { ok: false, why: "overflow" };
  state.forwardedReads.push({ ctx, since: state.now });
  send(state, { kind: "readRequest", to: state.leader, ctx });
  return { ok: true };
}

export function handleReadRequest(state: RaftState, request: ReadRequest): void {
  if (state.role === "leader" && accept(state, request.from, request.ctx)) return;
  send(state, { kind: "readReply", to: request.from, ctx: request.ctx, index: 0, ok: false });
}

export function handleReadReply(state: RaftState, reply: ReadReply): void {
  const at = state.forwardedReads.findIndex((read) => read.ctx === reply.ctx);
  if (at < 0) return; // answered or given up before
  state.forwardedReads.splice(at, 1);
  if (reply.ok) state.reads.push({ ctx: reply.ctx, index: reply.index });
  else state.readsFailed.push({ ctx: reply.ctx, why: "leader-changed" });
}

/** A question or its answer may be lost. It is not asked again: a retry is a new read. */
export function expireForwarded(state: RaftState): void {
  const { electionTicks } = state.limits;
  let done = 0;
  for (const read of state.forwardedReads) {
    if (state.now - read.since < electionTicks) break;
    done++;
    state.readsFailed.push({ ctx: read.ctx, why: "no-leader" });
  }
  if (done > 0) state.forwardedReads = state.forwardedReads.slice(done);
}
