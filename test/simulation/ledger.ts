/**
 * The growing list of what was ever committed anywhere, and the hash of a state machine that applied it. One truth for all members:
 * an index that is in it never changes.
 */
import type { Config, Entry, Index, Term } from "../../core/raft/types.ts";

export function mix(hash: number, value: number): number {
  let mixed = Math.imul(hash ^ value, 0x9e3779b1);
  mixed ^= mixed >>> 15;
  return Math.imul(mixed, 0x85ebca77) >>> 0;
}

/** State of the little state machine after one more entry. */
export function applyHash(hash: number, entry: Entry): number {
  let next = mix(mix(hash, entry.term), entry.index);
  for (const byte of entry.data) next = mix(next, byte);
  return next;
}

export class Ledger {
  readonly #entries: Entry[] = [];
  readonly #hashes: number[] = [0];
  readonly #inTerm: Term[] = [];
  /** Newest committed configuration. */
  config: Config | null = null;

  get top(): Index {
    return this.#entries.length;
  }

  entry(index: Index): Entry | undefined {
    return this.#entries[index - 1];
  }

  term(index: Index): Term {
    return this.#entries[index - 1]?.term ?? 0;
  }

  hash(index: Index): number {
    return this.#hashes[index] as number;
  }

  /** The term in which the entry became committed, which may be later than its own. */
  committedIn(index: Index): Term {
    return this.#inTerm[index - 1] as Term;
  }

  add(entry: Entry, committedIn: Term): void {
    this.#inTerm.push(committedIn);
    this.#entries.push(entry);
    this.#hashes.push(applyHash(this.#hashes[this.#hashes.length - 1] as number, entry));
  }
}
