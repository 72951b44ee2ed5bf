/**
 * The durable log of one member in a directory: identity, lock, log segments, snapshots.
 *
 *     DIRECTORY/identity   who this is, how often it was opened        identity-file.ts
 *     DIRECTORY/lock       empty; locked while a process has it open
 *     DIRECTORY/log/       segments                                    segment.ts, batch-frame.ts, records.ts
 *     DIRECTORY/snapshots/ the two newest                              snapshot-file.ts
 *
 * Group commit: one durable write is under way at a time; what is appended meanwhile gathers and makes the next one. A batch is never
 * written before the one before it is durable: recovery rests on that (recovery.ts).
 *
 * Invariants: after the device failed once, nothing is written any more and every call rejects with the same error; each segment
 * begins with the hard state and the marks of the kept snapshots, so that older segments can go.
 * Format: docs/formats/log.md. Choices and figures: docs/decisions/0003-log-on-disk.md.
 */
import { InvariantError, assert } from "../../core/invariant.ts";
import { errDataLoss, errNotCovered, errStopped, errStorageFailed, errStorageLocked, isQuorateError } from "../../core/errors.ts";
import type { QuorateError } from "../../core/errors.ts";
import type { HardState, Index, SnapshotMeta } from "../../core/raft/types.ts";
import type { Batch, Identity, LogStorage, Recovered, SnapshotWriter } from "../../core/replica/log-storage-port.ts";
import { SECTOR_BYTES, batchLength, sealBatch } from "./batch-frame.ts";
import type { FileSystem } from "./file-system.ts";
import { IDENTITY_NAME, IDENTITY_TEMPORARY_NAME, readIdentityFile, writeIdentityFile } from "./identity-file.ts";
import { LogIndex } from "./log-index.ts";
import { NodeFileSystem } from "./node-file-system.ts";
import { RecordWriter, entryBytes } from "./records.ts";
import type { SnapshotMark } from "./records.ts";
import { recoverLog } from "./recovery.ts";
import type { RecoveredLog } from "./recovery.ts";
import { SEGMENT_HEADER_BYTES, SPARE_NAME, createSegment, segmentNumber } from "./segment.ts";
import { type Schedule, SegmentPool } from "./segment-pool.ts";
import { SNAPSHOTS_KEPT, SnapshotStore } from "./snapshot-store.ts";

export interface FileLogStorageOptions {
  readonly directory: string;
  /** Default 16 MiB; at least 64 KiB, a multiple of 512. The next one is made ahead, so twice this is on the disk at least. */
  readonly segmentBytes?: number;
  /** Between two attempts to set room aside on a full disk; default 5,000. */
  readonly retryMs?: number;
  /** Default: a timer of the host. */
  readonly schedule?: Schedule;
  readonly fileSystem?: FileSystem;
}

const SEGMENT_BYTES = 16 << 20;
const SEGMENT_BYTES_MIN = 64 << 10;
const RETRY_MS = 5_000;
/** Records merged into one write: as much as a disk writes in a few milliseconds. A single larger append is written whole. */
const WRITE_BYTES_MAX = 2 << 20;
/** What one append may cost beside its entries. */
const APPEND_OVERHEAD_BYTES = 64;

const hostTimer: Schedule = (ms, act) => {
  const timer = setTimeout(act, ms).unref();
  return () => clearTimeout(timer);
};

/** One call that waits for its records to be durable. */
interface Waiting {
  readonly batch: Batch;
  readonly mark: SnapshotMark | null;
  readonly bytes: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

export class FileLogStorage implements LogStorage {
  readonly #directory: string;
  readonly #logDirectory: string;
  readonly #segmentBytes: number;
  readonly #fileSystem: FileSystem;
  readonly #pool: SegmentPool;
  readonly #snapshots: SnapshotStore;
  readonly #records = new RecordWriter(64 << 10);
  readonly #index = new LogIndex(1);

  #state: "new" | "opening" | "open" | "closed" = "new";
  #failure: QuorateError | InvariantError | null = null;
  #release: (() => void) | null = null;
  #boot = 0;
  #identity: Identity | null = null;

  /** Bounded by what the caller has in flight: it awaits each append. */
  #queue: Waiting[] = [];
  #running: Promise<void> | null = null;
  /** The latest asked for; what is written may lag behind. */
  #hard: HardState = { term: 0, vote: null, commit: 0 };
  #writtenHard: HardState = this.#hard;
  /** A commit hint that waits for the next write. */
  #hint: HardState | null = null;
  /** Serialises compactions. Never rejects. */
  #compacting: Promise<void> = Promise.resolve();

  #nextNumber = 1;
  #prevCrc = 0;
  #prevEnd = 0;
  /** Where the next batch goes in the current segment. */
  #at = SEGMENT_HEADER_BYTES;
  /** Number of the segment that has the last durable batch. */
  #durableSegment = 0;
  /** Marks the log holds already, of the kept snapshots. */
  #marked: SnapshotMeta[] = [];

  constructor(options: FileLogStorageOptions) {
    this.#directory = options.directory;
    this.#logDirectory = `${options.directory}/log`;
    this.#segmentBytes = options.segmentBytes ?? SEGMENT_BYTES;
    assert(this.#segmentBytes >= SEGMENT_BYTES_MIN && this.#segmentBytes % SECTOR_BYTES === 0, () => `segmentBytes ${this.#segmentBytes}`);
    this.#fileSystem = options.fileSystem ?? new NodeFileSystem();
    this.#pool = new SegmentPool({
      fileSystem: this.#fileSystem,
      directory: this.#logDirectory,
      segmentBytes: this.#segmentBytes,
      retryMs: options.retryMs ?? RETRY_MS,
      schedule: options.schedule ?? hostTimer,
      onFailure: (path, action, cause) => void this.#fail(path, action, cause),
    });
    this.#snapshots = new SnapshotStore(this.#fileSystem, `${options.directory}/snapshots`, {
      check: () => this.#check(),
      mark: (meta) => this.#mark(meta),
      fail: (path, action, cause) => this.#fail(path, action, cause),
    });
  }

  async open(): Promise<Recovered> {
    assert(this.#state === "new", () => "open called twice");
    this.#state = "opening";
    try {
      const recovered = await this.#open();
      this.#state = "open";
      if (recovered.identity !== null) this.#pool.prepare();
      return recovered;
    } catch (error) {
      this.#state = "closed";
      await this.#pool.stop();
      this.#release?.();
      if (isQuorateError(error) || error instanceof InvariantError) throw error;
      throw errStorageFailed(this.#directory, "open", error);
    }
  }

  async #open(): Promise<Recovered> {
    const fileSystem = this.#fileSystem;
    await fileSystem.makeDirectory(this.#logDirectory);
    await fileSystem.makeDirectory(`${this.#directory}/snapshots`);
    const release = await fileSystem.lock(`${this.#directory}/lock`);
    if (release === undefined) throw errStorageLocked(this.#directory);
    this.#release = release;
    const names = await fileSystem.list(this.#directory);
    if (names.includes(IDENTITY_TEMPORARY_NAME)) await this.#remove(this.#directory, IDENTITY_TEMPORARY_NAME);
    const segments = await fileSystem.list(this.#logDirectory);
    if (segments.includes(SPARE_NAME)) await this.#remove(this.#logDirectory, SPARE_NAME);

    const known = names.includes(IDENTITY_NAME) ? await readIdentityFile(fileSystem, this.#directory) : null;
    this.#boot = (known?.boot ?? 0) + 1;
    this.#identity = known?.identity ?? null;
    let recovered: Recovered;
    if (this.#identity === null) {
      await this.#refuseLogOfNobody(segments);
      recovered = { identity: null, boot: this.#boot, hard: this.#hard, snapshot: null, entries: [], repairs: [] };
    } else {
      recovered = await this.#recover(this.#identity, known?.batches ?? 0);
    }
    await writeIdentityFile(fileSystem, this.#directory, { identity: this.#identity, boot: this.#boot, batches: this.#nextNumber - 1 });
    return recovered;
  }

  async #remove(directory: string, name: string): Promise<void> {
    await this.#fileSystem.remove(`${directory}/${name}`);
    await this.#fileSystem.syncDirectory(directory);
  }

  /** A log may be there before the identity is (a crash in `initialise`), but then nothing was appended to it. */
  async #refuseLogOfNobody(names: readonly string[]): Promise<void> {
    const found = names.filter((name) => segmentNumber(name) !== undefined);
    if (found.length === 0) return;
    const first = found.toSorted()[0]!;
    if (found.length > 1 || segmentNumber(first) !== 1) {
      throw errDataLoss(`${this.#directory}/${IDENTITY_NAME}`, 0, "the identity is missing while there is a log");
    }
    const log = await recoverLog(this.#fileSystem, this.#logDirectory, 0);
    if (log.nextNumber > 2 || log.entries.length > 0 || log.marks.length > 0)
      throw errDataLoss(`${this.#directory}/${IDENTITY_NAME}`, 0, "the identity is missing while there is a log");
    await this.#remove(this.#logDirectory, first);
  }

  async #recover(identity: Identity, batchesMin: number): Promise<Recovered> {
    const log = await recoverLog(this.#fileSystem, this.#logDirectory, batchesMin);
    const { repairs, fault } = await this.#snapshots.recover(log.marks);
    const snapshot = this.#snapshots.newest;
    const after = snapshot?.index ?? 0;
    if (log.base > after + 1) throw fault ?? errDataLoss(log.segments[0]!.path, 0, `entries ${after + 1} to ${log.base - 1} are missing`);
    await this.#makeSure(log.lastBatch);
    await this.#snapshots.tidy();

    this.#index.reset(log.base);
    this.#index.append(log.entries);
    if (this.#index.last < after) this.#index.reset(after + 1);
    this.#hard = this.#writtenHard = log.hard;
    this.#marked = [...this.#snapshots.metas];
    this.#nextNumber = log.nextNumber;
    this.#prevCrc = log.prevCrc;
    this.#prevEnd = log.prevEnd;
    this.#at = log.end;
    this.#durableSegment = log.lastBatch?.segment ?? 0;
    await this.#pool.adopt(log.segments, log.current);
    return {
      identity,
      boot: this.#boot,
      hard: { ...log.hard, commit: Math.max(log.hard.commit, after) },
      snapshot,
      entries: after < log.base ? log.entries : log.entries.slice(after + 1 - log.base),
      repairs: [...log.repairs, ...repairs],
    };
  }

  /**
   * Writes the last batch again, durably. It may be in the page cache only: the process was killed before its sync, or the sync
   * failed and the kernel dropped the pages while it goes on showing them. Every earlier batch was durable before the next began.
   */
  async #makeSure(last: RecoveredLog["lastBatch"]): Promise<void> {
    if (last === null) return;
    const file = await this.#fileSystem.open(last.path, "log");
    try {
      const buffer = Buffer.allocUnsafe(last.length);
      if ((await file.read(buffer, last.at)) !== last.length) throw errDataLoss(last.path, last.at, "a segment ends early");
      const written = await file.writeDurably(buffer, last.at);
      if (written !== last.length) throw new Error(`short write: ${written} of ${last.length} bytes`);
    } finally {
      await file.close();
    }
  }

  async initialise(identity: Identity): Promise<void> {
    this.#check();
    assert(this.#identity === null, () => "initialise: the storage has an identity already");
    for (const id of [identity.clusterId, identity.memberId, identity.diskId]) assert(/^\d{1,20}$/.test(id), () => `"${id}" is no id`);
    try {
      const segment = await createSegment(this.#fileSystem, this.#logDirectory, 1, this.#segmentBytes);
      await this.#pool.adopt([segment], 0);
      // The first batch is durable before there is an owner: a log with an owner and without a batch is damaged, not new.
      await this.#write([]);
      await writeIdentityFile(this.#fileSystem, this.#directory, { identity, boot: this.#boot, batches: 1 });
    } catch (error) {
      throw this.#fail(this.#directory, "initialise", error);
    }
    this.#identity = identity;
    this.#pool.prepare();
  }

  append(batch: Batch, sync: boolean): Promise<void> {
    try {
      this.#check();
      this.#index.append(batch.entries);
    } catch (error) {
      return Promise.reject(error);
    }
    const { hard } = batch;
    const hintOnly = hard !== undefined && batch.entries.length === 0 && saysTheSame(hard, this.#hard);
    if (hard) this.#hard = hard;
    if (hintOnly && !sync) {
      this.#hint = hard;
      return Promise.resolve();
    }
    return this.#enqueue(batch, null);
  }

  #enqueue(batch: Batch, mark: SnapshotMark | null): Promise<void> {
    let bytes = APPEND_OVERHEAD_BYTES;
    for (const entry of batch.entries) bytes += entryBytes(entry);
    const withHint = this.#hint !== null && batch.hard === undefined ? { ...batch, hard: this.#hint } : batch;
    this.#hint = null;
    return new Promise((resolve, reject) => {
      this.#queue.push({ batch: withHint, mark, bytes, resolve, reject });
      // One turn later, so that what is appended in this turn goes into the same write.
      this.#running ??= Promise.resolve().then(() => this.#run());
    });
  }

  /** Writes until nothing waits. Never rejects: who waits gets the error. */
  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      const taken = this.#take();
      try {
        await this.#write(taken);
      } catch (error) {
        const failure = this.#fail(this.#pool.current.path, "write to", error);
        for (const waiting of taken) waiting.reject(failure);
        break;
      }
      for (const waiting of taken) waiting.resolve();
    }
    this.#running = null;
  }

  #take(): Waiting[] {
    let bytes = 0;
    let count = 0;
    for (const waiting of this.#queue) {
      bytes += waiting.bytes;
      if (count > 0 && bytes > WRITE_BYTES_MAX) break;
      count++;
    }
    if (count < this.#queue.length) return this.#queue.splice(0, count);
    const all = this.#queue;
    this.#queue = [];
    return all;
  }

  async #write(waiting: readonly Waiting[]): Promise<void> {
    this.#checkAlive();
    let body = this.#encode(waiting, this.#at === SEGMENT_HEADER_BYTES);
    if (this.#at + batchLength(body.bodyLength) > this.#pool.current.size) {
      body = this.#encode(waiting, true);
      const bytes = batchLength(body.bodyLength);
      // Of all segments only the last may be empty: recovery looks for the next batch in the next segment, and no further.
      if (this.#at === SEGMENT_HEADER_BYTES) await this.#pool.enlarge(bytes);
      else await this.#pool.advance(bytes);
      this.#checkAlive();
      this.#at = SEGMENT_HEADER_BYTES;
    }
    const { length, bodyCrc } = sealBatch(body.buffer, body.bodyLength, {
      number: this.#nextNumber,
      prevEnd: this.#prevEnd,
      prevCrc: this.#prevCrc,
    });
    const written = await this.#pool.file.writeDurably(body.buffer.subarray(0, length), this.#at);
    if (written !== length) throw new Error(`short write: ${written} of ${length} bytes`);
    // Another part of the storage may have failed meanwhile: then nobody is told that this was saved.
    this.#checkAlive();
    this.#at += length;
    this.#prevEnd = this.#at;
    this.#prevCrc = bodyCrc;
    this.#nextNumber++;
    this.#noteWritten(waiting);
  }

  /** @param head the batch opens a segment */
  #encode(waiting: readonly Waiting[], head: boolean): { buffer: Buffer; bodyLength: number } {
    const records = this.#records;
    records.begin();
    if (head) {
      records.hard(this.#writtenHard);
      for (const meta of this.#marked) records.mark({ meta, resets: false });
    }
    for (const { batch, mark } of waiting) {
      records.entries(batch.entries);
      if (mark) records.mark(mark);
    }
    const hard = lastHard(waiting);
    if (hard) records.hard(hard);
    return records.end();
  }

  #noteWritten(waiting: readonly Waiting[]): void {
    const segment = this.#pool.current;
    this.#durableSegment = segment.number;
    this.#writtenHard = lastHard(waiting) ?? this.#writtenHard;
    for (const { batch, mark } of waiting) {
      const last = batch.entries.at(-1)?.index ?? 0;
      if (last > segment.maxIndex) segment.maxIndex = last;
      if (mark) this.#marked = [...this.#marked, mark.meta].slice(-SNAPSHOTS_KEPT);
    }
  }

  async createSnapshot(meta: SnapshotMeta): Promise<SnapshotWriter> {
    this.#check();
    return this.#snapshots.create(meta);
  }

  async #mark(meta: SnapshotMeta): Promise<void> {
    this.#check();
    const resets = this.#index.termAt(meta.index) !== meta.term;
    if (resets) this.#index.reset(meta.index + 1);
    await this.#enqueue({ entries: [] }, { meta, resets });
  }

  readSnapshot(id: string): AsyncIterable<Uint8Array> {
    return this.#snapshots.read(id);
  }

  compact(index: Index): Promise<void> {
    const done = this.#compacting.then(() => this.#compact(index));
    this.#compacting = done.catch(() => undefined); // the caller has the error
    return done;
  }

  async #compact(index: Index): Promise<void> {
    this.#check();
    const newest = this.#snapshots.newest?.index ?? 0;
    if (index > newest) throw errNotCovered(index, newest);
    try {
      await this.#snapshots.prune();
      // What leads on from the older snapshot stays, if it does lead on from there: else nothing can be done with it.
      const [older] = this.#snapshots.metas.length > 1 ? this.#snapshots.metas : [];
      const fallback = older?.index ?? 0;
      const limit = this.#index.first <= fallback + 1 ? Math.min(index, fallback) : index;
      const oldest = this.#pool.oldest;
      await this.#pool.removeUpTo(limit, this.#durableSegment);
      if (this.#pool.oldest !== oldest) this.#index.dropUpTo(limit);
      this.#pool.retry();
    } catch (error) {
      throw this.#fail(this.#directory, "compact", error);
    }
  }

  reserve(): "ok" | "low" {
    return this.#pool.low ? "low" : "ok";
  }

  sizeBytes(): number {
    return this.#pool.bytes + this.#snapshots.bytes;
  }

  async close(): Promise<void> {
    if (this.#state === "closed" || this.#state === "new") {
      this.#state = "closed";
      return;
    }
    await this.#snapshots.stop();
    if (this.#hint !== null && this.#failure === null) void this.#enqueue({ entries: [] }, null).catch(() => undefined);
    this.#state = "closed";
    await this.#running;
    await this.#compacting;
    await this.#pool.stop();
    this.#release?.();
  }

  #checkAlive(): void {
    if (this.#failure) throw this.#failure;
  }

  #check(): void {
    this.#checkAlive();
    if (this.#state !== "open") throw errStopped();
  }

  /** Ends the storage: nothing is written any more. @returns the first error, whatever comes after it */
  #fail(path: string, action: string, cause: unknown): QuorateError | InvariantError {
    if (this.#failure === null) {
      const ours = isQuorateError(cause) || cause instanceof InvariantError;
      this.#failure = ours ? cause : errStorageFailed(path, action, cause);
    }
    this.#pool.halt();
    for (const waiting of this.#queue.splice(0)) waiting.reject(this.#failure);
    return this.#failure;
  }
}

function lastHard(waiting: readonly Waiting[]): HardState | undefined {
  for (let n = waiting.length - 1; n >= 0; n--) if (waiting[n]!.batch.hard) return waiting[n]!.batch.hard;
  return undefined;
}

/** All but the commit index, which is a hint. */
function saysTheSame(a: HardState, b: HardState): boolean {
  return a.term === b.term && a.vote === b.vote && (a.amnesiac ?? false) === (b.amnesiac ?? false);
}
