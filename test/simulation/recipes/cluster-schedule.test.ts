/**
 * The same random schedules on three members that are killed and cut off from one another while clients are, too. `RECIPE_RUNS=100` makes it
 * 100 seeds each; `RECIPE_SEED=1007` is the one seed. Those that are held are in schedule.test.ts.
 */
import { describe, expect, test } from "vitest";
import { CLUSTER_SEEDS } from "./actors.ts";
import { runConfig } from "./config-schedule.ts";
import { runLimits } from "./limit-schedule.ts";
import { runQueue } from "./queue-schedule.ts";
import { runRosters } from "./roster-schedule.ts";
import { runTask } from "./task-schedule.ts";
import { runTicks } from "./tick-schedule.ts";
import { runTopic } from "./topic-schedule.ts";

const only = process.env["RECIPE_SEED"];
const runs = Number(process.env["RECIPE_RUNS"] ?? 2);
const seeds = only === undefined ? Array.from({ length: runs }, (_, n) => CLUSTER_SEEDS + n + 1) : [Number(only)];

interface Outcome {
  readonly faults: readonly string[];
  readonly [count: string]: number | readonly string[];
}

const SCHEDULES: readonly (readonly [name: string, run: (seed: number) => Promise<Outcome>])[] = [
  ["limits", runLimits],
  ["config", runConfig],
  ["groups", runRosters],
  ["topics", runTopic],
  ["tasks", runTask],
  ["schedules", runTicks],
  ["queues", runQueue],
];

describe("on three members", () => {
  test.each(SCHEDULES)("%s", { timeout: 20_000 + 10_000 * seeds.length }, async (name, run) => {
    const total: Record<string, number> = {};
    for (const seed of seeds) {
      const { faults, ...counts } = await run(seed);
      expect(faults, `seed ${seed}`).toEqual([]);
      for (const [what, count] of Object.entries(counts)) total[what] = (total[what] ?? 0) + (count as number);
    }
    console.log(`${name} on three members: ${seeds.length} runs, ${JSON.stringify(total)}`);
    expect(Math.max(...Object.values(total))).toBeGreaterThan(10 * seeds.length);
  });
});
