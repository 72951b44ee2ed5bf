/**
 * What a member does with its leader's words: appends, heartbeats, offers of snapshots.
 *
 * Sources: dissertation §3.5 (log replication), §5.1 (installing snapshots).
 */
import { decodeConfig } from "./config-change.ts";
import type { Append, Heartbeat, SnapshotOffer } from "./messages.ts";
import { becomeFollower } from "./roles.ts";
import { RaftLog } from "./log.ts";
import {
  type RaftState,
  appendEntry,
  configsChanged,
  dropped,
  isInstalling,
  protocolError,
  send,
  sendAfterPersist,
  setCommit,
  truncate,
} from "./state.ts";
import type { Config, Entry, Index, SnapshotMeta } from "./types.ts";

/** Fetches that may be under way or being given up at a time; a further offer waits for one of them to end. */
const MAX_INSTALLING = 4;

/** A word of the leader of this term. @returns false when it cannot be: there is one leader a term */
export function hearLeader(state: RaftState, message: Append | Heartbeat | SnapshotOffer): boolean {
  if (state.role === "leader" || (state.leader !== null && state.leader !== message.from)) {
    protocolError(state, message, "a second leader in one term");
    return false;
  }
  if (state.role !== "follower") becomeFollower(state, state.term, message.from);
  state.leader = message.from;
  state.electionElapsed = 0;
  state.leaderSilence = 0;
  return true;
}

function acceptAppend(state: RaftState, to: string, prevIndex: Index, readSeq: number, index: Index): void {
  sendAfterPersist(state, {
    kind: "appendReply",
    to,
    prevIndex,
    readSeq,
    accepted: true,
    index,
    hintIndex: 0,
    hintTerm: 0,
    lastIndex: state.log.last,
    amnesiac: state.amnesiac,
  });
}

/** Also the answer to an append or heartbeat of an earlier term: its sender learns the present one (etcd issues 5468, 8501). */
export function rejectAppend(state: RaftState, to: string, prevIndex: Index, readSeq: number, hintIndex: Index, hintTerm: number): void {
  sendAfterPersist(state, {
    kind: "appendReply",
    to,
    prevIndex,
    readSeq,
    accepted: false,
    index: 0,
    hintIndex,
    hintTerm,
    lastIndex: state.log.last,
    amnesiac: state.amnesiac,
  });
}

/** Are the entries what a leader of this term can send? Their configurations, by place; null when not. */
function checkEntries(message: Append): Map<Index, Config> | null {
  const configs = new Map<Index, Config>();
  let { prevTerm: term, prevIndex: index } = message;
  for (const entry of message.entries) {
    if (entry.index !== ++index || entry.term < term || entry.term > message.term) return null;
    term = entry.term;
    if (entry.kind !== "config") continue;
    const config = decodeConfig(entry.data);
    if (config === null) return null;
    configs.set(entry.index, config);
  }
  return configs;
}

export function handleAppend(state: RaftState, message: Append): void {
  if (!hearLeader(state, message)) return;
  // The log is about to be replaced: what is accepted now would be acknowledged and then lost.
  if (isInstalling(state)) return dropped(state, message, "a snapshot is being installed");
  const configs = checkEntries(message);
  if (configs === null) return protocolError(state, message, "entries do not follow one another");
  const { prevIndex, prevTerm, readSeq } = message;
  const { log } = state;
  if (prevIndex < log.offset) {
    // All of this is committed here already.
    return acceptAppend(state, message.from, prevIndex, readSeq, state.commit);
  }
  if (log.term(prevIndex) !== prevTerm) {
    const hint = log.lastAtMost(prevIndex, prevTerm);
    return rejectAppend(state, message.from, prevIndex, readSeq, hint.index, hint.term);
  }
  const conflict = firstConflict(state, message.entries);
  if (conflict !== undefined && conflict.index <= state.commit) return protocolError(state, message, "contradicts what is committed");
  if (conflict !== undefined) appendFrom(state, message.entries, conflict, configs);
  const matched = prevIndex + message.entries.length;
  // Only what this message proves to match: beyond it, the log may hold what another leader left.
  const commit = Math.min(message.commit, matched);
  if (commit > state.commit) setCommit(state, commit);
  acceptAppend(state, message.from, prevIndex, readSeq, matched);
}

/** The first entry that the log has not, or has otherwise. */
function firstConflict(state: RaftState, entries: readonly Entry[]): Entry | undefined {
  for (const entry of entries) if (state.log.term(entry.index) !== entry.term) return entry;
  return undefined;
}

/**
 * Truncates on a conflict only, never because a message is short: an old, delayed append must not remove what a newer one brought
 * and was acknowledged (openraft, commit 9540c904).
 */
function appendFrom(state: RaftState, entries: readonly Entry[], conflict: Entry, configs: ReadonlyMap<Index, Config>): void {
  if (conflict.index <= state.log.last) truncate(state, conflict.index);
  for (const entry of entries) {
    if (entry.index >= conflict.index) appendEntry(state, entry, configs.get(entry.index) ?? null);
  }
  state.options.trace?.({ node: state.id, term: state.term, event: "append", first: conflict.index, last: state.log.last });
}

export function handleHeartbeat(state: RaftState, message: Heartbeat): void {
  if (!hearLeader(state, message)) return;
  if (message.commit > state.log.last) loseMemory(state);
  else if (message.commit > state.commit) setCommit(state, message.commit);
  send(state, {
    kind: "heartbeatReply",
    to: message.from,
    readSeq: message.readSeq,
    lastIndex: state.log.last,
    amnesiac: state.amnesiac,
  });
}

/**
 * A heartbeat's commit is bounded by what this member has acknowledged in this term. If the log ends before it, the disk lost what it
 * had promised, perhaps a vote too: from now on this member must not be counted, until it is added again under a new id. It neither
 * crashes (etcd issue 10166) nor repairs itself silently.
 */
function loseMemory(state: RaftState): void {
  if (state.amnesiac) return;
  state.amnesiac = true;
  state.amnesiaTotal++;
  state.options.trace?.({ node: state.id, term: state.term, event: "amnesia", of: state.id });
}

export function handleSnapshotOffer(state: RaftState, message: SnapshotOffer): void {
  if (!hearLeader(state, message)) return;
  const { meta } = message;
  if (meta.index <= state.commit) return acceptAppend(state, message.from, state.commit, 0, state.commit);
  if (state.log.term(meta.index) === meta.term) {
    // The log reaches that far already: keep it, and learn that it is committed (openraft, commits 447dc11c and dba24036).
    setCommit(state, meta.index);
    return acceptAppend(state, message.from, meta.index, 0, meta.index);
  }
  const known = state.installing.some((one) => one.id === meta.id);
  if (!known && state.installing.length >= MAX_INSTALLING) return;
  // One install at a time: the newest offer replaces the one that runs, whose end is still understood if it comes first.
  state.installOffer = { meta, from: message.from };
}

/**
 * The host has the snapshot durably, marked in its log, and its state machine swapped; or it gave up. Every install ends with one
 * such report, also one that was replaced by a newer offer: until then nobody knows which state the machine is in.
 */
export function snapshotInstalled(state: RaftState, id: string, ok: boolean): void {
  const meta = state.installing.find((one) => one.id === id);
  if (meta === undefined) return;
  state.options.trace?.({ node: state.id, term: state.term, event: "install", index: meta.index, id, ok });
  state.installing = state.installing.filter((one) => one.id !== id);
  if (ok) replaceLog(state, meta);
  const { leader } = state;
  if (leader === null || leader === state.id) return;
  if (ok) acceptAppend(state, leader, meta.index, 0, meta.index);
  else send(state, { kind: "snapshotReply", to: leader, id, ok: false });
}

function replaceLog(state: RaftState, meta: SnapshotMeta): void {
  if (meta.index <= state.commit) return; // it came too late to be of use
  state.log = new RaftLog(meta.index, meta.term, []);
  state.snapshot = meta;
  state.configs = [{ index: meta.configIndex, config: meta.config }];
  state.stable = meta.index;
  state.handed = meta.index;
  // Writes still under way belong to the replaced log: their end says nothing about this one.
  state.inflight = state.inflight.map((one) => ({ ...one, first: Infinity, last: meta.index }));
  setCommit(state, meta.index);
  state.applied = meta.index;
  state.applyCursor = meta.index;
  state.applyingBytes = 0;
  configsChanged(state);
}
