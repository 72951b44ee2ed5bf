/**
 * One member in the simulation: a `RaftNode`, an ideal disk with writes under way, a little state machine, and the rules a host has
 * to keep (what leaves when, what is applied when). The engine decides when writes end, messages arrive, clocks tick and power fails.
 */
import type { Message } from "../../core/raft/messages.ts";
import { RaftNode } from "../../core/raft/node.ts";
import type { Ready } from "../../core/raft/ready.ts";
import type { Options, Role } from "../../core/raft/state.ts";
import type { Config, Entry, Index, NodeId, SnapshotMeta, Term } from "../../core/raft/types.ts";
import type { Disk } from "./disk.ts";
import { applyHash } from "./ledger.ts";
import { demand } from "./violation.ts";

/** What the engine and the checks hear from a host. */
export interface HostEvents {
  transmit(host: Host, message: Message, afterPersist: boolean): void;
  /** A write is queued; the engine calls `finishWrites` when it is done. */
  writeQueued(host: Host): void;
  install(host: Host, meta: SnapshotMeta, from: NodeId): void;
  applied(host: Host, entries: readonly Entry[]): void;
  reads(host: Host, ready: Ready): void;
  wrote(host: Host, entries: readonly Entry[]): void;
  /** After each input to the node. */
  stepped(host: Host): void;
}

/** A Ready on its way to the disk, or a snapshot that is being swapped in. */
export interface PendingWrite {
  readonly seq: number;
  readonly ready: Ready | null;
  readonly install: SnapshotMeta | null;
}

/** Bound of the loop that empties a node after one input. */
const MAX_READYS_AN_INPUT = 20_000;

/** What the checks remember of the node between two steps. */
export interface Before {
  role: Role;
  term: Term;
  commit: Index;
  applied: Index;
  last: Index;
  lastTerm: Term;
  config: Config;
}

export class Host {
  readonly id: NodeId;
  readonly disk: Disk;
  readonly events: HostEvents;
  readonly options: Omit<Options, "restored">;
  node: RaftNode | null = null;
  /** Grows with every start and stop: what was scheduled for an earlier life is recognised by it. */
  life = 0;
  pending: PendingWrite[] = [];
  appliedIndex: Index = 0;
  appliedHash = 0;
  /** Hash as of the disk's snapshot; snapshots themselves carry it in their id. */
  snapshotHash = 0;
  before: Before | null = null;
  reads = 0;
  pausedUntil = 0;
  /** Ticks of the own clock that the node was not told of yet. */
  owedTicks = 0;
  inbox: Message[] = [];

  constructor(id: NodeId, disk: Disk, options: Omit<Options, "restored">, events: HostEvents) {
    this.id = id;
    this.disk = disk;
    this.options = options;
    this.events = events;
  }

  get alive(): boolean {
    return this.node !== null;
  }

  start(options: Omit<Options, "restored"> = this.options): void {
    this.life++;
    this.owedTicks = 0;
    this.disk.boot++;
    this.node = new RaftNode({ ...options, id: this.id, restored: this.disk.restored() });
    this.appliedIndex = this.disk.base;
    this.appliedHash = this.snapshotHash;
    this.before = null;
    this.settle();
  }

  /** Power off. @param survive how many writes under way reached the disk all the same */
  crash(survive: number): void {
    for (const write of this.pending.slice(0, survive)) this.#store(write);
    this.life++;
    this.node = null;
    this.pending = [];
    this.inbox = [];
    this.before = null;
  }

  /** Gives the node an input and lets the checks look at it. */
  input(act: (node: RaftNode) => void): void {
    if (this.node === null) return;
    act(this.node);
    this.events.stepped(this);
  }

  passTime(): void {
    const elapsed = this.owedTicks;
    this.owedTicks = 0;
    this.input((node) => node.tick(elapsed));
  }

  settle(): void {
    this.events.stepped(this);
    this.pump();
  }

  /** Takes Readys until there are none. */
  pump(): void {
    for (let round = 0; this.node !== null && this.node.hasReady(); round++) {
      demand(round < MAX_READYS_AN_INPUT, "bounded", () => `${this.id} has a Ready for ever`);
      this.#handle(this.node.ready());
    }
  }

  #handle(ready: Ready): void {
    if (ready.entries.length > 0) this.events.wrote(this, ready.entries);
    for (const message of ready.send) this.events.transmit(this, message, false);
    const writes = ready.mustSync || ready.hard !== undefined || ready.sendAfterPersist.length > 0;
    if (writes) {
      this.pending.push({ seq: ready.seq, ready, install: null });
      // Nothing to sync and nothing before it: done at once.
      if (!ready.mustSync && this.pending.length === 1) this.finishWrites(1);
      else this.events.writeQueued(this);
    }
    this.events.reads(this, ready);
    if (ready.install !== undefined) this.events.install(this, ready.install.meta, ready.install.from);
    this.#apply(ready.apply);
    this.events.stepped(this);
  }

  #apply(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined || this.node === null) return;
    for (const entry of entries) {
      demand(entry.index === this.appliedIndex + 1, "applied-once", () => `${this.id} applies ${entry.index} after ${this.appliedIndex}`);
      const stored = this.disk.term(entry.index);
      demand(
        stored === entry.term,
        "applied-durable",
        () => `${this.id} applies ${entry.index} of term ${entry.term}, its disk has term ${stored}`,
      );
      this.appliedIndex = entry.index;
      this.appliedHash = applyHash(this.appliedHash, entry);
    }
    this.events.applied(this, entries);
    this.node.applied(last.index);
  }

  #store(write: PendingWrite): void {
    if (write.ready !== null) this.disk.write(write.ready);
    if (write.install !== null && write.install.index > this.disk.base) {
      this.disk.install(write.install);
      this.snapshotHash = Number(write.install.id.split(":")[1]);
    }
  }

  /** The first `count` writes under way are durable; they are acknowledged together. */
  finishWrites(count: number): void {
    const done = this.pending.splice(0, count);
    let seq = 0;
    for (const write of done) {
      if (write.install !== null) {
        if (seq > 0) this.#persisted(seq);
        seq = 0;
      }
      this.#store(write);
      if (write.ready !== null) seq = write.seq;
      if (write.install !== null) this.#swap(write.install);
    }
    if (seq > 0) this.#persisted(seq);
    for (const write of done) for (const message of write.ready?.sendAfterPersist ?? []) this.events.transmit(this, message, true);
    // Done at once behind a write: what owed no sync.
    while (this.pending[0]?.ready?.mustSync === false) {
      const [next] = this.pending.splice(0, 1) as [PendingWrite];
      this.#store(next);
      this.#persisted(next.seq);
      for (const message of next.ready?.sendAfterPersist ?? []) this.events.transmit(this, message, true);
    }
  }

  #persisted(seq: number): void {
    this.input((node) => node.persisted(seq));
  }

  #swap(meta: SnapshotMeta): void {
    if (meta.index > this.appliedIndex) {
      this.appliedIndex = meta.index;
      this.appliedHash = Number(meta.id.split(":")[1]);
    }
    this.input((node) => node.snapshotInstalled(meta.id, true));
  }

  /** The snapshot is here; its mark goes to the disk behind everything written before. */
  queueInstall(meta: SnapshotMeta): void {
    this.pending.push({ seq: 0, ready: null, install: meta });
    this.events.writeQueued(this);
  }

  /** A snapshot of the own state machine, durable at once. Ids are `index:hash`. */
  compact(): void {
    const { node, disk, appliedIndex } = this;
    if (node === null || appliedIndex <= disk.base || appliedIndex > disk.last) return;
    if (this.pending.some((write) => write.install !== null)) return;
    const at = node.configAt(appliedIndex);
    const term = disk.term(appliedIndex);
    if (at === undefined || term === undefined) return;
    const meta: SnapshotMeta = {
      index: appliedIndex,
      term,
      config: at.config,
      configIndex: at.index,
      size: 1,
      id: `${appliedIndex}:${this.appliedHash}`,
    };
    disk.compact(meta);
    this.snapshotHash = this.appliedHash;
    this.input((live) => live.compacted(meta));
  }
}
