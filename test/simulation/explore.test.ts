/** Exhaustive exploration within a bound that a test run can afford; `npm run sim -- --explore 10` goes ten times as far. */
import { expect, test } from "vitest";
import { BUSY_MS_MAX } from "./busy.ts";
import { EXPLORATIONS, Explorer, exploreAll } from "./explore.ts";

test("more than a million states of small clusters break no promise", { timeout: BUSY_MS_MAX }, () => {
  const lines: string[] = [];
  expect(exploreAll(1, (line) => lines.push(line))).toBeNull();
  expect(lines).toHaveLength(EXPLORATIONS.length);
  expect(EXPLORATIONS.reduce((sum, one) => sum + one.maxStates, 0)).toBeGreaterThanOrEqual(1_000_000);
});

test("a cluster of two within small bounds is seen completely", () => {
  const bounds = { members: 2, maxTerm: 2, proposals: 1, crashes: 0, configs: 0, preVote: false, slowDisks: false, maxStates: 1_000_000 };
  const result = new Explorer(bounds).run();
  expect(result.complete).toBe(true);
  expect(result.states).toBeGreaterThan(50);
});
