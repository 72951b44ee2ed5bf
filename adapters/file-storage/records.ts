/**
 * The records of a batch: hard state, runs of entries, snapshot marks.
 *
 * A run is what entries of one term have in common, written once; each of them adds four bytes. Layouts (little-endian):
 *
 *     hard   1 u8 | vote bytes u8, 255 for none | flags u16 (1: amnesiac) | term u64 | commit u64 | vote, ASCII
 *     run    2 u8 | 0 u8 | 0 u16 | count u32 | term u64 | index of the first u64 | count × { kind << 30 | bytes u32, data }
 *     mark   3 u8 | flags u8 (1: the log before it is void) | 0 u16 | bytes u32 | snapshot meta, JSON in UTF-8
 */
import { InvariantError, assert } from "../../core/invariant.ts";
import type { Entry, HardState, Index, SnapshotMeta, Term } from "../../core/raft/types.ts";
import { HEADER_BYTES, batchLength, readU64, writeU64 } from "./batch-frame.ts";

const HARD = 1;
const RUN = 2;
const MARK = 3;
const MARK_RESETS = 1;
const NO_VOTE = 255;
const HARD_AMNESIAC = 1;
const FIXED_BYTES: Record<number, number> = { [HARD]: 20, [RUN]: 24, [MARK]: 8 };
/** Numbers on the disk: never change one. */
const KINDS = ["data", "noop", "config"] as const;
const LENGTH_BITS = 30;
const LENGTH_MASK = 2 ** LENGTH_BITS - 1;

export interface SnapshotMark {
  readonly meta: SnapshotMeta;
  /** The snapshot replaced the log: entries before the mark are void. */
  readonly resets: boolean;
}

/** Bytes an entry takes, as a bound for deciding how many fit a batch. */
export function entryBytes(entry: Entry): number {
  return 4 + entry.data.length;
}

/** Gathers the records of one batch into a buffer that is used again for the next; `sealBatch` makes it a batch in place. */
export class RecordWriter {
  #buffer: Buffer;
  #at = HEADER_BYTES;
  /** Where the count of the open run is; 0 when none is open. */
  #run = 0;
  #runCount = 0;
  #runTerm: Term = 0;
  #runNext: Index = 0;

  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafeSlow(bytes);
  }

  /** Forgets the batch before. */
  begin(): void {
    this.#at = HEADER_BYTES;
    this.#run = 0;
  }

  hard(hard: HardState): void {
    this.#endRun();
    const vote = hard.vote === null ? "" : hard.vote;
    assert(vote.length < NO_VOTE, () => `vote of ${vote.length} bytes`);
    this.#room(20 + vote.length);
    const buffer = this.#buffer;
    buffer.writeUInt32LE(HARD | ((hard.vote === null ? NO_VOTE : vote.length) << 8), this.#at);
    buffer.writeUInt16LE(hard.amnesiac === true ? HARD_AMNESIAC : 0, this.#at + 2);
    writeU64(buffer, hard.term, this.#at + 4);
    writeU64(buffer, hard.commit, this.#at + 12);
    buffer.write(vote, this.#at + 20, "latin1");
    this.#at += 20 + vote.length;
  }

  entries(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const { data } = entry;
      this.#room(24 + 4 + data.length);
      if (this.#run === 0 || entry.term !== this.#runTerm || entry.index !== this.#runNext) this.#beginRun(entry);
      assert(data.length <= LENGTH_MASK, () => `entry of ${data.length} bytes`);
      this.#buffer.writeUInt32LE(KINDS.indexOf(entry.kind) * 2 ** LENGTH_BITS + data.length, this.#at);
      this.#buffer.set(data, this.#at + 4);
      this.#at += 4 + data.length;
      this.#runCount++;
      this.#runNext++;
    }
  }

  mark(mark: SnapshotMark): void {
    this.#endRun();
    const text = JSON.stringify(mark.meta);
    const bytes = Buffer.byteLength(text);
    this.#room(8 + bytes);
    this.#buffer.writeUInt32LE(MARK | ((mark.resets ? MARK_RESETS : 0) << 8), this.#at);
    this.#buffer.writeUInt32LE(bytes, this.#at + 4);
    this.#buffer.write(text, this.#at + 8, "utf8");
    this.#at += 8 + bytes;
  }

  /** @returns the buffer for `sealBatch`, to be written before the next `begin`, and the bytes of the records in it */
  end(): { buffer: Buffer; bodyLength: number } {
    this.#endRun();
    const bodyLength = this.#at - HEADER_BYTES;
    this.#grow(batchLength(bodyLength));
    return { buffer: this.#buffer, bodyLength };
  }

  #beginRun(entry: Entry): void {
    this.#endRun();
    const at = this.#at;
    this.#run = at;
    this.#runCount = 0;
    this.#runTerm = entry.term;
    this.#runNext = entry.index;
    this.#buffer.writeUInt32LE(RUN, at);
    writeU64(this.#buffer, entry.term, at + 8);
    writeU64(this.#buffer, entry.index, at + 16);
    this.#at = at + 24;
  }

  #endRun(): void {
    if (this.#run !== 0) this.#buffer.writeUInt32LE(this.#runCount, this.#run + 4);
    this.#run = 0;
  }

  #room(bytes: number): void {
    if (this.#at + bytes > this.#buffer.length) this.#grow(this.#at + bytes);
  }

  #grow(bytes: number): void {
    if (bytes <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(bytes, 2 * this.#buffer.length));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

export interface RecordVisitor {
  hard(hard: HardState): void;
  /** Entries come one by one, ascending within a run. `data` is a part of the buffer that was read. */
  entry(entry: Entry): void;
  mark(mark: SnapshotMark): void;
}

/**
 * Reads what `RecordWriter` wrote. The caller has checked the CRC.
 * @throws InvariantError when the records are no records: then they were written wrong, not damaged
 */
export function readRecords(buffer: Buffer, start: number, end: number, visitor: RecordVisitor): void {
  let at = start;
  const need = (bytes: number) => {
    if (at + bytes > end) throw new InvariantError(`record at byte ${at} passes the end of its batch`);
  };
  while (at < end) {
    const kind = buffer[at]!;
    need(FIXED_BYTES[kind] ?? 0);
    if (kind === RUN) {
      at = readRun(buffer, at, end, visitor);
    } else if (kind === HARD) {
      const voteBytes = buffer[at + 1]! === NO_VOTE ? 0 : buffer[at + 1]!;
      need(20 + voteBytes);
      const vote = buffer[at + 1]! === NO_VOTE ? null : buffer.toString("latin1", at + 20, at + 20 + voteBytes);
      const hard = { term: readU64(buffer, at + 4), vote, commit: readU64(buffer, at + 12) };
      visitor.hard((buffer.readUInt16LE(at + 2) & HARD_AMNESIAC) === 0 ? hard : { ...hard, amnesiac: true });
      at += 20 + voteBytes;
    } else if (kind === MARK) {
      const bytes = buffer.readUInt32LE(at + 4);
      need(8 + bytes);
      const meta = JSON.parse(buffer.toString("utf8", at + 8, at + 8 + bytes)) as SnapshotMeta; // ours: the CRC is right
      visitor.mark({ meta, resets: (buffer[at + 1]! & MARK_RESETS) !== 0 });
      at += 8 + bytes;
    } else {
      throw new InvariantError(`record of unknown kind ${kind} at byte ${at}`);
    }
  }
}

function readRun(buffer: Buffer, start: number, end: number, visitor: RecordVisitor): number {
  const count = buffer.readUInt32LE(start + 4);
  const term = readU64(buffer, start + 8);
  const first = readU64(buffer, start + 16);
  let at = start + 24;
  for (let n = 0; n < count; n++) {
    if (at + 4 > end) throw new InvariantError(`run at byte ${start} passes the end of its batch`);
    const word = buffer.readUInt32LE(at);
    const from = at + 4;
    at = from + (word & LENGTH_MASK);
    const kind = KINDS[word >>> LENGTH_BITS];
    if (at > end || kind === undefined) throw new InvariantError(`entry ${first + n} at byte ${from - 4} is no entry`);
    visitor.entry({ term, index: first + n, kind, data: buffer.subarray(from, at) });
  }
  return at;
}
