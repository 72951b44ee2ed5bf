/**
 * The snapshots of one member: the two newest that the log names, and at most one that is being written.
 *
 * A file counts only once the log names it; recovery removes whatever else lies in the directory. A full disk costs the snapshot that
 * is being written and nothing else; any other error of the device while writing is final for the whole storage.
 */
import { InvariantError, assert } from "../../core/invariant.ts";
import { QuorateError, errNoSpace, errSnapshotOutdated, errStorageFailed, isQuorateError } from "../../core/errors.ts";
import type { SnapshotMeta } from "../../core/raft/types.ts";
import type { SnapshotWriter } from "../../core/replica/log-storage-port.ts";
import { errorCode } from "./file-system.ts";
import type { FileSystem } from "./file-system.ts";
import { isFull } from "./segment-pool.ts";
import { SnapshotFileWriter, readSnapshotFile, snapshotName } from "./snapshot-file.ts";

/** The newest, and one to fall back to. */
export const SNAPSHOTS_KEPT = 2;
export const SNAPSHOT_SUFFIX = ".snap";
export const TEMPORARY_SUFFIX = ".tmp";

export interface SnapshotStoreHost {
  /** Throws when the storage has failed or is closed. */
  check(): void;
  /** Marks the snapshot in the log; durable when it resolves. */
  mark(meta: SnapshotMeta): Promise<void>;
  /** The device failed: stops the storage. @returns the error to throw */
  fail(path: string, action: string, cause: unknown): Error;
}

interface KeptSnapshot {
  readonly meta: SnapshotMeta;
  readonly bytes: number;
}

export class SnapshotStore {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #host: SnapshotStoreHost;
  /** Ascending by index. */
  #kept: KeptSnapshot[] = [];
  #writing: { abort(): Promise<void> } | null = null;

  constructor(fileSystem: FileSystem, directory: string, host: SnapshotStoreHost) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#host = host;
  }

  /** Metas of the kept snapshots, ascending by index. */
  get metas(): readonly SnapshotMeta[] {
    return this.#kept.map(({ meta }) => meta);
  }
  get newest(): SnapshotMeta | null {
    return this.#kept.at(-1)?.meta ?? null;
  }
  get bytes(): number {
    return this.#kept.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /**
   * Finds the newest whole snapshot of those that the log names, and the one before it.
   * @param marks in the order of the log
   * @returns what was passed over, and the fault of the newest if it has one
   */
  async recover(marks: readonly SnapshotMeta[]): Promise<{ repairs: string[]; fault: QuorateError | null }> {
    const repairs: string[] = [];
    let fault: QuorateError | null = null;
    for (const meta of marks.toSorted((a, b) => b.index - a.index)) {
      if (this.#kept.length === SNAPSHOTS_KEPT) break;
      const found = this.#kept.length === 0 ? await this.#check(meta) : await this.#sizeOf(meta);
      if (typeof found === "number") {
        this.#kept.unshift({ meta, bytes: found });
      } else if (this.#kept.length === 0 && (fault === null || found.details["missing"] !== true)) {
        fault ??= found;
        repairs.push(`passed over a snapshot: ${found.message}`);
      }
    }
    return { repairs, fault };
  }

  /** Removes files that count for nothing: unfinished, unnamed, outdated or damaged ones. */
  async tidy(): Promise<void> {
    await this.#removeAllBut(new Set(this.#kept.map(({ meta }) => snapshotName(meta))));
  }

  async #check(meta: SnapshotMeta): Promise<number | QuorateError> {
    try {
      for await (const chunk of this.#chunks(meta)) void chunk;
      return (await this.#sizeOf(meta)) as number;
    } catch (error) {
      if (isQuorateError(error) && error.reason === "damaged") return error;
      throw error;
    }
  }

  async #sizeOf(meta: SnapshotMeta): Promise<number | QuorateError> {
    const path = this.#path(meta);
    try {
      const file = await this.#fileSystem.open(path, "read");
      try {
        return await file.size();
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errorCode(error) === "ENOENT") return errMissing(path);
      throw error;
    }
  }

  async #removeAllBut(names: ReadonlySet<string>): Promise<void> {
    let removed = false;
    for (const name of await this.#fileSystem.list(this.#directory)) {
      const ours = name.endsWith(SNAPSHOT_SUFFIX) || name.endsWith(TEMPORARY_SUFFIX);
      if (!ours || names.has(name)) continue;
      await this.#fileSystem.remove(`${this.#directory}/${name}`);
      removed = true;
    }
    if (removed) await this.#fileSystem.syncDirectory(this.#directory);
  }

  async create(meta: SnapshotMeta): Promise<SnapshotWriter> {
    assert(this.#writing === null, () => "createSnapshot: one at a time");
    const newest = this.newest?.index ?? 0;
    if (meta.index <= newest) throw errSnapshotOutdated(meta.index, newest);
    const writing = new SnapshotInProgress(this.#fileSystem, this.#directory, this.#host, meta, (done) => {
      this.#writing = null;
      if (done) this.#kept.push(done);
    });
    this.#writing = writing;
    await writing.begin();
    return writing;
  }

  async *read(id: string): AsyncIterable<Uint8Array> {
    this.#host.check();
    const found = this.#kept.find(({ meta }) => meta.id === id);
    if (!found) throw new QuorateError("notFound", "notFound", `no snapshot "${id}"`, { id });
    yield* this.#chunks(found.meta);
  }

  /** Removes snapshots beyond the two newest. */
  async prune(): Promise<void> {
    while (this.#kept.length > SNAPSHOTS_KEPT) {
      await this.#fileSystem.remove(this.#path(this.#kept[0]!.meta));
      await this.#fileSystem.syncDirectory(this.#directory);
      this.#kept.shift();
    }
  }

  /** Drops the snapshot that is being written. */
  async stop(): Promise<void> {
    await this.#writing?.abort();
  }

  async *#chunks(meta: SnapshotMeta): AsyncGenerator<Buffer, void, undefined> {
    const path = this.#path(meta);
    try {
      yield* readSnapshotFile(this.#fileSystem, path, meta);
    } catch (error) {
      if (errorCode(error) === "ENOENT") throw errMissing(path);
      if (isQuorateError(error) || errorCode(error) === undefined) throw error;
      throw errStorageFailed(path, "read", error);
    }
  }

  #path(meta: SnapshotMeta): string {
    return `${this.#directory}/${snapshotName(meta)}`;
  }
}

function errMissing(path: string): QuorateError {
  return new QuorateError("dataLoss", "damaged", `a snapshot is missing: ${path}`, { file: path, offset: 0, missing: true });
}

/** One snapshot on its way: temporary file, sync, rename, sync of the directory, mark in the log. */
class SnapshotInProgress implements SnapshotWriter {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #host: SnapshotStoreHost;
  readonly #meta: SnapshotMeta;
  readonly #onEnd: (done: KeptSnapshot | null) => void;
  readonly #temporary: string;
  #file: SnapshotFileWriter | null = null;
  #ended = false;
  /** The call under way; never rejects. An abort waits for it. */
  #busy: Promise<unknown> = Promise.resolve();

  constructor(
    fileSystem: FileSystem,
    directory: string,
    host: SnapshotStoreHost,
    meta: SnapshotMeta,
    onEnd: (done: KeptSnapshot | null) => void,
  ) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#host = host;
    this.#meta = meta;
    this.#onEnd = onEnd;
    this.#temporary = `${directory}/${snapshotName(meta)}${TEMPORARY_SUFFIX}`;
  }

  begin(): Promise<void> {
    return this.#step("create", async () => {
      this.#file = await SnapshotFileWriter.create(this.#fileSystem, this.#temporary, this.#meta);
    });
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#step("write", () => this.#open().write(chunk));
  }

  async commit(): Promise<SnapshotMeta> {
    const { size, fileBytes } = await this.#step("sync", () => this.#open().finish());
    this.#file = null;
    this.#ended = true;
    const meta = { ...this.#meta, size };
    const path = `${this.#directory}/${snapshotName(meta)}`;
    try {
      await this.#fileSystem.rename(this.#temporary, path);
      await this.#fileSystem.syncDirectory(this.#directory);
    } catch (error) {
      this.#onEnd(null);
      throw this.#host.fail(path, "name", error);
    }
    try {
      await this.#host.mark(meta);
    } catch (error) {
      this.#onEnd(null);
      throw error;
    }
    this.#onEnd({ meta, bytes: fileBytes });
    return meta;
  }

  async abort(): Promise<void> {
    await this.#busy;
    if (this.#ended) return;
    await this.#discard();
  }

  #open(): SnapshotFileWriter {
    if (this.#ended || this.#file === null) throw new QuorateError("failedPrecondition", "stopped", "the snapshot was dropped");
    return this.#file;
  }

  async #discard(): Promise<void> {
    this.#ended = true;
    const file = this.#file;
    this.#file = null;
    this.#onEnd(null);
    try {
      await file?.close();
      await this.#fileSystem.remove(this.#temporary);
    } catch (error) {
      // The next opening removes what is left; the snapshot was never named.
      if (errorCode(error) === undefined) throw error;
    }
  }

  async #step<T>(action: string, work: () => Promise<T>): Promise<T> {
    this.#host.check();
    const running = work();
    this.#busy = running.catch(() => undefined);
    try {
      return await running;
    } catch (error) {
      if (isQuorateError(error) || error instanceof InvariantError) throw error;
      if (isFull(error)) {
        await this.#discard();
        throw errNoSpace({ file: this.#temporary });
      }
      throw this.#host.fail(this.#temporary, action, error);
    }
  }
}
