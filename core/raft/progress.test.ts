import fc from "fast-check";
import { expect, test } from "vitest";
import {
  acknowledge,
  becomeProbe,
  becomeReplicate,
  becomeSnapshot,
  freeInflight,
  isFull,
  newProgress,
  reject,
  sentInflight,
} from "./progress.ts";
import { EMPTY_CONFIG } from "./config-change.ts";

const META = { index: 9, term: 1, config: EMPTY_CONFIG, configIndex: 1, size: 1, id: "9:1" };

test("match stays below next and what is in flight is counted, through any answers in any order", () => {
  const step = fc.record({
    kind: fc.constantFrom("send", "ack", "reject", "probe", "replicate", "snapshot"),
    at: fc.nat(30),
    hint: fc.nat(30),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const progress = newProgress("p", 5, 0);
      for (const { kind, at, hint } of steps) {
        const before = progress.match;
        if (kind === "send" && progress.state === "replicate") {
          progress.next += 2;
          sentInflight(progress, progress.next - 1, 10);
        } else if (kind === "ack") {
          acknowledge(progress, at);
          freeInflight(progress, at);
        } else if (kind === "reject") reject(progress, at, hint);
        else if (kind === "probe") becomeProbe(progress);
        else if (kind === "replicate") becomeReplicate(progress);
        else if (kind === "snapshot") becomeSnapshot(progress, META);
        expect(progress.match).toBeGreaterThanOrEqual(before);
        expect(progress.match).toBeLessThan(progress.next);
        expect(progress.inflightTotal).toBe(progress.inflightBytes.reduce((sum, bytes) => sum + bytes, 0));
        expect(progress.inflightLast).toEqual(progress.inflightLast.toSorted((a, b) => a - b));
      }
    }),
    { numRuns: 300 },
  );
});

test("reject() ignores what is late: below match while replicating, another place than the probe's while probing", () => {
  const progress = newProgress("p", 10, 0);
  expect(reject(progress, 7, 7)).toBe(false);
  expect(reject(progress, 10, 4)).toBe(true);
  expect(progress.next).toBe(5);
  acknowledge(progress, 5);
  becomeReplicate(progress);
  expect(reject(progress, 5, 0)).toBe(false);
  expect(progress.state).toBe("replicate");
  progress.next = 20;
  expect(reject(progress, 12, 8)).toBe(true);
  expect([progress.state, progress.next]).toEqual(["probe", 9]);
});

test("isFull() is bounded by messages and by bytes", () => {
  const progress = newProgress("p", 0, 0);
  becomeReplicate(progress);
  sentInflight(progress, 1, 100);
  expect(isFull(progress, 2, 1000)).toBe(false);
  expect(isFull(progress, 1, 1000)).toBe(true);
  expect(isFull(progress, 2, 100)).toBe(true);
  freeInflight(progress, 1);
  expect(isFull(progress, 1, 1)).toBe(false);
});

test("becomeProbe() after a snapshot goes on behind it", () => {
  const progress = newProgress("p", 20, 0);
  becomeSnapshot(progress, META);
  becomeProbe(progress);
  expect([progress.next, progress.offered]).toEqual([10, null]);
});
