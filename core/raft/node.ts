/**
 * Raft as a pure state machine: one member's consensus, without a clock, a thread, a socket or a disk.
 *
 * The host calls `step` with messages, `tick` as time passes, `propose` and `readIndex` for its clients; then, while `hasReady`, takes
 * a `Ready` and does what it says. Everything is synchronous and depends on nothing but the inputs and the injected stream of numbers.
 *
 * Source: Diego Ongaro, "Consensus: Bridging Theory and Practice" (2014); docs/raft.md says where we differ and why.
 */
import { unreachable } from "../invariant.ts";
import type { ConfigChange } from "./config-change.ts";
import {
  campaign,
  handlePreVote,
  handleTimeoutNow,
  handleVote,
  handleVoteReply,
  isSticky,
  leaderGone,
  mayCampaign,
  refuseVote,
} from "./election.ts";
import { handleAppend, handleHeartbeat, handleSnapshotOffer, rejectAppend, snapshotInstalled } from "./follower.ts";
import {
  type Proposed,
  handleAppendReply,
  handleHeartbeatReply,
  handleSnapshotReply,
  propose,
  proposeConfig,
  snapshotFailed,
} from "./leader.ts";
import type { Message } from "./messages.ts";
import { becomeProbe } from "./progress.ts";
import { type ReadRequested, handleReadReply, handleReadRequest, hasLease, readIndex } from "./reads.ts";
import { type Ready, applied, compacted, hasReady, persisted, takeReady } from "./ready.ts";
import { becomeFollower } from "./roles.ts";
import { type ConfigAt, type Options, type RaftState, cloneState, configAt, createState, currentConfig, dropped } from "./state.ts";
import { type Status, statusOf } from "./status.ts";
import { tick } from "./timers.ts";
import { type TransferResult, transferLeadership } from "./transfer.ts";
import type { Index, NodeId, SnapshotMeta, Term } from "./types.ts";

export class RaftNode {
  readonly #state: RaftState;

  /** @throws InvariantError when what was restored contradicts itself */
  constructor(options: Options, state: RaftState = createState(options)) {
    this.#state = state;
    // Nobody else can win an election, so that waiting would help nobody; unless a leader that was on its way out of the configuration
    // still holds a lease that this member acknowledged before it was restarted.
    const config = currentConfig(state);
    const alone = config.voters.length === 1 && config.voters[0] === state.id && config.outgoing.length === 0;
    if (alone && options.reads !== "lease" && state.now === 0 && mayCampaign(state)) state.electionElapsed = state.electionTimeout;
  }

  /** @param elapsed whole ticks since the last call, from a monotonic clock; more than one after a pause */
  tick(elapsed = 1): void {
    tick(this.#state, elapsed);
  }

  /** Total: any well-formed message in any state. Never throws on what a peer sent. */
  step(message: Message): void {
    const state = this.#state;
    if (message.to !== state.id || message.from === state.id) return dropped(state, message, "not addressed to this member");
    const boot = state.boots.get(message.from) ?? 0;
    // An earlier life of the sender may have promised what a later one, from an older copy of its disk, knows nothing of.
    if (message.boot < boot) return dropped(state, message, "from an earlier boot");
    if (message.boot > boot) state.boots.set(message.from, message.boot);
    if (message.term > state.term && !adoptTerm(state, message)) return;
    if (message.term < state.term && !isWelcomeThoughOld(message)) return answerOld(state, message);
    dispatch(state, message);
  }

  /** Appended as one batch, or refused as one. Answers at once; the outcome is known when the place in the log is applied. */
  propose(data: readonly Uint8Array[]): Proposed {
    return propose(this.#state, data);
  }

  proposeConfig(change: ConfigChange): Proposed {
    return proposeConfig(this.#state, change);
  }

  transferLeadership(to: NodeId): TransferResult {
    return transferLeadership(this.#state, to);
  }

  /** @param ctx never used before and never again: member, boot number, counter */
  readIndex(ctx: string): ReadRequested {
    return readIndex(this.#state, ctx);
  }

  /**
   * Asks for an election now, as if the timer had run out. With lease reads nothing happens within T of hearing a leader: the own vote
   * is promised to that leader's lease as much as anybody else's.
   */
  campaign(): void {
    const state = this.#state;
    if (state.options.reads === "lease" && isSticky(state)) return;
    campaign(state, false);
  }

  /** Hint of the transport: what was sent lately is probably lost. */
  unreachable(peer: NodeId): void {
    const progress = this.#state.progress.get(peer);
    if (progress?.state === "replicate") becomeProbe(progress);
  }

  /** Hint of the transport: the process of this peer has ended. Should it be wrong, an election may be held for nothing. */
  leaderGone(peer: NodeId): void {
    leaderGone(this.#state, peer);
  }

  /** Hint of the host that serves a snapshot's chunks. */
  snapshotSent(peer: NodeId, id: string, outcome: "ok" | "failed"): void {
    const progress = this.#state.progress.get(peer);
    if (progress !== undefined && outcome === "failed") snapshotFailed(this.#state, progress, id);
  }

  /** Everything up to and including Ready `seq` is durable. */
  persisted(seq: number): void {
    persisted(this.#state, seq);
  }

  applied(index: Index): void {
    applied(this.#state, index);
  }

  /** The host has a durable snapshot; entries up to meta.index may go. Its configuration must be that of `configAt(meta.index)`. */
  compacted(meta: SnapshotMeta): void {
    compacted(this.#state, meta);
  }

  /**
   * A fetched snapshot is durable, marked in the log, and in the state machine; or its fetch was given up. Owed once for every snapshot
   * that `Ready.install` named, also for one that a newer offer replaced.
   */
  snapshotInstalled(id: string, ok: boolean): void {
    snapshotInstalled(this.#state, id, ok);
  }

  hasReady(): boolean {
    return hasReady(this.#state);
  }

  ready(): Ready {
    return takeReady(this.#state);
  }

  /** A copy, for metrics. */
  status(): Status {
    return statusOf(this.#state);
  }

  /** The configuration in force at `index`, for the header of a snapshot; undefined below what is applied. */
  configAt(index: Index): ConfigAt | undefined {
    return configAt(this.#state, index);
  }

  /** May a read be answered at once? Only with `reads: "lease"`; pass elapsed time with `tick` first. */
  hasLease(): boolean {
    return hasLease(this.#state);
  }

  /** The live state, for checkers; never to be changed. */
  inspect(): Readonly<RaftState> {
    return this.#state;
  }

  clone(): RaftNode {
    return new RaftNode(this.#state.options, cloneState(this.#state));
  }
}

/** Takes a newer term. @returns false when the message is to be ignored instead */
function adoptTerm(state: RaftState, message: Message): boolean {
  switch (message.kind) {
    case "preVote":
      return true; // asks for a term that nobody has yet
    case "preVoteReply":
      if (!message.granted) followTerm(state, message.term);
      return true;
    case "vote":
      if (!message.transfer && isSticky(state)) {
        dropped(state, message, "a leader was heard lately");
        return false;
      }
      followTerm(state, message.term);
      return true;
    case "append":
    case "heartbeat":
    case "snapshotOffer":
      becomeFollower(state, message.term, message.from);
      return true;
    default:
      followTerm(state, message.term);
      return true;
  }
}

/**
 * A newer term without a leader. The timer goes on: only a leader's word or a granted vote sets it back (§3.4). Otherwise a member
 * that asks often and cannot win, because its log is short, would keep those from asking that can.
 */
function followTerm(state: RaftState, term: Term): void {
  const { role, electionElapsed, electionTimeout } = state;
  becomeFollower(state, term, null);
  if (role === "leader") return;
  state.electionElapsed = electionElapsed;
  state.electionTimeout = electionTimeout;
}

/** Words that mean something in a later term too: a read stays confirmed, a pre-vote is refused with a reason. */
function isWelcomeThoughOld(message: Message): boolean {
  return message.kind === "preVote" || message.kind === "readReply" || message.kind === "readRequest";
}

/**
 * Silence would wedge a cluster with PreVote and CheckQuorum: who is left behind has to learn the present term (etcd issue 8501). The
 * answer echoes no number of a read: the sender may lead again by now, and would take it for one of the numbers of its present term.
 */
function answerOld(state: RaftState, message: Message): void {
  switch (message.kind) {
    case "append":
      return rejectAppend(state, message.from, message.prevIndex, 0, 0, 0);
    case "heartbeat":
    case "snapshotOffer":
      return rejectAppend(state, message.from, 0, 0, 0, 0);
    case "vote":
      return refuseVote(state, message);
    default:
      return dropped(state, message, "of an earlier term");
  }
}

function dispatch(state: RaftState, message: Message): void {
  switch (message.kind) {
    case "preVote":
      return handlePreVote(state, message);
    case "vote":
      return handleVote(state, message);
    case "preVoteReply":
    case "voteReply":
      return handleVoteReply(state, message);
    case "append":
      return handleAppend(state, message);
    case "appendReply":
      return handleAppendReply(state, message);
    case "heartbeat":
      return handleHeartbeat(state, message);
    case "heartbeatReply":
      return handleHeartbeatReply(state, message);
    case "timeoutNow":
      return handleTimeoutNow(state, message);
    case "snapshotOffer":
      return handleSnapshotOffer(state, message);
    case "snapshotReply":
      return handleSnapshotReply(state, message);
    case "readRequest":
      return handleReadRequest(state, message);
    case "readReply":
      return handleReadReply(state, message);
    default:
      return unreachable(message);
  }
}
