/** Handing leadership over (dissertation §3.10), on request and because the own disk hangs. */
import { isVoter } from "./config-change.ts";
import { completeTransfer } from "./leader.ts";
import { bestSuccessor } from "./replication.ts";
import { becomeFollower } from "./roles.ts";
import { type RaftState, currentConfig } from "./state.ts";
import type { NodeId } from "./types.ts";

export type TransferResult = { readonly ok: true } | { readonly ok: false; readonly why: "not-leader" | "not-a-voter" | "transferring" };

/** Proposals are refused until the successor took over or T has passed. */
export function transferLeadership(state: RaftState, to: NodeId): TransferResult {
  if (state.role !== "leader") return { ok: false, why: "not-leader" };
  if (to === state.id) return { ok: true };
  const progress = state.progress.get(to);
  if (progress === undefined || progress.amnesiac || !currentConfig(state).voters.includes(to)) return { ok: false, why: "not-a-voter" };
  if (state.transferTo !== null && state.transferTo !== to) return { ok: false, why: "transferring" };
  if (state.transferTo === to) return { ok: true };
  state.transferTo = to;
  state.transferElapsed = 0;
  state.transferSent = false;
  // From here on the successor may campaign at any moment, over the heads of members that promised to wait: no lease holds any more
  // in this term, even if the transfer fails (raft-rs pull request 141).
  state.leaseVoid = true;
  state.options.trace?.({ node: state.id, term: state.term, event: "transfer", to });
  completeTransfer(state, progress);
  progress.nudge = true;
  state.flushWanted = true;
  return { ok: true };
}

export function tickTransfer(state: RaftState, elapsed: number): void {
  if (state.transferTo === null) return;
  state.transferElapsed += elapsed;
  const gone = !isVoter(currentConfig(state), state.transferTo);
  if (!gone && state.transferElapsed < state.limits.electionTicks) return;
  state.transferTo = null;
  state.transferSent = false;
  state.options.trace?.({ node: state.id, term: state.term, event: "transfer", to: null });
}

/**
 * Heartbeats do not touch the disk, so that a leader whose disk hangs would be followed for ever (hashicorp/raft issue 503). When the
 * oldest write with entries takes too long it hands over to the most caught-up voter, and steps down if that fails.
 */
export function watchDisk(state: RaftState): void {
  const oldest = state.inflight.find((one) => one.first !== Infinity);
  if (oldest === undefined) return;
  const age = state.now - oldest.at;
  if (age <= state.limits.diskStallTicks) return;
  if (age > state.limits.diskStallTicks + state.limits.electionTicks) {
    becomeFollower(state, state.term, null);
    return;
  }
  if (state.transferTo !== null) return;
  const successor = bestSuccessor(state, currentConfig(state).voters);
  if (successor === null) becomeFollower(state, state.term, null);
  else transferLeadership(state, successor);
}
