/**
 * What is measured on the way of a write, by wrapping the ports it passes: the device under the log, and the consensus above it. The
 * wrapped parts know nothing of it.
 */
import type { FileSystem, OpenFile, OpenMode } from "../file-storage/file-system.ts";
import type { Consensus, ConsensusHost, ConsensusMember, ConsensusStatus, Proposed } from "../../core/replica/consensus-port.ts";
import type { ConfigChange } from "../../core/raft/config-change.ts";
import type { Status } from "../../core/raft/status.ts";
import type { Index, NodeId, SnapshotMeta, Term } from "../../core/raft/types.ts";
import { Histogram, doubling } from "../../core/api/histogram.ts";

export class Measures {
  /** Seconds of one durable write of the log. */
  readonly logSync = new Histogram(doubling(0.001, 14));
  logBytes = 0;
  /** Seconds of applying one batch of entries to the store. */
  readonly apply = new Histogram(doubling(0.001, 14));
  /** Entries of one batch. */
  readonly batchEntries = new Histogram(doubling(1, 14));
  /** Seconds from the beginning of a snapshot to its being durable. */
  readonly snapshot = new Histogram(doubling(0.01, 14));
}

const seconds = (since: number): number => (performance.now() - since) / 1000;

/** Times the durable writes of log files. */
export class MeasuredFileSystem implements FileSystem {
  readonly #inner: FileSystem;
  readonly #measures: Measures;

  constructor(inner: FileSystem, measures: Measures) {
    this.#inner = inner;
    this.#measures = measures;
  }

  async open(path: string, mode: OpenMode): Promise<OpenFile> {
    const file = await this.#inner.open(path, mode);
    return mode === "log" ? new MeasuredFile(file, this.#measures) : file;
  }
  makeDirectory(path: string): Promise<void> {
    return this.#inner.makeDirectory(path);
  }
  list(directory: string): Promise<string[]> {
    return this.#inner.list(directory);
  }
  rename(from: string, to: string): Promise<void> {
    return this.#inner.rename(from, to);
  }
  remove(path: string): Promise<void> {
    return this.#inner.remove(path);
  }
  syncDirectory(path: string): Promise<void> {
    return this.#inner.syncDirectory(path);
  }
  lock(path: string): Promise<(() => void) | undefined> {
    return this.#inner.lock(path);
  }
}

class MeasuredFile implements OpenFile {
  readonly #inner: OpenFile;
  readonly #measures: Measures;

  constructor(inner: OpenFile, measures: Measures) {
    this.#inner = inner;
    this.#measures = measures;
  }

  async writeDurably(data: Uint8Array, position: number): Promise<number> {
    const began = performance.now();
    const written = await this.#inner.writeDurably(data, position);
    this.#measures.logSync.observe(seconds(began));
    this.#measures.logBytes += written;
    return written;
  }
  async sync(): Promise<void> {
    const began = performance.now();
    await this.#inner.sync();
    this.#measures.logSync.observe(seconds(began));
  }
  read(into: Uint8Array, position: number): Promise<number> {
    return this.#inner.read(into, position);
  }
  async write(data: Uint8Array, position: number): Promise<number> {
    const written = await this.#inner.write(data, position);
    this.#measures.logBytes += written;
    return written;
  }
  truncate(length: number): Promise<void> {
    return this.#inner.truncate(length);
  }
  size(): Promise<number> {
    return this.#inner.size();
  }
  close(): Promise<void> {
    return this.#inner.close();
  }
}

/** Times the applying of batches and the making of snapshots. */
export class MeasuredConsensus implements Consensus {
  readonly #inner: Consensus;
  readonly #measures: Measures;

  constructor(inner: Consensus, measures: Measures) {
    this.#inner = inner;
    this.#measures = measures;
  }

  get identity(): Consensus["identity"] {
    return this.#inner.identity;
  }
  get boot(): number {
    return this.#inner.boot;
  }
  start(host: ConsensusHost): Promise<void> {
    const { apply, batchEntries } = this.#measures;
    return this.#inner.start({
      apply: (entries) => {
        const began = performance.now();
        host.apply(entries);
        apply.observe(seconds(began));
        batchEntries.observe(entries.length);
      },
      restore: (meta, chunks) => host.restore(meta, chunks),
      officeChanged: (leading, term, leader) => host.officeChanged(leading, term, leader),
      answer: (from, request) => host.answer(from, request),
      failed: (error) => host.failed(error),
      removed: () => host.removed(),
    });
  }
  propose(data: Uint8Array): Proposed {
    return this.#inner.propose(data);
  }
  readBarrier(): Promise<void> | undefined {
    return this.#inner.readBarrier();
  }
  status(): ConsensusStatus {
    return this.#inner.status();
  }
  tick(ticks: number): void {
    this.#inner.tick(ticks);
  }
  askLeader(request: unknown, timeoutMs: number): Promise<unknown> {
    return this.#inner.askLeader(request, timeoutMs);
  }
  members(): readonly ConsensusMember[] {
    return this.#inner.members();
  }
  raftStatus(): Status | null {
    return this.#inner.raftStatus();
  }
  changeMembership(change: ConfigChange): Promise<void> {
    return this.#inner.changeMembership(change);
  }
  transferLeadership(to: NodeId): void {
    this.#inner.transferLeadership(to);
  }
  async snapshot(
    meta: { readonly index: Index; readonly term: Term; readonly id: string },
    chunks: AsyncIterable<Uint8Array>,
  ): Promise<SnapshotMeta> {
    const began = performance.now();
    const made = await this.#inner.snapshot(meta, chunks);
    this.#measures.snapshot.observe(seconds(began));
    return made;
  }
  stop(): Promise<void> {
    return this.#inner.stop();
  }
}
