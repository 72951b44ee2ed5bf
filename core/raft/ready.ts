/**
 * What a host must do next, as one value: `Ready`. And what it reports back: written, applied, compacted.
 *
 * Several Readys may be under way. What is durable is decided by their numbers, never by (index, term): after a truncation and a new
 * append the same pair of numbers can come from two writes, and the end of the first says nothing about the second (etcd raft,
 * async_storage_writes_append_aba_race.txt; dissertation §10.2.1 for writing in parallel).
 */
import { assert } from "../invariant.ts";
import { isVoter } from "./config-change.ts";
import { ownVoteDurable } from "./election.ts";
import { maybeCommit } from "./leader.ts";
import { ENTRY_OVERHEAD, entryBytes } from "./log.ts";
import type { Message } from "./messages.ts";
import { isAround } from "./progress.ts";
import { feedAll } from "./replication.ts";
import { type RaftState, type ReadFailure, type Role, configAt, currentConfig, currentConfigIndex, pruneConfigs } from "./state.ts";
import type { Config, Entry, HardState, Index, NodeId, SnapshotMeta, Term } from "./types.ts";

export interface Ready {
  readonly seq: number;
  /** Present when changed. */
  readonly soft?: { readonly role: Role; readonly leader: NodeId | null; readonly term: Term };
  readonly hard?: HardState;
  /** To append; first everything at or above entries[0].index is to be removed. */
  readonly entries: readonly Entry[];
  /** false: no sync is owed, and persisted(seq) may follow as soon as every earlier Ready is durable. */
  readonly mustSync: boolean;
  /** Now, in parallel with the write. */
  readonly send: readonly Message[];
  /** Only when this and every earlier Ready is durable. */
  readonly sendAfterPersist: readonly Message[];
  /** Committed and locally durable, in order, each exactly once a run. */
  readonly apply: readonly Entry[];
  readonly reads: readonly { readonly ctx: string; readonly index: Index }[];
  readonly readsFailed: readonly ReadFailure[];
  /** Begin or continue fetching. One at a time is installed: another one replaces the fetch that runs, whose end is reported as failed. */
  readonly install?: { readonly meta: SnapshotMeta; readonly from: NodeId };
  /** Open and close links to peers on this. */
  readonly config?: { readonly current: Config; readonly index: Index; readonly committed: boolean };
}

const NOTHING: readonly never[] = [];

function hardChanged(state: RaftState): boolean {
  return state.handedHard.commit !== state.commit || bindingChanged(state);
}

/** What must be synced, unlike the commit hint. */
function bindingChanged(state: RaftState): boolean {
  const { handedHard } = state;
  return handedHard.term !== state.term || handedHard.vote !== state.vote || (handedHard.amnesiac === true) !== state.amnesiac;
}

function softChanged(state: RaftState): boolean {
  return state.softRole !== state.role || state.softLeader !== state.leader || state.softTerm !== state.term;
}

/** Applying waits for the own disk too, so that a member alone never answers before it could survive a crash (etcd issue 14370). */
function applicable(state: RaftState): Index {
  return Math.min(state.commit, state.stable);
}

function mayApply(state: RaftState): boolean {
  return state.applyCursor < applicable(state) && (state.applyingBytes === 0 || state.applyingBytes < state.limits.maxApplyBytes);
}

function mayPersist(state: RaftState): boolean {
  return state.inflight.length < state.limits.maxUnpersistedReadys;
}

/**
 * A snapshot replaces the log at the host in the order of handing over: what the log holds must all be handed over before it, or it would
 * be written behind the snapshot, where it leaves the log with entries from before.
 */
function mayInstall(state: RaftState): boolean {
  return state.installOffer !== null && state.handed === state.log.last;
}

export function hasReady(state: RaftState): boolean {
  if (state.flushWanted || state.send.length > 0 || state.reads.length > 0 || state.readsFailed.length > 0) return true;
  if (state.configChanged || softChanged(state) || mayApply(state) || mayInstall(state)) return true;
  return mayPersist(state) && (state.handed < state.log.last || state.sendAfterPersist.length > 0 || hardChanged(state));
}

function takeApply(state: RaftState): readonly Entry[] {
  if (!mayApply(state)) return NOTHING;
  const room = Math.max(0, state.limits.maxApplyBytes - state.applyingBytes);
  const entries = state.log.slice(state.applyCursor + 1, applicable(state), room);
  for (const entry of entries) state.applyingBytes += entryBytes(entry);
  state.applyCursor += entries.length;
  return entries;
}

interface Write {
  readonly hard: HardState | null;
  readonly entries: readonly Entry[];
  readonly mustSync: boolean;
  readonly sendAfterPersist: readonly Message[];
}

const NO_WRITE: Write = { hard: null, entries: NOTHING, mustSync: false, sendAfterPersist: NOTHING };

function takeWrite(state: RaftState, seq: number): Write {
  if (!mayPersist(state)) return NO_WRITE;
  const binding = bindingChanged(state);
  const hard: HardState | null = hardChanged(state)
    ? { term: state.term, vote: state.vote, commit: state.commit, ...(state.amnesiac ? { amnesiac: true } : {}) }
    : null;
  if (hard !== null) state.handedHard = hard;
  const entries = state.handed < state.log.last ? state.log.slice(state.handed + 1, state.log.last, Infinity) : NOTHING;
  state.handed = state.log.last;
  const later = state.sendAfterPersist;
  state.sendAfterPersist = [];
  const mustSync = binding || entries.length > 0;
  if (mustSync || later.length > 0) {
    const first = entries[0]?.index ?? Infinity;
    state.inflight.push({ seq, first, last: state.log.last, term: state.term, vote: state.vote, at: state.now });
  }
  return { hard, entries, mustSync, sendAfterPersist: later };
}

/** Arrays in the result belong to the receiver. */
export function takeReady(state: RaftState): Ready {
  if (state.flushWanted) {
    state.flushWanted = false;
    if (state.role === "leader") feedAll(state);
  }
  const seq = ++state.readySeq;
  const { hard, ...write } = takeWrite(state, seq);
  const ready: { -readonly [K in keyof Ready]: Ready[K] } = {
    seq,
    ...write,
    send: state.send,
    apply: takeApply(state),
    reads: state.reads,
    readsFailed: state.readsFailed,
  };
  state.send = [];
  state.reads = [];
  state.readsFailed = [];
  if (hard !== null) ready.hard = hard;
  if (softChanged(state)) {
    ready.soft = { role: state.role, leader: state.leader, term: state.term };
    state.softRole = state.role;
    state.softLeader = state.leader;
    state.softTerm = state.term;
  }
  takeNotices(state, ready);
  return ready;
}

function takeNotices(state: RaftState, ready: { -readonly [K in keyof Ready]: Ready[K] }): void {
  const offer = state.installOffer;
  if (offer !== null && mayInstall(state)) {
    state.installOffer = null;
    // Committed past it meanwhile: nothing to fetch any more.
    if (offer.meta.index > state.commit) {
      ready.install = offer;
      state.installing = [...state.installing.filter((one) => one.id !== offer.meta.id), offer.meta];
    }
  }
  if (!state.configChanged) return;
  state.configChanged = false;
  const index = currentConfigIndex(state);
  ready.config = { current: currentConfig(state), index, committed: index <= state.commit };
}

/** Everything up to and including Ready `seq` is durable. */
export function persisted(state: RaftState, seq: number): void {
  assert(seq <= state.readySeq, () => `Ready ${seq} was never handed out; the last was ${state.readySeq}`);
  let done: RaftState["inflight"][number] | undefined;
  let count = 0;
  for (const one of state.inflight) {
    if (one.seq > seq) break;
    done = one;
    count++;
  }
  if (done === undefined) return;
  state.inflight = state.inflight.slice(count);
  state.durableTerm = done.term;
  state.durableVote = done.vote;
  // Durable as of that Ready, minus what was replaced since: by a later Ready, or by a truncation that is not even handed out.
  let stable = Math.min(done.last, state.handed);
  for (const later of state.inflight) stable = Math.min(stable, later.first - 1);
  if (stable > state.stable) state.stable = stable;
  ownVoteDurable(state);
  maybeCommit(state);
}

/** The state machine contains everything up to `index`. */
export function applied(state: RaftState, index: Index): void {
  if (index <= state.applied) return; // also after a snapshot overtook what was being applied
  assert(index <= state.applyCursor, () => `applied ${index}, but only ${state.applyCursor} was handed out`);
  for (let at = state.applied + 1; at <= index; at++) {
    const entry = state.log.entry(at);
    state.applyingBytes -= entry === undefined ? ENTRY_OVERHEAD : entryBytes(entry);
  }
  state.applied = index;
  pruneConfigs(state);
}

/** The host has a durable snapshot; entries that nobody needs go. */
export function compacted(state: RaftState, meta: SnapshotMeta): void {
  if (meta.index <= (state.snapshot?.index ?? 0)) return;
  assert(meta.index <= state.applied, () => `snapshot ${meta.index} is beyond what is applied, ${state.applied}`);
  assert(state.log.term(meta.index) === meta.term, () => `snapshot (${meta.index}, ${meta.term}) is not of this log`);
  assert(configAt(state, meta.index)?.index === meta.configIndex, () => `snapshot ${meta.index} has another configuration`);
  state.snapshot = meta;
  trim(state);
}

/** Keeps a tail for the late, and what active peers or snapshots on their way still need, within the bound of the cache. */
export function trim(state: RaftState): void {
  const { snapshot, log, limits } = state;
  if (snapshot === null) return;
  let floor = Math.min(snapshot.index, log.last - limits.catchUpEntries);
  if (log.bytes > limits.logCacheBytes) {
    floor = snapshot.index;
  } else {
    for (const progress of state.progress.values()) {
      // Not by `active` alone: a snapshot taken just after a quorum check would cut off a peer that is fetching an older one.
      if (isAround(progress)) floor = Math.min(floor, progress.state === "snapshot" ? (progress.offered?.index ?? floor) : progress.match);
    }
  }
  // Nothing above what is applied may go, whatever the host says of its snapshot.
  log.trim(Math.min(floor, state.applied));
}

/** Voter or not, in the newest configuration. */
export function isVotingMember(state: RaftState): boolean {
  return isVoter(currentConfig(state), state.id);
}
