/**
 * What the running log remembers of its entries: which indexes there are, and under which term each was written. Terms change
 * rarely, so a list of their beginnings says it all.
 *
 * Invariants: first <= last + 1; `#terms` ascends in `first` and covers [first, last].
 */
import { assert } from "../../core/invariant.ts";
import type { Entry, Index, Term } from "../../core/raft/types.ts";

interface TermRun {
  readonly first: Index;
  readonly term: Term;
}

export class LogIndex {
  /** Lowest index from which the entries on disk go on without a gap. */
  #first: Index;
  #last: Index;
  #terms: TermRun[] = [];

  /** @param base index that the first entry will have */
  constructor(base: Index) {
    this.#first = base;
    this.#last = base - 1;
  }

  get first(): Index {
    return this.#first;
  }
  get last(): Index {
    return this.#last;
  }

  /** @throws InvariantError when they leave a gap, or are out of order */
  append(entries: readonly Entry[]): void {
    const head = entries[0];
    if (head === undefined) return;
    assert(head.index <= this.#last + 1, () => `append: ${head.index} leaves a gap after ${this.#last}`);
    if (head.index <= this.#last) this.#truncate(head.index);
    for (const entry of entries) {
      assert(entry.index === this.#last + 1, () => `append: ${entry.index} is out of order after ${this.#last}`);
      if (this.#terms.at(-1)?.term !== entry.term) this.#terms.push({ first: entry.index, term: entry.term });
      this.#last = entry.index;
    }
  }

  #truncate(from: Index): void {
    while (this.#terms.length > 0 && this.#terms.at(-1)!.first >= from) this.#terms.pop();
    this.#last = from - 1;
    if (from < this.#first) this.#first = from;
  }

  /** undefined when there is no such entry */
  termAt(index: Index): Term | undefined {
    if (index < this.#first || index > this.#last) return undefined;
    for (let n = this.#terms.length - 1; n >= 0; n--) if (this.#terms[n]!.first <= index) return this.#terms[n]!.term;
    return undefined;
  }

  /** A snapshot took the place of all entries; the next one is `base`. */
  reset(base: Index): void {
    this.#first = base;
    this.#last = base - 1;
    this.#terms = [];
  }

  /** Entries up to and including `index` are gone. */
  dropUpTo(index: Index): void {
    if (index < this.#first) return;
    const term = this.termAt(index + 1);
    this.#first = index + 1;
    if (this.#last < index) this.#last = index;
    const rest = this.#terms.filter((run) => run.first > index + 1);
    this.#terms = term === undefined ? rest : [{ first: index + 1, term }, ...rest];
  }
}
