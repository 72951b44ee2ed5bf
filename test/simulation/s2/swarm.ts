/** What a run of whole members does, drawn from its seed. Each fault is left out of half of the runs, as in ../swarm.ts. */
import type { Limits } from "../../../core/raft/limits.ts";
import { Chance } from "../../helpers/chance.ts";

/** Milliseconds a tick, as in production. */
export const TICK_MS = 100;

export interface Swarm {
  readonly members: number;
  readonly limits: Partial<Limits>;
  readonly snapshotEntries: number;
  readonly segmentBytes: number;
  readonly strictReconfigCheck: boolean;
  /** Proposals gather until a later turn, as on Node. */
  readonly defers: boolean;
  /** Network: milliseconds, and probabilities a message. */
  readonly delayMean: number;
  readonly loss: number;
  readonly duplicate: number;
  readonly clog: number;
  /** A peer that cannot be reached is noticed at once, as a broken connection is. */
  readonly breaksShow: boolean;
  /** Probability that the stream of a snapshot breaks at a chunk. */
  readonly streamBreak: number;
  /** Means between faults of a kind, in milliseconds; 0: none. */
  readonly partitionEvery: number;
  readonly crashEvery: number;
  readonly powerCutEvery: number;
  readonly pauseEvery: number;
  readonly diskErrorEvery: number;
  readonly memberEvery: number;
  readonly transferEvery: number;
  /** How likely a power cut leaves each unsynced thing on the disk. */
  readonly survive: number;
  /** Probability that a crash comes in the middle of a step of the disk. */
  readonly inStep: number;
  readonly diskMean: number;
  readonly diskStall: number;
  /** Largest deviation of a clock's speed. */
  readonly drift: number;
  readonly wallJumps: number;
  readonly missedTicks: number;
  /** Load. */
  readonly clients: number;
  readonly thinkMean: number;
  readonly keys: number;
  readonly watchers: number;
  readonly leases: boolean;
  /** Some writes are numbered and repeated until there is an answer. */
  readonly sessions: boolean;
  readonly compactions: boolean;
  readonly largeValues: boolean;
  readonly quotaBytes: number;
  /** Means between disks that are lost: by a flipped bit while the machine is down, or by an empty one in its place. 0: none. */
  readonly diskLossEvery: number;
  /** Mean between disks that are full for a while. */
  readonly diskFullEvery: number;
}

export function drawSwarm(seed: number): Swarm {
  const chance = new Chance(seed, "s2 swarm");
  const some = (value: number): number => (chance.hit(0.5) ? value : 0);
  const tight = chance.hit(0.5);
  const electionTicks = chance.int(4, 10);
  const swarm: Omit<Swarm, "diskLossEvery" | "diskFullEvery"> = {
    members: chance.pick([1, 3, 3, 3, 3, 3, 5]),
    limits: {
      electionTicks,
      heartbeatTicks: 1,
      diskStallTicks: 2 * electionTicks,
      catchUpEntries: chance.pick([0, 3, 20, 5000]),
      learnerMaxLag: chance.pick([0, 10, 1000]),
      ...(tight
        ? {
            maxMsgBytes: chance.pick([0, 200, 2000]),
            maxInflightMsgs: chance.int(1, 4),
            maxInflightBytes: chance.pick([500, 1 << 20]),
            maxUncommittedBytes: chance.pick([2000, 1 << 20]),
            maxPendingReads: chance.int(1, 8),
            logCacheBytes: chance.pick([1000, 1 << 20]),
          }
        : {}),
    },
    snapshotEntries: chance.pick([5, 15, 50, 200, 100_000]),
    segmentBytes: 64 << 10,
    strictReconfigCheck: chance.hit(0.5),
    defers: chance.hit(0.5),
    delayMean: chance.pick([1, 5, 20, 60]),
    loss: some(chance.real() * 0.2),
    duplicate: some(chance.real() * 0.2),
    clog: some(0.01),
    breaksShow: chance.hit(0.5),
    streamBreak: some(0.2),
    partitionEvery: some(chance.pick([2000, 5000, 10_000])),
    crashEvery: some(chance.pick([1500, 4000, 10_000])),
    powerCutEvery: some(chance.pick([5000, 12_000])),
    pauseEvery: some(chance.pick([3000, 8000])),
    diskErrorEvery: some(chance.pick([8000, 20_000])),
    memberEvery: some(chance.pick([3000, 8000])),
    transferEvery: some(chance.pick([2000, 6000])),
    survive: chance.pick([0, 0.2, 0.5, 0.9]),
    inStep: chance.pick([0, 0.5, 1]),
    diskMean: chance.pick([0.2, 2, 10, 40]),
    diskStall: some(0.002),
    drift: some(chance.pick([0.01, 0.1])),
    wallJumps: some(0.02),
    missedTicks: some(0.1),
    clients: chance.int(2, 6),
    thinkMean: chance.pick([20, 60, 200]),
    keys: chance.pick([1, 3, 10]),
    watchers: chance.pick([0, 1, 3]),
    leases: chance.hit(0.5),
    compactions: chance.hit(0.5),
    sessions: chance.hit(0.5),
    largeValues: chance.hit(0.2),
    quotaBytes: 1e9,
  };
  return {
    ...swarm,
    // An operator who replaces machines makes no other changes meanwhile: together they could cost a majority.
    diskLossEvery: swarm.memberEvery === 0 ? some(chance.pick([4000, 8000])) : 0,
    diskFullEvery: some(chance.pick([4000, 10_000])),
  };
}

/** Every kind of fault off, for the time after the faults. */
export function calm(swarm: Swarm): Swarm {
  return {
    ...swarm,
    delayMean: Math.min(swarm.delayMean, 20),
    loss: 0,
    duplicate: 0,
    clog: 0,
    streamBreak: 0,
    partitionEvery: 0,
    crashEvery: 0,
    powerCutEvery: 0,
    pauseEvery: 0,
    diskErrorEvery: 0,
    memberEvery: 0,
    transferEvery: 0,
    diskLossEvery: 0,
    diskFullEvery: 0,
    inStep: 0,
    diskMean: Math.min(swarm.diskMean, 10),
    diskStall: 0,
    wallJumps: 0,
    missedTicks: 0,
  };
}
