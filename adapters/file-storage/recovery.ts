/**
 * Reads the log of a directory and decides, where it does not simply go on, whether a write was torn or acknowledged data rotted.
 *
 * Batches are written one at a time, each durable before the next: so damage before a whole later batch is damage of acknowledged
 * data, and only the last batch can be torn. The verdict, for the batch that is expected at some place:
 *
 *     header         body, footer   stamps            later batch   verdict
 *     good           good           –                 –             accept
 *     bad or absent  –              –                 no            end of the log: clear the rest
 *     good           bad            one is missing    no            torn: clear from here on
 *     good           bad            all right         no            rot: refuse
 *     bad            footer good    its own is right  no            rot of the header: refuse
 *     any damage     –              –                 yes           rot in acknowledged data: refuse
 *     good           –              the file ends within the batch  the file was cut: refuse
 *     any damage     of a batch that was there when the log was opened the last time: refuse
 *
 * "Later batch" means one that is whole and whose number may stand at that distance: a value that looks like a batch cannot pass for
 * one, because the stamps of the batch that carries it lie over it.
 */
import { InvariantError } from "../../core/invariant.ts";
import { QuorateError, errDataLoss } from "../../core/errors.ts";
import type { Entry, HardState, Index, SnapshotMeta } from "../../core/raft/types.ts";
import { FORMAT_VERSION, HEADER_BYTES, SECTOR_BYTES, hasStamp, readFooter, readHeader, unsealBatch } from "./batch-frame.ts";
import type { BatchHeader } from "./batch-frame.ts";
import type { FileSystem, OpenFile } from "./file-system.ts";
import { readRecords } from "./records.ts";
import type { RecordVisitor, SnapshotMark } from "./records.ts";
import { SEGMENT_HEADER_BYTES, readSegmentHeader, segmentName, segmentNumber, writeZeros } from "./segment.ts";
import type { Segment } from "./segment.ts";

/** How far a later batch is looked for by its number: beyond this, stamps repeat. */
const STAMP_PERIOD = 65_534;

export interface RecoveredLog {
  readonly hard: HardState;
  /** Snapshots the log names, in the order of their marks. */
  readonly marks: readonly SnapshotMeta[];
  /** Without a gap; the first has index `base`. Their bytes are their own, no part of what was read. */
  readonly entries: Entry[];
  readonly base: Index;
  readonly segments: readonly Segment[];
  /** The segment to append to, by its place in `segments`, and the byte to append at. */
  readonly current: number;
  readonly end: number;
  /** What the next batch is chained to. */
  readonly nextNumber: number;
  readonly prevEnd: number;
  readonly prevCrc: number;
  /** The last batch that was accepted; null when there is none. */
  readonly lastBatch: { readonly segment: number; readonly path: string; readonly at: number; readonly length: number } | null;
  readonly repairs: readonly string[];
}

/** A segment being read. Apart from `segment`, which the storage keeps for as long as it is open: the bytes must not stay with it. */
interface LoadedSegment {
  readonly segment: Segment;
  /** Its bytes up to the last that is not zero, or a little more. */
  readonly buffer: Buffer;
}

/** Where the next batch is expected, and what it must say. */
interface Expected {
  /** 0: nothing is known, because the segments before were dropped. */
  number: number;
  prevEnd: number;
  prevCrc: number;
}

/**
 * @param batchesMin how many batches are known to have been durable once: a log that ends before the last of them is damaged
 * @throws QuorateError `damaged` with file and offset; `newerFormat` when a later release wrote it
 */
export async function recoverLog(fileSystem: FileSystem, directory: string, batchesMin: number): Promise<RecoveredLog> {
  return new Recovery(fileSystem, directory, batchesMin).run();
}

class Recovery {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;
  readonly #batchesMin: number;
  readonly #replay = new Replay();
  readonly #repairs: string[] = [];
  readonly #segments: Segment[] = [];
  /** By place; a segment goes when the next one is walked, so that three are held at most: entries are copies. */
  readonly #loaded = new Map<number, Promise<LoadedSegment>>();
  #expected: Expected = { number: 0, prevEnd: 0, prevCrc: 0 };
  #lastBatch: RecoveredLog["lastBatch"] = null;

  constructor(fileSystem: FileSystem, directory: string, batchesMin: number) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
    this.#batchesMin = batchesMin;
  }

  async run(): Promise<RecoveredLog> {
    await this.#listSegments();
    if (this.#segments[0]!.number === 1) this.#expected.number = 1;
    let current = 0;
    let end = SEGMENT_HEADER_BYTES;
    for (;;) {
      end = this.#walk(await this.#load(current));
      const following = current + 1 < this.#segments.length ? await this.#load(current + 1) : undefined;
      if (following === undefined || !this.#follows(readHeader(following.buffer, SEGMENT_HEADER_BYTES))) break;
      this.#loaded.delete(current);
      current++;
    }
    await this.#judge(current, end);
    // Before anything is cleared: what is left of a damaged log stays as it was found.
    const { number } = this.#expected;
    if (number === 0) throw errDataLoss(this.#segments[0]!.path, SEGMENT_HEADER_BYTES, "the log begins with no batch");
    if (number <= this.#batchesMin) {
      throw errDataLoss(
        this.#segments[current]!.path,
        end,
        `batch ${number} is gone, of ${this.#batchesMin} that the log is known to have had`,
      );
    }
    await this.#clear(current, end);
    return {
      hard: this.#replay.hardState,
      marks: this.#replay.marks,
      entries: this.#replay.entries,
      base: this.#replay.base ?? 1,
      segments: this.#segments,
      current,
      end,
      nextNumber: this.#expected.number,
      prevEnd: this.#expected.prevEnd,
      prevCrc: this.#expected.prevCrc,
      lastBatch: this.#lastBatch,
      repairs: this.#repairs,
    };
  }

  async #listSegments(): Promise<void> {
    const numbers: number[] = [];
    for (const name of await this.#fileSystem.list(this.#directory)) {
      const number = segmentNumber(name);
      if (number !== undefined) numbers.push(number);
    }
    numbers.sort((a, b) => a - b);
    for (const number of numbers) {
      const path = `${this.#directory}/${segmentName(number)}`;
      const before = this.#segments.at(-1);
      if (before && before.number !== number - 1) throw errDataLoss(path, 0, `the segment before is missing`);
      this.#segments.push({ number, path, size: 0, maxIndex: 0 });
    }
    if (this.#segments.length === 0) throw errDataLoss(this.#directory, 0, "the log is missing");
  }

  /** The segment at `place`, read once; the one after it is read meanwhile. */
  #load(place: number): Promise<LoadedSegment> {
    for (const wanted of [place, place + 1]) {
      if (wanted >= this.#segments.length || this.#loaded.has(wanted)) continue;
      const reading = this.#read(wanted);
      reading.catch(() => undefined); // who asks for it gets the error
      this.#loaded.set(wanted, reading);
    }
    return this.#loaded.get(place)!;
  }

  /** A damaged header is a fault, unless nothing was ever written behind it. */
  async #read(place: number): Promise<LoadedSegment> {
    const segment = this.#segments[place]!;
    const file = await this.#fileSystem.open(segment.path, "read");
    try {
      segment.size = await file.size();
      const buffer = await readUsed(file, segment.size - (segment.size % SECTOR_BYTES));
      if (readSegmentHeader(buffer) !== segment.number && (place < this.#segments.length - 1 || place === 0)) {
        throw errDataLoss(segment.path, 0, "the header of a segment is damaged");
      }
      return { segment, buffer };
    } finally {
      await file.close();
    }
  }

  /** Accepts batches for as long as they are whole. @returns the byte behind the last one */
  #walk({ segment, buffer }: LoadedSegment): number {
    let at = SEGMENT_HEADER_BYTES;
    for (;;) {
      const header = readHeader(buffer, at);
      if (header === undefined || !this.#follows(header)) return at;
      const check = unsealBatch(buffer, at, header);
      if (!check.whole) return at;
      if (check.wrongStamps > 0) {
        this.#repairs.push(`${check.wrongStamps} sector stamps are damaged in ${segment.path} at byte ${at}; the batch is whole`);
      }
      this.#replay.maxIndex = segment.maxIndex;
      const start = at + HEADER_BYTES;
      try {
        readRecords(buffer, start, start + header.bodyLength, this.#replay);
      } catch (error) {
        if (!(error instanceof InvariantError)) throw error;
        throw errDataLoss(segment.path, at, error.message);
      }
      segment.maxIndex = this.#replay.maxIndex;
      this.#lastBatch = { segment: segment.number, path: segment.path, at, length: header.length };
      at += header.length;
      this.#expected = { number: header.number + 1, prevEnd: at, prevCrc: check.bodyCrc };
    }
  }

  #follows(header: BatchHeader | undefined): boolean {
    if (header === undefined) return false;
    if (header.version > FORMAT_VERSION) {
      throw new QuorateError(
        "failedPrecondition",
        "newerFormat",
        `the log has format ${header.version}; this release reads ${FORMAT_VERSION}`,
      );
    }
    const { number, prevEnd, prevCrc } = this.#expected;
    return number === 0 || (header.number === number && header.prevEnd === prevEnd && header.prevCrc === prevCrc);
  }

  /** The log stops at `end`: returns when that is its lawful end, or a torn write. */
  async #judge(current: number, end: number): Promise<void> {
    const { segment, buffer } = await this.#load(current);
    const { path } = segment;
    const { number } = this.#expected;
    const later = this.#findLater(buffer, end + SECTOR_BYTES, number > 0 ? end : null);
    if (later !== undefined) throw errDataLoss(path, end, `acknowledged data is damaged (batch ${number}; batch ${later} is whole)`);
    for (let place = current + 1; place < this.#segments.length; place++) {
      const beyond = await this.#load(place);
      const found = this.#findLater(beyond.buffer, SEGMENT_HEADER_BYTES, null);
      if (found !== undefined) {
        throw errDataLoss(path, end, `acknowledged data is damaged (batch ${number}; batch ${found} in ${beyond.segment.path} is whole)`);
      }
    }
    const header = readHeader(buffer, end);
    if (header !== undefined) {
      if (!this.#follows(header)) throw errDataLoss(path, end, `batch ${header.number} is not what follows batch ${number - 1}`);
      // Room is made, durably, before a batch is written into it.
      if (end + header.length > segment.size) throw errDataLoss(path, end, `the file ends within batch ${number}`);
      const { wrongStamps } = unsealBatch(buffer, end, header);
      if (wrongStamps === 0) throw errDataLoss(path, end, `acknowledged data is damaged (batch ${number})`);
      this.#repairs.push(
        `cut off a torn write (batch ${number}, ${wrongStamps} of ${header.length / SECTOR_BYTES} sectors missing) in ${path} at byte ${end}`,
      );
    } else if (number > 0 && hasStamp(buffer, end, number) && this.#hasFooter(buffer, end, number)) {
      throw errDataLoss(path, end, `the header of acknowledged data is damaged (batch ${number})`);
    }
  }

  /** A whole batch with a higher number that could stand where it does. @param from where the expected batch begins, if in this buffer */
  #findLater(buffer: Buffer, start: number, from: number | null): number | undefined {
    const { number } = this.#expected;
    for (let at = start; at + SECTOR_BYTES <= buffer.length; at += SECTOR_BYTES) {
      if (buffer[at + 2] !== 0x51 || buffer[at + 3] !== 0x42) continue;
      const header = readHeader(buffer, at);
      if (header === undefined || header.number <= number || !hasStamp(buffer, at, header.number)) continue;
      const distance = from === null ? STAMP_PERIOD : Math.min((at - from) / SECTOR_BYTES, STAMP_PERIOD);
      if (number > 0 && header.number - number > distance) continue;
      if (unsealBatch(buffer, at, header).whole) return header.number;
    }
    return undefined;
  }

  #hasFooter(buffer: Buffer, from: number, number: number): boolean {
    for (let end = from + SECTOR_BYTES; end <= buffer.length; end += SECTOR_BYTES) {
      const footer = readFooter(buffer, end);
      if (footer && footer.header.number === number && footer.header.length === end - from) return true;
    }
    return false;
  }

  /** Makes everything behind the end zero again, durably, so that nothing of a torn write can be taken for a part of a later one. */
  async #clear(current: number, end: number): Promise<void> {
    for (let place = this.#segments.length - 1; place >= current; place--) {
      const { segment, buffer } = await this.#load(place);
      const { path } = segment;
      if (readSegmentHeader(buffer) !== segment.number) {
        await this.#fileSystem.remove(path);
        await this.#fileSystem.syncDirectory(this.#directory);
        this.#segments.splice(place, 1);
        this.#repairs.push(`removed a segment that was never used and whose header is damaged: ${path}`);
        continue;
      }
      const from = place === current ? end : SEGMENT_HEADER_BYTES;
      const dirt = nonZero(buffer, from);
      const whole = segment.size - (segment.size % SECTOR_BYTES);
      const ragged = segment.size !== whole;
      if (dirt === undefined && !ragged) continue;
      const file = await this.#fileSystem.open(path, "write");
      try {
        if (ragged) await file.truncate(whole);
        if (dirt) await writeZeros(file, dirt.from, dirt.to);
        else await file.sync();
      } finally {
        await file.close();
      }
      segment.size = whole;
      this.#repairs.push(`cleared what lay behind the end of the log in ${path} at byte ${dirt?.from ?? whole}`);
    }
    this.#loaded.clear();
  }
}

const ZEROS = Buffer.alloc(1 << 20);

/**
 * The first `size` bytes of the file without the zeros at its end. Read piece by piece through one buffer: pages of the result are
 * touched only where there is data, and fresh pages are what costs time here.
 */
async function readUsed(file: OpenFile, size: number): Promise<Buffer> {
  const buffer = Buffer.alloc(size);
  const piece = Buffer.allocUnsafe(Math.min(ZEROS.length, size));
  let used = 0;
  for (let at = 0; at < size; at += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, size - at));
    if ((await file.read(part, at)) !== part.length) throw new Error("the file became shorter while it was read");
    if (part.compare(ZEROS, 0, part.length) === 0) continue;
    part.copy(buffer, at);
    used = at + part.length;
  }
  return buffer.subarray(0, used);
}

/** The sectors in [from, end of the buffer) that are not all zero, as one range. */
function nonZero(buffer: Buffer, from: number): { from: number; to: number } | undefined {
  let first = -1;
  let last = -1;
  for (let at = from; at < buffer.length; at += ZEROS.length) {
    const end = Math.min(at + ZEROS.length, buffer.length);
    if (buffer.compare(ZEROS, 0, end - at, at, end) === 0) continue;
    if (first < 0) first = at;
    last = end;
  }
  return first < 0 ? undefined : { from: first, to: last };
}

/** The state that the records add up to. */
class Replay implements RecordVisitor {
  hardState: HardState = { term: 0, vote: null, commit: 0 };
  marks: SnapshotMeta[] = [];
  entries: Entry[] = [];
  /** Index of the first of `entries`; null while none is known. */
  base: Index | null = null;
  /** Highest index met since the caller set it. */
  maxIndex: Index = 0;

  hard(hard: HardState): void {
    this.hardState = hard;
  }

  entry(entry: Entry): void {
    const { index } = entry;
    this.base ??= index;
    if (index > this.maxIndex) this.maxIndex = index;
    const next = this.base + this.entries.length;
    if (index !== next) {
      if (index > next) throw new InvariantError(`entries ${next} to ${index - 1} are missing`);
      if (index < this.base) this.base = index;
      this.entries.length = index - this.base;
    }
    // With bytes of its own: a view would keep the whole segment in memory for as long as the entry is kept.
    this.entries.push({ ...entry, data: Buffer.from(entry.data) });
  }

  mark(mark: SnapshotMark): void {
    const { meta, resets } = mark;
    if (!this.marks.some(({ id }) => id === meta.id)) this.marks.push(meta);
    if (!resets) return;
    this.entries = [];
    this.base = meta.index + 1;
  }
}
