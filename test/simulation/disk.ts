/**
 * An ideal log on an ideal disk: writes take effect whole, in order, and what was not synced when the power goes is a suffix of them.
 * (Torn and damaged writes belong to the level that has real files.)
 */
import type { Restored } from "../../core/raft/state.ts";
import type { Entry, HardState, Index, SnapshotMeta } from "../../core/raft/types.ts";

export interface DiskWrite {
  readonly hard?: HardState | undefined;
  readonly entries: readonly Entry[];
}

export class Disk {
  hard: HardState;
  /** Entries after the snapshot. */
  entries: Entry[];
  snapshot: SnapshotMeta | null = null;
  boot = 0;
  readonly joinIndex: Index;

  constructor(hard: HardState, entries: readonly Entry[], joinIndex: Index) {
    this.hard = hard;
    this.entries = entries.slice();
    this.joinIndex = joinIndex;
  }

  get base(): Index {
    return this.snapshot?.index ?? 0;
  }

  get last(): Index {
    return this.base + this.entries.length;
  }

  term(index: Index): number | undefined {
    if (index === this.base) return this.snapshot?.term ?? 0;
    return this.entries[index - this.base - 1]?.term;
  }

  entry(index: Index): Entry | undefined {
    return this.entries[index - this.base - 1];
  }

  write(write: DiskWrite): void {
    if (write.hard !== undefined) this.hard = write.hard;
    const first = write.entries[0];
    if (first === undefined) return;
    const at = first.index - this.base - 1;
    // A write that began before the log was replaced by a snapshot: what the snapshot covers is skipped.
    const skip = Math.max(0, -at);
    if (at > this.entries.length) throw new Error(`write of entry ${first.index} leaves a gap behind ${this.last}`);
    this.entries.length = Math.max(0, at);
    for (let place = skip; place < write.entries.length; place++) this.entries.push(write.entries[place] as Entry);
  }

  /** The own state machine's snapshot: the log goes on behind it. */
  compact(meta: SnapshotMeta): void {
    this.entries = this.entries.slice(meta.index - this.base);
    this.snapshot = meta;
  }

  /** A snapshot of somebody else's replaces the log. */
  install(meta: SnapshotMeta): void {
    this.entries = [];
    this.snapshot = meta;
    if (this.hard.commit < meta.index) this.hard = { ...this.hard, commit: meta.index };
  }

  restored(): Restored {
    // The commit hint is not synced with the entries: it may point beyond them only if the log was lost, never here.
    return {
      hard: this.hard,
      snapshot: this.snapshot,
      entries: this.entries.slice(),
      applied: this.base,
      boot: this.boot,
      joinIndex: this.joinIndex,
    };
  }
}
