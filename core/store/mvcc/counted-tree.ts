/**
 * An order-statistic B+tree over byte strings: the index of the memory store.
 *
 * Entries sit in sorted leaves; an inner node knows for each child the smallest key that may be below it and how many *counted*
 * entries are (those of keys that are live now). So the number of counted keys in any range is two descents, and a run of keys that
 * are not counted (a queue's consumed head, before it is compacted away) is stepped over by rank instead of one by one.
 *
 * Leaves are linked both ways, so a scan is a descent and then steps. All leaves are at one depth. A leaf or inner node is merged with
 * a neighbour when both fit into three quarters of one, and split in halves when full; a key beyond the last one opens a new leaf
 * instead, so that keys arriving in order leave full leaves behind.
 *
 * Source: Bayer and McCreight 1972; Comer, "The Ubiquitous B-Tree", 1979; Cormen et al. on augmenting trees.
 */
import type { Bytes } from "../../bytes/bytes.ts";
import { assert } from "../../invariant.ts";

/** Entries of a leaf and children of an inner node, at most: binary search within, few levels, short moves on insertion. */
export const NODE_MAX = 64;
/** Below this a node looks for a neighbour to merge with. */
const NODE_MIN = 16;
const MERGED_MAX = (NODE_MAX * 3) / 4;
/** At or below this it takes from a neighbour that is too full to merge with. */
const NODE_STARVED = 4;
/** Entries of a leaf that is made in bulk: nearly full, with room for a few more. */
const BULK_FILL = 60;

class Leaf<E> {
  keys: Bytes[];
  entries: E[];
  counted: number;
  next: Leaf<E> | null = null;
  previous: Leaf<E> | null = null;

  constructor(keys: Bytes[], entries: E[], counted: number) {
    this.keys = keys;
    this.entries = entries;
    this.counted = counted;
  }
}

class Inner<E> {
  /** mins[i]: no key below children[i] is smaller; mins[0] is never looked at. */
  mins: Bytes[];
  children: (Leaf<E> | Inner<E>)[];
  /** counts[i]: counted entries below children[i]. */
  counts: number[];

  constructor(mins: Bytes[], children: (Leaf<E> | Inner<E>)[], counts: number[]) {
    this.mins = mins;
    this.children = children;
    this.counts = counts;
  }
}

type Node<E> = Leaf<E> | Inner<E>;

const sum = (counts: readonly number[]): number => {
  let total = 0;
  for (let at = 0; at < counts.length; at++) total += counts[at]!;
  return total;
};

/** First position in ascending `keys` whose key is >= `key`. */
function lowerBound(keys: readonly Bytes[], key: Bytes): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (keys[middle]! < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The child of an inner node in which `key` belongs. */
function childFor(mins: readonly Bytes[], key: Bytes): number {
  let low = 1;
  let high = mins.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (mins[middle]! <= key) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function insertAt<T>(list: T[], at: number, item: T): void {
  list.push(item);
  for (let to = list.length - 1; to > at; to--) list[to] = list[to - 1]!;
  list[at] = item;
}

/**
 * A place between entries. `step` gives the next one; a change of the tree ends its validity (seek again by key).
 * `visited` of the tree counts the entries looked at, for tests of effort.
 */
export class Cursor<E> {
  readonly #tree: CountedTree<E>;
  #leaf: Leaf<E> | null;
  #at: number;
  readonly #reverse: boolean;
  /** Of the entry that `step` gave last. */
  key = "" as Bytes;

  constructor(tree: CountedTree<E>, leaf: Leaf<E> | null, at: number, reverse: boolean) {
    this.#tree = tree;
    this.#leaf = leaf;
    this.#at = at;
    this.#reverse = reverse;
  }

  /**
   * The next entry, or undefined at the end.
   * @param countedOnly step over leaves without a counted entry; entries that are not counted may still be given
   */
  step(countedOnly: boolean): E | undefined {
    for (let leaf = this.#leaf; leaf !== null;) {
      if (this.#reverse ? this.#at > 0 : this.#at < leaf.keys.length) {
        if (countedOnly && leaf.counted === 0) {
          leaf = this.#leap(leaf);
          continue;
        }
        const at = this.#reverse ? --this.#at : this.#at++;
        this.#tree.visited++;
        this.key = leaf.keys[at]!;
        return leaf.entries[at]!;
      }
      leaf = this.#reverse ? leaf.previous : leaf.next;
      this.#enter(leaf);
    }
    return undefined;
  }

  #enter(leaf: Leaf<E> | null): void {
    this.#leaf = leaf;
    this.#at = leaf !== null && this.#reverse ? leaf.keys.length : 0;
  }

  /** From a leaf without a counted entry to the nearest one that has any: a step when it is the neighbour, else two descents. */
  #leap(leaf: Leaf<E>): Leaf<E> | null {
    const neighbour = this.#reverse ? leaf.previous : leaf.next;
    const rank = neighbour === null || neighbour.counted > 0 ? 0 : this.#tree.rank(leaf.keys[0]!);
    const to = neighbour === null || neighbour.counted > 0 ? neighbour : this.#tree.leafOfRank(this.#reverse ? rank - 1 : rank);
    this.#enter(to);
    return to;
  }
}

export class CountedTree<E> {
  readonly #isCounted: (entry: E) => boolean;
  #root: Node<E> = new Leaf<E>([], [], 0);
  /** Inner levels above the leaves. */
  #height = 0;
  #size = 0;
  #counted = 0;
  /** Entries looked at by cursors and counts since the start: for tests of effort. */
  visited = 0;

  // The way of the last `find`: inner nodes from the root, the child taken in each, the leaf, the place in it.
  readonly #path: Inner<E>[] = [];
  readonly #turns: number[] = [];
  #leaf: Leaf<E> = this.#root as Leaf<E>;
  #at = 0;
  #found = false;
  /** The key of the last `find`, while the place is good: asking again, as a write after a read does, costs nothing. */
  #sought: Bytes | null = null;

  constructor(isCounted: (entry: E) => boolean) {
    this.#isCounted = isCounted;
  }

  /** Entries, counted or not. */
  get size(): number {
    return this.#size;
  }

  get counted(): number {
    return this.#counted;
  }

  get(key: Bytes): E | undefined {
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) node = (node as Inner<E>).children[childFor((node as Inner<E>).mins, key)]!;
    const leaf = node as Leaf<E>;
    const at = lowerBound(leaf.keys, key);
    return leaf.keys[at] === key ? leaf.entries[at] : undefined;
  }

  /** As `get`, and remembers the place for `setFound` or `removeFound`, which must come before any other change. */
  find(key: Bytes): E | undefined {
    if (this.#sought === key) return this.#found ? this.#leaf.entries[this.#at] : undefined;
    let node = this.#root;
    for (let level = 0; level < this.#height; level++) {
      const inner = node as Inner<E>;
      const turn = childFor(inner.mins, key);
      this.#path[level] = inner;
      this.#turns[level] = turn;
      node = inner.children[turn]!;
    }
    this.#leaf = node as Leaf<E>;
    this.#at = lowerBound(this.#leaf.keys, key);
    this.#found = this.#leaf.keys[this.#at] === key;
    this.#sought = key;
    return this.#found ? this.#leaf.entries[this.#at] : undefined;
  }

  /** Sets the entry of the key that `find` was just called with. @param key the same */
  setFound(key: Bytes, entry: E): void {
    const leaf = this.#leaf;
    const weight = this.#isCounted(entry) ? 1 : 0;
    if (this.#found) {
      const change = weight - (this.#isCounted(leaf.entries[this.#at]!) ? 1 : 0);
      leaf.entries[this.#at] = entry;
      if (change !== 0) this.#reweigh(change);
      return;
    }
    insertAt(leaf.keys, this.#at, key);
    insertAt(leaf.entries, this.#at, entry);
    this.#found = true;
    this.#size++;
    if (weight !== 0) this.#reweigh(weight);
    if (leaf.keys.length > NODE_MAX) this.#splitLeaf(leaf);
  }

  /**
   * For entries that change in place: tells that the found one began (+1) or ceased (-1) to be counted.
   * `setFound` does this by itself for an entry that is replaced.
   */
  recountFound(change: 1 | -1): void {
    this.#reweigh(change);
  }

  #reweigh(change: number): void {
    this.#counted += change;
    this.#leaf.counted += change;
    for (let level = 0; level < this.#height; level++) this.#path[level]!.counts[this.#turns[level]!]! += change;
  }

  #countedIn(entries: readonly E[]): number {
    let total = 0;
    for (let at = 0; at < entries.length; at++) if (this.#isCounted(entries[at]!)) total++;
    return total;
  }

  #splitLeaf(leaf: Leaf<E>): void {
    this.#sought = null;
    const size = leaf.keys.length;
    const cut = leaf.next === null && this.#at === size - 1 ? size - 1 : size >>> 1;
    const entries = leaf.entries.slice(cut);
    const right = new Leaf(leaf.keys.slice(cut), entries, this.#countedIn(entries));
    // Fresh arrays on both sides: an array that was only shortened keeps the room of a full one.
    leaf.keys = leaf.keys.slice(0, cut);
    leaf.entries = leaf.entries.slice(0, cut);
    leaf.counted -= right.counted;
    right.next = leaf.next;
    right.previous = leaf;
    if (leaf.next !== null) leaf.next.previous = right;
    leaf.next = right;
    this.#grow(this.#height - 1, leaf.counted, right, right.keys[0]!, right.counted);
  }

  /** Hangs `right` behind the child taken at `level`; its left half has `leftCounted` counted entries from now on. */
  #grow(level: number, leftCounted: number, right: Node<E>, min: Bytes, rightCounted: number): void {
    if (level < 0) {
      this.#root = new Inner<E>(["" as Bytes, min], [this.#root, right], [leftCounted, rightCounted]);
      this.#height++;
      return;
    }
    const inner = this.#path[level]!;
    const turn = this.#turns[level]!;
    inner.counts[turn] = leftCounted;
    insertAt(inner.mins, turn + 1, min);
    insertAt(inner.children, turn + 1, right);
    insertAt(inner.counts, turn + 1, rightCounted);
    const size = inner.children.length;
    if (size <= NODE_MAX) return;
    const cut = turn + 1 === size - 1 ? size - 2 : size >>> 1;
    const half = new Inner<E>(inner.mins.slice(cut), inner.children.slice(cut), inner.counts.slice(cut));
    inner.mins = inner.mins.slice(0, cut);
    inner.children = inner.children.slice(0, cut);
    inner.counts = inner.counts.slice(0, cut);
    this.#grow(level - 1, sum(inner.counts), half, half.mins[0]!, sum(half.counts));
  }

  /** Removes the entry of the key that `find` was just called with; it must have been there. */
  removeFound(): void {
    const leaf = this.#leaf;
    assert(this.#found, () => "removal of a key that is not in the tree");
    if (this.#isCounted(leaf.entries[this.#at]!)) this.#reweigh(-1);
    leaf.keys.splice(this.#at, 1);
    leaf.entries.splice(this.#at, 1);
    this.#found = false;
    this.#sought = null;
    this.#size--;
    if (leaf.keys.length < NODE_MIN && this.#height > 0) this.#shrink(this.#height - 1);
  }

  /**
   * Puts the child taken at `level` together with a neighbour under the same parent when both fit into one, and goes on upwards. A
   * child that is nearly empty shares with its neighbour in any case, so that no inner node is left with a single child.
   */
  #shrink(level: number): void {
    const inner = this.#path[level]!;
    const turn = this.#turns[level]!;
    const size = (at: number): number => {
      const child = inner.children[at];
      return child === undefined ? Infinity : child instanceof Leaf ? child.keys.length : child.children.length;
    };
    const own = size(turn);
    if (size(turn + 1) + own <= MERGED_MAX) this.#merge(inner, turn);
    else if (size(turn - 1) + own <= MERGED_MAX) this.#merge(inner, turn - 1);
    else if (own <= NODE_STARVED) return this.#share(inner, size(turn + 1) === Infinity ? turn - 1 : turn);
    else return;
    if (level > 0) {
      if (inner.children.length < NODE_MIN) this.#shrink(level - 1);
    } else if (inner.children.length === 1) {
      this.#root = inner.children[0]!;
      this.#height--;
    }
  }

  /** Takes child `at + 1` into child `at`. */
  #merge(parent: Inner<E>, at: number): void {
    const left = parent.children[at]!;
    const right = parent.children[at + 1]!;
    if (left instanceof Leaf && right instanceof Leaf) {
      left.keys = left.keys.concat(right.keys);
      left.entries = left.entries.concat(right.entries);
      left.counted += right.counted;
      left.next = right.next;
      if (right.next !== null) right.next.previous = left;
    } else if (left instanceof Inner && right instanceof Inner) {
      // mins[0] of an inner node may be out of date; the parent's own is the bound that holds.
      left.mins = left.mins.concat(parent.mins[at + 1]!, right.mins.slice(1));
      left.children = left.children.concat(right.children);
      left.counts = left.counts.concat(right.counts);
    }
    parent.counts[at]! += parent.counts[at + 1]!;
    parent.mins.splice(at + 1, 1);
    parent.children.splice(at + 1, 1);
    parent.counts.splice(at + 1, 1);
  }

  /** Divides what children `at` and `at + 1` have evenly between the two. */
  #share(parent: Inner<E>, at: number): void {
    const left = parent.children[at]!;
    const right = parent.children[at + 1]!;
    if (left instanceof Leaf && right instanceof Leaf) {
      const keys = left.keys.concat(right.keys);
      const entries = left.entries.concat(right.entries);
      const cut = keys.length >>> 1;
      [left.keys, right.keys] = [keys.slice(0, cut), keys.slice(cut)];
      [left.entries, right.entries] = [entries.slice(0, cut), entries.slice(cut)];
      parent.counts[at] = left.counted = this.#countedIn(left.entries);
      parent.counts[at + 1] = right.counted = this.#countedIn(right.entries);
      parent.mins[at + 1] = right.keys[0]!;
    } else if (left instanceof Inner && right instanceof Inner) {
      const mins = left.mins.concat(parent.mins[at + 1]!, right.mins.slice(1));
      const children = left.children.concat(right.children);
      const counts = left.counts.concat(right.counts);
      const cut = mins.length >>> 1;
      [left.mins, right.mins] = [mins.slice(0, cut), mins.slice(cut)];
      [left.children, right.children] = [children.slice(0, cut), children.slice(cut)];
      [left.counts, right.counts] = [counts.slice(0, cut), counts.slice(cut)];
      parent.counts[at] = sum(left.counts);
      parent.counts[at + 1] = sum(right.counts);
      parent.mins[at + 1] = right.mins[0]!;
    }
  }

  /** Counted entries with a key < `key`. */
  rank(key: Bytes): number {
    let node = this.#root;
    let before = 0;
    for (let level = this.#height; level > 0; level--) {
      const inner = node as Inner<E>;
      const turn = childFor(inner.mins, key);
      for (let at = 0; at < turn; at++) before += inner.counts[at]!;
      node = inner.children[turn]!;
    }
    const leaf = node as Leaf<E>;
    const at = lowerBound(leaf.keys, key);
    if (leaf.counted === leaf.keys.length) return before + at;
    this.visited += at;
    for (let place = 0; place < at; place++) if (this.#isCounted(leaf.entries[place]!)) before++;
    return before;
  }

  /** The leaf of the counted entry that has `rank` counted ones before it; null when there is none. For cursors. */
  leafOfRank(rank: number): Leaf<E> | null {
    if (rank < 0 || rank >= this.#counted) return null;
    let node = this.#root;
    let left = rank;
    for (let level = this.#height; level > 0; level--) {
      const inner = node as Inner<E>;
      let turn = 0;
      while (left >= inner.counts[turn]!) left -= inner.counts[turn++]!;
      node = inner.children[turn]!;
    }
    return node as Leaf<E>;
  }

  /** Counted entries with from <= key < to; `to` null: no end. */
  countBetween(from: Bytes, to: Bytes | null): number {
    if (to !== null && to <= from) return 0;
    return (to === null ? this.#counted : this.rank(to)) - this.rank(from);
  }

  /** Before the first entry whose key is >= `key`, going up. */
  seek(key: Bytes): Cursor<E> {
    return this.#seek(key, false);
  }

  /** After the last entry whose key is < `key` (null: after the very last), going down. */
  seekBefore(key: Bytes | null): Cursor<E> {
    if (key !== null) return this.#seek(key, true);
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) node = (node as Inner<E>).children.at(-1)!;
    return new Cursor(this, node as Leaf<E>, (node as Leaf<E>).keys.length, true);
  }

  #seek(key: Bytes, reverse: boolean): Cursor<E> {
    let node = this.#root;
    for (let level = this.#height; level > 0; level--) node = (node as Inner<E>).children[childFor((node as Inner<E>).mins, key)]!;
    return new Cursor(this, node as Leaf<E>, lowerBound((node as Leaf<E>).keys, key), reverse);
  }

  /**
   * Makes the tree anew from keys in strictly ascending order and their entries. O(n), without a comparison. The arrays are only read.
   */
  load(keys: readonly Bytes[], entries: readonly E[]): void {
    const leaves: Leaf<E>[] = [];
    this.#size = keys.length;
    for (let at = 0; at < keys.length || leaves.length === 0; at += BULK_FILL) {
      const held = entries.slice(at, at + BULK_FILL);
      const leaf: Leaf<E> = new Leaf(keys.slice(at, at + BULK_FILL), held, this.#countedIn(held));
      const previous = leaves[leaves.length - 1] ?? null;
      leaf.previous = previous;
      if (previous !== null) previous.next = leaf;
      leaves.push(leaf);
    }
    let level: { node: Node<E>; min: Bytes; count: number }[] = leaves.map((leaf) => ({
      node: leaf,
      min: leaf.keys[0] ?? ("" as Bytes),
      count: leaf.counted,
    }));
    for (this.#height = 0; level.length > 1; this.#height++) {
      const above: typeof level = [];
      const parts = Math.ceil(level.length / BULK_FILL); // divided evenly, so that no inner node has a single child
      for (let part = 0; part < parts; part++) {
        const group = level.slice(Math.floor((part * level.length) / parts), Math.floor(((part + 1) * level.length) / parts));
        const counts = group.map((item) => item.count);
        const node = new Inner<E>(
          group.map((item) => item.min),
          group.map((item) => item.node),
          counts,
        );
        above.push({ node, min: group[0]!.min, count: sum(counts) });
      }
      level = above;
    }
    this.#root = level[0]!.node;
    this.#counted = level[0]!.count;
    this.#sought = null;
  }

  /** Lists each broken rule of the structure; for tests and `check`. O(n). */
  check(): string[] {
    const faults: string[] = [];
    const leaves: Leaf<E>[] = [];
    const walk = (node: Node<E>, depth: number, from: Bytes | null, to: Bytes | null): number => {
      if (node instanceof Leaf) {
        if (depth !== this.#height) faults.push(`a leaf at depth ${depth} in a tree of height ${this.#height}`);
        leaves.push(node);
        node.keys.forEach((key, at) => {
          if (at > 0 && node.keys[at - 1]! >= key) faults.push(`keys out of order in a leaf at ${JSON.stringify(key)}`);
          if ((from !== null && key < from) || (to !== null && key >= to)) faults.push(`key ${JSON.stringify(key)} is out of its leaf`);
        });
        const counted = this.#countedIn(node.entries);
        if (counted !== node.counted) faults.push(`a leaf counts ${node.counted} instead of ${counted}`);
        if (node.keys.length !== node.entries.length) faults.push("a leaf with unequal numbers of keys and entries");
        if (node.keys.length === 0 && this.#height > 0) faults.push("an empty leaf");
        if (node.keys.length > NODE_MAX) faults.push("a leaf that is too full");
        return counted;
      }
      if (node.children.length < 2 || node.children.length > NODE_MAX) faults.push(`an inner node of ${node.children.length} children`);
      let total = 0;
      node.children.forEach((child, at) => {
        const low = at === 0 ? from : node.mins[at]!;
        const below = walk(child, depth + 1, low, node.mins[at + 1] ?? to);
        if (below !== node.counts[at]) faults.push(`an inner node counts ${node.counts[at]} instead of ${below}`);
        total += below;
      });
      return total;
    };
    const total = walk(this.#root, 0, null, null);
    if (total !== this.#counted) faults.push(`the tree counts ${this.#counted} instead of ${total}`);
    const size = leaves.reduce((before, leaf) => before + leaf.keys.length, 0);
    if (size !== this.#size) faults.push(`the tree has ${size} entries and says ${this.#size}`);
    leaves.forEach((leaf, at) => {
      if (leaf.next !== (leaves[at + 1] ?? null) || leaf.previous !== (leaves[at - 1] ?? null)) faults.push("leaves linked wrongly");
    });
    return faults;
  }
}
