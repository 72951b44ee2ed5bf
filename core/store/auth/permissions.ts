/**
 * Who may read and write which keys: ranges granted to roles, roles to users. Ranges that touch count as one, so that whoever may read
 * [a, b) and [b, c) may read [a, c) (etcd, auth/range_perm_cache.go).
 */
import { type Bytes, EMPTY, ZERO } from "../../bytes/bytes.ts";

export type PermissionType = "read" | "write" | "readwrite";

/** In etcd's form of ranges: `end` empty is the one key, one zero byte is everything from `key` on. */
export interface Permission {
  readonly type: PermissionType;
  readonly key: Bytes;
  readonly end: Bytes;
}

/** Half open; `to` null: without end. */
interface Interval {
  readonly from: Bytes;
  readonly to: Bytes | null;
}

/** Ranges of keys, merged. */
export class RangeSet {
  readonly #intervals: Interval[] = [];

  constructor(permissions: Iterable<Permission>) {
    const sorted = [...permissions]
      .map(({ key, end }) => intervalOf(key, end))
      .toSorted((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0));
    for (const next of sorted) {
      const last = this.#intervals.at(-1);
      if (last === undefined || (last.to !== null && last.to < next.from)) this.#intervals.push(next);
      else this.#intervals[this.#intervals.length - 1] = { from: last.from, to: later(last.to, next.to) };
    }
  }

  /** Whether all keys of a range are in it, and both of its ends where it ends before it begins, as in etcd. */
  covers(key: Bytes, end: Bytes): boolean {
    const { from, to } = intervalOf(key, end);
    return this.#intervals.some((one) => {
      if (from < one.from || (to !== null && to < one.from)) return false;
      return one.to === null || (from < one.to && to !== null && to <= one.to);
    });
  }
}

function intervalOf(key: Bytes, end: Bytes): Interval {
  if (end === EMPTY) return { from: key, to: (key + "\0") as Bytes };
  return { from: key, to: end === ZERO ? null : end };
}

function later(a: Bytes | null, b: Bytes | null): Bytes | null {
  return a === null || b === null ? null : a > b ? a : b;
}
