import fc from "fast-check";
import { expect, test } from "vitest";
import { InvariantError } from "../invariant.ts";
import { ENTRY_OVERHEAD, RaftLog } from "./log.ts";
import type { Entry } from "./types.ts";

function entry(index: number, term: number, size = 1): Entry {
  return { index, term, kind: "data", data: new Uint8Array(size) };
}

function logOf(terms: readonly number[], offset = 0, offsetTerm = 0): RaftLog {
  return new RaftLog(
    offset,
    offsetTerm,
    terms.map((term, at) => entry(offset + 1 + at, term)),
  );
}

test("RaftLog answers as a plain list of terms does, through any appends, truncations and trims", () => {
  const operation = fc.oneof(
    fc.record({ kind: fc.constant("append" as const), rise: fc.nat(2), size: fc.nat(20) }),
    fc.record({ kind: fc.constant("truncate" as const), at: fc.nat(100) }),
    fc.record({ kind: fc.constant("trim" as const), at: fc.nat(100) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 60 }), (operations) => {
      const log = new RaftLog(0, 0, []);
      const model: { term: number; size: number }[] = []; // from index 1
      let offset = 0;
      for (const one of operations) {
        if (one.kind === "append") {
          const term = (model.at(-1)?.term ?? 1) + one.rise;
          model.push({ term, size: one.size });
          log.append(entry(model.length, term, one.size));
        } else if (one.kind === "truncate") {
          const at = offset + 1 + (one.at % (model.length - offset + 1));
          log.truncate(at);
          model.length = at - 1;
        } else {
          offset += one.at % (model.length - offset + 1);
          log.trim(offset);
        }
        expect(log.last).toBe(model.length);
        expect(log.offset).toBe(offset);
        expect(log.lastTerm).toBe(model.at(-1)?.term ?? 0);
        const retained = model.slice(offset);
        expect(log.bytes).toBe(retained.reduce((sum, each) => sum + each.size + ENTRY_OVERHEAD, 0));
        for (let index = 0; index <= model.length + 1; index++) {
          const known = index >= offset && index <= model.length;
          expect(log.term(index)).toBe(known ? (model[index - 1]?.term ?? 0) : undefined);
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("append() and truncate() refuse to make a gap or to reach below the retained part", () => {
  const log = logOf([1, 1], 5, 1);
  expect(() => log.append(entry(9, 1))).toThrow(InvariantError);
  expect(() => log.append(entry(8, 0))).toThrow(InvariantError);
  expect(() => log.truncate(5)).toThrow(InvariantError);
  expect(() => new RaftLog(0, 0, [entry(1, 2), entry(2, 1)])).toThrow(InvariantError);
});

test("§3.6.1: a log is more up to date by its last term first, by its length then", () => {
  const log = logOf([1, 2, 2]);
  expect(log.isUpToDate(1, 3)).toBe(true);
  expect(log.isUpToDate(3, 2)).toBe(true);
  expect(log.isUpToDate(2, 2)).toBe(false);
  expect(log.isUpToDate(100, 1)).toBe(false);
});

test("slice() stops at the limit in bytes and always gives the first entry", () => {
  const log = new RaftLog(0, 0, [entry(1, 1, 100), entry(2, 1, 100), entry(3, 1, 100)]);
  expect(log.slice(1, 3, 0).map((one) => one.index)).toEqual([1]);
  expect(log.slice(1, 3, 2 * (100 + ENTRY_OVERHEAD)).map((one) => one.index)).toEqual([1, 2]);
  expect(log.slice(2, 2, 1000).map((one) => one.index)).toEqual([2]);
  expect(log.slice(4, 3, 1000)).toEqual([]);
});

test("lastAtMost() finds the last place whose term is not above the asked one, and says 0 for what it has forgotten", () => {
  const log = logOf([2, 2, 5, 5, 7], 10, 2);
  expect(log.lastAtMost(15, 5)).toEqual({ index: 14, term: 5 });
  expect(log.lastAtMost(99, 9)).toEqual({ index: 15, term: 7 });
  expect(log.lastAtMost(13, 4)).toEqual({ index: 12, term: 2 });
  expect(log.lastAtMost(15, 1)).toEqual({ index: 10, term: 0 });
  expect(log.lastAtMost(4, 3)).toEqual({ index: 4, term: 0 });
});

test("clone() shares nothing that changes", () => {
  const log = logOf([1, 1]);
  const copy = log.clone();
  log.truncate(2);
  copy.append(entry(3, 4));
  expect([log.last, copy.last, copy.term(2)]).toEqual([1, 3, 1]);
});
