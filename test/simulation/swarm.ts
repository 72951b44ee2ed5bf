/**
 * What a run does, drawn from its seed. Each fault is left out of half of the runs (swarm testing: Groce et al., ISSTA 2012), because
 * faults that are always on hide what only shows without them.
 */
import type { Limits } from "../../core/raft/limits.ts";
import { Chance } from "../helpers/chance.ts";

/** Virtual time units a tick. */
export const TICK = 100;

export interface Swarm {
  readonly members: number;
  readonly preVote: boolean;
  readonly checkQuorum: boolean;
  readonly leaseReads: boolean;
  readonly limits: Limits;
  readonly priorities: boolean;
  /** Network: mean delay beyond a floor, in time units; the rest are probabilities a message. */
  readonly delayMean: number;
  readonly loss: number;
  readonly duplicate: number;
  readonly replay: number;
  readonly clog: number;
  /** Messages on one link at a time. */
  readonly linkCapacity: number;
  /** Means in ticks between faults of a kind; 0: none. */
  readonly partitionEvery: number;
  readonly crashEvery: number;
  readonly pauseEvery: number;
  readonly configEvery: number;
  readonly transferEvery: number;
  readonly compactEvery: number;
  readonly campaignEvery: number;
  /** How likely a crash leaves each write under way on the disk. */
  readonly survive: number;
  readonly diskMean: number;
  /** Probability that a write takes much longer than T. */
  readonly diskStall: number;
  /** Largest deviation of a clock's speed. */
  readonly drift: number;
  readonly missedTicks: number;
  /** Probability that a node's Ready is left waiting for the next input. */
  readonly lazy: number;
  readonly writesPerTick: number;
  readonly readsPerTick: number;
  /** Large payloads against small limits. */
  readonly tightLimits: boolean;
  readonly fetchTicks: number;
  /** In the calm every fetch takes as long, so that none gets through by being quick. */
  readonly fetchVaries: boolean;
  /** Members are told, mostly wrongly, that their leader's process has ended. */
  readonly hintEvery: number;
}

export function drawSwarm(seed: number): Swarm {
  const chance = new Chance(seed, "swarm");
  const some = (value: number): number => (chance.hit(0.5) ? value : 0);
  const electionTicks = chance.int(4, 12);
  const tightLimits = chance.hit(0.5);
  const leaseReads = chance.hit(0.3);
  const crashy = chance.hit(0.5);
  return {
    members: chance.pick([1, 2, 3, 3, 3, 3, 4, 5, 5, 6]),
    preVote: chance.hit(0.75),
    checkQuorum: chance.hit(0.75),
    leaseReads,
    limits: {
      electionTicks,
      heartbeatTicks: chance.int(1, 2),
      maxMsgBytes: tightLimits ? chance.pick([0, 100, 300]) : 1 << 20,
      maxInflightMsgs: tightLimits ? chance.int(1, 4) : 64,
      maxInflightBytes: tightLimits ? chance.pick([60, 400, 1 << 20]) : 1 << 20,
      maxUncommittedBytes: tightLimits ? chance.pick([50, 500]) : 1 << 20,
      maxApplyBytes: tightLimits ? chance.pick([1, 200]) : 1 << 20,
      maxPendingReads: tightLimits ? chance.int(1, 8) : 100,
      maxUnpersistedReadys: chance.pick([1, 2, 4, 16]),
      logCacheBytes: chance.hit(0.5) ? chance.pick([200, 1000]) : 1 << 20,
      catchUpEntries: chance.pick([0, 0, 5, 50]),
      diskStallTicks: 2 * electionTicks,
      learnerMaxLag: chance.pick([0, 10]),
    },
    priorities: chance.hit(0.2),
    delayMean: chance.pick([5, 30, 100, 300]),
    loss: some(chance.real() * 0.3),
    duplicate: some(chance.real() * 0.3),
    replay: some(chance.real() * 0.2),
    clog: some(0.02),
    linkCapacity: chance.hit(0.5) ? chance.int(2, 20) : 200,
    partitionEvery: some(chance.pick([20, 60, 150])),
    crashEvery: crashy ? chance.pick([10, 30, 100]) : 0,
    pauseEvery: some(chance.pick([30, 100])),
    configEvery: some(chance.pick([15, 40, 100])),
    transferEvery: some(chance.pick([20, 80])),
    compactEvery: some(chance.pick([3, 10, 40])),
    // Without elections a lease is never in danger.
    campaignEvery: leaseReads ? chance.pick([20, 60]) : some(chance.pick([20, 40, 150])),
    survive: chance.pick([0, 0.5, 0.9]),
    diskMean: chance.pick([1, 20, 100, 400]),
    diskStall: some(0.002),
    drift: leaseReads ? some(0.04) : some(chance.pick([0.02, 0.1])),
    missedTicks: some(0.1),
    lazy: some(0.3),
    writesPerTick: chance.pick([0.05, 0.3, 1, 3]),
    readsPerTick: leaseReads ? 2 : chance.pick([0, 0.2, 1]),
    tightLimits,
    fetchTicks: chance.pick([1, 5, 30]),
    fetchVaries: true,
    hintEvery: some(chance.pick([5, 20])),
  };
}

/** Every kind of fault off, for the liveness phase. */
export function calm(swarm: Swarm): Swarm {
  return {
    ...swarm,
    loss: 0,
    duplicate: 0,
    replay: 0,
    clog: 0,
    linkCapacity: 1000,
    partitionEvery: 0,
    crashEvery: 0,
    pauseEvery: 0,
    configEvery: 0,
    transferEvery: 0,
    campaignEvery: 0,
    hintEvery: 0,
    diskStall: 0,
    missedTicks: 0,
    delayMean: Math.min(swarm.delayMean, 100),
    diskMean: Math.min(swarm.diskMean, 100),
    fetchVaries: false,
  };
}

/** What may be turned off one by one, faults first, then what clients do. */
export const OPTIONAL: readonly (keyof Swarm)[] = [
  "loss",
  "duplicate",
  "replay",
  "clog",
  "partitionEvery",
  "crashEvery",
  "pauseEvery",
  "configEvery",
  "transferEvery",
  "compactEvery",
  "campaignEvery",
  "hintEvery",
  "survive",
  "diskStall",
  "drift",
  "missedTicks",
  "lazy",
  "readsPerTick",
  "writesPerTick",
];

export function withoutOptions(swarm: Swarm, names: readonly (keyof Swarm)[]): Swarm {
  return { ...swarm, ...Object.fromEntries(names.map((name) => [name, 0])) };
}
