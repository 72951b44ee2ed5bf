/** One small truth, a stream for each rule that breaks it. */
import { describe, expect, test } from "vitest";
import { type StreamItem, type StreamRecord, type WatchEvent, WatchTruth, checkWatch, truthOf } from "./watch-check.ts";

const put = (key: string, value: string, createRevision: number, modRevision: number, version: number): WatchEvent => ({
  type: "put",
  key,
  value,
  createRevision,
  modRevision,
  version,
});
const A1 = put("a", "1", 2, 2, 1);
const B1 = put("b", "2", 3, 3, 1);
const A2 = put("a", "3", 2, 4, 2);
const B2 = put("b", "4", 3, 4, 2);
const A3: WatchEvent = { type: "delete", key: "a", value: "", createRevision: 0, modRevision: 5, version: 0 };
const A4 = put("a", "5", 6, 6, 1);
const truth = new WatchTruth([
  { revision: 2, events: [A1] },
  { revision: 3, events: [B1] },
  { revision: 4, events: [A2, B2] },
  { revision: 5, events: [A3] },
  { revision: 6, events: [A4] },
]);
const events = (...list: WatchEvent[]): StreamItem => ({ kind: "events", revision: 6, events: list });
const progress = (revision: number): StreamItem => ({ kind: "progress", revision });
const resumed = (startRevision: number): StreamItem => ({ kind: "resumed", startRevision });
const compacted = (compactRevision: number): StreamItem => ({ kind: "compacted", compactRevision });
const BROKEN: StreamItem = { kind: "broken" };
const all = (...items: StreamItem[]): StreamRecord => ({ startRevision: 1, key: "", end: "\0", items });
const onlyA = (startRevision: number, ...items: StreamItem[]): StreamRecord => ({ startRevision, key: "a", items });
const rules = (record: StreamRecord) => checkWatch(record, truth).map(({ rule }) => rule);

const LEGAL: readonly (readonly [string, StreamRecord])[] = [
  ["a revision an item", { ...all(events(A1), events(B1), events(A2, B2), events(A3), events(A4)), completeTo: 6 }],
  ["all in one item", { ...all(events(A1, B1, A2, B2, A3, A4)), completeTo: 6 }],
  ["one key, with progress", { ...onlyA(3, progress(3), events(A2), progress(4), events(A3, A4), progress(6)), completeTo: 6 }],
  [
    "resumed after the last, and before it",
    all(events(A1, B1), BROKEN, resumed(4), events(A2, B2), BROKEN, resumed(2), events(A1), events(B1)),
  ],
  ["compacted and resumed", { ...onlyA(1, compacted(4), resumed(4), events(A2)), completeTo: 4 }],
  ["a future start", { ...onlyA(6, events(A4)), completeTo: 6 }],
  ["no deletes wanted", { ...onlyA(1, events(A1, A2, A4)), without: "delete", completeTo: 6 }],
  [
    "previous values",
    {
      ...onlyA(2, events({ ...A1, prev: null }, { ...A2, prev: { key: "a", value: "1", createRevision: 2, modRevision: 2, version: 1 } })),
      prev: true,
    },
  ],
];

const ILLEGAL: readonly (readonly [string, StreamRecord])[] = [
  ["filter", onlyA(1, events(A1), events(B1))],
  ["ordered", onlyA(1, events(A2), events(A1))],
  ["ordered", all(events(B1, A1))],
  ["unique", onlyA(1, events(A1), events(A1))],
  ["atomic", all(events(A1, B1, A2), events(B2))],
  ["atomic", all(events(A1, B1, A2))],
  ["early", onlyA(6, events(A3), events(A4))],
  ["early", onlyA(1, events(A1, A2), BROKEN, resumed(5), events(A2))],
  ["reliable", onlyA(1, events(A1), events(A3))],
  ["reliable", { ...onlyA(1, events(A1)), completeTo: 6 }],
  ["resumable", onlyA(1, events(A1), BROKEN, resumed(3), events(A3))],
  ["bookmarkable", onlyA(1, events(A1), progress(4))],
  ["bookmarkable", onlyA(3, progress(4), events(A2))],
  ["content", onlyA(1, events({ ...A1, value: "x" }))],
  ["content", onlyA(1, events({ ...A1, version: 2 }))],
  ["content", onlyA(1, events(A1, A2, A3, A4), events(put("a", "9", 6, 7, 2)))],
  ["create flag", onlyA(1, events(A1), events({ ...A2, createRevision: 4 }))],
  ["previous value", onlyA(1, events(A1), events({ ...A2, prev: null }))],
  ["previous value", { ...onlyA(1, events(A1)), prev: true }],
  ["compacted", onlyA(1, events(A1), compacted(3))],
  ["compacted", onlyA(1, compacted(4), events(A2))],
  ["compacted", onlyA(1, compacted(40))],
  ["header", onlyA(1, { kind: "events", revision: 1, events: [A1] })],
  ["record", onlyA(1, events(A1), BROKEN, resumed(5))],
  ["record", onlyA(1, events(A1), BROKEN, events(A2))],
  ["record", onlyA(0)],
];

describe("checkWatch()", () => {
  test.each(LEGAL)("accepts %s", (_name, record) => {
    expect(checkWatch(record, truth)).toEqual([]);
  });
  test.each(ILLEGAL)("finds what breaks %s", (rule, record) => {
    expect(rules(record)).toContain(rule);
  });
});

describe("the truth", () => {
  test("comes from one complete stream", () => {
    expect(truthOf(all(events(A1), events(B1, A2, B2), progress(4)))).toEqual([
      { revision: 2, events: [A1] },
      { revision: 3, events: [B1] },
      { revision: 4, events: [A2, B2] },
    ]);
    expect(() => truthOf(all(events(A1), events(A2)))).toThrow("from 2 to 4");
    expect(() => truthOf(all(events(A1), BROKEN))).toThrow("not complete");
  });
  test("may not contradict itself", () => {
    expect(() => new WatchTruth([{ revision: 2, events: [A3] }])).toThrow("contradicts itself");
    expect(() => new WatchTruth([{ revision: 2, events: [{ ...A1, version: 3 }] }])).toThrow("contradicts itself");
  });
});
