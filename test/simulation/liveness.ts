/**
 * The calm after the faults: a quorum that is healthy must make progress whatever state the faults left behind, and then everybody
 * must catch up. A bound on virtual time turns "eventually" into something that can fail.
 */
import { decodeConfig, isVoter, membersOf } from "../../core/raft/config-change.ts";
import type { Config, Entry, Index, NodeId, Term } from "../../core/raft/types.ts";
import type { Chance } from "../helpers/chance.ts";
import type { Host } from "./host.ts";
import type { Simulation } from "./simulation.ts";
import { TICK } from "./swarm.ts";
import { demand } from "./violation.ts";

/** Times T within which each of the two parts has to succeed. */
const BOUND = 120;

function quorum(config: Config, has: (id: NodeId) => boolean): boolean {
  const half = (ids: readonly NodeId[]): boolean => ids.length === 0 || ids.filter(has).length * 2 > ids.length;
  return half(config.voters) && half(config.outgoing);
}

/** What decides whether a member can win an election: the end of its log, and the configurations that it may still have to go by. */
interface Standing {
  readonly lastTerm: Term;
  readonly last: Index;
  /** Newest last; the first is the newest that it knows to be committed. */
  readonly configs: readonly Config[];
}

function configOf(entry: Entry): Config {
  const config = decodeConfig(entry.data);
  if (config === null) throw new Error(`entry ${entry.index} on disk holds no configuration`);
  return config;
}

function standing(host: Host): Standing {
  const state = host.node?.inspect();
  const { disk } = host;
  const all = state?.configs ?? [
    ...(disk.snapshot === null ? [] : [{ index: disk.snapshot.configIndex, config: disk.snapshot.config }]),
    ...disk.entries.filter((entry) => entry.kind === "config").map((entry) => ({ index: entry.index, config: configOf(entry) })),
  ];
  const commit = state?.commit ?? Math.max(disk.hard.commit, disk.base);
  const known = all.findLastIndex((one) => one.index <= commit);
  const configs = all.slice(Math.max(0, known)).map((one) => one.config);
  return { lastTerm: state?.log.lastTerm ?? disk.term(disk.last) ?? 0, last: state?.log.last ?? disk.last, configs };
}

function isUpToDate(asker: Standing, voter: Standing): boolean {
  return asker.lastTerm !== voter.lastTerm ? asker.lastTerm > voter.lastTerm : asker.last >= voter.last;
}

export class Liveness {
  readonly #simulation: Simulation;
  readonly #chance: Chance;

  constructor(simulation: Simulation, chance: Chance) {
    this.#simulation = simulation;
    this.#chance = chance;
  }

  run(): void {
    const simulation = this.#simulation;
    simulation.faults.stop();
    simulation.network.heal();
    const core = this.#chooseCore();
    simulation.note(`core ${[...core].join()}`);
    for (const host of simulation.hosts.values()) {
      const wanted = core.has(host.id);
      if (wanted && !host.alive) host.start();
      if (!wanted && host.alive) host.crash(0);
      if (host.pausedUntil > simulation.now) simulation.faults.resume(host);
    }
    const target = simulation.checker.ledger.top;
    const reads = simulation.checker.readsConfirmed;
    this.#until("core-progress", () => {
      const leader = this.#leader();
      if (leader === undefined) return false;
      this.#offer(leader);
      return simulation.checker.ledger.top > target + 3 && simulation.checker.readsConfirmed > reads && this.#settled(leader);
    });
    for (const host of simulation.hosts.values()) if (!host.alive) host.start();
    this.#catchUp();
    this.#until("convergence", () => {
      const leader = this.#leader();
      if (leader === undefined) return false;
      // A rhythm of writes keeps late followers from hiding behind an idle leader, and stops so that all can be equal.
      return this.#equal(leader);
    });
    this.#durability();
  }

  /**
   * Under load and while the log is compacted, every member comes to follow the log itself: not from one snapshot to the next for
   * ever. (A log too small for its tail is exempt: there the bound of memory comes first.)
   */
  #catchUp(): void {
    const simulation = this.#simulation;
    if (simulation.swarm.limits.logCacheBytes < 1 << 20) return;
    const writesPerTick = simulation.swarm.tightLimits ? 0.1 : 0.5;
    simulation.swarm = { ...simulation.swarm, writesPerTick, readsPerTick: 0, compactEvery: 3 };
    const following = new Set<NodeId>();
    this.#until("catch-up", () => {
      const state = this.#leader()?.node?.inspect();
      if (state === undefined) return false;
      for (const progress of state.progress.values()) if (progress.state === "replicate") following.add(progress.id);
      return state.peers.every((id) => following.has(id));
    });
  }

  /** A random quorum of everything that any member may use for a configuration; the rest stays down. */
  #chooseCore(): Set<NodeId> {
    const { hosts, checker } = this.#simulation;
    const configs: Config[] = checker.ledger.config === null ? [] : [checker.ledger.config];
    for (const host of hosts.values()) {
      for (const entry of host.node?.inspect().configs ?? []) if (entry.index > checker.ledger.top) configs.push(entry.config);
    }
    // Configurations on the disks of members that are down count as well: they may come back as the longest log.
    for (const host of hosts.values()) {
      for (const entry of host.disk.entries) {
        if (entry.kind === "config" && entry.index > checker.ledger.top) configs.push(configOf(entry));
      }
    }
    const standings = new Map([...hosts.values()].map((host) => [host.id, standing(host)]));
    const core = new Set(hosts.keys());
    for (const id of this.#chance.shuffle([...hosts.keys()])) {
      core.delete(id);
      const has = (other: NodeId): boolean => core.has(other);
      // Learners that the leader promotes by itself, in any order, may be needed as soon as they are down.
      const enough = configs.every((config) => quorum(config, has) && (config.autoPromote ?? []).every(has));
      if (!enough || !this.#electable(core, standings) || this.#chance.hit(0.3)) core.add(id);
    }
    return core;
  }

  /**
   * May anybody be elected, by the rules of the dissertation (§3.4, §3.6.1, §4.1), as the logs stand? A quorum of every configuration is
   * not always enough: the one that a voter's newest, uncommitted configuration adds may have the longer log and be a learner by it.
   * Then neither can win, whoever implements Raft, until a third voter is back.
   */
  #electable(core: ReadonlySet<NodeId>, standings: ReadonlyMap<NodeId, Standing>): boolean {
    return [...core].some((asker) => {
      const own = standings.get(asker) as Standing;
      const newest = own.configs.at(-1);
      if (newest === undefined || !own.configs.some((config) => isVoter(config, asker))) return false;
      return quorum(newest, (voter) => core.has(voter) && isUpToDate(own, standings.get(voter) as Standing));
    });
  }

  #leader(): Host | undefined {
    let best: Host | undefined;
    for (const host of this.#simulation.leaders()) {
      if (best === undefined || (host.node?.inspect().term ?? 0) > (best.node?.inspect().term ?? 0)) best = host;
    }
    return best;
  }

  /** A few writes and reads, not so many that nobody ever catches up. */
  #offer(leader: Host): void {
    if (this.#chance.hit(0.1)) this.#simulation.write(this.#chance);
    if (this.#chance.hit(0.1)) this.#simulation.read(leader);
  }

  /** Out of the joint configuration. */
  #settled(leader: Host): boolean {
    const state = leader.node?.inspect();
    const newest = state?.configs.at(-1);
    return state !== undefined && newest !== undefined && newest.config.outgoing.length === 0 && newest.index <= state.commit;
  }

  #equal(leader: Host): boolean {
    const state = leader.node?.inspect();
    const config = state?.configs.at(-1)?.config;
    if (state === undefined || config === undefined || !this.#settled(leader)) return false;
    if (state.commit !== state.log.last) return false;
    return membersOf(config).every((id) => {
      const host = this.#simulation.hosts.get(id);
      return host?.alive === true && host.appliedIndex === leader.appliedIndex && host.appliedHash === leader.appliedHash;
    });
  }

  #until(what: string, done: () => boolean): void {
    const simulation = this.#simulation;
    if (what === "convergence") simulation.swarm = { ...simulation.swarm, writesPerTick: 0, readsPerTick: 0 };
    // With the tightest limits a follower takes an entry a tick.
    let longest = 0;
    for (const host of simulation.hosts.values()) longest = Math.max(longest, host.disk.last);
    const bound = (BOUND * simulation.swarm.limits.electionTicks + 4 * longest + 20 * simulation.swarm.fetchTicks) * TICK;
    const reached = simulation.run({ steps: 2_000_000, time: simulation.now + bound, until: done });
    demand(reached, what, () => `not within ${Math.round(bound / TICK)} ticks of calm`);
  }

  /** Whatever was committed is on a quorum of disks, and in every state. */
  #durability(): void {
    const { checker, hosts } = this.#simulation;
    const { ledger } = checker;
    const { config } = ledger;
    if (config === null) return;
    for (let index = 1; index <= ledger.top; index++) {
      const has = (id: NodeId): boolean => {
        const disk = hosts.get(id)?.disk;
        return disk !== undefined && (disk.base >= index || disk.term(index) === ledger.term(index));
      };
      demand(quorum(config, has), "durability", () => `entry ${index} was committed and is on no quorum of disks`);
    }
  }
}
