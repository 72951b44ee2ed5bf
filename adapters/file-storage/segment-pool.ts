/**
 * The segments of a running log: those in use, the one that is appended to, and the next one, which is made ahead of need.
 *
 * Making the next segment is where a full disk is met. That is no failure: nothing was promised yet. The pool then says `low`, tries
 * again from time to time, and the log goes on in the room that the present segment still has. Only if that ends, too, the storage
 * fails. Every other error of the device is final at once.
 */
import { must } from "../../core/invariant.ts";
import type { Index } from "../../core/raft/types.ts";
import { errorCode } from "./file-system.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";
import { SEGMENT_HEADER_BYTES, SPARE_NAME, createSegment, writeZeros } from "./segment.ts";
import type { Segment } from "./segment.ts";

export type Schedule = (ms: number, act: () => void) => () => void;

export interface SegmentPoolOptions {
  readonly fileSystem: FileSystem;
  readonly directory: string;
  /** Bytes of a segment, a multiple of 512. */
  readonly segmentBytes: number;
  /** Between two attempts to make a segment on a full disk. */
  readonly retryMs: number;
  /** Calls back once, later, without keeping the process alive for it. @returns ends it */
  readonly schedule: Schedule;
  /** The device failed while nobody waited for it. */
  readonly onFailure: (path: string, action: string, cause: unknown) => void;
}

/** The disk, or the user's share of it, is full. */
export function isFull(error: unknown): error is Error {
  const code = errorCode(error);
  return code === "ENOSPC" || code === "EDQUOT";
}

export class SegmentPool {
  readonly #options: SegmentPoolOptions;
  /** In use, ascending; the last one is appended to. */
  #segments: Segment[] = [];
  #file: OpenFile | null = null;
  #spare: Segment | null = null;
  #making: Promise<void> | null = null;
  #low = false;
  /** Why the last attempt to make a segment failed. */
  #full: Error | null = null;
  #endRetry: () => void = () => {};
  #stopped = false;

  constructor(options: SegmentPoolOptions) {
    this.#options = options;
  }

  /**
   * Takes over what recovery found.
   * @param place of the segment to append to; what comes behind it was never used
   */
  async adopt(segments: readonly Segment[], place: number): Promise<void> {
    this.#segments = segments.slice(0, place + 1);
    this.#spare = segments[place + 1] ?? null;
    this.#file = await this.#options.fileSystem.open(this.current.path, "log");
  }

  get current(): Segment {
    return must(this.#segments.at(-1), () => "no segment is open");
  }
  get file(): OpenFile {
    return must(this.#file, () => "no segment is open");
  }
  /** Number of the oldest segment. */
  get oldest(): number {
    return must(this.#segments[0], () => "no segment is open").number;
  }
  get low(): boolean {
    return this.#low;
  }
  get bytes(): number {
    return this.#segments.reduce((sum, { size }) => sum + size, this.#spare?.size ?? 0);
  }

  /** Sees to it that the next segment is there, or on its way. */
  prepare(): void {
    if (this.#spare !== null || this.#making !== null || this.#stopped) return;
    this.#making = this.#make(this.current.number + 1).finally(() => (this.#making = null));
  }

  /** Tries again at once: room may have been made. */
  retry(): void {
    if (this.#low) this.prepare();
  }

  /**
   * Goes on in the next segment, which has room for a batch of `bytes`.
   * @throws the host's error: ENOSPC when the reserve is gone, too
   */
  async advance(bytes: number): Promise<void> {
    this.prepare();
    await this.#making;
    if (this.#spare === null) throw this.#full ?? new Error("no segment could be made");
    const next = this.#spare;
    this.#spare = null;
    await this.#makeRoom(next, bytes);
    const before = this.file;
    this.#file = await this.#options.fileSystem.open(next.path, "log");
    this.#segments.push(next);
    await before.close();
    this.prepare();
  }

  /**
   * Makes room for a batch of `bytes` in the present segment, which is empty: the batch that opened it was torn.
   * @throws the host's error
   */
  enlarge(bytes: number): Promise<void> {
    return this.#makeRoom(this.current, bytes);
  }

  /** Removes the oldest segments as long as nothing in them is above `index`; those from `keep` on stay. */
  async removeUpTo(index: Index, keep: number): Promise<void> {
    const { fileSystem, directory } = this.#options;
    while (!this.#stopped && this.#segments.length > 1 && this.#segments[0]!.number < keep && this.#segments[0]!.maxIndex <= index) {
      // One at a time, oldest first, each durable: a crash must not leave a hole.
      await fileSystem.remove(this.#segments[0]!.path);
      await fileSystem.syncDirectory(directory);
      this.#segments.shift();
    }
  }

  /** Nothing new is begun any more. */
  halt(): void {
    this.#stopped = true;
    this.#endRetry();
  }

  /** Nothing is written any more. Resolves when what was under way has ended. */
  async stop(): Promise<void> {
    this.halt();
    await this.#making;
    const file = this.#file;
    this.#file = null;
    await file?.close();
  }

  async #make(number: number): Promise<void> {
    const { fileSystem, directory, segmentBytes, onFailure } = this.#options;
    const temporary = `${directory}/${SPARE_NAME}`;
    try {
      this.#spare = await createSegment(fileSystem, directory, number, segmentBytes, () => {
        if (this.#stopped) throw new Error("the storage was stopped");
      });
      this.#low = false;
      return;
    } catch (error) {
      if (this.#stopped) return;
      if (!isFull(error)) return onFailure(temporary, "prepare", error);
      this.#full = error;
    }
    this.#low = true;
    try {
      await fileSystem.remove(temporary);
    } catch (error) {
      if (errorCode(error) !== "ENOENT") return onFailure(temporary, "remove", error);
    }
    this.#endRetry();
    this.#endRetry = this.#options.schedule(this.#options.retryMs, () => this.prepare());
  }

  /** A batch larger than a segment gets a larger one. */
  async #makeRoom(segment: Segment, bytes: number): Promise<void> {
    const size = SEGMENT_HEADER_BYTES + bytes;
    if (size <= segment.size) return;
    const file = await this.#options.fileSystem.open(segment.path, "write");
    try {
      await writeZeros(file, segment.size, size);
    } finally {
      await file.close();
    }
    segment.size = size;
  }
}
