import { beforeAll, describe, expect, test } from "vitest";
import { rangeOf } from "../../test/contract/version-store-port.ts";
import type { Bytes } from "../bytes/bytes.ts";
import { enableVerify } from "../invariant.ts";
import type { Command, CommandBody, Operation, PutRequest, RangeRequest, Result, TxnRequest } from "./command.ts";
import { StateMachine } from "./state-machine.ts";

beforeAll(enableVerify);

const b = (text: string) => text as Bytes;
const put = (key: string, value = "", more: Partial<PutRequest> = {}) =>
  ({ key: b(key), value: b(value), lease: "0", prevKv: false, ignoreValue: false, ignoreLease: false, ...more }) as const;
const del = (key: string, end = "", prevKv = false) => ({ key: b(key), end: b(end), prevKv }) as const;
const opPut = (key: string, value = "", more: Partial<PutRequest> = {}): Operation => ({ op: "put", ...put(key, value, more) });
const opDelete = (key: string, end = "", prevKv = false): Operation => ({ op: "delete", ...del(key, end, prevKv) });
const opRange = (key: string, end = "", more: Partial<RangeRequest> = {}): Operation => ({ op: "range", ...rangeOf(key, end, more) });
const opTxn = (success: Operation[], more: Partial<TxnRequest> = {}): Operation => ({
  op: "txn",
  compare: [],
  failure: [],
  ...more,
  success,
});
const append = (prefix: string, value = "") => ({ prefix: b(prefix), suffix: b(""), value: b(value), lease: "0" }) as const;

/** A state machine with a log of its own: entry numbers count up, the clock is what a test sets. */
class Machine {
  readonly state = new StateMachine({ quotaBytes: 1_000_000 });
  index = 0;
  term = 1;
  time = 1000;

  apply(body: CommandBody) {
    const outcome = this.state.apply({ ...body, time: this.time } as Command, { index: ++this.index, term: this.term });
    expect(this.state.check()).toEqual([]);
    return outcome;
  }

  /** The result. */
  do(body: CommandBody): Result {
    const outcome = this.apply(body);
    if (!outcome.ok) throw outcome.error;
    return outcome.result;
  }

  /** The reason of the refusal. */
  refusal(body: CommandBody): string {
    const before = this.state.revision;
    const outcome = this.apply(body);
    expect(this.state.revision).toBe(before);
    return outcome.ok ? "none" : outcome.error.reason;
  }

  txn(success: Operation[], more: Partial<TxnRequest> = {}) {
    return this.do({ kind: "txn", compare: [], failure: [], ...more, success });
  }

  /** "a=1 b=2" */
  get contents(): string {
    const { kvs } = this.state.range(rangeOf("\0", "\0"));
    return kvs.map((kv) => `${kv.key}=${kv.value}`).join(" ");
  }
}

describe("put and delete", () => {
  test("give the version before when asked", () => {
    const m = new Machine();
    expect(m.do({ kind: "put", ...put("a", "1", { prevKv: true }) })).toEqual({ op: "put", prev: null });
    expect(m.do({ kind: "put", ...put("a", "2") })).toEqual({ op: "put", prev: null });
    expect(m.do({ kind: "put", ...put("a", "3", { prevKv: true }) })).toMatchObject({ prev: { value: "2", modRevision: 3 } });
    expect(m.do({ kind: "delete", ...del("a", "", true) })).toMatchObject({ deleted: 1, prev: [{ value: "3" }] });
    expect(m.do({ kind: "delete", ...del("a", "", true) })).toEqual({ op: "delete", deleted: 0, prev: [] });
    expect(m.state.revision).toBe(5);
  });

  test("ignoreValue and ignoreLease keep what was, and need a key that is there", () => {
    const m = new Machine();
    m.do({ kind: "leaseGrant", id: "7", ttlSeconds: 10 });
    expect(m.refusal({ kind: "put", ...put("a", "", { ignoreValue: true }) })).toBe("keyNotFound");
    m.do({ kind: "put", ...put("a", "1", { lease: "7" }) });
    m.do({ kind: "put", ...put("a", "2", { ignoreLease: true }) });
    expect(m.state.range(rangeOf("a")).kvs[0]).toMatchObject({ value: "2", lease: "7" });
    m.do({ kind: "put", ...put("a", "", { ignoreValue: true }) });
    expect(m.state.range(rangeOf("a")).kvs[0]).toMatchObject({ value: "2", lease: "0", version: 3 });
    expect(m.state.lease("7")?.keys).toEqual([]);
  });

  test("a put with an unknown lease is refused, before a missing key is", () => {
    const m = new Machine();
    expect(m.refusal({ kind: "put", ...put("a", "", { lease: "7", ignoreValue: true }) })).toBe("leaseNotFound");
  });

  test("a range delete is one revision", () => {
    const m = new Machine();
    for (const key of ["a", "b", "c"]) m.do({ kind: "put", ...put(key) });
    expect(m.do({ kind: "delete", ...del("a", "c") })).toMatchObject({ deleted: 2 });
    expect([m.state.revision, m.contents]).toEqual([5, "c="]);
    expect(m.do({ kind: "delete", ...del("\0", "\0") })).toMatchObject({ deleted: 1 });
  });

  test("append chooses a key by the revision", () => {
    const m = new Machine();
    expect(m.do({ kind: "append", ...append("q/"), suffix: b("~g") })).toEqual({ op: "append", key: "q/00000000000000000002~g" });
    m.txn([{ op: "append", ...append("q/") }, opPut("x"), opTxn([{ op: "append", ...append("r/") }]), { op: "append", ...append("q/") }]);
    expect(m.contents).toBe(
      "q/00000000000000000002~g= q/00000000000000000003= q/00000000000000000003.0002= r/00000000000000000003.0001= x=",
    );
    expect(m.refusal({ kind: "append", ...append("q/"), lease: "5" })).toBe("leaseNotFound");
  });
});

describe("transactions", () => {
  test("inner results carry the revision that holds at their place", () => {
    const m = new Machine();
    m.do({ kind: "put", ...put("a", "1") });
    const result = m.txn([
      opRange("a"),
      opDelete("x"),
      opPut("a", "2", { prevKv: true }),
      opRange("a"),
      opTxn([opDelete("a")]),
      opRange("a"),
    ]);
    expect(result).toMatchObject({
      succeeded: true,
      responses: [
        { op: "range", revision: 2, kvs: [{ value: "1" }] },
        { op: "delete", revision: 2, deleted: 0 },
        { op: "put", revision: 3, prev: { value: "1" } },
        { op: "range", revision: 3, kvs: [{ value: "2", modRevision: 3 }] },
        { op: "txn", revision: 0, succeeded: true, responses: [{ op: "delete", revision: 3, deleted: 1 }] },
        { op: "range", revision: 3, kvs: [], count: 0 },
      ],
    });
    expect(m.state.revision).toBe(3);
  });

  test("a transaction that writes nothing makes no revision", () => {
    const m = new Machine();
    m.txn([opRange("a"), opDelete("a")]);
    expect(m.state.revision).toBe(1);
  });

  test("compares: every target and operator", () => {
    const m = new Machine();
    m.do({ kind: "leaseGrant", id: "-7", ttlSeconds: 10 });
    m.do({ kind: "put", ...put("a", "5", { lease: "-7" }) });
    m.do({ kind: "put", ...put("a", "5", { lease: "-7" }) });
    const holds = (target: string | null, value: number | string, key = "a", end = "") =>
      (["equal", "notEqual", "greater", "less", null] as const)
        .map((operator) => {
          const compare = { key: b(key), end: b(end), target, operator, value } as TxnRequest["compare"][number];
          return m.state.readTxn({ compare: [compare], success: [], failure: [] }).succeeded ? "1" : "0";
        })
        .join("");
    expect([holds("version", 2), holds("version", 1), holds("version", 3)]).toEqual(["10001", "01101", "01011"]);
    expect([holds("create", 2), holds("mod", 2), holds("mod", 3)]).toEqual(["10001", "01101", "10001"]);
    expect([holds("value", "5"), holds("value", "4"), holds("value", "50")]).toEqual(["10001", "01101", "01011"]);
    expect([holds("lease", "-7"), holds("lease", "-70"), holds("lease", "0")]).toEqual(["10001", "01101", "01011"]);
    // Keys that are not there compare as zero, but their value compares with nothing; an unknown target is equal.
    expect([holds("version", 0, "x"), holds("create", -1, "x"), holds("lease", "0", "x")]).toEqual(["10001", "01101", "10001"]);
    expect([holds("value", "", "x"), holds(null, 0), holds(null, 0, "x")]).toEqual(["00000", "10001", "10001"]);
  });

  test("a compare of a range holds when it does for each key", () => {
    const m = new Machine();
    for (const [key, value] of [["a", "1"], ["b", "2"], ["c", "3"]] as const) m.do({ kind: "put", ...put(key, value) }); // prettier-ignore
    const holds = (key: string, end: string, operator: "greater" | "less", value: string) =>
      m.state.readTxn({ compare: [{ key: b(key), end: b(end), target: "value", operator, value: b(value) }], success: [], failure: [] })
        .succeeded;
    expect([
      holds("a", "c", "less", "3"),
      holds("a", "d", "less", "3"),
      holds("b", "\0", "greater", "1"),
      holds("x", "z", "less", "9"),
    ]).toEqual([true, false, true, false]);
  });

  test("nested compares see the state before the first write", () => {
    const m = new Machine();
    const compare = [{ key: b("a"), end: b(""), target: "version", operator: "equal", value: 1 }] as const;
    m.txn([opPut("a"), opTxn([opPut("then")], { compare, failure: [opPut("else")] })]);
    expect(m.contents).toBe("a= else=");
  });

  test("nothing is written when any operation on the branch is refused", () => {
    const m = new Machine();
    m.do({ kind: "put", ...put("a", "1") });
    const refused = (...operations: Operation[]) =>
      m.refusal({ kind: "txn", compare: [], success: [opPut("b"), ...operations], failure: [] });
    expect(refused(opPut("x", "", { lease: "5" }))).toBe("leaseNotFound");
    expect(refused(opPut("x", "", { ignoreValue: true, lease: "5" }))).toBe("keyNotFound");
    expect(refused(opTxn([opPut("x", "", { ignoreLease: true })]))).toBe("keyNotFound");
    expect(refused(opRange("a", "", { revision: 3 }))).toBe("futureRevision");
    expect(refused(opRange("a", "", { revision: -2 }))).toBe("compacted");
    expect(refused(opRange("a", "", { revision: 99 }), opPut("x", "", { lease: "5" }))).toBe("leaseNotFound");
    expect(refused({ op: "append", ...append("q/"), lease: "5" })).toBe("leaseNotFound");
    m.do({ kind: "compact", revision: 2 });
    expect(refused(opRange("a", "", { revision: 1 }))).toBe("compacted");
    expect(m.contents).toBe("a=1");
    // The other branch is not looked at.
    m.txn([opPut("c")], { failure: [opPut("x", "", { lease: "5" }), opRange("a", "", { revision: 99 })] });
  });

  test("a delete from a key on and a put beside it are lawful, and the last wins", () => {
    const m = new Machine();
    for (const key of ["a", "b"]) m.do({ kind: "put", ...put(key, "1") });
    m.txn([opDelete("a", "\0"), opPut("b", "2"), opPut("c", "2")]);
    expect(m.contents).toBe("b=2 c=2");
    expect(m.state.range(rangeOf("b")).kvs[0]).toMatchObject({ version: 1, createRevision: 4 });
    m.txn([opPut("d", "3"), opDelete("b", "\0")]);
    expect([m.contents, m.state.keyCount()]).toEqual(["", 0]);
    m.do({ kind: "put", ...put("b", "1") });
    m.txn([opDelete("a", "\0"), opPut("b", "", { ignoreValue: true })]);
    expect(m.contents).toBe("b=");
  });
});

describe("leases", () => {
  test("grant, attach, move, detach, revoke", () => {
    const m = new Machine();
    expect(m.do({ kind: "leaseGrant", id: "9", ttlSeconds: 60 })).toEqual({ op: "lease", id: "9", ttlSeconds: 60 });
    m.do({ kind: "leaseGrant", id: "-3", ttlSeconds: 5 });
    for (const key of ["c", "a", "b", "d"]) m.do({ kind: "put", ...put(key, "", { lease: "9" }) });
    m.do({ kind: "put", ...put("b", "", { lease: "-3" }) });
    m.do({ kind: "put", ...put("d") });
    expect([m.state.lease("9"), m.state.lease("-3")?.keys, m.state.lease("1")]).toEqual([{ id: "9", ttlSeconds: 60, keys: ["a", "c"] }, ["b"], undefined]); // prettier-ignore
    expect(m.state.leaseIds()).toEqual(["9", "-3"]);
    m.do({ kind: "delete", ...del("a") });
    const before = m.state.revision;
    expect(m.do({ kind: "leaseRevoke", id: "9", term: 0 })).toEqual({ op: "done" });
    expect([m.state.revision, m.contents, m.state.leaseIds()]).toEqual([before + 1, "b= d=", ["-3"]]);
    m.do({ kind: "delete", ...del("b") });
    m.do({ kind: "leaseRevoke", id: "-3", term: 0 });
    expect(m.state.revision).toBe(before + 2);
  });

  test("refusals, in etcd's order", () => {
    const m = new Machine();
    m.do({ kind: "leaseGrant", id: "9", ttlSeconds: 9_000_000_000 });
    expect(m.refusal({ kind: "leaseGrant", id: "9", ttlSeconds: 9_000_000_001 })).toBe("leaseTtlTooLarge");
    expect(m.refusal({ kind: "leaseGrant", id: "9", ttlSeconds: 1 })).toBe("leaseExists");
    expect(m.refusal({ kind: "leaseGrant", id: "0", ttlSeconds: 1 })).toBe("leaseNotFound");
    expect(m.refusal({ kind: "leaseRevoke", id: "8", term: 0 })).toBe("leaseNotFound");
  });

  test("a revoke or checkpoint of a leader of another term does nothing", () => {
    const m = new Machine();
    m.do({ kind: "leaseGrant", id: "9", ttlSeconds: 60 });
    m.term = 3;
    m.do({ kind: "leaseRevoke", id: "9", term: 2 });
    m.do({ kind: "leaseCheckpoint", remainingMs: [["9", 1]], term: 2 });
    expect(m.state.leaseTable.get("9")).toMatchObject({ remainingMs: null });
    m.do({ kind: "leaseCheckpoint", remainingMs: [["9", 5000], ["1", 5]], term: 3 }); // prettier-ignore
    expect(m.state.leaseTable.get("9")).toMatchObject({ remainingMs: 5000 });
    m.do({ kind: "leaseCheckpoint", remainingMs: [["9", 60_000]], term: 3 });
    expect(m.state.leaseTable.get("9")).toMatchObject({ remainingMs: null });
    m.do({ kind: "leaseRevoke", id: "9", term: 3 });
    expect(m.state.leaseIds()).toEqual([]);
  });

  test("states are compared where the leader marked them, and a difference is told", () => {
    const [one, two] = [new Machine(), new Machine()];
    const told: unknown[] = [];
    two.state.onHashMismatch((mismatch) => told.push(mismatch));
    const both = (body: CommandBody) => [one, two].map((m) => m.do(body));
    both({ kind: "leaseGrant", id: "9", ttlSeconds: 60 });
    both({ kind: "put", ...put("a", "1", { lease: "9" }) });
    const verify = (marks: readonly Result[]) => both({ kind: "hashVerify", ...(marks[0] as { index: number; hash: number }), term: 1 });
    const equal = both({ kind: "hashMark", term: 1 });
    expect(equal[0]).toEqual(equal[1]);
    verify(equal);
    expect(told).toEqual([]);
    // The checkpoint of another term is no part of it, a real one is.
    for (const [term, differs] of [
      [7, false],
      [1, true],
    ] as const) {
      // prettier-ignore
      two.state.apply({ kind: "leaseCheckpoint", remainingMs: [["9", 5]], term, time: 1000 }, { index: two.index, term: 1 });
      const marks = both({ kind: "hashMark", term: 1 });
      verify(marks);
      expect(told.length > 0, String(term)).toBe(differs);
      const { index, hash } = marks[1] as { index: number; hash: number };
      if (differs) expect(told).toEqual([{ index, expected: (marks[0] as { hash: number }).hash, own: hash }]);
    }
    // Of another term, or of a place that was not marked here: nothing to compare.
    two.do({ kind: "hashVerify", index: 1, hash: 1, term: 1 });
    two.do({ kind: "hashVerify", index: (two.do({ kind: "hashMark", term: 1 }) as { index: number }).index, hash: 1, term: 6 });
    expect(two.do({ kind: "hashMark", term: 6 })).toEqual({ op: "hash", index: 0, hash: 0 });
    expect(told).toHaveLength(1);
  });

  test("the listener hears of everything once it is so", () => {
    const m = new Machine();
    const heard: string[] = [];
    m.state.onLeases({
      granted: (id, ttl) => heard.push(`granted ${id} ${ttl} ${m.state.leaseTable.get(id) !== undefined}`),
      revoked: (id) => heard.push(`revoked ${id} ${m.state.leaseTable.get(id) !== undefined}`),
      checkpointed: (id, ms) => heard.push(`checkpointed ${id} ${ms}`),
      reset: () => heard.push("reset"),
    });
    m.do({ kind: "leaseGrant", id: "9", ttlSeconds: 60 });
    m.do({ kind: "leaseCheckpoint", remainingMs: [["9", 5000]], term: 1 });
    m.do({ kind: "leaseRevoke", id: "9", term: 1 });
    expect(heard).toEqual(["granted 9 60 true", "checkpointed 9 5000", "revoked 9 false"]);
  });

  test("a v2 TTL is a lease that ends its node, and is not listed", () => {
    const m = new Machine();
    const v2 = { method: "put", recursive: false, refresh: false, prevValue: null, prevIndex: null, prevExist: null } as const;
    m.do({ kind: "v2", ...v2, path: b("/dir"), dir: true, value: b(""), ttlSeconds: 5 });
    m.do({ kind: "v2", ...v2, path: b("/dir/a"), dir: false, value: b("1"), ttlSeconds: null });
    const [lease] = [...m.state.leaseTable.all()];
    expect([lease?.v2, m.state.leaseIds()]).toEqual([{ path: "/dir", expiresAt: 6000 }, []]);
    const records: string[] = [];
    m.state.onCommit((record) => records.push(`${record.revision} ${record.note?.action} ${record.time}`));
    m.time = 6000;
    m.do({ kind: "leaseRevoke", id: lease!.id, term: 1 });
    expect([m.contents, m.state.leaseTable.size, records]).toEqual(["", 0, ["4 expire 6000"]]);
  });
});

describe("space, alarms, clock", () => {
  test("nospace refuses what adds data and allows what frees it", () => {
    const m = new Machine();
    m.do({ kind: "put", ...put("a") });
    m.do({ kind: "leaseGrant", id: "9", ttlSeconds: 60 });
    const alarm = { memberId: "5", alarm: "nospace" } as const;
    expect(m.do({ kind: "alarm", action: "activate", alarm })).toEqual({ op: "alarm", alarms: [alarm] });
    expect(m.do({ kind: "alarm", action: "activate", alarm })).toEqual({ op: "alarm", alarms: [alarm] });
    expect(m.state.alarms()).toEqual([alarm]);
    const v2 = { path: b("/x"), dir: false, recursive: false, value: b(""), ttlSeconds: null, refresh: false, prevValue: null, prevIndex: null, prevExist: null }; // prettier-ignore
    const adding: CommandBody[] = [
      { kind: "put", ...put("b") },
      { kind: "append", ...append("q") },
      { kind: "txn", compare: [], success: [], failure: [opTxn([opPut("b")])] },
      { kind: "leaseGrant", id: "7", ttlSeconds: 1 },
      { kind: "v2", method: "put", ...v2 },
      { kind: "v2", method: "post", ...v2 },
    ];
    for (const body of adding) expect(m.refusal(body)).toBe("noSpace");
    expect(m.refusal({ kind: "v2", method: "delete", ...v2 })).toBe("v2KeyNotFound");
    m.txn([opRange("a"), opDelete("b")]);
    m.do({ kind: "delete", ...del("a") });
    m.do({ kind: "compact", revision: 2 });
    m.do({ kind: "leaseRevoke", id: "9", term: 0 });
    expect(m.do({ kind: "alarm", action: "deactivate", alarm })).toEqual({ op: "alarm", alarms: [alarm] });
    expect(m.do({ kind: "alarm", action: "deactivate", alarm })).toEqual({ op: "alarm", alarms: [] });
    m.do({ kind: "put", ...put("b") });
  });

  test("corrupt refuses every command but alarms; reads go on, as in etcd 3.4", () => {
    const m = new Machine();
    m.do({ kind: "put", ...put("a") });
    m.do({ kind: "alarm", action: "activate", alarm: { memberId: "5", alarm: "corrupt" } });
    expect(m.refusal({ kind: "delete", ...del("a") })).toBe("corrupt");
    expect(m.state.range(rangeOf("a")).count).toBe(1);
    m.do({ kind: "alarm", action: "deactivate", alarm: { memberId: "5", alarm: "corrupt" } });
    m.do({ kind: "delete", ...del("a") });
  });

  test("growsBeyondQuota() tells what would not fit, and only of what adds data", () => {
    const m = new Machine();
    expect(m.state.growsBeyondQuota({ kind: "put", ...put("a") }, 1000)).toBe(false);
    expect(m.state.growsBeyondQuota({ kind: "put", ...put("a") }, 1_000_001)).toBe(true);
    m.do({ kind: "put", ...put("a", "x".repeat(999_950)) });
    expect(m.state.growsBeyondQuota({ kind: "put", ...put("a") }, 1)).toBe(true);
    expect(m.state.growsBeyondQuota({ kind: "delete", ...del("a") }, 1)).toBe(false);
  });

  test("the clock never goes back, and a refused command moves it too", () => {
    const m = new Machine();
    m.do({ kind: "put", ...put("a") });
    m.time = 500;
    m.do({ kind: "put", ...put("a") });
    expect(m.state.clockMs).toBe(1000);
    m.time = 2000;
    m.refusal({ kind: "leaseRevoke", id: "8", term: 0 });
    expect([m.state.clockMs, m.state.appliedIndex]).toEqual([2000, 3]);
  });

  test("compaction is refused as etcd does, and the same log gives the same hash", () => {
    const run = () => {
      const m = new Machine();
      const hashes = new Set([m.state.hash()]);
      const step = (body: CommandBody) => {
        m.do(body);
        hashes.add(m.state.hash());
      };
      step({ kind: "put", ...put("a") });
      step({ kind: "put", ...put("a") });
      expect(m.refusal({ kind: "compact", revision: 4 })).toBe("futureRevision");
      step({ kind: "compact", revision: 2 });
      expect(m.refusal({ kind: "compact", revision: 2 })).toBe("compacted");
      step({ kind: "leaseGrant", id: "9", ttlSeconds: 60 });
      step({ kind: "leaseCheckpoint", remainingMs: [["9", 10]], term: 1 });
      step({ kind: "alarm", action: "activate", alarm: { memberId: "5", alarm: "nospace" } });
      expect(hashes.size).toBe(7);
      return m.state.hash();
    };
    expect(run()).toBe(run());
  });
});

test("watches hear of commands at the flush", () => {
  const m = new Machine();
  let ready = 0;
  const watcher = m.state.watch({
    key: b("a"),
    end: b("c"),
    startRevision: 0,
    noPut: false,
    noDelete: false,
    prevKv: true,
    onReady: () => ready++,
  });
  m.txn([opPut("a", "1"), opPut("b", "1"), opPut("c", "1")]);
  expect(ready).toBe(0);
  m.state.flush();
  expect(ready).toBe(1);
  expect(watcher.take(1e6)).toMatchObject({ kind: "events", revision: 2, events: [{ kv: { key: "a" } }, { kv: { key: "b" } }] });
});
