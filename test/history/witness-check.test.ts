/** Histories made by hand: what the witness check has to accept, and what it has to name. */
import { describe, expect, test } from "vitest";
import { type KeyValue, type Operation, type Request, type Response, HistoryRecorder, fromNdjson, toNdjson } from "./history.ts";
import { State, apply } from "./model.ts";
import { checkWitness } from "./witness-check.ts";

const op = (times: readonly [number, number], request: Request, response: Response, client = "c1", member = "m1"): Operation => ({
  client,
  member,
  call: times[0],
  return: times[1],
  request,
  response,
});
const lost = (call: number, request: Request, client = "c2"): Operation => ({ client, call, return: null, request, response: null });
const put = (key: string, value: string): Request => ({ kind: "put", key, value });
const get = (key: string, serializable?: boolean): Request => ({ kind: "range", key, ...(serializable === true ? { serializable } : {}) });
const remove = (key: string): Request => ({ kind: "delete", key });
const done = (revision: number): Response => ({ kind: "put", revision });
const deleted = (revision: number, count: number): Response => ({ kind: "delete", deleted: count, revision });
const kv = (key: string, value: string, createRevision: number, modRevision: number, version: number): KeyValue => ({
  key,
  value,
  createRevision,
  modRevision,
  version,
});
const found = (revision: number, ...kvs: KeyValue[]): Response => ({ kind: "range", kvs, revision });
const rules = (operations: Operation[]) => checkWitness(operations).violations.map(({ rule }) => rule);

describe("legal histories", () => {
  const legal: readonly (readonly [name: string, operations: Operation[]])[] = [
    ["nothing", []],
    ["reads at one revision in any order", [op([5, 6], get("a"), found(1)), op([1, 2], get("b"), found(1))]],
    [
      "concurrent writes in the other order of calls",
      [op([1, 10], put("a", "1"), done(3)), op([2, 9], put("a", "2"), done(2)), op([11, 12], get("a"), found(3, kv("a", "1", 2, 3, 2)))],
    ],
    ["a delete of nothing has the revision before", [op([1, 2], remove("a"), deleted(1, 0))]],
    ["a write of unknown outcome that was not done", [lost(1, put("a", "1")), op([3, 4], get("a"), found(1))]],
    [
      "one that was done long after its call",
      [lost(1, put("a", "1")), op([3, 4], get("a"), found(1)), op([9, 10], put("b", "2"), done(3))],
    ],
    ["an old serializable read", [op([1, 2], put("a", "1"), done(2)), op([3, 4], get("a", true), found(1), "c2", "m2")]],
    [
      "a gap that only a later answer decides",
      [
        lost(1, put("a", "1")),
        lost(2, put("b", "2")),
        op([3, 4], put("c", "3"), done(3)),
        op([5, 6], { kind: "delete", key: "b", end: "c" }, deleted(4, 1)),
      ],
    ],
    [
      "the end of a lease",
      [
        op([1, 2], { kind: "put", key: "a", value: "1", lease: "7" }, done(2)),
        op([3, 4], put("b", "2"), done(4)),
        op([5, 6], get("a"), found(4)),
      ],
    ],
    [
      "a transaction of two keys",
      [
        op(
          [1, 2],
          {
            kind: "txn",
            compare: [{ key: "a", target: "create", op: "=", value: 0 }],
            success: [put("a", "1"), get("a"), put("b", "2")] as never,
            failure: [],
          },
          {
            kind: "txn",
            succeeded: true,
            results: [{ kind: "put" }, { kind: "range", kvs: [kv("a", "1", 2, 2, 1)] }, { kind: "put" }],
            revision: 2,
          },
        ),
        op([3, 4], { kind: "range", key: "", end: "\0" }, found(2, kv("a", "1", 2, 2, 1), kv("b", "2", 2, 2, 1))),
      ],
    ],
  ];
  test.each(legal)("%s", (_name, operations) => {
    expect(checkWitness(operations).violations).toEqual([]);
  });
});

describe("illegal histories", () => {
  const illegal: readonly (readonly [name: string, rule: string, operations: Operation[]])[] = [
    ["a read misses a write that had returned", "real time", [op([1, 2], put("a", "1"), done(2)), op([3, 4], get("a"), found(1))]],
    [
      "a read sees what is not there yet",
      "answer",
      [op([1, 2], get("a"), found(1, kv("a", "1", 2, 2, 1))), op([3, 4], put("a", "1"), done(2))],
    ],
    ["an acknowledged write is lost", "answer", [op([1, 2], put("a", "1"), done(2)), op([3, 4], get("a"), found(2))]],
    ["two writes with one revision", "one revision a write", [op([1, 9], put("a", "1"), done(2)), op([2, 8], put("b", "2"), done(2))]],
    ["a write in the order of another time", "real time", [op([1, 2], put("a", "1"), done(3)), op([3, 4], put("a", "2"), done(2))]],
    ["a revision that nobody made", "gap", [op([1, 2], put("a", "1"), done(3))]],
    ["one that could only be made later", "gap", [op([1, 2], put("a", "1"), done(3)), lost(3, put("b", "2"))]],
    [
      "an unknown write that was done twice",
      "gap",
      [
        lost(1, put("a", "1")),
        op([2, 3], get("a"), found(2, kv("a", "1", 2, 2, 1))),
        op([4, 5], put("a", "2"), done(3)),
        op([6, 7], get("a"), found(4, kv("a", "1", 2, 4, 3))),
      ],
    ],
    ["a wrong version", "answer", [op([1, 2], put("a", "1"), done(2)), op([3, 4], get("a"), found(2, kv("a", "1", 2, 2, 2)))]],
    ["a delete that counts wrongly", "answer", [op([1, 2], put("a", "1"), done(2)), op([3, 4], remove("a"), deleted(3, 2))]],
    [
      "a delete that found nothing, and should have",
      "answer",
      [op([1, 2], put("a", "1"), done(2)), op([3, 4], remove("a"), deleted(2, 0))],
    ],
    [
      "a serializable read that was never true",
      "serializable read",
      [op([1, 2], put("a", "1"), done(2)), op([3, 4], get("a", true), found(1, kv("a", "1", 2, 2, 1)), "c2", "m2")],
    ],
    [
      "a serializable read that goes back",
      "serializable read goes back",
      [
        op([1, 2], put("a", "1"), done(2), "c1", "m1"),
        op([3, 4], get("a", true), found(2, kv("a", "1", 2, 2, 1)), "c2", "m2"),
        op([5, 6], get("a", true), found(1), "c2", "m2"),
      ],
    ],
    [
      "a write that a serializable read saw before its call",
      "real time",
      [op([1, 2], get("a", true), found(2, kv("a", "1", 2, 2, 1)), "c2", "m2"), op([3, 4], put("a", "1"), done(2))],
    ],
    ["a write at the first revision", "header", [op([1, 2], put("a", "1"), done(1))]],
    ["an answer without a revision", "header", [op([1, 2], put("a", "1"), done(0))]],
  ];
  test.each(illegal)("%s: %s", (_name, rule, operations) => {
    expect(rules(operations)).toContain(rule);
  });

  test("the truth is held against the writes", () => {
    const operations = [op([1, 2], put("a", "1"), done(2))];
    const truth = (value: string) => [{ revision: 2, events: [{ type: "put" as const, key: "a", value }] }];
    expect(checkWitness(operations, { truth: truth("1") }).violations).toEqual([]);
    expect(checkWitness(operations, { truth: truth("2") }).violations.map(({ rule }) => rule)).toEqual(["truth"]);
  });

  test("operations are named in words", () => {
    const [violation] = checkWitness([op([1, 2], put("a", "1"), done(2)), op([3, 4], get("a"), found(1))]).violations;
    expect(violation!.text).toContain(`c1's "range a" was called after c1's "put a=1" had returned with revision 2`);
  });
});

describe("HistoryRecorder", () => {
  test("keeps answers and open writes, leaves out refused requests and reads without an answer", () => {
    let time = 0;
    const recorder = new HistoryRecorder(() => ++time);
    const first = recorder.invoke("c1", put("a", "1"), "m1");
    recorder.invoke("c2", get("a")).unknown();
    recorder.invoke("c2", put("a", "2")).refused();
    recorder.invoke("c3", put("a", "3")).unknown();
    recorder.invoke("c4", put("a", "4"));
    first.ok(done(2));
    const operations = recorder.operations();
    expect(operations).toEqual([op([1, 6], put("a", "1"), done(2)), lost(4, put("a", "3"), "c3"), lost(5, put("a", "4"), "c4")]);
    expect(fromNdjson(toNdjson(operations))).toEqual(operations);
    expect(() => first.unknown()).toThrow("has its outcome already");
    expect(() => fromNdjson('{"client":"c1"}\n')).toThrow("line 1");
  });
});

describe("State", () => {
  test("has equal hashes for equal contents, and others when something changes", () => {
    const [one, two] = [new State(), new State()];
    for (const state of [one, two]) apply(state, put("a", "1"));
    const before = one.hash();
    expect(two.hash()).toBe(before);
    expect(one.clone().hash()).toBe(before);
    apply(one, put("a", "2"));
    expect(one.hash()).not.toBe(before);
    apply(two, put("a", "2"));
    expect(two.hash()).toBe(one.hash());
  });
});
