/**
 * The retained part of the log, in memory: entries (offset, last], with the term of the entry at `offset` remembered.
 *
 * Below `offset` a follower gets a snapshot; there is no way back to the disk from here, so that the core stays synchronous. What is
 * durable is not known here: see ready.ts.
 * Invariants: entries are contiguous, terms do not fall, bytes is the sum of entryBytes.
 * Source: dissertation §3.5 (log matching), §5.3 (what a compacted log remembers).
 */
import { assert } from "../invariant.ts";
import type { Entry, Index, Term } from "./types.ts";

/** Fixed cost an entry is accounted with, beside its payload, in every limit in bytes. */
export const ENTRY_OVERHEAD = 32;

export function entryBytes(entry: Entry): number {
  return entry.data.length + ENTRY_OVERHEAD;
}

export class RaftLog {
  #offset: Index;
  #offsetTerm: Term;
  #entries: Entry[];
  #bytes = 0;

  /** @param entries ascending without a gap, the first at offset + 1; the array is taken over */
  constructor(offset: Index, offsetTerm: Term, entries: Entry[]) {
    this.#offset = offset;
    this.#offsetTerm = offsetTerm;
    this.#entries = entries;
    let term = offsetTerm;
    for (const [at, entry] of entries.entries()) {
      assert(entry.index === offset + 1 + at, () => `log has a gap: entry ${entry.index} at place ${offset + 1 + at}`);
      assert(entry.term >= term, () => `log goes back from term ${term} to ${entry.term} at ${entry.index}`);
      term = entry.term;
      this.#bytes += entryBytes(entry);
    }
  }

  get offset(): Index {
    return this.#offset;
  }

  get offsetTerm(): Term {
    return this.#offsetTerm;
  }

  get last(): Index {
    return this.#offset + this.#entries.length;
  }

  get lastTerm(): Term {
    const count = this.#entries.length;
    return count === 0 ? this.#offsetTerm : (this.#entries[count - 1] as Entry).term;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** undefined below the retained part and above the end. */
  term(index: Index): Term | undefined {
    if (index === this.#offset) return this.#offsetTerm;
    return this.#entries[index - this.#offset - 1]?.term;
  }

  entry(index: Index): Entry | undefined {
    return this.#entries[index - this.#offset - 1];
  }

  /** Does a log that ends in (index, term) have all that this one has? Election restriction, §3.6.1. */
  isUpToDate(index: Index, term: Term): boolean {
    return term > this.lastTerm || (term === this.lastTerm && index >= this.last);
  }

  append(entry: Entry): void {
    assert(entry.index === this.last + 1, () => `append of entry ${entry.index} behind ${this.last}`);
    assert(entry.term >= this.lastTerm, () => `append of term ${entry.term} behind term ${this.lastTerm}`);
    this.#entries.push(entry);
    this.#bytes += entryBytes(entry);
  }

  /** Removes everything at and above `index`. */
  truncate(index: Index): void {
    assert(index > this.#offset, () => `truncation at ${index} reaches below the retained log, which begins after ${this.#offset}`);
    while (this.last >= index) this.#bytes -= entryBytes(this.#entries.pop() as Entry);
  }

  /** Forgets everything up to and including `index`, which must be in the log. */
  trim(index: Index): void {
    if (index <= this.#offset) return;
    const term = this.term(index);
    assert(term !== undefined, () => `trim to ${index}, the log ends at ${this.last}`);
    const count = index - this.#offset;
    for (let at = 0; at < count; at++) this.#bytes -= entryBytes(this.#entries[at] as Entry);
    this.#entries = this.#entries.slice(count);
    this.#offset = index;
    this.#offsetTerm = term;
  }

  /**
   * Entries from `from` on, a fresh array.
   * @param to last one wanted
   * @param bytesMax soft limit; the first entry is included in any case, so that an entry above the limit can travel
   */
  slice(from: Index, to: Index, bytesMax: number): Entry[] {
    const first = from - this.#offset - 1;
    assert(first >= 0, () => `slice from ${from}, the log begins after ${this.#offset}`);
    const end = Math.min(to - this.#offset, this.#entries.length);
    let bytes = 0;
    let at = first;
    for (; at < end; at++) {
      bytes += entryBytes(this.#entries[at] as Entry);
      if (bytes > bytesMax && at > first) break;
    }
    return this.#entries.slice(first, at);
  }

  /**
   * The largest place at or below `index` whose term is at most `term`. Both sides of a rejected append use it to skip a whole term
   * a round instead of an entry a round.
   * @returns the place and its term; the term is 0 when it lies below the retained part
   */
  lastAtMost(index: Index, term: Term): { index: Index; term: Term } {
    for (let at = Math.min(index, this.last); at > this.#offset; at--) {
      const found = (this.entry(at) as Entry).term;
      if (found <= term) return { index: at, term: found };
    }
    const place = Math.min(index, this.#offset);
    if (place === this.#offset && this.#offsetTerm <= term) return { index: place, term: this.#offsetTerm };
    return { index: place, term: 0 };
  }

  /** Entries are shared with the copy: they never change. */
  clone(): RaftLog {
    const copy = new RaftLog(this.#offset, this.#offsetTerm, []);
    copy.#entries = this.#entries.slice();
    copy.#bytes = this.#bytes;
    return copy;
  }
}
