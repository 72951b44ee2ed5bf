/** What every version store does, whatever it stands on. An implementation's own test file calls `versionStoreContract`. */
import { describe, expect, test } from "vitest";
import type { Bytes } from "../../core/bytes/bytes.ts";
import type { KeyRange, KeyValue, RangeRequest } from "../../core/store/command.ts";
import type { V2Note } from "../../core/store/v2-tree/v2-command.ts";
import type { VersionStore } from "../../core/store/version-store-port.ts";

const b = (text: string) => text as Bytes;
const ALL: KeyRange = { key: b("\0"), end: b("\0") };
const NOTE: V2Note = {
  action: "set",
  path: b("/a"),
  silent: false,
  node: { path: b("/a"), value: b("1"), createdIndex: 2, modifiedIndex: 2, expiresAt: null },
  prev: null,
};

/** A request for [key, end) with everything else at its default. */
export function rangeOf(key: string, end = "", more: Partial<RangeRequest> = {}): RangeRequest {
  return {
    key: b(key),
    end: b(end),
    revision: 0,
    limit: 0,
    sortTarget: "key",
    sortOrder: "none",
    keysOnly: false,
    countOnly: false,
    minModRevision: 0,
    maxModRevision: 0,
    minCreateRevision: 0,
    maxCreateRevision: 0,
    ...more,
  };
}

const keysOf = (kvs: Iterable<KeyValue>): string => [...kvs].map((kv) => kv.key).join(" ");
const reasonOf = (act: () => unknown): string => {
  try {
    act();
  } catch (error) {
    return (error as { reason: string }).reason;
  }
  return "none";
};

/** One revision of several writes: "a=1 b=2 !c" puts a and b and deletes c. @returns the revision */
function write(store: VersionStore, text: string, note: V2Note | null = null, time = 0): number {
  for (const word of text.split(" ")) {
    if (word.startsWith("!")) store.delete(b(word.slice(1)));
    else store.put(b(word.split("=")[0]!), b(word.split("=")[1] ?? ""), "0");
  }
  store.commit(note, time);
  return store.revision;
}

/** @param setup gives a fresh, empty store */
export function versionStoreContract(name: string, setup: () => VersionStore): void {
  describe(`version store contract: ${name}`, () => {
    writes(setup);
    reads(setup);
    requests(setup);
    history(setup);
    compaction(setup);
    totals(setup);
  });
}

function writes(setup: () => VersionStore): void {
  test("an empty store is at revision 1, never compacted", () => {
    const store = setup();
    expect([store.revision, store.compactedRevision, store.openRevision, store.keyCount]).toEqual([1, -1, 2, 0]);
    expect(store.check()).toEqual([]);
  });

  test("put() gives versions, create and mod revisions, and the lease", () => {
    const store = setup();
    expect(store.put(b("a"), b("1"), "0")).toEqual({ key: "a", value: "1", createRevision: 2, modRevision: 2, version: 1, lease: "0" });
    store.commit(null, 0);
    expect(store.put(b("a"), b("2"), "7")).toEqual({ key: "a", value: "2", createRevision: 2, modRevision: 3, version: 2, lease: "7" });
    store.commit(null, 0);
    expect(store.get(b("a"))).toEqual({ key: "a", value: "2", createRevision: 2, modRevision: 3, version: 2, lease: "7" });
    expect(store.check()).toEqual([]);
  });

  test("put() keeps the content type of each version, and only where there is one", () => {
    const store = setup();
    store.put(b("a"), b("1"), "0", b("text/plain"));
    store.commit(null, 0);
    const [hash, bytes] = [store.hash(), store.sizeBytes()];
    store.put(b("a"), b("2"), "0");
    store.commit(null, 0);
    expect(store.get(b("a"), 2)).toEqual({
      key: "a",
      value: "1",
      createRevision: 2,
      modRevision: 2,
      version: 1,
      lease: "0",
      contentType: "text/plain",
    });
    expect(store.get(b("a"))).not.toHaveProperty("contentType");
    expect(store.revisions(2, 1e9).map(({ kvs }) => kvs[0]?.contentType)).toEqual(["text/plain", undefined]);
    expect(store.range(rangeOf("a", "b", { keysOnly: true, revision: 2 })).kvs).toMatchObject([{ contentType: "text/plain" }]);
    expect(store.check()).toEqual([]);
    const other = setup();
    other.put(b("a"), b("1"), "0", b("text/html"));
    other.commit(null, 0);
    expect(other.hash()).not.toBe(hash);
    expect(other.sizeBytes()).toBe(bytes - 1);
  });

  test("a key that was deleted begins anew", () => {
    const store = setup();
    for (const text of ["a=1", "a=2", "!a", "a=3"]) write(store, text);
    expect(store.get(b("a"))).toMatchObject({ createRevision: 5, modRevision: 5, version: 1 });
  });

  test("pending writes are seen by the newest state, not at a revision, and count as one revision", () => {
    const store = setup();
    write(store, "a=1 b=1");
    store.put(b("a"), b("2"), "0");
    store.delete(b("b"));
    store.put(b("c"), b("3"), "0");
    expect([store.hasPending, store.revision, store.openRevision, store.keyCount]).toEqual([true, 2, 3, 2]);
    expect([store.get(b("a"))?.value, store.get(b("b")), store.get(b("c"))?.modRevision]).toEqual(["2", undefined, 3]);
    expect(keysOf(store.scan(ALL))).toBe("a c");
    expect([keysOf(store.scan(ALL, { revision: 2 })), store.count(ALL, 2), store.get(b("a"), 2)?.value]).toEqual(["a b", 2, "1"]);
    const record = store.commit(null, 55);
    expect(record).toMatchObject({ revision: 3, note: null, time: 55 });
    expect(record?.kvs.map((kv) => [kv.key, kv.version])).toEqual([["a", 2], ["b", 0], ["c", 1]]); // prettier-ignore
    expect([store.hasPending, store.revision]).toEqual([false, 3]);
  });

  test("commit() of nothing is null and keeps the revision", () => {
    const store = setup();
    expect(store.delete(b("a"))).toBeUndefined();
    expect(store.commit(NOTE, 1)).toBeNull();
    expect(store.revision).toBe(1);
  });

  test("delete() gives the live version, once", () => {
    const store = setup();
    write(store, "a=1");
    expect(store.delete(b("a"))?.value).toBe("1");
    expect(store.delete(b("a"))).toBeUndefined();
    const record = store.commit(null, 0);
    expect(record?.kvs).toEqual([{ key: "a", value: "", createRevision: 0, modRevision: 3, version: 0, lease: "0" }]);
  });

  test("a key written twice in a revision keeps the last version", () => {
    const store = setup();
    write(store, "a=1 a=2 b=1");
    expect(store.get(b("a"))).toMatchObject({ value: "2", version: 1, modRevision: 2 });
    expect(store.revisions(2, 1e6)[0]?.kvs.map((kv) => kv.key)).toEqual(["a", "b"]);
    expect(store.check()).toEqual([]);
  });

  test("put then delete, and delete then put, in one revision count right at every revision", () => {
    const store = setup();
    write(store, "a=1 k=1");
    write(store, "n=1 !n");
    write(store, "!a a=2");
    write(store, "!k k=2 !k");
    expect(store.get(b("a"))).toMatchObject({ value: "2", version: 1, createRevision: 4, modRevision: 4 });
    expect([2, 3, 4, 5].map((revision) => store.count(ALL, revision))).toEqual([2, 2, 2, 1]);
    expect([2, 3, 4, 5].map((revision) => keysOf(store.scan(ALL, { revision })))).toEqual(["a k", "a k", "a k", "a"]);
    expect(store.check()).toEqual([]);
  });

  test("keys and values of all 256 bytes keep their order and content", () => {
    const store = setup();
    const bytes = Array.from({ length: 256 }, (_, code) => String.fromCharCode(code));
    for (const byte of bytes.toReversed()) store.put(b(byte), b(byte + bytes.join("")), "0");
    store.commit(null, 0);
    expect([...store.scan(ALL)].map((kv) => kv.key)).toEqual(bytes);
    expect(store.get(b("\xff"))?.value).toBe(`\xff${bytes.join("")}`);
  });
}

function reads(setup: () => VersionStore): void {
  test("scan() keeps to its range, both ways, at any revision", () => {
    const store = setup();
    write(store, "a=1 b=1 c=1 d=1");
    write(store, "!b e=1");
    const scan = (key: string, end: string, reverse = false, revision?: number) =>
      keysOf(store.scan({ key: b(key), end: b(end) }, revision === undefined ? { reverse } : { reverse, revision }));
    expect([scan("a", "d"), scan("b", "\0"), scan("c", ""), scan("d", "b"), scan("x", "\0")]).toEqual(["a c", "c d e", "c", "", ""]);
    expect([scan("a", "d", true), scan("b", "\0", true), scan("\0", "\0", true)]).toEqual(["c a", "e d c", "e d c a"]);
    expect([scan("a", "\0", false, 2), scan("a", "d", true, 2), scan("e", "", false, 2)]).toEqual(["a b c d", "c b a", ""]);
  });

  test("scan() is lazy", () => {
    const store = setup();
    write(store, "a=1 b=1 c=1");
    for (const kv of store.scan(ALL)) {
      expect(kv.key).toBe("a");
      break;
    }
  });

  test("reads at a future or compacted revision are refused", () => {
    const store = setup();
    for (const text of ["a=1", "a=2", "a=3"]) write(store, text);
    store.compact(3);
    for (const [revision, reason] of [
      [5, "futureRevision"],
      [2, "compacted"],
      [3, "none"],
    ] as const) {
      // prettier-ignore
      expect(reasonOf(() => store.get(b("a"), revision))).toBe(reason);
      expect(reasonOf(() => store.count(ALL, revision))).toBe(reason);
      expect(reasonOf(() => [...store.scan(ALL, { revision })])).toBe(reason);
      expect(reasonOf(() => store.range(rangeOf("a", "", { revision })))).toBe(reason);
    }
  });

  test("count() counts live keys of any range at any revision", () => {
    const store = setup();
    for (let at = 0; at < 300; at++) write(store, `k${String(at).padStart(3, "0")}=1`);
    for (let at = 0; at < 300; at += 3) write(store, `!k${String(at).padStart(3, "0")}`);
    expect([store.keyCount, store.count(ALL), store.count(ALL, 301), store.count(ALL, 151)]).toEqual([200, 200, 300, 150]);
    const range = { key: b("k100"), end: b("k200") };
    expect([store.count(range), store.count(range, 301), store.count(range, 120), store.count(range, 51)]).toEqual([67, 100, 19, 0]);
    expect([store.count({ key: b("k2"), end: b("k1") }), store.count({ key: b("k003"), end: b("") })]).toEqual([0, 0]);
  });
}

function requests(setup: () => VersionStore): void {
  /** a, b, c, d of revisions 2 to 5; then b and a again. */
  const filled = () => {
    const store = setup();
    for (const text of ["a=3", "b=1", "c=2", "d=0", "b=9", "a=5"]) write(store, text);
    return store;
  };
  const ask = (store: VersionStore, more: Partial<RangeRequest>) => {
    const { kvs, more: rest, count } = store.range(rangeOf("a", "z", more));
    return `${keysOf(kvs)}${rest ? " …" : ""} / ${count}`;
  };

  test("range() of one key", () => {
    const store = filled();
    const one = (more: Partial<RangeRequest>) => store.range(rangeOf("a", "", more));
    expect(one({})).toEqual({ kvs: [{ key: "a", value: "5", createRevision: 2, modRevision: 7, version: 2, lease: "0" }], more: false, count: 1 }); // prettier-ignore
    expect(one({ revision: 3 }).kvs[0]?.value).toBe("3");
    expect(one({ keysOnly: true }).kvs[0]).toMatchObject({ value: "", version: 2 });
    expect(one({ countOnly: true })).toEqual({ kvs: [], more: false, count: 1 });
    expect(one({ maxModRevision: 3 })).toEqual({ kvs: [], more: false, count: 1 });
    expect(one({ limit: 1 }).more).toBe(false);
    expect(store.range(rangeOf("nothing"))).toEqual({ kvs: [], more: false, count: 0 });
  });

  test("range() counts everything and stops at the limit", () => {
    const store = filled();
    expect([ask(store, {}), ask(store, { limit: 2 }), ask(store, { limit: 4 })]).toEqual(["a b c d / 4", "a b … / 4", "a b c d / 4"]);
    expect([ask(store, { limit: -1 }), ask(store, { revision: -3 })]).toEqual(["a b c d / 4", "a b c d / 4"]);
    expect([ask(store, { limit: 2, revision: 4 }), ask(store, { revision: 3 })]).toEqual(["a b … / 3", "a b / 2"]);
    expect(ask(store, { countOnly: true, limit: 1 })).toBe(" / 4");
    expect(store.range(rangeOf("z", "a"))).toEqual({ kvs: [], more: false, count: 0 });
  });

  test("range() sorts by each target, with the limit after", () => {
    const store = filled();
    const sorted = (sortTarget: RangeRequest["sortTarget"]) =>
      (["ascend", "descend"] as const).map((sortOrder) => ask(store, { sortTarget, sortOrder, limit: 3 }));
    expect(sorted("key")).toEqual(["a b c … / 4", "d c b … / 4"]);
    expect(sorted("value")).toEqual(["d c a … / 4", "b a c … / 4"]);
    expect(sorted("mod")).toEqual(["c d b … / 4", "a b d … / 4"]);
    expect(sorted("create")).toEqual(["a b c … / 4", "d c b … / 4"]);
    expect(sorted("version")).toEqual(["c d a … / 4", "a b c … / 4"]);
  });

  test("range() with a sort target and no order takes the limit and one more, then sorts ascending", () => {
    const store = filled();
    expect(ask(store, { sortTarget: "value" })).toBe("d c a b / 4");
    expect(ask(store, { sortTarget: "value", limit: 1 })).toBe("a … / 4");
    expect(ask(store, { sortTarget: "value", limit: 2 })).toBe("c a … / 4");
    expect(ask(store, { sortTarget: "value", limit: 1, minModRevision: 1 })).toBe("d … / 4");
  });

  test("range() filters do not change the count", () => {
    const store = filled();
    expect(ask(store, { minModRevision: 5 })).toBe("a b d / 4");
    expect(ask(store, { maxModRevision: 5 })).toBe("c d / 4");
    expect(ask(store, { minCreateRevision: 3, maxCreateRevision: 4 })).toBe("b c / 4");
    expect(ask(store, { minModRevision: 5, limit: 2 })).toBe("a b … / 4");
    expect(ask(store, { minModRevision: 6, limit: 2 })).toBe("a b / 4");
    expect(ask(store, { minModRevision: 5, limit: 1, sortOrder: "descend" })).toBe("d … / 4");
    expect(ask(store, { minModRevision: -3, maxModRevision: -1 })).toBe(" / 4");
  });

  test("range() of keys only keeps everything but the value, and sorts by it", () => {
    const store = filled();
    const { kvs } = store.range(rangeOf("a", "z", { keysOnly: true, sortTarget: "value", sortOrder: "ascend" }));
    expect(kvs.map((kv) => [kv.key, kv.value, kv.modRevision])).toEqual([["d", "", 5], ["c", "", 4], ["a", "", 7], ["b", "", 6]]); // prettier-ignore
  });

  test("range() pages through a pinned revision while others write", () => {
    const store = setup();
    for (let at = 0; at < 100; at++) write(store, `k${String(at).padStart(3, "0")}=1`);
    const revision = store.revision;
    const seen: string[] = [];
    for (let key = "\0"; ;) {
      const { kvs, more, count } = store.range(rangeOf(key, "\0", { revision, limit: 7 }));
      expect(count).toBe(100 - seen.length);
      seen.push(...kvs.map((kv) => kv.key));
      write(store, `k${String(seen.length * 3).padStart(3, "0")}=2 !k${String(99 - seen.length).padStart(3, "0")} new${seen.length}=1`);
      if (!more) break;
      key = `${kvs.at(-1)!.key}\0`;
    }
    expect(seen).toEqual(Array.from({ length: 100 }, (_, at) => `k${String(at).padStart(3, "0")}`));
  });
}

function history(setup: () => VersionStore): void {
  test("revisions() gives what each revision did, in the order of writing", () => {
    const store = setup();
    write(store, "b=1 a=1", NOTE, 100);
    write(store, "c=1", null, 200);
    write(store, "!b c=2", null, 300);
    const records = store.revisions(2, 1e6);
    expect(records.map(({ revision, time, note }) => [revision, time, note])).toEqual([[2, 100, NOTE], [3, 200, null], [4, 300, null]]); // prettier-ignore
    expect(records.map(({ kvs }) => kvs.map((kv) => `${kv.key}@${kv.version}`).join(" "))).toEqual(["b@1 a@1", "c@1", "b@0 c@2"]);
    expect(store.revisions(4, 1e6).map((record) => record.revision)).toEqual([4]);
    expect(store.revisions(5, 1e6)).toEqual([]);
    expect(store.revisions(99, 1e6)).toEqual([]);
  });

  test("revisions() leaves pending writes out", () => {
    const store = setup();
    write(store, "a=1");
    store.put(b("b"), b("1"), "0");
    expect(store.revisions(1, 1e6).map((record) => record.revision)).toEqual([2]);
  });

  test("revisions() stops at the size, after one whole record", () => {
    const store = setup();
    for (let at = 0; at < 10; at++) write(store, `a=${"x".repeat(99)} b=${"x".repeat(99)}`);
    expect(store.revisions(2, 1).map((record) => [record.revision, record.kvs.length])).toEqual([[2, 2]]);
    expect(store.revisions(2, 400).map((record) => record.revision)).toEqual([2, 3]);
    expect(store.revisions(2, 401).map((record) => record.revision)).toEqual([2, 3, 4]);
  });

  test("before() gives the version that was live just before", () => {
    const store = setup();
    for (const text of ["a=1", "a=2", "!a", "a=3"]) write(store, text);
    const versions = store.revisions(2, 1e6).map((record) => record.kvs[0]!);
    expect(versions.map((kv) => store.before(kv)?.value)).toEqual([undefined, "1", "2", undefined]);
    store.compact(3);
    expect(versions.slice(1).map((kv) => store.before(kv)?.value)).toEqual([undefined, "2", undefined]);
    store.compactStep(1000);
    expect(versions.slice(1).map((kv) => store.before(kv)?.value)).toEqual([undefined, "2", undefined]);
  });
}

function compaction(setup: () => VersionStore): void {
  test("compact() at or below the last one, or in the future, is refused", () => {
    const store = setup();
    for (const text of ["a=1", "a=2"]) write(store, text);
    expect(reasonOf(() => store.compact(4))).toBe("futureRevision");
    expect(reasonOf(() => store.compact(0))).toBe("none");
    expect(reasonOf(() => store.compact(0))).toBe("compacted");
    expect(reasonOf(() => store.compact(3))).toBe("none");
    expect(reasonOf(() => store.compact(3))).toBe("compacted");
    expect(reasonOf(() => store.compact(-1))).toBe("compacted");
    expect(store.compactedRevision).toBe(3);
  });

  test("compaction keeps what is visible at it and after, before and after the memory is given back", () => {
    const store = setup();
    for (const text of ["a=1 b=1 c=1", "a=2 !b", "!c d=1", "a=3 b=2", "!a"]) write(store, text);
    const look = () => [3, 4, 5, 6].map((revision) => [...store.scan(ALL, { revision })].map((kv) => `${kv.key}=${kv.value}`).join(" "));
    const counts = () => [3, 4, 5, 6].map((revision) => store.count(ALL, revision));
    const seen = look();
    const counted = counts();
    store.compact(3);
    for (const done of [false, true]) {
      if (done) while (!store.compactStep(1)) expect(store.check()).toEqual([]);
      expect([look(), counts()]).toEqual([seen, counted]);
      expect(reasonOf(() => store.get(b("a"), 2))).toBe("compacted");
    }
    expect(seen).toEqual(["a=2 c=1", "a=2 d=1", "a=3 b=2 d=1", "b=2 d=1"]);
    expect(store.check()).toEqual([]);
  });

  test("revisions() at the compaction has the visible puts and no note; below it is refused", () => {
    const store = setup();
    write(store, "a=1 b=1");
    write(store, "a=2 !b c=1", NOTE, 9);
    write(store, "c=2", NOTE, 10);
    store.compact(3);
    for (const done of [false, true]) {
      if (done) store.compactStep(1000);
      const records = store.revisions(3, 1e6);
      expect(records.map(({ revision, kvs, note }) => [revision, kvs.map((kv) => kv.key).join(" "), note])).toEqual([[3, "a c", null], [4, "c", NOTE]]); // prettier-ignore
      expect(reasonOf(() => store.revisions(2, 1e6))).toBe("compacted");
    }
  });

  test("keys deleted before the compaction vanish with all they held", () => {
    const store = setup();
    const empty = store.sizeBytes();
    for (const text of ["a=1 b=1", "a=2", "!a !b", "a=1", "!a"]) write(store, text);
    store.compact(6);
    expect(store.sizeInUseBytes()).toBe(empty);
    expect(store.sizeBytes()).toBeGreaterThan(empty);
    while (!store.compactStep(2));
    expect([store.sizeBytes(), store.keyCount]).toEqual([empty, 0]);
    write(store, "a=9");
    expect(store.get(b("a"))).toMatchObject({ version: 1, createRevision: 7 });
    expect(store.check()).toEqual([]);
  });

  test("what a compaction makes unreachable is known at once, to the byte, whatever was written", () => {
    const store = setup();
    for (let at = 0; at < 700; at++)
      write(store, at % 7 === 0 ? "a=1 !b" : at % 3 === 0 ? "!a a=22 b=1" : `a=${at} c${at % 9}=1 !c${at % 4}`);
    for (const revision of [3, 250, 640, 701]) {
      store.compact(revision);
      const inUse = store.sizeInUseBytes();
      while (!store.compactStep(50));
      expect([revision, store.sizeBytes(), store.sizeInUseBytes()]).toEqual([revision, inUse, inUse]);
      expect(store.check()).toEqual([]);
    }
  });

  test("compactions may follow one another before the first is worked off", () => {
    const store = setup();
    for (let at = 0; at < 50; at++) write(store, `a=${at} k${at}=1`);
    for (let at = 0; at < 50; at += 2) write(store, `!k${at}`);
    store.compact(20);
    store.compactStep(3);
    store.compact(60);
    store.compactStep(5);
    store.compact(76);
    while (!store.compactStep(7));
    expect([store.keyCount, store.count(ALL, 76), store.sizeBytes() - store.sizeInUseBytes()]).toEqual([26, 26, 0]);
    expect(store.check()).toEqual([]);
  });

  test("a pin holds back what compactStep() may free", () => {
    const store = setup();
    for (const text of ["a=1", "a=2", "a=3"]) write(store, text);
    const release = store.pin();
    const other = store.pin();
    store.compact(4);
    const held = store.sizeBytes();
    release();
    release();
    expect([store.compactStep(1000), store.sizeBytes()]).toEqual([true, held]);
    other();
    expect(store.compactStep(1000)).toBe(true);
    expect(store.sizeBytes()).toBe(store.sizeInUseBytes());
    expect(store.sizeBytes()).toBeLessThan(held);
  });
}

function totals(setup: () => VersionStore): void {
  test("sizeBytes() grows with keys, values and versions", () => {
    const store = setup();
    const sizes = [store.sizeBytes()];
    for (const text of ["a=1", `a=${"x".repeat(1000)}`, "b=1", "!a"]) {
      write(store, text);
      sizes.push(store.sizeBytes());
    }
    expect(sizes).toEqual(sizes.toSorted((x, y) => x - y));
    expect(sizes[2]! - sizes[1]!).toBeGreaterThanOrEqual(1000);
    expect(store.sizeInUseBytes()).toBe(store.sizeBytes());
  });

  test("hash() tells states apart, and does not see order within a revision, compaction, or the way to a state", () => {
    const hashOf = (...texts: string[]) => {
      const store = setup();
      for (const text of texts) write(store, text);
      return store.hash();
    };
    expect(hashOf("a=1 b=2")).toBe(hashOf("b=2 a=1"));
    expect(hashOf("a=1", "b=2 !a")).toBe(hashOf("c=9", "b=2 !c"));
    const hashes = [hashOf("x=1"), hashOf("a=1"), hashOf("a=2"), hashOf("a=1", "a=1"), hashOf("a=1 b=1"), hashOf("a=1b=1"), hashOf("a=")];
    expect(new Set(hashes).size).toBe(hashes.length);
    const store = setup();
    const empty = store.hash();
    write(store, "a=1");
    write(store, "a=2 b=1");
    const before = store.hash();
    store.compact(3);
    store.compactStep(1000);
    expect(store.hash()).toBe(before);
    expect(before >>> 0).toBe(before);
    write(store, "!a !b");
    expect(store.hash()).toBe(empty);
  });

  test("raiseRevision() gives no number twice and forgets what came before", () => {
    const store = setup();
    for (const text of ["a=1", "a=2 b=1", "!b"]) write(store, text);
    store.raiseRevision(1000);
    expect([store.revision, store.compactedRevision, store.openRevision]).toEqual([1000, 1000, 1001]);
    expect(store.get(b("a"))).toMatchObject({ value: "2", modRevision: 3, version: 2 });
    expect(reasonOf(() => store.get(b("a"), 4))).toBe("compacted");
    expect(store.revisions(1000, 1e6)).toEqual([]);
    expect(write(store, "a=3")).toBe(1001);
    expect([store.get(b("a"), 1000)?.value, store.get(b("a"))?.version, store.count(ALL, 1000)]).toEqual(["2", 3, 1]);
    expect(store.revisions(1000, 1e6).map((record) => record.revision)).toEqual([1001]);
    store.compact(1001);
    store.compactStep(1000);
    expect(store.check()).toEqual([]);
  });
}
