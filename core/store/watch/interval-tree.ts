/**
 * Ranges of keys, asked for those that hold a given key: a search tree by start whose nodes know the greatest end below them
 * (Cormen et al., "Introduction to Algorithms", interval trees), kept in balance as a treap (Seidel and Aragon 1996).
 *
 * A question costs O(log n + found · log n), never a look at all; so do insertion and removal.
 *
 * Invariants: in order by (from, to); a parent's priority is not below its children's; maxTo is the greatest `to` of the subtree.
 */
import type { Bytes } from "../../bytes/bytes.ts";

/** An end; null is behind every key. */
type End = Bytes | null;

interface Node<T> {
  readonly from: Bytes;
  readonly to: End;
  readonly item: T;
  readonly priority: number;
  left: Node<T> | null;
  right: Node<T> | null;
  maxTo: End;
}

const greater = (a: End, b: End): End => (a === null || b === null ? null : a > b ? a : b);

function isBefore(from: Bytes, to: End, node: Node<unknown>): boolean {
  if (from !== node.from) return from < node.from;
  return to !== null && (node.to === null || to < node.to);
}

const isAt = (from: Bytes, to: End, node: Node<unknown>): boolean => from === node.from && to === node.to;

/** At most one item a range. */
export class IntervalTree<T> {
  #root: Node<T> | null = null;
  #size = 0;
  /** Priorities only have to look random to whoever chooses ranges; the same sequence in each tree is good enough for balance. */
  #seed = 0x9e37_79b9;

  get size(): number {
    return this.#size;
  }

  get(from: Bytes, to: End): T | undefined {
    let node = this.#root;
    while (node !== null && !isAt(from, to, node)) node = isBefore(from, to, node) ? node.left : node.right;
    return node?.item;
  }

  /** The range must not be there. */
  insert(from: Bytes, to: End, item: T): void {
    this.#seed = (Math.imul(this.#seed, 1_664_525) + 1_013_904_223) | 0; // Numerical Recipes' generator
    const node: Node<T> = { from, to, item, priority: this.#seed ^ (this.#seed >>> 15), left: null, right: null, maxTo: to };
    this.#root = insert(this.#root, node);
    this.#size++;
  }

  /** Does nothing when the range is not there. */
  delete(from: Bytes, to: End): void {
    if (this.get(from, to) === undefined) return;
    this.#root = remove(this.#root, from, to);
    this.#size--;
  }

  /** Appends the items of all ranges that hold `key`. */
  collect(key: Bytes, into: T[]): void {
    collect(this.#root, key, into);
  }

  *items(): Iterable<T> {
    yield* items(this.#root);
  }
}

function update<T>(node: Node<T>): Node<T> {
  let max = node.to;
  if (node.left !== null) max = greater(max, node.left.maxTo);
  if (node.right !== null) max = greater(max, node.right.maxTo);
  node.maxTo = max;
  return node;
}

function insert<T>(root: Node<T> | null, node: Node<T>): Node<T> {
  if (root === null) return node;
  if (node.priority > root.priority) {
    [node.left, node.right] = split(root, node.from, node.to);
    return update(node);
  }
  if (isBefore(node.from, node.to, root)) root.left = insert(root.left, node);
  else root.right = insert(root.right, node);
  return update(root);
}

/** What sorts before the range, and the rest. */
function split<T>(root: Node<T> | null, from: Bytes, to: End): [Node<T> | null, Node<T> | null] {
  if (root === null) return [null, null];
  if (isBefore(from, to, root)) {
    const [low, high] = split(root.left, from, to);
    root.left = high;
    return [low, update(root)];
  }
  const [low, high] = split(root.right, from, to);
  root.right = low;
  return [update(root), high];
}

function remove<T>(root: Node<T> | null, from: Bytes, to: End): Node<T> | null {
  if (root === null) return null;
  if (isAt(from, to, root)) return join(root.left, root.right);
  if (isBefore(from, to, root)) root.left = remove(root.left, from, to);
  else root.right = remove(root.right, from, to);
  return update(root);
}

/** All of `low` sorts before all of `high`. */
function join<T>(low: Node<T> | null, high: Node<T> | null): Node<T> | null {
  if (low === null) return high;
  if (high === null) return low;
  if (low.priority > high.priority) {
    low.right = join(low.right, high);
    return update(low);
  }
  high.left = join(low, high.left);
  return update(high);
}

function collect<T>(root: Node<T> | null, key: Bytes, into: T[]): void {
  for (let node = root; node !== null && (node.maxTo === null || node.maxTo > key); node = node.right) {
    collect(node.left, key, into);
    if (node.from > key) return;
    if (node.to === null || node.to > key) into.push(node.item);
  }
}

function* items<T>(node: Node<T> | null): Iterable<T> {
  if (node === null) return;
  yield* items(node.left);
  yield node.item;
  yield* items(node.right);
}
