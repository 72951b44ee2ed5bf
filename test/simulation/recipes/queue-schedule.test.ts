/** Random schedules of a queue. `RECIPE_RUNS=500` makes it 500 seeds; `RECIPE_SEED=7` is the one seed. */
import { expect, test } from "vitest";
import { runQueue } from "./queue-schedule.ts";

const only = process.env["RECIPE_SEED"];
const runs = Number(process.env["RECIPE_RUNS"] ?? 6);
const seeds = only === undefined ? Array.from({ length: runs }, (_, n) => n + 1) : [Number(only)];

test("random schedules of a queue", { timeout: 10_000 + 5_000 * seeds.length }, async () => {
  const total = { accepted: 0, acknowledged: 0 };
  for (const seed of seeds) {
    const { faults, accepted, acknowledged } = await runQueue(seed);
    expect(faults, `seed ${seed}`).toEqual([]);
    total.accepted += accepted;
    total.acknowledged += acknowledged;
  }
  console.log(`queue: ${seeds.length} runs, ${JSON.stringify(total)}`);
  expect(total.acknowledged).toBeGreaterThan(50 * seeds.length);
});
