/**
 * Range requests with etcd's semantics (etcd `server/etcdserver/apply.go`, Range), for any store that can count and scan.
 *
 * The order of things: filter, sort, limit; `count` knows none of them. One oddity is etcd's and kept: a sort target other than the
 * key without an order sorts ascending, but *after* the limit was taken in key order (plus the one key that tells `more`), unless a
 * filter is given.
 */
import { type Bytes, EMPTY } from "../../bytes/bytes.ts";
import type { KeyValue, RangeRequest, RangeResult, SortTarget } from "../command.ts";
import { makeVersion } from "./version.ts";

export interface RangeSource {
  count(): number;
  /** The first `max` live keys in order; a fresh array. */
  first(max: number): KeyValue[];
  scan(reverse: boolean): Iterable<KeyValue>;
}

type Order = (a: KeyValue, b: KeyValue) => number;

const byText = (a: Bytes, b: Bytes): number => (a < b ? -1 : a > b ? 1 : 0);

const ORDERS: Record<SortTarget, Order> = {
  key: (a, b) => byText(a.key, b.key),
  version: (a, b) => a.version - b.version,
  create: (a, b) => a.createRevision - b.createRevision,
  mod: (a, b) => a.modRevision - b.modRevision,
  value: (a, b) => byText(a.value, b.value),
};

const isFiltered = (request: RangeRequest): boolean =>
  request.minModRevision !== 0 || request.maxModRevision !== 0 || request.minCreateRevision !== 0 || request.maxCreateRevision !== 0;

function passes(kv: KeyValue, request: RangeRequest): boolean {
  return (
    (request.maxModRevision === 0 || kv.modRevision <= request.maxModRevision) &&
    (request.minModRevision === 0 || kv.modRevision >= request.minModRevision) &&
    (request.maxCreateRevision === 0 || kv.createRevision <= request.maxCreateRevision) &&
    (request.minCreateRevision === 0 || kv.createRevision >= request.minCreateRevision)
  );
}

const withoutValue = (kv: KeyValue): KeyValue =>
  kv.value === EMPTY ? kv : makeVersion(kv.key, EMPTY, kv.createRevision, kv.modRevision, kv.version, kv.lease, kv.contentType);

/** The answer for a range of one key. */
export function answerSingle(request: RangeRequest, kv: KeyValue | undefined): RangeResult {
  if (kv === undefined) return { kvs: [], more: false, count: 0 };
  if (request.countOnly || !passes(kv, request)) return { kvs: [], more: false, count: 1 };
  return { kvs: [request.keysOnly ? withoutValue(kv) : kv], more: false, count: 1 };
}

/** Those that pass the filters, in key order up or down, at most `max`. */
function filtered(request: RangeRequest, source: RangeSource, reverse: boolean, max: number): KeyValue[] {
  const found: KeyValue[] = [];
  for (const kv of source.scan(reverse)) if (passes(kv, request) && found.push(kv) >= max) break;
  return found;
}

export function answerRange(request: RangeRequest, source: RangeSource): RangeResult {
  if (request.countOnly) return { kvs: [], more: false, count: source.count() };
  const limit = request.limit > 0 ? request.limit : Infinity;
  const hasFilter = isFiltered(request);
  const descending = request.sortOrder === "descend";
  const byKey = request.sortTarget === "key";
  let kvs: KeyValue[];
  if (byKey) {
    kvs = hasFilter || descending ? filtered(request, source, descending, limit + 1) : source.first(limit + 1);
  } else {
    const limitFirst = request.sortOrder === "none" && !hasFilter;
    kvs = limitFirst ? source.first(limit + 1) : filtered(request, source, false, Infinity);
    const order = ORDERS[request.sortTarget];
    kvs.sort(descending ? (a, b) => order(b, a) : order);
  }
  const more = kvs.length > limit;
  if (more) kvs.length = limit;
  // Without limit and filter what was found is all there is.
  const count = limit === Infinity && !hasFilter ? kvs.length : source.count();
  return { kvs: request.keysOnly ? kvs.map(withoutValue) : kvs, more, count };
}
