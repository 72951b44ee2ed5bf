/**
 * A cluster that moves only when told to: messages wait until delivered, writes until finished, clocks until ticked. For schedules
 * written by hand; the invariants of the simulation are looked at after every step here too.
 */
import { foundingLog } from "../../core/raft/config-change.ts";
import { DEFAULT_LIMITS, type Limits } from "../../core/raft/limits.ts";
import type { Message } from "../../core/raft/messages.ts";
import type { RaftNode } from "../../core/raft/node.ts";
import type { Ready } from "../../core/raft/ready.ts";
import type { Options, RaftState } from "../../core/raft/state.ts";
import type { TraceEvent } from "../../core/raft/trace.ts";
import type { Config, Entry, NodeId, SnapshotMeta } from "../../core/raft/types.ts";
import { Checker } from "./checker.ts";
import { Disk } from "./disk.ts";
import { Host, type HostEvents } from "./host.ts";

export interface LabOptions {
  readonly voters: readonly NodeId[];
  readonly limits?: Partial<Limits>;
  readonly node?: Partial<Options>;
  readonly trace?: (event: TraceEvent) => void;
}

/** Bound of the loops that run until nothing is left to do. */
const MAX_ROUNDS = 100_000;

const T = 10;

export class Lab implements HostEvents {
  readonly hosts = new Map<NodeId, Host>();
  readonly checker: Checker;
  /** Sent and not yet delivered, oldest first. */
  wire: Message[] = [];
  /** Members whose writes wait for `persist`. */
  readonly slowDisks = new Set<NodeId>();
  readonly reading = new Map<string, number | "failed">();
  readonly fetches: { host: Host; meta: SnapshotMeta; from: NodeId }[] = [];
  readonly delivered: Message[] = [];
  #payload = 0;
  #contexts = 0;
  readonly #options: LabOptions;
  readonly #cut = new Set<string>();

  constructor(options: LabOptions) {
    this.#options = options;
    const founding = foundingLog(options.voters.map((id) => ({ id, meta: `http://${id}` })));
    this.checker = new Checker(this.hosts, founding.entries, true);
    for (const id of options.voters) this.add(id, new Disk(founding.hard, founding.entries, 0));
  }

  add(id: NodeId, disk: Disk, node: Partial<Options> = {}): Host {
    // A constant stream: a member's timeout is a little more than T, in the order of the letters.
    const draw = (Math.max(0, id.charCodeAt(id.length - 1) - 97) % (T - 1)) + 1;
    const prng = { u32: () => draw, clone: () => prng };
    const host = new Host(
      id,
      disk,
      {
        id,
        limits: { ...DEFAULT_LIMITS, electionTicks: T, ...this.#options.limits },
        prng,
        preVote: true,
        checkQuorum: true,
        reads: "quorum",
        maxClockDriftPpm: 0,
        priority: 100,
        ...(this.#options.trace === undefined ? {} : { trace: this.#options.trace }),
        ...this.#options.node,
        ...node,
      },
      this,
    );
    this.hosts.set(id, host);
    host.start();
    return host;
  }

  /** An empty member that joins through the entry at `joinIndex`. */
  join(id: NodeId, joinIndex: number): Host {
    return this.add(id, new Disk({ term: 0, vote: null, commit: 0 }, [], joinIndex));
  }

  host(id: NodeId): Host {
    const host = this.hosts.get(id);
    if (host === undefined) throw new Error(`no member ${id}`);
    return host;
  }

  node(id: NodeId): RaftNode {
    const { node } = this.host(id);
    if (node === null) throw new Error(`member ${id} is down`);
    return node;
  }

  state(id: NodeId): Readonly<RaftState> {
    return this.node(id).inspect();
  }

  config(id: NodeId): Config {
    return this.node(id).status().config;
  }

  // What hosts tell.

  transmit(host: Host, message: Message, afterPersist: boolean): void {
    this.checker.left(host, message, afterPersist);
    this.wire.push(Object.freeze(message));
  }

  writeQueued(host: Host): void {
    // Taken up by `settle`, so that nothing happens inside of what caused it.
    void host;
  }

  install(host: Host, meta: SnapshotMeta, from: NodeId): void {
    if (!this.fetches.some((one) => one.host === host && one.meta.id === meta.id)) this.fetches.push({ host, meta, from });
  }

  applied(host: Host, _entries: readonly Entry[]): void {
    this.checker.applied(host);
  }

  wrote(host: Host, entries: readonly Entry[]): void {
    for (const entry of entries) Object.freeze(entry);
    this.checker.wrote(host, entries);
  }

  stepped(host: Host): void {
    this.checker.stepped(host);
  }

  reads(host: Host, ready: Ready): void {
    for (const read of ready.reads) {
      this.checker.readConfirmed(host, read.ctx, read.index);
      this.reading.set(read.ctx, read.index);
    }
    for (const read of ready.readsFailed) {
      this.checker.readFailed(read.ctx);
      this.reading.set(read.ctx, "failed");
    }
  }

  // Moves.

  /** Finishes the writes of all members whose disk is not slow. */
  settle(): void {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      let moved = false;
      for (const host of this.hosts.values()) {
        if (!host.alive) continue;
        if (host.node?.hasReady() === true) {
          host.pump();
          moved = true;
        }
        if (host.pending.length > 0 && !this.slowDisks.has(host.id)) {
          host.finishWrites(host.pending.length);
          host.pump();
          moved = true;
        }
      }
      if (!moved) return;
    }
    throw new Error("the cluster never settles");
  }

  act<R>(id: NodeId, act: (node: RaftNode) => R): R {
    let result: R | undefined;
    this.host(id).input((node) => {
      result = act(node);
    });
    this.settle();
    return result as R;
  }

  /** Finishes the oldest writes of a member with a slow disk. */
  persist(id: NodeId, count = this.host(id).pending.length): void {
    const host = this.host(id);
    host.finishWrites(count);
    host.pump();
    this.settle();
  }

  tick(id: NodeId, times = 1, elapsed = 1): void {
    for (let at = 0; at < times; at++) this.act(id, (node) => node.tick(elapsed));
  }

  cut(a: NodeId, b: NodeId): void {
    this.#cut.add(`${a}>${b}`).add(`${b}>${a}`);
  }

  cutOneWay(from: NodeId, to: NodeId): void {
    this.#cut.add(`${from}>${to}`);
  }

  isolate(id: NodeId): void {
    for (const other of this.hosts.keys()) if (other !== id) this.cut(id, other);
  }

  heal(): void {
    this.#cut.clear();
  }

  /** Hands one message over, wherever it comes from. */
  hand(message: Message): void {
    const host = this.hosts.get(message.to);
    if (host === undefined || !host.alive || this.#cut.has(`${message.from}>${message.to}`)) return;
    this.delivered.push(message);
    host.input((node) => node.step(message));
    host.pump();
    this.settle();
  }

  /** Delivers what is on the wire now and matches, in order; not what that causes. */
  deliverOnce(match: (message: Message) => boolean = () => true): void {
    const now = this.wire.filter(match);
    this.wire = this.wire.filter((message) => !match(message));
    for (const message of now) this.hand(message);
  }

  /** Delivers until nothing that matches is left. */
  deliver(match: (message: Message) => boolean = () => true): void {
    this.settle();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const at = this.wire.findIndex(match);
      if (at < 0) return;
      const [message] = this.wire.splice(at, 1) as [Message];
      this.hand(message);
    }
    throw new Error("messages never end");
  }

  drop(match: (message: Message) => boolean = () => true): Message[] {
    const gone = this.wire.filter(match);
    this.wire = this.wire.filter((message) => !match(message));
    return gone;
  }

  /** Rounds of one tick for everybody, and everything delivered. */
  run(ticks: number): void {
    for (let at = 0; at < ticks; at++) {
      for (const host of this.hosts.values()) if (host.alive) this.tick(host.id);
      this.deliver();
    }
  }

  /** @returns ticks it took; throws after `limit` */
  runUntil(done: () => boolean, limit: number): number {
    for (let at = 0; at <= limit; at++) {
      if (done()) return at;
      this.run(1);
    }
    throw new Error(`not within ${limit} ticks`);
  }

  /** Makes `id` leader, however long the others heard of another one. */
  elect(id: NodeId): void {
    for (const other of this.hosts.values()) if (other.alive && other.id !== id) this.tick(other.id, 2, T / 2 - 1);
    for (const other of this.hosts.values()) if (other.alive && other.id !== id) this.tick(other.id, 2);
    this.tick(id, 2, T / 2);
    this.drop(); // what an earlier leader still had to say
    this.act(id, (node) => node.campaign());
    this.deliver();
    if (this.state(id).role !== "leader") throw new Error(`${id} is ${this.state(id).role}`);
  }

  propose(id: NodeId, count = 1, size = 4): ReturnType<RaftNode["propose"]> {
    const data = Array.from({ length: count }, () => {
      const bytes = new Uint8Array(size);
      if (size >= 4) new DataView(bytes.buffer).setUint32(0, ++this.#payload);
      return bytes;
    });
    return this.act(id, (node) => node.propose(data));
  }

  /** @returns the context; see `reading` for the answer */
  read(id: NodeId): string {
    const ctx = `${id}/${this.host(id).disk.boot}/${++this.#contexts}`;
    this.checker.readAccepted(ctx);
    this.host(id).input((node) => {
      if (!node.readIndex(ctx).ok) {
        this.checker.readFailed(ctx);
        this.reading.set(ctx, "failed");
      }
    });
    this.settle();
    return ctx;
  }

  crash(id: NodeId, survive = 0): void {
    this.host(id).crash(survive);
  }

  restart(id: NodeId): void {
    this.host(id).start();
    this.settle();
  }

  compact(id: NodeId): void {
    this.host(id).compact();
    this.settle();
  }

  /** Ends the fetches under way. */
  finishFetches(ok = true): void {
    for (const { host, meta } of this.fetches.splice(0)) {
      if (!host.alive) continue;
      if (ok) host.queueInstall(meta);
      else host.input((node) => node.snapshotInstalled(meta.id, false));
      host.pump();
    }
    this.settle();
  }

  /** Terms of a member's log from its first retained entry on. */
  terms(id: NodeId): number[] {
    const { log } = this.state(id);
    return Array.from({ length: log.last - log.offset }, (_, at) => log.term(log.offset + 1 + at) as number);
  }

  allEqual(): boolean {
    const hashes = [...this.hosts.values()].filter((host) => host.alive).map((host) => `${host.appliedIndex} ${host.appliedHash}`);
    return new Set(hashes).size === 1;
  }
}
