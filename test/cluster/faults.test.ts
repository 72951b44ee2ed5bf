/** Each fault once, against three real processes, with clients and watches that are judged afterwards. */
import { expect, test } from "vitest";
import { faultRun } from "./fault-run.ts";
import { FAULTS } from "./nemesis.ts";

test(
  "nothing acknowledged is lost, no read is stale, no watch misses or repeats anything, whatever goes wrong",
  { timeout: 240_000 },
  async () => {
    const result = await faultRun({ seed: 20_261_123 });
    expect(result.violations).toEqual([]);
    expect(Object.keys(result.faults).toSorted()).toEqual([...FAULTS].toSorted());
    expect(result.operations).toBeGreaterThan(200);
    expect(result.watched).toBeGreaterThan(2 * result.events); // two watches of everything, and one of a part
    expect(result.undecided).toBe(0);
  },
);
