/**
 * The log of one member in memory: for tests, simulations and members that may forget.
 *
 * The state lives in a `MemoryLogDisk`, so that it outlives the `MemoryLogStorage` on it: `crash()` the disk, put a new storage on
 * it, `open()`, and what was acknowledged is there. A `gate` decides when, and whether, each write takes effect: a test holds it
 * back to see what must not happen before a write is durable, or fails it to see the member stop.
 *
 * Invariants: effects in the order of the calls; entries without a gap; after a failed gate nothing takes effect any more.
 */
import { InvariantError, assert } from "../../core/invariant.ts";
import { QuorateError, errNotCovered, errSnapshotOutdated, errStopped, errStorageFailed, errStorageLocked } from "../../core/errors.ts";
import type { Entry, HardState, Index, SnapshotMeta } from "../../core/raft/types.ts";
import type { Batch, Identity, LogStorage, Recovered, SnapshotWriter } from "../../core/replica/log-storage-port.ts";

/** Called before a write takes effect. Resolve to let it, reject to make the device fail. */
export type Gate = (action: "append" | "snapshot" | "compact" | "identity") => Promise<void>;

interface KeptSnapshot {
  readonly meta: SnapshotMeta;
  readonly chunks: readonly Uint8Array[];
}

/** Snapshots kept: the newest, and one to fall back to. */
const SNAPSHOTS_KEPT = 2;

/** What survives a crash. Only `MemoryLogStorage` changes it. */
export class MemoryLogDisk {
  identity: Identity | null = null;
  boot = 0;
  hard: HardState = { term: 0, vote: null, commit: 0 };
  /** Ascending by index; the last one is the newest. */
  snapshots: KeptSnapshot[] = [];
  /** Without a gap, ascending. */
  entries: Entry[] = [];
  /** Counts crashes and openings: a storage of an earlier epoch has no say any more. */
  epoch = 0;
  opened = false;
  /** What `reserve()` of the storage says; a test sets it. */
  reserve: "ok" | "low" = "ok";

  /** The process dies: what has not taken effect never will, and the disk may be opened anew. */
  crash(): void {
    this.epoch++;
    this.opened = false;
  }
}

export class MemoryLogStorage implements LogStorage {
  readonly #disk: MemoryLogDisk;
  readonly #gate: Gate | null;
  #epoch = -1;
  #closed = false;
  #failure: QuorateError | null = null;
  /** Ends when everything asked for so far has taken effect. Never rejects. */
  #tail: Promise<void> = Promise.resolve();
  #snapshotting = false;

  constructor(disk: MemoryLogDisk = new MemoryLogDisk(), gate: Gate | null = null) {
    this.#disk = disk;
    this.#gate = gate;
  }

  async open(): Promise<Recovered> {
    const disk = this.#disk;
    assert(this.#epoch === -1 && !this.#closed, () => "open called twice");
    if (disk.opened) throw errStorageLocked("memory");
    disk.opened = true;
    this.#epoch = ++disk.epoch;
    disk.boot++;
    const snapshot = disk.snapshots.at(-1)?.meta ?? null;
    const after = snapshot?.index ?? 0;
    return {
      identity: disk.identity,
      boot: disk.boot,
      hard: { ...disk.hard, commit: Math.max(disk.hard.commit, after) },
      snapshot,
      entries: disk.entries.filter((entry) => entry.index > after),
      repairs: [],
    };
  }

  initialise(identity: Identity): Promise<void> {
    return this.#inOrder("identity", () => {
      assert(this.#disk.identity === null, () => "initialise: the storage has an identity already");
      this.#disk.identity = { ...identity };
    });
  }

  append(batch: Batch, _sync: boolean): Promise<void> {
    return this.#inOrder("append", () => {
      const disk = this.#disk;
      const first = batch.entries[0]?.index;
      if (first !== undefined) {
        checkAscending(batch.entries);
        const base = disk.entries[0]?.index ?? (disk.snapshots.at(-1)?.meta.index ?? 0) + 1;
        assert(
          first >= base && first <= base + disk.entries.length,
          () => `append: ${first} leaves a gap after ${base + disk.entries.length - 1}`,
        );
        disk.entries.length = first - base;
        for (const entry of batch.entries) disk.entries.push(entry);
      }
      if (batch.hard) disk.hard = { ...batch.hard };
    });
  }

  async createSnapshot(meta: SnapshotMeta): Promise<SnapshotWriter> {
    this.#check();
    assert(!this.#snapshotting, () => "createSnapshot: one at a time");
    const newest = this.#disk.snapshots.at(-1)?.meta.index ?? 0;
    if (meta.index <= newest) throw errSnapshotOutdated(meta.index, newest);
    this.#snapshotting = true;
    const chunks: Uint8Array[] = [];
    let done = false;
    return {
      write: async (chunk) => {
        this.#check();
        assert(!done, () => "snapshot: write after its end");
        chunks.push(chunk);
      },
      commit: async () => {
        assert(!done, () => "snapshot: commit after its end");
        done = true;
        this.#snapshotting = false;
        const whole = { ...meta, size: chunks.reduce((sum, chunk) => sum + chunk.length, 0) };
        await this.#inOrder("snapshot", () => this.#mark({ meta: whole, chunks }));
        return whole;
      },
      abort: async () => {
        if (!done) this.#snapshotting = false;
        done = true;
      },
    };
  }

  #mark(snapshot: KeptSnapshot): void {
    const disk = this.#disk;
    const { index, term } = snapshot.meta;
    if (disk.entries.find((entry) => entry.index === index)?.term !== term) disk.entries = [];
    disk.snapshots = [...disk.snapshots, snapshot].slice(-SNAPSHOTS_KEPT);
  }

  async *readSnapshot(id: string): AsyncIterable<Uint8Array> {
    this.#check();
    const found = this.#disk.snapshots.find((snapshot) => snapshot.meta.id === id);
    if (!found) throw new QuorateError("notFound", "notFound", `no snapshot "${id}"`, { id });
    yield* found.chunks;
  }

  compact(index: Index): Promise<void> {
    return this.#inOrder("compact", () => {
      const disk = this.#disk;
      const newest = disk.snapshots.at(-1)?.meta.index ?? 0;
      if (index > newest) throw errNotCovered(index, newest);
      disk.entries = disk.entries.filter((entry) => entry.index > index);
    });
  }

  reserve(): "ok" | "low" {
    return this.#disk.reserve;
  }

  sizeBytes(): number {
    const { entries, snapshots } = this.#disk;
    return entries.reduce((sum, entry) => sum + entry.data.length, 0) + snapshots.reduce((sum, { meta }) => sum + meta.size, 0);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#tail;
    if (this.#disk.epoch === this.#epoch) this.#disk.opened = false;
  }

  #check(): void {
    if (this.#failure) throw this.#failure;
    if (this.#closed || this.#epoch !== this.#disk.epoch) throw errStopped();
  }

  async #inOrder(action: Parameters<Gate>[0], effect: () => void): Promise<void> {
    this.#check();
    const before = this.#tail;
    const done = this.#after(before, action, effect);
    this.#tail = done.catch(() => undefined); // the caller has the error; the next call looks at #failure
    return done;
  }

  async #after(before: Promise<void>, action: Parameters<Gate>[0], effect: () => void): Promise<void> {
    await before;
    if (this.#failure) throw this.#failure;
    if (this.#gate) {
      try {
        await this.#gate(action);
      } catch (cause) {
        this.#failure = errStorageFailed("memory", action, cause);
        throw this.#failure;
      }
    }
    if (this.#epoch !== this.#disk.epoch) throw errStopped();
    effect();
  }
}

function checkAscending(entries: readonly Entry[]): void {
  for (let at = 1; at < entries.length; at++) {
    if (entries[at]!.index !== entries[at - 1]!.index + 1) throw new InvariantError(`append: ${entries[at]!.index} is out of order`);
  }
}
