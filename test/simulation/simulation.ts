/**
 * A whole cluster in one thread and in virtual time: a phase of faults in which nothing wrong may happen, then a phase of calm in
 * which the right things must happen within a bound. Everything follows from one seed.
 *
 * The method is that of FoundationDB and TigerBeetle (its vopr.zig): deterministic simulation, swarm options, safety then liveness.
 */
import { foundingLog, membersOf } from "../../core/raft/config-change.ts";
import type { Message } from "../../core/raft/messages.ts";
import { Xoshiro128 } from "../../core/raft/prng.ts";
import type { Ready } from "../../core/raft/ready.ts";
import type { TraceEvent } from "../../core/raft/trace.ts";
import type { Entry, NodeId, SnapshotMeta } from "../../core/raft/types.ts";
import { Chance } from "../helpers/chance.ts";
import { Checker } from "./checker.ts";
import { Disk } from "./disk.ts";
import { EventQueue } from "./event-queue.ts";
import { Faults } from "./faults.ts";
import { Host, type HostEvents } from "./host.ts";
import { mix } from "./ledger.ts";
import { Liveness } from "./liveness.ts";
import { Network } from "./network.ts";
import { type Swarm, TICK, calm, drawSwarm, withoutOptions } from "./swarm.ts";

export interface RunOptions {
  readonly seed: number;
  /** Length of the safety phase. */
  readonly steps: number;
  readonly checkTable?: boolean;
  /** Options of the swarm that are turned off, whatever the seed says: for finding out which of them a failure needs. */
  readonly without?: readonly (keyof Swarm)[];
  /** Faults that do not take place, by their number in the order of the run. */
  readonly skip?: ReadonlySet<number>;
  readonly trace?: (line: string) => void;
}

export interface RunResult {
  readonly seed: number;
  readonly steps: number;
  readonly traceHash: number;
  readonly committed: number;
  readonly reads: number;
  readonly ticks: number;
  readonly coverage: Readonly<Record<string, number>>;
}

export class Simulation implements HostEvents {
  readonly seed: number;
  swarm: Swarm;
  readonly hosts = new Map<NodeId, Host>();
  readonly checker: Checker;
  readonly network: Network;
  readonly queue = new EventQueue();
  readonly faults: Faults;
  readonly coverage = new Map<string, number>();
  now = 0;
  steps = 0;
  traceHash = 0;
  #payload = 0;
  readonly #options: RunOptions;
  readonly #clock: Chance;
  readonly #diskChance: Chance;
  readonly #clients: Chance;
  readonly #busy = new Set<string>();
  readonly #fetching = new Map<NodeId, string>();
  #ids: NodeId[];

  constructor(options: RunOptions) {
    this.#options = options;
    this.seed = options.seed;
    this.swarm = withoutOptions(drawSwarm(options.seed), options.without ?? []);
    this.#clock = new Chance(options.seed, "clock");
    this.#diskChance = new Chance(options.seed, "disk");
    this.#clients = new Chance(options.seed, "clients");
    this.network = new Network(new Chance(options.seed, "network"));
    // Names in an order that has nothing to do with age, as random ids have.
    this.#ids = new Chance(options.seed, "ids").shuffle(Array.from({ length: 26 }, (_, at) => String.fromCharCode(97 + at)));
    const founders = this.#ids.splice(0, this.swarm.members);
    const founding = foundingLog(founders.map((id) => ({ id, meta: `http://${id}` })));
    this.checker = new Checker(this.hosts, founding.entries, options.checkTable ?? true);
    for (const id of founders) this.addHost(id, new Disk(founding.hard, founding.entries, 0));
    this.faults = new Faults(this, new Chance(options.seed, "faults"), new Chance(options.seed, "hints"));
  }

  /** Faults that were due so far. */
  faultsDue = 0;

  /** @returns false when this one is to be left out */
  faultIsDue(): boolean {
    return this.#options.skip?.has(this.faultsDue++) !== true;
  }

  count(what: string): void {
    this.coverage.set(what, (this.coverage.get(what) ?? 0) + 1);
  }

  /** A name that was never used; undefined when the run has had enough members. */
  freshId(): NodeId | undefined {
    return this.#ids.length > 12 ? this.#ids.shift() : undefined;
  }

  addHost(id: NodeId, disk: Disk): Host {
    const { swarm } = this;
    const tracing = this.#options.trace !== undefined;
    const host = new Host(
      id,
      disk,
      {
        id,
        limits: swarm.limits,
        prng: new Xoshiro128(this.seed, `node ${id}`),
        preVote: swarm.preVote,
        checkQuorum: swarm.checkQuorum,
        reads: swarm.leaseReads ? "lease" : "quorum",
        maxClockDriftPpm: Math.min(900_000, Math.ceil(2.2 * swarm.drift * 1_000_000)),
        priority: swarm.priorities ? this.#clock.pick([0, 50, 100]) : 100,
        trace: (event) => this.#traced(event, tracing),
      },
      this,
    );
    this.hosts.set(id, host);
    host.start();
    const speed = 1 + swarm.drift * (2 * this.#clock.real() - 1);
    const period = TICK * speed;
    this.queue.push(this.now + this.#clock.real() * period, () => this.#tickHost(host, period));
    return host;
  }

  #traced(event: TraceEvent, tracing: boolean): void {
    this.count(event.event === "role" ? `role ${event.role}` : event.event === "progress" ? `progress ${event.state}` : event.event);
    if (tracing) this.#options.trace?.(JSON.stringify({ at: Math.round(this.now), ...event }));
  }

  note(text: string): void {
    this.#options.trace?.(JSON.stringify({ at: Math.round(this.now), event: "note", text }));
  }

  // Time.

  #tickHost(host: Host, period: number): void {
    const { swarm } = this;
    const missed = this.#clock.hit(swarm.missedTicks);
    this.queue.push(this.now + period, () => this.#tickHost(host, period));
    host.owedTicks++;
    if (missed || !host.alive || host.pausedUntil > this.now) return;
    host.passTime();
    host.pump();
    if (swarm.compactEvery > 0 && this.#diskChance.hit(1 / swarm.compactEvery)) {
      host.compact();
      this.count("compaction");
      host.pump();
    }
  }

  /** Runs events until a number of steps or a time is reached, or `until` holds. */
  run(limits: { steps: number; time: number; until?: () => boolean }): boolean {
    const lastStep = this.steps + limits.steps;
    while (this.steps < lastStep && this.now < limits.time) {
      const event = this.queue.pop();
      if (event === undefined) return false;
      this.now = event.at;
      this.steps++;
      event.run();
      if (limits.until !== undefined && (this.steps & 15) === 0 && limits.until()) return true;
    }
    return limits.until?.() ?? true;
  }

  // What hosts tell.

  transmit(host: Host, message: Message, afterPersist: boolean): void {
    this.checker.left(host, message, afterPersist);
    for (const { message: sent, delay } of this.network.route(message, this.now, this.swarm)) {
      this.queue.push(this.now + delay, () => this.#deliver(sent));
    }
  }

  #deliver(message: Message): void {
    this.network.arrived(message);
    const host = this.hosts.get(message.to);
    if (host === undefined || !host.alive || this.network.isCut(message.from, message.to)) return;
    if (host.pausedUntil > this.now) {
      if (host.inbox.length < 100) host.inbox.push(message);
      return;
    }
    this.hand(host, message);
  }

  hand(host: Host, message: Message): void {
    const role = host.node?.inspect().role ?? "down";
    this.count(`${message.kind} at ${role}`);
    host.input((node) => node.step(message));
    if (!this.#clients.hit(this.swarm.lazy)) host.pump();
    const state = host.node?.inspect();
    if (state === undefined) return;
    this.traceHash = mix(mix(mix(this.traceHash, Math.round(this.now)), state.term * 4096 + state.commit), state.log.last);
  }

  writeQueued(host: Host): void {
    const key = `${host.id}${host.life}`;
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    const { swarm } = this;
    let latency = 1 + this.#diskChance.exponential(swarm.diskMean);
    if (this.#diskChance.hit(swarm.diskStall)) {
      latency += this.#diskChance.int(1, 4) * swarm.limits.electionTicks * TICK;
      this.count("disk stall");
    }
    const { life } = host;
    this.queue.push(this.now + latency, () => {
      this.#busy.delete(key);
      if (host.life !== life) return;
      // Some of what queued up behind was merged into the same sync.
      host.finishWrites(this.#diskChance.int(1, Math.max(1, host.pending.length)));
      host.pump();
      if (host.pending.length > 0) this.writeQueued(host);
    });
  }

  install(host: Host, meta: SnapshotMeta, from: NodeId): void {
    // One fetch at a time a member; a newer offer replaces it. One that is being written already ends by itself.
    const ticket = `${host.life} ${meta.id}`;
    const running = this.#fetching.get(host.id);
    if (running === ticket || host.pending.some((write) => write.install?.id === meta.id)) return;
    this.#fetching.set(host.id, ticket);
    if (running?.startsWith(`${host.life} `)) host.input((node) => node.snapshotInstalled(running.slice(running.indexOf(" ") + 1), false));
    this.count("fetch");
    const { fetchTicks, fetchVaries } = this.swarm;
    const delay = TICK * (fetchVaries ? this.#diskChance.exponential(fetchTicks) : fetchTicks);
    const { life } = host;
    this.queue.push(this.now + delay, () => {
      if (host.life !== life || this.#fetching.get(host.id) !== ticket) return;
      this.#fetching.delete(host.id);
      const source = this.hosts.get(from);
      const holds = source?.alive === true && source.disk.base >= meta.index && !this.network.isCut(from, host.id);
      if (holds) host.queueInstall(meta);
      else {
        this.count("fetch failed");
        host.input((node) => node.snapshotInstalled(meta.id, false));
      }
      host.pump();
    });
  }

  applied(host: Host, _entries: readonly Entry[]): void {
    this.checker.applied(host);
  }

  wrote(host: Host, entries: readonly Entry[]): void {
    this.checker.wrote(host, entries);
  }

  stepped(host: Host): void {
    this.checker.stepped(host);
  }

  reads(host: Host, ready: Ready): void {
    for (const read of ready.reads) this.checker.readConfirmed(host, read.ctx, read.index);
    for (const read of ready.readsFailed) this.checker.readFailed(read.ctx);
  }

  // Clients.

  startClients(): void {
    this.queue.push(this.now + TICK, () => this.#clientTick());
  }

  #clientTick(): void {
    this.queue.push(this.now + TICK, () => this.#clientTick());
    const chance = this.#clients;
    const { swarm } = this;
    for (let due = swarm.writesPerTick; due > 0; due--) if (chance.hit(due)) this.write(chance);
    for (let due = swarm.readsPerTick; due > 0; due--) {
      if (!chance.hit(due)) continue;
      const leaders = this.leaders();
      this.read(leaders.length > 0 && chance.hit(0.5) ? chance.pick(leaders) : this.anyAlive(chance));
    }
  }

  anyAlive(chance: Chance): Host | undefined {
    const alive = [...this.hosts.values()].filter((host) => host.alive && host.pausedUntil <= this.now);
    return alive.length === 0 ? undefined : chance.pick(alive);
  }

  /** Members that believe to lead; more than one at times. */
  leaders(): Host[] {
    return [...this.hosts.values()].filter((host) => host.node?.inspect().role === "leader" && host.pausedUntil <= this.now);
  }

  newPayload(chance: Chance): Uint8Array {
    const size = this.swarm.tightLimits && chance.hit(0.3) ? chance.int(4, 80) : 4;
    const data = new Uint8Array(size);
    new DataView(data.buffer).setUint32(0, ++this.#payload);
    return data;
  }

  write(chance: Chance): void {
    const leaders = this.leaders();
    const host = leaders.length > 0 ? chance.pick(leaders) : undefined;
    if (host === undefined) return;
    const batch = Array.from({ length: chance.int(1, 3) }, () => this.newPayload(chance));
    host.input((node) => {
      const proposed = node.propose(batch);
      this.count(proposed.ok ? "proposed" : `refused ${proposed.why}`);
    });
    if (!chance.hit(this.swarm.lazy)) host.pump();
  }

  read(host: Host | undefined): void {
    if (host === undefined || host.node === null) return;
    // Unique for ever: member, boot, counter.
    const ctx = `${host.id}/${host.disk.boot}/${++host.reads}`;
    // A lease is only as good as the clock: hosts pass the time that went by before they ask.
    if (this.swarm.leaseReads) host.passTime();
    this.checker.readAccepted(ctx);
    host.input((node) => {
      const asked = node.readIndex(ctx);
      if (!asked.ok) this.checker.readFailed(ctx);
    });
    host.pump();
  }

  /** The whole run. @throws Violation */
  play(): RunResult {
    this.startClients();
    this.faults.start();
    this.run({ steps: this.#options.steps, time: Infinity });
    const safetySteps = this.steps;
    this.swarm = calm(this.swarm);
    new Liveness(this, new Chance(this.seed, "liveness")).run();
    return {
      seed: this.seed,
      steps: safetySteps,
      traceHash: this.traceHash,
      committed: this.checker.ledger.top,
      reads: this.checker.readsConfirmed,
      ticks: Math.round(this.now / TICK),
      coverage: Object.fromEntries([...this.coverage].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    };
  }

  /** One line a member, for a failure. */
  table(): string {
    const lines = [...this.hosts.values()].map((host) => {
      const state = host.node?.inspect();
      if (state === undefined) return `${host.id}  down; disk term ${host.disk.hard.term} last ${host.disk.last}`;
      const { role, term, vote, leader, commit, applied, stable, log } = state;
      const config = state.configs.at(-1)?.config;
      const members = config === undefined ? "" : `${config.voters.join("")}|${config.outgoing.join("")}|${membersOf(config).join("")}`;
      return `${host.id}  ${role} term ${term} vote ${vote} leader ${leader} log ${log.offset}..${log.last}(${log.lastTerm}) stable ${stable} commit ${commit} applied ${applied} config ${members}${host.pausedUntil > this.now ? " paused" : ""}${state.installing.length > 0 ? " installing" : ""}`;
    });
    return lines.join("\n");
  }
}
