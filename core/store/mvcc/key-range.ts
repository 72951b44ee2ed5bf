/** Ranges of keys in etcd's form, turned into bounds that a tree can seek. */
import { type Bytes, EMPTY, ZERO, successor } from "../../bytes/bytes.ts";
import type { KeyRange } from "../command.ts";

export interface KeyBounds {
  /** Inclusive. */
  readonly from: Bytes;
  /** Exclusive; null: no end. */
  readonly to: Bytes | null;
}

export function boundsOf(range: KeyRange): KeyBounds {
  if (range.end === EMPTY) return { from: range.key, to: successor(range.key) };
  return { from: range.key, to: range.end === ZERO ? null : range.end };
}

export function isInRange(key: Bytes, range: KeyRange): boolean {
  if (range.end === EMPTY) return key === range.key;
  return key >= range.key && (range.end === ZERO || key < range.end);
}
