/** Histories of one key made by hand, for the search that trusts no header. */
import { describe, expect, test } from "vitest";
import type { KeyValue, Operation, Request, Response } from "./history.ts";
import { checkLinearizable, partitionByKey, searchRegister } from "./linearizability.ts";

let looks = 0;
/** By steps of the search, so that a busy machine changes no verdict. */
const LIMIT = { now: () => ++looks, limit: 1_000 };
const op = (call: number, returned: number | null, request: Request, response: Response | null): Operation => ({
  client: "c",
  call,
  return: returned,
  request,
  response,
});
const put = (value: string): Request => ({ kind: "put", key: "a", value });
const GET: Request = { kind: "range", key: "a" };
const swap = (expected: number, value: string): Request => ({
  kind: "txn",
  compare: [{ key: "a", target: "mod", op: "=", value: expected }],
  success: [{ kind: "put", key: "a", value }],
  failure: [],
});
const done = (revision: number): Response => ({ kind: "put", revision });
const swapped = (revision: number, succeeded: boolean): Response => ({
  kind: "txn",
  succeeded,
  results: succeeded ? [{ kind: "put" }] : [],
  revision,
});
/** A read whose header says nothing of use. */
const found = (...[value, createRevision, modRevision, version]: [] | [string, number, number, number]): Response => {
  const kvs: KeyValue[] =
    value === undefined ? [] : [{ key: "a", value, createRevision: createRevision!, modRevision: modRevision!, version: version! }];
  return { kind: "range", kvs, revision: 999 };
};
const verdict = (operations: Operation[]) => searchRegister(operations, LIMIT).verdict;

describe("searchRegister()", () => {
  test("accepts overlapping operations in the order that their answers need", () => {
    expect(verdict([op(1, 10, put("1"), done(5)), op(2, 3, GET, found("1", 5, 5, 1)), op(4, 5, GET, found("1", 5, 5, 1))])).toBe(
      "linearizable",
    );
  });
  test("refuses a new value before an old one", () => {
    const history = [
      op(0, 1, put("1"), done(2)),
      op(2, 10, put("2"), done(3)),
      op(3, 4, GET, found("2", 2, 3, 2)),
      op(5, 6, GET, found("1", 2, 2, 1)),
      op(11, 12, GET, found("2", 2, 3, 2)),
    ];
    const result = searchRegister(history, LIMIT);
    expect(result.verdict).toBe("illegal");
    expect(result.blocked).toBe(history[3]);
    expect(result.prefix.map((one) => one.return)).toEqual([1, null, 4, 6]);
  });
  test("refuses two swaps that expect one revision", () => {
    const both = (second: Operation) => [op(0, 1, put("1"), done(2)), op(2, 9, swap(2, "x"), swapped(3, true)), second];
    expect(verdict(both(op(2, 9, swap(2, "y"), swapped(4, true))))).toBe("illegal");
    expect(verdict(both(op(2, 9, swap(2, "y"), swapped(3, false))))).toBe("linearizable");
  });
  test("lets an open write be done late or never, and once", () => {
    const open = op(0, null, put("1"), null);
    expect(verdict([open, op(1, 2, GET, found())])).toBe("linearizable");
    expect(verdict([open, op(1, 2, GET, found()), op(3, 4, GET, found("1", 7, 7, 1))])).toBe("linearizable");
    expect(verdict([open, op(1, 2, GET, found("1", 7, 7, 1)), op(3, 4, GET, found())])).toBe("illegal");
    const again = [op(1, 2, GET, found("1", 7, 7, 1)), op(3, 4, put("2"), done(8)), op(5, 6, GET, found("1", 7, 9, 3))];
    expect(verdict([open, ...again])).toBe("illegal");
  });
  test("learns the revision of an open write from the first read, and holds later ones to it", () => {
    const open = op(0, null, put("1"), null);
    expect(verdict([open, op(1, 2, GET, found("1", 7, 7, 1)), op(3, 4, GET, found("1", 8, 8, 1))])).toBe("illegal");
    expect(verdict([open, op(1, 2, GET, found("1", 6, 7, 1))])).toBe("illegal");
  });
  test("says unknown when time is up", () => {
    let time = 0;
    const wide = Array.from({ length: 24 }, (_, at) => op(at, null, put(String(at)), null));
    const impossible = op(30, 31, GET, found("never", 2, 2, 1));
    expect(searchRegister([...wide, impossible], { now: () => time++, limit: 3 }).verdict).toBe("unknown");
  });
});

describe("checkLinearizable()", () => {
  test("looks at each key, and names the bad one", () => {
    const other: Operation = { ...op(1, 2, GET, found()), request: { kind: "range", key: "b" } };
    const history = [op(0, 1, put("1"), done(2)), op(2, 3, GET, found()), other];
    expect(checkLinearizable(history, LIMIT)?.key).toBe("a");
    expect(checkLinearizable([history[0]!, other], LIMIT)).toBeNull();
  });
  test("does not take requests for several keys", () => {
    expect(() => partitionByKey([op(1, 2, { kind: "range", key: "a", end: "c" }, found())])).toThrow("not a request for one key");
  });
});
