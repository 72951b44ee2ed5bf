/** Random schedules of a counter, judged by a search. `RECIPE_RUNS=500` makes it 500 seeds; `RECIPE_SEED=7` is the one seed. */
import { expect, test } from "vitest";
import { search } from "../../history/search.ts";
import { CLUSTER_SEEDS } from "./actors.ts";
import { runCounter } from "./counter-schedule.ts";
import { COUNTER, type CounterCall, type HeldCall, heldModel } from "./sequential.ts";

const only = process.env["RECIPE_SEED"];
const runs = Number(process.env["RECIPE_RUNS"] ?? 6);
const seeds = only === undefined ? Array.from({ length: runs }, (_, n) => n + 1) : [Number(only)];
const bound = { now: Date.now, limit: 20_000 };

test(
  "random schedules of a counter are linearizable, and not when an answer is another",
  { timeout: 10_000 + 5_000 * seeds.length },
  async () => {
    const total = { calls: 0, unknown: 0, refused: 0 };
    for (const seed of [...seeds, ...(only === undefined ? [CLUSTER_SEEDS + 1] : [])]) {
      const { faults, calls } = await runCounter(seed);
      expect(faults, `seed ${seed}`).toEqual([]);
      total.calls += calls.length;
      total.unknown += calls.filter((call) => call.return === null).length;
      total.refused += calls.filter(({ response }) => response === "bound").length;
      const answered = calls.filter(({ response }) => typeof response === "bigint");
      const wrong = answered[8]!;
      const altered = calls.map((call): CounterCall => (call === wrong ? { ...call, response: (call.response as bigint) + 1_000n } : call));
      expect(search(altered, COUNTER, bound).verdict).toBe("illegal");
    }
    console.log(`counter: ${JSON.stringify(total)}`);
    expect(total.unknown).toBeGreaterThan(0);
    if (seeds.length > 1) expect(total.refused).toBeGreaterThan(0);
  },
);

test("two that hold one lock at a time, and a fence that falls, are found", () => {
  const call = (grant: number, kind: HeldCall["kind"], from: number, to: number | null, fence = 0n): HeldCall => ({
    grant,
    kind,
    weight: 1,
    call: from,
    return: to,
    response: to === null ? null : kind === "end" ? {} : { fence },
  });
  const verdict = (...calls: HeldCall[]) => search(calls, heldModel(1, true), bound).verdict;
  expect(verdict(call(1, "acquire", 0, 5, 2n), call(1, "end", 10, 12), call(2, "acquire", 6, 11, 3n))).toBe("linearizable");
  expect(verdict(call(1, "acquire", 0, 5, 2n), call(1, "end", 10, 12), call(2, "acquire", 6, 9, 3n))).toBe("illegal");
  expect(verdict(call(1, "acquire", 0, 5, 2n), call(1, "end", 10, null), call(2, "acquire", 6, 40, 3n))).toBe("linearizable");
  expect(verdict(call(1, "acquire", 0, 5, 4n), call(1, "end", 10, 12), call(2, "acquire", 13, 14, 3n))).toBe("illegal");
});
