/** What goes wrong and what operators do, at random times drawn from the swarm's rates. */
import { type ConfigChange, isVoter, membersOf } from "../../core/raft/config-change.ts";
import type { Config, NodeId } from "../../core/raft/types.ts";
import type { Chance } from "../helpers/chance.ts";
import { Disk } from "./disk.ts";
import type { Host } from "./host.ts";
import type { Simulation } from "./simulation.ts";
import { TICK } from "./swarm.ts";

const MAX_MEMBERS = 7;

export class Faults {
  readonly #simulation: Simulation;
  readonly #chance: Chance;
  readonly #hints: Chance;
  #stopped = false;

  constructor(simulation: Simulation, chance: Chance, hints: Chance) {
    this.#simulation = simulation;
    this.#chance = chance;
    this.#hints = hints;
  }

  start(): void {
    const { swarm } = this.#simulation;
    this.#every(swarm.partitionEvery, () => this.#partition());
    this.#every(swarm.crashEvery, () => this.#crash());
    this.#every(swarm.pauseEvery, () => this.#pause());
    this.#every(swarm.configEvery, () => this.#change());
    this.#every(swarm.transferEvery, () => this.#transfer());
    this.#every(swarm.campaignEvery, () => this.#campaign());
    this.#every(swarm.hintEvery, () => this.#hint(), this.#hints);
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Repeats with exponential gaps of this mean, in ticks. */
  #every(mean: number, act: () => void, chance = this.#chance): void {
    if (mean === 0) return;
    const again = (): void => {
      this.#simulation.queue.push(this.#simulation.now + TICK * chance.exponential(mean), () => {
        if (this.#stopped) return;
        if (this.#simulation.faultIsDue()) act();
        again();
      });
    };
    again();
  }

  #later(ticks: number, act: () => void): void {
    this.#simulation.queue.push(this.#simulation.now + TICK * ticks, () => {
      if (!this.#stopped) act();
    });
  }

  #T(factor: number): number {
    return this.#simulation.swarm.limits.electionTicks * factor;
  }

  #partition(): void {
    const { network, hosts } = this.#simulation;
    // Half of the time it is a leader that is cut off: it goes on for a while, and what it writes has to be undone later.
    const leader = this.#chance.hit(0.5) ? this.#leader()?.id : undefined;
    const shape = network.partition([...hosts.keys()], leader);
    this.#simulation.count(`partition ${shape}`);
    this.#simulation.note(`partition ${shape}`);
    this.#later(this.#chance.exponential(this.#T(4)), () => network.heal());
  }

  #crash(): void {
    const alive = [...this.#simulation.hosts.values()].filter((host) => host.alive);
    if (alive.length === 0) return;
    // Now and then everybody at once.
    const all = this.#chance.hit(0.05);
    // A member with writes under way has the most to lose.
    const busy = alive.filter((host) => host.pending.length > 0);
    const victim = this.#chance.pick(busy.length > 0 && this.#chance.hit(0.5) ? busy : alive);
    for (const host of all ? alive : [victim]) {
      let survive = 0;
      while (survive < host.pending.length && this.#chance.hit(this.#simulation.swarm.survive)) survive++;
      host.crash(survive);
      this.#simulation.count(all ? "crash of all" : "crash");
      this.#simulation.note(`crash ${host.id}, ${survive} writes survive`);
      this.#later(this.#chance.exponential(this.#T(1)), () => {
        if (!host.alive) host.start();
      });
    }
  }

  #pause(): void {
    const simulation = this.#simulation;
    const host = simulation.anyAlive(this.#chance);
    if (host === undefined) return;
    const ticks = this.#chance.exponential(this.#T(3));
    host.pausedUntil = simulation.now + TICK * ticks;
    simulation.count("pause");
    simulation.queue.push(host.pausedUntil, () => this.resume(host));
  }

  /** After a pause the timer and the queued messages race. */
  resume(host: Host): void {
    host.pausedUntil = 0;
    const inbox = host.inbox.splice(0);
    // A client's question may be read before answers that queued up during the pause.
    if (this.#chance.hit(0.5)) this.#simulation.read(host);
    const timerFirst = this.#chance.hit(0.5);
    if (timerFirst) host.passTime();
    for (const message of inbox) this.#simulation.hand(host, message);
    if (!timerFirst) host.passTime();
    host.pump();
  }

  #leader(): Host | undefined {
    const leaders = this.#simulation.leaders();
    return leaders.length === 0 ? undefined : this.#chance.pick(leaders);
  }

  #transfer(): void {
    const host = this.#leader();
    const state = host?.node?.inspect();
    if (host === undefined || state === undefined || state.peers.length === 0) return;
    const to = this.#chance.pick(state.peers);
    host.input((node) => {
      const result = node.transferLeadership(to);
      this.#simulation.count(result.ok ? "transfer asked" : `transfer refused ${result.why}`);
    });
    host.pump();
  }

  #campaign(): void {
    const host = this.#simulation.anyAlive(this.#chance);
    if (host === undefined) return;
    // An operator's impatience is worst while the leader cannot hear of it.
    const leader = this.#leader();
    if (leader !== undefined && leader !== host && this.#chance.hit(0.5)) this.#cutOff(leader);
    host.input((node) => node.campaign());
    host.pump();
    // Two who ask at once, and a member that may forget whom it gave its vote.
    if (this.#chance.hit(0.5)) {
      const rival = this.#simulation.anyAlive(this.#chance);
      rival?.input((node) => node.campaign());
      rival?.pump();
    }
    if (this.#simulation.swarm.crashEvery > 0 && this.#chance.hit(0.5)) this.#later(this.#chance.exponential(1), () => this.#crash());
  }

  /** One member, or all of them, believe the leader dead. */
  #hint(): void {
    const all = this.#hints.hit(0.5);
    const one = this.#simulation.anyAlive(this.#hints);
    for (const host of all ? this.#simulation.hosts.values() : [one]) {
      const leader = host?.node?.inspect().leader ?? null;
      if (host === undefined || leader === null) continue;
      host.input((node) => node.leaderGone(leader));
      host.pump();
    }
  }

  /** A change of members; often two at once, with the leader cut off in between. */
  #change(): void {
    const host = this.#leader();
    if (host === undefined) return;
    const cutFirst = this.#chance.hit(0.3);
    if (cutFirst) this.#cutOff(host);
    this.#propose(host);
    if (!this.#chance.hit(0.5)) return;
    if (!cutFirst && this.#chance.hit(0.5)) this.#cutOff(host);
    this.#propose(host);
  }

  #cutOff(host: Host): void {
    const { network, hosts } = this.#simulation;
    for (const id of hosts.keys()) {
      if (id === host.id || this.#chance.hit(0.3)) continue;
      network.cut(host.id, id);
      network.cut(id, host.id);
    }
    this.#later(this.#chance.exponential(this.#T(4)), () => network.heal());
  }

  #propose(host: Host): void {
    const config = host.node?.inspect().configs.at(-1)?.config;
    if (config === undefined) return;
    const { change, fresh } = this.#draw(config, host.id);
    if (change === null) return;
    let joinIndex = 0;
    host.input((node) => {
      const proposed = node.proposeConfig(change);
      this.#simulation.count(proposed.ok ? "config proposed" : `config refused ${proposed.why}`);
      this.#simulation.note(`${host.id} proposes ${JSON.stringify(change)}: ${JSON.stringify(proposed)}`);
      if (proposed.ok) joinIndex = proposed.first;
    });
    if (joinIndex > 0 && fresh !== null) {
      this.#simulation.addHost(fresh, new Disk({ term: 0, vote: null, commit: 0 }, [], joinIndex));
    }
    host.pump();
  }

  #draw(config: Config, leader: NodeId): { change: ConfigChange | null; fresh: NodeId | null } {
    const chance = this.#chance;
    const members = membersOf(config);
    const kind = chance.pick(["add", "add", "replace", "promote", "remove", "remove", "demote", "remove-leader"] as const);
    const voters = config.voters;
    const learners = config.learners;
    const adds = (kind === "add" && members.length < MAX_MEMBERS) || kind === "replace";
    if (adds) {
      const id = this.#simulation.freshId();
      if (id === undefined) return { change: null, fresh: null };
      const as = chance.pick(["voter", "learner"] as const);
      const add = [{ id, meta: `http://${id}`, as, promote: chance.pick(["auto", "manual"] as const) }];
      return { change: kind === "replace" ? { add, remove: [chance.pick(members)] } : { add }, fresh: id };
    }
    switch (kind) {
      case "promote":
        return learners.length === 0
          ? { change: null, fresh: null }
          : { change: { add: [{ id: chance.pick(learners), meta: "http://promoted", as: "voter" }] }, fresh: null };
      case "demote":
        return { change: voters.length > 1 ? { demote: [chance.pick(voters)] } : null, fresh: null };
      case "remove-leader":
        return { change: isVoter(config, leader) && voters.length > 1 ? { remove: [leader] } : null, fresh: null };
      default:
        return { change: members.length > 1 ? { remove: [chance.pick(members)] } : null, fresh: null };
    }
  }
}
