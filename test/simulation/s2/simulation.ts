/**
 * Whole members in virtual time: Replica, RaftConsensus and FileLogStorage as they are in production, over a simulated network, simulated
 * disks and clocks that are wrong. First a time of faults, in which nothing wrong may happen; then a quorum is healed and has to elect and
 * answer within a bound; then everybody, and all become equal. Everything follows from one seed.
 *
 * The level below (../simulation.ts) checks the core alone, faster and with more invariants. This one checks what is built around it.
 */
import { enableVerify } from "../../../core/invariant.ts";
import { membersOf } from "../../../core/raft/config-change.ts";
import type { Config, NodeId } from "../../../core/raft/types.ts";
import type { Replica } from "../../../core/replica/replica.ts";
import { ascii } from "../../../core/bytes/bytes.ts";
import { Recorder, checkHistory } from "../../history/revision-check.ts";
import { Chance } from "../../helpers/chance.ts";
import { Violation, demand } from "../violation.ts";
import { BlackBox } from "./black-box.ts";
import { Clients, putOf, rangeOf } from "./clients.ts";
import { Engine } from "./engine.ts";
import { Faults } from "./faults.ts";
import { FilteredWatch } from "./filtered-watchers.ts";
import { Ledger } from "./ledger.ts";
import { Member, type Running } from "./member.ts";
import { SimulatedNetwork } from "./network.ts";
import { type Swarm, calm, drawSwarm } from "./swarm.ts";
import { Truth } from "./truth.ts";
import { WatchClient } from "./watchers.ts";
import { Witness } from "./witness.ts";

/** Virtual milliseconds within which a healed quorum answers, and within which all become equal. */
const QUORUM_MS_MAX = 60_000;
const EQUAL_MS_MAX = 120_000;
/** After this nobody goes on trying a change of members that was asked for before, on the slowest of clocks. */
const CHANGES_MS_MAX = 15_000;
/** After this a member that nobody has told of its removal will not be told any more. */
const SETTLE_MS = 3000;
/** The client who asks whether all is well again. */
const HEALER = 1000;

export interface S2Options {
  /** Length of the time of faults: events, and virtual milliseconds. */
  readonly steps?: number;
  readonly until?: number;
  readonly trace?: (line: string) => void;
  /** Changes what was drawn: for scripted runs. */
  readonly swarm?: Partial<Swarm>;
}

export type S2Result =
  | { readonly ok: true; readonly hash: string; readonly virtualMs: number; readonly counters: Record<string, number> }
  | { readonly ok: false; readonly violation: string; readonly check: string; readonly step: number };

export class Simulation {
  readonly seed: number;
  swarm: Swarm;
  readonly engine = new Engine();
  readonly network: SimulatedNetwork;
  readonly ledger: Ledger;
  readonly members: Member[] = [];
  readonly founders: Member[] = [];
  readonly clients: Clients;
  readonly faults: Faults;
  readonly counters: Record<string, number> = {};
  readonly watchers: WatchClient[] = [];
  readonly filtered: FilteredWatch[] = [];
  readonly witness = new Witness();
  readonly truth = new Truth(this.witness);
  /** What clients asked for and were told. */
  readonly recorder = new Recorder(() => this.engine.now);
  readonly blackBox = new BlackBox(() => this.engine.now);
  readonly #trace: ((line: string) => void) | undefined;
  readonly #options: S2Options;
  readonly #lastConfigs = new Map<Member, Config>();
  readonly #chance: Chance;
  /** The time after the faults: only these are brought back. */
  #core: Set<Member> | null = null;
  #everybody = false;

  constructor(seed: number, options: S2Options = {}) {
    this.seed = seed;
    this.#options = options;
    this.#trace = options.trace;
    this.swarm = { ...drawSwarm(seed), ...options.swarm };
    this.#chance = new Chance(seed, "s2 phases");
    this.ledger = new Ledger(
      () => this.engine.now,
      (applied) => {
        const keys = this.witness.applied(applied);
        for (const key of keys) this.blackBox.leaseEnded(key, applied.at);
        this.clients.applied(applied);
      },
    );
    this.network = new SimulatedNetwork(this, new Chance(seed, "s2 network"));
    this.clients = new Clients(this);
    this.faults = new Faults(this, new Chance(seed, "s2 faults"));
    const ids = new Chance(seed, "s2 ids");
    for (let n = 1; n <= this.swarm.members; n++) {
      const member = new Member(this, `m${n}`, String(ids.int(1, 2 ** 31 - 1) * 16 + n));
      this.members.push(member);
      this.founders.push(member);
    }
  }

  count(what: string): void {
    this.counters[what] = (this.counters[what] ?? 0) + 1;
  }

  note(text: string): void {
    this.engine.mixText(text);
    this.#trace?.(`${this.engine.now.toFixed(1).padStart(9)} ${text}`);
  }

  /** A machine for one more member. */
  joiner(): Member {
    const member = new Member(this, `m${this.members.length + 1}`, null);
    this.members.push(member);
    return member;
  }

  started(_member: Member): void {
    this.count("recovered");
  }

  died(member: Member, running: Running): void {
    const config = running.raft.raftStatus()?.config;
    if (config !== undefined) this.#lastConfigs.set(member, config);
    if (this.#core === null) this.faults.died(member);
    else if ((this.#everybody || this.#core.has(member)) && !member.gone) this.engine.after(10, () => this.#revive(member));
  }

  #revive(member: Member): void {
    if (member.running === null && !member.gone) member.start();
  }

  /** Something that an operator asks of a member; what becomes of it is counted. */
  operator(what: string, member: Member, act: (replica: Replica) => Promise<unknown>): void {
    const { life, replica } = member.running!;
    this.note(`operator: ${what} at ${member.name}`);
    this.count(`operator ${what}`);
    life.run(() => {
      act(replica).then(
        () => life.alive && this.count(`operator ${what} done`),
        (error: unknown) => life.alive && this.note(`operator: ${what}: ${String(error)}`),
      );
    });
  }

  async play(): Promise<S2Result> {
    const { steps = Infinity, until = 20_000 } = this.#options;
    try {
      for (const member of this.members) member.start();
      this.clients.start();
      for (let n = 0; n < this.swarm.watchers; n++) this.watchers.push(new WatchClient(this, this.truth, n));
      for (const watcher of this.watchers) watcher.connect();
      for (let n = 0; n < this.swarm.watchers; n++) this.filtered.push(new FilteredWatch(this, n));
      for (const watch of this.filtered) watch.connect();
      this.faults.start();
      await this.engine.run({ time: until, steps });
      await this.#healQuorum();
      await this.#healAll();
      this.#judge();
      this.counters["entries"] = this.ledger.top;
      this.counters["terms with a leader"] = this.ledger.leaderTerms;
      this.counters["events"] = this.engine.steps;
      return { ok: true, hash: this.engine.hash.toString(16), virtualMs: Math.round(this.engine.now), counters: this.counters };
    } catch (error) {
      const check = error instanceof Violation ? error.check : "exception";
      const violation = error instanceof Violation ? error.message : String((error as Error).stack ?? error);
      this.note(`FAILED ${violation}`);
      return { ok: false, check, violation, step: this.engine.steps };
    }
  }

  // ---- after the faults

  /** Every configuration that somebody may still have on its disk. */
  configs(): Config[] {
    const holders = this.members.filter((member) => !member.gone && !member.lost);
    const live = holders.flatMap((member) => member.running?.raft.raftStatus()?.config ?? []);
    const last = holders.flatMap((member) => this.#lastConfigs.get(member) ?? []);
    return [...live, ...last].filter(({ voters }) => voters.length > 0);
  }

  /** Whether without it there is a majority of each configuration that somebody may have, of members that can come back. */
  isSpare(member: Member): boolean {
    const left = new Set(this.members.filter((one) => one !== member && !one.gone && !one.lost && !one.isDoubtful).map(({ id }) => id));
    const enough = (ids: readonly NodeId[]): boolean => ids.length === 0 || ids.filter((id) => left.has(id)).length * 2 > ids.length;
    const configs = this.configs();
    return configs.length > 0 && configs.every(({ voters, outgoing }) => enough(voters) && enough(outgoing)); // none: nobody is up yet
  }

  /** As few as are a quorum of every configuration that there may be, of disks that are whole; the others are cut off or dead. */
  #chooseCore(): Set<Member> {
    const configs = this.configs();
    const core = new Set(this.members.filter((member) => member.id !== null && !member.gone && !member.lost));
    const enough = (ids: readonly NodeId[]): boolean =>
      ids.length === 0 || ids.filter((id) => [...core].some((member) => member.id === id)).length * 2 > ids.length;
    for (const member of this.#chance.shuffle([...core]).sort((a, b) => Number(b.isDoubtful) - Number(a.isDoubtful))) {
      core.delete(member);
      if (!configs.every(({ voters, outgoing }) => enough(voters) && enough(outgoing))) core.add(member);
    }
    return core;
  }

  async #healQuorum(): Promise<void> {
    this.faults.stop();
    this.swarm = calm(this.swarm);
    for (const member of this.members) member.clear();
    // A change of members that is still being tried could make another quorum necessary than the one that is chosen now.
    await this.engine.run({ time: this.engine.now + CHANGES_MS_MAX });
    const core = this.#chooseCore();
    this.#core = core;
    this.network.heal();
    this.note(`quorum healed: ${[...core].map(({ name }) => name).join()}`);
    for (const member of this.members) {
      if (core.has(member)) this.#revive(member);
      else if (this.#chance.hit(0.5)) member.die("kill");
      else for (const one of core) this.#separate(member, one);
    }
    await this.#answers([...core], "a healed quorum answers");
    this.count("quorum healed");
  }

  #separate(a: Member, b: Member): void {
    if (a.id === null || b.id === null) return;
    this.network.cut(a.id, b.id);
    this.network.cut(b.id, a.id);
  }

  /** A fresh write through each member that is up, and a read of it through another one. */
  async #answers(core: readonly Member[], check: string): Promise<void> {
    const { engine } = this;
    const deadline = engine.now + QUORUM_MS_MAX;
    let done = 0;
    let stop = false;
    const attempt = async (member: Member): Promise<void> => {
      for (let n = 0; !stop; n++) {
        const { running } = member;
        if (member.gone || this.#isOutside(member)) break; // no longer one of them
        const value = ascii(`${check} ${member.name} ${n}`);
        if (running === null || !member.up) {
          await new Promise<void>((resolve) => engine.after(100, resolve));
          continue;
        }
        const failure: { error: Error | null } = { error: null };
        try {
          const ended = new Promise<never>((_, reject) => running.life.onDeath.add(() => reject(new Error("ended"))));
          ended.catch(() => undefined);
          const key = ascii("healed");
          await this.recorder.record(HEALER, { kind: "put", key, value }, async () => {
            try {
              const body = { kind: "put", ...putOf(key, value) } as const;
              const since = this.ledger.top;
              const applied = await Promise.race([running.replica.propose(body), ended]);
              this.witness.answered(body, undefined, since, applied);
              return { revision: applied.revision };
            } catch (error) {
              if (error instanceof Violation) throw error;
              failure.error = error as Error;
              return "unknown";
            }
          });
          if (failure.error !== null) throw failure.error;
          await Promise.race([running.replica.readBarrier(), ended]);
          demand(running.replica.store.range(rangeOf(key)).count === 1, check, () => `${member.name} does not find what it wrote`);
          break;
        } catch (error) {
          if (error instanceof Violation) throw error;
          this.note(`${member.name} does not answer yet: ${String(error)}`);
          this.disarm(member);
          await new Promise<void>((resolve) => engine.after(50, resolve));
        }
      }
      done++;
    };
    for (const member of core) attempt(member).catch((error: unknown) => engine.fail(error as Error));
    const answered = await engine.run({ time: deadline, until: () => done === core.length });
    stop = true;
    demand(answered, check, () => `${done} of ${core.length} answer after ${QUORUM_MS_MAX} ms\n${this.table()}`);
  }

  /** As an operator does once there is room again. */
  disarm(through: Member): void {
    if (!through.up) return;
    for (const alarm of through.running!.replica.store.alarms()) {
      this.operator("disarm", through, (replica) => replica.propose({ kind: "alarm", action: "deactivate", alarm }));
    }
  }

  /** Machines that will not come back are taken out of the configuration. */
  async #removeLost(deadline: number): Promise<void> {
    const { engine } = this;
    const isSettled = (): boolean => this.#present().length > 0 && !this.#present().some((member) => member.lost);
    while (this.members.some((member) => member.lost) && !isSettled() && engine.now < deadline) {
      this.faults.removeLost();
      const before = engine.now;
      await engine.run({ time: before + 1000, until: () => false });
      if (engine.now === before) return; // nothing happens any more
    }
  }

  /** A machine that was started for a membership that did not come about. */
  #isOutside(member: Member): boolean {
    const leader = this.members.find((one) => one.up && one.running!.raft.status().leading);
    const status = leader?.running!.raft.raftStatus();
    if (status === null || status === undefined || status.configIndex > status.commit) return false;
    return member.id !== null && !membersOf(status.config).includes(member.id);
  }

  /** Nobody will tell them: the operator ends them. */
  #endOutsiders(): void {
    for (const member of this.members) {
      if (member.running === null || !this.#isOutside(member)) continue;
      this.count("outsider ended");
      member.gone = true;
      member.die("kill");
    }
  }

  async #healAll(): Promise<void> {
    this.note("all healed");
    this.network.heal();
    this.#everybody = true;
    for (const member of this.members) if (member.id !== null) this.#revive(member);
    this.clients.stop();
    const { engine } = this;
    const deadline = engine.now + EQUAL_MS_MAX;
    await engine.run({ time: engine.now + SETTLE_MS, until: () => false });
    await this.#removeLost(deadline);
    this.#endOutsiders();
    const equal = await engine.run({ time: deadline, until: () => this.#allEqual() });
    demand(equal, "all become equal", () => `not within ${EQUAL_MS_MAX} ms\n${this.table()}\n${this.#rest()}`);
    const [first] = this.#present();
    const { store } = first!.running!.replica;
    for (const member of this.#present()) {
      const { replica } = member.running!;
      demand(replica.store.hash() === store.hash(), "equal states", () => `${member.name} differs at the end\n${this.table()}`);
    }
    for (const watcher of this.watchers) demand(watcher.next > store.revision, "watch", () => "a watcher is not told of the last change");
  }

  /** Were the answers those of one store, in an order that time allows? The check by revisions knows no keys that go with a lease. */
  #judge(): void {
    const { operations, helped } = this.blackBox.judge(this.witness.untold());
    this.counters["operations searched"] = operations;
    this.counters["keys searched with the help of the log"] = helped;
    if (this.swarm.leases) return;
    const faults = checkHistory(this.recorder.operations, this.truth.changes);
    demand(faults.length === 0, "history", () => faults.slice(0, 5).join("\n"));
    this.counters["operations judged"] = this.recorder.operations.length;
  }

  /** Members of the configuration that the leader has. */
  #present(): Member[] {
    const leader = this.members.find((member) => member.up && member.running!.raft.status().leading);
    const config = leader?.running!.raft.raftStatus()?.config;
    if (config === undefined || config.outgoing.length > 0) return [];
    const ids = membersOf(config);
    return this.members.filter((member) => member.id !== null && ids.includes(member.id));
  }

  #allEqual(): boolean {
    if (this.clients.pending > 0) return false;
    const present = this.#present();
    if (present.length === 0 || !present.every((member) => member.up)) return false;
    const applied = present.map((member) => member.running!.consensus.applied);
    const last = present.find((member) => member.running!.raft.status().leading)!.running!.raft.status().last;
    if (last < this.ledger.top || !applied.every((index) => index === last)) return false;
    const { revision } = present[0]!.running!.replica.store;
    const { leaseIds } = { leaseIds: present[0]!.running!.replica.store.leaseIds() };
    return (
      leaseIds.length === 0 &&
      this.watchers.every((watcher) => watcher.next > revision) &&
      this.filtered.every((watch) => watch.hasAll(revision))
    );
  }

  /** What there is still to wait for. */
  #rest(): string {
    const store = this.#present()[0]?.running?.replica.store;
    const due = this.watchers.map((watcher) => watcher.next).join();
    return `requests ${this.clients.pending}, leases ${store?.leaseIds().join()}, revision ${store?.revision}, watchers wait for ${due}`;
  }

  /** How everybody is, for a failure's report. */
  table(): string {
    return this.members
      .map((member) => {
        if (member.running === null) return `${member.name} ${member.id} ${member.gone ? "gone" : "down"}`;
        const { raft, consensus, ready, life } = member.running;
        const status = raft.raftStatus();
        const who = `${member.name} ${member.id} life ${life.number}${ready ? "" : " starting"}${life.paused ? " paused" : ""}`;
        if (status === null) return who;
        const { role, term, leader, commit, last, first, config } = status;
        const { voters, outgoing, learners } = config;
        return `${who} ${role} term ${term} leader ${leader} applied ${consensus.applied} commit ${commit} log ${first}..${last} voters ${voters.join()} outgoing ${outgoing.join()} learners ${learners.join()}`;
      })
      .join("\n");
  }
}

/**
 * One run. The same seed and options give the same result and hash.
 * @param options `steps`, `until` (virtual ms): length of the time of faults; default 20 s
 */
export function runS2(seed: number, options: S2Options = {}): Promise<S2Result> {
  enableVerify();
  return new Simulation(seed, options).play();
}
