/**
 * Which of many watched ranges hold a key. Nearly all watches are of one key or of a prefix, so these two are looked up in maps: one
 * look for the key, and one for each length of prefix that anybody watches. What is neither (a half-open range, "from this key on")
 * lies in an interval tree. No question looks at ranges that do not hold the key.
 */
import { type Bytes, EMPTY, ZERO, prefixEnd, successor } from "../../bytes/bytes.ts";
import type { KeyRange } from "../command.ts";
import { IntervalTree } from "./interval-tree.ts";

/** At most one item a range. Ranges that hold the same keys in another spelling may count as the same. */
export class RangeIndex<T extends object> {
  readonly #keys = new Map<Bytes, T>();
  readonly #prefixes = new Map<Bytes, T>();
  /** How many prefixes there are of each length, and the lengths, ascending. */
  readonly #prefixesOfLength = new Map<number, number>();
  #lengths: number[] = [];
  readonly #others = new IntervalTree<T>();

  /** Number of ranges. */
  get size(): number {
    return this.#keys.size + this.#prefixes.size + this.#others.size;
  }

  get(range: KeyRange): T | undefined {
    if (isSingle(range)) return this.#keys.get(range.key);
    if (isPrefix(range)) return this.#prefixes.get(range.key);
    return this.#others.get(range.key, endOf(range));
  }

  /** Adds an item, or takes the place of the one that its range has. */
  set(range: KeyRange, item: T): void {
    if (isSingle(range)) this.#keys.set(range.key, item);
    else if (isPrefix(range)) {
      if (!this.#prefixes.has(range.key)) this.#countPrefix(range.key.length, 1);
      this.#prefixes.set(range.key, item);
    } else {
      this.#others.delete(range.key, endOf(range));
      this.#others.insert(range.key, endOf(range), item);
    }
  }

  delete(range: KeyRange): void {
    if (isSingle(range)) this.#keys.delete(range.key);
    else if (isPrefix(range)) {
      if (this.#prefixes.delete(range.key)) this.#countPrefix(range.key.length, -1);
    } else this.#others.delete(range.key, endOf(range));
  }

  #countPrefix(length: number, change: 1 | -1): void {
    const before = this.#prefixesOfLength.get(length) ?? 0;
    const after = before + change;
    if (after === 0) this.#prefixesOfLength.delete(length);
    else this.#prefixesOfLength.set(length, after);
    if (before === 0 || after === 0) this.#lengths = [...this.#prefixesOfLength.keys()].sort((a, b) => a - b);
  }

  /** Appends the items of all ranges that hold `key`. */
  collect(key: Bytes, into: T[]): void {
    const single = this.#keys.get(key);
    if (single !== undefined) into.push(single);
    for (const length of this.#lengths) {
      if (length > key.length) break;
      const prefix = this.#prefixes.get(length === key.length ? key : (key.slice(0, length) as Bytes));
      if (prefix !== undefined) into.push(prefix);
    }
    if (this.#others.size > 0) this.#others.collect(key, into);
  }

  *items(): Iterable<T> {
    yield* this.#keys.values();
    yield* this.#prefixes.values();
    yield* this.#others.items();
  }
}

const isSingle = (range: KeyRange): boolean =>
  range.end === EMPTY || (range.end !== ZERO && range.end.length === range.key.length + 1 && range.end === successor(range.key));

const isPrefix = (range: KeyRange): boolean =>
  range.end !== ZERO && range.end.length <= range.key.length && range.end === prefixEnd(range.key);

const endOf = (range: KeyRange): Bytes | null => (range.end === ZERO ? null : range.end);
