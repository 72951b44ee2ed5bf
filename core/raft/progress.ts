/**
 * Progress of one peer, as the leader sees it.
 *
 * probe: one append in flight, `next` is a guess, `paused` until an answer · replicate: a window in flight, `next` runs ahead ·
 * snapshot: nothing but the offer, until an acknowledgement shows that appends can resume, a failure is reported, or time passes.
 * Invariants: 0 <= match < next; what lies in (match, next) is in flight or lost; match never goes back within a boot of the peer.
 * Source: dissertation §3.5, §10.2.1; the three states are those of etcd's raft (tracker/progress.go).
 */
import type { Index, NodeId, SnapshotMeta } from "./types.ts";

export interface Progress {
  readonly id: NodeId;
  match: Index;
  next: Index;
  state: "probe" | "replicate" | "snapshot";
  /** probe: an append is out and unanswered. */
  paused: boolean;
  /** An empty append is wanted even though there is nothing new: the window may be lost. */
  nudge: boolean;
  /** Heard from since the last quorum check. */
  active: boolean;
  /** Heard from between the last two quorum checks: just after one, `active` says nothing yet. */
  wasActive: boolean;
  /** Highest commit index that the peer can have taken from what was sent to it. */
  sentCommit: Index;
  /** Appends in flight: last index and payload of each, oldest first. Two arrays so that a window is plain numbers. */
  inflightLast: Index[];
  inflightBytes: number[];
  inflightTotal: number;
  /** snapshot: what was offered. */
  offered: SnapshotMeta | null;
  /** Ticks since the offer was last made. */
  offerAge: number;
  /** Reads: highest sequence echoed, and highest sent. */
  readAck: number;
  readSent: number;
  /** Boot number last heard, 0 before the first word. */
  boot: number;
  /** Lost acknowledged entries: not counted anywhere. */
  amnesiac: boolean;
  /** Catch-up rounds of a learner (§4.2.1): the end of the log when the round began, when it began, how long the last one took. */
  roundTarget: Index;
  roundStart: number;
  roundTicks: number;
}

export function newProgress(id: NodeId, last: Index, now: number): Progress {
  return {
    id,
    match: 0,
    next: last + 1,
    state: "probe",
    paused: false,
    nudge: false,
    active: false,
    wasActive: false,
    sentCommit: 0,
    inflightLast: [],
    inflightBytes: [],
    inflightTotal: 0,
    offered: null,
    offerAge: 0,
    readAck: 0,
    readSent: 0,
    boot: 0,
    amnesiac: false,
    roundTarget: last,
    roundStart: now,
    roundTicks: Infinity,
  };
}

/** Heard from lately enough to keep log for it. */
export function isAround(progress: Progress): boolean {
  return progress.active || progress.wasActive;
}

export function cloneProgress(progress: Progress): Progress {
  return { ...progress, inflightLast: progress.inflightLast.slice(), inflightBytes: progress.inflightBytes.slice() };
}

function clearInflight(progress: Progress): void {
  progress.inflightLast = [];
  progress.inflightBytes = [];
  progress.inflightTotal = 0;
}

/** Back to one append at a time, from what is known to match; after a snapshot, from its end. */
export function becomeProbe(progress: Progress): void {
  const from = progress.state === "snapshot" ? Math.max(progress.match, progress.offered?.index ?? 0) : progress.match;
  progress.state = "probe";
  progress.next = from + 1;
  progress.paused = false;
  progress.nudge = false;
  progress.sentCommit = Math.min(progress.sentCommit, from);
  progress.offered = null;
  clearInflight(progress);
}

export function becomeReplicate(progress: Progress): void {
  progress.state = "replicate";
  progress.next = progress.match + 1;
  progress.paused = false;
  progress.nudge = false;
  progress.offered = null;
  clearInflight(progress);
}

export function becomeSnapshot(progress: Progress, meta: SnapshotMeta): void {
  progress.state = "snapshot";
  progress.offered = meta;
  progress.offerAge = 0;
  progress.paused = false;
  progress.nudge = false;
  clearInflight(progress);
}

export function isFull(progress: Progress, maxMessages: number, maxBytes: number): boolean {
  return progress.inflightLast.length >= maxMessages || progress.inflightTotal >= maxBytes;
}

export function sentInflight(progress: Progress, last: Index, bytes: number): void {
  progress.inflightLast.push(last);
  progress.inflightBytes.push(bytes);
  progress.inflightTotal += bytes;
}

/** Frees what an acknowledgement of `index` covers. */
export function freeInflight(progress: Progress, index: Index): void {
  let count = 0;
  while (count < progress.inflightLast.length && (progress.inflightLast[count] as number) <= index) {
    progress.inflightTotal -= progress.inflightBytes[count] as number;
    count++;
  }
  if (count > 0) {
    progress.inflightLast.splice(0, count);
    progress.inflightBytes.splice(0, count);
  }
}

/**
 * Takes an acknowledgement.
 * @returns whether it brought anything new
 */
export function acknowledge(progress: Progress, index: Index): boolean {
  const advanced = index > progress.match;
  if (advanced) progress.match = index;
  if (progress.next <= index) progress.next = index + 1;
  return advanced;
}

/**
 * Takes a rejection of an append behind `rejected`.
 *
 * @param hint the largest place at which the logs may still agree
 * @returns false for a late answer, which must change nothing
 */
export function reject(progress: Progress, rejected: Index, hint: Index): boolean {
  if (progress.state === "replicate") {
    if (rejected <= progress.match) return false; // late: the place was acknowledged since
    becomeProbe(progress);
    // The hint of a whole term is better than what a window in flight left behind.
    progress.next = Math.max(progress.match + 1, Math.min(rejected, hint + 1));
    return true;
  }
  if (progress.state === "snapshot" || rejected !== progress.next - 1) return false; // late: another probe is out
  progress.next = Math.max(Math.min(rejected, hint + 1), progress.match + 1);
  progress.paused = false;
  return true;
}
