/**
 * What each revision did, by revision: the history that watches, the v2 view and compaction read. An array in segments, so that
 * dropping the past moves nothing. A revision that wrote one key, once, without a note is the KeyValue itself, shared with the index.
 *
 * Holds the revisions [first, end) without a gap.
 */
import type { KeyValue } from "../command.ts";
import type { V2Note } from "../v2-tree/v2-command.ts";
import { assert } from "../../invariant.ts";

/** Revisions in a segment. */
const SEGMENT = 256;

export class LoggedRevision {
  readonly kvs: readonly KeyValue[];
  readonly note: V2Note | null;
  /** A key was deleted and put, or put and deleted, so that its `version` alone does not tell whether a key came or went. */
  readonly twice: boolean;

  constructor(kvs: readonly KeyValue[], note: V2Note | null, twice: boolean) {
    this.kvs = kvs;
    this.note = note;
    this.twice = twice;
  }
}

export type LogEntry = KeyValue | LoggedRevision;

interface Segment {
  readonly entries: LogEntry[];
  readonly times: Float64Array;
  /** Bytes that become unreachable when the store is compacted at that revision and was so at the one before. */
  readonly freed: Float64Array;
  freedTotal: number;
}

export class RevisionLog {
  #segments: Segment[] = [];
  /** The revision that the first place of the first segment stands for. */
  #base: number;
  #first: number;
  #end: number;

  /** @param first the revision that the first `append` is for */
  constructor(first: number) {
    this.#base = this.#first = this.#end = first;
  }

  get first(): number {
    return this.#first;
  }

  get end(): number {
    return this.#end;
  }

  append(entry: LogEntry, time: number, freedBytes: number): void {
    const place = (this.#end - this.#base) % SEGMENT;
    if (place === 0) {
      this.#segments.push({ entries: [], times: new Float64Array(SEGMENT), freed: new Float64Array(SEGMENT), freedTotal: 0 });
    }
    const segment = this.#segments[this.#segments.length - 1]!;
    segment.entries.push(entry);
    segment.times[place] = time;
    segment.freed[place] = freedBytes;
    segment.freedTotal += freedBytes;
    this.#end++;
  }

  #segment(revision: number): Segment {
    assert(revision >= this.#first && revision < this.#end, () => `revision ${revision} is not in the log [${this.#first}, ${this.#end})`);
    return this.#segments[Math.floor((revision - this.#base) / SEGMENT)]!;
  }

  entry(revision: number): LogEntry {
    return this.#segment(revision).entries[(revision - this.#base) % SEGMENT]!;
  }

  time(revision: number): number {
    return this.#segment(revision).times[(revision - this.#base) % SEGMENT]!;
  }

  /** Sum of the freed bytes of [from, to]. */
  freedBetween(from: number, to: number): number {
    let total = 0;
    for (let revision = from; revision <= to;) {
      const segment = this.#segment(revision);
      const place = (revision - this.#base) % SEGMENT;
      if (place === 0 && revision + SEGMENT - 1 <= to) {
        total += segment.freedTotal;
        revision += SEGMENT;
      } else {
        total += segment.freed[place]!;
        revision++;
      }
    }
    return total;
  }

  /** Forgets the revisions below `revision`; their memory goes segment by segment. */
  dropBefore(revision: number): void {
    this.#first = Math.max(this.#first, Math.min(revision, this.#end));
    const whole = Math.floor((this.#first - this.#base) / SEGMENT);
    if (whole > 0) {
      this.#segments = this.#segments.slice(whole);
      this.#base += whole * SEGMENT;
    }
  }
}

export const kvsOf = (entry: LogEntry): readonly KeyValue[] => (entry instanceof LoggedRevision ? entry.kvs : [entry]);
export const noteOf = (entry: LogEntry): V2Note | null => (entry instanceof LoggedRevision ? entry.note : null);
