/** Every bound of raft, in one place. Ticks are the host's: with the default of 100 ms a tick, heartbeats go out each 100 ms. */
import { assert } from "../invariant.ts";

export interface Limits {
  /** T: a follower campaigns after a silence of T to 2T. */
  readonly electionTicks: number;
  readonly heartbeatTicks: number;
  /** Payload of one append; an entry larger than this travels alone. */
  readonly maxMsgBytes: number;
  /** Appends a peer may owe an answer to, and their payload. */
  readonly maxInflightMsgs: number;
  readonly maxInflightBytes: number;
  /** Payload that a leader holds uncommitted before it refuses proposals. */
  readonly maxUncommittedBytes: number;
  /** Payload handed out for application and not yet reported as applied. */
  readonly maxApplyBytes: number;
  readonly maxPendingReads: number;
  /** Readys that owe a `persisted`; beyond it entries wait. */
  readonly maxUnpersistedReadys: number;
  /** Retained log; above it, entries that a durable snapshot covers go, whoever still wanted them. */
  readonly logCacheBytes: number;
  /** Entries kept behind the newest snapshot for followers that are a little late. */
  readonly catchUpEntries: number;
  /** A leader whose oldest write takes longer hands over. */
  readonly diskStallTicks: number;
  /** A learner this close to the end of the log counts as caught up. */
  readonly learnerMaxLag: number;
}

export const DEFAULT_LIMITS: Limits = {
  electionTicks: 10,
  heartbeatTicks: 1,
  maxMsgBytes: 1 << 20,
  maxInflightMsgs: 256,
  maxInflightBytes: 64 << 20,
  maxUncommittedBytes: 256 << 20,
  maxApplyBytes: 64 << 20,
  maxPendingReads: 10_000,
  maxUnpersistedReadys: 16,
  logCacheBytes: 512 << 20,
  catchUpEntries: 5_000,
  diskStallTicks: 20,
  learnerMaxLag: 1_000,
};

/** @throws InvariantError when the limits contradict one another */
export function checkLimits(limits: Limits): void {
  for (const [name, value] of Object.entries(limits)) {
    assert(Number.isSafeInteger(value) && value >= 0, () => `limit ${name} is ${value}, want a whole number`);
  }
  assert(limits.heartbeatTicks >= 1, () => "heartbeatTicks must be at least 1");
  assert(limits.electionTicks > limits.heartbeatTicks, () => "electionTicks must be more than heartbeatTicks");
  assert(limits.maxInflightMsgs >= 1, () => "maxInflightMsgs must be at least 1");
  assert(limits.maxUnpersistedReadys >= 1, () => "maxUnpersistedReadys must be at least 1");
}
