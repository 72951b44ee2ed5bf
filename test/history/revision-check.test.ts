import { describe, expect, test } from "vitest";
import { Random } from "../differential/random.ts";
import { type Answer, type Found, type Operation, type Request, type Truth, checkHistory } from "./revision-check.ts";

const truth: Truth[] = [
  { revision: 2, key: "a", value: "1" },
  { revision: 3, key: "a", value: "2" },
  { revision: 4, key: "a", value: undefined },
  { revision: 5, key: "b", value: "3" },
];
const op = (called: number, returned: number, request: Request, answer: Answer | null): Operation => ({
  client: 1,
  called,
  returned: answer === null ? Infinity : returned,
  request,
  answer,
});
const found = (value: string, modRevision: number, version: number): Found => ({ value, modRevision, version });
const put = (key: string, value: string): Request => ({ kind: "put", key, value });
const get = (key: string): Request => ({ kind: "get", key });

const LEGAL: Operation[] = [
  op(0, 10, put("a", "1"), { revision: 2, found: null }),
  op(5, 30, put("a", "2"), { revision: 3, found: found("1", 2, 1) }),
  op(12, 20, get("a"), { revision: 2, found: found("1", 2, 1) }),
  op(31, 33, { kind: "swap", key: "a", value: "x", expected: 2 }, { revision: 3, succeeded: false, found: found("2", 3, 2) }),
  op(34, 40, { kind: "delete", key: "a" }, { revision: 4, deleted: 1 }),
  op(41, 42, get("a"), { revision: 4, found: null }),
  op(43, 0, put("b", "3"), null),
  op(60, 61, { kind: "stale-get", key: "a" }, { revision: 3, found: found("2", 3, 2) }),
];

describe("checkHistory()", () => {
  test("a legal history, with a write whose answer never came, has no fault", () => {
    expect(checkHistory(LEGAL, truth)).toEqual([]);
  });

  const with_ = (at: number, operation: Operation): Operation[] => LEGAL.with(at, operation);
  test.each<[string, readonly Operation[], RegExp]>([
    ["a stale read", with_(5, op(41, 42, get("a"), { revision: 3, found: found("2", 3, 2) })), /had been told before/],
    ["a wrong value", with_(2, op(12, 20, get("a"), { revision: 2, found: found("2", 2, 1) })), /wrong at its revision/],
    ["a wrong version", with_(2, op(12, 20, get("a"), { revision: 2, found: found("1", 2, 2) })), /wrong at its revision/],
    ["a lost write", with_(0, op(0, 10, put("a", "9"), { revision: 2 })), /not in the history at its revision/],
    ["a write out of order", with_(0, op(35, 36, put("a", "1"), { revision: 2 })), /had been told before/],
    ["a wrong previous value", with_(1, op(5, 30, put("a", "2"), { revision: 3, found: null })), /wrong previous value/],
    [
      "a swap that should not have been",
      with_(1, op(5, 30, { kind: "swap", key: "a", value: "2", expected: 0 }, { revision: 3, succeeded: true })),
      /does not fit/,
    ],
    [
      "a swap that should have been",
      with_(3, op(31, 33, { kind: "swap", key: "a", value: "x", expected: 3 }, { revision: 3, succeeded: false })),
      /although it fits/,
    ],
    ["what nobody wrote", LEGAL.filter((_, at) => at !== 6), /nobody wrote/],
    ["a delete by nobody", LEGAL.filter((_, at) => at !== 4), /nobody deleted/],
    ["a revision beyond the end", with_(5, op(41, 42, get("a"), { revision: 9, found: null })), /not in the history/],
    [
      "a delete that overlooked something",
      with_(5, op(21, 22, { kind: "delete", key: "a" }, { revision: 3, deleted: 0 })),
      /found nothing where/,
    ],
  ])("%s is a fault", (_name, operations, message) => {
    expect(checkHistory(operations, truth).join("\n")).toMatch(message);
  });

  test("a write that was done twice, and a hole in the truth, are faults", () => {
    const twice = [...truth, { revision: 6, key: "b", value: "3" }];
    expect(checkHistory(LEGAL, twice).join()).toMatch(/done twice/);
    expect(checkHistory(LEGAL, truth.slice(1)).join()).toMatch(/should be/);
  });

  test("random histories of a correct store are legal; of those with one answer altered nearly all are not", () => {
    let [altered, caught] = [0, 0];
    for (let seed = 1; seed <= 150; seed++) {
      const random = new Random(seed);
      const { operations, truth: real } = correct(random);
      expect(checkHistory(operations, real), `seed ${seed}`).toEqual([]);
      const at = random.int(operations.length);
      const change = alter(operations[at]!, random);
      if (change === null) continue;
      altered++;
      if (checkHistory(operations.with(at, change), real).length > 0) caught++;
    }
    expect(altered).toBeGreaterThan(100);
    expect(caught / altered).toBeGreaterThan(0.95);
  });
});

/** A history of several clients at a store that does one operation after the other, somewhere between its call and its return. */
function correct(random: Random): { operations: Operation[]; truth: Truth[] } {
  const truth: Truth[] = [];
  const state = new Map<string, Found>();
  const operations: Operation[] = [];
  let revision = 1;
  for (let at = 10; at < 1_000; at += 10) {
    const key = random.pick(["x", "y", "z"]);
    const before = state.get(key) ?? null;
    const value = `v${at}`;
    const request: Request = random.pick<Request>([
      { kind: "put", key, value },
      { kind: "get", key },
      { kind: "delete", key },
      { kind: "swap", key, value, expected: random.chance(60) ? (before?.modRevision ?? 0) : random.int(20) },
    ]);
    const fits = request.kind === "swap" && request.expected === (before?.modRevision ?? 0);
    let answer: Answer = { revision, found: before };
    if (request.kind === "put" || fits) {
      revision++;
      state.set(key, { value, modRevision: revision, version: (before?.version ?? 0) + 1 });
      truth.push({ revision, key, value });
      answer = request.kind === "put" ? { revision, found: before } : { revision, succeeded: true };
    } else if (request.kind === "delete") {
      if (before !== null) {
        revision++;
        state.delete(key);
        truth.push({ revision, key, value: undefined });
      }
      answer = { revision, deleted: before === null ? 0 : 1 };
    } else if (request.kind === "swap") answer = { ...answer, succeeded: false };
    const lost = request.kind !== "get" && random.chance(10);
    // Calls and returns reach over those of others.
    const [called, returned] = [at - random.int(40), at + random.int(40)];
    operations.push({ client: at, called, returned: lost ? Infinity : returned, request, answer: lost ? null : answer });
  }
  return { operations, truth };
}

/** The same with another answer; null where none was given. */
function alter(operation: Operation, random: Random): Operation | null {
  const { answer, request } = operation;
  if (answer === null) return null;
  if (request.kind === "get") {
    const value = answer.found === null || answer.found === undefined ? found("other", 2, 1) : null;
    return { ...operation, answer: { ...answer, found: value } };
  }
  if (request.kind === "swap") return { ...operation, answer: { ...answer, succeeded: answer.succeeded !== true } };
  if (request.kind === "delete") return { ...operation, answer: { ...answer, deleted: answer.deleted === 0 ? 1 : 0 } };
  return { ...operation, answer: { ...answer, revision: answer.revision + (random.chance(50) ? 1 : -1) } };
}
