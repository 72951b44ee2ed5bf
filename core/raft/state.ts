/**
 * All that one member's raft knows, as plain data, and the small steps that every part of it takes.
 *
 * The parts (roles, election, replication, follower, reads, transfer, ready) are functions on this one object; `RaftNode` is the door.
 * Nothing here is a promise, a callback or a timer, so that a node can be cloned, hashed and explored.
 * Invariants, at rest: snapshot <= applied <= applyCursor <= min(commit, stable); stable <= handed <= log.last;
 * log.offset <= snapshot; the configurations are ascending by index, and at most the newest lies above commit.
 */
import { assert } from "../invariant.ts";
import { EMPTY_CONFIG, compareIds, decodeConfig, isVoter, membersOf } from "./config-change.ts";
import { type Limits, checkLimits } from "./limits.ts";
import { RaftLog } from "./log.ts";
import type { Message } from "./messages.ts";
import { type Progress, cloneProgress } from "./progress.ts";
import type { Prng } from "./prng.ts";
import type { TraceEvent } from "./trace.ts";
import type { Config, Entry, HardState, Index, NodeId, SnapshotMeta, Term } from "./types.ts";

export type Role = "follower" | "preCandidate" | "candidate" | "leader";

export interface Options {
  readonly id: NodeId;
  readonly limits: Limits;
  readonly prng: Prng;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly reads: "quorum" | "lease";
  /** Largest difference in speed between any two members' clocks, for lease reads. */
  readonly maxClockDriftPpm: number;
  /** 0 to 100; a member of priority p waits (100 - p) % of T longer before it campaigns. 100 is the common case. */
  readonly priority: number;
  readonly restored: Restored;
  /** Synchronous sink; must not call back into the node. */
  readonly trace?: (event: TraceEvent) => void;
}

/** What the host found on its disk. */
export interface Restored {
  readonly hard: HardState;
  readonly snapshot: SnapshotMeta | null;
  /** Without a gap, from at or before snapshot.index + 1. */
  readonly entries: readonly Entry[];
  /** What the state machine contains already; the snapshot's index where it keeps nothing itself. */
  readonly applied: Index;
  readonly boot: number;
  /** The index of the entry that added this member; 0 for a founding member. */
  readonly joinIndex: Index;
}

/** A read that the leader has accepted and not yet confirmed. */
export interface PendingRead {
  readonly ctx: string;
  readonly from: NodeId;
  readonly seq: number;
  readonly index: Index;
}

/** A read that a follower has passed on. */
export interface ForwardedRead {
  readonly ctx: string;
  readonly since: number;
}

/** A Ready that owes a `persisted`. */
export interface InflightReady {
  readonly seq: number;
  /** First entry written, infinity for none: the write replaces everything at and above it. */
  readonly first: Index;
  /** Last entry of the log as of this Ready. */
  readonly last: Index;
  readonly term: Term;
  readonly vote: NodeId | null;
  readonly at: number;
}

export interface ConfigAt {
  readonly index: Index;
  readonly config: Config;
}

export type ReadFailure = { readonly ctx: string; readonly why: "leader-changed" | "no-leader" | "overflow" };

export interface RaftState {
  readonly options: Options;
  readonly id: NodeId;
  readonly limits: Limits;
  readonly prng: Prng;

  role: Role;
  term: Term;
  vote: NodeId | null;
  leader: NodeId | null;
  amnesiac: boolean;
  /** A peer said that this member was removed. */
  removed: boolean;

  log: RaftLog;
  snapshot: SnapshotMeta | null;
  commit: Index;
  applied: Index;
  /** Last entry handed out for application; payload handed out and not yet applied, entry by entry. */
  applyCursor: Index;
  applyingBytes: number;
  /** Durable on this member, by the numbers of Readys. */
  stable: Index;
  /** Handed out to be written; a truncation takes it back. */
  handed: Index;
  inflight: InflightReady[];
  readySeq: number;
  /** What a finished write is known to have made durable. */
  durableTerm: Term;
  durableVote: NodeId | null;

  configs: ConfigAt[];
  /** Everybody else in the newest configuration, sorted. */
  peers: NodeId[];
  configChanged: boolean;

  /** Ticks since the start, never held back: leases and the watchdog. */
  now: number;
  electionElapsed: number;
  electionTimeout: number;
  heartbeatElapsed: number;
  /** Ticks since a leader was heard, held back after a pause: stickiness. */
  leaderSilence: number;

  votes: Map<NodeId, boolean>;
  progress: Map<NodeId, Progress>;
  /** Leader: index of the no-op that opened the term. */
  termStart: Index;
  uncommittedBytes: number;
  /** Something may be sendable to peers. */
  flushWanted: boolean;

  transferTo: NodeId | null;
  transferElapsed: number;
  transferSent: boolean;
  /** A transfer was tried in this term: its request to campaign may arrive at any time, so that no lease holds any more. */
  leaseVoid: boolean;

  readSeq: number;
  pendingReads: PendingRead[];
  forwardedReads: ForwardedRead[];
  rounds: { seq: number; at: number }[];
  leaseUntil: number;

  /** Snapshots that a Ready has named and whose installation has not ended, newest last; several when one replaced another. */
  installing: SnapshotMeta[];
  /** An offer that no Ready has named yet; a newer one takes its place without a trace. */
  installOffer: { readonly meta: SnapshotMeta; readonly from: NodeId } | null;

  send: Message[];
  sendAfterPersist: Message[];
  reads: { ctx: string; index: Index }[];
  readsFailed: ReadFailure[];
  handedHard: HardState;
  softRole: Role;
  softLeader: NodeId | null;
  softTerm: Term;

  /** Newest boot number heard of each peer. */
  boots: Map<NodeId, number>;
  amnesiaTotal: number;
  protocolErrors: number;
}

/** Fields without `from`, `term` and `boot`, which `send` fills in. */
export type Draft<M extends Message = Message> = M extends Message ? Omit<M, "from" | "term" | "boot"> & { readonly term?: Term } : never;

function checkRestored(restored: Restored): RaftLog {
  const { snapshot, entries } = restored;
  const first = entries[0]?.index ?? (snapshot?.index ?? 0) + 1;
  assert(first <= (snapshot?.index ?? 0) + 1, () => `log begins at ${first}, behind the snapshot at ${snapshot?.index ?? 0}`);
  if (snapshot === null) return new RaftLog(0, 0, [...entries]);
  // Entries that the snapshot covers are not needed, and a log that ends before the snapshot or has another entry at its place was
  // replaced by it.
  const covered = snapshot.index - first;
  if (covered < 0) return new RaftLog(snapshot.index, snapshot.term, [...entries]);
  const same = entries[covered]?.term === snapshot.term;
  return new RaftLog(snapshot.index, snapshot.term, same ? entries.slice(covered + 1) : []);
}

/** Configurations of snapshot and log, oldest first. There is always at least one. */
function restoreConfigs(log: RaftLog, snapshot: SnapshotMeta | null): ConfigAt[] {
  const configs: ConfigAt[] = [
    snapshot === null ? { index: 0, config: EMPTY_CONFIG } : { index: snapshot.configIndex, config: snapshot.config },
  ];
  for (let index = log.offset + 1; index <= log.last; index++) {
    const entry = log.entry(index) as Entry;
    if (entry.kind !== "config") continue;
    const config = decodeConfig(entry.data);
    assert(config !== null, () => `entry ${index} on disk holds no configuration`);
    configs.push({ index, config });
  }
  return configs;
}

/** @throws InvariantError when options or what was restored contradict themselves */
export function createState(options: Options): RaftState {
  checkLimits(options.limits);
  const { restored, limits } = options;
  const { hard, snapshot } = restored;
  const log = checkRestored(restored);
  const commit = Math.max(hard.commit, snapshot?.index ?? 0, restored.applied);
  assert(commit <= log.last, () => `commit ${commit} is beyond the end of the log, ${log.last}`);
  assert(restored.applied >= (snapshot?.index ?? 0), () => `applied ${restored.applied} is below the snapshot`);
  const state: RaftState = {
    options,
    id: options.id,
    limits,
    prng: options.prng,
    role: "follower",
    term: hard.term,
    vote: hard.vote,
    leader: null,
    amnesiac: hard.amnesiac === true,
    removed: false,
    log,
    snapshot,
    commit,
    applied: restored.applied,
    applyCursor: restored.applied,
    applyingBytes: 0,
    stable: log.last,
    handed: log.last,
    inflight: [],
    readySeq: 0,
    durableTerm: hard.term,
    durableVote: hard.vote,
    configs: restoreConfigs(log, snapshot),
    peers: [],
    configChanged: true,
    now: 0,
    electionElapsed: 0,
    electionTimeout: 0,
    heartbeatElapsed: 0,
    leaderSilence: 0,
    votes: new Map(),
    progress: new Map(),
    termStart: 0,
    uncommittedBytes: 0,
    flushWanted: false,
    transferTo: null,
    transferElapsed: 0,
    transferSent: false,
    leaseVoid: false,
    readSeq: 0,
    pendingReads: [],
    forwardedReads: [],
    rounds: [],
    leaseUntil: -1,
    installing: [],
    installOffer: null,
    send: [],
    sendAfterPersist: [],
    reads: [],
    readsFailed: [],
    handedHard: hard,
    softRole: "follower",
    softLeader: null,
    softTerm: hard.term,
    boots: new Map(),
    amnesiaTotal: 0,
    protocolErrors: 0,
  };
  state.peers = membersOf(currentConfig(state)).filter((id) => id !== state.id);
  drawTimeout(state);
  return state;
}

/** Entries, messages and configurations are shared with the copy: they never change. */
export function cloneState(state: RaftState): RaftState {
  const progress = new Map<NodeId, Progress>();
  for (const [id, one] of state.progress) progress.set(id, cloneProgress(one));
  return {
    ...state,
    prng: state.prng.clone(),
    log: state.log.clone(),
    inflight: state.inflight.slice(),
    configs: state.configs.slice(),
    peers: state.peers.slice(),
    votes: new Map(state.votes),
    progress,
    pendingReads: state.pendingReads.slice(),
    forwardedReads: state.forwardedReads.slice(),
    rounds: state.rounds.slice(),
    installing: state.installing.slice(),
    send: state.send.slice(),
    sendAfterPersist: state.sendAfterPersist.slice(),
    reads: state.reads.slice(),
    readsFailed: state.readsFailed.slice(),
    boots: new Map(state.boots),
  };
}

/** The newest configuration in the log, committed or not: a member uses it from the moment it is appended (§4.1). */
export function currentConfig(state: RaftState): Config {
  return (state.configs[state.configs.length - 1] as ConfigAt).config;
}

export function currentConfigIndex(state: RaftState): Index {
  return (state.configs[state.configs.length - 1] as ConfigAt).index;
}

/** The newest configuration at or below `index`; undefined below what is kept. */
export function configAt(state: RaftState, index: Index): ConfigAt | undefined {
  return state.configs.findLast((one) => one.index <= index);
}

/** After the stack of configurations changed. Peers are kept sorted, so that no order comes from the network. */
export function configsChanged(state: RaftState): void {
  const config = currentConfig(state);
  state.peers = membersOf(config).filter((id) => id !== state.id);
  state.configChanged = true;
  state.options.trace?.({
    node: state.id,
    term: state.term,
    event: "config",
    index: currentConfigIndex(state),
    voters: config.voters,
    outgoing: config.outgoing,
  });
}

/** Forgets configurations that nothing can need any more: all but the newest at or below what is applied, and those after it. */
export function pruneConfigs(state: RaftState): void {
  const floor = Math.min(state.applied, state.commit);
  let keep = 0;
  while (keep + 1 < state.configs.length && (state.configs[keep + 1] as ConfigAt).index <= floor) keep++;
  if (keep > 0) state.configs = state.configs.slice(keep);
}

/**
 * Voter in the last committed configuration or in any later one of the log (§4.2.2: a server that is not part of its own newest
 * configuration must still start elections while that configuration is uncommitted, or {1} -> {2} would stall for ever).
 */
export function mayVoteSomewhere(state: RaftState): boolean {
  const { configs } = state;
  for (let at = configs.length - 1; at >= 0; at--) {
    const { index, config } = configs[at] as ConfigAt;
    if (isVoter(config, state.id)) return true;
    if (index <= state.commit) return false;
  }
  return false;
}

export function send(state: RaftState, draft: Draft): void {
  state.send.push({ from: state.id, term: state.term, boot: state.options.restored.boot, ...draft } as Message);
}

/** Leaves when this and every earlier Ready is durable. */
export function sendAfterPersist(state: RaftState, draft: Draft): void {
  state.sendAfterPersist.push({ from: state.id, term: state.term, boot: state.options.restored.boot, ...draft } as Message);
}

/** T to 2T, and longer for a member of lower priority (§3.4; priorities as in raft-rs). */
export function drawTimeout(state: RaftState): void {
  const { electionTicks } = state.limits;
  const wait = Math.floor((electionTicks * (100 - Math.max(0, Math.min(100, state.options.priority)))) / 100);
  state.electionTimeout = electionTicks + (state.prng.u32() % electionTicks) + wait;
}

/** The log and the state are about to be replaced. */
export function isInstalling(state: RaftState): boolean {
  return state.installOffer !== null || state.installing.length > 0;
}

export function setCommit(state: RaftState, index: Index): void {
  assert(index >= state.commit, () => `commit goes back from ${state.commit} to ${index}`);
  assert(index <= state.log.last, () => `commit ${index} is beyond the end of the log, ${state.log.last}`);
  const before = configAt(state, state.commit);
  state.commit = index;
  if (configAt(state, index) !== before) state.configChanged = true;
  state.options.trace?.({ node: state.id, term: state.term, event: "commit", index });
}

/** A peer sent what no correct peer sends. Counted and dropped: input never reaches an assertion. */
export function protocolError(state: RaftState, message: Message, why: string): void {
  state.protocolErrors++;
  dropped(state, message, why);
}

export function dropped(state: RaftState, message: Message, why: string): void {
  state.options.trace?.({ node: state.id, term: state.term, event: "dropped", from: message.from, kind: message.kind, why });
}

/** Replaces the end of the log from `index` on, in memory; the next Ready carries the truncation. */
export function truncate(state: RaftState, index: Index): void {
  assert(index > state.commit, () => `truncation at ${index} at or below commit ${state.commit}`);
  state.log.truncate(index);
  state.stable = Math.min(state.stable, index - 1);
  state.handed = Math.min(state.handed, index - 1);
  // A configuration that goes with the entries goes at once (§4.1: a server always uses the latest configuration in its log).
  const kept = state.configs.filter((one) => one.index < index);
  if (kept.length < state.configs.length) {
    state.configs = kept;
    configsChanged(state);
  }
  state.options.trace?.({ node: state.id, term: state.term, event: "truncate", from: index });
}

/** Appends one entry; a configuration takes effect now. */
export function appendEntry(state: RaftState, entry: Entry, config: Config | null): void {
  state.log.append(entry);
  if (config !== null) {
    state.configs.push({ index: entry.index, config });
    configsChanged(state);
  }
}

export function sortedKeys(map: ReadonlyMap<NodeId, unknown>): NodeId[] {
  return [...map.keys()].toSorted(compareIds);
}
