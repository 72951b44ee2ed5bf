import { describe, expect, test } from "vitest";
import { AutoCompaction } from "./auto-compaction.ts";

describe("AutoCompaction", () => {
  test("off never asks", () => {
    const policy = new AutoCompaction({ mode: "off" });
    for (let now = 0; now < 1e9; now += 1e6) expect(policy.due(now, 1e6, 0)).toBeUndefined();
  });

  test("periodic keeps the revisions of one retention period", () => {
    const policy = new AutoCompaction({ mode: "periodic", retentionMs: 60_000 });
    let compacted = 0;
    const asked: [number, number][] = [];
    // one revision a second
    for (let second = 0; second <= 180; second++) {
      const target = policy.due(second * 1000, second, compacted);
      if (target !== undefined) asked.push([second, (compacted = target)]);
    }
    expect(asked[0]).toEqual([66, 6]); // revision 0 holds nothing to compact
    for (const [second, revision] of asked) {
      expect(second - revision).toBeGreaterThanOrEqual(60);
      expect(second - revision).toBeLessThanOrEqual(66);
    }
  });

  test("revision keeps the last so many, looking every five minutes", () => {
    const policy = new AutoCompaction({ mode: "revision", retentionRevisions: 100 });
    expect(policy.due(0, 50, 0)).toBeUndefined();
    expect(policy.due(60_000, 500, 0)).toBeUndefined();
    expect(policy.due(300_000, 500, 0)).toBe(400);
    expect(policy.due(600_000, 500, 400)).toBeUndefined();
  });
});
