/** What goes wrong and what operators do, at random times drawn from the swarm's rates. */
import { isVoter, membersOf } from "../../../core/raft/config-change.ts";
import { parseMemberMeta } from "../../../core/replica/consensus-port.ts";
import type { Chance } from "../../helpers/chance.ts";
import type { Member } from "./member.ts";
import type { Simulation } from "./simulation.ts";
import { TICK_MS } from "./swarm.ts";

const MEMBERS_MAX = 6;
const MEMBERS_EVER = 12;
/** How often an operator looks after members whose disk is lost. */
const REPAIR_MEAN_MS = 1500;
/** A full disk has room for so many more segments of the log, at most. */
const SEGMENTS_LEFT_MAX = 3;

export class Faults {
  readonly #simulation: Simulation;
  readonly #chance: Chance;
  #stopped = false;

  constructor(simulation: Simulation, chance: Chance) {
    this.#simulation = simulation;
    this.#chance = chance;
  }

  start(): void {
    const { swarm } = this.#simulation;
    this.#every(swarm.partitionEvery, () => this.#partition());
    this.#every(swarm.crashEvery, () => this.#crash());
    this.#every(swarm.powerCutEvery, () => this.#powerCut());
    this.#every(swarm.pauseEvery, () => this.#pause());
    this.#every(swarm.diskErrorEvery, () => this.#diskError());
    this.#every(swarm.memberEvery, () => this.#changeMembers());
    this.#every(swarm.transferEvery, () => this.#transfer());
    this.#every(swarm.diskLossEvery, () => this.#loseDisk());
    this.#every(swarm.diskLossEvery === 0 ? 0 : REPAIR_MEAN_MS, () => this.#replaceLost());
    this.#every(swarm.diskFullEvery, () => this.#fillDisk());
  }

  stop(): void {
    this.#stopped = true;
  }

  #every(mean: number, act: () => void): void {
    if (mean === 0) return;
    this.#simulation.engine.after(this.#chance.exponential(mean), () => {
      if (this.#stopped) return;
      act();
      this.#every(mean, act);
    });
  }

  #later(ms: number, act: () => void): void {
    this.#simulation.engine.after(ms, () => {
      if (!this.#stopped) act();
    });
  }

  get #electionMs(): number {
    return (this.#simulation.swarm.limits.electionTicks ?? 10) * TICK_MS;
  }

  #leader(): Member | undefined {
    return this.#simulation.members.find((member) => member.up && member.running!.raft.status().leading);
  }

  /** Half of the time a leader: it has the most to lose. */
  #victim(from: readonly Member[]): Member | undefined {
    const leader = this.#leader();
    if (leader !== undefined && from.includes(leader) && this.#chance.hit(0.5)) return leader;
    return from.length === 0 ? undefined : this.#chance.pick(from);
  }

  #partition(): void {
    const { network, members } = this.#simulation;
    const present = members.filter((member) => member.id !== null && !member.gone);
    const victim = this.#victim(present);
    if (victim === undefined) return;
    const order = [victim, ...this.#chance.shuffle(present.filter((member) => member !== victim))];
    const shape = network.partition(order.map((member) => member.id!));
    this.#simulation.count(`partition ${shape}`);
    this.#simulation.note(`partition ${shape} of ${order.map(({ name }) => name).join()}`);
    this.#later(this.#chance.exponential(3 * this.#electionMs), () => {
      this.#simulation.note("heal");
      network.heal();
    });
  }

  #restartLater(member: Member): void {
    this.#later(this.#chance.exponential(this.#electionMs), () => {
      if (member.running === null && !member.gone) member.start();
    });
  }

  #running(): Member[] {
    return this.#simulation.members.filter((member) => member.running !== null);
  }

  #crash(): void {
    const victim = this.#victim(this.#running());
    if (victim === undefined) return;
    if (this.#chance.hit(this.#simulation.swarm.inStep)) victim.dieInStep();
    else victim.die(this.#chance.hit(0.5) ? "kill" : "power");
    this.#restartLater(victim);
  }

  /** All machines at once lose what was not synced. */
  #powerCut(): void {
    this.#simulation.count("power cut of all");
    for (const member of this.#running()) {
      member.die("power");
      this.#restartLater(member);
    }
  }

  #pause(): void {
    const victim = this.#victim(this.#running());
    if (victim === undefined) return;
    const ms = this.#chance.pick([5, 100, this.#electionMs, 4 * this.#electionMs]);
    this.#simulation.count("pause");
    this.#simulation.note(`${victim.name} is paused for ${ms} ms`);
    victim.running!.life.pause(ms);
  }

  #diskError(): void {
    const victim = this.#victim(this.#running());
    victim?.breakSync();
  }

  /** Never so many that a majority of any configuration is gone: that no Raft survives. */
  #loseDisk(): void {
    const simulation = this.#simulation;
    const holders = simulation.members.filter((member) => member.id !== null && member.lives > 0 && !member.gone && !member.lost);
    const victim = this.#victim(holders.filter((member) => simulation.isSpare(member)));
    if (victim === undefined) return;
    const byEmpty = this.#chance.hit(0.5);
    if (byEmpty && !this.#isKnown(victim)) return;
    victim.die(this.#chance.hit(0.5) ? "kill" : "power");
    if (byEmpty) victim.empty();
    else victim.rot();
    this.#restartLater(victim);
  }

  /**
   * Whether all others have the disk's number in their logs. Before, nobody could tell an empty disk from the one that was there: a member
   * that loses its disk in its first moment has to be removed by whoever knows of it.
   */
  #isKnown(victim: Member): boolean {
    if (!victim.up) return false;
    const { diskId } = victim.running!.raft.identity;
    const others = this.#simulation.members.filter((member) => member !== victim && member.lives > 0 && !member.gone && !member.lost);
    return others.every((member) => {
      const status = member.running?.raft.raftStatus();
      if (status === null || status === undefined || status.configIndex > member.running!.consensus.applied) return false;
      return parseMemberMeta(status.config.meta[victim.id!]).diskId === diskId;
    });
  }

  /** A member whose disk is lost is removed, and another one added in its place. */
  #replaceLost(): void {
    if (this.removeLost()) return;
    const { members, founders } = this.#simulation;
    if (!members.some((member) => member.lost)) return;
    const through = members.find((member) => member.up && member.running!.raft.status().leading);
    const missing = through !== undefined && membersOf(through.running!.raft.raftStatus()!.config).length < founders.length;
    if (missing && members.length < MEMBERS_EVER) this.#add(through, false);
  }

  /** @returns whether there is one to remove, as far as anybody who could be asked knows */
  removeLost(): boolean {
    const simulation = this.#simulation;
    const through = simulation.members.find((member) => member.up && !member.lost && member.running!.raft.status().leading);
    if (through === undefined) return true;
    const present = membersOf(through.running!.raft.raftStatus()!.config);
    const lost = simulation.members.filter(({ id, lost: isLost }) => isLost && id !== null && present.includes(id));
    for (const { id } of lost) simulation.operator("remove", through, (replica) => replica.removeMember(id!));
    return lost.length > 0;
  }

  #fillDisk(): void {
    const simulation = this.#simulation;
    const victim = this.#victim(simulation.members.filter((member) => member.running !== null && !member.isFull));
    if (victim === undefined) return;
    simulation.count("disk full");
    simulation.note(`the disk of ${victim.name} is full`);
    victim.fill(this.#chance.int(0, SEGMENTS_LEFT_MAX * simulation.swarm.segmentBytes));
    this.#later(this.#chance.exponential(3 * this.#electionMs), () => {
      simulation.note(`there is room again on ${victim.name}`);
      victim.clear();
      const up = simulation.members.filter((member) => member.up);
      if (up.length > 0) simulation.disarm(this.#chance.pick(up));
    });
  }

  /** A process that ended, of itself or by a step of its disk, is started again as a service manager does. */
  died(member: Member): void {
    this.#restartLater(member);
  }

  #changeMembers(): void {
    const simulation = this.#simulation;
    const asked = simulation.members.filter((member) => member.up);
    if (asked.length === 0) return;
    const through = this.#chance.pick(asked);
    const { config } = through.running!.raft.raftStatus()!;
    const present = membersOf(config);
    const grow = present.length < MEMBERS_MAX && simulation.members.length < MEMBERS_EVER;
    const learners = config.learners;
    const what = this.#chance.pick(grow ? (["add", "add", "remove", "promote"] as const) : (["remove", "promote"] as const));
    if (what === "add") this.#add(through, this.#chance.hit(0.3));
    else if (what === "promote" && learners.length > 0) {
      simulation.operator("promote", through, (replica) => replica.promoteMember(this.#chance.pick(learners)));
    } else if (present.length > 2) {
      const leader = through.running!.raft.status().leader;
      const id = leader !== null && isVoter(config, leader) && this.#chance.hit(0.3) ? leader : this.#chance.pick(present);
      simulation.operator("remove", through, (replica) => replica.removeMember(id));
    }
  }

  #add(through: Member, learner: boolean): void {
    const simulation = this.#simulation;
    const member = simulation.joiner();
    simulation.operator("add", through, (replica) => replica.addMember([member.url], learner));
    this.#awaitAddition(member);
  }

  /** Whatever the answer was: whether it was added shows in what the members say. */
  #awaitAddition(member: Member): void {
    const simulation = this.#simulation;
    simulation.engine.after(this.#chance.exponential(300), () => {
      if (member.running !== null || member.gone) return;
      for (const other of simulation.members) {
        if (!other.up) continue;
        const found = other.running!.raft.members().find(({ meta }) => meta.peerUrls.includes(member.url));
        if (found === undefined) continue;
        member.id = found.id;
        simulation.count("joined");
        member.start();
        return;
      }
      this.#awaitAddition(member);
    });
  }

  #transfer(): void {
    const leader = this.#leader();
    if (leader === undefined) return;
    const others = leader.running!.raft.raftStatus()!.config.voters.filter((id) => id !== leader.id);
    if (others.length === 0) return;
    const to = this.#chance.pick(others);
    this.#simulation.operator("transfer", leader, (replica) => replica.moveLeader(to));
  }
}
