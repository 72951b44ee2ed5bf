import { beforeEach, describe, expect, it } from "vitest";
import { type Bytes, EMPTY, ascii, prefixEnd } from "../../bytes/bytes.ts";
import { MemoryVersionStore } from "../mvcc/memory-version-store.ts";
import { WATCH_LIMITS } from "./watch-group.ts";
import { WatchHub } from "./watch-hub.ts";
import type { WatchOptions, Watcher } from "./watcher.ts";

const { queueEventsMax: QUEUE_EVENTS_MAX, historyLooksMax: HISTORY_LOOKS_MAX } = WATCH_LIMITS;
const MUCH = Number.MAX_SAFE_INTEGER;

let store: MemoryVersionStore;
let hub: WatchHub;

beforeEach(() => {
  store = new MemoryVersionStore();
  hub = new WatchHub(store);
});

function put(...keys: string[]): number {
  for (const key of keys) store.put(ascii(key), ascii("v"), "0");
  const record = store.commit(null, 0)!;
  hub.committed(record);
  return record.revision;
}

function open(key: string, options: Partial<WatchOptions> = {}): Watcher {
  const always = { startRevision: 0, noPut: false, noDelete: false, prevKv: false, onReady: () => {} };
  return hub.open({ key: ascii(key), end: EMPTY, ...always, ...options });
}

const openPrefix = (prefix: string, options: Partial<WatchOptions> = {}): Watcher =>
  open(prefix, { end: prefixEnd(ascii(prefix)), ...options });

function drain(watcher: Watcher): number[] {
  const revisions: number[] = [];
  for (let taken = watcher.take(1); taken !== undefined; taken = watcher.take(1)) {
    if (taken.kind === "compacted") return [...revisions, -taken.compactRevision];
    revisions.push(...taken.events.map((event) => event.kv.modRevision));
  }
  return revisions;
}

describe("flush()", () => {
  it("calls onReady once until the reader has found nothing more", () => {
    let calls = 0;
    const watcher = open("a", { onReady: () => calls++ });
    put("a");
    expect(calls).toBe(0);
    hub.flush();
    put("a");
    hub.flush();
    hub.flush();
    expect(calls).toBe(1);
    expect(drain(watcher)).toEqual([2, 3]);
    put("a");
    hub.flush();
    expect(calls).toBe(2);
  });

  it("does not wake readers of what they filter out, nor of revisions before their start", () => {
    let calls = 0;
    const onReady = () => calls++;
    open("a", { noPut: true, onReady });
    const future = open("a", { startRevision: 4, onReady });
    put("a");
    put("a");
    hub.flush();
    expect(calls).toBe(0);
    expect(future.take(1)).toBeUndefined();
    put("a");
    hub.flush();
    expect(calls).toBe(1);
    expect(drain(future)).toEqual([4]);
  });

  it("lets readers open and close watchers from onReady", () => {
    const opened: Watcher[] = [];
    let others = 0;
    const second: { watcher?: Watcher } = {};
    open("a", {
      onReady: () => {
        second.watcher!.close();
        opened.push(open("a"));
      },
    });
    second.watcher = open("a", { onReady: () => others++ });
    put("a");
    hub.flush();
    expect(others).toBe(0);
    expect(opened[0]!.take(1)).toBeUndefined();
    put("a");
    expect(drain(opened[0]!)).toEqual([3]);
  });
});

describe("take()", () => {
  it("gives watchers of one range the same objects", () => {
    const watchers = [openPrefix("p/"), openPrefix("p/"), openPrefix("p/")];
    put("p/1");
    put("p/2", "p/3");
    hub.flush();
    const taken = watchers.map((watcher) => watcher.take(MUCH));
    expect(taken[0]).toMatchObject({ kind: "events", revision: 3 });
    expect(taken[1]).toBe(taken[0]);
    expect(taken[2]).toBe(taken[0]);
  });

  it("gives watchers of different ranges the same event objects", () => {
    const [one, two] = [openPrefix("p/"), open("p/1")];
    put("p/1");
    const [a, b] = [one.take(MUCH), two.take(MUCH)];
    expect(a).toMatchObject({ events: [{ kv: { key: "p/1" } }] });
    expect(a).toBe(b);
  });

  it("gives a range of history in pieces when nothing in it is wanted, so that nobody waits for long", () => {
    for (let n = 0; n < HISTORY_LOOKS_MAX * 2; n++) put("other");
    const revision = put("a");
    const watcher = open("a", { startRevision: 2 });
    const first = watcher.take(MUCH);
    expect(first).toEqual({ kind: "events", events: [], revision: HISTORY_LOOKS_MAX + 1 });
    expect(watcher.isSynced()).toBe(false);
    expect(drain(watcher)).toEqual([revision]);
    expect(watcher.isSynced()).toBe(true);
  });

  it("names the revision up to which history was read, beyond the last event", () => {
    put("a");
    put("b");
    expect(open("a", { startRevision: 1 }).take(MUCH)).toMatchObject({ kind: "events", revision: 3 });
  });
});

describe("a slow watcher", () => {
  it("falls back to history when its queue is full, and misses nothing", () => {
    const slow = open("a");
    const fast = open("a");
    const count = QUEUE_EVENTS_MAX * 2;
    for (let n = 0; n < count; n++) {
      put("a");
      hub.flush();
      expect(drain(fast)).toEqual([n + 2]);
      expect(hub.stats().queuedEvents).toBeLessThanOrEqual(QUEUE_EVENTS_MAX);
    }
    expect(hub.stats().historyReads).toBe(0);
    expect(drain(slow)).toEqual(Array.from({ length: count }, (_, n) => n + 2));
    expect(hub.stats().historyReads).toBeGreaterThan(0);
    expect(hub.stats()).toMatchObject({ unread: 0, queuedEvents: 0 });
  });

  it("is told of a compaction that has overtaken it, and is closed", () => {
    const slow = open("a");
    for (let n = 0; n < QUEUE_EVENTS_MAX * 2; n++) put("a");
    hub.flush();
    store.compact(store.revision);
    hub.compacted(store.revision);
    expect(slow.take(MUCH)).toEqual({ kind: "compacted", compactRevision: store.revision });
    expect(slow.take(MUCH)).toBeUndefined();
    expect(hub.stats().watchers).toBe(0);
  });

  it("is not told of a compaction of revisions that had nothing for it", () => {
    const slow = open("a");
    for (let n = 0; n < 100; n++) put("b");
    const begin = put("a");
    for (let n = 0; n < QUEUE_EVENTS_MAX; n++) put("a");
    hub.flush();
    store.compact(begin - 1);
    hub.compacted(begin - 1);
    expect(drain(slow)).toHaveLength(QUEUE_EVENTS_MAX + 1);
  });

  it("that is idle is never overtaken", () => {
    const idle = open("a");
    for (let n = 0; n < 100; n++) put("b");
    hub.flush();
    store.compact(store.revision);
    hub.compacted(store.revision);
    put("a");
    hub.flush();
    expect(drain(idle)).toEqual([102]);
  });
});

describe("restored()", () => {
  function other(revisions: number, compacted: number): MemoryVersionStore {
    const made = new MemoryVersionStore();
    for (let n = 2; n <= revisions; n++) {
      made.put(ascii(n % 2 === 0 ? "a" : "b"), ascii("v"), "0");
      made.commit(null, 0);
    }
    if (compacted > 0) made.compact(compacted);
    return made;
  }

  it("has watchers go on by the history of the new state", () => {
    let calls = 0;
    const idle = open("a", { onReady: () => calls++ });
    put("a");
    put("b");
    const unread = open("b", { startRevision: 2 });
    hub.flush();
    expect(drain(idle)).toEqual([2]);
    hub.restored(other(10, 3));
    hub.flush();
    expect(calls).toBe(2);
    expect(drain(idle)).toEqual([4, 6, 8, 10]);
    expect(drain(unread)).toEqual([-3]);
    expect(idle.isSynced()).toBe(true);
  });
});

it("holds no more than its limits allow, in one queue by bytes and in all together", () => {
  const small = { ...WATCH_LIMITS, queueBytesMax: 100, queuedEventsMax: 30 };
  hub = new WatchHub(store, small);
  const all = [..."abcdefghij"].map((key) => open(key));
  for (let n = 0; n < 60; n++) {
    put("a");
    expect(hub.stats().queuedEvents).toBeLessThanOrEqual(50); // of two bytes each
  }
  for (let n = 0; n < 60; n++) {
    put(..."abcdefghij");
    expect(hub.stats().queuedEvents).toBeLessThanOrEqual(30 + all.length);
  }
  hub.flush();
  expect(all.map((watcher) => drain(watcher).length)).toEqual([120, ...Array.from({ length: 9 }, () => 60)]);
});

it("counts its watchers and groups", () => {
  const watchers = [open("a"), open("a"), open("a", { prevKv: true }), open("a", { end: ascii("a\0") }), openPrefix("a")];
  expect(hub.stats()).toMatchObject({ watchers: 5, groups: 3 });
  put("a");
  expect(hub.stats()).toMatchObject({ queuedEvents: 3, eventsQueued: 3 });
  for (const watcher of [...watchers, ...watchers]) watcher.close();
  hub.flush();
  expect(hub.stats()).toMatchObject({ watchers: 0, groups: 0, queuedEvents: 0, unread: 0 });
  expect(drain(open("" as Bytes))).toEqual([]);
});
