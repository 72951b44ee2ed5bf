import { beforeEach, describe, expect, test } from "vitest";
import { type Bytes, ascii } from "../../bytes/bytes.ts";
import { isQuorateError } from "../../errors.ts";
import { type Command, type CommandBody, NO_LEASE } from "../command.ts";
import { MemoryLeaseTable } from "../lease/lease-table.ts";
import { LeasedKeys } from "../lease/leased-keys.ts";
import { MemoryVersionStore } from "../mvcc/memory-version-store.ts";
import { StateMachine } from "../state-machine.ts";
import type { V2Command } from "./v2-command.ts";
import { V2_HISTORY_EVENTS } from "./v2-history.ts";
import { V2Tree } from "./v2-tree-reader.ts";

const BLANK = {
  dir: false,
  recursive: false,
  value: ascii(""),
  ttlSeconds: null,
  refresh: false,
  prevValue: null,
  prevIndex: null,
  prevExist: null,
} as const;

let machine: StateMachine;
let index: number;

beforeEach(() => {
  machine = new StateMachine({ quotaBytes: 1 << 30 });
  index = 0;
});

function apply(body: CommandBody): void {
  const outcome = machine.apply({ ...body, time: 1000 + index } as Command, { index: ++index, term: 1 });
  if (!outcome.ok) throw outcome.error;
  machine.flush();
}

function v2(method: V2Command["method"], path: string, wanted: Record<string, unknown> = {}): void {
  apply({ kind: "v2", ...BLANK, ...wanted, method, path: ascii(path) } as CommandBody);
}

const put = (path: string, value = "1", wanted: Record<string, unknown> = {}) => v2("put", path, { value: ascii(value), ...wanted });
const put3 = (key: string, value = "1") =>
  apply({ kind: "put", key: ascii(key), value: ascii(value), lease: NO_LEASE, prevKv: false, ignoreValue: false, ignoreLease: false });
const delete3 = (key: string, end = "") => apply({ kind: "delete", key: ascii(key), end: ascii(end), prevKv: false });

interface Heard {
  /** "index action path", with a leading space before nothing. */
  readonly events: string[];
  close(): void;
}

function watch(path: string, options: { recursive?: boolean; since?: number; once?: boolean } = {}): Heard {
  const events: string[] = [];
  const { recursive = false, since = 0, once = false } = options;
  const onEvent = (note: { action: string; path: string }, at: number) => void events.push(`${at} ${note.action} ${note.path}`);
  const { close } = machine.v2.watch({ path: ascii(path), recursive, sinceIndex: since, once, onEvent });
  return { events, close };
}

/** Lets the deliveries from the history happen. */
const settled = () => Promise.resolve();

describe("watch", () => {
  test("hears of its own path; recursive also of what is below, but not of hidden names", () => {
    const own = watch("/d");
    const below = watch("/d", { recursive: true });
    const hidden = watch("/d/_h", { recursive: true });
    put("/d/a");
    put("/d/_h/x");
    put("/d/b/_c");
    put("/other");
    put("/dd");
    expect(own.events).toEqual([]);
    expect(below.events).toEqual(["2 set /d/a"]);
    expect(hidden.events).toEqual(["3 set /d/_h/x"]);
  });

  test("of the root hears of everything that is not hidden", () => {
    const all = watch("/", { recursive: true });
    const root = watch("/");
    put("/a/b");
    put("/_a");
    expect(all.events).toEqual(["2 set /a/b"]);
    expect(root.events).toEqual([]);
  });

  test("once ends after one event", () => {
    const once = watch("/a", { once: true });
    expect(machine.v2.watcherCount).toBe(1);
    put("/a");
    put("/a");
    expect(once.events).toEqual(["2 set /a"]);
    expect(machine.v2.watcherCount).toBe(0);
  });

  test("is closed for good, whoever closes it", () => {
    const one = watch("/a");
    one.close();
    one.close();
    put("/a");
    expect(one.events).toEqual([]);
    expect(machine.v2.watcherCount).toBe(0);
  });

  test("hears of the end of its node when a directory above goes, also one that has no marker", () => {
    put("/d/a");
    put("/d/x/y");
    put3("/d/i/j");
    const heard = ["/d/a", "/d/x", "/d/x/y", "/d/i", "/d/none"].map((path) => watch(path, { once: true }));
    v2("delete", "/d", { recursive: true });
    expect(heard.map((one) => one.events)).toEqual([["5 delete /d"], ["5 delete /d"], ["5 delete /d"], ["5 delete /d"], []]);
  });

  test("that stays hears of the end of its own node twice, as in etcd", () => {
    put("/d/a");
    const file = watch("/d/a");
    const above = watch("/d", { recursive: true });
    v2("delete", "/d/a");
    expect(file.events).toEqual(["3 delete /d/a", "3 delete /d/a"]);
    expect(above.events).toEqual(["3 delete /d/a"]);
  });

  test("does not hear of a refresh", () => {
    put("/a", "1", { ttlSeconds: 10 });
    const one = watch("/a");
    put("/a", "", { ttlSeconds: 20, refresh: true, prevExist: true });
    expect(one.events).toEqual([]);
    expect(machine.v2.index).toBe(3);
  });

  test("hears of what v3 does, one event a key", () => {
    put("/a/x");
    const all = watch("/", { recursive: true });
    put3("/a/y");
    put3("no path");
    delete3("/a/", "/a0");
    expect(all.events).toEqual(["3 set /a/y", "5 delete /a", "5 delete /a/x", "5 delete /a/y"]);
  });

  test("tells what v3 replaced and deleted", () => {
    put("/a", "1");
    const seen: unknown[] = [];
    machine.v2.watch({ path: ascii("/a"), recursive: false, sinceIndex: 0, onEvent: (note) => void seen.push(note.prev, note.node.value) });
    put3("/a", "2");
    delete3("/a");
    const prev = { path: "/a", value: "1", createdIndex: 2, modifiedIndex: 2, expiresAt: null };
    const second = { ...prev, value: "2", modifiedIndex: 3 };
    expect(seen).toEqual([prev, "2", second, null, second, null]);
  });
});

describe("history", () => {
  test("answers a past index with the first event at or after it, once or all of them", async () => {
    put("/a", "1");
    put("/b");
    put("/a", "2");
    const once = watch("/a", { since: 3, once: true });
    const all = watch("/a", { since: 2 });
    expect(once.events).toEqual([]); // never from within the call
    await settled();
    expect(once.events).toEqual(["4 set /a"]);
    expect(all.events).toEqual(["2 set /a", "4 set /a"]);
    put("/a", "3");
    expect(all.events).toEqual(["2 set /a", "4 set /a", "5 set /a"]);
    expect(once.events).toEqual(["4 set /a"]);
  });

  test("comes before what happens next, even when that happens first", () => {
    put("/a", "1");
    const all = watch("/a", { since: 2 });
    put("/a", "2");
    expect(all.events).toEqual(["2 set /a", "3 set /a"]);
  });

  test("does not look at hidden names, leaves refreshes out, and knows of directories that went", async () => {
    put("/d/_h", "1", { ttlSeconds: 10 });
    put("/d/_h", "", { ttlSeconds: 20, refresh: true });
    v2("delete", "/d", { recursive: true });
    const above = watch("/d", { recursive: true, since: 2 });
    const below = watch("/d/_h", { since: 3 });
    const beside = watch("/dd", { since: 2 });
    await settled();
    expect(above.events).toEqual(["2 set /d/_h", "4 delete /d"]);
    expect(below.events).toEqual(["4 delete /d"]);
    expect(beside.events).toEqual([]);
  });

  test("a future index hears of nothing earlier", () => {
    const one = watch("/a", { since: 4 });
    for (let n = 0; n < 3; n++) put("/a");
    expect(one.events).toEqual(["4 set /a"]);
  });

  function cleared(since: number): string {
    try {
      watch("/a", { since });
    } catch (error) {
      if (isQuorateError(error)) return `${error.reason} ${error.details["cause"]} ${error.details["index"]}`;
    }
    return "kept";
  }

  test("reaches back 1,000 events, whether or not anybody asked before", () => {
    put("/a");
    expect(cleared(1)).toBe("kept");
    for (let n = 0; n < V2_HISTORY_EVENTS; n++) put("/a");
    const wanted = `eventIndexCleared the requested history has been cleared [3/2] ${V2_HISTORY_EVENTS + 2}`;
    expect(cleared(2)).toBe(wanted);
    machine.v2.reset(); // as after a restart
    expect(cleared(2)).toBe(wanted);
    expect(cleared(3)).toBe("kept");
    put("/a");
    expect(cleared(3)).toContain("[4/3]");
  });

  test("counts events, not revisions: keys outside the tree do not push others out", () => {
    put("/a");
    for (let n = 0; n < 3 * V2_HISTORY_EVENTS; n++) put3("outside");
    expect(cleared(2)).toBe("kept");
    machine.v2.reset();
    expect(cleared(2)).toBe("kept");
  });

  test("ends at a compaction", () => {
    for (let n = 0; n < 10; n++) put("/a");
    expect(cleared(5)).toBe("kept");
    apply({ kind: "compact", revision: 5 });
    expect(cleared(5)).toContain("[6/5]");
    machine.v2.reset();
    expect(cleared(5)).toContain("[6/5]");
    expect(cleared(6)).toBe("kept");
  });

  test("begins anew where the revision was raised", () => {
    put("/a");
    expect(cleared(2)).toBe("kept");
    machine.raiseRevision(100);
    expect(cleared(2)).toContain("[101/2]");
    put("/a");
    expect(cleared(101)).toBe("kept");
  });
});

describe("effort", () => {
  /** A store of its own, whose visits can be counted. */
  function tree(keys: Iterable<string>): { store: MemoryVersionStore; v2: V2Tree } {
    const store = new MemoryVersionStore();
    const leases = new MemoryLeaseTable();
    const leased = new LeasedKeys(store, leases);
    for (const key of keys) leased.put(key as Bytes, ascii("1"), NO_LEASE);
    store.commit(null, 1);
    const v2 = new V2Tree({
      store,
      leases,
      put: (key, value, lease) => leased.put(key, value, lease),
      delete: (key) => leased.delete(key),
      commit: () => store.revision,
    });
    return { store, v2 };
  }

  function* deepKeys() {
    for (let top = 0; top < 20; top++) for (let n = 0; n < 1000; n++) yield `/d${top}/e/k${n}`;
  }

  test("listing one level does not read what lies below", () => {
    const { store, v2 } = tree(deepKeys());
    const before = store.visited;
    expect(v2.children(ascii("/")).length).toBe(20);
    expect(store.visited - before).toBeLessThan(200);
  });

  test("a node is found without reading what lies below, and keys outside the tree are stepped over in groups", () => {
    function* keys() {
      yield* deepKeys();
      for (let n = 0; n < 5000; n++) yield `/d0//${n}`;
      yield "/d0/z";
    }
    const { store, v2 } = tree(keys());
    const before = store.visited;
    expect(v2.node(ascii("/d0"))).toBeDefined();
    expect(v2.children(ascii("/d0")).map((child) => child.path)).toEqual(["/d0/e", "/d0/z"]);
    expect(store.visited - before).toBeLessThan(50);
  });

  test("a listing is in the order of names, whatever bytes come between", () => {
    const { v2 } = tree(["/a", "/a-b/x", "/a/x", "/a!", "/a-", "/b/x", "/a-b"]);
    expect(v2.children(ascii("/")).map((child) => child.path + (child.value === null ? "/" : ""))).toEqual([
      "/a/",
      "/a!",
      "/a-",
      "/a-b/",
      "/b/",
    ]);
  });
});
