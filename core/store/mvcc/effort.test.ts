/** How much work reads do, counted in index and log entries looked at: no clock, so the same on every machine. */
import { beforeAll, describe, expect, test } from "vitest";
import { rangeOf } from "../../../test/contract/version-store-port.ts";
import type { Bytes } from "../../bytes/bytes.ts";
import { MemoryVersionStore } from "./memory-version-store.ts";

const KEYS = 100_000;
const PAGE = 100;
const ALL = { key: "\0" as Bytes, end: "\0" as Bytes };
const name = (at: number) => `key/${String(at).padStart(8, "0")}` as Bytes;

function filled(count: number): MemoryVersionStore {
  const store = new MemoryVersionStore();
  for (let at = 0; at < count; at++) {
    store.put(name((at * 7919) % count), "v" as Bytes, "0");
    if (at % 10 === 9) store.commit(null, at);
  }
  store.commit(null, count);
  return store;
}

describe(`paging through ${KEYS} keys`, () => {
  let store: MemoryVersionStore;
  beforeAll(() => {
    store = filled(KEYS);
  });

  /** @returns entries looked at */
  function page(revision: number, between: (at: number) => void = () => {}): number {
    const before = store.visited;
    let seen = 0;
    for (let key = "\0" as Bytes; ;) {
      const { kvs, more, count } = store.range(rangeOf(key, "\0", { revision, limit: PAGE }));
      expect(count).toBe(KEYS - seen);
      seen += kvs.length;
      if (!more) break;
      key = `${kvs.at(-1)!.key}\0` as Bytes;
      between(seen);
    }
    expect(seen).toBe(KEYS);
    return store.visited - before;
  }

  test("at the newest revision looks at each key about once, counts included", () => {
    expect(page(0)).toBeLessThan(KEYS * 1.1);
  });

  test("at a pinned revision, while others write and delete, looks at a few entries a key", () => {
    const pinned = store.revision;
    const visits = page(pinned, (at) => {
      for (let n = 0; n < 20; n++) store.put(name((at * 31 + n) % KEYS), "w" as Bytes, "0");
      store.commit(null, at);
      store.delete(name((at + 1) % KEYS));
      store.put(`new/${at}` as Bytes, "n" as Bytes, "0");
      store.commit(null, at);
    });
    expect(visits).toBeLessThan(KEYS * 3);
  });

  test("one count, at any range, looks at a leaf or two", () => {
    const before = store.visited;
    for (let at = 0; at < 1000; at++) store.count({ key: name(at * 7), end: name(KEYS - at * 3) });
    expect(store.visited - before).toBeLessThan(1000 * 130);
  });

  test("a limit of 1 does not look at what it leaves out", () => {
    const before = store.visited;
    for (let at = 0; at < 1000; at++) store.range(rangeOf(name(at * 50), "\0", { limit: 1 }));
    expect(store.visited - before).toBeLessThan(1000 * 70);
  });

  test("the last key, sorted descending, is found from the end", () => {
    const before = store.visited;
    expect(store.range(rangeOf("key/", "key0", { limit: 1, sortOrder: "descend" })).kvs[0]?.key).toBe(name(KEYS - 1));
    expect(store.visited - before).toBeLessThan(200);
  });
});

test("taking from the head of a queue does not walk over what was taken before", () => {
  const store = filled(20_000);
  const before = store.visited;
  for (let at = 0; at < 20_000; at++) {
    const [head] = store.range(rangeOf("key/", "key0", { limit: 1 })).kvs;
    expect(head?.key).toBe(name(at));
    store.delete(head!.key);
    store.commit(null, at);
  }
  expect(store.visited - before).toBeLessThan(20_000 * 140);
});

test("a count at an old revision is the present one, corrected by what was written since", () => {
  const store = filled(20_000);
  const old = store.revision;
  for (let at = 0; at < 30; at++) {
    store.delete(name(at));
    store.commit(null, 0);
  }
  const before = store.visited;
  expect([store.count(ALL, old), store.count({ key: name(10), end: name(40) }, old)]).toEqual([20_000, 30]);
  expect(store.visited - before).toBeLessThan(300);
});

test("compaction costs what was written since, not what is there", () => {
  const store = filled(20_000);
  store.compact(store.revision);
  store.compactStep(Infinity);
  for (let at = 0; at < 10; at++) {
    store.put(name(5), String(at) as Bytes, "0");
    store.commit(null, 0);
  }
  store.compact(store.revision);
  expect([store.compactStep(9), store.compactStep(2), store.sizeBytes() - store.sizeInUseBytes()]).toEqual([false, true, 0]);
  expect([...store.scan(ALL)].length).toBe(20_000);
});
