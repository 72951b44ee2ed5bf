/**
 * Elections: who may ask, who grants, what the ballots say.
 *
 * Sources: dissertation §3.4 (elections), §3.6.1 (election restriction), §4.2.3 (stickiness), §9.6 (PreVote), §3.10 (transfer).
 */
import { isGone } from "./config-change.ts";
import { openTerm } from "./leader.ts";
import type { TimeoutNow, VoteReply, VoteRequest } from "./messages.ts";
import { voteResult } from "./quorum.ts";
import { becomeCandidate, becomeFollower, becomeLeaderRole, becomePreCandidate } from "./roles.ts";
import type { NodeId } from "./types.ts";
import { type RaftState, configAt, currentConfig, isInstalling, mayVoteSomewhere, send, sendAfterPersist } from "./state.ts";

/** Has a leader been heard within T? Then (pre-)votes are refused, so that a removed or half connected member cannot disturb (§4.2.3). */
export function isSticky(state: RaftState): boolean {
  return state.role === "leader" || state.leaderSilence < state.limits.electionTicks;
}

/** A disk that does not finish cannot carry a term: its requests for votes would never leave, and its term would only disturb. */
function isDiskStalled(state: RaftState): boolean {
  const oldest = state.inflight[0];
  return oldest !== undefined && state.now - oldest.at > state.limits.electionTicks;
}

export function mayCampaign(state: RaftState): boolean {
  if (state.role === "leader" || state.amnesiac || state.removed || isInstalling(state)) return false;
  // A joiner walks through every configuration of the past; under a reused id an old one could make it a quorum of its own
  // (openraft, FAQ "reuse of a node id"). Once its log reaches the entry that added it the past is behind it. Waiting until that entry
  // is committed would be too much: the joiner may hold the longest log, and then nobody else can win the election that commits it.
  if (state.log.last < state.options.restored.joinIndex) return false;
  return mayVoteSomewhere(state) && !isDiskStalled(state);
}

/**
 * The process that leads was seen to end. Waiting on would help nobody: this member holds to it no longer, and the voters ask in the order
 * of their ids, a heartbeat apart, so that no two ask at once. If it leads on after all, its next word is heard as ever, and the others,
 * who have heard it, refuse. With lease reads the promise to wait binds, whatever was seen.
 */
export function leaderGone(state: RaftState, peer: NodeId): void {
  if (state.role !== "follower" || state.leader !== peer || state.options.reads === "lease") return;
  const { electionTicks, heartbeatTicks } = state.limits;
  const { voters, outgoing } = currentConfig(state);
  const place = [...new Set([...voters, ...outgoing])]
    .filter((id) => id !== peer)
    .toSorted()
    .indexOf(state.id);
  state.leader = null;
  state.leaderSilence = electionTicks;
  if (place >= 0) state.electionElapsed = Math.max(state.electionElapsed, state.electionTimeout - 1 - place * heartbeatTicks);
}

/** @param transfer the leader asked for it: no pre-vote, and stickiness does not apply */
export function campaign(state: RaftState, transfer: boolean): void {
  if (!mayCampaign(state)) return;
  if (state.options.preVote && !transfer) becomePreCandidate(state);
  else becomeCandidate(state);
  askForVotes(state, transfer);
}

function askForVotes(state: RaftState, transfer: boolean): void {
  const pre = state.role === "preCandidate";
  state.options.trace?.({ node: state.id, term: state.term, event: "campaign", transfer, pre });
  const { last: lastIndex, lastTerm } = state.log;
  const config = currentConfig(state);
  for (const to of state.peers) {
    // Learners are asked only through the voters' lists; a voter that still believes to be a learner answers all the same.
    if (!config.voters.includes(to) && !config.outgoing.includes(to)) continue;
    // A real request waits for the disk: after a crash the same term could otherwise ask again with a shorter log, and count
    // ballots that were given to the longer one. A pre-vote binds nobody.
    if (pre) send(state, { kind: "preVote", to, term: state.term + 1, lastTerm, lastIndex, transfer });
    else sendAfterPersist(state, { kind: "vote", to, lastTerm, lastIndex, transfer });
  }
  if (pre) state.votes.set(state.id, true);
  else ownVoteDurable(state);
  tally(state);
}

/** The own vote counts when it is on disk, like everybody's. */
export function ownVoteDurable(state: RaftState): void {
  if (state.role !== "candidate" || state.votes.has(state.id)) return;
  if (state.durableTerm !== state.term || state.durableVote !== state.id) return;
  state.votes.set(state.id, true);
  tally(state);
}

function tally(state: RaftState): void {
  if (state.role !== "candidate" && state.role !== "preCandidate") return;
  // Counted by the newest configuration; voteResult looks only at its voters, so that an own vote from outside counts nothing.
  const result = voteResult(currentConfig(state), (id) => state.votes.get(id));
  if (result === "pending") return;
  if (result === "lost") {
    const { electionElapsed } = state;
    becomeFollower(state, state.term, null);
    state.electionElapsed = electionElapsed;
    return;
  }
  if (state.role === "preCandidate") {
    becomeCandidate(state);
    askForVotes(state, false);
    return;
  }
  becomeLeaderRole(state);
  openTerm(state);
}

/** The replier knows, from a committed configuration, that the asker was removed. */
function knowsRemoved(state: RaftState, id: string): boolean {
  const committed = configAt(state, state.commit);
  return committed !== undefined && isGone(committed.config, id);
}

/** Own term untouched. A grant names the term asked for, a refusal the own one; there is always an answer (etcd issue 8243). */
export function handlePreVote(state: RaftState, request: VoteRequest): void {
  const removed = knowsRemoved(state, request.from);
  const newer = request.term > state.term;
  const free = newer || state.vote === request.from || (state.vote === null && state.leader === null);
  const granted =
    free &&
    request.term >= state.term &&
    !state.amnesiac &&
    !removed &&
    (request.transfer || !isSticky(state)) &&
    state.log.isUpToDate(request.lastIndex, request.lastTerm);
  state.options.trace?.({ node: state.id, term: state.term, event: "vote", to: request.from, granted, pre: true });
  send(state, { kind: "preVoteReply", to: request.from, term: granted ? request.term : state.term, granted, removed });
}

/** Term is the own one already. Learners vote when asked: they may be voters by now and not know it (campaign_learner_must_vote.txt). */
export function handleVote(state: RaftState, request: VoteRequest): void {
  const free = state.vote === request.from || (state.vote === null && state.leader === null);
  const granted = free && !state.amnesiac && state.log.isUpToDate(request.lastIndex, request.lastTerm);
  if (granted) {
    state.vote = request.from;
    state.electionElapsed = 0;
  }
  state.options.trace?.({ node: state.id, term: state.term, event: "vote", to: request.from, granted, pre: false });
  sendAfterPersist(state, { kind: "voteReply", to: request.from, granted, removed: knowsRemoved(state, request.from) });
}

/** A request of an earlier term learns the present one, so that a candidate left behind finds its way back. */
export function refuseVote(state: RaftState, request: VoteRequest): void {
  sendAfterPersist(state, { kind: "voteReply", to: request.from, granted: false, removed: knowsRemoved(state, request.from) });
}

export function handleVoteReply(state: RaftState, reply: VoteReply): void {
  if (reply.removed) state.removed = true;
  const asked = reply.kind === "preVoteReply" ? "preCandidate" : "candidate";
  if (state.role !== asked) return;
  if (reply.granted && reply.term !== (asked === "preCandidate" ? state.term + 1 : state.term)) return;
  if (state.votes.has(reply.from)) return; // the first word counts
  state.votes.set(reply.from, reply.granted);
  tally(state);
}

/** The leader hands over (§3.10). */
export function handleTimeoutNow(state: RaftState, message: TimeoutNow): void {
  if (state.role === "leader" || state.leader !== message.from) return;
  campaign(state, true);
}
