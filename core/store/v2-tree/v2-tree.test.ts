import { beforeEach, describe, expect, test } from "vitest";
import { type Bytes, ascii } from "../../bytes/bytes.ts";
import { type Command, type CommandBody, NO_LEASE, type Operation } from "../command.ts";
import { StateMachine } from "../state-machine.ts";
import type { V2Command, V2Result } from "./v2-command.ts";

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

type Wanted = Partial<Omit<V2Command, "path" | "value" | "prevValue">> & { value?: string; prevValue?: string };

let machine: StateMachine;
let time: number;
let index: number;

beforeEach(() => {
  machine = new StateMachine({ quotaBytes: 1 << 30 });
  time = 1_000_000;
  index = 0;
});

function apply(body: CommandBody) {
  const outcome = machine.apply({ ...body, time } as Command, { index: ++index, term: 1 });
  machine.flush();
  expect(machine.check()).toEqual([]);
  return outcome;
}

/** Applies a v2 write. @returns its result, or the reason and cause of its refusal */
function v2(method: V2Command["method"], path: string, wanted: Wanted = {}) {
  const outcome = apply({ kind: "v2", ...BLANK, ...wanted, method, path: ascii(path) } as CommandBody);
  if (outcome.ok) return outcome.result as V2Result;
  const { reason, details } = outcome.error;
  return { refused: reason, cause: details["cause"], index: details["index"] };
}

const put = (path: string, value = "1", wanted: Wanted = {}) => v2("put", path, { value, ...wanted });
const put3 = (key: string, value = "1", lease = NO_LEASE) =>
  apply({ kind: "put", key: ascii(key), value: ascii(value), lease, prevKv: false, ignoreValue: false, ignoreLease: false });

const node = (path: string, value: string | null, createdIndex: number, modifiedIndex: number, expiresAt: number | null = null) => ({
  path,
  value,
  createdIndex,
  modifiedIndex,
  expiresAt,
});

/** Every live key, as v3 sees it. */
function keys(): string[] {
  const range = { key: ascii("\0"), end: ascii("\0"), revision: 0, limit: 0, sortTarget: "key", sortOrder: "none" } as const;
  const bounds = { minModRevision: 0, maxModRevision: 0, minCreateRevision: 0, maxCreateRevision: 0 };
  return machine.range({ ...range, ...bounds, keysOnly: false, countOnly: false }).kvs.map((kv) => `${kv.key}=${kv.value}`);
}

const leases = () => [...machine.leaseTable.all()].map((lease) => `${lease.v2?.path} ${lease.v2?.expiresAt}`);

/** Ends every v2 TTL whose time is up, as the leader does. */
function expire() {
  for (const lease of machine.leaseTable.all()) {
    if (lease.v2 && lease.v2.expiresAt <= time) apply({ kind: "leaseRevoke", id: lease.id, term: 0 });
  }
}

describe("set", () => {
  test("makes a file, its parents by marker keys, in one revision", () => {
    expect(put("/a/b/c", "x")).toEqual({ op: "v2", action: "set", node: node("/a/b/c", "x", 2, 2), prev: null });
    expect(machine.revision).toBe(2);
    expect(keys()).toEqual(["/a/=", "/a/b/=", "/a/b/c=x"]);
  });

  test("over a file renews the created index", () => {
    put("/a", "1");
    expect(put("/a", "2")).toEqual({ op: "v2", action: "set", node: node("/a", "2", 3, 3), prev: node("/a", "1", 2, 2) });
    expect(machine.v2.node(ascii("/a"))).toEqual(node("/a", "2", 3, 3));
  });

  test("refuses a directory, a path below a file, and the root", () => {
    put("/d/a");
    expect(put("/d")).toEqual({ refused: "v2NotFile", cause: "/d", index: 2 });
    expect(v2("put", "/d", { dir: true })).toEqual({ refused: "v2NotFile", cause: "/d", index: 2 });
    expect(put("/d/a/b/c")).toEqual({ refused: "v2NotDirectory", cause: "/d/a", index: 2 });
    expect(put("/")).toEqual({ refused: "v2RootReadOnly", cause: "/", index: 2 });
    expect(machine.revision).toBe(2);
  });

  test("of a directory replaces a file", () => {
    put("/a", "1");
    expect(v2("put", "/a", { dir: true })).toMatchObject({ node: node("/a", null, 3, 3), prev: node("/a", "1", 2, 2) });
    expect(keys()).toEqual(["/a/="]);
  });

  test("with refresh keeps the value and refuses what is not there", () => {
    put("/a", "keep");
    expect(put("/a", "", { refresh: true, ttlSeconds: 10 })).toMatchObject({ node: node("/a", "keep", 3, 3, time + 10_000) });
    expect(put("/b/c", "", { refresh: true, ttlSeconds: 10 })).toEqual({ refused: "v2KeyNotFound", cause: "/b", index: 3 });
  });
});

describe("create and update", () => {
  test("create refuses what is there, file or directory", () => {
    expect(put("/a/b", "1", { prevExist: false })).toMatchObject({ action: "create", node: node("/a/b", "1", 2, 2), prev: null });
    expect(put("/a/b", "2", { prevExist: false })).toEqual({ refused: "v2NodeExists", cause: "/a/b", index: 2 });
    expect(put("/a", "2", { prevExist: false })).toEqual({ refused: "v2NodeExists", cause: "/a", index: 2 });
    expect(put("/a/b/c", "2", { prevExist: false })).toEqual({ refused: "v2NotDirectory", cause: "/a/b", index: 2 });
  });

  test("update keeps the created index and refuses what is missing", () => {
    put("/a", "1");
    expect(put("/a", "2", { prevExist: true })).toMatchObject({
      action: "update",
      node: node("/a", "2", 2, 3),
      prev: node("/a", "1", 2, 2),
    });
    expect(put("/x/y", "2", { prevExist: true })).toEqual({ refused: "v2KeyNotFound", cause: "/x", index: 3 });
  });

  test("updating a directory raises the index of the event, not of the directory", () => {
    v2("put", "/d", { dir: true });
    expect(put("/d", "x", { prevExist: true })).toEqual({ refused: "v2NotFile", cause: "/d", index: 2 });
    expect(put("/d", "", { prevExist: true, ttlSeconds: 5 })).toMatchObject({
      node: node("/d", null, 2, 3, time + 5000),
      prev: node("/d", null, 2, 2),
    });
    expect(machine.v2.node(ascii("/d"))).toEqual(node("/d", null, 2, 2, time + 5000));
  });

  test("in-order keys are named by their index, in 20 digits", () => {
    expect(v2("post", "/q", { value: "1" })).toMatchObject({ action: "create", node: { path: "/q/00000000000000000002" } });
    expect(v2("post", "/", { value: "2" })).toMatchObject({ node: { path: "/00000000000000000003", value: "2" } });
    expect(v2("post", "/00000000000000000003", {})).toMatchObject({ refused: "v2NotDirectory", cause: "/00000000000000000003" });
  });
});

describe("compare", () => {
  test("tests value and index, and names what failed", () => {
    put("/a", "1");
    expect(put("/a", "2", { prevValue: "x", prevIndex: 9 })).toEqual({ refused: "v2CompareFailed", cause: "[x != 1] [9 != 2]", index: 2 });
    expect(put("/a", "2", { prevValue: "1", prevIndex: 9 })).toMatchObject({ cause: "[9 != 2]" });
    expect(v2("delete", "/a", { prevValue: "x", prevIndex: 2 })).toMatchObject({ refused: "v2CompareFailed", cause: "[x != 1]" });
    expect(put("/a", "2", { prevIndex: 2, prevExist: true })).toMatchObject({ action: "compareAndSwap", node: node("/a", "2", 2, 3) });
    expect(v2("delete", "/a", { prevValue: "2" })).toEqual({
      op: "v2",
      action: "compareAndDelete",
      node: node("/a", null, 2, 4),
      prev: node("/a", "2", 2, 3),
    });
    expect(keys()).toEqual([]);
  });

  test("refuses directories, and the root in its own way", () => {
    put("/d/a");
    expect(put("/d", "2", { prevIndex: 2 })).toMatchObject({ refused: "v2NotFile", cause: "/d" });
    expect(v2("delete", "/", { prevIndex: 2 })).toMatchObject({ refused: "v2NotFile", cause: "" });
    expect(put("/", "2", { prevIndex: 2 })).toMatchObject({ refused: "v2RootReadOnly" });
  });
});

describe("delete", () => {
  test("of a directory needs a flag, of a full one recursion, and takes everything below", () => {
    put("/d/_hidden/x");
    expect(v2("delete", "/d")).toEqual({ refused: "v2NotFile", cause: "/d", index: 2 });
    expect(v2("delete", "/d", { dir: true })).toEqual({ refused: "v2DirectoryNotEmpty", cause: "/d", index: 2 });
    put("/d-beside");
    expect(v2("delete", "/d", { recursive: true })).toMatchObject({ node: node("/d", null, 2, 4), prev: node("/d", null, 2, 2) });
    expect(keys()).toEqual(["/d-beside=1"]);
  });

  test("names the first part of the path that is missing", () => {
    put("/a/b");
    expect(v2("delete", "/a/x/y")).toEqual({ refused: "v2KeyNotFound", cause: "/a/x", index: 2 });
    expect(v2("delete", "/a/b/y")).toEqual({ refused: "v2NotDirectory", cause: "/a/b", index: 2 });
    expect(v2("delete", "/")).toMatchObject({ refused: "v2RootReadOnly" });
  });
});

describe("TTL", () => {
  test("is a lease of the node alone, replaced and dropped with it", () => {
    put("/a", "1", { ttlSeconds: 10 });
    expect(leases()).toEqual([`/a ${time + 10_000}`]);
    time += 1000;
    put("/a", "1", { ttlSeconds: 10 });
    expect(leases()).toEqual([`/a ${time + 10_000}`]);
    put("/a", "2", { prevExist: true });
    expect(leases()).toEqual([]);
    put("/a", "", { ttlSeconds: 10, refresh: true });
    v2("delete", "/a");
    expect(leases()).toEqual([]);
  });

  test("goes with a directory that is deleted above", () => {
    put("/d/e/a", "1", { ttlSeconds: 10 });
    v2("delete", "/d", { recursive: true });
    expect(leases()).toEqual([]);
  });

  test("ends its node by an expire event, a directory with all below, in one revision", () => {
    v2("put", "/d", { dir: true, ttlSeconds: 2 });
    put("/d/a", "1", { ttlSeconds: 100 });
    put("/b", "1", { ttlSeconds: 3 });
    time += 5000;
    const before = machine.revision;
    expire();
    expect(machine.revision).toBe(before + 2);
    expect(keys()).toEqual([]);
    expect(leases()).toEqual([]);
    expect(machine.v2.expireCount).toBe(2);
  });

  test("of a node that v3 has overwritten ends nothing", () => {
    put("/a", "1", { ttlSeconds: 2 });
    put3("/a", "mine");
    time += 5000;
    const before = machine.revision;
    expire();
    expect(machine.revision).toBe(before);
    expect(keys()).toEqual(["/a=mine"]);
    expect(leases()).toEqual([]);
  });

  test("keys that v3 put under the lease of a v2 node go with it", () => {
    put("/a", "1", { ttlSeconds: 2 });
    put3("other", "x", [...machine.leaseTable.all()][0]!.id);
    put("/a", "2");
    expect(keys()).toEqual(["/a=2", "other=x"]);
    time += 5000;
    expire();
    expect(keys()).toEqual(["/a=2"]);
  });
});

describe("keys written through v3", () => {
  test("imply their directories, with the index of the first key below", () => {
    put3("/x/y/z", "1");
    put3("/x/a", "2");
    expect(machine.v2.node(ascii("/x"))).toEqual(node("/x", null, 3, 3));
    expect(machine.v2.node(ascii("/x/y"))).toEqual(node("/x/y", null, 2, 2));
    expect(machine.v2.children(ascii("/")).map((child) => child.path)).toEqual(["/x"]);
    put("/x/y/w", "v2");
    expect(keys()).toEqual(["/x/a=2", "/x/y/w=v2", "/x/y/z=1"]);
  });

  test("that are value and directory at once show the directory, and go with it", () => {
    put3("/x", "value");
    put3("/x/y", "1");
    expect(machine.v2.node(ascii("/x"))?.value).toBeNull();
    expect(machine.v2.children(ascii("/"))).toEqual([node("/x", null, 3, 3)]);
    v2("delete", "/x", { recursive: true });
    expect(keys()).toEqual([]);
  });

  test("that are no clean path are not in the tree", () => {
    for (const key of ["/x//y", "/x/../y", "/x/./y", "/x/.", "x", "/", "//", "/x/y//"]) put3(key);
    put3("/x/" + "a".repeat(20_000));
    expect(machine.v2.node(ascii("/x"))).toBeUndefined();
    expect(machine.v2.children(ascii("/"))).toEqual([]);
    put("/x/y", "1");
    expect(machine.v2.children(ascii("/x")).map((child) => child.path)).toEqual(["/x/y"]);
    const before = keys().length;
    v2("delete", "/x", { recursive: true });
    expect(keys().length).toBe(before - 2);
  });

  test("with a lease of v3 keep it out of the tree's sight", () => {
    apply({ kind: "leaseGrant", id: "7", ttlSeconds: 100 });
    put3("/a", "1", "7");
    expect(machine.v2.node(ascii("/a"))).toEqual(node("/a", "1", 2, 2));
    put("/a", "2");
    expect(machine.leaseTable.keys("7")).toEqual([]);
    expect(machine.leaseTable.get("7")).toBeDefined();
  });

  test("in one transaction make one revision that v2 reads", () => {
    const success = ["/t/a", "/t/b"].map((key): Operation => ({
      op: "put",
      key: key as Bytes,
      value: ascii("1"),
      lease: NO_LEASE,
      prevKv: false,
      ignoreValue: false,
      ignoreLease: false,
    }));
    apply({ kind: "txn", compare: [], success, failure: [] });
    expect(machine.v2.children(ascii("/t"))).toEqual([node("/t/a", "1", 2, 2), node("/t/b", "1", 2, 2)]);
  });
});
