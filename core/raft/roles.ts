/**
 * Change of role and term. Every change of term goes through here, so that what belongs to a term (vote, leader, ballots, reads,
 * a transfer) never outlives it.
 */
import { assert } from "../invariant.ts";
import { type ReadFailure, type RaftState, type Role, drawTimeout, send } from "./state.ts";
import type { NodeId, Term } from "./types.ts";

/** Fails every read in flight at once, so that nobody waits for a timer. */
export function failReads(state: RaftState, why: ReadFailure["why"]): void {
  for (const read of state.pendingReads) {
    if (read.from === state.id) state.readsFailed.push({ ctx: read.ctx, why });
    else send(state, { kind: "readReply", to: read.from, ctx: read.ctx, index: 0, ok: false });
  }
  for (const read of state.forwardedReads) state.readsFailed.push({ ctx: read.ctx, why });
  state.pendingReads = [];
  state.forwardedReads = [];
}

function reset(state: RaftState, term: Term): void {
  assert(term >= state.term, () => `term goes back from ${state.term} to ${term}`);
  failReads(state, "leader-changed");
  if (term !== state.term) {
    state.term = term;
    state.vote = null;
  }
  state.leader = null;
  state.electionElapsed = 0;
  state.heartbeatElapsed = 0;
  drawTimeout(state);
  state.votes.clear();
  state.progress.clear();
  state.termStart = 0;
  state.uncommittedBytes = 0;
  state.transferTo = null;
  state.transferElapsed = 0;
  state.transferSent = false;
  state.leaseVoid = false;
  state.readSeq = 0;
  state.rounds = [];
  state.leaseUntil = -1;
}

function setRole(state: RaftState, role: Role): void {
  state.role = role;
  state.options.trace?.({ node: state.id, term: state.term, event: "role", role, leader: state.leader });
}

export function becomeFollower(state: RaftState, term: Term, leader: NodeId | null): void {
  reset(state, term);
  state.leader = leader;
  setRole(state, "follower");
}

/** Known leader and old ballots go, term and vote stay (etcd issue 8334: a pre-candidate that keeps a leader never asks again). */
export function becomePreCandidate(state: RaftState): void {
  assert(state.role !== "leader", () => "a leader does not ask for votes");
  failReads(state, "no-leader");
  state.leader = null;
  state.votes.clear();
  state.electionElapsed = 0;
  drawTimeout(state);
  setRole(state, "preCandidate");
}

export function becomeCandidate(state: RaftState): void {
  assert(state.role !== "leader", () => "a leader does not ask for votes");
  reset(state, state.term + 1);
  state.vote = state.id;
  setRole(state, "candidate");
}

export function becomeLeaderRole(state: RaftState): void {
  assert(state.role === "candidate", () => `a ${state.role} cannot become leader`);
  const { term } = state;
  reset(state, term);
  state.leader = state.id;
  setRole(state, "leader");
}
